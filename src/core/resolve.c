#include "core/resolve.h"

#include "base/cursor.h"

enum slot { SLOT_IDLE, SLOT_WANTED, SLOT_ASKED, SLOT_TOLD };

/* Which question a slot stands for. */
#define SLOT_NAPTR 0u
#define SLOT_SERVICES 1u /* one for each */
#define SLOT_ADDRESSES (SLOT_SERVICES + RESOLVE_SERVICES)
#define FAMILIES 2u          /* IPv6, IPv4 */
#define TARGET_TLSA FAMILIES /* of the questions of one target, the one behind those */
#define TARGET_QUESTIONS (FAMILIES + 1u)

static struct slice text_of(const struct resolve *r, struct span span)
{
    return slice_of(r->text + span.at, span.len);
}

/* A copy that lives as long as the lookup; empty if there is no room. */
static struct span keep(struct resolve *r, struct slice before, struct slice text)
{
    struct writer w = writer_over(r->text, sizeof r->text);
    struct span span = {.at = r->text_len};

    w.len = r->text_len;
    write_slice(&w, before);
    for (size_t i = 0; i < text.len; i++)
        write_char(&w, ascii_lower(text.at[i]));
    if (w.failed)
        return span;
    span.len = (uint16_t)(w.len - r->text_len);
    r->text_len = (uint16_t)w.len;
    return span;
}

static void note_failure(struct resolve *r, enum dns_status status)
{
    if (status > r->worst)
        r->worst = (uint8_t)status;
}

/* ---- transports */

static bool is_offered(const struct resolve *r, enum transport transport)
{
    return r->wish.offered >> transport & 1 && (!r->wish.is_sips || transport == TRANSPORT_TLS);
}

/* sips is TLS, and over TCP alone (RFC 3261 26.2.2). */
static enum transport transport_named(const struct resolve_wish *wish)
{
    if (wish->is_sips && wish->transport == TRANSPORT_TCP)
        return TRANSPORT_TLS;
    return wish->transport;
}

/* 4.1: where neither the URI nor DNS names one. */
static enum transport transport_default(const struct resolve *r)
{
    static const enum transport order[] = {TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS};

    if (r->wish.transport)
        return r->wish.transport;
    for (unsigned i = 0; i < COUNT_OF(order); i++)
        if (is_offered(r, order[i]))
            return order[i];
    return TRANSPORT_OTHER;
}

static uint16_t port_default(enum transport transport)
{
    return transport == TRANSPORT_TLS ? 5061 : 5060; /* 4.2 */
}

/* ---- what is looked for */

static unsigned first_slot(unsigned target)
{
    return SLOT_ADDRESSES + target % 2 * TARGET_QUESTIONS;
}

#define TLSA_LABELS 12u /* bytes of the longest that stand before a server's name */

/* DNSSEC proves the way to its name, and its TLSA records can be asked for (RFC 7673 3). */
static bool may_have_tlsa(const struct resolve *r, const struct resolve_target *target)
{
    return target->transport == TRANSPORT_TLS && target->is_secure && target->name.len &&
           target->name.len <= DNS_NAME - TLSA_LABELS && !r->wish.is_elsewhere;
}

static void want_target(struct resolve *r, unsigned target)
{
    const bool wanted[TARGET_QUESTIONS] = {
        r->wish.has_v6 && !r->wish.is_for_proof,
        r->wish.has_v4 && !r->wish.is_for_proof,
        target < r->target_count && may_have_tlsa(r, &r->targets[target]),
    };
    uint8_t *slots = &r->slots[first_slot(target)];

    for (unsigned i = 0; target < r->target_count && i < TARGET_QUESTIONS; i++)
        if (slots[i] == SLOT_IDLE)
            slots[i] = wanted[i] ? SLOT_WANTED : SLOT_TOLD;
}

/* The domain itself is the server. */
static void add_host(struct resolve *r, enum transport transport, uint16_t port)
{
    r->targets[r->target_count++] = (struct resolve_target){
        .transport = (uint8_t)transport,
        .is_secure = true,
        .port = port ? port : port_default(transport),
        .name = r->host,
    };
    r->is_placed = true;
}

static void add_service(struct resolve *r, enum transport transport, struct span name,
                        bool is_secure)
{
    if (!name.len || r->service_count == RESOLVE_SERVICES)
        return;
    r->slots[SLOT_SERVICES + r->service_count] = SLOT_WANTED;
    r->services[r->service_count++] = (struct resolve_service){
        .transport = (uint8_t)transport,
        .is_secure = is_secure,
        .name = name,
    };
}

