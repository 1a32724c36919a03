#include "shell/udp.h"

#include "core/oddity.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define DATAGRAM_LIMIT 65536u
/* Buffers one page and a few lines more than a datagram apart: their first lines, which every
 * message uses, then fall into different cache sets. */
#define BUFFER_STRIDE (DATAGRAM_LIMIT + 4096u + 320u)
#define KERNEL_BUFFER                                                                              \
    (16 << 20)           /* what comes in 100 ms of a busy server, with what the kernel adds */
#define SEND_PATIENCE 20 /* ms that a full socket is waited for, once a flush */

#define UNREACHED_LIMIT 32u /* noted at a time */
#define UNREACHED_HEAD 548u /* bytes: as much as an ICMP message repeats of a datagram */

struct unreached {
    struct flow to;
    size_t len;
    char head[UNREACHED_HEAD];
};

struct udp {
    const struct sockets *sockets;
    unsigned count;
    uint16_t served[LOCAL_LIMIT]; /* their numbers */
    uint32_t
        overflows[SOCKET_LIMIT]; /* datagrams that the kernel had no room for, at the last look */

    char *buffers;
    unsigned received_on;
    struct mmsghdr in[UDP_BATCH];
    struct iovec in_at[UDP_BATCH];
    union netaddr sources[UDP_BATCH];

    unsigned queued;
    unsigned queued_on;
    struct mmsghdr out[UDP_SEND_BATCH];
    struct iovec out_at[UDP_SEND_BATCH];
    union netaddr targets[UDP_SEND_BATCH];

    unsigned unreached_count;
    struct unreached unreached[UNREACHED_LIMIT];

    uint64_t dropped;
};

static void prepare_batches(struct udp *udp)
{
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        udp->in_at[i] = (struct iovec){udp->buffers + (size_t)i * BUFFER_STRIDE, DATAGRAM_LIMIT};
        udp->in[i].msg_hdr = (struct msghdr){.msg_name = &udp->sources[i],
                                             .msg_namelen = sizeof udp->sources[i],
                                             .msg_iov = &udp->in_at[i],
                                             .msg_iovlen = 1};
    }
    for (unsigned i = 0; i < UDP_SEND_BATCH; i++)
        udp->out[i].msg_hdr = (struct msghdr){
            .msg_name = &udp->targets[i], .msg_iov = &udp->out_at[i], .msg_iovlen = 1};
}

struct udp *udp_create(const struct sockets *sockets)
{
    size_t room = (size_t)UDP_BATCH * BUFFER_STRIDE;
    struct udp *udp = calloc(1, sizeof *udp);

    if (!udp)
        return NULL;
    udp->buffers = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (udp->buffers == MAP_FAILED) {
        free(udp);
        return NULL;
    }
    madvise(udp->buffers, room, MADV_HUGEPAGE);
    udp->sockets = sockets;
    prepare_batches(udp);
    return udp;
}

static void set_buffer(int fd, int forced, int usual)
{
    int size = KERNEL_BUFFER;

    if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, usual, &size, sizeof size);
}

/* A datagram longer than the path's MTU is left to the network to fragment: SIP over UDP to a phone
 * has no other way. */
static void set_options(int fd, bool is_v6)
{
    int on = 1, v4_dont = IP_PMTUDISC_DONT, v6_dont = IPV6_PMTUDISC_DONT;

    if (is_v6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6_dont, sizeof v6_dont);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4_dont, sizeof v4_dont);
    }
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
}

int udp_bind(const union netaddr *address)
{
    int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_options(fd, address->any.sa_family == AF_INET6);
    if (bind(fd, &address->any, netaddr_length(address)) < 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

void udp_destroy(struct udp *udp)
{
    munmap(udp->buffers, (size_t)UDP_BATCH * BUFFER_STRIDE);
    free(udp);
}

unsigned udp_count(const struct udp *udp)
{
    return udp->count;
}

static const struct own_socket *served_at(const struct udp *udp, unsigned index)
{
    return &udp->sockets->at[udp->served[index]];
}

int udp_descriptor(const struct udp *udp, unsigned index)
{
    return served_at(udp, index)->descriptor;
}

void udp_renew(struct udp *udp)
{
    const struct sockets *sockets = udp->sockets;

    udp->count = 0;
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].is_served && sockets->at[i].transport == TRANSPORT_UDP)
            udp->served[udp->count++] = (uint16_t)i;
        else
            udp->overflows[i] = 0;
}

