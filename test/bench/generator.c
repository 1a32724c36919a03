/* The load generator of ./bench: callers and registered phones in one process, spinning on a core
   of its own, so that the server under test never waits for it or has to wake it.  Prints one JSON
   object. With --turns each sample waits for a line on the standard input and ends one on the
   output. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "floor.h"
#include "pulse.h"
#include "report.h"

enum { SAMPLES_MAX = 32, WARM_SLICES_MAX = 10, WIRES = 64, HOSTS = 16, TRIES = 5 };

static const uint64_t SECOND = 1000000000;
static const uint64_t CLOSED_TIMEOUT = 4000000000;
static const uint64_t STOLEN =
    20000000; /* ns: as much as the queue of a socket holds at full rate */

struct sample {
    double warmup; /* seconds */
    double length;
};

struct options {
    unsigned port;
    const struct row *row;
    uint32_t active;
    uint32_t fresh;
    uint32_t window;
    struct sample samples[SAMPLES_MAX];
    unsigned sample_count;
    double search; /* seconds of one step, 0: no search */
    unsigned core; /* the server's, in a search */
    double settle; /* seconds, before memory is read; below 0: it is not */
    bool floor;
    bool turns;
    struct meter meter;
};

static const struct option LONG_OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"row", required_argument, NULL, 'r'},
    {"pids", required_argument, NULL, 'i'},
    {"active", required_argument, NULL, 'a'},
    {"fresh", required_argument, NULL, 'n'},
    {"window", required_argument, NULL, 'w'},
    {"sample", required_argument, NULL, 's'},
    {"search", required_argument, NULL, 'q'},
    {"memory", required_argument, NULL, 'm'},
    {"floor", no_argument, NULL, 'f'},
    {"turns", no_argument, NULL, 't'},
    {"core", required_argument, NULL, 'c'},
    {NULL, 0, NULL, 0},
};

static bool options_sample(struct options *options, const char *value)
{
    if (options->sample_count == SAMPLES_MAX)
        return false;
    struct sample *sample = &options->samples[options->sample_count++];
    return sscanf(value, "%lf:%lf", &sample->warmup, &sample->length) == 2;
}

static bool options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){.active = 1000, .window = 96, .settle = -1};
    for (int c; (c = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'p': options->port = (unsigned)atoi(optarg); break;
        case 'r': options->row = row_find(optarg); break;
        case 'i': meter_add(&options->meter, optarg); break;
        case 'a': options->active = (uint32_t)atoi(optarg); break;
        case 'n': options->fresh = (uint32_t)atoi(optarg); break;
        case 'w': options->window = (uint32_t)atoi(optarg); break;
        case 'q': options->search = atof(optarg); break;
        case 'm': options->settle = atof(optarg); break;
        case 'c': options->core = (unsigned)atoi(optarg); break;
        case 'f': options->floor = true; break;
        case 't': options->turns = true; break;
        case 's':
            if (!options_sample(options, optarg))
                return false;
            break;
        default: return false;
        }
    }
    return options->port && options->row && options->meter.process_count &&
           options->window <= LOAD_OPS && options->window <= options->active &&
           options->active + options->fresh <= 1000000;
}

static int scene_wires(struct scene *scene, const struct options *options)
{
    struct sockaddr_in server = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)options->port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (uint32_t i = 0; i < WIRES; i++) {
        struct in_addr local = {htonl(INADDR_LOOPBACK + 1 + i % HOSTS)};
        int error = wire_open(&scene->wires[i], local, &server);
        if (error < 0)
            return error;
    }
    return 0;
}

