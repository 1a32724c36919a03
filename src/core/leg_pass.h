/*
 * What a relay does with a packet, from the rules and states of two legs (core/leg.h): one text for
 * the program in the kernel and for the process.
 *
 * Packets of one leg may come on several processors at a time.  So who locks a leg takes epoch and
 * `locked` together, by compare-and-swap, writes the source and then says that it is there; what
 * comes in between is dropped.  The kernel's verifier knows no alignment but the declared: places
 * are read by words.  Each place must therefore lie at a multiple of four.
 */
#pragma once

#include "core/leg.h"

#include <stdbool.h>

#define LEG_HEAD 12u                      /* bytes of a packet that are looked at */
#define LEG_SILENCE UINT64_C(2000000000)  /* after which a phone may have another port */
#define LEG_A_SECOND UINT64_C(1000000000) /* of boot time */
#define LEG_PASSES (-1)                   /* what is no enum leg_drop */

enum leg_locked {
    LEG_OPEN_TO_LOCK,
    LEG_LOCKED,
    LEG_LOCKING, /* its source is being written */
};

struct leg_packet {
    _Alignas(8) struct leg_place from;
    uint32_t len;           /* of what UDP carries */
    uint8_t head[LEG_HEAD]; /* its first bytes, and zeros where it is shorter */
    uint64_t now;           /* boot time in ns */
};

static inline uint32_t leg_word(const void *at, unsigned i)
{
    uint32_t word;

    __builtin_memcpy(&word, (const uint8_t *)__builtin_assume_aligned(at, 4) + 4 * i, sizeof word);
    return word;
}

/* The word whose bytes are these. */
static inline uint32_t leg_bytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return a | b << 8 | c << 16 | d << 24;
#else
    return a << 24 | b << 16 | c << 8 | d;
#endif
}

static inline bool leg_same_host(const struct leg_place *a, const struct leg_place *b)
{
    return leg_word(a, 3) == leg_word(b, 3) && leg_word(a, 2) == leg_word(b, 2) &&
           leg_word(a, 1) == leg_word(b, 1) && leg_word(a, 0) == leg_word(b, 0);
}

static inline bool leg_same_place(const struct leg_place *a, const struct leg_place *b)
{
    return leg_word(a, 4) == leg_word(b, 4) && leg_same_host(a, b);
}

static inline bool leg_has_port(const struct leg_place *place)
{
    return place->port[0] | place->port[1];
}

/* Its phone has sent, since the rule is what it is. */
static inline bool leg_is_locked(const struct leg *leg)
{
    return leg->state.locked == 1 && leg->state.epoch == leg->rule.epoch;
}

static inline void leg_copy_place(struct leg_place *to, const struct leg_place *from)
{
    __builtin_memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(from, 4),
                     sizeof *to);
}

/* Epoch and `locked` as they lie in memory, as one number. */
static inline uint64_t leg_lock_of(uint32_t epoch, uint32_t locked)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return epoch | (uint64_t)locked << 32;
#else
    return (uint64_t)epoch << 32 | locked;
#endif
}

static inline uint64_t *leg_lock_at(struct leg_state *state)
{
    return (uint64_t *)__builtin_assume_aligned(state, 8);
}

static inline uint64_t leg_lock_read(const struct leg_state *state)
{
    return *(const volatile uint64_t *)__builtin_assume_aligned(state, 8);
}

/* Counters that another processor may raise, too. */
static inline void leg_add(uint64_t *counter, uint64_t n)
{
#ifdef __bpf__
    __sync_fetch_and_add(counter, n);
#else
    *counter += n;
#endif
}

static inline bool leg_is_version_2(const struct leg_packet *p)
{
    return p->head[0] >> 6 == 2;
}

/* RFC 5761 4: these payload types are RTCP's. */
static inline bool leg_is_rtcp(const struct leg_packet *p)
{
    return leg_is_version_2(p) && p->head[1] >= 192 && p->head[1] <= 223 && p->len >= 8;
}

static inline bool leg_is_rtp(const struct leg_packet *p)
{
    return leg_is_version_2(p) && !(p->head[1] >= 192 && p->head[1] <= 223) && p->len >= 12;
}

/* RFC 7983, and what each has at its beginning: the cookies of STUN (RFC 8489 5) and ZRTP (RFC 6189
 * 5), the version of DTLS (RFC 6347 4.1). */
static inline bool leg_is_handshake(const struct leg_packet *p)
{
    uint8_t first = p->head[0];

    if (first <= 3)
        return p->len >= 20 && leg_word(&p->head, 1) == leg_bytes(0x21, 0x12, 0xa4, 0x42);
    if (first >= 16 && first <= 19)
        return p->len >= 12 && leg_word(&p->head, 1) == leg_bytes('Z', 'R', 'T', 'P');
    return first >= 20 && first <= 63 && p->len >= 13 && p->head[1] == 0xfe;
}

