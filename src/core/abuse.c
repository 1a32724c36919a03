#include "core/abuse.h"

#include "core/location.h"
#include "core/oddity.h"

#define WAYS 8u
#define LOG_PAUSE SECONDS(10) /* between two lines about bans */

size_t abuse_bytes(void)
{
    return sizeof(struct guesses) * GUESS_TABLE + 64;
}

void abuse_init(struct core *core, struct arena *from)
{
    core->guesses = arena_take(from, sizeof(struct guesses) * GUESS_TABLE);
    assert(core->guesses);
}

/* The part of an address that one attacker may vary at will is left out. */
static struct address_bytes source_of(const struct flow *flow)
{
    struct address_bytes source = flow_address(flow);

    if (source.is_v6)
        memset(source.at + 8, 0, 8);
    return source;
}

/* Never 0; without a name, of the source as a whole. */
static uint64_t key_of(const struct core *core, const struct flow *flow, struct slice name)
{
    struct address_bytes source = source_of(flow);
    uint64_t words[4] = {source.is_v6, name.at ? hash_bytes(&core->key_table, name) | 1 : 0};

    memcpy(&words[2], source.at, 16);
    return hash_bytes(&core->key_nonce, slice_of((const char *)words, sizeof words)) | 1;
}

static struct guesses *first_place(const struct core *core, uint64_t key)
{
    return &core->guesses[(key >> 8) & (GUESS_TABLE - 1) & ~(uint64_t)(WAYS - 1)];
}

static bool is_over(const struct core *core, const struct guesses *g, instant now)
{
    return now >= g->last + core->settings->guess_window;
}

static uint32_t count_of(const struct core *core, uint64_t key, instant now)
{
    const struct guesses *place = first_place(core, key);

    for (unsigned i = 0; i < WAYS; i++)
        if (place[i].key == key)
            return is_over(core, &place[i], now) ? 0 : place[i].count;
    return 0;
}

/* Its counter, a new one if need be: in place of one that is over, or else of the lowest. */
static struct guesses *take_counter(struct core *core, uint64_t key, instant now)
{
    struct guesses *place = first_place(core, key);
    struct guesses *best = place;

    for (unsigned i = 0; i < WAYS; i++) {
        if (place[i].key == key) {
            best = &place[i];
            break;
        }
        if (is_over(core, &place[i], now))
            place[i].count = 0;
        if (place[i].count < best->count)
            best = &place[i];
    }
    if (best->key != key || is_over(core, best, now))
        *best = (struct guesses){.key = key};
    return best;
}

static bool is_exempt(const struct core *core, const struct request *req, const struct user *user)
{
    struct address_bytes source = source_of(&req->flow);

    if (req->access & ACCESS_EXEMPT)
        return true;
    for (const struct binding *b = user ? location_first(core, user) : NULL; b;
         b = location_next(core, b)) {
        struct address_bytes bound = source_of(&b->flow);
        if (bound.is_v6 == source.is_v6 && memcmp(bound.at, source.at, sizeof bound.at) == 0)
            return true;
    }
    return false;
}

bool abuse_is_refused(const struct core *core, const struct request *req, struct slice name,
                      const struct user *user)
{
    const struct settings *settings = core->settings;
    instant now = req->now.boot;

    if (now >= core->guesses_until || is_exempt(core, req, user))
        return false;
    return count_of(core, key_of(core, &req->flow, NO_SLICE), now) >=
               settings->guesses_per_source ||
           count_of(core, key_of(core, &req->flow, name), now) >= settings->guesses_per_account;
}

static void log_ban(struct core *core, const struct request *req, instant now, struct actions *out)
{
    struct address_bytes source = source_of(&req->flow);
    struct writer *w = &out->bytes;
    size_t start = w->len;

    if (now < core->ban_logged + LOG_PAUSE && core->ban_logged)
        return;
    core->ban_logged = now;
    write_slice(w, S("too many wrong passwords from "));
    write_host(w, &source);
    write_slice(w, source.is_v6 ? S("/64") : S(""));
    write_slice(w, S(": credentials from there are ignored for a while"));
    actions_push(out, (struct action){
                          .kind = ACTION_LOG,
                          .bytes = slice_of(w->at + start, w->len - start),
                      });
}

void abuse_note(struct core *core, const struct request *req, struct slice name,
                const struct user *user, struct actions *out)
{
    const uint64_t keys[2] = {
        key_of(core, &req->flow, NO_SLICE),
        key_of(core, &req->flow, name),
    };
    const uint32_t limits[2] = {
        core->settings->guesses_per_source,
        core->settings->guesses_per_account,
    };
    instant now = req->now.boot;

    if (is_exempt(core, req, user))
        return;
    for (unsigned i = 0; i < 2; i++) {
        struct guesses *g = take_counter(core, keys[i], now);
        g->last = now;
        if (++g->count == limits[i])
            log_ban(core, req, now, out);
    }
    core->guesses_until = now + core->settings->guess_window;
}
