/* Requests in a dialog (RFC 3261 12, 16.4), by cookie alone; and the observer's record of each
 * call. */
#include "talk.h"

#include <stdio.h>

static struct world w;

#define BOB_IN "<sip:bob@example.com>;tag=h2"
#define BOB_AT "sip:h2@198.51.100.2:5060"
#define CAROL_AT "sip:h9@198.51.100.9:5060"

static int ring(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phone(&w, 2, "");
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 180", "180>9"});
    return 0;
}

/* carol called bob, and phone 2 has answered. */
static int call(void **state)
{
    ring(state);
    PLAY(&w, {"2 200", "200>9"});
    assert_int_equal(core_census(w.core).dialogs, 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_wait(&w, SECONDS(70));
    assert_int_equal(core_census(w.core).server_transactions, 0);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    assert_int_equal(core_census(w.core).contexts, 0);
    world_end(&w);
    return 0;
}

static void carol_says(const char *method, unsigned cseq)
{
    SAY(&w, .host = 9, .method = method, .uri = BOB_AT, .to = BOB_IN, .cseq = cseq,
        .branch = method, .more = talk_route(&w, 2));
}

static void bob_says_from(unsigned host, const char *method, unsigned cseq, const char *more)
{
    char fields[2048];

    snprintf(fields, sizeof fields, "%s%s", talk_route(&w, 2), more);
    SAY(&w, .host = host, .method = method, .uri = CAROL_AT, .from = BOB_IN, .to = CAROL,
        .cseq = cseq, .branch = method, .more = fields);
}

static void bob_says(const char *method, unsigned cseq)
{
    bob_says_from(2, method, cseq, "");
}

static unsigned dialogs(void)
{
    return core_census(w.core).dialogs;
}

static struct dialog_view the_dialog(void)
{
    struct dialog_view view;
    uint32_t cursor = 0;

    assert_true(core_next_dialog(w.core, &cursor, &view));
    return view;
}

/* The records of one type (core/record.h) that were made. */
static unsigned records(uint8_t type)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w.record_count; i++)
        n += (uint8_t)w.records[i].at[0] == type;
    return n;
}

#define DIALOG_RECORD 7
#define DIALOG_END_RECORD 8

static void ringing_is_no_call(void **state)
{
    uint32_t cursor = 0;
    struct dialog_view view;

    (void)state;
    assert_int_equal(dialogs(), 0);
    assert_false(core_next_dialog(w.core, &cursor, &view));
    PLAY(&w, {"2 486", "486>9 ACK>2"});
    assert_int_equal(dialogs(), 0);
}

static void a_call_begins_with_the_2xx_and_is_recorded_before_it_is_sent(void **state)
{
    unsigned before = records(DIALOG_RECORD);
    struct dialog_view view;

    (void)state;
    ANSWER(&w, .host = 2, .status = 200);
    view = the_dialog();
    assert_slice(view.call_id, "call");
    assert_slice(view.caller_tag, "carol");
    assert_slice(view.callee_tag, "h2");
    assert_int_equal(view.caller_cseq, 1);
    assert_int_equal(records(DIALOG_RECORD), before + 1);
    assert_int_equal(w.out.at[0].kind, ACTION_PERSIST);
    assert_int_equal(w.out.at[w.out.count - 1].kind, ACTION_SEND);
}

static void each_side_can_hang_up(void **state)
{
    (void)state;
    carol_says("BYE", 2);
    assert_sent(&w, "BYE>2");
    PLAY(&w, {"2 200 BYE", "200>9"});
    assert_int_equal(dialogs(), 0);
    end(state);
    call(state);
    bob_says("BYE", 1);
    assert_sent(&w, "BYE>9");
    PLAY(&w, {"9 200 BYE", "200>2"});
    assert_int_equal(dialogs(), 0);
}

/* 15.1.1 */
static void a_bye_ends_the_call_unless_it_is_refused(void **state)
{
    static const struct {
        unsigned status;
        bool ends;
    } rows[] = {{200, true}, {202, true}, {408, true}, {481, true}, {401, false}, {500, false}};

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        call(state);
        carol_says("BYE", 2);
        ANSWER(&w, .host = 2, .method = "BYE", .status = rows[i].status);
        assert_int_equal(dialogs(), !rows[i].ends);
        assert_int_equal(records(DIALOG_END_RECORD), rows[i].ends);
        end(state);
    }
}

