#include "shell/legwork.h"

#include "core/limits.h"
#include "shell/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS_LIMIT 4096u /* legs that the core waits for; beyond, it asks again in time */
#define AT_ONCE 64u       /* changes and reads */
#define CALL_LEGS (4u * LEGS_PAIRS)
#define RETRY_FIRST SECONDS(5) /* and then after twice as long each time; */
#define RETRY_LAST SECONDS(80) /* more than a process of another version lingers after a visit */
#define MISSED_LIMIT 256u      /* beyond, their calls are found to be silent */

/* The legs of one call that the core looks for. */
struct look {
    unsigned count;
    struct leg_place keys[CALL_LEGS];
};

struct legwork {
    struct relay_setup setup;
    struct log *log;
    struct relay *relay; /* NULL: there is none */
    bool is_wanted;
    bool owes_news;   /* the core does not know yet whether there is one */
    bool is_listing;  /* its whole table is being told */
    uint32_t place;   /* where in it */
    bool has_told;    /* that a leg could not be opened */
    instant retry_at; /* to open one, after `patience`; what was said of the last time */
    duration patience;
    char said[1024];
    unsigned missing; /* legs that could not, and the core does not know it yet */
    struct missing_leg {
        int error;
        struct leg_found found;
    } missed[MISSED_LIMIT];
    struct look *looks; /* a ring */
    unsigned first, waiting;
    struct relay_leg legs[CALL_LEGS];
    struct leg_found found[CALL_LEGS];
};

#define LOOKS (LOOKS_LIMIT / 8u)

_Static_assert(LEGS_LISTED <= CALL_LEGS, "what is listed has room");

struct legwork *legwork_create(const struct legwork_plan *plan)
{
    struct legwork *legwork = calloc(1, sizeof *legwork);

    if (!legwork)
        return NULL;
    legwork->setup = plan->setup;
    legwork->log = plan->log;
    legwork->looks = calloc(LOOKS, sizeof *legwork->looks);
    if (legwork->looks)
        return legwork;
    free(legwork);
    return NULL;
}

void legwork_destroy(struct legwork *legwork)
{
    relay_close(legwork->relay);
    free(legwork->looks);
    free(legwork);
}

/* What is wrong is told once, until it is something else. */
static void tell_opening(struct legwork *legwork, const char *words)
{
    bool is_said = strcmp(words, legwork->said) == 0;

    snprintf(legwork->said, sizeof legwork->said, "%s", legwork->relay ? "" : words);
    if (legwork->relay)
        log_line(legwork->log, LOG_NOTICE, "%s", words);
    else if (legwork->setup.may_start && !is_said)
        log_line(legwork->log, LOG_WARNING, "%s", words);
}

static void try_relay(struct legwork *legwork)
{
    char text[sizeof legwork->said];
    struct writer words = writer_over(text, sizeof text - 1);

    legwork->relay = relay_open(&legwork->setup, &words);
    text[words.len] = 0;
    legwork->retry_at = clock_now().boot + legwork->patience;
    legwork->patience = min_u64(2 * legwork->patience, RETRY_LAST);
    tell_opening(legwork, text);
}

static void open_relay(struct legwork *legwork)
{
    legwork->patience = RETRY_FIRST;
    legwork->owes_news = true;
    legwork->has_told = false;
    legwork->waiting = 0;
    try_relay(legwork);
}

void legwork_want(struct legwork *legwork, bool is_wanted, bool may_start)
{
    legwork->is_wanted = is_wanted;
    legwork->setup.may_start = may_start;
    if (is_wanted && !legwork->relay)
        open_relay(legwork);
}

/* Who may start none needs none. */
instant legwork_deadline(const struct legwork *legwork)
{
    bool is_due = legwork->is_wanted && legwork->setup.may_start && !legwork->relay;

    return is_due ? legwork->retry_at : NEVER;
}

void legwork_retry(struct legwork *legwork)
{
    try_relay(legwork);
    legwork->owes_news |= legwork->relay != NULL;
}

int legwork_descriptor(const struct legwork *legwork)
{
    return legwork->relay ? relay_descriptor(legwork->relay) : -1;
}

void legwork_lost(struct legwork *legwork)
{
    log_line(legwork->log, LOG_WARNING,
             "the media relay has ended; the media of its calls comes back with another");
    relay_close(legwork->relay);
    legwork->relay = NULL;
    if (legwork->is_wanted)
        open_relay(legwork);
}

