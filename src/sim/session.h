/*
 * Session timers of a phone's calls (RFC 4028): who asks for them, who refreshes and by what, who
 * forgets to; and between which instants the server may, and must, end a call that nobody
 * refreshed.
 *
 * Times for the judge are those of the server's machine: they pass while it is suspended.
 */
#pragma once

#include "sim/letter.h"

struct sim;
struct phone;
struct call;

/* What a side knows of when the session ends: from the latest 2xx that it was sent, or sent. */
struct session_word {
    duration at;    /* 0 = there was none */
    duration until; /* NEVER = it does not expire */
};

struct session {
    unsigned seconds; /* 0 = it does not expire */
    bool is_refresher;
    bool is_careless;   /* leaves it to the server to end a call that was not refreshed */
    unsigned refreshes; /* that it will send yet: then it forgets */
    instant act_at;     /* to refresh, or to see that nobody did; NEVER */
    struct session_word heard, said;
};

/* The letter asks for a session, if the phone is of that kind. */
void session_ask(struct sim *sim, const struct phone *phone, const struct call *call,
                 struct letter *letter);

/* A 2xx to our INVITE or UPDATE, which was sent at `began`. */
void session_learn(struct sim *sim, struct call *call, const struct message *response,
                   instant began);

/* Writes what our 2xx to an INVITE or UPDATE says of it. */
void session_agree(struct sim *sim, const struct phone *phone, struct call *call,
                   const struct message *request, struct writer *w);

enum session_act {
    SESSION_REST,
    SESSION_REFRESH,
    SESSION_HANG_UP, /* the other one should have refreshed */
};

/* What is due now. */
enum session_act session_due(struct sim *sim, struct call *call);

/* For the judge, of both sides of a call: before that the server does not end it, and after that
 * it has.  NEVER where nothing is known. */
duration session_not_before(const struct call *one, const struct call *other);
duration session_not_after(const struct call *one, const struct call *other);
