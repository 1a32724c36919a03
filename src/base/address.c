#include "base/address.h"

size_t ipv4_parse(struct slice s, size_t at, uint8_t *bytes)
{
    size_t start = at;

    for (unsigned i = 0;; i++) {
        size_t first = at;
        unsigned n = 0, digit;
        while (at < s.len && (digit = (unsigned)s.at[at] - '0') <= 9 && n <= 255) {
            n = n * 10 + digit;
            at++;
        }
        if (at == first || n > 255 || (s.at[first] == '0' && at - first > 1))
            return start;
        bytes[i] = (uint8_t)n;
        if (i == 3)
            return at;
        if (at == s.len || s.at[at++] != '.')
            return start;
    }
}

/* Past 1 to 4 hex digits; `at` itself if there are fewer or more. */
static size_t parse_hex4(struct slice s, size_t at, uint8_t *bytes)
{
    size_t start = at;
    unsigned n = 0;

    for (; at < s.len && hex_digit(s.at[at]) >= 0 && at - start < 5; at++)
        n = n << 4 | (unsigned)hex_digit(s.at[at]);
    if (at - start > 4)
        return start;
    bytes[0] = (uint8_t)(n >> 8);
    bytes[1] = (uint8_t)n;
    return at;
}

/* The zeros that "::" stands for, at least one group, go in at `gap`. */
static bool fill_gap(uint8_t *bytes, size_t len, size_t gap)
{
    if (len > 14)
        return false;
    memmove(bytes + 16 - (len - gap), bytes + gap, len - gap);
    memset(bytes + gap, 0, 16 - len);
    return true;
}

static bool parse_ipv6(struct slice s, uint8_t *bytes)
{
    const size_t none = 17;
    size_t gap = none;
    size_t len = 0;
    size_t at = 0;

    if (slice_starts(s, S("::"))) {
        gap = 0;
        at = 2;
    }
    while (at < s.len) {
        size_t past;
        if (len <= 12 && ipv4_parse(s, at, bytes + len) == s.len) {
            len += 4;
            break;
        }
        past = len < 16 ? parse_hex4(s, at, bytes + len) : at;
        if (past == at)
            return false;
        len += 2;
        at = past;
        if (at == s.len)
            break;
        if (s.at[at] != ':' || ++at == s.len)
            return false;
        if (s.at[at] == ':') {
            if (gap != none)
                return false;
            gap = len;
            at++;
        }
    }
    return gap == none ? len == 16 : fill_gap(bytes, len, gap);
}

bool host_numeric(struct slice host, struct address_bytes *address)
{
    *address = (struct address_bytes){0};
    if (!host.len)
        return false;
    if (ipv4_parse(host, 0, address->at) == host.len)
        return true;
    if (host.at[0] == '[') {
        if (host.len < 2 || host.at[host.len - 1] != ']')
            return false;
        host = slice_of(host.at + 1, host.len - 2);
    }
    address->is_v6 = true;
    return parse_ipv6(host, address->at);
}

/* The longest run of zero groups, the first of equals; a single one is no run (RFC 5952 4.2). */
static unsigned longest_zeros(const uint8_t *bytes, unsigned *first)
{
    unsigned longest = 1;

    *first = 8;
    for (unsigned i = 0; i < 8; i++) {
        unsigned end = i;
        while (end < 8 && !bytes[2 * end] && !bytes[2 * end + 1])
            end++;
        if (end - i > longest) {
            longest = end - i;
            *first = i;
        }
    }
    return longest;
}

static void write_ipv4(struct writer *w, const uint8_t *bytes)
{
    for (unsigned i = 0; i < 4; i++) {
        if (i)
            write_char(w, '.');
        write_number(w, bytes[i]);
    }
}

static void write_hex4(struct writer *w, unsigned n)
{
    write_hex(w, n, n > 0xfff ? 4 : n > 0xff ? 3 : n > 0xf ? 2 : 1);
}

static void write_ipv6(struct writer *w, const uint8_t *bytes)
{
    unsigned first, zeros = longest_zeros(bytes, &first);

    for (unsigned i = 0; i < 8; i++) {
        if (i == first) {
            write_slice(w, S("::"));
            i += zeros - 1;
            continue;
        }
        if (i && i != first + zeros)
            write_char(w, ':');
        write_hex4(w, (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1]);
    }
}

void write_address(struct writer *w, const struct address_bytes *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 5952 5 */

    if (!address->is_v6) {
        write_ipv4(w, address->at);
    } else if (memcmp(address->at, mapped, sizeof mapped) == 0) {
        write_slice(w, S("::ffff:"));
        write_ipv4(w, address->at + 12);
    } else {
        write_ipv6(w, address->at);
    }
}

void write_host(struct writer *w, const struct address_bytes *address)
{
    if (address->is_v6)
        write_char(w, '[');
    write_address(w, address);
    if (address->is_v6)
        write_char(w, ']');
}
