#include "programs/relay_load.h"

#include "base/hash.h"
#include "shell/clock.h"
#include "shell/notify.h"
#include "shell/relay_kernel.h"
#include "shell/relay_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PRIORITY 5060u /* among a link's filters: those of a lower number see packets before us */
#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"
#define NEEDS "it needs root, or CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN"

/* The program in the kernel, compiled, as the linker puts it here. */
extern const char _binary_relay_bpf_start[], _binary_relay_bpf_end[];

enum { STATUS_FINE, STATUS_FAILED, STATUS_USAGE };

/* One program for links whose packets begin with Ethernet's header, one for those with none. */
static const char *const kinds[] = {"ether", "plain"};

struct loading {
    const struct program *program;
    const struct relay_load *setup;
    const char *pins;
    uint32_t handle; /* of our filter on each link: other instances have others */
    int programs[COUNT_OF(kinds)];
    uint32_t ids[COUNT_OF(kinds)];
    unsigned attached, failed;
};

static struct loading loading_of(const struct program *program, const struct relay_load *setup)
{
    const struct hash_key key = {0, 0};
    struct loading l = {program, setup, setup->pins ? setup->pins : RELAY_PINS,
                        .programs = {-1, -1}};

    l.handle = (uint32_t)hash_bytes(&key, slice_text(l.pins)) | 1;
    return l;
}

