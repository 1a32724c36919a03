/* Why ours refuses a message that both others accept: each reason is known, and seen in the text.
 */
#pragma once

#include "reading.h"

/* False if none applies to what was refused. */
bool refusal_is_known(const struct reading *ours);

void refusal_print(void);
