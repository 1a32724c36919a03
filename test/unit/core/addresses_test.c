/* Sockets whose addresses come and go while calls do: who is reached by which, and what is ours. */
#include "ask.h"
#include "talk.h"

#include <stdio.h>

enum { FIRST, SIX, STREAM, SECOND, SECOND_STREAM };

static struct world w;
static struct socket_settings sockets[] = {
    [FIRST] = {TRANSPORT_UDP, S("192.0.2.1"), 5060},
    [SIX] = {TRANSPORT_UDP, S("[2001:db8::1]"), 5060},
    [STREAM] = {TRANSPORT_TCP, S("192.0.2.1"), 5060},
    [SECOND] = {TRANSPORT_UDP, S("198.51.100.1"), 5060},
    [SECOND_STREAM] = {TRANSPORT_TCP, S("198.51.100.1"), 5060},
};
static struct settings settings[2];
static struct socket_settings known[2][COUNT_OF(sockets)];
static unsigned epoch;

/* So many sockets are known from now on, of which these have gone: bits. */
static void change(unsigned count, unsigned gone)
{
    epoch ^= 1;
    for (unsigned i = 0; i < count; i++) {
        known[epoch][i] = sockets[i];
        known[epoch][i].is_gone = gone >> i & 1;
    }
    settings[epoch] = w.settings;
    settings[epoch].sockets = known[epoch];
    settings[epoch].socket_count = count;
    world_event(&w, &(struct event){.kind = EVENT_SETTINGS, .settings = &settings[epoch]});
    memset(known[!epoch], 0xff, sizeof known[0]); /* nobody looks there any more */
}

#define GONE(...)                                                                                  \
    gone_of((const unsigned[]){__VA_ARGS__}, COUNT_OF(((const unsigned[]){__VA_ARGS__})))

static unsigned gone_of(const unsigned *numbers, unsigned count)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < count; i++)
        bits |= 1u << numbers[i];
    return bits;
}

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phone(&w, 2, "");
    change(3, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end(&w);
    return 0;
}

static struct flow carol(void)
{
    struct flow flow = world_flow(9, 5060);

    flow.socket = SECOND;
    return flow;
}

static const struct words *invite(void)
{
    static struct flow by;
    static struct words words;

    by = carol();
    words = (struct words){.host = 9, .by = &by};
    return &words;
}

static bool has(unsigned n, const char *part)
{
    struct slice sent = world_sent(&w, n);

    return sent.len && memmem(sent.at, sent.len, part, strlen(part));
}

static void a_phone_is_reached_by_another_socket_than_one_that_has_gone(void **state)
{
    (void)state;
    change(5, GONE(FIRST, STREAM));
    talk_say(&w, *invite());
    assert_sent(&w, "100>9 INVITE>2");
    assert_int_equal(world_sent_to(&w, 1).socket, SECOND);
    assert_true(has(1, "Via: SIP/2.0/UDP 198.51.100.1:5060;"));
    assert_true(has(1, "@198.51.100.1:5060;lr>"));
    assert_false(has(1, "192.0.2.1:5060"));
}

static void a_phone_keeps_the_socket_that_it_registered_by(void **state)
{
    (void)state;
    change(5, 0);
    talk_say(&w, *invite());
    assert_int_equal(world_sent_to(&w, 1).socket, FIRST);
    assert_true(has(1, "Via: SIP/2.0/UDP 192.0.2.1:5060;"));
}

static void nobody_is_reached_where_all_of_a_kind_have_gone(void **state)
{
    (void)state;
    change(5, GONE(FIRST, STREAM, SECOND));
    talk_say(&w, *invite());
    assert_sent(&w, "100>9");
    world_wait(&w, MS(10));
    assert_sent(&w, "480>9");
}

static void a_socket_that_is_back_is_the_phones_again(void **state)
{
    (void)state;
    change(5, GONE(FIRST, STREAM));
    change(5, 0);
    talk_say(&w, *invite());
    assert_int_equal(world_sent_to(&w, 1).socket, FIRST);
}

static void a_route_by_an_address_that_has_gone_is_still_ours(void **state)
{
    struct flow by = carol();
    char route[1024];

    (void)state;
    SAY(&w, .host = 9);
    ANSWER(&w, .host = 2, .status = 200);
    snprintf(route, sizeof route, "%s", talk_route(&w, 2));
    assert_non_null(strstr(route, "@192.0.2.1:5060;"));
    change(5, GONE(FIRST, STREAM));
    SAY(&w, .host = 9, .by = &by, .method = "BYE", .uri = "sip:bob@198.51.100.2:5060",
        .to = BOB ";tag=h2", .cseq = 2, .more = route);
    assert_sent(&w, "BYE>2");
    assert_int_equal(world_sent_to(&w, 0).socket, SECOND);
    assert_false(has(0, "Route: "));
    ANSWER(&w, .host = 2, .status = 200, .method = "BYE");
    assert_sent(&w, "200>9");
}