static inline bool leg_may_lock(const struct leg_rule *rule, const struct leg_packet *p)
{
    return (rule->flags & LEG_PLAIN) || leg_is_rtp(p) || leg_is_rtcp(p) || leg_is_handshake(p);
}

/* Who sends it (RFC 3550 5.1, 6.4); 0 if it does not say. */
static inline uint32_t leg_ssrc(const struct leg_packet *p)
{
    if (leg_is_rtp(p))
        return leg_word(&p->head, 2);
    return leg_is_rtcp(p) ? leg_word(&p->head, 1) : 0;
}

/* Locks a leg to a packet's source, if nobody else is just doing so. */
static inline int leg_lock(struct leg_state *state, uint64_t before, uint32_t epoch,
                           const struct leg_packet *p)
{
    uint64_t *lock = leg_lock_at(state);

    if (__sync_val_compare_and_swap(lock, before, leg_lock_of(epoch, LEG_LOCKING)) != before)
        return LEG_STRANGER;
    leg_copy_place(&state->source, &p->from);
    state->ssrc = leg_ssrc(p);
    __sync_lock_test_and_set(lock, leg_lock_of(epoch, LEG_LOCKED));
    return LEG_PASSES;
}

static inline bool leg_is_too_much(const struct leg_rule *rule, struct leg_state *state,
                                   uint64_t now)
{
    if (now - state->second * LEG_A_SECOND < LEG_A_SECOND) {
        if (state->counted >= rule->rate)
            return true;
        state->counted++;
        return false;
    }
    state->second = (uint32_t)(now / LEG_A_SECOND);
    state->counted = 1;
    return rule->rate < 1;
}

/* Whether a packet may come in, from where it comes.  What is not from the leg's phone counts
 * towards no rate, so that nobody uses up another's. */
static inline int leg_check_source(const struct leg_rule *rule, struct leg_state *state,
                                   const struct leg_packet *p)
{
    uint64_t lock = leg_lock_read(state);
    uint32_t ssrc;

    if (!leg_same_host(&rule->allowed, &p->from))
        return LEG_STRANGER;
    if (leg_has_port(&rule->allowed) && leg_word(&rule->allowed, 4) != leg_word(&p->from, 4))
        return LEG_STRANGER;
    if (lock == leg_lock_of(rule->epoch, LEG_LOCKING))
        return LEG_STRANGER;
    if (lock != leg_lock_of(rule->epoch, LEG_LOCKED))
        return leg_may_lock(rule, p) ? leg_lock(state, lock, rule->epoch, p) : LEG_STRANGER;
    ssrc = leg_ssrc(p);
    if (!leg_same_place(&state->source, &p->from)) {
        if (!ssrc || ssrc != state->ssrc || p->now - state->seen < LEG_SILENCE)
            return LEG_STRANGER;
        return leg_lock(state, lock, rule->epoch, p);
    }
    if (ssrc && ssrc != state->ssrc)
        state->ssrc = ssrc;
    return LEG_PASSES;
}

/* A packet that came to a leg: LEG_PASSES, or why it is dropped. */
static inline int leg_take(const struct leg_rule *rule, struct leg_state *state,
                           const struct leg_packet *p)
{
    int verdict = leg_check_source(rule, state, p);

    if (verdict != LEG_PASSES)
        return verdict;
    if (leg_is_too_much(rule, state, p->now))
        return LEG_FLOOD;
    state->seen = p->now;
    return LEG_PASSES;
}

/* Where a packet goes that leaves by a leg: LEG_PASSES, or why it is dropped. */
static inline int leg_aim(const struct leg_rule *rule, const struct leg_state *state,
                          struct leg_place *to)
{
    uint64_t lock = leg_lock_read(state);
    bool is_heard = lock == leg_lock_of(rule->epoch, LEG_LOCKED);

    if (rule->flags & LEG_MUTE || !(is_heard || rule->flags & LEG_FIRST))
        return LEG_EARLY;
    if (leg_has_port(&rule->target)) {
        leg_copy_place(to, &rule->target);
        return LEG_PASSES;
    }
    leg_copy_place(to, &state->source);
    return is_heard && leg_lock_read(state) == lock ? LEG_PASSES : LEG_EARLY;
}

/* What became of a packet: a verdict. */
static inline void leg_count(struct leg_state *state, int verdict, uint32_t len)
{
    if (verdict == LEG_PASSES) {
        leg_add(&state->packets, 1);
        leg_add(&state->bytes, len);
    } else if (verdict >= 0 && verdict < LEG_DROP_COUNT) {
        leg_add(&state->drops[verdict], 1);
    }
}
