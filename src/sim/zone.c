#include "sim/zone.h"

#include "sim/copy.h"
#include "sim/letter.h"
#include "sim/sim.h"
#include "sim/trace.h"
#include "sip/address.h"

/* A question under way. */
struct asked {
    struct dns_question question;
    char name[DNS_NAME + 1];
    bool is_failed, is_forged, is_hidden;
};

bool zone_is_seed(uint64_t seed)
{
    return seed % 3 == 2;
}

bool zone_is_secure(uint64_t seed)
{
    return zone_is_seed(seed) && seed / 3 % 2 == 0;
}

/* -- the domains -- */

void zone_throw_trust(struct sim *sim, uint64_t seed)
{
    static const struct slice names[ZONES] = {S("d0.example"), S("d1.example"), S("d2.example")};
    struct zones *z = &sim->zones;
    struct random signing = random_seeded((struct hash_key){seed, 0x746c7361});

    z->trust = random_seeded((struct hash_key){seed, 0x74727573});
    for (unsigned i = 0; i < ZONES; i++) {
        unsigned thrown = (unsigned)random_below(&z->trust, 10);
        z->at[i].has_tls = dice_chance(&z->trust, 800);
        z->at[i].certificate = thrown < 7   ? CERTIFICATE_OWN
                               : thrown < 9 ? CERTIFICATE_NONE
                                            : CERTIFICATE_OTHER;
        z->settings[i] = (struct domain_settings){
            names[i], dice_chance(&z->trust, 300) ? POLICY_VERIFIED : POLICY_OPPORTUNISTIC};
        z->at[i].has_tlsa = z->at[i].has_tls && dice_chance(&signing, 400);
        if (dice_chance(&signing, z->at[i].has_tlsa ? 300 : 50))
            z->settings[i].policy = POLICY_DANE;
    }
}

static const struct phone *phone_of(const struct sim *sim, unsigned zone)
{
    return &sim->phones[sim->foreign_first + zone];
}

/* The one that is busy comes behind those of the domains. */
static const struct phone *busy_phone(const struct sim *sim)
{
    return phone_of(sim, ZONES);
}

static struct flow dead_flow(unsigned zone, unsigned server, uint16_t port)
{
    return (struct flow){
        .transport = TRANSPORT_UDP,
        .socket = SOCKET_V4,
        .port = port,
        .address = {93, 184, 250, (uint8_t)(zone * ZONE_SERVERS + server + 1)},
    };
}

static void put_server(struct sim *sim, unsigned zone, enum zone_server_kind kind)
{
    struct zones *z = &sim->zones;
    struct zone *at = &z->at[zone];
    unsigned index = at->count++;
    struct zone_server *server = &at->servers[index];

    *server = (struct zone_server){
        .kind = kind,
        .flow = kind == SERVER_LIVE    ? phone_of(sim, zone)->address
                : kind == SERVER_BUSY  ? busy_phone(sim)->address
                : kind == SERVER_OTHER ? phone_of(sim, (zone + 1) % ZONES)->address
                                       : dead_flow(zone, index, 5060),
        .tls_port = 5061,
        .has_dead_v6 = dice_chance(&z->dice, 200),
        .priority = (uint16_t)dice_between(&z->dice, 1, 3),
        .weight = (uint16_t)random_below(&z->dice, 3),
    };
    if (kind == SERVER_SECLUDED)
        memcpy(server->flow.address, (uint8_t[4]){127, 0, 0, 1}, 4);
}

/* Its server takes streams of TLS. */
static void open_door(struct sim *sim, unsigned zone)
{
    struct phone *phone = &sim->phones[sim->foreign_first + zone];

    phone->door = phone->address;
    phone->door.transport = TRANSPORT_TLS;
    phone->door.socket = SOCKET_TLS_V4;
    phone->door.port = 5061;
}

void zone_init(struct sim *sim, uint64_t seed)
{
    struct zones *z = &sim->zones;

    z->dice = random_seeded((struct hash_key){seed, 0x7a6f6e65});
    for (unsigned i = 0; i < ZONES; i++) {
        z->at[i].has_naptr = dice_chance(&z->dice, 500);
        z->at[i].has_tcp = dice_chance(&z->dice, 400);
        put_server(sim, i, SERVER_LIVE);
        for (uint64_t n = random_below(&z->dice, 3); n > 0; n--)
            put_server(sim, i, SERVER_DEAD);
        if (dice_chance(&z->dice, 500))
            put_server(sim, i, SERVER_BUSY);
        if (dice_chance(&z->dice, 300))
            put_server(sim, i, SERVER_SECLUDED);
        if (z->at[i].has_tls)
            open_door(sim, i);
        if (z->settings[i].policy != POLICY_OPPORTUNISTIC)
            put_server(sim, i, SERVER_OTHER);
    }
}

