/*
 * The simulator's command: runs seeds, a process for each, as many at a time as there are
 * processors, and prints their reports in order.
 */
#include "core/fault.h"
#include "sim/copy.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED_SECONDS 120u /* of real time: then the seed hangs */

struct options {
    uint64_t from, to;
    unsigned jobs;
    bool is_replay; /* one seed, in this process */
    unsigned verbosity;
    bool until_caught; /* stop at the first seed that breaks a rule, which is a success: */
    struct slice rule; /* this one, if it is named */
};

static int usage(void)
{
    fprintf(stderr,
            "usage: sim N [--from SEED]      run N seeds from SEED (1)\n"
            "       sim --seed SEED [-v|-vv] replay one; -v traces messages, -vv whole ones\n"
            "       sim --until-caught N [--rule RULE]\n"
            "                                stop at the first seed that breaks it, or any\n");
    return 2;
}

static bool read_number(const char *text, uint64_t *number)
{
    return text && slice_number(slice_text(text), UINT64_MAX / 2, number);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    uint64_t count = 0;

    *o = (struct options){.from = 1, .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
    for (int i = 1; i < argc; i++) {
        struct slice option = slice_text(argv[i]);
        const char *value = argv[i + 1];
        if (slice_equal(option, S("-v")) || slice_equal(option, S("-vv"))) {
            o->verbosity = (unsigned)option.len - 1;
        } else if (slice_equal(option, S("--seed"))) {
            if (!read_number(value, &o->from))
                return false;
            o->is_replay = true;
            i++;
        } else if (slice_equal(option, S("--from"))) {
            if (!read_number(value, &o->from))
                return false;
            i++;
        } else if (slice_equal(option, S("--until-caught"))) {
            if (!read_number(value, &count))
                return false;
            o->until_caught = true;
            i++;
        } else if (slice_equal(option, S("--rule"))) {
            if (!value)
                return false;
            o->rule = slice_text(value);
            i++;
        } else if (!read_number(argv[i], &count)) {
            return false;
        }
    }
    o->to = o->from + count;
    return o->is_replay || count > 0;
}

static struct report run_seed(uint64_t seed, unsigned verbosity)
{
    struct sim *sim = take(1, sizeof *sim);
    struct report report;

    sim->is_traced = verbosity > 0;
    sim->is_traced_whole = verbosity > 1;
    sim_run(sim, seed);
    report = sim->report;
    sim_free(sim);
    free(sim);
    return report;
}

/* A seed in a process of its own, so that an assertion is one seed's failure. */
struct job {
    pid_t pid;
    int pipe;
    uint64_t seed;
};

static struct job start_job(uint64_t seed)
{
    int ends[2];
    struct job job = {.seed = seed};

    fflush(stdout);
    if (pipe(ends) < 0 || (job.pid = fork()) < 0) {
        perror("sim");
        exit(2);
    }
    if (job.pid == 0) {
        close(ends[0]);
        alarm(SEED_SECONDS);
        struct report report = run_seed(seed, 0);
        _exit(write(ends[1], &report, sizeof report) == (ssize_t)sizeof report ? 0 : 2);
    }
    close(ends[1]);
    job.pipe = ends[0];
    return job;
}

static struct report finish_job(const struct job *job)
{
    struct report report = {.seed = job->seed};
    ssize_t len = read(job->pipe, &report, sizeof report);
    int status;

    close(job->pipe);
    waitpid(job->pid, &status, 0);
    if (len == (ssize_t)sizeof report)
        return report;
    report = (struct report){.seed = job->seed, .has_failed = true};
    snprintf(report.reason, sizeof report.reason, "the process died of signal %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return report;
}

/* A seed whose process hangs or dies has caught nothing. */
static bool is_caught(const struct options *o, const struct report *report)
{
    struct slice rule = report_rule(report);

    return report->has_failed && rule.len && (!o->rule.len || slice_equal(rule, o->rule));
}

/* Jobs in a ring: the oldest is printed first. */
static int run_seeds(const struct options *o)
{
    struct job *jobs = take(o->jobs, sizeof *jobs);
    struct report total = {.seed = 0};
    unsigned failures = 0, seeds = 0;
    bool has_caught = false;
    uint64_t next = o->from;

    for (uint64_t seed = o->from; seed < o->to; seed++) {
        for (; next < o->to && next < seed + o->jobs; next++)
            jobs[next % o->jobs] = start_job(next);
        struct report report = finish_job(&jobs[seed % o->jobs]);
        failures += report.has_failed;
        seeds++;
        report_add(&total, &report);
        has_caught = o->until_caught && is_caught(o, &report);
        if (!o->until_caught || has_caught || o->from + 1 == o->to)
            report_print(&report, FAULT);
        if (has_caught)
            break;
    }
    free(jobs);
    if (o->until_caught)
        return has_caught ? 0 : 1;
    bool is_whole = report_print_total(&total, seeds);
    printf("%u passed, %u failed\n", seeds - failures, failures);
    return failures || (seeds >= 500 && !is_whole) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct report report;

    if (!read_options(argc, argv, &options))
        return usage();
    if (!options.is_replay)
        return run_seeds(&options);
    report = run_seed(options.from, options.verbosity);
    report_print(&report, FAULT);
    return report.has_failed ? 1 : 0;
}
