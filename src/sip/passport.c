#include "sip/passport.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/utf8.h"
#include "sip/grammar.h"

/* ---- writing */

static bool may_write(struct slice text)
{
    return text.len && text.len <= PASSPORT_NAME && utf8_is_valid(text);
}

/* {"alg":"ES256","ppt":"div","typ":"passport","x5u":"..."} (4, 8.1) */
static void write_header(struct writer *w, const struct passport *passport)
{
    json_begin(w);
    json_text(w, S("alg"), S("ES256"));
    if (passport->type.len)
        json_text(w, S("ppt"), passport->type);
    json_text(w, S("typ"), S("passport"));
    json_text(w, S("x5u"), passport->info);
    json_end(w);
}

static struct slice kind_of(const struct passport_name *name)
{
    return name->is_number ? S("tn") : S("uri");
}

/* "orig":{"uri":"..."} */
static void write_name(struct writer *w, struct slice claim, const struct passport_name *name)
{
    json_open(w, claim);
    json_text(w, kind_of(name), name->text);
    json_end(w);
}

/* "dest":{"uri":["..."]} */
static void write_dest(struct writer *w, const struct passport_name *name)
{
    json_open(w, S("dest"));
    json_list(w, kind_of(name));
    json_item(w, name->text);
    json_list_end(w);
    json_end(w);
}

/* "mky":[{"alg":"sha-256","dig":"..."}], the digests without their colons (5.2.2) */
static void write_keys(struct writer *w, const struct fingerprints *keys)
{
    json_list(w, S("mky"));
    for (unsigned i = 0; i < keys->count; i++) {
        const struct fingerprint *key = &keys->at[i];
        char at[2 * FINGERPRINT_BYTES];
        struct writer digest = writer_over(at, sizeof at);
        for (size_t c = 0; c < key->digest.len; c++)
            if (key->digest.at[c] != ':')
                write_char(&digest, key->digest.at[c]);
        json_next(w);
        json_text(w, S("alg"), key->algorithm);
        json_text(w, S("dig"), writer_slice(&digest));
        json_end(w);
    }
    json_list_end(w);
}

static bool is_div(const struct passport *passport)
{
    return slice_equal(passport->type, S("div"));
}

static bool is_answer(const struct passport *passport)
{
    return slice_equal(passport->type, S("answer"));
}

/* "call":{"from":"...","id":"...","to":"..."} */
static void write_call(struct writer *w, const struct passport_call *call)
{
    json_open(w, S("call"));
    json_text(w, S("from"), call->from);
    json_text(w, S("id"), call->id);
    json_text(w, S("to"), call->to);
    json_end(w);
}

static void write_payload(struct writer *w, const struct passport *passport)
{
    json_begin(w);
    if (is_answer(passport))
        write_call(w, &passport->call);
    write_dest(w, &passport->dest[0]);
    if (is_div(passport))
        write_name(w, S("div"), &passport->div);
    json_number(w, S("iat"), (uint64_t)passport->iat);
    if (passport->keys.count)
        write_keys(w, &passport->keys);
    write_name(w, S("orig"), &passport->orig);
    json_end(w);
}

/* What its type has beside the claims of every PASSporT. */
static bool may_write_type(const struct passport *passport)
{
    if (is_answer(passport))
        return may_write(passport->call.from) && may_write(passport->call.id) &&
               may_write(passport->call.to);
    return !is_div(passport) || may_write(passport->div.text);
}

void passport_write(struct writer *w, const struct passport *passport)
{
    char header_at[PASSPORT_HEADER], payload_at[PASSPORT_PAYLOAD];
    struct writer header = writer_over(header_at, sizeof header_at);
    struct writer payload = writer_over(payload_at, sizeof payload_at);

    if (!may_write(passport->info) || !may_write(passport->orig.text) ||
        passport->dest_count != 1 || !may_write(passport->dest[0].text) || passport->iat < 0 ||
        !may_write_type(passport)) {
        w->failed = true;
        return;
    }
    write_header(&header, passport);
    write_payload(&payload, passport);
    w->failed |= header.failed || payload.failed;
    write_base64url(w, writer_slice(&header));
    write_char(w, '.');
    write_base64url(w, writer_slice(&payload));
}

