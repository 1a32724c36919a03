/*
 * What src/sip says of the torture messages: message_parse of each, then the grammar of the parts
 * that a proxy reads, some of their values, and how each one would be framed on a stream.
 */
#include "torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sip/address.h"
#include "sip/framing.h"
#include "sip/via.h"

static const char *directory;

/* `file` as a test's state. */
static struct slice load_state(void **state)
{
    return torture_load(directory, *state);
}

static bool vias_valid(const struct message *m)
{
    for (unsigned i = m->first[HEADER_VIA]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct via via;
        do {
            if (!via_next(&rest, &via))
                return false;
        } while (rest.len);
    }
    return true;
}

static bool addresses_valid(const struct message *m, enum header header)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct address address;
        do {
            if (!address_next(&rest, &address))
                return false;
        } while (rest.len);
    }
    return true;
}

/* From and To are one value, with no list of them. */
static bool single_address_valid(const struct message *m, enum header header)
{
    struct slice rest = message_first(m, header);
    struct address address;

    return address_next(&rest, &address) && !rest.len;
}

static unsigned bad_parts(const struct message *m)
{
    struct uri uri;
    unsigned bad = 0;

    if (m->is_request && !uri_parse(message_span(m, m->uri), &uri))
        bad |= PART_URI;
    if (!vias_valid(m))
        bad |= PART_VIA;
    if (!single_address_valid(m, HEADER_FROM))
        bad |= PART_FROM;
    if (!single_address_valid(m, HEADER_TO))
        bad |= PART_TO;
    if (!addresses_valid(m, HEADER_CONTACT))
        bad |= PART_CONTACT;
    if (!addresses_valid(m, HEADER_ROUTE) || !addresses_valid(m, HEADER_RECORD_ROUTE))
        bad |= PART_ROUTE;
    return bad;
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct slice bytes = torture_load(directory, row->file);
    struct message m;
    struct fault fault = message_parse(bytes, &m);

    if (fault.status)
        print_message("%u %s\n", fault.status, fault.reason);
    assert_int_equal(fault.status, row->fault);
    if (!fault.status)
        assert_int_equal(bad_parts(&m), row->bad_parts);
    free((void *)(uintptr_t)bytes.at);
}

/* What a value is read from. */
enum source {
    METHOD,
    USER, /* of the Request-URI, like the next two */
    HOST,
    PORT,
    CALL_ID,
    CSEQ,
    FROM_TAG,
    TO_TAG,
    TO_URI,
    MAX_FORWARDS,
    VIA_HOST, /* of the nth Via value, like the next three */
    VIA_PORT,
    VIA_BRANCH,
    VIA_RECEIVED,
    VIA_COUNT,
    CONTACT_URI, /* of the nth Contact value, like the next */
    CONTACT_PARAMS,
    CONTACT_COUNT,
    REASON,
    BODY_LENGTH,
};

