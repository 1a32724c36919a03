#include "core/ctrans.h"

#include "core/fault.h"

struct rule {
    uint8_t next; /* enum ctrans_state */
    uint16_t effects;
};

/* The figures in the RFCs.  An absent rule means: stay, do nothing. */
/* clang-format off */
#define SEND CTRANS_SEND
#define ACK CTRANS_SEND_ACK
#define PASS CTRANS_PASS
#define FAIL (CTRANS_FAILED | CTRANS_ENDED)
#define AGAIN CTRANS_START_RESEND
#define C CTRANS_START_C
#define LONG CTRANS_START_LONG
#define SHORT CTRANS_START_SHORT
static const struct rule rules[CTRANS_STATE_COUNT][CTRANS_INPUT_COUNT] = {
    [CTRANS_CALLING] = {
        [CTRANS_PROVISIONAL] = {CTRANS_PROCEEDING, PASS | C},
        [CTRANS_SUCCESS]     = {CTRANS_ACCEPTED,   PASS | LONG},
        [CTRANS_FAILURE]     = {CTRANS_COMPLETED,  ACK | PASS | LONG},
        [CTRANS_UNREACHED]   = {CTRANS_TERMINATED, FAIL},
        [CTRANS_RESEND_DUE]  = {CTRANS_CALLING,    SEND | AGAIN},
        [CTRANS_END_DUE]     = {CTRANS_TERMINATED, FAIL},
    },
    [CTRANS_PROCEEDING] = {
        [CTRANS_PROVISIONAL] = {CTRANS_PROCEEDING, PASS | C},
        [CTRANS_SUCCESS]     = {CTRANS_ACCEPTED,   PASS | LONG},
        [CTRANS_FAILURE]     = {CTRANS_COMPLETED,  ACK | PASS | LONG},
        [CTRANS_END_DUE]     = {CTRANS_PROCEEDING, CTRANS_EXPIRED},
    },
    [CTRANS_ACCEPTED] = {
        [CTRANS_SUCCESS]     = {CTRANS_ACCEPTED,   PASS},
        [CTRANS_END_DUE]     = {CTRANS_TERMINATED, CTRANS_ENDED},
    },
    [CTRANS_COMPLETED] = {
        [CTRANS_FAILURE]     = {CTRANS_COMPLETED,  ACK},
        [CTRANS_END_DUE]     = {CTRANS_TERMINATED, CTRANS_ENDED},
    },
    [CTRANS_TRYING] = {
        [CTRANS_PROVISIONAL] = {CTRANS_PENDING,    PASS},
        [CTRANS_SUCCESS]     = {CTRANS_ANSWERED,   PASS | SHORT},
        [CTRANS_FAILURE]     = {CTRANS_ANSWERED,   PASS | SHORT},
        [CTRANS_UNREACHED]   = {CTRANS_TERMINATED, FAIL},
        [CTRANS_RESEND_DUE]  = {CTRANS_TRYING,     SEND | AGAIN},
        [CTRANS_END_DUE]     = {CTRANS_TERMINATED, FAIL},
    },
    [CTRANS_PENDING] = {
        [CTRANS_PROVISIONAL] = {CTRANS_PENDING,    PASS},
        [CTRANS_SUCCESS]     = {CTRANS_ANSWERED,   PASS | SHORT},
        [CTRANS_FAILURE]     = {CTRANS_ANSWERED,   PASS | SHORT},
        [CTRANS_RESEND_DUE]  = {CTRANS_PENDING,    SEND | AGAIN},
        [CTRANS_END_DUE]     = {CTRANS_TERMINATED, FAIL},
    },
    [CTRANS_ANSWERED] = {
        [CTRANS_END_DUE]     = {CTRANS_TERMINATED, CTRANS_ENDED},
    },
};
#undef SEND
#undef ACK
#undef PASS
#undef FAIL
#undef AGAIN
#undef C
#undef LONG
#undef SHORT
/* clang-format on */

static bool is_invite(const struct ctrans *ct)
{
    return ct->state < CTRANS_TRYING;
}

/* Timer A doubles without bound, timer E up to T2 and is T2 once a 1xx came (17.1.2.2). */
static void start_resend(struct ctrans *ct, instant now)
{
    if (ct->is_reliable || fault_is(FAULT_TIMER_DROPPED)) {
        ct->resend_at = NEVER;
        return;
    }
    ct->resend_after = ct->resend_after ? 2 * ct->resend_after : T1 / MS(1);
    if (!is_invite(ct) && (ct->resend_after > T2 / MS(1) || ct->state == CTRANS_PENDING))
        ct->resend_after = T2 / MS(1);
    ct->resend_at = now + MS(ct->resend_after);
}

void ctrans_init(struct ctrans *ct, bool invite, bool is_reliable, instant now)
{
    *ct = (struct ctrans){
        .state = invite ? CTRANS_CALLING : CTRANS_TRYING,
        .is_reliable = is_reliable,
        .resend_at = NEVER,
        .end_at = now + 64 * T1, /* B or F */
    };
    start_resend(ct, now);
}

enum ctrans_input ctrans_input_of(unsigned status)
{
    assert(status >= 100 && status <= 699);
    return status < 200 ? CTRANS_PROVISIONAL : status < 300 ? CTRANS_SUCCESS : CTRANS_FAILURE;
}

static void start_timers(struct ctrans *ct, unsigned effects, instant now, duration timer_c)
{
    if (effects & CTRANS_START_RESEND)
        start_resend(ct, now);
    else if (!(effects & CTRANS_SEND) && ct->state != CTRANS_PENDING)
        ct->resend_at = NEVER;
    if (effects & CTRANS_START_C && !ct->is_hurried)
        ct->end_at = now + timer_c;
    if (effects & CTRANS_START_LONG) /* timer D is 0 on a stream, M is not */
        ct->end_at = ct->is_reliable && ct->state == CTRANS_COMPLETED ? now : now + 64 * T1;
    if (effects & CTRANS_START_SHORT)
        ct->end_at = ct->is_reliable ? now : now + T4;
}

unsigned ctrans_step(struct ctrans *ct, enum ctrans_input input, instant now, duration timer_c)
{
    assert(input < CTRANS_INPUT_COUNT);

    const struct rule *rule = &rules[ct->state][input];
    if (rule->next == CTRANS_NONE)
        return 0;
    ct->state = rule->next;
    start_timers(ct, rule->effects, now, timer_c);
    if (rule->effects & CTRANS_EXPIRED)
        ct->end_at = NEVER;
    return rule->effects;
}

enum ctrans_input ctrans_due(const struct ctrans *ct, instant now)
{
    if (now >= ct->end_at)
        return CTRANS_END_DUE;
    if (now >= ct->resend_at)
        return CTRANS_RESEND_DUE;
    return CTRANS_INPUT_COUNT;
}

void ctrans_hurry(struct ctrans *ct, instant now)
{
    ct->is_hurried = true;
    ct->end_at = min_u64(ct->end_at, now + 64 * T1);
}
