/*
 * What GNU SIP Witch's sipcontrol printed, for scripts that read it: the layouts of status,
 * registry, calls and stats.
 */
#pragma once

#include "programs/session.h"

command_function old_status, old_registry, old_calls, old_stats;
