/* Locating servers (RFC 3263, RFC 2782): zones as tables, and the places that they lead to. */
#include "core/resolve.h"

#include "base/cursor.h"
#include "unit.h"
#include "zone.h"

#include <stdio.h>
#include <stdlib.h>

#define UDP (1u << TRANSPORT_UDP)
#define TCP (1u << TRANSPORT_TCP)
#define TLS (1u << TRANSPORT_TLS)
#define ALL (UDP | TCP | TLS)

static void answer_all(struct resolve *r, const zone_lines zone, struct random *random)
{
    struct resolve_question question;
    struct reply reply;

    while (resolve_ask(r, &question)) {
        zone_answer(zone, question.type, question.name, &reply);
        resolve_tell(r, question.id, &reply.answer, random);
    }
}

static void write_place(struct writer *w, const struct resolve *r,
                        const struct resolve_place *place)
{
    struct peer_plan plan;

    if (w->len)
        write_char(w, ' ');
    write_slice(w, transport_name(place->transport));
    write_char(w, '/');
    write_host(w, &place->address);
    write_char(w, ':');
    write_number(w, place->port);
    if (place->is_secure)
        write_char(w, '*');
    if (place->has_tlsa) {
        resolve_demand(r, place->target, true, &plan);
        assert_true(slice_equal(plan.server, place->server));
        write_char(w, '+');
        write_number(w, plan.tlsa_count);
    }
}

/* All places, in order: "UDP/192.0.2.1:5060", a star where DNSSEC proves it, "+2" where there are
 * two TLSA records; or the fault. */
static const char *places(const struct resolve_wish *wish, const zone_lines zone, uint64_t seed)
{
    static char text[4096];
    static struct resolve r;
    struct random random = random_seeded((struct hash_key){seed, 1});
    struct writer w = writer_over(text, sizeof text - 1);
    struct resolve_place place;

    if (!resolve_begin(&r, wish))
        return "never";
    for (;;) {
        enum resolve_result result = resolve_next(&r, &place);
        if (result == RESOLVE_NONE)
            break;
        if (result == RESOLVE_PLACE)
            write_place(&w, &r, &place);
        else
            answer_all(&r, zone, &random);
    }
    if (!w.len)
        write_number(&w, resolve_fault(&r).status);
    assert_false(w.failed);
    text[w.len] = 0;
    return text;
}

/* A URI, sip:example.com but for what is said, and what we lack. */
struct said {
    const char *host;
    unsigned port;
    enum transport transport;
    bool is_sips;
    unsigned lacks; /* transports */
    bool no_v4, no_v6;
};

static struct resolve_wish wish_of(struct said said)
{
    return (struct resolve_wish){
        .host = slice_text(said.host ? said.host : "example.com"),
        .port = (uint16_t)said.port,
        .transport = (uint8_t)said.transport,
        .is_sips = said.is_sips,
        .offered = (uint8_t)(ALL & ~said.lacks),
        .has_v4 = !said.no_v4,
        .has_v6 = !said.no_v6,
    };
}

#define WISH(...) wish_of((struct said){__VA_ARGS__})

static void check(const struct resolve_wish wish, const zone_lines zone, const char *wanted)
{
    assert_string_equal(places(&wish, zone, 1), wanted);
}

static void numbers_need_no_dns(void **state)
{
    static const zone_lines none = {NULL};

    (void)state;
    check(WISH(.host = "192.0.2.7"), none, "UDP/192.0.2.7:5060*");
    check(WISH(.host = "192.0.2.7", .port = 5070), none, "UDP/192.0.2.7:5070*");
    check(WISH(.host = "[2001:db8::7]", .transport = TRANSPORT_TCP), none,
          "TCP/[2001:db8::7]:5060*");
    check(WISH(.host = "192.0.2.7", .is_sips = true), none, "TLS/192.0.2.7:5061*");
    check(WISH(.host = "192.0.2.7", .no_v4 = true), none, "never");
}