uint64_t udp_dropped(const struct udp *udp)
{
    return udp->dropped;
}

unsigned udp_receive(struct udp *udp, unsigned index)
{
    const struct own_socket *own = served_at(udp, index);
    int count = -1;

    if (own->is_v6) /* the kernel cut them to what the last call needed */
        for (unsigned i = 0; i < UDP_BATCH; i++)
            udp->in[i].msg_hdr.msg_namelen = sizeof udp->sources[i];
    udp->received_on = udp->served[index];
    /* An error of the socket, not of the call, is taken off by the call that reports it. */
    for (unsigned tries = 0; count < 0 && tries < 4; tries++) {
        count = recvmmsg(own->descriptor, udp->in, UDP_BATCH, 0, NULL);
        if (count < 0 && errno == EAGAIN)
            break;
    }
    return count < 0 ? 0 : (unsigned)count;
}

static void note_unreached(struct udp *udp, unsigned socket, const union netaddr *to,
                           struct slice bytes)
{
    struct unreached *one = &udp->unreached[udp->unreached_count];

    if (udp->unreached_count == UNREACHED_LIMIT)
        return;
    one->to = (struct flow){.transport = TRANSPORT_UDP, .socket = (uint16_t)socket};
    netaddr_to_flow(to, &one->to);
    one->len = min_u64(bytes.len, sizeof one->head);
    memcpy(one->head, bytes.at, one->len);
    udp->unreached_count++;
}

bool udp_next_unreached(struct udp *udp, struct flow *to, struct slice *head)
{
    const struct unreached *one;

    if (!udp->unreached_count)
        return false;
    one = &udp->unreached[--udp->unreached_count];
    *to = one->to;
    *head = slice_of(one->head, one->len);
    return true;
}

/* A host, network or port is not there; not, for one, that a datagram was too long. */
static bool is_unreached(struct msghdr *message)
{
    struct cmsghdr *c;

    for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        struct sock_extended_err error;
        if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
            !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            continue;
        memcpy(&error, CMSG_DATA(c), sizeof error);
        return (error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6) &&
               (error.ee_errno == ECONNREFUSED || error.ee_errno == EHOSTUNREACH ||
                error.ee_errno == ENETUNREACH);
    }
    return false;
}