/* ---- reading */

/* A string; `unescaped` keeps it if it has escapes.  False if it is empty or too long. */
static bool read_text(struct writer *unescaped, const struct json_value *value, struct slice *text)
{
    size_t start = unescaped->len;

    *text = value->text;
    if (slice_find(*text, '\\') < text->len) {
        json_unescape(unescaped, *text);
        *text = slice_from(writer_slice(unescaped), start);
    }
    return text->len && text->len <= PASSPORT_NAME && !unescaped->failed;
}

static bool find_text(struct writer *unescaped, const struct json_value *object, struct slice name,
                      struct slice *text)
{
    struct json_value value;

    return json_find(object, name, JSON_STRING, &value) && read_text(unescaped, &value, text);
}

/* There is such a member, whatever it is. */
static bool has_member(const struct json_value *object, struct slice name)
{
    struct slice rest = object->text, other;
    struct json_value value;

    while (json_take_member(&rest, &other, &value))
        if (slice_equal(other, name))
            return true;
    return false;
}

/* {"tn":"..."} or {"uri":"..."} */
static bool read_name(struct writer *unescaped, const struct json_value *claims, struct slice claim,
                      struct passport_name *name)
{
    struct json_value object;

    if (!json_find(claims, claim, JSON_OBJECT, &object))
        return false;
    name->is_number = has_member(&object, S("tn"));
    if (name->is_number && has_member(&object, S("uri")))
        return false;
    return find_text(unescaped, &object, kind_of(name), &name->text);
}

static bool read_dests(struct writer *unescaped, const struct json_value *dest, bool is_number,
                       struct passport *passport)
{
    struct slice name = is_number ? S("tn") : S("uri"), rest;
    struct json_value list, item;

    if (!has_member(dest, name))
        return true;
    if (!json_find(dest, name, JSON_LIST, &list))
        return false;
    for (rest = list.text; json_take_item(&rest, &item); passport->dest_count++) {
        struct passport_name *into = &passport->dest[passport->dest_count];
        if (passport->dest_count == PASSPORT_DESTS || item.kind != JSON_STRING)
            return false;
        into->is_number = is_number;
        if (!read_text(unescaped, &item, &into->text))
            return false;
    }
    return true;
}

static bool read_keys(struct writer *unescaped, const struct json_value *claims,
                      struct fingerprints *keys)
{
    struct json_value list, item;
    struct slice rest;

    if (!has_member(claims, S("mky")))
        return true;
    if (!json_find(claims, S("mky"), JSON_LIST, &list))
        return false;
    for (rest = list.text; json_take_item(&rest, &item);) {
        struct slice algorithm, digest;
        if (!find_text(unescaped, &item, S("alg"), &algorithm) ||
            !find_text(unescaped, &item, S("dig"), &digest) ||
            !fingerprints_add(keys, algorithm, digest))
            return false;
    }
    return keys->count;
}

static bool read_header(struct writer *unescaped, const struct json_value *header,
                        struct passport *passport)
{
    struct slice algorithm, type;

    if (!find_text(unescaped, header, S("alg"), &algorithm) ||
        !slice_equal(algorithm, S("ES256")) || !find_text(unescaped, header, S("typ"), &type) ||
        !slice_equal(type, S("passport")))
        return false;
    if (has_member(header, S("ppt")) && !find_text(unescaped, header, S("ppt"), &passport->type))
        return false;
    /* RFC 7515 4.1.11: what must be understood, and is not. */
    return !has_member(header, S("crit")) &&
           find_text(unescaped, header, S("x5u"), &passport->info);
}

static bool read_call(struct writer *unescaped, const struct json_value *claims,
                      struct passport_call *call)
{
    struct json_value object;

