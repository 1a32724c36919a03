#include "shell/relay_kernel.h"

#include "shell/clock.h"
#include "shell/netaddr.h"
#include "shell/relay_maps.h"
#include "shell/relay_parts.h"

#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct kernel {
    struct relay relay;
    int rules, slots_fd, streams_fd, pulse_fd; /* the last two -1: what is loaded is older */
    unsigned limit;
    struct relay_slot *slots;
    struct leg_stream *streams; /* NULL: as above */
    struct relay_pulse *pulse;  /* the same */
    struct routes *routes;
    uint32_t *free; /* a ring of slots: the one that has been free for longest is taken */
    uint32_t free_at, free_count;
};

static struct kernel *kernel_of(struct relay *relay)
{
    return (struct kernel *)relay;
}

/* ---- the kernel's calls (bpf(2)) */

static int bpf(int command, union bpf_attr *attributes)
{
    long result = syscall(SYS_bpf, command, attributes, sizeof *attributes);

    return result < 0 ? -errno : (int)result;
}

static uint64_t pointer(const void *at)
{
    return (uint64_t)(uintptr_t)at;
}

static int get_pinned(const char *folder, const char *name)
{
    char path[PATH_MAX];
    union bpf_attr attributes = {0};

    snprintf(path, sizeof path, "%s/%s", folder, name);
    attributes.pathname = pointer(path);
    return bpf(BPF_OBJ_GET, &attributes);
}

static int get_info(int fd, struct bpf_map_info *info)
{
    union bpf_attr attributes = {0};

    attributes.info.bpf_fd = (uint32_t)fd;
    attributes.info.info_len = sizeof *info;
    attributes.info.info = pointer(info);
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes);
}

static int map_call(int command, int fd, const struct leg_place *key, void *value, uint64_t flags)
{
    union bpf_attr attributes = {0};

    attributes.map_fd = (uint32_t)fd;
    attributes.key = pointer(key);
    attributes.value = pointer(value);
    attributes.flags = flags;
    return bpf(command, &attributes);
}

static int look_up(const struct kernel *kernel, const struct leg_place *key,
                   struct relay_entry *entry)
{
    int error = map_call(BPF_MAP_LOOKUP_ELEM, kernel->rules, key, entry, 0);

    return !error && entry->slot >= kernel->limit ? -EINVAL : error;
}

/* ---- changes */

static void release(struct kernel *kernel, uint32_t slot)
{
    kernel->slots[slot].is_used = 0;
    kernel->free[(kernel->free_at + kernel->free_count++) % kernel->limit] = slot;
}

/* The way towards the leg's phone: packets go to its target, or where they are from. */
static struct route route_of(struct kernel *kernel, const struct leg_place *key,
                             const struct leg_rule *rule)
{
    bool has_target = rule->target.port[0] || rule->target.port[1];

    return routes_find(kernel->routes, key, has_target ? &rule->target : &rule->allowed);
}

/* A packet that comes in between goes by the new link to a hop that is looked for. */
static void set_route(struct relay_slot *slot, struct route route)
{
    __atomic_store_n(&slot->hop, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->link, route.link, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->hop, route.hop, __ATOMIC_RELEASE);
}

/* Whether another program has the port: the relay would take its packets. */
static int probe(const struct leg_place *key)
{
    union netaddr address = {0};
    bool is_v6 = !relay_is_v4(key);
    int on = 1, error = 0, fd;

    fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (is_v6) {
        address.v6.sin6_family = AF_INET6;
        memcpy(&address.v6.sin6_addr, key->address, 16);
        memcpy(&address.v6.sin6_port, key->port, 2);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    } else {
        address.v4.sin_family = AF_INET;
        memcpy(&address.v4.sin_addr, key->address + 12, 4);
        memcpy(&address.v4.sin_port, key->port, 2);
    }
    if (bind(fd, &address.any, netaddr_length(&address)) < 0)
        error = -errno;
    close(fd);
    return error;
}

static int open_leg(struct kernel *kernel, const struct leg_change *change)
{
    struct relay_entry old, entry = {.rule = change->rule};
    struct route route;
    bool is_there = look_up(kernel, &change->key, &old) == 0;
    int error = is_there ? 0 : probe(&change->key);

    if (error)
        return error;
    if (!kernel->free_count)
        return -ENOSPC;
    entry.slot = kernel->free[kernel->free_at];
    route = route_of(kernel, &change->key, &change->rule);
    kernel->slots[entry.slot] = (struct relay_slot){
        .key = change->key, .link = route.link, .hop = route.hop, .is_used = RELAY_KEEPS_HOPS};
    if (kernel->streams)
        kernel->streams[entry.slot] = (struct leg_stream){0};
    error = map_call(BPF_MAP_UPDATE_ELEM, kernel->rules, &change->key, &entry, BPF_ANY);
    if (error) {
        kernel->slots[entry.slot].is_used = 0;
        return error == -E2BIG ? -ENOSPC : error;
    }
    kernel->free_at = (kernel->free_at + 1) % kernel->limit;
    kernel->free_count--;
    if (is_there)
        release(kernel, old.slot);
    return 0;
}

