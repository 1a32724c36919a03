/*
 * uri_parse: the parts lie in the text and in order; a URI equals itself, in both directions with
 * another; decoded text encoded again is the same; a numeric host survives being written.  An input
 * of two lines is two URIs to compare.
 */
#include "fuzz.h"

#include "sip/uri.h"

static void check_numeric(struct slice host)
{
    char text[64];
    struct writer w = writer_over(text, sizeof text);
    struct address_bytes address, again;

    if (!host_numeric(host, &address))
        return;
    write_host(&w, &address);
    assert(!w.failed && host_valid(writer_slice(&w)));
    assert(host_numeric(writer_slice(&w), &again));
    assert(again.is_v6 == address.is_v6 && memcmp(again.at, address.at, sizeof again.at) == 0);
}

/* Each decoded character written as an escape gives an equal text. */
static void check_unescape(struct slice text)
{
    static char plain[4096], escaped[3 * sizeof plain];
    struct writer w = writer_over(plain, sizeof plain);
    struct writer e = writer_over(escaped, sizeof escaped);

    assert(uri_text_equal(text, text));
    uri_unescape(&w, text);
    if (w.failed)
        return;
    assert(w.len <= text.len);
    for (size_t i = 0; i < w.len; i++) {
        assert(plain[i]);
        write_char(&e, '%');
        write_hex(&e, (unsigned char)plain[i], 2);
    }
    assert(uri_text_equal(text, writer_slice(&e)) && uri_text_equal(writer_slice(&e), text));
}

/* The list ends, and each name finds the first of its kind. */
static void check_params(const struct uri *uri)
{
    struct slice rest = uri->params;
    struct slice name, value, found;

    while (param_next(&rest, &name, &value)) {
        assert(name.len && is_within(name, uri->params) && is_within(value, uri->params));
        assert(is_behind(value, name));
        assert(uri_param(uri, name, &found) && found.at <= value.at);
        assert(param_find(uri->params, name, &found) && found.at <= value.at);
    }
    assert(!rest.len);
}

static void check_valid(const struct uri *uri)
{
    const struct slice parts[] = {uri->user, uri->password, uri->host, uri->params, uri->headers};
    struct slice before = NO_SLICE;
    struct uri again;

    assert(uri_parse(uri->text, &again) && uri_equal(uri, &again));
    if (uri->scheme > SCHEME_SIPS)
        return;
    for (unsigned i = 0; i < COUNT_OF(parts); i++) {
        assert(is_within(parts[i], uri->text) && is_behind(parts[i], before));
        if (parts[i].at)
            before = parts[i];
    }
    assert(host_valid(uri->host) && uri->port <= UINT16_MAX);
    check_numeric(uri->host);
    check_unescape(uri->user);
    check_params(uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = fuzz_input(data, size);
    size_t line = slice_find(text, '\n');
    struct uri uri, other;

    check_numeric(text);
    if (!uri_parse(slice_until(text, line), &uri))
        return 0;
    assert(slice_equal(uri.text, slice_until(text, line)));
    check_valid(&uri);
    if (line < text.len && uri_parse(slice_from(text, line + 1), &other))
        assert(uri_equal(&uri, &other) == uri_equal(&other, &uri));
    return 0;
}
