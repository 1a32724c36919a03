/*
 * address_next: each value lies behind the one before, its parts in it and in order; the value
 * alone parses to the same, and has that tag.
 */
#include "fuzz.h"

#include "sip/address.h"

static void check_address(const struct address *address)
{
    struct slice rest = address->text;
    struct slice tag = address_tag(address->text);
    struct slice value;
    struct address alone;
    unsigned thousandths;

    assert(address->uri.len && is_within(address->uri, address->text));
    assert(is_within(address->display, address->text) && is_behind(address->uri, address->display));
    assert(!address->params.len ||
           (is_within(address->params, address->text) && is_behind(address->params, address->uri)));
    assert(address_next(&rest, &alone) && !rest.len);
    assert(slice_equal(alone.uri, address->uri) && slice_equal(alone.params, address->params));
    if (tag.len)
        assert(param_find(address->params, S("tag"), &value) && slice_equal(tag, value));
    if (param_find(address->params, S("q"), &value) && qvalue_parse(value, &thousandths))
        assert(thousandths <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_input(data, size);
    struct slice rest = bytes;
    struct slice before = NO_SLICE;
    struct slice tag = address_tag(bytes);
    struct address address;

    assert(is_within(tag, bytes));
    while (rest.len && address_next(&rest, &address)) {
        assert(is_within(address.text, bytes) && is_behind(address.text, before));
        assert(is_within(rest, bytes) && is_behind(rest, address.text));
        check_address(&address);
        before = address.text;
    }
    return 0;
}
