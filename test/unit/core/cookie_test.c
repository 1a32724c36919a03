/* What Record-Route and Via carry under a MAC: round trips, and no other bytes are believed. */
#include "unit.h"

#include "core/branch.h"
#include "core/cookie.h"
#include "core/peer.h"

static const struct hash_key key = {3, 4};

static struct cookie sample(void)
{
    return (struct cookie){
        .caller = {.flow = {.transport = TRANSPORT_UDP, .port = 5062, .address = {192, 0, 2, 9}}},
        .callee = {.binding = UINT64_C(0x1234567890abcdef)},
    };
}

static struct slice write_sample(char *text)
{
    struct writer w = writer_over(text, COOKIE_TEXT);
    struct cookie cookie = sample();

    cookie_write(&w, &key, &cookie, S("call"), S("caller"));
    assert_false(w.failed);
    return writer_slice(&w);
}

static void a_cookie_says_which_way_by_the_tags(void **state)
{
    char text[COOKIE_TEXT];
    struct slice written = write_sample(text);
    struct cookie cookie;

    (void)state;
    assert_int_equal(cookie_read(written, &key, S("call"), S("caller"), S("callee"), &cookie),
                     COOKIE_TO_CALLEE);
    assert_int_equal(cookie_read(written, &key, S("call"), S("callee"), S("caller"), &cookie),
                     COOKIE_TO_CALLER);
    assert_true(cookie.callee.binding == sample().callee.binding);
    assert_int_equal(cookie.caller.flow.port, 5062);
    assert_int_equal(cookie.caller.flow.address[3], 9);
}

/* The longest: both ends are bindings by streams on IPv6. */
static void ends_of_any_kind_come_back_whole(void **state)
{
    const struct flow flows[] = {
        {.transport = TRANSPORT_UDP, .port = 5062, .socket = 300, .address = {192, 0, 2, 9}},
        {.transport = TRANSPORT_UDP, .is_v6 = true, .port = 1, .socket = 1, .address = {32, 1, 13}},
        {.transport = TRANSPORT_TLS, .port = 9, .connection = 0xabc00001, .address = {10, 0, 0, 2}},
        {.transport = TRANSPORT_TCP, .port = 9, .connection = 0xabc00001, .address = {10, 0, 0, 1}},
        {.transport = TRANSPORT_TCP,
         .is_v6 = true,
         .port = 65535,
         .socket = 511,
         .connection = 0xfff00002,
         .address = {32, 1, 13, 184, [15] = 7}},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(flows); i++)
        for (unsigned j = 0; j < COUNT_OF(flows); j++) {
            char text[COOKIE_TEXT];
            struct writer w = writer_over(text, sizeof text);
            struct cookie cookie = {
                .caller = {.binding = i % 2 ? UINT64_MAX : 0, .flow = flows[i]},
                .callee = {.binding = j, .flow = flows[j]},
            };
            struct cookie read;
            cookie_write(&w, &key, &cookie, S("call"), S("caller"));
            assert_false(w.failed);
            assert_int_equal(
                cookie_read(writer_slice(&w), &key, S("call"), S("caller"), S("callee"), &read),
                COOKIE_TO_CALLEE);
            assert_true(flow_equal(&read.caller.flow, &flows[i]));
            assert_true(flow_equal(&read.callee.flow, &flows[j]));
            assert_true(read.caller.binding == cookie.caller.binding);
            assert_true(read.callee.binding == cookie.callee.binding);
        }
}

/* The domain of each end that has one, and what is demanded of it; no other is believed. */
static void domains_come_back_and_no_others(void **state)
{
    struct cookie cookie = sample(), read;
    char text[COOKIE_TEXT], name[NAME_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    (void)state;
    memset(name, 'n', sizeof name);
    cookie.caller.domain = S("elsewhere.example");
    cookie.caller.policy = POLICY_DANE;
    cookie.callee.domain = slice_of(name, sizeof name);
    cookie.callee.policy = POLICY_VERIFIED;
    cookie_write(&w, &key, &cookie, S("call"), S("caller"));
    assert_false(w.failed);
    assert_int_equal(
        cookie_read(writer_slice(&w), &key, S("call"), S("caller"), S("callee"), &read),
        COOKIE_TO_CALLEE);
    assert_true(slice_equal(read.caller.domain, cookie.caller.domain));
    assert_true(slice_equal(read.callee.domain, cookie.callee.domain));
    assert_int_equal(read.caller.policy, POLICY_DANE);
    assert_int_equal(read.callee.policy, POLICY_VERIFIED);
    for (size_t i = 0; i < w.len; i++) {
        char was = text[i];
        text[i] = was == '7' ? '8' : '7';
        assert_int_equal(
            cookie_read(writer_slice(&w), &key, S("call"), S("caller"), S("callee"), &read),
            COOKIE_INVALID);
        text[i] = was;
        assert_int_equal(cookie_read(slice_until(writer_slice(&w), i), &key, S("call"), S("caller"),
                                     S("callee"), &read),
                         COOKIE_INVALID);
    }
}

static void a_cookie_is_void_in_another_dialog(void **state)
{
    char text[COOKIE_TEXT];
    struct slice written = write_sample(text);
    struct cookie cookie;

    (void)state;
    assert_int_equal(cookie_read(written, &key, S("other"), S("caller"), S("callee"), &cookie),
                     COOKIE_INVALID);
    assert_int_equal(cookie_read(written, &key, S("call"), S("x"), S("callee"), &cookie),
                     COOKIE_INVALID);
    assert_int_equal(cookie_read(written, &key, S("call"), S("caller"), S(""), &cookie),
                     COOKIE_INVALID);
}

static void a_cookie_with_one_digit_changed_is_void(void **state)
{
    char text[COOKIE_TEXT];
    struct slice written = write_sample(text);
    struct cookie cookie;

    (void)state;
    for (size_t i = 0; i < written.len; i++) {
        char was = text[i];
        text[i] = was == '7' ? '8' : '7';
        assert_int_equal(cookie_read(written, &key, S("call"), S("caller"), S("callee"), &cookie),
                         COOKIE_INVALID);
        text[i] = was;
    }
}

static void a_branch_is_read_back_and_no_other(void **state)
{
    char text[BRANCH_TEXT];
    struct writer w = writer_over(text, sizeof text);
    struct branch branch = {.shard = 1, .transaction = 0xabcdef, .loop = 77}, read;

    (void)state;
    branch_write(&w, &key, &branch);
    assert_int_equal(w.len, BRANCH_TEXT);
    assert_true(branch_read(writer_slice(&w), &key, &read));
    assert_true(read.transaction == branch.transaction && read.loop == 77 && read.shard == 1);
    for (size_t i = 0; i < w.len; i++) {
        char was = text[i];
        text[i] = was == '7' ? '8' : '7';
        assert_false(branch_read(writer_slice(&w), &key, &read));
        text[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_says_which_way_by_the_tags),
        cmocka_unit_test(ends_of_any_kind_come_back_whole),
        cmocka_unit_test(domains_come_back_and_no_others),
        cmocka_unit_test(a_cookie_is_void_in_another_dialog),
        cmocka_unit_test(a_cookie_with_one_digit_changed_is_void),
        cmocka_unit_test(a_branch_is_read_back_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
