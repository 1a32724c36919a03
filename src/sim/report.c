#include "sim/report.h"

#include "core/ctrans.h"
#include "core/legs.h"
#include "core/locate.h"
#include "core/state.h"
#include "core/strans.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const names[COUNT_COUNT] = {
    [COUNT_PHONES] = "phones",
    [COUNT_CALLS] = "calls",
    [COUNT_ANSWERED] = "answered",
    [COUNT_REFUSED] = "refused",
    [COUNT_CANCELLED] = "cancelled",
    [COUNT_REINVITES] = "re-INVITEs",
    [COUNT_REFRESHES] = "refreshes",
    [COUNT_BYES] = "BYEs",
    [COUNT_EXPIRED] = "BYEs of the server",
    [COUNT_MESSAGES] = "MESSAGEs",
    [COUNT_OPTIONS] = "OPTIONS",
    [COUNT_REGISTRATIONS] = "registrations",
    [COUNT_MOVES] = "moves",
    [COUNT_REBOOTS] = "reboots",
    [COUNT_ATTACKS] = "attacks",
    [COUNT_DATAGRAMS] = "datagrams",
    [COUNT_STEPS] = "steps",
    [COUNT_RECORDS] = "records",
    [COUNT_RECORDS_AGAIN] = "records again",
    [COUNT_STREAMS] = "streams",
    [COUNT_DIALLED] = "streams of the server",
    [COUNT_GRUUS] = "GRUUs",
    [COUNT_FLOWS_LEFT] = "flows left",
    [COUNT_SILENT] = "silent streams",
    [COUNT_QUESTIONS] = "questions to DNS",
    [COUNT_PROVEN] = "proofs",
    [COUNT_UNPROVEN] = "missing proofs",
    [COUNT_WITHHELD] = "proofs remembered",
    [COUNT_FORGOTTEN] = "proofs forgotten",
    [COUNT_CALLERS] = "proven callers",
    [COUNT_CALLEES] = "proven callees",
    [COUNT_SIGNED] = "signatures",
    [COUNT_HEARD] = "relayed calls heard",
    [COUNT_LOST] = "lost",
    [COUNT_DUPLICATED] = "duplicated",
    [COUNT_REORDERED] = "reordered",
    [COUNT_PARTITIONS] = "partitions",
    [COUNT_WALL_JUMPS] = "clock jumps",
    [COUNT_SUSPENDS] = "suspends",
    [COUNT_KILLS] = "kills",
    [COUNT_TORN] = "torn",
    [COUNT_POWER_CUTS] = "power cuts",
    [COUNT_FULL_DISKS] = "full disks",
    [COUNT_SLOW_DISKS] = "slow disks",
    [COUNT_STALLS] = "stalls",
    [COUNT_OVERLOADS] = "overloads",
    [COUNT_CHECKPOINTS] = "checkpoints",
    [COUNT_RELOADS] = "reloads",
    [COUNT_STREAMS_BROKEN] = "broken streams",
    [COUNT_HALF_MESSAGES] = "half messages",
};

static const char *const state_names[STATES_COUNT] = {
    [STATES_STRANS] = "server transaction",
    [STATES_CTRANS] = "client transaction",
    [STATES_DIALOG] = "dialog",
    [STATES_LEGS] = "offer and answer",
    [STATES_LOCATE] = "lookup",
};

/* clang-format off */
static const unsigned state_counts[STATES_COUNT] = {
    [STATES_STRANS] = STRANS_STATE_COUNT,
    [STATES_CTRANS] = CTRANS_STATE_COUNT,
    [STATES_DIALOG] = DIALOG_STATE_COUNT,
    [STATES_LEGS] = LEGS_STATE_COUNT,
    [STATES_LOCATE] = SIGHT_COUNT,
};
/* clang-format on */

static void print_counts(const uint32_t *counts)
{
    for (unsigned i = 0; i < COUNT_COUNT; i++)
        printf("%s%s %" PRIu32,
               i == COUNT_FIRST_FAULT ? " | "
               : i                    ? ", "
                                      : "",
               names[i], counts[i]);
}

struct slice report_rule(const struct report *report)
{
    return slice_of(report->reason, report->rule_len);
}

void report_print(const struct report *report, unsigned fault)
{
    printf("seed %" PRIu64 ": ", report->seed);
    print_counts(report->counts);
    printf("%s\n", report->has_failed ? ": FAILED" : ": ok");
    if (!report->has_failed)
        return;
    printf("    at %.6f s: %s\n    again: ./sim ", (double)report->failed_at / 1e9, report->reason);
    if (fault)
        printf("--fault %u ", fault);
    printf("--seed %" PRIu64 " -v\n", report->seed);
}

void report_add(struct report *total, const struct report *report)
{
    for (unsigned i = 0; i < COUNT_COUNT; i++)
        total->counts[i] += report->counts[i];
    for (unsigned i = 0; i < STATES_COUNT; i++)
        total->states[i] |= report->states[i];
}

bool report_print_total(const struct report *total, unsigned seeds)
{
    bool is_whole = true;

    printf("%u seeds: ", seeds);
    print_counts(total->counts);
    printf("\n");
    for (unsigned i = 0; i < COUNT_COUNT; i++) {
        if (total->counts[i])
            continue;
        printf("no %s\n", names[i]);
        is_whole = false;
    }
    for (unsigned i = 0; i < STATES_COUNT; i++) {
        /* State 0 is the one before the machine starts. */
        uint32_t wanted = ((UINT32_C(1) << state_counts[i]) - 1) & ~UINT32_C(1);
        uint32_t missing = wanted & ~total->states[i];
        printf("%s: %d of %d states reached", state_names[i], __builtin_popcount(wanted & ~missing),
               __builtin_popcount(wanted));
        for (unsigned state = 0; missing >> state; state++)
            if (missing >> state & 1)
                printf(", not %u", state);
        printf("\n");
        is_whole = is_whole && !missing;
    }
    return is_whole;
}
