#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void write_base64url(struct writer *w, struct slice bytes)
{
    while (bytes.len) {
        size_t part = min_u64(bytes.len, 3);
        uint32_t group = 0;
        char four[4];

        for (size_t i = 0; i < 3; i++)
            group = group << 8 | (i < part ? (unsigned char)bytes.at[i] : 0);
        for (size_t i = 0; i < sizeof four; i++)
            four[i] = digits[group >> (18 - 6 * i) & 63];
        write_bytes(w, four, part + 1);
        bytes = slice_from(bytes, part);
    }
}

/* Value of a digit, or -1. */
static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Two to four digits. */
static bool decode_group(struct writer *w, struct slice text)
{
    uint32_t group = 0;
    char three[3];

    for (size_t i = 0; i < 4; i++) {
        int value = i < text.len ? digit_value(text.at[i]) : 0;
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i < sizeof three; i++)
        three[i] = (char)(group >> (16 - 8 * i) & 0xff);
    write_bytes(w, three, text.len - 1);
    return !(group & ((UINT32_C(1) << (8 * (4 - text.len))) - 1));
}

bool base64url_decode(struct writer *w, struct slice text)
{
    while (text.len) {
        size_t part = min_u64(text.len, 4);
        if (part == 1 || !decode_group(w, slice_until(text, part)))
            return false;
        text = slice_from(text, part);
    }
    return !w->failed;
}
