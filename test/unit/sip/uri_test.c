#include "unit.h"

#include "sip/uri.h"

static struct uri parsed(const char *text)
{
    struct uri uri;

    if (!uri_parse(slice_text(text), &uri))
        fail_msg("refused: %s", text);
    return uri;
}

static bool is_valid(const char *text)
{
    struct uri uri;

    return uri_parse(slice_text(text), &uri);
}

static bool are_equal(const char *a, const char *b)
{
    struct uri x = parsed(a);
    struct uri y = parsed(b);
    bool equal = uri_equal(&x, &y);

    assert_int_equal(uri_equal(&y, &x), equal);
    return equal;
}

static void a_full_uri_falls_into_its_parts(void **state)
{
    struct uri uri = parsed("sip:alice:secret@example.com:5070;transport=tcp;lr?subject=x&to=y");

    (void)state;
    assert_int_equal(uri.scheme, SCHEME_SIP);
    assert_slice(uri.user, "alice");
    assert_slice(uri.password, "secret");
    assert_slice(uri.host, "example.com");
    assert_int_equal(uri.port, 5070);
    assert_slice(uri.params, ";transport=tcp;lr");
    assert_slice(uri.headers, "subject=x&to=y");
    assert_int_equal(uri.text.len, 65);
}

static void what_is_absent_shows(void **state)
{
    struct uri uri = parsed("SIPS:example.com");

    (void)state;
    assert_int_equal(uri.scheme, SCHEME_SIPS);
    assert_null(uri.user.at);
    assert_null(uri.password.at);
    assert_slice(uri.host, "example.com");
    assert_int_equal(uri.port, 0);
    assert_int_equal(uri.params.len, 0);
    assert_int_equal(uri.headers.len, 0);
    uri = parsed("sip:a:@example.com");
    assert_non_null(uri.password.at);
    assert_int_equal(uri.password.len, 0);
}