static void an_address_that_has_gone_is_no_name_of_ours(void **state)
{
    struct words words = *invite();

    (void)state;
    change(5, GONE(SECOND_STREAM));
    words.uri = "sip:bob@192.0.2.1";
    talk_say(&w, words);
    assert_sent(&w, "100>9 INVITE>2");
    change(5, GONE(FIRST, STREAM));
    words.branch = words.call_id = "other";
    talk_say(&w, words);
    assert_int_equal(world_status(&w, 0), 403);
}

/* It may be another host's by now. */
static void a_phone_may_have_an_address_that_was_ours(void **state)
{
    const char *contact = "Contact: <sip:bob@192.0.2.1:5060>\nExpires: 600\n";

    (void)state;
    assert_int_equal(world_register_with(&w, "bob", "builder", 2, 5060, contact) / 100, 4);
    change(5, GONE(FIRST, STREAM));
    assert_int_equal(world_register_with(&w, "bob", "builder", 2, 5060, contact), 200);
}

static void status_lists_what_is_there(void **state)
{
    (void)state;
    change(5, GONE(FIRST, SECOND_STREAM));
    ask(&w, ADMIN_STATUS, "", "");
    assert_answer(&w, "\"listening\":[\"UDP [2001:db8::1]:5060\",\"TCP 192.0.2.1:5060\","
                      "\"UDP 198.51.100.1:5060\"]");
}

/* Its number is another's in this run: which socket it was is not known. */
static void a_restored_binding_goes_by_what_serves_best_at_any_time(void **state)
{
    const unsigned before = SECOND;
    struct flow by = world_flow(2, 5060);

    (void)state;
    change(5, 0);
    by.socket = (uint16_t)before;
    world_register_by(&w, &by, "bob", "builder", "<sip:bob@198.51.100.2:5060>", 600);
    w.settings.sockets = sockets;
    w.settings.socket_count = 3; /* nor is there a fourth */
    for (unsigned i = 0; i < 2; i++) {
        world_restart(&w);
        world_signal(&w, EVENT_CHECKPOINT);
        world_wait(&w, SECONDS(1));
    }
    SAY(&w, .host = 9);
    assert_sent(&w, "100>9 INVITE>2");
    assert_int_equal(world_sent_to(&w, 1).socket, FIRST);
    change(5, 0);
    SAY(&w, .host = 9, .branch = "other", .call_id = "other");
    assert_int_equal(world_sent_to(&w, 1).socket, SECOND);
}

/* Of a user with that place, written down. */
static void call_far(const char *place)
{
    struct user_settings user = world_user(&w, "far", "", "far");

    user.contacts = slice_text(place);
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &user});
    SAY(&w, .host = 9, .uri = "sip:far@example.com");
}

static void nothing_is_sent_by_a_kind_that_has_gone(void **state)
{
    (void)state;
    call_far("sip:far@[2001:db8::9]");
    assert_int_equal(world_sent_to(&w, 1).socket, SIX);
    change(5, GONE(SIX));
    SAY(&w, .host = 9, .uri = "sip:far@example.com", .branch = "other", .call_id = "other");
    assert_true(world_status(&w, 0) >= 400);
}

static void names_are_looked_up_for_what_is_there(void **state)
{
    (void)state;
    call_far("sip:far@far.example:5060;transport=udp");
    assert_sent(&w, "100>9 AAAA?far.example A?far.example");
    change(5, GONE(SIX));
    SAY(&w, .host = 9, .uri = "sip:far@example.com", .branch = "other", .call_id = "other");
    assert_sent(&w, "100>9 A?far.example");
}

#define ADDRESSES(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(ADDRESSES(a_phone_is_reached_by_another_socket_than_one_that_has_gone),
        ADDRESSES(a_phone_keeps_the_socket_that_it_registered_by),
        ADDRESSES(nobody_is_reached_where_all_of_a_kind_have_gone),
        ADDRESSES(a_socket_that_is_back_is_the_phones_again),
        ADDRESSES(a_route_by_an_address_that_has_gone_is_still_ours),
        ADDRESSES(an_address_that_has_gone_is_no_name_of_ours),
        ADDRESSES(a_phone_may_have_an_address_that_was_ours), ADDRESSES(status_lists_what_is_there),
        ADDRESSES(a_restored_binding_goes_by_what_serves_best_at_any_time),
        ADDRESSES(nothing_is_sent_by_a_kind_that_has_gone),
        ADDRESSES(names_are_looked_up_for_what_is_there));
}
