/* Call records: what they tell, and that each reaches the shell until it is said to be kept. */
#include "unit.h"
#include "world.h"

#include "core/calls.h"

#include <stdio.h>

static void invite(struct world *w, const char *branch, const char *from)
{
    world_receive(w, 9, 5060,
                  "INVITE sip:202@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bK%s;rport\n"
                  "Max-Forwards: 70\n"
                  "From: %s;tag=carol\n"
                  "To: <sip:202@example.com>\n"
                  "Call-ID: %s\n"
                  "CSeq: 1 INVITE\n"
                  "Contact: <sip:carol@198.51.100.9:5060>\n"
                  "Content-Length: 0\n\n",
                  branch, from, branch);
}

/* Bob's answer to the n-th message sent. */
static void answer(struct world *w, unsigned n, unsigned status)
{
    char vias[1024] = "";
    struct message m;

    assert_false(message_parse(world_sent(w, n), &m).status);
    for (unsigned i = m.first[HEADER_VIA]; i; i = m.fields[i].next) {
        struct slice v = message_value(&m, i);
        snprintf(vias + strlen(vias), sizeof vias - strlen(vias), "Via: %.*s\n", (int)v.len, v.at);
    }
    world_receive(w, 2, 5060,
                  "SIP/2.0 %u Answer\n%s"
                  "From: %s\n"
                  "To: <sip:202@example.com>;tag=bob\n"
                  "Call-ID: %s\n"
                  "CSeq: 1 INVITE\n"
                  "Content-Length: 0\n\n",
                  status, vias, world_header(w, n, "From"), world_header(w, n, "Call-ID"));
}

/* The record that the last step gave the shell; its id is 0 if there is none. */
static struct call_record given(const struct world *w)
{
    struct call_record call = {0};

    for (uint32_t i = 0; i < w->out.count; i++) {
        struct reader r = reader_over(w->out.at[i].bytes);
        if (w->out.at[i].kind == ACTION_CALL)
            assert_true(call_read(&r, &call));
    }
    return call;
}

static void tell_kept(struct world *w, uint64_t id)
{
    world_event(w, &(struct event){
                       .kind = EVENT_CALLS_KEPT,
                       .bytes = slice_of((const char *)&id, sizeof id),
                   });
}

static void begin(struct world *w)
{
    world_begin(w, true);
    world_register(w, "bob", "builder", 2, 5060, 3600);
}

static struct call_record refuse_call(struct world *w, const char *branch)
{
    invite(w, branch, "\"Carol\" <sip:carol@elsewhere.example>");
    answer(w, 1, 486);
    return given(w);
}

static void a_refused_call_is_told_with_who_and_why(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    struct call_record call = refuse_call(&w, "one");
    assert_int_equal(call.id, 1);
    assert_slice(call.caller, "carol@elsewhere.example");
    assert_slice(call.display, "Carol");
    assert_slice(call.dialed, "202");
    assert_slice(call.callee, "bob");
    assert_slice(call.network, "198.51.100.9");
    assert_slice(call.call_id, "one");
    assert_int_equal(call.status, 486);
    assert_int_equal(call.answered, 0);
    assert_slice(call_reason(&call), "busy");
    world_end(&w);
}

static void a_record_comes_again_after_each_crash_until_it_is_kept(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    struct call_record call = refuse_call(&w, "one");
    for (unsigned n = 0; n < 2; n++) {
        world_restart(&w);
        world_wait(&w, SECONDS(1));
        assert_int_equal(given(&w).id, call.id);
    }
    tell_kept(&w, call.id);
    world_restart(&w);
    world_wait(&w, SECONDS(1));
    assert_int_equal(given(&w).id, 0);
    assert_int_equal(refuse_call(&w, "two").id, call.id + 1);
    world_end(&w);
}

static void what_is_kept_costs_no_memory(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    size_t before = core_census(w.core).text_bytes;
    for (unsigned n = 0; n < 60; n++) {
        char branch[16];

        snprintf(branch, sizeof branch, "call%u", n);
        tell_kept(&w, refuse_call(&w, branch).id);
        world_wait(&w, SECONDS(40));
    }
    assert_int_equal(core_census(w.core).calls, 0);
    assert_int_equal(core_census(w.core).text_bytes, before);
    world_end(&w);
}

static void without_room_for_a_record_calls_go_on(void **state)
{
    struct world w;
    unsigned told = 0;

    (void)state;
    begin(&w);
    for (unsigned n = 0; n < 40; n++) { /* the world's core holds 16 */
        char branch[16];

        snprintf(branch, sizeof branch, "call%u", n);
        told += refuse_call(&w, branch).id != 0;
        assert_int_equal(world_status(&w, 0), 486);
        world_wait(&w, SECONDS(40));
    }
    assert_int_equal(told, 16);
    world_end(&w);
}

static void texts_are_clean_and_cut(void **state)
{
    char from[600];
    struct world w;

    (void)state;
    begin(&w);
    snprintf(from, sizeof from, "\"a\xff\xc3\xa9%0300d\" <sip:%%07carol@elsewhere.example>", 0);
    invite(&w, "one", from);
    answer(&w, 1, 486);
    struct call_record call = given(&w);
    assert_slice(slice_until(call.display, 5), "a?\xc3\xa9"
                                               "0");
    assert_int_equal(call.display.len, NAME_LIMIT);
    assert_slice(call.caller, "?carol@elsewhere.example");
    world_end(&w);
}

