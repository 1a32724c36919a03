/* The registrar (RFC 3261 10.3): what a REGISTER changes, what it is answered, and what of it is
 * in the journal. */
#include "talk.h"

#include <stdio.h>

static struct world w;
static char challenge[512]; /* the last */
static unsigned uses;       /* of its nonce */

static int begin(void **state)
{
    (void)state;
    world_begin(&w, false);
    *challenge = 0;
    uses = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end(&w);
    return 0;
}

struct registration {
    unsigned host;       /* 2 */
    unsigned port;       /* 5060 */
    const char *uri;     /* sip:example.com */
    const char *to;      /* bob */
    const char *call_id; /* call */
    unsigned cseq;       /* one more than the last */
    const char *lines;   /* Contact, Expires */
    const char *user;    /* bob */
    const char *secret;  /* builder */
    unsigned nc;         /* one more than the last */
};

static unsigned last_cseq;

/* Sends one REGISTER as it stands. */
static void send_register(const struct registration *r)
{
    char authorization[1200] = "";
    unsigned host = r->host ? r->host : 2;
    const char *uri = r->uri ? r->uri : "sip:example.com";

    if (*challenge)
        snprintf(authorization, sizeof authorization, "Authorization: %s\n",
                 world_credentials(challenge, r->user ? r->user : "bob",
                                   r->secret ? r->secret : "builder", "REGISTER", uri,
                                   r->nc ? r->nc : ++uses));
    world_receive(&w, host, r->port ? r->port : 5060,
                  "REGISTER %s SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bK%s%u;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:bob@example.com>;tag=r\n"
                  "To: %s\n"
                  "Call-ID: %s\n"
                  "CSeq: %u REGISTER\n"
                  "%s%s"
                  "Content-Length: 0\n\n",
                  uri, host, r->call_id ? r->call_id : "call", last_cseq,
                  r->to ? r->to : "<sip:bob@example.com>", r->call_id ? r->call_id : "call",
                  last_cseq, r->lines ? r->lines : "", authorization);
}

/* The same, with a new nonce if the one at hand is not good any more; the final status. */
static unsigned register_as(struct registration r)
{
    last_cseq = r.cseq ? r.cseq : last_cseq + 1;
    if (*challenge) {
        send_register(&r);
        if (world_status(&w, 0) != 401)
            return world_status(&w, 0);
    }
    *challenge = 0;
    send_register(&r);
    assert_int_equal(world_status(&w, 0), 401);
    snprintf(challenge, sizeof challenge, "%s", world_header(&w, 0, "WWW-Authenticate"));
    uses = 0;
    send_register(&r);
    return world_status(&w, 0);
}

#define REGISTER(...) register_as((struct registration){__VA_ARGS__})

/* The values of all Contact fields of the answer, the newest binding first. */
static const char *contacts(void)
{
    static char text[4096];
    struct message m;

    *text = 0;
    assert_false(message_parse(world_sent(&w, 0), &m).status);
    for (unsigned i = m.first[HEADER_CONTACT]; i; i = m.fields[i].next) {
        struct slice v = message_value(&m, i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", *text ? " " : "",
                 (int)v.len, v.at);
    }
    return text;
}

static bool answer_has(const char *text)
{
    struct slice sent = world_sent(&w, 0);

    return memmem(sent.at, sent.len, text, strlen(text)) != NULL;
}

static unsigned bindings(void)
{
    return core_census(w.core).bindings;
}

#define BIND_RECORD 1
#define UNBIND_RECORD 2

static unsigned records(uint8_t type)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w.record_count; i++)
        n += (uint8_t)w.records[i].at[0] == type;
    return n;
}

#define A "sip:bob@198.51.100.2:5060"
#define B "sip:bob@198.51.100.2:5070"

