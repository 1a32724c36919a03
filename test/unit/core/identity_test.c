/* Which SIP domains a certificate names (RFC 5922 7), and plans that say what must be proven. */
#include "unit.h"

#include "core/identity.h"
#include "core/peer.h"

#include <stdio.h>

/* Names as "sip:URI", "dns:HOST", "cn:NAME", separated by blanks; "other" is another alternative
 * name. */
static struct certificate_names names_of(const char *text)
{
    struct certificate_names names = {0};
    struct slice rest = slice_text(text);

    while (rest.len) {
        size_t end = slice_find(rest, ' ');
        struct slice name = slice_until(rest, end);
        rest = slice_from(rest, end < rest.len ? end + 1 : end);
        if (slice_starts(name, S("cn:"))) {
            names.common = slice_from(name, 3);
            continue;
        }
        names.has_alternatives = true;
        if (slice_starts(name, S("dns:")))
            names.hosts[names.host_count++] = slice_from(name, 4);
        else if (!slice_equal(name, S("other")))
            names.uris[names.uri_count++] = name;
    }
    return names;
}

static void assert_names(const char *certificate, const char *domains)
{
    struct certificate_names names = names_of(certificate);
    char text[1024];
    struct writer w = writer_over(text, sizeof text - 1);

    identity_write(&w, &names);
    text[w.len] = '\0';
    assert_string_equal(text, domains);
}

static bool proves(const char *certificate, const char *domain)
{
    struct certificate_names names = names_of(certificate);
    bool is_so = identity_proves(&names, slice_text(domain));
    char text[1024];
    struct writer w = writer_over(text, sizeof text);

    identity_write(&w, &names);
    assert_int_equal(identity_is_among(writer_slice(&w), slice_text(domain)), is_so);
    return is_so;
}

static void a_sip_uri_names_its_host(void **state)
{
    (void)state;
    assert_names("sip:example.com", "example.com\n");
    assert_names("sip:Example.COM sip:example.net", "example.com\nexample.net\n");
    assert_names("sip:example.com;transport=tls", "example.com\n");
}

static void uris_that_name_no_domain_are_passed_over(void **state)
{
    (void)state;
    assert_names("sip:alice@example.com", ""); /* a user's */
    assert_names("sips:example.com", "");
    assert_names("http://example.com/", "");
    assert_names("sip:192.0.2.1", "");
    assert_names("sip:[2001:db8::1]", "");
    assert_names("sip:", "");
}

static void host_names_count_only_where_no_sip_uri_does(void **state)
{
    (void)state;
    assert_names("dns:example.com dns:sip.example.com", "example.com\nsip.example.com\n");
    assert_names("dns:sip.example.com sip:example.com", "example.com\n");
    assert_names("dns:example.com sip:alice@example.com http://x/", "example.com\n");
}

static void the_common_name_counts_only_where_there_are_no_others(void **state)
{
    (void)state;
    assert_names("cn:example.com", "example.com\n");
    assert_names("cn:example.com dns:other.example", "other.example\n");
    assert_names("cn:example.com other", "");
    assert_names("cn:Example_Inc", "");
    assert_names("", "");
}

static void there_are_no_wildcards(void **state)
{
    (void)state;
    assert_names("dns:*.example.com", "");
    assert_names("sip:*.example.com dns:.example.com", "");
    assert_names("cn:*.example.com", "");
    assert_false(proves("dns:*.example.com", "sip.example.com"));
    assert_false(proves("dns:*.example.com", "*.example.com"));
}

static void a_name_is_the_whole_name(void **state)
{
    (void)state;
    assert_true(proves("dns:example.com", "EXAMPLE.com"));
    assert_true(proves("dns:example.com.", "example.com"));
    assert_true(proves("dns:example.com", "example.com."));
    assert_false(proves("dns:example.com", "sip.example.com"));
    assert_false(proves("dns:sip.example.com", "example.com")); /* the server is not the domain */
    assert_false(proves("dns:example.com", "example.co"));
    assert_false(proves("dns:example.com", ""));
    assert_false(proves("", ""));
}

/* AST-2015-003: a zero byte does not end a name. */
static void a_zero_byte_ends_no_name(void **state)
{
    struct certificate_names names = {.has_alternatives = true, .host_count = 1};

    (void)state;
    names.hosts[0] = S("example.com\0.evil.example");
    assert_false(identity_proves(&names, S("example.com")));
    names = (struct certificate_names){.common = S("example.com\0.evil.example")};
    assert_false(identity_proves(&names, S("example.com")));
}

static void names_without_room_are_left_out(void **state)
{
    struct certificate_names names = names_of("dns:a.example dns:longer.example dns:b.example");
    char text[21];
    struct writer w = writer_over(text, sizeof text);

    (void)state;
    identity_write(&w, &names);
    assert_false(w.failed);
    assert_true(slice_equal(writer_slice(&w), S("a.example\nb.example\n")));
}

static void a_plan_comes_back_whole(void **state)
{
    struct peer_plan plan = {
        .domain = S("example.com"),
        .server = S("sip.example.net"),
        .policy = POLICY_DANE,
        .tlsa_count = 2,
        .tlsa = {{3, 1, 1, S("hash")}, {2, 0, 0, S("a certificate")}},
    };
    struct peer_plan found;
    char text[256];
    struct writer w = writer_over(text, sizeof text);

    (void)state;
    peer_write(&w, &plan);
    assert_true(peer_read(writer_slice(&w), &found));
    assert_true(slice_equal(found.domain, plan.domain) && slice_equal(found.server, plan.server));
    assert_int_equal(found.policy, POLICY_DANE);
    assert_int_equal(found.tlsa_count, 2);
    assert_int_equal(found.tlsa[0].selector, 1);
    assert_true(slice_equal(found.tlsa[1].data, S("a certificate")));
    for (size_t len = 0; len < w.len; len++)
        assert_false(peer_read(slice_of(text, len), &found));
    text[0] = POLICY_DANE + 1;
    assert_false(peer_read(writer_slice(&w), &found));
}

int main(void)
{
    RUN(cmocka_unit_test(a_sip_uri_names_its_host),
        cmocka_unit_test(uris_that_name_no_domain_are_passed_over),
        cmocka_unit_test(host_names_count_only_where_no_sip_uri_does),
        cmocka_unit_test(the_common_name_counts_only_where_there_are_no_others),
        cmocka_unit_test(there_are_no_wildcards), cmocka_unit_test(a_name_is_the_whole_name),
        cmocka_unit_test(a_zero_byte_ends_no_name),
        cmocka_unit_test(names_without_room_are_left_out),
        cmocka_unit_test(a_plan_comes_back_whole));
}
