#include "shell/dns.h"

#include "shell/clock.h"
#include "shell/dns_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CLASS_IN 1
#define ASKED_AT_ONCE 256u      /* what libunbound's pipe holds, so that nobody waits for it */
#define FILES_AGAIN SECONDS(5)  /* that resolv.conf and hosts are looked at again */
#define PROBE_AGAIN SECONDS(60) /* that a resolver that strips signatures, or is silent, is */
#define RECORDS_SORTED 256u     /* of an answer, to find those that count most */

enum stage { FREE, WAITING, ASKED, ANSWERED };

struct question {
    struct dns *dns;
    uint64_t id;
    instant due;
    enum stage stage;
    enum dns_type type;
    bool is_queued; /* its place is in the queue, and not free even if it has been answered */
    int handle;     /* libunbound's */
    struct ub_result *result;
    char name[DNS_NAME + 1];
};

/* Places of questions, each at most once. */
struct ring {
    unsigned first, count;
    uint16_t at[DNS_QUESTIONS];
};

/* Questions for which there is no place. */
struct refusals {
    uint64_t *at;
    size_t count, room;
};

struct dns {
    struct log *log;
    struct dns_plan plan;
    int epoll, timer;
    bool is_armed;
    struct dns_opening *opening; /* its thread has not ended, or was not waited for */
    bool is_opening;
    bool owes_opening; /* the plan has changed meanwhile */
    bool is_probing;   /* what is being opened replaces the present one only if it can validate */
    instant looked_at; /* the files */
    instant probed_at;
    struct dns_opened now; /* in use, or without a ctx */
    char about[1024];
    char why[256];
    struct ub_result *given; /* what the last answer borrows from */
    unsigned free_count, asked_count;
    uint16_t free[DNS_QUESTIONS];
    struct ring queue, answered;
    struct refusals refused;
    struct question questions[DNS_QUESTIONS];
};

static void push(struct ring *ring, unsigned place)
{
    ring->at[(ring->first + ring->count++) % DNS_QUESTIONS] = (uint16_t)place;
}

static unsigned pop(struct ring *ring)
{
    unsigned place = ring->at[ring->first];

    ring->first = (ring->first + 1) % DNS_QUESTIONS;
    ring->count--;
    return place;
}

struct dns_plan dns_plan_of(struct slice servers, struct slice anchors)
{
    struct dns_plan plan = {0};

    snprintf(plan.servers, sizeof plan.servers, "%.*s", (int)servers.len, servers.at);
    snprintf(plan.anchors, sizeof plan.anchors, "%.*s", (int)anchors.len, anchors.at);
    return plan;
}

/* ---- life */