void zone_write_target(struct sim *sim, struct writer *w)
{
    unsigned i = (unsigned)random_below(&sim->zones.dice, ZONES);

    if (dice_chance(&sim->zones.dice, 50)) {
        put(w, "sip:nobody@d%u.example", i + ZONES);
        return;
    }
    put(w, "sip:f%u@d%u.example", i, i);
    if (dice_chance(&sim->zones.dice, 250) && !sim->has_secure)
        put(w, ":%u", phone_of(sim, i)->address.port);
}

/* "d1.example", and what stands before it; false for other names. */
static bool read_name(struct slice name, unsigned *zone, struct slice *prefix)
{
    static const struct slice domain = S(".example");
    size_t end = name.len < domain.len + 2 ? 0 : name.len - domain.len;

    if (!end || !slice_equal(slice_from(name, end), domain) || name.at[end - 2] != 'd')
        return false;
    *zone = (unsigned)(name.at[end - 1] - '0');
    *prefix = slice_until(name, end - 2);
    return *zone < ZONES;
}

static bool leads_by_tls(const struct zone *at, const struct flow *flow)
{
    for (unsigned i = 0; i < at->count; i++)
        if (at->servers[i].kind != SERVER_SECLUDED && flow->port == at->servers[i].tls_port &&
            memcmp(flow->address, at->servers[i].flow.address, sizeof flow->address) == 0)
            return true;
    return false;
}

bool zone_leads(const struct sim *sim, struct slice target, const struct flow *flow)
{
    size_t colon = slice_find(target, ':');
    struct slice prefix;
    uint64_t port;
    unsigned zone;

    if (!read_name(slice_until(target, colon), &zone, &prefix) || prefix.len ||
        !slice_number(slice_from(target, colon + 1), 65535, &port))
        return false;
    const struct zone *at = &sim->zones.at[zone];
    if (flow_is_secure(flow))
        return leads_by_tls(at, flow);
    if (port != 5060) { /* the host itself */
        const struct flow dead = dead_flow(zone, ZONE_SERVERS - 1, (uint16_t)port);
        return flow->port == port &&
               (flow_equal(flow, &phone_of(sim, zone)->address) || flow_equal(flow, &dead));
    }
    for (unsigned i = 0; i < at->count; i++)
        if (flow->is_v6
                ? at->servers[i].has_dead_v6
                : at->servers[i].kind != SERVER_SECLUDED && flow_equal(flow, &at->servers[i].flow))
            return true;
    return false;
}

const struct phone *zone_phone(const struct sim *sim, struct slice text)
{
    struct slice prefix;
    struct uri uri;
    unsigned zone;

    if (!zone_is_seed(sim->report.seed) || !uri_parse(text, &uri) ||
        !read_name(uri.host, &zone, &prefix) || prefix.len)
        return NULL;
    return phone_of(sim, zone);
}

/* -- records -- */

/* The byte that stands for the key of a domain's server. */
static char key_of(unsigned zone)
{
    return (char)('a' + zone);
}

struct records {
    struct dns_answer answer;
    char bytes[2048];
    struct writer w;
};

static void write_network_u16(struct writer *w, unsigned n)
{
    write_u8(w, (uint8_t)(n >> 8));
    write_u8(w, (uint8_t)n);
}

static void write_name(struct writer *w, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        write_u8(w, (uint8_t)len);
        write_bytes(w, name, len);
        name += len + (name[len] == '.');
    }
    write_u8(w, 0);
}

static void end_record(struct records *r, size_t start)
{
    assert(!r->w.failed && r->answer.count < DNS_RECORDS);
    r->answer.status = DNS_FOUND;
    r->answer.data[r->answer.count++] = slice_of(r->w.at + start, r->w.len - start);
}

static void put_name(char *text, size_t limit, const char *prefix, unsigned zone)
{
    struct writer w = writer_over(text, limit - 1);

    put(&w, "%sd%u.example", prefix, zone);
    assert(!w.failed);
    text[w.len] = '\0';
}

