/*
 * sipw: the SIP domain server.  Puts its parts together in the order of their needs, and runs them.
 *
 * Exit status: 0 stopped, or checked and fine; 1 usage, or an address cannot be listened on; 2 the
 * configuration is at fault; 3 the state directory cannot be used.
 */
#include "shell/clock.h"
#include "shell/control.h"
#include "shell/digests.h"
#include "shell/es256.h"
#include "shell/keeper.h"
#include "shell/load.h"
#include "shell/loop.h"
#include "shell/memory.h"
#include "shell/notify.h"
#include "shell/place.h"
#include "shell/state.h"
#include "shell/stream.h"
#include "shell/users.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "3.0.0"
#endif

enum status { STATUS_FINE, STATUS_USAGE, STATUS_CONFIG, STATUS_STATE };

/* ---- options */

enum option_code {
    OPTION_PUBLIC = 256,
    OPTION_CONFIGPATH,
    OPTION_PREFIXPATH,
    OPTION_CACHEPATH,
    OPTION_SYSTEM,
    OPTION_CHECK,
    OPTION_VERSION,
    OPTION_HELP,
};

struct option_row {
    int code; /* the letter, if it has one */
    const char *name;
    const char *value;   /* NULL = it takes none */
    const char *meaning; /* NULL = GNU SIP Witch's, accepted, without effect */
};

/* clang-format off */
static const struct option_row rows[] = {
    {'f', "foreground", NULL, "stay in the foreground (the default)"},
    {'b', "background", NULL, "go to the background once ready"},
    {'A', "address", "ADDRESS", "listen on this address; * is all of the machine's"},
    {'P', "port", "PORT", "listen on this port (default: 5060)"},
    {OPTION_PUBLIC, "public", NULL, "let callers of other domains reach our users"},
    {OPTION_CONFIGPATH, "configpath", "FILE", "read the configuration from here"},
    {OPTION_PREFIXPATH, "prefixpath", "DIR", "keep all state here"},
    {OPTION_CACHEPATH, "cachepath", "DIR", "read generated parts of the configuration from here"},
    {'n', "no-localusers", NULL, "do not take the system's accounts for users"},
    {OPTION_SYSTEM, "system", NULL,
     "with --configpath: read /etc/siprealm and the accounts all the same"},
    {'t', "trace", NULL, "keep SIP messages from the start on, for sipwitch trace show"},
    {OPTION_CHECK, "check", NULL, "read the configuration, say what is wrong, and stop"},
    {'D', "dump-config", NULL, "print the paths in use, and stop"},
    {OPTION_VERSION, "version", NULL, "print the version, and stop"},
    {OPTION_HELP, "help", NULL, "print this, and stop"},
    {'d', "daemon", NULL, NULL},
    {'c', "concurrency", "N", NULL},
    {'L', "logging", "LEVEL", NULL},
    {'l', "plugins", "NAMES", NULL},
    {'p', "priority", NULL, NULL},
    {'r', "restartable", NULL, NULL},
    {'S', "service", NULL, NULL},
    {'v', "verbose", NULL, NULL},
    {'x', "debug", "N", NULL},
};
/* clang-format on */

struct options {
    const char *config_path;
    const char *state_path;
    const char *cache_path; /* NULL = none */
    bool has_cache_path;    /* it was named */
    bool wants_system;      /* it was asked for */
    bool is_system;         /* the machine's own server: with /etc/siprealm and accounts */
    bool has_no_accounts;
    const char *prefix;  /* --prefixpath, or NULL */
    const char *address; /* NULL = as configured */
    uint16_t port;       /* 0 = as configured */
    bool in_background;
    bool is_public;
    bool is_traced;
    bool only_check;
    bool only_paths;
    char default_config[PATH_MAX];
    char default_state[PATH_MAX];
};

static void print_help(void)
{
    printf("Usage: sipw [OPTION...]\n\nThe SIP domain server of SIP Witch.\n\n");
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        char letter[8] = "    ";
        char name[64];

        if (!rows[i].meaning)
            continue;
        if (rows[i].code < 256)
            snprintf(letter, sizeof letter, "-%c, ", rows[i].code);
        snprintf(name, sizeof name, "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %s%-21s %s\n", letter, name, rows[i].meaning);
    }
    printf("\nAccepted for GNU SIP Witch's sake, without effect:");
    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        if (!rows[i].meaning)
            printf(" --%s", rows[i].name);
    printf("\n");
}

