/*
 * What is missing of the RTP that comes to a leg, and how unevenly the rest comes (RFC 3550 6.4.1):
 * packets expected and received by sequence number (A.1, A.3), and interarrival jitter (A.8).  One
 * text for the program in the kernel and for the process, as core/leg_pass.h.
 *
 * One stream of a leg is counted: the first SSRC's, until nothing of it came for LEG_STREAM_GAP;
 * then the next that comes takes its place, and what was counted stays.  So the streams of a bundle
 * (RFC 8843), which come by each other, are not taken for one that begins anew with each packet.
 *
 * Nothing is counted that is no RTP (RFC 7983, RFC 5761), nor on a leg for other things.  SRTP has
 * the same header in the clear (RFC 3711 3.1).
 *
 * A stream comes by one queue of the network's, in its order: its counters need no locks.
 */
#pragma once

#include "core/leg_pass.h"

#define LEG_STREAM_GAP (LEG_A_SECOND / 2)
#define LEG_STREAM_JUMP 3000u  /* sequence numbers: it has begun anew (RFC 3550 A.1) */
#define LEG_STREAM_BEHIND 100u /* so many back is late, or once more; beyond, it is neither */
#define LEG_NOT_ODD 0x10000u   /* what is no sequence number */
#define LEG_TICKS 500u         /* a clock of rule.clocks has so many a second, by its class */

/* Kinds of payload with clocks that RFC 3551 6 fixes, a bit each. */
#define LEG_FIXED_8000 UINT64_C(0x4b3b9)      /* 0 3 4 5 7 8 9 12 13 15 18 */
#define LEG_FIXED_90000 UINT64_C(0x716004000) /* 14 25 26 28 32 33 34 */
#define LEG_FIXED_OTHERS UINT64_C(0x80030c40) /* 6 10 11 16 17 31 */

/* The clocks of rule.clocks by their classes, in LEG_TICKS: 8, 12, 16, 24, 32, 48, 90 kHz. */
#define LEG_CLASSES UINT64_C(0xb460403020181000)
#define LEG_CLASS(clocks) ((clocks) >> 7 & 7)
#define LEG_NAMED(clocks) ((clocks)&0x7f)

static inline uint32_t leg_fixed_clock(uint32_t payload)
{
    uint64_t bit = UINT64_C(1) << (payload & 63);

    if (bit & LEG_FIXED_8000)
        return 8000;
    if (bit & LEG_FIXED_90000)
        return 90000;
    if (!(bit & LEG_FIXED_OTHERS))
        return 0;
    if (payload == 31)
        return 90000;
    if (payload == 6)
        return 16000;
    if (payload == 16)
        return 11025;
    return payload == 17 ? 22050 : 44100;
}

/* How often a second the timestamps of a payload type rise; 0 where nobody knows. */
static inline uint32_t leg_clock(uint32_t clocks, uint32_t payload)
{
    if (payload < 35)
        return leg_fixed_clock(payload);
    for (unsigned i = 0; i < LEG_CLOCKS; i++, clocks >>= LEG_CLOCK_BITS)
        if (LEG_CLASS(clocks) && (LEG_NAMED(clocks) == payload || !LEG_NAMED(clocks)))
            return LEG_TICKS * (uint32_t)(LEG_CLASSES >> 8 * LEG_CLASS(clocks) & 0xff);
    return 0;
}

static inline uint32_t leg_stream_expected(const struct leg_stream *s)
{
    return s->is_begun ? s->highest - s->first + 1 : 0;
}

/* Another stream begins with this packet, or the same anew (A.1 init_seq). */
static inline void leg_stream_begin(struct leg_stream *s, const struct leg_packet *p,
                                    uint32_t number)
{
    s->expected_before += leg_stream_expected(s);
    s->received_before += s->received;
    s->ssrc = leg_word(&p->head, 2);
    s->first = s->highest = number;
    s->received = 1;
    s->odd = LEG_NOT_ODD;
    s->is_begun = 1;
    s->is_timed = 0;
    s->heard = p->now;
}

