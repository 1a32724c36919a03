#include "unit.h"

#include "shell/netaddr.h"

#include <arpa/inet.h>

static union netaddr found[LOCAL_LIMIT];
static struct slice bad;

static void an_address_is_read_with_or_without_brackets(void **state)
{
    union netaddr address;
    char text[NETADDR_TEXT];
    static const char *const same[] = {"[2001:db8::1]", "2001:db8::1", "2001:DB8:0::1"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(same); i++) {
        struct writer w = writer_over(text, sizeof text);

        assert_true(netaddr_parse(slice_text(same[i]), 5060, &address));
        netaddr_write(&w, &address);
        assert_slice(writer_slice(&w), "[2001:db8::1]:5060");
    }
    assert_true(netaddr_parse(S("192.0.2.1"), 5070, &address));
    struct writer w = writer_over(text, sizeof text);
    netaddr_write(&w, &address);
    assert_slice(writer_slice(&w), "192.0.2.1:5070");
    assert_false(netaddr_parse(S("192.0.2"), 1, &address));
    assert_false(netaddr_parse(S("example.test"), 1, &address));
    assert_false(netaddr_parse(S(""), 1, &address));
}

static void a_list_names_each_address_once(void **state)
{
    (void)state;
    assert_int_equal(netaddr_list_local(S("127.0.0.1, ::1;127.0.0.1"), 5060, found, &bad), 2);
    assert_int_equal(bad.len, 0);
    assert_int_equal(found[0].any.sa_family, AF_INET);
    assert_int_equal(found[1].any.sa_family, AF_INET6);
    assert_int_equal(ntohs(found[1].v6.sin6_port), 5060);
}

static void a_word_that_is_no_address_is_named(void **state)
{
    (void)state;
    netaddr_list_local(S("127.0.0.1 eth0"), 5060, found, &bad);
    assert_slice(bad, "eth0");
}

static void all_of_a_family_are_found(void **state)
{
    int both = netaddr_list_local(S("*"), 5060, found, &bad);
    int v4 = netaddr_list_local(S("0.0.0.0"), 5060, found, &bad);
    int v6 = netaddr_list_local(S("::"), 5060, found, &bad);

    (void)state;
    assert_true(v4 >= 0 && v6 >= 0);
    assert_int_equal(both, v4 + v6);
    for (int i = 0; i < v6; i++)
        assert_false(IN6_IS_ADDR_LINKLOCAL(&found[i].v6.sin6_addr));
}

static void a_list_that_names_all_may_change(void **state)
{
    (void)state;
    assert_true(netaddr_names_all(S("*")));
    assert_true(netaddr_names_all(S("192.0.2.1, ::")));
    assert_true(netaddr_names_all(S(" 0.0.0.0")));
    assert_false(netaddr_names_all(S("192.0.2.1 2001:db8::1")));
}

static void an_address_that_is_written_is_found_among_others(void **state)
{
    union netaddr address;

    (void)state;
    netaddr_parse(S("2001:db8::1"), 5060, &address);
    assert_true(netaddr_is_written(S("*, [2001:db8:0::1]"), &address));
    assert_false(netaddr_is_written(S("*, 2001:db8::2"), &address));
    assert_false(netaddr_is_written(S("::"), &address));
}

int main(void)
{
    RUN(cmocka_unit_test(an_address_is_read_with_or_without_brackets),
        cmocka_unit_test(a_list_names_each_address_once),
        cmocka_unit_test(a_word_that_is_no_address_is_named),
        cmocka_unit_test(all_of_a_family_are_found),
        cmocka_unit_test(a_list_that_names_all_may_change),
        cmocka_unit_test(an_address_that_is_written_is_found_among_others));
}
