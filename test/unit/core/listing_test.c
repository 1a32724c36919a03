/* What is listed of calls, settings and counts; what is told of calls; and calls that are dropped.
 */
#include "ask.h"
#include "talk.h"

#include <stdio.h>

#define CAROL_NAMED "\"C \\\"the\\\" D\" <sip:carol@elsewhere.example>;tag=carol"

static void begin(struct world *w)
{
    world_begin(w, true);
    talk_phone(w, 2, "");
}

static void begin_ringing(struct world *w)
{
    begin(w);
    SAY(w, .host = 9, .from = CAROL_NAMED);
    ANSWER(w, .host = 2, .status = 180);
}

static void begin_answered(struct world *w)
{
    begin_ringing(w);
    ANSWER(w, .host = 2, .status = 200);
}

static void calls_are_listed_with_their_parties(void **state)
{
    struct world w;

    (void)state;
    begin_ringing(&w);
    world_wait(&w, SECONDS(7));
    ask(&w, ADMIN_CALLS, "", "");
    assert_answer(&w, "\"state\":\"ringing\",\"from\":\"sip:carol@elsewhere.example\","
                      "\"display\":\"C \\\"the\\\" D\",\"to\":\"sip:bob@example.com\","
                      "\"proof\":\"none\",\"call_id\":\"call\",\"seconds\":7}\n{\"done\":true}\n");
    ANSWER(&w, .host = 2, .status = 200);
    world_wait(&w, SECONDS(5));
    ask(&w, ADMIN_CALLS, "bob", "");
    assert_answer(&w, "\"state\":\"answered\",\"from\":\"sip:carol@elsewhere.example\"");
    assert_answer(&w, "\"began\":17000000");
    assert_answer(&w, "\"seconds\":5,\"media\":\"direct\",\"media_reason\":"
                      "\"there is no relay that both could reach\"}\n{\"done\":true}\n");
    ask(&w, ADMIN_CALLS, "alice", "");
    assert_answer(&w, "{\"done\":true}\n");
    assert_answer_lacks(&w, "carol");
    world_end(&w);
}

static void a_ringing_call_is_listed_only_with_its_own(void **state)
{
    struct world w;

    (void)state;
    begin_ringing(&w);
    ask(&w, ADMIN_CALLS, "alice", "");
    assert_answer_lacks(&w, "ringing");
    ask(&w, ADMIN_CALLS, "202", "");
    assert_answer(&w, "ringing");
    world_end(&w);
}

static void status_says_what_there_is_and_may_be(void **state)
{
    struct world w;
    char limits[160];

    (void)state;
    begin_answered(&w);
    ask(&w, ADMIN_STATUS, "", "");
    assert_answer(&w, "{\"realm\":\"example.com\",\"public\":true,\"listening\":"
                      "[\"UDP 192.0.2.1:5060\",\"UDP [2001:db8::1]:5060\"");
    assert_answer(&w, "\"journal\":\"works\",\"users\":2,\"bindings\":1,");
    assert_answer(&w, "\"calls\":1,");
    snprintf(limits, sizeof limits, "\"limits\":{\"users\":%u,\"bindings\":%u,\"calls\":%u,",
             w.limits.users, w.limits.bindings, w.limits.dialogs);
    assert_answer(&w, limits);
    world_signal(&w, EVENT_STORE_FAILED);
    ask(&w, ADMIN_STATUS, "", "");
    assert_answer(&w, "\"journal\":\"failing\"");
    world_end(&w);
}

static void stats_count_calls_by_where_they_come_from_and_go(void **state)
{
    struct world w;

    (void)state;
    begin_answered(&w);
    ask(&w, ADMIN_STATS, "", "");
    assert_answer(&w, "{\"node\":\"extension\",\"from\":{\"total\":0,\"current\":0,\"peak\":0},"
                      "\"to\":{\"total\":1,\"current\":1,\"peak\":1},\"last_call\":17000000");
    assert_answer(&w, "{\"node\":\"external\",\"from\":{\"total\":1,\"current\":1,\"peak\":1}");
    assert_answer(&w, "\"unreadable\":0,\"refused\":0,\"bound\":1,\"unbound\":0,\"relayed\":0,");
    assert_answer(&w, "\"dropped_lost\":0,\"rtp_expected\":0,\"rtp_lost\":0}\n{\"done\":true}\n");
    world_end(&w);
}

