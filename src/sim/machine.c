#include "sim/machine.h"

#include "core/inspect.h"
#include "core/segment.h"
#include "sim/copy.h"
#include "sim/digest.h"
#include "sim/sim.h"
#include "sim/trace.h"

#include <sys/mman.h>

#define LATE SECONDS(2) /* a persist that takes longer has failed (core/event.h) */

duration machine_elapsed(const struct sim *sim)
{
    return sim->now + sim->machine.suspended;
}

struct moment machine_moment(const struct sim *sim)
{
    const struct machine *m = &sim->machine;
    duration elapsed = machine_elapsed(sim);

    return (struct moment){elapsed - m->boot_zero, m->wall_zero + (int64_t)(elapsed / SECONDS(1))};
}

/* -- the disk -- */

static struct segment_file *current_file(struct machine *m)
{
    return &m->files[m->file_count - 1];
}

static void write_file(struct sim *sim, struct segment_file *file, struct slice bytes)
{
    uint64_t second = sim->now / SECONDS(1);

    if (second != file->write_second)
        file->synced = file->len;
    file->write_second = second;
    if (file->len + bytes.len > file->room) {
        file->room = 2 * (file->len + bytes.len);
        file->bytes = realloc(file->bytes, file->room);
        if (!file->bytes)
            abort();
    }
    memcpy(file->bytes + file->len, bytes.at, bytes.len);
    file->len += bytes.len;
}

static void begin_segment(struct sim *sim)
{
    struct machine *m = &sim->machine;
    char header[SEGMENT_HEADER];
    struct writer w = writer_over(header, sizeof header);
    struct segment_file *file;

    assert(m->file_count < SEGMENTS);
    if (m->file_count)
        current_file(m)->synced = current_file(m)->len;
    file = &m->files[m->file_count++];
    *file = (struct segment_file){
        .epoch = random_next(&sim->dice),
        .order = ++m->last_epoch,
        .full = SEGMENT_FULL,
    };
    segment_begin(&w, file->epoch, file->order);
    write_file(sim, file, writer_slice(&w));
}

static void drop_older_segments(struct machine *m)
{
    for (unsigned i = 0; i + 1 < m->file_count; i++)
        free(m->files[i].bytes);
    m->files[0] = *current_file(m);
    m->files[0].synced = m->files[0].len;
    m->file_count = 1;
}

/* Writes `part` of the record's bytes, all of them if it is larger. */
static void write_record(struct sim *sim, struct slice payload, size_t part)
{
    struct segment_file *file = current_file(&sim->machine);
    size_t limit = payload.len + SEGMENT_RECORD_OVERHEAD;
    char *bytes = take(limit, 1);
    struct writer w = writer_over(bytes, limit);

    segment_append(&w, file->epoch, payload);
    assert(!w.failed);
    write_file(sim, file, slice_of(bytes, part < w.len ? part : w.len));
    free(bytes);
}

/* -- dying and coming back -- */

static void empty_queue(struct machine *m)
{
    while (m->queue) {
        struct held *held = m->queue;
        m->queue = held->next;
        copy_free(&held->bytes);
        free(held);
    }
    m->queue_end = &m->queue;
}

static void go_down(struct sim *sim, bool has_power, duration down_time)
{
    struct machine *m = &sim->machine;

    m->is_up = false;
    m->is_kill_armed = false;
    m->out.count = 0;
    m->out.bytes.len = 0;
    empty_queue(m);
    past_end(sim);
    archive_kill(sim);
    munmap(m->memory, core_bytes(&m->origin.limits));
    m->memory = NULL;
    m->core = NULL;
    if (sim->has_wires) /* a supervisor keeps them, where there is one */
        wire_server_died(sim, has_power && dice_chance(&sim->dice, 400));
    pipe_server_died(sim);
    agenda_note(&sim->agenda, sim->now + down_time, DUE_RESTART, m->starts, NULL);
}

void machine_kill(struct sim *sim, duration down_time)
{
    if (!sim->machine.is_up)
        return;
    trace_note(sim, "kill -9");
    sim->report.counts[COUNT_KILLS]++;
    judge_killed(sim, false);
    go_down(sim, true, down_time);
}

