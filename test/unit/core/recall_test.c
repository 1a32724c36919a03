/* After a start users and bindings come to memory when they are asked for, or when there is time;
 * every answer is the one that would be given if all had been read before. */
#include "unit.h"
#include "world.h"

#include "core/location.h"
#include "core/recall.h"

#include <stdio.h>
#include <stdlib.h>

/* The database: who is in it. */
struct rows {
    struct user_settings at[4];
    unsigned count;
    unsigned asked;
};

static bool find(void *self, enum roster_key key, struct slice name, struct user_settings *user)
{
    struct rows *rows = self;

    rows->asked++;
    for (unsigned i = 0; i < rows->count; i++) {
        *user = rows->at[i];
        if (slice_equal(key == ROSTER_ID ? user->id : user->extension, name))
            return true;
    }
    return false;
}

static void add(const struct world *w, struct rows *rows, const char *id, const char *extension)
{
    struct user_settings *user = &rows->at[rows->count++];

    *user = world_user(w, id, extension, "builder");
    user->source = SOURCE_DATABASE;
}

static void recall_all(struct world *w)
{
    for (unsigned n = 0; recall_goes_on(w->core); n++) {
        assert_true(n < 1000);
        world_signal(w, EVENT_RECALL);
    }
}

/* What happens to a call of carol, a stranger, to this name: its status, or the host it goes to. */
static unsigned call(struct world *w, const char *name)
{
    static unsigned count;

    count++;
    world_receive(w, 9, 5060,
                  "INVITE sip:%s@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKrecall%u;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol%u\n"
                  "To: <sip:%s@example.com>\n"
                  "Call-ID: recall-%u\n"
                  "CSeq: 1 INVITE\n"
                  "Contact: <sip:carol@198.51.100.9:5060>\n"
                  "Content-Length: 0\n\n",
                  name, count, count, name, count);
    return world_status(w, 0) == 100 ? world_sent_to(w, 1).address[3] : world_status(w, 0);
}

/* bob, of the database, has a phone at host 2; then the server is killed and starts. */
static void begin_with_bob(struct world *w, struct rows *rows, const struct roster *roster)
{
    world_begin(w, true);
    world_register(w, "bob", "builder", 2, 5060, 3600);
    add(w, rows, "bob", "202");
    w->roster = roster;
    world_restart(w);
    assert_int_equal(core_census(w->core).bindings, 0);
}

static void who_is_called_is_there_at_once(void **state)
{
    static const char *const names[] = {"bob", "202"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        struct rows rows = {0};
        const struct roster roster = {find, &rows};
        struct world w;

        begin_with_bob(&w, &rows, &roster);
        assert_int_equal(call(&w, names[i]), 2);
        assert_int_equal(core_census(w.core).bindings, 1);
        recall_all(&w);
        assert_int_equal(core_census(w.core).bindings, 1);
        assert_int_equal(call(&w, names[i]), 2);
        world_end(&w);
    }
}

static void who_is_not_called_comes_when_there_is_time(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 1);
    rows.asked = 0;
    assert_int_equal(call(&w, "bob"), 2);
    assert_int_equal(call(&w, "nobody"), 480);
    assert_int_equal(rows.asked, 0);
    world_end(&w);
}