static void put_naptr(struct records *r, unsigned order, const char *service, const char *prefix,
                      unsigned zone)
{
    size_t start = r->w.len;
    char name[64];

    put_name(name, sizeof name, prefix, zone);
    write_network_u16(&r->w, order);
    write_network_u16(&r->w, 1);
    write_u8(&r->w, 1);
    write_char(&r->w, 's');
    write_u8(&r->w, (uint8_t)strlen(service));
    write_bytes(&r->w, service, strlen(service));
    write_u8(&r->w, 0);
    write_name(&r->w, name);
    end_record(r, start);
}

static void put_srv(struct records *r, const struct zone_server *server, unsigned index,
                    unsigned zone, unsigned port)
{
    size_t start = r->w.len;
    char name[64], prefix[8] = "s0.";

    prefix[1] = (char)('0' + index);
    put_name(name, sizeof name, prefix, zone);
    write_network_u16(&r->w, server->priority);
    write_network_u16(&r->w, server->weight);
    write_network_u16(&r->w, port);
    write_name(&r->w, name);
    end_record(r, start);
}

static void put_address(struct records *r, const struct flow *flow)
{
    size_t start = r->w.len;

    write_bytes(&r->w, flow->address, flow->is_v6 ? 16 : 4);
    end_record(r, start);
}

/* By the key of its server: the byte that stands for it, 32 times (RFC 6698 2.1: 3 1 1). */
static void put_tlsa(struct records *r, unsigned zone)
{
    size_t start = r->w.len;
    char hash[32];

    memset(hash, key_of(zone), sizeof hash);
    write_u8(&r->w, 3);
    write_u8(&r->w, 1);
    write_u8(&r->w, 1);
    write_bytes(&r->w, hash, sizeof hash);
    end_record(r, start);
}

static void find_services(const struct zone *at, unsigned zone, struct slice prefix,
                          enum dns_type type, struct records *r)
{
    const struct zone_server closed = {.flow = {.port = 5060}, .priority = 1};

    if (type == DNS_NAPTR && !prefix.len && at->has_naptr) {
        put_naptr(r, 20, "SIP+D2U", "_sip._udp.", zone);
        if (at->has_tcp)
            put_naptr(r, 10, "SIP+D2T", "_sip._tcp.", zone);
        if (at->has_tls)
            put_naptr(r, 5, "SIPS+D2T", "_sips._tcp.", zone);
    } else if (type == DNS_SRV && slice_equal(prefix, S("_sips._tcp.")) && at->has_tls) {
        for (unsigned i = 0; i < at->count; i++)
            put_srv(r, &at->servers[i], i, zone, at->servers[i].tls_port);
    } else if (type == DNS_SRV && slice_equal(prefix, S("_sip._udp."))) {
        for (unsigned i = 0; i < at->count; i++)
            put_srv(r, &at->servers[i], i, zone, at->servers[i].flow.port);
    } else if (type == DNS_SRV && slice_equal(prefix, S("_sip._tcp.")) && at->has_tcp) {
        put_srv(r, &closed, ZONE_SERVERS, zone, closed.flow.port);
    }
}

static void find_addresses(const struct sim *sim, unsigned zone, struct slice prefix,
                           enum dns_type type, struct records *r)
{
    const struct zone *at = &sim->zones.at[zone];
    const struct flow dead = dead_flow(zone, ZONE_SERVERS - 1, 5060);
    const struct flow nobody = {.is_v6 = true, .address = {0x20, 0x01, 0x0d, 0xb8, 0xde, 0xad}};
    unsigned index = prefix.len == 3 ? (unsigned)(prefix.at[1] - '0') : ZONE_SERVERS;

    if (type == DNS_AAAA && index < at->count && at->servers[index].has_dead_v6)
        put_address(r, &nobody);
    if (type != DNS_A)
        return;
    if (prefix.len)
        put_address(r, index < at->count ? &at->servers[index].flow : &dead);
    if (!prefix.len && at->has_naptr)
        put_address(r, &dead);
    if (!prefix.len)
        put_address(r, &phone_of(sim, zone)->address);
}

static void look_up(const struct sim *sim, const struct asked *asked, struct records *r)
{
    struct slice prefix;
    unsigned zone;

    r->w = writer_over(r->bytes, sizeof r->bytes);
    r->answer = (struct dns_answer){.status = DNS_NOTHING};
    if (!read_name(slice_text(asked->name), &zone, &prefix))
        return;
    r->answer.is_secure = sim->zones.at[zone].has_tlsa;
    if (asked->question.type == DNS_TLSA && r->answer.is_secure)
        put_tlsa(r, zone);
    else if (asked->question.type == DNS_A || asked->question.type == DNS_AAAA)
        find_addresses(sim, zone, prefix, asked->question.type, r);
    else
        find_services(&sim->zones.at[zone], zone, prefix, asked->question.type, r);
}

