#include "core/silence.h"

#include "core/calls.h"
#include "core/dialog.h"
#include "core/heard.h"
#include "core/leg_pass.h"
#include "core/strans.h"

#define YOUNG SECONDS(6)      /* from the answer, or a change, on */
#define LOOK_SOON SECONDS(1)  /* between looks while it is young, */
#define LOOK_LATER SECONDS(5) /* and then */
#define ONE_WAY_AFTER SECONDS(3)
#define SETTLE_AFTER (64 * T1)  /* RFC 3261 13.2.2.4: so long more 2xx may come */
#define UNOBSERVED SECONDS(60)  /* of silence, before a call that nobody knows is closed */
#define ICE_SETTLES SECONDS(20) /* after what was said last: by then it has found its way */
#define ALARM_DROPS 40u /* between two looks, and again: no stray RTCP, but a second of a voice */
#define ALARM_AT_ONCE 500u /* what no phone loses that changes its port */
#define HOLD_PATIENCE 10u  /* times as long, where one alone may send: it holds the other */

#define SUSPECT_TABLE 4096u /* pairs of callers and callees, a power of two; 96 KiB */
#define SUSPECT_BELOW 10u   /* seconds from the answer to the end */
#define SUSPECT_CALLS 2u
#define SUSPECT_LIFE SECONDS(24 * 3600)

/* Two whose direct calls ended at once. */
struct suspicion {
    uint64_t pair; /* 0 = never used */
    uint32_t calls;
    instant until;
};

size_t silence_bytes(void)
{
    return SUSPECT_TABLE * sizeof(struct suspicion);
}

void silence_init(struct core *core, struct arena *from)
{
    core->suspicions = arena_take(from, silence_bytes());
}

/* ---- when it is looked at */

void silence_watch(struct core *core, struct anchor *anchor, instant now)
{
    bool is_young = now < anchor->agreed_at + YOUNG;

    timer_set(&core->timers, &anchor->timer, now + (is_young ? LOOK_SOON : LOOK_LATER));
}

static void look(const struct legs_output *legs, struct actions *out)
{
    size_t start = out->bytes.len;

    if (!legs->count)
        return;
    for (unsigned i = 0; i < legs->count; i++)
        write_bytes(&out->bytes, &legs->changes[i].key, sizeof legs->changes[i].key);
    actions_push(out, (struct action){
                          .kind = ACTION_LOOK,
                          .bytes = slice_of(out->bytes.at + start, out->bytes.len - start),
                      });
}

void silence_look(const struct core *core, const struct anchor *anchor, struct actions *out)
{
    struct legs_output legs;

    if (!core->has_relay)
        return;
    legs_list(&anchor->legs, &legs);
    look(&legs, out);
}

static void settle(struct core *core, struct anchor *anchor, struct actions *out)
{
    struct legs_output output;

    anchor->is_settled = true;
    legs_settle(&anchor->legs, &core->ports, &output);
    anchor_apply(core, anchor, &output, out);
}

/* Its INVITE may still be answered. */
static bool is_pending(const struct core *core, const struct anchor *anchor)
{
    const struct server_transaction *server = pool_get(&core->servers, anchor->server);

    return server && server->context;
}

/* Of a call that nobody knows of, which a crash may leave, or a lack of room. */
static bool is_unobserved(const struct core *core, const struct anchor *anchor)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++)
        if (anchor_dialog(core, anchor, i))
            return false;
    return !is_pending(core, anchor);
}

/* Nobody knows of it, and it has no leg by which it could be heard. */
static bool is_left_over(const struct core *core, const struct anchor *anchor,
                         const struct legs_output *legs, instant now)
{
    return !legs->count && anchor->is_answered && is_unobserved(core, anchor) &&
           now >= max_u64(anchor->answered_at, anchor->agreed_at) + UNOBSERVED;
}

/* Every dialog of it ends: BYE to both ends, and then the legs go with it. */
static void hang_up(struct core *core, const struct anchor *anchor, struct moment now,
                    struct actions *out)
{
    for (unsigned i = 0; i < ANSWER_LIMIT; i++) {
        struct dialog *dialog = anchor_dialog(core, anchor, i);
        if (dialog)
            dialog_silence(core, dialog, anchor->is_broken, now, out);
    }
}

void silence_expire(struct core *core, struct anchor *anchor, struct moment now,
                    struct actions *out)
{
    struct legs_output legs;

