#include "sim/session.h"

#include "core/strans.h"
#include "sim/sim.h"

#define SHORTEST 90u
#define LONGEST 240u
#define SLACK (64 * T1) /* for the way from phone to server and back */

static bool knows_timers(const struct message *m)
{
    return message_has_option(m, HEADER_SUPPORTED, S("timer"));
}

/* The number of a Session-Expires, 0 without one. */
static unsigned seconds_of(const struct message *m)
{
    struct slice value = message_first(m, HEADER_SESSION_EXPIRES);
    uint64_t n;

    return value.len && slice_number(slice_until(value, slice_find(value, ';')), 1u << 20, &n)
               ? (unsigned)n
               : 0;
}

static bool names_caller(const struct message *m)
{
    struct slice value = message_first(m, HEADER_SESSION_EXPIRES);
    struct slice role = S("refresher=uac");

    return value.len >= role.len && slice_equal(slice_from(value, value.len - role.len), role);
}

void session_ask(struct sim *sim, const struct phone *phone, const struct call *call,
                 struct letter *letter)
{
    letter->knows_timers = (phone->traits & TRAIT_TIMERS) != 0;
    if (!letter->knows_timers)
        return;
    if (call->session.seconds)
        letter->session = call->session.seconds;
    else if (dice_chance(&sim->dice, 700))
        letter->session = (unsigned)dice_between(&sim->dice, SHORTEST, LONGEST);
}

static struct session_word word_from(const struct sim *sim, duration from, unsigned seconds)
{
    return (struct session_word){
        .at = machine_elapsed(sim),
        .until = seconds ? from + SECONDS((uint64_t)seconds) : NEVER,
    };
}

/* It refreshes at half the time; who does not looks shortly before the end (10). */
static void set_session(struct sim *sim, struct call *call, unsigned seconds, bool is_refresher)
{
    struct session *s = &call->session;

    if (!s->seconds) {
        s->refreshes = (unsigned)random_below(&sim->dice, 8);
        s->is_careless = dice_chance(&sim->dice, 700);
    }
    s->seconds = seconds;
    s->is_refresher = is_refresher;
    s->act_at = !seconds       ? NEVER
                : is_refresher ? sim->now + SECONDS((uint64_t)seconds) / 2
                               : sim->now + SECONDS((uint64_t)seconds - seconds / 3);
}

void session_learn(struct sim *sim, struct call *call, const struct message *response,
                   instant began)
{
    duration then = machine_elapsed(sim) - (sim->now - began);

    set_session(sim, call, seconds_of(response), names_caller(response));
    call->session.heard = word_from(sim, then, seconds_of(response));
}

void session_agree(struct sim *sim, const struct phone *phone, struct call *call,
                   const struct message *request, struct writer *w)
{
    unsigned asked = seconds_of(request);
    bool knows = (phone->traits & TRAIT_TIMERS) != 0;
    bool is_callers = knows_timers(request);

    if (!knows || !asked) { /* the server speaks for us, if the other one knows timers */
        set_session(sim, call, 0, false);
        asked = is_callers ? asked : 0;
    } else {
        set_session(sim, call, asked, !is_callers);
        put(w, "Session-Expires: %u;refresher=%s\r\n", asked, is_callers ? "uac" : "uas");
        if (is_callers)
            put(w, "Require: timer\r\n");
    }
    call->session.said = word_from(sim, machine_elapsed(sim), asked);
}

enum session_act session_due(struct sim *sim, struct call *call)
{
    struct session *s = &call->session;

    if (sim->now < s->act_at)
        return SESSION_REST;
    s->act_at = NEVER;
    if (!s->is_refresher)
        return s->is_careless ? SESSION_REST : SESSION_HANG_UP;
    if (!s->refreshes || sim->phase >= PHASE_HANG_UP)
        return SESSION_REST;
    s->refreshes--;
    s->act_at = sim->now + SECONDS(10); /* again, should it be refused */
    return SESSION_REFRESH;
}

#define WORDS 4u

static void list_words(const struct call *one, const struct call *other,
                       const struct session_word **words)
{
    words[0] = &one->session.heard;
    words[1] = &one->session.said;
    words[2] = other ? &other->session.heard : words[0];
    words[3] = other ? &other->session.said : words[1];
}

/* The earliest of what was said around the last answer that arrived: which of them the server saw
 * last is not known. */
duration session_not_before(const struct call *one, const struct call *other)
{
    const struct session_word *words[WORDS];
    duration heard, first = NEVER;

    list_words(one, other, words);
    heard = max_u64(words[0]->at, words[2]->at);
    for (unsigned i = 0; i < WORDS; i++)
        if (words[i]->at && words[i]->at + SLACK >= heard)
            first = min_u64(first, words[i]->until);
    return first;
}

duration session_not_after(const struct call *one, const struct call *other)
{
    const struct session_word *words[WORDS];
    duration last = 0;

    list_words(one, other, words);
    for (unsigned i = 0; i < WORDS; i++)
        if (words[i]->at)
            last = max_u64(last, words[i]->until);
    return last && last != NEVER ? last + SLACK : NEVER;
}
