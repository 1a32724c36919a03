#include "config/schema.h"

#define LEVEL_MOST 9

#define KEYS(list)                                                                                 \
    {                                                                                              \
        .keys = list, .count = COUNT_OF(list)                                                      \
    }
#define LIST(list)                                                                                 \
    {                                                                                              \
        .keys = list, .count = COUNT_OF(list), .is_list = true                                     \
    }

/* clang-format off */
#define AT(field) offsetof(struct values, field)
#define OF(field) offsetof(struct node_values, field)
#define TEXT(name, offset, preset, meaning) {name, KEY_TEXT, offset, 0, 0, NULL, preset, meaning, false}
#define NUMBER(name, offset, least, most, preset, meaning) \
    {name, KEY_NUMBER, offset, least, most, NULL, preset, meaning, false}
#define START_TEXT(name, offset, preset, meaning) {name, KEY_TEXT, offset, 0, 0, NULL, preset, meaning, true}
#define START_NUMBER(name, offset, least, most, preset, meaning) \
    {name, KEY_NUMBER, offset, least, most, NULL, preset, meaning, true}
#define START_BOOLEAN(name, offset, meaning) {name, KEY_BOOLEAN, offset, 0, 0, NULL, "no", meaning, true}
#define SECTION(name, schema, meaning) {name, KEY_SECTION, 0, 0, 0, schema, NULL, meaning, false}
#define NODES(name, offset, schema, meaning) {name, KEY_LIST, offset, 0, 0, schema, NULL, meaning, false}
#define NOTED(name, reason) {name, KEY_NOTED, 0, 0, 0, NULL, NULL, reason, false}

#define SELF "the server sizes itself by the machine"
#define LATER "not in this version"
#define STACK "the signalling stack is another"
#define TLS "keys have no passphrase, and TLS chooses its groups"
#define RELAY "the relay is no thread of the server"
#define UNUSED "GNU SIP Witch read it, too, and did nothing with it"

