#include "programs/columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL 256u

struct columns columns_of(const char *const *titles, unsigned count)
{
    struct columns columns = {.count = count, .titles = titles};

    assert(count <= COLUMN_LIMIT);
    return columns;
}

const char *plain_text(const char *text, char *to, size_t room)
{
    size_t len = 0;

    for (; *text && len + 1 < room; text++) {
        unsigned char c = (unsigned char)*text, next = (unsigned char)text[1];
        bool is_c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;

        to[len++] = c < 0x20 || c == 0x7f || is_c1 ? '?' : (char)c;
        text += is_c1;
    }
    to[len] = '\0';
    return to;
}

/* Characters, not bytes. */
static size_t width(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void *must(void *memory)
{
    if (memory)
        return memory;
    fprintf(stderr, "no memory for the table\n");
    exit(2);
}

void columns_add(struct columns *columns, const char *const *cells)
{
    if ((columns->rows + 1) * columns->count > columns->room) {
        columns->room = columns->room ? 2 * columns->room : 64 * columns->count;
        columns->cells = must(realloc(columns->cells, columns->room * sizeof *columns->cells));
    }
    for (unsigned i = 0; i < columns->count; i++) {
        char text[CELL];
        char *cell = must(strdup(plain_text(cells[i] ? cells[i] : "-", text, sizeof text)));

        columns->cells[columns->rows * columns->count + i] = cell;
        if (width(cell) > columns->widths[i])
            columns->widths[i] = width(cell);
    }
    columns->rows++;
}

static void print_row(const struct columns *columns, const char *const *cells)
{
    for (unsigned i = 0; i < columns->count; i++) {
        bool is_right = columns->titles[i][0] == '>';
        bool is_last = i + 1 == columns->count;
        int gap = (int)(columns->widths[i] - width(cells[i]));

        printf("%s%*s%s%*s", i ? "  " : "", is_right ? gap : 0, "", cells[i],
               is_right || is_last ? 0 : gap, "");
    }
    putchar('\n');
}

void columns_print(struct columns *columns, const char *nothing)
{
    const char *titles[COLUMN_LIMIT];

    for (unsigned i = 0; i < columns->count; i++) {
        titles[i] = columns->titles[i] + (columns->titles[i][0] == '>');
        if (width(titles[i]) > columns->widths[i])
            columns->widths[i] = width(titles[i]);
    }
    if (columns->rows)
        print_row(columns, titles);
    else
        printf("%s\n", nothing);
    for (size_t row = 0; row < columns->rows; row++)
        print_row(columns, (const char *const *)&columns->cells[row * columns->count]);
    for (size_t i = 0; i < columns->rows * columns->count; i++)
        free(columns->cells[i]);
    free(columns->cells);
}
