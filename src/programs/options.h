/*
 * A program's options, in one table: it feeds getopt_long, --help and the shell's completion.
 */
#pragma once

#include "base/base.h"

struct option_row {
    int code; /* the letter, if it has one; else 256 and up */
    const char *name;
    const char *value; /* NULL = it takes none */
    const char *meaning;
};

enum { OPTION_HELP = 1024, OPTION_VERSION };

#define OPTION_ROWS 32u /* of one program, at most */
#define OPTIONS_USUAL                                                                              \
    {OPTION_VERSION, "version", NULL, "print the version, and stop"},                              \
    {                                                                                              \
        OPTION_HELP, "help", NULL, "print this, and stop"                                          \
    }

struct program {
    const char *name;
    const char *synopsis; /* after the options */
    const char *about;    /* what it does, in a sentence or more */
    const struct option_row *rows;
    unsigned row_count;
};

/* The next option's code; -1 at the end, '?' when it was said on standard error that one is wrong.
 * --help and --version are carried out, and end the program. */
int options_next(const struct program *program, int count, char **words);

void options_print_help(const struct program *program);

/* One line on standard error: "NAME: ..." */
void complain(const struct program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
