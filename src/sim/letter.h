/* What phones and strangers write: requests from their parts, responses from the request. */
#pragma once

#include "core/flow.h"
#include "sip/compose.h"

#define LETTER_LIMIT 8192u /* bytes of one */

struct letter {
    enum method method;
    struct slice uri;
    struct slice sent_by; /* of the Via: host and port */
    struct slice branch;
    bool has_rport;
    enum transport transport; /* of the Via */
    struct flow flow;         /* by which it goes; without a transport: from the phone's address */
    unsigned max_forwards;
    struct slice from, to; /* whole values, with tags */
    struct slice call_id;
    uint32_t cseq;
    struct slice routes;  /* whole Route fields, with their ends */
    struct slice contact; /* value; empty if there is none */
    bool knows_timers;    /* RFC 4028 */
    unsigned session;     /* seconds that it asks for, 0 = none */
    struct slice extra;   /* whole further fields */
    struct slice type;    /* of the body; text/plain where it is left out */
    struct slice body;
};

/* As printf; fails the writer if it does not fit. */
__attribute__((format(printf, 2, 3))) void put(struct writer *w, const char *format, ...);

/* "Name: value" and the line's end. */
void put_field(struct writer *w, const char *name, struct slice value);

void letter_write(struct writer *w, const struct letter *letter);

/* The parts of a request that was written before: all but extra and body.  Its Route fields are
 * copied to `routes`. */
void letter_read(struct letter *letter, const struct message *request, struct writer *routes);

struct reply {
    unsigned status;
    struct slice to_tag;  /* added if the request's To has none */
    struct slice contact; /* value; empty if there is none */
    struct slice extra;
    struct slice body;
};

/* `source` fills received and rport of the topmost Via (RFC 3581). */
void reply_write(struct writer *w, const struct message *request, const struct flow *source,
                 const struct reply *reply);

/* The topmost Via; false if there is none that can be read. */
bool letter_via(const struct message *m, struct via *via);

/* Without its parameters: what stands before the tag of a From or To, as a dialog keeps it. */
struct slice letter_untagged(struct slice value);