static void a_bye_that_nobody_answers_ends_the_call(void **state)
{
    (void)state;
    carol_says("BYE", 2);
    world_wait(&w, SECONDS(31));
    assert_int_equal(dialogs(), 1);
    world_wait(&w, SECONDS(2));
    assert_int_equal(dialogs(), 0);
}

static void the_highest_cseq_of_each_side_is_kept(void **state)
{
    (void)state;
    carol_says("INFO", 7);
    bob_says("UPDATE", 3);
    carol_says("MESSAGE", 5);
    assert_int_equal(the_dialog().caller_cseq, 7);
    assert_int_equal(the_dialog().callee_cseq, 3);
    PLAY(&w, {"2 200 INFO", "200>9"}, {"9 200 UPDATE", "200>2"}, {"2 200 MESSAGE", "200>9"});
    assert_int_equal(dialogs(), 1);
}

static struct slice last_record(void)
{
    for (unsigned i = w.record_count; i-- > 0;)
        if ((uint8_t)w.records[i].at[0] == DIALOG_RECORD)
            return w.records[i];
    return NO_SLICE;
}

static bool record_has(const char *text)
{
    struct slice r = last_record();

    return memmem(r.at, r.len, text, strlen(text)) != NULL;
}

/* 12.2.1.2: the remote target is refreshed. */
static void a_reinvite_that_moves_a_contact_is_recorded(void **state)
{
    unsigned before = records(DIALOG_RECORD);

    (void)state;
    carol_says("INVITE", 2);
    assert_sent(&w, "100>9 INVITE>2");
    ANSWER(&w, .host = 2, .status = 200, .contact = "<sip:bob@203.0.113.77>");
    assert_int_equal(records(DIALOG_RECORD), before + 1);
    assert_true(record_has("sip:bob@203.0.113.77"));
    assert_true(record_has(CAROL_AT));
    end(state);
    call(state);
    before = records(DIALOG_RECORD);
    SAY(&w, .host = 2, .method = "INVITE", .uri = CAROL_AT, .from = BOB_IN, .to = CAROL, .cseq = 2,
        .branch = "again", .more = talk_route(&w, 2));
    assert_sent(&w, "100>2 INVITE>9");
    ANSWER(&w, .host = 9, .status = 200, .contact = "<sip:carol@203.0.113.78>");
    assert_int_equal(records(DIALOG_RECORD), before + 1);
    assert_true(record_has("sip:carol@203.0.113.78"));
    assert_int_equal(dialogs(), 1);
}

static void a_reinvite_that_moves_nothing_writes_no_record(void **state)
{
    unsigned before = records(DIALOG_RECORD);

    (void)state;
    carol_says("INVITE", 2);
    PLAY(&w, {"2 200", "200>9"});
    assert_int_equal(records(DIALOG_RECORD), before);
    assert_int_equal(dialogs(), 1);
}

static void a_refused_reinvite_leaves_the_call(void **state)
{
    (void)state;
    carol_says("INVITE", 2);
    PLAY(&w, {"2 488", "488>9 ACK>2"});
    assert_int_equal(dialogs(), 1);
}

static void a_call_is_found_and_ended_after_a_restart(void **state)
{
    struct dialog_view view;

    (void)state;
    world_restart(&w);
    view = the_dialog();
    assert_slice(view.call_id, "call");
    assert_slice(view.caller_tag, "carol");
    assert_slice(view.callee_tag, "h2");
    bob_says("BYE", 1);
    assert_sent(&w, "BYE>9");
    PLAY(&w, {"9 200 BYE", "200>2"});
    assert_int_equal(dialogs(), 0);
    world_restart(&w);
    assert_int_equal(dialogs(), 0);
}

static void a_call_that_is_too_old_is_forgotten_across_restarts_too(void **state)
{
    duration most = w.settings.call_longest;

    (void)state;
    world_wait(&w, most / 2);
    world_restart(&w);
    assert_int_equal(dialogs(), 1);
    world_wait(&w, most / 2 - SECONDS(10));
    assert_int_equal(dialogs(), 1);
    world_wait(&w, SECONDS(60)); /* its BYEs are given up */
    assert_int_equal(dialogs(), 0);
    assert_int_equal(records(DIALOG_END_RECORD), 1);
}

