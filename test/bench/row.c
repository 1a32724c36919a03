#include "row.h"

enum { CHALLENGES_MAX = 3 };

static struct letter row_letter(const struct scene *scene, const struct op *op, uint32_t slot)
{
    return (struct letter){.wire = &scene->wires[op->wire],
                           .slot = slot,
                           .serial = op->serial,
                           .cseq = op->cseq,
                           .step = op->step};
}

static bool row_send(struct scene *scene, struct wire *wire, const struct text *text)
{
    scene->sent++;
    return wire_add(wire, text);
}

static uint32_t row_borrow(struct scene *scene)
{
    uint32_t phone = scene->idle[scene->idle_first];
    scene->idle_first = (scene->idle_first + 1) % scene->active_count;
    scene->idle_count--;
    return phone;
}

void row_finish(const struct row *row, struct scene *scene, struct op *op)
{
    if (!row->borrows)
        return;
    uint32_t last = (scene->idle_first + scene->idle_count) % scene->active_count;
    scene->idle[last] = op->caller;
    scene->idle_count++;
}

/* Strangers come in runs of eight on one source, as registered phones do, so that the generator's
   batches are as long in every row. */
static uint32_t row_stranger(struct scene *scene)
{
    return scene->next_stranger++ / 8 % scene->wire_count;
}

static uint32_t row_callee(struct scene *scene)
{
    return scene->next_callee++ % scene->active_count;
}

static bool row_tagged(const struct scan *answer)
{
    return scan_parameter(answer->to, ";tag=", ";").length > 0;
}

static bool options_start(struct scene *scene, struct op *op, uint32_t slot)
{
    op->wire = row_stranger(scene);
    op->cseq = 1;
    struct letter letter = row_letter(scene, op, slot);
    struct text text = wire_next(&scene->wires[op->wire]);
    render_options(&text, &letter);
    return row_send(scene, &scene->wires[op->wire], &text);
}

static enum verdict options_answered(struct scene *scene, struct op *op, uint32_t slot,
                                     const struct scan *answer)
{
    (void)scene, (void)op, (void)slot;
    return answer->status == 200 && row_tagged(answer) ? VERDICT_DONE : VERDICT_WRONG;
}

static bool register_send(struct scene *scene, struct op *op, uint32_t slot,
                          struct credentials *credentials)
{
    struct phone *phone = &scene->phones[op->caller];
    op->cseq = ++phone->cseq;
    op->generation = credentials ? credentials->generation : 0;
    struct letter letter = row_letter(scene, op, slot);
    letter.caller = phone;
    letter.credentials = credentials;
    struct text text = wire_next(&scene->wires[op->wire]);
    render_register(&text, &letter);
    return row_send(scene, &scene->wires[op->wire], &text);
}

static bool register_start(struct scene *scene, struct op *op, uint32_t slot)
{
    if (scene->idle_count == 0)
        return false;
    op->caller = row_borrow(scene);
    struct phone *phone = &scene->phones[op->caller];
    op->wire = phone->wire;
    return register_send(scene, op, slot, phone->registrar.nonce_length ? &phone->registrar : NULL);
}

static bool challenge_start(struct scene *scene, struct op *op, uint32_t slot)
{
    if (scene->idle_count == 0)
        return false;
    op->caller = row_borrow(scene);
    op->wire = scene->phones[op->caller].wire;
    return register_send(scene, op, slot, NULL);
}

static bool fresh_start(struct scene *scene, struct op *op, uint32_t slot)
{
    if (scene->next_fresh == scene->phone_count)
        return false;
    op->caller = scene->next_fresh++;
    op->wire = scene->phones[op->caller].wire;
    struct credentials *credentials = &scene->wire_credentials[op->wire];
    return register_send(scene, op, slot, credentials->nonce_length ? credentials : NULL);
}

/* A nonce newer than the refused one may be here already, from another operation's challenge. */
static bool row_challenged(struct op *op, struct credentials *credentials,
                           const struct scan *answer)
{
    if (++op->challenges > CHALLENGES_MAX)
        return false;
    bool newer = op->generation && op->generation != credentials->generation;
    return newer || credentials_take(credentials, answer->challenge);
}

