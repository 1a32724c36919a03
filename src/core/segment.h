/*
 * The journal's segments: how records lie in a file, so that a file cut at any byte is read up to
 * its last whole record.
 *
 * A segment is a header and records one after another, in a preallocated file that may hold the
 * remains of an older segment: each record's check is made under the segment's epoch, so remains
 * are never taken for records.  Pure: the shell reads, writes and syncs.
 */
#pragma once

#include "base/cursor.h"

#define SEGMENT_HEADER 32u
#define SEGMENT_RECORD_OVERHEAD 8u
#define SEGMENT_RECORD_LIMIT (1u << 20) /* bytes of one record's payload */

/* `epoch` must be one that this file never had: random, or one higher than any before. `order`
 * rises with each segment, so that they are read in the order they were written. */
void segment_begin(struct writer *w, uint64_t epoch, uint64_t order);

/* False unless it is a whole header of this version. */
bool segment_open(struct slice file, uint64_t *epoch, uint64_t *order);

void segment_append(struct writer *w, uint64_t epoch, struct slice payload);

/* Takes the next record off `rest` (at first: the file past SEGMENT_HEADER); false at the end or
 * at the first record that is not whole. */
bool segment_next(struct slice *rest, uint64_t epoch, struct slice *payload);

/* Of a file that is being read from its beginning: whether there may be records beyond `head`, by
 * the lengths of those in it.  `at` is where the first that is not whole begins: SEGMENT_HEADER for
 * a first look, then what the last one made it. */
bool segment_goes_on(struct slice head, size_t *at);