static const struct value {
    const char *file;
    enum source source;
    unsigned n;
    const char *expected; /* "-" where it is absent */
} values[] = {
    {"rfc4475/wsinv", METHOD, 0, "INVITE"},
    {"rfc4475/wsinv", USER, 0, "vivekg"},
    {"rfc4475/wsinv", CSEQ, 0, "9 INVITE"},
    {"rfc4475/wsinv", MAX_FORWARDS, 0, "68"},
    {"rfc4475/wsinv", CALL_ID, 0, "wsinv.ndaksdj@192.0.2.1"},
    {"rfc4475/wsinv", TO_TAG, 0, "1918181833n"},
    {"rfc4475/wsinv", TO_URI, 0, "sip:vivekg@chair-dnrc.example.com"},
    {"rfc4475/wsinv", FROM_TAG, 0, "98asjd8"},
    {"rfc4475/wsinv", VIA_COUNT, 0, "3"},
    {"rfc4475/wsinv", VIA_HOST, 0, "192.0.2.2"},
    {"rfc4475/wsinv", VIA_BRANCH, 0, "390skdjuw"},
    {"rfc4475/wsinv", VIA_HOST, 1, "spindle.example.com"},
    {"rfc4475/wsinv", VIA_BRANCH, 1, "z9hG4bK9ikj8"},
    {"rfc4475/wsinv", VIA_HOST, 2, "192.168.255.111"},
    {"rfc4475/wsinv", VIA_BRANCH, 2, "z9hG4bK30239"},
    {"rfc4475/wsinv", CONTACT_URI, 0, "sip:jdrosen@example.com"},
    {"rfc4475/wsinv", BODY_LENGTH, 0, "150"},
    {"rfc4475/intmeth", METHOD, 0, "!interesting-Method0123456789_*+`.%indeed'~"},
    {"rfc4475/intmeth", USER, 0, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"},
    {"rfc4475/intmeth", HOST, 0, "example.com"},
    {"rfc4475/intmeth", FROM_TAG, 0, "_token~1'+`*%!-."},
    {"rfc4475/intmeth", CALL_ID, 0, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"},
    {"rfc4475/intmeth", VIA_BRANCH, 0, "z9hG4bK-.!%66*_+`'~"},
    {"rfc4475/intmeth", MAX_FORWARDS, 0, "255"},
    {"rfc4475/esc01", USER, 0, "sips%3Auser%40example.com"},
    {"rfc4475/esc01", HOST, 0, "example.net"},
    {"rfc4475/escnull", CONTACT_COUNT, 0, "2"},
    {"rfc4475/escnull", CONTACT_URI, 1, "sip:%00%00@host5.example.com"},
    {"rfc4475/esc02", METHOD, 0, "RE%47IST%45R"},
    {"rfc4475/esc02", CONTACT_COUNT, 0, "2"},
    {"rfc4475/esc02", CONTACT_URI, 1, "sip:alias3@host3.example.com"},
    {"rfc4475/lwsdisp", FROM_TAG, 0, "323"},
    {"rfc4475/longreq", VIA_COUNT, 0, "34"},
    {"rfc4475/longreq", VIA_BRANCH, 0, "-"},
    {"rfc4475/longreq", VIA_RECEIVED, 33, "192.0.2.5"},
    {"rfc4475/dblreq", BODY_LENGTH, 0, "0"},
    {"rfc4475/semiuri", USER, 0, "user;par=u%40example.net"},
    {"rfc4475/semiuri", HOST, 0, "example.com"},
    {"rfc4475/transports", VIA_COUNT, 0, "5"},
    {"rfc4475/transports", VIA_HOST, 3, "t4.example.com"},
    {"rfc4475/mpart01", BODY_LENGTH, 0, "553"},
    {"rfc4475/mpart01", VIA_PORT, 0, "5070"},
    {"rfc4475/noreason", REASON, 0, ""},
    {"rfc4475/bcast", VIA_HOST, 1, "255.255.255.255"},
    {"rfc4475/cparam01", CONTACT_URI, 0, "sip:+19725552222@gw1.example.net"},
    {"rfc4475/cparam01", CONTACT_PARAMS, 0, ";unknownparam"},
    {"rfc4475/cparam02", CONTACT_URI, 0, "sip:+19725552222@gw1.example.net;unknownparam"},
    {"rfc4475/cparam02", CONTACT_PARAMS, 0, ""},
    {"rfc4475/regescrt", CONTACT_URI, 0, "sip:user@example.com?Route=%3Csip:sip.example.com%3E"},
    {"rfc4475/inv2543", FROM_TAG, 0, ""},
    {"rfc4475/inv2543", MAX_FORWARDS, 0, "-"},
    {"rfc4475/inv2543", BODY_LENGTH, 0, "105"},
    {"rfc5118/ipv6-good", HOST, 0, "[2001:db8::10]"},
    {"rfc5118/port-ambiguous", HOST, 0, "[2001:db8::10:5070]"},
    {"rfc5118/port-ambiguous", PORT, 0, "0"},
    {"rfc5118/port-unambiguous", HOST, 0, "[2001:db8::10]"},
    {"rfc5118/port-unambiguous", PORT, 0, "5070"},
    {"rfc5118/via-received-param-with-delim", VIA_RECEIVED, 0, "[2001:db8::9:255]"},
    {"rfc5118/via-received-param-no-delim", VIA_RECEIVED, 0, "2001:db8::9:255"},
    {"rfc5118/mult-ip-in-header", VIA_PORT, 0, "6050"},
    {"rfc5118/mult-ip-in-header", VIA_RECEIVED, 2, "192.0.2.200"},
    {"rfc5118/ipv4-mapped-ipv6", VIA_HOST, 1, "[::ffff:192.0.2.2]"},
    {"rfc5118/ipv4-mapped-ipv6", VIA_PORT, 0, "19823"},
    {"rfc5118/ipv6-correct-abnf-2-colons", HOST, 0, "[2001:db8::192.0.2.1]"},
};

/* The nth value of all Via fields; returns how many there are up to it. */
static unsigned find_via(const struct message *m, unsigned n, struct via *via)
{
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_VIA]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        while (count <= n && via_next(&rest, via) && ++count <= n && rest.len)
            ;
    }
    return count;
}

