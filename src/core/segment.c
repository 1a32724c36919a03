#include "core/segment.h"

#include "base/hash.h"

static const char magic[8] = "SIPWJRN1";

static uint32_t check_of(uint64_t epoch, struct slice payload)
{
    const struct hash_key key = {epoch, payload.len};

    return (uint32_t)hash_bytes(&key, payload) | 1; /* never 0, which fresh files are full of */
}

void segment_begin(struct writer *w, uint64_t epoch, uint64_t order)
{
    size_t start = w->len;

    write_bytes(w, magic, sizeof magic);
    write_u64(w, epoch);
    write_u64(w, order);
    if (!w->failed)
        write_u64(w, check_of(epoch, slice_of(w->at + start, 24)));
}

bool segment_open(struct slice file, uint64_t *epoch, uint64_t *order)
{
    struct reader r = reader_over(file);
    struct slice head = read_bytes(&r, sizeof magic);

    *epoch = read_u64(&r);
    *order = read_u64(&r);
    return read_u64(&r) == check_of(*epoch, slice_until(file, file.len < 24 ? file.len : 24)) &&
           !r.failed && slice_equal(head, slice_of(magic, sizeof magic));
}

void segment_append(struct writer *w, uint64_t epoch, struct slice payload)
{
    assert(payload.len <= SEGMENT_RECORD_LIMIT);
    write_u32(w, (uint32_t)payload.len);
    write_u32(w, check_of(epoch, payload));
    write_slice(w, payload);
}

bool segment_next(struct slice *rest, uint64_t epoch, struct slice *payload)
{
    struct reader r = reader_over(*rest);
    uint32_t len = read_u32(&r);
    uint32_t check = read_u32(&r);

    if (r.failed || len > SEGMENT_RECORD_LIMIT)
        return false;
    *payload = read_bytes(&r, len);
    if (r.failed || check != check_of(epoch, *payload))
        return false;
    *rest = r.rest;
    return true;
}
