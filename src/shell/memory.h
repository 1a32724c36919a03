/* How much the core may hold, and the memory it lies in. */
#pragma once

#include "core/limits.h"

/* By the memory that this process may have (the machine's, that of its control group), of which it
 * fills `mebibytes` (0 = all), and by how many bindings the configuration asks for (0 = nothing).
 * Virtual memory: what is not used costs nothing. */
struct limits memory_limits(uint32_t users, uint32_t bindings_asked, uint32_t mebibytes);

/* Bytes that connections may keep of messages, beside that; of the same memory. */
uint64_t memory_for_streams(uint32_t mebibytes);

/* The bytes that the control groups in `list`, a file like /proc/self/cgroup, allow whose folders
 * lie under `root` (cgroups(7), both versions); UINT64_MAX if they say nothing. */
uint64_t memory_granted(const char *list, const char *root);

/* Zeroed memory on a page of its own; NULL if there is none. */
void *memory_take(size_t bytes);
void memory_give(void *at, size_t bytes);
