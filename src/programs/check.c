#include "programs/check.h"

#include "core/oddity.h"
#include "programs/columns.h"
#include "programs/greet.h"
#include "programs/look.h"
#include "sip/uri.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>

#define SERVICES 3u
#define PLACES 32u     /* that are greeted: eight servers of each transport */
#define CLOCK_APART 60 /* seconds that clocks may differ: signatures and nonces bear that */
#define ENDS_SOON (14 * 24 * 3600) /* seconds that a certificate should still be good for */
#define PORT_SIP 5060
#define PORT_SIPS 5061

enum grade { GRADE_OK, GRADE_NOTE, GRADE_FAULT };

/* What a domain may offer, in the order in which it is taken (RFC 3263 4.1). */
static const struct service {
    const char *prefix, *naptr, *words;
    enum transport transport;
    bool is_tls;
} services[SERVICES] = {
    {"_sips._tcp.", "SIPS+D2T", "TLS", TRANSPORT_TLS, true},
    {"_sip._tcp.", "SIP+D2T", "TCP", TRANSPORT_TCP, false},
    {"_sip._udp.", "SIP+D2U", "UDP", TRANSPORT_UDP, false},
};

/* A place of a server, as the records have it. */
struct place {
    struct flow flow;
    char server[DNS_NAME + 1];
};

struct inquiry {
    struct session *session;
    struct dns *dns;
    const char *domain;
    json_t *server; /* what our own says of itself, if the domain is its own; else NULL */
    unsigned faults;
    bool is_over; /* nothing more can be found out */
    bool has_srv, has_naptr, is_withdrawn;
    bool is_seen; /* DNS knows anything of it */
    bool is_proven;
    unsigned failed, silent;
    unsigned place_count;
    struct place places[PLACES];
};

/* ---- findings */

