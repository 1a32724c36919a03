/*
 * The grammar of <sipwitch> as a table: every section, node and key, its kind, its limits, where
 * its value goes, what it is where it is left out and what it means.  The parser, the checker, the
 * RelaxNG schema and the manual's lists are made from it.
 *
 * A key that is KEY_NOTED belongs to GNU SIP Witch's grammar: it is accepted and noted once as
 * having no effect; its meaning is the reason.
 */
#pragma once

#include "base/slice.h"

enum key_kind {
    KEY_NOTED,
    KEY_TEXT,    /* struct slice */
    KEY_NUMBER,  /* uint64_t */
    KEY_BOOLEAN, /* bool: false if it starts with n, f or 0 */
    KEY_SECTION, /* has keys of its own, with the same values */
    KEY_LIST,    /* const struct node *: its children are read one by one */
};

struct schema;

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;                /* in the values of the section */
    uint64_t least, most;         /* of a number */
    const struct schema *section; /* of a section or list, or of an item of a list */
    const char *preset;           /* what it is where it is left out, for the manual; or NULL */
    const char *meaning;
    bool is_for_start; /* a reload does not change it */
};

struct schema {
    const struct key *keys;
    unsigned count;
    bool is_list;   /* children may repeat, and the case of their names does not count */
    bool has_names; /* children have any name, and text */
};

struct node;

/* Of the whole configuration. */
struct values {
    struct slice interface, transport, localnames, published, public, agent, trusted, restricted,
        exempt, system, anonymous, service_route, resolver, trust_anchor;
    uint64_t port, tls_port, ws_port, wss_port;
    struct slice certfile, keyfile, authfile, policy, origins, identity;
    struct slice realm, digest;
    uint64_t mapped, memory, prefix, range, expires, unregistered;
    uint64_t timer_c, answer, session, session_shortest, call;
    bool trace, dumping;
    uint64_t account_guesses, source_guesses, guess_window;
    uint64_t stranger_source, stranger_callee;
    struct slice media, relay_address, relay_public, peering, relay_ports, sites;
    uint64_t relay_port, relay_count, relay_calls, relay_user_calls, relay_rate, silence;
};

/* What is not in the file. */
struct values values_default(void);

#define NOT_GIVEN UINT64_MAX

/* Of a node in <provision>, or an item of a list. */
struct node_values {
    struct slice id, secret, digest, extension, display, profile, contact;
    struct slice tls;                /* of a domain */
    struct slice address;            /* of another node */
    struct slice incoming, outgoing; /* of a profile */
    struct slice pattern, identity, prefix, suffix, replace, server, target;
    uint64_t level, priority, error; /* or NOT_GIVEN */
    const struct node *contacts, *routes;
};

extern const struct schema schema_root;  /* of <sipwitch> */
extern const struct schema schema_nodes; /* of <provision> */
extern const struct schema schema_rules; /* of <routing> */
extern const struct schema schema_route; /* of a <route> */
extern const struct schema schema_templates;
extern const struct schema schema_domains; /* of <domains> */
extern const struct schema schema_fellows; /* of <nodes> */

/* NULL if there is none; case counts, except in a list. */
const struct key *schema_find(const struct schema *schema, struct slice name);