/* Runs of eight phones share a source, so that round robin over phones sends in batches. */
static int scene_prepare(struct scene *scene, const struct options *options)
{
    uint32_t count = options->active + options->fresh;
    *scene = (struct scene){.wire_count = WIRES,
                            .phone_count = count,
                            .active_count = options->active,
                            .next_fresh = options->active,
                            .next_stranger = 8 * WIRES / 2,
                            .idle_count = options->active};
    scene->wires = calloc(WIRES, sizeof *scene->wires);
    scene->wire_credentials = calloc(WIRES, sizeof *scene->wire_credentials);
    scene->phones = calloc(count, sizeof *scene->phones);
    scene->idle = calloc(options->active, sizeof *scene->idle);
    if (!scene->wires || !scene->wire_credentials || !scene->phones || !scene->idle ||
        !digest_prepare())
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        phone_prepare(&scene->phones[i], i, i / 8 % WIRES);
    for (uint32_t i = 0; i < options->active; i++)
        scene->idle[i] = i;
    return scene_wires(scene, options);
}

static struct pace pace_closed(const struct options *options, double seconds, uint64_t count)
{
    return (struct pace){.window = options->window,
                         .count = count,
                         .length = (uint64_t)(seconds * (double)SECOND),
                         .timeout = CLOSED_TIMEOUT,
                         .failures_max = UINT64_MAX};
}

/* Every active phone registers, by challenge and answer. */
static bool generator_enrol(struct load *load, const struct options *options, struct tally *tally)
{
    struct pace pace = pace_closed(options, 60, options->active);
    bool there = load_run(load, row_find("challenge"), &pace, tally);
    if (tally->done == options->active)
        return there;
    fprintf(stderr, "bench-generator: only %llu of %u phones could register\n",
            (unsigned long long)tally->done, options->active);
    return false;
}

/* The server's memory grows as long as its transactions live, and a page's first touch is dear:
   after the warm-up slices of half a second go on until they no longer get cheaper, within bounds.
 */
static bool generator_warm(struct load *load, const struct options *options, double seconds,
                           struct tally *tally)
{
    if (seconds <= 0)
        return true;
    struct pace pace = pace_closed(options, seconds, 0);
    if (!load_run(load, options->row, &pace, tally))
        return false;
    pace = pace_closed(options, 0.5, 0);
    double last = tally->done ? (double)tally->cpu / (double)tally->done : 0;
    for (unsigned i = 0; i < WARM_SLICES_MAX; i++) {
        if (!load_run(load, options->row, &pace, tally))
            return false;
        double cost = tally->done ? (double)tally->cpu / (double)tally->done : 0;
        if (cost >= last * 0.97)
            break;
        last = cost;
    }
    return true;
}

/* False if nobody will ask for another. */
static bool generator_await_turn(void)
{
    int c;
    printf("\n");
    fflush(stdout);
    do
        c = getchar();
    while (c != '\n' && c != EOF);
    return c == '\n';
}

static bool generator_samples(struct load *load, const struct options *options, struct tally *tally)
{
    printf("\"samples\": [");
    for (unsigned i = 0; i < options->sample_count; i++) {
        const struct sample *sample = &options->samples[i];
        struct pace pace = pace_closed(options, sample->length, 0);
        if ((options->turns && !generator_await_turn()) ||
            !generator_warm(load, options, sample->warmup, tally) ||
            !load_run(load, options->row, &pace, tally))
            return false;
        printf("%s", i ? ", " : "");
        report_tally(tally);
    }
    printf("]");
    return true;
}

/* The highest rate, and a run at 90 % of it, with what the server's core was away meanwhile; 0
   where there is none. */
static double generator_try(struct load *load, const struct options *options, double guess,
                            struct tally *tally, struct pulse *pulse)
{
    uint64_t step = (uint64_t)(options->search * (double)SECOND);
    double highest = load_highest_rate(load, options->row, guess, step);
    struct pace pace = {.window = LOAD_OPS,
                        .rate = highest * 0.9,
                        .length = (uint64_t)(options->samples[0].length * (double)SECOND),
                        .timeout = SECOND,
                        .failures_max = UINT64_MAX};

    if (highest <= 0)
        return 0;
    bool has_pulse = pulse_begin(options->core);
    bool is_done = load_run(load, options->row, &pace, tally);
    *pulse = has_pulse ? pulse_end() : (struct pulse){0};
    return is_done ? highest : 0;
}

