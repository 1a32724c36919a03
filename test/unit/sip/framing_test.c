#include "unit.h"

#include "sip/framing.h"

#define START "OPTIONS sip:a@b SIP/2.0\r\n"

static struct frame first_frame(struct slice buffer)
{
    size_t scanned = 0;

    return frame_next(buffer, &scanned);
}

static void assert_broken(struct slice buffer, unsigned status, const char *reason)
{
    struct frame frame = first_frame(buffer);

    assert_int_equal(frame.kind, FRAME_BROKEN);
    assert_int_equal(frame.fault.status, status);
    assert_string_equal(frame.fault.reason, reason);
}

static void assert_message(struct slice buffer, size_t len)
{
    struct frame frame = first_frame(buffer);

    assert_int_equal(frame.kind, FRAME_MESSAGE);
    assert_int_equal(frame.len, len);
}

static void a_message_ends_where_content_length_says(void **state)
{
    struct slice message = S(START "Content-Length: 4\r\n\r\nabcd");

    (void)state;
    assert_message(message, message.len);
    assert_message(S(START "Content-Length: 4\r\n\r\nabcdOPTIONS"), message.len);
    assert_int_equal(first_frame(slice_until(message, message.len - 1)).kind, FRAME_NONE);
    assert_message(S("SIP/2.0 200 OK\r\nl:0\r\n\r\n"), 23);
}

static void content_length_comes_in_many_spellings(void **state)
{
    static const char *const good[] = {"Content-Length:2",
                                       "l: 2",
                                       "L  :\t2",
                                       "CONTENT-length \t:  2  ",
                                       "l:\r\n 2",
                                       "l:\r\n\t 2 \r\n ",
                                       "l: 0002",
                                       "x: y\r\n z\r\nl: 2",
                                       "Content-Lengthy: 9\r\nLx: 9\r\nc: a/b\r\nl: 2"};
    char text[128];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++) {
        struct frame frame;
        text[0] = 0;
        strcat(strcat(strcat(text, START), good[i]), "\r\n\r\nab");
        frame = first_frame(slice_text(text));
        if (frame.kind != FRAME_MESSAGE || frame.len != strlen(text))
            fail_msg("refused: %s", good[i]);
    }
}

static void whatever_cannot_be_resynchronised_is_broken(void **state)
{
    (void)state;
    assert_broken(S(START "To: x\r\n\r\n"), 400, "Missing Content-Length");
    assert_broken(S(START "\r\n"), 400, "Missing Content-Length");
    assert_broken(S(START "x: y\r\n l: 2\r\n\r\n"), 400, "Missing Content-Length");
    assert_broken(S(START "x: y\nl: 2\r\n\r\n"), 400, "Missing Content-Length");
    assert_broken(S(START "l:\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: -999\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: +1\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: five\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: 0x1\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: 1 1\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: 1\r\n 1\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: 1, 1\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: 1;x\r\n\r\n"), 400, "Bad Content-Length");
    assert_broken(S(START "l: 13\r\nContent-Length: 5\r\n\r\n"), 400, "Repeated Content-Length");
    assert_broken(S(START "l: 2\r\nContent-Length: 2\r\n\r\n"), 400, "Repeated Content-Length");
    assert_broken(S(START "l: 2\r\nl: \r\n\r\n"), 400, "Repeated Content-Length");
}

/* 2^32 + 32 once was read as 32, and what followed as a second message. */
static void a_length_beyond_the_limit_is_too_large(void **state)
{
    (void)state;
    assert_broken(S(START "l: 4294967328\r\n\r\n"), 513, "Message Too Large");
    assert_broken(S(START "l: 18446744073709551616\r\n\r\n"), 513, "Message Too Large");
    assert_broken(S(START "l: 99999999999999999999999999999\r\n\r\n"), 513, "Message Too Large");
    assert_broken(S(START "l: 65535\r\n\r\n"), 513, "Message Too Large");
}

