/* How much the core may hold, and the memory it lies in. */
#pragma once

#include "core/limits.h"

/* By the machine's memory and what the configuration asks for (0 = nothing).  Virtual memory: what
 * is not used costs nothing. */
struct limits memory_limits(uint32_t users, uint32_t bindings_asked);

/* Zeroed memory on a page of its own; NULL if there is none. */
void *memory_take(size_t bytes);
void memory_give(void *at, size_t bytes);
