#include "core/answer.h"

#include "sip/address.h"
#include "sip/body.h"
#include "sip/identity_field.h"

#define FIELD S("P-SIPWITCH-Answer")
#define TYPE S("answer")
#define SCHEME S("sip:")

/* ---- what a response says */

/* The body's media keys; false if they cannot be read. */
static bool read_keys(const struct message *m, struct fingerprints *keys)
{
    struct slice sdp;

    keys->count = 0;
    return body_find_sdp(m, &sdp) != BODY_SDP || fingerprints_read(sdp, keys);
}

/* All but who signs, when and with which certificate; `dest` keeps its name. */
static bool read_claims(const struct message *m, char *dest, struct passport *passport)
{
    *passport = (struct passport){
        .type = TYPE,
        .dest_count = 1,
        .call =
            {
                .from = address_tag(message_first(m, HEADER_FROM)),
                .id = message_first(m, HEADER_CALL_ID),
                .to = address_tag(message_first(m, HEADER_TO)),
            },
    };
    return vouch_read_name(message_first(m, HEADER_FROM), dest, &passport->dest[0]) &&
           read_keys(m, &passport->keys);
}

/* ---- signing */

enum vouching answer_sign(const struct message *m, const struct voucher *voucher,
                          const struct es256_table *es256, int64_t wall, struct writer *line)
{
    char covered_at[PASSPORT_SIGNED], dest[PASSPORT_NAME], orig[PASSPORT_NAME];
    struct writer covered = writer_over(covered_at, sizeof covered_at);
    struct writer name = writer_over(orig, sizeof orig);
    uint8_t signature[ES256_SIGNATURE];
    struct passport passport;

    if (!read_claims(m, dest, &passport))
        return VOUCH_UNCLEAR;
    if (!passport.keys.count)
        return VOUCH_NOT_OURS;
    if (wall < voucher->not_before || wall > voucher->not_after)
        return VOUCH_STALE;
    write_slice(&name, SCHEME);
    write_slice(&name, voucher->domain);
    passport.orig.text = writer_slice(&name);
    passport.info = voucher->info;
    passport.iat = wall;
    passport_write(&covered, &passport);
    if (covered.failed || name.failed)
        return VOUCH_UNCLEAR;
    if (!es256->sign(voucher->key, writer_slice(&covered), signature))
        return VOUCH_FAILED;
    write_slice(line, FIELD);
    write_slice(line, S(": "));
    identity_field_write(line, &passport, writer_slice(&covered), signature);
    write_slice(line, S("\r\n"));
    return line->failed ? VOUCH_UNCLEAR : VOUCHED;
}

/* ---- checking */

/* The value of the one such field; false if there is none, or several. */
static bool find_value(const struct message *m, struct slice *value)
{
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_ASSERTION]; i; i = m->fields[i].next) {
        if (!slice_equal_nocase(message_name(m, i), FIELD))
            continue;
        *value = message_value(m, i);
        count++;
    }
    return count == 1;
}

static bool same_call(const struct passport_call *a, const struct passport_call *b)
{
    return slice_equal(a->from, b->from) && slice_equal(a->id, b->id) && slice_equal(a->to, b->to);
}

/* What the PASSporT says is what the response says. */
static bool agrees(const struct passport *said, const struct passport *seen)
{
    bool has_dest = false;

    for (unsigned i = 0; i < said->dest_count; i++)
        has_dest = has_dest || passport_same_name(&said->dest[i], &seen->dest[0]);
    return has_dest && same_call(&said->call, &seen->call) &&
           fingerprints_equal(&said->keys, &seen->keys);
}

static bool is_usable(const struct certificate *certificate, int64_t iat)
{
    return certificate->state == CERTIFICATE_GOOD && iat >= certificate->not_before &&
           iat <= certificate->not_after;
}

static bool is_fresh(int64_t then, int64_t wall)
{
    return then >= wall - VOUCH_FRESH && then <= wall + VOUCH_FRESH;
}

/* The domain that signs, as its PASSporT names it. */
static bool read_signer(const struct passport *said, struct slice *domain)
{
    if (said->orig.is_number || !slice_starts(said->orig.text, SCHEME))
        return false;
    *domain = slice_from(said->orig.text, SCHEME.len);
    return domain->len && domain->len <= PASSPORT_NAME;
}

enum answer_verdict answer_check(const struct message *m, struct slice asked,
                                 certificate_function *certificate, void *self,
                                 const struct es256_table *es256, int64_t wall)
{
    uint8_t signature[ES256_SIGNATURE];
    struct passport said, seen;
    struct passport_text text;
    struct identity_field field;
    struct certificate found;
    struct slice value, domain;
    char dest[PASSPORT_NAME];
    bool is_read = read_claims(m, dest, &seen);

    if (!find_value(m, &value))
        return is_read && !seen.keys.count ? ANSWER_NOTHING : ANSWER_UNSIGNED;
    if (!identity_field_parse(value, &field) || !slice_equal(field.type, TYPE) ||
        !passport_read(field.header, field.payload, &text, &said) ||
        !slice_equal(said.type, TYPE) || !slice_equal(said.info, field.info) ||
        !read_signer(&said, &domain) || !identity_field_signature(&field, signature))
        return ANSWER_CHANGED;
    if ((asked.len && !slice_equal_nocase(domain, asked)) || !is_fresh(said.iat, wall) ||
        !slice_starts(said.info, S("https://")))
        return ANSWER_UNSIGNED;
    if (!is_read || !agrees(&said, &seen))
        return ANSWER_CHANGED;
    found = certificate(self, said.info, domain);
    if (found.state == CERTIFICATE_UNKNOWN)
        return ANSWER_WAITING;
    if (!is_usable(&found, said.iat))
        return ANSWER_UNSIGNED;
    return es256->verify(found.point, field.covered, signature) ? ANSWER_PROVEN : ANSWER_CHANGED;
}
