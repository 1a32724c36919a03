#include "sip/challenge.h"

#include "sip/grammar.h"

static const struct {
    struct slice name;
    unsigned size;
} algorithms[ALGORITHM_COUNT] = {
    [ALGORITHM_MD5] = {S("MD5"), 16},
    [ALGORITHM_SHA256] = {S("SHA-256"), 32},
};

unsigned digest_size(enum algorithm algorithm)
{
    assert(algorithm < ALGORITHM_COUNT);
    return algorithms[algorithm].size;
}

struct slice algorithm_name(enum algorithm algorithm)
{
    assert(algorithm < ALGORITHM_COUNT);
    return algorithms[algorithm].name;
}

static enum algorithm algorithm_of(struct slice name)
{
    for (unsigned i = 0; i < ALGORITHM_COUNT; i++)
        if (slice_equal_nocase(name, algorithms[i].name))
            return i;
    return ALGORITHM_OTHER;
}

enum known {
    USERNAME,
    REALM,
    NONCE,
    URI,
    RESPONSE,
    CNONCE,
    OPAQUE,
    QOP,
    ALGORITHM,
    NC,
    KNOWN_COUNT,
};

static const struct slice known_names[KNOWN_COUNT] = {
    [USERNAME] = S("username"),   [REALM] = S("realm"),   [NONCE] = S("nonce"),   [URI] = S("uri"),
    [RESPONSE] = S("response"),   [CNONCE] = S("cnonce"), [OPAQUE] = S("opaque"), [QOP] = S("qop"),
    [ALGORITHM] = S("algorithm"), [NC] = S("nc"),
};

/* Known names by their length; KNOWN_COUNT ends a row. */
#define LONGEST_NAME 9u
static const uint8_t known_by_length[LONGEST_NAME + 1][3] = {
    [0] = {KNOWN_COUNT},
    [1] = {KNOWN_COUNT},
    [2] = {NC, KNOWN_COUNT},
    [3] = {URI, QOP, KNOWN_COUNT},
    [4] = {KNOWN_COUNT},
    [5] = {NONCE, REALM, KNOWN_COUNT},
    [6] = {CNONCE, OPAQUE, KNOWN_COUNT},
    [7] = {KNOWN_COUNT},
    [8] = {RESPONSE, USERNAME, KNOWN_COUNT},
    [9] = {ALGORITHM, KNOWN_COUNT},
};

static enum known known_of(struct slice name)
{
    const uint8_t *known = known_by_length[name.len <= LONGEST_NAME ? name.len : 0];

    while (*known < KNOWN_COUNT && !grammar_same_word(name, known_names[*known]))
        known++;
    return *known;
}

/* These are tokens by the grammar.  Some clients quote them, which does no harm; all others must
 * be quoted. */
static bool may_be_token(enum known known)
{
    return known == QOP || known == ALGORITHM || known == NC;
}

/* "Digest" LWS; 0 if it is another scheme. */
static size_t parse_scheme(struct slice s)
{
    size_t start = grammar_skip_space(s, 0);
    size_t end = grammar_skip(s, start, IN_TOKEN);
    size_t at = grammar_skip_space(s, end);

    return at > end && grammar_same_word(slice_of(s.at + start, end - start), S("digest")) ? at : 0;
}

struct auth_param {
    struct slice name, value; /* without the quotes */
    bool is_quoted;
};

/* One auth-param from `at`; past it and the white space behind, 0 if it is malformed. */
static size_t parse_param(struct slice s, size_t at, struct auth_param *param)
{
    size_t end = grammar_skip(s, at, IN_TOKEN);
    size_t start = grammar_skip_space(s, end);

    param->name = slice_of(s.at + at, end - at);
    if (end == at || start == s.len || s.at[start] != '=')
        return 0;
    start = grammar_skip_space(s, start + 1);
    param->is_quoted = start < s.len && s.at[start] == '"';
    if (param->is_quoted) {
        end = grammar_quoted_end(s, ++start);
        param->value = slice_of(s.at + start, end - start);
        return end < s.len ? grammar_skip_space(s, end + 1) : 0;
    }
    end = grammar_skip(s, start, IN_TOKEN | IN_PARAM);
    param->value = slice_of(s.at + start, end - start);
    return end > start ? grammar_skip_space(s, end) : 0;
}

/* auth-param *( COMMA auth-param ), none of the known ones twice. */
static bool parse_params(struct slice s, size_t at, struct slice *values)
{
    for (;;) {
        struct auth_param param;
        enum known known;
        at = parse_param(s, at, &param);
        if (!at)
            return false;
        known = known_of(param.name);
        if (known < KNOWN_COUNT) {
            if (values[known].at || (!param.is_quoted && !may_be_token(known)))
                return false;
            values[known] = param.value;
        }
        if (at == s.len)
            return true;
        if (s.at[at] != ',')
            return false;
        at = grammar_skip_space(s, at + 1);
    }
}

static bool is_token(struct slice s)
{
    return s.len && grammar_skip(s, 0, IN_TOKEN) == s.len;
}