static void each_contact_gets_the_time_that_was_asked_for_within_limits(void **state)
{
    static const struct {
        const char *lines;
        unsigned status;
        const char *contacts;
    } rows[] = {
        {"Contact: <" A ">\n", 200, "<" A ">;expires=3600"},
        {"Contact: <" A ">\nExpires: 120\n", 200, "<" A ">;expires=120"},
        {"Contact: <" A ">;expires=180\nExpires: 120\n", 200, "<" A ">;expires=180"},
        {"Contact: <" A ">;expires=\"180\"\n", 200, "<" A ">;expires=3600"},
        {"Contact: <" A ">;expires=soon\nExpires: 120\n", 200, "<" A ">;expires=3600"},
        {"Contact: <" A ">\nExpires: never\n", 200, "<" A ">;expires=3600"},
        {"Contact: <" A ">;expires=99999999999\n", 200, "<" A ">;expires=3600"},
        {"Contact: <" A ">;expires=4294967295\n", 200, "<" A ">;expires=7200"},
        {"Contact: <" A ">;expires=60\n", 200, "<" A ">;expires=60"},
        {"Contact: <" A ">;expires=59\n", 423, ""},
        {"Contact: <" A ">;expires=59, <" B ">\n", 423, ""},
        {"Contact: <" A ">\nExpires: 1\n", 423, ""},
        {"Contact: <" A ">;expires=0\n", 200, ""},
        {"Contact: <" A ">;q=0.5, <" B ">;q=0.125;expires=300\n", 200,
         "<" B ">;expires=300;q=0.125 <" A ">;expires=3600;q=0.500"},
        {"Contact: <" A ">;q=0\nContact: <" B ">;q=1.0\n", 200,
         "<" B ">;expires=3600 <" A ">;expires=3600;q=0.000"},
        {"Contact: " A "\nm: <" B ">\n", 200, "<" B ">;expires=3600 <" A ">;expires=3600"},
        {"Contact: <" A ">, <" A ">;expires=120\n", 200, "<" A ">;expires=3600"},
        {"", 200, ""},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        unsigned status;
        begin(state);
        status = REGISTER(.lines = rows[i].lines);
        if (status != rows[i].status || strcmp(contacts(), rows[i].contacts))
            fail_msg("row %u: %u %s", i, status, contacts());
        if (status == 423) {
            assert_string_equal(world_header(&w, 0, "Min-Expires"), "60");
            assert_int_equal(bindings(), 0);
        }
        end(state);
    }
}

static void a_contact_that_cannot_be_is_refused_and_nothing_is_changed(void **state)
{
    static const struct {
        const char *lines;
        unsigned status;
        const char *text;
    } rows[] = {
        {"Contact: <sip:bob@>\n", 400, "Bad Contact"},
        {"Contact: <" B ">, <sip\n", 400, "Bad Contact"},
        {"Contact: <tel:+4930123>\n", 416, "Unsupported Contact Scheme"},
        {"Contact: <mailto:bob@example.com>\n", 416, ""},
        {"Contact: <sip:bob@example.com>\n", 403, "Contact Is This Server"},
        {"Contact: <sip:bob@192.0.2.1:5060>\n", 403, ""},
        {"Contact: <" B ">;q=2\n", 400, "Bad q Value"},
        {"Contact: <" B ">;q=high\n", 400, ""},
        {"Contact: *\n", 400, "Bad Contact"},
        {"Contact: *\nExpires: 60\n", 400, ""},
        {"Contact: *\nContact: <" B ">\nExpires: 0\n", 400, ""},
        {"Contact: <" B ">\nContact: *\nExpires: 0\n", 400, ""},
    };

    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        unsigned status = REGISTER(.lines = rows[i].lines);
        if (status != rows[i].status || !answer_has(rows[i].text))
            fail_msg("row %u: %u", i, status);
        assert_int_equal(REGISTER(.lines = ""), 200);
        assert_string_equal(contacts(), "<" A ">;expires=3600");
    }
}

static void a_contact_or_call_id_that_is_too_long_is_refused(void **state)
{
    char lines[4096];

    (void)state;
    snprintf(lines, sizeof lines, "Contact: <sip:%02100u@198.51.100.2>\n", 1u);
    assert_int_equal(REGISTER(.lines = lines), 400);
    assert_true(answer_has("400 Contact Too Long"));
    snprintf(lines, sizeof lines, "%02100u", 1u);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n", .call_id = lines), 400);
    assert_int_equal(bindings(), 0);
}

static void a_user_binds_his_own_address_only(void **state)
{
    static const struct {
        const char *to;
        unsigned status;
    } rows[] = {
        {"<sip:bob@example.com>", 200},    {"<sip:202@example.com>", 200},
        {"Bob <sip:bob@192.0.2.1>", 200},  {"<sip:b%6Fb@EXAMPLE.com>", 200},
        {"<sip:alice@example.com>", 403},  {"<sip:bob@elsewhere.example>", 403},
        {"<sip:nobody@example.com>", 403}, {"<tel:+49301>", 400},
        {"<sip:b%ob@example.com>", 400},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        unsigned status = REGISTER(.to = rows[i].to, .lines = "Contact: <" A ">\n");
        if (status != rows[i].status)
            fail_msg("row %u: %u", i, status);
    }
}