/* The services that RFC 3263 4.1 knows, as they are asked for where no record ranks them. */
static const struct {
    enum transport transport;
    struct slice prefix; /* of its SRV records */
    struct slice naptr;
} kinds[] = {
    {TRANSPORT_TLS, {"_sips._tcp.", 11}, {"SIPS+D2T", 8}},
    {TRANSPORT_TCP, {"_sip._tcp.", 10}, {"SIP+D2T", 7}},
    {TRANSPORT_UDP, {"_sip._udp.", 10}, {"SIP+D2U", 7}},
};

static void add_known_services(struct resolve *r)
{
    for (unsigned i = 0; i < COUNT_OF(kinds); i++)
        if (is_offered(r, kinds[i].transport) &&
            (!r->wish.transport || r->wish.transport == kinds[i].transport))
            add_service(r, kinds[i].transport, keep(r, kinds[i].prefix, text_of(r, r->host)), true);
}

static bool begin_numeric(struct resolve *r, const struct address_bytes *address)
{
    unsigned family = address->is_v6 ? 0 : 1;
    struct resolve_addresses *known = &r->addresses[0];

    if (address->is_v6 ? !r->wish.has_v6 : !r->wish.has_v4)
        return false;
    add_host(r, transport_default(r), r->wish.port);
    memset(&r->slots[first_slot(0)], SLOT_TOLD, TARGET_QUESTIONS);
    known->at[family][known->counts[family]++] = *address;
    known->is_secure[family] = true;
    return true;
}

bool resolve_begin(struct resolve *r, const struct resolve_wish *wish)
{
    struct address_bytes address;
    struct slice host = wish->host;

    memset(r, 0, sizeof *r);
    r->wish = *wish;
    r->wish.host = NO_SLICE;
    r->wish.transport = (uint8_t)transport_named(wish);
    if (!transport_default(r) || !is_offered(r, transport_default(r)))
        return false;
    if (host_numeric(host, &address))
        return begin_numeric(r, &address);
    if (host.len && host.at[host.len - 1] == '.')
        host.len--;
    if (!host.len || host.len > DNS_NAME)
        return false;
    r->host = keep(r, NO_SLICE, host);
    if (wish->port)
        add_host(r, transport_default(r), wish->port);
    else if (r->wish.transport)
        add_known_services(r);
    else
        r->slots[SLOT_NAPTR] = SLOT_WANTED;
    return r->is_placed || r->service_count || r->slots[SLOT_NAPTR];
}

/* ---- questions */

/* The target that a question about one is of: that at hand, or the next. */
static unsigned target_of(const struct resolve *r, unsigned slot)
{
    return slot - first_slot(r->at) < TARGET_QUESTIONS ? r->at : r->at + 1u;
}

static uint32_t question_id(const struct resolve *r, unsigned slot)
{
    return slot < SLOT_ADDRESSES ? slot : target_of(r, slot) << 8 | slot;
}

/* RFC 6698 3; empty if it would be longer than names are: then there is none. */
static struct slice name_tlsa(const struct resolve *r, const struct resolve_target *target,
                              struct resolve_question *question)
{
    struct writer w = writer_over(question->text, sizeof question->text);

    write_char(&w, '_');
    write_number(&w, target->port);
    write_slice(&w, S("._tcp."));
    write_slice(&w, text_of(r, target->name));
    return w.failed ? NO_SLICE : writer_slice(&w);
}

static void name_question(const struct resolve *r, unsigned slot, struct resolve_question *question)
{
    static const enum dns_type types[TARGET_QUESTIONS] = {DNS_AAAA, DNS_A, DNS_TLSA};

    question->id = question_id(r, slot);
    if (slot == SLOT_NAPTR) {
        question->type = DNS_NAPTR;
        question->name = text_of(r, r->host);
    } else if (slot < SLOT_ADDRESSES) {
        question->type = DNS_SRV;
        question->name = text_of(r, r->services[slot - SLOT_SERVICES].name);
    } else {
        const struct resolve_target *target = &r->targets[target_of(r, slot)];
        question->type = types[(slot - SLOT_ADDRESSES) % TARGET_QUESTIONS];
        question->name =
            question->type == DNS_TLSA ? name_tlsa(r, target, question) : text_of(r, target->name);
    }
}