static void broken_records_are_passed_over(void **state)
{
    char bytes[CALL_RECORD_LIMIT];
    struct writer whole = writer_over(bytes, sizeof bytes);
    struct call_record call = {.id = 7, .caller = S("a"), .call_id = S("b")}, found;

    (void)state;
    call_write(&whole, &call);
    for (size_t len = 0; len < whole.len; len++) {
        struct reader r = reader_over(slice_of(bytes, len));
        /* older ones end before the media, or before what was heard */
        assert_int_equal(call_read(&r, &found), len == whole.len - 3 || len == whole.len - 1);
    }
    struct reader r = reader_over(writer_slice(&whole));
    assert_true(call_read(&r, &found));
    assert_slice(found.call_id, "b");
}

/* Nothing of any; of one side and its second m-line; and as much as there can be. */
static void what_was_heard_is_read_back(void **state)
{
    static const char longest[NAME_LIMIT];
    const struct slice text = slice_of(longest, sizeof longest);
    const struct leg_heard most = {UINT32_MAX, UINT32_MAX, LEG_UNKNOWN}, some = {5000, 12, 3500};
    struct call_record calls[3] = {
        {.id = 5},
        {.id = 6, .heard = {.sides = {{0}, some}, .lines = {{{0}}, {{0}, some}}}},
        {.id = 7, .heard = {.sides = {most, most}}},
    };
    char bytes[COUNT_OF(calls) * CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct call_record found;

    (void)state;
    for (unsigned i = 0; i < 2 * LEGS_LINES; i++)
        calls[2].heard.lines[i / LEGS_LINES][i % LEGS_LINES] = most;
    calls[2].network = calls[2].caller = calls[2].dialed = text;
    calls[2].callee = calls[2].display = calls[2].call_id = text;
    for (unsigned i = 0; i < COUNT_OF(calls); i++)
        call_write(&w, &calls[i]);
    struct reader r = reader_over(writer_slice(&w));
    for (unsigned i = 0; i < COUNT_OF(calls); i++) {
        size_t before = r.rest.len;
        assert_true(call_read(&r, &found));
        assert_in_range(before - r.rest.len, 1, CALL_RECORD_LIMIT);
        assert_int_equal(found.id, calls[i].id);
        assert_memory_equal(&found.heard, &calls[i].heard, sizeof found.heard);
    }
    assert_int_equal(r.rest.len, 0);
}

static bool is_read(const char *heard, size_t len, struct call_record *found)
{
    char bytes[CALL_RECORD_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);

    call_write(&w, &(struct call_record){.id = 7});
    w.len--; /* which says that nothing was heard */
    write_slice(&w, slice_of(heard, len));
    struct reader r = reader_over(writer_slice(&w));
    return call_read(&r, found) && !r.rest.len;
}

/* That of the caller, of whom older records say as much, without and with a second m-line. */
static void what_was_heard_is_whole_or_broken(void **state)
{
    static const char older[13] = "\1\5\0\0\0\1\0\0\0\2\0\0";
    static const char newer[27] = "\5\5\0\0\0\1\0\0\0\2\0\0\0\2\5\0\0\0\1\0\0\0\2\0\0\0";
    char broken[sizeof newer];
    struct call_record found;

    (void)state;
    assert_true(is_read(older, sizeof older, &found));
    assert_int_equal(found.heard.sides[0].expected, 5);
    assert_int_equal(found.heard.lines[0][1].expected, 0);
    assert_true(is_read(newer, sizeof newer, &found));
    assert_int_equal(found.heard.sides[0].jitter, 2);
    assert_int_equal(found.heard.lines[0][1].expected, 5);
    assert_int_equal(found.heard.lines[0][1].lost, 1);
    for (size_t len = 1; len < sizeof newer; len++)
        assert_false(is_read(newer, len, &found));
    assert_false(is_read("\4\0\0", 3, &found)); /* m-lines, but none */
    assert_false(is_read("\10", 1, &found));
    memcpy(broken, newer, sizeof broken);
    broken[14] = 0; /* one of which nothing was expected */
    assert_false(is_read(broken, sizeof broken, &found));
}

static void reasons_are_those_of_gnu_sip_witch(void **state)
{
    static const struct {
        uint16_t status;
        uint8_t ender;
        const char *reason;
    } cases[] = {
        {200, CALL_ENDED_BY_CALLER, "terminated"},
        {200, CALL_ENDED_BY_NOBODY, "expired"},
        {302, 0, "redirect"},
        {403, 0, "rejected"},
        {408, 0, "expired"},
        {480, 0, "failed"},
        {486, 0, "busy"},
        {487, 0, "terminated"},
        {500, 0, "failed"},
        {600, 0, "busy"},
        {603, 0, "declined"},
        {604, 0, "failed"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct call_record call = {.status = cases[i].status, .ender = cases[i].ender};
        assert_slice(call_reason(&call), cases[i].reason);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_refused_call_is_told_with_who_and_why),
        cmocka_unit_test(a_record_comes_again_after_each_crash_until_it_is_kept),
        cmocka_unit_test(what_is_kept_costs_no_memory),
        cmocka_unit_test(without_room_for_a_record_calls_go_on),
        cmocka_unit_test(texts_are_clean_and_cut), cmocka_unit_test(broken_records_are_passed_over),
        cmocka_unit_test(what_was_heard_is_read_back),
        cmocka_unit_test(what_was_heard_is_whole_or_broken),
        cmocka_unit_test(reasons_are_those_of_gnu_sip_witch));
}
