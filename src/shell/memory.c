#include "shell/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MILLION UINT64_C(1000000)
#define STREAMS_LEAST (UINT64_C(8) << 20)
#define GROUP_PATH 4200u /* a path, and what stands before it */

static uint64_t machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(1) << 30;
}

/* What one group may take; none is named there, or it says "max": all. */
static uint64_t group_bytes(const char *root, const char *path, const char *name)
{
    char file[GROUP_PATH + 64];
    uint64_t bytes;
    FILE *from;
    bool has_number;

    snprintf(file, sizeof file, "%s%s/%s", root, path, name);
    from = fopen(file, "re");
    if (!from)
        return UINT64_MAX;
    has_number = fscanf(from, "%" SCNu64, &bytes) == 1;
    fclose(from);
    return has_number ? bytes : UINT64_MAX;
}

/* The least of it and of all above it.  In a container only the top of `path` may be seen. */
static uint64_t branch_bytes(const char *root, char *path, const char *name)
{
    uint64_t least = group_bytes(root, path, name);

    while (*path) {
        *strrchr(path, '/') = '\0';
        least = min_u64(least, group_bytes(root, path, name));
    }
    return least;
}

uint64_t memory_granted(const char *list, const char *root)
{
    FILE *groups = fopen(list, "re");
    uint64_t least = UINT64_MAX;
    char line[GROUP_PATH], first[GROUP_PATH + 16];

    snprintf(first, sizeof first, "%s/memory", root);
    while (groups && fgets(line, sizeof line, groups)) {
        char *path = strchr(line, '/'), *controllers = strchr(line, ':');
        if (!path || !controllers)
            continue;
        path[strcspn(path, "\n")] = '\0';
        if (strncmp(controllers, "::", 2) == 0)
            least = min_u64(least, branch_bytes(root, path, "memory.max"));
        else if (strncmp(controllers, ":memory:", 8) == 0)
            least = min_u64(least, branch_bytes(first, path, "memory.limit_in_bytes"));
    }
    if (groups)
        fclose(groups);
    return least;
}

/* What the core may fill: short of it, what is new is answered 503.  A group's limit is for all
 * that the process holds. */
static uint64_t core_share(uint32_t mebibytes)
{
    uint64_t group = memory_granted("/proc/self/cgroup", "/sys/fs/cgroup");
    uint64_t most = min_u64(machine_bytes(), group - group / 4);

    return mebibytes ? min_u64(most, (uint64_t)mebibytes << 20) : most;
}

/* Of a group's memory as much as is left by the core, and as much again for the kernel's buffers,
 * TLS and the database. */
uint64_t memory_for_streams(uint32_t mebibytes)
{
    return max_u64(core_share(mebibytes) / 6, STREAMS_LEAST);
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

struct limits memory_limits(uint32_t users, uint32_t bindings_asked, uint32_t mebibytes)
{
    uint64_t bytes = core_share(mebibytes);
    uint64_t least = max_u64(1000, bindings_asked);
    struct limits limits = {
        .users = 2 * users + 10000, /* for those who come while we run */
        /* Room for all that each user may have: a lower limit than before loses none of them. */
        .bindings = between(least, BINDINGS_PER_AOR * (uint64_t)users, 4 * MILLION),
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

    limits.nonces = power_of_two(between(least, 10 * (uint64_t)users, 4 * MILLION));
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
