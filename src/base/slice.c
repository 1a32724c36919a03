#include "base/slice.h"

bool slice_same_letters(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
            return false;
    return true;
}

size_t slice_find(struct slice s, char c)
{
    const char *found = s.len ? memchr(s.at, c, s.len) : NULL;
    return found ? (size_t)(found - s.at) : s.len;
}

struct slice slice_trim(struct slice s)
{
    while (s.len && slice_is_space(s.at[0]))
        s = slice_from(s, 1);
    while (s.len && slice_is_space(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool slice_number(struct slice s, uint64_t limit, uint64_t *number)
{
    uint64_t n = 0;

    if (!s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.at[i] - '0';
        if (digit > 9 || n > (limit - digit) / 10 || digit > limit)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    return true;
}