static void what_we_have_no_socket_for_is_refused(void **state)
{
    static const zone_lines none = {NULL};

    (void)state;
    check(WISH(.transport = TRANSPORT_WS), none, "never");
    check(WISH(.is_sips = true, .lacks = TLS), none, "never");
    check(WISH(.is_sips = true, .transport = TRANSPORT_UDP), none, "never");
    check(WISH(.lacks = ALL), none, "never");
    check(WISH(.host = ""), none, "never");
}

/* 4.1, 4.2: with a port there is neither NAPTR nor SRV. */
static void a_port_means_the_host_itself(void **state)
{
    static const zone_lines zone = {
        "example.com NAPTR 1 1 s SIP+D2T _sip._tcp.example.com",
        "_sip._udp.example.com SRV 1 1 5080 other.example.com",
        "other.example.com A 192.0.2.9",
        "example.com A 192.0.2.1",
    };

    (void)state;
    check(WISH(.port = 5070), zone, "UDP/192.0.2.1:5070");
    check(WISH(.port = 5070, .is_sips = true), zone, "TLS/192.0.2.1:5070");
    check(WISH(.port = 5070, .is_sips = true, .transport = TRANSPORT_TCP), zone,
          "TLS/192.0.2.1:5070");
}

static void naptr_ranks_the_transports(void **state)
{
    static const zone_lines zone = {
        "example.com NAPTR 90 50 s SIP+D2U _sip._udp.example.com|50 60 S sip+d2t "
        "_sip._tcp.example.com|50 50 s SIPS+D2T _sips._tcp.example.com|10 1 s SIP+D2S "
        "_sip._sctp.example.com|1 1 u E2U+sip .|1 1 s E2U+sip x.example.com",
        "_sip._udp.example.com SRV 0 0 5060 u.example.com",
        "_sip._tcp.example.com SRV 0 0 5060 t.example.com",
        "_sips._tcp.example.com SRV 0 0 5061 s.example.com",
        "u.example.com A 192.0.2.1",
        "t.example.com A 192.0.2.2",
        "s.example.com A 192.0.2.3",
    };

    (void)state;
    check(WISH(0), zone, "TLS/192.0.2.3:5061 TCP/192.0.2.2:5060 UDP/192.0.2.1:5060");
    check(WISH(.lacks = TLS), zone, "TCP/192.0.2.2:5060 UDP/192.0.2.1:5060");
    check(WISH(.is_sips = true), zone, "TLS/192.0.2.3:5061");
    /* A named transport is looked for at once (4.2). */
    check(WISH(.transport = TRANSPORT_UDP), zone, "UDP/192.0.2.1:5060");
}

/* The name is DNS's to choose, in whatever letters. */
static void a_replacement_may_be_elsewhere(void **state)
{
    static const zone_lines zone = {
        "example.com NAPTR 1 1 s SIP+D2U _SIP._udp.Provider.example",
        "_sip._udp.provider.example SRV 0 0 5099 h.provider.example",
        "h.provider.example A 192.0.2.1",
    };

    (void)state;
    check(WISH(.host = "EXAMPLE.com."), zone, "UDP/192.0.2.1:5099");
}

static void without_naptr_services_are_asked_for_by_their_names(void **state)
{
    static const zone_lines zone = {
        "_sip._udp.example.com SRV 0 0 5060 u.example.com",
        "_sip._tcp.example.com SRV 0 0 5062 t.example.com",
        "u.example.com A 192.0.2.1",
        "t.example.com A 192.0.2.2",
    };
    static const zone_lines broken = {
        "example.com NAPTR ?",
        "_sip._udp.example.com SRV 0 0 5060 u.example.com",
        "u.example.com A 192.0.2.1",
    };

    (void)state;
    check(WISH(0), zone, "TCP/192.0.2.2:5062 UDP/192.0.2.1:5060");
    check(WISH(0), broken, "UDP/192.0.2.1:5060");
}

