/* STUN on the SIP port (RFC 5626 8). */
#include "core/keepalive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ID "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"

struct outcome {
    struct action slots[2];
    char bytes[128];
    struct actions actions;
};

static bool answer(struct outcome *to, struct flow flow, struct slice request)
{
    to->actions = (struct actions){to->slots, 0, 2, writer_over(to->bytes, sizeof to->bytes)};
    return keepalive_answer(&flow, request, &to->actions);
}

/* RFC 5769 2.2, 2.3: 192.0.2.1:32853 in its masked form, for this cookie. */
static void test_the_address_comes_back_masked(void **state)
{
    struct flow flow = {.port = 32853, .address = {192, 0, 2, 1}};
    struct outcome to;

    (void)state;
    assert_true(answer(&to, flow, S("\x00\x01\x00\x00\x21\x12\xa4\x42" ID)));
    assert_int_equal(to.actions.count, 1);
    assert_true(slice_equal(to.slots[0].bytes, S("\x01\x01\x00\x0c\x21\x12\xa4\x42" ID
                                                 "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6"
                                                 "\x43")));
}

static void test_ipv6_is_masked_by_the_whole_transaction(void **state)
{
    struct flow flow = {.is_v6 = true, .port = 5060, .address = {[15] = 1}};
    struct outcome to;

    (void)state;
    assert_true(answer(&to, flow, S("\x00\x01\x00\x00\x21\x12\xa4\x42" ID)));
    assert_int_equal(to.slots[0].bytes.len, 44);
    assert_int_equal((uint8_t)to.slots[0].bytes.at[43], 0x0c ^ 1);
}

static void test_anything_else_is_no_keepalive(void **state)
{
    struct flow flow = {.port = 5060, .address = {192, 0, 2, 1}};
    struct outcome to;

    (void)state;
    assert_false(answer(&to, flow, S("\x00\x01\x00\x00\x21\x12\xa4\x42")));
    assert_false(answer(&to, flow, S("\x00\x01\x00\x04\x21\x12\xa4\x42" ID)));
    assert_false(answer(&to, flow, S("\x01\x01\x00\x00\x21\x12\xa4\x42" ID)));
    assert_false(answer(&to, flow, S("\x00\x01\x00\x00\x21\x12\xa4\x43" ID)));
    assert_int_equal(to.actions.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_address_comes_back_masked),
        cmocka_unit_test(test_ipv6_is_masked_by_the_whole_transaction),
        cmocka_unit_test(test_anything_else_is_no_keepalive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
