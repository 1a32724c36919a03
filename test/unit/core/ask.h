/* What an administrator asks of the core of a world (world.h), and what is answered and told. */
#pragma once

#include "unit.h"
#include "world.h"

#include "core/admin.h"

/* Asks; what it caused is in w->out. */
void ask(struct world *w, enum admin_command command, const char *user, const char *text);

/* The n-th line or part that this client is given; NULL if there is none. 0 are those who watch. */
const struct action *ask_answer(const struct world *w, uint32_t client, unsigned n);
#define ASKING 5u /* the client that asks */

/* The answer, or the n-th thing told, has this part in it, or has it not. */
void assert_answer(const struct world *w, const char *part);
void assert_answer_lacks(const struct world *w, const char *part);
void assert_told(const struct world *w, unsigned n, const char *part);