static unsigned find_contact(const struct message *m, unsigned n, struct address *contact)
{
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        while (count <= n && address_next(&rest, contact) && ++count <= n && rest.len)
            ;
    }
    return count;
}

static void write_optional(struct writer *w, struct slice text)
{
    write_slice(w, text.at ? text : S("-"));
}

static void write_via_value(struct writer *w, const struct message *m, const struct value *value)
{
    struct via via;
    unsigned count = find_via(m, value->source == VIA_COUNT ? UINT32_MAX : value->n, &via);

    assert_true(count > value->n);
    switch (value->source) {
    case VIA_HOST: write_slice(w, via.host); break;
    case VIA_PORT: write_number(w, via.port); break;
    case VIA_BRANCH: write_optional(w, via.branch); break;
    case VIA_RECEIVED: write_optional(w, via.received); break;
    default: write_number(w, count); break;
    }
}

static void write_contact_value(struct writer *w, const struct message *m,
                                const struct value *value)
{
    struct address contact;
    unsigned last = value->source == CONTACT_COUNT ? UINT32_MAX : value->n;
    unsigned count = find_contact(m, last, &contact);

    assert_true(count > value->n);
    switch (value->source) {
    case CONTACT_URI: write_slice(w, contact.uri); break;
    case CONTACT_PARAMS: write_slice(w, contact.params); break;
    default: write_number(w, count); break;
    }
}

static void write_max_forwards(struct writer *w, const struct message *m)
{
    uint64_t number;

    if (!m->first[HEADER_MAX_FORWARDS]) {
        write_char(w, '-');
        return;
    }
    assert_true(slice_number(message_first(m, HEADER_MAX_FORWARDS), 255, &number));
    write_number(w, number);
}

static void write_value(struct writer *w, const struct message *m, const struct value *value)
{
    struct slice to = message_first(m, HEADER_TO);
    struct cseq cseq;
    struct uri uri = {0};
    struct address address;

    if (m->is_request)
        assert_true(uri_parse(message_span(m, m->uri), &uri));
    switch (value->source) {
    case METHOD: write_slice(w, message_span(m, m->method_text)); break;
    case USER: write_optional(w, uri.user); break;
    case HOST: write_slice(w, uri.host); break;
    case PORT: write_number(w, uri.port); break;
    case CALL_ID: write_slice(w, message_first(m, HEADER_CALL_ID)); break;
    case CSEQ:
        assert_true(cseq_parse(message_first(m, HEADER_CSEQ), &cseq));
        write_number(w, cseq.number);
        write_char(w, ' ');
        write_slice(w, cseq.method_text);
        break;
    case FROM_TAG: write_slice(w, address_tag(message_first(m, HEADER_FROM))); break;
    case TO_TAG: write_slice(w, address_tag(to)); break;
    case TO_URI:
        assert_true(address_next(&to, &address));
        write_slice(w, address.uri);
        break;
    case MAX_FORWARDS: write_max_forwards(w, m); break;
    case VIA_HOST:
    case VIA_PORT:
    case VIA_BRANCH:
    case VIA_RECEIVED:
    case VIA_COUNT: write_via_value(w, m, value); break;
    case CONTACT_URI:
    case CONTACT_PARAMS:
    case CONTACT_COUNT: write_contact_value(w, m, value); break;
    case REASON: write_slice(w, message_span(m, m->reason)); break;
    case BODY_LENGTH: write_number(w, message_body(m).len); break;
    }
}