    if (!anchor->is_answered && !is_pending(core, anchor)) {
        anchor_close(core, anchor, out);
        return;
    }
    if (anchor->is_answered && !anchor->is_settled &&
        now.boot >= anchor->answered_at + SETTLE_AFTER)
        settle(core, anchor, out);
    legs_list(&anchor->legs, &legs);
    if (legs_are_closed(&anchor->legs) || is_left_over(core, anchor, &legs, now.boot)) {
        anchor_close(core, anchor, out);
        return;
    }
    if (anchor->is_broken && anchor->is_answered && !is_unobserved(core, anchor))
        hang_up(core, anchor, now, out);
    else if (core->has_relay)
        look(&legs, out);
    silence_watch(core, anchor, now.boot);
}

void silence_miss(struct core *core, const struct leg_found *legs, unsigned count, bool is_taken,
                  instant now)
{
    for (unsigned i = 0; i < count; i++) {
        const struct leg_place *key = &legs[i].key;
        struct anchor *anchor = anchor_find(core, legs[i].leg.rule.call);
        if (is_taken)
            ports_avoid(&core->ports, (uint16_t)(key->port[0] << 8 | key->port[1]));
        if (!anchor || anchor->is_broken)
            continue;
        anchor->is_broken = true;
        core->tally.broken++;
        if (anchor->is_answered)
            timer_set(&core->timers, &anchor->timer, now);
    }
}

/* ---- what is seen */

/* What there is of one side: of its legs that should be heard. */
struct hearing {
    unsigned expected, heard;
};

struct sight {
    struct hearing sides[2];
    instant latest; /* any packet on any leg */
};

static struct sight see(const struct anchor *anchor, const struct leg_found *legs, unsigned count)
{
    struct sight sight = {.latest = max_u64(anchor->answered_at, anchor->agreed_at)};

    for (unsigned i = 0; i < count; i++) {
        const struct leg_rule *rule = &legs[i].leg.rule;
        const struct leg_state *state = &legs[i].leg.state;
        struct hearing *side = &sight.sides[rule->side == LEGS_CALLEE];
        sight.latest = max_u64(sight.latest, state->seen);
        if (rule->flags & LEG_QUIET)
            continue;
        side->expected++;
        side->heard += leg_is_locked(&legs[i].leg);
    }
    return sight;
}

static struct slice name_of(const struct dialog *dialog, enum legs_side side)
{
    struct slice value = dialog_part(dialog, side == LEGS_CALLER ? DIALOG_FROM : DIALOG_TO);
    struct address address;
    struct slice tag;
    struct uri uri;

    if (!address_parse(value, &address, &tag) || !uri_parse(address.uri, &uri))
        return S("somebody");
    return uri.user.len ? uri.user : uri.host;
}

/* A name that somebody sent, into a line of the log. */
static void write_name(struct writer *w, struct slice name)
{
    for (size_t i = 0; i < name.len && i < NAME_LIMIT; i++)
        write_char(w, name.at[i] > ' ' && name.at[i] < 0x7f ? name.at[i] : '?');
}

static void tell_one_way(const struct dialog *dialog, enum legs_side silent, struct actions *out)
{
    struct writer *w = &out->bytes;
    size_t start = w->len;
    struct slice name = name_of(dialog, silent);

    write_name(w, name_of(dialog, silent == LEGS_CALLER ? LEGS_CALLEE : LEGS_CALLER));
    write_slice(w, S(" hears nothing: "));
    write_name(w, name);
    write_slice(w, S("'s packets do not arrive"));
    actions_push(
        out, (struct action){.kind = ACTION_LOG, .bytes = slice_of(w->at + start, w->len - start)});
}

/* Three seconds after the answer the one is heard, and the other is not. */
static void mend_one_way(struct core *core, struct anchor *anchor, const struct sight *sight,
                         struct moment now, struct actions *out)
{
    const struct dialog *dialog = anchor_dialog(core, anchor, anchor->legs.current);
    bool is_heard[2];

    for (unsigned i = 0; i < 2; i++)
        is_heard[i] = sight->sides[i].heard > 0;
    for (unsigned i = 0; i < 2; i++) {
        struct legs_output output;
        if (is_heard[i] || !is_heard[!i] || !sight->sides[i].expected || anchor->is_mended[i] ||
            now.boot < anchor->agreed_at + ONE_WAY_AFTER)
            continue;
        anchor->is_mended[i] = true;
        if (dialog)
            tell_one_way(dialog, (enum legs_side)i, out);
        legs_believe(&anchor->legs, (enum legs_side)i, &output);
        anchor_apply(core, anchor, &output, out);
    }
}

