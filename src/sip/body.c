#include "sip/body.h"

#include "sip/grammar.h"
#include "sip/uri.h"

/* A media type, and the boundary of one that has parts. */
struct content {
    struct slice type, boundary;
};

/* type SLASH subtype *( SEMI parameter ); false if it cannot be read. */
static bool read_type(struct slice value, struct content *content)
{
    size_t end = slice_find(value, ';');

    content->type = slice_trim(slice_until(value, end));
    content->boundary = NO_SLICE;
    if (slice_find(content->type, '/') == content->type.len)
        return false;
    param_find(slice_from(value, end), S("boundary"), &content->boundary);
    if (content->boundary.len > 1 && content->boundary.at[0] == '"')
        content->boundary = slice_of(content->boundary.at + 1, content->boundary.len - 2);
    return true;
}

static bool is_type(const struct content *content, struct slice type)
{
    return slice_equal_nocase(content->type, type);
}

/* Nothing that may hold a description whose bytes are others'. */
static bool is_plain(const struct content *content)
{
    const struct slice multipart = S("multipart/"), security = S("application/pkcs7");
    struct slice type = content->type;

    return !(type.len >= multipart.len &&
             slice_equal_nocase(slice_until(type, multipart.len), multipart)) &&
           !(type.len >= security.len &&
             slice_equal_nocase(slice_until(type, security.len), security));
}

/* The value of a field, if it has this name. */
static bool is_field(struct slice line, struct slice name, struct slice *value)
{
    size_t colon = slice_find(line, ':');

    if (colon == line.len || !slice_equal_nocase(slice_trim(slice_until(line, colon)), name))
        return false;
    *value = slice_trim(slice_from(line, colon + 1));
    return true;
}

/* The body is compressed or otherwise encoded (20.12). */
static bool is_encoded(const struct message *m)
{
    for (unsigned i = 1; i <= m->field_count; i++) {
        const struct field *f = &m->fields[i];
        struct slice line = slice_of(m->bytes.at + f->line, (size_t)(f->end - f->line)), value;
        if (f->header == HEADER_OTHER &&
            (is_field(line, S("content-encoding"), &value) || is_field(line, S("e"), &value)) &&
            !slice_equal_nocase(value, S("identity")))
            return true;
    }
    return false;
}

/* Takes a header line of a part, with its folds; false at the empty line. */
static bool take_line(struct slice *rest, struct slice *line)
{
    size_t end = 0;

    do {
        end += slice_find(slice_from(*rest, end), '\n');
        end += end < rest->len;
    } while (end < rest->len && (rest->at[end] == ' ' || rest->at[end] == '\t'));
    *line = slice_trim(slice_until(*rest, end));
    *rest = slice_from(*rest, end);
    return line->len;
}

/* Reads the header of a part; what is left is its body.  False if it is encoded, or of a type that
 * cannot be read. */
static bool read_part(struct slice *part, struct content *content)
{
    struct slice line, value;
    unsigned types = 0;

    *content = (struct content){S("text/plain"), NO_SLICE}; /* RFC 2046 5.1 */
    while (take_line(part, &line)) {
        if (is_field(line, S("content-type"), &value) && (types++ || !read_type(value, content)))
            return false;
        if (is_field(line, S("content-encoding"), &value))
            return false;
        if (is_field(line, S("content-transfer-encoding"), &value) &&
            !slice_equal_nocase(value, S("binary")) && !slice_equal_nocase(value, S("8bit")) &&
            !slice_equal_nocase(value, S("7bit")))
            return false;
    }
    return true;
}

/* "--" boundary, and then "--", or blanks to the end of the line; 0 or its length. */
static size_t delimiter_length(struct slice s, struct slice boundary)
{
    size_t len = 2 + boundary.len, end = len;

    if (s.len < len || s.at[0] != '-' || s.at[1] != '-' ||
        !slice_starts(slice_from(s, 2), boundary))
        return 0;
    while (end < s.len && (s.at[end] == ' ' || s.at[end] == '\t'))
        end++;
    return slice_starts(slice_from(s, len), S("--")) || end == s.len || s.at[end] == '\r' ||
                   s.at[end] == '\n'
               ? len
               : 0;
}

/* Where the next delimiter begins a line from `at` on, and past it; s.len if there is none. */
static size_t find_boundary(struct slice s, size_t at, struct slice boundary, size_t *past)
{
    while (at < s.len) {
        struct slice here = slice_from(s, at);
        size_t len = delimiter_length(here, boundary);
        *past = at + len;
        if (len)
            return at;
        at += slice_find(here, '\n') + 1;
    }
    return s.len;
}

/* A part without the line break before its boundary, which is no part of it. */
static struct slice cut_part(struct slice body, size_t start, size_t end)
{
    if (end > start && body.at[end - 1] == '\n')
        end--;
    if (end > start && body.at[end - 1] == '\r')
        end--;
    return slice_of(body.at + start, end - start);
}

/* RFC 2046 5.1.1.  A second description would leave open which one counts. */
static enum body find_in_parts(struct slice body, struct slice boundary, struct slice *sdp)
{
    enum body found = BODY_WITHOUT_SDP;
    size_t past = 0, end;

    if (!boundary.len)
        return BODY_OPAQUE;
    end = find_boundary(body, 0, boundary, &past);
    for (unsigned i = 0; i < BODY_PARTS; i++) {
        struct content content;
        struct slice part;
        size_t start;
        if (end == body.len)
            return BODY_OPAQUE; /* it has no end */
        if (slice_starts(slice_from(body, past), S("--")))
            return found;
        start = past + slice_find(slice_from(body, past), '\n');
        if (start == body.len)
            return BODY_OPAQUE;
        end = find_boundary(body, ++start, boundary, &past);
        part = cut_part(body, start, end);
        if (!read_part(&part, &content) || !is_plain(&content))
            return BODY_OPAQUE;
        if (!is_type(&content, S("application/sdp")))
            continue;
        if (found == BODY_SDP)
            return BODY_OPAQUE;
        *sdp = part;
        found = BODY_SDP;
    }
    return BODY_OPAQUE;
}

enum body body_find_sdp(const struct message *m, struct slice *sdp)
{
    struct slice body = message_body(m);
    struct content content;

    if (!body.len)
        return BODY_WITHOUT_SDP;
    if (message_count(m, HEADER_CONTENT_TYPE) != 1 || is_encoded(m) ||
        !read_type(message_first(m, HEADER_CONTENT_TYPE), &content))
        return BODY_OPAQUE;
    if (is_type(&content, S("multipart/mixed")))
        return find_in_parts(body, content.boundary, sdp);
    if (!is_plain(&content))
        return BODY_OPAQUE;
    if (!is_type(&content, S("application/sdp")))
        return BODY_WITHOUT_SDP;
    *sdp = body;
    return BODY_SDP;
}
