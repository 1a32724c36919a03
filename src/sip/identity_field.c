#include "sip/identity_field.h"

#include "base/base64.h"
#include "sip/grammar.h"

static bool is_base64url(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!grammar_is(s.at[i], IS_ALPHA | IS_DIGIT) && s.at[i] != '-' && s.at[i] != '_')
            return false;
    return true;
}

/* header "." payload "." signature, or ".." signature. */
static bool split_digest(struct slice digest, struct identity_field *identity)
{
    size_t first = slice_find(digest, '.'), second;

    if (first == digest.len)
        return false;
    second = first + 1 + slice_find(slice_from(digest, first + 1), '.');
    if (second >= digest.len)
        return false;
    identity->header = slice_until(digest, first);
    identity->payload = slice_of(digest.at + first + 1, second - first - 1);
    identity->signature = slice_from(digest, second + 1);
    identity->covered = second > 1 ? slice_until(digest, second) : NO_SLICE;
    return identity->signature.len && is_base64url(identity->signature) &&
           is_base64url(identity->header) && is_base64url(identity->payload) &&
           !identity->header.len == !identity->payload.len;
}

/* LAQUOT absoluteURI RAQUOT behind `at`; past it, 0 if it is none. */
static size_t read_info(struct slice s, size_t at, struct slice *info)
{
    size_t end;

    at = grammar_skip_space(s, at);
    if (at == s.len || s.at[at] != '<')
        return 0;
    end = grammar_skip(s, ++at, IN_URI);
    if (end == at || end == s.len || s.at[end] != '>')
        return 0;
    *info = slice_of(s.at + at, end - at);
    return grammar_skip_space(s, end + 1);
}

static struct slice without_quotes(struct slice value)
{
    return value.len > 1 && value.at[0] == '"' ? slice_of(value.at + 1, value.len - 2) : value;
}

/* SEMI name [ EQUAL value ] at `at`; past it, 0 if it is malformed or there for the second time. */
static size_t read_param(struct slice s, size_t at, struct identity_field *identity)
{
    size_t start = grammar_skip_space(s, at + 1);
    size_t end = grammar_skip(s, start, IN_TOKEN), equal = grammar_skip_space(s, end), past;
    struct slice name = slice_of(s.at + start, end - start), value;

    if (grammar_same_word(name, S("info")) && equal < s.len && s.at[equal] == '=')
        return identity->info.at ? 0 : read_info(s, equal + 1, &identity->info);
    past = grammar_param(s, at, &name, &value);
    if (past == at)
        return 0;
    if (grammar_same_word(name, S("alg"))) {
        if (identity->algorithm.at)
            return 0;
        identity->algorithm = without_quotes(value);
    } else if (grammar_same_word(name, S("ppt"))) {
        if (identity->type.at)
            return 0;
        identity->type = without_quotes(value);
    }
    return past;
}

bool identity_field_parse(struct slice value, struct identity_field *identity)
{
    size_t start = grammar_skip_space(value, 0), at = start;

    *identity = (struct identity_field){0};
    while (at < value.len && (is_base64url(slice_of(value.at + at, 1)) || value.at[at] == '.'))
        at++;
    if (!split_digest(slice_of(value.at + start, at - start), identity))
        return false;
    at = grammar_skip_space(value, at);
    while (at < value.len && value.at[at] == ';') {
        at = read_param(value, at, identity);
        if (!at)
            return false;
    }
    if (!identity->algorithm.at)
        identity->algorithm = S("ES256");
    return at == value.len && identity->info.at;
}

bool identity_field_signature(const struct identity_field *identity, uint8_t *signature)
{
    struct writer w = writer_over((char *)signature, ES256_SIGNATURE);

    return slice_equal(identity->algorithm, S("ES256")) &&
           base64url_decode(&w, identity->signature) && w.len == ES256_SIGNATURE;
}

void identity_field_write(struct writer *w, const struct passport *passport, struct slice covered,
                          const uint8_t *signature)
{
    write_slice(w, covered);
    write_char(w, '.');
    write_base64url(w, slice_of((const char *)signature, ES256_SIGNATURE));
    write_slice(w, S(";info=<"));
    write_slice(w, passport->info);
    write_char(w, '>');
    if (!passport->type.len)
        return;
    write_slice(w, S(";ppt=\""));
    write_slice(w, passport->type);
    write_char(w, '"');
}
