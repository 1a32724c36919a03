#include "shell/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#define MILLION UINT64_C(1000000)

static uint64_t machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(1) << 30;
}

static uint32_t between(uint64_t least, uint64_t n, uint64_t most)
{
    return (uint32_t)min_u64(max_u64(least, n), most);
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t power = 1;

    while (power < n && power < UINT32_C(1) << 31)
        power <<= 1;
    return power;
}

struct limits memory_limits(uint32_t users, uint32_t bindings_asked)
{
    uint64_t bytes = machine_bytes();
    struct limits limits = {
        .users = 2 * users + 10000, /* for those who come while we run */
        .bindings = between(max_u64(1000, bindings_asked), 10 * (uint64_t)users, 4 * MILLION),
        .registered = bindings_asked,
        .transactions = between(10000, bytes / 4 / 1024, 16 * MILLION),
        .contexts = between(4096, bytes / 16 / 1024, 262144),
        .dialogs = between(10000, bytes / 16 / 512, MILLION),
        .accepted = between(1024, bytes / (UINT64_C(256) << 10), 65536),
        .connected = between(256, bytes / (UINT64_C(4) << 20), 4096),
        .lookups = between(512, bytes / 128 / 8192, 16384),
        .anchors = between(1024, bytes / 32 / 6144, 16384),
        .calls = between(10000, bytes / 64 / 256, MILLION),
    };

    limits.nonces = power_of_two(limits.bindings);
    /* Texts may take half of the machine: users, bindings, and the responses of transactions. */
    limits.text = (size_t)max_u64(bytes / 2, UINT64_C(64) << 20);
    return limits;
}

void *memory_take(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    /* Tables are reached at random: fewer TLB misses weigh more than the pages' unused rest. */
    madvise(at, bytes, MADV_HUGEPAGE);
    return at;
}

void memory_give(void *at, size_t bytes)
{
    munmap(at, bytes);
}
