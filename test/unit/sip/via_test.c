#include "unit.h"

#include "sip/via.h"

static struct via first_via(const char *text)
{
    struct slice rest = slice_text(text);
    struct via via;

    if (!via_next(&rest, &via))
        fail_msg("refused: %s", text);
    return via;
}

static void a_usual_via_falls_into_its_parts(void **state)
{
    struct via via = first_via("SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bK776;rport;x=y");

    (void)state;
    assert_int_equal(via.transport, TRANSPORT_UDP);
    assert_slice(via.host, "192.0.2.10");
    assert_int_equal(via.port, 5070);
    assert_slice(via.params, ";branch=z9hG4bK776;rport;x=y");
    assert_slice(via.branch, "z9hG4bK776");
    assert_true(via.has_rport);
    assert_slice(via.rport, "rport");
    assert_null(via.received.at);
    assert_slice(via.text, "SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bK776;rport;x=y");
}

static void what_is_absent_shows(void **state)
{
    struct via via = first_via("SIP/2.0/TCP host.example.com");

    (void)state;
    assert_int_equal(via.port, 0);
    assert_int_equal(via.params.len, 0);
    assert_null(via.branch.at);
    assert_false(via.has_rport);
    assert_slice(via.text, "SIP/2.0/TCP host.example.com");
}

/* RFC 4475 3.1.1.1. */
static void white_space_and_folds_may_be_all_over(void **state)
{
    struct slice rest = S("SIP  / 2.0  / TCP     spindle.example.com   ;\r\n"
                          "  branch  =   z9hG4bK9ikj8  ,\r\n"
                          " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n"
                          " z9hG4bK30239");
    struct via via;

    (void)state;
    assert_true(via_next(&rest, &via));
    assert_int_equal(via.transport, TRANSPORT_TCP);
    assert_slice(via.host, "spindle.example.com");
    assert_slice(via.branch, "z9hG4bK9ikj8");
    assert_slice(via.params, ";\r\n  branch  =   z9hG4bK9ikj8");
    assert_true(via_next(&rest, &via));
    assert_int_equal(via.transport, TRANSPORT_UDP);
    assert_slice(via.host, "192.168.255.111");
    assert_slice(via.branch, "z9hG4bK30239");
    assert_int_equal(rest.len, 0);
    via = first_via("SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw");
    assert_slice(via.host, "192.0.2.2");
    via = first_via("SIP / 2.0 / UDP first.example.com : 4000 ; ttl = 16\r\n"
                    "  ; maddr = 224.2.0.1 ; branch = z9hG4bKa7c6a8dlze.1 ");
    assert_int_equal(via.port, 4000);
    assert_slice(via.branch, "z9hG4bKa7c6a8dlze.1");
}

static void any_transport_token_is_valid(void **state)
{
    (void)state;
    assert_int_equal(first_via("SIP/2.0/UNKNOWN t4.example.com;branch=a").transport,
                     TRANSPORT_OTHER);
    assert_int_equal(first_via("SIP/2.0/SCTP t2.example.com").transport, TRANSPORT_OTHER);
    assert_int_equal(first_via("sip/2.0/tls a").transport, TRANSPORT_TLS);
    assert_int_equal(first_via("SIP/2.0/ws df7jal23ls0d.invalid").transport, TRANSPORT_WS);
    assert_int_equal(first_via("SIP/2.0/WSS a").transport, TRANSPORT_WSS);
    /* So that a 505 finds its way back. */
    assert_int_equal(first_via("SIP/7.0/UDP c.example.com").transport, TRANSPORT_UDP);
}

/* RFC 5118 4.5. */
static void ipv6_comes_with_and_without_brackets(void **state)
{
    struct via via =
        first_via("SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3");

    (void)state;
    assert_slice(via.host, "[2001:db8::9:1]");
    assert_int_equal(via.port, 6050);
    assert_slice(via.received, "[2001:db8::9:255]");
    via = first_via("SIP/2.0/UDP [::1];received=2001:db8::9:255;branch=z9hG4bKas3");
    assert_slice(via.received, "2001:db8::9:255");
    assert_slice(via.branch, "z9hG4bKas3");
}

static void rport_is_the_whole_parameter(void **state)
{
    struct via via = first_via("SIP/2.0/UDP a; rport = 9988 ;received=192.0.2.1");

    (void)state;
    assert_true(via.has_rport);
    assert_slice(via.rport, "rport = 9988");
    assert_slice(first_via("SIP/2.0/UDP a;RPORT;b").rport, "RPORT");
}