bool resolve_ask(struct resolve *r, struct resolve_question *question)
{
    for (unsigned slot = 0; slot < RESOLVE_SLOTS; slot++) {
        if (r->slots[slot] != SLOT_WANTED)
            continue;
        name_question(r, slot, question);
        r->slots[slot] = question->name.len ? SLOT_ASKED : SLOT_TOLD;
        if (question->name.len)
            return true;
    }
    return false;
}

/* ---- answers */

/* A NAPTR record that we can use (4.1). */
struct choice {
    unsigned rank; /* order, and preference within it */
    enum transport transport;
    struct dns_name name;
};

static bool read_choice(const struct resolve *r, struct slice data, struct choice *choice)
{
    struct dns_naptr record;

    if (!dns_read_naptr(data, &record) || !slice_equal_nocase(record.flags, S("s")) ||
        !record.replacement.len)
        return false;
    for (unsigned i = 0; i < COUNT_OF(kinds); i++)
        if (slice_equal_nocase(record.services, kinds[i].naptr) &&
            is_offered(r, kinds[i].transport)) {
            choice->rank = (unsigned)record.order << 16 | record.preference;
            choice->transport = kinds[i].transport;
            choice->name = record.replacement;
            return true;
        }
    return false;
}

static void tell_naptr(struct resolve *r, const struct dns_answer *answer)
{
    struct choice best[RESOLVE_SERVICES];
    unsigned count = 0;

    if (answer->status == DNS_BOGUS) {
        note_failure(r, DNS_BOGUS);
        r->is_placed = true;
        return;
    }
    for (unsigned i = 0; i < answer->count; i++) {
        struct choice choice;
        unsigned at = count;
        if (!read_choice(r, answer->data[i], &choice))
            continue;
        for (; at && best[at - 1].rank > choice.rank; at--)
            if (at < RESOLVE_SERVICES)
                best[at] = best[at - 1];
        if (at == RESOLVE_SERVICES)
            continue;
        best[at] = choice;
        count += count < RESOLVE_SERVICES;
    }
    for (unsigned i = 0; i < count; i++)
        add_service(r, best[i].transport, keep(r, NO_SLICE, dns_text(&best[i].name)),
                    answer->is_secure);
    if (!r->service_count)
        add_known_services(r);
}

/* Higher ones are of no use before all lower ones have failed (RFC 2782). */
static unsigned read_servers(const struct dns_answer *answer,
                             struct dns_srv servers[RESOLVE_SERVERS], bool *is_withdrawn)
{
    unsigned count = 0;

    for (unsigned i = 0; i < answer->count; i++) {
        struct dns_srv srv;
        unsigned at = count;
        if (!dns_read_srv(answer->data[i], &srv))
            continue;
        *is_withdrawn |= !srv.target.len;
        if (!srv.target.len || !srv.port)
            continue;
        for (; at && servers[at - 1].priority > srv.priority; at--)
            if (at < RESOLVE_SERVERS)
                servers[at] = servers[at - 1];
        if (at == RESOLVE_SERVERS)
            continue;
        servers[at] = srv;
        count += count < RESOLVE_SERVERS;
    }
    return count;
}

static void tell_service(struct resolve *r, unsigned index, const struct dns_answer *answer)
{
    const struct resolve_service *service = &r->services[index];
    struct dns_srv servers[RESOLVE_SERVERS];
    bool is_withdrawn = false;
    unsigned count = read_servers(answer, servers, &is_withdrawn);

    if (answer->status > DNS_NOTHING)
        note_failure(r, answer->status);
    r->lacks_tls |= answer->status == DNS_FAILED && service->transport == TRANSPORT_TLS;
    r->is_withdrawn |= is_withdrawn && !count;
    for (unsigned i = 0; i < count; i++) {
        struct span name = keep(r, NO_SLICE, dns_text(&servers[i].target));
        if (name.len)
            r->targets[r->target_count++] = (struct resolve_target){
                .transport = service->transport,
                .service = (uint8_t)index,
                .is_secure = service->is_secure && answer->is_secure,
                .priority = servers[i].priority,
                .weight = servers[i].weight,
                .port = servers[i].port,
                .name = name,
            };
    }
}

/* ---- the order of servers */

static bool is_before(const struct resolve_target *a, const struct resolve_target *b)
{
    if (a->service != b->service)
        return a->service < b->service;
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return !a->weight && b->weight; /* as RFC 2782 asks of its draw */
}

static bool is_equal(const struct resolve_target *a, const struct resolve_target *b)
{
    return a->service == b->service && a->priority == b->priority;
}

