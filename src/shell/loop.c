#include "shell/loop.h"

#include "core/load.h"
#include "core/recall.h"
#include "shell/clock.h"
#include "shell/errand.h"
#include "shell/users.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STORE_PATIENCE SECONDS(2)
#define DEADLINES_PER_ROUND 64u /* steps; each fires up to STEP_WORK timers */
#define USERS_PER_ROUND 64u     /* of a new configuration, between messages */
#define ROUNDS_UNLOOKED 16u     /* rounds without asking the kernel what else is ready */
#define HOLD_LONGEST MS(1)      /* that records wait for more to be written with them */
#define ROUND_LATE MS(200)      /* what is read in a round that takes so long waited too long */
#define REQUESTS_PER_ROUND 4u   /* of administrators: 0.1 ms each at most */
#define ANSWERS_PER_ROUND 64u   /* of DNS */
#define LEGS_PER_ROUND 64u      /* calls, or parts of the relay's table */

/* What is waited for: by poll, which stands in a socket's wait queue only while we sleep.  epoll
 * stays there, and the kernel then calls it back for each datagram that comes or is sent, which
 * costs 0.12 us of 2.2.  Streams, of which there are thousands, stand behind an epoll of their own.
 */
enum {
    POLL_SIGNALS,
    POLL_STORE,
    POLL_CONTROL,
    POLL_STREAMS,
    POLL_RELOAD,
    POLL_KEEPER,
    POLL_DNS,
    POLL_FETCH,
    POLL_RELAY,
    POLL_ROUTER,
    POLL_ADDRESSES,
    POLL_SOCKETS
};

struct loop {
    struct core *core;
    struct addresses *addresses;
    struct udp *udp;
    struct streams *streams;
    struct tls *tls;
    struct store *store;
    struct keeper *keeper;
    struct log *log;
    struct reload *reload;
    struct epoch **epoch; /* in force */
    struct control *control;
    struct errands *errands;
    struct dns *dns;
    struct fetch *fetch;
    struct legwork *legwork;
    struct router *router;
    struct moment now;

    struct start *start; /* while not all of the last run is in memory, else NULL */
    struct database **database;

    struct epoch *fresh;            /* a new configuration that waits for the database's users */
    struct keeper_job *fresh_users; /* being given to the core with those of the configuration */
    uint32_t user_next;             /* of them all */
    bool owes_keeper;               /* what it gave meanwhile was not taken */

    struct pollfd polled[POLL_SOCKETS + LOCAL_LIMIT];
    bool ends;
    bool is_asked;    /* an administrator has sent something */
    bool has_answers; /* of DNS, perhaps */
    bool has_fetched; /* a certificate, perhaps */
    bool has_outside; /* news of the public address, perhaps */
    bool is_traced;
    unsigned rounds; /* since the kernel was asked */
    instant began;   /* this round; 0 = it may sleep before the next */
    duration took;   /* the last round; 0 = it slept */
    bool is_loaded;  /* the core was told of a load */
    unsigned ready_count;
    bool is_ready[LOCAL_LIMIT];
    bool has_streams_ready;

    bool is_holding; /* the current batch has something for the store */
    instant held_since;

    bool is_failed;        /* the store fails or is late: nothing is given to it */
    bool owes_failed;      /* the core does not know it yet */
    uint64_t order;        /* segment of the core's last checkpoint */
    instant progressed_at; /* when the oldest batch with the store became the oldest */
};

/* ---- carrying out */

static void carry_out_one(struct loop *loop, const struct action *act)
{
    if (loop->is_traced && act->kind == ACTION_SEND)
        control_trace(loop->control, true, &act->flow, act->bytes, loop->now);
    if (act->kind == ACTION_SEND && !flow_is_reliable(&act->flow))
        udp_send(loop->udp, &act->flow, act->bytes);
    else if (act->kind == ACTION_SEND)
        streams_send(loop->streams, &act->flow, act->bytes);
    else if (act->kind == ACTION_CONNECT)
        streams_connect(loop->streams, &act->flow, act->bytes);
    else if (act->kind == ACTION_CLOSE)
        streams_end(loop->streams, &act->flow);
    else if (act->kind == ACTION_EXPECT)
        streams_expect(loop->streams, &act->flow);
    else if (act->kind == ACTION_CALL)
        keeper_put_call(loop->keeper, act->bytes);
    else if (act->kind == ACTION_LOG)
        log_line(loop->log, LOG_NOTICE, "%.*s", (int)act->bytes.len, act->bytes.at);
    else if (act->kind == ACTION_ASK)
        dns_ask(loop->dns, act->ask.id, act->ask.type, act->bytes);
    else if (act->kind == ACTION_FETCH)
        fetch_ask(loop->fetch, act->fetch.id, act->fetch.widest, act->bytes);
    else if (act->kind == ACTION_LEG)
        legwork_change(loop->legwork, act->bytes);
    else if (act->kind == ACTION_LOOK)
        legwork_look(loop->legwork, act->bytes);
    else if (act->kind == ACTION_ANSWER)
        control_answer(loop->control, &act->answer, act->bytes);
}