static void each_answer_of_a_fork_is_a_call_up_to_four(void **state)
{
    static const char *const tags[] = {"a", "b", "a", "c", "d", "e"};
    static const unsigned count[] = {1, 2, 2, 3, 4, 4};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(tags); i++) {
        ANSWER(&w, .host = 2, .status = 200, .tag = tags[i]);
        assert_sent(&w, "200>9"); /* forwarding needs no observer */
        assert_int_equal(dialogs(), count[i]);
    }
    world_restart(&w);
    assert_int_equal(dialogs(), 4);
    ANSWER(&w, .host = 2, .status = 200, .tag = "a");
    assert_int_equal(dialogs(), 4);
}

static void a_repeated_2xx_does_not_bring_back_a_call_that_ended(void **state)
{
    (void)state;
    carol_says("BYE", 2);
    PLAY(&w, {"2 200 BYE", "200>9"}, {"2 200", "200>9"});
    assert_int_equal(dialogs(), 0);
    world_restart(&w);
    PLAY(&w, {"2 200", "200>9"});
    assert_int_equal(dialogs(), 0);
}

/* Nor after a restart, which must know which answers were given. */
static void an_answer_that_came_late_and_ended_stays_ended(void **state)
{
    (void)state;
    ANSWER(&w, .host = 2, .status = 200, .tag = "late");
    assert_int_equal(dialogs(), 2);
    SAY(&w, .host = 9, .method = "BYE", .uri = BOB_AT, .to = "<sip:bob@example.com>;tag=late",
        .cseq = 2, .more = talk_route(&w, 2));
    PLAY(&w, {"2 200 BYE", "200>9"});
    assert_int_equal(dialogs(), 1);
    world_restart(&w);
    ANSWER(&w, .host = 2, .status = 200, .tag = "late");
    assert_sent(&w, "200>9");
    assert_int_equal(dialogs(), 1);
}

static void the_answer_to_a_reinvite_is_no_new_call_after_a_restart(void **state)
{
    (void)state;
    carol_says("INVITE", 2);
    PLAY(&w, {"2 200", "200>9"});
    carol_says("BYE", 3);
    PLAY(&w, {"2 200 BYE", "200>9"});
    world_restart(&w);
    PLAY(&w, {"2 200", "200>9"});
    assert_int_equal(dialogs(), 0);
}

static void a_call_that_there_is_no_room_to_observe_works_all_the_same(void **state)
{
    struct limits limits = world_limits;

    limits.dialogs = 1;
    world_begin_within(&w, true, &limits);
    talk_phone(&w, 2, "");
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"}, {"2 200", "200>9"});
    ANSWER(&w, .host = 2, .status = 200, .tag = "other");
    assert_sent(&w, "200>9");
    assert_int_equal(dialogs(), 1);
    SAY(&w, .host = 9, .method = "BYE", .uri = BOB_AT, .to = "<sip:bob@example.com>;tag=other",
        .cseq = 2, .more = talk_route(&w, 2));
    assert_sent(&w, "BYE>2");
    PLAY(&w, {"2 200 BYE", "200>9"});
    assert_int_equal(dialogs(), 1);
    end(state);
}

static void an_ack_goes_on_to_the_callee_without_a_transaction(void **state)
{
    unsigned before = core_census(w.core).client_transactions;

    (void)state;
    carol_says("ACK", 1);
    assert_sent(&w, "ACK>2");
    SAY(&w, .host = 9, .method = "ACK", .uri = BOB_AT, .to = BOB_IN, .branch = "invite",
        .more = talk_route(&w, 2)); /* with the branch of its INVITE, as some phones have it */
    assert_sent(&w, "ACK>2");
    assert_int_equal(core_census(w.core).client_transactions, before);
}

static void an_ack_without_a_way_is_dropped(void **state)
{
    char route[1200];

    (void)state;
    SAY(&w, .host = 9, .method = "ACK", .uri = BOB_AT, .to = BOB_IN, .branch = "ack");
    assert_sent(&w, "");
    snprintf(route, sizeof route, "Max-Forwards: 0\n%s", talk_route(&w, 2));
    SAY(&w, .host = 9, .method = "ACK", .uri = BOB_AT, .to = BOB_IN, .branch = "ack",
        .more = route);
    assert_sent(&w, "");
}

