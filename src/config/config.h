/*
 * The configuration: from the XML that the administrator wrote to one immutable whole.
 *
 * What is wrong with the server's own keys is a fault; what is wrong with one user is a warning,
 * and that user or that key of theirs is left out, so that one slip does not keep a domain down.
 */
#pragma once

#include "config/report.h"
#include "core/settings.h"

struct config {
    struct settings settings; /* sockets are empty; localnames are those of the file */
    struct user_settings *users;
    uint32_t user_count;
    struct slice interface; /* addresses to listen on */
    uint16_t port;
    bool has_udp, has_tcp; /* transports listened on */
    uint32_t bindings;     /* at most; 0 = as many as there is room for */
};

/* NULL if there is a fault; it is in the report.  `realm` is for a file that names none.  All is in
 * one run of memory, which config_free wipes; `xml` is no longer needed and may hold secrets: the
 * caller wipes it. */
struct config *config_read(struct slice xml, struct slice realm, const struct digest_table *digests,
                           struct report *report);
void config_free(struct config *config);
