#include "base/json.h"

#include "base/utf8.h"

/* Nothing stands between the last thing written and the next: a member or an item does. */
static void separate(struct writer *w)
{
    char last = w->len ? w->at[w->len - 1] : '{';

    if (last != '{' && last != '[')
        write_char(w, ',');
}

static void write_escape(struct writer *w, unsigned code)
{
    write_slice(w, S("\\u"));
    write_hex(w, code, 4);
}

/* C1 control characters (U+0080 to U+009F) make terminals obey, too. */
static void write_sequence(struct writer *w, struct slice s)
{
    uint8_t first = (uint8_t)s.at[0];

    if (first == '"' || first == '\\') {
        write_char(w, '\\');
        write_char(w, (char)first);
    } else if (first == '\r' || first == '\n') {
        write_slice(w, first == '\r' ? S("\\r") : S("\\n"));
    } else if (first < 0x20 || first == 0x7f) {
        write_escape(w, first);
    } else if (first == 0xc2 && (uint8_t)s.at[1] < 0xa0) {
        write_escape(w, (uint8_t)s.at[1]);
    } else {
        write_slice(w, s);
    }
}

static void write_string(struct writer *w, struct slice s, size_t limit)
{
    struct slice rest = slice_until(s, min_u64(s.len, limit));

    write_char(w, '"');
    while (rest.len) {
        size_t len = utf8_sequence(rest);

        if (len)
            write_sequence(w, slice_until(rest, len));
        else
            write_escape(w, 0xfffd);
        rest = slice_from(rest, len ? len : 1);
    }
    write_char(w, '"');
}

static void write_name(struct writer *w, struct slice name)
{
    separate(w);
    write_string(w, name, JSON_TEXT);
    write_char(w, ':');
}

void json_begin(struct writer *w)
{
    write_char(w, '{');
}

void json_next(struct writer *w)
{
    separate(w);
    write_char(w, '{');
}

void json_end(struct writer *w)
{
    write_char(w, '}');
}

void json_text(struct writer *w, struct slice name, struct slice value)
{
    write_name(w, name);
    write_string(w, value, JSON_TEXT);
}

void json_whole(struct writer *w, struct slice name, struct slice value)
{
    write_name(w, name);
    write_string(w, value, SIZE_MAX);
}

void json_number(struct writer *w, struct slice name, uint64_t value)
{
    write_name(w, name);
    write_number(w, value);
}

void json_bool(struct writer *w, struct slice name, bool value)
{
    write_name(w, name);
    write_slice(w, value ? S("true") : S("false"));
}

void json_null(struct writer *w, struct slice name)
{
    write_name(w, name);
    write_slice(w, S("null"));
}

void json_open(struct writer *w, struct slice name)
{
    write_name(w, name);
    write_char(w, '{');
}

void json_list(struct writer *w, struct slice name)
{
    write_name(w, name);
    write_char(w, '[');
}

void json_item(struct writer *w, struct slice value)
{
    separate(w);
    write_string(w, value, JSON_TEXT);
}

void json_list_end(struct writer *w)
{
    write_char(w, ']');
}
