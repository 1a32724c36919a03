#include "unit.h"

#include "sip/message.h"

#define VIA "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
#define DIALOG "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x@y\r\n"
#define FIELDS VIA DIALOG "CSeq: 1 OPTIONS\r\n"
#define REQUEST "OPTIONS sip:c@d SIP/2.0\r\n"

static struct message message;

static struct fault parse(struct slice bytes)
{
    return message_parse(bytes, &message);
}

static void assert_fault(struct slice bytes, unsigned status, const char *reason)
{
    struct fault fault = parse(bytes);

    assert_int_equal(fault.status, status);
    assert_string_equal(fault.reason, reason);
}

static void assert_fine(struct slice bytes)
{
    struct fault fault = parse(bytes);

    if (fault.status)
        fail_msg("%u %s", fault.status, fault.reason);
}

static void a_request_is_indexed(void **state)
{
    (void)state;
    assert_fine(S(REQUEST FIELDS "Subject: x\r\nl: 4\r\n\r\nbody"));
    assert_true(message.is_request);
    assert_int_equal(message.method, METHOD_OPTIONS);
    assert_slice(message_span(&message, message.method_text), "OPTIONS");
    assert_slice(message_span(&message, message.uri), "sip:c@d");
    assert_int_equal(message.field_count, 7);
    assert_slice(message_first(&message, HEADER_CALL_ID), "x@y");
    assert_slice(message_body(&message), "body");
    assert_true(message.has_length);
    assert_null(message_first(&message, HEADER_CONTACT).at);
    assert_int_equal(message.cseq.number, 1);
}

static void a_response_is_indexed(void **state)
{
    (void)state;
    assert_fine(S("SIP/2.0 180 Ring Ring\r\n" FIELDS "\r\n"));
    assert_false(message.is_request);
    assert_int_equal(message.status, 180);
    assert_slice(message_span(&message, message.reason), "Ring Ring");
    assert_false(message.has_length);
    assert_fine(S("SIP/2.0 100 \r\n" FIELDS "\r\n")); /* RFC 4475 3.1.1.13 */
    assert_int_equal(message.reason.len, 0);
}

/* RFC 4475 3.1.1.1. */
static void folds_odd_spacing_and_odd_case_are_understood(void **state)
{
    (void)state;
    assert_fine(S("INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
                  "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
                  "from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n"
                  "  ;\r\n  tag = 98asjd8\r\n"
                  "MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\n"
                  "Content-Length   : 0\r\ncseq: 0009\r\n  INVITE\r\n"
                  "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n"
                  "s :\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
                  "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n"
                  "  branch  =   z9hG4bK9ikj8\r\n\r\n"));
    assert_slice(message_first(&message, HEADER_TO),
                 "sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n");
    assert_slice(message_first(&message, HEADER_MAX_FORWARDS), "0068");
    assert_int_equal(message.cseq.number, 9);
    assert_int_equal(message.cseq.method, METHOD_INVITE);
}

static void fields_of_one_header_are_chained_in_order(void **state)
{
    unsigned first, second;

    (void)state;
    assert_fine(S(REQUEST VIA "x: y\r\nv: SIP/2.0/TCP second\r\n" DIALOG
                              "CSeq: 1 OPTIONS\r\nVIA : SIP/2.0/TCP third\r\n\r\n"));
    first = message.first[HEADER_VIA];
    second = message.fields[first].next;
    assert_slice(message_value(&message, second), "SIP/2.0/TCP second");
    assert_int_equal(message.fields[second].next, message.last[HEADER_VIA]);
    assert_slice(message_value(&message, message.last[HEADER_VIA]), "SIP/2.0/TCP third");
    assert_int_equal(message.fields[message.last[HEADER_VIA]].next, 0);
}

static void a_field_knows_its_lines(void **state)
{
    const struct field *f;

    (void)state;
    assert_fine(S(REQUEST "Subject:  a\r\n b \r\n" FIELDS "\r\n"));
    f = &message.fields[1];
    assert_int_equal(f->line, message.headers);
    assert_int_equal(f->value - f->line, 10);
    assert_slice(message_value(&message, 1), "a\r\n b");
    assert_int_equal(f->next_line, message.fields[2].line);
    assert_int_equal(message.fields[message.field_count].next_line, message.headers_end);
    assert_int_equal(message.body, message.headers_end + 2);
}

