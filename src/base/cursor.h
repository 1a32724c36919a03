/*
 * Cursors: a writer into bounded bytes and a reader out of them.
 *
 * The first error sticks: after it nothing more is written or read, so a caller checks once at the
 * end.  The bytes belong to the caller.
 */
#pragma once

#include "base/slice.h"

struct writer {
    char *at;
    size_t len;
    size_t limit;
    bool failed; /* something did not fit */
};

static inline struct writer writer_over(char *at, size_t limit)
{
    return (struct writer){at, 0, limit, false};
}

static inline struct slice writer_slice(const struct writer *w)
{
    return (struct slice){w->at, w->len};
}

static inline void write_bytes(struct writer *w, const void *bytes, size_t len)
{
    if (len > w->limit - w->len)
        w->failed = true;
    if (w->failed)
        return;
    if (len)
        memcpy(w->at + w->len, bytes, len);
    w->len += len;
}

static inline void write_slice(struct writer *w, struct slice s)
{
    write_bytes(w, s.at, s.len);
}

static inline void write_char(struct writer *w, char c)
{
    write_bytes(w, &c, 1);
}

void write_number(struct writer *w, uint64_t n);             /* decimal */
void write_hex(struct writer *w, uint64_t n, unsigned size); /* size lower-case digits */
/* Lower-case hex of each byte, most significant digit first. */
void write_hex_bytes(struct writer *w, const void *bytes, size_t len);

/* Little-endian binary, for records. */
static inline void write_u8(struct writer *w, uint8_t n)
{
    write_bytes(w, &n, 1);
}
void write_u16(struct writer *w, uint16_t n);
void write_u32(struct writer *w, uint32_t n);
void write_u64(struct writer *w, uint64_t n);
/* A 16-bit length and the bytes; longer slices fail. */
void write_counted(struct writer *w, struct slice s);

struct reader {
    struct slice rest;
    bool failed; /* it ended too early */
};

static inline struct reader reader_over(struct slice bytes)
{
    return (struct reader){bytes, false};
}

struct slice read_bytes(struct reader *r, size_t len); /* borrowed; empty on failure */
uint8_t read_u8(struct reader *r);                     /* 0 on failure, like all below */
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct slice read_counted(struct reader *r);

/* Value of a hex digit, or -1. */
int hex_digit(char c);
/* Exactly 2 * len hex digits into `out`; false otherwise. */
bool hex_decode(struct slice text, void *out, size_t len);
