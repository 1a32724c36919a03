/* Whole files: read at once, written at once. */
#pragma once

#include "base/slice.h"

/* Reads a file of at most `limit` bytes into memory that the caller frees; -errno on failure,
 * -EFBIG if it is larger. */
int file_read(int folder, const char *name, size_t limit, struct slice *bytes);

/* The same, but only for as long as there is more to come after what was read so far: `place` is
 * its own. */
int file_read_while(int folder, const char *name, size_t limit,
                    bool (*goes_on)(struct slice head, size_t *place), size_t place,
                    struct slice *bytes);

/* Makes a file that is either whole and on the disk or not there, with mode 0600; an older one of
 * that name is replaced.  -errno on failure. */
int file_write(int folder, const char *name, struct slice bytes);

/* All bytes at that place; -errno on failure. */
int file_write_at(int fd, struct slice bytes, uint64_t at);
