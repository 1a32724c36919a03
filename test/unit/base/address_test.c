#include "base/address.h"

#include "unit.h"

static void numeric_hosts_become_bytes(void **state)
{
    struct address_bytes a;

    (void)state;
    assert_true(host_numeric(S("192.0.2.255"), &a));
    assert_false(a.is_v6);
    assert_memory_equal(a.at, "\xc0\0\2\xff\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_true(host_numeric(S("2001:db8::9:255"), &a));
    assert_true(a.is_v6);
    assert_memory_equal(a.at, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\x09\x02\x55", 16);
    assert_true(host_numeric(S("[::ffff:192.0.2.1]"), &a));
    assert_memory_equal(a.at, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
}

static void numeric_hosts_keep_to_the_grammar(void **state)
{
    static const char *const good[] = {"::",
                                       "::1",
                                       "1::",
                                       "1:2:3:4:5:6:7:8",
                                       "1:2:3:4:5:6:7::",
                                       "::2:3:4:5:6:7:8",
                                       "1:2:3:4:5:6:1.2.3.4",
                                       "::1.2.3.4",
                                       "1::1.2.3.4",
                                       "ABCD:ef01::"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":::",
                                      "1",
                                      "1:",
                                      ":1",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8:9",
                                      "1:2:3:4:5:6:7:8::",
                                      "::1:2:3:4:5:6:7:8",
                                      "1::2::3",
                                      "12345::",
                                      "::g",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "::1.2.3",
                                      "::1.2.3.4:1",
                                      "::1.2.3.256",
                                      "fe80::1%eth0",
                                      "[::1",
                                      "::1]",
                                      "[]",
                                      "[[::1]]",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "1.2.3.256",
                                      "01.2.3.4",
                                      "1.2.3.4 ",
                                      "1..2.3",
                                      "2001:db8:::192.0.2.1",
                                      "[1.2.3.4]"};
    struct address_bytes a;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++)
        if (!host_numeric(slice_text(good[i]), &a))
            fail_msg("refused: %s", good[i]);
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (host_numeric(slice_text(bad[i]), &a))
            fail_msg("accepted: %s", bad[i]);
}

static void check_without_brackets(const struct address_bytes *a, struct slice host)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    write_address(&w, a);
    if (a->is_v6)
        host = slice_of(host.at + 1, host.len - 2);
    assert_true(slice_equal(writer_slice(&w), host));
}

/* RFC 5952 4 and 5. */
static void addresses_are_written_in_their_one_form(void **state)
{
    static const char *const pairs[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]"},
        {"2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]"},
        {"2001:0:0:1:0:0:0:1", "[2001:0:0:1::1]"},
        {"2001:db8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]"},
        {"::", "[::]"},
        {"1::", "[1::]"},
        {"0:0:3:4:5:6:0:0", "[::3:4:5:6:0:0]"},
        {"::ffff:c000:201", "[::ffff:192.0.2.1]"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(pairs); i++) {
        char at[64];
        struct writer w = writer_over(at, sizeof at);
        struct address_bytes a;
        assert_true(host_numeric(slice_text(pairs[i][0]), &a));
        write_host(&w, &a);
        assert_slice(writer_slice(&w), pairs[i][1]);
        check_without_brackets(&a, slice_text(pairs[i][1]));
    }
}

static void addresses_are_equal_only_in_their_family(void **state)
{
    struct address_bytes four = {.at = {192, 0, 2, 1}}, six = {.is_v6 = true, .at = {192, 0, 2, 1}};
    struct address_bytes none = {0};

    (void)state;
    assert_true(address_equal(&four, &four));
    assert_false(address_equal(&four, &six));
    assert_false(address_is_unspecified(&four));
    assert_true(address_is_unspecified(&none));
}

int main(void)
{
    RUN(cmocka_unit_test(numeric_hosts_become_bytes),
        cmocka_unit_test(numeric_hosts_keep_to_the_grammar),
        cmocka_unit_test(addresses_are_written_in_their_one_form),
        cmocka_unit_test(addresses_are_equal_only_in_their_family));
}
