#include "core/ports.h"

#include "unit.h"

static struct random dice(void)
{
    return random_seeded((struct hash_key){1, 2});
}

static void ports_are_even_and_of_the_range(void **state)
{
    static struct ports ports;
    struct random random = dice();
    bool is_seen[1000] = {0};

    (void)state;
    ports_init(&ports, 10001, 10202, UINT32_MAX); /* 10002 to 10201 */
    for (unsigned i = 0; i < 100; i++) {
        uint16_t port = ports_take(&ports, 1, &random);
        assert_true(port >= 10002 && port <= 10200 && port % 2 == 0);
        assert_false(is_seen[port - 10000]);
        is_seen[port - 10000] = true;
    }
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    assert_int_equal(ports.taken, 100);
}

static void pairs_follow_each_other(void **state)
{
    static struct ports ports;
    struct random random = dice();
    uint16_t port;

    (void)state;
    ports_init(&ports, 20000, 20007, UINT32_MAX);
    assert_true(ports_claim(&ports, 20002, 1));
    port = ports_take(&ports, 2, &random);
    assert_int_equal(port, 20004);
    assert_int_equal(ports_take(&ports, 2, &random), 0);
    assert_int_equal(ports_take(&ports, 1, &random), 20000);
    ports_give(&ports, 20004, 2);
    assert_int_equal(ports_take(&ports, 2, &random), 20004);
}

static void the_limit_counts_before_the_range(void **state)
{
    static struct ports ports;
    struct random random = dice();

    (void)state;
    ports_init(&ports, 20000, 29999, 3);
    assert_true(ports_take(&ports, 2, &random) > 0);
    assert_int_equal(ports_take(&ports, 2, &random), 0);
    assert_true(ports_take(&ports, 1, &random) > 0);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
}

static void a_limit_that_sinks_takes_nothing_away(void **state)
{
    static struct ports ports;
    struct random random = dice();
    uint16_t first, second;

    (void)state;
    ports_init(&ports, 20000, 20009, UINT32_MAX);
    first = ports_take(&ports, 1, &random);
    second = ports_take(&ports, 1, &random);
    ports_bound(&ports, 1);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    ports_give(&ports, first, 1);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    ports_give(&ports, second, 1);
    assert_true(ports_take(&ports, 1, &random) > 0);
    ports_bound(&ports, UINT32_MAX);
    assert_int_equal(ports.limit, 5);
}

static void what_a_former_run_had_is_claimed_once(void **state)
{
    static struct ports ports;

    (void)state;
    ports_init(&ports, 20000, 20009, UINT32_MAX);
    assert_true(ports_claim(&ports, 20002, 2));
    assert_false(ports_claim(&ports, 20004, 1));
    assert_false(ports_claim(&ports, 20007, 1));
    assert_false(ports_claim(&ports, 20008, 2));
    assert_false(ports_claim(&ports, 19998, 1));
    assert_false(ports_claim(&ports, 20000, 0));
    assert_true(ports_claim(&ports, 20008, 1));
}

/* One of two, for its time and no longer. */
static void check_rest(struct random *random)
{
    static struct ports ports;
    instant given = SECONDS(100), woken = given + PORT_REST - 1;
    uint16_t first, other;

    ports_init(&ports, 20000, 20003, UINT32_MAX);
    ports_wake(&ports, given);
    first = ports_take(&ports, 1, random);
    ports_give(&ports, first, 1);
    for (unsigned i = 0; i < 3; i++) /* it does not matter how often */
        ports_wake(&ports, woken);
    other = ports_take(&ports, 1, random);
    assert_int_not_equal(other, first);
    ports_wake(&ports, ++woken);
    ports_give(&ports, other, 1);
    ports_wake(&ports, woken + PORT_REST); /* now the other rests */
    assert_int_equal(ports_take(&ports, 1, random), first);
}

static void what_was_given_back_rests(void **state)
{
    struct random random = dice();

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        check_rest(&random);
}

