#include "meter.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

instant meter_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (instant)time.tv_sec * 1000000000u + (instant)time.tv_nsec;
}

void meter_add(struct meter *meter, const char *list)
{
    for (char *end; *list && meter->process_count < METER_PROCESSES; list = end + (*end == ',')) {
        meter->processes[meter->process_count++] = (int)strtol(list, &end, 10);
        if (end == list)
            return;
    }
}

static uint64_t meter_read(const char *path, const char *format)
{
    unsigned long long value = 0;
    char line[256];
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, format, &value) == 1)
            break;
    fclose(file);
    return value;
}

static uint64_t meter_process_cpu(int process)
{
    char path[512];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *tasks = opendir(path);
    if (!tasks)
        return 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", process, task->d_name);
        sum += meter_read(path, "%llu");
    }
    closedir(tasks);
    return sum;
}

uint64_t meter_cpu(const struct meter *meter)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < meter->process_count; i++)
        sum += meter_process_cpu(meter->processes[i]);
    return sum;
}

uint64_t meter_memory(const struct meter *meter)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < meter->process_count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", meter->processes[i]);
        sum += meter_read(path, "Pss: %llu") * 1024;
    }
    return sum;
}

static unsigned latencies_bucket(uint64_t nanoseconds)
{
    if (nanoseconds < 64)
        return (unsigned)nanoseconds / 2;
    unsigned octave = 63 - (unsigned)__builtin_clzll(nanoseconds);
    return (octave - 5) * 32 + (unsigned)(nanoseconds >> (octave - 5) & 31);
}

void latencies_add(struct latencies *latencies, uint64_t nanoseconds)
{
    latencies->counts[latencies_bucket(nanoseconds)]++;
    latencies->total++;
}

uint64_t latencies_percentile(const struct latencies *latencies, double percent)
{
    double rank = (double)latencies->total * percent / 100;
    double seen = 0;
    for (unsigned i = 0; i < METER_BUCKETS; i++) {
        seen += (double)latencies->counts[i];
        if (seen >= rank && seen > 0)
            return i < 32 ? i * 2 : (32 + (uint64_t)i % 32) << (i / 32);
    }
    return 0;
}
