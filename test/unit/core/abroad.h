/*
 * Another domain's servers of TLS, for tests: alice of example.com, at 198.51.100.9, calls somebody
 * of elsewhere.example; DNS answers from a zone, and what the server connects to is looked at.
 */
#pragma once

#include "talk.h"
#include "zone.h"

#include "core/peer.h"

#define ALICE "<sip:alice@example.com>;tag=alice"
#define OUTSIDE "sip:carol@elsewhere.example"

struct abroad {
    struct world w;
    struct flow stream;    /* the latest that was opened */
    struct peer_plan plan; /* and what its peer must prove */
    char plan_bytes[4096];
    char sent[128]; /* what was sent in the step that opened it (talk_sent) */
};

/* A server of UDP and TLS in a network that it trusts, with alice's phone. */
void abroad_begin(struct abroad *a);
void abroad_begin_within(struct abroad *a, const struct limits *limits);

/* Notes the stream that was opened in the last step, with its plan. */
bool abroad_look(struct abroad *a);

/* DNS answers all that it is asked; true if a stream was opened meanwhile. */
bool abroad_settle(struct abroad *a, const zone_lines zone);

/* alice's INVITE, with that Call-ID. */
void abroad_call(struct abroad *a, const char *uri, const char *name);

/* The peer of the stream has proven to be these domains, a line each. */
void abroad_prove(struct abroad *a, const char *domains);

/* The handshake ended without what was demanded; and what comes of that is looked at. */
void abroad_fail_to_prove(struct abroad *a);
