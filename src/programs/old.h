/*
 * What GNU SIP Witch's sipcontrol printed, for scripts that read it: the layouts of status,
 * registry, calls and stats; and its commands that are none any more.
 */
#pragma once

#include "programs/session.h"

command_function old_status, old_registry, old_calls, old_stats;

/* A command that was another there; else the same word. */
const char *old_name(const char *word);

/* A command that is none any more: it is said why, and the status returned.  False if it never was
 * one. */
bool old_command(struct session *session, const char *word, enum client_status *status);