/* -- asking -- */

static bool is_about_tls(struct slice name)
{
    return slice_starts(name, S("_sips."));
}

void zone_asked(struct sim *sim, const struct dns_question *question, struct slice name)
{
    struct random *dice = &sim->zones.dice;
    bool is_rough = sim->phase == PHASE_FAULTS;
    duration time = MS(dice_between(dice, 1, 200));
    struct asked *asked;

    trace_note(sim, "asks DNS for %.*s, %u", (int)name.len, name.at, question->type);
    sim->report.counts[COUNT_QUESTIONS]++;
    if (dice_chance(dice, 50))
        time = MS(dice_between(dice, 200, is_rough ? 12000 : 2000));
    if (is_rough && dice_chance(dice, 40))
        return; /* the answer is lost */
    asked = take(1, sizeof *asked);
    asked->question = *question;
    copy_text(asked->name, sizeof asked->name, name);
    if (is_rough && sim->has_secure && dice_chance(&sim->zones.trust, 60))
        asked->is_hidden = is_about_tls(name);
    asked->is_failed = is_rough && dice_chance(dice, 30);
    asked->is_forged = is_rough && dice_chance(dice, 20);
    agenda_note(&sim->agenda, sim->now + time, DUE_DNS, sim->machine.starts, asked);
}

void zone_answer(struct sim *sim, uint32_t starts, void *what)
{
    struct asked *asked = what;
    struct records records;

    if (starts == sim->machine.starts) { /* else it died with whom it was for */
        look_up(sim, asked, &records);
        if (asked->is_hidden) /* what is signed cannot be left out */
            records.answer =
                (struct dns_answer){.status = records.answer.is_secure ? DNS_BOGUS : DNS_NOTHING};
        if (asked->is_failed)
            records.answer = (struct dns_answer){.status = DNS_FAILED};
        if (asked->is_forged)
            records.answer = (struct dns_answer){.status = DNS_BOGUS};
        machine_dns(sim, asked->question.id, &records.answer);
    }
    free(asked);
}

/* -- trust -- */

/* There is where the domain's server takes streams, or sends from. */
static bool is_door_of(const struct sim *sim, unsigned zone, const struct flow *flow)
{
    return memcmp(phone_of(sim, zone)->door.address, flow->address, sizeof flow->address) == 0;
}

static struct slice show(struct zone *at, struct slice domain)
{
    at->has_shown_itself = true;
    return domain;
}

struct slice zone_proof(struct sim *sim, const struct flow *flow)
{
    struct zones *z = &sim->zones;

    if (sim->phase == PHASE_FAULTS && dice_chance(&z->trust, 150))
        return NO_SLICE; /* somebody on the way */
    for (unsigned i = 0; i < ZONES; i++) {
        if (!is_door_of(sim, i, flow))
            continue;
        switch (z->at[i].certificate) {
        case CERTIFICATE_OWN: return show(&z->at[i], z->settings[i].name);
        case CERTIFICATE_OTHER: return S("d9.example");
        case CERTIFICATE_NONE: return NO_SLICE;
        }
    }
    return NO_SLICE;
}

struct slice zone_prove(struct sim *sim, const struct flow *flow, struct slice domain,
                        struct slice records)
{
    struct zones *z = &sim->zones;

    if (!records.len)
        return zone_proof(sim, flow);
    if (sim->phase == PHASE_FAULTS && dice_chance(&z->trust, 150))
        return NO_SLICE; /* somebody on the way */
    for (unsigned i = 0; i < ZONES; i++)
        if (is_door_of(sim, i, flow) && slice_find(records, key_of(i)) < records.len)
            return show(&z->at[i], domain);
    return NO_SLICE;
}

static int zone_of(const struct sim *sim, struct slice domain)
{
    for (unsigned i = 0; sim->has_secure && i < ZONES; i++)
        if (slice_equal(sim->zones.settings[i].name, domain))
            return (int)i;
    return -1;
}

void zone_proven(struct sim *sim, struct slice domain)
{
    struct zone *at = &sim->zones.at[zone_of(sim, domain)];

    sim->report.counts[COUNT_PROVEN]++;
    at->may_be_known = true;
    if (!sim->machine.is_up || (at->proven_step && at->proven_start == sim->machine.starts))
        return;
    if (!at->is_proof_kept)
        at->proven_step = sim->machine.steps;
    at->proven_start = sim->machine.starts;
    at->proven_second = sim->now / SECONDS(1);
    at->is_proof_kept = at->is_proof_kept || machine_is_kept(sim);
}

