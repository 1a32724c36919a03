#include "sip/websocket.h"

#include "base/utf8.h"

#define FINAL 0x80u    /* in the first byte: the last frame of its message */
#define RESERVED 0x70u /* no extension was agreed on that could set them */
#define OPCODE 0x0fu
#define MASKED 0x80u /* in the second */
#define LENGTH 0x7fu
#define LENGTH_16 126u /* the length is in two bytes behind */
#define LENGTH_64 127u /* or in eight */

/* Head of a frame (5.2). */
struct head {
    uint8_t opcode;
    bool is_final;
    uint8_t size; /* bytes of the head itself */
    uint64_t len; /* of the payload */
    uint8_t mask[4];
};

enum head_state {
    HEAD_NONE, /* not all of it is there */
    HEAD_READ,
    HEAD_BROKEN,
};

static bool is_control(unsigned opcode)
{
    return opcode >= WEBSOCKET_CLOSE;
}

static uint64_t read_big(const char *at, unsigned size)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < size; i++)
        n = n << 8 | (uint8_t)at[i];
    return n;
}

/* What can be told from two bytes: a reserved bit or opcode, a frame that is not masked (5.1), a
 * control frame in parts or too long (5.5). */
static bool is_forbidden(uint8_t first, uint8_t second)
{
    unsigned opcode = first & OPCODE;

    if (first & RESERVED || !(second & MASKED) || opcode > WEBSOCKET_PONG ||
        (opcode > WEBSOCKET_BINARY && opcode < WEBSOCKET_CLOSE))
        return true;
    return is_control(opcode) && (!(first & FINAL) || (second & LENGTH) > WEBSOCKET_CONTROL_LIMIT);
}

/* The shortest form that holds the length is the only one allowed. */
static bool is_shortest(uint64_t len, unsigned size)
{
    return size == 0 || (size == 2 ? len >= LENGTH_16 : len > UINT16_MAX && !(len >> 63));
}

static enum head_state read_head(struct slice bytes, struct head *head)
{
    uint8_t first, second;
    unsigned length;

    if (bytes.len < 2)
        return HEAD_NONE;
    first = (uint8_t)bytes.at[0];
    second = (uint8_t)bytes.at[1];
    if (is_forbidden(first, second))
        return HEAD_BROKEN;
    length = second & LENGTH;
    unsigned size = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
    *head = (struct head){
        .opcode = first & OPCODE,
        .is_final = (first & FINAL) != 0,
        .size = (uint8_t)(2 + size + sizeof head->mask),
        .len = length,
    };
    if (bytes.len < head->size)
        return HEAD_NONE;
    if (size)
        head->len = read_big(bytes.at + 2, size);
    memcpy(head->mask, bytes.at + 2 + size, sizeof head->mask);
    return is_shortest(head->len, size) ? HEAD_READ : HEAD_BROKEN;
}

/* Unmasks (5.3) from one place to another that is not behind it; both may share bytes. */
static void unmask(char *to, const char *from, size_t len, uint8_t mask[4])
{
    uint8_t twice[8], turned[4];
    uint64_t key, word;
    size_t i = 0;

    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&key, twice, sizeof key);
    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, from + i, sizeof word);
        word ^= key;
        memcpy(to + i, &word, sizeof word);
    }
    for (; i < len; i++)
        to[i] = (char)((uint8_t)from[i] ^ mask[i % 4]);
    for (i = 0; i < 4; i++)
        turned[i] = mask[(len + i) % 4];
    memcpy(mask, turned, sizeof turned);
}

/* As much of the frame at hand as is there, to the end of the message so far. */
static void take_payload(struct websocket *socket, char *at, size_t len)
{
    size_t count = min_u64(socket->left, len - socket->raw);

    unmask(at + socket->whole, at + socket->raw, count, socket->mask);
    socket->whole += (uint32_t)count;
    socket->raw += (uint32_t)count;
    socket->left -= (uint32_t)count;
}

/* What was not looked at moves up to the message so far. */
static struct websocket_event more_needed(struct websocket *socket, char *at, size_t *len)
{
    size_t rest = *len - socket->raw;

    if (socket->raw != socket->whole)
        memmove(at + socket->whole, at + socket->raw, rest);
    socket->raw = socket->whole;
    *len = socket->whole + rest;
    return (struct websocket_event){.kind = WEBSOCKET_NONE};
}

static struct websocket_event broken(enum websocket_code code)
{
    return (struct websocket_event){.kind = WEBSOCKET_BROKEN, .code = code};
}

