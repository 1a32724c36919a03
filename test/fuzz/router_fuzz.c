/* What comes from a router, or in its name: answers of PCP, NAT-PMP and STUN are read within their
 * bytes, and what counts of them is whole. */
#include "fuzz.h"

#include "programs/router_portmap.h"
#include "programs/router_stun.h"

static void check_portmap(struct slice packet)
{
    struct portmap_answer answer;

    if (!portmap_read(packet, &answer))
        return;
    assert(packet.len >= 4 && packet.len <= PORTMAP_PACKET);
    assert(answer.version == PORTMAP_PCP || answer.version == PORTMAP_PMP);
    assert(!answer.has_address || !address_is_unspecified(&answer.address));
    assert(answer.kind == PORTMAP_MAPPED || (!answer.port && !answer.lifetime) || answer.result ||
           answer.kind == PORTMAP_ANNOUNCED);
    assert(portmap_why(answer.version, answer.result)[0]);
}

/* Whatever its id is, it is the one that was asked for. */
static void check_stun(struct slice packet)
{
    struct address_bytes address = {.is_v6 = true};
    uint8_t id[STUN_ID] = {0};

    if (packet.len >= 20)
        memcpy(id, packet.at + 8, sizeof id);
    if (stun_read(packet, id, &address))
        assert(!address.is_v6 && !address_is_unspecified(&address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice packet = fuzz_input(data, size);

    check_portmap(packet);
    check_stun(packet);
    return 0;
}
