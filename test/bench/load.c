#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { COMPLAINTS_MAX = 5 };

static const uint64_t EXPIRY_INTERVAL = 20000000;
/* A rate that holds is answered within 100 ms: what takes longer is a queue that grows, which a
   step of two seconds would else take for a rate. */
static const uint64_t SEARCH_PATIENCE = 100000000;

bool load_prepare(struct load *load, struct scene *scene, const struct meter *meter)
{
    *load = (struct load){.scene = scene, .meter = meter};
    load->ops = calloc(LOAD_OPS, sizeof *load->ops);
    load->free = calloc(LOAD_OPS, sizeof *load->free);
    load->inbox = malloc(sizeof *load->inbox);
    if (!load->ops || !load->free || !load->inbox)
        return false;
    wire_inbox_prepare(load->inbox);
    for (uint32_t i = LOAD_OPS; i-- > 0;)
        load->free[load->free_count++] = i;
    return true;
}

static void load_complain(struct load *load, const char *what, const char *bytes, size_t length)
{
    if (load->complaints++ < COMPLAINTS_MAX)
        fprintf(stderr, "bench-generator: %s: %s:\n%.*s\n", load->row->name, what, (int)length,
                bytes);
}

static void load_release(struct load *load, struct op *op)
{
    row_finish(load->row, load->scene, op);
    op->busy = false;
    load->free[load->free_count++] = (uint32_t)(op - load->ops);
}

static void load_conclude(struct load *load, struct op *op, enum verdict verdict)
{
    if (verdict == VERDICT_WAIT)
        return;
    if (verdict == VERDICT_DONE) {
        load->tally->done++;
        latencies_add(&load->tally->latencies, load->now - op->started);
    } else {
        load->tally->wrong++;
    }
    load_release(load, op);
}

static struct op *load_find(struct load *load, const char *name)
{
    uint32_t slot, serial;
    if (!scan_hex(name, &slot) || !scan_hex(name + 8, &serial) || slot >= LOAD_OPS)
        return NULL;
    struct op *op = &load->ops[slot];
    return op->busy && op->serial == serial ? op : NULL;
}

/* Our own Via, alone, with a branch of ours: the rest of the server's work would be in vain. */
static bool load_branch(const struct scan *answer, struct span *branch)
{
    static const size_t prefix = sizeof RENDER_BRANCH - 1;
    *branch = scan_parameter(answer->vias[0], "branch=", ";, \t");
    if (answer->via_count != 1 || branch->length != prefix + RENDER_NAME + 1 ||
        memcmp(branch->at, RENDER_BRANCH, prefix) != 0)
        return false;
    branch->at += prefix;
    branch->length -= prefix;
    return memchr(answer->vias[0].at, ',', answer->vias[0].length) == NULL;
}

static bool load_matches(const struct load *load, const struct op *op, const struct scan *answer,
                         struct span branch)
{
    const char *method = op->step == 'b' ? "BYE" : load->row->method;
    const char *name = branch.at;
    size_t length = RENDER_NAME;
    if (scan_same(answer->cseq_method, "REGISTER")) {
        name = load->scene->phones[op->caller].user;
        length = 7;
    }
    return answer->cseq_number == op->cseq && scan_same(answer->cseq_method, method) &&
           answer->call_id.length > length && memcmp(answer->call_id.at, name, length) == 0;
}

static void load_answer(struct load *load, const struct scan *answer, struct span datagram)
{
    struct span branch;
    struct op *op = load_branch(answer, &branch) ? load_find(load, branch.at) : NULL;
    if (!op || op->step != branch.at[RENDER_NAME]) {
        load->tally->stray++;
        return;
    }
    enum verdict verdict = VERDICT_WRONG;
    if (load_matches(load, op, answer, branch))
        verdict = load->row->answered(load->scene, op, (uint32_t)(op - load->ops), answer);
    if (verdict == VERDICT_WRONG)
        load_complain(load, "wrong answer", datagram.at, datagram.length);
    load_conclude(load, op, verdict);
}

/* A request whose operation was given up is answered all the same, as a phone would, lest the
   server goes on retransmitting it. */
static void load_request(struct load *load, struct wire *wire, const struct scan *request,
                         struct span datagram)
{
    bool named = request->call_id.length > RENDER_NAME;
    struct op *op = named ? load_find(load, request->call_id.at) : NULL;
    if (op && load->row->called) {
        uint32_t slot = (uint32_t)(op - load->ops);
        enum verdict verdict = load->row->called(load->scene, op, slot, request, wire);
        if (verdict == VERDICT_WRONG)
            load_complain(load, "wrong request", datagram.at, datagram.length);
        load_conclude(load, op, verdict);
        return;
    }
    load->tally->stray++;
    if (!named || scan_same(request->method, "ACK"))
        return;
    struct text text = wire_next(wire);
    render_ok(&text, request, request->call_id.at);
    wire_add(wire, &text);
}