static void ports_that_rest_are_better_than_none(void **state)
{
    static struct ports ports;
    struct random random = dice();
    uint16_t first;

    (void)state;
    ports_init(&ports, 20000, 20003, UINT32_MAX);
    first = ports_take(&ports, 1, &random);
    ports_give(&ports, first, 1);
    assert_int_not_equal(ports_take(&ports, 1, &random), first);
    assert_int_equal(ports_take(&ports, 1, &random), first);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
}

static void odd_ranges_have_no_port_0_and_none_outside(void **state)
{
    static struct ports ports;
    struct random random = dice();

    (void)state;
    ports_init(&ports, 0, 3, UINT32_MAX);
    assert_int_equal(ports_take(&ports, 1, &random), 2);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    ports_init(&ports, 65533, 65535, UINT32_MAX);
    assert_int_equal(ports_take(&ports, 1, &random), 65534);
    ports_init(&ports, 5000, 5000, UINT32_MAX);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    ports_init(&ports, 5000, 4000, UINT32_MAX);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
}

static void nobody_can_tell_the_next_from_the_last(void **state)
{
    static struct ports ports;
    struct random random = dice();
    unsigned near = 0;
    uint16_t last = 30000;

    (void)state;
    ports_init(&ports, 16384, 65535, UINT32_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        uint16_t port = ports_take(&ports, 1, &random);
        near += port > last ? port - last < 64 : last - port < 64;
        last = port;
    }
    assert_true(near < 20);
}

static void a_pair_that_another_program_has_is_avoided(void **state)
{
    static struct ports ports;
    struct random random = dice();

    (void)state;
    ports_init(&ports, 20000, 20005, UINT32_MAX);
    ports_avoid(&ports, 20003);
    assert_int_equal(ports_take(&ports, 2, &random), 0);
    assert_int_not_equal(ports_take(&ports, 1, &random), 20002);
    assert_int_not_equal(ports_take(&ports, 1, &random), 20002);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    assert_true(ports_claim(&ports, 20002, 1)); /* a former run had it: it may be free */
    ports_give(&ports, 20002, 1);
    ports_retry(&ports);
    assert_int_equal(ports_take(&ports, 1, &random), 20002);
}

static void a_part_of_the_range_may_be_all_that_is_taken(void **state)
{
    static struct ports ports;
    struct random random = dice();

    (void)state;
    ports_init(&ports, 20000, 20099, UINT32_MAX);
    assert_true(ports_claim(&ports, 20000, 1)); /* it stays, wherever it is */
    ports_narrow(&ports, 20010, 20014);         /* of the last pair one alone is in it */
    assert_int_equal(ports_take(&ports, 3, &random), 0);
    assert_int_equal(ports_take(&ports, 2, &random), 20010);
    assert_int_equal(ports_take(&ports, 1, &random), 0);
    ports_narrow(&ports, 30000, 30010); /* none of ours: all of the range again */
    assert_int_not_equal(ports_take(&ports, 3, &random), 0);
    ports_narrow(&ports, 0, 0);
    assert_int_not_equal(ports_take(&ports, 3, &random), 0);
}

int main(void)
{
    RUN(cmocka_unit_test(ports_are_even_and_of_the_range),
        cmocka_unit_test(pairs_follow_each_other),
        cmocka_unit_test(the_limit_counts_before_the_range),
        cmocka_unit_test(a_limit_that_sinks_takes_nothing_away),
        cmocka_unit_test(what_a_former_run_had_is_claimed_once),
        cmocka_unit_test(what_was_given_back_rests),
        cmocka_unit_test(ports_that_rest_are_better_than_none),
        cmocka_unit_test(odd_ranges_have_no_port_0_and_none_outside),
        cmocka_unit_test(nobody_can_tell_the_next_from_the_last),
        cmocka_unit_test(a_pair_that_another_program_has_is_avoided),
        cmocka_unit_test(a_part_of_the_range_may_be_all_that_is_taken));
}