/* It waits for packets that need not come. */
static bool only_waits(const struct leg *leg)
{
    return !leg_is_locked(leg) && leg_has_port(&leg->rule.target) && !(leg->rule.flags & LEG_FIRST);
}

/* A phone whose packets come from where it has said may have other ports there, which only listen.
 */
static void find_listeners(struct anchor *anchor, const struct leg_found *legs, unsigned count,
                           struct actions *out)
{
    struct legs_output output;

    for (unsigned i = 0; i < count * count; i++) {
        const struct leg *heard = &legs[i / count].leg, *other = &legs[i % count].leg;
        if (!leg_is_locked(heard) || !leg_has_port(&heard->rule.target) || !only_waits(other) ||
            heard->rule.side != other->rule.side ||
            !leg_same_host(&heard->rule.allowed, &other->rule.allowed))
            continue;
        legs_find(&anchor->legs, heard->rule.side == LEGS_CALLEE, heard->rule.stream, &output);
        anchor_change(&output, out);
        return;
    }
}

/* What has passed since it was looked at last; legs that were opened anew begin at 0. */
static uint64_t growth(uint64_t before, uint64_t now)
{
    return now >= before ? now - before : now;
}

/* Somebody tries to be heard, or to keep others from it. */
static void tell_alarm(const struct dialog *dialog, const uint64_t drops[LEG_DROP_COUNT],
                       struct actions *out)
{
    struct writer *w = &out->bytes;
    size_t start = w->len;
    bool is_flood = drops[LEG_FLOOD] > drops[LEG_STRANGER];

    write_slice(w, is_flood ? S("more packets than <rate> allows") : S("packets of strangers"));
    write_slice(w, S(" come to the media of "));
    write_name(w, name_of(dialog, LEGS_CALLER));
    write_slice(w, S("'s call with "));
    write_name(w, name_of(dialog, LEGS_CALLEE));
    write_slice(w, S(": "));
    write_number(w, drops[is_flood ? LEG_FLOOD : LEG_STRANGER]);
    write_slice(w, S(" of them were dropped within a few seconds"));
    actions_push(
        out, (struct action){.kind = ACTION_LOG, .bytes = slice_of(w->at + start, w->len - start)});
}

/* Once a call, and not for what a phone loses that changes its port. */
static void watch_drops(struct core *core, struct anchor *anchor, const struct leg_sum *sum,
                        struct actions *out)
{
    const struct dialog *dialog = anchor_dialog(core, anchor, anchor->legs.current);
    bool is_first = anchor->is_taken_over, was_much = anchor->was_sprayed;
    uint64_t drops[LEG_DROP_COUNT], most;

    for (unsigned n = 0; n < LEG_DROP_COUNT; n++)
        drops[n] = growth(anchor->counted.drops[n], sum->drops[n]);
    most = max_u64(drops[LEG_STRANGER], drops[LEG_FLOOD]);
    anchor->is_taken_over = false;
    anchor->was_sprayed = most > ALARM_DROPS && !is_first;
    if (!anchor->was_sprayed || (!was_much && most < ALARM_AT_ONCE) || !dialog ||
        anchor->is_alarmed)
        return;
    anchor->is_alarmed = true;
    tell_alarm(dialog, drops, out);
}

static void count_legs(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                       unsigned count, struct actions *out)
{
    struct leg_sum *all = &core->tally.legs, *before = &anchor->counted, sum = {.packets = 0};

    for (unsigned i = 0; i < count; i++) {
        const struct leg_state *state = &legs[i].leg.state;
        sum.packets += state->packets;
        sum.bytes += state->bytes;
        for (unsigned n = 0; n < LEG_DROP_COUNT; n++)
            sum.drops[n] += state->drops[n];
    }
    if (anchor->has_closed) { /* how much those that are left had by then, nobody knows */
        anchor->has_closed = false;
        *before = sum;
        return;
    }
    watch_drops(core, anchor, &sum, out);
    all->packets += growth(before->packets, sum.packets);
    all->bytes += growth(before->bytes, sum.bytes);
    for (unsigned n = 0; n < LEG_DROP_COUNT; n++)
        all->drops[n] += growth(before->drops[n], sum.drops[n]);
    *before = sum;
}