/* What was not synced is torn at any byte, and boot time begins again. */
void machine_cut_power(struct sim *sim, duration down_time)
{
    struct machine *m = &sim->machine;
    struct segment_file *file = current_file(m);

    if (!m->is_up)
        return;
    trace_note(sim, "power cut");
    sim->report.counts[COUNT_POWER_CUTS]++;
    relay_cut_power(sim);
    judge_killed(sim, true);
    if (file->write_second != sim->now / SECONDS(1))
        file->synced = file->len;
    if (file->synced < file->len) {
        sim->report.counts[COUNT_TORN]++;
        file->len = dice_between(&sim->dice, file->synced, file->len);
    }
    go_down(sim, false, down_time);
    m->boot_zero = machine_elapsed(sim);
    m->origin.boot++;
}

void machine_arm_kill(struct sim *sim, uint64_t actions, duration down_time)
{
    sim->machine.is_kill_armed = true;
    sim->machine.kill_after = actions;
    sim->machine.down_time = down_time;
}

void machine_disarm_kill(struct sim *sim)
{
    sim->machine.is_kill_armed = false;
}

/* -- carrying out -- */

static void tell_failure(struct sim *sim, const struct held *held)
{
    struct machine *m = &sim->machine;

    m->failed_step = held->step;
    if (!m->is_alarmed)
        m->unaware_step = m->steps;
    m->is_failure_due = m->is_failure_due || !m->is_alarmed;
    m->is_checkpoint_broken = true;
    judge_persist_failed(sim);
}

/* It promises what a persist before it failed to keep. */
static bool is_void(const struct machine *m, const struct held *held)
{
    return held->promises && (held->step == m->failed_step || held->step <= m->unaware_step);
}

static void persist(struct sim *sim, const struct held *held)
{
    struct machine *m = &sim->machine;

    if (m->disk == DISK_FULL || m->is_alarmed || m->file_count == 0) {
        tell_failure(sim, held);
        return;
    }
    if (held->is_abandoned && dice_chance(&sim->dice, 500))
        return; /* it was late, and then it failed indeed */
    write_record(sim, held->bytes, SIZE_MAX);
}

/* A stream is ended in a step of its own. */
static void wish_end(struct sim *sim, const struct flow *flow)
{
    struct flow *copy = take(1, sizeof *copy);

    *copy = *flow;
    agenda_note(&sim->agenda, sim->now, DUE_WIRE, sim->machine.starts, copy);
}

static void carry_out(struct sim *sim, const struct held *held)
{
    struct machine *m = &sim->machine;

    switch (held->kind) {
    case ACTION_SEND:
        if (held->is_abandoned || is_void(m, held))
            break;
        if (flow_is_reliable(&held->flow) && !wire_stands(sim, &held->flow))
            break;
        judge_sent(sim, held);
        notary_judge(sim, held->bytes);
        network_to_node(sim, &held->flow, held->bytes);
        break;
    case ACTION_PERSIST: persist(sim, held); break;
    case ACTION_CHECKPOINTED:
        if (!m->is_checkpointing || m->is_checkpoint_broken || held->step < m->checkpoint_step)
            break;
        m->is_checkpointing = false;
        drop_older_segments(m);
        /* As the shell's journal: what lives may be more than a segment is meant for. */
        current_file(m)->full = max_u64(SEGMENT_FULL, current_file(m)->len + SEGMENT_FULL / 4);
        judge_checkpointed(sim);
        break;
    case ACTION_CONNECT: wire_dial(sim, held); break;
    case ACTION_CLOSE: wish_end(sim, &held->flow); break;
    case ACTION_EXPECT: wire_expect(sim, &held->flow); break;
    case ACTION_CALL: archive_take(sim, held->bytes); break;
    case ACTION_LOG: trace_note(sim, "log: %.*s", (int)held->bytes.len, held->bytes.at); break;
    case ACTION_ASK: zone_asked(sim, &held->ask, held->bytes); break;
    case ACTION_FETCH: notary_asked(sim, &held->fetch, held->bytes); break;
    case ACTION_LEG: relay_change(sim, held->bytes); break;
    case ACTION_LOOK: relay_look(sim, held->bytes); break;
    case ACTION_ANSWER: break; /* no administrator asks here */
    }
}