void zone_power_cut(struct sim *sim)
{
    for (unsigned i = 0; i < ZONES; i++)
        if (sim->zones.at[i].proven_second == sim->now / SECONDS(1))
            sim->zones.at[i].is_proof_kept = false;
}

void zone_hide_tls(struct sim *sim)
{
    for (unsigned i = 0; i < ZONES; i++) {
        struct zone *at = &sim->zones.at[i];
        at->has_tls = at->has_tlsa;
        if (!at->has_tls)
            sim->phones[sim->foreign_first + i].door = (struct flow){0};
    }
}

bool zone_is_free(const struct sim *sim, unsigned zone)
{
    return sim->zones.settings[zone].policy == POLICY_OPPORTUNISTIC &&
           !sim->zones.at[zone].has_tlsa;
}

/* In that step of the present core. */
static bool demands_proof(const struct sim *sim, unsigned zone, uint64_t step)
{
    const struct zone *at = &sim->zones.at[zone];

    return sim->zones.settings[zone].policy != POLICY_OPPORTUNISTIC ||
           (at->proven_step && at->proven_step < step && !sim->zones.is_memory_over &&
            (at->is_proof_kept || at->proven_start == sim->machine.starts));
}

/* An answer is not looked for in DNS: it goes to who is proven by a CA, or nowhere. */
void zone_planned(struct sim *sim, const struct flow *flow, const struct peer_plan *plan,
                  bool is_for_answer, uint64_t step)
{
    int zone = zone_of(sim, plan->domain);

    if (zone >= 0 && demands_proof(sim, (unsigned)zone, step) &&
        plan->policy == POLICY_OPPORTUNISTIC)
        judge_fail(sim, "who must prove to be a domain is asked to", "d%d.example", zone);
    if (zone >= 0 && flow_is_secure(flow) && sim->zones.at[zone].has_tlsa && !plan->tlsa_count &&
        !(is_for_answer && plan->policy == POLICY_VERIFIED))
        judge_fail(sim, "a server with TLSA records must match one", "d%d.example", zone);
}

void zone_check_proof(struct sim *sim, struct slice target, const struct flow *flow, uint64_t step)
{
    struct slice domain = slice_until(target, slice_find(target, ':'));
    int zone = zone_of(sim, domain);

    if (zone >= 0 && sim->phase == PHASE_WEEKS && !flow_is_secure(flow))
        sim->zones.at[zone].is_asked_in_clear = true;
    if (zone >= 0 && (sim->zones.at[zone].has_tlsa || demands_proof(sim, (unsigned)zone, step)) &&
        !wire_is_proven(sim, flow, domain))
        judge_fail(sim, "nobody unproven gets what is for a domain that must prove itself",
                   "d%d.example, transport %u, port %u", zone, flow->transport, flow->port);
}

static const struct call *find_begun(const struct call *calls, struct slice call_id,
                                     struct slice tag)
{
    for (const struct call *c = calls; c; c = c->next)
        if (c->is_caller && slice_equal(slice_text(c->call_id), call_id) &&
            slice_equal(slice_text(c->local_tag), tag))
            return c;
    return NULL;
}

/* The call that a phone began with this tag; NULL if it did not. */
static const struct call *call_begun(const struct phone *phone, const struct message *m,
                                     enum header header)
{
    struct slice call_id = message_first(m, HEADER_CALL_ID);
    struct slice tag = address_tag(message_first(m, header));
    const struct call *call = find_begun(phone->calls, call_id, tag);

    return call ? call : find_begun(phone->past_calls, call_id, tag);
}

/* Whom a phone of ours is in a dialog with is not asked by another name than that.  Of who called,
 * proved nothing and did not have to, no name is known. */
void zone_check_dialog(struct sim *sim, const struct flow *flow, const struct message *request,
                       uint64_t step)
{
    const struct call *call;
    struct slice domain;
    bool is_current;
    uint32_t node = network_owner(sim, flow, &is_current);

    if (!sim->has_secure || !wire_is_dialled(sim, flow, &domain) || node >= sim->phone_count)
        return;
    call = call_begun(&sim->phones[node], request, HEADER_TO);
    if (domain.len)
        zone_check_proof(sim, domain, flow, step);
    else if (!call || call->domain.len)
        judge_fail(sim, "a dialog by TLS is with a domain", "port %u", flow->port);
    if (call && call->domain.len && !wire_is_proven(sim, flow, call->domain))
        judge_fail(sim, "who has proven to be a domain proves it again", "%.*s",
                   (int)call->domain.len, call->domain.at);
}

