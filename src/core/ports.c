#include "core/ports.h"

void ports_init(struct ports *ports, uint16_t first_port, uint16_t last_port, uint32_t limit)
{
    uint32_t first = (first_port + 1u) / 2, past = (last_port + 1u) / 2;

    *ports = (struct ports){.first = first, .count = past > first ? past - first : 0};
    if (!first && ports->count) { /* port 0 is none */
        ports->first++;
        ports->count--;
    }
    ports_bound(ports, limit);
    ports_narrow(ports, 0, 0);
}

void ports_bound(struct ports *ports, uint32_t limit)
{
    ports->limit = (uint32_t)min_u64(limit, ports->count);
}

void ports_narrow(struct ports *ports, uint16_t first_port, uint16_t last_port)
{
    uint32_t end = ports->first + ports->count;
    uint32_t first = (uint32_t)max_u64((first_port + 1u) / 2, ports->first);
    uint32_t past = (uint32_t)min_u64((last_port + 1u) / 2, end);
    bool is_all = !first_port || first >= past;

    ports->open_first = is_all ? ports->first : first;
    ports->open_count = is_all ? ports->count : past - first;
}

static bool is_used(const struct ports *ports, uint32_t pair)
{
    return ports->used[pair / 64] >> pair % 64 & 1;
}

static void mark(struct ports *ports, uint32_t pair, unsigned pairs, bool is_taken)
{
    for (unsigned i = 0; i < pairs; i++) {
        uint64_t bit = UINT64_C(1) << (pair + i) % 64;
        assert(is_used(ports, pair + i) != is_taken);
        ports->used[(pair + i) / 64] ^= bit;
    }
    if (is_taken)
        ports->taken += pairs;
    else
        ports->taken -= pairs;
}

static bool is_in_range(const struct ports *ports, uint32_t pair, unsigned pairs)
{
    return pair >= ports->first && pair + pairs <= ports->first + ports->count;
}

static bool are_free(const struct ports *ports, uint32_t pair, unsigned pairs)
{
    if (!is_in_range(ports, pair, pairs))
        return false;
    for (unsigned i = 0; i < pairs; i++)
        if (is_used(ports, pair + i))
            return false;
    return true;
}

static bool are_avoided(const struct ports *ports, uint32_t pair, unsigned pairs)
{
    for (unsigned i = 0; i < pairs; i++)
        if (ports->avoided[(pair + i) / 64] >> (pair + i) % 64 & 1)
            return true;
    return false;
}

uint16_t ports_take(struct ports *ports, unsigned pairs, struct random *random)
{
    uint32_t start;

    assert(pairs);
    if (ports->taken + pairs > ports->limit)
        return 0;
    start = (uint32_t)random_below(random, ports->open_count);
    for (uint32_t i = 0; i < ports->open_count; i++) {
        uint32_t pair = ports->open_first + (start + i) % ports->open_count;
        if (pair + pairs > ports->open_first + ports->open_count || !are_free(ports, pair, pairs) ||
            are_avoided(ports, pair, pairs))
            continue;
        mark(ports, pair, pairs, true);
        return (uint16_t)(2 * pair);
    }
    return 0;
}

bool ports_claim(struct ports *ports, uint16_t port, unsigned pairs)
{
    if (port % 2 || !pairs || !are_free(ports, port / 2, pairs))
        return false;
    mark(ports, port / 2, pairs, true);
    return true;
}

bool ports_have(const struct ports *ports, uint16_t port, unsigned pairs)
{
    return port % 2 == 0 && pairs && is_in_range(ports, port / 2, pairs);
}

void ports_give(struct ports *ports, uint16_t port, unsigned pairs)
{
    assert(port % 2 == 0 && is_in_range(ports, port / 2, pairs));
    mark(ports, port / 2, pairs, false);
}

void ports_avoid(struct ports *ports, uint16_t port)
{
    ports->avoided[port / 2 / 64] |= UINT64_C(1) << port / 2 % 64;
}

void ports_retry(struct ports *ports)
{
    memset(ports->avoided, 0, sizeof ports->avoided);
}
