/* Times that people write. */
#pragma once

#include <stdbool.h>

/* "15m": so long ago. */
bool instant_read_ago(const char *text, long long *seconds);

/* A day of this place, with or without a time of day. */
bool instant_read_day(const char *text, long long *seconds);