static void tell(struct inquiry *inquiry, enum grade grade, const char *code, const char *remedy,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

static void print_row(enum grade grade, const char *code, const char *remedy, const char *text)
{
    static const char *const names[] = {"ok", "note", "fault"};
    json_t *row = json_pack("{s:s, s:s, s:s, s:s*}", "grade", names[grade], "finding", code, "text",
                            text, "remedy", remedy);

    print_json(row);
    json_decref(row);
}

static void tell(struct inquiry *inquiry, enum grade grade, const char *code, const char *remedy,
                 const char *format, ...)
{
    static const char *const words[] = {"ok", "note", "FAULT"};
    char text[1024], plain[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    plain_text(text, plain, sizeof plain);
    inquiry->faults += grade == GRADE_FAULT;
    if (inquiry->session->is_json) {
        print_row(grade, code, remedy, plain);
    } else {
        printf("%-6s %s\n", words[grade], plain);
        if (remedy)
            printf("       -> %s\n", remedy);
    }
    fflush(stdout);
}

/* ---- asking */

static struct slice join(char to[DNS_NAME + 2], const char *prefix, const char *name)
{
    int len = snprintf(to, DNS_NAME + 2, "%s%s", prefix, name);

    return slice_of(to, (size_t)(len > (int)DNS_NAME ? (int)DNS_NAME + 1 : len));
}

/* False if it is no use to go on: what is forged is said here. */
static bool ask(struct inquiry *inquiry, unsigned type, struct slice name, struct looked *found)
{
    look_up(inquiry->dns, type, name, found);
    inquiry->is_seen |= found->answer.status == DNS_FOUND;
    inquiry->failed += found->answer.status == DNS_FAILED;
    if (found->answer.status == DNS_FOUND)
        inquiry->is_proven &= found->answer.is_secure;
    if (found->answer.status != DNS_BOGUS || inquiry->is_over)
        return !inquiry->is_over;
    tell(inquiry, GRADE_FAULT, "forged",
         "sign the zone again, and see that the DS record at its parent is that of its key",
         "what DNS says of %.*s is not what its zone signed: %s", (int)name.len, name.at,
         found->why);
    inquiry->is_over = true;
    return false;
}

/* ---- places */

static bool is_private(const struct address_bytes *address)
{
    return address_seclusion(address) != SECLUSION_NONE || address_is_many(address);
}

static void add_place(struct inquiry *inquiry, enum transport transport, const char *server,
                      uint16_t port, const struct address_bytes *address)
{
    struct flow flow = {.transport = (uint8_t)transport, .is_v6 = address->is_v6, .port = port};
    struct place *place = &inquiry->places[inquiry->place_count];

    memcpy(flow.address, address->at, sizeof flow.address);
    for (unsigned i = 0; i < inquiry->place_count; i++) {
        const struct flow *known = &inquiry->places[i].flow;
        if (known->transport == flow.transport && known->port == port &&
            known->is_v6 == flow.is_v6 && memcmp(known->address, flow.address, 16) == 0)
            return;
    }
    if (inquiry->place_count == PLACES)
        return;
    place->flow = flow;
    snprintf(place->server, sizeof place->server, "%s", server);
    inquiry->place_count++;
}

/* The addresses of a server; how many there are. */
static unsigned add_addresses(struct inquiry *inquiry, enum transport transport, const char *server,
                              uint16_t port)
{
    static const enum dns_type types[] = {DNS_AAAA, DNS_A};
    struct looked found;
    struct address_bytes address;
    unsigned count = 0, failed = inquiry->failed;

    for (unsigned i = 0; i < COUNT_OF(types); i++) {
        if (!ask(inquiry, types[i], slice_text(server), &found))
            return 1;
        for (unsigned n = 0; n < found.answer.count; n++)
            if (dns_read_address(found.answer.data[n], types[i] == DNS_AAAA, &address)) {
                add_place(inquiry, transport, server, port, &address);
                count++;
            }
    }
    return count ? count : inquiry->failed - failed;
}

/* ---- records */

static void take_srv(struct inquiry *inquiry, const struct service *service, struct slice name,
                     const struct dns_srv *srv)
{
    char target[DNS_NAME + 1];

    if (!srv->target.len) {
        inquiry->is_withdrawn = true;
        return;
    }
    snprintf(target, sizeof target, "%.*s", (int)srv->target.len, srv->target.text);
    tell(inquiry, GRADE_OK, "srv", NULL, "%.*s: %s, port %u, priority %u, weight %u (%s)",
         (int)name.len, name.at, target, srv->port, srv->priority, srv->weight, service->words);
    if (!add_addresses(inquiry, service->transport, target, srv->port))
        tell(inquiry, GRADE_FAULT, "server-without-address",
             "give that name an A or AAAA record, or take it out of the SRV record",
             "%.*s names %s, which has no address", (int)name.len, name.at, target);
}

static void take_services(struct inquiry *inquiry, const struct service *service, struct slice name,
                          bool is_promised)
{
    struct looked found;
    struct dns_srv srv;
    unsigned read = 0;

    if (!ask(inquiry, DNS_SRV, name, &found))
        return;
    for (unsigned i = 0; i < found.answer.count && !inquiry->is_over; i++)
        if (dns_read_srv(found.answer.data[i], &srv)) {
            take_srv(inquiry, service, name, &srv);
            read++;
        }
    inquiry->has_srv |= found.answer.count > 0;
    if (inquiry->is_over)
        return;
    if (found.answer.count > read)
        tell(inquiry, GRADE_FAULT, "srv-broken",
             "name a host there, of letters, digits and hyphens, and not an address",
             "an SRV record of %.*s has a target that is no host's name", (int)name.len, name.at);
    if (found.answer.status == DNS_NOTHING && is_promised)
        tell(inquiry, GRADE_FAULT, "naptr-dangling",
             "publish that SRV record, or take the NAPTR record out",
             "NAPTR leads to %.*s, where there is no SRV record", (int)name.len, name.at);
}

static const struct service *find_service(struct slice naptr)
{
    for (unsigned i = 0; i < SERVICES; i++)
        if (slice_equal_nocase(naptr, slice_text(services[i].naptr)))
            return &services[i];
    return NULL;
}

/* RFC 3263 4.1: those that lead to SRV records of transports that there are. */
static unsigned take_naptr(struct inquiry *inquiry, const struct looked *found)
{
    struct dns_naptr naptr;
    unsigned usable = 0;

    for (unsigned i = 0; i < found->answer.count && !inquiry->is_over; i++) {
        if (!dns_read_naptr(found->answer.data[i], &naptr))
            continue;
        const struct service *service = find_service(naptr.services);
        if (!service || !slice_equal_nocase(naptr.flags, S("s")))
            continue;
        tell(inquiry, GRADE_OK, "naptr", NULL, "NAPTR: %s by %.*s, order %u, preference %u",
             service->words, (int)naptr.replacement.len, naptr.replacement.text, naptr.order,
             naptr.preference);
        take_services(inquiry, service, dns_text(&naptr.replacement), true);
        usable++;
    }
    return usable;
}

static void find_records(struct inquiry *inquiry)
{
    struct looked found;
    char name[DNS_NAME + 2];

    if (!ask(inquiry, DNS_NAPTR, slice_text(inquiry->domain), &found))
        return;
    inquiry->has_naptr = found.answer.count > 0;
    if (inquiry->has_naptr && take_naptr(inquiry, &found))
        return;
    if (inquiry->has_naptr && !inquiry->is_over)
        tell(inquiry, GRADE_NOTE, "naptr-foreign", NULL,
             "the NAPTR records lead to no service that is known here; they are passed over");
    for (unsigned i = 0; i < SERVICES && !inquiry->is_over; i++)
        take_services(inquiry, &services[i], join(name, services[i].prefix, inquiry->domain),
                      false);
}

/* RFC 3263 4.2: no SRV records at all. */
static void find_addresses(struct inquiry *inquiry)
{
    if (inquiry->is_over || inquiry->has_srv || inquiry->is_withdrawn)
        return;
    if (!add_addresses(inquiry, TRANSPORT_UDP, inquiry->domain, PORT_SIP) || inquiry->is_over)
        return;
    if (inquiry->place_count)
        tell(inquiry, GRADE_NOTE, "no-srv", NULL,
             "there are no SRV records: others try the addresses of %s, port %u, by UDP",
             inquiry->domain, PORT_SIP);
}

/* ---- what the records come to */

static void judge_records(struct inquiry *inquiry)
{
    if (inquiry->is_over || inquiry->place_count)
        return;
    if (inquiry->faults)
        inquiry->is_over = true;
    else if (inquiry->is_withdrawn)
        tell(inquiry, GRADE_FAULT, "withdrawn",
             "if that is not so any more, name a server in the SRV records in place of the dot",
             "%s says that it has no SIP (SRV records with a dot for a server)", inquiry->domain);
    else if (inquiry->failed)
        tell(inquiry, GRADE_FAULT, "dns-fails",
             "see that the name servers of the domain answer, and that the one that is asked "
             "here does",
             "DNS does not answer for %s; %s", inquiry->domain, dns_about(inquiry->dns));
    else
        tell(inquiry, GRADE_FAULT, "not-published",
             "publish what `sipwitch dns` prints, where the domain's zone is kept",
             "DNS knows no SIP server of %s, and no address", inquiry->domain);
    inquiry->is_over = true;
}

static void judge_proof(struct inquiry *inquiry)
{
    bool can_tell = strstr(dns_about(inquiry->dns), "and validated") != NULL;

    if (inquiry->is_over)
        return;
    if (inquiry->is_proven)
        tell(inquiry, GRADE_OK, "signed", NULL, "all of these records are proven by DNSSEC");
    else if (can_tell)
        tell(inquiry, GRADE_NOTE, "unsigned", NULL,
             "not all of these records are signed (DNSSEC): who is on the way can change them");
    else
        tell(inquiry, GRADE_NOTE, "not-validated", NULL,
             "whether the records are signed cannot be seen from here");
}

static void look_for_tlsa(struct inquiry *inquiry)
{
    char prefix[16], name[DNS_NAME + 2];
    struct looked found;

    for (unsigned i = 0; i < inquiry->place_count && !inquiry->is_over; i++) {
        const struct place *place = &inquiry->places[i];
        if (place->flow.transport != TRANSPORT_TLS ||
            (i && strcmp(place->server, place[-1].server) == 0))
            continue;
        snprintf(prefix, sizeof prefix, "_%u._tcp.", place->flow.port);
        if (!ask(inquiry, DNS_TLSA, join(name, prefix, place->server), &found))
            return;
        if (found.answer.status == DNS_FAILED && inquiry->is_proven)
            tell(inquiry, GRADE_FAULT, "tlsa-fails",
                 "see that the name servers answer questions for TLSA records, if only that there "
                 "are none",
                 "DNS does not answer for the TLSA records %s: others with DNSSEC do not go there",
                 name);
        else if (found.answer.status == DNS_FOUND)
            tell(inquiry, found.answer.is_secure ? GRADE_OK : GRADE_NOTE, "tlsa", NULL,
                 "TLSA: %u records at %s%s", found.answer.count, name,
                 found.answer.is_secure ? "" : ", which count only where they are signed");
    }
}

/* ---- the servers */

static void spell(const struct place *place, char *text, size_t room)
{
    struct writer w = writer_over(text, room - 1);
    struct address_bytes address = {.is_v6 = place->flow.is_v6};

    memcpy(address.at, place->flow.address, sizeof address.at);
    write_slice(&w, transport_name(place->flow.transport));
    write_char(&w, ' ');
    write_host(&w, &address);
    write_char(&w, ':');
    write_number(&w, place->flow.port);
    text[w.len] = '\0';
}

/* Whether our own server has that address, and if so, whether it listens there. */
static bool is_missed(const struct inquiry *inquiry, const char *place)
{
    const json_t *socket, *listening = json_object_get(inquiry->server, "listening");
    const char *host = strchr(place, ' ');
    size_t host_len = (size_t)(strrchr(place, ':') - host), i;
    bool is_here = false;

    json_array_foreach(listening, i, socket)
    {
        const char *text = json_string_value(socket), *its = strchr(text, ' ');
        if (strcmp(text, place) == 0)
            return false;
        is_here |= its && strncmp(its, host, host_len) == 0 && its[host_len] == ':';
    }
    return is_here;
}

/* Statuses by which a server says that it does not serve the domain. */
static bool is_refusal(unsigned status)
{
    return status == 404 || status == 403 || status == 410 || status == 416 || status == 483 ||
           status == 482 || status == 604 || status >= 500;
}

static void judge_clock(struct inquiry *inquiry, const char *text, int64_t clock)
{
    long long apart = clock ? (long long)time(NULL) - clock : 0;

    if (apart > CLOCK_APART || apart < -CLOCK_APART)
        tell(inquiry, GRADE_FAULT, "clock", "set the clocks of both by NTP",
             "the clock of %s is %lld seconds %s that of this machine", text, llabs(apart),
             apart > 0 ? "behind" : "ahead of");
}

static void judge_answer(struct inquiry *inquiry, const char *text, const struct greeting *said)
{
    if (is_refusal(said->status))
        tell(inquiry, GRADE_FAULT, "not-served",
             said->status < 500 ? "make that server serve the domain (realm, or localnames), or "
                                  "name the one that does in DNS"
                                : "see what that server's log says, and its load",
             "the server at %s answers OPTIONS for %s by %u %s", text, inquiry->domain,
             said->status, said->reason);
    else
        tell(inquiry, GRADE_OK, "answers", NULL, "a SIP server answers at %s (%u %s)", text,
             said->status, said->reason);
    judge_clock(inquiry, text, said->clock);
}

static void judge_failure(struct inquiry *inquiry, const struct place *place, const char *text,
                          const struct greeting *said)
{
    struct address_bytes address = {.is_v6 = place->flow.is_v6};

    memcpy(address.at, place->flow.address, sizeof address.at);
    if (is_private(&address))
        tell(inquiry, GRADE_FAULT, "private-address",
             "publish the address that the world reaches it by",
             "%s is an address that nobody outside can reach, and from here nobody answers there",
             text);
    else if (said->end == GREETING_UNREACHABLE && place->flow.is_v6)
        tell(inquiry, GRADE_NOTE, "no-ipv6", NULL,
             "%s cannot be tried: this machine has no IPv6 (%s)", text, strerror(said->error));
    else if (said->end == GREETING_UNREACHABLE)
        tell(inquiry, GRADE_FAULT, "unreachable", "see to the network of this machine",
             "%s cannot be reached: %s", text, strerror(said->error));
    else if (said->end == GREETING_REFUSED)
        tell(inquiry, GRADE_FAULT, "closed",
             "start the server there, or name the right port in the SRV record",
             "nobody listens at %s", text);
    else if (said->end == GREETING_UNSECURED)
        tell(inquiry, GRADE_FAULT, "tls-fails",
             "let the server speak TLS 1.2 or 1.3 at that port, or name the right one in the SRV "
             "record",
             "there is no TLS with %s: %s", text, said->reason);
    else if (said->end == GREETING_STRANGE)
        tell(inquiry, GRADE_FAULT, "not-sip", "name the port of the SIP server in the SRV record",
             "what answers at %s is not a SIP server", text);
    else
        tell(inquiry, GRADE_FAULT, "silent",
             "open that port in the firewall, forward it in the router, and see that the server "
             "runs",
             "nothing comes back from %s", text);
}

/* ---- what they show by TLS */

/* Records that count: those that can be used, where all that leads there is signed. */
static bool find_demand(struct inquiry *inquiry, const struct place *place, struct looked *found,
                        struct peer_plan *plan)
{
    char prefix[16], name[DNS_NAME + 2];

    *plan = (struct peer_plan){.domain = slice_text(inquiry->domain),
                               .server = slice_text(place->server)};
    snprintf(prefix, sizeof prefix, "_%u._tcp.", place->flow.port);
    look_up(inquiry->dns, DNS_TLSA, join(name, prefix, place->server), found);
    for (unsigned i = 0; i < found->answer.count && plan->tlsa_count < TLSA_LIMIT; i++)
        if (inquiry->is_proven &&
            dns_read_tlsa(found->answer.data[i], &plan->tlsa[plan->tlsa_count]))
            plan->tlsa_count++;
    return plan->tlsa_count > 0;
}

/* Whether DANE proves it, and then no CA has to. */
static bool judge_dane(struct inquiry *inquiry, const struct place *place, const char *text,
                       const struct shown *shown)
{
    struct looked found;
    struct peer_plan plan;
    char remedy[DNS_NAME + 256];

    if (!find_demand(inquiry, place, &found, &plan))
        return false;
    if (greet_by_dane(&place->flow, &plan)) {
        tell(inquiry, GRADE_OK, "dane", NULL, "the TLSA records of %s prove what %s shows",
             place->server, text);
        return true;
    }
    snprintf(remedy, sizeof remedy,
             "publish _%u._tcp.%s. TLSA 3 1 1 %s, or show the certificate that the records are of",
             place->flow.port, place->server, shown->key_hash);
    tell(inquiry, GRADE_FAULT, "tlsa-mismatch", remedy,
         "what %s shows matches none of the TLSA records of %s: others with DNSSEC refuse it", text,
         place->server);
    return false;
}

static void judge_dates(struct inquiry *inquiry, const char *text, const struct shown *shown)
{
    int64_t now = time(NULL);
    char date[16];

    strftime(date, sizeof date, "%Y-%m-%d",
             gmtime(&(time_t){now < shown->from ? shown->from : shown->until}));
    if (now > shown->until)
        tell(inquiry, GRADE_FAULT, "certificate-expired", "renew it",
             "the certificate at %s was good until %s", text, date);
    else if (now < shown->from)
        tell(inquiry, GRADE_FAULT, "certificate-early", "see to the clocks, or wait",
             "the certificate at %s is good from %s on", text, date);
    else if (shown->until - now < ENDS_SOON)
        tell(inquiry, GRADE_NOTE, "certificate-ends", NULL,
             "the certificate at %s is good until %s only: renew it", text, date);
    else
        tell(inquiry, GRADE_OK, "certificate", NULL,
             "the certificate at %s, of %s, is good until %s", text, shown->issuer, date);
}

static void judge_issuer(struct inquiry *inquiry, const char *text, const struct shown *shown)
{
    if (shown->is_self_signed)
        tell(inquiry, GRADE_NOTE, "certificate-self-signed", NULL,
             "the certificate at %s is signed by itself: others cannot know whose it is, unless "
             "TLSA records say so; those that demand to know refuse it",
             text);
    else if (shown->doubt)
        tell(inquiry, GRADE_FAULT, "certificate-unknown",
             "put the certificates that lead to its CA behind it, or get one of a CA that all "
             "know",
             "nobody known here vouches for the certificate at %s, of %s: %s", text, shown->issuer,
             shown->doubt);
}

/* RFC 5922 */
static void judge_certificate(struct inquiry *inquiry, const struct place *place, const char *text,
                              const struct shown *shown)
{
    char remedy[2 * DNS_NAME + 64];

    if (judge_dane(inquiry, place, text, shown))
        return;
    judge_dates(inquiry, text, shown);
    judge_issuer(inquiry, text, shown);
    snprintf(remedy, sizeof remedy, "get one with the alternative name DNS:%s, or URI:sip:%s",
             inquiry->domain, inquiry->domain);
    if (!shown->names_domain)
        tell(inquiry, GRADE_FAULT, "certificate-name", remedy,
             "the certificate at %s does not name %s, which the server's own name does not "
             "replace",
             text, inquiry->domain);
    if (!shown->is_for_sip)
        tell(inquiry, GRADE_FAULT, "certificate-purpose",
             "get one for TLS servers (serverAuth), or for SIP domains",
             "the certificate at %s is not for servers, by its purposes", text);
}

static void greet_place(struct inquiry *inquiry, const struct place *place)
{
    char text[96];
    struct shown shown;

    spell(place, text, sizeof text);
    if (inquiry->server && is_missed(inquiry, text)) {
        tell(inquiry, GRADE_FAULT, "not-listened",
             "change the record, or <interface>, <port> and <transport>: `sipwitch dns` prints "
             "records that fit",
             "DNS sends others to %s, where this server does not listen", text);
        return;
    }
    struct greeting said = greet(&place->flow, inquiry->domain, &shown);
    if (said.has_shown)
        judge_certificate(inquiry, place, text, &shown);
    if (said.end == GREETING_ANSWERED)
        judge_answer(inquiry, text, &said);
    else
        judge_failure(inquiry, place, text, &said);
}

/* ---- this machine, and our own server */

static void judge_own_clock(struct inquiry *inquiry)
{
    struct timex clock = {0};

    if (adjtimex(&clock) == TIME_ERROR)
        tell(inquiry, GRADE_NOTE, "clock-free", NULL,
             "the clock of this machine is not held right by NTP, as far as its kernel knows");
}

static bool is_name(const char *domain)
{
    struct address_bytes address;
    struct slice name = slice_text(domain);

    return name.len && name.len <= DNS_NAME && host_valid(name) && !host_numeric(name, &address);
}

static void judge_own(struct inquiry *inquiry)
{
    if (!inquiry->server)
        return;
    if (!is_name(inquiry->domain) || !strchr(inquiry->domain, '.'))
        tell(inquiry, GRADE_FAULT, "no-domain",
             "write the domain's name into <realm>, or /etc/siprealm; users' digests are then new",
             "the realm %s is no domain that others could look up", inquiry->domain);
    else if (!json_is_true(json_object_get(inquiry->server, "public")))
        tell(inquiry, GRADE_FAULT, "closed-to-others",
             "write the domain's name into <published> in <stack>, and reload",
             "this server lets no callers of other domains in");
}

/* The public address that the server has learnt, or why it has none.  Its fault says what to do
 * behind a semicolon. */
static void judge_outside(struct inquiry *inquiry)
{
    const json_t *outside = json_object_get(inquiry->server, "outside");
    const char *address = row_text(outside, "address"), *fault = row_text(outside, "fault");
    const char *remedy = fault ? strstr(fault, "; ") : NULL;

    if (address)
        tell(inquiry, GRADE_OK, "public-address", NULL, "the public address is %s, says %s",
             address, row_text(outside, "by"));
    if (fault)
        tell(inquiry, GRADE_FAULT, "router", remedy ? remedy + 2 : NULL, "%.*s",
             (int)(remedy ? (size_t)(remedy - fault) : strlen(fault)), fault);
}

/* What DNS says must be that address, where there is one. */
static void compare_outside(struct inquiry *inquiry)
{
    const char *text = row_text(json_object_get(inquiry->server, "outside"), "address");
    struct address_bytes address, seen;
    bool has_any = false;

    if (inquiry->is_over || !text || !host_numeric(slice_text(text), &address))
        return;
    for (unsigned i = 0; i < inquiry->place_count; i++) {
        const struct flow *flow = &inquiry->places[i].flow;
        seen = (struct address_bytes){.is_v6 = flow->is_v6};
        memcpy(seen.at, flow->address, sizeof seen.at);
        if (address_equal(&seen, &address))
            return;
        has_any |= !flow->is_v6;
    }
    if (has_any)
        tell(inquiry, GRADE_FAULT, "other-address",
             "publish what `sipwitch dns` prints now; where the address changes often, let the "
             "router "
             "or a script do so",
             "DNS sends others to another address than %s, which is the public one", text);
}

static struct dns *open_dns(const struct session *session)
{
    struct dns_plan plan = dns_plan_of(slice_text(session->resolver), slice_text(session->anchor));

    return dns_open(&plan, NULL);
}

static enum client_status inquire(struct session *session, const char *domain, json_t *server)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    unsigned faults;

    if (inquiry)
        *inquiry = (struct inquiry){.session = session,
                                    .domain = domain,
                                    .server = server,
                                    .is_proven = true,
                                    .dns = open_dns(session)};
    if (!inquiry || !inquiry->dns) {
        free(inquiry);
        return session_fail(session, CLIENT_LOCAL, "there is no memory for it");
    }
    judge_own(inquiry);
    inquiry->is_over = inquiry->faults > 0;
    judge_outside(inquiry);
    if (!inquiry->is_over) {
        find_records(inquiry);
        find_addresses(inquiry);
        judge_records(inquiry);
        judge_proof(inquiry);
        compare_outside(inquiry);
        look_for_tlsa(inquiry);
    }
    for (unsigned i = 0; i < inquiry->place_count && !inquiry->is_over; i++)
        greet_place(inquiry, &inquiry->places[i]);
    judge_own_clock(inquiry);
    faults = inquiry->faults;
    dns_close(inquiry->dns);
    free(inquiry);
    return faults ? CLIENT_FAULTY : CLIENT_FINE;
}

/* ---- the command */

static enum client_status check_server(struct session *session)
{
    enum client_status status;
    json_t *server = session_status(session, &status);

    if (!server)
        return status;
    if (session->is_json)
        print_row(GRADE_OK, "answers", NULL, "the server answers");
    else if (!session->is_old)
        printf("the server answers\n");
    if (!session->is_old && json_is_true(json_object_get(server, "public")))
        status = inquire(session, row_text(server, "realm"), server);
    json_decref(server);
    return status;
}

enum client_status check(struct session *session, char **words)
{
    struct client *client = &session->client;
    enum client_status status;
    json_t *server = NULL;

    if (!words[0])
        return check_server(session);
    if (!is_name(words[0]))
        return session_fail(session, CLIENT_USAGE, "%s is no domain; write one like example.com",
                            words[0]);
    session->is_open = true;
    if (client_connect(client, session->socket, session->patience) == CLIENT_FINE)
        server = session_status(session, &status);
    bool is_ours = server && strcasecmp(row_text(server, "realm"), words[0]) == 0;
    status = inquire(session, words[0], is_ours ? server : NULL);
    json_decref(server);
    return status;
}
