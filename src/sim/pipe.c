#include "sim/pipe.h"

#include "base/cursor.h"
#include "core/limits.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sip/framing.h"

#define MASKED 0x80u /* RFC 6455 5.2: in the second byte of a head, */
#define LAST 0x80u   /* and in the first */
#define LENGTH_IN_TWO 126u

void pipe_init(struct sim *sim, uint64_t seed)
{
    sim->pipes.dice = random_seeded((struct hash_key){seed, 0x70697065});
}

/* ---- the node's side */

/* A masked frame, as clients send them (RFC 6455 5.3). */
static void write_frame(struct writer *w, uint8_t first, uint32_t key, struct slice payload)
{
    const uint8_t mask[4] = {(uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8),
                             (uint8_t)key};

    write_u8(w, first);
    if (payload.len < LENGTH_IN_TWO) {
        write_u8(w, (uint8_t)(MASKED | payload.len));
    } else {
        write_u8(w, MASKED | LENGTH_IN_TWO);
        write_u8(w, (uint8_t)(payload.len >> 8));
        write_u8(w, (uint8_t)payload.len);
    }
    write_bytes(w, mask, sizeof mask);
    for (size_t i = 0; i < payload.len; i++)
        write_u8(w, (uint8_t)payload.at[i] ^ mask[i % 4]);
}

/* In one frame, or in two with a ping between them (5.4, 5.5.2). */
static struct slice wrap_web(struct random *dice, struct slice message)
{
    size_t half = dice_chance(dice, 300) ? random_below(dice, message.len + 1) : message.len;
    size_t room = message.len + 3 * WEBSOCKET_READ_HEAD;
    struct writer w = writer_over(take(room, 1), room);
    uint32_t key = (uint32_t)random_below(dice, UINT32_MAX);

    write_frame(&w, WEBSOCKET_TEXT | (half == message.len ? LAST : 0), key,
                slice_until(message, half));
    if (half < message.len) {
        write_frame(&w, WEBSOCKET_PING | LAST, key, NO_SLICE);
        write_frame(&w, WEBSOCKET_CONTINUATION | LAST, ~key, slice_from(message, half));
    }
    assert(!w.failed);
    return writer_slice(&w);
}

/* A beginning without a length (RFC 3261 18.3), or a frame without a mask (RFC 6455 5.1). */
static struct slice make_nonsense(struct random *dice, const struct flow *flow,
                                  struct slice message)
{
    size_t len = flow_is_web(flow) ? 0 : random_below(dice, message.len / 3);
    struct writer w = writer_over(take(len + 4, 1), len + 4);

    write_slice(&w, slice_until(message, len));
    write_slice(&w, flow_is_web(flow) ? S("\x81\x02hi") : S("\r\n\r\n"));
    return writer_slice(&w);
}

struct slice pipe_wrap(struct sim *sim, const struct flow *flow, struct slice message)
{
    struct random *dice = &sim->pipes.dice;

    if (sim->phase == PHASE_FAULTS && dice_chance(dice, 3)) {
        sim->report.counts[COUNT_HALF_MESSAGES]++;
        return make_nonsense(dice, flow, message);
    }
    return flow_is_web(flow) ? wrap_web(dice, message) : copy_slice(message);
}

/* ---- between */

/* The pipe of a stream: emptied if the last that had its place was another. */
static struct pipe *pipe_of(struct sim *sim, const struct flow *flow)
{
    struct pipe *pipe = &sim->pipes.at[connection_place(flow->connection)];

    if (!flow_equal(&pipe->flow, flow)) {
        free(pipe->bytes);
        *pipe = (struct pipe){.flow = *flow};
    }
    return pipe;
}

size_t pipe_cut(struct sim *sim, const struct flow *flow, size_t left, instant *at)
{
    struct random *dice = &sim->pipes.dice;
    struct pipe *pipe = pipe_of(sim, flow);

    *at = max_u64(*at, pipe->busy_until);
    if (dice_chance(dice, 100))
        *at += MS(dice_between(dice, 1, 30));
    pipe->busy_until = *at;
    return dice_chance(dice, 250) ? dice_between(dice, 1, left) : left;
}

/* ---- the server's side */

static void append(struct pipe *pipe, struct slice part)
{
    if (pipe->len + part.len > pipe->room) {
        pipe->room = 2 * (pipe->len + part.len);
        pipe->bytes = realloc(pipe->bytes, pipe->room);
        if (!pipe->bytes)
            abort();
    }
    if (part.len)
        memcpy(pipe->bytes + pipe->len, part.at, part.len);
    pipe->len += part.len;
}