/* What libbpf has to say, if it is a fault. */
static int print_fault(enum libbpf_print_level level, const char *format, va_list arguments)
{
    return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static int fail(const struct loading *l, const char *what, int error)
{
    if (error == -EPERM || error == -EACCES)
        complain(l->program, "%s: %s (" NEEDS ")", what, strerror(-error));
    else
        complain(l->program, "%s: %s", what, strerror(-error));
    return STATUS_FAILED;
}

/* The verifier, of which libbpf has shown the log, forbids what needs no right. */
static int fail_to_load(const struct loading *l, int error)
{
    struct utsname kernel;

    if (error != -EACCES || uname(&kernel) < 0)
        return fail(l, "the kernel does not take the relay", error);
    complain(l->program,
             "the verifier of Linux %s does not take the relay; please report what it says above; "
             "until then media goes by a process (sipw-relay serve)",
             kernel.release);
    return STATUS_FAILED;
}

/* ---- the folder */

static void pin_path(const struct loading *l, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", l->pins, name);
}

static bool is_bpf_folder(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/* With those above it; -errno. */
static int make_folder(const char *path)
{
    char part[PATH_MAX];
    const char *slash = path;

    while ((slash = strchr(slash + 1, '/'))) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* The folder of pins, which the owner of the maps may enter.  One that lies in no file system of
 * BPF gets one of its own: that of /sys/fs/bpf is closed to all but root. */
static int prepare_folder(const struct loading *l, const struct passwd *owner)
{
    int error = make_folder(l->pins);

    if (!error && !is_bpf_folder(l->pins) &&
        mount("bpf", l->pins, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
        error = -errno;
    if (!error && (chown(l->pins, owner->pw_uid, owner->pw_gid) < 0 || chmod(l->pins, 0700) < 0))
        error = -errno;
    return error;
}

/* ---- links */

static unsigned kind_of_link(unsigned type)
{
    if (type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK)
        return 0;
    return type == ARPHRD_NONE || type == ARPHRD_PPP || type == ARPHRD_RAWIP ? 1 : COUNT_OF(kinds);
}

struct link {
    int index;
    unsigned type;
    bool has_master; /* its packets come again, by that */
    char name[32];
};

static bool is_named(const struct loading *l, const char *name)
{
    for (unsigned i = 0; i < l->setup->link_count; i++)
        if (strcmp(l->setup->links[i], name) == 0)
            return true;
    return false;
}

/* Those that are named, or else all. */
static bool is_wanted(const struct loading *l, const struct link *link)
{
    if (kind_of_link(link->type) == COUNT_OF(kinds))
        return false;
    return l->setup->link_count ? is_named(l, link->name) : !link->has_master;
}

static struct link read_link(const struct nlmsghdr *head)
{
    const struct ifinfomsg *info = NLMSG_DATA(head);
    struct link link = {.index = info->ifi_index, .type = info->ifi_type};
    size_t len = IFLA_PAYLOAD(head);

    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
        if (a->rta_type == IFLA_MASTER)
            link.has_master = true;
        else if (a->rta_type == IFLA_IFNAME)
            snprintf(link.name, sizeof link.name, "%s", (const char *)RTA_DATA(a));
    }
    return link;
}

typedef void link_action(struct loading *l, const struct link *link);

static bool walk_answer(struct loading *l, const char *bytes, size_t len, link_action *action)
{
    for (const struct nlmsghdr *head = (const struct nlmsghdr *)bytes; NLMSG_OK(head, len);
         head = NLMSG_NEXT(head, len)) {
        struct link link;
        if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
            return false;
        link = read_link(head);
        if (head->nlmsg_type == RTM_NEWLINK && is_wanted(l, &link))
            action(l, &link);
    }
    return true;
}

/* Each link that is wanted. */
static int walk_links(struct loading *l, link_action *action)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
    } question = {{.nlmsg_len = sizeof question,
                   .nlmsg_type = RTM_GETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                  {0}};
    static _Alignas(8) char bytes[65536];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error = 0;
    ssize_t len;

    if (fd < 0 || send(fd, &question, sizeof question, 0) < 0)
        error = -errno;
    while (!error) {
        len = recv(fd, bytes, sizeof bytes, 0);
        if (len < 0)
            error = -errno;
        else if (!walk_answer(l, bytes, (size_t)len, action))
            break;
    }
    if (fd >= 0)
        close(fd);
    return error;
}

static struct bpf_tc_hook hook_of(const struct link *link)
{
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook), .ifindex = link->index, .attach_point = BPF_TC_INGRESS};
}

/* Also where it is attached already. */
static void attach(struct loading *l, const struct link *link)
{
    unsigned kind = kind_of_link(link->type);
    struct bpf_tc_hook hook = hook_of(link);
    struct bpf_tc_opts has = {.sz = sizeof has, .handle = l->handle, .priority = PRIORITY};
    struct bpf_tc_opts opts = {.sz = sizeof opts,
                               .prog_fd = l->programs[kind],
                               .flags = BPF_TC_F_REPLACE,
                               .handle = l->handle,
                               .priority = PRIORITY};
    int error;

    libbpf_set_print(NULL); /* it complains of a hook that is there, and of a filter that is not */
    if (bpf_tc_query(&hook, &has) == 0 && has.prog_id == l->ids[kind]) {
        l->attached++;
        return;
    }
    error = bpf_tc_hook_create(&hook);
    if (!error || error == -EEXIST)
        error = bpf_tc_attach(&hook, &opts);
    if (error == -ENODEV)
        return; /* it has just gone */
    if (error) {
        l->failed++;
        fail(l, link->name, error);
        return;
    }
    l->attached++;
    printf("attached to %s\n", link->name);
}

static void detach(struct loading *l, const struct link *link)
{
    struct bpf_tc_hook hook = hook_of(link);
    struct bpf_tc_opts opts = {.sz = sizeof opts, .handle = l->handle, .priority = PRIORITY};

    libbpf_set_print(NULL);
    if (bpf_tc_detach(&hook, &opts) == 0)
        printf("detached from %s\n", link->name);
}

/* ---- loading */

/* As many legs as the maps have that are there: calls go on. */
static unsigned count_legs(const struct loading *l)
{
    char path[PATH_MAX];
    struct bpf_map_info info = {0};
    __u32 len = sizeof info;
    int fd;

    pin_path(l, RELAY_MAP_RULES, path);
    fd = bpf_obj_get(path);
    if (fd < 0)
        return l->setup->legs;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
        info.max_entries = l->setup->legs;
    close(fd);
    return info.max_entries;
}

static int prepare_map(const struct loading *l, struct bpf_object *object, const char *name,
                       unsigned legs)
{
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    char path[PATH_MAX];
    int error;

    pin_path(l, name, path);
    if (!map)
        return -ENOENT;
    error = bpf_map__set_max_entries(map, legs);
    return error ? error : bpf_map__set_pin_path(map, path);
}

/* Under its name, in the place of an older one. */
static int pin_program(struct loading *l, struct bpf_object *object, unsigned kind)
{
    struct bpf_program *program = bpf_object__find_program_by_name(object, kinds[kind]);
    char path[PATH_MAX], new[PATH_MAX];

    if (!program)
        return -ENOENT;
    pin_path(l, kinds[kind], path);
    pin_path(l, "new", new);
    unlink(new);
    if (bpf_obj_pin(bpf_program__fd(program), new) < 0 || rename(new, path) < 0)
        return -errno;
    return 0;
}

/* Only the owner may write the maps; the programs stay root's. */
static int give_maps(const struct loading *l, const struct passwd *owner)
{
    static const char *const names[] = {RELAY_MAP_RULES, RELAY_MAP_SLOTS, RELAY_MAP_STREAMS,
                                        RELAY_MAP_PULSE};
    char path[PATH_MAX];

    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        pin_path(l, names[i], path);
        if (chmod(path, 0600) < 0 || chown(path, owner->pw_uid, owner->pw_gid) < 0)
            return -errno;
    }
    return 0;
}

