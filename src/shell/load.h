/*
 * Reading the configuration from where it lies, and what of it only this machine knows.
 *
 * The parts, in this order: state.xml in the state directory, the configuration, the cache's parts,
 * then *.xml of the state directory by name.  Where the state has a name and there is a directory
 * of that name in the state directory, its files replace those of the same name.
 *
 * An epoch is one configuration in force: it is made whole, and goes when the next has taken its
 * place.
 */
#pragma once

#include "config/config.h"
#include "shell/certs.h"
#include "shell/sockets.h"
#include "shell/vouchers.h"

/* Where the configuration is.  It must outlive every loading. */
struct sources {
    const char *config_path;
    const char *state_path; /* *.xml and digests/REALM; NULL = neither */
    const char *cache_path; /* policy.xml, ...; NULL = none */
    const char *realm_path; /* /etc/siprealm; NULL = not read */
    struct slice realm;     /* for a configuration that names none */
    bool has_accounts;      /* the system's accounts are users */
    bool is_public;         /* whatever the files say */
    bool has_tls;           /* certificates are loaded with a configuration that is in force */
};

/* NULL if there is a fault; it is in the report.  May be called on any thread, on one at a time. */
struct config *load_config(const struct sources *sources, struct report *report);

struct epoch {
    struct config *config;
    struct settings settings;    /* the configuration's, with what only this machine knows */
    bool may_start_relay;        /* a process, where the kernel's is not to be had */
    struct socket_list *sockets; /* when it was read */
    struct slice *localnames;
    char hostname[256];
    struct certs *certs;       /* until somebody has taken them over; NULL: none were wanted */
    struct vouchers *vouchers; /* the settings', or NULL */
};

/* It needs certificates, for TLS or for signing. */
bool load_wants_certs(const struct sources *sources, const struct config *config);

/* The certificates that a configuration names; NULL if there is a fault. */
struct certs *load_certs(const struct sources *sources, const struct config *config,
                         struct report *report);

/* Takes the configuration over, and what we listen on, which may be NULL for want of memory.  NULL,
 * and they are freed, if there is none. */
struct epoch *epoch_make(struct config *config, struct socket_list *sockets, bool is_public);

/* Signs by these certificates from now on, if the configuration says so. */
void epoch_vouch(struct epoch *epoch, const struct certs *certs, struct report *report);
void epoch_free(struct epoch *epoch);