static void a_message_may_be_as_long_as_the_limit(void **state)
{
    static char text[MESSAGE_LIMIT];
    const struct slice fitting = S(START "l: 65498\r\n\r\n");

    (void)state;
    memcpy(text, fitting.at, fitting.len);
    assert_message(slice_of(text, sizeof text), MESSAGE_LIMIT);
    assert_broken(S(START "l: 65499\r\n\r\n"), 513, "Message Too Large");
}

static void a_ping_is_two_crlfs(void **state)
{
    struct frame frame = first_frame(S("\r\n\r\nOPTIONS"));

    (void)state;
    assert_int_equal(frame.kind, FRAME_PING);
    assert_int_equal(frame.len, 4);
    assert_int_equal(first_frame(S("\r\n\r")).kind, FRAME_NONE);
    assert_int_equal(first_frame(S("\r\n")).kind, FRAME_NONE);
    assert_int_equal(first_frame(S("\r")).kind, FRAME_NONE);
    assert_int_equal(first_frame(S("")).kind, FRAME_NONE);
}

static void a_stray_crlf_is_skipped(void **state)
{
    struct frame frame = first_frame(S("\r\nO"));

    (void)state;
    assert_int_equal(frame.kind, FRAME_SKIP);
    assert_int_equal(frame.len, 2);
    assert_int_equal(first_frame(S("\r\n\rx")).kind, FRAME_SKIP);
}

static void headers_may_be_as_long_as_their_limit(void **state)
{
    static const char length[] = "\r\nl: 0\r\n\r\n";
    static char text[FRAME_HEADER_LIMIT + 8];
    size_t start = FRAME_HEADER_LIMIT + 2 - (sizeof length - 1);

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text + start, length, sizeof length - 1);
    assert_message(slice_of(text, FRAME_HEADER_LIMIT + 2), FRAME_HEADER_LIMIT + 2);
    memset(text, 'x', sizeof text);
    memcpy(text + start + 1, length, sizeof length - 1);
    assert_broken(slice_of(text, FRAME_HEADER_LIMIT + 3), 513, "Message Too Large");
    assert_broken(slice_of(text, FRAME_HEADER_LIMIT + 2), 513, "Message Too Large");
    assert_int_equal(first_frame(slice_of(text, FRAME_HEADER_LIMIT + 1)).kind, FRAME_NONE);
}

static void garbage_without_an_end_is_broken(void **state)
{
    static const char garbage[FRAME_HEADER_LIMIT + 2];

    (void)state;
    assert_broken(slice_of(garbage, sizeof garbage), 513, "Message Too Large");
    assert_int_equal(first_frame(slice_of(garbage, 1000)).kind, FRAME_NONE);
}

/* Bytes that come one at a time cost each about the same: not the square of the message. */
static void a_slow_sender_is_not_scanned_anew(void **state)
{
    static char text[MESSAGE_LIMIT];
    static const char end[] = "\r\nl: 32700\r\n\r\n";
    size_t scanned = 0;
    struct frame frame = {0};

    (void)state;
    memset(text, '\r', sizeof text);
    text[0] = 'x';
    memcpy(text + 32000, end, sizeof end - 1);
    for (size_t len = 1; len <= 32000 + sizeof end - 1 + 32700; len++) {
        assert_int_equal(frame.kind, FRAME_NONE);
        frame = frame_next(slice_of(text, len), &scanned);
        if (len < 32000)
            assert_true(scanned + 3 >= len);
    }
    assert_int_equal(frame.kind, FRAME_MESSAGE);
}

struct seen {
    struct frame frames[64];
    unsigned count;
};

/* What comes of a stream that is delivered in pieces of up to `step` bytes. */
static void take_frames(struct slice stream, uint64_t *seed, uint64_t step, struct seen *seen)
{
    size_t start = 0, end = 0, scanned = 0;

    seen->count = 0;
    for (;;) {
        struct frame frame = frame_next(slice_of(stream.at + start, end - start), &scanned);
        if (frame.kind == FRAME_NONE) {
            if (end == stream.len)
                return;
            end = min_u64(end + 1 + draw_below(seed, step), stream.len);
            continue;
        }
        assert_true(seen->count < COUNT_OF(seen->frames));
        seen->frames[seen->count++] = frame;
        if (frame.kind == FRAME_BROKEN)
            return;
        assert_true(frame.len > 0 && frame.len <= end - start);
        start += frame.len;
        scanned = 0;
    }
}

