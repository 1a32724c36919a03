#include "base/cursor.h"

static const char hex_digits[] = "0123456789abcdef";

void write_number(struct writer *w, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;

    if (n < 10) {
        write_char(w, (char)('0' + n));
        return;
    }
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    write_bytes(w, digits + i, sizeof digits - i);
}

void write_hex(struct writer *w, uint64_t n, unsigned size)
{
    char *at = w->at + w->len;

    assert(size <= 16);
    if (size > w->limit - w->len)
        w->failed = true;
    if (w->failed)
        return;
    for (unsigned i = size; i-- > 0; n >>= 4)
        at[i] = hex_digits[n & 15];
    w->len += size;
}

void write_hex_bytes(struct writer *w, const void *bytes, size_t len)
{
    const unsigned char *from = bytes;
    char *at = w->at + w->len;

    if (len > (w->limit - w->len) / 2)
        w->failed = true;
    if (w->failed)
        return;
    for (size_t i = 0; i < len; i++) {
        at[2 * i] = hex_digits[from[i] >> 4];
        at[2 * i + 1] = hex_digits[from[i] & 15];
    }
    w->len += 2 * len;
}

static void write_little(struct writer *w, uint64_t n, unsigned size)
{
    char bytes[8];

    for (unsigned i = 0; i < size; i++)
        bytes[i] = (char)(n >> 8 * i);
    write_bytes(w, bytes, size);
}

void write_u16(struct writer *w, uint16_t n)
{
    write_little(w, n, 2);
}

void write_u32(struct writer *w, uint32_t n)
{
    write_little(w, n, 4);
}

void write_u64(struct writer *w, uint64_t n)
{
    write_little(w, n, 8);
}

void write_counted(struct writer *w, struct slice s)
{
    if (s.len > UINT16_MAX)
        w->failed = true;
    write_u16(w, (uint16_t)s.len);
    write_slice(w, s);
}

struct slice read_bytes(struct reader *r, size_t len)
{
    struct slice bytes;

    if (len > r->rest.len)
        r->failed = true;
    if (r->failed)
        return NO_SLICE;
    bytes = slice_until(r->rest, len);
    r->rest = slice_from(r->rest, len);
    return bytes;
}

static uint64_t read_little(struct reader *r, unsigned size)
{
    struct slice bytes = read_bytes(r, size);
    uint64_t n = 0;

    for (size_t i = 0; i < bytes.len; i++)
        n |= (uint64_t)(unsigned char)bytes.at[i] << 8 * i;
    return n;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_little(r, 1);
}

uint16_t read_u16(struct reader *r)
{
    return (uint16_t)read_little(r, 2);
}

uint32_t read_u32(struct reader *r)
{
    return (uint32_t)read_little(r, 4);
}

uint64_t read_u64(struct reader *r)
{
    return read_little(r, 8);
}

struct slice read_counted(struct reader *r)
{
    size_t len = read_u16(r);

    return read_bytes(r, len);
}

/* Value + 1 of each hex digit, 0 for all else. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

int hex_digit(char c)
{
    return hex_values[(unsigned char)c] - 1;
}

bool hex_decode(struct slice text, void *out, size_t len)
{
    const unsigned char *from = (const unsigned char *)text.at;
    unsigned char *bytes = out;

    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned high = hex_values[from[2 * i]];
        unsigned low = hex_values[from[2 * i + 1]];
        if (!high || !low)
            return false;
        bytes[i] = (unsigned char)((high - 1) << 4 | (low - 1));
    }
    return true;
}
