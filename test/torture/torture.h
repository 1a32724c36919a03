/*
 * The torture messages of RFC 4475 and RFC 5118 as a table: how each one arrives, what the server
 * is set up to be, and what must come of it.
 *
 * grammar_test checks what src/sip says of the bytes, server_test what the whole server does.
 */
#pragma once

#include "sip/message.h"

/* Parts of a message that may break their grammar, as bits. */
enum part {
    PART_URI = 1 << 0, /* the Request-URI */
    PART_VIA = 1 << 1,
    PART_FROM = 1 << 2,
    PART_TO = 1 << 3,
    PART_CONTACT = 1 << 4,
    PART_ROUTE = 1 << 5, /* Route or Record-Route */
};

/* The socket of the server by which a message comes. */
enum arrival {
    BY_UDP,
    BY_TCP,
    BY_TLS,
    BY_UDP_LOOPBACK, /* 127.0.0.1:5080 */
    BY_UDP6,         /* [2001:db8::10]:5060 */
    BY_UDP6_5070,    /* [2001:db8::10]:5070 */
    ARRIVAL_COUNT,
};

enum outcome_kind {
    DROP,    /* nothing is sent at all */
    ANSWER,  /* a response with `status` goes back to the source, nothing else goes out */
    FORWARD, /* it goes on to the phone of user `to`, what is not ours untouched */
};

struct outcome {
    enum outcome_kind kind;
    unsigned status;
    const char *to;
};

struct row {
    const char *file;    /* below test/data/torture, without ".dat" */
    const char *section; /* of that RFC */
    enum arrival arrival;
    unsigned fault;        /* status that message_parse gives it, 0 = fine */
    unsigned bad_parts;    /* where message_parse finds no fault: bits of enum part */
    const char *realm;     /* the domain served; NULL: example.com */
    const char *localname; /* another name of it; NULL: none */
    struct outcome outcome;
    const char *answer_text;       /* stands in the answer; NULL: anything may */
    const char *signer;            /* the user who sends it again with credentials; NULL: nobody */
    struct outcome signed_outcome; /* and what comes of that */
    const char *contacts;          /* then the signer's bindings, each followed by a space */
    const char *reason;
};

#define TORTURE_ROWS 61u

extern const struct row torture_rows[TORTURE_ROWS];

/* The bytes of a message below `directory`, on the heap; exits if it cannot be read. */
struct slice torture_load(const char *directory, const char *file);