static void move_to(struct resolve_target *targets, unsigned from, unsigned to)
{
    struct resolve_target moved = targets[from];

    for (; from > to; from--)
        targets[from] = targets[from - 1];
    targets[to] = moved;
}

static void sort_targets(struct resolve *r)
{
    for (unsigned i = 1; i < r->target_count; i++) {
        unsigned to = i;
        while (to && is_before(&r->targets[i], &r->targets[to - 1]))
            to--;
        move_to(r->targets, i, to);
    }
}

/* RFC 2782: of those with one priority, each comes first as often as its weight says. */
static void draw_targets(struct resolve *r, struct random *random)
{
    for (unsigned first = 0; first < r->target_count; first++) {
        uint64_t sum = 0;
        unsigned end = first, drawn = first;
        for (; end < r->target_count && is_equal(&r->targets[end], &r->targets[first]); end++)
            sum += r->targets[end].weight;
        uint64_t mark = random_below(random, sum + 1), passed = r->targets[first].weight;
        while (passed < mark)
            passed += r->targets[++drawn].weight;
        move_to(r->targets, drawn, first);
    }
}

static bool are_services_told(const struct resolve *r)
{
    for (unsigned i = 0; i < r->service_count; i++)
        if (r->slots[SLOT_SERVICES + i] != SLOT_TOLD)
            return false;
    return r->service_count != 0;
}

/* Somebody in the way of a signed domain, who cannot forge its records, may still have dropped
 * those of TLS. */
static bool may_be_downgraded(const struct resolve *r)
{
    for (unsigned i = 0; r->lacks_tls && i < r->target_count; i++)
        if (r->targets[i].is_secure)
            return true;
    return false;
}

/* All services are known: 4.2, and where there are none the domain itself. */
static void settle(struct resolve *r, struct random *random)
{
    if (r->worst == DNS_BOGUS || may_be_downgraded(r))
        r->target_count = 0;
    sort_targets(r);
    draw_targets(r, random);
    if (!r->target_count && r->worst == DNS_FOUND && !r->is_withdrawn)
        add_host(r, transport_default(r), 0);
    r->is_placed = true;
}

static void tell_addresses(struct resolve *r, unsigned target, unsigned family,
                           const struct dns_answer *answer)
{
    struct resolve_addresses *known = &r->addresses[target % 2];

    if (answer->status != DNS_FOUND)
        note_failure(r, answer->status);
    known->is_secure[family] = answer->is_secure;
    for (unsigned i = 0; i < answer->count && known->counts[family] < RESOLVE_ADDRESSES / 2; i++)
        if (dns_read_address(answer->data[i], family == 0,
                             &known->at[family][known->counts[family]]))
            known->counts[family]++;
}

static bool keep_record(struct resolve *r, struct slice data)
{
    struct writer w = writer_over(r->tlsa, sizeof r->tlsa);

    w.len = r->tlsa_len;
    write_counted(&w, data);
    if (!w.failed)
        r->tlsa_len = (uint16_t)w.len;
    return !w.failed;
}

/* Those that can be used (RFC 7673 3.3): without one it is as if there were none, but not where
 * none found room. */
static void tell_tlsa(struct resolve *r, unsigned index, const struct dns_answer *answer)
{
    struct resolve_target *target = &r->targets[index];
    unsigned count = 0;
    bool has_lost_one = false;
    struct tlsa tlsa;

    target->records.at = r->tlsa_len;
    for (unsigned i = 0; answer->is_secure && i < answer->count && count < TLSA_LIMIT; i++) {
        if (!dns_read_tlsa(answer->data[i], &tlsa))
            continue;
        if (keep_record(r, answer->data[i]))
            count++;
        else
            has_lost_one = true;
    }
    target->records.len = (uint16_t)(r->tlsa_len - target->records.at);
    target->tlsa = answer->status == DNS_BOGUS                    ? RESOLVE_TLSA_FORGED
                   : count                                        ? RESOLVE_TLSA_USABLE
                   : has_lost_one || answer->status == DNS_FAILED ? RESOLVE_TLSA_FAILED
                                                                  : RESOLVE_TLSA_NONE;
}

static void tell_target(struct resolve *r, unsigned slot, const struct dns_answer *answer)
{
    unsigned target = target_of(r, slot), question = slot - first_slot(target);

    if (question == TARGET_TLSA)
        tell_tlsa(r, target, answer);
    else
        tell_addresses(r, target, question, answer);
}

