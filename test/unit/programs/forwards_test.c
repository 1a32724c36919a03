/* When a router is asked for which port, by a clock that is turned by hand. */
#include "programs/router_forwards.h"

#include "programs/router_portmap.h"
#include "unit.h"

static struct forwards f;
static const instant start = SECONDS(1000);

static int begin(void **state)
{
    (void)state;
    forwards_clear(&f);
    assert_true(forwards_add(&f, PORTMAP_UDP, 5060));
    assert_true(forwards_add(&f, PORTMAP_TCP, 5060));
    assert_true(forwards_add_media(&f, 20000, 20019));
    forwards_lose(&f, start);
    return 0;
}

/* Asks for all that may be asked for now. */
static unsigned ask(instant now)
{
    struct forward *forward;
    unsigned asked = 0;

    while ((forward = forwards_next(&f, now))) {
        forward_asked(forward, now);
        asked++;
    }
    return asked;
}

/* The router forwards all, but for one port. */
static void hold_but(unsigned port)
{
    while (ask(start))
        for (unsigned i = 0; i < f.count; i++) {
            if (f.at[i].state != FORWARD_ASKED)
                continue;
            if (f.at[i].port == port)
                forward_refused(&f, &f.at[i], 8, start);
            else
                forward_held(&f.at[i], FORWARD_LIFE, start);
        }
}

static void few_are_asked_for_at_a_time(void **state)
{
    (void)state;
    assert_int_equal(ask(start), FORWARDS_AT_ONCE);
    assert_int_equal(ask(start), 0);
    forward_held(&f.at[0], FORWARD_LIFE, start);
    assert_int_equal(ask(start), 1);
}

static void what_is_not_answered_is_asked_again_and_given_up(void **state)
{
    unsigned asked = 0;
    instant now = start;

    (void)state;
    f.count = FORWARDS_AT_ONCE + 1;
    for (unsigned n = 0; n < 1000 && forwards_count(&f).waiting; n++) {
        now = max_u64(now, forwards_deadline(&f));
        asked += ask(now);
    }
    assert_true(now == start + SECONDS(30));
    assert_int_equal(forwards_count(&f).unheard, f.count);
    assert_int_equal(asked, 4 * f.count);
}

static void what_is_held_is_renewed_at_the_half(void **state)
{
    (void)state;
    hold_but(0);
    assert_int_equal(forwards_count(&f).held, f.count);
    assert_true(forwards_deadline(&f) == start + SECONDS(FORWARD_LIFE / 2));
    assert_null(forwards_next(&f, start + SECONDS(FORWARD_LIFE / 2) - 1));
    assert_non_null(forwards_next(&f, start + SECONDS(FORWARD_LIFE / 2)));
}

static void the_longest_run_of_media_counts(void **state)
{
    struct forwards_sum sum;

    (void)state;
    hold_but(20005);
    sum = forwards_count(&f);
    assert_int_equal(sum.refused, 1);
    assert_int_equal(sum.first, 20006);
    assert_int_equal(sum.last, 20019);
}

static void a_router_that_forgot_is_asked_for_all_at_once(void **state)
{
    (void)state;
    hold_but(0);
    forwards_lose(&f, start + SECONDS(5));
    assert_int_equal(forwards_count(&f).held, 0);
    assert_int_equal(forwards_count(&f).first, 0);
    assert_int_equal(ask(start + SECONDS(5)), FORWARDS_AT_ONCE);
}

static void there_is_a_limit(void **state)
{
    (void)state;
    forwards_clear(&f);
    assert_false(forwards_add_media(&f, 10000, 20000));
    assert_int_equal(f.count, FORWARDS_LIMIT);
    assert_null(forwards_find(&f, PORTMAP_TCP, 10000));
    assert_non_null(forwards_find(&f, PORTMAP_UDP, 10000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(few_are_asked_for_at_a_time, begin),
        cmocka_unit_test_setup(what_is_not_answered_is_asked_again_and_given_up, begin),
        cmocka_unit_test_setup(what_is_held_is_renewed_at_the_half, begin),
        cmocka_unit_test_setup(the_longest_run_of_media_counts, begin),
        cmocka_unit_test_setup(a_router_that_forgot_is_asked_for_all_at_once, begin),
        cmocka_unit_test_setup(there_is_a_limit, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
