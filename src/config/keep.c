#include "config/keep.h"

#include <stdlib.h>

#define PIECE (64u << 10) /* bytes of a piece that holds many texts */

struct piece {
    struct piece *next;
    size_t used, limit;
    _Alignas(max_align_t) char bytes[];
};

static struct piece *add_piece(struct keeper *keeper, size_t limit)
{
    struct piece *piece = calloc(1, sizeof *piece + limit);

    if (!piece)
        return NULL;
    piece->limit = limit;
    piece->next = keeper->pieces;
    keeper->pieces = piece;
    return piece;
}

/* A piece of its own, behind the one that texts go to. */
void *keep_array(struct keeper *keeper, size_t count, size_t size)
{
    struct piece *first = keeper->pieces;

    assert(!count || size <= SIZE_MAX / 2 / count);
    struct piece *piece = add_piece(keeper, count * size);
    if (!piece)
        return NULL;
    piece->used = piece->limit;
    if (first) {
        keeper->pieces = first;
        piece->next = first->next;
        first->next = piece;
    }
    return piece->bytes;
}

struct slice keep_text(struct keeper *keeper, struct slice text, bool *failed)
{
    struct piece *piece = keeper->pieces;

    if (!text.len)
        return NO_SLICE;
    if (!piece || text.len > piece->limit - piece->used)
        piece = add_piece(keeper, text.len > PIECE ? text.len : PIECE);
    if (!piece) {
        *failed = true;
        return NO_SLICE;
    }
    char *at = piece->bytes + piece->used;
    memcpy(at, text.at, text.len);
    piece->used += text.len;
    return slice_of(at, text.len);
}

void keeper_free(struct keeper *keeper)
{
    struct piece *next;

    for (struct piece *piece = keeper->pieces; piece; piece = next) {
        next = piece->next;
        explicit_bzero(piece->bytes, piece->limit);
        free(piece);
    }
    keeper->pieces = NULL;
}
