/* The legs of a relay, for administrators (`sipw-relay list`). */
#pragma once

#include "programs/options.h"
#include "shell/relay.h"

/* As a table, or each as an object of JSON on a line; the exit status. */
int relay_print(const struct program *program, struct relay *relay, bool is_json);
