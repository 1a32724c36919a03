#include "sip/fingerprint.h"

#include "base/cursor.h"
#include "sip/grammar.h"

/* Bytes of a digest, 2HEX *( ":" 2HEX ) or without the colons; 0 if it is none. */
static size_t digest_bytes(struct slice digest)
{
    size_t at = 0, count = 0;
    bool has_colons = digest.len > 2 && digest.at[2] == ':';

    for (;;) {
        if (digest.len - at < 2 || !grammar_is(digest.at[at], IS_HEX) ||
            !grammar_is(digest.at[at + 1], IS_HEX))
            return 0;
        count++;
        at += 2;
        if (at == digest.len)
            return count <= FINGERPRINT_BYTES ? count : 0;
        if (has_colons && digest.at[at++] != ':')
            return 0;
    }
}

/* The characters that are compared, one after another: the algorithm in lower case, the digest in
 * upper case without colons, then 0. */
struct reading {
    struct slice algorithm, digest;
};

static int next_char(struct reading *reading)
{
    char c;

    if (reading->algorithm.len) {
        c = ascii_lower(reading->algorithm.at[0]);
        reading->algorithm = slice_from(reading->algorithm, 1);
        return c;
    }
    if (reading->digest.len && reading->digest.at[0] == ':')
        reading->digest = slice_from(reading->digest, 1);
    if (!reading->digest.len)
        return 0;
    c = reading->digest.at[0];
    reading->digest = slice_from(reading->digest, 1);
    return c >= 'a' ? c & ~0x20 : c;
}

/* Below, equal to or above 0 like memcmp: the order of 5.2.2. */
static int compare(const struct fingerprint *a, const struct fingerprint *b)
{
    struct reading of_a = {a->algorithm, a->digest}, of_b = {b->algorithm, b->digest};
    int from_a, from_b;

    do {
        from_a = next_char(&of_a);
        from_b = next_char(&of_b);
    } while (from_a == from_b && from_a);
    return from_a - from_b;
}

bool fingerprints_add(struct fingerprints *list, struct slice algorithm, struct slice digest)
{
    struct fingerprint added = {algorithm, digest};
    unsigned place = list->count;

    if (!algorithm.len || grammar_skip(algorithm, 0, IN_TOKEN) < algorithm.len ||
        !digest_bytes(digest))
        return false;
    while (place && compare(&added, &list->at[place - 1]) < 0)
        place--;
    if (place && compare(&added, &list->at[place - 1]) == 0)
        return true;
    if (list->count == FINGERPRINTS_LIMIT)
        return false;
    memmove(&list->at[place + 1], &list->at[place], (list->count - place) * sizeof list->at[place]);
    list->at[place] = added;
    list->count++;
    return true;
}

/* algorithm SP digest */
static bool add_value(struct fingerprints *list, struct slice value)
{
    size_t blank;

    value = slice_trim(value);
    blank = slice_find(value, ' ');
    return blank < value.len && fingerprints_add(list, slice_until(value, blank),
                                                 slice_trim(slice_from(value, blank + 1)));
}

/* Lines end with CR, LF or both: whatever any phone takes for an end. */
static struct slice take_line(struct slice *rest)
{
    size_t end = 0;
    struct slice line;

    while (end < rest->len && rest->at[end] != '\r' && rest->at[end] != '\n')
        end++;
    line = slice_until(*rest, end);
    *rest = slice_from(*rest, min_u64(end + 1, rest->len));
    return line;
}

bool fingerprints_read(struct slice sdp, struct fingerprints *list)
{
    const struct slice name = S("a=fingerprint:");

    list->count = 0;
    while (sdp.len) {
        struct slice line = take_line(&sdp);
        if (line.len >= name.len && slice_equal_nocase(slice_until(line, name.len), name) &&
            !add_value(list, slice_from(line, name.len)))
            return false;
    }
    return true;
}

bool fingerprints_equal(const struct fingerprints *a, const struct fingerprints *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (compare(&a->at[i], &b->at[i]) != 0)
            return false;
    return true;
}
