/* What survives a crash: INVITEs in every state, by their records; and that a checkpoint holds all
 * that lives. */
#include "talk.h"

#include <stdio.h>

#include "core/record.h"

static struct world w;

static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phones(&w);
    return 0;
}

static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

/* doc/adr/0003: the phones' transactions absorb the repetition, and repeat their last response. */
static void a_ringing_call_is_offered_again_and_answered(void **state)
{
    char before[512];

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"});
    snprintf(before, sizeof before, "%s", world_header(&w, 2, "Via")); /* of phone 3 */
    PLAY(&w, {"2 180", "180>9"}, {"restart", ""}, {"wait 10", "INVITE>3 INVITE>2"});
    assert_string_equal(world_header(&w, 0, "Via"), before);
    PLAY(&w, {"2 180", "180>9"}, {"3 180", "180>9"}, {"2 200", "200>9 CANCEL>3"},
         {"3 487", "ACK>3"});
}

static void the_caller_may_repeat_itself_to_the_new_process(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"restart", ""}, {"9 INVITE", ""},
         {"wait 10", "INVITE>3 INVITE>2"}, {"2 180", "180>9"}, {"9 INVITE", "180>9"});
}

static void the_hunt_goes_on_where_it_was_and_remembers_the_best_answer(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"});
    ANSWER(&w, .host = 2, .status = 404, .more = "X-Why: moved\n");
    PLAY(&w, {"3 486", "INVITE>4 ACK>3"}, {"restart", ""}, {"wait 10", "INVITE>4"},
         {"4 500", "404>9 ACK>4"});
    assert_string_equal(world_header(&w, 0, "X-Why"), "moved");
}

static void a_group_of_which_one_has_refused_rings_on_without_it(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 404", "ACK>2"}, {"restart", ""},
         {"wait 10", "INVITE>3"}, {"3 486", "INVITE>4 ACK>3"});
}

static void a_cancelled_call_stays_cancelled(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 180", "180>9"},
         {"9 CANCEL", "CANCEL>2 200>9"}, {"restart", ""}, {"9 CANCEL", "200>9"},
         {"wait 10", "INVITE>3 INVITE>2"}, {"2 180", "CANCEL>2 180>9"}, {"2 487", "ACK>2"},
         {"3 487", "487>9 ACK>3"});
}

static void a_refused_call_still_awaits_the_others_and_rings_no_more(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 603", "ACK>2"}, {"restart", ""},
         {"wait 10", "INVITE>3"}, {"3 180", "CANCEL>3 180>9"}, {"3 487", "603>9 ACK>3"});
}

static void a_refusal_is_repeated_until_it_is_acknowledged(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Max-Breadth: 1\n");
    PLAY(&w, {"2 603", "603>9 ACK>2"}, {"restart", ""}, {"wait 10", "603>9"}, {"9 INVITE", "603>9"},
         {"9 ACK", ""}, {"wait 4000", ""}, {"restart", ""});
}

static void an_acknowledged_refusal_is_over(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Max-Breadth: 1\n");
    PLAY(&w, {"2 603", "603>9 ACK>2"}, {"9 ACK", ""}, {"wait 5010", ""}, {"restart", ""},
         {"wait 1000", ""});
    assert_int_equal(core_census(w.core).server_transactions, 0);
}

/* 17.2.1: timer I is there for copies, and a checkpoint or a crash must not end it. */
static void a_copy_that_comes_after_the_ack_is_absorbed_by_the_new_process(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .more = "Max-Breadth: 1\n");
    PLAY(&w, {"2 603", "603>9 ACK>2"}, {"9 ACK", ""});
    world_signal(&w, EVENT_CHECKPOINT);
    world_forget(&w);
    world_wait(&w, 0);
    PLAY(&w, {"restart", ""});
    SAY(&w, .host = 9, .more = "Max-Breadth: 1\n");
    assert_sent(&w, "603>9");
}

static void after_the_answer_late_ones_pass_and_other_phones_are_cancelled(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 200", "200>9"}, {"restart", ""},
         {"wait 10", "INVITE>3"}, {"2 200", "200>9"}, {"3 180", "CANCEL>3"});
    assert_non_null(strstr(world_header(&w, 0, "Reason"), "Call completed elsewhere"));
    PLAY(&w, {"3 200", "200>9"}, {"restart", ""}, {"2 200", "200>9"}, {"3 200", "200>9"},
         {"wait 32010", ""}, {"2 200", ""});
}

static void a_call_is_answered_after_two_crashes(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"restart", ""}, {"restart", ""},
         {"wait 10", "INVITE>3 INVITE>2"}, {"2 200", "200>9"});
}