/* True if the machine dies here, in front of this action or in the middle of it. */
static bool is_killed_at(struct sim *sim, const struct held *held)
{
    struct machine *m = &sim->machine;

    if (!m->is_kill_armed || m->kill_after-- > 0)
        return false;
    if (held->kind == ACTION_PERSIST && m->disk == DISK_WORKS && !m->is_alarmed && m->file_count &&
        dice_chance(&sim->dice, 500)) {
        sim->report.counts[COUNT_TORN]++;
        write_record(sim, held->bytes,
                     random_below(&sim->dice, held->bytes.len + SEGMENT_RECORD_OVERHEAD));
    }
    machine_kill(sim, m->down_time);
    return true;
}

/* False while the action's write is not done. */
static bool is_ready(struct sim *sim, struct held *held)
{
    struct machine *m = &sim->machine;

    if (held->kind != ACTION_PERSIST || m->disk != DISK_SLOW || m->is_alarmed)
        return held->ready_at <= sim->now;
    if (!held->ready_at) {
        held->ready_at = sim->now + m->disk_delay;
        agenda_note(&sim->agenda, min_u64(held->ready_at, held->since + LATE), DUE_STORE, 0, NULL);
        agenda_note(&sim->agenda, held->ready_at, DUE_STORE, 0, NULL);
    }
    return held->ready_at <= sim->now;
}

/* The first write of the queue is late: the core is told, and nothing waits any longer. */
static void give_up_waiting(struct sim *sim)
{
    struct machine *m = &sim->machine;

    trace_note(sim, "the disk stalls");
    sim->report.counts[COUNT_STALLS]++;
    for (struct held *held = m->queue; held; held = held->next) {
        held->ready_at = 0;
        if (held->kind == ACTION_PERSIST) {
            held->is_abandoned = true;
            tell_failure(sim, held);
        } else if (held->kind == ACTION_SEND && is_void(m, held)) {
            held->is_abandoned = true;
        }
    }
}

/* Carries out what can be; false if the machine died. */
static bool drain(struct sim *sim)
{
    struct machine *m = &sim->machine;

    while (m->queue) {
        struct held *held = m->queue;
        if (!held->is_abandoned && !is_ready(sim, held)) {
            if (sim->now < held->since + LATE)
                return true;
            give_up_waiting(sim);
            continue;
        }
        if (is_killed_at(sim, held))
            return false;
        m->queue = held->next;
        if (!m->queue)
            m->queue_end = &m->queue;
        carry_out(sim, held);
        copy_free(&held->bytes);
        free(held);
    }
    return true;
}

static void hold(struct sim *sim, const struct action *action)
{
    struct machine *m = &sim->machine;
    struct held *held = take(1, sizeof *held);

    *held = (struct held){.kind = action->kind,
                          .promises = action->promises,
                          .is_unwritten = m->is_alarmed,
                          .bytes = copy_slice(action->bytes),
                          .step = m->steps,
                          .since = sim->now,
                          .decided = machine_elapsed(sim)};
    if (held->kind == ACTION_ASK)
        held->ask = action->ask;
    else if (held->kind == ACTION_FETCH)
        held->fetch = action->fetch;
    else
        held->flow = action->flow;
    if (held->kind == ACTION_SEND)
        judge_decided(sim, held);
    *m->queue_end = held;
    m->queue_end = &held->next;
}

/* One step of the core, its actions put into the queue. */
static void step(struct sim *sim, const struct event *event)
{
    struct machine *m = &sim->machine;

    m->steps++;
    sim->report.counts[COUNT_STEPS]++;
    core_step(m->core, event, machine_moment(sim), &m->out);
    for (uint32_t i = 0; i < m->out.count; i++)
        hold(sim, &m->out.at[i]);
    m->out.count = 0;
    m->out.bytes.len = 0;
}

/* The newest segment shall hold all that lives. */
static void checkpoint(struct sim *sim)
{
    struct machine *m = &sim->machine;

    m->is_checkpoint_due = false;
    m->is_checkpointing = true;
    m->is_checkpoint_broken = false;
    m->checkpoint_step = m->steps + 1;
    sim->report.counts[COUNT_CHECKPOINTS]++;
    step(sim, &(struct event){.kind = EVENT_CHECKPOINT});
}

