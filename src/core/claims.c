#include "core/claims.h"

#include "core/awaited.h"
#include "core/credential.h"
#include "core/locate.h"
#include "core/policy.h"
#include "core/proxy.h"
#include "core/resolve.h"

#define GOOD_LIFE SECONDS(3600)  /* a key that was taken out of DNS proves so long */
#define BAD_LIFE SECONDS(30)     /* nobody makes us look more often for what is not there */
#define PATIENCE SECONDS(5)      /* a caller still waits then */
#define MARK (UINT64_C(1) << 63) /* of a claim's question, which no other lookup has */

/* What DNS is asked of one claim. */
struct claim_lookup {
    uint32_t claim; /* 1 + its place; 0 = the lookup is free */
    uint8_t domain_len;
    uint16_t credential_len;
    char domain[NAME_LIMIT];
    char credential[CREDENTIAL_BYTES];
    struct resolve resolve;
};

size_t claims_bytes(void)
{
    return sizeof(struct kept_claim) * CLAIMS_TABLE + sizeof(struct claim_lookup) * CLAIM_LOOKUPS +
           2 * 64;
}

void claims_init(struct core *core, struct arena *from)
{
    core->claims = arena_take(from, sizeof(struct kept_claim) * CLAIMS_TABLE);
    core->claim_lookups = arena_take(from, sizeof(struct claim_lookup) * CLAIM_LOOKUPS);
    assert(core->claims && core->claim_lookups);
}

/* ---- what is known */

static struct hash128 key_of(const struct core *core, struct slice credential, struct slice domain)
{
    char bytes[64];
    struct writer w = writer_over(bytes, sizeof bytes);

    write_u64(&w, policy_hash(core, domain));
    write_slice(&w, credential_name(credential));
    return hash_bytes_wide(&core->key_table, writer_slice(&w));
}

static struct awaited_table table(const struct core *core)
{
    return (struct awaited_table){core->claims, sizeof *core->claims, CLAIMS_TABLE};
}

static struct kept_claim *find(const struct core *core, const struct hash128 *key)
{
    struct awaited_table all = table(core);
    struct awaited *found = awaited_find(&all, key);

    return found ? CONTAINER(found, struct kept_claim, awaited) : NULL;
}

enum claim_state claims_look(const struct core *core, struct slice credential, struct slice domain)
{
    struct hash128 key;
    const struct kept_claim *kept;

    if (!credential.len)
        return CLAIM_NONE;
    key = key_of(core, credential, domain);
    kept = find(core, &key);
    if (!kept || kept->awaited.until <= core->now.boot)
        return CLAIM_UNKNOWN;
    return kept->is_proven ? CLAIM_PROVEN : CLAIM_REFUTED;
}

/* ---- what is found */

static void settle(struct core *core, struct kept_claim *kept, bool is_proven, struct moment now,
                   struct actions *out)
{
    struct claim_lookup *lookup = &core->claim_lookups[kept->lookup];
    struct context *context;

    if (is_proven)
        policy_note(core, policy_hash(core, slice_of(lookup->domain, lookup->domain_len)), false,
                    now, out);
    lookup->claim = 0;
    kept->awaited.question = 0;
    timer_clear(&core->timers, &kept->awaited.timer);
    kept->is_proven = is_proven;
    kept->awaited.until = now.boot + (is_proven ? GOOD_LIFE : BAD_LIFE);
    context = awaited_next(core, &kept->awaited, now.boot);
    if (context)
        proxy_proven(core, context, now, out);
}

static bool is_match(const struct core *core, const struct claim_lookup *lookup,
                     const struct resolve_place *place)
{
    struct peer_plan plan = {.domain = slice_of(lookup->domain, lookup->domain_len)};
    struct credential credential;

    resolve_demand(&lookup->resolve, place->target, place->has_tlsa, &plan);
    return credential_read(slice_of(lookup->credential, lookup->credential_len), &credential) &&
           credential_matches(&credential, &plan, core->digests->hash[ALGORITHM_SHA256]);
}

/* As far as DNS has answered: a server that the credential is of, or that there is none; false if
 * there is more to come. */
static bool look(struct core *core, struct kept_claim *kept, bool *is_proven, struct actions *out)
{
    struct claim_lookup *lookup = &core->claim_lookups[kept->lookup];
    enum resolve_result result;
    struct resolve_place place;

    *is_proven = false;
    do {
        result = resolve_next(&lookup->resolve, &place);
        if (result == RESOLVE_PLACE)
            *is_proven = is_match(core, lookup, &place);
    } while (result == RESOLVE_PLACE && !*is_proven);
    if (result == RESOLVE_WAIT)
        locate_ask(&lookup->resolve, kept->awaited.question, out);
    return result != RESOLVE_WAIT;
}

