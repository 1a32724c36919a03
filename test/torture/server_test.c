/*
 * What the whole server does with the torture messages: each is fed to a core set up as its row
 * says, and what goes out is the verdict.
 */
#include "testbed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sip/framing.h"

static const struct limits small = {
    .users = 32,
    .bindings = 64,
    .transactions = 64,
    .contexts = 32,
    .dialogs = 32,
    .calls = 32,
    .nonces = 64,
    .text = 1 << 20,
};

static const char *directory;

/* Of a response; 0 for a request.  An answer repeats what is wrong with what it answers, so that
 * it may have a fault too. */
static unsigned status_of(struct slice bytes)
{
    static struct message m;

    message_parse(bytes, &m);
    assert_true(m.body > 0);
    return m.is_request ? 0 : m.status;
}

static bool is_source(const struct flow *flow, const struct flow *source)
{
    return flow->transport == source->transport && flow->socket == source->socket &&
           flow->connection == source->connection &&
           memcmp(flow->address, source->address, sizeof flow->address) == 0;
}

/* One response, back to the source, that ends what the request began. */
static void check_answer(const struct testbed *server, const struct outcome *outcome,
                         const struct flow *source, const char *text)
{
    assert_int_equal(server->sent_count, 1);
    assert_int_equal(status_of(server->sent[0].bytes), outcome->status);
    assert_true(is_source(&server->sent[0].flow, source));
    if (text)
        assert_non_null(
            memmem(server->sent[0].bytes.at, server->sent[0].bytes.len, text, strlen(text)));
}

/* Fields that a proxy edits, adds or takes away (16.6). */
static bool is_edited(enum header header)
{
    return header == HEADER_VIA || header == HEADER_MAX_FORWARDS || header == HEADER_ROUTE ||
           header == HEADER_RECORD_ROUTE || header == HEADER_PROXY_AUTHORIZATION ||
           header == HEADER_MAX_BREADTH || header == HEADER_CONTENT_LENGTH ||
           header == HEADER_ASSERTION; /* what is told of a stranger */
}

static struct slice line_of(const struct message *m, unsigned field)
{
    const struct field *f = &m->fields[field];

    return slice_of(m->bytes.at + f->line, (size_t)(f->next_line - f->line));
}

/* All other fields are there in their order, to the octet, and nothing was added. */
static void check_untouched(const struct message *before, const struct message *after)
{
    unsigned j = 1;

    for (unsigned i = 1; i <= before->field_count; i++) {
        if (is_edited(before->fields[i].header))
            continue;
        while (j <= after->field_count && is_edited(after->fields[j].header))
            j++;
        assert_true(j <= after->field_count);
        assert_true(slice_equal(line_of(before, i), line_of(after, j)));
        j++;
    }
    while (j <= after->field_count && is_edited(after->fields[j].header))
        j++;
    assert_int_equal(j, after->field_count + 1);
    assert_true(slice_equal(message_body(before), message_body(after)));
    assert_true(slice_equal(message_span(before, before->method_text),
                            message_span(after, after->method_text)));
}

static unsigned count_vias(const struct message *m)
{
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_VIA]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct via via;
        while (rest.len && via_next(&rest, &via))
            count++;
    }
    return count;
}

/* The request at the phone and, for an INVITE, 100 at the source. */
static void check_forwarded(const struct testbed *server, struct slice original,
                            const struct flow *source, const struct flow *phone)
{
    static struct message before, after;
    const struct sent *forwarded = NULL;
    uint64_t hops = 71, left;

    for (unsigned i = 0; i < server->sent_count; i++)
        if (status_of(server->sent[i].bytes) == 0) {
            assert_null(forwarded);
            forwarded = &server->sent[i];
        } else {
            assert_int_equal(status_of(server->sent[i].bytes), 100);
            assert_true(is_source(&server->sent[i].flow, source));
        }
    assert_non_null(forwarded);
    assert_true(flow_equal(&forwarded->flow, phone));
    message_parse(original, &before);
    assert_int_equal(message_parse(forwarded->bytes, &after).status, 0);
    assert_int_equal(count_vias(&after), count_vias(&before) + 1);
    if (before.first[HEADER_MAX_FORWARDS])
        assert_true(slice_number(message_first(&before, HEADER_MAX_FORWARDS), 255, &hops));
    assert_true(slice_number(message_first(&after, HEADER_MAX_FORWARDS), 255, &left));
    assert_int_equal(left, hops - 1);
    assert_true(slice_starts(message_span(&after, after.uri), S("sip:phone@198.51.100.")));
    check_untouched(&before, &after);
}