void resolve_tell(struct resolve *r, uint32_t id, const struct dns_answer *answer,
                  struct random *random)
{
    unsigned slot = id & 0xff;

    assert(answer->count <= DNS_RECORDS && slot < RESOLVE_SLOTS);
    if (r->slots[slot] != SLOT_ASKED || question_id(r, slot) != id)
        return;
    r->slots[slot] = SLOT_TOLD;
    if (slot >= SLOT_ADDRESSES) {
        tell_target(r, slot, answer);
        return;
    }
    if (slot == SLOT_NAPTR)
        tell_naptr(r, answer);
    else
        tell_service(r, slot - SLOT_SERVICES, answer);
    if (!r->is_placed && are_services_told(r))
        settle(r, random);
}

/* ---- places */

static bool are_addresses_told(const struct resolve *r)
{
    const uint8_t *slots = &r->slots[first_slot(r->at)];

    return slots[0] == SLOT_TOLD && slots[1] == SLOT_TOLD;
}

/* One family after the other, IPv6 first (RFC 8305 4), as far as they are known; FAMILIES if there
 * are no more. */
static unsigned next_family(const struct resolve *r, const struct resolve_addresses *known)
{
    bool has_six = r->given[0] < known->counts[0], has_four = r->given[1] < known->counts[1];

    if (has_six && (!has_four || r->given[0] <= r->given[1]))
        return 0;
    return has_four ? 1 : FAMILIES;
}

/* A place that DNSSEC proves all of is not known before its TLSA records are, or that it has none.
 */
static bool lacks_tlsa(const struct resolve *r)
{
    const struct resolve_addresses *known = &r->addresses[r->at % 2];
    unsigned family = next_family(r, known);

    return (r->wish.is_for_proof || (family != FAMILIES && known->is_secure[family])) &&
           r->slots[first_slot(r->at) + TARGET_TLSA] != SLOT_TOLD;
}

/* RFC 7673 4: false for a server that is not to be used. */
static bool may_use(struct resolve *r, const struct resolve_place *place)
{
    unsigned tlsa = place->is_secure ? r->targets[r->at].tlsa : RESOLVE_TLSA_NONE;

    r->is_bound |= tlsa != RESOLVE_TLSA_NONE;
    if (tlsa > RESOLVE_TLSA_USABLE)
        note_failure(r, tlsa == RESOLVE_TLSA_FORGED ? DNS_BOGUS : DNS_FAILED);
    return tlsa <= RESOLVE_TLSA_USABLE;
}

/* A server that is to prove something, and not to be reached: once, and without an address. */
static bool take_proof(struct resolve *r, struct resolve_place *place)
{
    const struct resolve_target *target = &r->targets[r->at];

    *place = (struct resolve_place){
        .transport = target->transport,
        .port = target->port,
        .server = text_of(r, target->name),
        .is_secure = true,
        .has_tlsa = true,
        .target = r->at,
    };
    return !r->given[0]++ && target->tlsa == RESOLVE_TLSA_USABLE;
}

/* The next address of the target at hand in that family. */
static struct resolve_place place_in(const struct resolve *r, unsigned family)
{
    const struct resolve_target *target = &r->targets[r->at];
    const struct resolve_addresses *known = &r->addresses[r->at % 2];
    bool is_secure = target->is_secure && known->is_secure[family];

    return (struct resolve_place){
        .transport = target->transport,
        .port = target->port,
        .address = known->at[family][r->given[family]],
        .server = text_of(r, target->name),
        .is_secure = is_secure,
        .has_tlsa = is_secure && target->tlsa == RESOLVE_TLSA_USABLE,
        .target = r->at,
    };
}

static bool take_place(struct resolve *r, struct resolve_place *place)
{
    unsigned family;

    while ((family = next_family(r, &r->addresses[r->at % 2])) != FAMILIES) {
        *place = place_in(r, family);
        r->given[family]++;
        if (may_use(r, place))
            return true;
    }
    return false;
}

void resolve_demand(const struct resolve *r, unsigned target, bool has_tlsa, struct peer_plan *plan)
{
    const struct resolve_target *at = &r->targets[target];
    struct reader records = reader_over(slice_of(r->tlsa + at->records.at, at->records.len));

    plan->server = text_of(r, at->name);
    plan->tlsa_count = 0;
    while (has_tlsa && records.rest.len)
        dns_read_tlsa(read_counted(&records), &plan->tlsa[plan->tlsa_count++]);
}