static void crlfs_before_the_start_line_are_skipped(void **state)
{
    (void)state;
    assert_fine(S("\r\n\r\n" REQUEST FIELDS "\r\n"));
    assert_slice(message_span(&message, message.method_text), "OPTIONS");
}

static void start_lines_keep_to_the_grammar(void **state)
{
    static const char *const bad[] = {"OPTIONS  sip:c@d SIP/2.0",
                                      "OPTIONS sip:c@d  SIP/2.0",
                                      "OPTIONS sip:c@d SIP/2.0 ",
                                      " OPTIONS sip:c@d SIP/2.0",
                                      "OPTIONS sip:c@d; lr SIP/2.0",
                                      "OPTIONS sip:c@d",
                                      "OPTIONS",
                                      "OPTIONS ",
                                      "OPT<IONS sip:c@d SIP/2.0",
                                      "OPTIONS sip:c@d HTTP/1.1",
                                      "SIP/2.0 200",
                                      "SIP/2.0 99 x",
                                      "SIP/2.0 700 x",
                                      "SIP/2.0 2000 x",
                                      "SIP/2.0 4294967301 x",
                                      "SIP/2.0 2x0 x"};
    char text[256];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        strcpy(text, bad[i]);
        strcat(text, "\r\n" FIELDS "\r\n");
        if (parse(slice_text(text)).status != 400)
            fail_msg("accepted: %s", bad[i]);
    }
}

/* So that a 505 can be sent, the fields are there (RFC 4475 3.1.2.16). */
static void a_version_we_do_not_speak_is_505(void **state)
{
    (void)state;
    assert_fault(S("OPTIONS sip:c@d SIP/7.0\r\n" FIELDS "\r\n"), 505, "Version Not Supported");
    assert_slice(message_first(&message, HEADER_CALL_ID), "x@y");
}

static void what_is_no_message_at_all_leaves_nothing(void **state)
{
    static const struct slice bad[] = {S(""),     S("\0\0\0\0"), S("\r\n"),  S("\r\n\r\n"),
                                       S("keep"), S("x\n\n"),    S("x\ry\n")};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(parse(bad[i]).status, 400);
        assert_int_equal(message.bytes.len, 0);
    }
}

static void malformed_fields_are_400(void **state)
{
    (void)state;
    assert_fault(S(REQUEST "Subject\r\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST ": x\r\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST " x: y\r\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST "a b: y\r\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST "x: y\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST "x: y\rz\r\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST "Via\r\n : y\r\n" FIELDS "\r\n"), 400, "Malformed Header Field");
    assert_fault(S(REQUEST FIELDS), 400, "Malformed Header Field");
    assert_fault(S(REQUEST FIELDS "\r"), 400, "Malformed Header Field");
}

static void a_fault_leaves_the_fields_found_so_far(void **state)
{
    (void)state;
    assert_fault(S(REQUEST FIELDS "broken\r\n\r\n"), 400, "Malformed Header Field");
    assert_slice(message_first(&message, HEADER_CALL_ID), "x@y");
    assert_int_equal(message.method, METHOD_OPTIONS);
}

static void mandatory_fields_are_there_once(void **state)
{
    (void)state;
    assert_fault(S(REQUEST DIALOG "CSeq: 1 OPTIONS\r\n\r\n"), 400, "Missing Via");
    assert_fault(S(REQUEST VIA DIALOG "\r\n"), 400, "Missing CSeq");
    assert_fault(S(REQUEST VIA "CSeq: 1 OPTIONS\r\n\r\n"), 400, "Missing Call-ID");
    assert_fault(S(REQUEST FIELDS "i: z\r\n\r\n"), 400, "Repeated Call-ID");
    assert_fault(S(REQUEST FIELDS "f: z\r\n\r\n"), 400, "Repeated From");
    assert_fault(S(REQUEST FIELDS "t: z\r\n\r\n"), 400, "Repeated To");
    assert_fault(S(REQUEST FIELDS "CSeq: 2 OPTIONS\r\n\r\n"), 400, "Repeated CSeq");
    assert_fault(S(REQUEST FIELDS "Max-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n"), 400,
                 "Repeated Max-Forwards");
    assert_fault(S(REQUEST "Via:\r\n" DIALOG "CSeq: 1 OPTIONS\r\n\r\n"), 400, "Missing Via");
}

