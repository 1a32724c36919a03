/*
 * A password's digests, for the database: they are computed here, and nothing else of the password
 * leaves the program.
 */
#pragma once

#include "core/settings.h"
#include "programs/realm.h"
#include "programs/session.h"

/* Asks for it, or reads it; `realm` as realm_find has it.  What fails is said. */
enum client_status password_digests(const struct session *session, const char *user,
                                    const char *realm, struct user_settings *to);

/* Has a running server put them: `command` is user-add or user-password of
 * sipwitch-control(7).  `to` is wiped. */
enum client_status password_put(struct session *session, const char *command, const char *realm,
                                struct user_settings *to);