static void a_request_in_a_dialog_needs_the_cookie_of_that_dialog(void **state)
{
    static const struct {
        struct words words;
        const char *sent;
    } rows[] = {
        {{.host = 9}, "BYE>2"},
        {{.host = 9, .call_id = "another"}, "481>9"},
        {{.host = 9, .from = "<sip:carol@elsewhere.example>;tag=another"}, "481>9"},
        {{.host = 9, .from = "<sip:carol@elsewhere.example>;tag=h2"}, "481>9"},
        {{.host = 9, .to = "<sip:bob@example.com>;tag=another"}, "BYE>2"}, /* another fork's */
        {{.host = 8}, "403>8"},
        {{.host = 9, .uri = "sip:anyone@203.0.113.9"}, "BYE>2"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct words words = rows[i].words;
        call(state);
        words.method = "BYE";
        words.cseq = 2;
        words.to = words.to ? words.to : BOB_IN;
        words.uri = words.uri ? words.uri : BOB_AT;
        words.more = talk_route(&w, 2);
        talk_say(&w, words);
        if (strcmp(talk_sent(&w), rows[i].sent))
            fail_msg("row %u: %s", i, talk_sent(&w));
        end(state);
    }
}

static void a_cookie_that_was_touched_is_void(void **state)
{
    char route[1200];
    char *digit;

    (void)state;
    snprintf(route, sizeof route, "%s", talk_route(&w, 2));
    digit = strchr(route, '@') - 1;
    *digit = *digit == '7' ? '8' : '7';
    SAY(&w, .host = 9, .method = "BYE", .uri = BOB_AT, .to = BOB_IN, .cseq = 2, .more = route);
    assert_sent(&w, "481>9");
}

static void a_stranger_may_come_by_another_port_but_no_other_address(void **state)
{
    (void)state;
    world_receive(&w, 9, 4444,
                  "BYE " BOB_AT " SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKb\n%s"
                  "Max-Forwards: 70\nFrom: " CAROL "\nTo: " BOB_IN
                  "\nCall-ID: call\nCSeq: 2 BYE\n\n",
                  talk_route(&w, 2));
    assert_sent(&w, "BYE>2");
}

static void a_user_who_comes_from_elsewhere_must_prove_himself(void **state)
{
    static const struct {
        const char *user, *secret, *sent;
    } rows[] = {
        {"bob", "builder", "BYE>9"}, {"alice", "wonder", "403>7"}, {"bob", "wrong", "407>7"}};

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char proof[1200];
        call(state);
        bob_says_from(7, "BYE", 1, "");
        assert_sent(&w, "407>7");
        snprintf(proof, sizeof proof, "Proxy-Authorization: %s\n",
                 world_credentials(world_header(&w, 0, "Proxy-Authenticate"), rows[i].user,
                                   rows[i].secret, "BYE", CAROL_AT, 1));
        bob_says_from(7, "BYE", 1, proof);
        if (strcmp(talk_sent(&w), rows[i].sent))
            fail_msg("row %u: %s", i, talk_sent(&w));
        end(state);
    }
}

static void a_phone_is_reached_where_it_is_now(void **state)
{
    unsigned bindings = core_census(w.core).bindings;

    (void)state;
    /* the same contact, from another address: it moved behind its NAT */
    assert_int_equal(world_register_with(&w, "bob", "builder", 3, 5060,
                                         "Contact: <sip:bob@198.51.100.2:5060>\n"),
                     200);
    assert_int_equal(core_census(w.core).bindings, bindings);
    carol_says("INFO", 2);
    assert_sent(&w, "INFO>3");
    bob_says_from(3, "UPDATE", 1, "");
    assert_sent(&w, "UPDATE>9");
}

/* A call does not depend on a registration (12.2.1.1). */
static void a_phone_that_unregistered_is_reached_where_it_was(void **state)
{
    (void)state;
    assert_int_equal(world_register_with(&w, "bob", "builder", 2, 5060, "Contact: *\nExpires: 0\n"),
                     200);
    carol_says("INFO", 2);
    assert_sent(&w, "INFO>2");
    bob_says_from(2, "UPDATE", 1, "");
    assert_sent(&w, "UPDATE>9");
    bob_says_from(3, "BYE", 2, "");
    assert_sent(&w, "407>3");
}

/* Some phones take their registration back and register anew whenever their network stirs; here
 * it is another network, by then. */
