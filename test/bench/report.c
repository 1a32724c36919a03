#include "report.h"

#include <stdio.h>

void report_tally(const struct tally *tally)
{
    double done = tally->done ? (double)tally->done : 1;
    double due = tally->started ? (double)tally->started : 1;
    printf("{\"ops\": %llu, \"wrong\": %llu, \"missing\": %llu, \"stray\": %llu, "
           "\"challenged\": %llu, \"untried\": %llu, ",
           (unsigned long long)tally->done, (unsigned long long)tally->wrong,
           (unsigned long long)tally->missing, (unsigned long long)tally->stray,
           (unsigned long long)tally->challenged, (unsigned long long)tally->untried);
    printf("\"cost\": %.4f, \"rate\": %.1f, \"busy\": %.4f, \"success\": %.6f, "
           "\"packets\": %.4f, \"p50\": %.2f, \"p99\": %.2f}",
           (double)tally->cpu / 1e3 / done, (double)tally->done * 1e9 / (double)tally->elapsed,
           (double)tally->cpu / (double)tally->elapsed, (double)tally->done / due,
           (double)(tally->sent + tally->received) / 2 / done,
           (double)latencies_percentile(&tally->latencies, 50) / 1e3,
           (double)latencies_percentile(&tally->latencies, 99) / 1e3);
}