/* A.1 update_seq, without probation: nobody but the leg's phone gets here.  False if the number is
 * far from what was to come: perhaps a stray. */
static inline bool leg_stream_number(struct leg_stream *s, const struct leg_packet *p,
                                     uint32_t number)
{
    uint32_t ahead = (number - s->highest) & 0xffff;

    if (ahead < LEG_STREAM_JUMP) {
        s->highest += ahead;
    } else if (ahead <= 0x10000 - LEG_STREAM_BEHIND) {
        bool is_again = number == s->odd;
        s->odd = (number + 1) & 0xffff;
        if (is_again)
            leg_stream_begin(s, p, number);
        return is_again;
    }
    s->received++;
    return true;
}

/* Ticks of a clock in so many ns, which are less than LEG_SILENCE: without a division, by
 * 1.024 us = 4398 / 2^32 s. */
static inline int64_t leg_ticks(uint64_t ns, uint32_t clock)
{
    return (int64_t)(((ns >> 10) * clock * 4398 + (UINT64_C(1) << 31)) >> 32);
}

/* A number of four bytes in the header, in its order (RFC 3550 5.1). */
static inline uint32_t leg_header(const struct leg_packet *p, unsigned at)
{
    return (uint32_t)p->head[at] << 24 | (uint32_t)p->head[at + 1] << 16 |
           (uint32_t)p->head[at + 2] << 8 | p->head[at + 3];
}

/* A.8, in 16ths of a tick.  Where the two clocks part by two seconds, one of them was set: that
 * says nothing of the network. */
static inline void leg_stream_time(struct leg_stream *s, const struct leg_packet *p, uint32_t clock)
{
    uint32_t stamp = leg_header(p, 4);
    uint64_t since = p->now - s->timed;
    int64_t late;

    if (s->clock && s->clock != clock) { /* RFC 7160: other ticks, and no common beginning */
        s->jitter = (uint32_t)((uint64_t)s->jitter * clock / s->clock);
        s->is_timed = 0;
    }
    if (s->is_timed && since < LEG_SILENCE) {
        late = leg_ticks(since, clock) - (int32_t)(stamp - s->stamp);
        late = late < 0 ? -late : late;
        if (late < 2 * (int64_t)clock)
            s->jitter += (uint32_t)late - ((s->jitter + 8) >> 4);
    }
    s->clock = clock;
    s->stamp = stamp;
    s->timed = p->now;
    s->is_timed = 1;
}

/* A packet that was let in at a leg. */
static inline void leg_hear(const struct leg_rule *rule, struct leg_stream *s,
                            const struct leg_packet *p)
{
    uint32_t number = (uint32_t)p->head[2] << 8 | p->head[3], clock;

    if (!leg_is_rtp(p) || rule->component != 1 || rule->flags & LEG_PLAIN)
        return;
    if (!s->is_begun) {
        leg_stream_begin(s, p, number);
    } else if (leg_word(&p->head, 2) != s->ssrc) {
        if (p->now - s->heard < LEG_STREAM_GAP)
            return;
        leg_stream_begin(s, p, number);
    } else {
        s->heard = p->now;
        if (!leg_stream_number(s, p, number))
            return;
    }
    clock = leg_clock(rule->clocks, p->head[1] & 0x7f);
    if (clock)
        leg_stream_time(s, p, clock);
}

static inline struct leg_heard leg_heard(const struct leg_stream *s)
{
    uint32_t expected = s->expected_before + leg_stream_expected(s);
    uint32_t received = s->received_before + s->received;

    return (struct leg_heard){
        .expected = expected,
        .lost = expected > received ? expected - received : 0,
        .jitter =
            s->clock ? (uint32_t)((uint64_t)s->jitter * 1000000 / 16 / s->clock) : LEG_UNKNOWN,
    };
}
