/* Whatever runs out, and when: each call gets one answer, and nothing is left behind. */
#include "talk.h"

#include <stdio.h>

static struct world w;

#define CALLS 8u

static unsigned finals[CALLS]; /* the status that each call's INVITE got */
static unsigned refused, answered;

/* Notes the final answers that went to host 9: never two that differ. */
static void note_finals(void)
{
    for (unsigned i = 0; i < world_sent_count(&w); i++) {
        unsigned status = world_status(&w, i);
        unsigned call = (unsigned)(*world_header(&w, i, "Call-ID") - '0');
        if (status < 200 || !strstr(world_header(&w, i, "CSeq"), "INVITE"))
            continue;
        assert_int_equal(world_sent_to(&w, i).address[3], 9);
        assert_true(call < CALLS);
        if (finals[call] && finals[call] != status)
            fail_msg("call %u: %u after %u", call, status, finals[call]);
        finals[call] = status;
    }
}

/* A call to bob's phones 2 and 3 with a message of that length. */
static void call(unsigned number, unsigned len)
{
    char name[2] = {(char)('0' + number), 0}, field[32768];

    snprintf(field, sizeof field, "X-Long: %0*u\n", (int)len, 1u);
    SAY(&w, .host = 9, .call_id = name, .branch = name, .more = field);
    note_finals();
}

/* What the phones do with the call that just came: 2 is busy, 3 takes it or is away. */
static void pick_up(unsigned number, unsigned len)
{
    bool has_two = strstr(talk_sent(&w), ">2"), has_three = strstr(talk_sent(&w), ">3");
    char field[32768];

    snprintf(field, sizeof field, "X-Long: %0*u\n", (int)len, 1u);
    if (has_three) {
        ANSWER(&w, .host = 3, .status = 180);
        note_finals();
    }
    if (has_two) {
        ANSWER(&w, .host = 2, .status = 486, .more = field);
        note_finals();
    }
    if (has_three) {
        ANSWER(&w, .host = 3, .status = number % 2 ? 200 : 480, .more = field);
        note_finals();
    }
}

/* Eight calls at once; of the odd numbers of `kind` the phones say something, of the others
 * nothing, and the callers of some give up. */
static void run(const struct limits *limits, unsigned kind, unsigned len)
{
    size_t users;

    memset(finals, 0, sizeof finals);
    world_begin_within(&w, true, limits);
    users = core_census(w.core).text_bytes;
    talk_phone(&w, 3, "");
    talk_phone(&w, 2, "");
    for (unsigned i = 0; i < CALLS; i++) {
        call(i, len * (i + 1) / 4);
        if (kind % 2)
            pick_up(i, len);
        if (kind / 2 % 2 && i % 3 == 2) {
            char name[2] = {(char)('0' + i), 0};
            SAY(&w, .host = 9, .method = "CANCEL", .call_id = name, .branch = name);
            assert_true(world_status(&w, world_sent_count(&w) - 1) >= 200);
        }
    }
    for (unsigned i = 0; i < 30; i++) {
        world_wait(&w, SECONDS(10));
        note_finals();
    }
    for (unsigned i = 0; i < CALLS; i++) {
        if (!finals[i])
            fail_msg("call %u was not answered", i);
        refused += finals[i] == 503;
        answered += finals[i] == 200;
    }
    assert_int_equal(core_census(w.core).server_transactions, 0);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    assert_int_equal(core_census(w.core).contexts, 0);
    world_wait(&w, w.settings.call_longest + SECONDS(1));
    world_keep_calls(&w);
    assert_int_equal(core_census(w.core).text_bytes, users);
    world_end(&w);
}

static void with_few_transactions_calls_are_answered_or_put_off(void **state)
{
    (void)state;
    refused = answered = 0;
    for (unsigned n = 1; n < 12; n++)
        for (unsigned kind = 0; kind < 4; kind++) {
            struct limits limits = world_limits;
            limits.transactions = n;
            run(&limits, kind, 500);
        }
    assert_true(refused > 20 && answered > 20);
}

static void with_few_contexts_calls_are_answered_or_put_off(void **state)
{
    (void)state;
    refused = answered = 0;
    for (unsigned n = 1; n < 6; n++)
        for (unsigned kind = 0; kind < 4; kind++) {
            struct limits limits = world_limits;
            limits.contexts = n;
            limits.dialogs = n;
            run(&limits, kind, 500);
        }
    assert_true(refused > 10 && answered > 10);
}

static void with_little_room_for_texts_calls_are_answered_or_put_off(void **state)
{
    (void)state;
    refused = answered = 0;
    for (unsigned n = 0; n < 150; n++) {
        struct limits limits = world_limits;
        limits.text = 2048 + 512 * n;
        run(&limits, n, 100 + n % 16 * 300);
    }
    assert_true(refused > 20 && answered > 20);
}

