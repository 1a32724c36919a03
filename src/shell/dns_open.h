/*
 * Opening a resolver of libunbound on a thread: reading files, making its tables, and finding out
 * whether whoever is asked passes signatures on, which may take seconds.  shell/dns's own.
 *
 * A resolver that strips signatures would make each signed domain look forged.  So the keys of a
 * trust anchor's own name are asked for first: if they cannot be validated, no others can.
 */
#pragma once

#include "shell/dns.h"

#include <sys/stat.h>
#include <unbound.h>

enum dns_trust {
    DNS_UNTOLD,    /* nobody has answered yet */
    DNS_VALIDATED, /* signatures come through */
    DNS_STRIPPED,  /* they do not: nothing is validated */
    DNS_UNANCHORED /* there is nothing to validate by */
};

struct dns_opened {
    struct ub_ctx *ctx; /* NULL: `why` says what is wrong */
    enum dns_trust trust;
    char servers[256];                       /* that are asked, for people */
    char why[384];                           /* it is not validated */
    struct timespec resolv_time, hosts_time; /* when the files were written that it has read */
};

struct dns_opening;

/* NULL if there is no memory or thread. */
struct dns_opening *dns_opening_begin(const struct dns_plan *plan);

/* Readable from when it is done. */
int dns_opening_descriptor(const struct dns_opening *opening);
/* What was opened is the caller's. */
void dns_opening_take(struct dns_opening *opening, struct dns_opened *opened);

/* After dns_opening_take: its thread ends another resolver, which waits for that one's thread. */
void dns_opening_retire(struct dns_opening *opening, struct ub_ctx *ctx);

/* Gives it up, whatever it is at. */
void dns_opening_end(struct dns_opening *opening);

/* When a file was last written; 0 if there is none. */
struct timespec dns_file_time(const char *path);
const char *dns_resolv_path(const struct dns_plan *plan);
const char *dns_hosts_path(const struct dns_plan *plan);