/* As getopt_long wants them. */
static void make_tables(char *letters, struct option *names)
{
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        names[i] = (struct option){rows[i].name, rows[i].value ? required_argument : no_argument,
                                   NULL, rows[i].code};
        if (rows[i].code < 256)
            *letters++ = (char)rows[i].code;
        if (rows[i].code < 256 && rows[i].value)
            *letters++ = ':';
    }
    *letters = '\0';
    names[COUNT_OF(rows)] = (struct option){0};
}

static void set_defaults(struct options *options)
{
    const char *home = getenv("HOME");

    *options = (struct options){
        .config_path = "/etc/sipwitch.conf",
        .cache_path = "/var/cache/sipwitch",
        .is_system = true,
    };
    place_state(options->default_state);
    options->state_path = options->default_state;
    if (geteuid() == 0 || !home)
        return;
    snprintf(options->default_config, PATH_MAX, "%s/.sipwitchrc", home);
    options->config_path = options->default_config;
    options->cache_path = NULL;
    options->is_system = false;
}

/* A configuration that was named is read alone. */
static void set_config_path(struct options *options, const char *path)
{
    options->config_path = path;
    options->is_system = false;
    if (options->cache_path && !options->has_cache_path)
        options->cache_path = NULL;
}

static bool set_port(struct options *options, const char *text, struct log *log)
{
    uint64_t port;

    if (!slice_number(slice_text(text), 65535, &port) || port == 0) {
        log_line(log, LOG_FAILURE, "-P %s is not a port; write a number from 1 to 65535", text);
        return false;
    }
    options->port = (uint16_t)port;
    return true;
}

/* False when there is nothing more to do; then with this status. */
static bool set_option(struct options *options, int code, struct log *log, enum status *status)
{
    *status = STATUS_FINE;
    switch (code) {
    case 'f': options->in_background = false; return true;
    case 'b':
    case 'd': options->in_background = true; return true;
    case 'A': options->address = optarg; return true;
    case 'D': options->only_paths = true; return true;
    case OPTION_PUBLIC: options->is_public = true; return true;
    case 't': options->is_traced = true; return true;
    case 'n': options->has_no_accounts = true; return true;
    case OPTION_SYSTEM: options->wants_system = true; return true;
    case OPTION_CACHEPATH:
        options->cache_path = optarg;
        options->has_cache_path = true;
        return true;
    case OPTION_CONFIGPATH: set_config_path(options, optarg); return true;
    case OPTION_PREFIXPATH: options->state_path = options->prefix = optarg; return true;
    case OPTION_CHECK: options->only_check = true; return true;
    case OPTION_HELP: print_help(); return false;
    case OPTION_VERSION: printf("sipw (SIP Witch) %s\n", VERSION); return false;
    case 'P': *status = STATUS_USAGE; return set_port(options, optarg, log);
    case '?': *status = STATUS_USAGE; return false;
    default: return true; /* accepted, without effect */
    }
}

static bool read_options(struct options *options, int count, char **words, struct log *log,
                         enum status *status)
{
    char letters[2 * COUNT_OF(rows) + 1];
    struct option names[COUNT_OF(rows) + 1];
    int code;

    make_tables(letters, names);
    set_defaults(options);
    while ((code = getopt_long(count, words, letters, names, NULL)) != -1)
        if (!set_option(options, code, log, status))
            return false;
    if (optind == count)
        return true;
    log_line(log, LOG_FAILURE, "%s is not an option; sipw --help lists them", words[optind]);
    *status = STATUS_USAGE;
    return false;
}

/* ---- background */

/* The parent waits until the child is ready, or has failed, and ends with its status. */
static int go_to_background(void)
{
    int ready[2];
    char byte;
    int status = 0;

    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        close(ready[0]);
        return ready[1];
    }
    close(ready[1]);
    if (child > 0 && read(ready[0], &byte, 1) == 1)
        _exit(STATUS_FINE);
    if (child > 0)
        waitpid(child, &status, 0);
    _exit(child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_USAGE);
}

static void detach(int ready)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nowhere >= 0) {
        dup2(nowhere, STDIN_FILENO);
        dup2(nowhere, STDOUT_FILENO);
        close(nowhere);
    }
    if (write(ready, "", 1) == 1)
        close(ready);
}

/* ---- the server */