static void a_dump_has_settings_and_users_but_no_secret(void **state)
{
    struct world w;
    struct slice names[] = {S("sip.example.com")};

    (void)state;
    begin(&w);
    w.settings.localnames = names;
    w.settings.localname_count = COUNT_OF(names);
    ask(&w, ADMIN_DUMP, "", "");
    assert_answer(&w, "{\"settings\":{\"realm\":\"example.com\",\"localnames\":"
                      "[\"sip.example.com\"],\"listening\":[");
    assert_answer(&w, "{\"user\":\"bob\",\"extension\":\"202\",\"source\":\"configuration\","
                      "\"digests\":[\"MD5\",\"SHA-256\"],\"bindings\":1}\n");
    assert_answer_lacks(&w, "builder");
    w.settings.localname_count = 0;
    world_end(&w);
}

static void a_name_is_shown_as_far_as_it_is_kept(void **state)
{
    char name[300], wanted[320];
    struct world w;

    (void)state;
    begin(&w);
    struct user_settings carol = world_user(&w, "carol", "203", "x");
    memset(name, 'n', sizeof name);
    carol.display = slice_of(name, sizeof name);
    carol.contacts = S("sip:carol@192.0.2.9");
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &carol});
    ask(&w, ADMIN_DUMP, "", "");
    snprintf(wanted, sizeof wanted, "\"extension\":\"203\",\"display\":\"%.255s\",\"source\"",
             name);
    assert_answer(&w, wanted);
    carol.display = S("Carol");
    carol.extension = NO_SLICE;
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &carol});
    ask(&w, ADMIN_DUMP, "", "");
    assert_answer(&w, "{\"user\":\"carol\",\"display\":\"Carol\",\"source\"");
    world_end(&w);
}

/* The call's name as the listing has it. */
static void call_name(struct world *w, char name[17])
{
    const struct action *line;
    const char *at;

    ask(w, ADMIN_CALLS, "", "");
    line = ask_answer(w, ASKING, 0);
    at = memmem(line->bytes.at, line->bytes.len, "\"id\":\"", 6);
    assert_non_null(at);
    memcpy(name, at + 6, 16);
    name[16] = 0;
}

static void a_ringing_call_is_dropped_by_its_name(void **state)
{
    struct world w;
    char name[17];

    (void)state;
    begin_ringing(&w);
    call_name(&w, name);
    ask(&w, ADMIN_DROP, "", name);
    assert_answer(&w, name);
    assert_sent(&w, "CANCEL>2");
    assert_string_equal(world_header(&w, 0, "Reason"),
                        "SIP;cause=487;text=\"Ended by the administrator\"");
    ask(&w, ADMIN_DROP, "", name);
    assert_answer(&w, "\"error\":\"not-found\"");
    ANSWER(&w, .host = 2, .status = 487);
    assert_sent(&w, "487>9 ACK>2");
    world_end(&w);
}

static void an_answered_call_is_dropped_by_its_call_id(void **state)
{
    struct world w;

    (void)state;
    begin_answered(&w);
    ask(&w, ADMIN_DROP, "", "another");
    assert_answer(&w, "there is no call another");
    ask(&w, ADMIN_DROP, "", "call");
    assert_answer(&w, "{\"id\":\"");
    assert_sent(&w, "BYE>2 BYE>9");
    ask(&w, ADMIN_CALLS, "", "");
    assert_answer(&w, "\"state\":\"ending\"");
    ask(&w, ADMIN_DROP, "", "call");
    assert_answer(&w, "\"error\":\"not-found\"");
    world_end(&w);
}

