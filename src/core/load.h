/*
 * Overload: what is refused while the server cannot keep up (RFC 3261 21.5.4), and when that is.
 *
 * The shell tells how full the fullest receive queue is, some hundred times a second while it never
 * comes to rest, and once when it does.  A queue that has stayed high for a while is no burst, and
 * no moment in which the machine did something else: from then on the server is strained.  While it
 * is, each look decides: a queue that is high makes requests that begin something be refused, by
 * 503 and without a transaction, so that it falls; one that is low lets them in again.
 *
 * What goes on is never refused: requests in dialogs, repeated ones, responses, REGISTERs with
 * credentials; nor is OPTIONS for the server.
 */
#pragma once

#include "core/request.h"

/* Thousandths of a queue. */
#define LOAD_FULL 1000u

size_t load_bytes(void);
void load_init(struct core *core, struct arena *from);

/* EVENT_LOAD: the queue is so full. */
void load_weigh(struct core *core, unsigned fill, instant now, struct actions *out);

/* When a strained server is to be looked at again, NEVER if it is not strained; and that look. */
instant load_deadline(const struct core *core);
void load_meet(struct core *core, instant now, struct actions *out);

/* An INVITE was refused by 503 for another reason: copies of it are not let in either. */
void load_note(struct core *core, const struct request *req);

/* The request begins something, and cannot be begun now; or it is a copy of one that was refused
 * so, which must not be answered otherwise.  An INVITE's key is set. */
bool load_refuses(struct core *core, const struct request *req);