static void without_srv_the_host_itself_is_asked(void **state)
{
    static const zone_lines zone = {"example.com A 192.0.2.1|192.0.2.2",
                                    "example.com AAAA 2001:db8::1"};

    (void)state;
    check(WISH(0), zone, "UDP/[2001:db8::1]:5060 UDP/192.0.2.1:5060 UDP/192.0.2.2:5060");
    check(WISH(.no_v6 = true), zone, "UDP/192.0.2.1:5060 UDP/192.0.2.2:5060");
    check(WISH(.no_v4 = true), zone, "UDP/[2001:db8::1]:5060");
    check(WISH(.is_sips = true, .no_v6 = true), zone, "TLS/192.0.2.1:5061 TLS/192.0.2.2:5061");
    check(WISH(.transport = TRANSPORT_TCP, .no_v4 = true), zone, "TCP/[2001:db8::1]:5060");
}

/* RFC 2782: "." says that there is no such service, so the host is not asked either. */
static void a_withdrawn_service_is_none(void **state)
{
    static const zone_lines zone = {
        "_sip._udp.example.com SRV 0 0 0 .",
        "_sip._tcp.example.com SRV 0 0 0 .",
        "example.com A 192.0.2.1",
    };

    (void)state;
    check(WISH(0), zone, "404");
}

static void servers_come_by_priority(void **state)
{
    static const zone_lines zone = {
        ("_sip._udp.example.com SRV 30 0 5063 c.example.com|10 0 5061 a.example.com|20 0 5062 "
         "b.example.com"),
        "a.example.com A 192.0.2.1",
        "b.example.com AAAA 2001:db8::2",
        "c.example.com A 192.0.2.3",
    };

    (void)state;
    check(WISH(0), zone, "UDP/192.0.2.1:5061 UDP/[2001:db8::2]:5062 UDP/192.0.2.3:5063");
}

/* A server of weight 3 comes before one of weight 1 three times in four; one of weight 0 seldom. */
static void servers_of_one_priority_come_as_often_as_they_weigh(void **state)
{
    static const zone_lines zone = {
        "_sip._udp.example.com SRV 1 1 5061 a.example.com|1 3 5062 a.example.com",
        "a.example.com A 192.0.2.1",
    };
    static const zone_lines light = {
        "_sip._udp.example.com SRV 1 99 5061 a.example.com|1 0 5062 a.example.com",
        "a.example.com A 192.0.2.1",
    };
    unsigned heavy_first = 0, light_first = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        const struct resolve_wish wish = WISH(0);
        heavy_first += strncmp(places(&wish, zone, seed), "UDP/192.0.2.1:5062", 18) == 0;
        light_first += strncmp(places(&wish, light, seed), "UDP/192.0.2.1:5062", 18) == 0;
    }
    /* RFC 2782 draws from 0 up to the sum, so that one of weight 3 has 3 of 5 or more. */
    assert_in_range(heavy_first, 560, 800);
    assert_in_range(light_first, 1, 40);
}

static void a_dead_server_leaves_the_others(void **state)
{
    static const zone_lines zone = {
        ("_sip._udp.example.com SRV 1 0 5061 gone.example.com|2 0 5062 silent.example.com|3 0 5063 "
         "forged.example.com|4 0 5064 d.example.com"),
        "silent.example.com A ?",
        "forged.example.com A !",
        "d.example.com A 192.0.2.4",
    };

    (void)state;
    check(WISH(0), zone, "UDP/192.0.2.4:5064");
}

/* Else whoever can drop packets, or forge them, chooses where calls go. */
static void what_is_not_answered_is_not_taken_as_absent(void **state)
{
    static const zone_lines silent = {"_sip._udp.example.com SRV ?", "example.com A 192.0.2.1"};
    static const zone_lines forged = {"_sip._udp.example.com SRV !", "example.com A 192.0.2.1"};
    static const zone_lines forged_naptr = {
        "example.com NAPTR !",
        "_sip._udp.example.com SRV 1 1 5060 example.com",
        "example.com A 192.0.2.1",
    };
    static const zone_lines forged_address = {"example.com A !"};
    static const zone_lines nothing = {NULL};

    (void)state;
    check(WISH(0), silent, "504");
    check(WISH(0), forged, "502");
    check(WISH(0), forged_naptr, "502");
    check(WISH(0), forged_address, "502");
    check(WISH(0), nothing, "404");
}

