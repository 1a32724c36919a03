#include "unit.h"

#include "base/pool.h"
#include "base/slab.h"

#define SEED UINT64_C(0x9e3779b97f4a7c15)

static _Alignas(64) char memory[1 << 20];

static struct arena cleared_arena(size_t limit)
{
    memset(memory, 0, sizeof memory);
    return arena_over(memory, limit);
}

static void an_arena_hands_out_lines_of_its_own_in_order(void **state)
{
    struct arena a = cleared_arena(256);

    (void)state;
    assert_ptr_equal(arena_take(&a, 1), memory);
    assert_ptr_equal(arena_take(&a, 65), memory + 64);
    assert_ptr_equal(arena_take(&a, 64), memory + 192);
    assert_null(arena_take(&a, 1));
}

static void an_arena_refuses_what_does_not_fit_and_goes_on(void **state)
{
    struct arena a = cleared_arena(100);

    (void)state;
    assert_null(arena_take(&a, 101));
    assert_null(arena_take(&a, SIZE_MAX));
    assert_non_null(arena_take(&a, 100));
    assert_null(arena_take(&a, 1));
}

struct item {
    struct pool_item head;
    uint64_t value;
};

#define ITEM_LIMIT 50u

static struct pool item_pool(uint32_t first_generation)
{
    struct arena a = cleared_arena(pool_bytes(sizeof(struct item), ITEM_LIMIT));
    struct pool p;

    pool_init(&p, &a, sizeof(struct item), ITEM_LIMIT, first_generation);
    return p;
}

static void a_pool_gives_cleared_items_up_to_its_limit(void **state)
{
    struct pool p = item_pool(1);

    (void)state;
    for (unsigned i = 0; i < ITEM_LIMIT; i++) {
        struct item *item = pool_take(&p);
        assert_non_null(item);
        assert_int_equal(item->value, 0);
        item->value = 7;
    }
    assert_null(pool_take(&p));
    pool_give(&p, pool_at(&p, 3));
    assert_int_equal(((struct item *)pool_take(&p))->value, 0);
    assert_int_equal(p.live, ITEM_LIMIT);
}

static void an_old_handle_does_not_find_the_next_item_in_its_place(void **state)
{
    struct pool p = item_pool(1);
    struct item *item = pool_take(&p);
    struct handle old = pool_handle(&p, item);

    (void)state;
    assert_ptr_equal(pool_get(&p, old), item);
    pool_give(&p, item);
    assert_null(pool_get(&p, old));
    assert_ptr_equal(pool_take(&p), item);
    assert_null(pool_get(&p, old));
    assert_ptr_equal(pool_get(&p, pool_handle(&p, item)), item);
}

static void no_handle_and_foreign_handles_find_nothing(void **state)
{
    struct pool p = item_pool(5);
    struct item *item = pool_take(&p);

    (void)state;
    assert_null(pool_get(&p, NO_HANDLE));
    assert_null(pool_get(&p, (struct handle){pool_index(&p, item), 4}));
    assert_null(pool_get(&p, (struct handle){ITEM_LIMIT + 1, 5}));
    assert_null(pool_get(&p, (struct handle){UINT32_MAX, 5}));
    assert_null(pool_live_at(&p, 0));
    assert_null(pool_live_at(&p, 2));
}

static void a_generation_that_wraps_is_never_zero(void **state)
{
    struct pool p = item_pool(UINT32_MAX);
    struct item *item = pool_take(&p);

    (void)state;
    pool_give(&p, item);
    item = pool_take(&p);
    assert_int_equal(pool_handle(&p, item).generation, 1);
}

struct kept {
    struct handle handle;
    uint64_t value;
};

/* Every handle ever given out is tried after every step: it finds its item while that is out, and
 * nothing after. */
static void a_pool_agrees_with_a_naive_model(void **state)
{
    static struct kept live[ITEM_LIMIT], dead[1000];
    unsigned live_count = 0, dead_count = 0;
    uint64_t seed = SEED;
    struct pool p = item_pool(1);

    (void)state;
    for (unsigned step = 0; step < 1000; step++) {
        if (draw_below(&seed, 100) < 55) {
            struct item *item = pool_take(&p);
            assert_int_equal(item != NULL, live_count < ITEM_LIMIT);
            if (item) {
                item->value = draw(&seed);
                live[live_count++] = (struct kept){pool_handle(&p, item), item->value};
            }
        } else if (live_count) {
            unsigned i = (unsigned)draw_below(&seed, live_count);
            pool_give(&p, pool_get(&p, live[i].handle));
            dead[dead_count++] = live[i];
            live[i] = live[--live_count];
        }
        assert_int_equal(p.live, live_count);
        for (unsigned i = 0; i < live_count; i++)
            assert_true(((struct item *)pool_get(&p, live[i].handle))->value == live[i].value);
        for (unsigned i = 0; i < dead_count; i++)
            assert_null(pool_get(&p, dead[i].handle));
    }
}

#define TICK_ITEMS 64u /* taken in each tick */
#define SHORT_LIFE 5u  /* ticks: of every other item */
#define LONG_LIFE 32u
#define AGED (20u * LONG_LIFE)

struct tick {
    struct item *items[TICK_ITEMS];
};

/* Gives back those of a tick that end now; how many groups they lie in. */
static unsigned end_items(struct pool *p, struct tick *tick, unsigned first)
{
    static bool seen[8192 / POOL_GROUP];
    unsigned groups = 0;

    memset(seen, 0, sizeof seen);
    for (unsigned i = first; i < TICK_ITEMS; i += 2) {
        unsigned group = pool_index(p, tick->items[i]) / POOL_GROUP;
        groups += !seen[group];
        seen[group] = true;
        pool_give(p, tick->items[i]);
    }
    return groups;
}

