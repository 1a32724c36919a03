#include "base/json_read.h"

#include "base/utf8.h"

static size_t skip_space(struct slice s, size_t at)
{
    while (at < s.len && slice_is_space(s.at[at]))
        at++;
    return at;
}

/* Four hex digits. */
static bool read_code(struct slice s, size_t at, uint32_t *code)
{
    uint8_t bytes[2];

    if (at > s.len || s.len - at < 4 || !hex_decode(slice_of(s.at + at, 4), bytes, sizeof bytes))
        return false;
    *code = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

/* Past the escape whose backslash is at `at`, and what it stands for; 0 if it is none (7). */
static size_t read_escape(struct slice s, size_t at, uint32_t *code)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;
    uint32_t low;

    if (s.len - at < 2)
        return 0;
    letter = memchr(letters, s.at[at + 1], sizeof letters - 1);
    if (letter) {
        *code = (unsigned char)meanings[letter - letters];
        return at + 2;
    }
    if (s.at[at + 1] != 'u' || !read_code(s, at + 2, code))
        return 0;
    if (*code < 0xd800 || *code > 0xdfff)
        return at + 6;
    if (*code > 0xdbff || s.len - at < 12 || s.at[at + 6] != '\\' || s.at[at + 7] != 'u' ||
        !read_code(s, at + 8, &low) || low < 0xdc00 || low > 0xdfff)
        return 0;
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return at + 12;
}

/* From past the opening quote to past the closing one; 0 if it is no string. */
static size_t skip_string(struct slice s, size_t at)
{
    uint32_t code;

    while (at < s.len && s.at[at] != '"') {
        size_t len;
        if (s.at[at] == '\\') {
            at = read_escape(s, at, &code);
            if (!at)
                return 0;
            continue;
        }
        len = utf8_sequence(slice_from(s, at));
        if (!len || (unsigned char)s.at[at] < ' ')
            return 0;
        at += len;
    }
    return at < s.len ? at + 1 : 0;
}

/* Past at least one digit; 0 if there is none. */
static size_t skip_digits(struct slice s, size_t at)
{
    size_t start = at;

    while (at < s.len && s.at[at] >= '0' && s.at[at] <= '9')
        at++;
    return at > start ? at : 0;
}

/* [ minus ] int [ frac ] [ exp ] (6); 0 if it is no number. */
static size_t skip_number(struct slice s, size_t at)
{
    size_t start = at += s.at[at] == '-';

    at = skip_digits(s, at);
    if (!at || (s.at[start] == '0' && at > start + 1))
        return 0;
    if (at < s.len && s.at[at] == '.')
        at = skip_digits(s, at + 1);
    if (at && at < s.len && (s.at[at] | 0x20) == 'e') {
        at++;
        at += at < s.len && (s.at[at] == '+' || s.at[at] == '-');
        at = skip_digits(s, at);
    }
    return at;
}

static size_t skip_value(struct slice s, size_t at, unsigned depth, struct json_value *value);

/* A member's name and its colon; 0 if it is none. */
static size_t skip_name(struct slice s, size_t at, struct slice *name)
{
    size_t end;

    if (at == s.len || s.at[at] != '"')
        return 0;
    end = skip_string(s, at + 1);
    if (!end)
        return 0;
    *name = slice_of(s.at + at + 1, end - at - 2);
    end = skip_space(s, end);
    return end < s.len && s.at[end] == ':' ? skip_space(s, end + 1) : 0;
}

/* From past the opening bracket to past the closing one; 0 if anything between is wrong. */
static size_t skip_brackets(struct slice s, size_t at, unsigned depth, bool is_object)
{
    const char closing = is_object ? '}' : ']';
    struct json_value value;
    struct slice name;

    at = skip_space(s, at);
    if (at < s.len && s.at[at] == closing)
        return at + 1;
    for (;;) {
        if (is_object)
            at = skip_name(s, at, &name);
        if (is_object && !at)
            return 0;
        at = skip_value(s, at, depth, &value);
        if (!at)
            return 0;
        at = skip_space(s, at);
        if (at == s.len || (s.at[at] != ',' && s.at[at] != closing))
            return 0;
        if (s.at[at] == closing)
            return at + 1;
        at = skip_space(s, at + 1);
    }
}