/* What the store has to tell the core, between two steps; false if there is nothing. */
static bool tell_store(struct sim *sim)
{
    struct machine *m = &sim->machine;

    if (m->is_failure_due) {
        m->is_failure_due = false;
        m->is_alarmed = true;
        judge_persist_failed(sim);
        trace_note(sim, "store failed");
        step(sim, &(struct event){.kind = EVENT_STORE_FAILED});
    } else if (m->is_relief_due) {
        m->is_relief_due = false;
        m->is_alarmed = false;
        trace_note(sim, "store works");
        /* The segment comes first: what the core writes now is the start of a whole journal. */
        begin_segment(sim);
        step(sim, &(struct event){.kind = EVENT_STORE_WORKS});
        checkpoint(sim);
    } else if (m->is_checkpoint_due && !m->is_alarmed && m->disk != DISK_FULL) {
        begin_segment(sim);
        checkpoint(sim);
    } else {
        return false;
    }
    return true;
}

/* After an event: actions, what they led to, and so on until nothing is left to do. */
static void settle(struct sim *sim)
{
    struct machine *m = &sim->machine;

    do {
        if (!drain(sim))
            return;
        if (m->file_count && current_file(m)->len > current_file(m)->full && !m->is_checkpointing)
            m->is_checkpoint_due = true;
    } while (tell_store(sim));
}

static void handle(struct sim *sim, const struct event *event)
{
    step(sim, event);
    settle(sim);
}

void machine_receive(struct sim *sim, const struct flow *flow, uint32_t sender, struct slice bytes)
{
    if (!sim->machine.is_up)
        return;
    judge_received(sim, flow, sender, bytes, sim->machine.steps + 1);
    handle(sim, &(struct event){EVENT_RECEIVED, *flow, bytes});
}

void machine_dns(struct sim *sim, uint64_t question, const struct dns_answer *answer)
{
    if (sim->machine.is_up)
        handle(sim, &(struct event){.kind = EVENT_DNS, .question = question, .dns = answer});
}

void machine_certificate(struct sim *sim, uint64_t question, const struct certificate *found)
{
    if (sim->machine.is_up)
        handle(sim, &(struct event){
                        .kind = EVENT_CERTIFICATE, .question = question, .certificate = found});
}

void machine_legs(struct sim *sim, const struct event *event)
{
    if (sim->machine.is_up)
        handle(sim, event);
}

void machine_unreached(struct sim *sim, const struct flow *flow, struct slice head)
{
    trace_note(sim, "the network refuses %.*s", (int)slice_find(head, '\r'), head.at);
    if (sim->machine.is_up)
        handle(sim, &(struct event){EVENT_UNREACHED, *flow, head});
}

void machine_load(struct sim *sim, unsigned fill)
{
    if (sim->machine.is_up)
        handle(sim, &(struct event){.kind = EVENT_LOAD, .fill = fill});
}

void machine_calls_kept(struct sim *sim, struct slice numbers)
{
    handle(sim, &(struct event){.kind = EVENT_CALLS_KEPT, .bytes = numbers});
}

void machine_stream(struct sim *sim, enum event_kind kind, const struct flow *flow,
                    struct slice bytes)
{
    if (sim->machine.is_up)
        handle(sim, &(struct event){kind, *flow, bytes});
}

void machine_broken(struct sim *sim, const struct flow *flow, uint32_t sender, struct slice head,
                    struct fault fault)
{
    if (!sim->machine.is_up)
        return;
    judge_received(sim, flow, sender, head, sim->machine.steps + 1); /* it may be answered */
    handle(sim, &(struct event){EVENT_BROKEN, *flow, head, .fault = fault});
}

bool machine_is_kept(const struct sim *sim)
{
    const struct machine *m = &sim->machine;

    return m->is_up && !m->queue && !m->is_alarmed && !m->is_failure_due && m->disk == DISK_WORKS;
}

instant machine_deadline(const struct sim *sim)
{
    const struct machine *m = &sim->machine;
    instant deadline = m->is_up ? core_deadline(m->core) : NEVER;

    if (deadline == NEVER)
        return NEVER;
    return max_u64(deadline + m->boot_zero, machine_elapsed(sim)) - m->suspended;
}

void machine_tick(struct sim *sim)
{
    struct machine *m = &sim->machine;

    if (!m->is_up)
        return;
    if (core_deadline(m->core) <= machine_moment(sim).boot)
        handle(sim, &(struct event){.kind = EVENT_DEADLINE});
    else
        settle(sim);
}

/* -- starting -- */