static int change_leg(struct kernel *kernel, const struct leg_change *change)
{
    struct relay_entry entry;
    struct route route;
    int error = relay_check_change(change);

    if (error)
        return error;
    if (change->kind == LEG_OPEN)
        return open_leg(kernel, change);
    error = look_up(kernel, &change->key, &entry);
    if (error)
        return error;
    if (change->kind == LEG_CLOSE) {
        error = map_call(BPF_MAP_DELETE_ELEM, kernel->rules, &change->key, NULL, 0);
        if (!error)
            release(kernel, entry.slot);
        return error;
    }
    entry.rule = change->rule;
    /* Until the rule is another, no hop is the one for both. */
    route = route_of(kernel, &change->key, &change->rule);
    set_route(&kernel->slots[entry.slot], (struct route){.link = route.link});
    error = map_call(BPF_MAP_UPDATE_ELEM, kernel->rules, &change->key, &entry, BPF_EXIST);
    if (!error)
        set_route(&kernel->slots[entry.slot], route);
    return error;
}

static unsigned apply(struct relay *relay, const struct leg_change *changes, unsigned count,
                      int *errors)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < count; i++) {
        int error = change_leg(kernel_of(relay), &changes[i]);
        failed += error != 0;
        if (errors)
            errors[i] = error;
    }
    return failed;
}

/* ---- reading */

static int read_leg(struct kernel *kernel, const struct leg_place *key, struct relay_leg *leg)
{
    struct relay_entry entry;
    int error = look_up(kernel, key, &entry);

    *leg = (struct relay_leg){.key = *key};
    if (error)
        return error;
    leg->leg = (struct leg){entry.rule, kernel->slots[entry.slot].state};
    if (kernel->streams)
        leg->stream = kernel->streams[entry.slot];
    return 0;
}

static int read_legs(struct relay *relay, const struct leg_place *keys, unsigned count,
                     struct relay_leg *legs)
{
    for (unsigned i = 0; i < count; i++) {
        int error = read_leg(kernel_of(relay), &keys[i], &legs[i]);
        if (error && error != -ENOENT)
            return error;
    }
    return 0;
}

static int list(struct relay *relay, uint32_t *place, struct relay_leg *legs, unsigned room)
{
    struct kernel *kernel = kernel_of(relay);
    unsigned count = 0;

    for (; *place < kernel->limit && count < room; ++*place) {
        const struct relay_slot *slot = &kernel->slots[*place];
        if (slot->is_used && read_leg(kernel, &slot->key, &legs[count]) == 0)
            count++;
    }
    return (int)count;
}

static bool is_same_way(const struct leg_rule *a, const struct leg_rule *b)
{
    return memcmp(&a->target, &b->target, sizeof a->target) == 0 &&
           memcmp(&a->allowed, &b->allowed, sizeof a->allowed) == 0;
}

/* The daemon may change the rule meanwhile, or give the slot to another leg: what it then writes
 * must not be overwritten. */
static void route_slot(struct kernel *kernel, uint32_t number)
{
    struct relay_slot *slot = &kernel->slots[number];
    struct relay_entry entry, after;

    for (unsigned tries = 0; tries < 8; tries++) {
        struct leg_place key = slot->key;
        if (!slot->is_used || look_up(kernel, &key, &entry) != 0 || entry.slot != number)
            return;
        set_route(slot, route_of(kernel, &key, &entry.rule));
        if (memcmp(&slot->key, &key, sizeof key) == 0 && look_up(kernel, &key, &after) == 0 &&
            after.slot == number && is_same_way(&after.rule, &entry.rule))
            return;
    }
}

void relay_kernel_route(struct relay *relay)
{
    struct kernel *kernel = kernel_of(relay);

    for (uint32_t i = 0; i < kernel->limit; i++)
        route_slot(kernel, i);
}

void relay_kernel_vouch(struct relay *relay, instant until)
{
    struct kernel *kernel = kernel_of(relay);

    if (kernel->pulse)
        __atomic_store_n(&kernel->pulse->until, until, __ATOMIC_RELEASE);
}

struct routes *relay_kernel_routes(struct relay *relay)
{
    return kernel_of(relay)->routes;
}

static unsigned limit(const struct relay *relay)
{
    return ((const struct kernel *)relay)->limit;
}

static int descriptor(const struct relay *relay)
{
    (void)relay;
    return -1;
}

