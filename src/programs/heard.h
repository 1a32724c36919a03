/*
 * Cells of what the relay heard of the two ends of a call: what is lost of the caller's packets and
 * of the callee's, and their jitter, as "0.0/1.3%" and "0.4/12.5 ms"; "-" for an end of which
 * nothing is known.
 */
#pragma once

#include <jansson.h>

#define HEARD_TEXT 48u

/* NULL where nothing is known of either. */
const char *spell_lost(const json_t *row, char text[HEARD_TEXT]);
const char *spell_jitter(const json_t *row, char text[HEARD_TEXT]);
