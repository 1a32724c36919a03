/* New settings and users in a core that runs: rows are replaced alone, and nothing else changes. */
#include "unit.h"
#include "world.h"

#include <stdio.h>

static void begin_epoch(struct world *w, const struct settings *settings)
{
    world_event(w, &(struct event){.kind = EVENT_SETTINGS, .settings = settings});
}

static void put(struct world *w, const struct user_settings *user)
{
    world_event(w, &(struct event){.kind = EVENT_USER, .user = user});
}

static void end_epoch(struct world *w)
{
    world_event(w, &(struct event){.kind = EVENT_USERS_PUT});
    assert_int_equal(core_deadline(w->core), 0);
    world_wait(w, MS(1));
    assert_true(core_deadline(w->core) > 0);
}

static unsigned bindings(const struct world *w)
{
    return core_census(w->core).bindings;
}

/* What happens to a call of carol, a stranger, to this name. */
static unsigned call(struct world *w, const char *name)
{
    static unsigned count;

    count++;
    world_receive(w, 9, 5060,
                  "INVITE sip:%s@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKcall%u;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol%u\n"
                  "To: <sip:%s@example.com>\n"
                  "Call-ID: call-%u\n"
                  "CSeq: 1 INVITE\n"
                  "Contact: <sip:carol@198.51.100.9:5060>\n"
                  "Content-Length: 0\n\n",
                  name, count, count, name, count);
    return world_status(w, 0) == 100 ? world_sent_to(w, 1).address[3] : world_status(w, 0);
}

static void the_same_again_changes_nothing(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    size_t text = core_census(w.core).text_bytes;
    for (unsigned i = 0; i < 300; i++) { /* more than there are numbers of epochs */
        struct settings fresh = w.settings;
        struct user_settings alice = world_user(&w, "alice", "201", "wonder");
        struct user_settings bob = world_user(&w, "bob", "202", "builder");

        begin_epoch(&w, &fresh);
        put(&w, &bob);
        put(&w, &alice);
        assert_int_equal(w.out.count, 0);
        end_epoch(&w);
        begin_epoch(&w, &w.settings);
        put(&w, &alice);
        put(&w, &bob);
        end_epoch(&w);
    }
    assert_int_equal(bindings(&w), 1);
    assert_int_equal(core_census(w.core).text_bytes, text);
    assert_int_equal(call(&w, "202"), 2);
    world_end(&w);
}

static void a_user_who_is_not_put_again_goes_with_all_bindings(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    world_register(&w, "bob", "builder", 2, 5062, 3600);
    world_register(&w, "alice", "wonder", 1, 5060, 3600);
    struct user_settings alice = world_user(&w, "alice", "201", "wonder");
    begin_epoch(&w, &w.settings);
    put(&w, &alice);
    assert_int_equal(call(&w, "bob"), 2); /* until all are put, the old ones stay */
    end_epoch(&w);
    assert_int_equal(bindings(&w), 1);
    assert_int_equal(call(&w, "bob"), 480);
    assert_int_equal(call(&w, "202"), 480);
    world_restart(&w); /* puts bob again, but the journal knows that his bindings went */
    assert_int_equal(bindings(&w), 1);
    world_end(&w);
}

static void extensions_change_hands(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "alice", "wonder", 1, 5060, 3600);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    struct user_settings alice = world_user(&w, "alice", "202", "wonder");
    struct user_settings bob = world_user(&w, "bob", "201", "builder");
    begin_epoch(&w, &w.settings);
    put(&w, &alice);
    assert_int_equal(w.out.count, 0);
    put(&w, &bob);
    assert_int_equal(w.out.count, 0);
    end_epoch(&w);
    assert_int_equal(call(&w, "202"), 1);
    assert_int_equal(call(&w, "201"), 2);
    assert_int_equal(bindings(&w), 2);
    world_end(&w);
}

static void a_changed_password_counts_at_once(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    struct user_settings bob = world_user(&w, "bob", "202", "other");
    put(&w, &bob); /* a row alone, without new settings */
    world_register(&w, "bob", "other", 2, 5060, 3600);
    assert_int_equal(bindings(&w), 1);
    world_end(&w);
}

static void files_count_more_than_the_database_and_that_more_than_accounts(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    struct user_settings dave = world_user(&w, "dave", "203", "account");
    dave.source = SOURCE_ACCOUNT;
    put(&w, &dave);
    assert_int_equal(w.out.count, 0);
    world_register(&w, "dave", "account", 3, 5060, 3600);
    struct user_settings stored = world_user(&w, "dave", "203", "database");
    stored.source = SOURCE_DATABASE;
    put(&w, &stored);
    world_register(&w, "dave", "database", 3, 5060, 3600);
    put(&w, &dave); /* the lesser one is refused, and said so */
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.at[0].kind, ACTION_LOG);
    world_register(&w, "dave", "database", 3, 5060, 3600);
    struct user_settings alice = world_user(&w, "alice", "201", "wonder");
    begin_epoch(&w, &w.settings);
    put(&w, &alice);
    end_epoch(&w); /* the database's rows are not the files' to remove */
    world_register(&w, "dave", "database", 3, 5060, 3600);
    world_event(&w, &(struct event){.kind = EVENT_USER_GONE, .bytes = S("dave")});
    assert_int_equal(call(&w, "dave"), 480);
    assert_int_equal(bindings(&w), 0);
    world_end(&w);
}

