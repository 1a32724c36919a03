/*
 * Where the control socket is: the server and the commands must agree.
 *
 * With --prefixpath DIR it is DIR/control.  Otherwise it is `control` in the manager's
 * $RUNTIME_DIRECTORY, in /run/sipwitch for root, in $XDG_RUNTIME_DIR/sipwitch for others, and where
 * that is not set in their state directory.
 */
#pragma once

#include <limits.h>

/* The default state directory, without and with a HOME: of this user. */
void place_state(char path[PATH_MAX]);
/* `prefix` is what --prefixpath says, or NULL. */
void place_control(const char *prefix, char path[PATH_MAX]);
