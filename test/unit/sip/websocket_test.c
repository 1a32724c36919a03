#include "unit.h"

#include "sip/websocket.h"

#define ROOM 4096u
#define LIMIT 2000u

/* A connection: what was delivered and not yet taken. */
struct wire {
    struct websocket socket;
    char bytes[ROOM];
    size_t len;
};

static void deliver(struct wire *wire, struct slice bytes)
{
    assert_true(bytes.len <= ROOM - wire->len);
    memcpy(wire->bytes + wire->len, bytes.at, bytes.len);
    wire->len += bytes.len;
}

static struct websocket_event next(struct wire *wire)
{
    return websocket_next(&wire->socket, wire->bytes, &wire->len, LIMIT);
}

static void drop(struct wire *wire, const struct websocket_event *event)
{
    wire->len -= event->used;
    memmove(wire->bytes, wire->bytes + event->used, wire->len);
}

/* A frame as a client sends it. */
static struct slice frame(char *at, unsigned first, struct slice payload)
{
    static const char mask[4] = {0x37, (char)0xfa, 0x21, 0x3d};
    size_t len = 0;

    at[len++] = (char)first;
    if (payload.len < 126) {
        at[len++] = (char)(0x80 | payload.len);
    } else {
        at[len++] = (char)(0x80 | 126);
        at[len++] = (char)(payload.len >> 8);
        at[len++] = (char)payload.len;
    }
    memcpy(at + len, mask, 4);
    len += 4;
    for (size_t i = 0; i < payload.len; i++)
        at[len++] = (char)(payload.at[i] ^ mask[i % 4]);
    return slice_of(at, len);
}

static void deliver_frame(struct wire *wire, unsigned first, struct slice payload)
{
    char bytes[ROOM];

    deliver(wire, frame(bytes, first, payload));
}

static void assert_message(struct wire *wire, struct slice payload)
{
    struct websocket_event event = next(wire);

    assert_int_equal(event.kind, WEBSOCKET_MESSAGE);
    assert_int_equal(event.payload.len, payload.len);
    assert_memory_equal(event.payload.at, payload.at, payload.len);
    drop(wire, &event);
}

static void assert_broken(struct wire *wire, unsigned code)
{
    struct websocket_event event = next(wire);

    assert_int_equal(event.kind, WEBSOCKET_BROKEN);
    assert_int_equal(event.code, code);
}

static void the_example_of_the_standard_is_read(void **state)
{
    struct wire wire = {0};

    (void)state;
    deliver(&wire, S("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"));
    assert_message(&wire, S("Hello"));
    assert_int_equal(wire.len, 0);
}

static void messages_follow_one_another(void **state)
{
    struct wire wire = {0};

    (void)state;
    deliver_frame(&wire, 0x81, S("one"));
    deliver_frame(&wire, 0x82, S("\xff two"));
    deliver_frame(&wire, 0x81, S(""));
    assert_message(&wire, S("one"));
    assert_message(&wire, S("\xff two"));
    assert_message(&wire, S(""));
    assert_int_equal(next(&wire).kind, WEBSOCKET_NONE);
}

static void fragments_become_one_message_with_controls_between_them(void **state)
{
    struct wire wire = {0};
    struct websocket_event event;

    (void)state;
    deliver_frame(&wire, 0x01, S("REGIS"));
    deliver_frame(&wire, 0x89, S("are you there"));
    deliver_frame(&wire, 0x00, S("TER si"));
    deliver_frame(&wire, 0x00, S(""));
    deliver_frame(&wire, 0x8a, S(""));
    deliver_frame(&wire, 0x80, S("p:a.b"));
    deliver_frame(&wire, 0x81, S("next"));
    event = next(&wire);
    assert_int_equal(event.kind, WEBSOCKET_CONTROL);
    assert_int_equal(event.opcode, WEBSOCKET_PING);
    assert_true(slice_equal(event.payload, S("are you there")));
    assert_true(websocket_is_amid(&wire.socket));
    event = next(&wire);
    assert_int_equal(event.opcode, WEBSOCKET_PONG);
    assert_message(&wire, S("REGISTER sip:a.b"));
    assert_false(websocket_is_amid(&wire.socket));
    assert_message(&wire, S("next"));
}

static void it_may_come_byte_by_byte(void **state)
{
    struct wire wire = {0};
    char bytes[ROOM], long_text[1500];
    struct slice all;
    unsigned messages = 0, controls = 0;

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    all.at = bytes;
    all.len = frame(bytes, 0x02, slice_of(long_text, 1000)).len;
    all.len += frame(bytes + all.len, 0x89, S("ping")).len;
    all.len += frame(bytes + all.len, 0x80, slice_of(long_text, 500)).len;
    all.len += frame(bytes + all.len, 0x81, S("next")).len;
    for (size_t i = 0; i < all.len; i++) {
        struct websocket_event event;
        deliver(&wire, slice_of(all.at + i, 1));
        while ((event = next(&wire)).kind != WEBSOCKET_NONE) {
            assert_int_not_equal(event.kind, WEBSOCKET_BROKEN);
            controls += event.kind == WEBSOCKET_CONTROL;
            if (event.kind != WEBSOCKET_MESSAGE)
                continue;
            assert_memory_equal(event.payload.at, messages ? "next" : long_text,
                                messages ? 4 : 1500);
            messages++;
            drop(&wire, &event);
        }
        assert_true(wire.len <= wire.socket.whole + WEBSOCKET_REST_LIMIT);
    }
    assert_int_equal(messages, 2);
    assert_int_equal(controls, 1);
    assert_int_equal(wire.len, 0);
}

