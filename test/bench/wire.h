/* The generator's side of the network: one UDP socket on loopback and the datagrams queued on it
   until one sendmmsg takes them all.  The socket is connected, so only the server's datagrams
   arrive.  wire_open allocates at start; nothing is freed before the program ends. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "text.h"

enum { WIRE_QUEUE = 64, WIRE_DATAGRAM = 4096 };

struct wire {
    int socket;
    char address[24]; /* "127.0.0.2:40001" */
    size_t address_length;
    unsigned queued;
    struct mmsghdr *headers;
    struct iovec *vectors;
    char (*datagrams)[WIRE_DATAGRAM];
};

/* Where one recvmmsg puts what it got, before the next one. */
struct wire_inbox {
    struct mmsghdr headers[WIRE_QUEUE];
    struct iovec vectors[WIRE_QUEUE];
    char datagrams[WIRE_QUEUE][WIRE_DATAGRAM];
};

int wire_open(struct wire *wire, struct in_addr local, const struct sockaddr_in *server);
void wire_inbox_prepare(struct wire_inbox *inbox);

/* Room for one more datagram; it is queued by wire_add, which may flush to make room. */
struct text wire_next(struct wire *wire);
bool wire_add(struct wire *wire, const struct text *text);
bool wire_flush(struct wire *wire);

/* The number of datagrams received: 0 when there are none now, -errno when the socket says the
   server is gone. */
int wire_receive(struct wire *wire, struct wire_inbox *inbox);