static const struct key stack_keys[] = {
    START_TEXT("interface", AT(interface), "*",
        "Addresses to listen on, separated by blanks or commas: * is all of the machine's, 0.0.0.0 "
        "all of IPv4, :: all of IPv6. Of these, addresses that come "
        "and go are followed; those that are written must be there at the start, and are kept."),
    START_NUMBER("port", AT(port), 1, 65535, "5060", "Port to listen on."),
    START_TEXT("transport", AT(transport), "udp tcp tls ws wss",
        "What is listened on, separated by blanks or commas: udp and tcp, on the same port, which "
        "both stands for, tls, and for phones in browsers ws and wss, which is ws over tls. Unless "
        "tls, ws or wss is written here, the server starts without it where its port is in use."),
    START_NUMBER("tls-port", AT(tls_port), 1, 65535, "the port after the other",
        "Port to listen on for TLS."),
    START_NUMBER("ws-port", AT(ws_port), 1, 65535, "6 above port: 5066",
        "Port to listen on for WebSockets. Browsers open none on 5060 and 5061, and from a page "
        "that came by https none that is not wss, unless it is on their own machine."),
    START_NUMBER("wss-port", AT(wss_port), 1, 65535, "7 above port: 5067",
        "Port to listen on for WebSockets over TLS."),
    TEXT("origins", AT(origins), NULL,
        "Web sites, beside those of this domain, whose pages may open WebSockets: origins like "
        "https://www.example.com or hosts, separated by blanks or commas; * is all. Pages whose "
        "host is the realm, a name under it, one of localnames, an address of the server or "
        "localhost may anyway."),
    TEXT("certfile", AT(certfile), NULL,
        "A PEM file with the server's certificate, what leads from it to a CA, and its key. Where "
        "there is none, certs/REALM.pem in the state directory counts, and without that one a "
        "certificate that the server makes and signs itself."),
    TEXT("keyfile", AT(keyfile), "certfile", "A PEM file with the certificate's key."),
    TEXT("authfile", AT(authfile), NULL,
        "A PEM file with certificates of CAs that are trusted beside the system's."),
    TEXT("identity", AT(identity), "no",
        "Whether the server signs who calls, where its users call other domains (RFC 8224): no, yes, "
        "or the https URI where the certificate can be fetched. With yes that is the server itself, "
        "at https://REALM:WSS-PORT/identity.pem, which others must reach. The certificate must name "
        "the realm, be a CA's and have a key of the curve P-256."),
    TEXT("tls-policy", AT(policy), "opportunistic",
        "What the servers of other domains must prove by TLS: opportunistic is nothing, unless the "
        "domain did within the last thirty days or has TLSA records that DNSSEC proves; verified is "
        "a certificate for that domain, by a CA or by DANE; dane is DANE. Whatever is written here, "
        "the server of a domain that has such records must match one of them, and is not spoken "
        "with without TLS; those of usage 0 and 1 want a CA as well. What was proven when a call "
        "began is proven again before more of it goes by a new connection. A domain that calls us is "
        "proven by the same two, where its server shows its certificate when it connects, as sipw "
        "does."),
    TEXT("localnames", AT(localnames), NULL,
        "Further names of this domain, separated by blanks, commas, semicolons or colons. The "
        "host's name, localhost and the addresses that are listened on count anyway."),
    TEXT("published", AT(published), "none",
        "The name under which other domains know this one, and one more name of it; unless it is "
        "none, their callers reach our users."),
    TEXT("public", AT(public), NULL, "The same as published."),
    TEXT("restricted", AT(restricted), "none",
        "Names of networks, from <access>. Where there are any, our own users are served from "
        "these only; from elsewhere they are answered 403."),
    TEXT("trusted", AT(trusted), "none",
        "Names of networks, from <access>. From these, what comes by the flow of a registered "
        "phone is taken for its user's without a digest. A REGISTER is always challenged."),
    TEXT("exempt", AT(exempt), "none",
        "Names of networks, from <access>, from which wrong passwords are not counted, nor requests "
        "of other domains. Elsewhere, loopback too, they are."),
    NUMBER("account-guesses", AT(account_guesses), 1, 1000, "10",
        "Wrong passwords for one user that an address may send; then what it sends in that "
        "user's name is not answered until guess-window has passed. The address of a "
        "phone that is registered for the user is not affected."),
    NUMBER("source-guesses", AT(source_guesses), 1, 10000, "30",
        "Wrong passwords for all users together that an address may send, or a /64 of IPv6."),
    NUMBER("guess-window", AT(guess_window), 1, 86400, "900",
        "Seconds after the last wrong password until they are forgotten."),
    NUMBER("stranger-source", AT(stranger_source), 0, 1000000, "120",
        "Requests that begin something, such as calls and messages, that one source of another "
        "domain may send in a minute, all of them at once or one after another; 0 is any number. A "
        "source is an address, or a /64 of IPv6; of callers whose domain is proven, the domain. "
        "More are answered 503, with the time after which they may come again."),
    NUMBER("stranger-callee", AT(stranger_callee), 0, 1000000, "60",
        "Requests of that kind that other domains may send in a minute for one user, by whatever "
        "name, or for one name that is nobody's; 0 is any number. More are answered 480, as for "
        "somebody who is not there. Callers whose domain is proven are counted apart."),
    TEXT("service-route", AT(service_route), NULL,
        "The way that phones are told, when they register, to send their requests (RFC 3608): SIP "
        "URIs, separated by blanks or commas, each of a proxy that is passed on the way here."),
    TEXT("resolver", AT(resolver), "as the system has it",
        "Addresses of the DNS servers that are asked for other domains, separated by blanks or "
        "commas, each with @ and a port behind it unless that is 53."),
    TEXT("trust-anchor", AT(trust_anchor), "the root's, as the system has it",
        "The file of DNSKEY or DS records by which answers of DNS are validated; it stands in "
        "place of the root's."),
    TEXT("system", AT(system), "system", "The id that nobody may call: 403."),
    TEXT("anon", AT(anonymous), "anonymous", "The id that nobody has: 404."),
    START_NUMBER("memory", AT(memory), 128, 16000000, "what the machine and its control group have",
        "MiB that may be filled with calls, messages, users and their registrations. Before there is "
        "no more room, new calls, messages and registrations are answered 503, and the rest goes on. "
        "Connections have a sixth as much beside that, for what is not whole yet or not read: where "
        "they keep more, one that keeps much is closed."),
    TEXT("agent", AT(agent), "SIP Witch", "What the server calls itself to others."),
    START_BOOLEAN("trace", AT(trace),
        "Keep SIP messages from the start on, as sipwitch trace on does; a value that begins with "
        "n, f or 0 is no."),
    START_BOOLEAN("dumping", AT(dumping), "The same as trace."),
    NOTED("mapped", SELF), NOTED("threading", SELF), NOTED("priority", SELF),
    NOTED("keysize", SELF), NOTED("timing", SELF), NOTED("incoming", SELF),
    NOTED("outgoing", SELF),
    TEXT("peering", AT(peering), NULL, "The same as public in <media>."),
    TEXT("gateway", AT(peering), NULL, "The same as peering."),
    NOTED("contact", LATER), NOTED("proxy", UNUSED),
    NOTED("outbound", UNUSED),
    NOTED("send101", STACK), NOTED("keepalive", STACK), NOTED("learn", STACK),
    NOTED("password", TLS), NOTED("dhfile", TLS), NOTED("random", TLS),
};