/* What was held, now that the records of the batch are safe, or never will be. */
static void carry_out_rest(struct loop *loop, const struct batch *batch)
{
    bool is_lost = false;

    for (uint32_t i = batch->done; i < batch->actions.count; i++) {
        const struct action *act = &batch->actions.at[i];

        is_lost |= batch->error && act->kind == ACTION_PERSIST;
        if (!(act->promises ? is_lost : batch->has_left_early))
            carry_out_one(loop, act);
        else if (act->promises && act->kind == ACTION_ANSWER)
            control_lose(loop->control, &act->answer);
    }
    udp_flush(loop->udp);
}

/* The store is late: who is promised nothing need not wait. */
static void carry_out_early(struct loop *loop, struct batch *batch)
{
    for (uint32_t i = batch->done; i < batch->actions.count; i++)
        if (!batch->actions.at[i].promises)
            carry_out_one(loop, &batch->actions.at[i]);
    udp_flush(loop->udp);
    batch->has_left_early = true;
}

/* Up to the first action that the store must see. */
static void carry_out_free(struct loop *loop, struct batch *batch)
{
    while (batch->done < batch->actions.count) {
        const struct action *act = &batch->actions.at[batch->done];

        if (act->kind == ACTION_PERSIST || act->kind == ACTION_CHECKPOINTED)
            break;
        carry_out_one(loop, act);
        batch->done++;
    }
    udp_flush(loop->udp);
}

static void give_to_store(struct loop *loop)
{
    if (!store_has_given(loop->store))
        loop->progressed_at = loop->now.boot;
    store_current(loop->store)->order = loop->order;
    store_give(loop->store);
    loop->is_holding = false;
}

/* A hand-over costs two switches of thread whatever it holds: while more messages are waiting to be
 * read, what they ask for is written with it. */
static bool is_worth_giving(struct loop *loop)
{
    if (!loop->is_holding) {
        loop->is_holding = true;
        loop->held_since = loop->now.boot;
    }
    return !loop->ready_count || loop->now.boot - loop->held_since >= HOLD_LONGEST ||
           !batch_has_room(store_current(loop->store));
}

/* While the store is at work the current batch grows: it then writes many records at once. */
static void carry_out(struct loop *loop)
{
    struct batch *batch = store_current(loop->store);

    if (loop->is_failed) {
        batch->error = -EIO;
        carry_out_rest(loop, batch);
        batch_clear(batch);
        return;
    }
    if (!store_has_given(loop->store)) {
        carry_out_free(loop, batch);
        if (batch->done == batch->actions.count)
            batch_clear(batch);
        else if (is_worth_giving(loop))
            give_to_store(loop);
    } else if (!batch_has_room(batch) && store_can_give(loop->store)) {
        give_to_store(loop);
    }
}

/* ---- the store */

static void fail_store(struct loop *loop, const char *why)
{
    if (loop->is_failed)
        return;
    loop->is_failed = loop->owes_failed = true;
    store_renew(loop->store);
    log_line(loop->log, LOG_FAILURE,
             "the journal cannot be written (%s): calls go on, registrations are granted for a "
             "minute only; look after the state directory's disk",
             why);
}

/* Late: who was promised nothing need not wait. */
static void check_late(struct loop *loop)
{
    struct batch *batch;

    if (loop->is_failed || !store_has_given(loop->store) ||
        loop->now.boot - loop->progressed_at < STORE_PATIENCE)
        return;
    for (uint32_t n = 0; (batch = store_given(loop->store, n)); n++)
        carry_out_early(loop, batch);
    fail_store(loop, "it is late by two seconds");
}

