/* Rows of text in aligned columns, on standard output. */
#pragma once

#include "base/base.h"

#define COLUMN_LIMIT 11u

struct columns {
    unsigned count;
    const char *const *titles; /* one that begins with '>' is set to the right */
    size_t rows, room;
    char **cells;
    size_t widths[COLUMN_LIMIT];
};

struct columns columns_of(const char *const *titles, unsigned count);

/* A cell that is NULL is printed as "-".  Control characters, which could make a terminal obey what
 * a peer sent, become '?'. */
void columns_add(struct columns *columns, const char *const *cells);

/* Prints the titles and rows, or `nothing` if there are none; frees them. */
void columns_print(struct columns *columns, const char *nothing);

/* A text for a terminal, as above, cut to `room`. */
const char *plain_text(const char *text, char *to, size_t room);
