#include "unit.h"

#include "base/random.h"

static const struct hash_key seed = {1, 2};

static void the_same_seed_gives_the_same_stream(void **state)
{
    struct random a = random_seeded(seed);
    struct random b = random_seeded(seed);

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(random_next(&a) == random_next(&b));
}

static void another_seed_gives_another_stream(void **state)
{
    struct random a = random_seeded(seed);
    struct random b = random_seeded((struct hash_key){1, 3});
    int same = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        same += random_next(&a) == random_next(&b);
    assert_int_equal(same, 0);
}

static void numbers_stay_below_their_limit_and_reach_all_of_it(void **state)
{
    struct random stream = random_seeded(seed);
    unsigned seen[10] = {0};

    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint64_t n = random_below(&stream, COUNT_OF(seen));
        assert_true(n < COUNT_OF(seen));
        seen[n]++;
    }
    for (unsigned i = 0; i < COUNT_OF(seen); i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(random_below(&stream, 1), 0);
}

int main(void)
{
    RUN(cmocka_unit_test(the_same_seed_gives_the_same_stream),
        cmocka_unit_test(another_seed_gives_another_stream),
        cmocka_unit_test(numbers_stay_below_their_limit_and_reach_all_of_it));
}
