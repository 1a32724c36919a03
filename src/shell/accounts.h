/*
 * The system's accounts as users: the members of group sipusers, else those of group sipadmin, else
 * the accounts from uid 1000 on; sipadmin's members are administrators.  The environment variables
 * SIPUSERS, SIPADMIN and FIRSTUID name others; `-`, or a uid of 0, is none.
 *
 * Display name and extension are the first two fields of the account's GECOS; without the second
 * the extension follows from the uid.
 */
#pragma once

#include "config/config.h"

#define ACCOUNTS_LIMIT 10000u

struct accounts {
    struct account *at;
    unsigned count;
};

/* False if there is no memory.  Not for two threads at once. */
bool accounts_read(struct accounts *accounts);
void accounts_free(struct accounts *accounts);
