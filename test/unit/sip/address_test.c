#include "unit.h"

#include "sip/address.h"

static struct address first_address(const char *text)
{
    struct slice rest = slice_text(text);
    struct address address;

    if (!address_next(&rest, &address))
        fail_msg("refused: %s", text);
    return address;
}

static void a_name_addr_falls_into_its_parts(void **state)
{
    struct address a =
        first_address("\"A. G. Bell\" <sip:agb@bell-telephone.com;lr?x=y> ;tag=a48s;x");

    (void)state;
    assert_slice(a.display, "\"A. G. Bell\"");
    assert_slice(a.uri, "sip:agb@bell-telephone.com;lr?x=y");
    assert_slice(a.params, ";tag=a48s;x");
    assert_slice(a.text, "\"A. G. Bell\" <sip:agb@bell-telephone.com;lr?x=y> ;tag=a48s;x");
}

/* RFC 4475 3.3.12 and 3.3.13. */
static void parameters_outside_of_brackets_are_the_headers(void **state)
{
    struct address a = first_address("sip:+19725552222@gw1.example.net;unknownparam");

    (void)state;
    assert_null(a.display.at);
    assert_slice(a.uri, "sip:+19725552222@gw1.example.net");
    assert_slice(a.params, ";unknownparam");
    a = first_address("<sip:+19725552222@gw1.example.net;unknownparam>");
    assert_slice(a.uri, "sip:+19725552222@gw1.example.net;unknownparam");
    assert_int_equal(a.params.len, 0);
}

static void a_bare_uri_needs_no_brackets(void **state)
{
    struct address a = first_address("sip:201@lab.test");

    (void)state;
    assert_slice(a.uri, "sip:201@lab.test");
    assert_slice(a.text, "sip:201@lab.test");
    assert_slice(first_address("isbn:2983792873").uri, "isbn:2983792873");
    assert_slice(first_address("<http://www.example.com>;tag=3").uri, "http://www.example.com");
}

/* RFC 4475 3.1.1.1, 3.1.1.2, 3.1.1.6. */
static void display_names_come_in_many_shapes(void **state)
{
    (void)state;
    assert_slice(
        first_address("\"J Rosenberg \\\\\\\"\"       <sip:a@b>\r\n  ;\r\n  tag = x").display,
        "\"J Rosenberg \\\\\\\"\"");
    assert_slice(first_address("\"Quoted string \\\"\\\"\" <sip:a@b>").display,
                 "\"Quoted string \\\"\\\"\"");
    assert_slice(first_address("token1~` token2'+_\r\n token3*%!.- <sip:a@b>").display,
                 "token1~` token2'+_\r\n token3*%!.-");
    assert_slice(first_address("caller<sip:caller@example.com>;tag=323").display, "caller");
    assert_slice(first_address("\"\"<sip:a@b>").display, "\"\"");
    assert_slice(first_address("\"<sip:x@y>, \\\\\" <sip:a@b>").uri, "sip:a@b");
    assert_slice(first_address("\"\xd0\x9f\xd1\x80\" <sip:a@b>").uri, "sip:a@b");
}

static void quoted_control_characters_must_be_escaped(void **state)
{
    struct slice rest = S("\"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f\" <sip:a@b>");
    struct address a;

    (void)state;
    assert_true(address_next(&rest, &a));
    rest = S("\"\x07\" <sip:a@b>");
    assert_false(address_next(&rest, &a));
    rest = S("\"\0\" <sip:a@b>");
    assert_false(address_next(&rest, &a));
}

static void values_come_off_a_list_one_by_one(void **state)
{
    struct slice rest = S("<sip:a@b>;q=0.5 , \"x, y\" <sip:c,d@e>\r\n ,sip:f@g;z");
    struct address a;

    (void)state;
    assert_true(address_next(&rest, &a));
    assert_slice(a.text, "<sip:a@b>;q=0.5");
    assert_true(address_next(&rest, &a));
    assert_slice(a.text, "\"x, y\" <sip:c,d@e>");
    assert_slice(a.uri, "sip:c,d@e");
    assert_true(address_next(&rest, &a));
    assert_slice(a.text, "sip:f@g;z");
    assert_int_equal(rest.len, 0);
    assert_false(address_next(&rest, &a));
}

