/*
 * via_next: each value lies behind the one before, its parts in it; the value alone parses to the
 * same.
 */
#include "fuzz.h"

#include "sip/via.h"

static void check_via(const struct via *via)
{
    struct slice rest = via->text;
    struct via alone;

    assert(via->text.len && via->transport < TRANSPORT_COUNT && via->port <= UINT16_MAX);
    assert(host_valid(via->host) && is_within(via->host, via->text));
    assert(!via->params.len ||
           (is_within(via->params, via->text) && is_behind(via->params, via->host)));
    assert(is_within(via->branch, via->params) && (!via->branch.at || via->branch.len));
    assert(is_within(via->received, via->params));
    assert(is_within(via->rport, via->params) && via->has_rport == (via->rport.len > 0));
    assert(via_next(&rest, &alone) && !rest.len);
    assert(slice_equal(alone.text, via->text) && slice_equal(alone.branch, via->branch));
    assert(alone.port == via->port && slice_equal(alone.host, via->host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_input(data, size);
    struct slice rest = bytes;
    struct slice before = NO_SLICE;
    struct via via;

    while (rest.len && via_next(&rest, &via)) {
        assert(is_within(via.text, bytes) && is_behind(via.text, before));
        assert(is_within(rest, bytes) && is_behind(rest, via.text));
        check_via(&via);
        before = via.text;
    }
    return 0;
}
