/*
 * Reading the configuration from where it lies, and what of it only this machine knows.
 *
 * An epoch is one configuration in force: it is made whole, and goes when the next has taken its
 * place.
 */
#pragma once

#include "config/config.h"

/* Where the configuration is.  It must outlive every loading. */
struct sources {
    const char *config_path;
    struct slice realm; /* for a configuration that names none */
    bool is_public;     /* whatever the files say */
};

/* NULL if there is a fault; it is in the report.  May be called on any thread. */
struct config *load_config(const struct sources *sources, struct report *report);

struct epoch {
    struct config *config;
    struct settings settings; /* the configuration's, with what only this machine knows */
    struct slice *localnames;
    char hostname[256];
};

/* All that we listen on. */
struct sockets {
    const struct socket_settings *at;
    unsigned count;
};

/* Takes the configuration over; NULL, and it is freed, if there is no memory. */
struct epoch *epoch_make(struct config *config, const struct sockets *sockets, bool is_public);
void epoch_free(struct epoch *epoch);
