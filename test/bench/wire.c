#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const int SOCKET_BUFFER = 4 << 20;

static int wire_bind(struct wire *wire, struct in_addr local, const struct sockaddr_in *server)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = local};
    socklen_t size = sizeof name;
    wire->socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->socket < 0)
        return -errno;
    setsockopt(wire->socket, SOL_SOCKET, SO_RCVBUF, &SOCKET_BUFFER, sizeof SOCKET_BUFFER);
    setsockopt(wire->socket, SOL_SOCKET, SO_SNDBUF, &SOCKET_BUFFER, sizeof SOCKET_BUFFER);
    if (bind(wire->socket, (struct sockaddr *)&name, size) < 0 ||
        connect(wire->socket, (const struct sockaddr *)server, sizeof *server) < 0 ||
        getsockname(wire->socket, (struct sockaddr *)&name, &size) < 0)
        return -errno;
    int length = snprintf(wire->address, sizeof wire->address, "%s:%u", inet_ntoa(name.sin_addr),
                          ntohs(name.sin_port));
    wire->address_length = (size_t)length;
    return 0;
}

int wire_open(struct wire *wire, struct in_addr local, const struct sockaddr_in *server)
{
    wire->queued = 0;
    wire->headers = calloc(WIRE_QUEUE, sizeof *wire->headers);
    wire->vectors = calloc(WIRE_QUEUE, sizeof *wire->vectors);
    wire->datagrams = calloc(WIRE_QUEUE, sizeof *wire->datagrams);
    if (!wire->headers || !wire->vectors || !wire->datagrams)
        return -ENOMEM;
    for (unsigned i = 0; i < WIRE_QUEUE; i++) {
        wire->vectors[i].iov_base = wire->datagrams[i];
        wire->headers[i].msg_hdr.msg_iov = &wire->vectors[i];
        wire->headers[i].msg_hdr.msg_iovlen = 1;
    }
    return wire_bind(wire, local, server);
}

void wire_inbox_prepare(struct wire_inbox *inbox)
{
    memset(inbox, 0, sizeof *inbox);
    for (unsigned i = 0; i < WIRE_QUEUE; i++) {
        inbox->vectors[i] = (struct iovec){inbox->datagrams[i], WIRE_DATAGRAM};
        inbox->headers[i].msg_hdr.msg_iov = &inbox->vectors[i];
        inbox->headers[i].msg_hdr.msg_iovlen = 1;
    }
}

struct text wire_next(struct wire *wire)
{
    if (wire->queued == WIRE_QUEUE)
        wire_flush(wire);
    return text_over(wire->datagrams[wire->queued], WIRE_DATAGRAM);
}

bool wire_add(struct wire *wire, const struct text *text)
{
    if (text->full)
        return false;
    wire->vectors[wire->queued++].iov_len = text_length(text);
    return true;
}

/* What the kernel will not take now is dropped, as a network would, and shows as a missing answer;
   the buffers are large enough that it does not happen at the windows used. */
bool wire_flush(struct wire *wire)
{
    unsigned sent = 0;
    while (sent < wire->queued) {
        int count = sendmmsg(wire->socket, wire->headers + sent, wire->queued - sent, 0);
        if (count < 0)
            break;
        sent += (unsigned)count;
    }
    bool all = sent == wire->queued;
    wire->queued = 0;
    return all;
}

int wire_receive(struct wire *wire, struct wire_inbox *inbox)
{
    int count = recvmmsg(wire->socket, inbox->headers, WIRE_QUEUE, MSG_DONTWAIT, NULL);
    if (count >= 0)
        return count;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}