static void a_register_for_another_domain_is_not_ours_to_answer(void **state)
{
    (void)state;
    send_register(&(struct registration){.uri = "sip:elsewhere.example"});
    assert_int_equal(world_status(&w, 0), 407); /* bob sends it: out by proxy, if he is bob */
}

/* 10.3 step 7 */
static void an_older_request_of_the_same_call_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n", .cseq = 10), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=0\n", .cseq = 9), 500);
    assert_int_equal(REGISTER(.lines = "Contact: *\nExpires: 0\n", .cseq = 9), 500);
    assert_int_equal(bindings(), 1);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=90\n", .cseq = 10), 200);
    assert_string_equal(contacts(), "<" A ">;expires=3600"); /* a copy of what was done */
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=90\n", .cseq = 11), 200);
    assert_string_equal(contacts(), "<" A ">;expires=90");
    /* after a reboot the phone has a new Call-ID and counts anew */
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=80\n", .cseq = 1, .call_id = "x"),
                     200);
    assert_string_equal(contacts(), "<" A ">;expires=80");
}

static void contacts_that_are_the_same_uri_are_one_binding(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <sip:bob@phone.example;transport=udp>\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <sip:b%6fb@PHONE.example;transport=UDP>\n"), 200);
    assert_int_equal(bindings(), 1);
    assert_int_equal(REGISTER(.lines = "Contact: <sip:bob@phone.example>\n"), 200);
    assert_int_equal(bindings(), 2); /* 19.1.4: transport must be in both or in none */
}

static void a_star_removes_all_and_expires_0_one(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">, <" B ">\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=0\n"), 200);
    assert_string_equal(contacts(), "<" B ">;expires=3600");
    assert_int_equal(records(UNBIND_RECORD), 1);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: *\nExpires: 0\n"), 200);
    assert_string_equal(contacts(), "");
    assert_int_equal(records(UNBIND_RECORD), 3);
    world_restart(&w);
    assert_int_equal(bindings(), 0);
}

static void a_user_has_sixteen_contacts_at_most(void **state)
{
    char lines[2048] = "Contact: ";

    (void)state;
    for (unsigned i = 0; i < 17; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%s<sip:bob@h%u.example>",
                 i ? "," : "", i);
    strcat(lines, "\n");
    assert_int_equal(REGISTER(.lines = lines), 403);
    assert_true(answer_has("403 Too Many Contacts"));
    *strrchr(lines, ',') = '\n';
    strchr(lines, '\n')[1] = 0;
    assert_int_equal(REGISTER(.lines = lines), 200);
    assert_int_equal(bindings(), 16);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 403);
    assert_int_equal(REGISTER(.lines = "Contact: <sip:bob@h3.example>\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <sip:bob@h3.example>;expires=0\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    assert_int_equal(bindings(), 16);
}

static void without_room_for_bindings_a_phone_shall_come_again(void **state)
{
    struct limits limits = world_limits;

    (void)state;
    limits.bindings = 2;
    world_begin_within(&w, false, &limits);
    *challenge = 0;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" B ">, <sip:bob@third.example>\n"), 503);
    assert_string_equal(world_header(&w, 0, "Retry-After"), "10");
    assert_int_equal(bindings(), 1);
    assert_int_equal(REGISTER(.lines = "Contact: <" B ">\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    end(state);
}

/* A start may allow fewer than the one before. */
static void bindings_beyond_a_lower_limit_stay_and_are_refreshed(void **state)
{
    struct limits limits = world_limits;

    (void)state;
    limits.registered = 2;
    world_begin_within(&w, false, &limits);
    *challenge = 0;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">, <" B ">\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <sip:bob@third.example>\n"), 503);
    w.limits.registered = 1;
    world_restart(&w);
    *challenge = 0;
    assert_int_equal(bindings(), 2);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=0\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 503);
    assert_int_equal(REGISTER(.lines = "Contact: <" B ">;expires=0\n"), 200);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    end(state);
}

static void a_binding_lasts_as_long_as_was_promised(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=100, <" B ">\n"), 200);
    world_wait(&w, SECONDS(40));
    assert_int_equal(REGISTER(.lines = ""), 200);
    assert_string_equal(contacts(), "<" B ">;expires=3560 <" A ">;expires=60");
    world_wait(&w, SECONDS(59));
    assert_int_equal(bindings(), 2);
    world_wait(&w, SECONDS(2));
    assert_int_equal(bindings(), 1);
    assert_int_equal(REGISTER(.lines = ""), 200);
    assert_string_equal(contacts(), "<" B ">;expires=3499");
}