static void a_branch_may_be_any_token(void **state)
{
    (void)state;
    assert_slice(first_via("SIP/2.0/TCP a;branch=z9hG4bK-.!%66*_+`'~").branch,
                 "z9hG4bK-.!%66*_+`'~");
    assert_slice(first_via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK").branch, "z9hG4bK");
    assert_slice(first_via("SIP/2.0/UDP a;hidden;Branch=X;ttl=1;ext=\"a,b;c\"").branch, "X");
}

static void broken_vias_are_refused_and_left(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "SIP",
                                      "SIP/2.0",
                                      "SIP/2.0/",
                                      "SIP/2.0/UDP",
                                      "SIP/2.0/UDP ",
                                      "SIP/2.0 UDP a",
                                      "SIP/2.0/UDP;branch=a",
                                      "SIP/2.0//UDP a",
                                      "/2.0/UDP a",
                                      "SIP/2.0/UDP a b",
                                      "SIP/2.0/UDP 192.0.2.15;;,;,,",
                                      "SIP/2.0/UDP a;",
                                      "SIP/2.0/UDP a; ;b",
                                      "SIP/2.0/UDP a,",
                                      "SIP/2.0/UDP a, ",
                                      ",SIP/2.0/UDP a",
                                      "SIP/2.0/UDP a:",
                                      "SIP/2.0/UDP a:0",
                                      "SIP/2.0/UDP a:65536",
                                      "SIP/2.0/UDP a:x",
                                      "SIP/2.0/UDP a;branch",
                                      "SIP/2.0/UDP a;branch=",
                                      "SIP/2.0/UDP a;branch=\"x\"",
                                      "SIP/2.0/UDP a;branch=x;branch=y",
                                      "SIP/2.0/UDP a;rport;rport=1",
                                      "SIP/2.0/UDP a;rport=x",
                                      "SIP/2.0/UDP a;rport=65536",
                                      "SIP/2.0/UDP a;received=b",
                                      "SIP/2.0/UDP a;received",
                                      "SIP/2.0/UDP a;received=1.2.3.4;received=1.2.3.4",
                                      "SIP/2.0/UDP 2001:db8::1",
                                      "SIP/2.0/UDP [2001:db8::1",
                                      "SIP/2.0/UDP -a",
                                      "SIP/2.0/UDP a\r\n;b",
                                      "SIP/2.0/UDP a=b",
                                      "SIP/2.0/UDP a;x=\"y"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct slice rest = slice_text(bad[i]);
        struct via via;
        if (via_next(&rest, &via))
            fail_msg("accepted: %s", bad[i]);
        assert_ptr_equal(rest.at, bad[i]);
    }
}

static void names_and_transports_match(void **state)
{
    (void)state;
    for (unsigned i = TRANSPORT_OTHER + 1; i < TRANSPORT_COUNT; i++)
        assert_int_equal(transport_of(transport_name(i)), i);
    assert_slice(transport_name(TRANSPORT_UDP), "UDP");
    assert_int_equal(transport_of(S("udp")), TRANSPORT_UDP);
    assert_int_equal(transport_of(S("UD")), TRANSPORT_OTHER);
    assert_int_equal(transport_of(S("")), TRANSPORT_OTHER);
}

/* Whatever is accepted lies inside the field, and what is left is shorter. */
static void mutilated_vias_stay_within_bounds(void **state)
{
    static const char seed_text[] =
        "SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1;rport=1;x=\"y\", SIP/2.0/TCP a.b\r\n ;received=::1";
    static const char letters[] = "/;=,:[]\"\\ \t\r\n.-0az";
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        char text[sizeof seed_text];
        struct slice rest;
        struct via via;
        memcpy(text, seed_text, sizeof text);
        for (uint64_t changes = draw_below(&seed, 4); changes > 0; changes--)
            text[draw_below(&seed, sizeof text - 1)] = letters[draw_below(&seed, 19)];
        rest = slice_of(text, draw_below(&seed, sizeof text));
        while (rest.len) {
            struct slice before = rest;
            if (!via_next(&rest, &via))
                break;
            assert_true(rest.len < before.len);
            assert_true(via.text.at >= before.at && via.text.at + via.text.len <= rest.at);
            assert_true(host_valid(via.host));
        }
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_usual_via_falls_into_its_parts), cmocka_unit_test(what_is_absent_shows),
        cmocka_unit_test(white_space_and_folds_may_be_all_over),
        cmocka_unit_test(any_transport_token_is_valid),
        cmocka_unit_test(ipv6_comes_with_and_without_brackets),
        cmocka_unit_test(rport_is_the_whole_parameter), cmocka_unit_test(a_branch_may_be_any_token),
        cmocka_unit_test(broken_vias_are_refused_and_left),
        cmocka_unit_test(names_and_transports_match),
        cmocka_unit_test(mutilated_vias_stay_within_bounds));
}