static void assert_same(const struct seen *a, const struct seen *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++) {
        assert_int_equal(a->frames[i].kind, b->frames[i].kind);
        assert_int_equal(a->frames[i].len, b->frames[i].len);
        assert_int_equal(a->frames[i].fault.status, b->frames[i].fault.status);
    }
}

#define STREAM                                                                                     \
    START "Content-Length: 9\r\n\r\n\r\n\r\nl:1\r\n\r\n\r\n\r\n"                                   \
          "SIP/2.0 200 OK\r\nl:\r\n 0\r\nTo: x\r\n\r\n\r\n\r\n\r\n\r\n\r\n" START                  \
          "l: 3\r\n\r\nab\r"                                                                       \
          "\r\nBYE sip:c@d SIP/2.0\r\nx: \r\r\n\r y\r\nL: 0\r\n\r\n"

static void a_stream_gives_the_same_frames_wherever_it_is_cut(void **state)
{
    static const enum frame_kind kinds[] = {FRAME_MESSAGE, FRAME_PING,   FRAME_SKIP, FRAME_MESSAGE,
                                            FRAME_PING,    FRAME_PING,   FRAME_SKIP, FRAME_MESSAGE,
                                            FRAME_SKIP,    FRAME_MESSAGE};
    struct slice stream = S(STREAM);
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    struct seen whole, cut;

    (void)state;
    take_frames(stream, &seed, stream.len, &whole);
    assert_int_equal(whole.count, COUNT_OF(kinds));
    for (unsigned i = 0; i < whole.count; i++)
        assert_int_equal(whole.frames[i].kind, kinds[i]);
    take_frames(stream, &seed, 1, &cut);
    assert_same(&whole, &cut);
    for (unsigned i = 0; i < 2000; i++) {
        take_frames(stream, &seed, 1 + draw_below(&seed, 40), &cut);
        assert_same(&whole, &cut);
    }
}

/* The same of streams that are broken somewhere. */
static void a_mutilated_stream_gives_the_same_frames_wherever_it_is_cut(void **state)
{
    static const char letters[] = "\r\n\r\n\r\n :l019x";
    uint64_t seed = UINT64_C(0x853c49e6748fea9b);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char text[sizeof STREAM];
        struct slice stream = slice_of(text, sizeof text - 1);
        struct seen whole, cut;
        memcpy(text, STREAM, sizeof text);
        for (uint64_t changes = 1 + draw_below(&seed, 4); changes > 0; changes--)
            text[draw_below(&seed, stream.len)] = letters[draw_below(&seed, sizeof letters - 1)];
        take_frames(stream, &seed, 2 * stream.len, &whole);
        take_frames(stream, &seed, 1 + draw_below(&seed, 20), &cut);
        assert_same(&whole, &cut);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(a_message_ends_where_content_length_says),
        cmocka_unit_test(content_length_comes_in_many_spellings),
        cmocka_unit_test(whatever_cannot_be_resynchronised_is_broken),
        cmocka_unit_test(a_length_beyond_the_limit_is_too_large),
        cmocka_unit_test(a_message_may_be_as_long_as_the_limit),
        cmocka_unit_test(a_ping_is_two_crlfs), cmocka_unit_test(a_stray_crlf_is_skipped),
        cmocka_unit_test(headers_may_be_as_long_as_their_limit),
        cmocka_unit_test(garbage_without_an_end_is_broken),
        cmocka_unit_test(a_slow_sender_is_not_scanned_anew),
        cmocka_unit_test(a_stream_gives_the_same_frames_wherever_it_is_cut),
        cmocka_unit_test(a_mutilated_stream_gives_the_same_frames_wherever_it_is_cut));
}
