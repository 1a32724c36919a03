#include "core/admission.h"

#include "core/access.h"
#include "core/caller.h"
#include "core/location.h"
#include "core/oddity.h"
#include "core/why.h"

#define WAYS 8u
#define MINUTE SECONDS(60)

size_t admission_bytes(void)
{
    return sizeof(struct pace) * PACE_TABLE + 64;
}

void admission_init(struct core *core, struct arena *from)
{
    core->paces = arena_take(from, sizeof(struct pace) * PACE_TABLE);
    assert(core->paces);
}

struct fault admission_fault(const struct core *core, const struct request *req)
{
    struct fault refused = {403, NULL};

    if (!core->settings->is_public) {
        why_step(req, S("strangers"), core->settings->written[SETTING_PUBLISHED],
                 "callers of other domains are not let in: published is none", NO_SLICE, NO_SLICE);
        return refused;
    }
    if (!request_is_ours(core, req)) {
        why_step(req, S("strangers"), (struct written){0, 0},
                 "% is not of this domain, and callers of other domains reach only this one",
                 req->uri.host, NO_SLICE);
        return refused;
    }
    return NO_FAULT;
}

/* ---- paces */

/* Never 0. */
static uint64_t key_of(const struct core *core, uint64_t kind, struct slice bytes)
{
    uint64_t words[2] = {kind, hash_bytes(&core->key_table, bytes)};

    return hash_bytes(&core->key_nonce, slice_of((const char *)words, sizeof words)) | 1;
}

/* The first of the WAYS places where a key may be. */
static struct pace *ways_of(const struct core *core, uint64_t key)
{
    return &core->paces[(key >> 8) & (PACE_TABLE - 1) & ~(uint64_t)(WAYS - 1)];
}

static struct pace *place_of(struct core *core, uint64_t key)
{
    struct pace *place = ways_of(core, key);
    struct pace *best = place;

    for (unsigned i = 0; i < WAYS; i++) {
        if (place[i].key == key)
            return &place[i];
        if (place[i].due < best->due)
            best = &place[i];
    }
    *best = (struct pace){.key = key};
    return best;
}

/* How long until one more of `rate` a minute may come; 0: now, and it is taken. */
static duration take(struct core *core, uint64_t key, uint32_t rate, instant now)
{
    struct pace *pace = place_of(core, key);
    instant due = pace->due > now ? pace->due : now;
    duration each = MINUTE / rate;

    if (due + each > now + MINUTE)
        return due + each - now - MINUTE;
    pace->due = due + each;
    return 0;
}

static struct slice from_host(const struct request *req)
{
    struct uri uri;

    return uri_parse(req->from.uri, &uri) ? uri.host : NO_SLICE;
}

/* The part of an address that one sender may vary at will is left out. */
static uint64_t source_key(const struct core *core, const struct request *req)
{
    struct address_bytes source = flow_address(&req->flow);
    char lower[NAME_LIMIT];
    struct slice host = from_host(req);

    if (!(req->proof & ~CALLER_OWN) || host.len > sizeof lower) {
        if (source.is_v6)
            memset(source.at + 8, 0, 8);
        return key_of(core, 1, slice_of((const char *)source.at, sizeof source.at));
    }
    for (size_t i = 0; i < host.len; i++)
        lower[i] = ascii_lower(host.at[i]);
    return key_of(core, 2, slice_of(lower, host.len));
}

static bool is_counted(const struct core *core, const struct request *req, uint32_t rate)
{
    (void)core;
    return rate && !(req->access & ACCESS_EXEMPT);
}

unsigned admission_delay(struct core *core, const struct request *req)
{
    uint32_t rate = core->settings->stranger_source;

    if (!is_counted(core, req, rate))
        return 0;
    return (unsigned)((take(core, source_key(core, req), rate, req->now.boot) + SECONDS(1) - 1) /
                      SECONDS(1));
}

/* Whoever is called by several names, aliases and extensions, is counted as one. */
static const struct user *callee_of(const struct core *core, const struct request *req)
{
    const struct binding *binding =
        req->targets.count ? location_binding(core, req->targets.at[0].binding) : NULL;

    return binding ? location_user(core, binding) : NULL;
}

/* False if it is nobody's name. */
static bool callee_key(const struct core *core, const struct request *req, uint64_t *key)
{
    const struct user *user = callee_of(core, req);
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);

    if (user)
        write_slice(&w, user_id(user));
    else
        uri_unescape(&w, req->uri.user);
    *key = key_of(core, req->proof ? 4 : 3, writer_slice(&w));
    return !w.failed;
}

bool admission_is_too_many(struct core *core, const struct request *req)
{
    uint32_t rate = core->settings->stranger_callee;
    uint64_t key;

    return is_counted(core, req, rate) && callee_key(core, req, &key) &&
           take(core, key, rate, req->now.boot) > 0;
}

static void tell_rate(const struct request *req, uint32_t rate, struct written written,
                      const char *text, struct slice name)
{
    char digits[16];
    struct writer w = writer_over(digits, sizeof digits);

    write_number(&w, rate);
    if (rate)
        why_step(req, S("limit"), written, text, writer_slice(&w), name);
}

struct fault admission_rehearse(const struct core *core, const struct request *req)
{
    const struct settings *settings = core->settings;
    uint32_t rate = settings->stranger_callee;
    uint64_t key;
    bool is_known = callee_key(core, req, &key);
    const struct pace *place = ways_of(core, key);

    tell_rate(req, settings->stranger_source, settings->written[SETTING_STRANGER_SOURCE],
              "one caller of another domain is let in % times a minute", NO_SLICE);
    tell_rate(req, rate, settings->written[SETTING_STRANGER_CALLEE],
              "all of them together % times a minute to %", req->uri.user);
    for (unsigned i = 0; is_known && rate && i < WAYS; i++)
        if (place[i].key == key && place[i].due + MINUTE / rate > req->now.boot + MINUTE) {
            why_step(req, S("limit"), settings->written[SETTING_STRANGER_CALLEE],
                     "and as many have come for % within the last", req->uri.user, NO_SLICE);
            return (struct fault){480, NULL};
        }
    return NO_FAULT;
}
