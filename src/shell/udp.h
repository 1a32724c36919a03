/*
 * UDP: one socket for each local address, so that an answer leaves by the address that was asked
 * (RFC 3261 18.2.2, RFC 3581 4).  Datagrams come and go in batches; what goes out is sent from
 * where the core wrote it.
 *
 * The socket's number in a flow is its place here and in the settings.
 */
#pragma once

#include "core/action.h"
#include "core/settings.h"
#include "shell/log.h"
#include "shell/netaddr.h"

#define UDP_BATCH 64u       /* datagrams taken with one call */
#define UDP_SEND_BATCH 256u /* datagrams given with one call */

struct udp;

/* Opens and binds a socket for each address that `interface` names (see netaddr_list_local).
 * NULL, and it was logged why, if that is not possible.  Unless `is_listening` there are none. */
struct udp *udp_open(struct slice interface, uint16_t port, bool is_listening, struct log *log);
void udp_close(struct udp *udp);

unsigned udp_count(const struct udp *udp);
int udp_descriptor(const struct udp *udp, unsigned socket);
/* For struct settings; they live as long as `udp`. */
const struct socket_settings *udp_settings(const struct udp *udp);

/* Takes what has come to a socket, at most UDP_BATCH datagrams; how many.  They are valid until
 * the next call. */
unsigned udp_receive(struct udp *udp, unsigned socket);
/* One of them. */
struct slice udp_datagram(const struct udp *udp, unsigned index, struct flow *from);

/* Queues a datagram: its bytes must stay until udp_flush. */
void udp_send(struct udp *udp, const struct flow *to, struct slice bytes);
void udp_flush(struct udp *udp);

/* Takes what the network says of datagrams that did not arrive (ICMP), off a socket that poll finds
 * in error. */
void udp_take_errors(struct udp *udp, unsigned socket);

/* A datagram that did not arrive, or could not be sent: where to, and its beginning, until the next
 * call; false if there is no more.  Of many at once some are forgotten. */
bool udp_next_unreached(struct udp *udp, struct flow *to, struct slice *head);

/* How full the fullest receive queue is, in thousandths; full, if something had no room there since
 * this was asked last. */
unsigned udp_fill(struct udp *udp);

/* Datagrams that the kernel would not take, since the start. */
uint64_t udp_dropped(const struct udp *udp);
