/*
 * Records of calls: any bytes are read without reaching past their end, and what was read is
 * written as it was; a record of any texts and numbers fits where it must, is read back the same,
 * and not at all where it was cut.
 */
#include "fuzz.h"

#include "core/calls.h"

#define TEXTS 6u

static struct slice *texts_of(struct call_record *call, unsigned n)
{
    struct slice *const texts[TEXTS] = {&call->network, &call->caller,  &call->dialed,
                                        &call->callee,  &call->display, &call->call_id};

    return texts[n];
}

static void check_any(struct slice bytes)
{
    static char again[1 << 16];
    struct writer w = writer_over(again, sizeof again);
    struct reader r = reader_over(bytes);
    struct call_record call;

    if (!call_read(&r, &call))
        return;
    assert(call.id && call_reason(&call).len);
    for (unsigned i = 0; i < TEXTS; i++)
        assert(is_within(*texts_of(&call, i), bytes));
    call_write(&w, &call);
    if (w.failed)
        return;
    /* An older record has nothing of what was heard, which is a byte, nor, before that, of the
     * media, which are two. */
    bytes.len -= r.rest.len;
    assert(w.len == bytes.len || w.len == bytes.len + 1 || w.len == bytes.len + 3);
    assert(slice_equal(slice_until(writer_slice(&w), bytes.len), bytes));
}

/* The next byte of the input, then as many that follow as it says. */
static struct slice take_text(struct slice *bytes)
{
    size_t len = bytes->len ? min_u64((unsigned char)bytes->at[0], bytes->len - 1) : 0;
    struct slice text = len ? slice_of(bytes->at + 1, len) : S("");

    *bytes = slice_from(*bytes, min_u64(len + 1, bytes->len));
    return text;
}

static void check_same(const struct call_record *a, const struct call_record *b)
{
    assert(a->id == b->id && a->began == b->began && a->answered == b->answered &&
           a->ended == b->ended && a->duration == b->duration && a->status == b->status &&
           a->ender == b->ender && a->proof == b->proof &&
           !memcmp(&a->heard, &b->heard, sizeof a->heard));
    for (unsigned i = 0; i < TEXTS; i++)
        assert(slice_equal(*texts_of((struct call_record *)(uintptr_t)a, i),
                           *texts_of((struct call_record *)(uintptr_t)b, i)));
}

static void take_heard(struct reader *r, struct leg_heard *heard, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct leg_heard one = {.expected = read_u32(r)};
        one.lost = read_u32(r);
        one.jitter = read_u32(r);
        if (!r->failed && one.expected)
            heard[i] = one;
    }
}

static size_t heard_bytes(const struct heard_ends *ends)
{
    char text[HEARD_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    heard_write(&w, ends);
    assert(!w.failed);
    return w.len;
}

static void check_made(struct slice bytes)
{
    struct reader numbers = reader_over(bytes);
    struct call_record call = {
        .id = read_u64(&numbers) | 1,
        .began = (int64_t)read_u64(&numbers),
        .answered = (int64_t)read_u64(&numbers),
        .ended = (int64_t)read_u64(&numbers),
        .duration = read_u32(&numbers),
        .status = read_u16(&numbers),
        .ender = read_u8(&numbers),
        .proof = read_u8(&numbers),
    };
    size_t cut = read_u16(&numbers), whole;
    char text[CALL_RECORD_LIMIT];
    struct writer w = writer_over(text, sizeof text);
    struct call_record found;
    struct reader r;

    if (numbers.failed)
        return;
    for (unsigned i = 0; i < TEXTS; i++)
        *texts_of(&call, i) = take_text(&numbers.rest);
    take_heard(&numbers, call.heard.sides, 2);
    for (unsigned i = 0; i < 2; i++)
        take_heard(&numbers, call.heard.lines[i], LEGS_LINES);
    call_write(&w, &call);
    assert(!w.failed);
    r = reader_over(writer_slice(&w));
    assert(call_read(&r, &found) && !r.rest.len);
    check_same(&call, &found);
    /* Less is none, but for what older records had: all before the two bytes of the media, or
     * before what was heard. */
    cut %= w.len;
    whole = w.len - heard_bytes(&call.heard);
    r = reader_over(slice_until(writer_slice(&w), cut));
    assert(call_read(&r, &found) == (cut == whole - 2 || cut == whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_input(data, size);

    check_any(bytes);
    check_made(bytes);
    return 0;
}
