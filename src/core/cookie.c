#include "core/cookie.h"

#include "core/fault.h"
#include "core/peer.h"

#define COOKIE_VERSION 3u
#define MAC_BYTES 8u
#define BYTES_LIMIT ((COOKIE_TEXT - COOKIE_DOMAINS) / 2)
#define PART_LIMIT 128u /* longer texts stand as their hash */
#define DOMAIN_MARK '~' /* before each domain, behind all that is in hexadecimal digits */

/* What an end is, as bits of its first byte. */
#define END_V6 1u
#define END_STREAM 2u
#define END_BINDING 4u
#define END_TRANSPORT 3u /* above them, three bits: the transport of a stream; 0 is TCP */
#define END_TRANSPORTS 7u
#define END_DOMAIN 64u

/* A text with its length before it, so that no two dialogs share their bytes. */
static void write_part(struct writer *w, const struct hash_key *key, struct slice part)
{
    write_u32(w, (uint32_t)part.len);
    if (part.len <= PART_LIMIT)
        write_slice(w, part);
    else
        write_u64(w, hash_sign(key, part));
}

static uint64_t mac_of(const struct hash_key *key, struct slice body, const struct cookie *cookie,
                       struct slice call_id, struct slice caller_tag)
{
    char bytes[BYTES_LIMIT + 4 * (PART_LIMIT + 4) + 4];
    struct writer w = writer_over(bytes, sizeof bytes);

    write_part(&w, key, body);
    if (cookie->caller.domain.len)
        write_part(&w, key, cookie->caller.domain);
    if (cookie->callee.domain.len)
        write_part(&w, key, cookie->callee.domain);
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
                          (end->binding ? END_BINDING : 0) | (end->domain.len ? END_DOMAIN : 0) |
                          transport << END_TRANSPORT));
    if (end->domain.len)
        write_u8(w, end->policy);
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
    uint8_t transport = kind >> END_TRANSPORT & END_TRANSPORTS;
    struct slice address;

    *end = (struct end){0};
    if (kind & END_DOMAIN) {
        end->policy = read_u8(r);
        end->domain.len = 1; /* it follows behind */
    }
    if (kind & END_BINDING)
        end->binding = read_u64(r);
    end->flow.is_v6 = kind & END_V6;
    end->flow.transport = TRANSPORT_UDP;
    if (kind & END_STREAM)
        end->flow.transport = transport ? transport : TRANSPORT_TCP;
    if (kind & END_STREAM)
        end->flow.connection = read_u32(r);
    end->flow.socket = read_u16(r);
    end->flow.port = read_u16(r);
    address = read_bytes(r, end->flow.is_v6 ? 16 : 4);
    if (address.len)
        memcpy(end->flow.address, address.at, address.len);
    return transport < TRANSPORT_COUNT && (kind & END_STREAM || !transport) &&
           end->policy <= POLICY_DANE && !r->failed;
}

static void write_domain(struct writer *w, const struct end *end)
{
    if (!end->domain.len)
        return;
    write_char(w, DOMAIN_MARK);
    write_slice(w, end->domain);
}

/* Takes the domain of an end that has one off what follows the digits. */
static bool read_domain(struct slice *rest, struct end *end)
{
    struct slice text = slice_from(*rest, rest->len ? 1 : 0);

    if (!end->domain.len)
        return true;
    if (!rest->len || rest->at[0] != DOMAIN_MARK)
        return false;
    end->domain = slice_until(text, slice_find(text, DOMAIN_MARK));
    *rest = slice_from(text, end->domain.len);
    return end->domain.len && end->domain.len <= NAME_LIMIT;
}

void cookie_write(struct writer *w, const struct hash_key *key, const struct cookie *cookie,
                  struct slice call_id, struct slice caller_tag)
{
    char bytes[BYTES_LIMIT];
    struct writer b = writer_over(bytes, sizeof bytes);

    write_u8(&b, COOKIE_VERSION);
    write_end(&b, &cookie->caller);
    write_end(&b, &cookie->callee);
    write_u64(&b, mac_of(key, writer_slice(&b), cookie, call_id, caller_tag));
    assert(!b.failed);
    write_hex_bytes(w, bytes, b.len);
    write_domain(w, &cookie->caller);
    write_domain(w, &cookie->callee);
}

enum cookie_direction cookie_read(struct slice text, const struct hash_key *key,
                                  struct slice call_id, struct slice from_tag, struct slice to_tag,
                                  struct cookie *cookie)
{
    char bytes[BYTES_LIMIT] = {0};
    size_t digits = slice_find(text, DOMAIN_MARK), len = digits / 2;
    struct reader r = reader_over(slice_of(bytes, len));
    struct slice rest, body;
    uint64_t mac;

    if (digits % 2 || len <= MAC_BYTES || len > sizeof bytes || !to_tag.len ||
        !hex_decode(slice_until(text, digits), bytes, len))
        return COOKIE_INVALID;
    rest = slice_from(text, digits);
    if (read_u8(&r) != COOKIE_VERSION || !read_end(&r, &cookie->caller) ||
        !read_end(&r, &cookie->callee) || !read_domain(&rest, &cookie->caller) ||
        !read_domain(&rest, &cookie->callee) || rest.len)
        return COOKIE_INVALID;
    body = slice_of(bytes, len - MAC_BYTES);
    mac = read_u64(&r);
    if (r.failed || r.rest.len)
        return COOKIE_INVALID;
    if (mac == mac_of(key, body, cookie, call_id, from_tag) || fault_is(FAULT_COOKIE_UNCHECKED))
        return COOKIE_TO_CALLEE;
    if (mac == mac_of(key, body, cookie, call_id, to_tag))
        return COOKIE_TO_CALLER;
    return COOKIE_INVALID;
}