static void a_phone_that_registered_anew_is_found_again(void **state)
{
    static const struct {
        const char *contact, *sent;
    } rows[] = {
        {"Contact: <sip:bob@198.51.100.2:5060>\n", "INFO>3"},
        {"Contact: <sip:another@198.51.100.2:5060>\n", "INFO>2"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        call(state);
        world_register_with(&w, "bob", "builder", 2, 5060, "Contact: *\nExpires: 0\n");
        world_restart(&w);
        assert_int_equal(world_register_with(&w, "bob", "builder", 3, 5060, rows[i].contact), 200);
        world_restart(&w);
        carol_says("INFO", 2);
        if (strcmp(talk_sent(&w), rows[i].sent))
            fail_msg("row %u: %s", i, talk_sent(&w));
        end(state);
    }
}

/* The caller is one of ours: both ends are bindings. */
static void between_two_users_both_are_found_by_their_bindings(void **state)
{
    char proof[1200];

    (void)state;
    world_begin(&w, false);
    world_register(&w, "alice", "wonder", 1, 5060, 3600);
    talk_phone(&w, 2, "");
    SAY(&w, .host = 1, .from = "<sip:alice@example.com>;tag=a", .branch = "first");
    snprintf(proof, sizeof proof, "Proxy-Authorization: %s\n",
             world_credentials(world_header(&w, 0, "Proxy-Authenticate"), "alice", "wonder",
                               "INVITE", "sip:bob@example.com", 1));
    SAY(&w, .host = 1, .from = "<sip:alice@example.com>;tag=a", .cseq = 2, .more = proof);
    assert_sent(&w, "100>1 INVITE>2");
    PLAY(&w, {"2 200", "200>1"});
    SAY(&w, .host = 2, .method = "BYE", .from = BOB_IN, .to = "<sip:alice@example.com>;tag=a",
        .uri = "sip:h1@198.51.100.1", .more = talk_route(&w, 2));
    assert_sent(&w, "BYE>1");
    PLAY(&w, {"1 200 BYE", "200>2"});
    SAY(&w, .host = 5, .method = "INFO", .from = "<sip:alice@example.com>;tag=a", .to = BOB_IN,
        .uri = BOB_AT, .cseq = 3, .more = talk_route(&w, 2));
    assert_sent(&w, "407>5");
    end(state);
}

/* All Route fields, as one value. */
static const char *all_routes(const struct message *m)
{
    static char text[1024];

    text[0] = '\0';
    for (unsigned i = m->first[HEADER_ROUTE]; i; i = m->fields[i].next) {
        struct slice value = message_value(m, i);
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%.*s", len ? ", " : "", (int)value.len,
                 value.at);
    }
    return text;
}

/* 16.4: what a strict or a loose router made of our Record-Route; 16.6 step 6: and what a strict or
 * a loose one behind us needs. */
