/*
 * Dropping calls because an administrator says so: one that is answered ends by BYE to both ends
 * (core/dialog), one that rings as if its caller had given up.
 */
#pragma once

#include "core/admin.h"

#define DROPS_PER_STEP 4u /* calls; each is two BYEs and records, or a CANCEL a branch */

/* Which calls: by name, as listings have it, by Call-ID, or those of a user. */
struct drop_wish {
    struct slice name;
    const struct user *user; /* NULL = the name is none of a user */
};

/* Drops some and notes their names.  False when none is left; else there may be more, from the
 * cursor on. */
bool drop_calls(struct core *core, const struct drop_wish *wish, uint64_t *cursor,
                struct moment now, uint64_t names[DROPS_PER_STEP], unsigned *count,
                struct actions *out);
