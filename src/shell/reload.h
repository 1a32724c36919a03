/*
 * Reloading: the configuration is read on a thread of its own, while calls go on.  What was read
 * comes back to the main thread, which gives it to the core; what is at fault comes back as a line.
 *
 * All functions are the main thread's.
 */
#pragma once

#include "shell/load.h"

#define RELOAD_WAITERS 8u /* who may wait for one reload to be told how it went */

/* `fault` is NULL if the configuration is in force, else one line. */
typedef void reload_told(void *self, const char *fault);

struct reload;

/* NULL if the kernel does not let us.  `sources` and `sockets` must outlive it. */
struct reload *reload_create(const struct sources *sources, const struct sockets *sockets);
/* Waits for what is being read. */
void reload_destroy(struct reload *reload);

/* Readable when something was read. */
int reload_descriptor(const struct reload *reload);

/* Reads it now, or once more after what is being read.  `tell` may be NULL; false, and nothing was
 * begun, if too many wait already. */
bool reload_ask(struct reload *reload, reload_told *tell, void *self);

/* What has been read: true if something was, then *epoch is the caller's, or NULL if there is a
 * fault; the report lives until the next reload_ask or reload_finish. */
bool reload_take(struct reload *reload, struct epoch **epoch, const struct report **report);

/* It is in force, or was not to be: tells who waits, and begins anew if that was asked for. */
void reload_finish(struct reload *reload, const char *fault);
