/*
 * Asking DNS, by libunbound: it finds, validates (RFC 4035) and keeps answers on a thread of its
 * own, by their TTLs; what there is not, too (RFC 2308).  CNAMEs are followed.
 *
 * Nothing here holds the caller up.  A resolver is opened on a thread, when something is first
 * asked (shell/dns_open); what is asked until then waits.  A new plan, a changed resolv.conf and a
 * changed hosts file make a new one: what is under way is asked again there, and nobody notices.
 * What is not answered within DNS_PATIENCE has failed.
 *
 * An answer that fails validation is believed to be forged only where a resolver was seen to pass
 * signatures on; where none are passed on, nothing is validated, and the log says so.
 *
 * All functions are the main thread's.
 */
#pragma once

#include "core/dns.h"
#include "shell/log.h"

#define DNS_QUESTIONS 4096u      /* under way: a burst of calls, each to another domain */
#define DNS_PATIENCE SECONDS(10) /* less than a caller's, more than a lost packet or two take */

#define DNS_SERVERS 8u /* that are asked; the others are passed over */

/* Whom to ask, and what is known to be true.  Plain bytes; an empty text is the default. */
struct dns_plan {
    char servers[512]; /* addresses, each with @PORT if it is not 53, separated by blanks or
                          commas; those of resolv.conf, and the root's if it names none */
    char anchors[256]; /* a file of DNSKEY or DS records; the root's, as the system has them */
    char resolv[256];  /* /etc/resolv.conf */
    char hosts[256];   /* /etc/hosts */
};

/* What the administrator says, each perhaps nothing. */
struct dns_plan dns_plan_of(struct slice servers, struct slice anchors);

struct dns;

/* NULL, and it was logged why, if the kernel does not let us.  Opens no resolver yet. */
struct dns *dns_open(const struct dns_plan *plan, struct log *log);
/* What is under way is not answered any more. */
void dns_close(struct dns *dns);

/* Readable when dns_next may have something, or there is other work for it. */
int dns_descriptor(const struct dns *dns);

/* A new plan, or the same: files are read again. */
void dns_change(struct dns *dns, const struct dns_plan *plan);

/* An answer follows, once; beyond DNS_QUESTIONS that are under way, that it failed. */
void dns_ask(struct dns *dns, uint64_t question, enum dns_type type, struct slice name);

/* The next answer; false if there is none at present.  It lives until the next call. */
bool dns_next(struct dns *dns, uint64_t *question, struct dns_answer *answer);

/* What is known of the resolver, in words for people; empty while it is being opened.  What was
 * forged, and how, after an answer of DNS_BOGUS, until the next call of dns_next. */
const char *dns_about(const struct dns *dns);
const char *dns_why(const struct dns *dns);