static const struct key registry_keys[] = {
    TEXT("realm", AT(realm), "a UUID, made at the first start",
        "The digest realm, and the domain that is served; where it is no, none or no name of a host, "
        "like one with a blank, that is the host's name. What /etc/siprealm says counts more."),
    NUMBER("expires", AT(expires), 60, 86400, "3600",
        "Seconds that a registration lasts where the phone asks for no time."),
    NUMBER("prefix", AT(prefix), 0, 1000000000000000, "100", "The lowest extension."),
    NUMBER("range", AT(range), 0, 1000000000000000, "600",
        "How many extensions there may be, from the lowest on; 0 is none, as in GNU SIP Witch."),
    START_NUMBER("mapped", AT(mapped), 1, 4000000, "sixteen for each user, and at least 1000",
        "Registrations at most; more are answered 503. Where that is fewer than there are, those stay "
        "and are refreshed."),
    TEXT("digest", AT(digest), "MD5",
        "The digest algorithm offered first: MD5, or SHA-256, which many phones cannot answer."),
    NUMBER("unregistered", AT(unregistered), 410, 480, "480",
        "The status for calling a user of ours who has no phone registered: 480, or 410 as GNU SIP "
        "Witch had it."),
    NOTED("keysize", SELF), NOTED("priorities", "there are ten"),
};

static const struct key timers_keys[] = {
    NUMBER("answer", AT(answer), 5, 3600, "as long as c lets it",
        "Seconds that a phone may ring; then it counts as not answering."),
    NUMBER("c", AT(timer_c), 181, 3600, "185",
        "Seconds without news after which a ringing call is given up: timer C of RFC 3261."),
    NUMBER("session", AT(session), 0, 86400, "1800",
        "Seconds within which phones are asked to say that a call goes on (RFC 4028); 0 asks for "
        "nothing. A call that they agreed to refresh and do not is hung up."),
    NUMBER("shortest", AT(session_shortest), 5, 86400, "90",
        "The least such time that a phone may ask for; RFC 4028 allows no value below 90, which "
        "are for tests only."),
    NUMBER("call", AT(call), 5, 604800, "43200",
        "Seconds that a call may last; then it is hung up."),
    NOTED("ring", "phones make their own ringing"),
    NOTED("cfna", "there is no forwarding yet; see answer"),
    NOTED("reset", STACK), NOTED("invite", STACK),
};

static const struct key messages_keys[] = {NOTED("expires", LATER), NOTED("keysize", SELF)};

