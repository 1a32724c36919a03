/*
 * list_next: it ends, its items lie in the list and in order, there are no more of them than
 * commas and one, and an item alone is a list of itself.  param_next: likewise.
 */
#include "fuzz.h"

#include "sip/message.h"
#include "sip/uri.h"

static void check_params(struct slice params)
{
    struct slice rest = params;
    struct slice name, value, before = NO_SLICE;

    while (param_next(&rest, &name, &value)) {
        assert(name.len && is_within(name, params) && is_behind(name, before));
        assert(is_within(value, params) && is_behind(value, name));
        assert(is_within(rest, params) && is_behind(rest, value));
        before = value;
    }
    assert(is_within(rest, params));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice list = fuzz_input(data, size);
    struct slice rest = list;
    struct slice item, before = NO_SLICE;
    size_t limit = 1;

    for (size_t i = 0; i < list.len; i++)
        limit += list.at[i] == ',';
    while (list_next(&rest, &item)) {
        struct slice alone = item, same;
        assert(limit-- > 0);
        assert(is_within(item, list) && is_behind(item, before) && is_behind(rest, item));
        if (list_next(&alone, &same))
            assert(slice_equal(same, item) && !alone.len);
        before = item;
    }
    assert(!rest.len);
    check_params(list);
    return 0;
}
