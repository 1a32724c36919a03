/* The only place where time is read. */
#pragma once

#include "base/base.h"

struct moment clock_now(void);

/* A number that names this boot of the machine; 0 if the kernel does not say. */
uint64_t clock_boot(void);
