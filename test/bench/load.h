/* Drives operations of one row against the server: so many outstanding (closed loop, the server
   saturated) or so many a second (open loop).  Each run ends only when its last operation has ended
   or timed out, so what the meter reads belongs to whole operations.  Nothing is retransmitted. */
#pragma once

#include "row.h"

enum { LOAD_OPS = 16384 };

struct pace {
    uint32_t window;       /* operations outstanding at most */
    double rate;           /* a second; 0: as fast as the window allows */
    uint64_t count;        /* stop after so many; 0: no such limit */
    uint64_t length;       /* ns; stop after so long */
    uint64_t timeout;      /* ns after which an operation is given up */
    uint64_t failures_max; /* stop after more than so many */
};

struct tally {
    uint64_t started;
    uint64_t done;
    uint64_t wrong;   /* an answer that should not have been */
    uint64_t missing; /* timed out, or could not even be started in time */
    uint64_t stray;   /* datagrams of no operation under way */
    uint64_t sent;
    uint64_t received;
    uint64_t challenged;
    uint64_t untried;
    uint64_t cpu;     /* ns of the server */
    uint64_t elapsed; /* ns from the first start to the last end */
    struct latencies latencies;
};

struct load {
    struct scene *scene;
    const struct meter *meter;
    const struct row *row;
    struct op *ops;
    uint32_t *free;
    uint32_t free_count;
    uint32_t next_serial;
    uint32_t complaints;
    instant now;
    bool server_gone;
    struct wire_inbox *inbox;
    struct tally *tally;
};

bool load_prepare(struct load *load, struct scene *scene, const struct meter *meter);

/* False when the server's port has closed. */
bool load_run(struct load *load, const struct row *row, const struct pace *pace,
              struct tally *tally);

/* Failed operations of a run, as a share of those due. */
double tally_failures(const struct tally *tally);

/* The highest rate, within 2 %, at which 99.9 % of the operations succeed; `guess` is where the
   search begins.  0 where there is none. */
double load_highest_rate(struct load *load, const struct row *row, double guess, uint64_t length);

/* That many of the operations succeed at that rate, for so long. */
bool load_holds(struct load *load, const struct row *row, double rate, uint64_t length);
