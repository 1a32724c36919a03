#include "shell/dns_open.h"

#include "shell/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PROBE_PATIENCE 4000 /* ms: a resolver that takes longer for what everybody asks is none */
#define TYPE_DNSKEY 48
#define CLASS_IN 1
#define FILE_LONGEST 65536u /* of resolv.conf and of anchors: more is none of those */

/* What Debian, Fedora and others have; the first that can be read. */
static const char *const root_anchors[] = {
    "/usr/share/dns/root.key",
    "/var/lib/unbound/root.key",
    "/etc/unbound/root.key",
    "/etc/trusted-key.key",
};

/* Names for private use, which the root proves not to be there: whoever is asked may have them all
 * the same (RFC 6761 6.2, RFC 8375, and ICANN's resolution 2024.07.29.06). */
static const char *const private_names[] = {"test.", "internal.", "home.arpa."};

struct dns_opening {
    pthread_t thread;
    struct dns_plan plan;
    int done;  /* eventfd: `opened` may be taken */
    int leave; /* eventfd: `retired` is to be ended, or it is given up */
    struct ub_ctx *retired;
    bool is_taken;
    struct dns_opened opened;
};

const char *dns_resolv_path(const struct dns_plan *plan)
{
    return plan->resolv[0] ? plan->resolv : "/etc/resolv.conf";
}

const char *dns_hosts_path(const struct dns_plan *plan)
{
    return plan->hosts[0] ? plan->hosts : "/etc/hosts";
}

struct timespec dns_file_time(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 ? found.st_mtim : (struct timespec){0};
}

/* ---- whom to ask */

static bool is_between(char c)
{
    return slice_is_space(c) || c == ',' || c == ';';
}

/* The next word of a list; empty at its end. */
static struct slice next_word(struct slice *rest)
{
    size_t start = 0, end;

    while (start < rest->len && is_between(rest->at[start]))
        start++;
    for (end = start; end < rest->len && !is_between(rest->at[end]);)
        end++;
    struct slice word = slice_of(rest->at + start, end - start);
    *rest = slice_from(*rest, end);
    return word;
}

static void add_server(struct dns_opened *opened, struct slice word, unsigned *count)
{
    char text[80];
    size_t len = strlen(opened->servers);

    if (!word.len || word.len >= sizeof text || *count == DNS_SERVERS)
        return;
    snprintf(text, sizeof text, "%.*s", (int)word.len, word.at);
    if (ub_ctx_set_fwd(opened->ctx, text) != 0)
        return;
    snprintf(opened->servers + len, sizeof opened->servers - len, "%s%s", len ? ", " : "", text);
    (*count)++;
}

static void add_servers(struct dns_opened *opened, struct slice list, unsigned *count)
{
    struct slice word;

    while ((word = next_word(&list)).len)
        add_server(opened, word, count);
}

static struct slice read_file(const char *path)
{
    struct slice bytes;

    return file_read(AT_FDCWD, path, FILE_LONGEST, &bytes) == 0 ? bytes : NO_SLICE;
}

static void free_file(struct slice bytes)
{
    free((void *)(uintptr_t)bytes.at);
}

static struct slice next_line(struct slice *rest)
{
    struct slice line = slice_until(*rest, slice_find(*rest, '\n'));

    *rest = slice_from(*rest, line.len + (line.len < rest->len));
    return line;
}

/* Lines "nameserver ADDRESS" (resolv.conf(5)). */
static void add_resolv(struct dns_opened *opened, const char *path, unsigned *count)
{
    struct slice file = read_file(path), rest = file;

    while (rest.len) {
        struct slice line = next_line(&rest);
        if (slice_equal(next_word(&line), S("nameserver")))
            add_server(opened, next_word(&line), count);
    }
    free_file(file);
}

/* Nobody is named: then the root's servers and those below are asked, as resolvers do. */
static void set_servers(struct dns_opened *opened, const struct dns_plan *plan)
{
    unsigned count = 0;

    opened->servers[0] = '\0';
    if (plan->servers[0])
        add_servers(opened, slice_text(plan->servers), &count);
    else
        add_resolv(opened, dns_resolv_path(plan), &count);
    if (!count)
        snprintf(opened->servers, sizeof opened->servers, "the root's servers");
}