/* true, false or null. */
static size_t skip_word(struct slice s, size_t at, struct json_value *value)
{
    static const struct {
        struct slice word;
        enum json_kind kind;
    } words[] = {{S("true"), JSON_TRUE}, {S("false"), JSON_FALSE}, {S("null"), JSON_NULL}};

    for (unsigned i = 0; i < COUNT_OF(words); i++)
        if (slice_starts(slice_from(s, at), words[i].word)) {
            *value = (struct json_value){words[i].kind, slice_of(s.at + at, words[i].word.len)};
            return at + words[i].word.len;
        }
    return 0;
}

/* Past the value at `at`, which `depth` brackets may still open in; 0 if there is none. */
static size_t skip_value(struct slice s, size_t at, unsigned depth, struct json_value *value)
{
    char first = at < s.len ? s.at[at] : 0;
    size_t end;

    if (first == '"' || first == '{' || first == '[') {
        bool is_string = first == '"';
        if (!is_string && !depth)
            return 0;
        end =
            is_string ? skip_string(s, at + 1) : skip_brackets(s, at + 1, depth - 1, first == '{');
        if (end) {
            value->kind = is_string ? JSON_STRING : first == '{' ? JSON_OBJECT : JSON_LIST;
            value->text = slice_of(s.at + at + 1, end - at - 2);
        }
        return end;
    }
    if (first != '-' && (first < '0' || first > '9'))
        return skip_word(s, at, value);
    end = skip_number(s, at);
    if (end)
        *value = (struct json_value){JSON_NUMBER, slice_of(s.at + at, end - at)};
    return end;
}

bool json_read(struct slice text, struct json_value *value)
{
    size_t end = skip_value(text, skip_space(text, 0), JSON_DEPTH, value);

    return end && skip_space(text, end) == text.len;
}

/* Past what separates it from the next. */
static void take(struct slice *rest, size_t end)
{
    end = skip_space(*rest, end);
    *rest = slice_from(*rest, min_u64(end + 1, rest->len));
}

bool json_take_member(struct slice *rest, struct slice *name, struct json_value *value)
{
    size_t at = skip_name(*rest, skip_space(*rest, 0), name);

    if (at)
        at = skip_value(*rest, at, JSON_DEPTH, value);
    if (at)
        take(rest, at);
    return at;
}

bool json_take_item(struct slice *rest, struct json_value *value)
{
    size_t at = skip_value(*rest, skip_space(*rest, 0), JSON_DEPTH, value);

    if (at)
        take(rest, at);
    return at;
}

bool json_find(const struct json_value *object, struct slice name, enum json_kind kind,
               struct json_value *value)
{
    struct slice rest = object->text, other;
    struct json_value found;
    unsigned count = 0;

    if (object->kind != JSON_OBJECT)
        return false;
    while (json_take_member(&rest, &other, &found)) {
        if (!slice_equal(other, name))
            continue;
        *value = found;
        count++;
    }
    return count == 1 && value->kind == kind;
}

static void write_code(struct writer *w, uint32_t code)
{
    unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};

    write_char(w, (char)(leads[more] | code >> (6 * more)));
    while (more--)
        write_char(w, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

void json_unescape(struct writer *w, struct slice string)
{
    while (string.len) {
        size_t plain = slice_find(string, '\\'), end;
        uint32_t code;

        write_slice(w, slice_until(string, plain));
        string = slice_from(string, plain);
        if (!string.len)
            return;
        end = read_escape(string, 0, &code);
        assert(end);
        write_code(w, code);
        string = slice_from(string, end);
    }
}