static void collect(struct loop *loop)
{
    struct batch *batch;
    int error = store_sync_error(loop->store);

    while ((batch = store_finished(loop->store))) {
        if (batch->error)
            error = batch->error;
        carry_out_rest(loop, batch);
        store_take_back(loop->store);
        loop->progressed_at = loop->now.boot;
    }
    if (error)
        fail_store(loop, strerror(-error));
    check_late(loop);
}

/* Until the store gives a batch back, or is late. */
static void wait_for_store(struct loop *loop)
{
    if (store_sleep(loop->store))
        poll(&loop->polled[POLL_STORE], 1, 100);
    store_awake(loop->store);
    loop->now = clock_now();
}

/* ---- stepping the core */

static void make_room(struct loop *loop)
{
    carry_out(loop);
    while (!batch_has_room(store_current(loop->store))) {
        wait_for_store(loop);
        collect(loop);
        carry_out(loop);
    }
}

/* Somebody may have been taken for missing whose row could not be read: nothing more is said. */
static void fall_silent(struct loop *loop, uint32_t count)
{
    store_current(loop->store)->actions.count = count;
    loop->ends = true;
}

static void step(struct loop *loop, const struct event *event)
{
    struct actions *out;
    uint32_t count;

    if (!batch_has_room(store_current(loop->store)))
        make_room(loop);
    out = &store_current(loop->store)->actions;
    count = out->count;
    core_step(loop->core, event, loop->now, out);
    if (loop->start && start_has_failed(loop->start))
        fall_silent(loop, count);
    if (loop->is_failed)
        carry_out(loop); /* so that what one step loses is no other's loss */
}

static void step_kind(struct loop *loop, enum event_kind kind)
{
    step(loop, &(struct event){.kind = kind});
}

/* A checkpoint for a new segment: one for an older that is not yet with the store is void. */
static void begin_checkpoint(struct loop *loop)
{
    struct batch *batch = store_current(loop->store);

    for (uint32_t i = batch->done; i < batch->actions.count; i++)
        if (batch->actions.at[i].kind == ACTION_CHECKPOINTED)
            batch->actions.at[i] = (struct action){0};
    loop->order = store_order(loop->store);
    step_kind(loop, EVENT_CHECKPOINT);
}

static void tell_of_store(struct loop *loop)
{
    if (loop->owes_failed) {
        loop->owes_failed = false;
        step_kind(loop, EVENT_STORE_FAILED);
    }
    if (loop->is_failed && store_is_renewed(loop->store) && !store_has_given(loop->store)) {
        carry_out(loop);
        loop->is_failed = false;
        log_line(loop->log, LOG_NOTICE, "the journal is written again");
        step_kind(loop, EVENT_STORE_WORKS);
    }
    if (!loop->is_failed && loop->order != store_order(loop->store))
        begin_checkpoint(loop);
}

static unsigned receive_from(struct loop *loop, unsigned socket)
{
    struct event event = {.kind = EVENT_RECEIVED};
    unsigned count = udp_receive(loop->udp, socket);

    for (unsigned i = 0; i < count; i++) {
        event.bytes = udp_datagram(loop->udp, i, &event.flow);
        if (loop->is_traced)
            control_trace(loop->control, false, &event.flow, event.bytes, loop->now);
        step(loop, &event);
    }
    return count;
}

/* One datagram alone is seldom followed by another at once: poll will tell. */
static void receive(struct loop *loop)
{
    for (unsigned i = 0; i < udp_count(loop->udp); i++) {
        if (loop->is_ready[i] && receive_from(loop, i) < 2) {
            loop->is_ready[i] = false;
            loop->ready_count--;
        }
    }
}

/* What was sent and did not arrive; false if there is nothing. */
static bool take_unreached(struct loop *loop)
{
    struct event event = {.kind = EVENT_UNREACHED};
    bool is_any = false;

    while (udp_next_unreached(loop->udp, &event.flow, &event.bytes)) {
        is_any = true;
        step(loop, &event);
    }
    return is_any;
}

static void receive_from_streams(struct loop *loop)
{
    struct event event;

    if (!loop->has_streams_ready && !streams_have_news(loop->streams) &&
        streams_deadline(loop->streams) > loop->now.boot)
        return;
    loop->has_streams_ready = false;
    streams_take(loop->streams, loop->now.boot);
    while (streams_next(loop->streams, &event)) {
        if (loop->is_traced && event.kind == EVENT_RECEIVED)
            control_trace(loop->control, false, &event.flow, event.bytes, loop->now);
        step(loop, &event);
    }
}