static void what_breaks_the_protocol_is_told(void **state)
{
    static const struct {
        const char *what;
        struct slice bytes;
        unsigned code;
    } bad[] = {
        {"not masked", S("\x81\x05Hello"), 1002},
        {"a reserved bit", S("\xc1\x80....."), 1002},
        {"a reserved opcode", S("\x83\x80....."), 1002},
        {"a reserved control", S("\x8b\x80....."), 1002},
        {"a control in fragments", S("\x09\x80....."), 1002},
        {"a long control", S("\x89\xfe\x01\x00....."), 1002},
        {"goes on with nothing", S("\x80\x80\0\0\0\0"), 1002},
        {"a message within one", S("\x01\x80\0\0\0\0\x81\x80\0\0\0\0"), 1002},
        {"two bytes for a small length", S("\x81\xfe\x00\x7d\0\0\0\0"), 1002},
        {"eight bytes for a small length", S("\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0"), 1002},
        {"a negative length", S("\x81\xff\x80\0\0\0\0\1\0\0\0\0\0\0"), 1002},
        {"too long", S("\x81\xfe\x07\xd1\0\0\0\0"), 1009},
        {"much too long", S("\x81\xff\0\0\1\0\0\0\0\0\0\0\0\0"), 1009},
        {"no UTF-8", S("\x81\x81\0\0\0\0\xff"), 1007},
        {"half a close code", S("\x88\x81\0\0\0\0\x03"), 1002},
        {"a close code of no meaning", S("\x88\x82\0\0\0\0\x03\xed"), 1002},
        {"a close code too high", S("\x88\x82\0\0\0\0\x13\x88"), 1002},
        {"a close reason that is no UTF-8", S("\x88\x83\0\0\0\0\x03\xe8\xff"), 1007},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct wire wire = {0};
        deliver(&wire, bad[i].bytes);
        assert_broken(&wire, bad[i].code);
    }
}

static void fragments_together_have_the_limit_of_one_message(void **state)
{
    static const char text[LIMIT] = {0};
    struct wire wire = {0};

    (void)state;
    deliver_frame(&wire, 0x02, slice_of(text, LIMIT - 1));
    deliver_frame(&wire, 0x00, slice_of(text, 1));
    assert_int_equal(next(&wire).kind, WEBSOCKET_NONE);
    deliver_frame(&wire, 0x80, slice_of(text, 1));
    assert_broken(&wire, WEBSOCKET_TOO_LARGE);
}

static void a_close_says_its_code(void **state)
{
    struct wire wire = {0}, silent = {0};
    struct websocket_event event;

    (void)state;
    deliver_frame(&wire, 0x88, S("\x03\xe9going home"));
    event = next(&wire);
    assert_int_equal(event.kind, WEBSOCKET_CONTROL);
    assert_int_equal(event.opcode, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, 1001);
    deliver_frame(&silent, 0x88, S(""));
    event = next(&silent);
    assert_int_equal(event.opcode, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, WEBSOCKET_NO_CODE);
}

static void what_is_written_is_not_masked(void **state)
{
    char bytes[16];
    struct writer w = writer_over(bytes, sizeof bytes);

    (void)state;
    websocket_write_head(&w, WEBSOCKET_TEXT, 5);
    assert_true(slice_equal(writer_slice(&w), S("\x81\x05")));
    w.len = 0;
    websocket_write_head(&w, WEBSOCKET_BINARY, 126);
    assert_true(slice_equal(writer_slice(&w), S("\x82\x7e\x00\x7e")));
    w.len = 0;
    websocket_write_head(&w, WEBSOCKET_BINARY, 65535);
    assert_true(slice_equal(writer_slice(&w), S("\x82\x7e\xff\xff")));
    w.len = 0;
    websocket_write_close(&w, WEBSOCKET_TOO_LARGE);
    assert_true(slice_equal(writer_slice(&w), S("\x88\x02\x03\xf1")));
    w.len = 0;
    websocket_write_close(&w, WEBSOCKET_NO_CODE);
    assert_true(slice_equal(writer_slice(&w), S("\x88\x00")));
}

static void a_message_is_sent_as_text_where_it_is_some(void **state)
{
    (void)state;
    assert_int_equal(websocket_opcode_of(S("SIP/2.0 200 OK\r\n\r\n")), WEBSOCKET_TEXT);
    assert_int_equal(websocket_opcode_of(S("SIP/2.0 200 OK\r\n\r\n\xff\xfe")), WEBSOCKET_BINARY);
}

int main(void)
{
    RUN(cmocka_unit_test(the_example_of_the_standard_is_read),
        cmocka_unit_test(messages_follow_one_another),
        cmocka_unit_test(fragments_become_one_message_with_controls_between_them),
        cmocka_unit_test(it_may_come_byte_by_byte),
        cmocka_unit_test(what_breaks_the_protocol_is_told),
        cmocka_unit_test(fragments_together_have_the_limit_of_one_message),
        cmocka_unit_test(a_close_says_its_code), cmocka_unit_test(what_is_written_is_not_masked),
        cmocka_unit_test(a_message_is_sent_as_text_where_it_is_some));
}