static void drop_front(struct pipe *pipe, size_t len)
{
    pipe->len -= len;
    memmove(pipe->bytes, pipe->bytes + len, pipe->len);
}

static void note_read(struct sim *sim, struct pipe *pipe, duration in)
{
    struct flow *copy = take(1, sizeof *copy);

    *copy = pipe->flow;
    pipe->is_read_due = true;
    agenda_note(&sim->agenda, sim->now + in, DUE_READ, sim->machine.starts, copy);
}

/* The next message of a web stream, owned; false if it is not whole yet. */
static bool next_web(struct pipe *pipe, struct slice *message)
{
    for (;;) {
        size_t len = pipe->len;
        struct websocket_event event =
            websocket_next(&pipe->socket, pipe->bytes, &len, MESSAGE_LIMIT);
        pipe->len = len;
        switch (event.kind) {
        case WEBSOCKET_NONE: return false;
        case WEBSOCKET_CONTROL: break;
        case WEBSOCKET_BROKEN: pipe->is_broken = true; return false; /* the shell ends it */
        case WEBSOCKET_MESSAGE:
            *message = copy_slice(event.payload);
            drop_front(pipe, event.used);
            return true;
        }
    }
}

/* The same of another; with *broken, what came is none, and its head is the message. */
static bool next_plain(struct pipe *pipe, struct slice *message, struct fault *broken)
{
    struct frame frame;

    for (;;) {
        frame = frame_next(slice_of(pipe->bytes, pipe->len), &pipe->scanned);
        if (frame.kind == FRAME_NONE)
            return false;
        if (frame.kind == FRAME_MESSAGE || frame.kind == FRAME_BROKEN)
            break;
        drop_front(pipe, frame.len);
    }
    *message = copy_slice(slice_of(pipe->bytes, frame.len));
    drop_front(pipe, frame.len);
    if (frame.kind == FRAME_BROKEN)
        *broken = frame.fault;
    return true;
}

static void read_all(struct sim *sim, const struct flow *flow)
{
    struct pipe *pipe = pipe_of(sim, flow);
    uint32_t starts = sim->machine.starts;

    /* Whatever the server does with one may end it, or this stream. */
    while (sim->machine.is_up && sim->machine.starts == starts && !pipe->is_broken &&
           flow_equal(&pipe->flow, flow) && wire_stands(sim, flow)) {
        struct fault broken = {0};
        struct slice message;
        bool is_next =
            flow_is_web(flow) ? next_web(pipe, &message) : next_plain(pipe, &message, &broken);
        pipe->read = pipe->len;
        if (pipe->is_broken)
            wire_close(sim, flow);
        if (!is_next)
            return;
        pipe->is_broken = broken.status;
        network_framed(sim, pipe->sender, flow, message, broken);
        copy_free(&message);
    }
}

void pipe_feed(struct sim *sim, uint32_t sender, const struct flow *flow, struct slice part)
{
    struct pipe *pipe = pipe_of(sim, flow);

    pipe->sender = sender;
    append(pipe, part);
    if (!sim->machine.is_up || pipe->is_read_due)
        return;
    if (dice_chance(&sim->pipes.dice, 150))
        note_read(sim, pipe, MS(dice_between(&sim->pipes.dice, 1, 20)));
    else
        read_all(sim, flow);
}

void pipe_read_late(struct sim *sim, const struct flow *flow, uint32_t starts)
{
    struct pipe *pipe = &sim->pipes.at[connection_place(flow->connection)];

    if (starts != sim->machine.starts || !flow_equal(&pipe->flow, flow))
        return;
    pipe->is_read_due = false;
    read_all(sim, flow);
}

void pipe_server_died(struct sim *sim)
{
    for (unsigned i = 0; i < COUNT_OF(sim->pipes.at); i++) {
        struct pipe *pipe = &sim->pipes.at[i];
        if (pipe->read)
            drop_front(pipe, pipe->read);
        pipe->read = pipe->scanned = 0;
        pipe->socket = (struct websocket){0};
        pipe->is_read_due = false;
    }
}

void pipe_server_started(struct sim *sim)
{
    for (unsigned i = 0; i < COUNT_OF(sim->pipes.at); i++) {
        struct pipe *pipe = &sim->pipes.at[i];
        if (pipe->len && wire_stands(sim, &pipe->flow))
            note_read(sim, pipe, MS(1));
    }
}

void pipe_free(struct sim *sim)
{
    for (unsigned i = 0; i < COUNT_OF(sim->pipes.at); i++)
        free(sim->pipes.at[i].bytes);
}