/* ICE has found no other way than by us: both still speak here, and not only until then. */
static void note_carried(struct core *core, struct anchor *anchor, const struct heard_ends *before,
                         instant now, struct actions *out)
{
    struct heard_ends after;

    if (!anchor->has_ice || anchor->is_carried || now < anchor->agreed_at + ICE_SETTLES)
        return;
    heard_sum(&anchor->heard, &after);
    for (unsigned i = 0; i < 2; i++)
        if (after.sides[i].expected <= before->sides[i].expected)
            return;
    anchor->is_carried = true;
    anchor_persist(core, anchor, out);
}

static void count_heard(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                        unsigned count, struct moment now, struct actions *out)
{
    struct heard_ends before;
    bool is_first = anchor->is_taken_over; /* its legs may have heard all of it long ago */

    heard_sum(&anchor->heard, &before);
    count_legs(core, anchor, legs, count, out);
    heard_note(core, anchor, legs, count);
    if (!is_first)
        note_carried(core, anchor, &before, now.boot, out);
}

/* For how long nothing may come; 0: for any time. */
static duration patience_with(const struct core *core, const struct sight *sight)
{
    duration longest = core->settings->media.silence;
    unsigned senders = 0;

    for (unsigned i = 0; i < 2; i++)
        senders += sight->sides[i].expected > 0;
    return senders == 2 ? longest : senders ? HOLD_PATIENCE * longest : 0;
}

void silence_hear(struct core *core, const struct leg_found *legs, unsigned count,
                  struct moment now, struct actions *out)
{
    struct anchor *anchor = count ? anchor_find(core, legs[0].leg.rule.call) : NULL;
    struct sight sight;
    duration longest;

    if (anchor)
        count_heard(core, anchor, legs, count, now, out);
    if (!anchor || !anchor->is_answered)
        return;
    sight = see(anchor, legs, count);
    if (is_unobserved(core, anchor)) {
        if (now.boot >= sight.latest + UNOBSERVED)
            anchor_close(core, anchor, out);
        return;
    }
    if (anchor->has_ice && !anchor->is_carried)
        return;
    longest = patience_with(core, &sight);
    if (longest && now.boot >= sight.latest + longest) {
        hang_up(core, anchor, now, out);
        return;
    }
    find_listeners(anchor, legs, count, out);
    mend_one_way(core, anchor, &sight, now, out);
}

/* ---- calls that go directly */

static uint64_t pair_of(const struct core *core, struct slice caller, struct slice callee)
{
    uint64_t hashes[2] = {hash_bytes(&core->key_table, caller),
                          hash_bytes(&core->key_table, callee)};
    uint64_t words[2] = {min_u64(hashes[0], hashes[1]), max_u64(hashes[0], hashes[1])};
    uint64_t pair = hash_bytes(&core->key_table, slice_of((const char *)words, sizeof words));

    return pair ? pair : 1;
}

static struct suspicion *slot_of(const struct core *core, uint64_t pair)
{
    return &core->suspicions[pair & (SUSPECT_TABLE - 1)];
}

bool silence_suspects(const struct core *core, const struct context *context, unsigned branch)
{
    char text[CALL_RECORD_LIMIT];
    struct writer texts = writer_over(text, sizeof text);
    const struct suspicion *slot;
    struct call_record call;
    uint64_t pair;

    if (core->now.boot >= core->suspicions_until || !context->request.at)
        return false;
    calls_describe(core, context, branch, &texts, &call);
    pair = pair_of(core, call.caller, call.callee);
    slot = slot_of(core, pair);
    return slot->pair == pair && slot->calls >= SUSPECT_CALLS && core->now.boot < slot->until;
}

/* It was left to the phones to find each other. */
static bool went_directly(const struct call_record *call)
{
    return call->media_path == MEDIA_DIRECT && call->media != MEDIA_UNDECIDED &&
           call->media != MEDIA_SWITCHED_OFF && call->media != MEDIA_NOTHING_TO_RELAY &&
           call->media != MEDIA_UNREADABLE && call->media != MEDIA_NO_RELAY &&
           call->media != MEDIA_RELAY_FULL;
}

void silence_note_end(struct core *core, const struct call_record *call, instant now)
{
    struct suspicion *slot;
    uint64_t pair;

    if (!call->answered || !went_directly(call))
        return;
    pair = pair_of(core, call->caller, call->callee);
    slot = slot_of(core, pair);
    if (call->duration >= SUSPECT_BELOW) {
        if (slot->pair == pair)
            *slot = (struct suspicion){0};
        return;
    }
    if (slot->pair != pair || now >= slot->until)
        *slot = (struct suspicion){.pair = pair};
    slot->calls++;
    slot->until = now + SUSPECT_LIFE;
    core->suspicions_until = max_u64(core->suspicions_until, slot->until);
}