/* RFC 4475 3.1.1.2 and 3.1.1.13: all that user-unreserved allows. */
static void the_user_part_may_hold_delimiters_of_what_follows(void **state)
{
    struct uri uri = parsed("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
                            ":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com");

    (void)state;
    assert_slice(uri.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    assert_slice(uri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    assert_slice(uri.host, "example.com");
    uri = parsed("sip:user;par=u%40example.net@example.com");
    assert_slice(uri.user, "user;par=u%40example.net");
    assert_int_equal(uri.params.len, 0);
}

static void escapes_must_be_well_formed(void **state)
{
    (void)state;
    assert_true(is_valid("sip:sips%3Auser%40example.com@example.net"));
    assert_true(is_valid("sip:null-%00-null@example.com"));
    assert_true(is_valid("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"));
    assert_false(is_valid("sip:%@example.com"));
    assert_false(is_valid("sip:%4@example.com"));
    assert_false(is_valid("sip:%4g@example.com"));
    assert_false(is_valid("sip:a:%zz@example.com"));
    assert_false(is_valid("sip:a@example.com;x=%2"));
    assert_false(is_valid("sip:a@example.com?x=%2"));
    assert_false(is_valid("sip:a@ex%61mple.com"));
}

static void hosts_keep_to_the_grammar(void **state)
{
    static const char *const good[] = {"a",
                                       "example.com",
                                       "example.com.",
                                       "a-b.c--d.e9",
                                       "9a.example",
                                       "1.2.3.4.example",
                                       "192.0.2.1",
                                       "0.0.0.0",
                                       "[::1]",
                                       "[2001:db8::192.0.2.1]",
                                       "xn--bcher-kva.example"};
    static const char *const bad[] = {
        "",     ".",   "..",    ".a",       "a..b",      "-a",       "a-",  "a.-b",
        "a-.b", "a_b", "1.2.3", "1.2.3.4.", "256.1.1.1", "1.2.3.04", "a.1", "123",
        "[",    "[]",  "[::1",  "::1",      "[1.2.3.4]", "[::1]a",   "a b", "\xc3\xbc.de"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++)
        if (!host_valid(slice_text(good[i])))
            fail_msg("refused: %s", good[i]);
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (host_valid(slice_text(bad[i])))
            fail_msg("accepted: %s", bad[i]);
}

static void ports_are_1_to_65535(void **state)
{
    (void)state;
    assert_int_equal(parsed("sip:a@b:1").port, 1);
    assert_int_equal(parsed("sip:a@b:65535").port, 65535);
    assert_int_equal(parsed("sip:a@b:05060;lr").port, 5060);
    assert_int_equal(parsed("sip:[2001:db8::10]:5070").port, 5070);
    assert_int_equal(parsed("sip:[2001:db8::10:5070]").port, 0);
    assert_false(is_valid("sip:a@b:"));
    assert_false(is_valid("sip:a@b:;lr"));
    assert_false(is_valid("sip:a@b:0"));
    assert_false(is_valid("sip:a@b:65536"));
    assert_false(is_valid("sip:a@b:4294972356"));
    assert_false(is_valid("sip:a@b:5060x"));
    assert_false(is_valid("sip:a@b:-1"));
}

static void broken_uris_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "sip",
                                      "sip:",
                                      ":a@b",
                                      "1sip:a@b",
                                      "sip:@b",
                                      "sip::x@b",
                                      "sip:a@",
                                      "sip:a@b@c",
                                      "sip:a@b;",
                                      "sip:a@b;;lr",
                                      "sip:a@b;=x",
                                      "sip:a@b;x=",
                                      "sip:a@b;x=y=z",
                                      "sip:a@b;x=\"y\"",
                                      "sip:a@b?",
                                      "sip:a@b?x",
                                      "sip:a@b?=x",
                                      "sip:a@b?x=y&",
                                      "sip:a@b?x=y;z",
                                      "sip: a@b",
                                      "sip:a b@c",
                                      "sip:a@b ",
                                      "sip:a@b; lr",
                                      "<sip:a@b>",
                                      "sip:a@b>",
                                      "sip:a\"@b",
                                      "sip:2001:db8::10",
                                      "sip:user@[2001:db8:::192.0.2.1]",
                                      "sip:a@b/c",
                                      "sip:a@b,c"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (is_valid(bad[i]))
            fail_msg("accepted: %s", bad[i]);
}

static void other_schemes_are_kept_opaque(void **state)
{
    struct uri uri = parsed("soap.beep://192.0.2.103:3002");

    (void)state;
    assert_int_equal(uri.scheme, SCHEME_OTHER);
    assert_slice(uri.text, "soap.beep://192.0.2.103:3002");
    assert_null(uri.user.at);
    uri = parsed("tel:+1-201-555-0123;phone-context=example.com");
    assert_int_equal(uri.scheme, SCHEME_TEL);
    assert_slice(uri.user, "+1-201-555-0123");
    assert_int_equal(parsed("nobodyKnowsThisScheme:totallyopaquecontent").scheme, SCHEME_OTHER);
    assert_int_equal(parsed("sipx:a@b").scheme, SCHEME_OTHER);
}

/* RFC 3261 19.1.4, its examples. */
static void the_examples_of_the_rfc_compare_as_it_says(void **state)
{
    (void)state;
    assert_true(
        are_equal("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"));
    assert_true(are_equal("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
    assert_true(are_equal("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"));
    assert_true(are_equal("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"));
    assert_true(are_equal("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                          "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"));
    assert_true(are_equal("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                          "sip:alice@atlanta.com?priority=urgent&subject=project%20x"));
    assert_false(
        are_equal("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"));
    assert_false(are_equal("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
    assert_false(are_equal("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
    assert_false(are_equal("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"));
    assert_false(
        are_equal("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"));
    assert_false(are_equal("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"));
    assert_true(are_equal("sip:carol@chicago.com", "sip:carol@chicago.com;security=off"));
    assert_false(
        are_equal("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
}

static void sip_and_sips_are_never_equal(void **state)
{
    (void)state;
    assert_false(are_equal("sip:a@b", "sips:a@b"));
    assert_true(are_equal("SIPS:a@b", "sips:a@B"));
}

static void user_and_password_count_with_their_case(void **state)
{
    (void)state;
    assert_false(are_equal("sip:a@b", "sip:b"));
    assert_false(are_equal("sip:a@b", "sip:A@b"));
    assert_false(are_equal("sip:a:x@b", "sip:a@b"));
    assert_false(are_equal("sip:a:x@b", "sip:a:X@b"));
    assert_false(are_equal("sip:a:@b", "sip:a@b"));
}

static void a_reserved_character_is_not_its_escape(void **state)
{
    (void)state;
    assert_false(are_equal("sip:a;b@c", "sip:a%3bb@c"));
    assert_true(are_equal("sip:a%3Bb@c", "sip:a%3bb@c"));
    assert_true(are_equal("sip:%7ea@c", "sip:~a@c"));
    /* Escapes are decoded once only (RFC 4475 3.1.1.3). */
    assert_false(are_equal("sip:a@c;n%61me=v%61lue%25%34%31", "sip:a@c;name=valueA"));
    assert_true(are_equal("sip:a@c;n%61me=v%61lue%25%34%31", "sip:a@c;name=value%2541"));
}

static void parameters_that_count_must_be_in_both(void **state)
{
    static const char *const with[] = {"sip:a@b;user=phone", "sip:a@b;ttl=1", "sip:a@b;method=BYE",
                                       "sip:a@b;maddr=192.0.2.1", "sip:a@b;Transport=udp"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(with); i++)
        assert_false(are_equal("sip:a@b", with[i]));
    assert_true(are_equal("sip:a@b", "sip:a@b;lr"));
    assert_false(are_equal("sip:a@b;lr", "sip:a@b;lr=on"));
}

static void headers_are_compared_with_their_number(void **state)
{
    (void)state;
    assert_false(are_equal("sip:a@b?x=1&x=1&x=2", "sip:a@b?x=1&x=2&x=2"));
    assert_false(are_equal("sip:a@b?x=1&x=1", "sip:a@b?x=1"));
    assert_true(are_equal("sip:a@b?x=1&X=2&x=1", "sip:a@b?x=2&x=1&x=1"));
}

static void an_ipv6_address_is_the_same_in_each_way_to_write_it(void **state)
{
    (void)state;
    assert_true(are_equal("sip:a@[2001:DB8::1]", "sip:a@[2001:db8:0:0:0:0:0:1]"));
    assert_true(are_equal("sip:a@[::ffff:192.0.2.1]", "sip:a@[::ffff:c000:201]"));
    assert_false(are_equal("sip:a@[::1]", "sip:a@[::2]"));
    assert_false(are_equal("sip:a@[::192.0.2.1]", "sip:a@192.0.2.1"));
}

static void other_schemes_compare_as_text(void **state)
{
    (void)state;
    assert_true(are_equal("TEL:+12015550123", "tel:+12015550123"));
    assert_false(are_equal("tel:+12015550123", "tel:+12015550124"));
    assert_false(are_equal("urn:x", "url:x"));
    assert_false(are_equal("urn:x", "urn:X"));
}

/* Thousands of parameters would be compared each with each. */
static void hostile_numbers_of_parameters_are_not_compared_singly(void **state)
{
    static char a[60016], b[60016];

    (void)state;
    strcpy(a, "sip:a@b");
    for (size_t len = 7; len < 60000; len += 3)
        strcpy(a + len, ";xy");
    strcpy(b, a);
    assert_true(are_equal(a, b));
    strcat(b, "z");
    assert_false(are_equal(a, b));
}

static void a_parameter_is_found_whatever_its_case_and_escapes(void **state)
{
    struct uri uri = parsed("sip:a@b;transport=TCP;L%72;gr=urn:uuid:1");
    struct slice value;

    (void)state;
    assert_true(uri_param(&uri, S("Transport"), &value));
    assert_slice(value, "TCP");
    assert_true(uri_param(&uri, S("lr"), &value));
    assert_slice(value, "");
    assert_true(uri_param(&uri, S("gr"), &value));
    assert_slice(value, "urn:uuid:1");
    assert_false(uri_param(&uri, S("g"), &value));
    assert_false(uri_param(&uri, S(""), &value));
}

static void unescape_decodes_once_and_refuses_null(void **state)
{
    static const char *const bad[] = {"%00", "a%", "a%4", "%4x", "%%41"};
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    uri_unescape(&w, S("a%20b%2541%c3%BC"));
    assert_false(w.failed);
    assert_slice(writer_slice(&w), "a b%41\xc3\xbc");
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        w = writer_over(at, sizeof at);
        uri_unescape(&w, slice_text(bad[i]));
        assert_true(w.failed);
    }
}

static void texts_are_equal_once_all_escapes_are_decoded(void **state)
{
    (void)state;
    assert_true(uri_text_equal(S("a%3Bb"), S("a;b")));
    assert_true(uri_text_equal(S("%61"), S("a")));
    assert_false(uri_text_equal(S("%41"), S("a")));
    assert_false(uri_text_equal(S("a"), S("ab")));
    assert_false(uri_text_equal(S("%2541"), S("A")));
    assert_true(uri_text_equal(S(""), NO_SLICE));
}

static void parameters_come_off_one_by_one(void **state)
{
    struct slice rest = S(" ;\r\n  tag  = 98asjd8;lr; q\t=\t0.33 ;x=\"a;\\\",b\";h=[::1]:5060 ");
    struct slice name, value;
    static const char *const wanted[][2] = {
        {"tag", "98asjd8"}, {"lr", ""}, {"q", "0.33"}, {"x", "\"a;\\\",b\""}, {"h", "[::1]:5060"}};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(wanted); i++) {
        assert_true(param_next(&rest, &name, &value));
        assert_slice(name, wanted[i][0]);
        assert_slice(value, wanted[i][1]);
    }
    assert_false(param_next(&rest, &name, &value));
    assert_int_equal(rest.len, 0);
}

static void a_malformed_parameter_leaves_a_rest(void **state)
{
    static const char *const bad[] = {
        "x",           ";",      ";;",     "; ",       ";=x",
        ";x=",         ";x= ;y", ";x=\"y", ";x=\"y\\", ";x=\"a\r\nb\"",
        ";x=\"\x01\"", ";<",     "\r\n"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct slice rest = slice_text(bad[i]);
        struct slice name, value;
        if (param_next(&rest, &name, &value) || !rest.len)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void a_parameter_of_a_list_is_found_by_name(void **state)
{
    struct slice value = NO_SLICE;

    (void)state;
    assert_true(param_find(S(";a=1;Expires=60;expires=70"), S("expires"), &value));
    assert_slice(value, "60");
    assert_false(param_find(S(";a=1"), S("b"), &value));
    assert_false(param_find(S(""), S("b"), &value));
    assert_false(param_find(S(";a=1;;b=2"), S("b"), &value));
}

static void what_write_host_writes_reads_back(void **state)
{
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct address_bytes a = {.is_v6 = draw_below(&seed, 4) > 0}, b;
        char at[64];
        struct writer w = writer_over(at, sizeof at);
        for (unsigned j = 0; j < (a.is_v6 ? 16 : 4); j++)
            a.at[j] = draw_below(&seed, 2) ? (uint8_t)draw(&seed) : 0;
        write_host(&w, &a);
        assert_true(host_valid(writer_slice(&w)));
        assert_true(host_numeric(writer_slice(&w), &b));
        assert_true(a.is_v6 == b.is_v6 && memcmp(a.at, b.at, 16) == 0);
    }
}

/* Bytes changed, cut and put in at random: whatever is accepted lies inside the text and equals
 * itself. */
static void mutilated_uris_stay_within_bounds(void **state)
{
    static const char seed_text[] = "sip:al%69ce:pw@[2001:db8::1]:5060;tr=tcp;lr?a=b&c=%20";
    static const char letters[] = "sip:@;=?&%[]<>\"\\, \t\r\n.-0a:";
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        char text[sizeof seed_text];
        size_t len = sizeof seed_text - 1;
        struct uri uri;
        memcpy(text, seed_text, sizeof text);
        for (uint64_t changes = draw_below(&seed, 4); changes > 0; changes--)
            text[draw_below(&seed, len)] = letters[draw_below(&seed, sizeof letters - 1)];
        if (draw_below(&seed, 2))
            len = draw_below(&seed, len);
        if (uri_parse(slice_of(text, len), &uri) && uri.scheme <= SCHEME_SIPS) {
            assert_true(uri_equal(&uri, &uri));
            assert_true(host_valid(uri.host));
            assert_true(uri.host.at >= text && uri.host.at + uri.host.len <= text + len);
        }
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_full_uri_falls_into_its_parts), cmocka_unit_test(what_is_absent_shows),
        cmocka_unit_test(the_user_part_may_hold_delimiters_of_what_follows),
        cmocka_unit_test(escapes_must_be_well_formed), cmocka_unit_test(hosts_keep_to_the_grammar),
        cmocka_unit_test(ports_are_1_to_65535), cmocka_unit_test(broken_uris_are_refused),
        cmocka_unit_test(other_schemes_are_kept_opaque),
        cmocka_unit_test(the_examples_of_the_rfc_compare_as_it_says),
        cmocka_unit_test(sip_and_sips_are_never_equal),
        cmocka_unit_test(user_and_password_count_with_their_case),
        cmocka_unit_test(a_reserved_character_is_not_its_escape),
        cmocka_unit_test(parameters_that_count_must_be_in_both),
        cmocka_unit_test(headers_are_compared_with_their_number),
        cmocka_unit_test(an_ipv6_address_is_the_same_in_each_way_to_write_it),
        cmocka_unit_test(other_schemes_compare_as_text),
        cmocka_unit_test(hostile_numbers_of_parameters_are_not_compared_singly),
        cmocka_unit_test(a_parameter_is_found_whatever_its_case_and_escapes),
        cmocka_unit_test(unescape_decodes_once_and_refuses_null),
        cmocka_unit_test(texts_are_equal_once_all_escapes_are_decoded),
        cmocka_unit_test(parameters_come_off_one_by_one),
        cmocka_unit_test(a_malformed_parameter_leaves_a_rest),
        cmocka_unit_test(a_parameter_of_a_list_is_found_by_name),
        cmocka_unit_test(what_write_host_writes_reads_back),
        cmocka_unit_test(mutilated_uris_stay_within_bounds));
}