/* Feeds the records of the first `count` segments to the core. */
static void restore(struct sim *sim, unsigned count)
{
    struct machine *m = &sim->machine;

    for (unsigned i = 0; i < count && m->is_up; i++) {
        struct slice file = slice_of(m->files[i].bytes, m->files[i].len), payload;
        uint64_t epoch, order;
        if (!segment_open(file, &epoch, &order))
            continue; /* torn before its header was whole */
        for (struct slice rest = slice_from(file, SEGMENT_HEADER);
             m->is_up && segment_next(&rest, epoch, &payload);) {
            step(sim, &(struct event){.kind = EVENT_RESTORED, .bytes = past_keep(sim, payload)});
            drain(sim);
        }
    }
}

static uint64_t journal_bytes(const struct machine *m)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < m->file_count; i++)
        bytes += m->files[i].len;
    return bytes;
}

/* Users first, as the shell reads them, then what is bound to them. */
void machine_recall(struct sim *sim, uint32_t start)
{
    struct machine *m = &sim->machine;
    const struct user_settings *user;

    if (!m->is_up || start != m->starts)
        return;
    user = past_next_user(sim);
    if (user && !core_put_user(m->core, user))
        abort();
    if (!user)
        handle(sim, &(struct event){.kind = EVENT_RECALL});
    if (m->is_up && recall_goes_on(m->core))
        past_note(sim);
    else
        past_end(sim);
}

void machine_restart(struct sim *sim)
{
    struct machine *m = &sim->machine;

    m->memory = mmap(NULL, core_bytes(&m->origin.limits), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->memory == MAP_FAILED)
        abort();
    m->origin.seed = dice_key(&sim->dice);
    m->origin.first_call = archive_first(sim);
    m->origin.boot += !m->origin.boot;
    m->core = core_create(m->memory, &m->origin, machine_moment(sim));
    if (m->starts) /* there was a run before */
        past_begin(sim, journal_bytes(m));
    past_put_users(sim);
    m->starts++;
    m->is_up = true;
    m->is_alarmed = m->is_failure_due = m->is_relief_due = m->is_checkpoint_due = false;
    m->is_checkpointing = false;
    m->failed_step = m->unaware_step = 0;
    m->last_start = m->steps;
    trace_note(sim, "start %u", m->starts);

    wire_server_started(sim, step);
    pipe_server_started(sim);
    /* What is torn at the end of the last segment stays as it is: a new one is begun. */
    unsigned old_files = m->file_count;
    if (m->disk == DISK_FULL)
        m->is_failure_due = true;
    else
        begin_segment(sim);
    restore(sim, old_files);
    if (!m->is_up)
        return;
    step(sim, &(struct event){.kind = EVENT_STARTED});
    judge_started(sim);
    relay_server_started(sim, step);
    past_note(sim);
    if (m->disk != DISK_FULL)
        checkpoint(sim);
    settle(sim);
}

/* What the old settings say is spoilt, since nothing may look at them any more. */
static void replace_epoch(struct machine *m, struct settings *fresh)
{
    if (m->epoch)
        memset(m->epoch, 0xa5, sizeof *m->epoch);
    free(m->epoch);
    m->epoch = fresh;
    m->origin.settings = fresh;
}

void machine_reload(struct sim *sim)
{
    struct machine *m = &sim->machine;
    struct settings *fresh;

    if (!m->is_up)
        return;
    trace_note(sim, "reload");
    sim->report.counts[COUNT_RELOADS]++;
    fresh = take(1, sizeof *fresh);
    *fresh = m->settings;
    handle(sim, &(struct event){.kind = EVENT_SETTINGS, .settings = fresh});
    replace_epoch(m, fresh);
    for (unsigned i = m->user_count; i > 0 && m->is_up; i--)
        handle(sim, &(struct event){.kind = EVENT_USER, .user = &m->users[i - 1]});
    if (m->is_up)
        handle(sim, &(struct event){.kind = EVENT_USERS_PUT});
}

/* -- faults -- */

void machine_break_disk(struct sim *sim, enum disk_state state, duration delay)
{
    sim->machine.disk = state;
    sim->machine.disk_delay = delay;
    sim->report.counts[state == DISK_FULL ? COUNT_FULL_DISKS : COUNT_SLOW_DISKS]++;
    trace_note(sim, state == DISK_FULL ? "the disk is full" : "the disk is slow");
}

void machine_mend_disk(struct sim *sim)
{
    struct machine *m = &sim->machine;

    trace_note(sim, "the disk works");
    m->disk = DISK_WORKS;
    m->mended_at = sim->now;
    if (!m->is_up)
        return;
    settle(sim);
    if (m->is_up && m->is_alarmed) {
        m->is_relief_due = true;
        settle(sim);
    }
}

