#include "programs/router_portmap.h"

#define RESPONSE 0x80u
#define PCP_HEAD 24u
#define PCP_MAP_BYTES 36u
#define PMP_ADDRESS_BYTES 12u
#define PMP_MAP_BYTES 16u

enum pcp_opcode { PCP_ANNOUNCE, PCP_MAP };
enum pmp_opcode { PMP_ADDRESS, PMP_UDP, PMP_TCP };

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 2.5.5.2 */

static void write_u16_be(struct writer *w, unsigned n)
{
    write_u8(w, (uint8_t)(n >> 8));
    write_u8(w, (uint8_t)n);
}

static void write_u32_be(struct writer *w, uint32_t n)
{
    write_u16_be(w, n >> 16);
    write_u16_be(w, n & 0xffff);
}

static void write_mapped(struct writer *w, const uint8_t *v4)
{
    write_bytes(w, mapped_prefix, sizeof mapped_prefix);
    write_bytes(w, v4, 4);
}

/* RFC 6887 7.1, 11.1 */
static void write_pcp(struct writer *w, const struct portmap_ask *ask)
{
    write_u8(w, PORTMAP_PCP);
    write_u8(w, PCP_MAP);
    write_u16_be(w, 0);
    write_u32_be(w, ask->lifetime);
    write_mapped(w, ask->client);
    write_bytes(w, ask->nonce, PORTMAP_NONCE);
    write_u8(w, ask->protocol);
    write_bytes(w, "\0\0", 3);
    write_u16_be(w, ask->port);
    write_u16_be(w, ask->lifetime ? ask->port : 0);
    write_mapped(w, ask->outside);
}

/* RFC 6886 3.3; to end it, the port outside is 0 (3.4). */
static void write_pmp(struct writer *w, const struct portmap_ask *ask)
{
    write_u8(w, PORTMAP_PMP);
    write_u8(w, ask->protocol == PORTMAP_TCP ? PMP_TCP : PMP_UDP);
    write_u16_be(w, 0);
    write_u16_be(w, ask->port);
    write_u16_be(w, ask->lifetime ? ask->port : 0);
    write_u32_be(w, ask->lifetime);
}

void portmap_write(struct writer *w, enum portmap_version version, const struct portmap_ask *ask)
{
    if (version == PORTMAP_PCP)
        write_pcp(w, ask);
    else
        write_pmp(w, ask);
}

void portmap_write_address(struct writer *w)
{
    write_u8(w, PORTMAP_PMP);
    write_u8(w, PMP_ADDRESS);
}

static uint16_t u16_at(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t u32_at(const uint8_t *at)
{
    return (uint32_t)u16_at(at) << 16 | u16_at(at + 2);
}

static void take_address(struct portmap_answer *answer, const uint8_t *v4)
{
    memcpy(answer->address.at, v4, 4);
    answer->has_address = !address_is_unspecified(&answer->address);
}

/* RFC 6887 7.2, 11.1: one that refuses may lack all behind its head. */
static bool read_pcp(const uint8_t *at, size_t len, struct portmap_answer *answer)
{
    const uint8_t *map = at + PCP_HEAD;

    if (len < PCP_HEAD || len % 4)
        return false;
    answer->result = at[3];
    answer->lifetime = u32_at(at + 4);
    answer->epoch = u32_at(at + 8);
    if ((at[1] & ~RESPONSE) == PCP_ANNOUNCE) {
        answer->kind = PORTMAP_ANNOUNCED;
        return true;
    }
    if ((at[1] & ~RESPONSE) != PCP_MAP || len < PCP_HEAD + PCP_MAP_BYTES)
        return (at[1] & ~RESPONSE) == PCP_MAP && answer->result;
    answer->kind = PORTMAP_MAPPED;
    memcpy(answer->nonce, map, sizeof answer->nonce);
    answer->protocol = map[12];
    answer->port = u16_at(map + 16);
    answer->outside_port = u16_at(map + 18);
    if (memcmp(map + 20, mapped_prefix, sizeof mapped_prefix) == 0)
        take_address(answer, map + 32);
    return true;
}

/* RFC 6886 3.2, 3.3, 3.5: one that refuses may lack all behind its epoch. */
static bool read_pmp(const uint8_t *at, size_t len, struct portmap_answer *answer)
{
    unsigned opcode = at[1] & ~RESPONSE;

    if (len < 8)
        return false;
    answer->result = u16_at(at + 2);
    answer->epoch = u32_at(at + 4);
    if (opcode == PMP_ADDRESS && len >= PMP_ADDRESS_BYTES) {
        answer->kind = PORTMAP_ADDRESS;
        take_address(answer, at + 8);
    } else if ((opcode == PMP_UDP || opcode == PMP_TCP) && len >= PMP_MAP_BYTES) {
        answer->kind = PORTMAP_MAPPED;
        answer->protocol = opcode == PMP_TCP ? PORTMAP_TCP : PORTMAP_UDP;
        answer->port = u16_at(at + 8);
        answer->outside_port = u16_at(at + 10);
        answer->lifetime = u32_at(at + 12);
    }
    return answer->kind != PORTMAP_OTHER || answer->result;
}

bool portmap_read(struct slice packet, struct portmap_answer *answer)
{
    const uint8_t *at = (const uint8_t *)packet.at;

    *answer = (struct portmap_answer){.kind = PORTMAP_OTHER};
    if (packet.len < 4 || packet.len > PORTMAP_PACKET || !(at[1] & RESPONSE))
        return false;
    if (at[0] == PORTMAP_PCP) {
        answer->version = PORTMAP_PCP;
        return read_pcp(at, packet.len, answer);
    }
    answer->version = PORTMAP_PMP;
    return at[0] == PORTMAP_PMP && read_pmp(at, packet.len, answer);
}

const char *portmap_why(enum portmap_version version, unsigned result)
{
    static const char *const pcp[] = {
        [2] = "it forwards for nobody, or not for this machine",
        [7] = "it has no connection of its own",
        [8] = "it has no room for more",
        [10] = "this machine has as many as it may",
        [11] = "another machine has that port",
        [12] = "another router stands between",
    };
    static const char *const pmp[] = {
        [2] = "it forwards for nobody, or not for this machine",
        [3] = "it has no connection of its own",
        [4] = "it has no room for more",
    };
    const char *why = NULL;

    if (version == PORTMAP_PCP && result < COUNT_OF(pcp))
        why = pcp[result];
    else if (version == PORTMAP_PMP && result < COUNT_OF(pmp))
        why = pmp[result];
    return why ? why : "it does not say why";
}

bool portmap_has_restarted(enum portmap_version version, uint32_t before, uint32_t after,
                           uint64_t seconds)
{
    uint64_t told = after - (uint64_t)before;

    if (version == PORTMAP_PMP)
        return after + UINT64_C(2) < before + seconds - seconds / 8;
    if (after + UINT64_C(1) < before)
        return true;
    if (after < before)
        told = 0;
    return seconds + 2 < told - told / 16 || told + 2 < seconds - seconds / 16;
}