static void cseq_must_fit_the_method(void **state)
{
    (void)state;
    assert_fault(S(REQUEST VIA DIALOG "CSeq: 1 INVITE\r\n\r\n"), 400, "CSeq Method Differs");
    assert_fault(S("NEWMETHOD sip:c@d SIP/2.0\r\n" VIA DIALOG "CSeq: 1 INVITE\r\n\r\n"), 400,
                 "CSeq Method Differs");
    assert_fine(S("RE%47IST%45R sip:c@d SIP/2.0\r\n" VIA DIALOG "CSeq: 1 RE%47IST%45R\r\n\r\n"));
    assert_int_equal(message.method, METHOD_OTHER);
    assert_fault(S(REQUEST VIA DIALOG "CSeq: OPTIONS\r\n\r\n"), 400, "Bad CSeq");
}

static void content_length_is_checked_against_the_bytes(void **state)
{
    (void)state;
    assert_fine(S(REQUEST FIELDS "l: 2\r\n\r\nabcd"));
    assert_slice(message_body(&message), "ab");
    assert_fine(S(REQUEST FIELDS "\r\nabcd"));
    assert_slice(message_body(&message), "abcd");
    assert_fault(S(REQUEST FIELDS "l: 2\r\nContent-Length: 2\r\n\r\nab"), 400,
                 "Repeated Content-Length");
    assert_fault(S(REQUEST FIELDS "l: 5\r\n\r\nabcd"), 400, "Content-Length Exceeds Message");
    assert_fault(S(REQUEST FIELDS "l: -9\r\n\r\nabcd"), 400, "Bad Content-Length");
    assert_fault(S(REQUEST FIELDS "l: 4294967300\r\n\r\nabcd"), 400, "Bad Content-Length");
    assert_fault(S(REQUEST FIELDS "l: 1, 1\r\n\r\nabcd"), 400, "Bad Content-Length");
    assert_fault(S(REQUEST FIELDS "l: 1\r\nl: 2\r\n\r\nabcd"), 400, "Repeated Content-Length");
}

static void more_fields_than_the_limit_are_513(void **state)
{
    static char text[4096];

    (void)state;
    strcpy(text, REQUEST FIELDS);
    for (unsigned i = 5; i < MESSAGE_FIELDS; i++)
        strcat(text, "x: y\r\n");
    strcat(text, "\r\n");
    assert_fine(slice_text(text));
    assert_int_equal(message.field_count, MESSAGE_FIELDS);
    strcpy(text + strlen(text) - 2, "x: y\r\n\r\n");
    assert_fault(slice_text(text), 513, "Too Many Header Fields");
}

static void a_message_may_be_as_long_as_the_limit(void **state)
{
    static char text[MESSAGE_LIMIT + 1000];
    struct slice start = S(REQUEST FIELDS "Subject: ");

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, start.at, start.len);
    memcpy(text + MESSAGE_LIMIT - 4, "\r\n\r\n", 4);
    assert_fine(slice_of(text, MESSAGE_LIMIT));
    assert_int_equal(message.body, MESSAGE_LIMIT);
    assert_int_equal(message_value(&message, 6).len, MESSAGE_LIMIT - 4 - start.len);
    assert_int_equal(parse(slice_of(text + 1, sizeof text - 1)).status, 400);
}

static void cseq_has_a_number_and_a_method(void **state)
{
    static const char *const bad[] = {"",           "1",         "INVITE",
                                      "1INVITE",    "1 ",        "-1 INVITE",
                                      "x INVITE",   "1 INV ITE", "2147483648 INVITE",
                                      "1 INVITE;x", "1 1 INVITE"};
    struct cseq cseq;

    (void)state;
    assert_true(cseq_parse(S("2147483647\t \r\n invite"), &cseq));
    assert_int_equal(cseq.number, 2147483647);
    assert_int_equal(cseq.method, METHOD_OTHER); /* case counts */
    assert_slice(cseq.method_text, "invite");
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (cseq_parse(slice_text(bad[i]), &cseq))
            fail_msg("accepted: %s", bad[i]);
}

