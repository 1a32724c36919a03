/*
 * A rehearsal: what would become of a call, told step by step, with nothing sent but questions to
 * DNS.
 *
 * It makes the INVITE that such a caller would send, proven, and lets it through the same functions
 * as a real one: what the path looks at first (core/proxy), who may call whom (core/admission), the
 * dial plan (core/dial), the location service, and for other domains what is demanded of them
 * (core/policy) and where their servers are (core/locate).  They tell as they go (core/why).
 *
 * The first part of the answer is told at once.  Each target whose servers are to be located makes
 * a part of its own, which is told when DNS has answered.
 */
#pragma once

#include "core/admin.h"

#define REHEARSALS_LIMIT 4u /* that wait for DNS at a time: it is asked by hand */

size_t rehearse_bytes(void);
void rehearse_init(struct core *core, struct arena *from);

enum rehearsal_state {
    REHEARSAL_DONE,  /* what was written is the end of the answer */
    REHEARSAL_PART,  /* more follows, from *cursor on */
    REHEARSAL_LATER, /* the answer comes by itself */
    REHEARSAL_FULL,  /* too many wait already */
    REHEARSAL_NONE,  /* `fault` says why there is none */
};

/* ADMIN_ROUTE: `user` calls, or a stranger if it is empty or of another domain; `text` is whom, a
 * URI, or what a user of ours would dial; `at` is when.  Rows are written to `rows`. */
enum rehearsal_state rehearse(struct core *core, const struct admin_request *request,
                              uint64_t *cursor, struct moment now, struct writer *rows,
                              const char **fault, struct actions *out);

/* DNS has answered, or is waited for no longer: `client` is a rehearsal's. */
void rehearse_look(struct core *core, struct client_transaction *client, struct moment now,
                   struct actions *out);
