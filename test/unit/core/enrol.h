/* REGISTER requests through a world, as phones and edge proxies write them. */
#pragma once

#include "world.h"

/* What varies; zero is the plain case: bob's phone at 198.51.100.2. */
struct enrolment {
    const char *user, *secret; /* NULL: bob */
    unsigned host;             /* 0: 2 */
    const char *call_id;       /* NULL: one of this phone */
    unsigned cseq;
    const char *fields; /* whole further fields, Contact among them */
    const char *vias;   /* Via fields below the topmost */
};

/* Registers with a digest: the answer is the first message sent. */
void enrol(struct world *w, struct enrolment what);

/* How many Contacts the answer lists. */
unsigned enrol_count(const struct world *w);
