/*
 * Responses that the server makes itself (RFC 3261 8.2.6), without a transaction: the same request
 * gets the same answer, down to its To tag, so a lost one is simply asked for again.
 *
 * Who has proven nothing may have forged its address, so it never gets more bytes over UDP than it
 * sent, if those were more than UNPROVEN_FREE: what is not needed is left out, and what is still
 * too long is not sent at all.
 */
#pragma once

#include "core/request.h"

/* Writes a response into out->bytes up to the empty line's place: status line, Via (with received
 * and rport, RFC 3581), From, To (with a tag above 100), Call-ID, CSeq, Server.  The caller adds
 * header fields and calls reply_end. */
struct writer *reply_begin(struct core *core, const struct request *req, unsigned status,
                           struct slice reason, struct actions *out);
/* Content-Length and the end; the response's bytes, within out->bytes. */
struct slice reply_end(struct actions *out, struct writer *w, size_t start);

/* Its sender may have forged its address. */
bool reply_is_unproven(const struct request *req);

/* An answer of that many bytes is more than the request may be worth. */
bool reply_exceeds(const struct request *req, size_t len);

/* The same two for an answer that must be short: without what is only courtesy. */
struct writer *reply_begin_short(struct core *core, const struct request *req, unsigned status,
                                 struct actions *out);
struct slice reply_end_short(struct actions *out, struct writer *w, size_t start);

/* A whole response without further fields, short if need be; empty if even that is too long. */
struct slice reply_compose(struct core *core, const struct request *req, struct fault fault,
                           struct actions *out);

/* reply_end and reply_send; where that is too long, the response without further fields. */
void reply_finish(struct core *core, const struct request *req, unsigned status, size_t start,
                  struct actions *out);

/* Sends bytes, the last of out->bytes, unless they are too many, to where responses to the request
 * go (18.2.2). */
void reply_send(const struct request *req, struct slice bytes, struct actions *out);

/* The whole of it for a response without further fields; nothing for an ACK. */
void reply(struct core *core, const struct request *req, unsigned status, struct actions *out);
void reply_because(struct core *core, const struct request *req, struct fault fault,
                   struct actions *out);

/* Where responses to it go, and the port where its sender listens. */
struct flow reply_flow(const struct request *req);
uint16_t reply_sent_by(const struct request *req);
