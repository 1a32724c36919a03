/* What a name or number of our domain comes to, for our own users and for strangers. */
#include "talk.h"

#include <stdio.h>

static struct world w;

/* A name that is called, what is sent then and, of an INVITE, to which URI. */
struct row {
    const char *name;
    const char *sent;
    const char *uri;
};

static const struct route routes[] = {
    {S("9"), S("gateway"), {S("-9"), S("")}, 0},
    {S("88"), S("nobody"), {S(""), S("")}, 0},
    {S("88"), S("gateway"), {S("00"), S("#")}, 1},
    {S("7"), S("gateway"), {S(""), S("")}, 9}, /* for nobody's level */
};

static const struct rule rules[] = {
    {.kind = RULE_REWRITE, .pattern = S("55"), .target = S("bob")},
    {.kind = RULE_REWRITE, .pattern = S("66"), .affix = {S("9"), S("")}},
    {.kind = RULE_REDIRECT, .identity = S("desk"), .target = S("sip:desk@198.51.100.63")},
    {.kind = RULE_REDIRECT, .pattern = S("44"), .server = S("198.51.100.64:5070")},
    {.kind = RULE_REFER, .identity = S("moved"), .target = S("sip:new@elsewhere.example")},
    {.kind = RULE_REFER, .pattern = S("33"), .server = S("elsewhere.example")},
    {.kind = RULE_REFUSE, .identity = S("sales"), .status = 410},
};

static void put(struct user_settings user)
{
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &user});
    assert_int_equal(w.out.count, 0);
}

#define PUT(...) put((struct user_settings){.source = SOURCE_DATABASE, __VA_ARGS__})

static int begin(void **state)
{
    struct user_settings alice;

    (void)state;
    world_begin(&w, true);
    w.settings.dialplan = (struct dialplan){routes, COUNT_OF(routes), rules, COUNT_OF(rules)};
    w.settings.system = S("system");
    w.settings.anonymous = S("anonymous");
    alice = world_user(&w, "alice", "201", "wonder");
    alice.level = 5;
    put(alice);
    talk_phone(&w, 2, "");
    PUT(.id = S("gateway"), .kind = USER_GATEWAY, .contacts = S("sip:gw@198.51.100.60:5080"));
    PUT(.id = S("team"), .kind = USER_ALIAS,
        .contacts = S("sip:bob@example.com\nsip:extra@198.51.100.61"));
    PUT(.id = S("round"), .kind = USER_ALIAS, .contacts = S("sip:round@example.com"));
    PUT(.id = S("odd"), .kind = USER_ALIAS, .contacts = S("tel:+49\nsip:example.com"));
    PUT(.id = S("nope"), .kind = USER_REJECT, .status = 403);
    PUT(.id = S("busy"), .kind = USER_TEST, .status = 486);
    PUT(.id = S("dora"), .is_closed = true, .contacts = S("sip:dora@198.51.100.62"));
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_wait(&w, SECONDS(400));
    assert_int_equal(core_census(w.core).contexts, 0);
    world_end(&w);
    return 0;
}

static void check(const struct row *row)
{
    struct message m;
    unsigned last = world_sent_count(&w) - 1;

    if (strcmp(talk_sent(&w), row->sent))
        fail_msg("%s: %s", row->name, talk_sent(&w));
    if (!row->uri)
        return;
    assert_false(message_parse(world_sent(&w, last), &m).status);
    if (m.is_request)
        assert_slice(message_span(&m, m.uri), row->uri);
    else
        assert_string_equal(world_header(&w, last, "Contact"), row->uri);
}

static void our_users_reach_people_gateways_and_what_the_table_says(void **state)
{
    static const struct row rows[] = {
        {"bob", "100>1 INVITE>2", "sip:bob@198.51.100.2:5060"},
        {"202", "100>1 INVITE>2", "sip:bob@198.51.100.2:5060"},
        {"dora", "100>1 INVITE>62", "sip:dora@198.51.100.62"},
        {"alice", "486>1", NULL},
        {"nobody", "404>1", NULL},
        {"system", "403>1", NULL},
        {"anonymous", "404>1", NULL},
        {"nope", "403>1", NULL},
        {"busy", "486>1", NULL},
        {"round", "404>1", NULL},
        {"odd", "404>1", NULL},
        {"team", "100>1 INVITE>2 INVITE>61", "sip:extra@198.51.100.61"},
        {"9123", "100>1 INVITE>60", "sip:123@198.51.100.60:5080"},
        {"8812", "100>1 INVITE>60", "sip:008812%23@198.51.100.60:5080"},
        {"7123", "404>1", NULL},
        {"5512", "100>1 INVITE>2", "sip:bob@198.51.100.2:5060"},
        {"6612", "100>1 INVITE>60", "sip:6612@198.51.100.60:5080"},
        {"desk", "100>1 INVITE>63", "sip:desk@198.51.100.63"},
        {"4412", "100>1 INVITE>64", "sip:4412@198.51.100.64:5070"},
        {"moved", "302>1", "<sip:new@elsewhere.example>"},
        {"3312", "302>1", "<sip:3312@elsewhere.example>"},
        {"sales", "410>1", NULL},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char uri[64], proof[1200];
        begin(state);
        snprintf(uri, sizeof uri, "sip:%s@example.com", rows[i].name);
        SAY(&w, .host = 1, .uri = uri, .from = "<sip:alice@example.com>;tag=a", .branch = "first");
        snprintf(proof, sizeof proof, "Proxy-Authorization: %s\n",
                 world_credentials(world_header(&w, 0, "Proxy-Authenticate"), "alice", "wonder",
                                   "INVITE", uri, 1));
        SAY(&w, .host = 1, .uri = uri, .from = "<sip:alice@example.com>;tag=a", .cseq = 2,
            .more = proof);
        check(&rows[i]);
        end(state);
    }
}

/* They learn nothing of the others, and are carried nowhere else. */
static void strangers_reach_who_is_open_and_get_one_answer_for_the_rest(void **state)
{
    static const struct row rows[] = {
        {"bob", "100>9 INVITE>2", "sip:bob@198.51.100.2:5060"},
        {"team", "100>9 INVITE>2 INVITE>61", NULL},
        {"5512", "100>9 INVITE>2", NULL},
        {"dora", "480>9", NULL},
        {"nobody", "480>9", NULL},
        {"system", "480>9", NULL},
        {"nope", "480>9", NULL},
        {"busy", "480>9", NULL},
        {"9123", "480>9", NULL},
        {"desk", "480>9", NULL},
        {"4412", "480>9", NULL},
        {"moved", "480>9", NULL},
        {"sales", "480>9", NULL},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char uri[64];
        begin(state);
        snprintf(uri, sizeof uri, "sip:%s@example.com", rows[i].name);
        SAY(&w, .host = 9, .uri = uri);
        check(&rows[i]);
        end(state);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(our_users_reach_people_gateways_and_what_the_table_says),
        cmocka_unit_test(strangers_reach_who_is_open_and_get_one_answer_for_the_rest));
}