static enum verdict register_step(struct scene *scene, struct op *op, uint32_t slot,
                                  const struct scan *answer, struct credentials *credentials)
{
    if (answer->status == 200)
        return answer->contact.length && row_tagged(answer) ? VERDICT_DONE : VERDICT_WRONG;
    if (answer->status != 401 || !row_challenged(op, credentials, answer))
        return VERDICT_WRONG;
    op->step++;
    return register_send(scene, op, slot, credentials) ? VERDICT_WAIT : VERDICT_WRONG;
}

static enum verdict register_answered(struct scene *scene, struct op *op, uint32_t slot,
                                      const struct scan *answer)
{
    scene->challenged += answer->status == 401;
    return register_step(scene, op, slot, answer, &scene->phones[op->caller].registrar);
}

static enum verdict challenge_answered(struct scene *scene, struct op *op, uint32_t slot,
                                       const struct scan *answer)
{
    if (answer->status == 200 && op->challenges == 0)
        return VERDICT_WRONG;
    scene->challenged += answer->status == 401 && op->challenges > 0;
    return register_step(scene, op, slot, answer, &scene->phones[op->caller].registrar);
}

static enum verdict fresh_answered(struct scene *scene, struct op *op, uint32_t slot,
                                   const struct scan *answer)
{
    scene->challenged += answer->status == 401;
    return register_step(scene, op, slot, answer, &scene->wire_credentials[op->wire]);
}

static bool message_send(struct scene *scene, struct op *op, uint32_t slot, struct phone *caller)
{
    struct credentials *credentials = caller ? &caller->proxy : NULL;
    struct letter letter = row_letter(scene, op, slot);
    letter.caller = caller;
    letter.callee = &scene->phones[op->callee];
    letter.credentials = credentials && credentials->nonce_length ? credentials : NULL;
    op->generation = letter.credentials ? credentials->generation : 0;
    struct text text = wire_next(&scene->wires[op->wire]);
    render_message(&text, &letter);
    return row_send(scene, &scene->wires[op->wire], &text);
}

static bool message_start(struct scene *scene, struct op *op, uint32_t slot)
{
    op->cseq = 1;
    op->wire = row_stranger(scene);
    op->callee = row_callee(scene);
    return message_send(scene, op, slot, NULL);
}

static bool message_auth_start(struct scene *scene, struct op *op, uint32_t slot)
{
    if (scene->idle_count == 0)
        return false;
    op->cseq = 1;
    op->caller = row_borrow(scene);
    op->wire = scene->phones[op->caller].wire;
    op->callee = (op->caller + scene->active_count / 2) % scene->active_count;
    return message_send(scene, op, slot, &scene->phones[op->caller]);
}

static bool row_from_callee(const struct scan *answer)
{
    return scan_parameter(answer->to, RENDER_CALLEE_TAG, ";").length == RENDER_NAME;
}

static enum verdict message_answered(struct scene *scene, struct op *op, uint32_t slot,
                                     const struct scan *answer)
{
    (void)scene, (void)slot;
    bool right = answer->status == 200 && op->ended && row_from_callee(answer);
    return right ? VERDICT_DONE : VERDICT_WRONG;
}

static enum verdict message_auth_answered(struct scene *scene, struct op *op, uint32_t slot,
                                          const struct scan *answer)
{
    struct phone *caller = &scene->phones[op->caller];
    if (answer->status != 407)
        return message_answered(scene, op, slot, answer);
    scene->challenged++;
    if (!row_challenged(op, &caller->proxy, answer))
        return VERDICT_WRONG;
    op->step++;
    op->cseq++;
    return message_send(scene, op, slot, caller) ? VERDICT_WAIT : VERDICT_WRONG;
}

/* The request must have come to the phone that was meant, by its Contact, through the server. */
static bool row_reached(const struct scene *scene, const struct op *op, const struct scan *request,
                        const struct wire *wire)
{
    const struct phone *callee = &scene->phones[op->callee];
    const char *address = wire->address;
    size_t length = wire->address_length;
    struct span uri = request->uri;
    return wire == &scene->wires[callee->wire] && uri.length >= 12 + length &&
           memcmp(uri.at, "sip:", 4) == 0 && memcmp(uri.at + 4, callee->user, 7) == 0 &&
           memcmp(uri.at + 12, address, length) == 0 && request->via_count >= 1;
}

