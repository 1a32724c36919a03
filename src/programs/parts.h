/*
 * Parts of the configuration that are switched on and off: links in the state directory to files
 * elsewhere, followed by a reload.  What the server refuses is taken back.
 *
 * enable and disable are for those of /etc/sipwitch.d; state is for the one that names the server's
 * state, of the folder `states` in the state directory.
 */
#pragma once

#include "programs/session.h"

#define PARTS_LIMIT 8u /* at once */

command_function parts_enable, parts_disable, parts_state;