/* What DNS answered: some in each round. */
static void take_answers(struct loop *loop)
{
    struct dns_answer answer;
    struct event event = {.kind = EVENT_DNS, .dns = &answer};

    for (unsigned n = 0; n < ANSWERS_PER_ROUND && loop->has_answers; n++) {
        loop->has_answers = dns_next(loop->dns, &event.question, &answer);
        if (loop->has_answers)
            step(loop, &event);
    }
}

/* Certificates of other domains. */
static void take_fetched(struct loop *loop)
{
    struct certificate certificate;
    struct event event = {.kind = EVENT_CERTIFICATE, .certificate = &certificate};

    for (unsigned n = 0; n < ANSWERS_PER_ROUND && loop->has_fetched; n++) {
        loop->has_fetched = fetch_next(loop->fetch, &event.question, &certificate);
        if (loop->has_fetched)
            step(loop, &event);
    }
}

/* What the relay has, as the core wants to know it: some in each round. */
static void take_legs(struct loop *loop)
{
    struct event event;

    if (loop->now.boot >= legwork_deadline(loop->legwork)) {
        legwork_retry(loop->legwork);
        loop->polled[POLL_RELAY].fd = legwork_descriptor(loop->legwork);
    }
    for (unsigned n = 0; n < LEGS_PER_ROUND && legwork_next(loop->legwork, &event); n++)
        step(loop, &event);
}

/* What the helper at the router has found out. */
static void take_outside(struct loop *loop)
{
    struct event event;

    if (!loop->has_outside && !router_has_news(loop->router))
        return;
    loop->has_outside = false;
    while (router_next(loop->router, &event))
        step(loop, &event);
    loop->polled[POLL_ROUTER].fd = router_descriptor(loop->router);
}

static bool is_due(const struct loop *loop)
{
    return core_deadline(loop->core) <= loop->now.boot;
}

static void meet_deadlines(struct loop *loop)
{
    for (unsigned n = 0; n < DEADLINES_PER_ROUND && is_due(loop); n++)
        step_kind(loop, EVENT_DEADLINE);
}

/* ---- a new configuration */

void log_report(struct log *log, const struct report *report)
{
    struct slice rest = report_warnings(report), line;

    while (report_next(&rest, &line))
        log_line(log, LOG_WARNING, "%.*s", (int)line.len, line.at);
    if (report->warnings_left_out)
        log_line(log, LOG_WARNING, "%s: and %u warnings more", report->file,
                 report->warnings_left_out);
    if (report->has_fault)
        log_line(log, LOG_FAILURE, "%s", report->fault);
}

/* Other sockets are served than before, perhaps: their indices are new. */
static void poll_sockets(struct loop *loop)
{
    for (unsigned i = 0; i < udp_count(loop->udp); i++)
        loop->polled[POLL_SOCKETS + i] =
            (struct pollfd){.fd = udp_descriptor(loop->udp, i), .events = POLLIN};
    memset(loop->is_ready, 0, sizeof loop->is_ready);
    loop->ready_count = 0;
}

/* The machine's addresses have changed, perhaps: then the settings have to. */
static void follow_addresses(struct loop *loop)
{
    if (loop->now.boot < addresses_deadline(loop->addresses))
        return;
    if (!addresses_follow(loop->addresses, &(*loop->epoch)->settings))
        loop_reload(loop, NULL, NULL);
    poll_sockets(loop);
}

/* Ports and the core's memory are what they were at the start. */
static void note_unchanged(struct loop *loop, const struct config *old, const struct config *fresh)
{
    if (old->port != fresh->port || old->tls_port != fresh->tls_port ||
        !slice_equal(old->interface, fresh->interface) || old->bindings != fresh->bindings ||
        old->memory != fresh->memory ||
        old->settings.media.first_port != fresh->settings.media.first_port ||
        old->settings.media.last_port != fresh->settings.media.last_port)
        log_line(loop->log, LOG_WARNING,
                 "interface, ports, mapped and memory count from the next start on; stop and start "
                 "sipw");
}

static void keep_configuration(struct loop *loop, const char *fault)
{
    if (loop->fresh)
        epoch_free(loop->fresh);
    loop->fresh = NULL;
    log_line(loop->log, LOG_FAILURE, "the old configuration stays in force");
    reload_finish(loop->reload, fault);
}

static void ask_for_users(struct loop *loop)
{
    struct keeper_job *job =
        keeper_job_make(KEEPER_READ_USERS, loop->fresh->settings.realm, &(struct user_settings){0});

    if (job && keeper_ask(loop->keeper, job))
        return;
    if (job)
        keeper_job_free(job);
    keep_configuration(loop, "the database is too busy to be read");
}

