/* What a server has used, read from /proc, and how long answers took. */
#pragma once

#include <stdint.h>

enum { METER_PROCESSES = 64, METER_BUCKETS = 64 * 32 };

/* Nanoseconds of the monotonic clock. */
typedef uint64_t instant;

struct meter {
    int processes[METER_PROCESSES];
    unsigned process_count;
};

/* Each octave of nanoseconds is cut into 32 parts, so a percentile is right within 3 %. */
struct latencies {
    uint64_t counts[METER_BUCKETS];
    uint64_t total;
};

instant meter_now(void);

/* The processes of a list like "12,13". */
void meter_add(struct meter *meter, const char *list);

/* User and system time of all threads of all processes: the first field of schedstat, ns. */
uint64_t meter_cpu(const struct meter *meter);

/* Resident bytes of all processes, pages they share counted once (Pss). */
uint64_t meter_memory(const struct meter *meter);

void latencies_add(struct latencies *latencies, uint64_t nanoseconds);
uint64_t latencies_percentile(const struct latencies *latencies, double percent);
