/*
 * Looking a name up in DNS, and waiting for the answer: what `sipwitch check` does one after
 * another.
 */
#pragma once

#include "shell/dns.h"

#define LOOK_BYTES 8192u /* of the data of an answer; what has no room is left out */

/* An answer that is kept. */
struct looked {
    struct dns_answer answer; /* its data is in `bytes` */
    char why[256];            /* it is forged */
    char bytes[LOOK_BYTES];
};

void look_up(struct dns *dns, unsigned type, struct slice name, struct looked *found);
