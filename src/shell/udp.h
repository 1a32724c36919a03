/*
 * UDP: one socket for each local address, so that an answer leaves by the address that was asked
 * (RFC 3261 18.2.2, RFC 3581 4).  Datagrams come and go in batches; what goes out is sent from
 * where the core wrote it.
 */
#pragma once

#include "core/action.h"
#include "shell/sockets.h"

#define UDP_BATCH 64u       /* datagrams taken with one call */
#define UDP_SEND_BATCH 256u /* datagrams given with one call */

struct udp;

/* Opens and binds a socket; -errno if that is not possible. */
int udp_bind(const union netaddr *address);

/* NULL if there is no memory.  `sockets` must outlive it. */
struct udp *udp_create(const struct sockets *sockets);
void udp_destroy(struct udp *udp);

/* Others are served, or not any more: indices begin anew. */
void udp_renew(struct udp *udp);

/* Those that are served, by index. */
unsigned udp_count(const struct udp *udp);
int udp_descriptor(const struct udp *udp, unsigned index);

/* Takes what has come to a socket, at most UDP_BATCH datagrams; how many.  They are valid until
 * the next call. */
unsigned udp_receive(struct udp *udp, unsigned index);
/* One of them. */
struct slice udp_datagram(const struct udp *udp, unsigned index, struct flow *from);

/* Queues a datagram: its bytes must stay until udp_flush. */
void udp_send(struct udp *udp, const struct flow *to, struct slice bytes);
void udp_flush(struct udp *udp);

/* Takes what the network says of datagrams that did not arrive (ICMP), off a socket that poll finds
 * in error. */
void udp_take_errors(struct udp *udp, unsigned index);

/* A datagram that did not arrive, or could not be sent: where to, and its beginning, until the next
 * call; false if there is no more.  Of many at once some are forgotten. */
bool udp_next_unreached(struct udp *udp, struct flow *to, struct slice *head);

/* How full the fullest receive queue is, in thousandths; full, if something had no room there since
 * this was asked last. */
unsigned udp_fill(struct udp *udp);

/* Datagrams that the kernel would not take, since the start. */
uint64_t udp_dropped(const struct udp *udp);