struct server {
    struct options options;
    struct log log;
    struct state state;
    struct sources sources;
    struct epoch *epoch;
    struct limits limits;
    struct sockets *sockets;
    struct udp *udp;
    struct tls *tls;
    struct streams *streams;
    struct addresses *addresses;
    struct core *core;
    size_t core_size;
    struct database *database; /* until the keeper has it, when the last run was recalled */
    uint32_t user_count;       /* in the database */
    uint64_t last_call;        /* the highest number in the database */
    struct keeper *keeper;
    struct dns *dns;
    struct fetch *fetch;
    struct legwork *legwork;
    struct router *router;
    struct journal journal;
    struct start *start; /* until the loop has it */
    struct store *store;
    int store_error;
    struct reload *reload;
    struct control *control;
    struct loop *loop;
};

static struct sources sources_of(const struct options *options, struct slice realm)
{
    bool is_system = options->is_system || options->wants_system;

    return (struct sources){
        .config_path = options->config_path,
        .state_path = options->state_path,
        .cache_path = options->cache_path,
        .realm_path = is_system ? "/etc/siprealm" : NULL,
        .realm = realm,
        .has_accounts = is_system && !options->has_no_accounts,
        .is_public = options->is_public,
    };
}

static struct config *read_config(const struct sources *sources, struct log *log)
{
    struct report *report = malloc(sizeof *report);
    struct config *config = report ? load_config(sources, report) : NULL;

    if (report)
        log_report(log, report);
    free(report);
    return config;
}

static bool open_database(struct server *server, const struct config *config)
{
    server->database = database_open(server->state.folder, server->state.path, &server->log);
    if (!server->database)
        return false;
    bool ok = database_last_call(server->database, &server->last_call) &&
              database_begin_users(server->database, config->settings.realm, &server->user_count);
    if (!ok)
        log_line(&server->log, LOG_FAILURE, "%s", database_fault(server->database));
    return ok;
}

static bool make_core(struct server *server)
{
    struct core_origin origin = {
        .limits = server->limits,
        .settings = &server->epoch->settings,
        .digests = &digests_openssl,
        .es256 = &es256_openssl,
        .secret = server->state.key,
        .first_call = server->last_call + 1,
        .boot = clock_boot(),
    };

    random_fill(&origin.seed, sizeof origin.seed);
    server->core_size = core_bytes(&origin.limits);
    void *memory = memory_take(server->core_size);
    if (!memory) {
        log_line(&server->log, LOG_FAILURE, "%zu MiB of address space are not to be had",
                 server->core_size >> 20);
        return false;
    }
    server->core = core_create(memory, &origin, clock_now());
    return true;
}

/* A disk that is full or fails now may be mended while we run; calls go on meanwhile. */
static bool is_passing(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -EIO || error == -EFBIG;
}

static bool open_journal(struct server *server)
{
    if (!journal_open(&server->journal, server->state.folder, server->state.path, &server->log))
        return false;
    int error = journal_begin(&server->journal);
    if (is_passing(error)) {
        server->store_error = error;
        error = 0;
    }
    if (!error) {
        server->store = store_start(&server->journal);
        if (!server->store)
            error = -ENOMEM;
    }
    if (error)
        log_line(&server->log, LOG_FAILURE, "%s: the journal cannot be written: %s",
                 server->state.path, strerror(-error));
    return !error;
}

/* Takes the configuration over, with certificates where they are wanted. */
static enum status take_config(struct server *server, struct config *config)
{
    struct report *report = malloc(sizeof *report);
    struct certs *certs = NULL;
    bool has_certs = true;

    server->sources.has_tls = config->has_tls || config->has_wss;
    if (report)
        report_init(report, server->options.config_path);
    if (load_wants_certs(&server->sources, config))
        has_certs = report && (certs = load_certs(&server->sources, config, report));
    if (has_certs)
        server->epoch =
            epoch_make(config, sockets_list(server->sockets), server->options.is_public);
    else
        config_free(config);
    if (server->epoch && certs)
        epoch_vouch(server->epoch, certs, report);
    if (certs)
        tls_use(server->tls, certs);
    if (report)
        log_report(&server->log, report);
    free(report);
    if (!has_certs)
        return STATUS_CONFIG;
    return server->epoch ? STATUS_FINE : STATUS_USAGE;
}