static void all_calls_of_a_user_are_dropped(void **state)
{
    struct world w;

    (void)state;
    begin_answered(&w);
    SAY(&w, .host = 9, .call_id = "second", .branch = "second");
    ANSWER(&w, .host = 2, .status = 180);
    ask(&w, ADMIN_DROP, "", "alice");
    assert_answer(&w, "\"error\":\"not-found\"");
    ask(&w, ADMIN_DROP, "", "202");
    assert_sent(&w, "CANCEL>2 BYE>2 BYE>9");
    assert_answer(&w, "}\n{\"id\":\"");
    world_end(&w);
}

/* More than one step may end. */
static void many_calls_are_dropped_in_parts(void **state)
{
    struct world w;
    struct admin_request request = {.command = ADMIN_DROP, .client = ASKING, .text = S("bob")};
    const struct action *answer;
    unsigned rows = 0, parts = 0;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < 20; i++) {
        char call_id[16];
        snprintf(call_id, sizeof call_id, "many-%u", i);
        SAY(&w, .host = 9, .call_id = call_id, .branch = call_id);
        ANSWER(&w, .host = 2, .status = 180);
    }
    do {
        world_event(&w, &(struct event){.kind = EVENT_ADMIN, .request = &request});
        answer = ask_answer(&w, ASKING, 0);
        for (size_t i = 0; i < answer->bytes.len; i++)
            rows += answer->bytes.at[i] == '\n';
        request.cursor = answer->answer.cursor;
        parts++;
    } while (answer->answer.is_part);
    assert_int_equal(rows, 21); /* the last is the end */
    assert_true(parts > 1);
    ask(&w, ADMIN_DROP, "", "bob");
    assert_answer(&w, "\"error\":\"not-found\"");
    world_end(&w);
}

static void the_life_of_a_call_is_told(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    ask(&w, ADMIN_WATCH, "", "");
    SAY(&w, .host = 9);
    assert_told(&w, 0, "{\"event\":\"ringing\",\"time\":17000000");
    assert_told(&w, 0, "\"from\":\"sip:carol@elsewhere.example\"");
    ANSWER(&w, .host = 2, .status = 180);
    ANSWER(&w, .host = 2, .status = 200);
    assert_told(&w, 0, "{\"event\":\"answered\"");
    world_wait(&w, SECONDS(3));
    SAY(&w, .host = 9, .method = "BYE", .uri = "sip:h2@198.51.100.2:5060", .to = BOB ";tag=h2",
        .cseq = 2, .more = talk_route(&w, 2));
    ANSWER(&w, .host = 2, .method = "BYE", .status = 200);
    assert_told(&w, 0, "{\"event\":\"ended\"");
    assert_told(&w, 0, "\"seconds\":3,\"reason\":\"");
    world_end(&w);
}

static void a_call_that_failed_is_told_with_its_status(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    ask(&w, ADMIN_WATCH, "", "");
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 486);
    assert_told(&w, 0, "{\"event\":\"failed\"");
    assert_told(&w, 0, "\"call_id\":\"call\",\"status\":486}\n");
    world_end(&w);
}

int main(void)
{
    RUN(cmocka_unit_test(calls_are_listed_with_their_parties),
        cmocka_unit_test(a_ringing_call_is_listed_only_with_its_own),
        cmocka_unit_test(status_says_what_there_is_and_may_be),
        cmocka_unit_test(stats_count_calls_by_where_they_come_from_and_go),
        cmocka_unit_test(a_dump_has_settings_and_users_but_no_secret),
        cmocka_unit_test(a_name_is_shown_as_far_as_it_is_kept),
        cmocka_unit_test(a_ringing_call_is_dropped_by_its_name),
        cmocka_unit_test(an_answered_call_is_dropped_by_its_call_id),
        cmocka_unit_test(all_calls_of_a_user_are_dropped),
        cmocka_unit_test(many_calls_are_dropped_in_parts),
        cmocka_unit_test(the_life_of_a_call_is_told),
        cmocka_unit_test(a_call_that_failed_is_told_with_its_status));
}