static void take_configuration(struct loop *loop)
{
    const struct report *report;

    if (!reload_take(loop->reload, &loop->fresh, &report))
        return;
    log_report(loop->log, report);
    if (loop->fresh)
        ask_for_users(loop);
    else
        keep_configuration(loop, report->fault);
}

static void change_resolver(struct loop *loop)
{
    const struct config *config = (*loop->epoch)->config;
    struct dns_plan plan = dns_plan_of(config->settings.resolver, config->trust_anchor);

    dns_change(loop->dns, &plan);
}

/* The users whom the database has beside it were read. */
static void begin_configuration(struct loop *loop, struct keeper_job *users)
{
    struct epoch *old = *loop->epoch;

    if (!users->is_done) {
        keep_configuration(loop, users->fault);
        keeper_job_free(users);
        return;
    }
    note_unchanged(loop, old->config, loop->fresh->config);
    step(loop, &(struct event){.kind = EVENT_SETTINGS, .settings = &loop->fresh->settings});
    *loop->epoch = loop->fresh;
    addresses_serve(loop->addresses, &loop->fresh->settings);
    poll_sockets(loop);
    streams_obey(loop->streams, &loop->fresh->settings);
    if (loop->fresh->certs)
        tls_use(loop->tls, loop->fresh->certs);
    loop->fresh->certs = NULL;
    epoch_free(old);
    change_resolver(loop);
    legwork_want(loop->legwork, (*loop->epoch)->settings.media.mode != MEDIA_NEVER,
                 (*loop->epoch)->may_start_relay);
    router_want(loop->router, &(*loop->epoch)->settings);
    loop->polled[POLL_ROUTER].fd = router_descriptor(loop->router);
    fetch_trust(loop->fetch, (*loop->epoch)->config->authfile);
    loop->fresh = NULL;
    loop->fresh_users = users;
    loop->user_next = 0;
}

/* All users, some in each round. */
static void put_users(struct loop *loop)
{
    const struct config *config = (*loop->epoch)->config;
    const struct database_users *users = &loop->fresh_users->users;
    uint32_t count = users_count(config, users);
    struct user_settings copy;

    for (unsigned n = 0; n < USERS_PER_ROUND && loop->user_next < count; n++)
        step(loop, &(struct event){
                       .kind = EVENT_USER,
                       .user = users_at(config, users, loop->user_next++, &copy),
                   });
    if (loop->user_next < count)
        return;
    step_kind(loop, EVENT_USERS_PUT);
    keeper_job_free(loop->fresh_users);
    loop->fresh_users = NULL;
    loop->owes_keeper = true;
    log_line(loop->log, LOG_NOTICE, "the new configuration is in force, %u users", count);
    reload_finish(loop->reload, NULL);
}

bool loop_reload(struct loop *loop, reload_told *tell, void *self)
{
    return reload_ask(loop->reload, tell, self);
}

/* ---- users */

/* Digests are good for one realm, and what is asked must be done before it may be another. */
static bool is_for_our_realm(const struct loop *loop, struct keeper_job *job)
{
    struct slice realm = (*loop->epoch)->settings.realm;

    if (loop->fresh)
        snprintf(job->fault, sizeof job->fault,
                 "the configuration is just being read again; try again");
    else if (job->task == KEEPER_REMOVE_USER || slice_equal(job->realm, realm))
        return true;
    else
        snprintf(job->fault, sizeof job->fault, "the realm is %.*s, not %.*s", (int)realm.len,
                 realm.at, (int)job->realm.len, job->realm.at);
    return false;
}

bool loop_change_user(struct loop *loop, struct keeper_job *job)
{
    if (!is_for_our_realm(loop, job) || !users_allow(loop->core, job))
        return false;
    if (keeper_ask(loop->keeper, job))
        return true;
    snprintf(job->fault, sizeof job->fault, "too many changes wait for the disk; try again");
    return false;
}

bool loop_find_party(const struct loop *loop, struct slice name, struct user_view *view)
{
    return core_find_party(loop->core, name, view);
}

bool loop_ask_calls(struct loop *loop, struct keeper_job *job)
{
    if (keeper_ask(loop->keeper, job))
        return true;
    snprintf(job->fault, sizeof job->fault, "too many ask for records; try again");
    return false;
}

