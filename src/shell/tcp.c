#include "shell/tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define KERNEL_ROOM (128 << 10) /* bytes the kernel may hold for it, each way */
#define WAITING_LIMIT 1024      /* connections not yet accepted */

static int make_socket(const union netaddr *address)
{
    bool is_v6 = address->any.sa_family == AF_INET6;
    int on = 1, idle = 120, between = 20, tries = 3, room = KERNEL_ROOM;
    unsigned longest = TCP_PATIENCE;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (is_v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &longest, sizeof longest);
    /* A peer that vanished is found out, though it sends nothing. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
    return fd;
}

int tcp_listen(const union netaddr *address)
{
    int fd = make_socket(address);
    int on = 1, error;

    if (fd < 0)
        return -errno;
    /* Of old connections, not of servers. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &address->any, netaddr_length(address)) == 0 && listen(fd, WAITING_LIMIT) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

int tcp_accept(int listening, union netaddr *peer)
{
    socklen_t len = sizeof *peer;

    return accept4(listening, &peer->any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int tcp_dial(const union netaddr *own, const union netaddr *peer)
{
    union netaddr from = *own;
    int fd = make_socket(peer);

    if (fd < 0)
        return -1;
    netaddr_set_port(&from, 0);
    if (bind(fd, &from.any, netaddr_length(&from)) == 0 &&
        (connect(fd, &peer->any, netaddr_length(peer)) == 0 || errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

bool tcp_is_connected(int descriptor)
{
    int error = 0;
    socklen_t len = sizeof error;

    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && !error;
}