static const struct key media_keys[] = {
    TEXT("mode", AT(media), "auto",
        "Which calls have their media relayed: auto is those whose phones could not reach each other, "
        "or might not, and never and always mean what they say. A call that needs the relay and "
        "finds it full is refused: 503. Where the kernel's relay is not loaded, the server starts a "
        "process that relays, and the log says which it is; but where no mode is written, and the "
        "relay's addresses are those by which this machine reaches itself, it starts none."),
    TEXT("address", AT(relay_address), "those that are listened on",
        "The relay's addresses on this machine, separated by blanks or commas: at most one of IPv4 "
        "and one of IPv6."),
    TEXT("public", AT(relay_public), "address",
        "The addresses under which those outside reach the relay, where a router stands before it "
        "that hands its ports on: at most one of IPv4 and one of IPv6. Phones with a private address "
        "are told the relay's own. Or, separated by blanks, router, where the router is to be asked "
        "for its address of IPv4, and to forward the ports that are listened on and those of the "
        "relay (PCP, NAT-PMP, UPnP), or router:ADDRESS for one that no default route leads to; and "
        "stun:HOST, a STUN server that is asked for the address, where the ports are forwarded by "
        "hand, or the router tells no public one. The address of IPv4, written or learnt, stands in "
        "Via and Record-Route, too, for those outside, and is a name of the domain."),
    START_TEXT("ports", AT(relay_ports), "16384-32767, or with a router that is asked 16384-16511",
        "The relay's ports, from the first to the last. Each medium of a call takes two on each side, "
        "at random. A router is asked for each, so that there may be 512 with it."),
    NUMBER("calls", AT(relay_calls), 0, 1000000, "0",
        "Calls at most that are relayed at a time; 0 is as many as there are ports, and "
        "the relay has legs."),
    NUMBER("user-calls", AT(relay_user_calls), 0, 1000000, "32",
        "Calls at most that are relayed for one user, whether the user calls or is called; 0 is any "
        "number. Gateways may have any number."),
    NUMBER("rate", AT(relay_rate), 50, 1000000, "2000",
        "Packets a second that the relay takes on one port; more are dropped."),
    NUMBER("silence", AT(silence), 0, 86400, "60",
        "Seconds after which a relayed call is hung up that no packet has come of, from neither side; "
        "0 is never. Where one holds the other, nothing may come for ten times as long, and where neither "
        "is to send, for any time. Calls with ICE count once both have been heard by the relay for "
        "longer than ICE takes to find another way."),
    TEXT("sites", AT(sites), "none",
        "Names of networks, from <access>. Phones within one of these reach each other directly."),
    START_NUMBER("port", AT(relay_port), 1024, 65534, "2 above the port listened on",
        "The relay's first port, where ports says nothing."),
    START_NUMBER("count", AT(relay_count), 0, 64000, "38",
        "And how many there are, where port or count is given; 0 is the same as the mode never."),
    NOTED("priority", RELAY),
};

static const struct key contact_items[] = {
    TEXT("contact", 0, NULL, "A SIP URI."),
};
static const struct schema contacts = LIST(contact_items);

#define PREFIX TEXT("prefix", OF(prefix), NULL, \
        "Put before the number, unless it is there; -12 takes a 12 off.")
#define SUFFIX TEXT("suffix", OF(suffix), NULL, "The same at its end.")

static const struct key route_keys[] = {
    TEXT("pattern", OF(pattern), NULL, "The numbers it is for."),
    NUMBER("priority", OF(priority), 0, 9, "0",
        "Of several routes for a number the highest is tried first. Callers may use those below "
        "their level."),
    PREFIX, SUFFIX,
};
const struct schema schema_route = KEYS(route_keys);
static const struct key route_items[] = {SECTION("route", &schema_route, "A route.")};
static const struct schema routes = LIST(route_items);

#define ID TEXT("id", OF(id), NULL, \
        "Its name in the domain: up to 255 characters without blanks, @ and :.")
#define SECRET TEXT("secret", OF(secret), NULL, \
        "Its password. The server keeps digests of it only, and they are made with the id: a phone " \
        "must prove itself as alice, not as alice@example.org or by its extension.")
#define DIGEST TEXT("digest", OF(digest), NULL, \
        "Instead of the password: the MD5 sum of id:realm:password, in hex. It cannot answer a " \
        "SHA-256 challenge.")
#define EXTENSION TEXT("extension", OF(extension), NULL, "Its number, within prefix and range.")
#define DISPLAY TEXT("display", OF(display), NULL, \
        "A name for who reads the configuration. Phones show the name that the caller's phone sends.")
