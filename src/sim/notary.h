/*
 * A notary: a domain that signs who calls (RFC 8224), in seeds that have one, and what the machine
 * finds where its certificates are.
 *
 * It writes to users of the machine's domain what is genuine, and what somebody forged: with
 * another key, for another callee or other media keys, or long ago.  No forgery may reach anybody,
 * and nobody may be told that one is proven.  The machine fetches certificates late, not at all, or
 * never hears of them.  Its own users' requests to other domains are signed, too.
 */
#pragma once

#include "core/action.h"
#include "sim/dice.h"
#include "sim/letter.h"

struct sim;

struct notary {
    struct random dice;
    unsigned serial;
};

bool notary_is_seed(uint64_t seed);

/* Has the machine sign and check, before it starts. */
void notary_equip(struct sim *sim);

/* Once the strangers are there, from one of whose places it writes. */
void notary_init(struct sim *sim, uint64_t seed);

/* DUE_NOTARY: what it writes next. */
void notary_act(struct sim *sim);

/* Writes the lines by which another domain signs an INVITE of its own, in seeds with a notary, and
 * mostly.  False if it does not. */
bool notary_vouch(struct sim *sim, const struct letter *letter, struct slice domain,
                  struct writer *lines);

/* The core wants a certificate; DUE_CERTIFICATE: it has it, or not. */
void notary_asked(struct sim *sim, const struct fetch_question *question, struct slice what);
void notary_answer(struct sim *sim, uint32_t starts, void *asked);

/* What the machine sends. */
void notary_judge(struct sim *sim, struct slice bytes);