/* Calls that are in the database now. */
static void take_kept(struct loop *loop)
{
    uint64_t numbers[CALLS_KEPT_AT_ONCE];
    char fault[DATABASE_FAULT];
    unsigned count;

    while ((count = keeper_take_kept(loop->keeper, numbers, COUNT_OF(numbers))))
        step(loop, &(struct event){
                       .kind = EVENT_CALLS_KEPT,
                       .bytes = slice_of((const char *)numbers, count * sizeof *numbers),
                   });
    if (!keeper_take_news(loop->keeper, fault))
        return;
    if (fault[0])
        log_line(loop->log, LOG_FAILURE,
                 "call records cannot be written: %s; they wait in the journal", fault);
    else
        log_line(loop->log, LOG_NOTICE, "call records are written again");
}

/* What comes after the users that were read must not be put before them. */
static void take_from_keeper(struct loop *loop)
{
    struct keeper_job *job;

    keeper_awake(loop->keeper);
    loop->owes_keeper = false;
    take_kept(loop);
    while (!loop->fresh_users && (job = keeper_take(loop->keeper))) {
        if (job->task == KEEPER_READ_USERS) {
            begin_configuration(loop, job);
            continue;
        }
        struct event event = users_event(loop->core, job);
        if (job->is_done && event.kind)
            step(loop, &event);
        users_check(loop->core, job);
        if (job->tell)
            job->tell(job->self, job);
        keeper_job_free(job);
    }
}

/* Administrators' requests: a few a round, so that calls do not notice. */
static void serve_administrators(struct loop *loop)
{
    const struct order *order;

    control_look(loop->control);
    for (unsigned n = 0; n < REQUESTS_PER_ROUND && (order = control_next(loop->control)); n++) {
        if (order->kind == ORDER_CORE)
            step(loop, &(struct event){.kind = EVENT_ADMIN, .request = &order->request});
        else
            errands_run(loop->errands, order);
    }
    carry_out(loop);
    loop->is_asked = false;
    loop->ends |= control_wants_end(loop->control);
}

/* ---- waiting */

static void take_signals(struct loop *loop)
{
    struct signalfd_siginfo signal;

    while (read(loop->polled[POLL_SIGNALS].fd, &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo == SIGHUP)
            loop_reload(loop, NULL, NULL);
        else
            loop->ends = true;
    }
}

/* Until something is due. */
static duration patience(const struct loop *loop)
{
    instant due = min_u64(core_deadline(loop->core), streams_deadline(loop->streams));

    due = min_u64(due, legwork_deadline(loop->legwork));
    due = min_u64(due, addresses_deadline(loop->addresses));
    if (store_has_given(loop->store) && !loop->is_failed)
        due = min_u64(due, loop->progressed_at + STORE_PATIENCE);
    instant now = clock_now().boot;
    return due <= now ? 0 : min_u64(due - now, SECONDS(3600));
}

static void look(struct loop *loop, duration longest)
{
    struct timespec wait = {(time_t)(longest / SECONDS(1)), (long)(longest % SECONDS(1))};

    loop->rounds = 0;
    if (ppoll(loop->polled, POLL_SOCKETS + udp_count(loop->udp), &wait, NULL) <= 0)
        return;
    if (loop->polled[POLL_SIGNALS].revents)
        take_signals(loop);
    if (loop->polled[POLL_RELOAD].revents)
        take_configuration(loop);
    loop->has_streams_ready = loop->polled[POLL_STREAMS].revents != 0;
    loop->is_asked |= loop->polled[POLL_CONTROL].revents != 0;
    loop->has_answers |= loop->polled[POLL_DNS].revents != 0;
    loop->has_fetched |= loop->polled[POLL_FETCH].revents != 0;
    loop->has_outside |= loop->polled[POLL_ROUTER].revents != 0;
    if (loop->polled[POLL_ADDRESSES].revents)
        addresses_hear(loop->addresses, clock_now().boot);
    if (loop->polled[POLL_RELAY].revents)
        legwork_lost(loop->legwork);
    loop->polled[POLL_RELAY].fd = legwork_descriptor(loop->legwork);
    if (loop->polled[POLL_KEEPER].revents)
        take_from_keeper(loop);
    for (unsigned i = 0; i < udp_count(loop->udp); i++) { /* perhaps others since just now */
        if (loop->polled[POLL_SOCKETS + i].revents & POLLERR)
            udp_take_errors(loop->udp, i);
        if (loop->polled[POLL_SOCKETS + i].revents && !loop->is_ready[i]) {
            loop->is_ready[i] = true;
            loop->ready_count++;
        }
    }
}

