/*
 * The server's machine: a shell made of memory.  It runs a core, carries its actions out in
 * order, keeps its journal in segments that are byte arrays, and breaks when told to.
 *
 * Clocks.  `elapsed` is the machine's own time: the simulation's and every suspend.  Boot time is
 * elapsed since the last power-up, wall time elapsed and every jump of the clock.
 *
 * Disk.  What was written survives a kill; a power cut tears what was written since the last
 * sync, once a second of virtual time.  A segment begun anew is followed by EVENT_CHECKPOINT; the
 * older ones are dropped at ACTION_CHECKPOINTED, unless a persist failed meanwhile.
 */
#pragma once

#include "core/core.h"
#include "sim/archive.h"
#include "sim/network.h"
#include "sim/past.h"

struct sim;

#define SEGMENTS 64u
#define SEGMENT_FULL 40000u /* bytes; small, so that checkpoints are many */
#define MACHINE_USERS 20u

struct segment_file {
    uint64_t epoch;
    uint64_t order;
    char *bytes;
    size_t len;
    size_t room;
    size_t full;           /* bytes at which the next is begun */
    size_t synced;         /* bytes that a power cut leaves */
    uint64_t write_second; /* when it was last written */
};

enum disk_state {
    DISK_WORKS,
    DISK_FULL, /* every write fails at once */
    DISK_SLOW, /* a write takes `disk_delay` */
};

/* An action on its way: those behind a slow write wait for it. */
struct held {
    struct held *next;
    enum action_kind kind;
    bool promises;
    bool is_unwritten; /* the core knew that the store failed when it decided this */
    bool is_abandoned; /* it waited too long: the core was told that the store failed */
    struct flow flow;
    struct dns_question ask;
    struct fetch_question fetch;
    struct slice bytes; /* owned */
    uint64_t step;      /* which step of the core asked for it */
    instant since;
    duration decided; /* the same, in the machine's time */
    instant ready_at; /* a persist's end; 0 before it began */
};

struct machine {
    struct core *core;
    void *memory;
    struct core_origin origin;
    struct settings settings;
    struct settings *epoch; /* a copy that the core looks at since the last reload; NULL = none */
    struct slice localnames[2];
    struct socket_settings sockets[SOCKET_COUNT];
    struct user_settings users[MACHINE_USERS];
    unsigned user_count;
    struct actions out;

    bool is_up;
    uint64_t steps;      /* events given to any core so far */
    uint32_t starts;     /* cores so far */
    uint64_t last_start; /* value of `steps` when the present core began */
    duration suspended;  /* time that passed for the machine alone */
    instant boot_zero;
    int64_t wall_zero;

    struct segment_file files[SEGMENTS]; /* in their order; the last is written */
    unsigned file_count;
    uint64_t last_epoch;
    enum disk_state disk;
    duration disk_delay;
    instant mended_at;
    struct held *queue;
    struct held **queue_end;
    uint64_t failed_step;      /* the step whose persist failed last: its promises are void */
    uint64_t unaware_step;     /* and so are all that were made before the core was told */
    bool is_alarmed;           /* the core has been told that the store failed */
    bool is_failure_due;       /* and shall be */
    bool is_relief_due;        /* the disk works again: tell it */
    bool is_checkpoint_due;    /* a segment is to be begun */
    bool is_checkpointing;     /* and until it is whole, the older ones stay */
    bool is_checkpoint_broken; /* a persist failed meanwhile */
    uint64_t checkpoint_step;

    struct archive archive; /* the database */
    struct past past;

    bool is_kill_armed;
    uint64_t kill_after; /* actions carried out before it */
    duration down_time;
};

/* Lays out settings and users (taken from the simulation's phones' domain) and starts it. */
void machine_init(struct sim *sim);
void machine_free(struct sim *sim);

duration machine_elapsed(const struct sim *sim);
struct moment machine_moment(const struct sim *sim);

/* When the core wants EVENT_DEADLINE, in the simulation's time. */
instant machine_deadline(const struct sim *sim);
void machine_tick(struct sim *sim); /* that deadline, or DUE_STORE */

/* A stream was opened or has ended; or what came by it is broken. */
void machine_stream(struct sim *sim, enum event_kind kind, const struct flow *flow,
                    struct slice bytes);
void machine_broken(struct sim *sim, const struct flow *flow, uint32_t sender, struct slice head,
                    struct fault fault);

/* All that it wanted to write is written. */
bool machine_is_kept(const struct sim *sim);

void machine_receive(struct sim *sim, const struct flow *flow, uint32_t sender, struct slice bytes);

/* DNS has answered. */
void machine_dns(struct sim *sim, uint64_t question, const struct dns_answer *answer);

/* The relay says what it has of a call. */
void machine_legs(struct sim *sim, const struct event *event);

/* A certificate was fetched, or was not to be had. */
void machine_certificate(struct sim *sim, uint64_t question, const struct certificate *found);

/* What it sent there did not arrive. */
void machine_unreached(struct sim *sim, const struct flow *flow, struct slice head);

/* Its receive queue is so full (EVENT_LOAD). */
void machine_load(struct sim *sim, unsigned fill);

/* The database has the calls of these numbers. */
void machine_calls_kept(struct sim *sim, struct slice numbers);

/* Faults. */
void machine_arm_kill(struct sim *sim, uint64_t actions, duration down_time);
void machine_disarm_kill(struct sim *sim);
void machine_kill(struct sim *sim, duration down_time);
void machine_cut_power(struct sim *sim, duration down_time);
void machine_restart(struct sim *sim); /* DUE_RESTART */
/* DUE_PAST of the core that was started as the `start`-th. */
void machine_recall(struct sim *sim, uint32_t start);
/* The same configuration again: nobody must notice. */
void machine_reload(struct sim *sim);
void machine_break_disk(struct sim *sim, enum disk_state state, duration delay);
void machine_mend_disk(struct sim *sim);
void machine_jump_wall(struct sim *sim, int64_t seconds);
void machine_suspend(struct sim *sim, duration time);
