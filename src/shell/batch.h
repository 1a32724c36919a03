/*
 * A batch: what some steps of the core asked for, in order, until it is carried out.
 *
 * What is sent after a persist is held until the journal has the record, and what is sent after
 * that, too: order is durability (core/action.h).
 */
#pragma once

#include "core/action.h"
#include "core/limits.h"

#define BATCH_ACTIONS 4096u
#define BATCH_BYTES (8u << 20)

struct batch {
    struct actions actions;
    uint32_t done;       /* so many have been carried out, from the first on */
    uint64_t order;      /* of the segment that the core's last checkpoint was for */
    bool has_left_early; /* the store was late: sends that promise nothing have gone out */
    int error;           /* of the store; set before it is given back */
};

/* False if there is no memory. */
bool batch_create(struct batch *batch);
void batch_destroy(struct batch *batch);

static inline void batch_clear(struct batch *batch)
{
    batch->actions.count = 0;
    batch->actions.bytes.len = 0;
    batch->done = 0;
    batch->has_left_early = false;
    batch->error = 0;
}

/* Room for one more step. */
static inline bool batch_has_room(const struct batch *batch)
{
    const struct actions *a = &batch->actions;

    return a->limit - a->count >= STEP_ACTIONS && a->bytes.limit - a->bytes.len >= STEP_BYTES;
}