static void a_phone_that_is_gone_since_ends_with_timer_b(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 486", "ACK>2"}, {"3 180", "180>9"},
         {"restart", ""});
    world_wait(&w, MS(31900));
    assert_null(strstr(talk_sent(&w), ">4"));
    PLAY(&w, {"wait 200", "INVITE>4"}, {"4 200", "200>9"});
}

/* A crash may cut the last record anywhere, and a disk may lie. */
static void a_broken_record_is_passed_over(void **state)
{
    struct slice records[256];
    unsigned count;

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 404", "ACK>2"}, {"3 200", "200>9"});
    SAY(&w, .host = 9, .call_id = "other", .branch = "other", .more = "Max-Breadth: 1\n");
    PLAY(&w, {"2 603", "603>9 ACK>2"});
    assert_int_equal(world_register_with(&w, "bob", "builder", 4, 5060, "Contact: *\nExpires: 0\n"),
                     200);
    count = w.record_count;
    assert_true(count < COUNT_OF(records));
    memcpy(records, w.records, count * sizeof *records);
    w.record_count = 0;
    for (unsigned i = 0; i < count; i++) {
        world_restart(&w);
        for (size_t len = 0; len < records[i].len; len += 1 + len / 100) {
            if ((records[i].at[0] == RECORD_INVITE || records[i].at[0] == RECORD_INVITE_FAILED) &&
                len + 2 * BRANCH_LIMIT >= records[i].len)
                break; /* older ones end somewhere there */
            world_restore(&w, slice_until(records[i], len));
            assert_int_equal(w.out.count, 0);
            assert_int_equal(core_census(w.core).server_transactions, 0);
            assert_int_equal(core_census(w.core).client_transactions, 0);
            assert_int_equal(core_census(w.core).contexts, 0);
            assert_int_equal(core_census(w.core).dialogs, 0);
            assert_int_equal(core_census(w.core).bindings, 0);
        }
        world_restore(&w, S("\377 a type that nobody knows"));
        world_restore(&w, records[i]);
        world_signal(&w, EVENT_STARTED);
    }
    world_forget(&w);
    memcpy(w.records, records, count * sizeof *records);
    w.record_count = count;
}

/* What of a restored record has no place any more is left out. */
static void a_record_of_what_is_not_there_any_more_is_passed_over(void **state)
{
    unsigned sockets = w.settings.socket_count;

    (void)state;
    world_put_user(&w, "dora", "", "old", true); /* who is no user after the restart */
    world_register(&w, "dora", "old", 7, 5060, 3600);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"});
    w.settings.socket_count = 0; /* nor is any socket */
    world_restart(&w);
    assert_int_equal(core_census(w.core).bindings, 0);
    assert_int_equal(core_census(w.core).server_transactions, 0);
    w.settings.socket_count = sockets;
    world_restart(&w);
    assert_int_equal(core_census(w.core).bindings, 3);
    assert_int_equal(core_census(w.core).server_transactions, 1);
}

static void reading_a_journal_twice_does_no_harm(void **state)
{
    struct census once;

    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 404", "ACK>2"});
    SAY(&w, .host = 9, .call_id = "other", .branch = "other");
    PLAY(&w, {"2 200", "200>9"});
    world_restart(&w);
    once = core_census(w.core);
    for (unsigned i = 0; i < w.record_count; i++)
        world_restore(&w, w.records[i]);
    assert_int_equal(core_census(w.core).bindings, once.bindings);
    assert_int_equal(core_census(w.core).server_transactions, once.server_transactions);
    assert_int_equal(core_census(w.core).client_transactions, once.client_transactions);
    assert_int_equal(core_census(w.core).dialogs, once.dialogs);
    assert_int_equal(core_census(w.core).text_bytes, once.text_bytes);
    world_restart(&w);
}

/* A binding, a call, a ringing INVITE, an answered and a refused one. */
static void fill(void)
{
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2 INVITE>3"}, {"2 180", "180>9"});
    SAY(&w, .host = 9, .call_id = "b", .branch = "b");
    PLAY(&w, {"2 200", "200>9"}, {"3 487", "ACK>3"});
    SAY(&w, .host = 9, .call_id = "c", .branch = "c", .more = "Max-Breadth: 1\n");
    PLAY(&w, {"2 603", "603>9 ACK>2"});
    SAY(&w, .host = 9, .call_id = "d", .branch = "d", .uri = "sip:alice@example.com");
    SAY(&w, .host = 9, .call_id = "d", .branch = "d", .method = "ACK");
}

