#include "unit.h"

#include "base/timers.h"

#define YEAR SECONDS(365 * 24 * 3600)

static struct timers wheel;

static void a_timer_fires_at_its_instant_or_a_tick_later(void **state)
{
    static const duration after[] = {
        0, 1, TIMER_TICK, MS(500), SECONDS(1), SECONDS(32), SECONDS(3600), YEAR, 69 * YEAR};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(after); i++) {
        instant now = 12345;
        instant due = now + after[i];
        struct timer t = {0};
        timers_init(&wheel, now);
        timer_set(&wheel, &t, due);
        if (due > now)
            assert_null(timers_expire(&wheel, due - 1));
        assert_ptr_equal(timers_expire(&wheel, due + TIMER_TICK), &t);
        assert_false(timer_is_set(&t));
        assert_null(timers_expire(&wheel, due + TIMER_TICK));
        assert_true(timers_deadline(&wheel) == NEVER);
    }
}

static void a_timer_in_the_past_fires_at_once(void **state)
{
    struct timer t = {0};

    (void)state;
    timers_init(&wheel, SECONDS(100));
    assert_null(timers_expire(&wheel, SECONDS(200)));
    timer_set(&wheel, &t, SECONDS(50));
    assert_true(timers_deadline(&wheel) <= SECONDS(200));
    assert_ptr_equal(timers_expire(&wheel, SECONDS(200)), &t);
}

static void a_cleared_timer_does_not_fire(void **state)
{
    struct timer t = {0};

    (void)state;
    timers_init(&wheel, 0);
    timer_set(&wheel, &t, SECONDS(1));
    timer_clear(&wheel, &t);
    timer_clear(&wheel, &t);
    assert_int_equal(wheel.count, 0);
    assert_null(timers_expire(&wheel, SECONDS(2)));
}

static void setting_a_timer_again_moves_it(void **state)
{
    struct timer t = {0};

    (void)state;
    timers_init(&wheel, 0);
    timer_set(&wheel, &t, SECONDS(1));
    timer_set(&wheel, &t, SECONDS(3));
    assert_int_equal(wheel.count, 1);
    assert_null(timers_expire(&wheel, SECONDS(2)));
    assert_ptr_equal(timers_expire(&wheel, SECONDS(4)), &t);
}

static void a_timer_can_be_set_anew_while_others_of_its_tick_wait(void **state)
{
    struct timer t[2] = {{0}, {0}};
    struct timer *first;

    (void)state;
    timers_init(&wheel, 0);
    timer_set(&wheel, &t[0], SECONDS(1));
    timer_set(&wheel, &t[1], SECONDS(1));
    first = timers_expire(&wheel, SECONDS(2));
    timer_set(&wheel, first, SECONDS(1));
    assert_non_null(timers_expire(&wheel, SECONDS(2)));
    assert_non_null(timers_expire(&wheel, SECONDS(2)));
    assert_null(timers_expire(&wheel, SECONDS(2)));
}

static void a_timer_beyond_the_wheels_is_cut_to_seventy_years(void **state)
{
    struct timer t = {0};

    (void)state;
    timers_init(&wheel, 0);
    timer_set(&wheel, &t, NEVER);
    assert_null(timers_expire(&wheel, 70 * YEAR));
    assert_ptr_equal(timers_expire(&wheel, 80 * YEAR), &t);
}

static void the_kind_is_the_users(void **state)
{
    struct timer t = {.kind = 42};

    (void)state;
    timers_init(&wheel, 0);
    timer_set(&wheel, &t, SECONDS(1));
    assert_int_equal(timers_expire(&wheel, SECONDS(2))->kind, 42);
}

#define TIMERS 200u

static struct timer model[TIMERS];
static instant dues[TIMERS]; /* NEVER = not set */

/* Nothing fires early, nothing that is a tick late is left, and the deadline is never late. */
static void expire_and_check(instant now)
{
    struct timer *fired;

    while ((fired = timers_expire(&wheel, now))) {
        unsigned i = (unsigned)(fired - model);
        assert_true(dues[i] <= now);
        dues[i] = NEVER;
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        assert_int_equal(timer_is_set(&model[i]), dues[i] != NEVER);
        if (dues[i] != NEVER) {
            assert_true(dues[i] + TIMER_TICK > now);
            assert_true(timers_deadline(&wheel) <= dues[i] + TIMER_TICK);
        }
    }
}

static void the_wheels_agree_with_a_naive_model(void **state)
{
    uint64_t seed = UINT64_C(0x853c49e6748fea9b);
    instant now = draw_below(&seed, YEAR);
    uint32_t count = 0;

    (void)state;
    timers_init(&wheel, now);
    memset(dues, 0xff, sizeof dues);
    for (unsigned step = 0; step < 30000; step++) {
        unsigned i = (unsigned)draw_below(&seed, TIMERS);
        if (draw_below(&seed, 4)) {
            dues[i] = now + draw_below(&seed, UINT64_C(1) << (10 + draw_below(&seed, 46)));
            timer_set(&wheel, &model[i], dues[i]);
        } else {
            dues[i] = NEVER;
            timer_clear(&wheel, &model[i]);
        }
        if (draw_below(&seed, 3) == 0)
            now += draw_below(&seed, UINT64_C(1) << (10 + draw_below(&seed, 40)));
        expire_and_check(now);
        count = 0;
        for (unsigned j = 0; j < TIMERS; j++)
            count += dues[j] != NEVER;
        assert_int_equal(wheel.count, count);
    }
}

/* Who sleeps until the deadline each time gets every timer on time, after few wakings. */
static void sleeping_from_deadline_to_deadline_fires_all_on_time(void **state)
{
    uint64_t seed = UINT64_C(0xda3e39cb94b95bdb);
    instant now = 0;
    unsigned wakings = 0, fired = 0;

    (void)state;
    timers_init(&wheel, now);
    for (unsigned i = 0; i < TIMERS; i++) {
        dues[i] = draw_below(&seed, UINT64_C(1) << (20 + draw_below(&seed, 36)));
        timer_set(&wheel, &model[i], dues[i]);
    }
    while ((now = max_u64(now, timers_deadline(&wheel))) != NEVER) {
        struct timer *t;
        wakings++;
        while ((t = timers_expire(&wheel, now))) {
            instant due = dues[t - model];
            assert_true(due <= now && now < due + TIMER_TICK);
            fired++;
        }
        assert_true(wakings < TIMERS * (TIMER_WHEELS + 1));
    }
    assert_int_equal(fired, TIMERS);
}

int main(void)
{
    RUN(cmocka_unit_test(a_timer_fires_at_its_instant_or_a_tick_later),
        cmocka_unit_test(a_timer_in_the_past_fires_at_once),
        cmocka_unit_test(a_cleared_timer_does_not_fire),
        cmocka_unit_test(setting_a_timer_again_moves_it),
        cmocka_unit_test(a_timer_can_be_set_anew_while_others_of_its_tick_wait),
        cmocka_unit_test(a_timer_beyond_the_wheels_is_cut_to_seventy_years),
        cmocka_unit_test(the_kind_is_the_users),
        cmocka_unit_test(the_wheels_agree_with_a_naive_model),
        cmocka_unit_test(sleeping_from_deadline_to_deadline_fires_all_on_time));
}
