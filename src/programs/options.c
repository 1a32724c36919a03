#include "programs/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef VERSION
#define VERSION "3.0.0"
#endif

void options_print_help(const struct program *program)
{
    printf("Usage: %s [OPTION...]%s%s\n\n%s\n\n", program->name, program->synopsis[0] ? " " : "",
           program->synopsis, program->about);
    for (unsigned i = 0; i < program->row_count; i++) {
        const struct option_row *row = &program->rows[i];
        char letter[8] = "    ", name[64];

        if (row->code < 256)
            snprintf(letter, sizeof letter, "-%c, ", row->code);
        snprintf(name, sizeof name, "--%s%s%s", row->name, row->value ? " " : "",
                 row->value ? row->value : "");
        printf("  %s%-20s %s\n", letter, name, row->meaning);
    }
}

/* As getopt_long wants them.  '+': options end where the operands begin, for those may be negative
 * numbers or a message's words. */
static void make_tables(const struct program *program, char *letters, struct option *names)
{
    assert(program->row_count < OPTION_ROWS);
    *letters++ = '+';
    for (unsigned i = 0; i < program->row_count; i++) {
        const struct option_row *row = &program->rows[i];

        names[i] = (struct option){row->name, row->value ? required_argument : no_argument, NULL,
                                   row->code};
        if (row->code < 256)
            *letters++ = (char)row->code;
        if (row->code < 256 && row->value)
            *letters++ = ':';
    }
    *letters = '\0';
    names[program->row_count] = (struct option){0};
}

int options_next(const struct program *program, int count, char **words)
{
    char letters[2 * OPTION_ROWS + 2];
    struct option names[OPTION_ROWS];

    make_tables(program, letters, names);
    int code = getopt_long(count, words, letters, names, NULL);
    if (code == OPTION_HELP)
        options_print_help(program);
    else if (code == OPTION_VERSION)
        printf("%s (SIP Witch) %s\n", program->name, VERSION);
    else
        return code;
    exit(fflush(stdout) == 0 ? 0 : 2);
}

void complain(const struct program *program, const char *format, ...)
{
    va_list values;

    fflush(stdout);
    fprintf(stderr, "%s: ", program->name);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
}
