/* Dice: everything in a simulation that could be otherwise is thrown with the seed's one stream. */
#pragma once

#include "base/random.h"

/* True in so many of a thousand throws. */
static inline bool dice_chance(struct random *dice, unsigned thousandths)
{
    return random_below(dice, 1000) < thousandths;
}

/* Even over low .. high. */
static inline uint64_t dice_between(struct random *dice, uint64_t low, uint64_t high)
{
    return low + random_below(dice, high - low + 1);
}

/* A waiting time with this mean, at most six times as long; many short ones, few long. */
static inline duration dice_wait(struct random *dice, duration mean)
{
    duration wait = 0;

    while (wait < 5 * mean && dice_chance(dice, 500))
        wait += mean;
    return wait + random_below(dice, mean + 1);
}

/* A key from two throws, the one before the other: an initialiser's order is nobody's. */
static inline struct hash_key dice_key(struct random *dice)
{
    uint64_t first = random_next(dice);

    return (struct hash_key){first, random_next(dice)};
}

/* An index below `count`, thrown by weight. */
static inline unsigned dice_weighted(struct random *dice, const unsigned *weights, unsigned count)
{
    unsigned total = 0, thrown;

    for (unsigned i = 0; i < count; i++)
        total += weights[i];
    thrown = (unsigned)random_below(dice, total);
    for (unsigned i = 0; i < count; i++) {
        if (thrown < weights[i])
            return i;
        thrown -= weights[i];
    }
    return 0;
}