static void without_room_a_phone_is_not_bound(void **state)
{
    unsigned bound = 0;

    (void)state;
    for (unsigned n = 0; n < 64; n++) {
        struct limits limits = world_limits;
        unsigned status;
        size_t before;
        limits.text = 128 + 8 * n;
        world_begin_within(&w, true, &limits);
        before = core_census(w.core).text_bytes;
        status = world_register_with(&w, "bob", "builder", 2, 5060,
                                     "Contact: <sip:bob@a-rather-long-name-of-a-host-somewhere-far-"
                                     "away-from-here-and-still-longer.example.net>\n");
        assert_true(status == 200 || status == 503);
        assert_int_equal(core_census(w.core).bindings, status == 200);
        if (status == 503)
            assert_int_equal(core_census(w.core).text_bytes, before);
        bound += status == 200;
        world_end(&w);
    }
    assert_true(bound > 10 && bound < 64);
}

/* What calls need that stand. */
static void phones_leave_a_part_of_the_room_for_texts(void **state)
{
    struct limits limits = world_limits;
    unsigned host = 0, status;

    (void)state;
    limits.text = 8192;
    world_begin_within(&w, true, &limits);
    do {
        char contact[300];
        snprintf(contact, sizeof contact, "Contact: <sip:%0200u@there.example.net>\n", ++host);
        status = world_register_with(&w, host % 2 ? "bob" : "alice",
                                     host % 2 ? "builder" : "wonder", host, 5060, contact);
        assert_true(core_census(w.core).text_bytes <= limits.text - limits.text / RESERVED_PART);
    } while (status == 200);
    assert_int_equal(status, 503);
    assert_true(core_census(w.core).text_bytes > limits.text - limits.text / RESERVED_PART - 512);
    world_end(&w);
}

static void users_are_put_until_there_is_no_room_and_never_twice(void **state)
{
    struct limits limits = world_limits;
    char name[300] = "";
    struct user_settings user = {.has_ha1 = {true, true}};

    (void)state;
    limits.users = 4;
    world_begin_within(&w, true, &limits);
    user.id = S("alice");
    assert_false(core_put_user(w.core, &user));
    user.id = S("202"); /* bob's extension */
    assert_false(core_put_user(w.core, &user));
    user.id = S("carla");
    user.extension = S("201");
    assert_false(core_put_user(w.core, &user));
    user.extension = S("alice");
    assert_false(core_put_user(w.core, &user));
    user.id = user.extension = NO_SLICE;
    assert_false(core_put_user(w.core, &user));
    memset(name, 'x', 256);
    user.id = slice_text(name);
    assert_false(core_put_user(w.core, &user));
    user.id = slice_of(name, 255);
    assert_true(core_put_user(w.core, &user));
    user.id = S("carla");
    user.extension = S("203");
    assert_true(core_put_user(w.core, &user));
    user.id = S("dora");
    user.extension = S("204");
    assert_false(core_put_user(w.core, &user)); /* the fifth */
    world_end(&w);
    limits = world_limits;
    limits.text = 128; /* alice and bob */
    world_begin_within(&w, true, &limits);
    assert_false(core_put_user(w.core, &user));
    world_end(&w);
}

static void what_is_restored_into_less_room_is_restored_in_part(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        struct limits limits = world_limits;
        char field[1200];
        world_begin(&w, true);
        talk_phone(&w, 3, "");
        talk_phone(&w, 2, "");
        snprintf(field, sizeof field, "X-Long: %0900u\n", 1u);
        SAY(&w, .host = 9, .call_id = "0", .branch = "0", .more = field);
        SAY(&w, .host = 9, .call_id = "1", .branch = "1", .more = field);
        PLAY(&w, {"2 200", "200>9"});
        SAY(&w, .host = 9, .call_id = "2", .branch = "2", .uri = "sip:alice@example.com");
        limits.text = 256 + n * 256;
        limits.transactions = 1 + n % 6;
        limits.contexts = 1 + n % 2;
        limits.dialogs = 1;
        limits.bindings = 1 + n % 2;
        w.limits = limits;
        world_restart(&w);
        assert_true(core_census(w.core).bindings <= limits.bindings);
        world_wait(&w, SECONDS(400));
        assert_int_equal(core_census(w.core).server_transactions, 0);
        assert_int_equal(core_census(w.core).client_transactions, 0);
        assert_int_equal(core_census(w.core).contexts, 0);
        world_end(&w);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(with_few_transactions_calls_are_answered_or_put_off),
        cmocka_unit_test(with_few_contexts_calls_are_answered_or_put_off),
        cmocka_unit_test(with_little_room_for_texts_calls_are_answered_or_put_off),
        cmocka_unit_test(without_room_a_phone_is_not_bound),
        cmocka_unit_test(phones_leave_a_part_of_the_room_for_texts),
        cmocka_unit_test(users_are_put_until_there_is_no_room_and_never_twice),
        cmocka_unit_test(what_is_restored_into_less_room_is_restored_in_part));
}
