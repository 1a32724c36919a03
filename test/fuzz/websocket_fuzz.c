/*
 * websocket_next: a connection gives the same events in one piece as byte by byte, each payload
 * within its buffer, and what waits for more is bounded.
 */
#include "fuzz.h"

#include "sip/websocket.h"

#define ROOM 65536u
#define LIMIT 4096u
#define EVENTS 256u

struct seen {
    enum websocket_kind kind;
    enum websocket_opcode opcode;
    unsigned code;
    size_t len;
    uint64_t sum;
};

struct events {
    struct seen at[EVENTS];
    unsigned count;
};

static uint64_t sum_of(struct slice bytes)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < bytes.len; i++)
        sum = sum * 31 + (uint8_t)bytes.at[i];
    return sum;
}

static void see(struct events *events, const struct websocket_event *event)
{
    events->at[events->count++] = (struct seen){
        .kind = event->kind,
        .opcode = event->opcode,
        .code = event->code,
        .len = event->payload.len,
        .sum = sum_of(event->payload),
    };
}

/* Events of a connection that delivers `step` bytes at a time. */
static void read_stream(struct slice stream, size_t step, struct events *events)
{
    static char buffer[ROOM];
    struct websocket socket = {0};
    size_t len = 0, at = 0;

    events->count = 0;
    while (events->count < EVENTS) {
        struct websocket_event event = websocket_next(&socket, buffer, &len, LIMIT);
        if (event.kind == WEBSOCKET_NONE) {
            size_t more = step < stream.len - at ? step : stream.len - at;
            if (!more)
                return;
            assert(len <= socket.whole + WEBSOCKET_REST_LIMIT && socket.whole <= LIMIT);
            memcpy(buffer + len, stream.at + at, more);
            len += more;
            at += more;
            continue;
        }
        assert(is_within(event.payload, slice_of(buffer, len)));
        see(events, &event);
        if (event.kind == WEBSOCKET_BROKEN)
            return;
        if (event.kind == WEBSOCKET_MESSAGE) {
            assert(event.used <= len && event.payload.len <= LIMIT);
            len -= event.used;
            memmove(buffer, buffer + event.used, len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct events whole, bytewise;
    struct slice stream = fuzz_input(data, size < ROOM / 2 ? size : ROOM / 2);

    read_stream(stream, stream.len, &whole);
    read_stream(stream, 1, &bytewise);
    assert(whole.count == bytewise.count);
    for (unsigned i = 0; i < whole.count; i++) {
        const struct seen *a = &whole.at[i], *b = &bytewise.at[i];
        assert(a->kind == b->kind && a->opcode == b->opcode && a->code == b->code);
        assert(a->len == b->len && a->sum == b->sum);
    }
    return 0;
}