bool claims_asked(uint64_t question)
{
    return question & MARK;
}

void claims_tell(struct core *core, uint64_t question, const struct dns_answer *answer,
                 struct moment now, struct actions *out)
{
    unsigned place = (question >> 16) % CLAIM_LOOKUPS;
    struct claim_lookup *lookup = &core->claim_lookups[place];
    struct kept_claim *kept = lookup->claim ? &core->claims[lookup->claim - 1] : NULL;
    bool is_proven;

    if (!kept || kept->awaited.question != (question & ~UINT64_C(0xffff)))
        return;
    resolve_tell(&lookup->resolve, (uint32_t)question & 0xffff, answer, &core->random);
    if (look(core, kept, &is_proven, out))
        settle(core, kept, is_proven, now, out);
}

void claims_expire(struct core *core, struct kept_claim *kept, struct moment now,
                   struct actions *out)
{
    struct context *context;

    if (kept->awaited.question) {
        settle(core, kept, false, now, out);
        return;
    }
    context = awaited_next(core, &kept->awaited, now.boot);
    if (context)
        proxy_proven(core, context, now, out);
}

/* ---- waiting */

static struct claim_lookup *free_lookup(struct core *core)
{
    for (unsigned i = 0; i < CLAIM_LOOKUPS; i++)
        if (!core->claim_lookups[i].claim)
            return &core->claim_lookups[i];
    return NULL;
}

uint32_t claims_under_way(const struct core *core)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < CLAIM_LOOKUPS; i++)
        count += core->claim_lookups[i].claim != 0;
    return count;
}

/* False if there is nothing to be asked of such a domain. */
static bool begin(struct claim_lookup *lookup, struct slice credential, struct slice domain)
{
    const struct resolve_wish wish = {
        .host = domain,
        .is_sips = true,
        .is_for_proof = true,
        .offered = 1u << TRANSPORT_TLS,
    };

    if (domain.len > sizeof lookup->domain || credential.len > sizeof lookup->credential)
        return false;
    memcpy(lookup->domain, domain.at, domain.len);
    memcpy(lookup->credential, credential.at, credential.len);
    lookup->domain_len = (uint8_t)domain.len;
    lookup->credential_len = (uint16_t)credential.len;
    return resolve_begin(&lookup->resolve, &wish);
}

static struct kept_claim *make_place(struct core *core, const struct hash128 *key)
{
    struct awaited_table all = table(core);
    struct awaited *place = awaited_place(core, &all, key);
    struct kept_claim *chosen = place ? CONTAINER(place, struct kept_claim, awaited) : NULL;

    if (chosen)
        *chosen = (struct kept_claim){.awaited = {.key = *key, .timer.kind = TIMER_CLAIM}};
    return chosen;
}

/* The claim, being asked for; NULL if that cannot be. */
static struct kept_claim *ask(struct core *core, const struct hash128 *key, struct slice credential,
                              struct slice domain, struct actions *out)
{
    struct claim_lookup *lookup = free_lookup(core);
    struct kept_claim *kept = find(core, key);
    bool is_proven;

    if (!lookup || !begin(lookup, credential, domain))
        return NULL;
    if (!kept)
        kept = make_place(core, key);
    if (!kept)
        return NULL;
    kept->lookup = (uint32_t)(lookup - core->claim_lookups);
    kept->awaited.question =
        MARK | (++core->claims_asked & 0xffffffff) << 24 | (uint64_t)kept->lookup << 16;
    lookup->claim = (uint32_t)(kept - core->claims) + 1;
    timer_set(&core->timers, &kept->awaited.timer, core->now.boot + PATIENCE);
    look(core, kept, &is_proven, out); /* nothing is known yet: it asks */
    return kept;
}

bool claims_await(struct core *core, struct slice credential, struct slice domain,
                  struct context *context, struct actions *out)
{
    struct hash128 key = key_of(core, credential, domain);
    struct kept_claim *kept = find(core, &key);

    if (!awaited_has_room(core))
        return false;
    if (!kept || !kept->awaited.question)
        kept = ask(core, &key, credential, domain, out);
    if (!kept)
        return false;
    awaited_join(core, CERTIFICATES_TABLE + (uint32_t)(kept - core->claims) + 1, context);
    return true;
}
