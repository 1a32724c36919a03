/* The floor: the generator's own packets, sent to an echo and compared when they come back. */
#pragma once

#include "load.h"

/* Keeps `window` packets of the row's kinds under way for `length` ns.  An operation here is one
   packet there and back. */
bool floor_run(struct scene *scene, const struct meter *meter, const struct row *row,
               uint32_t window, uint64_t length, struct tally *tally);