/* What is stored outlives what was promised by a tenth. */
static void a_refresh_is_written_only_when_the_journal_promises_too_little(void **state)
{
    static const struct {
        unsigned wait;
        struct registration r;
        unsigned writes;
    } rows[] = {
        {0, {.lines = "Contact: <" A ">;expires=1000\n"}, 1},
        {50, {.lines = "Contact: <" A ">;expires=1000\n"}, 0},
        {49, {.lines = "Contact: <" A ">;expires=1000\n"}, 0},
        {10, {.lines = "Contact: <" A ">;expires=1000\n"}, 1},
        {0, {.lines = "Contact: <" A ">;expires=1000;q=0.5\n"}, 1},
        {0, {.lines = "Contact: <" A ">;expires=1000;q=0.5\n", .call_id = "new"}, 1},
        {0, {.lines = "Contact: <" A ">;expires=1000;q=0.5\n", .call_id = "new", .port = 99}, 1},
        {0, {.lines = "Contact: <sip:BOB@x>;expires=1000\n", .call_id = "new"}, 1},
        {0, {.lines = "Contact: <sip:BOB@X>;expires=1000\n", .call_id = "new"}, 1},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        unsigned before = records(BIND_RECORD);
        world_wait(&w, SECONDS(rows[i].wait));
        assert_int_equal(register_as(rows[i].r), 200);
        if (records(BIND_RECORD) - before != rows[i].writes)
            fail_msg("row %u: %u records", i, records(BIND_RECORD) - before);
    }
}

static void the_record_comes_before_the_answer_which_promises(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">\n"), 200);
    assert_int_equal(w.out.count, 2);
    assert_int_equal(w.out.at[0].kind, ACTION_PERSIST);
    assert_int_equal(w.out.at[1].kind, ACTION_SEND);
    assert_true(w.out.at[1].promises);
}

static void bindings_are_the_same_after_a_restart(void **state)
{
    struct binding_view view;
    uint32_t cursor = 0;

    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;q=0.25;expires=900, <" B ">;expires=60\n",
                              .port = 4321, .cseq = 77),
                     200);
    world_wait(&w, SECONDS(100));
    world_restart(&w);
    assert_int_equal(bindings(), 1);
    assert_true(core_next_binding(w.core, &cursor, &view));
    assert_slice(view.aor, "bob");
    assert_slice(view.contact, A);
    assert_slice(view.call_id, "call");
    assert_int_equal(view.cseq, 77);
    assert_true(flow_equal(
        &view.flow,
        &(struct flow){.transport = TRANSPORT_UDP, .port = 4321, .address = {198, 51, 100, 2}}));
    assert_true(view.expires >= w.now.boot + SECONDS(900 - 102)); /* never less than promised, */
    assert_true(view.expires <= w.now.boot + SECONDS(990));       /* at most the slack more */
    assert_false(core_next_binding(w.core, &cursor, &view));
    assert_int_equal(REGISTER(.lines = "", .cseq = 78), 200);
    assert_non_null(strstr(contacts(), ";q=0.250"));
}

static void what_expired_while_nobody_was_there_is_gone(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=100, <" B ">\n"), 200);
    w.now.boot += SECONDS(200); /* the process was dead */
    w.now.wall += 200;
    world_restart(&w);
    assert_int_equal(bindings(), 1);
}

/* While the journal fails, promises are short, and none is made that has no end. */
static void without_a_journal_only_a_minute_is_granted_and_nothing_removed(void **state)
{
    (void)state;
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=1000\n"), 200);
    world_signal(&w, EVENT_STORE_FAILED);
    assert_int_equal(REGISTER(.lines = "Contact: <" B ">;expires=1000\n"), 200);
    assert_string_equal(contacts(), "<" B ">;expires=60 <" A ">;expires=60");
    assert_int_equal(records(BIND_RECORD), 1);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=0\n"), 503);
    assert_int_equal(REGISTER(.lines = "Contact: *\nExpires: 0\n"), 503);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=1000\n"), 200);
    world_wait(&w, SECONDS(70));
    assert_int_equal(bindings(), 1); /* the earlier promise stands */
    world_signal(&w, EVENT_STORE_WORKS);
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=0\n"), 503); /* not mended yet */
    world_wait(&w, MS(1));
    assert_int_equal(records(BIND_RECORD), 2); /* by the checkpoint */
    assert_int_equal(REGISTER(.lines = "Contact: <" A ">;expires=0\n"), 200);
    world_restart(&w);
    assert_int_equal(bindings(), 0);
}