/* The first of many: what is wrong with one is, mostly, with all. */
static void tell_failure(struct legwork *legwork, int error)
{
    if (!legwork->has_told)
        log_line(legwork->log, LOG_FAILURE,
                 "the media relay cannot open a port: %s; look after address and ports in <media>",
                 strerror(-error));
    legwork->has_told = true;
}

static void note_failures(struct legwork *legwork, const struct leg_change *changes,
                          const int *errors, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!errors[i] || errors[i] == -ENOENT || errors[i] == -ENOTCONN)
            continue;
        tell_failure(legwork, errors[i]);
        if (changes[i].kind != LEG_CLOSE && legwork->missing < MISSED_LIMIT)
            legwork->missed[legwork->missing++] = (struct missing_leg){
                errors[i], {.key = changes[i].key, .leg.rule = changes[i].rule}};
    }
}

void legwork_change(struct legwork *legwork, struct slice bytes)
{
    struct leg_change changes[AT_ONCE];
    int errors[AT_ONCE];

    while (legwork->relay && bytes.len) {
        size_t len = min_u64(bytes.len, sizeof changes);
        unsigned count = (unsigned)(len / sizeof *changes);
        memcpy(changes, bytes.at, len);
        if (relay_apply(legwork->relay, changes, count, errors))
            note_failures(legwork, changes, errors, count);
        bytes = slice_from(bytes, len);
    }
}

void legwork_look(struct legwork *legwork, struct slice keys)
{
    struct look *look;

    if (!legwork->relay || legwork->waiting == LOOKS || keys.len > sizeof look->keys)
        return;
    look = &legwork->looks[(legwork->first + legwork->waiting++) % LOOKS];
    look->count = (unsigned)(keys.len / sizeof look->keys[0]);
    memcpy(look->keys, keys.at, keys.len);
}

/* Those that are there. */
static void give(struct legwork *legwork, unsigned count, struct event *event)
{
    event->kind = EVENT_LEGS;
    event->legs = legwork->found;
    for (unsigned i = 0; i < count; i++)
        if (legwork->legs[i].leg.rule.version)
            legwork->found[event->leg_count++] = (struct leg_found){
                legwork->legs[i].key, legwork->legs[i].leg, legwork->legs[i].stream};
}

/* Some of those that could not be opened, all for the same reason. */
static void give_missed(struct legwork *legwork, struct event *event)
{
    int error = legwork->missed[legwork->missing - 1].error;

    event->kind = EVENT_UNOPENED;
    event->is_taken = error == -EADDRINUSE;
    event->legs = legwork->found;
    while (legwork->missing && event->leg_count < LEGS_LISTED &&
           legwork->missed[legwork->missing - 1].error == error)
        legwork->found[event->leg_count++] = legwork->missed[--legwork->missing].found;
}

static void list_some(struct legwork *legwork, struct event *event)
{
    int count = relay_list(legwork->relay, &legwork->place, legwork->legs, LEGS_LISTED);

    event->is_list = true;
    event->is_end = count <= 0;
    legwork->is_listing = count > 0;
    give(legwork, count > 0 ? (unsigned)count : 0, event);
}

bool legwork_has_news(const struct legwork *legwork)
{
    return legwork->owes_news || legwork->missing ||
           (legwork->relay && (legwork->is_listing || legwork->waiting));
}

bool legwork_next(struct legwork *legwork, struct event *event)
{
    const struct look *look;

    *event = (struct event){.kind = EVENT_RELAY, .has_relay = legwork->relay != NULL};
    if (legwork->owes_news) {
        if (legwork->relay)
            event->leg_limit = relay_limit(legwork->relay);
        legwork->owes_news = false;
        legwork->is_listing = legwork->relay != NULL;
        legwork->place = 0;
        return true;
    }
    if (legwork->missing) {
        give_missed(legwork, event);
        return true;
    }
    if (!legwork->relay)
        return false;
    if (legwork->is_listing) {
        list_some(legwork, event);
        return true;
    }
    if (!legwork->waiting)
        return false;
    look = &legwork->looks[legwork->first];
    legwork->first = (legwork->first + 1) % LOOKS;
    legwork->waiting--;
    if (relay_read(legwork->relay, look->keys, look->count, legwork->legs))
        return false;
    give(legwork, look->count, event);
    return true;
}
