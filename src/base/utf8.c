#include "base/utf8.h"

size_t utf8_sequence(struct slice s)
{
    uint8_t lead = (uint8_t)s.at[0], second = s.len > 1 ? (uint8_t)s.at[1] : 0;
    size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (lead > 0xf4 || len > s.len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((uint8_t)s.at[i] & 0xc0) != 0x80)
            return 0;
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f))
        return 0;
    return len;
}

/* Past the ASCII at the front, eight bytes at a time. */
static size_t skip_ascii(struct slice s, size_t at)
{
    uint64_t word;

    while (s.len - at >= sizeof word) {
        memcpy(&word, s.at + at, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
        at += sizeof word;
    }
    return at;
}

bool utf8_is_valid(struct slice s)
{
    size_t at = 0;

    while ((at = skip_ascii(s, at)) < s.len) {
        size_t len = utf8_sequence(slice_from(s, at));
        if (!len)
            return false;
        at += len;
    }
    return true;
}