static void close_kernel(struct relay *relay)
{
    struct kernel *kernel = kernel_of(relay);

    if (kernel->slots)
        munmap(kernel->slots, kernel->limit * sizeof *kernel->slots);
    if (kernel->streams)
        munmap(kernel->streams, kernel->limit * sizeof *kernel->streams);
    if (kernel->pulse)
        munmap(kernel->pulse, sizeof *kernel->pulse);
    if (kernel->routes)
        routes_close(kernel->routes);
    if (kernel->rules >= 0)
        close(kernel->rules);
    if (kernel->slots_fd >= 0)
        close(kernel->slots_fd);
    if (kernel->streams_fd >= 0)
        close(kernel->streams_fd);
    if (kernel->pulse_fd >= 0)
        close(kernel->pulse_fd);
    free(kernel->free);
    free(kernel);
}

static const struct relay_calls calls = {RELAY_KERNEL, close_kernel, limit, descriptor,
                                         apply,        read_legs,    list};

/* ---- opening */

static void *map_array(int fd, size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* -EPROTO where they are not what this version has. */
static int open_maps(struct kernel *kernel, const char *folder)
{
    struct bpf_map_info rules = {0}, slots = {0};

    kernel->rules = get_pinned(folder, RELAY_MAP_RULES);
    if (kernel->rules < 0)
        return kernel->rules;
    kernel->slots_fd = get_pinned(folder, RELAY_MAP_SLOTS);
    if (kernel->slots_fd < 0)
        return kernel->slots_fd;
    if (get_info(kernel->rules, &rules) < 0 || get_info(kernel->slots_fd, &slots) < 0 ||
        rules.key_size != sizeof(struct leg_place) ||
        rules.value_size != sizeof(struct relay_entry) ||
        slots.value_size != sizeof(struct relay_slot) || slots.max_entries != rules.max_entries)
        return -EPROTO;
    kernel->limit = slots.max_entries;
    kernel->slots = map_array(kernel->slots_fd, kernel->limit * sizeof *kernel->slots);
    return kernel->slots ? 0 : -errno;
}

/* What an older version has loaded has no such map, and relays as well. */
static int open_array(const char *folder, const char *name, unsigned count, size_t size, int *fd,
                      void **at)
{
    struct bpf_map_info info = {0};

    *fd = get_pinned(folder, name);
    if (*fd < 0)
        return *fd == -ENOENT ? 0 : *fd;
    if (get_info(*fd, &info) < 0 || info.value_size != size || info.max_entries != count)
        return -EPROTO;
    *at = map_array(*fd, count * size);
    return *at ? 0 : -errno;
}

static int open_newer_maps(struct kernel *kernel, const char *folder)
{
    void *streams = NULL, *pulse = NULL;
    int error = open_array(folder, RELAY_MAP_STREAMS, kernel->limit, sizeof *kernel->streams,
                           &kernel->streams_fd, &streams);

    if (!error)
        error = open_array(folder, RELAY_MAP_PULSE, 1, sizeof *kernel->pulse, &kernel->pulse_fd,
                           &pulse);
    kernel->streams = streams;
    kernel->pulse = pulse;
    return error;
}

/* Slots that a daemon which was killed had taken, but not opened or closed yet, are free again. */
static int find_free(struct kernel *kernel)
{
    struct relay_entry entry;

    kernel->free = malloc(kernel->limit * sizeof *kernel->free);
    if (!kernel->free)
        return -ENOMEM;
    for (uint32_t i = 0; i < kernel->limit; i++) {
        struct leg_place key = kernel->slots[i].key;
        if (!kernel->slots[i].is_used || look_up(kernel, &key, &entry) != 0 || entry.slot != i)
            release(kernel, i);
    }
    return 0;
}

struct relay *relay_open_kernel(const struct relay_setup *setup, struct writer *words)
{
    const char *folder = setup->pins ? setup->pins : RELAY_PINS;
    struct kernel *kernel = calloc(1, sizeof *kernel);
    int error;

    if (!kernel)
        return NULL;
    *kernel = (struct kernel){
        .relay.calls = &calls, .rules = -1, .slots_fd = -1, .streams_fd = -1, .pulse_fd = -1};
    error = open_maps(kernel, folder);
    if (!error)
        error = open_newer_maps(kernel, folder);
    if (!error && setup->may_start)
        error = find_free(kernel);
    if (!error) {
        kernel->routes = routes_open();
        error = kernel->routes ? 0 : -errno;
    }
    if (!error) {
        relay_say(words, "media is relayed in the kernel (%s)%s", folder,
                  kernel->streams ? ""
                                  : "; it is an older one, which counts no lost packets "
                                    "(sipw-relay load)");
        return &kernel->relay;
    }
    close_kernel(&kernel->relay);
    if (error == -ENOENT)
        relay_say(words, "the kernel's relay is not loaded (sipw-relay load; %s)", folder);
    else if (error == -EPROTO)
        relay_say(words, "the kernel's relay in %s is of another version (sipw-relay load)",
                  folder);
    else
        relay_say(words, "the kernel's relay in %s cannot be used: %s", folder, strerror(-error));
    return NULL;
}
