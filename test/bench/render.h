/* Writes the messages of the generator's callers and phones.  An operation is named by its slot and
   serial number, in hexadecimal, in every branch, tag and Call-ID it uses, so that an answer finds
   its operation without a lookup.  Nothing here keeps state. */
#pragma once

#include "phone.h"
#include "scan.h"
#include "wire.h"

enum { RENDER_NAME = 16 }; /* slot and serial number, eight digits each */

/* What a request is written from. */
struct letter {
    const struct wire *wire; /* the sender's */
    uint32_t slot;
    uint32_t serial;
    uint32_t cseq;
    char step; /* tells the branches of one operation apart */
    struct phone *caller;
    const struct phone *callee;
    struct credentials *credentials; /* NULL: none are sent */
};

#define RENDER_BRANCH "z9hG4bKbench"
#define RENDER_CALLER_TAG ";tag=f"
#define RENDER_CALLEE_TAG ";tag=t"

void render_options(struct text *text, const struct letter *letter);
void render_register(struct text *text, const struct letter *letter);
void render_message(struct text *text, const struct letter *letter);
void render_invite(struct text *text, const struct letter *letter);

/* ACK and BYE, along the route set that the 200 gave (RFC 3261 12.1.2, 12.2.1.1). */
void render_ack(struct text *text, const struct letter *letter, const struct scan *answer);
void render_bye(struct text *text, const struct letter *letter, const struct scan *answer);

/* A phone's answer: `name` is its operation's, for the To-tag. */
void render_ringing(struct text *text, const struct scan *request, const struct phone *phone,
                    const struct wire *wire, const char *name);
void render_answered(struct text *text, const struct scan *request, const struct phone *phone,
                     const struct wire *wire, const char *name);
void render_ok(struct text *text, const struct scan *request, const char *name);