/* RFC 7673: the whole way must be proven. */
static void a_place_is_secure_if_all_that_led_there_is(void **state)
{
    static const zone_lines zone = {
        "_sip._udp.example.com srv 1 0 5061 a.example.com|2 0 5062 b.example.com",
        "a.example.com a 192.0.2.1",
        "b.example.com A 192.0.2.2",
    };
    static const zone_lines loose = {
        "example.com NAPTR 1 1 s SIP+D2U _sip._udp.example.com",
        "_sip._udp.example.com srv 1 0 5061 a.example.com",
        "a.example.com a 192.0.2.1",
    };

    (void)state;
    check(WISH(0), zone, "UDP/192.0.2.1:5061* UDP/192.0.2.2:5062");
    check(WISH(0), loose, "UDP/192.0.2.1:5061");
}

#define SECURE_SERVICE "_sips._tcp.example.com srv 1 0 5061 a.example.com"
#define SECURE_HOST "a.example.com a 192.0.2.1"
#define PLAIN_SERVICE "_sip._udp.example.com srv 1 0 5060 a.example.com"

/* RFC 7673 3: only where the way there is proven. */
static void tlsa_records_are_those_of_a_proven_server(void **state)
{
    static const zone_lines zone = {
        SECURE_SERVICE "|2 0 5062 b.example.com|3 0 5063 c.example.com|4 0 5064 d.example.com",
        SECURE_HOST,
        "b.example.com A 192.0.2.2",
        "c.example.com a 192.0.2.3",
        "d.example.com a 192.0.2.4",
        "_5061._tcp.a.example.com tlsa 3 1 1 7x32|2 0 2 7x64|9 1 1 7x32",
        "_5062._tcp.b.example.com tlsa 3 1 1 7x32",
        "_5064._tcp.d.example.com TLSA 3 1 1 7x32",
    };

    (void)state;
    check(WISH(0), zone,
          "TLS/192.0.2.1:5061*+2 TLS/192.0.2.2:5062 TLS/192.0.2.3:5063* TLS/192.0.2.4:5064*");
}

static void without_srv_the_records_are_those_of_the_host_itself(void **state)
{
    static const zone_lines zone = {
        "example.com a 192.0.2.1",
        "_5070._tcp.example.com tlsa 3 1 1 7x32",
        "_5061._tcp.example.com tlsa 3 1 1 7x32",
    };

    (void)state;
    check(WISH(.port = 5070, .is_sips = true), zone, "TLS/192.0.2.1:5070*+1");
    check(WISH(.is_sips = true), zone, "TLS/192.0.2.1:5061*+1");
    check(WISH(.port = 5070), zone, "UDP/192.0.2.1:5070*");
}

/* RFC 6698 4.1 */
static void records_that_nobody_can_use_are_none(void **state)
{
    static const zone_lines zone = {
        SECURE_SERVICE,
        SECURE_HOST,
        ("_5061._tcp.a.example.com tlsa 4 1 1 7x32|3 2 1 7x32|3 1 3 7x32|3 1 1 7x31|3 1 2 7x32|"
         "3 1 0 7x0"),
    };

    (void)state;
    check(WISH(0), zone, "TLS/192.0.2.1:5061*");
}