static void a_taken_extension_is_refused(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    struct user_settings dave = world_user(&w, "dave", "201", "x");
    put(&w, &dave);
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.at[0].kind, ACTION_LOG);
    assert_int_equal(call(&w, "dave"), 480);
    world_end(&w);
}

static void what_cannot_be_registered_any_more_is_unbound(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    struct user_settings bob = {.id = S("bob"), .kind = USER_REJECT, .status = 410};
    put(&w, &bob);
    assert_int_equal(bindings(&w), 0);
    world_end(&w);
}

/* The records of all former lives are read again, as after another crash. */
static void replay(struct world *w)
{
    unsigned count = w->record_count;

    for (unsigned i = 0; i < count; i++)
        world_restore(w, w->records[i]);
}

/* Removed while the server was down, back before the checkpoint of its start was over, and killed
 * then: the segments of the former life are still there. */
static void who_was_gone_at_a_start_comes_back_without_bindings(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_put_user(&w, "dave", "203", "x", true);
    world_register(&w, "dave", "x", 3, 5060, 3600);
    world_restart(&w); /* without dave */
    assert_int_equal(bindings(&w), 0);
    world_put_user(&w, "dave", "203", "x", true);
    replay(&w);
    assert_int_equal(bindings(&w), 0);
    world_end(&w);
}

static void a_binding_is_not_restored_for_who_has_the_extension(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_put_user(&w, "777", "", "x", true);
    world_register(&w, "777", "x", 3, 5060, 3600);
    world_restart(&w);
    world_put_user(&w, "dave", "777", "y", true);
    world_restore(&w, w.records[0]);
    assert_int_equal(bindings(&w), 0);
    world_end(&w);
}

static void a_binding_is_not_restored_for_who_cannot_be_registered_any_more(void **state)
{
    struct world w;
    struct user_settings dave = {.id = S("dave"), .kind = USER_REJECT, .status = 410};

    (void)state;
    world_begin(&w, true);
    world_put_user(&w, "dave", "203", "x", true);
    world_register(&w, "dave", "x", 3, 5060, 3600);
    world_restart(&w);
    put(&w, &dave);
    world_restore(&w, w.records[0]);
    assert_int_equal(bindings(&w), 0);
    world_end(&w);
}

static void a_user_for_whose_change_there_is_no_room_stays_as_it_is(void **state)
{
    struct limits limits = world_limits;
    char contacts[CONTACTS_LIMIT];
    struct world w;

    (void)state;
    limits.text = 4096;
    world_begin_within(&w, true, &limits);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    size_t text = core_census(w.core).text_bytes;
    struct user_settings bob = world_user(&w, "bob", "203", "other");
    memset(contacts, 'x', sizeof contacts);
    bob.contacts = slice_of(contacts, sizeof contacts);
    put(&w, &bob);
    assert_int_equal(w.out.at[0].kind, ACTION_LOG);
    assert_int_equal(core_census(w.core).text_bytes, text);
    assert_int_equal(call(&w, "202"), 2);
    assert_int_equal(call(&w, "203"), 480);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    world_end(&w);
}

static void new_settings_count_at_once(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    struct settings closed = w.settings;
    closed.is_public = false;
    begin_epoch(&w, &closed);
    assert_int_equal(call(&w, "bob"), 403);
    world_end(&w);
}

static void the_walk_takes_many_rows_in_small_steps(void **state)
{
    struct world w;
    char ids[12][8];

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        snprintf(ids[i], sizeof ids[i], "u%u", i);
        struct user_settings user = world_user(&w, ids[i], "", "x");
        put(&w, &user);
        for (unsigned n = 0; n < 4; n++)
            world_register(&w, ids[i], "x", 20 + i, 5060 + n, 3600);
    }
    assert_int_equal(bindings(&w), 48);
    begin_epoch(&w, &w.settings);
    world_event(&w, &(struct event){.kind = EVENT_USERS_PUT});
    world_event(&w, &(struct event){.kind = EVENT_DEADLINE});
    assert_true(w.out.count > 0 && w.out.count < STEP_ACTIONS);
    assert_int_equal(core_deadline(w.core), 0);
    world_wait(&w, MS(1));
    assert_int_equal(bindings(&w), 0);
    world_end(&w);
}

int main(void)
{
    RUN(cmocka_unit_test(the_same_again_changes_nothing),
        cmocka_unit_test(a_user_who_is_not_put_again_goes_with_all_bindings),
        cmocka_unit_test(extensions_change_hands),
        cmocka_unit_test(a_changed_password_counts_at_once),
        cmocka_unit_test(files_count_more_than_the_database_and_that_more_than_accounts),
        cmocka_unit_test(a_taken_extension_is_refused),
        cmocka_unit_test(what_cannot_be_registered_any_more_is_unbound),
        cmocka_unit_test(who_was_gone_at_a_start_comes_back_without_bindings),
        cmocka_unit_test(a_binding_is_not_restored_for_who_has_the_extension),
        cmocka_unit_test(a_binding_is_not_restored_for_who_cannot_be_registered_any_more),
        cmocka_unit_test(a_user_for_whose_change_there_is_no_room_stays_as_it_is),
        cmocka_unit_test(new_settings_count_at_once),
        cmocka_unit_test(the_walk_takes_many_rows_in_small_steps));
}
