/*
 * The realm of the machine's server: /etc/siprealm, GNU SIP Witch's file for it, a line
 * `REALM[:DIGEST]`, which counts more than the configuration.
 */
#pragma once

#include "programs/session.h"

#define REALM_FILE "/etc/siprealm"
#define REALM_LIMIT 256u /* bytes, its end included */

/* The realm in force: what the running server says, or else the file, or else the name that the
 * server made for itself in `state`, if that is not NULL.  What fails is said. */
enum client_status realm_find(struct session *session, const char *file, const char *state,
                              char realm[REALM_LIMIT]);

/* Writes the file, and has a running server read it; NULL as type keeps MD5. */
enum client_status realm_set(struct session *session, const char *file, const char *realm,
                             const char *type);
