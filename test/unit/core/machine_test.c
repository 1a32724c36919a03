/* The transaction machines against virtual time (RFC 3261 17, RFC 6026). */
#include "unit.h"

#include "core/ctrans.h"

#define TIMER_C SECONDS(185)

static void a_failure_is_resent_until_timer_h(void **state)
{
    static const unsigned seconds_times_ten[] = {5, 15, 35, 75, 115, 155, 195, 235, 275, 315};
    struct strans st;
    instant start = SECONDS(100);

    (void)state;
    strans_init(&st, true, false, 0);
    assert_int_equal(strans_step(&st, STRANS_FAILURE, start) & STRANS_SEND, STRANS_SEND);
    for (unsigned i = 0; i < COUNT_OF(seconds_times_ten); i++) {
        instant due = strans_deadline(&st);
        assert_true(due == start + MS(100 * seconds_times_ten[i]));
        assert_int_equal(strans_due(&st, due), STRANS_RESEND_DUE);
        assert_true(strans_step(&st, STRANS_RESEND_DUE, due) & STRANS_SEND);
    }
    assert_true(strans_deadline(&st) == start + 64 * T1);
    assert_true(strans_step(&st, STRANS_END_DUE, start + 64 * T1) & STRANS_TIMED_OUT);
    assert_int_equal(st.state, STRANS_TERMINATED);
}

/* RFC 4320 4.1 */
static void a_request_without_an_answer_is_told_100_after_three_and_a_half_seconds(void **state)
{
    struct strans st;

    (void)state;
    strans_init(&st, false, false, SECONDS(1));
    assert_true(strans_deadline(&st) == SECONDS(1) + MS(3500));
    assert_int_equal(strans_due(&st, SECONDS(1) + MS(3500)), STRANS_RESEND_DUE);
    assert_int_equal(strans_step(&st, STRANS_RESEND_DUE, SECONDS(1) + MS(3500)), STRANS_IS_SLOW);
    assert_true(strans_deadline(&st) == NEVER);
    strans_init(&st, false, false, SECONDS(1));
    strans_step(&st, STRANS_SUCCESS, SECONDS(2));
    assert_true(strans_deadline(&st) == SECONDS(2) + 64 * T1);
    strans_init(&st, true, false, SECONDS(1));
    assert_true(strans_deadline(&st) == NEVER);
}

static void an_ack_ends_resending(void **state)
{
    struct strans st;

    (void)state;
    strans_init(&st, true, false, 0);
    strans_step(&st, STRANS_FAILURE, 0);
    strans_step(&st, STRANS_ACK, MS(100));
    assert_int_equal(st.state, STRANS_CONFIRMED);
    assert_true(strans_deadline(&st) == MS(5100));
}

static void no_second_kind_of_final_is_accepted(void **state)
{
    struct strans st;

    (void)state;
    strans_init(&st, true, false, 0);
    strans_step(&st, STRANS_FAILURE, 0);
    assert_false(strans_accepts(&st, STRANS_SUCCESS));
    assert_false(strans_accepts(&st, STRANS_FAILURE));
    strans_init(&st, true, false, 0);
    strans_step(&st, STRANS_SUCCESS, 0);
    assert_true(strans_accepts(&st, STRANS_SUCCESS));
    assert_false(strans_accepts(&st, STRANS_FAILURE));
}

static void an_invite_doubles_timer_a_and_fails_at_32_seconds(void **state)
{
    struct ctrans ct;
    unsigned sent = 1;

    (void)state;
    ctrans_init(&ct, true, false, 0);
    while (ctrans_due(&ct, ctrans_deadline(&ct)) == CTRANS_RESEND_DUE) {
        assert_true(ctrans_step(&ct, CTRANS_RESEND_DUE, ctrans_deadline(&ct), TIMER_C) &
                    CTRANS_SEND);
        sent++;
    }
    assert_int_equal(sent, 7); /* 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s */
    assert_true(ctrans_deadline(&ct) == 64 * T1);
    assert_true(ctrans_step(&ct, CTRANS_END_DUE, 64 * T1, TIMER_C) & CTRANS_FAILED);
}

static void a_non_invite_is_sent_eleven_times(void **state)
{
    struct ctrans ct;
    unsigned sent = 1;

    (void)state;
    ctrans_init(&ct, false, false, 0);
    while (ctrans_due(&ct, ctrans_deadline(&ct)) == CTRANS_RESEND_DUE) {
        ctrans_step(&ct, CTRANS_RESEND_DUE, ctrans_deadline(&ct), TIMER_C);
        sent++;
    }
    assert_int_equal(sent, 11); /* 17.1.2.2 */
    assert_true(ctrans_deadline(&ct) == 64 * T1);
}

static void timer_c_begins_anew_with_each_1xx_but_not_once_cancelled(void **state)
{
    struct ctrans ct;

    (void)state;
    ctrans_init(&ct, true, false, 0);
    ctrans_step(&ct, CTRANS_PROVISIONAL, SECONDS(1), TIMER_C);
    ctrans_step(&ct, CTRANS_PROVISIONAL, SECONDS(60), TIMER_C);
    assert_true(ctrans_deadline(&ct) == SECONDS(245));
    ctrans_hurry(&ct, SECONDS(70));
    ctrans_step(&ct, CTRANS_PROVISIONAL, SECONDS(80), TIMER_C);
    assert_true(ctrans_deadline(&ct) == SECONDS(70) + 64 * T1);
    assert_true(ctrans_step(&ct, CTRANS_END_DUE, SECONDS(102), TIMER_C) & CTRANS_EXPIRED);
}

/* 17.1.1.2, 17.1.2.2, 17.2.1, 17.2.2: where the transport repeats, the transactions do not. */
static void on_a_stream_nothing_is_sent_again_nor_waited_for(void **state)
{
    struct strans st;
    struct ctrans ct;

    (void)state;
    strans_init(&st, true, true, 0);
    strans_step(&st, STRANS_FAILURE, 0);
    assert_true(strans_deadline(&st) == 64 * T1);
    strans_step(&st, STRANS_ACK, MS(100));
    assert_true(strans_deadline(&st) == MS(100));
    strans_init(&st, false, true, 0);
    strans_step(&st, STRANS_SUCCESS, MS(100));
    assert_true(strans_deadline(&st) == MS(100));
    ctrans_init(&ct, true, true, 0);
    assert_true(ctrans_deadline(&ct) == 64 * T1);
    ctrans_step(&ct, CTRANS_FAILURE, MS(100), TIMER_C);
    assert_true(ctrans_deadline(&ct) == MS(100));
    ctrans_init(&ct, false, true, 0);
    assert_true(ctrans_deadline(&ct) == 64 * T1);
    ctrans_step(&ct, CTRANS_SUCCESS, MS(100), TIMER_C);
    assert_true(ctrans_deadline(&ct) == MS(100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_resent_until_timer_h),
        cmocka_unit_test(a_request_without_an_answer_is_told_100_after_three_and_a_half_seconds),
        cmocka_unit_test(an_ack_ends_resending),
        cmocka_unit_test(no_second_kind_of_final_is_accepted),
        cmocka_unit_test(an_invite_doubles_timer_a_and_fails_at_32_seconds),
        cmocka_unit_test(a_non_invite_is_sent_eleven_times),
        cmocka_unit_test(timer_c_begins_anew_with_each_1xx_but_not_once_cancelled),
        cmocka_unit_test(on_a_stream_nothing_is_sent_again_nor_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