/* ---- what is true */

static const char *find_anchors(const struct dns_plan *plan)
{
    if (plan->anchors[0])
        return plan->anchors;
    for (unsigned i = 0; i < COUNT_OF(root_anchors); i++)
        if (access(root_anchors[i], R_OK) == 0)
            return root_anchors[i];
    return NULL;
}

/* The name that the first record of the file is of. */
static bool anchor_name(const char *path, char name[DNS_NAME + 2])
{
    struct slice file = read_file(path), rest = file, word = NO_SLICE;

    while (rest.len && !word.len) {
        struct slice line = next_line(&rest);
        if (line.len && line.at[0] != ';')
            word = next_word(&line);
    }
    bool is_found = word.len && word.len < DNS_NAME + 2;
    if (is_found)
        snprintf(name, DNS_NAME + 2, "%.*s", (int)word.len, word.at);
    free_file(file);
    return is_found;
}

/* ---- making one */

static bool fail(struct dns_opened *opened, const char *what, const char *why)
{
    snprintf(opened->why, sizeof opened->why, "%s: %s", what, why);
    if (opened->ctx)
        ub_ctx_delete(opened->ctx);
    opened->ctx = NULL;
    return false;
}

static bool set_options(struct dns_opened *opened)
{
    static const char *const options[][2] = {
        {"outgoing-range:", "64"},           /* sockets */
        {"outgoing-num-tcp:", "8"},          /* for answers that are too long for a datagram */
        {"num-queries-per-thread:", "1024"}, /* those that our questions lead to, too */
        {"cache-max-negative-ttl:", "300"},  /* a domain that was just set up is soon found */
        {"infra-host-ttl:", "60"},           /* and so is a server that was down */
        {"infra-keep-probing:", "yes"},
    };

    for (unsigned i = 0; i < COUNT_OF(options); i++) {
        int error = ub_ctx_set_option(opened->ctx, options[i][0], options[i][1]);
        if (error)
            return fail(opened, options[i][0], ub_strerror(error));
    }
    return true;
}

/* libunbound answers for these itself, that there is nothing, unless it is told not to. */
static bool open_private_names(struct dns_opened *opened, bool are_insecure)
{
    char zone[32];
    int error = 0;

    for (unsigned i = 0; !error && i < COUNT_OF(private_names); i++) {
        snprintf(zone, sizeof zone, "%s transparent", private_names[i]);
        error = ub_ctx_set_option(opened->ctx, "local-zone:", zone);
        if (!error && are_insecure)
            error = ub_ctx_set_option(opened->ctx, "domain-insecure:", private_names[i]);
    }
    return !error || fail(opened, "names for private use", ub_strerror(error));
}

static bool make(struct dns_opened *opened, const struct dns_plan *plan, const char *anchors)
{
    const char *hosts = dns_hosts_path(plan);

    opened->ctx = ub_ctx_create();
    if (!opened->ctx)
        return fail(opened, "libunbound", "no memory");
    ub_ctx_debugout(opened->ctx, NULL);
    ub_ctx_async(opened->ctx, 1);
    if (!set_options(opened) || !open_private_names(opened, anchors && !plan->anchors[0]))
        return false;
    set_servers(opened, plan);
    opened->hosts_time = dns_file_time(hosts);
    opened->resolv_time = dns_file_time(dns_resolv_path(plan));
    if (access(hosts, R_OK) == 0)
        ub_ctx_hosts(opened->ctx, hosts); /* up to a line that it cannot read */
    int error = anchors ? ub_ctx_add_ta_file(opened->ctx, anchors) : 0;
    return !error || fail(opened, anchors, ub_strerror(error));
}

/* ---- whether signatures come through */

struct probe {
    bool is_answered;
    struct ub_result *result;
};

static void probed(void *self, int error, struct ub_result *result)
{
    struct probe *probe = self;

    probe->is_answered = true;
    probe->result = error ? NULL : result;
}