static void names_of_methods_and_headers_are_found(void **state)
{
    (void)state;
    for (unsigned i = METHOD_OTHER + 1; i < METHOD_COUNT; i++)
        assert_int_equal(method_of(method_name(i)), i);
    for (unsigned i = HEADER_OTHER + 1; i < HEADER_COUNT; i++)
        assert_int_equal(header_of(header_name(i)), i);
    assert_int_equal(method_of(S("")), METHOD_OTHER);
    assert_int_equal(method_of(S("INVITES")), METHOD_OTHER);
    assert_int_equal(header_of(S("CALL-id")), HEADER_CALL_ID);
    assert_int_equal(header_of(S("I")), HEADER_CALL_ID);
    assert_int_equal(header_of(S("z")), HEADER_OTHER);
    assert_int_equal(header_of(S("\0")), HEADER_OTHER);
    assert_int_equal(header_of(S("")), HEADER_OTHER);
    assert_int_equal(header_of(S("C%6Fntact")), HEADER_OTHER);
}

static void lists_are_cut_at_commas_outside_of_quotes_and_brackets(void **state)
{
    struct slice rest = S(" a ,\r\n \"b,\\\",\" <c,d>,, e");
    struct slice item;
    static const char *const wanted[] = {"a", "\"b,\\\",\" <c,d>", "", "e"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(wanted); i++) {
        assert_true(list_next(&rest, &item));
        assert_slice(item, wanted[i]);
    }
    assert_false(list_next(&rest, &item));
    rest = S("\"a\\");
    assert_true(list_next(&rest, &item));
    assert_int_equal(rest.len, 0);
}

/* Whatever the bytes, every field found lies inside them, in order. */
static void mutilated_messages_stay_within_bounds(void **state)
{
    static const char seed_text[] = REQUEST FIELDS "Subject:\r\n x\r\nl: 4\r\n\r\nbody";
    static const char letters[] = "\r\n\r\n :x\t,1";
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        char text[sizeof seed_text];
        size_t len = sizeof text - 1;
        size_t at = 0;
        memcpy(text, seed_text, sizeof text);
        for (uint64_t changes = draw_below(&seed, 4); changes > 0; changes--)
            text[draw_below(&seed, len)] = letters[draw_below(&seed, sizeof letters - 1)];
        if (draw_below(&seed, 2))
            len = draw_below(&seed, len);
        parse(slice_of(text, len));
        for (unsigned j = 1; message.bytes.len && j <= message.field_count; j++) {
            const struct field *f = &message.fields[j];
            assert_true(at <= f->line && f->line < f->value && f->value <= f->end);
            assert_true(f->end < f->next_line && f->next_line <= len);
            at = f->next_line;
        }
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_request_is_indexed), cmocka_unit_test(a_response_is_indexed),
        cmocka_unit_test(folds_odd_spacing_and_odd_case_are_understood),
        cmocka_unit_test(fields_of_one_header_are_chained_in_order),
        cmocka_unit_test(a_field_knows_its_lines),
        cmocka_unit_test(crlfs_before_the_start_line_are_skipped),
        cmocka_unit_test(start_lines_keep_to_the_grammar),
        cmocka_unit_test(a_version_we_do_not_speak_is_505),
        cmocka_unit_test(what_is_no_message_at_all_leaves_nothing),
        cmocka_unit_test(malformed_fields_are_400),
        cmocka_unit_test(a_fault_leaves_the_fields_found_so_far),
        cmocka_unit_test(mandatory_fields_are_there_once),
        cmocka_unit_test(cseq_must_fit_the_method),
        cmocka_unit_test(content_length_is_checked_against_the_bytes),
        cmocka_unit_test(more_fields_than_the_limit_are_513),
        cmocka_unit_test(a_message_may_be_as_long_as_the_limit),
        cmocka_unit_test(cseq_has_a_number_and_a_method),
        cmocka_unit_test(names_of_methods_and_headers_are_found),
        cmocka_unit_test(lists_are_cut_at_commas_outside_of_quotes_and_brackets),
        cmocka_unit_test(mutilated_messages_stay_within_bounds));
}
