/*
 * A server for tests: a core with six sockets, its users, a clock moved by hand, and what it sent
 * and persisted.  Phones are users' bindings at addresses of their own.
 */
#pragma once

#include "core/inspect.h"
#include "core/vouch.h"
#include "torture.h"

#define TESTBED_PASSWORD "secret"
#define TESTBED_USERS 13u
#define TESTBED_SENT 256u          /* messages kept until testbed_forget */
#define TESTBED_BYTES (1u << 20)   /* of them */
#define TESTBED_JOURNAL (1u << 20) /* bytes of records kept */
#define TESTBED_STREAMS 8u         /* at most, in all */
#define TESTBED_QUESTIONS 16u      /* to DNS: the latest are kept */
#define TESTBED_PLAN 4096u         /* bytes of what a server must prove */

struct sent {
    struct flow flow;
    struct slice bytes;
};

struct testbed {
    struct core *core;
    void *memory;
    size_t memory_size;
    struct settings settings;
    struct limits limits;
    struct moment now;
    uint64_t runs;
    struct slice localname;
    struct user_settings users[TESTBED_USERS];
    struct sent sent[TESTBED_SENT];
    unsigned sent_count;
    struct writer sent_bytes;
    struct writer journal; /* counted records, oldest first */
    bool journal_is_full;  /* something was lost */
    size_t journal_old;    /* bytes of it that a checkpoint under way will drop */
    struct actions out;
    struct action actions[STEP_ACTIONS];
    uint64_t calls[64]; /* numbers of call records, as they came; the oldest are overwritten */
    unsigned call_count;
    struct flow streams[TESTBED_STREAMS + 1]; /* that stand, by place; the others have no handle */
    bool is_closing[TESTBED_STREAMS + 1];     /* the core wants it closed */
    bool is_open[TESTBED_STREAMS + 1];        /* it stands, and is not only being opened */
    struct slice proven[TESTBED_STREAMS + 1]; /* the domains that its peer has proven to be */
    struct slice plans[TESTBED_STREAMS + 1];  /* what its peer must prove, where we open it */
    char plan_bytes[TESTBED_STREAMS + 1][TESTBED_PLAN];
    uint32_t opened;    /* streams so far */
    struct writer past; /* the records of the last run, while they are recalled */
    void *notes;        /* the core's memory for that, or NULL */
    struct dns_question asked[TESTBED_QUESTIONS];
    unsigned asked_count;                /* in this run */
    const struct es256_table *es256;     /* from the next testbed_clear on; NULL at first */
    uint64_t fetched[TESTBED_QUESTIONS]; /* the questions of ACTION_FETCH */
    unsigned fetched_count;              /* in this run */
};

/* A server for `realm`, which has `localname` too unless that is NULL. */
struct testbed *testbed_new(const struct limits *limits, const char *realm, const char *localname);
void testbed_free(struct testbed *server);

/* Back to how testbed_new left it. */
void testbed_clear(struct testbed *server);

/* The process is killed and started again: only the journal stays, and the streams that stand. */
void testbed_restart(struct testbed *server);

/* The same, but every other user is in the database, and what the last run left is recalled. */
void testbed_restart_recalling(struct testbed *server);
/* There is time for some of that; false if all is there. */
bool testbed_recall(struct testbed *server);

/* Where a peer is whose messages come by this socket. */
struct flow testbed_flow(enum arrival arrival, unsigned host, uint16_t port);

void testbed_step(struct testbed *server, enum event_kind kind, const struct flow *flow,
                  struct slice bytes);

/* A peer opens a stream at a free place, and by TLS proves to be these domains, a line each; its
 * flow. */
struct flow testbed_open(struct testbed *server, enum arrival arrival, unsigned place,
                         uint16_t port, struct slice domains);

/* The server that is connected to at a place answers, and if it is asked by TLS, shows a
 * certificate for these domains: the stream stands, or, without what its plan demands, does not.
 * `domains` must stay. */
void testbed_stand(struct testbed *server, unsigned place, struct slice domains);

/* The stream stands. */
bool testbed_stands(const struct testbed *server, const struct flow *flow);

/* It ends, if it stands. */
void testbed_close(struct testbed *server, unsigned place);

/* What came by it is no message. */
void testbed_break(struct testbed *server, const struct flow *flow, struct slice bytes,
                   struct fault fault);

/* DNS answers the latest question but `n`, if there was one. */
void testbed_tell(struct testbed *server, unsigned n, const struct dns_answer *answer);

/* The same for the latest certificate but `n` that was to be fetched. */
void testbed_certificate(struct testbed *server, unsigned n, const struct certificate *found);

/* Runs what is due up to `at`. */
void testbed_run_until(struct testbed *server, instant at);

/* Forgets what was sent. */
void testbed_forget(struct testbed *server);

/* The last message sent; asserts that there is one. */
struct slice testbed_last(const struct testbed *server);

/* A request again, with the credentials that a 401 or 407 asks for; false if that has no challenge
 * or there is no room. */
bool testbed_sign(struct writer *w, struct slice request, struct slice challenge, const char *user);

/* Binds a phone of `user` at a flow; false if that is not granted. */
bool testbed_bind(struct testbed *server, const char *user, const struct flow *flow);

/* Says that the call records that came are in a database. */
void testbed_keep_calls(struct testbed *server);
