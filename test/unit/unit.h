/* What the unit tests share: cmocka, a comparison of slices with text, and numbers from a fixed
 * seed. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"

#define RUN(...)                                                                                   \
    const struct CMUnitTest tests[] = {__VA_ARGS__};                                               \
    return cmocka_run_group_tests(tests, NULL, NULL)

#define assert_slice(slice, text) assert_slice_at(slice, slice_text(text), __FILE__, __LINE__)

static inline void assert_slice_at(struct slice got, struct slice wanted, const char *file,
                                   int line)
{
    if (slice_equal(got, wanted))
        return;
    print_error("\"%.*s\" is not \"%.*s\"\n", (int)got.len, got.at ? got.at : "", (int)wanted.len,
                wanted.at ? wanted.at : "");
    _fail(file, line);
}

/* xorshift64; the seed is any number but 0. */
static inline uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static inline uint64_t draw_below(uint64_t *seed, uint64_t limit)
{
    return (draw(seed) >> 16) % limit;
}