/* Memory and open files say how much there may be. */
static bool open_streams(struct server *server, const struct config *config)
{
    struct streams_plan plan = {.sockets = server->sockets, .tls = server->tls};
    struct limits *limits = &server->limits;
    uint32_t possible = streams_possible();

    *limits =
        memory_limits(config->user_count + server->user_count, config->bindings, config->memory);
    limits->connected = (uint32_t)min_u64(limits->connected, possible / 16);
    limits->accepted = (uint32_t)min_u64(limits->accepted, possible - limits->connected);
    plan.accepted = limits->accepted;
    plan.connected = limits->connected;
    plan.room = memory_for_streams(config->memory);
    plan.now = clock_now().boot;
    random_fill(&plan.generation, sizeof plan.generation);
    server->streams = streams_open(&plan, &server->log);
    return server->streams != NULL;
}

static bool open_addresses(struct server *server, const struct config *config)
{
    const struct options *options = &server->options;
    uint16_t port = options->port ? options->port : config->port;
    struct addresses_plan plan = {
        .interface = options->address ? slice_text(options->address) : config->interface,
        .sockets = server->sockets,
        .udp = server->udp,
        .streams = server->streams,
        .log = &server->log,
    };

    if (config->has_udp)
        plan.ports[TRANSPORT_UDP] = port;
    if (config->has_tcp)
        plan.ports[TRANSPORT_TCP] = port;
    if (config->has_tls)
        plan.ports[TRANSPORT_TLS] = config->tls_port ? config->tls_port : (uint16_t)(port + 1);
    if (config->has_ws)
        plan.ports[TRANSPORT_WS] = config->ws_port ? config->ws_port : (uint16_t)(port + 6);
    if (config->has_wss)
        plan.ports[TRANSPORT_WSS] = config->wss_port ? config->wss_port : (uint16_t)(port + 7);
    plan.may_lack[TRANSPORT_TLS] = !config->wants_tls;
    plan.may_lack[TRANSPORT_WS] = !config->wants_ws;
    plan.may_lack[TRANSPORT_WSS] = !config->wants_wss;
    server->addresses = addresses_open(&plan);
    return server->addresses != NULL;
}

static bool open_control(struct server *server)
{
    const struct options *options = &server->options;
    const struct control_facts facts = {VERSION, options->config_path, options->state_path};
    char path[PATH_MAX];

    place_control(options->prefix, path);
    server->control = control_open(path, &facts, &server->log);
    if (!server->control)
        return false;
    if ((options->is_traced || server->epoch->config->is_traced) &&
        !control_record(server->control))
        log_line(&server->log, LOG_WARNING, "there is no memory for a trace");
    return true;
}

static enum status open_sockets(struct server *server)
{
    const struct options *options = &server->options;
    struct config *config;

    server->sources = sources_of(options, slice_of(server->state.uuid, UUID_LENGTH));
    config = read_config(&server->sources, &server->log);
    if (!config)
        return STATUS_CONFIG;
    if (!open_database(server, config)) {
        config_free(config);
        return STATUS_STATE;
    }
    server->sockets = sockets_create();
    server->tls = tls_create(&server->log);
    server->udp = server->sockets ? udp_create(server->sockets) : NULL;
    if (!server->udp)
        log_line(&server->log, LOG_FAILURE, "no memory for the sockets' buffers");
    if (!server->tls || !server->udp || !open_streams(server, config) ||
        !open_addresses(server, config)) {
        config_free(config);
        return STATUS_USAGE;
    }
    streams_adopt(server->streams);
    return take_config(server, config);
}

static bool open_dns(struct server *server)
{
    const struct config *config = server->epoch->config;
    struct dns_plan plan = dns_plan_of(config->settings.resolver, config->trust_anchor);

    server->dns = dns_open(&plan, &server->log);
    return server->dns != NULL;
}

static bool open_relay(struct server *server)
{
    const struct epoch *epoch = server->epoch;
    const struct legwork_plan plan = {
        .setup = {.state = server->state.folder},
        .log = &server->log,
    };

    server->legwork = legwork_create(&plan);
    if (!server->legwork)
        return false;
    legwork_want(server->legwork, epoch->settings.media.mode != MEDIA_NEVER,
                 epoch->may_start_relay);
    return true;
}

static bool open_router(struct server *server)
{
    server->router = router_create(&server->state.key, &server->log);
    if (server->router)
        router_want(server->router, &server->epoch->settings);
    return server->router != NULL;
}

