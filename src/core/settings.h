/* What the administrator decided.  One immutable whole, made by src/config and owned by it; it must
 * outlive the core or the next settings that replace it. */
#pragma once

#include "base/address.h"
#include "core/access.h"
#include "core/dialplan.h"
#include "core/flow.h"
#include "core/media.h"
#include "core/written.h"
#include "sip/challenge.h"

/* A local socket: the addresses we answer on. */
struct socket_settings {
    enum transport transport;
    struct slice host; /* as written in Via and Record-Route: an address, IPv6 in brackets */
    uint16_t port;
    bool is_gone; /* the machine has not its address now: flows still name it, nobody comes by it */
};

/* What a row of the location service is. */
enum user_kind {
    USER_PERSON, /* all its phones ring */
    USER_DEVICE, /* a device or service: its newest binding alone */
    USER_GATEWAY,
    USER_REJECT, /* nobody can be it or reach it: settings say by which status */
    USER_TEST,   /* answers with a status */
    USER_ALIAS,  /* stands for its contacts */
};

/* Where a row was written.  Where two have the same id or extension, the lower one counts. */
enum user_source {
    SOURCE_FILE, /* the XML files */
    SOURCE_DATABASE,
    SOURCE_ACCOUNT, /* the system's accounts */
};

#define LEVEL_LIMIT 9u /* the highest level, which may use every route */

/* Left out is what most users have: a person whom strangers may reach, who may call them. */
struct user_settings {
    struct slice id;        /* the user part of its address of record */
    struct slice extension; /* digits; empty if there is none */
    struct slice display;
    struct slice contacts; /* where it is without a registration: URIs, one a line */
    uint8_t ha1[ALGORITHM_COUNT][DIGEST_LIMIT];
    bool has_ha1[ALGORITHM_COUNT];
    enum user_kind kind;
    enum user_source source;
    uint8_t level;       /* it may use routes whose priority is below it */
    bool is_closed;      /* strangers do not reach it */
    bool is_inside_only; /* it does not call other domains */
    uint16_t status;     /* of a reject or test node */
    uint8_t profile;     /* its place in settings.profiles */
    struct written written;
};

/* Another domain. */
struct domain_settings {
    struct slice name;
    uint8_t policy; /* enum peer_policy */
    struct written written;
    bool must_sign; /* what claims to be of it counts only with its signature (RFC 8224) */
};

/* Another node of ours (core/fellow.h); it is there once for each of its addresses. */
struct fellow {
    struct slice name; /* the domain that its certificate names, or empty */
    struct address_bytes address;
    bool has_address;
};

/* What many users have in common; its rights are in their rows. */
struct profile_settings {
    struct slice id;
    struct written written; /* nowhere: it is built in */
};

/* Settings whose place is told. */
enum setting {
    SETTING_PUBLISHED,
    SETTING_SYSTEM,
    SETTING_ANONYMOUS,
    SETTING_POLICY,
    SETTING_RESTRICTED,
    SETTING_STRANGER_SOURCE,
    SETTING_STRANGER_CALLEE,
    SETTING_COUNT,
};

/* The relay of media; by IPv4 and IPv6. */
struct media_settings {
    uint8_t mode; /* enum media_mode */
    bool has[2];
    struct address_bytes own[2];     /* where it is on this machine, */
    struct address_bytes outside[2]; /* and what those outside know it by */
    bool asks_router;                /* the router is asked for that, and to forward ports, */
    struct address_bytes router;     /* at this address; unspecified: as the routes have it; */
    struct slice stun;               /* or this server is, HOST or HOST:PORT; or empty */
    uint16_t first_port, last_port;
    uint32_t calls;      /* that are relayed at a time; 0 = as many as there are ports */
    uint32_t user_calls; /* for one user; 0 = any number */
    uint32_t rate;       /* packets a second on one port */
    duration silence;    /* a call that is silent so long is hung up; 0 = never */
};

struct voucher;

struct settings {
    struct slice realm;             /* the digest realm; also the domain served, */
    struct slice domain;            /* unless this is: a realm may be no host name */
    const struct slice *localnames; /* further names of this domain: hosts and addresses */
    unsigned localname_count;
    const struct slice *origins; /* further web pages whose WebSockets are taken (core/origin) */
    unsigned origin_count;
    const struct socket_settings *sockets;
    unsigned socket_count;
    bool is_public;                /* callers of other domains may reach our users */
    bool sha256_first;             /* offer SHA-256 before MD5 to every User-Agent */
    uint32_t expires;              /* seconds: granted where the phone names none */
    uint32_t expires_shortest;     /* seconds: below it 423 */
    uint32_t expires_longest;      /* seconds: more is cut */
    duration timer_c;              /* 16.6 step 11; above 3 minutes */
    duration answer;               /* a phone may ring so long; 0 = as long as timer C lets it */
    duration nonce_life;           /* after it: stale */
    duration call_longest;         /* a call of that age is no longer kept in mind */
    struct slice agent;            /* Server header */
    struct dialplan dialplan;      /* where numbers go that are no user's */
    struct slice system;           /* the id that nobody may call (403) */
    struct slice anonymous;        /* and the one that nobody has (404) */
    const struct subnet *networks; /* the most specific first */
    unsigned network_count;
    bool is_restricted;    /* our own users are served from some networks only */
    uint16_t unregistered; /* status for a user of ours without a phone: 480, or 410 */

    const struct slice *files; /* of the configuration, by their names */
    unsigned file_count;
    struct written written[SETTING_COUNT];
    const struct profile_settings *profiles; /* the first is that of who has no other */
    unsigned profile_count;

    const struct domain_settings *domains; /* of other domains, those that are named */
    unsigned domain_count;
    uint8_t policy;             /* enum peer_policy, for all others */
    struct slice resolver;      /* whom DNS is asked: ADDRESS or ADDRESS@PORT each, separated by
                                   blanks; empty: as the system has it */
    struct slice service_route; /* Route values that phones are to preload (RFC 3608), or empty */
    const struct voucher *vouchers; /* by whom our users' requests are signed (core/vouch.h) */
    unsigned voucher_count;
    const struct fellow *fellows; /* other nodes of ours (core/fellow.h) */
    unsigned fellow_count;
    uint32_t session_expires;     /* seconds that calls are asked to refresh in; 0 = never */
    uint32_t session_shortest;    /* seconds: a phone that asks for less hears 422 */
    uint32_t guesses_per_account; /* wrong passwords answered to one source for one account ... */
    uint32_t guesses_per_source;  /* ... and for all of them, */
    duration guess_window;        /* within this time */
    uint32_t stranger_source;     /* what begins something: from one source of another domain ... */
    uint32_t stranger_callee;     /* ... and for one callee, a minute; 0 = any number */
    struct media_settings media;
};

/* What stands behind the @ in URIs of ours. */
static inline struct slice settings_domain(const struct settings *settings)
{
    return settings->domain.len ? settings->domain : settings->realm;
}

/* The defaults; realm, sockets and users are left empty. */
struct settings settings_default(void);
