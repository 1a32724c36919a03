/* Every limit of the core, and why.  A peer can never make a list grow without bound. */
#pragma once

#include "sip/message.h"

/* Targets of one request: RFC 5393 5.3.3 suggests 60 for all branches downstream; more than 16
 * phones ring as groups, not as one address. */
#define BRANCH_LIMIT 16u

/* Dialogs that the answers to one INVITE may make (12.1.2: each To tag is one) and the observer
 * tells apart. */
#define ANSWER_LIMIT 4u

/* m-lines of a call that is relayed: a video conference of browsers has three or four, and those
 * that were once offered stay (RFC 3264 8). */
#define LEGS_LINES 8u

/* Ports, or pairs of ports, of all of them on one side; a call has as many legs on each side, or
 * twice as many with RTCP. */
#define LEGS_PAIRS 12u

/* Changes to legs of one step: all go, and as many come. */
#define LEGS_CHANGES (8u * LEGS_PAIRS)

/* Legs of the relay's table that one event lists: each may have to be mended by an action. */
#define LEGS_LISTED 32u

/* Contacts of one address of record: as many phones as may ring for it. */
#define BINDINGS_PER_AOR 16u

/* A step's actions: a CANCEL, a persist and a response for each branch, or a connect and a request,
 * or the first three questions to DNS, and a few more. */
#define STEP_ACTIONS 96u

/* A step's bytes: twice a forwarded request a branch at the message limit, and room for records. */
#define STEP_BYTES ((2 * BRANCH_LIMIT + 8u) * (MESSAGE_LIMIT + 1024u))

/* Seconds that the wall clock may drift from boot time before the records' wall times are written
 * anew: a machine that boots again has nothing else to go by. */
#define WALL_DRIFT 30

/* Timers fired, or records of a checkpoint, in one step; the rest have an immediate deadline. */
#define STEP_WORK 8u

/* Rows looked at in one step of the walk that removes users whom a new configuration lacks. */
#define SWEEP_ROWS 1024u

/* Bytes of a user's static contacts. */
#define CONTACTS_LIMIT 8192u

/* Rows of the dial plan: each is looked at for a number that is no user's. */
#define ROUTES_LIMIT 4096u
#define RULES_LIMIT 1024u

/* Named networks: the source of each request is looked for among them. */
#define NETWORKS_LIMIT 256u

/* Aliases and rewritten numbers that lead to one another; more is a circle. */
#define DIAL_HOPS 4u

/* No call may be allowed to last as long: a week and a day. */
#define CALL_AGE_LIMIT SECONDS(8 * 24 * 3600)

/* Call records that the shell may have for the database at a time: some seconds of a busy server.
 */
#define CALL_WINDOW 4096u

/* Those of them that one event may say are in the database; each costs a journal record. */
#define CALLS_KEPT_AT_ONCE 32u

/* A name that a user, a domain or a tag may have; longer ones are refused. */
#define NAME_LIMIT 255u

/* Phones behind NAT whose mappings the server keeps open: 4,000 datagrams of four bytes a second, a
 * hundredth of a core. */
#define KEPT_OPEN_LIMIT 100000u

/* Bytes of a Contact URI or a Call-ID that is bound. */
#define CONTACT_LIMIT 2048u

/* Seconds within which a phone that keeps a stream as a flow is asked to show life (RFC 5626 4.4.1
 * has the same where nothing is asked), and after which it counts as gone. */
#define FLOW_TIMER 120u
#define FLOW_SILENCE SECONDS(FLOW_TIMER + FLOW_TIMER / 2)

/* Bytes of a binding's Path (RFC 3327) and of an instance ID (RFC 5626 4.1). */
#define PATH_LIMIT 2048u
#define INSTANCE_LIMIT 256u

/* Fields in which a phone asserts an identity (RFC 3325) that are removed from one message; more
 * are a fault. */
#define ASSERTION_LIMIT 8u

/* Authorization values for our realm that are tried: one for each algorithm, and one that is old.
 */
#define CREDENTIALS_LIMIT 3u

/* Counters of password guesses, a power of two: as many sources may be slowed at once; 384 KiB. */
#define GUESS_TABLE 16384u

/* Paces of strangers and of those they ask for, a power of two; 256 KiB. */
#define PACE_TABLE 16384u

/* INVITEs refused for overload whose copies are known, a power of two: a second of them; 512 KiB.
 */
#define SHED_TABLE 65536u

/* Domains that have proven themselves and are remembered; 192 KiB. */
#define PROVEN_LIMIT 4096u

/* Domains that the settings name. */
#define DOMAINS_LIMIT 1024u

/* Other nodes, each for one of its addresses: looked through for a request that says it is of one.
 */
#define FELLOWS_LIMIT 64u

/* Places of one domain that one request is sent to, one after another: its caller waits no longer,
 * and a zone cannot make a flood of it. */
#define PLACES_LIMIT 8u

/* Connections that are opened for one request at a time, to addresses of one server: two of each
 * family. */
#define RACE_LIMIT 4u

/* Servers of other domains that are remembered for having failed, a power of two; 16 KiB. */
#define PENALTY_TABLE 1024u

/* Certificates of other domains that are remembered, a power of two; 200 KiB. */
#define CERTIFICATES_TABLE 1024u

/* Of them being fetched: strangers cause it. */
#define FETCHES_LIMIT 32u

/* Certificates of TLS of which is remembered whether they are a domain's, a power of two; 96 KiB.
 */
#define CLAIMS_TABLE 1024u

/* Of them being looked up, a power of two: strangers cause it; 250 KiB. */
#define CLAIM_LOOKUPS 32u

/* Requests that wait for a certificate or a claim: strangers cause it. */
#define HELD_LIMIT 256u

/* ACKs that wait for the proof of another domain (core/courier): who is in a dialog with it causes
 * any number of them, and each has a lookup. */
#define WAITING_ACKS_LIMIT 64u

/* Bytes of a request below which its answer may be longer (core/reply). */
#define UNPROVEN_FREE 300u

/* A call that reaches a phone is answered whatever that takes; but to a caller who has proven
 * nothing, a failure is repeated only while all that went to it is within so many times the bytes
 * of its INVITE (as a QUIC server does before it knows its peer, RFC 9000 8.1), and once anyway. */
#define UNPROVEN_TIMES 3u

/* Route values at the front that are ours: two for each side we are on (RFC 5658). */
#define OWN_ROUTES_LIMIT 4u

/* Via values that are looked through for our own (loops); more hops than Max-Forwards allows. */
#define VIA_LIMIT 80u

/* Of all that requests take, this part is kept free of those that begin something: the requests of
 * calls that stand, BYE above all, find room when there is no more for new calls. */
#define RESERVED_PART 16u

/* What is set at start, by the machine's memory or the administrator. */
struct limits {
    uint32_t users;
    uint32_t bindings;     /* for which there is room */
    uint32_t registered;   /* of them, those that phones may make; 0 = all */
    uint32_t transactions; /* server transactions; as many client transactions */
    uint32_t contexts;     /* requests being forwarded, not yet answered */
    uint32_t dialogs;      /* calls */
    uint32_t anchors;      /* calls that are relayed: 6 KiB */
    uint32_t calls;        /* that have ended, and that the database does not have yet */
    uint32_t nonces;       /* nonces whose count is kept; a power of two */
    uint32_t accepted;     /* streams that peers opened; the shell names them: places 1 to here */
    uint32_t connected;    /* streams that we open; the core names them: the places behind those */
    uint32_t lookups;      /* requests whose server is looked for, or has said nothing yet: 6 KiB */
    size_t text;           /* bytes for all texts that outlive a step */
};
