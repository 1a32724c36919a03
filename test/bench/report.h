/* A run's tally as a JSON object on the standard output. */
#pragma once

#include "load.h"

void report_tally(const struct tally *tally);
