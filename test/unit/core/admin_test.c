/* An administrator's requests: what is answered, in which order, and what survives a crash. */
#include "ask.h"

#include "core/location.h"

#include <stdio.h>

static void an_activated_binding_outlives_crashes_and_time(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    ask(&w, ADMIN_ACTIVATE, "201", "");
    assert_answer(&w, "{\"user\":\"alice\",\"contact\":\"sip:alice@198.51.100.7:5070\"}");
    assert_int_equal(w.out.at[0].kind, ACTION_PERSIST);
    assert_int_equal(w.out.at[1].kind, ACTION_ANSWER);
    assert_true(w.out.at[1].promises);
    world_wait(&w, SECONDS(100000));
    world_restart(&w);
    world_restart(&w);
    world_wait(&w, SECONDS(100000));
    ask(&w, ADMIN_REGISTRY, "alice", "");
    assert_answer(&w, "\"expires\":null");
    assert_answer(&w, "\"kind\":\"user\",\"profile\":\"*\"}\n");
    ask(&w, ADMIN_RELEASE, "alice", "");
    assert_int_equal(w.out.at[0].kind, ACTION_PERSIST);
    assert_answer(&w, "{\"released\":1}");
    world_restart(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void a_user_has_no_more_contacts_than_others(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    for (unsigned i = 0; i < BINDINGS_PER_AOR; i++)
        ask(&w, ADMIN_ACTIVATE, "alice", "");
    assert_answer(&w, "done");
    ask(&w, ADMIN_ACTIVATE, "alice", "");
    assert_answer(&w, "no room");
    ask(&w, ADMIN_RELEASE, "alice", "");
    assert_answer(&w, "{\"released\":16}");
    world_end(&w);
}

static void unknown_users_are_named_in_the_answer(void **state)
{
    static const enum admin_command commands[] = {ADMIN_REGISTRY, ADMIN_CALLS, ADMIN_ACTIVATE,
                                                  ADMIN_RELEASE, ADMIN_MESSAGE};
    struct world w;

    (void)state;
    world_begin(&w, false);
    for (unsigned i = 0; i < COUNT_OF(commands); i++) {
        ask(&w, commands[i], "mallory\n", "hi");
        assert_answer(&w, "\"error\":\"not-found\"");
        assert_answer(&w, "mallory\\n");
        assert_int_equal(w.out.count, 1);
    }
    world_end(&w);
}

static void bindings_do_not_change_while_the_journal_fails(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    world_register(&w, "alice", "wonder", 3, 5060, 600);
    world_event(&w, &(struct event){.kind = EVENT_STORE_FAILED});
    ask(&w, ADMIN_RELEASE, "alice", "");
    assert_answer(&w, "\"error\":\"failed\"");
    ask(&w, ADMIN_ACTIVATE, "alice", "");
    assert_answer(&w, "\"error\":\"failed\"");
    assert_int_equal(core_census(w.core).bindings, 1);
    world_end(&w);
}

/* Parts, asked for one after another, as a shell does. */
static void a_long_listing_comes_in_parts_and_whole(void **state)
{
    struct world w;
    struct admin_request request = {.command = ADMIN_REGISTRY, .client = ASKING};
    unsigned parts = 0, rows = 0;
    const struct action *answer;

    (void)state;
    world_begin(&w, false);
    for (unsigned i = 0; i < 32; i++) {
        char contact[1200];
        struct flow flow = world_flow(9, 5060);
        memset(contact, 'x', sizeof contact);
        memcpy(contact, "sip:", 4);
        snprintf(contact + sizeof contact - 8, 8, "@h%u", i);
        struct user *user = location_find(w.core, i % 2 ? S("alice") : S("bob"));
        w.out.count = 0;
        w.out.bytes.len = 0;
        assert_true(location_activate(w.core, user, slice_text(contact), &flow, w.now, &w.out));
    }
    do {
        world_event(&w, &(struct event){.kind = EVENT_ADMIN, .request = &request});
        answer = ask_answer(&w, ASKING, 0);
        assert_true(answer->bytes.len < 32768);
        for (size_t i = 0; i < answer->bytes.len; i++)
            rows += answer->bytes.at[i] == '\n';
        request.cursor = answer->answer.cursor;
        parts++;
    } while (answer->answer.is_part);
    assert_int_equal(rows, 33); /* the last is the end */
    assert_true(parts > 1);
    world_end(&w);
}

static void a_message_goes_to_every_phone_and_is_sent_again(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    world_register(&w, "alice", "wonder", 3, 5060, 600);
    world_register(&w, "alice", "wonder", 4, 5062, 600);
    ask(&w, ADMIN_MESSAGE, "alice", "two\nlines");
    assert_answer(&w, "{\"phones\":2}");
    assert_int_equal(world_sent_count(&w), 2);
    assert_string_equal(world_header(&w, 0, "CSeq"), "1 MESSAGE");
    assert_string_equal(world_header(&w, 0, "To"), "<sip:alice@example.com>");
    assert_string_equal(world_header(&w, 0, "Content-Length"), "9");
    assert_string_not_equal(world_header(&w, 0, "Call-ID"), world_header(&w, 1, "Call-ID"));
    world_wait(&w, SECONDS(1));
    assert_int_equal(world_sent_count(&w), 2);
    world_wait(&w, SECONDS(40));
    assert_int_equal(core_census(w.core).client_transactions, 0);
    world_end(&w);
}

static void what_happens_is_told_only_while_somebody_watches(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, false);
    world_register(&w, "alice", "wonder", 3, 5060, 600);
    assert_null(ask_answer(&w, 0, 0));
    ask(&w, ADMIN_WATCH, "", "");
    assert_int_equal(w.out.count, 0);
    world_register(&w, "bob", "builder", 4, 5060, 600);
    assert_told(&w, 0, "{\"event\":\"registered\",\"time\":1700000000,\"user\":\"bob\"");
    world_wait(&w, SECONDS(700));
    assert_told(&w, 0, "\"reason\":\"expired\"");
    assert_told(&w, 1, "\"reason\":\"expired\"");
    ask(&w, ADMIN_UNWATCH, "", "");
    world_register(&w, "bob", "builder", 4, 5060, 600);
    assert_null(ask_answer(&w, 0, 0));
    world_end(&w);
}

int main(void)
{
    RUN(cmocka_unit_test(an_activated_binding_outlives_crashes_and_time),
        cmocka_unit_test(a_user_has_no_more_contacts_than_others),
        cmocka_unit_test(unknown_users_are_named_in_the_answer),
        cmocka_unit_test(bindings_do_not_change_while_the_journal_fails),
        cmocka_unit_test(a_long_listing_comes_in_parts_and_whole),
        cmocka_unit_test(a_message_goes_to_every_phone_and_is_sent_again),
        cmocka_unit_test(what_happens_is_told_only_while_somebody_watches));
}