static enum verdict message_called(struct scene *scene, struct op *op, uint32_t slot,
                                   const struct scan *request, const struct wire *wire)
{
    (void)slot;
    struct wire *from = &scene->wires[wire - scene->wires];
    if (!scan_same(request->method, "MESSAGE") || !row_reached(scene, op, request, wire))
        return VERDICT_WRONG;
    op->ended = true;
    struct text text = wire_next(from);
    render_ok(&text, request, request->call_id.at);
    return row_send(scene, from, &text) ? VERDICT_WAIT : VERDICT_WRONG;
}

static bool call_start(struct scene *scene, struct op *op, uint32_t slot)
{
    op->cseq = 1;
    op->wire = row_stranger(scene);
    op->callee = row_callee(scene);
    struct letter letter = row_letter(scene, op, slot);
    letter.callee = &scene->phones[op->callee];
    struct text text = wire_next(&scene->wires[op->wire]);
    render_invite(&text, &letter);
    return row_send(scene, &scene->wires[op->wire], &text);
}

static bool call_confirm_and_end(struct scene *scene, struct op *op, uint32_t slot,
                                 const struct scan *answer)
{
    struct wire *wire = &scene->wires[op->wire];
    struct letter letter = row_letter(scene, op, slot);
    letter.step = 'k';
    struct text text = wire_next(wire);
    render_ack(&text, &letter, answer);
    if (!row_send(scene, wire, &text))
        return false;
    op->step = letter.step = 'b';
    op->cseq = letter.cseq = 2;
    text = wire_next(wire);
    render_bye(&text, &letter, answer);
    return row_send(scene, wire, &text);
}

static enum verdict call_over(struct scene *scene, const struct op *op)
{
    if (!op->ended || !op->confirmed)
        return VERDICT_WAIT;
    scene->untried += !op->trying;
    return VERDICT_DONE;
}

static enum verdict call_answered(struct scene *scene, struct op *op, uint32_t slot,
                                  const struct scan *answer)
{
    if (op->step == 'b') {
        if (answer->status != 200)
            return VERDICT_WRONG;
        op->ended = true;
        return call_over(scene, op);
    }
    if (answer->status == 100) {
        op->trying = true;
        return VERDICT_WAIT;
    }
    if (!row_from_callee(answer) || answer->record_route_count == 0)
        return VERDICT_WRONG;
    if (answer->status == 180) {
        op->ringing = true;
        return VERDICT_WAIT;
    }
    bool right =
        answer->status == 200 && op->ringing && call_confirm_and_end(scene, op, slot, answer);
    return right ? VERDICT_WAIT : VERDICT_WRONG;
}

static enum verdict call_called(struct scene *scene, struct op *op, uint32_t slot,
                                const struct scan *request, const struct wire *wire)
{
    (void)slot;
    struct wire *from = &scene->wires[wire - scene->wires];
    const struct phone *phone = &scene->phones[op->callee];
    const char *name = request->call_id.at;
    if (!row_reached(scene, op, request, wire))
        return VERDICT_WRONG;
    if (scan_same(request->method, "ACK")) {
        op->confirmed = true;
        return call_over(scene, op);
    }
    struct text text = wire_next(from);
    if (scan_same(request->method, "INVITE")) {
        render_ringing(&text, request, phone, wire, name);
        if (!row_send(scene, from, &text))
            return VERDICT_WRONG;
        text = wire_next(from);
        render_answered(&text, request, phone, wire, name);
    } else if (scan_same(request->method, "BYE")) {
        render_ok(&text, request, name);
    } else {
        return VERDICT_WRONG;
    }
    return row_send(scene, from, &text) ? VERDICT_WAIT : VERDICT_WRONG;
}

// clang-format off
static const struct row ROWS[] = {
    {"options",      options_start,      options_answered,      NULL,           "OPTIONS",  false},
    {"register",     register_start,     register_answered,     NULL,           "REGISTER", true},
    {"register-new", fresh_start,        fresh_answered,        NULL,           "REGISTER", false},
    {"challenge",    challenge_start,    challenge_answered,    NULL,           "REGISTER", true},
    {"message",      message_start,      message_answered,      message_called, "MESSAGE",  false},
    {"message-auth", message_auth_start, message_auth_answered, message_called, "MESSAGE",  true},
    {"call",         call_start,         call_answered,         call_called,    "INVITE",   false},
};
// clang-format on

const struct row *row_find(const char *name)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        if (strcmp(ROWS[i].name, name) == 0)
            return &ROWS[i];
    return NULL;
}
