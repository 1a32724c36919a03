#include "core/access.h"

static bool subnet_has(const struct subnet *network, const uint8_t *address)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;

    return memcmp(network->address, address, whole) == 0 &&
           (!rest || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0);
}

const struct subnet *access_find(const struct subnet *networks, unsigned count, bool is_v6,
                                 const uint8_t *address)
{
    for (unsigned i = 0; i < count; i++)
        if (networks[i].is_v6 == is_v6 && subnet_has(&networks[i], address))
            return &networks[i];
    return NULL;
}

unsigned access_of(const struct subnet *networks, unsigned count, bool is_v6,
                   const uint8_t *address)
{
    const struct subnet *network = access_find(networks, count, is_v6, address);

    return network ? network->access : 0;
}
