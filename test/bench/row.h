/* The rows of the bench: what one operation of each kind sends, what it must get back, and what the
   phone at the other end answers.  A row acts on a scene; time and pace are load's. */
#pragma once

#include "meter.h"
#include "render.h"

enum verdict { VERDICT_WAIT, VERDICT_DONE, VERDICT_WRONG };

struct op {
    uint32_t serial; /* tells this use of the slot from earlier ones */
    uint32_t cseq;
    uint32_t caller; /* a phone, or the number of a stranger */
    uint32_t callee;
    uint32_t generation; /* of the nonce last answered with */
    uint32_t wire;       /* the caller's */
    char step;           /* of the branch whose answer is awaited */
    uint8_t challenges;
    bool busy;
    bool trying, ringing, confirmed, ended; /* what a call has had so far */
    instant started;
};

/* Owns nothing: the arrays are the program's, for its whole life. */
struct scene {
    struct wire *wires;
    uint32_t wire_count;
    struct credentials *wire_credentials; /* one a source, for first registrations */
    struct phone *phones;
    uint32_t phone_count;
    uint32_t active_count; /* phones that register at the start; the rest are fresh */
    uint32_t next_fresh;
    uint32_t next_callee;
    uint32_t next_stranger;
    uint32_t *idle; /* active phones without an operation of their own, a ring */
    uint32_t idle_first, idle_count;
    uint64_t sent;
    uint64_t challenged; /* challenges that were not the row's own: stale nonces */
    uint64_t untried;    /* calls without a 100 */
};

struct row {
    const char *name;
    /* False when nobody is left to start one with. */
    bool (*start)(struct scene *scene, struct op *op, uint32_t slot);
    enum verdict (*answered)(struct scene *scene, struct op *op, uint32_t slot,
                             const struct scan *answer);
    /* NULL where no phone is called. */
    enum verdict (*called)(struct scene *scene, struct op *op, uint32_t slot,
                           const struct scan *request, const struct wire *wire);
    const char *method;
    bool borrows; /* the caller is one of the idle phones, with nothing else under way */
};

const struct row *row_find(const char *name);

/* Gives back what the operation had borrowed. */
void row_finish(const struct row *row, struct scene *scene, struct op *op);
