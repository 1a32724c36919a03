/*
 * What is demanded of another domain's TLS: what the settings say, and more of a domain that once
 * proved itself: it is remembered for thirty days, and until then nobody on the way can make us do
 * without.  An administrator may forget one.
 */
#pragma once

#include "core/state.h"

#define POLICY_MEMORY (30 * 24 * 3600) /* seconds */

size_t policy_bytes(void);
void policy_init(struct core *core, struct arena *from);

/* What settings name for it, or for all (enum peer_policy); and for one that is remembered no less
 * than POLICY_VERIFIED. */
uint8_t policy_of(const struct core *core, struct slice domain, int64_t wall);

/* It is remembered for having proven itself, and nothing stricter is configured; and where that is
 * written that counts else. */
bool policy_is_remembered(const struct core *core, struct slice domain, int64_t wall);
struct written policy_written(const struct core *core, struct slice domain);

/* Of one domain, whatever the case of its letters; the same in all runs, and never 0. */
uint64_t policy_hash(const struct core *core, struct slice domain);

/* The domain of that hash has proven itself: it is remembered, written anew once a day.
 * `is_sought`: to us, who had connected to it.  Where there is no room, those that came by
 * themselves are forgotten first, so that nobody makes us forget whom our users call. */
void policy_note(struct core *core, uint64_t domain, bool is_sought, struct moment now,
                 struct actions *out);

/* DNS names no server of TLS for one that is remembered, and a caller was refused: the
 * administrator is told, once an hour. */
void policy_tell(struct core *core, struct slice domain, instant now, struct actions *out);

/* False if it was not remembered. */
bool policy_forget(struct core *core, struct slice domain, struct actions *out);

/* RECORD_PROVEN: what is remembered, and until when; 0 = no more. */
void policy_persist(const struct proven_domain *proven, struct actions *out);
void policy_restore(struct core *core, struct reader *r);