static void test_value(void **state)
{
    const struct value *value = *state;
    struct slice bytes = torture_load(directory, value->file);
    struct message m;
    char text[256];
    struct writer w = writer_over(text, sizeof text - 1);

    assert_int_equal(message_parse(bytes, &m).status, 0);
    write_value(&w, &m, value);
    assert_false(w.failed);
    text[w.len] = '\0';
    assert_string_equal(text, value->expected);
    free((void *)(uintptr_t)bytes.at);
}

/* On a stream all but these are one message, with nothing left over. */
static const struct {
    const char *file;
    enum frame_kind kind;
    size_t len;
} framed_otherwise[] = {
    {"rfc4475/dblreq", FRAME_MESSAGE, 300}, /* 3.1.1.8: there the rest is another message */
    {"rfc4475/clerr", FRAME_NONE, 0},       /* 3.1.2.2: wait for more */
    {"rfc4475/ncl", FRAME_BROKEN, 0},       /* 3.1.2.3: close the connection */
    {"rfc4475/mcl01", FRAME_BROKEN, 0},     /* 3.3.9: close the connection */
    {"rfc4475/inv2543", FRAME_BROKEN, 0},   /* RFC 3261 18.3: no Content-Length */
};

static void test_framing(void **state)
{
    struct slice bytes = load_state(state);
    enum frame_kind kind = FRAME_MESSAGE;
    size_t len = bytes.len;
    size_t scanned = 0;
    struct frame frame;

    for (unsigned i = 0; i < COUNT_OF(framed_otherwise); i++)
        if (strcmp(framed_otherwise[i].file, *state) == 0) {
            kind = framed_otherwise[i].kind;
            len = framed_otherwise[i].len;
        }
    frame = frame_next(bytes, &scanned);
    assert_int_equal(frame.kind, kind);
    if (kind == FRAME_MESSAGE)
        assert_int_equal(frame.len, len);
    free((void *)(uintptr_t)bytes.at);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[2 * TORTURE_ROWS + COUNT_OF(values)];
    static char names[COUNT_OF(tests)][96];
    size_t count = 0;

    assert(argc == 2);
    directory = argv[1];
    for (unsigned i = 0; i < TORTURE_ROWS; i++, count++) {
        const struct row *row = &torture_rows[i];
        snprintf(names[count], sizeof *names, "grammar of %s", row->file);
        tests[count] =
            (struct CMUnitTest){names[count], test_row, NULL, NULL, (void *)(uintptr_t)row};
    }
    for (unsigned i = 0; i < COUNT_OF(values); i++, count++) {
        snprintf(names[count], sizeof *names, "value %u: %s", i, values[i].file);
        tests[count] = (struct CMUnitTest){names[count], test_value, NULL, NULL,
                                           (void *)(uintptr_t)&values[i]};
    }
    for (unsigned i = 0; i < TORTURE_ROWS; i++, count++) {
        const char *file = torture_rows[i].file;
        snprintf(names[count], sizeof *names, "framing of %s", file);
        tests[count] =
            (struct CMUnitTest){names[count], test_framing, NULL, NULL, (void *)(uintptr_t)file};
    }
    return _cmocka_run_group_tests("torture grammar", tests, count, NULL, NULL);
}
