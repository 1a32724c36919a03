#include "core/vouch.h"

#include "core/fault.h"
#include "sip/address.h"
#include "sip/body.h"
#include "sip/date.h"
#include "sip/identity_field.h"

/* ---- what a request says */

struct claims {
    char orig_at[PASSPORT_NAME], dest_at[PASSPORT_NAME];
    struct passport passport; /* without info and iat */
    struct slice domain;      /* of From, in lower case */
    bool has_date, is_date_bad;
    int64_t date;
};

/* The canonical name that a URI has (8.5); false if it has none or is a number. */
static bool name_uri(const struct uri *uri, char *at, struct passport_name *name)
{
    struct writer w = writer_over(at, PASSPORT_NAME);

    if (passport_is_number(uri) || !passport_write_uri(&w, uri))
        return false;
    *name = (struct passport_name){false, writer_slice(&w)};
    return true;
}

/* A destination may be a number, too, which then stands in PASSporTs as its digits (8.3). */
static bool name_dest(const struct uri *uri, char *at, struct passport_name *name)
{
    struct writer w = writer_over(at, PASSPORT_NAME);

    if (name_uri(uri, at, name))
        return true;
    if (!passport_is_number(uri))
        return false;
    for (size_t i = 0; i < uri->user.len && uri->user.at[i] != ';'; i++) {
        char c = uri->user.at[i];
        if ((c >= '0' && c <= '9') || c == '#' || c == '*')
            write_char(&w, c);
    }
    *name = (struct passport_name){true, writer_slice(&w)};
    return w.len && !w.failed;
}

/* The URI in a From or To. */
static bool read_uri(struct slice value, struct uri *uri)
{
    struct address address;
    struct slice tag;

    return address_parse(value, &address, &tag) && uri_parse(address.uri, uri);
}

bool vouch_read_name(struct slice value, char *at, struct passport_name *name)
{
    struct uri uri;

    return read_uri(value, &uri) && name_uri(&uri, at, name);
}

static bool read_dest(struct slice value, char *at, struct passport_name *name)
{
    struct uri uri;

    return read_uri(value, &uri) && name_dest(&uri, at, name);
}

static bool read_keys(const struct message *m, struct fingerprints *keys)
{
    struct slice sdp;

    return body_find_sdp(m, &sdp) != BODY_SDP || fingerprints_read(sdp, keys);
}

static void read_date(const struct message *m, struct claims *claims)
{
    claims->has_date = m->first[HEADER_DATE];
    claims->is_date_bad =
        claims->has_date && (message_count(m, HEADER_DATE) > 1 ||
                             !date_parse(message_first(m, HEADER_DATE), &claims->date));
}

/* In lower case, as all of a canonical name. */
static struct slice domain_of(const struct passport_name *name)
{
    return slice_from(name->text, min_u64(slice_find(name->text, '@') + 1, name->text.len));
}

static bool read_claims(const struct message *m, struct claims *claims)
{
    struct passport *passport = &claims->passport;

    memset(passport, 0, sizeof *passport);
    read_date(m, claims);
    if (!vouch_read_name(message_first(m, HEADER_FROM), claims->orig_at, &passport->orig) ||
        !read_dest(message_first(m, HEADER_TO), claims->dest_at, &passport->dest[0]))
        return false;
    passport->dest_count = 1;
    claims->domain = domain_of(&passport->orig);
    return read_keys(m, &passport->keys);
}

static bool is_fresh(int64_t then, int64_t wall)
{
    return then >= wall - VOUCH_FRESH && then <= wall + VOUCH_FRESH;
}

/* ---- the authentication service */

static bool is_from_domain(const struct message *m, struct slice domain)
{
    char at[PASSPORT_NAME];
    struct passport_name name;

    if (!vouch_read_name(message_first(m, HEADER_FROM), at, &name))
        return false;
    return slice_equal(domain_of(&name), domain);
}

/* The line with a signed PASSporT. */
static enum vouching sign(const struct passport *passport, const struct voucher *voucher,
                          const struct es256_table *es256, struct writer *lines)
{
    char covered_at[PASSPORT_SIGNED];
    struct writer covered = writer_over(covered_at, sizeof covered_at);
    uint8_t signature[ES256_SIGNATURE];

    passport_write(&covered, passport);
    if (covered.failed)
        return VOUCH_UNCLEAR;
    if (!es256->sign(voucher->key, writer_slice(&covered), signature))
        return VOUCH_FAILED;
    write_slice(lines, S("Identity: "));
    identity_field_write(lines, passport, writer_slice(&covered), signature);
    write_slice(lines, S("\r\n"));
    return lines->failed ? VOUCH_UNCLEAR : VOUCHED;
}

enum vouching vouch_sign(const struct message *m, const struct voucher *voucher,
                         const struct es256_table *es256, int64_t wall, struct writer *lines)
{
    struct claims claims;

    if (!is_from_domain(m, voucher->domain))
        return VOUCH_NOT_OURS;
    if (!read_claims(m, &claims))
        return VOUCH_UNCLEAR;
    claims.passport.info = voucher->info;
    claims.passport.iat = claims.has_date ? claims.date : wall;
    if (claims.is_date_bad || !is_fresh(claims.passport.iat, wall) ||
        claims.passport.iat < voucher->not_before || wall > voucher->not_after)
        return VOUCH_STALE;
    if (!claims.has_date) {
        write_slice(lines, S("Date: "));
        date_write(lines, wall);
        write_slice(lines, S("\r\n"));
    }
    return sign(&claims.passport, voucher, es256, lines);
}