static int zone_of_phone(const struct sim *sim, const struct phone *phone)
{
    unsigned zone = (unsigned)(phone - &sim->phones[sim->foreign_first]);

    return phone->traits & TRAIT_FOREIGN && zone < ZONES ? (int)zone : -1;
}

struct slice zone_name(const struct sim *sim, const struct phone *phone)
{
    return sim->zones.settings[zone_of_phone(sim, phone)].name;
}

bool zone_must_prove(const struct sim *sim, const struct phone *phone)
{
    return sim->zones.settings[zone_of_phone(sim, phone)].policy != POLICY_OPPORTUNISTIC;
}

/* Not one whose servers have TLSA records that nobody demands: where it calls from DNS does not
 * say. */
struct slice zone_calls_by_tls(struct sim *sim, const struct phone *phone)
{
    int zone = sim->has_secure ? zone_of_phone(sim, phone) : -1;
    const struct zone *at = zone < 0 ? NULL : &sim->zones.at[zone];

    if (!at || !at->has_tls || (at->has_tlsa && sim->zones.settings[zone].policy != POLICY_DANE) ||
        !dice_chance(&sim->zones.dice, 600))
        return NO_SLICE;
    return zone_name(sim, phone);
}

static bool has(struct slice text, const char *part)
{
    return memmem(text.at, text.len, part, strlen(part)) != NULL;
}

/* The line by which a phone is told something, from `told` on. */
static struct slice line_told(const struct message *m, struct slice told)
{
    struct slice head = slice_until(m->bytes, m->headers_end);
    const char *at = memmem(head.at, head.len, told.at, told.len);
    struct slice line = at ? slice_from(head, (size_t)(at - head.at) + 2) : NO_SLICE;

    return slice_until(line, slice_find(line, '\r'));
}

void zone_check_caller(struct sim *sim, const struct message *request)
{
    struct slice told = NO_SLICE;

    if (sim->has_secure)
        told = line_told(request, S("\r\nP-SIPWITCH-Caller: verified;domain=d"));
    if (!told.len)
        return;
    for (unsigned i = 0; i < ZONES; i++) {
        const struct call *call = call_begun(phone_of(sim, i), request, HEADER_FROM);
        if (call && (call->is_proven || !has(told, "tls")) &&
            (call->is_signed || !has(told, "signature")))
            return;
    }
    judge_fail(sim, "who is said to be proven has proven itself", "%.*s", (int)told.len, told.at);
}

void zone_check_callee(struct sim *sim, const struct message *response)
{
    static const struct slice start = S("\r\nP-SIPWITCH-Callee: verified;domain=");
    struct slice told = sim->has_secure ? line_told(response, start) : NO_SLICE;
    struct slice domain;
    int zone;

    if (!told.len)
        return;
    sim->report.counts[COUNT_CALLEES]++;
    domain = slice_from(told, start.len - 2);
    zone = zone_of(sim, slice_until(domain, slice_find(domain, ';')));
    if (has(told, "by=tls") && (zone < 0 || !sim->zones.at[zone].has_shown_itself))
        judge_fail(sim, "who is said to be proven has proven itself", "%.*s", (int)told.len,
                   told.at);
}

/* All that its records may lead to. */
static unsigned count_places(const struct zone *at)
{
    unsigned addresses = 0;

    for (unsigned i = 0; i < at->count; i++)
        addresses += 1u + at->servers[i].has_dead_v6;
    return addresses * (1u + at->has_tls + at->has_tcp);
}

bool zone_is_reachable(const struct sim *sim, const struct phone *phone)
{
    unsigned zone = (unsigned)(phone - &sim->phones[sim->foreign_first]);
    const struct zone *at = &sim->zones.at[zone];

    if (count_places(at) > PLACES_LIMIT) /* the one that lives may be beyond */
        return false;
    if (!sim->has_secure || at->has_tlsa)
        return true;
    if (sim->zones.settings[zone].policy == POLICY_DANE)
        return false;
    return !demands_proof(sim, zone, UINT64_MAX) ||
           (at->has_tls && at->certificate == CERTIFICATE_OWN);
}