static void sleep_until_needed(struct loop *loop)
{
    bool may = store_sleep(loop->store) && !(loop->is_failed && store_is_renewed(loop->store));

    look(loop, may ? patience(loop) : 0);
    store_awake(loop->store);
}

/* ---- the start */

/* A few more users and bindings of the last run; at the end everything is as it always is. */
static void go_on_starting(struct loop *loop)
{
    if (start_put_users(loop->start))
        return;
    if (start_has_failed(loop->start)) {
        loop->ends = true;
        return;
    }
    for (unsigned n = 0; n < DEADLINES_PER_ROUND && recall_goes_on(loop->core); n++)
        step_kind(loop, EVENT_RECALL);
    if (recall_goes_on(loop->core) || start_has_failed(loop->start))
        return;
    start_end(loop->start);
    loop->start = NULL;
    keeper_give(loop->keeper, *loop->database);
    *loop->database = NULL;
}

/* Datagrams wait in their sockets' queues; streams, which tell their peers to wait, for the round
 * to come by. */
static void weigh_load(struct loop *loop)
{
    unsigned fill = udp_fill(loop->udp);
    unsigned late = (unsigned)min_u64(LOAD_FULL * loop->took / ROUND_LATE, LOAD_FULL);

    step(loop, &(struct event){.kind = EVENT_LOAD, .fill = fill > late ? fill : late});
    loop->is_loaded = true;
}

/* Everything was read; but something may have found no room before that. */
static void come_to_rest(struct loop *loop)
{
    if (loop->is_loaded) {
        weigh_load(loop);
        step(loop, &(struct event){.kind = EVENT_LOAD});
        carry_out(loop);
    }
    loop->is_loaded = false;
    loop->began = 0;
}

static void begin_round(struct loop *loop)
{
    loop->now = clock_now();
    loop->took = loop->began ? loop->now.boot - loop->began : 0;
    loop->began = loop->now.boot;
}

static bool has_nothing_to_do(const struct loop *loop)
{
    return !loop->fresh_users && !loop->ready_count && !loop->owes_failed && !loop->has_answers &&
           !loop->has_fetched && !loop->has_outside && !router_has_news(loop->router) &&
           !is_due(loop) && !streams_have_news(loop->streams) && !legwork_has_news(loop->legwork) &&
           !control_is_busy(loop->control);
}

static void go_round(struct loop *loop)
{
    bool is_starting = loop->start != NULL; /* whoever waits for its end must hear of it */

    begin_round(loop);
    collect(loop);
    tell_of_store(loop);
    receive(loop);
    receive_from_streams(loop);
    take_unreached(loop);
    take_answers(loop);
    take_fetched(loop);
    take_legs(loop);
    take_outside(loop);
    follow_addresses(loop);
    meet_deadlines(loop);
    if (loop->start)
        go_on_starting(loop);
    if (loop->fresh_users)
        put_users(loop);
    if (loop->owes_keeper && !loop->fresh_users)
        take_from_keeper(loop);
    carry_out(loop);
    while (take_unreached(loop))
        carry_out(loop);
    if ((loop->is_asked || control_is_busy(loop->control)) && !loop->start)
        serve_administrators(loop);
    loop->is_traced = control_traces(loop->control);
    if (is_starting || ++loop->rounds >= ROUNDS_UNLOOKED) {
        weigh_load(loop);
        look(loop, 0);
    } else if (has_nothing_to_do(loop)) {
        come_to_rest(loop);
        sleep_until_needed(loop);
    }
}

/* ---- the loop's life */

static sigset_t own_signals(void)
{
    sigset_t own;

    sigemptyset(&own);
    sigaddset(&own, SIGTERM);
    sigaddset(&own, SIGINT);
    sigaddset(&own, SIGHUP);
    return own;
}