enum vouching vouch_divert(const struct message *m, const struct voucher *voucher,
                           const struct uri *before, const struct uri *after,
                           const struct es256_table *es256, int64_t wall, struct writer *line)
{
    char orig[PASSPORT_NAME], div[PASSPORT_NAME], dest[PASSPORT_NAME];
    struct passport passport = {
        .info = voucher->info, .type = S("div"), .dest_count = 1, .iat = wall};

    if (!name_uri(before, div, &passport.div) ||
        !slice_equal(domain_of(&passport.div), voucher->domain))
        return VOUCH_NOT_OURS;
    if (!vouch_read_name(message_first(m, HEADER_FROM), orig, &passport.orig) ||
        !name_dest(after, dest, &passport.dest[0]))
        return VOUCH_UNCLEAR;
    if (passport_same_name(&passport.div, &passport.dest[0]))
        return VOUCH_NOT_OURS;
    if (wall < voucher->not_before || wall > voucher->not_after)
        return VOUCH_STALE;
    return sign(&passport, voucher, es256, line);
}

/* ---- the verification service */

static const struct fault stale = {403, "Stale Date"};
static const struct fault bad_info = {436, "Bad Identity Info"};
static const struct fault unsupported = {437, "Unsupported Credential"};
static const struct fault invalid = {438, "Invalid Identity Header"};

/* What the PASSporT says is what the request says.  Of the compact form it is by its making. */
static bool agrees(const struct passport *said, const struct claims *claims,
                   const struct identity_field *field)
{
    bool has_dest = false;

    for (unsigned i = 0; i < said->dest_count; i++)
        has_dest = has_dest || passport_same_name(&said->dest[i], &claims->passport.dest[0]);
    return has_dest && slice_equal(said->info, field->info) && !said->type.len &&
           passport_same_name(&said->orig, &claims->passport.orig) &&
           (fingerprints_equal(&said->keys, &claims->passport.keys) ||
            fault_is(FAULT_KEYS_UNCHECKED));
}

/* A field of the known type against the request; `covered` keeps what a compact one has signed. */
static struct fault read_field(struct identity_field *field, const struct claims *claims,
                               struct writer *covered, int64_t *iat)
{
    struct passport_text text;
    struct passport said;

    if (field->covered.len) {
        if (!passport_read(field->header, field->payload, &text, &said) ||
            !agrees(&said, claims, field))
            return invalid;
        *iat = said.iat;
        return NO_FAULT;
    }
    if (!claims->has_date)
        return invalid;
    said = claims->passport;
    said.info = field->info;
    said.iat = *iat = claims->date;
    passport_write(covered, &said);
    field->covered = writer_slice(covered);
    return covered->failed ? invalid : NO_FAULT;
}

static struct fault check_certificate(const struct certificate *certificate, int64_t iat)
{
    if (certificate->state == CERTIFICATE_UNREACHABLE)
        return bad_info;
    if (certificate->state == CERTIFICATE_UNSUPPORTED || iat < certificate->not_before ||
        iat > certificate->not_after)
        return unsupported;
    return NO_FAULT;
}

struct checking {
    certificate_function *certificate;
    void *self;
    const struct es256_table *es256;
    int64_t wall;
    struct claims claims;
};

static struct vouch_verdict refused(struct fault fault)
{
    return (struct vouch_verdict){.kind = VERDICT_REFUSED, .fault = fault};
}

/* Steps 3 to 5 of 6.2.  What costs least is looked at first: nobody makes us fetch or compute
 * anything for a field that is wrong on its face. */
static struct vouch_verdict check_field(const struct checking *c, struct identity_field *field)
{
    char covered_at[PASSPORT_SIGNED];
    struct writer covered = writer_over(covered_at, sizeof covered_at);
    uint8_t signature[ES256_SIGNATURE];
    struct certificate certificate;
    struct fault fault;
    int64_t iat = 0;

    if (!slice_equal(field->algorithm, S("ES256")))
        return refused(unsupported);
    fault = read_field(field, &c->claims, &covered, &iat);
    if (fault.status || !identity_field_signature(field, signature))
        return refused(invalid);
    if (!is_fresh(iat, c->wall) || (c->claims.has_date && !is_fresh(c->claims.date, c->wall)))
        return refused(stale);
    if (!slice_starts(field->info, S("https://")))
        return refused(bad_info);
    certificate = c->certificate(c->self, field->info, c->claims.domain);
    if (certificate.state == CERTIFICATE_UNKNOWN)
        return (struct vouch_verdict){.kind = VERDICT_WAITING, .info = field->info};
    fault = check_certificate(&certificate, iat);
    if (fault.status)
        return refused(fault);
    if (!c->es256->verify(certificate.point, field->covered, signature))
        return refused(invalid);
    return (struct vouch_verdict){
        .kind = VERDICT_PROVEN, .info = field->info, .covers_media = c->claims.passport.keys.count};
}