static void one_of_the_configuration_has_its_phones_too(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    world_begin(&w, true);
    world_register(&w, "alice", "wonder", 1, 5060, 3600);
    w.roster = &roster;
    world_restart(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    assert_int_equal(call(&w, "201"), 1);
    world_end(&w);
}

static void a_binding_is_found_by_its_own_id(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct binding_view view;
    uint32_t cursor = 0;
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    assert_true(core_next_binding(w.core, &cursor, &view));
    assert_non_null(location_binding(w.core, view.id));
    assert_null(location_binding(w.core, view.id + 1));
    assert_int_equal(core_census(w.core).bindings, 1);
    world_end(&w);
}

static void the_newest_record_of_a_binding_counts(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    world_begin(&w, true);
    add(&w, &rows, "bob", "202");
    assert_int_equal(world_register_with(&w, "bob", "builder", 2, 5060,
                                         "Contact: <sip:bob@198.51.100.2:5060>;expires=3600\n"),
                     200);
    assert_int_equal(world_register_with(&w, "bob", "builder", 3, 5060,
                                         "Contact: <sip:bob@198.51.100.2:5060>;expires=3600\n"),
                     200);
    w.roster = &roster;
    world_restart(&w);
    assert_int_equal(call(&w, "bob"), 3);
    assert_int_equal(core_census(w.core).bindings, 1);
    world_end(&w);
}

static void what_was_removed_is_not_recalled(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    world_begin(&w, true);
    add(&w, &rows, "bob", "202");
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    assert_int_equal(world_register_with(&w, "bob", "builder", 2, 5060, "Contact: *\nExpires: 0\n"),
                     200);
    w.roster = &roster;
    world_restart(&w);
    assert_int_equal(call(&w, "bob"), 480);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void what_has_expired_is_not_recalled(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    w.now.boot += SECONDS(4000); /* more than was promised, and its slack */
    w.now.wall += 4000;
    assert_int_equal(call(&w, "bob"), 480);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void the_clock_may_be_set_before_all_is_recalled(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct binding_view view;
    uint32_t cursor = 0;
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    w.now.wall += 5000; /* more than was promised, and its slack */
    assert_true(core_next_binding(w.core, &cursor, &view));
    assert_int_equal(call(&w, "bob"), 2);
    assert_int_equal(core_census(w.core).bindings, 1);
    world_end(&w);
}

static void the_phones_of_a_user_who_is_gone_are_gone(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    rows.at[0] = world_user(&w, "robert", "202", "builder"); /* with what was bob's number */
    assert_int_equal(call(&w, "bob"), 480);
    assert_int_equal(call(&w, "202"), 480);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    rows.at[0] = world_user(&w, "bob", "202", "builder"); /* he is back, and starts anew */
    world_restart(&w);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    assert_int_equal(call(&w, "bob"), 480);
    world_end(&w);
}

static void a_removal_during_the_recall_is_kept(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    assert_int_equal(world_register_with(&w, "bob", "builder", 2, 5060, "Contact: *\nExpires: 0\n"),
                     200);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_restart(&w);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static unsigned count_records(const struct world *w)
{
    return w->record_count;
}

static bool is_checkpointed(const struct world *w)
{
    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->out.at[i].kind == ACTION_CHECKPOINTED)
            return true;
    return false;
}

/* Else the older segments would go before what they bind is in the newest. */
static void a_checkpoint_waits_for_the_recall(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    world_forget(&w);
    world_signal(&w, EVENT_CHECKPOINT);
    assert_true(core_deadline(w.core) > 0);
    world_signal(&w, EVENT_DEADLINE);
    assert_false(is_checkpointed(&w));
    assert_int_equal(count_records(&w), 0);
    world_end(&w);

    rows = (struct rows){0};
    begin_with_bob(&w, &rows, &roster);
    world_signal(&w, EVENT_CHECKPOINT);
    recall_all(&w);
    world_forget(&w);
    assert_int_equal(core_deadline(w.core), 0);
    world_signal(&w, EVENT_DEADLINE);
    assert_true(is_checkpointed(&w));
    assert_int_equal(count_records(&w), 1);
    w.roster = NULL;
    world_restart(&w);
    assert_int_equal(core_census(w.core).bindings, 1);
    world_end(&w);
}

/* Contacts of bob, the first to be tried first. */
static void list_contacts(const struct world *w, char *text, size_t limit)
{
    const struct user *user = location_find_id(w->core, S("bob"));
    struct writer out = writer_over(text, limit - 1);

    for (const struct binding *b = location_first(w->core, user); b;
         b = location_next(w->core, b)) {
        write_slice(&out, binding_contact(b));
        write_char(&out, ' ');
    }
    text[out.len] = '\0';
}

static void several_phones_come_in_their_order(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    char before[512], after[512];
    struct world w;

    (void)state;
    world_begin(&w, true);
    add(&w, &rows, "bob", "202");
    for (unsigned host = 2; host < 7; host++) {
        char contact[80];
        snprintf(contact, sizeof contact, "Contact: <sip:bob@198.51.100.%u:5060>;expires=%u\n",
                 host, host == 4 ? 0 : 3600);
        assert_int_equal(world_register_with(&w, "bob", "builder", host, 5060, contact), 200);
    }
    list_contacts(&w, before, sizeof before);
    w.roster = &roster;
    world_restart(&w);
    list_contacts(&w, after, sizeof after);
    assert_string_equal(after, before);
    world_end(&w);
}

/* As where the newest record says that everything is read: what is only noted is shown. */
static void a_walk_shows_what_is_noted(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct binding_view view;
    uint32_t cursor = 0;
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    assert_true(core_next_binding(w.core, &cursor, &view));
    assert_true(slice_equal(view.aor, S("bob")));
    assert_int_equal(view.flow.address[3], 2);
    assert_true(view.expires > w.now.boot);
    assert_false(core_next_binding(w.core, &cursor, &view));
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

/* Whoever comes first does not take the place of who was there before. */
static void what_is_not_recalled_yet_has_its_place(void **state)
{
    static const char contact[] = "Contact: <sip:alice@198.51.100.3:5060>\n";
    struct limits limits = world_limits;
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    limits.bindings = limits.registered = 1;
    world_begin_within(&w, true, &limits);
    world_register(&w, "bob", "builder", 2, 5060, 3600);
    add(&w, &rows, "bob", "202");
    w.roster = &roster;
    world_restart(&w);
    assert_int_equal(world_register_with(&w, "alice", "wonder", 3, 5060, contact), 503);
    recall_all(&w);
    assert_int_equal(call(&w, "bob"), 2);
    assert_int_equal(world_register_with(&w, "alice", "wonder", 3, 5060, contact), 503);
    world_end(&w);
}

static void put_by_the_shell_is_no_second_time(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    assert_int_equal(call(&w, "bob"), 2);
    assert_true(core_put_user(w.core, &rows.at[0]));
    assert_int_equal(call(&w, "bob"), 2);
    rows.at[1] = world_user(&w, "alice", "209", "builder"); /* the configuration has one */
    rows.at[1].source = SOURCE_DATABASE;
    assert_false(core_put_user(w.core, &rows.at[1]));
    recall_all(&w);
    world_end(&w);
}

static void in_the_database_an_id_counts_before_an_extension(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct rows rows = {0};
        const struct roster roster = {find, &rows};
        struct world w;

        begin_with_bob(&w, &rows, &roster);
        add(&w, &rows, "202", "300");
        assert_true(core_put_user(w.core, &rows.at[n]));
        assert_int_equal(call(&w, n ? "bob" : "300"), n ? 2 : 480);
        assert_int_equal(call(&w, "202"), 480);
        assert_int_equal(call(&w, "bob"), 2);
        assert_int_equal(call(&w, "300"), 480);
        world_end(&w);
    }
}

static void a_user_replaced_during_the_recall_has_its_phones_first(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct user_settings settings;
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    settings = rows.at[0];
    settings.kind = USER_REJECT;
    settings.status = 403;
    world_event(&w, &(struct event){.kind = EVENT_USER, .user = &settings});
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_restart(&w);
    recall_all(&w);
    assert_int_equal(core_census(w.core).bindings, 0); /* the journal knows that it was unbound */
    world_end(&w);
}

static bool is_offered_sha256(struct world *w)
{
    world_receive(
        w, 2, 5060,
        "REGISTER sip:example.com SIP/2.0\n"
        "Via: SIP/2.0/UDP 198.51.100.2:5060;branch=z9hG4bKsha;rport\n"
        "Max-Forwards: 70\n"
        "From: <sip:bob@example.com>;tag=b\n"
        "To: <sip:bob@example.com>\n"
        "Call-ID: sha\n"
        "CSeq: 1 REGISTER\n"
        "User-Agent: a name that is long enough, for an answer must not be longer than "
        "what it answers; so this name goes on for a while, and then for a while more, "
        "until there is room for two challenges, each with a realm, a nonce, an algorithm "
        "and a quality of protection, and for all that a response repeats of its request\n"
        "Contact: <sip:bob@198.51.100.2:5060>\n"
        "Content-Length: 0\n\n");
    assert_int_equal(world_status(w, 0), 401);
    return strstr(world_header(w, 0, "WWW-Authenticate"), "SHA-256") != NULL;
}

/* Somebody who has no SHA-256 digest may still be to come. */
static void md5_alone_is_offered_until_all_are_known(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    w.settings.sha256_first = true;
    assert_false(is_offered_sha256(&w));
    recall_all(&w);
    assert_true(is_offered_sha256(&w));
    world_end(&w);
}

/* A record cut at any byte is none, as at every start. */
static void a_torn_record_is_nobodys(void **state)
{
    struct rows rows = {0};
    const struct roster roster = {find, &rows};
    struct world w;

    (void)state;
    begin_with_bob(&w, &rows, &roster);
    struct slice whole = w.records[0];
    w.record_count = 0;
    for (size_t len = 0; len < whole.len; len++) {
        world_restart(&w);
        char *torn = malloc(len + 1);
        memcpy(torn, whole.at, len);
        world_restore(&w, slice_of(torn, len));
        assert_int_equal(call(&w, "bob"), 480);
        recall_all(&w);
        assert_int_equal(core_census(w.core).bindings, 0);
        world_forget(&w);
        free(torn);
    }
    free((void *)(uintptr_t)whole.at);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_called_is_there_at_once),
        cmocka_unit_test(who_is_not_called_comes_when_there_is_time),
        cmocka_unit_test(one_of_the_configuration_has_its_phones_too),
        cmocka_unit_test(a_binding_is_found_by_its_own_id),
        cmocka_unit_test(the_newest_record_of_a_binding_counts),
        cmocka_unit_test(what_was_removed_is_not_recalled),
        cmocka_unit_test(what_has_expired_is_not_recalled),
        cmocka_unit_test(the_clock_may_be_set_before_all_is_recalled),
        cmocka_unit_test(the_phones_of_a_user_who_is_gone_are_gone),
        cmocka_unit_test(a_removal_during_the_recall_is_kept),
        cmocka_unit_test(a_checkpoint_waits_for_the_recall),
        cmocka_unit_test(several_phones_come_in_their_order),
        cmocka_unit_test(a_walk_shows_what_is_noted),
        cmocka_unit_test(what_is_not_recalled_yet_has_its_place),
        cmocka_unit_test(put_by_the_shell_is_no_second_time),
        cmocka_unit_test(in_the_database_an_id_counts_before_an_extension),
        cmocka_unit_test(a_user_replaced_during_the_recall_has_its_phones_first),
        cmocka_unit_test(md5_alone_is_offered_until_all_are_known),
        cmocka_unit_test(a_torn_record_is_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
