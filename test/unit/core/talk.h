/*
 * What peers say to the core of a world (world.h), in few words; and scenes, which are tables of
 * what one of them does and what the server sends because of it.
 *
 * Peer N is at 198.51.100.N:5060.  By default peer 9 is carol of another domain, who calls bob.
 */
#pragma once

#include "unit.h"
#include "world.h"

#define CAROL "<sip:carol@elsewhere.example>;tag=carol"
#define BOB "<sip:bob@example.com>"

/* A request.  What is left out is that of carol's INVITE to bob; ACK and CANCEL are those of that
 * INVITE, another method has a transaction of its own. */
struct words {
    unsigned host;
    const struct flow *by; /* a stream */
    const char *method;
    const char *uri;
    const char *from;
    const char *to;
    const char *call_id;
    const char *branch; /* behind the magic cookie */
    unsigned cseq;
    const char *more; /* further header fields, each line with its \n */
    const char *body; /* a session description, each line with its \n */
};

#define SAY(w, ...) talk_say(w, (struct words){__VA_ARGS__})
void talk_say(struct world *w, struct words words);

/* A response of `host` to the latest request with that method (INVITE) that it was sent. */
struct answer {
    unsigned host;
    const struct flow *by;
    const char *method;
    unsigned status;
    const char *tag; /* of To; hN, where it is left out and the request has none */
    const char *contact;
    const char *more;
    const char *body;
};

#define ANSWER(w, ...) talk_answer(w, (struct answer){__VA_ARGS__})
void talk_answer(struct world *w, struct answer answer);

/* The world ends when all transactions have: nothing of them may be left. */
void talk_end(struct world *w);

/* bob's phone at `host`; `params` are those of its Contact (";q=0.5"). */
void talk_phone(struct world *w, unsigned host, const char *params);
/* bob's phones 2 and 3, which ring together, and 4, which rings if they do not answer. */
void talk_phones(struct world *w);

/* A Route field, with its \n, of what the server recorded in the latest INVITE sent to `host` that
 * makes a dialog. */
const char *talk_route(const struct world *w, unsigned host);

/* What was sent since the last event: "100>9 INVITE>2"; with streams that the server opened and
 * closed: "connect>2 INVITE>2 close>9"; with what DNS is asked: "NAPTR?elsewhere.example". */
const char *talk_sent(const struct world *w);
#define assert_sent(w, text) assert_string_equal(talk_sent(w), text)

/*
 * A line of a scene: "9 INVITE" (a request), "2 180" (an answer to the INVITE), "2 200 CANCEL" (to
 * another method), "wait 500" (ms), "restart"; and what must be sent then.
 */
struct line {
    const char *does;
    const char *sent;
};

#define PLAY(w, ...)                                                                               \
    do {                                                                                           \
        const struct line lines[] = {__VA_ARGS__};                                                 \
        talk_play(w, lines, COUNT_OF(lines), __FILE__, __LINE__);                                  \
    } while (0)
void talk_play(struct world *w, const struct line *lines, unsigned count, const char *file, int at);