static bool watch(const struct dns *dns, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(dns->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

static void unwatch(const struct dns *dns, int descriptor)
{
    epoll_ctl(dns->epoll, EPOLL_CTL_DEL, descriptor, NULL);
}

struct dns *dns_open(const struct dns_plan *plan, struct log *log)
{
    struct dns *dns = calloc(1, sizeof *dns);

    if (dns) {
        dns->log = log;
        dns->plan = *plan;
        dns->epoll = epoll_create1(EPOLL_CLOEXEC);
        dns->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        for (unsigned i = 0; i < DNS_QUESTIONS; i++)
            dns->free[dns->free_count++] = (uint16_t)(DNS_QUESTIONS - 1 - i);
        if (dns->epoll >= 0 && dns->timer >= 0 && watch(dns, dns->timer))
            return dns;
        dns_close(dns);
    }
    if (log)
        log_line(log, LOG_FAILURE, "DNS cannot be asked: no memory or descriptors");
    return NULL;
}

void dns_close(struct dns *dns)
{
    if (dns->opening)
        dns_opening_end(dns->opening);
    if (dns->now.ctx)
        ub_ctx_delete(dns->now.ctx);
    for (unsigned i = 0; i < DNS_QUESTIONS; i++)
        ub_resolve_free(dns->questions[i].result);
    ub_resolve_free(dns->given);
    free(dns->refused.at);
    if (dns->epoll >= 0)
        close(dns->epoll);
    if (dns->timer >= 0)
        close(dns->timer);
    free(dns);
}

int dns_descriptor(const struct dns *dns)
{
    return dns->epoll;
}

const char *dns_about(const struct dns *dns)
{
    return dns->about;
}

const char *dns_why(const struct dns *dns)
{
    return dns->why;
}

/* ---- questions */

static void arm(struct dns *dns, instant due)
{
    struct itimerspec when = {.it_value = {(time_t)(due / SECONDS(1)), (long)(due % SECONDS(1))}};

    timerfd_settime(dns->timer, TFD_TIMER_ABSTIME, &when, NULL);
    dns->is_armed = true;
}

static unsigned place_of(const struct question *question)
{
    return (unsigned)(question - question->dns->questions);
}

static void finish(struct question *question, struct ub_result *result)
{
    question->dns->asked_count -= question->stage == ASKED;
    question->stage = ANSWERED;
    question->result = result;
    push(&question->dns->answered, place_of(question));
}

static void answered(void *self, int error, struct ub_result *result)
{
    finish(self, error ? NULL : result);
}

static void hand_over(struct question *question)
{
    struct dns *dns = question->dns;

    question->stage = ASKED;
    dns->asked_count++;
    if (!dns->now.ctx || ub_resolve_async(dns->now.ctx, question->name, (int)question->type,
                                          CLASS_IN, question, answered, &question->handle) != 0)
        finish(question, NULL);
}

/* Some of those that wait; all of them, to be told that they failed, where there is no resolver. */
static void hand_over_some(struct dns *dns)
{
    if (!dns->now.ctx && dns->is_opening)
        return;
    while (dns->queue.count && dns->asked_count < ASKED_AT_ONCE) {
        struct question *question = &dns->questions[pop(&dns->queue)];
        question->is_queued = false;
        if (question->stage == WAITING)
            hand_over(question);
        else
            dns->free[dns->free_count++] = (uint16_t)place_of(question);
    }
}

static void enqueue(struct question *question)
{
    question->stage = WAITING;
    question->is_queued = true;
    push(&question->dns->queue, place_of(question));
}

/* ---- the resolver */

static void begin_opening(struct dns *dns, bool is_probing)
{
    if (dns->is_opening) {
        dns->owes_opening |= !is_probing;
        return;
    }
    if (dns->opening)
        dns_opening_end(dns->opening);
    dns->owes_opening = false;
    dns->is_probing = is_probing;
    dns->probed_at = dns->looked_at = clock_now().boot;
    dns->opening = dns_opening_begin(&dns->plan);
    dns->is_opening = dns->opening && watch(dns, dns_opening_descriptor(dns->opening));
    if (dns->is_opening)
        return;
    if (dns->opening)
        dns_opening_end(dns->opening);
    dns->opening = NULL;
    hand_over_some(dns); /* to the former one, or to nobody */
}

void dns_change(struct dns *dns, const struct dns_plan *plan)
{
    dns->plan = *plan;
    if (dns->opening)
        begin_opening(dns, false);
}

static enum severity describe(struct dns *dns)
{
    const struct dns_opened *now = &dns->now;
    size_t room = sizeof dns->about;

    if (!now->ctx) {
        snprintf(dns->about, room, "DNS cannot be asked: %s", now->why);
        return LOG_FAILURE;
    }
    switch (now->trust) {
    case DNS_VALIDATED:
        snprintf(dns->about, room, "DNS is asked of %s, and validated", now->servers);
        return LOG_NOTICE;
    case DNS_STRIPPED:
        snprintf(dns->about, room,
                 "DNS is asked of %s, and not validated, since no signatures come through (%s): "
                 "name a resolver with DNSSEC in <resolver>, and look at the clock",
                 now->servers, now->why);
        return LOG_WARNING;
    case DNS_UNANCHORED:
        snprintf(dns->about, room,
                 "DNS is asked of %s, and not validated, since there is no key of the root: "
                 "install dns-root-data",
                 now->servers);
        return LOG_WARNING;
    default:
        snprintf(dns->about, room,
                 "DNS is asked of %s, which is silent so far: until it answers no other domain is "
                 "found; look at <resolver>, or /etc/resolv.conf",
                 now->servers);
        return LOG_WARNING;
    }
}

/* Once for each state of things. */
static void tell(struct dns *dns)
{
    char before[sizeof dns->about];

    memcpy(before, dns->about, sizeof before);
    enum severity severity = describe(dns);
    if (dns->log && strcmp(before, dns->about) != 0)
        log_line(dns->log, severity, "%s", dns->about);
}

/* One that knows no better than the present one, which has answers that are still good. */
static bool is_wanted(const struct dns *dns, const struct dns_opened *fresh)
{
    return !dns->is_probing || !dns->now.ctx ||
           (fresh->ctx && fresh->trust != dns->now.trust && fresh->trust != DNS_UNTOLD);
}

static void replace(struct dns *dns, const struct dns_opened *fresh)
{
    struct ub_ctx *former = dns->now.ctx;

    if (former)
        unwatch(dns, ub_fd(former));
    dns->now = *fresh;
    if (fresh->ctx && !watch(dns, ub_fd(fresh->ctx))) {
        ub_ctx_delete(fresh->ctx);
        dns->now.ctx = NULL;
        snprintf(dns->now.why, sizeof dns->now.why, "no descriptors");
    }
    dns_opening_retire(dns->opening, former);
    for (unsigned i = 0; i < DNS_QUESTIONS; i++)
        if (dns->questions[i].stage == ASKED)
            enqueue(&dns->questions[i]);
    dns->asked_count = 0;
}

static void take_opened(struct dns *dns)
{
    struct dns_opened fresh;
    uint64_t count;
    int descriptor = dns->is_opening ? dns_opening_descriptor(dns->opening) : -1;

    if (descriptor < 0 || read(descriptor, &count, sizeof count) < 0)
        return;
    unwatch(dns, descriptor);
    dns->is_opening = false;
    dns_opening_take(dns->opening, &fresh);
    if (is_wanted(dns, &fresh))
        replace(dns, &fresh);
    else
        dns_opening_retire(dns->opening, fresh.ctx);
    if (dns->owes_opening)
        begin_opening(dns, false);
    else
        tell(dns);
    hand_over_some(dns);
}

static bool is_same(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Looks, now and then, whether what was read or found out is still so. */
static void look_again(struct dns *dns, instant now)
{
    const struct dns_opened *in_use = &dns->now;
    bool is_settled = in_use->trust == DNS_VALIDATED || in_use->trust == DNS_UNANCHORED;

    if (dns->is_opening || now - dns->looked_at < FILES_AGAIN)
        return;
    dns->looked_at = now;
    if (!in_use->ctx || !is_same(in_use->hosts_time, dns_file_time(dns_hosts_path(&dns->plan))) ||
        !is_same(in_use->resolv_time, dns_file_time(dns_resolv_path(&dns->plan))))
        begin_opening(dns, false);
    else if (!is_settled && now - dns->probed_at >= PROBE_AGAIN)
        begin_opening(dns, true);
}

/* ---- asking */

/* Where there is no memory either it is lost: whoever asks has a patience of their own. */
static void refuse(struct dns *dns, uint64_t id)
{
    struct refusals *refused = &dns->refused;
    size_t room = 2 * refused->room + 256;

    if (refused->count == refused->room) {
        uint64_t *more = realloc(refused->at, room * sizeof *more);
        if (!more)
            return;
        refused->at = more;
        refused->room = room;
    }
    refused->at[refused->count++] = id;
}

static void begin_question(struct dns *dns, uint64_t id, enum dns_type type, struct slice name,
                           instant now)
{
    struct question *question = &dns->questions[dns->free[--dns->free_count]];

    *question = (struct question){.dns = dns, .id = id, .due = now + DNS_PATIENCE, .type = type};
    if (!dns->is_armed)
        arm(dns, question->due);
    if (name.len > DNS_NAME || memchr(name.at, '\0', name.len)) {
        finish(question, NULL);
        return;
    }
    snprintf(question->name, sizeof question->name, "%.*s", (int)name.len, name.at);
    enqueue(question);
    hand_over_some(dns);
}

void dns_ask(struct dns *dns, uint64_t id, enum dns_type type, struct slice name)
{
    instant now = clock_now().boot;

    if (dns->opening)
        look_again(dns, now);
    else
        begin_opening(dns, false);
    if (dns->free_count)
        begin_question(dns, id, type, name, now);
    else
        refuse(dns, id);
    if (dns->answered.count || dns->refused.count)
        arm(dns, 1); /* at once: dns_next has something */
}

/* ---- answers */

/* Gives up what is due, and waits for what will be next. */
static void take_timer(struct dns *dns)
{
    uint64_t count;
    instant now, next = NEVER;

    if (read(dns->timer, &count, sizeof count) < 0)
        return;
    now = clock_now().boot;
    dns->is_armed = false;
    for (unsigned i = 0; i < DNS_QUESTIONS; i++) {
        struct question *question = &dns->questions[i];
        if (question->stage != WAITING && question->stage != ASKED)
            continue;
        if (question->due > now) {
            next = min_u64(next, question->due);
            continue;
        }
        if (question->stage == ASKED)
            ub_cancel(dns->now.ctx, question->handle);
        finish(question, NULL);
    }
    if (next != NEVER)
        arm(dns, next);
}

/* Records with the least of what both SRV (priority) and NAPTR (order) begin with come first, where
 * there are more than are looked at. */
static unsigned weight_of(enum dns_type type, const struct ub_result *result, unsigned i)
{
    const unsigned char *at = (const unsigned char *)result->data[i];

    if ((type != DNS_SRV && type != DNS_NAPTR) || result->len[i] < 2)
        return 0;
    return (unsigned)at[0] << 8 | at[1];
}

static void list_records(const struct question *question, struct dns_answer *answer)
{
    const struct ub_result *result = question->result;
    bool is_taken[RECORDS_SORTED] = {0};
    unsigned count = 0;

    while (count < RECORDS_SORTED && result->data[count])
        count++;
    while (answer->count < DNS_RECORDS && answer->count < count) {
        unsigned best = count;
        for (unsigned i = 0; i < count; i++)
            if (!is_taken[i] && (best == count || weight_of(question->type, result, i) <
                                                      weight_of(question->type, result, best)))
                best = i;
        is_taken[best] = true;
        answer->data[answer->count++] = slice_of(result->data[best], (size_t)result->len[best]);
    }
}

static enum dns_status judge(struct dns *dns, const struct ub_result *result)
{
    if (result && result->secure && dns->now.trust == DNS_UNTOLD) {
        dns->now.trust = DNS_VALIDATED;
        tell(dns);
    }
    if (result && result->bogus && dns->now.trust == DNS_VALIDATED) {
        snprintf(dns->why, sizeof dns->why, "%s", result->why_bogus ? result->why_bogus : "");
        return DNS_BOGUS;
    }
    if (!result || result->bogus)
        return DNS_FAILED;
    if (result->havedata)
        return DNS_FOUND;
    return result->rcode == 0 || result->nxdomain ? DNS_NOTHING : DNS_FAILED;
}

/* Somebody answers at last: whether signatures come through is found out now. */
static void doubt(struct dns *dns, const struct ub_result *result)
{
    bool is_word = result && (result->bogus || result->rcode == 0 || result->nxdomain);

    if (is_word && dns->now.trust == DNS_UNTOLD && !dns->is_opening &&
        clock_now().boot - dns->probed_at >= FILES_AGAIN)
        begin_opening(dns, true);
}

static void release(struct question *question)
{
    struct dns *dns = question->dns;

    question->result = NULL;
    question->stage = FREE;
    if (!question->is_queued)
        dns->free[dns->free_count++] = (uint16_t)place_of(question);
}

static bool take_answer(struct dns *dns, uint64_t *id, struct dns_answer *answer)
{
    *answer = (struct dns_answer){.status = DNS_FAILED};
    if (dns->refused.count) {
        *id = dns->refused.at[--dns->refused.count];
        return true;
    }
    if (!dns->answered.count)
        return false;
    struct question *question = &dns->questions[pop(&dns->answered)];
    const struct ub_result *result = question->result;
    *id = question->id;
    *answer =
        (struct dns_answer){.status = judge(dns, result), .is_secure = result && result->secure};
    doubt(dns, result);
    if (answer->status == DNS_FOUND)
        list_records(question, answer);
    dns->given = question->result;
    release(question);
    return true;
}

bool dns_next(struct dns *dns, uint64_t *id, struct dns_answer *answer)
{
    ub_resolve_free(dns->given);
    dns->given = NULL;
    dns->why[0] = '\0';
    if (take_answer(dns, id, answer))
        return true;
    take_opened(dns);
    if (dns->now.ctx)
        ub_process(dns->now.ctx);
    take_timer(dns);
    hand_over_some(dns);
    return take_answer(dns, id, answer);
}
