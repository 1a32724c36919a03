/*
 * The admission of strangers, callers of other domains: whether they are let in at all, and how
 * often.
 *
 * They reach our own users only, and of these those whose profile allows it (core/dial); for all
 * others, whether they are unknown, closed, or have no phone, there is one and the same answer,
 * 480.
 *
 * What begins something is counted: by its source, which gets 503 with Retry-After beyond
 * settings.stranger_source a minute; and by whom it asks for, whoever that is or is not, where what
 * is beyond settings.stranger_callee a minute gets that same 480, so that it tells nothing either.
 * A source is an IPv4 address or an IPv6 /64; of a caller whose domain is proven, the domain. Those
 * are counted apart from others for the same callee: who forges sources keeps no proven caller out.
 * Networks that the access lists exempt are not counted.
 *
 * A minute's worth may come at once; then they are let in one after another, as time passes.  The
 * times lie in a table of fixed size; a full place gives up the one that says least.
 */
#pragma once

#include "core/request.h"

void admission_init(struct core *core, struct arena *from);
size_t admission_bytes(void);

/* Callers of other domains are let in, and this one asks for one of ours. */
struct fault admission_fault(const struct core *core, const struct request *req);

/* Seconds until the source may ask again; 0: now, and it is counted. */
unsigned admission_delay(struct core *core, const struct request *req);

/* The callee has been asked for often enough; else it is counted. */
bool admission_is_too_many(struct core *core, const struct request *req);

/* What the last two would say of a call that is not made: it is told, and nothing is counted. */
struct fault admission_rehearse(const struct core *core, const struct request *req);