/* One that tells of a diversion from `current` (RFC 8946 4.2); its destination is the next. */
static struct vouch_verdict check_div(const struct checking *c, struct identity_field *field,
                                      struct passport_name *current, char *at)
{
    struct writer next = writer_over(at, PASSPORT_NAME);
    uint8_t signature[ES256_SIGNATURE];
    struct certificate certificate;
    struct passport_text text;
    struct passport said;
    struct fault fault;

    if (!passport_read(field->header, field->payload, &text, &said) ||
        !slice_equal(said.type, S("div")) || !slice_equal(said.info, field->info) ||
        !passport_same_name(&said.orig, &c->claims.passport.orig) ||
        !passport_same_name(&said.div, current) || said.div.is_number)
        return (struct vouch_verdict){.kind = VERDICT_NONE};
    if (!identity_field_signature(field, signature))
        return refused(invalid);
    if (!is_fresh(said.iat, c->wall))
        return refused(stale);
    if (!slice_starts(field->info, S("https://")))
        return refused(bad_info);
    certificate = c->certificate(c->self, field->info, domain_of(&said.div));
    if (certificate.state == CERTIFICATE_UNKNOWN)
        return (struct vouch_verdict){.kind = VERDICT_WAITING, .info = field->info};
    fault = check_certificate(&certificate, said.iat);
    if (fault.status)
        return refused(fault);
    if (!c->es256->verify(certificate.point, field->covered, signature))
        return refused(invalid);
    current->is_number = said.dest[0].is_number;
    write_slice(&next, said.dest[0].text);
    current->text = writer_slice(&next);
    return (struct vouch_verdict){.kind = VERDICT_PROVEN, .info = field->info};
}

/* The first that leads on from `current`; VERDICT_NONE if there is none. */
static struct vouch_verdict take_div(const struct checking *c, const struct message *m,
                                     struct passport_name *current, char *at)
{
    struct vouch_verdict verdict = {.kind = VERDICT_NONE};
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_IDENTITY];
         i && verdict.kind == VERDICT_NONE && count < VOUCH_FIELDS; i = m->fields[i].next) {
        struct identity_field field;
        if (!identity_field_parse(message_value(m, i), &field) ||
            !slice_equal(field.type, S("div")) || !field.covered.len)
            continue;
        count++;
        verdict = check_div(c, &field, current, at);
    }
    return verdict;
}

/* From To, to which it was signed, to whom it asks for now: each domain on the way has signed where
 * it sent it.  What is wrong with a step refuses it; that there is none is only told. */
static struct vouch_verdict follow(const struct checking *c, const struct message *m,
                                   struct vouch_verdict proven)
{
    char here_at[PASSPORT_NAME], at[2][PASSPORT_NAME];
    struct passport_name current = c->claims.passport.dest[0], here;
    struct vouch_verdict verdict;
    struct uri uri;

    if (!uri_parse(message_span(m, m->uri), &uri) || !name_dest(&uri, here_at, &here))
        return proven;
    for (unsigned i = 0; i < VOUCH_FIELDS && !passport_same_name(&current, &here); i++) {
        verdict = take_div(c, m, &current, at[i & 1]);
        if (verdict.kind == VERDICT_NONE)
            return proven;
        if (verdict.kind != VERDICT_PROVEN)
            return verdict;
    }
    proven.leads_here = passport_same_name(&current, &here);
    return proven;
}

/* Proof, then hope, then what is wrong with the first (6.2.1). */
static bool is_better(const struct vouch_verdict *new, const struct vouch_verdict *old)
{
    static const unsigned ranks[] = {
        [VERDICT_NONE] = 0, [VERDICT_REFUSED] = 1, [VERDICT_WAITING] = 2, [VERDICT_PROVEN] = 3};

    return ranks[new->kind] > ranks[old->kind];
}

struct vouch_verdict vouch_verify(const struct message *m, certificate_function *certificate,
                                  void *self, const struct es256_table *es256, int64_t wall)
{
    struct checking checking = {certificate, self, es256, wall, .claims = {.date = 0}};
    struct vouch_verdict best = {.kind = VERDICT_NONE};
    bool is_read = false, is_clear = false;
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_IDENTITY];
         i && best.kind != VERDICT_PROVEN && count++ < VOUCH_FIELDS; i = m->fields[i].next) {
        struct identity_field identity;
        struct vouch_verdict verdict = refused(invalid);
        bool is_whole = identity_field_parse(message_value(m, i), &identity);
        if (is_whole && identity.type.len)
            continue; /* 6.2 step 1 */
        if (!is_read)
            is_clear = read_claims(m, &checking.claims) && !checking.claims.is_date_bad;
        is_read = true;
        if (is_whole && is_clear)
            verdict = check_field(&checking, &identity);
        if (is_better(&verdict, &best))
            best = verdict;
    }
    return best.kind == VERDICT_PROVEN ? follow(&checking, m, best) : best;
}