#define PROFILE TEXT("profile", OF(profile), NULL, "The profile that says what it may do.")
#define TRS NUMBER("trs", OF(level), 0, LEVEL_MOST, "that of its profile", \
        "Its level: it may use routes whose priority is below it.")
#define CONTACT TEXT("contact", OF(contact), NULL, \
        "A SIP URI where it is, registered or not.")
#define CONTACTS NODES("contacts", OF(contacts), &contacts, "Several of them, each a <contact>.")
#define FORWARDING NOTED("forwarding", "there is no forwarding yet")
#define PUBLISHED NOTED("published", "who is published is a matter of profiles")
#define AUTHORIZE NOTED("authorize", "services prove themselves by id and secret")

static const struct key user_keys[] = {
    ID, SECRET, DIGEST, EXTENSION, DISPLAY, PROFILE, TRS, CONTACT, CONTACTS,
    FORWARDING, PUBLISHED, AUTHORIZE,
};
static const struct schema user = KEYS(user_keys);

static const struct key gateway_keys[] = {
    ID, SECRET, DIGEST, DISPLAY, CONTACT, CONTACTS,
    NODES("routes", OF(routes), &routes, "The numbers it takes, each a <route>."),
    FORWARDING, PUBLISHED, AUTHORIZE,
};
static const struct schema gateway = KEYS(gateway_keys);

static const struct key profile_keys[] = {
    TEXT("id", OF(id), NULL, "Its name; * is the profile of users who name none."),
    NUMBER("trs", OF(level), 0, LEVEL_MOST, "that of the profile *", "Its level."),
    TEXT("incoming", OF(incoming), "that of the profile *",
        "Whether callers of other domains reach its users: yes or no."),
    TEXT("outgoing", OF(outgoing), "that of the profile *",
        "Whether its users call other domains: yes or no."),
};
static const struct schema profile = KEYS(profile_keys);

static const struct key reject_keys[] = {
    ID, EXTENSION, NUMBER("error", OF(error), 300, 699, "403", "The SIP status."), DISPLAY,
};
static const struct schema reject = KEYS(reject_keys);

#define TEST_ONLY "a test node answers with a status only"
static const struct key test_keys[] = {
    ID, EXTENSION,
    NUMBER("error", OF(error), 100, 699, "480", "The SIP status; one below 300 becomes 480."),
    DISPLAY, NOTED("answer", TEST_ONLY), NOTED("duration", TEST_ONLY),
};
static const struct schema test = KEYS(test_keys);

static const struct key alias_keys[] = {ID, EXTENSION, CONTACT, CONTACTS, DISPLAY};
static const struct schema alias = KEYS(alias_keys);

static const struct key node_items[] = {
    SECTION("user", &user, "A person. All phones registered for the user ring."),
    SECTION("admin", &user, "A person whose profile is admin, unless it says otherwise."),
    SECTION("service", &user,
        "A program; its profile is service, and its newest registration alone counts."),
    SECTION("device", &user,
        "A telephone without a person; its profile is device, and its newest registration alone "
        "counts."),
    SECTION("gateway", &gateway, "The way to other telephones: a user to whom numbers are routed."),
    SECTION("profile", &profile, "What users may do."),
    SECTION("reject", &reject, "A name that cannot be called, nor registered."),
    SECTION("test", &test, "A name that answers with a status."),
    SECTION("alias", &alias, "Another name for its contacts."),
    NOTED("refer", LATER), NOTED("group", LATER), NOTED("queue", LATER),
};
const struct schema schema_nodes = LIST(node_items);

#define MATCHES \
    TEXT("pattern", OF(pattern), NULL, "The numbers it is for."), \
    TEXT("identity", OF(identity), NULL, "The name it is for, where there is no pattern.")

static const struct key rewrite_keys[] = {
    MATCHES, TEXT("replace", OF(replace), NULL, "What is dialed instead."), PREFIX, SUFFIX,
};
static const struct key redirect_keys[] = {
    MATCHES,
    TEXT("target", OF(target), NULL, "The URI that is asked for instead."),
    TEXT("server", OF(server), NULL, "The host, or HOST:PORT, that is asked for the same number."),
};
static const struct key refuse_keys[] = {
    MATCHES, NUMBER("error", OF(error), 300, 699, "403", "The SIP status."),
};
static const struct schema rewrite = KEYS(rewrite_keys), redirect = KEYS(redirect_keys),
                           refuse = KEYS(refuse_keys);