static int load_object(struct loading *l, const struct passwd *owner)
{
    struct bpf_object_open_opts opts = {.sz = sizeof opts, .object_name = "sipw_relay"};
    struct bpf_object *object;
    unsigned legs = count_legs(l);
    int error;

    libbpf_set_print(print_fault);
    object = bpf_object__open_mem(_binary_relay_bpf_start,
                                  (size_t)(_binary_relay_bpf_end - _binary_relay_bpf_start), &opts);
    if (!object)
        return -errno;
    error = prepare_map(l, object, RELAY_MAP_RULES, legs);
    if (!error)
        error = prepare_map(l, object, RELAY_MAP_SLOTS, legs);
    if (!error)
        error = prepare_map(l, object, RELAY_MAP_STREAMS, legs);
    if (!error)
        error = prepare_map(l, object, RELAY_MAP_PULSE, 1);
    if (!error)
        error = bpf_object__load(object);
    for (unsigned kind = 0; kind < COUNT_OF(kinds) && !error; kind++)
        error = pin_program(l, object, kind);
    if (!error)
        error = give_maps(l, owner);
    bpf_object__close(object);
    return error;
}

static int open_programs(struct loading *l)
{
    char path[PATH_MAX];

    for (unsigned kind = 0; kind < COUNT_OF(kinds); kind++) {
        struct bpf_prog_info info = {0};
        __u32 len = sizeof info;

        pin_path(l, kinds[kind], path);
        l->programs[kind] = bpf_obj_get(path);
        if (l->programs[kind] < 0 || bpf_obj_get_info_by_fd(l->programs[kind], &info, &len) < 0)
            return -errno;
        l->ids[kind] = info.id;
    }
    return 0;
}

/* Its ports are nobody's by chance: the kernel gives programs that ask for any port another. */
static int reserve_ports(const struct relay_load *setup)
{
    FILE *file = fopen(RESERVED, "r+e");
    char ports[4096] = "";
    int error = 0;

    if (!file)
        return -errno;
    if (!fgets(ports, sizeof ports, file))
        ports[0] = '\0';
    ports[strcspn(ports, "\n")] = '\0';
    rewind(file);
    fprintf(file, "%s%s%u-%u\n", ports, ports[0] ? "," : "", setup->first_port, setup->last_port);
    if (fflush(file) != 0)
        error = -errno;
    fclose(file);
    return error;
}