    return json_find(claims, S("call"), JSON_OBJECT, &object) &&
           find_text(unescaped, &object, S("from"), &call->from) &&
           find_text(unescaped, &object, S("id"), &call->id) &&
           find_text(unescaped, &object, S("to"), &call->to);
}

static bool read_payload(struct writer *unescaped, const struct json_value *claims,
                         struct passport *passport)
{
    struct json_value dest, iat;
    uint64_t seconds;

    if (!json_find(claims, S("iat"), JSON_NUMBER, &iat) ||
        !slice_number(iat.text, INT64_MAX, &seconds) ||
        !json_find(claims, S("dest"), JSON_OBJECT, &dest))
        return false;
    passport->iat = (int64_t)seconds;
    if (!read_dests(unescaped, &dest, true, passport) ||
        !read_dests(unescaped, &dest, false, passport) || !passport->dest_count)
        return false;
    if (is_answer(passport) && !read_call(unescaped, claims, &passport->call))
        return false;
    if (is_div(passport) &&
        (has_member(claims, S("opt")) || !read_name(unescaped, claims, S("div"), &passport->div)))
        return false;
    return read_name(unescaped, claims, S("orig"), &passport->orig) &&
           read_keys(unescaped, claims, &passport->keys);
}

static bool decode(struct slice encoded, char *at, size_t limit, struct json_value *object)
{
    struct writer w = writer_over(at, limit);

    return base64url_decode(&w, encoded) && json_read(writer_slice(&w), object) &&
           object->kind == JSON_OBJECT;
}

bool passport_read(struct slice header, struct slice payload, struct passport_text *text,
                   struct passport *passport)
{
    struct writer unescaped = writer_over(text->unescaped, sizeof text->unescaped);
    struct json_value object, claims;

    *passport = (struct passport){0};
    return decode(header, text->header, sizeof text->header, &object) &&
           decode(payload, text->payload, sizeof text->payload, &claims) &&
           read_header(&unescaped, &object, passport) &&
           read_payload(&unescaped, &claims, passport);
}

/* ---- names */

/* unreserved of RFC 3986 2.3, which is never escaped in the canonical form. */
static bool is_unreserved(char c)
{
    return grammar_is(c, IS_ALPHA | IS_DIGIT) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Case counts in an escape as little as elsewhere, but RFC 3986 6.2.2.1 writes it in capitals. */
static void write_user(struct writer *w, struct slice user)
{
    for (size_t i = 0; i < user.len; i++) {
        uint8_t byte;
        if (user.len - i < 3 || user.at[i] != '%' ||
            !hex_decode(slice_of(user.at + i + 1, 2), &byte, 1)) {
            write_char(w, ascii_lower(user.at[i]));
            continue;
        }
        i += 2;
        if (is_unreserved((char)byte)) {
            write_char(w, ascii_lower((char)byte));
            continue;
        }
        write_char(w, '%');
        write_char(w, "0123456789ABCDEF"[byte >> 4]);
        write_char(w, "0123456789ABCDEF"[byte & 15]);
    }
}

bool passport_write_uri(struct writer *w, const struct uri *uri)
{
    if ((uri->scheme != SCHEME_SIP && uri->scheme != SCHEME_SIPS) || !uri->user.len)
        return false;
    write_slice(w, uri->scheme == SCHEME_SIP ? S("sip:") : S("sips:"));
    write_user(w, uri->user);
    write_char(w, '@');
    for (size_t i = 0; i < uri->host.len; i++)
        write_char(w, ascii_lower(uri->host.at[i]));
    return !w->failed;
}

bool passport_is_number(const struct uri *uri)
{
    struct slice value;

    return uri->scheme == SCHEME_TEL || (uri->user.len && uri->user.at[0] == '+') ||
           (uri_param(uri, S("user"), &value) && slice_equal_nocase(value, S("phone")));
}

bool passport_same_name(const struct passport_name *a, const struct passport_name *b)
{
    return a->is_number == b->is_number && slice_equal(a->text, b->text);
}