/* Transactions of two lives, long after the memory of the first has been used again. */
static void what_begins_together_stays_together(void **state)
{
    static struct tick ticks[LONG_LIFE];
    uint32_t limit = 8000, most_live = 0;
    struct arena a = cleared_arena(pool_bytes(sizeof(struct item), limit));
    unsigned groups = 0;
    struct pool p;

    (void)state;
    pool_init(&p, &a, sizeof(struct item), limit, 1);
    for (unsigned now = 0; now < AGED; now++) {
        struct tick *tick = &ticks[now % LONG_LIFE];
        if (now >= LONG_LIFE)
            groups += end_items(&p, tick, 1);
        if (now >= SHORT_LIFE)
            end_items(&p, &ticks[(now - SHORT_LIFE) % LONG_LIFE], 0);
        for (unsigned i = 0; i < TICK_ITEMS; i++)
            tick->items[i] = pool_take(&p);
        if (p.live > most_live)
            most_live = p.live;
    }
    /* 32 items end in each tick. */
    assert_true(groups < (AGED - LONG_LIFE) * TICK_ITEMS / 2 / 4);
    assert_true(p.used < 2 * most_live + 1024);
}

static struct slab slab_over(size_t bytes)
{
    struct arena a = cleared_arena(bytes);
    struct slab s;

    slab_init(&s, &a, bytes);
    return s;
}

static void a_slab_keeps_a_copy(void **state)
{
    struct slab s = slab_over(4096);
    char text[] = "sip:alice@example.com";
    struct block b;

    (void)state;
    assert_true(slab_copy(&s, slice_text(text), &b));
    memset(text, 'x', 4);
    assert_slice(block_slice(&b), "sip:alice@example.com");
    slab_give(&s, &b);
    assert_null(b.at);
    assert_int_equal(s.live, 0);
}

static void a_slab_refuses_what_is_too_large(void **state)
{
    struct slab s = slab_over(1 << 18);
    struct block b;

    (void)state;
    assert_true(slab_take(&s, SLAB_LARGEST, &b));
    assert_false(slab_take(&s, SLAB_LARGEST + 1, &b));
    assert_null(b.at);
    assert_int_equal(b.len, 0);
    assert_false(slab_take(&s, SIZE_MAX, &b));
}

static void an_empty_block_can_be_given_back(void **state)
{
    struct slab s = slab_over(4096);
    struct block b = {0};

    (void)state;
    slab_give(&s, &b);
    assert_int_equal(s.live, 0);
}

static void a_larger_free_block_serves_when_the_arena_is_used_up(void **state)
{
    struct slab s = slab_over(1024);
    struct block large, small;

    (void)state;
    assert_true(slab_take(&s, 1024, &large));
    assert_false(slab_take(&s, 10, &small));
    slab_give(&s, &large);
    assert_true(slab_take(&s, 10, &small));
    assert_int_equal(small.len, 10);
    slab_give(&s, &small);
    assert_true(slab_take(&s, 1024, &large));
}

#define BLOCKS 64u

static bool overlap(const struct block *a, const struct block *b)
{
    return a->at < b->at + b->len && b->at < a->at + a->len;
}

static void check_blocks(const struct block *blocks, const char *fill, unsigned changed)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        const struct block *b = &blocks[i];
        for (uint32_t j = 0; b->at && j < b->len; j++)
            assert_int_equal(b->at[j], fill[i]);
        if (b->at && i != changed && blocks[changed].at)
            assert_false(overlap(b, &blocks[changed]));
    }
}

/* Blocks of random lengths, each filled with its own byte: none overlaps another or loses what is
 * in it. */
static void a_slab_agrees_with_a_naive_model(void **state)
{
    static struct block blocks[BLOCKS];
    char fill[BLOCKS] = {0};
    uint64_t seed = SEED;
    struct slab s = slab_over(1 << 17);
    unsigned refused = 0;

    (void)state;
    for (unsigned step = 0; step < 3000; step++) {
        unsigned i = (unsigned)draw_below(&seed, BLOCKS);
        if (blocks[i].at) {
            slab_give(&s, &blocks[i]);
        } else {
            size_t len = draw_below(&seed, UINT64_C(1) << draw_below(&seed, 15));
            if (!slab_take(&s, len, &blocks[i])) {
                refused++;
                continue;
            }
            assert_int_equal(blocks[i].len, len);
            fill[i] = (char)draw(&seed);
            memset(blocks[i].at, fill[i], len);
        }
        check_blocks(blocks, fill, i);
    }
    assert_true(refused > 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        slab_give(&s, &blocks[i]);
    assert_int_equal(s.live, 0);
}

int main(void)
{
    RUN(cmocka_unit_test(an_arena_hands_out_lines_of_its_own_in_order),
        cmocka_unit_test(an_arena_refuses_what_does_not_fit_and_goes_on),
        cmocka_unit_test(a_pool_gives_cleared_items_up_to_its_limit),
        cmocka_unit_test(an_old_handle_does_not_find_the_next_item_in_its_place),
        cmocka_unit_test(no_handle_and_foreign_handles_find_nothing),
        cmocka_unit_test(a_generation_that_wraps_is_never_zero),
        cmocka_unit_test(a_pool_agrees_with_a_naive_model),
        cmocka_unit_test(what_begins_together_stays_together),
        cmocka_unit_test(a_slab_keeps_a_copy), cmocka_unit_test(a_slab_refuses_what_is_too_large),
        cmocka_unit_test(an_empty_block_can_be_given_back),
        cmocka_unit_test(a_larger_free_block_serves_when_the_arena_is_used_up),
        cmocka_unit_test(a_slab_agrees_with_a_naive_model));
}
