/* The few types every module shares.  No I/O, no clock, no allocation. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A point in boot time (CLOCK_BOOTTIME), in nanoseconds.  Only a shell reads a clock. */
typedef uint64_t instant;
/* A distance between two instants, in nanoseconds. */
typedef uint64_t duration;

#define NEVER UINT64_MAX
#define MS(n) (UINT64_C(1000000) * (uint64_t)(n))
#define SECONDS(n) (UINT64_C(1000000000) * (uint64_t)(n))

/* What the shell says of the time: boot time for deadlines, wall seconds (Unix time) for what is
 * stored, signed or shown. */
struct moment {
    instant boot;
    int64_t wall;
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