void machine_jump_wall(struct sim *sim, int64_t seconds)
{
    trace_note(sim, "the wall clock jumps %lld s", (long long)seconds);
    sim->report.counts[COUNT_WALL_JUMPS]++;
    sim->machine.wall_zero += seconds;
    promise_jumped(sim, seconds);
    judge_jumped(sim);
}

void machine_suspend(struct sim *sim, duration time)
{
    trace_note(sim, "suspended");
    sim->report.counts[COUNT_SUSPENDS]++;
    sim->machine.suspended += time;
    judge_slept(sim);
}

/* -- settings -- */

void machine_init(struct sim *sim)
{
    struct machine *m = &sim->machine;

    m->queue_end = &m->queue;
    m->wall_zero = 1700000000;
    m->suspended = SECONDS(dice_between(&sim->dice, 10, 100000));
    m->settings = settings_default();
    m->localnames[0] = S(SERVER_HOST_V4);
    m->localnames[1] = S(SERVER_HOST_V6);
    m->sockets[SOCKET_V4] = (struct socket_settings){TRANSPORT_UDP, S(SERVER_HOST_V4), 5060};
    m->sockets[SOCKET_V6] = (struct socket_settings){TRANSPORT_UDP, S(SERVER_HOST_V6), 5060};
    m->settings.realm = S(SERVER_DOMAIN);
    m->settings.localnames = m->localnames;
    m->settings.localname_count = COUNT_OF(m->localnames);
    m->settings.sockets = m->sockets;
    m->sockets[SOCKET_TCP_V4] = (struct socket_settings){TRANSPORT_TCP, S(SERVER_HOST_V4), 5060};
    m->sockets[SOCKET_TCP_V6] = (struct socket_settings){TRANSPORT_TCP, S(SERVER_HOST_V6), 5060};
    m->sockets[SOCKET_TLS_V4] = (struct socket_settings){TRANSPORT_TLS, S(SERVER_HOST_V4), 5061};
    m->sockets[SOCKET_TLS_V6] = (struct socket_settings){TRANSPORT_TLS, S(SERVER_HOST_V6), 5061};
    m->sockets[SOCKET_WS_V4] = (struct socket_settings){TRANSPORT_WS, S(SERVER_HOST_V4), 80};
    m->sockets[SOCKET_WS_V6] = (struct socket_settings){TRANSPORT_WS, S(SERVER_HOST_V6), 80};
    m->settings.socket_count = sim->has_secure  ? SOCKET_COUNT
                               : sim->has_wires ? SOCKET_TLS_V4
                                                : SOCKET_WS_V4;
    m->settings.domains = sim->zones.settings;
    m->settings.domain_count = sim->has_secure ? ZONES : 0;
    m->settings.is_public = dice_chance(&sim->dice, 500);
    m->settings.expires = 600;
    m->settings.expires_shortest = 60;
    m->settings.expires_longest = 1200;
    m->settings.timer_c = SECONDS(181);
    m->settings.call_longest = SECONDS(1200);
    m->origin = (struct core_origin){
        .limits = {.users = 64,
                   .bindings = 256,
                   .transactions = 8192,
                   .contexts = 1024,
                   .dialogs = 1024,
                   .anchors = 1024,
                   .calls = 4096,
                   .nonces = 4096,
                   .accepted = WIRES,
                   .connected = DIALLED,
                   .lookups = 64,
                   .text = (size_t)16 << 20},
        .settings = &m->settings,
        .digests = &sim_digests,
        .secret = dice_key(&sim->dice),
    };
    relay_init(sim);
    if (notary_is_seed(sim->report.seed))
        notary_equip(sim);
    m->out.limit = STEP_ACTIONS;
    m->out.at = take(STEP_ACTIONS, sizeof *m->out.at);
    m->out.bytes = writer_over(take(STEP_BYTES, 1), STEP_BYTES);
}

void machine_free(struct sim *sim)
{
    struct machine *m = &sim->machine;

    empty_queue(m);
    past_end(sim);
    free(m->epoch);
    if (m->memory)
        munmap(m->memory, core_bytes(&m->origin.limits));
    for (unsigned i = 0; i < m->file_count; i++)
        free(m->files[i].bytes);
    archive_free(&m->archive);
    free(m->out.at);
    free(m->out.bytes.at);
}