/* A server without an address still binds its domain by its TLSA records: else it would be enough
 * to drop the addresses.  False: those are not known yet. */
static bool bind_by_unplaced(struct resolve *r)
{
    const struct resolve_addresses *known = &r->addresses[r->at % 2];
    const struct resolve_target *target = &r->targets[r->at];

    if (known->counts[0] || known->counts[1] || !may_have_tlsa(r, target))
        return true;
    r->is_bound |= target->tlsa != RESOLVE_TLSA_NONE;
    return r->slots[first_slot(r->at) + TARGET_TLSA] == SLOT_TOLD;
}

static bool is_barred(const struct resolve *r)
{
    return r->is_bound && r->targets[r->at].transport != TRANSPORT_TLS;
}

static void leave_target(struct resolve *r)
{
    memset(&r->slots[first_slot(r->at)], SLOT_IDLE, TARGET_QUESTIONS);
    r->addresses[r->at % 2] = (struct resolve_addresses){.counts = {0, 0}};
    r->at++;
    memset(r->given, 0, sizeof r->given);
    r->is_hurried = false;
}

enum resolve_result resolve_next(struct resolve *r, struct resolve_place *place)
{
    if (!r->is_placed)
        return RESOLVE_WAIT;
    for (; r->at < r->target_count; leave_target(r)) {
        if (is_barred(r))
            continue;
        want_target(r, r->at);
        want_target(r, r->at + 1u);
        if ((!are_addresses_told(r) && !r->is_hurried) || lacks_tlsa(r))
            return RESOLVE_WAIT;
        if (r->wish.is_for_proof ? take_proof(r, place) : take_place(r, place))
            return RESOLVE_PLACE;
        if (!are_addresses_told(r)) {
            r->is_hurried = false; /* what came is used up */
            return RESOLVE_WAIT;
        }
        if (!bind_by_unplaced(r))
            return RESOLVE_WAIT;
    }
    return RESOLVE_NONE;
}

bool resolve_peek(const struct resolve *r, struct resolve_place *place)
{
    unsigned family;

    if (!r->is_placed || r->at == r->target_count || is_barred(r) || r->wish.is_for_proof)
        return false;
    family = next_family(r, &r->addresses[r->at % 2]);
    if (family == FAMILIES || lacks_tlsa(r))
        return false;
    *place = place_in(r, family);
    return !place->is_secure || r->targets[r->at].tlsa <= RESOLVE_TLSA_USABLE;
}

void resolve_pass(struct resolve *r)
{
    r->given[next_family(r, &r->addresses[r->at % 2])]++;
}

bool resolve_may_grow(const struct resolve *r)
{
    return r->is_placed && r->at < r->target_count && !are_addresses_told(r);
}

bool resolve_may_hurry(const struct resolve *r)
{
    const struct resolve_addresses *known = &r->addresses[r->at % 2];

    return r->is_placed && r->at < r->target_count && !are_addresses_told(r) && !r->is_hurried &&
           next_family(r, known) != FAMILIES;
}

void resolve_hurry(struct resolve *r)
{
    r->is_hurried = true;
}

void resolve_give_up(struct resolve *r, struct random *random)
{
    unsigned first = r->is_placed ? first_slot(r->at) : SLOT_NAPTR;
    unsigned end = r->is_placed ? first + TARGET_QUESTIONS : SLOT_ADDRESSES;
    uint8_t asked[RESOLVE_SLOTS];

    if (r->is_placed && r->at == r->target_count)
        return;
    memcpy(asked, r->slots, sizeof asked);
    for (unsigned slot = first; slot < end; slot++)
        if (asked[slot] == SLOT_ASKED)
            resolve_tell(r, question_id(r, slot), &(struct dns_answer){.status = DNS_FAILED},
                         random);
}

/* SRV records name them; without any the domain is asked for its own address. */
static bool has_servers(const struct resolve *r)
{
    return r->target_count && r->targets[0].name.at != r->host.at;
}

struct fault resolve_fault(const struct resolve *r)
{
    switch (r->worst) {
    case DNS_BOGUS: return (struct fault){502, "DNS Answer Is Forged"};
    case DNS_FAILED: return (struct fault){504, "DNS Does Not Answer"};
    default: break;
    }
    return has_servers(r) ? (struct fault){502, "No Server Of That Domain Has An Address In Reach"}
                          : (struct fault){404, "No SIP Server In That Domain"};
}
