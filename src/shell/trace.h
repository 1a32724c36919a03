/*
 * The SIP trace: messages as they came and went, the latest few megabytes of them in memory, for
 * the administrator.
 *
 * No secrets are in it: digest responses (a password could be guessed from one), keys of media, and
 * what a MESSAGE says are blanked before it is kept.
 */
#pragma once

#include "core/flow.h"
#include "sip/message.h"

#define TRACE_HALF (2u << 20)          /* bytes; the older half goes when the newer is full */
#define TRACE_ROW (8u * MESSAGE_LIMIT) /* bytes of a message as a row, escaped */

struct trace_entry {
    struct moment at;
    struct flow flow;
    bool is_sent;
    struct slice bytes;
};

struct trace;

/* NULL if there is no memory. */
struct trace *trace_create(void);
void trace_destroy(struct trace *trace);

/* Keeps a message; `entry` is it as it is kept, until the next. */
void trace_keep(struct trace *trace, bool is_sent, const struct flow *flow, struct slice bytes,
                struct moment now, struct trace_entry *entry);
void trace_clear(struct trace *trace);

/* Walks over what is kept: *position starts at 0; false at the end.  What went meanwhile is passed
 * over. */
bool trace_next(const struct trace *trace, uint64_t *position, struct trace_entry *entry);

/* As a line of JSON. */
void trace_write(struct writer *w, const struct trace_entry *entry);

/* Blanks what is secret; in place, and no longer than before. */
size_t trace_blank(char *bytes, size_t len);