static void our_routes_come_off_and_others_stay(void **state)
{
    static const struct {
        const char *uri, *routes; /* $ is ours */
        const char *forwarded, *left;
    } rows[] = {
        {BOB_AT, "Route: <$>\n", BOB_AT, ""},
        {BOB_AT, "Route: <$>, <$>\n", BOB_AT, ""},
        {BOB_AT, "Route: <$>\nRoute: <$>\n", BOB_AT, ""},
        {BOB_AT, "Route: <$>,<sip:p.example;lr>\n", BOB_AT, "<sip:p.example;lr>"},
        {BOB_AT, "Route: <$>\nRoute: <sip:p.example;lr>, <sip:q.example;lr>\n", BOB_AT,
         "<sip:p.example;lr>, <sip:q.example;lr>"},
        {"$", "Route: <" BOB_AT ">\n", BOB_AT, ""},
        {"$", "Route: <sip:p.example;lr>, <" BOB_AT ">\n", BOB_AT, "<sip:p.example;lr>"},
        {"$", "Route: <sip:p.example;lr>\nRoute: <" BOB_AT ">\n", BOB_AT, "<sip:p.example;lr>"},
        {"$", "Route: <$>, <" BOB_AT ">\n", BOB_AT, ""},
        {"$", "Route: <$>\nRoute: <sip:p.example;lr>, <" BOB_AT ">\n", BOB_AT,
         "<sip:p.example;lr>"},
        {BOB_AT, "Route: <$>, <sip:p.example>\n", "sip:p.example", "<" BOB_AT ">"},
        {BOB_AT, "Route: <$>\nRoute: <sip:p.example>\n", "sip:p.example", "<" BOB_AT ">"},
        {BOB_AT, "Route: <$>, <sip:p.example>, <sip:q.example;lr>\n", "sip:p.example",
         "<sip:q.example;lr>, <" BOB_AT ">"},
        {BOB_AT, "Route: <$>\nRoute: <sip:p.example;lr>, <sip:q.example>\n", BOB_AT,
         "<sip:p.example;lr>, <sip:q.example>"},
        {"$", "Route: <sip:p.example>, <" BOB_AT ">\n", "sip:p.example", "<" BOB_AT ">"},
        {"$", "Route: <$>\nRoute: <sip:p.example>\nRoute: <" BOB_AT ">\n", "sip:p.example",
         "<" BOB_AT ">"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char ours[512], routes[2048] = "";
        const char *at, *end_at;
        struct message m;
        call(state);
        at = strchr(talk_route(&w, 2), '<') + 1;
        end_at = strchr(at, '>');
        snprintf(ours, sizeof ours, "%.*s", (int)(end_at - at), at);
        for (const char *c = rows[i].routes; *c; c++)
            snprintf(routes + strlen(routes), sizeof routes - strlen(routes), "%.*s",
                     *c == '$' ? (int)strlen(ours) : 1, *c == '$' ? ours : c);
        SAY(&w, .host = 9, .method = "INFO", .uri = rows[i].uri[0] == '$' ? ours : rows[i].uri,
            .to = BOB_IN, .cseq = 2, .more = routes);
        assert_sent(&w, "INFO>2");
        assert_false(message_parse(world_sent(&w, 0), &m).status);
        assert_slice(message_span(&m, m.uri), rows[i].forwarded);
        if (strcmp(all_routes(&m), rows[i].left))
            fail_msg("row %u leaves Route: %s", i, all_routes(&m));
        end(state);
    }
}

static void while_the_store_fails_calls_go_unrecorded_and_are_written_when_it_works(void **state)
{
    unsigned before = w.record_count;

    (void)state;
    world_signal(&w, EVENT_STORE_FAILED);
    PLAY(&w, {"2 200", "200>9"});
    assert_int_equal(w.record_count, before);
    assert_int_equal(dialogs(), 1);
    world_signal(&w, EVENT_STORE_WORKS);
    world_wait(&w, MS(10));
    assert_int_equal(w.out.at[w.out.count - 1].kind, ACTION_CHECKPOINTED);
    assert_int_equal(records(DIALOG_RECORD), 1);
    world_restart(&w);
    assert_int_equal(dialogs(), 1);
    PLAY(&w, {"2 200", "200>9"});
    assert_int_equal(dialogs(), 1);
}

#define WITH(test, start) cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    RUN(WITH(ringing_is_no_call, ring),
        WITH(a_call_begins_with_the_2xx_and_is_recorded_before_it_is_sent, ring),
        WITH(each_side_can_hang_up, call),
        cmocka_unit_test(a_bye_ends_the_call_unless_it_is_refused),
        WITH(a_bye_that_nobody_answers_ends_the_call, call),
        WITH(the_highest_cseq_of_each_side_is_kept, call),
        WITH(a_reinvite_that_moves_a_contact_is_recorded, call),
        WITH(a_reinvite_that_moves_nothing_writes_no_record, call),
        WITH(a_refused_reinvite_leaves_the_call, call),
        WITH(a_call_is_found_and_ended_after_a_restart, call),
        WITH(a_call_that_is_too_old_is_forgotten_across_restarts_too, call),
        WITH(each_answer_of_a_fork_is_a_call_up_to_four, ring),
        WITH(a_repeated_2xx_does_not_bring_back_a_call_that_ended, call),
        WITH(an_answer_that_came_late_and_ended_stays_ended, call),
        WITH(the_answer_to_a_reinvite_is_no_new_call_after_a_restart, call),
        cmocka_unit_test(a_call_that_there_is_no_room_to_observe_works_all_the_same),
        WITH(an_ack_goes_on_to_the_callee_without_a_transaction, call),
        WITH(an_ack_without_a_way_is_dropped, call),
        cmocka_unit_test(a_request_in_a_dialog_needs_the_cookie_of_that_dialog),
        WITH(a_cookie_that_was_touched_is_void, call),
        WITH(a_stranger_may_come_by_another_port_but_no_other_address, call),
        cmocka_unit_test(a_user_who_comes_from_elsewhere_must_prove_himself),
        WITH(a_phone_is_reached_where_it_is_now, call),
        WITH(a_phone_that_unregistered_is_reached_where_it_was, call),
        cmocka_unit_test(a_phone_that_registered_anew_is_found_again),
        cmocka_unit_test(between_two_users_both_are_found_by_their_bindings),
        cmocka_unit_test(our_routes_come_off_and_others_stay),
        WITH(while_the_store_fails_calls_go_unrecorded_and_are_written_when_it_works, ring));
}