/* RFC 7673 4: else it would be enough to be in the way of the answer. */
static void a_server_whose_records_cannot_be_had_is_not_used(void **state)
{
    static const zone_lines silent = {SECURE_SERVICE, SECURE_HOST,
                                      "_5061._tcp.a.example.com tlsa ?"};
    static const zone_lines forged = {SECURE_SERVICE, SECURE_HOST,
                                      "_5061._tcp.a.example.com tlsa !"};
    static const zone_lines vast = {SECURE_SERVICE, SECURE_HOST,
                                    "_5061._tcp.a.example.com tlsa 3 0 0 7x3000"};
    static const zone_lines other = {
        SECURE_SERVICE "|2 0 5062 b.example.com",
        SECURE_HOST,
        "b.example.com a 192.0.2.2",
        "_5061._tcp.a.example.com tlsa ?",
        "_5062._tcp.b.example.com tlsa 3 1 1 7x32",
    };

    (void)state;
    check(WISH(0), silent, "504");
    check(WISH(0), forged, "502");
    check(WISH(0), vast, "504");
    check(WISH(0), other, "TLS/192.0.2.2:5062*+1");
}

static void a_domain_with_records_is_not_reached_without_tls(void **state)
{
    static const zone_lines bound = {PLAIN_SERVICE, SECURE_SERVICE, SECURE_HOST,
                                     "_5061._tcp.a.example.com tlsa 3 1 1 7x32"};
    static const zone_lines silent = {PLAIN_SERVICE, SECURE_SERVICE, SECURE_HOST,
                                      "_5061._tcp.a.example.com tlsa ?"};
    static const zone_lines without = {PLAIN_SERVICE, SECURE_SERVICE, SECURE_HOST};
    static const zone_lines forged = {PLAIN_SERVICE, "_sips._tcp.example.com SRV !", SECURE_HOST};

    (void)state;
    check(WISH(0), bound, "TLS/192.0.2.1:5061*+1");
    check(WISH(0), silent, "504");
    check(WISH(0), without, "TLS/192.0.2.1:5061* UDP/192.0.2.1:5060*");
    check(WISH(0), forged, "502");
}

/* Else it would be enough to drop an answer on the way to them. */
static void a_signed_domain_whose_tls_cannot_be_found_is_not_reached_without(void **state)
{
    static const zone_lines silent = {"_sips._tcp.example.com SRV ?",
                                      "_sip._udp.example.com srv 1 0 5060 a.example.com",
                                      SECURE_HOST};
    static const zone_lines unsigned_one = {"_sips._tcp.example.com SRV ?",
                                            "_sip._udp.example.com SRV 1 0 5060 a.example.com",
                                            SECURE_HOST};
    static const zone_lines other = {SECURE_SERVICE, "_sip._tcp.example.com SRV ?", PLAIN_SERVICE,
                                     SECURE_HOST};
    static const zone_lines homeless = {
        "_sips._tcp.example.com srv 1 0 5061 b.example.com",
        "b.example.com A ?",
        "b.example.com AAAA ?",
        PLAIN_SERVICE,
        SECURE_HOST,
        "_5061._tcp.b.example.com tlsa 3 1 1 7x32",
    };
    static const zone_lines hidden = {
        "_sips._tcp.example.com srv 1 0 5061 b.example.com",
        "b.example.com A ?",
        PLAIN_SERVICE,
        SECURE_HOST,
        "_5061._tcp.b.example.com tlsa ?",
    };
    static const zone_lines free_one = {"_sips._tcp.example.com srv 1 0 5061 b.example.com",
                                        "b.example.com A ?", PLAIN_SERVICE, SECURE_HOST};

    (void)state;
    check(WISH(0), silent, "504");
    check(WISH(0), unsigned_one, "UDP/192.0.2.1:5060");
    check(WISH(0), other, "TLS/192.0.2.1:5061* UDP/192.0.2.1:5060*");
    check(WISH(0), homeless, "504");
    check(WISH(0), hidden, "504");
    check(WISH(0), free_one, "UDP/192.0.2.1:5060*");
}

/* The host of a maddr is whoever wrote the URI's to choose. */
static void records_of_a_host_elsewhere_prove_nothing(void **state)
{
    static const zone_lines zone = {SECURE_SERVICE, SECURE_HOST,
                                    "_5061._tcp.a.example.com tlsa 3 1 1 7x32"};
    struct resolve_wish wish = WISH(0);

    (void)state;
    wish.is_elsewhere = true;
    check(wish, zone, "TLS/192.0.2.1:5061*");
}

