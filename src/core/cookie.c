#include "core/cookie.h"

#include "core/fault.h"

#define COOKIE_VERSION 3u
#define MAC_BYTES 8u
#define BYTES_LIMIT (COOKIE_TEXT / 2)
#define PART_LIMIT 128u /* longer texts stand as their hash */

/* What an end is, as bits of its first byte. */
#define END_V6 1u
#define END_STREAM 2u
#define END_BINDING 4u
#define END_TRANSPORT 3u /* above them: the transport of a stream; 0 is TCP */

/* A text with its length before it, so that no two dialogs share their bytes. */
static void write_part(struct writer *w, const struct hash_key *key, struct slice part)
{
    write_u32(w, (uint32_t)part.len);
    if (part.len <= PART_LIMIT)
        write_slice(w, part);
    else
        write_u64(w, hash_sign(key, part));
}

static uint64_t mac_of(const struct hash_key *key, struct slice body, struct slice call_id,
                       struct slice caller_tag)
{
    char bytes[BYTES_LIMIT + 2 * PART_LIMIT + 12];
    struct writer w = writer_over(bytes, sizeof bytes);

    write_part(&w, key, body);
    write_part(&w, key, call_id);
    write_part(&w, key, caller_tag);
    assert(!w.failed);
    return hash_sign(key, writer_slice(&w));
}

static void write_end(struct writer *w, const struct end *end)
{
    bool is_stream = flow_is_reliable(&end->flow);

    unsigned transport =
        is_stream && end->flow.transport != TRANSPORT_TCP ? end->flow.transport : 0;

    write_u8(w, (uint8_t)((end->flow.is_v6 ? END_V6 : 0) | (is_stream ? END_STREAM : 0) |
                          (end->binding ? END_BINDING : 0) | transport << END_TRANSPORT));
    if (end->binding)
        write_u64(w, end->binding);
    if (is_stream)
        write_u32(w, end->flow.connection);
    write_u16(w, end->flow.socket);
    write_u16(w, end->flow.port);
    write_bytes(w, end->flow.address, end->flow.is_v6 ? 16 : 4);
}

static bool read_end(struct reader *r, struct end *end)
{
    uint8_t kind = read_u8(r);
    struct slice address;

    *end = (struct end){0};
    if (kind & END_BINDING)
        end->binding = read_u64(r);
    end->flow.is_v6 = kind & END_V6;
    end->flow.transport = TRANSPORT_UDP;
    if (kind & END_STREAM)
        end->flow.transport = kind >> END_TRANSPORT ? kind >> END_TRANSPORT : TRANSPORT_TCP;
    if (kind & END_STREAM)
        end->flow.connection = read_u32(r);
    end->flow.socket = read_u16(r);
    end->flow.port = read_u16(r);
    address = read_bytes(r, end->flow.is_v6 ? 16 : 4);
    if (address.len)
        memcpy(end->flow.address, address.at, address.len);
    return kind >> END_TRANSPORT < TRANSPORT_COUNT &&
           (kind & END_STREAM || !(kind >> END_TRANSPORT)) && !r->failed;
}

void cookie_write(struct writer *w, const struct hash_key *key, const struct cookie *cookie,
                  struct slice call_id, struct slice caller_tag)
{
    char bytes[BYTES_LIMIT];
    struct writer b = writer_over(bytes, sizeof bytes);

    write_u8(&b, COOKIE_VERSION);
    write_end(&b, &cookie->caller);
    write_end(&b, &cookie->callee);
    write_u64(&b, mac_of(key, writer_slice(&b), call_id, caller_tag));
    assert(!b.failed && 2 * b.len <= COOKIE_TEXT);
    write_hex_bytes(w, bytes, b.len);
}

enum cookie_direction cookie_read(struct slice text, const struct hash_key *key,
                                  struct slice call_id, struct slice from_tag, struct slice to_tag,
                                  struct cookie *cookie)
{
    char bytes[BYTES_LIMIT] = {0};
    size_t len = text.len / 2;
    struct reader r = reader_over(slice_of(bytes, len));
    struct slice body;
    uint64_t mac;

    if (text.len % 2 || len <= MAC_BYTES || len > sizeof bytes || !to_tag.len ||
        !hex_decode(text, bytes, len))
        return COOKIE_INVALID;
    if (read_u8(&r) != COOKIE_VERSION || !read_end(&r, &cookie->caller) ||
        !read_end(&r, &cookie->callee))
        return COOKIE_INVALID;
    body = slice_of(bytes, len - MAC_BYTES);
    mac = read_u64(&r);
    if (r.failed || r.rest.len)
        return COOKIE_INVALID;
    if (mac == mac_of(key, body, call_id, from_tag) || fault_is(FAULT_COOKIE_UNCHECKED))
        return COOKIE_TO_CALLEE;
    if (mac == mac_of(key, body, call_id, to_tag))
        return COOKIE_TO_CALLER;
    return COOKIE_INVALID;
}
