/* What a seed's hour was made of, as counts; and how it ended. */
#pragma once

#include "base/slice.h"

enum count {
    /* the hour */
    COUNT_PHONES,
    COUNT_CALLS,
    COUNT_ANSWERED,
    COUNT_REFUSED,
    COUNT_CANCELLED,
    COUNT_REINVITES,
    COUNT_REFRESHES, /* of sessions */
    COUNT_BYES,
    COUNT_EXPIRED, /* BYEs of the server, for the lack of one or of age */
    COUNT_MESSAGES,
    COUNT_OPTIONS,
    COUNT_REGISTRATIONS,
    COUNT_MOVES,
    COUNT_REBOOTS,
    COUNT_ATTACKS,
    COUNT_DATAGRAMS,
    COUNT_STEPS,
    COUNT_RECORDS,
    COUNT_RECORDS_AGAIN, /* that the database had already */
    COUNT_STREAMS,
    COUNT_DIALLED,    /* streams that the server opened */
    COUNT_GRUUS,      /* that were dialled */
    COUNT_FLOWS_LEFT, /* flows of a phone that failed, though it had another */
    COUNT_SILENT,     /* streams that were ended since nobody kept them alive */
    COUNT_QUESTIONS,  /* to DNS */
    COUNT_PROVEN,     /* streams whose peer has proven to be the domain asked for */
    COUNT_UNPROVEN,   /* and those that were refused, since it has not */
    COUNT_WITHHELD,   /* domains not asked in clear, weeks after they have proven themselves, */
    COUNT_FORGOTTEN,  /* and those that were, after more than thirty days */
    COUNT_CALLERS,    /* calls of other domains that came by a stream that proves them */
    COUNT_CALLEES,    /* answers of which a phone was told that their domain is proven */
    COUNT_SIGNED,     /* requests whose signature was good */
    COUNT_HEARD,      /* calls whose packets went through the relay */
    /* the faults */
    COUNT_LOST,
    COUNT_DUPLICATED,
    COUNT_REORDERED,
    COUNT_PARTITIONS,
    COUNT_WALL_JUMPS,
    COUNT_SUSPENDS,
    COUNT_KILLS,
    COUNT_TORN,
    COUNT_POWER_CUTS,
    COUNT_FULL_DISKS,
    COUNT_SLOW_DISKS,
    COUNT_STALLS,
    COUNT_OVERLOADS,
    COUNT_CHECKPOINTS,
    COUNT_RELOADS,
    COUNT_STREAMS_BROKEN,
    COUNT_HALF_MESSAGES,
    COUNT_COUNT,
};

#define COUNT_FIRST_FAULT COUNT_LOST

/* The machines whose states must all be reached. */
enum states {
    STATES_STRANS,
    STATES_CTRANS,
    STATES_DIALOG,
    STATES_LEGS,
    STATES_LOCATE,
    STATES_COUNT,
};

#define REASON_LIMIT 600u

struct report {
    uint64_t seed;
    uint32_t counts[COUNT_COUNT];
    uint32_t states[STATES_COUNT]; /* bit n: state n has been entered */
    bool has_failed;
    instant failed_at;
    char reason[REASON_LIMIT]; /* the rule, and how it was broken */
    size_t rule_len;           /* 0: its process died */
};

/* The rule that was broken; empty if none was. */
struct slice report_rule(const struct report *report);

/* The report of a seed on one line; and how it is replayed, with that fault in the core. */
void report_print(const struct report *report, unsigned fault);

void report_add(struct report *total, const struct report *report);

/* Prints the sums; false if a state of some machine was not reached, or something never happened.
 */
bool report_print_total(const struct report *total, unsigned seeds);
