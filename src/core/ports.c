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

static bool has_any(const uint64_t *set, uint32_t pair, unsigned pairs)
{
    for (unsigned i = 0; i < pairs; i++)
        if (set[(pair + i) / 64] >> (pair + i) % 64 & 1)
            return true;
    return false;
}

void ports_wake(struct ports *ports, instant now)
{
    if (now < ports->turn)
        return;
    memcpy(ports->resting[1], ports->resting[0], sizeof ports->resting[1]);
    memset(ports->resting[0], 0, sizeof ports->resting[0]);
    ports->turn = now + PORT_REST;
}

static bool are_open(const struct ports *ports, uint32_t pair, unsigned pairs, bool may_rest)
{
    if (pair + pairs > ports->open_first + ports->open_count || !are_free(ports, pair, pairs) ||
        has_any(ports->avoided, pair, pairs))
        return false;
    return may_rest ||
           !(has_any(ports->resting[0], pair, pairs) || has_any(ports->resting[1], pair, pairs));
}

/* The first that are open, from a pair on and round; 0 if there are none. */
static uint32_t find_open(const struct ports *ports, uint32_t start, unsigned pairs, bool may_rest)
{
    for (uint32_t i = 0; i < ports->open_count; i++) {
        uint32_t pair = ports->open_first + (start + i) % ports->open_count;
        if (are_open(ports, pair, pairs, may_rest))
            return pair;
    }
    return 0;
}

uint16_t ports_take(struct ports *ports, unsigned pairs, struct random *random)
{
    uint32_t start, pair;

    assert(pairs);
    if (ports->taken + pairs > ports->limit)
        return 0;
    start = (uint32_t)random_below(random, ports->open_count);
    pair = find_open(ports, start, pairs, false);
    if (!pair)
        pair = find_open(ports, start, pairs, true);
    if (pair)
        mark(ports, pair, pairs, true);
    return (uint16_t)(2 * pair);
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
    for (unsigned i = 0; i < pairs; i++)
        ports->resting[0][(port / 2 + i) / 64] |= UINT64_C(1) << (port / 2 + i) % 64;
}

void ports_avoid(struct ports *ports, uint16_t port)
{
    ports->avoided[port / 2 / 64] |= UINT64_C(1) << port / 2 % 64;
}

void ports_retry(struct ports *ports)
{
    memset(ports->avoided, 0, sizeof ports->avoided);
}