/* RFC 4475 3.1.2 badaspec, baddn, badinv01, ltgtruri, quotbal, regbadct among them. */
static void broken_addresses_are_refused_and_left(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "*",
                                      "<>",
                                      "<*>",
                                      "alice",
                                      "<alice>",
                                      "<:x>",
                                      "<sip:>",
                                      "sip:",
                                      "\"Watson, Thomas\" < sip:t.watson@example.org >",
                                      "<sip:t.watson@example.org >",
                                      "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
                                      "\"Mr. J. User <sip:j.user@example.com>",
                                      "\"Joe\" <sip:joe@example.org>;;;;",
                                      "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
                                      "<sip:a@b",
                                      "sip:a@b>",
                                      "<<sip:a@b>>",
                                      "<sip:a@b>x",
                                      "<sip:a@b>;tag=",
                                      "<sip:a@b> sip:c@d",
                                      "\"a\" sip:a@b",
                                      "\"a\"",
                                      "\"a\" \"b\" <sip:a@b>",
                                      "a:b <sip:a@b>",
                                      "a@b <sip:a@b>",
                                      "<sip:a@b>,",
                                      "<sip:a@b>, ",
                                      ",<sip:a@b>",
                                      "<sip:a@b>;tag=x;tag=y",
                                      "<sip:a@b>;tag;tag=x",
                                      "<sip:\"a\"@b>",
                                      "<sip:a\x01@b>",
                                      "<sip:a\xc3\xbc@b>",
                                      "sip:a@b;tag=\"x",
                                      "sip:a b@c",
                                      "sip:a,b@c",
                                      "sip:a@b\r\n",
                                      "\"a\\",
                                      "\"a\r\nb\" <sip:a@b>"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct slice rest = slice_text(bad[i]);
        struct address a;
        if (address_next(&rest, &a) && !rest.len)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void the_tag_is_found(void **state)
{
    (void)state;
    assert_slice(address_tag(S("\"Alice\" <sip:alice@example.com>;tag=1928301774")), "1928301774");
    assert_slice(address_tag(S("sip:a@b ;   tag    = 1918181833n")), "1918181833n");
    assert_slice(address_tag(S("<sip:a@b>;x=\"tag=no\";TAG=_token~1'+`*%!-.;y")),
                 "_token~1'+`*%!-.");
    assert_slice(address_tag(S("sip:+16505552222@ss1.example.net;user=phone")), "");
    assert_slice(address_tag(S("<sip:a@b;tag=inside>")), "");
}

static void a_tag_that_cannot_be_read_is_none(void **state)
{
    static const char *const bad[] = {"",
                                      "<sip:a@b>;tag",
                                      "<sip:a@b>;tag=\"x\"",
                                      "<sip:a@b;tag=x",
                                      "<sip:a@b>;tag=x;tag=y",
                                      "<sip:a@b>;tag;tag=x",
                                      "<sip:a@b>;tag=x,<sip:c@d>"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(address_tag(slice_text(bad[i])).len, 0);
}

static void quality_is_read_in_thousandths(void **state)
{
    static const struct {
        const char *text;
        unsigned thousandths;
    } good[] = {{"0", 0},      {"1", 1000},  {"0.", 0},       {"1.", 1000},  {"0.5", 500},
                {"0.33", 330}, {"0.007", 7}, {"1.000", 1000}, {"0.999", 999}};
    static const char *const bad[] = {"",   "2",   "0.1234", "1.001", "1.1",  ".5",
                                      "-0", "0,5", "00",     "0.x",   "0.5 ", "1.0000"};
    unsigned q = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++) {
        assert_true(qvalue_parse(slice_text(good[i].text), &q));
        assert_int_equal(q, good[i].thousandths);
    }
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        assert_false(qvalue_parse(slice_text(bad[i]), &q));
}

/* Whatever is accepted lies inside the field, and what is left is shorter. */
static void mutilated_addresses_stay_within_bounds(void **state)
{
    static const char seed_text[] = "\"a\\\"b\" <sip:a@b;lr?x=y>;tag=1;x=\"y\", tok en\r\n "
                                    "<tel:1>;q=0.5 , sip:c@[::1];expires=1";
    static const char letters[] = "<>\";=,\\?: \t\r\n@*a";
    uint64_t seed = UINT64_C(0x853c49e6748fea9b);

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        char text[sizeof seed_text];
        struct slice rest;
        struct address a;
        memcpy(text, seed_text, sizeof text);
        for (uint64_t changes = draw_below(&seed, 4); changes > 0; changes--)
            text[draw_below(&seed, sizeof text - 1)] =
                letters[draw_below(&seed, sizeof letters - 1)];
        rest = slice_of(text, draw_below(&seed, sizeof text));
        address_tag(rest);
        while (rest.len) {
            struct slice before = rest;
            if (!address_next(&rest, &a))
                break;
            assert_true(rest.len < before.len);
            assert_true(a.text.at >= before.at && a.text.at + a.text.len <= rest.at);
            assert_true(a.uri.len > 0 && a.uri.at >= a.text.at);
            assert_true(a.params.at + a.params.len <= rest.at);
        }
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_name_addr_falls_into_its_parts),
        cmocka_unit_test(parameters_outside_of_brackets_are_the_headers),
        cmocka_unit_test(a_bare_uri_needs_no_brackets),
        cmocka_unit_test(display_names_come_in_many_shapes),
        cmocka_unit_test(quoted_control_characters_must_be_escaped),
        cmocka_unit_test(values_come_off_a_list_one_by_one),
        cmocka_unit_test(broken_addresses_are_refused_and_left), cmocka_unit_test(the_tag_is_found),
        cmocka_unit_test(a_tag_that_cannot_be_read_is_none),
        cmocka_unit_test(quality_is_read_in_thousandths),
        cmocka_unit_test(mutilated_addresses_stay_within_bounds));
}
