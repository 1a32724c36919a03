/*
 * credentials_parse: what is accepted is complete and lies in the value; its response can be
 * computed; unescaping only shortens.
 */
#include "fuzz.h"

#include "../torture/toy_digest.h"

static void check_unescape(struct slice quoted)
{
    static char plain[65536];
    struct writer w = writer_over(plain, sizeof plain);

    quoted_unescape(&w, quoted);
    assert(w.failed || w.len <= quoted.len);
}

static void check_response(const struct credentials *c)
{
    char hex[2 * DIGEST_LIMIT], upper[sizeof hex];
    uint8_t ha1[DIGEST_LIMIT];
    size_t len = 2 * digest_size(c->algorithm);

    digest_ha1(&toy_digests, c->algorithm, c->username, c->realm, S("secret"), ha1);
    digest_response(&toy_digests, c, ha1, S("REGISTER"), S("body"), hex);
    for (size_t i = 0; i < len; i++) {
        assert(hex_digit(hex[i]) >= 0);
        upper[i] = hex[i] >= 'a' ? (char)(hex[i] & ~0x20) : hex[i];
    }
    assert(digest_equal(slice_of(hex, len), slice_of(upper, len)));
    upper[len - 1] = upper[len - 1] == '0' ? '1' : '0';
    assert(!digest_equal(slice_of(hex, len), slice_of(upper, len)));
    assert(c->response.len == len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = fuzz_input(data, size);
    struct credentials c;

    if (!credentials_parse(value, &c))
        return 0;
    const struct slice needed[] = {c.username, c.realm, c.nonce, c.uri, c.response};
    const struct slice optional[] = {c.cnonce, c.opaque, c.qop, c.nc_text};
    for (unsigned i = 0; i < COUNT_OF(needed); i++)
        assert(needed[i].at && is_within(needed[i], value));
    for (unsigned i = 0; i < COUNT_OF(optional); i++)
        assert(is_within(optional[i], value));
    assert(c.algorithm <= ALGORITHM_OTHER);
    check_unescape(c.username);
    if (c.algorithm < ALGORITHM_COUNT)
        check_response(&c);
    return 0;
}