static void check_outcome(const struct testbed *server, const struct outcome *outcome,
                          struct slice bytes, const struct flow *source, const struct flow *phone,
                          const char *text)
{
    for (unsigned i = 0; i < server->sent_count; i++) {
        struct slice sent = server->sent[i].bytes;
        size_t line = slice_find(sent, '\r');
        if (line > 60)
            line = 60;
        print_message("%.*s\n", (int)line, sent.at);
    }
    switch (outcome->kind) {
    case DROP: assert_int_equal(server->sent_count, 0); break;
    case ANSWER: check_answer(server, outcome, source, text); break;
    case FORWARD: check_forwarded(server, bytes, source, phone); break;
    }
}

static void check_contacts(const struct testbed *server, const char *user, const char *expected)
{
    char text[512];
    struct writer w = writer_over(text, sizeof text - 1);
    struct binding_view view;
    uint32_t cursor = 0;

    while (core_next_binding(server->core, &cursor, &view))
        if (slice_equal(view.aor, slice_text(user))) {
            write_slice(&w, view.contact);
            write_char(&w, ' ');
        }
    text[w.len] = '\0';
    assert_string_equal(text, expected);
}

/* Where the message comes from: by the port that its Via names. */
static struct flow source_of(const struct row *row, struct slice bytes)
{
    static struct message m;
    struct slice rest;
    struct via via;
    uint32_t port = 5060;

    message_parse(bytes, &m);
    rest = message_first(&m, HEADER_VIA);
    if (rest.len && via_next(&rest, &via) && via.port)
        port = via.port;
    return testbed_flow(row->arrival, 7, (uint16_t)port);
}

/* What the shell makes of the bytes of a stream: the message, or all of it where it is broken. */
static struct slice received(const struct row *row, struct slice bytes)
{
    size_t scanned = 0;
    struct frame frame;

    if (row->arrival != BY_TCP && row->arrival != BY_TLS)
        return bytes;
    frame = frame_next(bytes, &scanned);
    assert_int_equal(frame.kind, FRAME_MESSAGE);
    return slice_until(bytes, frame.len);
}

