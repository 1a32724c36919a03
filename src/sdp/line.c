#include "sdp/line.h"

static bool is_break(char c)
{
    return c == '\n' || c == '\r';
}

enum line_result line_next(struct slice text, size_t *at, struct line *line)
{
    size_t start = *at, next = start + slice_find(slice_from(text, start), '\n'), end = next;

    line->at = start;
    if (start == text.len)
        return LINE_NONE;
    next += next < text.len;
    if (end > start && next > end && text.at[end - 1] == '\r')
        end--;
    if (end == start) {
        for (; next < text.len; next++)
            if (!is_break(text.at[next]))
                return LINE_BAD;
        *at = text.len;
        return LINE_NONE;
    }
    if (end - start < 2 || text.at[start] < 'a' || text.at[start] > 'z' ||
        text.at[start + 1] != '=')
        return LINE_BAD;
    line->type = text.at[start];
    line->value = slice_of(text.at + start + 2, end - start - 2);
    line->end = end;
    line->next = next;
    if (slice_find(line->value, '\r') < line->value.len ||
        slice_find(line->value, 0) < line->value.len)
        return LINE_BAD;
    *at = next;
    return LINE_TAKEN;
}

void line_attribute(const struct line *line, struct slice *name, struct slice *value)
{
    size_t colon = slice_find(line->value, ':');

    *name = slice_until(line->value, colon);
    *value = colon < line->value.len ? slice_from(line->value, colon + 1) : NO_SLICE;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool line_word(struct slice *rest, struct slice *word)
{
    size_t start = 0, end;

    while (start < rest->len && is_blank(rest->at[start]))
        start++;
    for (end = start; end < rest->len && !is_blank(rest->at[end]);)
        end++;
    *word = slice_of(rest->at + start, end - start);
    *rest = slice_from(*rest, end);
    return word->len;
}

static const struct {
    struct slice name;
    enum ice_attribute is;
} ice_attributes[] = {
    {S("candidate"), ICE_CANDIDATE},     {S("remote-candidates"), ICE_REMOTE},
    {S("end-of-candidates"), ICE_OTHER}, /* RFC 8840 8.2 */
    {S("ice-ufrag"), ICE_OTHER},         {S("ice-pwd"), ICE_OTHER},
    {S("ice-options"), ICE_OTHER},       {S("ice-lite"), ICE_OTHER},
    {S("ice-mismatch"), ICE_OTHER},      {S("ice-pacing"), ICE_OTHER},
};

enum ice_attribute line_ice(struct slice name)
{
    for (unsigned i = 0; i < COUNT_OF(ice_attributes); i++)
        if (slice_equal_nocase(name, ice_attributes[i].name))
            return ice_attributes[i].is;
    return ICE_NONE;
}
