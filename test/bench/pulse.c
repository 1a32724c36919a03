#include "pulse.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { PERIOD = 1000000, LATE = 1000000, PRIORITY = 50 };

static pthread_t thread;
static atomic_bool is_over;
static struct pulse pulse;

static uint64_t nanoseconds(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec;
}

static struct timespec later(uint64_t at)
{
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000),
                             .tv_nsec = (long)(at % 1000000000)};
}

static void *beat(void *unused)
{
    struct timespec now;

    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (uint64_t due = nanoseconds(&now) + PERIOD; !is_over; due += PERIOD) {
        struct timespec at = later(due);
        uint64_t late;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        late = nanoseconds(&now) - due;
        if (late < LATE)
            continue;
        pulse.missed += late;
        pulse.longest = late > pulse.longest ? late : pulse.longest;
        due = nanoseconds(&now);
    }
    return NULL;
}

bool pulse_begin(unsigned core)
{
    struct sched_param priority = {.sched_priority = PRIORITY};
    pthread_attr_t attributes;
    cpu_set_t cores;
    int error;

    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    pulse = (struct pulse){0};
    is_over = false;
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof cores, &cores);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
    pthread_attr_setschedparam(&attributes, &priority);
    error = pthread_create(&thread, &attributes, beat, NULL);
    pthread_attr_destroy(&attributes);
    return !error;
}

struct pulse pulse_end(void)
{
    is_over = true;
    pthread_join(thread, NULL);
    return pulse;
}
