/*
 * A core in a small world, for tests: memory, two users, one socket, messages as text, time by
 * hand.
 *
 * alice (201, secret "wonder") and bob (202, secret "builder") are users of example.com, which is
 * served at 192.0.2.1:5060 and [2001:db8::1]:5060.  Peers are IPv4 addresses 198.51.100.N.
 */
#pragma once

#include "core/core.h"
#include "core/credential.h"
#include "core/inspect.h"
#include "table.h"

struct world {
    struct settings settings;
    struct limits limits;
    const struct digest_table *digests; /* of the core; from its next start */
    const struct es256_table *es256;    /* the same; NULL at first */
    uint64_t boot;                      /* names this boot of the machine; from the next start */
    const struct roster *roster; /* from the next start: what is restored is recalled, and bob is
                                    the roster's; NULL = as if it had been */
    void *past;                  /* what the recall needs */
    struct core *core;
    void *memory;
    struct moment now;
    struct action slots[256];
    struct actions out;
    uint64_t calls[1024]; /* whose records the database was given, and has not yet */
    unsigned call_count;
    char *bytes;
    struct slice records[4096]; /* what was persisted, copied */
    unsigned record_count;
    struct {
        struct flow to;
        struct slice bytes; /* copied */
    } requests[1024];       /* that were sent, since world_begin */
    unsigned request_count;
    struct {
        struct dns_question question;
        char name[DNS_NAME + 1];
    } asked[64]; /* what DNS was asked; who answers takes it off */
    unsigned asked_count;
    struct {
        struct fetch_question question;
        char what[512];
    } fetched[64]; /* certificates that the shell shall fetch */
    unsigned fetched_count;
    uint32_t opened;                     /* streams so far */
    struct relay_table *relay;           /* of the test's, which world_relay began; else NULL */
    struct leg_place looked[TABLE_LEGS]; /* legs that the core asked for last */
    unsigned looked_count;
};

/* `is_public` lets callers of other domains in. */
void world_begin(struct world *w, bool is_public);
/* The same with limits of one's own. */
void world_begin_within(struct world *w, bool is_public, const struct limits *limits);
extern const struct limits world_limits;
void world_end(struct world *w);

/* kill -9 and start: memory is gone, the records are read again. */
void world_restart(struct world *w);

/* One more user, until a restart. */
void world_put_user(struct world *w, const char *id, const char *extension, const char *secret,
                    bool has_sha256);

/* The next restart reads only what is persisted from now on. */
void world_forget(struct world *w);

/* A record of the journal, as if it were read at start. */
void world_restore(struct world *w, struct slice record);

/* An event of which there is no more to say. */
void world_signal(struct world *w, enum event_kind kind);

struct flow world_flow(unsigned host, unsigned port);

/* Feeds a message from 198.51.100.host:port; lines end in \n and become CRLF.  What it caused is
 * in w->out until the next call. */
void world_receive(struct world *w, unsigned host, unsigned port, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A stream from 198.51.100.host:port is opened, and ends. */
struct flow world_open(struct world *w, unsigned host, unsigned port);
void world_close(struct world *w, const struct flow *flow);

/* One of TLS is open: its peer has shown that, which proves these domains, a line each. */
void world_show(struct world *w, const struct flow *flow, const char *domains,
                const struct credential *credential);

/* As world_receive, by a flow; and what cannot be framed. */
void world_receive_by(struct world *w, const struct flow *flow, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void world_break(struct world *w, const struct flow *flow, struct fault fault, const char *text);

/* There is a relay with this table, from 192.0.2.1 and 2001:db8::1; the core is told what is in it.
 */
void world_relay(struct world *w, struct relay_table *table);
/* It answers what the core asked for last. */
void world_look(struct world *w);

/* Any other event. */
void world_event(struct world *w, const struct event *event);

/* A user as world_begin puts them, with a secret. */
struct user_settings world_user(const struct world *w, const char *id, const char *extension,
                                const char *secret);

/* DNS answers the n-th question, which comes off. */
void world_tell(struct world *w, unsigned n, const struct dns_answer *answer);

/* The database has the records of all calls that it was given. */
void world_keep_calls(struct world *w);

/* Lets time pass, firing deadlines; the actions of all of them are in w->out. */
void world_wait(struct world *w, duration time);

/* The n-th message sent since, or empty. */
struct slice world_sent(const struct world *w, unsigned n);
/* Where it was sent. */
struct flow world_sent_to(const struct world *w, unsigned n);
unsigned world_sent_count(const struct world *w);
/* Status of the n-th message sent, 0 for a request or none. */
unsigned world_status(const struct world *w, unsigned n);
/* A header's value in the n-th message, copied and NUL-terminated; "" if it is not there. */
const char *world_header(const struct world *w, unsigned n, const char *name);

/* Registers a user's phone at a contact, with digest; asserts that it is accepted. */
void world_register(struct world *w, const char *user, const char *secret, unsigned host,
                    unsigned port, unsigned expires);

/* The same by a flow, with this Contact value. */
void world_register_by(struct world *w, const struct flow *flow, const char *user,
                       const char *secret, const char *contact, unsigned expires);

/* The same with Contact and Expires lines of one's own; returns the status. */
unsigned world_register_with(struct world *w, const char *user, const char *secret, unsigned host,
                             unsigned port, const char *contacts);

extern const struct digest_table world_digests;

/* The value of an Authorization that answers a challenge (a WWW- or Proxy-Authenticate value). */
const char *world_credentials(const char *challenge, const char *user, const char *secret,
                              const char *method, const char *uri, unsigned nc);