static struct websocket_event end_message(struct websocket *socket, const char *at)
{
    struct websocket_event event = {
        .kind = WEBSOCKET_MESSAGE,
        .opcode = socket->opcode,
        .payload = slice_of(at, socket->whole),
        .used = socket->raw,
    };

    if (socket->opcode == WEBSOCKET_TEXT && !utf8_is_valid(event.payload))
        return broken(WEBSOCKET_BAD_TEXT);
    *socket = (struct websocket){0};
    return event;
}

/* 7.4: what may stand in a close frame; those in between are reserved, or only for reports. */
static bool is_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static struct websocket_event read_close(struct slice payload)
{
    struct websocket_event event = {
        .kind = WEBSOCKET_CONTROL, .opcode = WEBSOCKET_CLOSE, .payload = payload};

    if (!payload.len)
        return event;
    if (payload.len < 2)
        return broken(WEBSOCKET_PROTOCOL_ERROR);
    event.code = (unsigned)read_big(payload.at, 2);
    if (!is_code(event.code))
        return broken(WEBSOCKET_PROTOCOL_ERROR);
    return utf8_is_valid(slice_from(payload, 2)) ? event : broken(WEBSOCKET_BAD_TEXT);
}

/* Control frames come whole, and may stand between the fragments of a message (5.4). */
static struct websocket_event take_control(struct websocket *socket, char *at, size_t *len,
                                           struct head *head)
{
    char *payload = at + socket->raw + head->size;

    if (*len - socket->raw < head->size + head->len)
        return more_needed(socket, at, len);
    socket->raw += (uint32_t)(head->size + head->len);
    unmask(payload, payload, head->len, head->mask);
    if (head->opcode == WEBSOCKET_CLOSE)
        return read_close(slice_of(payload, head->len));
    return (struct websocket_event){
        .kind = WEBSOCKET_CONTROL,
        .opcode = head->opcode,
        .payload = slice_of(payload, head->len),
    };
}

/* WEBSOCKET_NO_CODE if this frame of data may come now. */
static enum websocket_code begin_frame(struct websocket *socket, const struct head *head,
                                       size_t limit)
{
    bool goes_on = head->opcode == WEBSOCKET_CONTINUATION;

    if (goes_on != (socket->opcode != 0))
        return WEBSOCKET_PROTOCOL_ERROR;
    if (head->len > limit - socket->whole)
        return WEBSOCKET_TOO_LARGE;
    if (!goes_on)
        socket->opcode = head->opcode;
    memcpy(socket->mask, head->mask, sizeof socket->mask);
    socket->left = (uint32_t)head->len;
    socket->raw += head->size;
    socket->is_in_frame = true;
    socket->is_last = head->is_final;
    return WEBSOCKET_NO_CODE;
}

struct websocket_event websocket_next(struct websocket *socket, char *at, size_t *len, size_t limit)
{
    for (;;) {
        enum websocket_code fault;
        struct head head;

        if (socket->is_in_frame) {
            take_payload(socket, at, *len);
            if (socket->left)
                return more_needed(socket, at, len);
            socket->is_in_frame = false;
            if (socket->is_last)
                return end_message(socket, at);
        }
        switch (read_head(slice_of(at + socket->raw, *len - socket->raw), &head)) {
        case HEAD_NONE: return more_needed(socket, at, len);
        case HEAD_BROKEN: return broken(WEBSOCKET_PROTOCOL_ERROR);
        case HEAD_READ: break;
        }
        if (is_control(head.opcode))
            return take_control(socket, at, len, &head);
        fault = begin_frame(socket, &head, limit);
        if (fault)
            return broken(fault);
    }
}

bool websocket_is_amid(const struct websocket *socket)
{
    return socket->opcode != 0;
}

void websocket_write_head(struct writer *w, enum websocket_opcode opcode, size_t len)
{
    assert(len <= UINT16_MAX);
    write_u8(w, (uint8_t)(FINAL | opcode));
    if (len < LENGTH_16) {
        write_u8(w, (uint8_t)len);
        return;
    }
    write_u8(w, LENGTH_16);
    write_u8(w, (uint8_t)(len >> 8));
    write_u8(w, (uint8_t)len);
}

void websocket_write_close(struct writer *w, unsigned code)
{
    websocket_write_head(w, WEBSOCKET_CLOSE, code ? 2 : 0);
    if (!code)
        return;
    write_u8(w, (uint8_t)(code >> 8));
    write_u8(w, (uint8_t)code);
}

enum websocket_opcode websocket_opcode_of(struct slice message)
{
    return utf8_is_valid(message) ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
}
