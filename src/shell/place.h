/*
 * Where the control socket is: the server and the commands must agree; and the programs that the
 * server starts.
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

/* A program to execute: the one beside this program, or else its name, for PATH. */
const char *place_program(const char *name, char path[PATH_MAX]);
