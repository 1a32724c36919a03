#include "core/segment.h"

static const char magic[8] = "SIPWJRN1";

static uint64_t word_at(const char *at, size_t len)
{
    uint64_t word = 0;

    memcpy(&word, at, len < 8 ? len : 8);
    return word;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folded multiplication (Yann Collet, Wang Yi): sixteen bytes a step.  It has to tell a torn record
 * and the remains of another epoch, not to withstand anyone: the epoch is secret and random. */
static uint32_t check_of(uint64_t epoch, struct slice payload)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15), other = UINT64_C(0xd6e8feb86659fd93);
    uint64_t h = fold(epoch ^ odd, payload.len ^ other);
    size_t at = 0;

    for (; at + 16 <= payload.len; at += 16)
        h = fold(word_at(payload.at + at, 8) ^ h ^ odd, word_at(payload.at + at + 8, 8) ^ other);
    for (; at < payload.len; at += 8)
        h = fold(word_at(payload.at + at, payload.len - at) ^ h ^ odd, other);
    return (uint32_t)fold(h ^ odd, other) | 1; /* never 0, which fresh files are full of */
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

bool segment_goes_on(struct slice head, size_t *at)
{
    while (*at + SEGMENT_RECORD_OVERHEAD <= head.len) {
        struct reader r = reader_over(slice_from(head, *at));
        uint32_t len = read_u32(&r);
        uint32_t check = read_u32(&r);

        if (!check || len > SEGMENT_RECORD_LIMIT)
            return false;
        *at += SEGMENT_RECORD_OVERHEAD + len;
    }
    return true;
}