/* One answer, by hand. */
static void tell(struct resolve *r, const struct resolve_question *question, const char *line)
{
    struct random random = random_seeded((struct hash_key){1, 1});
    const zone_lines one = {line};
    struct reply reply;

    zone_answer(one, question->type, question->name, &reply);
    resolve_tell(r, question->id, &reply.answer, &random);
}

/* A resolver that never hears of AAAA does not hold up the A that came. */
static void one_family_need_not_wait_for_the_other(void **state)
{
    static struct resolve r;
    struct resolve_question six, four, more;
    struct resolve_place place;
    const struct resolve_wish wish = WISH(.port = 5060);

    (void)state;
    assert_true(resolve_begin(&r, &wish));
    assert_int_equal(resolve_next(&r, &place), RESOLVE_WAIT);
    assert_true(resolve_ask(&r, &six) && resolve_ask(&r, &four));
    assert_false(resolve_ask(&r, &more));
    assert_int_equal(six.type, DNS_AAAA);
    assert_int_equal(four.type, DNS_A);
    assert_false(resolve_may_hurry(&r));
    tell(&r, &four, "example.com A 192.0.2.1|192.0.2.2");
    assert_int_equal(resolve_next(&r, &place), RESOLVE_WAIT);
    assert_true(resolve_may_hurry(&r));
    resolve_hurry(&r);
    assert_int_equal(resolve_next(&r, &place), RESOLVE_PLACE);
    assert_int_equal(place.address.at[3], 1);
    tell(&r, &six, "example.com AAAA 2001:db8::1");
    assert_int_equal(resolve_next(&r, &place), RESOLVE_PLACE);
    assert_true(place.address.is_v6);
    assert_int_equal(resolve_next(&r, &place), RESOLVE_PLACE);
    assert_int_equal(place.address.at[3], 2);
    assert_int_equal(resolve_next(&r, &place), RESOLVE_NONE);
}

/* Only of the server at hand and the next; and an answer that comes too late changes nothing. */
static void addresses_are_asked_for_as_they_are_needed(void **state)
{
    static struct resolve r;
    struct resolve_question question, last;
    struct resolve_place place;
    const struct resolve_wish wish = WISH(.transport = TRANSPORT_UDP, .no_v6 = true);

    (void)state;
    assert_true(resolve_begin(&r, &wish));
    assert_true(resolve_ask(&r, &question));
    assert_slice(question.name, "_sip._udp.example.com");
    tell(&r, &question,
         "_sip._udp.example.com SRV 1 0 1 a.example.com|2 0 2 b.example.com|3 0 3 c.example.com");
    assert_int_equal(resolve_next(&r, &place), RESOLVE_WAIT);
    assert_true(resolve_ask(&r, &question) && resolve_ask(&r, &last));
    assert_slice(question.name, "a.example.com");
    assert_slice(last.name, "b.example.com");
    tell(&r, &question, "a.example.com A 192.0.2.1");
    tell(&r, &question, "a.example.com A 192.0.2.9");
    assert_int_equal(resolve_next(&r, &place), RESOLVE_PLACE);
    assert_slice(place.server, "a.example.com");
    assert_int_equal(place.address.at[3], 1);
    assert_false(resolve_ask(&r, &question));
    assert_int_equal(resolve_next(&r, &place), RESOLVE_WAIT);
    tell(&r, &last, "b.example.com A 192.0.2.2");
    assert_int_equal(resolve_next(&r, &place), RESOLVE_PLACE);
    assert_int_equal(place.address.at[3], 2);
    assert_true(resolve_ask(&r, &question));
    assert_slice(question.name, "c.example.com");
}

