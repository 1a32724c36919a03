#include "core/strans.h"

#include "core/fault.h"

struct rule {
    uint8_t next; /* enum strans_state */
    uint8_t effects;
};

/* The figures in the RFCs.  An absent rule means: stay, do nothing. */
/* clang-format off */
#define SEND STRANS_SEND
#define G STRANS_START_RESEND
#define H STRANS_START_LONG
#define I STRANS_START_SHORT
static const struct rule rules[STRANS_STATE_COUNT][STRANS_INPUT_COUNT] = {
    [STRANS_PROCEEDING] = {
        [STRANS_REQUEST]     = {STRANS_PROCEEDING, SEND},
        [STRANS_PROVISIONAL] = {STRANS_PROCEEDING, SEND},
        [STRANS_SUCCESS]     = {STRANS_ACCEPTED,   SEND | H},
        [STRANS_FAILURE]     = {STRANS_COMPLETED,  SEND | G | H},
    },
    [STRANS_ACCEPTED] = {
        [STRANS_SUCCESS]     = {STRANS_ACCEPTED,   SEND},
        [STRANS_END_DUE]     = {STRANS_TERMINATED, STRANS_ENDED},
    },
    [STRANS_COMPLETED] = {
        [STRANS_REQUEST]     = {STRANS_COMPLETED,  SEND},
        [STRANS_ACK]         = {STRANS_CONFIRMED,  I},
        [STRANS_RESEND_DUE]  = {STRANS_COMPLETED,  SEND | G},
        [STRANS_END_DUE]     = {STRANS_TERMINATED, STRANS_TIMED_OUT | STRANS_ENDED},
    },
    [STRANS_CONFIRMED] = {
        [STRANS_END_DUE]     = {STRANS_TERMINATED, STRANS_ENDED},
    },
    [STRANS_TRYING] = {
        [STRANS_RESEND_DUE]  = {STRANS_TRYING,     STRANS_IS_SLOW},
        [STRANS_PROVISIONAL] = {STRANS_PENDING,    SEND},
        [STRANS_SUCCESS]     = {STRANS_ANSWERED,   SEND | H},
        [STRANS_FAILURE]     = {STRANS_ANSWERED,   SEND | H},
        [STRANS_SILENCE]     = {STRANS_ANSWERED,   H},
    },
    [STRANS_PENDING] = {
        [STRANS_REQUEST]     = {STRANS_PENDING,    SEND},
        [STRANS_PROVISIONAL] = {STRANS_PENDING,    SEND},
        [STRANS_SUCCESS]     = {STRANS_ANSWERED,   SEND | H},
        [STRANS_FAILURE]     = {STRANS_ANSWERED,   SEND | H},
        [STRANS_SILENCE]     = {STRANS_ANSWERED,   H},
    },
    [STRANS_ANSWERED] = {
        [STRANS_REQUEST]     = {STRANS_ANSWERED,   SEND},
        [STRANS_END_DUE]     = {STRANS_TERMINATED, STRANS_ENDED},
    },
};
#undef SEND
#undef G
#undef H
#undef I
/* clang-format on */

void strans_init(struct strans *st, bool is_invite, bool is_reliable, instant now)
{
    *st = (struct strans){
        .state = is_invite ? STRANS_PROCEEDING : STRANS_TRYING,
        .is_reliable = is_reliable,
        .resend_at = is_invite ? NEVER : now + TRYING_AFTER,
        .end_at = NEVER,
    };
}

enum strans_input strans_input_of(unsigned status)
{
    assert(status >= 100 && status <= 699);
    return status < 200 ? STRANS_PROVISIONAL : status < 300 ? STRANS_SUCCESS : STRANS_FAILURE;
}

bool strans_accepts(const struct strans *st, enum strans_input input)
{
    return rules[st->state][input].next != STRANS_NONE;
}

static void start_timers(struct strans *st, unsigned effects, instant now)
{
    bool is_invite = st->state < STRANS_TRYING;

    if (!is_invite)
        st->resend_at = NEVER;
    if (effects & STRANS_START_RESEND && st->is_reliable) {
        st->resend_at = NEVER;
    } else if (effects & STRANS_START_RESEND) {
        st->resend_after = st->resend_after ? 2 * st->resend_after : T1 / MS(1);
        if (st->resend_after > T2 / MS(1))
            st->resend_after = T2 / MS(1);
        st->resend_at = now + MS(st->resend_after);
    }
    if (effects & STRANS_START_LONG) /* timer J is 0 on a stream: 17.2.2 */
        st->end_at = st->is_reliable && !is_invite ? now : now + 64 * T1;
    if (st->state == STRANS_ACCEPTED && fault_is(FAULT_ACCEPTED_KEPT))
        st->end_at = now + 640 * T1;
    if (effects & STRANS_START_SHORT) {
        st->resend_at = NEVER;
        st->end_at = st->is_reliable ? now : now + T4;
    }
}

unsigned strans_step(struct strans *st, enum strans_input input, instant now)
{
    assert(input < STRANS_INPUT_COUNT);

    const struct rule *rule = &rules[st->state][input];
    if (rule->next == STRANS_NONE)
        return 0;
    st->state = rule->next;
    start_timers(st, rule->effects, now);
    return rule->effects;
}

enum strans_input strans_due(const struct strans *st, instant now)
{
    if (now >= st->end_at)
        return STRANS_END_DUE;
    if (now >= st->resend_at)
        return STRANS_RESEND_DUE;
    return STRANS_INPUT_COUNT;
}