/* A run that failed does not count where the server's core was taken away for longer than a failure
   takes, or where the highest rate no longer holds after it: others share the machine, and what it
   can do must be found anew. */
static bool generator_is_ours(struct load *load, const struct options *options, double highest,
                              const struct pulse *pulse)
{
    return pulse->longest < STOLEN &&
           load_holds(load, options->row, highest, (uint64_t)(options->search * (double)SECOND));
}

static bool generator_search(struct load *load, const struct options *options, struct tally *tally)
{
    struct pace guess = pace_closed(options, 1, 0);
    if (!generator_warm(load, options, options->samples[0].warmup, tally) ||
        !load_run(load, options->row, &guess, tally) || tally->done == 0)
        return false;
    double rate = (double)tally->done * 1e9 / (double)tally->elapsed, highest = rate;
    struct pulse pulse;
    unsigned tries = 0;
    do
        highest = generator_try(load, options, highest, tally, &pulse);
    while (++tries < TRIES && highest > 0 && tally_failures(tally) > 0.001 &&
           !generator_is_ours(load, options, highest, &pulse));
    if (highest <= 0)
        return false;
    printf("\"saturated\": %.1f, \"highest\": %.1f, \"tries\": %u, \"away\": %.2f, "
           "\"longest\": %.2f, \"at90\": ",
           rate, highest, tries, (double)pulse.missed / 1e6, (double)pulse.longest / 1e6);
    report_tally(tally);
    return true;
}

/* What transactions and nonces take is grown first, by as many registrations that bind nothing new,
   and given time to come back, so that the growth left is the bindings'. */
static bool generator_memory(struct load *load, const struct options *options, struct tally *tally)
{
    struct pace pace = pace_closed(options, 600, options->fresh);
    struct timespec settle = {.tv_sec = (time_t)options->settle};
    if (!load_run(load, row_find("challenge"), &pace, tally))
        return false;
    while (nanosleep(&settle, &settle) < 0 && errno == EINTR)
        continue;
    uint64_t before = meter_memory(load->meter);
    if (!load_run(load, row_find("register-new"), &pace, tally))
        return false;
    uint64_t after = meter_memory(load->meter);
    printf("\"before\": %llu, \"after\": %llu, \"bindings\": %llu, \"run\": ",
           (unsigned long long)before, (unsigned long long)after, (unsigned long long)tally->done);
    report_tally(tally);
    return true;
}

static bool generator_run(struct load *load, const struct options *options)
{
    static struct tally tally;
    bool there = true;
    printf("{\"row\": \"%s\", ", options->row->name);
    if (options->floor) {
        uint64_t length = (uint64_t)(options->samples[0].length * (double)SECOND);
        there = floor_run(load->scene, load->meter, options->row, options->window, length, &tally);
        printf("\"floor\": ");
        report_tally(&tally);
    } else if (!generator_enrol(load, options, &tally)) {
        there = false;
    } else if (options->settle >= 0) {
        there = generator_memory(load, options, &tally);
    } else if (options->search > 0) {
        there = generator_search(load, options, &tally);
    } else {
        there = generator_samples(load, options, &tally);
    }
    printf("}\n");
    return there;
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct scene scene;
    static struct load load;
    if (!options_read(&options, argc, argv)) {
        fprintf(stderr, "usage: bench-generator --port N --row NAME --pids N,N [--active N] "
                        "[--fresh N] [--window N] --sample WARMUP:SECONDS [--turns] [--search "
                        "SECONDS | --memory SETTLE | --floor]\n");
        return 2;
    }
    int error = scene_prepare(&scene, &options);
    if (error < 0 || !load_prepare(&load, &scene, &options.meter)) {
        fprintf(stderr, "bench-generator: %s\n", strerror(error < 0 ? -error : ENOMEM));
        return 1;
    }
    if (!generator_run(&load, &options)) {
        fprintf(stderr, "bench-generator: %s: %s\n", options.row->name,
                load.server_gone ? "the server's port has closed" : "no figure");
        return 1;
    }
    return 0;
}