void loop_block_signals(void)
{
    sigset_t own = own_signals();

    sigprocmask(SIG_BLOCK, &own, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a failing store, not our end */
}

struct loop *loop_create(const struct loop_parts *parts)
{
    sigset_t own = own_signals();
    int signals = signalfd(-1, &own, SFD_NONBLOCK | SFD_CLOEXEC);
    struct loop *loop = signals < 0 ? NULL : calloc(1, sizeof *loop);
    struct errands *errands = loop ? errands_create(loop, parts->control) : NULL;

    if (!errands) {
        free(loop);
        log_line(parts->log, LOG_FAILURE, "the event loop cannot be set up: %s", strerror(errno));
        return NULL;
    }
    *loop = (struct loop){.core = parts->core,
                          .addresses = parts->addresses,
                          .udp = parts->udp,
                          .streams = parts->streams,
                          .tls = parts->tls,
                          .store = parts->store,
                          .keeper = parts->keeper,
                          .database = parts->database,
                          .log = parts->log,
                          .reload = parts->reload,
                          .epoch = parts->epoch,
                          .control = parts->control,
                          .errands = errands,
                          .dns = parts->dns,
                          .fetch = parts->fetch,
                          .legwork = parts->legwork,
                          .router = parts->router,
                          .now = clock_now()};
    loop->polled[POLL_SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
    loop->polled[POLL_STORE] =
        (struct pollfd){.fd = store_descriptor(loop->store), .events = POLLIN};
    loop->polled[POLL_RELOAD] =
        (struct pollfd){.fd = reload_descriptor(loop->reload), .events = POLLIN};
    loop->polled[POLL_STREAMS] =
        (struct pollfd){.fd = streams_descriptor(loop->streams), .events = POLLIN};
    loop->polled[POLL_CONTROL] =
        (struct pollfd){.fd = control_descriptor(loop->control), .events = POLLIN};
    loop->polled[POLL_KEEPER] =
        (struct pollfd){.fd = keeper_descriptor(loop->keeper), .events = POLLIN};
    loop->polled[POLL_DNS] = (struct pollfd){.fd = dns_descriptor(loop->dns), .events = POLLIN};
    loop->polled[POLL_FETCH] =
        (struct pollfd){.fd = fetch_descriptor(loop->fetch), .events = POLLIN};
    loop->polled[POLL_RELAY] =
        (struct pollfd){.fd = legwork_descriptor(loop->legwork), .events = POLLIN};
    loop->polled[POLL_ROUTER] =
        (struct pollfd){.fd = router_descriptor(loop->router), .events = POLLIN};
    loop->polled[POLL_ADDRESSES] =
        (struct pollfd){.fd = addresses_descriptor(loop->addresses), .events = POLLIN};
    addresses_serve(loop->addresses, &(*loop->epoch)->settings);
    poll_sockets(loop);
    streams_obey(loop->streams, &(*loop->epoch)->settings);
    if (parts->store_error)
        fail_store(loop, strerror(-parts->store_error));
    return loop;
}

void loop_destroy(struct loop *loop)
{
    close(loop->polled[POLL_SIGNALS].fd);
    if (loop->start)
        start_end(loop->start);
    errands_destroy(loop->errands);
    if (loop->fresh)
        epoch_free(loop->fresh);
    if (loop->fresh_users)
        keeper_job_free(loop->fresh_users);
    free(loop);
}

static void restore_segment(struct loop *loop, struct slice file, uint64_t epoch)
{
    struct slice rest = slice_from(file, SEGMENT_HEADER);
    struct event event = {.kind = EVENT_RESTORED};

    loop->now = clock_now();
    while (segment_next(&rest, epoch, &event.bytes))
        step(loop, &event);
    carry_out(loop);
}

/* Streams that outlived the last run: the records name them. */
static void restore_streams(struct loop *loop)
{
    struct event event;

    while (streams_next(loop->streams, &event))
        step(loop, &event);
}

void loop_restore(struct loop *loop, struct start *start)
{
    loop->start = start;
    restore_streams(loop);
    for (unsigned i = 0; i < start_segment_count(start); i++)
        restore_segment(loop, start_segments(start)[i].file, start_segments(start)[i].epoch);
}

/* At the end what was promised is still written and sent. */
static void finish(struct loop *loop)
{
    loop->now = clock_now();
    loop->ready_count = 0; /* nothing more is read that could be waited for */
    carry_out(loop);
    while (store_has_given(loop->store) && !loop->is_failed) {
        wait_for_store(loop);
        collect(loop);
        carry_out(loop);
    }
}

bool loop_start(struct loop *loop)
{
    loop->now = clock_now();
    step_kind(loop, EVENT_STARTED);
    take_legs(loop);
    take_outside(loop);
    tell_of_store(loop);
    carry_out(loop);
    while (loop->start && !loop->ends)
        go_round(loop);
    return !loop->start || !start_has_failed(loop->start);
}

void loop_run(struct loop *loop)
{
    while (!loop->ends)
        go_round(loop);
    finish(loop);
}