static void test_row(void **state)
{
    const struct row *row = *state;
    struct testbed *server =
        testbed_new(&small, row->realm ? row->realm : "example.com", row->localname);
    struct slice loaded = torture_load(directory, row->file);
    struct slice bytes = received(row, loaded);
    struct flow source = source_of(row, bytes);
    struct flow phone = testbed_flow(BY_UDP, 50, 5066);
    const struct outcome *last = row->signer ? &row->signed_outcome : &row->outcome;
    char text[MESSAGE_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    if (!row->contacts)
        assert_true(testbed_bind(server, last->to ? last->to : "user", &phone));
    testbed_step(server, EVENT_RECEIVED, &source, bytes);
    check_outcome(server, &row->outcome, bytes, &source, &phone, row->answer_text);
    if (row->signer) {
        assert_true(testbed_sign(&w, bytes, testbed_last(server), row->signer));
        testbed_forget(server);
        testbed_step(server, EVENT_RECEIVED, &source, writer_slice(&w));
        check_outcome(server, last, bytes, &source, &phone, NULL);
    }
    if (row->contacts)
        check_contacts(server, row->signer, row->contacts);
    testbed_free(server);
    free((void *)(uintptr_t)loaded.at);
}

/* RFC 4475 3.2.1: such branches are all alike, so they do not make two requests one transaction. */
static void two_requests_with_only_the_cookie_as_branch_are_two(void **state)
{
    static const char *const requests[] = {
        "OPTIONS sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK\r\n"
        "From: <sip:a@example.org>;tag=1\r\nTo: <sip:user@example.com>\r\nCall-ID: 1\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        "OPTIONS sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK\r\n"
        "From: <sip:a@example.org>;tag=2\r\nTo: <sip:user@example.com>\r\nCall-ID: 2\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
    };
    struct testbed *server = testbed_new(&small, "example.com", NULL);
    struct flow source = testbed_flow(BY_UDP, 7, 5060);
    struct flow phone = testbed_flow(BY_UDP, 50, 5066);

    (void)state;
    assert_true(testbed_bind(server, "user", &phone));
    for (unsigned i = 0; i < COUNT_OF(requests); i++) {
        testbed_forget(server);
        testbed_step(server, EVENT_RECEIVED, &source, slice_text(requests[i]));
        assert_int_equal(server->sent_count, 1);
        assert_true(flow_equal(&server->sent[0].flow, &phone));
    }
    testbed_free(server);
}

static void a_user_whose_id_has_an_at_sign_can_authenticate(void **state)
{
    struct testbed *server = testbed_new(&small, "example.com", NULL);
    struct flow phone = testbed_flow(BY_UDP, 50, 5066);

    (void)state;
    assert_true(testbed_bind(server, "at@sign", &phone));
    testbed_free(server);
}

/* An INVITE with a body of `size` octets. */
static struct slice write_invite(char *text, size_t limit, unsigned number, size_t size)
{
    struct writer w = writer_over(text, limit);

    write_slice(&w, S("INVITE sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch="
                      "z9hG4bK"));
    write_number(&w, number);
    write_slice(&w, S("\r\nFrom: <sip:a@example.org>;tag=1\r\nTo: <sip:user@example.com>\r\n"
                      "Call-ID: "));
    write_number(&w, number);
    write_slice(&w, S("\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: "));
    write_number(&w, size);
    write_slice(&w, S("\r\n\r\n"));
    while (size-- > 0)
        write_char(&w, 'x');
    assert_false(w.failed);
    return writer_slice(&w);
}

/* Refusing for want of room ends with what took the room. */
static void a_burst_of_large_calls_leaves_room_for_later_ones(void **state)
{
    static char text[MESSAGE_LIMIT];
    struct testbed *server = testbed_new(&small, "example.com", NULL);
    struct flow source = testbed_flow(BY_UDP, 7, 5060);
    struct flow phone = testbed_flow(BY_UDP, 50, 5066);

    (void)state;
    assert_true(testbed_bind(server, "user", &phone));
    for (unsigned i = 0; i < 30; i++)
        testbed_step(server, EVENT_RECEIVED, &source, write_invite(text, sizeof text, i, 30000));
    testbed_run_until(server, server->now.boot + SECONDS(600));
    testbed_forget(server);
    testbed_step(server, EVENT_RECEIVED, &source, write_invite(text, sizeof text, 99, 100));
    assert_true(server->sent_count > 0);
    assert_true(flow_equal(&server->sent[server->sent_count - 1].flow, &phone));
    testbed_free(server);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[TORTURE_ROWS + 3];
    static char names[TORTURE_ROWS][96];
    size_t count = 0;

    assert(argc == 2);
    directory = argv[1];
    for (; count < TORTURE_ROWS; count++) {
        const struct row *row = &torture_rows[count];
        snprintf(names[count], sizeof *names, "%s: %s", row->file, row->section);
        tests[count] =
            (struct CMUnitTest){names[count], test_row, NULL, NULL, (void *)(uintptr_t)row};
    }
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(two_requests_with_only_the_cookie_as_branch_are_two);
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(a_user_whose_id_has_an_at_sign_can_authenticate);
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(a_burst_of_large_calls_leaves_room_for_later_ones);
    return _cmocka_run_group_tests("torture server", tests, count, NULL, NULL);
}
