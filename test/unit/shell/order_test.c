#include "unit.h"

#include <stdio.h>

#include "shell/order.h"

static struct order read_good(const char *line)
{
    struct order order;
    struct order_fault fault = {NULL, ""};

    if (!order_read(slice_text(line), &order, &fault))
        fail_msg("%s: %s", line, fault.text);
    return order;
}

static void assert_bad(const char *line, const char *code, const char *part)
{
    struct order order;
    struct order_fault fault = {NULL, ""};

    assert_false(order_read(slice_text(line), &order, &fault));
    assert_string_equal(fault.code, code);
    if (!strstr(fault.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, fault.text);
}

static void assert_target(const char *address, const char *host, unsigned port)
{
    char line[128], text[64];
    struct writer w = writer_over(text, sizeof text);
    struct address_bytes bytes;
    struct order order;

    snprintf(line, sizeof line, "{\"command\":\"activate\",\"user\":\"a\",\"address\":\"%s\"}",
             address);
    order = read_good(line);
    bytes.is_v6 = order.request.target.is_v6;
    memcpy(bytes.at, order.request.target.address, sizeof bytes.at);
    write_host(&w, &bytes);
    assert_slice(writer_slice(&w), host);
    assert_int_equal(order.request.target.port, port);
    order_free(&order);
}

#define HEX32 "00112233445566778899aabbccddeeff"

static void a_new_user_is_read(void **state)
{
    struct order order =
        read_good("{\"command\":\"user-add\",\"user\":\"carol\",\"realm\":\"lab.test\","
                  "\"md5\":\"" HEX32 "\",\"sha256\":\"" HEX32 HEX32 "\","
                  "\"extension\":\"203\",\"display\":\"Carol C\"}");

    (void)state;
    assert_int_equal(order.kind, ORDER_ADD_USER);
    assert_slice(order.user.id, "carol");
    assert_slice(order.user.extension, "203");
    assert_slice(order.user.display, "Carol C");
    assert_slice(order.realm, "lab.test");
    assert_true(order.user.has_ha1[ALGORITHM_MD5] && order.user.has_ha1[ALGORITHM_SHA256]);
    assert_int_equal(order.user.ha1[ALGORITHM_MD5][15], 0xff);
    assert_int_equal(order.user.ha1[ALGORITHM_SHA256][31], 0xff);
    order_free(&order);
}

static void a_user_without_good_digests_is_refused(void **state)
{
    (void)state;
    assert_bad("{\"command\":\"user-add\",\"user\":\"a\",\"realm\":\"r\",\"md5\":\"" HEX32 "\"}",
               "bad-request", "sha256");
    assert_bad("{\"command\":\"user-password\",\"user\":\"a\",\"realm\":\"r\",\"md5\":\"12\","
               "\"sha256\":\"" HEX32 HEX32 "\"}",
               "bad-request", "hex, of 32");
    assert_bad("{\"command\":\"user-remove\",\"user\":\"a\",\"md5\":\"" HEX32 "\"}", "bad-request",
               "takes no");
}

static void records_are_asked_for_by_user_and_time(void **state)
{
    struct order order =
        read_good("{\"command\":\"records\",\"user\":\"a\",\"since\":\"1795651200\"}");

    (void)state;
    assert_int_equal(order.kind, ORDER_RECORDS);
    assert_slice(order.request.user, "a");
    assert_int_equal(order.since, 1795651200);
    order_free(&order);
    assert_bad("{\"command\":\"records\",\"since\":\"9223372036854775808\"}", "bad-request",
               "seconds");
}

static void a_command_and_its_members_are_read(void **state)
{
    struct order order = read_good("{\"text\":\"a b\",\"command\":\"message\",\"user\":\"201\"}");

    (void)state;
    assert_int_equal(order.kind, ORDER_CORE);
    assert_int_equal(order.request.command, ADMIN_MESSAGE);
    assert_slice(order.request.user, "201");
    assert_slice(order.request.text, "a b");
    order_free(&order);
    order = read_good(" { \"command\" : \"calls\" } ");
    assert_int_equal(order.request.command, ADMIN_CALLS);
    assert_int_equal(order.request.user.len, 0);
    order_free(&order);
}

static void addresses_are_of_either_family_with_or_without_a_port(void **state)
{
    (void)state;
    assert_target("192.0.2.7", "192.0.2.7", 5060);
    assert_target("192.0.2.7:5070", "192.0.2.7", 5070);
    assert_target("2001:db8::7", "[2001:db8::7]", 5060);
    assert_target("[2001:db8::7]", "[2001:db8::7]", 5060);
    assert_target("[2001:db8::7]:5070", "[2001:db8::7]", 5070);
}

static void bad_addresses_are_refused(void **state)
{
    static const char *const bad[] = {"example.test",    ":",           "]:1",
                                      "192.0.2.7:",      "192.0.2.7:0", "192.0.2.7:65536",
                                      "[2001:db8::7]:x", "[",           "[]:5060"};
    char line[128];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        snprintf(line, sizeof line, "{\"command\":\"activate\",\"user\":\"a\",\"address\":\"%s\"}",
                 bad[i]);
        assert_bad(line, "bad-request", "is not an address");
    }
}

static void what_a_command_does_not_take_or_lacks_is_refused(void **state)
{
    (void)state;
    assert_bad("{\"command\":\"status\",\"user\":\"a\"}", "bad-request", "takes no \"user\"");
    assert_bad("{\"command\":\"release\"}", "bad-request", "needs a \"user\"");
    assert_bad("{\"command\":\"release\",\"user\":\"\"}", "bad-request", "1 to 255");
    assert_bad("{\"command\":\"release\",\"user\":1}", "bad-request", "1 to 255");
    assert_bad("{\"command\":\"release\",\"user\":\"a\",\"user\":\"b\"}", "bad-request", "JSON");
    assert_bad("{\"command\":\"fly\"}", "unknown-command", "fly");
    assert_bad("{\"user\":\"a\"}", "bad-request", "command");
    assert_bad("[]", "bad-request", "JSON");
    assert_bad("", "bad-request", "JSON");
}

int main(void)
{
    RUN(cmocka_unit_test(a_command_and_its_members_are_read), cmocka_unit_test(a_new_user_is_read),
        cmocka_unit_test(a_user_without_good_digests_is_refused),
        cmocka_unit_test(records_are_asked_for_by_user_and_time),
        cmocka_unit_test(addresses_are_of_either_family_with_or_without_a_port),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(what_a_command_does_not_take_or_lacks_is_refused));
}