static const struct passwd *find_owner(const struct loading *l)
{
    const char *name = l->setup->user;
    const struct passwd *owner = name ? getpwnam(name) : getpwuid(getuid());

    if (!owner)
        complain(l->program, "there is no user %s", name ? name : "of this number");
    return owner;
}

int relay_load(const struct program *program, const struct relay_load *setup)
{
    struct loading l = loading_of(program, setup);
    const struct passwd *owner = find_owner(&l);
    int error;

    if (!owner)
        return STATUS_USAGE;
    error = prepare_folder(&l, owner);
    if (error)
        return fail(&l, l.pins, error);
    error = load_object(&l, owner);
    if (error)
        return fail_to_load(&l, error);
    error = open_programs(&l);
    if (!error)
        error = walk_links(&l, attach);
    if (error)
        return fail(&l, "the relay cannot be attached", error);
    if (setup->first_port && (error = reserve_ports(setup)) < 0)
        return fail(&l, RESERVED, error);
    if (l.attached == 0) {
        complain(program, "there is no link that it could be attached to");
        return STATUS_FAILED;
    }
    return l.failed ? STATUS_FAILED : STATUS_FINE;
}

/* ---- watching */

/* After a change it looks twice: the daemon may just have written a leg with what was before. */
#define PULSE 4000          /* ms between signs of life, */
#define VOUCHED SECONDS(12) /* which last so long */

int relay_watch(const struct program *program, const struct relay_load *setup)
{
    struct loading l = loading_of(program, setup);
    char text[1024];
    struct writer words = writer_over(text, sizeof text);
    struct relay_setup opening = {RELAY_KERNEL, l.pins, -1, NULL, false};
    struct relay *relay = relay_open(&opening, &words);
    struct pollfd change = {.events = POLLIN};
    int error;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!relay) {
        complain(program, "%.*s", (int)words.len, words.at);
        return STATUS_FAILED;
    }
    error = open_programs(&l);
    if (error)
        return fail(&l, "the relay's program", error);
    change.fd = routes_descriptor(relay_kernel_routes(relay));
    for (bool is_first = true, is_due = true, was_missed = false;; is_first = false) {
        bool has_changed = routes_have_changed(relay_kernel_routes(relay)) || was_missed;
        error = is_due || has_changed ? walk_links(&l, attach) : 0;
        if (error)
            return fail(&l, "the machine's links", error);
        if (is_due || has_changed)
            relay_kernel_route(relay);
        is_due = has_changed;
        was_missed = routes_have_changed(relay_kernel_routes(relay)); /* while it looked */
        relay_kernel_vouch(relay, clock_now().boot + VOUCHED);
        if (is_first)
            notify_manager("READY=1");
        while (poll(&change, 1, was_missed ? 0 : PULSE) < 0 && errno == EINTR)
            continue;
    }
}

/* ---- unloading */

int relay_unload(const struct program *program, const struct relay_load *setup)
{
    static const char *const names[] = {RELAY_MAP_RULES, RELAY_MAP_SLOTS, RELAY_MAP_STREAMS,
                                        RELAY_MAP_PULSE, "ether",         "plain"};
    struct loading l = loading_of(program, setup);
    char path[PATH_MAX];
    int error;

    if (!is_bpf_folder(l.pins)) {
        complain(program, "nothing is loaded in %s", l.pins);
        return STATUS_FAILED;
    }
    error = walk_links(&l, detach);
    if (error)
        return fail(&l, "the machine's links", error);
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        pin_path(&l, names[i], path);
        if (unlink(path) < 0 && errno != ENOENT)
            return fail(&l, path, -errno);
    }
    snprintf(path, sizeof path, "%s/..", l.pins);
    if (!is_bpf_folder(path) && umount2(l.pins, MNT_DETACH) < 0)
        return fail(&l, l.pins, -errno);
    if (rmdir(l.pins) < 0)
        return fail(&l, l.pins, -errno);
    return STATUS_FINE;
}
