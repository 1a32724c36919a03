/*
 * frame_next: a stream gives the same frames in one piece as byte by byte, and a framed message
 * never has a fault of its length.
 */
#include "fuzz.h"

#include "sip/framing.h"

#define FRAMES 64u

struct frames {
    struct frame at[FRAMES];
    unsigned count;
    size_t used; /* bytes taken by them */
};

/* Frames of a stream that comes `step` bytes at a time. */
static void cut_stream(struct slice stream, size_t step, struct frames *frames)
{
    size_t begin = 0, end = 0, scanned = 0;

    frames->count = 0;
    while (frames->count < FRAMES) {
        struct frame frame = frame_next(slice_of(stream.at + begin, end - begin), &scanned);
        if (frame.kind == FRAME_NONE) {
            if (end == stream.len)
                break;
            end = step < stream.len - end ? end + step : stream.len;
            continue;
        }
        frames->at[frames->count++] = frame;
        if (frame.kind == FRAME_BROKEN)
            break;
        assert(frame.len && frame.len <= end - begin);
        begin += frame.len;
        scanned = 0;
    }
    frames->used = begin;
}

static void check_message(struct slice bytes)
{
    static struct message m;
    struct fault fault = message_parse(bytes, &m);

    if (fault.status)
        assert(!strstr(fault.reason, "Content-Length"));
    else
        assert(m.has_length && m.bytes.len == bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct frames whole, bytewise;
    struct slice stream = fuzz_input(data, size);
    size_t at = 0;

    cut_stream(stream, stream.len, &whole);
    cut_stream(stream, 1, &bytewise);
    assert(whole.count == bytewise.count && whole.used == bytewise.used);
    for (unsigned i = 0; i < whole.count; i++) {
        const struct frame *frame = &whole.at[i];
        assert(frame->kind == bytewise.at[i].kind);
        assert(frame->fault.status == bytewise.at[i].fault.status);
        if (frame->kind == FRAME_BROKEN)
            break;
        assert(frame->len == bytewise.at[i].len);
        if (frame->kind == FRAME_MESSAGE)
            check_message(slice_of(stream.at + at, frame->len));
        at += frame->len;
    }
    return 0;
}