void udp_take_errors(struct udp *udp, unsigned index)
{
    char head[UNREACHED_HEAD], control[512];
    union netaddr to;

    for (unsigned n = 0; n < UDP_BATCH; n++) {
        struct iovec at = {head, sizeof head};
        struct msghdr message = {.msg_name = &to,
                                 .msg_namelen = sizeof to,
                                 .msg_iov = &at,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t len = recvmsg(udp_descriptor(udp, index), &message, MSG_ERRQUEUE | MSG_DONTWAIT);

        if (len < 0)
            return;
        if (message.msg_namelen && is_unreached(&message))
            note_unreached(udp, udp->served[index], &to, slice_of(head, (size_t)len));
    }
}

unsigned udp_fill(struct udp *udp)
{
    unsigned fullest = 0;

    for (unsigned i = 0; i < udp->count; i++) {
        uint32_t memory[SK_MEMINFO_VARS] = {0};
        socklen_t len = sizeof memory;
        if (getsockopt(udp_descriptor(udp, i), SOL_SOCKET, SO_MEMINFO, memory, &len) < 0 ||
            !memory[SK_MEMINFO_RCVBUF])
            continue;
        uint64_t fill = 1000ull * memory[SK_MEMINFO_RMEM_ALLOC] / memory[SK_MEMINFO_RCVBUF];
        uint32_t *overflows = &udp->overflows[udp->served[i]];
        if (memory[SK_MEMINFO_DROPS] != *overflows)
            fill = 1000;
        *overflows = memory[SK_MEMINFO_DROPS];
        fullest = fill > fullest ? (unsigned)min_u64(fill, 1000) : fullest;
    }
    return fullest;
}

struct slice udp_datagram(const struct udp *udp, unsigned index, struct flow *from)
{
    *from = (struct flow){.transport = TRANSPORT_UDP, .socket = (uint16_t)udp->received_on};
    netaddr_to_flow(&udp->sources[index], from);
    return slice_of(udp->in_at[index].iov_base, udp->in[index].msg_len);
}

static bool serves(const struct own_socket *own, const struct flow *to)
{
    return own->descriptor >= 0 && own->transport == TRANSPORT_UDP && own->is_v6 == to->is_v6;
}

/* The one of its family that serves best. */
static unsigned substitute(const struct udp *udp, const struct flow *to)
{
    const struct address_bytes peer = flow_address(to);
    unsigned found = SOCKET_LIMIT, best = 0;

    for (unsigned i = 0; i < udp->count; i++) {
        const struct own_socket *own = served_at(udp, i);
        struct flow from = {0};
        netaddr_to_flow(&own->address, &from);
        const struct address_bytes ours = flow_address(&from);
        unsigned fit = serves(own, to) ? address_fitness(&ours, &peer) : 0;
        if (fit > best) {
            best = fit;
            found = udp->served[i];
        }
    }
    return found;
}

/* What a flow names may have gone, or be another's. */
static unsigned socket_of(const struct udp *udp, const struct flow *to)
{
    return to->socket < udp->sockets->count && serves(&udp->sockets->at[to->socket], to)
               ? to->socket
               : substitute(udp, to);
}

void udp_send(struct udp *udp, const struct flow *to, struct slice bytes)
{
    unsigned socket = socket_of(udp, to);

    if (to->transport != TRANSPORT_UDP || socket == SOCKET_LIMIT) {
        udp->dropped++;
        return;
    }
    if (udp->queued == UDP_SEND_BATCH || (udp->queued && udp->queued_on != socket))
        udp_flush(udp);

    unsigned n = udp->queued++;
    udp->queued_on = socket;
    udp->out_at[n] = (struct iovec){(void *)(uintptr_t)bytes.at, bytes.len};
    udp->targets[n] = netaddr_of_flow(to);
    udp->out[n].msg_hdr.msg_namelen = netaddr_length(&udp->targets[n]);
}

/* The first of those left could not be sent: true if it should be tried again. */
static bool is_worth_waiting(int fd, int error, bool *has_waited)
{
    struct pollfd writable = {.fd = fd, .events = POLLOUT};

    if (error == EINTR)
        return true;
    if ((error != EAGAIN && error != ENOBUFS) || *has_waited)
        return false;
    *has_waited = true;
    return poll(&writable, 1, SEND_PATIENCE) == 1;
}

void udp_flush(struct udp *udp)
{
    int fd = udp->sockets->at[udp->queued_on].descriptor;
    bool has_waited = false, was_told = false;
    unsigned sent = 0;

    while (sent < udp->queued) {
        int count = sendmmsg(fd, udp->out + sent, udp->queued - sent, 0);
        int error = errno;

        if (count > 0) {
            sent += (unsigned)count;
            was_told = false;
        } else if (is_worth_waiting(fd, error, &has_waited)) {
            continue;
        } else if (!was_told && error != EAGAIN && error != ENOBUFS) {
            was_told = true; /* perhaps of one that was sent before */
        } else {
            if (was_told)
                note_unreached(udp, udp->queued_on, &udp->targets[sent],
                               slice_of(udp->out_at[sent].iov_base, udp->out_at[sent].iov_len));
            sent++; /* this one is lost, as it could be on the way */
            was_told = false;
            udp->dropped++;
        }
    }
    udp->queued = 0;
}
