/*
 * Memory of a configuration: pieces that are kept until all of it goes, and are wiped then, for
 * some hold secrets' digests.
 */
#pragma once

#include "base/slice.h"

struct keeper {
    struct piece *pieces;
};

/* Cleared memory, aligned for anything; NULL when there is none. */
void *keep_array(struct keeper *keeper, size_t count, size_t size);
/* A copy; empty when there is no memory, and then *failed is set. */
struct slice keep_text(struct keeper *keeper, struct slice text, bool *failed);

void keeper_free(struct keeper *keeper);
