/*
 * Whether a core was ours: on a machine that others share it may be taken away for a while, of
 * which neither steal time in /proc/stat nor the server's own CPU time may tell.
 *
 * A thread of the highest priority wakes on that core each millisecond; what it comes too late by,
 * the core was not there, or the kernel was busy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pulse {
    uint64_t missed;  /* ns in all, of delays above one millisecond */
    uint64_t longest; /* ns */
};

/* False if it may not: real-time priority is root's. */
bool pulse_begin(unsigned core);
struct pulse pulse_end(void);