static bool open_loop(struct server *server)
{
    server->reload = reload_create(&server->sources, server->sockets);
    if (!server->reload)
        return false;
    server->keeper = keeper_start();
    server->fetch = fetch_open(&server->log);
    if (!server->keeper || !server->fetch || !open_dns(server) || !open_relay(server) ||
        !open_router(server))
        return false;
    fetch_trust(server->fetch, server->epoch->config->authfile);
    struct loop_parts parts = {
        .core = server->core,
        .addresses = server->addresses,
        .udp = server->udp,
        .streams = server->streams,
        .tls = server->tls,
        .store = server->store,
        .store_error = server->store_error,
        .keeper = server->keeper,
        .dns = server->dns,
        .fetch = server->fetch,
        .legwork = server->legwork,
        .router = server->router,
        .database = &server->database,
        .log = &server->log,
        .control = server->control,
        .reload = server->reload,
        .epoch = &server->epoch,
    };
    server->loop = loop_create(&parts);
    return server->loop != NULL;
}

static bool begin_start(struct server *server)
{
    server->start = start_begin(server->core, server->epoch->config, server->database,
                                &server->journal, &server->log);
    return server->start != NULL;
}

static void restore(struct server *server)
{
    loop_restore(server->loop, server->start);
    server->start = NULL;
}

static enum status open_server(struct server *server)
{
    enum status status;

    if (!state_open(&server->state, server->options.state_path, &server->log))
        return STATUS_STATE;
    status = open_sockets(server);
    if (status != STATUS_FINE)
        return status;
    if (!make_core(server))
        return STATUS_USAGE;
    if (!open_journal(server) || !begin_start(server) || !open_control(server))
        return STATUS_STATE;
    if (!open_loop(server))
        return STATUS_USAGE;
    restore(server);
    return STATUS_FINE;
}

static void close_server(struct server *server)
{
    if (server->loop)
        loop_destroy(server->loop);
    if (server->start)
        start_end(server->start);
    if (server->dns)
        dns_close(server->dns);
    if (server->fetch)
        fetch_close(server->fetch);
    if (server->legwork)
        legwork_destroy(server->legwork);
    if (server->router)
        router_destroy(server->router);
    if (server->reload)
        reload_destroy(server->reload);
    if (server->control)
        control_close(server->control);
    if (server->store)
        store_stop(server->store);
    if (server->journal.path)
        journal_close(&server->journal);
    if (server->keeper)
        keeper_stop(server->keeper);
    if (server->database)
        database_close(server->database);
    if (server->core)
        memory_give(server->core, server->core_size);
    if (server->addresses)
        addresses_close(server->addresses);
    if (server->udp)
        udp_destroy(server->udp);
    if (server->streams)
        streams_close(server->streams);
    if (server->sockets)
        sockets_destroy(server->sockets);
    if (server->tls)
        tls_destroy(server->tls);
    if (server->epoch)
        epoch_free(server->epoch);
    state_close(&server->state);
}

static enum status run_server(struct server *server)
{
    int ready = -1;

    loop_block_signals();
    if (server->options.in_background)
        ready = go_to_background();
    enum status status = open_server(server);
    if (status == STATUS_FINE && !loop_start(server->loop))
        status = STATUS_STATE;
    if (status == STATUS_FINE) {
        printf("sipw: ready\n");
        fflush(stdout);
        if (ready >= 0)
            detach(ready);
        notify_manager("READY=1");
        loop_run(server->loop);
        notify_manager("STOPPING=1");
    }
    close_server(server);
    return status;
}

static enum status check_config(const struct options *options, struct log *log)
{
    struct sources sources = sources_of(options, S("localhost"));
    struct config *config = read_config(&sources, log);

    if (!config)
        return STATUS_CONFIG;
    printf("%s: fine, %u users\n", options->config_path, config->user_count);
    config_free(config);
    return STATUS_FINE;
}

static void print_paths(const struct options *options)
{
    bool is_system = options->is_system || options->wants_system;
    char control[PATH_MAX];

    place_control(options->prefix, control);
    printf("configuration %s\nstate %s\ncontrol %s\n", options->config_path, options->state_path,
           control);
    if (options->cache_path)
        printf("cache %s\n", options->cache_path);
    if (is_system)
        printf("realm /etc/siprealm\naccounts %s\n", options->has_no_accounts ? "no" : "yes");
}

int main(int count, char **words)
{
    struct server server = {.state = {.folder = -1, .lock = -1}};
    enum status status;

    server.log = log_open();
    if (!read_options(&server.options, count, words, &server.log, &status))
        return (int)status;
    if (server.options.only_paths) {
        print_paths(&server.options);
        return STATUS_FINE;
    }
    if (server.options.only_check)
        return (int)check_config(&server.options, &server.log);
    return (int)run_server(&server);
}