static void a_zone_can_send_no_more_than_is_of_use(void **state)
{
    static zone_lines zone;
    static char text[1024] = "_sip._udp.example.com SRV ";
    unsigned count = 0;
    const struct resolve_wish wish = WISH(0);
    const char *found;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u 0 5060 a.example.com",
                 i ? "|" : "", 20 - i);
    zone[0] = text;
    zone[1] = "a.example.com A 192.0.2.1|192.0.2.2|192.0.2.3|192.0.2.4|192.0.2.5|192.0.2.6";
    for (found = places(&wish, zone, 1); (found = strstr(found, "UDP/")); found++)
        count++;
    assert_int_equal(count, RESOLVE_SERVERS * RESOLVE_ADDRESSES / 2);
}

static void of_many_tlsa_records_some_are_used(void **state)
{
    static char text[1024] = "_5061._tcp.a.example.com tlsa ";
    static const zone_lines zone = {SECURE_SERVICE, SECURE_HOST, text};

    (void)state;
    for (unsigned i = 0; i < 15; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s3 1 1 %ux32", i ? "|" : "", i);
    check(WISH(0), zone, "TLS/192.0.2.1:5061*+8");
}

/* Names end at 253 bytes (RFC 1035 2.3.4): those of its records would be longer. */
static void a_server_may_have_too_long_a_name_for_records(void **state)
{
    static char server[DNS_NAME + 1], service[400], host[400];
    static const zone_lines zone = {service, host};

    (void)state;
    memset(server, 'a', DNS_NAME);
    for (unsigned i = 50; i < DNS_NAME; i += 50)
        server[i] = '.';
    snprintf(service, sizeof service, "_sips._tcp.example.com srv 1 0 5061 %s", server);
    snprintf(host, sizeof host, "%s a 192.0.2.1", server);
    check(WISH(0), zone, "TLS/192.0.2.1:5061*");
}

/* They are asked for beside the addresses, and waited for. */
static void a_proven_address_waits_for_its_tlsa_records(void **state)
{
    static struct resolve r;
    struct resolve_question six, four, records;
    struct resolve_place place;
    struct random random = random_seeded((struct hash_key){1, 1});
    const struct resolve_wish wish = WISH(.port = 5061, .is_sips = true);

    (void)state;
    assert_true(resolve_begin(&r, &wish));
    assert_int_equal(resolve_next(&r, &place), RESOLVE_WAIT);
    assert_true(resolve_ask(&r, &six) && resolve_ask(&r, &four) && resolve_ask(&r, &records));
    assert_slice(records.name, "_5061._tcp.example.com");
    tell(&r, &four, "example.com a 192.0.2.1");
    assert_true(resolve_may_hurry(&r));
    resolve_hurry(&r);
    assert_int_equal(resolve_next(&r, &place), RESOLVE_WAIT);
    assert_false(resolve_may_hurry(&r));
    tell(&r, &records, "_5061._tcp.example.com tlsa 3 1 1 7x32");
    assert_int_equal(resolve_next(&r, &place), RESOLVE_PLACE);
    assert_true(place.has_tlsa);

    assert_true(resolve_begin(&r, &wish));
    resolve_next(&r, &place);
    assert_true(resolve_ask(&r, &six) && resolve_ask(&r, &four) && resolve_ask(&r, &records));
    tell(&r, &six, "example.com AAAA ?");
    tell(&r, &four, "example.com a 192.0.2.1");
    resolve_give_up(&r, &random);
    assert_int_equal(resolve_next(&r, &place), RESOLVE_NONE);
    assert_int_equal(resolve_fault(&r).status, 504);
}

static void data_that_is_no_record_is_passed_over(void **state)
{
    static const struct {
        enum dns_type type;
        struct slice data;
        bool is_record;
    } rows[] = {
        {DNS_SRV, S("\0\1\0\2\23\304\1a\0"), true},
        {DNS_SRV, S("\0\1\0\2\23\304\1a\0x"), false},
        {DNS_SRV, S("\0\1\0\2\23\304\1a"), false},
        {DNS_SRV, S("\0\1\0\2\23\304\5a"), false},
        {DNS_SRV, S("\0\1\0\2\23\304\300\14"), false},
        {DNS_SRV, S("\0\1\0\2\23\304\3a\rb\0"), false},
        {DNS_SRV, S("\0\1\0\2\23"), false},
        {DNS_SRV, NO_SLICE, false},
        {DNS_NAPTR, S("\0\1\0\2\1s\7SIP+D2U\0\1a\0"), true},
        {DNS_NAPTR, S("\0\1\0\2\1s\7SIP+D2U\0\1a\0\0"), false},
        {DNS_NAPTR, S("\0\1\0\2\1s\377SIP+D2U\0\1a\0"), false},
        {DNS_A, S("\300\0\2\1"), true},
        {DNS_A, S("\300\0\2"), false},
        {DNS_AAAA, S("\300\0\2\1"), false},
    };
    struct dns_srv srv;
    struct dns_naptr naptr;
    struct address_bytes address;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct slice data = rows[i].data;
        bool is_record = rows[i].type == DNS_SRV ? dns_read_srv(data, &srv)
                         : rows[i].type == DNS_NAPTR
                             ? dns_read_naptr(data, &naptr)
                             : dns_read_address(data, rows[i].type == DNS_AAAA, &address);
        if (is_record != rows[i].is_record)
            fail_msg("row %u", i);
    }
}