static const struct key rule_items[] = {
    SECTION("rewrite", &rewrite, "Another number or name is dialed."),
    SECTION("redirect", &redirect,
        "The request is sent on to another server or URI; for our own users only."),
    SECTION("refer", &redirect, "The caller is told to ask another server or URI (302)."),
    SECTION("refuse", &refuse, "The caller is refused."),
};
const struct schema schema_rules = LIST(rule_items);

static const struct key template_items[] = {
    SECTION("user", &user, "What a generated user has."),
    SECTION("admin", &user, "What a generated administrator has."),
};
const struct schema schema_templates = LIST(template_items);

static const struct key domain_keys[] = {
    TEXT("name", OF(id), NULL, "Its name."),
    TEXT("tls", OF(tls), NULL,
        "What its servers must prove, as tls-policy says it for all: opportunistic, verified or "
        "dane."),
    TEXT("identity", OF(identity), "optional",
        "required, where callers who say that they are of this domain are refused unless the domain "
        "has signed it (RFC 8224): 428."),
};
static const struct schema domain = KEYS(domain_keys);
static const struct key domain_items[] = {SECTION("domain", &domain, "A domain.")};
const struct schema schema_domains = LIST(domain_items);

static const struct key fellow_keys[] = {
    TEXT("name", OF(id), NULL,
        "Its domain: by TLS, who proves to be that domain, by a CA or by DANE, is this node, and it "
        "speaks for callers of that domain."),
    TEXT("address", OF(address), NULL,
        "Addresses, separated by blanks or commas: whoever is at one of these by TCP or TLS is this "
        "node."),
};
static const struct schema fellow = KEYS(fellow_keys);
static const struct key fellow_items[] = {
    SECTION("node", &fellow,
        "A server that is believed which of its users calls, and is told the same of ours."),
};
const struct schema schema_fellows = LIST(fellow_items);

static const struct schema access_names = {.has_names = true};

static const struct schema stack = KEYS(stack_keys), registry = KEYS(registry_keys),
                           timers = KEYS(timers_keys), messages = KEYS(messages_keys),
                           media = KEYS(media_keys);

static const struct key root_keys[] = {
    NODES("provision", 0, &schema_nodes, "who can be called"),
    SECTION("registry", &registry, "the registrar"),
    SECTION("stack", &stack, "the server"),
    NODES("access", 0, &access_names, "names for networks"),
    NODES("routing", 0, &schema_rules, "the routing table"),
    NODES("domains", 0, &schema_domains, "other domains"),
    NODES("nodes", 0, &schema_fellows, "other servers of ours"),
    SECTION("timers", &timers, "times of a call"),
    NODES("templates", 0, &schema_templates, "what the system's accounts have"),
    SECTION("messages", &messages, "instant messages"),
    SECTION("media", &media, "the media relay"),
    NOTED("forward", "there are no plugins"), NOTED("subscriber", "there are no plugins"),
    NOTED("devices", UNUSED), NOTED("provider", UNUSED),
};
const struct schema schema_root = KEYS(root_keys);
/* clang-format on */

struct values values_default(void)
{
    return (struct values){
        .interface = S("*"),
        .port = 5060,
        .prefix = 100,
        .range = 600,
        .unregistered = 480,
        .session = 1800,
        .session_shortest = 90,
        .call = 12 * 3600,
        .stranger_source = 120,
        .stranger_callee = 60,
        .relay_count = NOT_GIVEN,
        .relay_user_calls = 32,
        .relay_rate = 2000,
        .silence = 60,
        .system = S("system"),
        .anonymous = S("anonymous"),
    };
}

const struct key *schema_find(const struct schema *schema, struct slice name)
{
    for (unsigned i = 0; i < schema->count; i++) {
        struct slice known = slice_text(schema->keys[i].name);

        if (schema->is_list ? slice_equal_nocase(known, name) : slice_equal(known, name))
            return &schema->keys[i];
    }
    return NULL;
}
