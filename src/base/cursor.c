#include "base/cursor.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Two digits at a time: a division costs more than all the rest. */
static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

void write_number(struct writer *w, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;

    for (; n >= 100; n /= 100)
        memcpy(digits + (i -= 2), digit_pairs + 2 * (n % 100), 2);
    if (n >= 10)
        memcpy(digits + (i -= 2), digit_pairs + 2 * n, 2);
    else
        digits[--i] = (char)('0' + n);
    write_bytes(w, digits + i, sizeof digits - i);
}

/* The sixteen digits of eight bytes. */
static void encode_eight(char *digits, const void *bytes)
{
#ifdef __SSE2__
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i eight = _mm_loadl_epi64((const __m128i *)bytes);
    __m128i high = _mm_and_si128(_mm_srli_epi16(eight, 4), nibble);
    __m128i values = _mm_unpacklo_epi8(high, _mm_and_si128(eight, nibble));
    __m128i letters =
        _mm_and_si128(_mm_cmpgt_epi8(values, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
    __m128i text = _mm_add_epi8(_mm_add_epi8(values, _mm_set1_epi8('0')), letters);
    _mm_storeu_si128((__m128i *)(void *)digits, text);
#else
    for (unsigned i = 0; i < 8; i++) {
        unsigned byte = ((const unsigned char *)bytes)[i];
        digits[2 * i] = "0123456789abcdef"[byte >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[byte & 15];
    }
#endif
}

void write_hex(struct writer *w, uint64_t n, unsigned size)
{
    char digits[16];
    uint8_t bytes[8];

    assert(size <= sizeof digits);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(n >> (56 - 8 * i));
    encode_eight(digits, bytes);
    write_bytes(w, digits + sizeof digits - size, size);
}

void write_hex_bytes(struct writer *w, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len) {
        char digits[16], eight[8] = {0};
        size_t part = min_u64(len, sizeof eight);
        memcpy(eight, from, part);
        encode_eight(digits, eight);
        write_bytes(w, digits, 2 * part);
        from += part;
        len -= part;
    }
}

/* Little-endian, as it is in memory on nearly every machine. */
static inline uint64_t to_little(uint64_t n)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    n = __builtin_bswap64(n);
#endif
    return n;
}

void write_u16(struct writer *w, uint16_t n)
{
    uint64_t little = to_little(n);

    write_bytes(w, &little, sizeof n);
}

void write_u32(struct writer *w, uint32_t n)
{
    uint64_t little = to_little(n);

    write_bytes(w, &little, sizeof n);
}

void write_u64(struct writer *w, uint64_t n)
{
    uint64_t little = to_little(n);

    write_bytes(w, &little, sizeof n);
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

static inline uint64_t read_little(struct reader *r, unsigned size)
{
    struct slice bytes = read_bytes(r, size);
    uint64_t n = 0;

    if (bytes.len)
        memcpy(&n, bytes.at, size);
    return to_little(n);
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

/* Eight bytes of sixteen digits; false if any is none. */
static bool decode_eight(const char *digits, void *bytes)
{
#ifdef __SSE2__
    __m128i text = _mm_loadu_si128((const __m128i *)(const void *)digits);
    __m128i digit = _mm_sub_epi8(text, _mm_set1_epi8('0'));
    __m128i letter = _mm_sub_epi8(_mm_or_si128(text, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
    __m128i values =
        _mm_or_si128(_mm_and_si128(digit, is_digit),
                     _mm_and_si128(_mm_add_epi8(letter, _mm_set1_epi8(10)), is_letter));
    __m128i pairs = _mm_or_si128(_mm_slli_epi16(values, 4), _mm_srli_epi16(values, 8));
    __m128i eight = _mm_and_si128(pairs, _mm_set1_epi16(0xff));
    _mm_storel_epi64((__m128i *)bytes, _mm_packus_epi16(eight, eight));
    return _mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)) == 0xffff;
#else
    for (unsigned i = 0; i < 8; i++) {
        unsigned high = hex_values[(unsigned char)digits[2 * i]];
        unsigned low = hex_values[(unsigned char)digits[2 * i + 1]];
        if (!high || !low)
            return false;
        ((unsigned char *)bytes)[i] = (unsigned char)((high - 1) << 4 | (low - 1));
    }
    return true;
#endif
}

bool hex_decode(struct slice text, void *out, size_t len)
{
    char *bytes = out;

    if (text.len != 2 * len)
        return false;
    while (text.len) {
        char digits[16] = "0000000000000000", eight[8];
        size_t part = min_u64(text.len, sizeof digits);
        memcpy(digits, text.at, part);
        if (!decode_eight(digits, eight))
            return false;
        memcpy(bytes, eight, part / 2);
        bytes += part / 2;
        text = slice_from(text, part);
    }
    return true;
}