static void a_checkpoint_holds_all_that_lives(void **state)
{
    struct census before, after;

    (void)state;
    fill();
    world_restart(&w);
    before = core_census(w.core);
    assert_int_equal(before.bindings, 3);
    assert_int_equal(before.dialogs, 1);
    world_signal(&w, EVENT_CHECKPOINT);
    world_forget(&w);
    world_wait(&w, 0);
    assert_int_equal(w.out.at[w.out.count - 1].kind, ACTION_CHECKPOINTED);
    world_restart(&w);
    after = core_census(w.core);
    assert_int_equal(after.bindings, before.bindings);
    assert_int_equal(after.dialogs, before.dialogs);
    assert_int_equal(after.contexts, before.contexts);
    assert_int_equal(after.server_transactions, before.server_transactions);
    assert_int_equal(after.client_transactions, before.client_transactions);
}

static void a_checkpoint_takes_many_steps(void **state)
{
    unsigned steps = 0;

    (void)state;
    fill();
    for (unsigned i = 0; i < 20; i++) {
        char contact[64];
        snprintf(contact, sizeof contact, "Contact: <sip:%s@h%u.example>\n", i % 2 ? "a" : "b", i);
        assert_int_equal(world_register_with(&w, i % 2 ? "alice" : "bob",
                                             i % 2 ? "wonder" : "builder", 2, 5060, contact),
                         200);
    }
    world_signal(&w, EVENT_CHECKPOINT);
    assert_int_equal(w.out.count, 0);
    while (core_deadline(w.core) == 0) {
        world_signal(&w, EVENT_DEADLINE);
        assert_true(w.out.count <= STEP_WORK + 1);
        steps++;
    }
    assert_true(steps >= 3);
    assert_int_equal(w.out.at[w.out.count - 1].kind, ACTION_CHECKPOINTED);
}

static void when_the_wall_clock_is_set_all_is_written_anew(void **state)
{
    (void)state;
    w.now.wall += WALL_DRIFT;
    world_signal(&w, EVENT_DEADLINE);
    assert_int_equal(w.out.count, 0);
    for (int hour = -3600; hour <= 3600; hour += 7200) {
        w.now.wall += hour;
        world_signal(&w, EVENT_DEADLINE);
        assert_int_equal(w.out.count, 4); /* three bindings, and that they are all */
        assert_int_equal(w.out.at[3].kind, ACTION_CHECKPOINTED);
    }
}

/* Within one boot of the machine, boot time says how long a binding still lives. */
static void a_jump_of_the_wall_clock_cuts_no_binding_short(void **state)
{
    static const struct {
        uint64_t boot, boot_after;
        int64_t jump;
        unsigned bindings;
    } rows[] = {
        {7, 7, 100000, 3}, {7, 7, -100000, 3}, {7, 8, 100000, 0}, {0, 0, 100000, 0}, {0, 0, 0, 3},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        world_begin(&w, true);
        w.boot = rows[i].boot;
        world_restart(&w);
        for (unsigned host = 2; host <= 4; host++)
            talk_phone(&w, host, "");
        w.boot = rows[i].boot_after;
        w.now.wall += rows[i].jump; /* while nobody looked */
        world_restart(&w);
        if (core_census(w.core).bindings != rows[i].bindings)
            fail_msg("row %u: %u bindings", i, core_census(w.core).bindings);
        world_wait(&w, SECONDS(7200)); /* never longer than any grant */
        world_wait(&w, SECONDS(720));
        assert_int_equal(core_census(w.core).bindings, 0);
        world_end(&w);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(WITH(a_ringing_call_is_offered_again_and_answered),
        WITH(the_caller_may_repeat_itself_to_the_new_process),
        WITH(the_hunt_goes_on_where_it_was_and_remembers_the_best_answer),
        WITH(a_group_of_which_one_has_refused_rings_on_without_it),
        WITH(a_cancelled_call_stays_cancelled),
        WITH(a_refused_call_still_awaits_the_others_and_rings_no_more),
        WITH(a_refusal_is_repeated_until_it_is_acknowledged), WITH(an_acknowledged_refusal_is_over),
        WITH(a_copy_that_comes_after_the_ack_is_absorbed_by_the_new_process),
        WITH(after_the_answer_late_ones_pass_and_other_phones_are_cancelled),
        WITH(a_call_is_answered_after_two_crashes),
        WITH(a_phone_that_is_gone_since_ends_with_timer_b), WITH(a_broken_record_is_passed_over),
        WITH(a_record_of_what_is_not_there_any_more_is_passed_over),
        WITH(reading_a_journal_twice_does_no_harm), WITH(a_checkpoint_holds_all_that_lives),
        WITH(a_checkpoint_takes_many_steps), WITH(when_the_wall_clock_is_set_all_is_written_anew),
        cmocka_unit_test(a_jump_of_the_wall_clock_cuts_no_binding_short));
}