/* Until it is answered, nobody will wait any longer, or the server ends. */
static void wait_for(struct dns_opening *opening, struct probe *probe)
{
    struct pollfd waits[] = {
        {.fd = ub_fd(opening->opened.ctx), .events = POLLIN},
        {.fd = opening->leave, .events = POLLIN},
    };

    while (!probe->is_answered && poll(waits, 2, PROBE_PATIENCE) > 0 && !waits[1].revents)
        if (ub_process(opening->opened.ctx) != 0)
            return;
}

static enum dns_trust judge(struct dns_opened *opened, const struct ub_result *result)
{
    if (!result || (!result->secure && !result->bogus && result->rcode != 0))
        return DNS_UNTOLD;
    if (result->secure)
        return DNS_VALIDATED;
    snprintf(opened->why, sizeof opened->why, "%s",
             result->why_bogus ? result->why_bogus : "it is not signed");
    return DNS_STRIPPED;
}

static enum dns_trust probe(struct dns_opening *opening, const char *name)
{
    struct probe probe = {0};
    int id;

    if (ub_resolve_async(opening->opened.ctx, name, TYPE_DNSKEY, CLASS_IN, &probe, probed, &id))
        return DNS_UNTOLD;
    wait_for(opening, &probe);
    if (!probe.is_answered)
        ub_cancel(opening->opened.ctx, id);
    enum dns_trust trust = judge(&opening->opened, probe.result);
    if (probe.result)
        ub_resolve_free(probe.result);
    return trust;
}

static void open_one(struct dns_opening *opening)
{
    struct dns_opened *opened = &opening->opened;
    const char *anchors = find_anchors(&opening->plan);
    char name[DNS_NAME + 2];

    if (anchors && !anchor_name(anchors, name)) {
        fail(opened, anchors, "no DNSKEY or DS records can be read from it");
        return;
    }
    if (!make(opened, &opening->plan, anchors))
        return;
    opened->trust = anchors ? probe(opening, name) : DNS_UNANCHORED;
    if (opened->trust != DNS_STRIPPED)
        return;
    ub_ctx_delete(opened->ctx);
    make(opened, &opening->plan, NULL);
}

/* ---- the thread */

static void *run(void *self)
{
    struct dns_opening *opening = self;
    uint64_t one = 1;

    open_one(opening);
    while (write(opening->done, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    while (read(opening->leave, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    if (opening->retired)
        ub_ctx_delete(opening->retired);
    return NULL;
}

static void give_back(struct dns_opening *opening)
{
    if (opening->done >= 0)
        close(opening->done);
    if (opening->leave >= 0)
        close(opening->leave);
    free(opening);
}

struct dns_opening *dns_opening_begin(const struct dns_plan *plan)
{
    struct dns_opening *opening = calloc(1, sizeof *opening);

    if (!opening)
        return NULL;
    opening->plan = *plan;
    opening->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    opening->leave = eventfd(0, EFD_CLOEXEC);
    if (opening->done >= 0 && opening->leave >= 0 &&
        pthread_create(&opening->thread, NULL, run, opening) == 0)
        return opening;
    give_back(opening);
    return NULL;
}

int dns_opening_descriptor(const struct dns_opening *opening)
{
    return opening->done;
}

void dns_opening_take(struct dns_opening *opening, struct dns_opened *opened)
{
    *opened = opening->opened;
    opening->is_taken = true;
}

static void let_go(struct dns_opening *opening)
{
    uint64_t one = 1;

    while (write(opening->leave, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void dns_opening_retire(struct dns_opening *opening, struct ub_ctx *ctx)
{
    assert(opening->is_taken && !opening->retired);
    opening->retired = ctx;
    let_go(opening);
}

void dns_opening_end(struct dns_opening *opening)
{
    let_go(opening);
    pthread_join(opening->thread, NULL);
    if (!opening->is_taken && opening->opened.ctx)
        ub_ctx_delete(opening->opened.ctx);
    give_back(opening);
}
