#include "core/oddity.h"

#include <string.h>

static struct address_bytes unmapped(struct address_bytes address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (!address.is_v6 || memcmp(address.at, mapped, sizeof mapped) != 0)
        return address;
    return (struct address_bytes){
        .at = {address.at[12], address.at[13], address.at[14], address.at[15]},
    };
}

struct address_bytes flow_address(const struct flow *flow)
{
    struct address_bytes address = {.is_v6 = flow->is_v6};

    memcpy(address.at, flow->address, sizeof address.at);
    return unmapped(address);
}

bool address_is_loopback(const struct address_bytes *address)
{
    static const uint8_t one[16] = {[15] = 1};
    struct address_bytes plain = unmapped(*address);

    return plain.is_v6 ? memcmp(plain.at, one, sizeof one) == 0 : plain.at[0] == 127;
}

bool address_is_many(const struct address_bytes *address)
{
    static const uint8_t none[16] = {0};
    struct address_bytes plain = unmapped(*address);

    if (plain.is_v6)
        return plain.at[0] == 0xff || memcmp(plain.at, none, sizeof none) == 0;
    return plain.at[0] == 0 || plain.at[0] >= 224; /* RFC 1122 3.2.1.3; 240/4 is nobody's */
}

static enum seclusion seclusion_v4(const uint8_t *at)
{
    if (at[0] == 10 || (at[0] == 172 && at[1] >> 4 == 1) || (at[0] == 192 && at[1] == 168) ||
        (at[0] == 100 && at[1] >> 6 == 1))
        return SECLUSION_PRIVATE;
    return at[0] == 169 && at[1] == 254 ? SECLUSION_LINK : SECLUSION_NONE;
}

static enum seclusion seclusion_v6(const uint8_t *at)
{
    if (at[0] >> 1 == 0xfc >> 1)
        return SECLUSION_PRIVATE;
    return at[0] == 0xfe && at[1] >> 6 >= 2 ? SECLUSION_LINK : SECLUSION_NONE; /* fec0 was site's */
}

enum seclusion address_seclusion(const struct address_bytes *address)
{
    struct address_bytes plain = unmapped(*address);

    if (address_is_loopback(&plain))
        return SECLUSION_LOOPBACK;
    return plain.is_v6 ? seclusion_v6(plain.at) : seclusion_v4(plain.at);
}

/* How much of an address is that of another: bits from the front. */
static unsigned common_bits(const struct address_bytes *a, const struct address_bytes *b)
{
    unsigned at = 0;

    while (at < sizeof a->at && a->at[at] == b->at[at])
        at++;
    if (at == sizeof a->at)
        return 8 * at;
    return 8 * at + (unsigned)__builtin_clz((unsigned)(a->at[at] ^ b->at[at])) - 24;
}

unsigned address_fitness(const struct address_bytes *ours, const struct address_bytes *peer)
{
    enum seclusion at = address_seclusion(ours), there = address_seclusion(peer);

    if (at >= SECLUSION_LINK && at != there)
        return ADDRESS_UNFIT;
    return ADDRESS_UNFIT + 1 + common_bits(ours, peer) +
           (at == there ? 8 * (unsigned)sizeof ours->at : 0);
}
