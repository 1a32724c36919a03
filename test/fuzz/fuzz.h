/*
 * What the fuzz targets share.  Each target is one libFuzzer entry that checks properties of one
 * module by assert; ./fuzz builds and runs them.
 */
#pragma once

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a slice; never NULL, so that an absent part can be told from an empty one. */
static inline struct slice fuzz_input(const uint8_t *data, size_t size)
{
    return size ? slice_of((const char *)data, size) : S("");
}

/* `part` is absent or lies in `whole`. */
static inline bool is_within(struct slice part, struct slice whole)
{
    return !part.at || (part.at >= whole.at && part.len <= whole.len &&
                        (size_t)(part.at - whole.at) <= whole.len - part.len);
}

/* `second` is absent or begins where `first` ends, or behind. */
static inline bool is_behind(struct slice second, struct slice first)
{
    return !second.at || !first.at || second.at >= first.at + first.len;
}
