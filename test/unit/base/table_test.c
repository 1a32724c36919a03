#include "unit.h"

#include "base/table.h"

#define ITEM_LIMIT 500u

struct item {
    uint64_t before;
    struct table_link link;
    bool is_in;
};

static _Alignas(64) char memory[1 << 16];
static struct item items[ITEM_LIMIT + 1];

static struct table empty_table(uint32_t limit)
{
    struct arena a = arena_over(memory, sizeof memory);
    struct table t;

    memset(memory, 0, sizeof memory);
    memset(items, 0, sizeof items);
    table_init(&t, &a, limit, items, sizeof *items, offsetof(struct item, link));
    assert_true(a.used <= table_bytes(limit));
    return t;
}

static void an_empty_table_finds_nothing(void **state)
{
    struct table t = empty_table(ITEM_LIMIT);

    (void)state;
    assert_int_equal(table_first(&t, 0), 0);
    assert_int_equal(table_first(&t, UINT32_MAX), 0);
}

static void all_items_of_a_hash_are_found_and_no_others(void **state)
{
    struct table t = empty_table(ITEM_LIMIT);
    unsigned seen = 0;

    (void)state;
    table_insert(&t, 1, 7);
    table_insert(&t, 2, 7 + 16); /* the same bucket */
    table_insert(&t, 3, 7);
    for (uint32_t i = table_first(&t, 7); i; i = table_next(&t, i))
        seen |= 1u << i;
    assert_int_equal(seen, 1u << 1 | 1u << 3);
    table_remove(&t, 1);
    assert_int_equal(table_first(&t, 7), 3);
    assert_int_equal(table_next(&t, 3), 0);
}

static void one_hash_for_all_items_still_finds_each(void **state)
{
    struct table t = empty_table(ITEM_LIMIT);
    unsigned found = 0;

    (void)state;
    for (uint32_t i = 1; i <= ITEM_LIMIT; i++)
        table_insert(&t, i, 0xdead);
    for (uint32_t i = table_first(&t, 0xdead); i; i = table_next(&t, i))
        found++;
    assert_int_equal(found, ITEM_LIMIT);
}

static void check(const struct table *t, uint32_t hash, const uint32_t *hashes)
{
    bool seen[ITEM_LIMIT + 1] = {false};

    for (uint32_t i = table_first(t, hash); i; i = table_next(t, i)) {
        assert_false(seen[i]);
        seen[i] = true;
    }
    for (uint32_t i = 1; i <= ITEM_LIMIT; i++)
        assert_int_equal(seen[i], items[i].is_in && hashes[i] == hash);
}

/* Grows and shrinks in waves, so that all splits happen with items in the buckets. */
static void a_table_agrees_with_a_naive_model(void **state)
{
    static uint32_t hashes[ITEM_LIMIT + 1];
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);
    struct table t = empty_table(ITEM_LIMIT);
    uint32_t count = 0;

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        uint32_t i = 1 + (uint32_t)draw_below(&seed, ITEM_LIMIT);
        bool is_growing = step / 2000 % 2 == 0;
        if (items[i].is_in && (!is_growing || draw_below(&seed, 4) == 0)) {
            table_remove(&t, i);
            items[i].is_in = false;
            count--;
        } else if (!items[i].is_in && (is_growing || draw_below(&seed, 4) == 0)) {
            hashes[i] = (uint32_t)draw(&seed) & (draw_below(&seed, 2) ? 0x1f : UINT32_MAX);
            table_insert(&t, i, hashes[i]);
            items[i].is_in = true;
            count++;
        }
        assert_int_equal(t.count, count);
        check(&t, items[i].is_in ? hashes[i] : (uint32_t)draw_below(&seed, 32), hashes);
    }
}

static void a_table_of_one_item_works(void **state)
{
    struct table t = empty_table(1);

    (void)state;
    table_insert(&t, 1, 42);
    assert_int_equal(table_first(&t, 42), 1);
    table_remove(&t, 1);
    assert_int_equal(table_first(&t, 42), 0);
}

int main(void)
{
    RUN(cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(all_items_of_a_hash_are_found_and_no_others),
        cmocka_unit_test(one_hash_for_all_items_still_finds_each),
        cmocka_unit_test(a_table_agrees_with_a_naive_model),
        cmocka_unit_test(a_table_of_one_item_works));
}
