/*
 * Lines for the administrator, on standard error; with systemd's <n> prefixes where it reads them.
 *
 * Never blocks: a line that cannot be written at once is dropped and counted.  Never one line a
 * message.
 */
#pragma once

#include "base/slice.h"

enum severity {
    LOG_FAILURE = 3, /* syslog's numbers */
    LOG_WARNING = 4,
    LOG_NOTICE = 5,
};

#define LOG_LINE 1024u /* bytes of a line; the rest is cut */

struct log {
    bool has_prefix;
    uint32_t dropped;
};

/* Prefixes if JOURNAL_STREAM is set. */
struct log log_open(void);

void log_line(struct log *log, enum severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
