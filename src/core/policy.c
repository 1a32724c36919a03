#include "core/policy.h"

#include "core/fault.h"
#include "core/peer.h"
#include "core/record.h"

#define NOTED_AGAIN (24 * 3600) /* seconds: until what is remembered is written anew */
#define TOLD_AGAIN SECONDS(3600)
#define SOUGHT ((uint64_t)1 << 62) /* beside the seconds in a record */

size_t policy_bytes(void)
{
    return pool_bytes(sizeof(struct proven_domain), PROVEN_LIMIT) + table_bytes(PROVEN_LIMIT);
}

void policy_init(struct core *core, struct arena *from)
{
    pool_init(&core->proven, from, sizeof(struct proven_domain), PROVEN_LIMIT, 1);
    table_init(&core->proven_by_domain, from, PROVEN_LIMIT, core->proven.items,
               sizeof(struct proven_domain), offsetof(struct proven_domain, by_domain));
}

uint64_t policy_hash(const struct core *core, struct slice domain)
{
    char lower[NAME_LIMIT];
    size_t len = min_u64(domain.len, sizeof lower);

    if (len && domain.at[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len; i++)
        lower[i] = ascii_lower(domain.at[i]);
    return hash_sign(&core->key_table, slice_of(lower, len)) | 1u;
}

static struct proven_domain *find(const struct core *core, uint64_t domain)
{
    for (uint32_t i = table_first(&core->proven_by_domain, (uint32_t)domain); i;
         i = table_next(&core->proven_by_domain, i)) {
        struct proven_domain *proven = pool_at(&core->proven, i);
        if (proven->domain == domain)
            return proven;
    }
    return NULL;
}

static void forget(struct core *core, struct proven_domain *proven)
{
    table_remove(&core->proven_by_domain, pool_index(&core->proven, proven));
    pool_give(&core->proven, proven);
}

static bool goes_before(const struct proven_domain *a, const struct proven_domain *b)
{
    return a->is_sought != b->is_sought ? b->is_sought : a->until < b->until;
}

/* Where there is no room, one that came by itself is forgotten now, or else any: the one that would
 * be first. */
static void make_room(struct core *core)
{
    struct proven_domain *first = NULL;

    if (core->proven.live < core->proven.limit)
        return;
    for (uint32_t i = 1; i <= core->proven.used; i++) {
        struct proven_domain *proven = pool_live_at(&core->proven, i);
        if (proven && (!first || goes_before(proven, first)))
            first = proven;
    }
    forget(core, first);
}

static struct proven_domain *enter(struct core *core, uint64_t domain)
{
    struct proven_domain *proven;

    make_room(core);
    proven = pool_take(&core->proven);
    proven->domain = domain;
    proven->is_sought = false;
    table_insert(&core->proven_by_domain, pool_index(&core->proven, proven), (uint32_t)domain);
    return proven;
}

static const struct domain_settings *named(const struct settings *settings, struct slice domain)
{
    for (unsigned i = 0; i < settings->domain_count; i++)
        if (slice_equal_nocase(settings->domains[i].name, domain))
            return &settings->domains[i];
    return NULL;
}

static uint8_t configured(const struct settings *settings, struct slice domain)
{
    const struct domain_settings *row = named(settings, domain);

    return row ? row->policy : settings->policy;
}

struct written policy_written(const struct core *core, struct slice domain)
{
    const struct domain_settings *row = named(core->settings, domain);

    return row ? row->written : core->settings->written[SETTING_POLICY];
}

bool policy_is_remembered(const struct core *core, struct slice domain, int64_t wall)
{
    const struct proven_domain *proven;

    if (configured(core->settings, domain) != POLICY_OPPORTUNISTIC)
        return false;
    proven = find(core, policy_hash(core, domain));
    return proven && proven->until > wall;
}

uint8_t policy_of(const struct core *core, struct slice domain, int64_t wall)
{
    return policy_is_remembered(core, domain, wall) ? POLICY_VERIFIED
                                                    : configured(core->settings, domain);
}

void policy_persist(const struct proven_domain *proven, struct actions *out)
{
    write_u64(record_begin(out, RECORD_PROVEN, proven->domain),
              (uint64_t)proven->until | (proven->is_sought ? SOUGHT : 0));
    record_end(out);
}

void policy_note(struct core *core, uint64_t domain, bool is_sought, struct moment now,
                 struct actions *out)
{
    struct proven_domain *proven = find(core, domain);
    int64_t until = now.wall + (fault_is(FAULT_PROOF_SHORT) ? 7 * 24 * 3600 : POLICY_MEMORY);

    if (proven && until - proven->until < NOTED_AGAIN && proven->until <= until &&
        proven->is_sought >= is_sought)
        return;
    if (!proven)
        proven = enter(core, domain);
    proven->until = until;
    proven->is_sought |= is_sought;
    if (record_wanted(core) && !fault_is(FAULT_PROOF_FORGOTTEN))
        policy_persist(proven, out);
}

void policy_tell(struct core *core, struct slice domain, instant now, struct actions *out)
{
    struct proven_domain *proven = find(core, policy_hash(core, domain));
    struct writer *w = &out->bytes;
    size_t start = w->len;

    if (!proven || now < proven->quiet)
        return;
    proven->quiet = now + TOLD_AGAIN;
    write_slice(w, domain);
    write_slice(w,
                S(" has proven itself by TLS in the last thirty days, and DNS names no server of "
                  "TLS for it now: calls to it are refused; if it has given TLS up: sipwitch "
                  "forget "));
    write_slice(w, domain);
    actions_push(
        out, (struct action){.kind = ACTION_LOG, .bytes = slice_of(w->at + start, w->len - start)});
}

bool policy_forget(struct core *core, struct slice domain, struct actions *out)
{
    struct proven_domain *proven = find(core, policy_hash(core, domain));

    if (!proven)
        return false;
    proven->until = 0;
    policy_persist(proven, out);
    forget(core, proven);
    return true;
}

void policy_restore(struct core *core, struct reader *r)
{
    uint64_t domain = read_u64(r);
    uint64_t word = read_u64(r);
    int64_t until = (int64_t)(word & ~SOUGHT);
    struct proven_domain *proven;

    if (r->failed)
        return;
    proven = find(core, domain);
    if (until && !proven)
        proven = enter(core, domain);
    if (until) {
        proven->until = until;
        proven->is_sought = word & SOUGHT;
    } else if (proven) {
        forget(core, proven);
    }
}
