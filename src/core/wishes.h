/*
 * What a REGISTER asks for: its Contacts and Path, read and checked before anything is changed
 * (RFC 3261 10.3 steps 6 and 7, RFC 3327 5.3, RFC 5626 6).
 */
#pragma once

#include "core/request.h"

/* Seconds granted while the store fails, so that a promise that cannot be kept is short. */
#define PROMISE_SHORT 60u

/* One Contact of the request. */
struct wish {
    struct slice uri_text;
    struct uri uri;
    struct slice instance; /* with its quotes; empty if there is no reg-id to go with it */
    uint32_t reg_id;       /* RFC 5626, 0 = none */
    uint32_t expires;      /* seconds, 0 = remove */
    uint16_t q;
};

struct wishes {
    struct wish at[BINDINGS_PER_AOR];
    unsigned count;
    bool all;          /* Contact: * */
    bool is_flow;      /* it registers a flow that is kept (RFC 5626) */
    struct slice path; /* of the whole request (RFC 3327) */
    char path_text[PATH_LIMIT];
};

extern const struct fault wishes_too_many;

/* The fault that makes it all void; NO_FAULT if the bindings decide the rest. */
struct fault wishes_read(const struct core *core, const struct request *req, struct wishes *wishes);
