/*
 * The configuration: from the XML that the administrator wrote to one immutable whole.
 *
 * It is written in parts, which are files; where a key is in several, the first counts, and where a
 * name is, the first counts, too.  What is wrong with the server's own keys is a fault; what is
 * wrong with one user is a warning, and that user or that key of theirs is left out, so that one
 * slip does not keep a domain down.
 */
#pragma once

#include "config/report.h"
#include "core/settings.h"

/* A file; its root is <sipwitch>, or a section of it. */
struct config_part {
    const char *name;
    struct slice xml;
};

/* A network that this machine is in, by the name of its interface. */
struct local_network {
    struct slice name;
    struct address_bytes address;
    unsigned bits;
};

/* An account of the system that is a user, unless the files have one of its name. */
struct account {
    struct slice name;
    struct slice display;
    struct slice number; /* the extension it asks for, or empty */
    uint32_t place; /* from the first: without a number the extension is prefix + place; UINT32_MAX
                       = it has none */
    bool is_admin;
};

struct config_origin {
    const struct config_part *parts;
    unsigned part_count;
    unsigned main; /* the part that is named where a fault has no place */
    struct slice forced_realm, forced_digest; /* count more than the files, unless empty */
    struct slice realm;                       /* for files that say nothing */
    const struct digest_table *digests;
    const struct local_network *networks;
    unsigned network_count;
    const struct account *accounts;
    unsigned account_count;
    /* The stored digests of a realm, lines of `user:MD5 in hex`; NULL if there are none.  They are
     * read once and belong to `self`. */
    struct slice (*stored_digests)(void *self, struct slice realm);
    void *self;
};

struct config {
    struct settings settings; /* sockets are empty; localnames are those of the files */
    struct user_settings *users;
    uint32_t user_count;
    struct slice interface; /* addresses to listen on */
    uint16_t port, tls_port, ws_port, wss_port;
    bool has_udp, has_tcp, has_tls, has_ws, has_wss; /* transports listened on */
    bool wants_tls, wants_ws, wants_wss; /* they were asked for: without them there is no start */
    struct slice certfile, keyfile, authfile;
    bool wants_relay;          /* how media is relayed is written */
    bool is_vouching;          /* our users' requests to other domains are signed */
    struct slice identity;     /* where their certificate is; empty: at our own port */
    bool is_traced;            /* from the start on */
    struct slice trust_anchor; /* a file by which DNS is validated; empty: the root's */
    uint32_t bindings;         /* at most; 0 = as many as there is room for */
    uint32_t memory;           /* MiB; 0 = what the process may have */
    struct slice state;        /* the name of the server's state, if it has one */
};

/* NULL if there is a fault; it is in the report.  config_free wipes it; the origin is no longer
 * needed and may hold secrets: the caller wipes it. */
struct config *config_read(const struct config_origin *origin, struct report *report);
void config_free(struct config *config);