static void names_are_as_long_as_dns_has_them(void **state)
{
    char data[6 + 4 * 64 + 1] = {0};
    struct dns_srv srv;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        data[6 + 64 * i] = 63;
        memset(data + 6 + 64 * i + 1, 'a', 63);
    }
    assert_false(dns_read_srv(slice_of(data, sizeof data), &srv)); /* 255 */
    data[6 + 64 * 3] = 61;
    data[6 + 64 * 3 + 62] = 0;
    assert_true(dns_read_srv(slice_of(data, sizeof data - 2), &srv));
    assert_int_equal(srv.target.len, DNS_NAME);
}

int main(void)
{
    RUN(cmocka_unit_test(numbers_need_no_dns),
        cmocka_unit_test(what_we_have_no_socket_for_is_refused),
        cmocka_unit_test(a_port_means_the_host_itself),
        cmocka_unit_test(naptr_ranks_the_transports),
        cmocka_unit_test(a_replacement_may_be_elsewhere),
        cmocka_unit_test(without_naptr_services_are_asked_for_by_their_names),
        cmocka_unit_test(without_srv_the_host_itself_is_asked),
        cmocka_unit_test(a_withdrawn_service_is_none), cmocka_unit_test(servers_come_by_priority),
        cmocka_unit_test(servers_of_one_priority_come_as_often_as_they_weigh),
        cmocka_unit_test(a_dead_server_leaves_the_others),
        cmocka_unit_test(what_is_not_answered_is_not_taken_as_absent),
        cmocka_unit_test(a_place_is_secure_if_all_that_led_there_is),
        cmocka_unit_test(tlsa_records_are_those_of_a_proven_server),
        cmocka_unit_test(without_srv_the_records_are_those_of_the_host_itself),
        cmocka_unit_test(records_that_nobody_can_use_are_none),
        cmocka_unit_test(a_server_whose_records_cannot_be_had_is_not_used),
        cmocka_unit_test(a_domain_with_records_is_not_reached_without_tls),
        cmocka_unit_test(a_signed_domain_whose_tls_cannot_be_found_is_not_reached_without),
        cmocka_unit_test(records_of_a_host_elsewhere_prove_nothing),
        cmocka_unit_test(of_many_tlsa_records_some_are_used),
        cmocka_unit_test(a_server_may_have_too_long_a_name_for_records),
        cmocka_unit_test(a_proven_address_waits_for_its_tlsa_records),
        cmocka_unit_test(one_family_need_not_wait_for_the_other),
        cmocka_unit_test(addresses_are_asked_for_as_they_are_needed),
        cmocka_unit_test(a_zone_can_send_no_more_than_is_of_use),
        cmocka_unit_test(data_that_is_no_record_is_passed_over),
        cmocka_unit_test(names_are_as_long_as_dns_has_them));
}
