/*
 * The grammar of <sipwitch> as a table: every section and key, its kind, its limits, where its
 * value goes and what it means.  The parser, the checker and the manual are made from it.
 *
 * A key that is only KEY_LATER is part of the grammar but has no effect in this version.
 */
#pragma once

#include "base/slice.h"

enum key_kind {
    KEY_LATER,
    KEY_TEXT,    /* struct slice */
    KEY_NUMBER,  /* uint64_t */
    KEY_BOOLEAN, /* bool: false if it starts with n, f or 0 */
    KEY_SECTION, /* has keys of its own */
    KEY_USERS,   /* a list of users and the like */
};

struct schema;

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;                /* in the values of the section */
    uint64_t least, most;         /* of a number */
    const struct schema *section; /* of KEY_SECTION */
    const char *meaning;
};

struct schema {
    const struct key *keys;
    unsigned count;
};

struct values {
    struct slice interface, transport, localnames, published, public, agent;
    uint64_t port;
    struct slice realm, digest;
    uint64_t mapped, prefix, range, expires;
};

/* What is not in the file. */
struct values values_default(void);

struct user_values {
    struct slice id, secret, digest, extension, display;
};

extern const struct schema schema_root; /* of <sipwitch> */
extern const struct schema schema_user; /* of a <user> or <admin> */

/* NULL if there is none; case counts. */
const struct key *schema_find(const struct schema *schema, struct slice name);

/* Kinds of nodes in <provision>; case does not count. */
enum node_kind {
    NODE_UNKNOWN,
    NODE_USER, /* user, admin */
    NODE_LATER,
};

enum node_kind schema_node_kind(struct slice name);
