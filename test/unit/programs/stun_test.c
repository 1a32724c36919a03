/* Asking a STUN server: the bytes, and what counts of the answer. */
#include "programs/router_stun.h"

#include "unit.h"

static const uint8_t id[STUN_ID] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2};

#define HEAD(len) 1, 1, 0, len, 0x21, 0x12, 0xa4, 0x42, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2
#define MASKED 0, 0x20, 0, 8, 0, 1, 0x33, 0x26, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 7 ^ 0x42
#define PLAIN 0, 1, 0, 8, 0, 1, 0x12, 0x34, 198, 51, 100, 1

static bool reads(const uint8_t *bytes, size_t len, struct address_bytes *address)
{
    return stun_read(slice_of((const char *)bytes, len), id, address);
}

static void the_request_is_a_bare_binding(void **state)
{
    static const uint8_t expected[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 9, 8,
                                         7, 6, 5, 4, 3,    2,    1,    0,    1, 2};
    char bytes[32];
    struct writer w = writer_over(bytes, sizeof bytes);

    (void)state;
    stun_write(&w, id);
    assert_int_equal(w.len, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
}

static void the_masked_address_counts_more(void **state)
{
    static const uint8_t both[] = {HEAD(36), MASKED, PLAIN, 0x80, 0x22, 0, 6, 'a',
                                   'b',      'c',    'd',   'e',  'f',  0, 0};
    static const uint8_t plain[] = {HEAD(12), PLAIN};
    struct address_bytes address;

    (void)state;
    assert_true(reads(both, sizeof both, &address));
    assert_int_equal(address.at[0], 203);
    assert_int_equal(address.at[2], 113);
    assert_true(reads(plain, sizeof plain, &address));
    assert_int_equal(address.at[0], 198);
}

static void what_was_not_asked_for_is_no_answer(void **state)
{
    static const uint8_t good[] = {HEAD(12), MASKED};
    struct address_bytes address;

    (void)state;
    assert_true(reads(good, sizeof good, &address));
    for (size_t len = 0; len < sizeof good; len++)
        assert_false(reads(good, len, &address));
    for (unsigned i = 0; i < 20; i++) { /* another type, length, cookie or id */
        uint8_t other[sizeof good];
        memcpy(other, good, sizeof good);
        other[i] ^= 1;
        assert_false(reads(other, sizeof other, &address));
    }
}

static void an_attribute_that_ends_outside_is_no_answer(void **state)
{
    static const uint8_t bytes[] = {HEAD(8), 0, 0x20, 0, 8, 0, 1, 0x33, 0x26};
    struct address_bytes address;

    (void)state;
    assert_false(reads(bytes, sizeof bytes, &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_is_a_bare_binding),
        cmocka_unit_test(the_masked_address_counts_more),
        cmocka_unit_test(what_was_not_asked_for_is_no_answer),
        cmocka_unit_test(an_attribute_that_ends_outside_is_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
