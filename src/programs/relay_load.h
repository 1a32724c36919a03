/*
 * The kernel's relay, put there and kept there: `sipw-relay load`, `watch` and `unload`.  Each
 * needs the privileges that its manual page names; who opens legs needs none.
 */
#pragma once

#include "programs/options.h"

#define RELAY_LEGS 32768u       /* 10 MiB of the kernel's memory; four in most calls */
#define RELAY_LEGS_MOST 262144u /* four addresses with all their ports */
#define RELAY_LINKS 32u         /* that can be named */

struct relay_load {
    const char *pins; /* NULL: RELAY_PINS */
    const char *user; /* NULL: who calls it */
    const char *links[RELAY_LINKS];
    unsigned link_count; /* 0: all, and those that come */
    unsigned legs;
    unsigned first_port, last_port; /* 0: none are kept free */
};

/* Each returns the exit status. */
int relay_load(const struct program *program, const struct relay_load *setup);
int relay_watch(const struct program *program, const struct relay_load *setup);
int relay_unload(const struct program *program, const struct relay_load *setup);
