/*
 * What is to be said of a configuration: lines of the form
 *
 *     FILE:LINE:COLUMN: what is wrong; what to write instead
 *
 * The first fault ends the reading.  Warnings are kept as far as there is room; the rest is
 * counted.
 */
#pragma once

#include "base/cursor.h"

#define REPORT_WARNINGS 16384u
#define REPORT_FAULT 512u

struct place {
    uint32_t line; /* from 1; 0 = the whole file */
    uint32_t column;
};

struct report {
    const char *file;
    bool has_fault;
    char fault[REPORT_FAULT];       /* one line */
    char warnings[REPORT_WARNINGS]; /* lines, each with its newline */
    uint32_t warnings_length;
    uint32_t warnings_left_out;
};

void report_init(struct report *report, const char *file);

/* Always false, so that a reader can return it. */
bool report_fault(struct report *report, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void report_warning(struct report *report, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes the next warning off, without its newline; `rest` starts as report_warnings. */
struct slice report_warnings(const struct report *report);
bool report_next(struct slice *rest, struct slice *line);
