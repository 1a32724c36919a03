/* Telling the service manager how we are (sd_notify(3)), where there is one, and leaving sockets
 * with it for the next run. */
#pragma once

#include <stdbool.h>

/* For example "READY=1".  Without NOTIFY_SOCKET nothing happens. */
void notify_manager(const char *state);

/* Leaves a duplicate of a descriptor with it under a name; false if there is no manager.  One that
 * does not keep descriptors ignores it. */
bool notify_store(int descriptor, const char *name);
void notify_forget(const char *name);

/* What it kept (sd_listen_fds_with_names(3)): calls `take` with each; which then owns it. */
void notify_take_stored(void (*take)(void *at, int descriptor, const char *name), void *at);
