#include "core/keepalive.h"

#define HEADER_BYTES 20u
#define COOKIE "\x21\x12\xa4\x42"
#define BINDING_REQUEST "\x00\x01"
#define BINDING_SUCCESS "\x01\x01"
#define XOR_MAPPED_ADDRESS "\x00\x20"

static void write_u16_be(struct writer *w, unsigned n)
{
    write_u8(w, (uint8_t)(n >> 8));
    write_u8(w, (uint8_t)n);
}

/* RFC 8489 14.2: port and address are masked by the cookie and the transaction ID behind it. */
static void write_mapped(struct writer *w, const struct flow *flow, const char *mask)
{
    unsigned size = flow->is_v6 ? 16 : 4;

    write_bytes(w, XOR_MAPPED_ADDRESS, 2);
    write_u16_be(w, 4 + size);
    write_u16_be(w, flow->is_v6 ? 2 : 1);
    write_u16_be(w, flow->port ^ 0x2112u);
    for (unsigned i = 0; i < size; i++)
        write_u8(w, (uint8_t)(flow->address[i] ^ (uint8_t)mask[i]));
}

bool keepalive_answer(const struct flow *flow, struct slice bytes, struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = &out->bytes;
    size_t len;

    if (bytes.len < HEADER_BYTES || memcmp(bytes.at, BINDING_REQUEST, 2) != 0 ||
        memcmp(bytes.at + 4, COOKIE, 4) != 0)
        return false;
    len = (size_t)(uint8_t)bytes.at[2] << 8 | (uint8_t)bytes.at[3];
    if (len != bytes.len - HEADER_BYTES || len % 4)
        return false;
    write_bytes(w, BINDING_SUCCESS, 2);
    write_u16_be(w, flow->is_v6 ? 24 : 12);
    write_bytes(w, bytes.at + 4, 16);
    write_mapped(w, flow, bytes.at + 4);
    actions_push(out, (struct action){
                          .kind = ACTION_SEND,
                          .flow = *flow,
                          .bytes = slice_of(w->at + start, w->len - start),
                      });
    return true;
}