static bool is_hex(struct slice s)
{
    size_t at = 0;

    while (at < s.len && grammar_is(s.at[at], IS_HEX))
        at++;
    return at == s.len;
}

/* What the grammar says of the values themselves (25.1); the length of a response of an unknown
 * algorithm is not known.  With qop there must be cnonce and nc (RFC 7616 3.4). */
static bool check_values(const struct slice *values, struct credentials *credentials)
{
    enum algorithm algorithm = credentials->algorithm;
    struct slice response = values[RESPONSE];
    uint8_t nc[4];

    for (unsigned i = USERNAME; i <= RESPONSE; i++)
        if (!values[i].at)
            return false;
    if (algorithm != ALGORITHM_OTHER &&
        (response.len != 2 * digest_size(algorithm) || !is_hex(response)))
        return false;
    if (values[NC].at) {
        if (!hex_decode(values[NC], nc, sizeof nc))
            return false;
        credentials->nc =
            (uint32_t)nc[0] << 24 | (uint32_t)nc[1] << 16 | (uint32_t)nc[2] << 8 | (uint32_t)nc[3];
    }
    if (values[QOP].at)
        return is_token(values[QOP]) && values[CNONCE].at && values[NC].at;
    return true;
}

bool credentials_parse(struct slice value, struct credentials *credentials)
{
    struct slice values[KNOWN_COUNT] = {0};
    size_t at = parse_scheme(value);

    if (!at || !parse_params(value, at, values))
        return false;
    *credentials = (struct credentials){
        .username = values[USERNAME],
        .realm = values[REALM],
        .nonce = values[NONCE],
        .uri = values[URI],
        .response = values[RESPONSE],
        .cnonce = values[CNONCE],
        .opaque = values[OPAQUE],
        .qop = values[QOP],
        .algorithm = values[ALGORITHM].at ? algorithm_of(values[ALGORITHM]) : ALGORITHM_MD5,
        .nc_text = values[NC],
    };
    return check_values(values, credentials);
}

void quoted_unescape(struct writer *out, struct slice quoted)
{
    while (quoted.len) {
        size_t plain = slice_find(quoted, '\\');
        write_bytes(out, quoted.at, plain);
        quoted = slice_from(quoted, plain);
        if (quoted.len > 1)
            write_char(out, quoted.at[1]);
        quoted = slice_from(quoted, quoted.len > 1 ? 2 : quoted.len);
    }
}

void digest_ha1(const struct digest_table *digests, enum algorithm algorithm, struct slice user,
                struct slice realm, struct slice password, uint8_t *ha1)
{
    const struct slice parts[] = {user, S(":"), realm, S(":"), password};

    assert(algorithm < ALGORITHM_COUNT);
    digests->hash[algorithm](parts, COUNT_OF(parts), ha1);
}

static struct slice hex_of(const uint8_t *digest, unsigned size, char *hex)
{
    struct writer w = writer_over(hex, 2 * DIGEST_LIMIT);

    write_hex_bytes(&w, digest, size);
    return writer_slice(&w);
}

void digest_response(const struct digest_table *digests, const struct credentials *credentials,
                     const uint8_t *ha1, struct slice method, struct slice body, char *hex)
{
    const struct credentials *c = credentials;
    unsigned size = digest_size(c->algorithm);
    digest_function *hash = digests->hash[c->algorithm];
    bool has_body = slice_equal_nocase(c->qop, S("auth-int"));
    char hex1[2 * DIGEST_LIMIT], hex2[2 * DIGEST_LIMIT];
    uint8_t digest[DIGEST_LIMIT];

    if (has_body)
        hash(&body, 1, digest);
    const struct slice a2[] = {method, S(":"), c->uri, S(":"),
                               has_body ? hex_of(digest, size, hex2) : NO_SLICE};
    hash(a2, has_body ? 5 : 3, digest);
    struct slice ha2 = hex_of(digest, size, hex2);
    struct slice secret = hex_of(ha1, size, hex1);
    if (c->qop.at) {
        const struct slice parts[] = {secret,    S(":"), c->nonce, S(":"), c->nc_text, S(":"),
                                      c->cnonce, S(":"), c->qop,   S(":"), ha2};
        hash(parts, COUNT_OF(parts), digest);
    } else {
        const struct slice parts[] = {secret, S(":"), c->nonce, S(":"), ha2};
        hash(parts, COUNT_OF(parts), digest);
    }
    memcpy(hex, hex_of(digest, size, hex1).at, 2 * size);
}

/* 0 if two characters are the same but for the case of a hex digit.  Only arithmetic, for a branch
 * would take its time. */
static unsigned char_differs(unsigned a, unsigned b)
{
    unsigned letter = ((a | 0x20) - 'a') & 0xff; /* 0 to 5 for a hex letter, */
    unsigned is_letter = (letter - 6) >> 31;     /* which wraps below zero */

    return (a ^ b) & ~(is_letter << 5);
}

bool digest_equal(struct slice a, struct slice b)
{
    unsigned differs = 0;

    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        differs |= char_differs((unsigned char)a.at[i], (unsigned char)b.at[i]);
    return differs == 0;
}