static void load_receive(struct load *load)
{
    struct scene *scene = load->scene;
    for (uint32_t i = 0; i < scene->wire_count; i++) {
        int count = wire_receive(&scene->wires[i], load->inbox);
        load->server_gone |= count == -ECONNREFUSED;
        for (int j = 0; j < count; j++) {
            struct scan scan;
            struct span datagram = {load->inbox->datagrams[j], load->inbox->headers[j].msg_len};
            load->tally->received++;
            if (!scan_message(&scan, datagram.at, datagram.length)) {
                load->tally->stray++;
                load_complain(load, "unreadable", datagram.at, datagram.length);
            } else if (scan.status) {
                load_answer(load, &scan, datagram);
            } else {
                load_request(load, &scene->wires[i], &scan, datagram);
            }
        }
    }
}

/* False when the row has nobody to start one with. */
static bool load_start(struct load *load, instant started)
{
    uint32_t slot = load->free[load->free_count - 1];
    struct op *op = &load->ops[slot];
    *op = (struct op){.serial = load->next_serial, .step = 'i', .started = started};
    if (!load->row->start(load->scene, op, slot))
        return false;
    op->busy = true;
    load->next_serial++;
    load->free_count--;
    load->tally->started++;
    return true;
}

static bool load_exhausted(const struct load *load, const struct pace *pace)
{
    const struct tally *tally = load->tally;
    return (pace->count && tally->started >= pace->count) ||
           tally->wrong + tally->missing > pace->failures_max || load->server_gone;
}

/* In open loop an operation's time runs from when it was due, not from when the generator got round
   to it; one for which there is no room is missing at once. */
static bool load_start_due(struct load *load, const struct pace *pace, instant begin)
{
    struct tally *tally = load->tally;
    if (load->now - begin >= pace->length || load_exhausted(load, pace))
        return false;
    if (pace->rate <= 0) {
        while (LOAD_OPS - load->free_count < pace->window && !load_exhausted(load, pace))
            if (!load_start(load, load->now))
                return LOAD_OPS > load->free_count;
        return true;
    }
    uint64_t due = (uint64_t)((double)(load->now - begin) * pace->rate / 1e9);
    while (tally->started < due) {
        instant planned = begin + (uint64_t)((double)tally->started * 1e9 / pace->rate);
        if (LOAD_OPS - load->free_count >= pace->window || !load_start(load, planned)) {
            tally->started++;
            tally->missing++;
        }
    }
    return true;
}

static void load_expire(struct load *load, uint64_t timeout)
{
    for (uint32_t i = 0; i < LOAD_OPS; i++) {
        struct op *op = &load->ops[i];
        if (!op->busy || load->now < op->started + timeout)
            continue;
        if (load->complaints++ < COMPLAINTS_MAX)
            fprintf(stderr, "bench-generator: %s: no answer to step %c, CSeq %u\n", load->row->name,
                    op->step, op->cseq);
        load->tally->missing++;
        load_release(load, op);
    }
}

static void load_flush(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->wire_count; i++)
        if (scene->wires[i].queued)
            wire_flush(&scene->wires[i]);
}

bool load_run(struct load *load, const struct row *row, const struct pace *pace,
              struct tally *tally)
{
    struct scene *scene = load->scene;
    *tally = (struct tally){0};
    load->row = row;
    load->tally = tally;
    scene->sent = scene->challenged = scene->untried = 0;

    instant begin = load->now = meter_now();
    instant expired = begin;
    uint64_t cpu = meter_cpu(load->meter);
    for (bool starting = true; starting || load->free_count < LOAD_OPS;) {
        load->now = meter_now();
        load_receive(load);
        if (starting)
            starting = load_start_due(load, pace, begin);
        load_flush(scene);
        if (load->now - expired >= EXPIRY_INTERVAL) {
            load_expire(load, load->server_gone ? 0 : pace->timeout);
            expired = load->now;
        }
    }
    tally->elapsed = load->now - begin;
    tally->cpu = meter_cpu(load->meter) - cpu;
    tally->sent = scene->sent;
    tally->challenged = scene->challenged;
    tally->untried = scene->untried;
    return !load->server_gone;
}

double tally_failures(const struct tally *tally)
{
    if (tally->started == 0)
        return 1;
    return (double)(tally->wrong + tally->missing) / (double)tally->started;
}

bool load_holds(struct load *load, const struct row *row, double rate, uint64_t length)
{
    static struct tally tally;
    double due = rate * (double)length / 1e9;
    struct pace pace = {.window = LOAD_OPS,
                        .rate = rate,
                        .length = length,
                        .timeout = SEARCH_PATIENCE,
                        .failures_max = (uint64_t)(due / 1000)};
    return load_run(load, row, &pace, &tally) && tally_failures(&tally) <= 0.001;
}

/* A rate is refused only when it fails twice: on a shared machine once may be another's doing. */
double load_highest_rate(struct load *load, const struct row *row, double guess, uint64_t length)
{
    double low = 0, high = guess * 1.25, rate = guess * 0.95;
    for (unsigned i = 0; i < 10 && high - low > 0.02 * high; i++) {
        if (load_holds(load, row, rate, length) || load_holds(load, row, rate, length))
            low = rate;
        else if (load->server_gone)
            return 0;
        else
            high = rate;
        rate = low == 0 ? high * 0.8 : (low + high) / 2;
    }
    return low;
}
