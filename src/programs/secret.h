/*
 * Passwords: asked for at the terminal, or read from standard input; never taken from the command
 * line, where every user of the machine could read them.
 */
#pragma once

#include "base/base.h"

#define SECRET_LIMIT 256u /* bytes, its end included */

/* Twice, without showing it.  NULL, or why there is none. */
const char *secret_ask(const char *user, char secret[SECRET_LIMIT]);
/* Its first line. */
const char *secret_read(char secret[SECRET_LIMIT]);