/* A retransmission whose first copy was answered, though the answer was lost. */
static void a_copy_is_answered_again_if_that_is_still_true(void **state)
{
    struct registration add = {.lines = "Contact: <" A ">\n", .nc = 1};
    struct registration away = {.lines = "Contact: <" A ">;expires=0\n", .nc = 2};

    (void)state;
    assert_int_equal(register_as(add), 200);
    uses = 1;
    send_register(&add);
    assert_int_equal(world_status(&w, 0), 200);
    assert_int_equal(records(BIND_RECORD), 1);
    last_cseq++;
    send_register(&away);
    assert_int_equal(world_status(&w, 0), 200);
    send_register(&away);
    assert_int_equal(world_status(&w, 0), 200);
    assert_int_equal(records(UNBIND_RECORD), 1);
}

static void a_copy_of_what_was_undone_since_is_challenged_anew(void **state)
{
    struct registration add = {.lines = "Contact: <" A ">\n", .nc = 1};
    struct registration star = {.lines = "Contact: *\nExpires: 0\n", .nc = 1, .call_id = "s"};

    (void)state;
    assert_int_equal(register_as(add), 200);
    world_register_with(&w, "bob", "builder", 2, 5060, "Contact: *\nExpires: 0\n");
    send_register(&add);
    assert_int_equal(world_status(&w, 0), 401);
    assert_true(answer_has("stale=true"));
    assert_int_equal(bindings(), 0);
    *challenge = 0;
    assert_int_equal(register_as(star), 200);
    world_register_with(&w, "bob", "builder", 2, 5060, "Contact: <" A ">\n");
    send_register(&star);
    assert_int_equal(world_status(&w, 0), 401);
    assert_int_equal(bindings(), 1);
}

static void a_copy_from_the_phones_new_place_moves_its_flow(void **state)
{
    struct registration add = {.lines = "Contact: <" A ">\n", .nc = 1};
    struct binding_view view;
    uint32_t cursor = 0;

    (void)state;
    assert_int_equal(register_as(add), 200);
    add.port = 6000;
    send_register(&add);
    assert_int_equal(world_status(&w, 0), 200);
    assert_true(core_next_binding(w.core, &cursor, &view));
    assert_int_equal(view.flow.port, 6000);
}

/* 20.17 */
static void the_answer_has_the_date(void **state)
{
    static const struct {
        int64_t wall;
        const char *date;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {1700000000, "Tue, 14 Nov 2023 22:13:20 GMT"},
        {1735689599, "Tue, 31 Dec 2024 23:59:59 GMT"},
        {1735689600, "Wed, 01 Jan 2025 00:00:00 GMT"},
        {1795651200, "Thu, 26 Nov 2026 00:00:00 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        w.now.wall = rows[i].wall;
        assert_int_equal(REGISTER(.lines = ""), 200);
        assert_string_equal(world_header(&w, 0, "Date"), rows[i].date);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(cmocka_unit_test(each_contact_gets_the_time_that_was_asked_for_within_limits),
        WITH(a_contact_that_cannot_be_is_refused_and_nothing_is_changed),
        WITH(a_contact_or_call_id_that_is_too_long_is_refused),
        WITH(a_user_binds_his_own_address_only),
        WITH(a_register_for_another_domain_is_not_ours_to_answer),
        WITH(an_older_request_of_the_same_call_changes_nothing),
        WITH(contacts_that_are_the_same_uri_are_one_binding),
        WITH(a_star_removes_all_and_expires_0_one), WITH(a_user_has_sixteen_contacts_at_most),
        cmocka_unit_test(without_room_for_bindings_a_phone_shall_come_again),
        cmocka_unit_test(bindings_beyond_a_lower_limit_stay_and_are_refreshed),
        WITH(a_binding_lasts_as_long_as_was_promised),
        WITH(a_refresh_is_written_only_when_the_journal_promises_too_little),
        WITH(the_record_comes_before_the_answer_which_promises),
        WITH(bindings_are_the_same_after_a_restart),
        WITH(what_expired_while_nobody_was_there_is_gone),
        WITH(without_a_journal_only_a_minute_is_granted_and_nothing_removed),
        WITH(a_copy_is_answered_again_if_that_is_still_true),
        WITH(a_copy_of_what_was_undone_since_is_challenged_anew),
        WITH(a_copy_from_the_phones_new_place_moves_its_flow), WITH(the_answer_has_the_date));
}
