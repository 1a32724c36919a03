#include "programs/router_stun.h"

#define HEAD 20u
#define COOKIE "\x21\x12\xa4\x42"
#define BINDING_REQUEST "\x00\x01"
#define BINDING_SUCCESS "\x01\x01"
#define MAPPED_ADDRESS 0x0001u
#define XOR_MAPPED_ADDRESS 0x0020u
#define FAMILY_V4 1u

void stun_write(struct writer *w, const uint8_t id[STUN_ID])
{
    write_bytes(w, BINDING_REQUEST "\0\0" COOKIE, 8);
    write_bytes(w, id, STUN_ID);
}

static unsigned u16_at(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* RFC 8489 14.1, 14.2: one that is masked counts more, for routers change the other. */
static bool take_attribute(unsigned type, const uint8_t *value, unsigned len,
                           struct address_bytes *address)
{
    bool is_masked = type == XOR_MAPPED_ADDRESS;

    if ((type != MAPPED_ADDRESS && !is_masked) || len != 8 || value[1] != FAMILY_V4)
        return false;
    *address = (struct address_bytes){.is_v6 = false};
    for (unsigned i = 0; i < 4; i++)
        address->at[i] = (uint8_t)(value[4 + i] ^ (is_masked ? (uint8_t)COOKIE[i] : 0));
    return !address_is_unspecified(address);
}

bool stun_read(struct slice packet, const uint8_t id[STUN_ID], struct address_bytes *address)
{
    const uint8_t *at = (const uint8_t *)packet.at;
    bool has_any = false;
    size_t end, next;

    if (packet.len < HEAD || memcmp(at, BINDING_SUCCESS, 2) != 0 ||
        memcmp(at + 4, COOKIE, 4) != 0 || memcmp(at + 8, id, STUN_ID) != 0)
        return false;
    end = HEAD + u16_at(at + 2);
    if (end > packet.len || end % 4)
        return false;
    for (size_t i = HEAD; i + 4 <= end; i = next) {
        struct address_bytes found;
        unsigned type = u16_at(at + i), len = u16_at(at + i + 2);
        next = i + 4 + (len + 3) / 4 * 4;
        if (next > end)
            return false;
        if (!take_attribute(type, at + i + 4, len, &found) ||
            (has_any && type != XOR_MAPPED_ADDRESS))
            continue;
        *address = found;
        has_any = true;
    }
    return has_any;
}
