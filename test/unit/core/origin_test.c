/* Whose pages may open WebSockets. */
#include "unit.h"

#include "core/origin.h"

static const struct slice names[] = {S("sip.example.net")};
static const struct socket_settings sockets[] = {
    {TRANSPORT_WS, S("192.0.2.1"), 5066},
    {TRANSPORT_WS, S("[2001:db8::1]"), 5066},
};

static struct settings with_origins(const struct slice *origins, unsigned count)
{
    return (struct settings){
        .realm = S("example.com"),
        .localnames = names,
        .localname_count = COUNT_OF(names),
        .sockets = sockets,
        .socket_count = COUNT_OF(sockets),
        .origins = origins,
        .origin_count = count,
    };
}

static void pages_of_this_domain_may(void **state)
{
    static const char *const good[] = {
        "https://example.com",     "http://EXAMPLE.com:8080", "https://phone.example.com",
        "https://sip.example.net", "http://192.0.2.1",        "http://[2001:db8::1]:80",
        "http://localhost:3000",
    };
    struct settings settings = with_origins(NULL, 0);

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++)
        assert_true(origin_is_allowed(&settings, slice_text(good[i])));
}

static void pages_from_elsewhere_may_not(void **state)
{
    static const char *const bad[] = {
        "https://evil.example",
        "https://example.com.evil.example",
        "https://evilexample.com",
        "https://.example.com.",
        "https://phone.sip.example.net",
        "null",
        "",
        "example.com",
    };
    struct settings settings = with_origins(NULL, 0);

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        assert_false(origin_is_allowed(&settings, slice_text(bad[i])));
}

static void pages_at_an_address_that_has_gone_may_not(void **state)
{
    static const struct socket_settings gone = {TRANSPORT_WS, S("192.0.2.1"), 80, true};
    struct settings settings = with_origins(NULL, 0);

    (void)state;
    settings.sockets = &gone;
    settings.socket_count = 1;
    assert_false(origin_is_allowed(&settings, S("http://192.0.2.1")));
}

static void who_says_no_origin_is_no_page(void **state)
{
    struct settings settings = with_origins(NULL, 0);

    (void)state;
    assert_true(origin_is_allowed(&settings, NO_SLICE));
}

static void the_settings_name_others(void **state)
{
    static const struct slice some[] = {S("https://phone.example.org"), S("other.example")};
    static const struct slice all[] = {S("*")};
    struct settings settings = with_origins(some, COUNT_OF(some));

    (void)state;
    assert_true(origin_is_allowed(&settings, S("https://phone.example.org")));
    assert_false(origin_is_allowed(&settings, S("http://phone.example.org")));
    assert_false(origin_is_allowed(&settings, S("https://phone.example.org:8443")));
    assert_true(origin_is_allowed(&settings, S("http://other.example:8443")));
    assert_false(origin_is_allowed(&settings, S("null")));
    settings = with_origins(all, COUNT_OF(all));
    assert_true(origin_is_allowed(&settings, S("https://evil.example")));
    assert_true(origin_is_allowed(&settings, S("null")));
}

int main(void)
{
    RUN(cmocka_unit_test(pages_of_this_domain_may), cmocka_unit_test(pages_from_elsewhere_may_not),
        cmocka_unit_test(pages_at_an_address_that_has_gone_may_not),
        cmocka_unit_test(who_says_no_origin_is_no_page),
        cmocka_unit_test(the_settings_name_others));
}
