#include "sim/sim.h"

#include "core/inspect.h"
#include "core/load.h"
#include "sim/copy.h"
#include "sim/digest.h"
#include "sim/letter.h"
#include "sim/trace.h"

/* -- the hour -- */

static const unsigned phase_minutes[PHASE_COUNT] = {
    [PHASE_FAULTS] = 0, [PHASE_KILLS] = KILLS_MINUTE, [PHASE_CALM] = 32,  [PHASE_HANG_UP] = 37,
    [PHASE_QUIET] = 39, [PHASE_LEAVE] = 57,           [PHASE_WEEKS] = 60, [PHASE_OVER] = 63,
};

static const struct weather usual_weather = {10, 10, 20};

static void begin_kills(struct sim *sim)
{
    sim->network.weather = (struct weather){0, 0, 0};
    memset(sim->network.cut_until, 0, sizeof sim->network.cut_until);
    machine_mend_disk(sim);
    for (unsigned i = 0; i < sim->phone_count; i++) {
        phone_register(sim, &sim->phones[i]);
        phone_arrange(sim, &sim->phones[i]);
    }
}

static void hang_up(struct sim *sim)
{
    for (unsigned i = 0; i < sim->phone_count; i++) {
        call_hang_up_all(sim, &sim->phones[i]);
        phone_arrange(sim, &sim->phones[i]);
    }
}

/* Nothing but this: some phones change their network, and the server does not hear of it. */
static void begin_calm(struct sim *sim)
{
    machine_disarm_kill(sim);
    for (unsigned i = 0; i < sim->phone_count; i++)
        if (sim->phones[i].traits & TRAIT_STREAM && dice_chance(&sim->dice, 200))
            wire_abandon(sim, &sim->phones[i]);
}

static void begin_hang_up(struct sim *sim)
{
    judge_observer(sim);
    hang_up(sim);
}

static void leave(struct sim *sim)
{
    wire_rest(sim);
    for (unsigned i = 0; i < sim->phone_count; i++) {
        phone_unregister(sim, &sim->phones[i]);
        phone_arrange(sim, &sim->phones[i]);
    }
}

static void begin_weeks(struct sim *sim)
{
    judge_rest(sim);
    weeks_pass(sim);
}

static void end_all(struct sim *sim)
{
    judge_rest(sim);
    weeks_judge(sim);
}

static void (*const phase_begins[PHASE_COUNT])(struct sim *sim) = {
    [PHASE_KILLS] = begin_kills, [PHASE_CALM] = begin_calm, [PHASE_HANG_UP] = begin_hang_up,
    [PHASE_QUIET] = hang_up,     [PHASE_LEAVE] = leave,     [PHASE_WEEKS] = begin_weeks,
    [PHASE_OVER] = end_all,
};

static void begin_phase(struct sim *sim, enum phase phase)
{
    trace_note(sim, "phase %u", phase);
    sim->phase = phase;
    if (phase_begins[phase])
        phase_begins[phase](sim);
    if (phase < PHASE_OVER)
        agenda_note(&sim->agenda, SECONDS(60 * phase_minutes[phase + 1]), DUE_PHASE, phase + 1,
                    NULL);
}

/* -- faults of the world -- */

static void storm(struct sim *sim)
{
    sim->network.weather.loss = (unsigned)random_below(&sim->dice, 250);
    sim->network.weather.duplication = (unsigned)random_below(&sim->dice, 150);
    sim->network.weather.reordering = (unsigned)random_below(&sim->dice, 150);
}

static void clear_up(struct sim *sim)
{
    sim->network.weather = usual_weather;
}

static void cut_off(struct sim *sim)
{
    unsigned share = (unsigned)dice_between(&sim->dice, 50, 1000);
    instant until = sim->now + SECONDS(dice_between(&sim->dice, 1, 40));

    sim->report.counts[COUNT_PARTITIONS]++;
    for (unsigned i = 0; i < NODE_LIMIT; i++)
        if (dice_chance(&sim->dice, share))
            sim->network.cut_until[i] = until;
}

static duration throw_down_time(struct sim *sim)
{
    return dice_chance(&sim->dice, 100) ? MS(dice_between(&sim->dice, 3000, 20000))
                                        : MS(dice_between(&sim->dice, 1, 2000));
}

static void arm_kill(struct sim *sim, uint64_t actions, uint64_t longest)
{
    uint64_t after = random_below(&sim->dice, actions);

    machine_arm_kill(sim, after, MS(dice_between(&sim->dice, 1, longest)));
}

static void kill_server(struct sim *sim)
{
    duration down_time = throw_down_time(sim);

    machine_arm_kill(sim, random_below(&sim->dice, 6), down_time);
}

static void cut_power(struct sim *sim)
{
    machine_cut_power(sim, throw_down_time(sim));
}

static void jump_wall(struct sim *sim)
{
    machine_jump_wall(sim, dice_chance(&sim->dice, 500) ? 3600 : -3600);
}

static void suspend(struct sim *sim)
{
    machine_suspend(sim, SECONDS(3600));
}

static void fill_disk(struct sim *sim)
{
    machine_break_disk(sim, DISK_FULL, 0);
}

static void slow_disk(struct sim *sim)
{
    static const unsigned longest[] = {20, 300, 1500, 4000};

    machine_break_disk(
        sim, DISK_SLOW,
        MS(dice_between(&sim->dice, 1, longest[random_below(&sim->dice, COUNT_OF(longest))])));
}

/* Its queue is full, or has just been emptied by refusing. */
static void look_at_load(struct sim *sim)
{
    bool is_loaded = sim->phase == PHASE_FAULTS && sim->now < sim->loaded_until;

    if (is_loaded)
        agenda_note(&sim->agenda, sim->now + MS(600), DUE_LOAD, 0, NULL);
    machine_load(sim, !is_loaded ? 0
                      : dice_chance(&sim->dice, 700)
                          ? LOAD_FULL
                          : (unsigned)random_below(&sim->dice, LOAD_FULL));
}

static void overload(struct sim *sim)
{
    sim->report.counts[COUNT_OVERLOADS]++;
    sim->loaded_until = sim->now + SECONDS(dice_between(&sim->dice, 2, 20));
    look_at_load(sim);
}

/* clang-format off */
static const struct {
    unsigned weight;
    void (*begin)(struct sim *sim);
    void (*end)(struct sim *sim);
    unsigned lasts; /* seconds at most */
} faults[] = {
    {20, storm,       clear_up,          60},
    {12, cut_off,     NULL,              0},
    {40, kill_server, NULL,              0},
    {2,  cut_power,   NULL,              0},
    {2,  jump_wall,   NULL,              0},
    {1,  suspend,     NULL,              0},
    {8,  fill_disk,   machine_mend_disk, 30},
    {12, slow_disk,   machine_mend_disk, 30},
    {4,  overload,    NULL,              0},
};
/* clang-format on */

static void throw_fault(struct sim *sim)
{
    unsigned weights[COUNT_OF(faults)], i;

    agenda_note(&sim->agenda,
                sim->now + dice_wait(&sim->dice, SECONDS(sim->phase == PHASE_KILLS ? 20 : 10)),
                DUE_FAULT, 0, NULL);
    if (sim->phase == PHASE_KILLS)
        arm_kill(sim, 8, 1500);
    if (sim->phase != PHASE_FAULTS)
        return;
    if (sim->has_wires && dice_chance(&sim->dice, 300))
        wire_weather(sim);
    for (i = 0; i < COUNT_OF(faults); i++)
        weights[i] = faults[i].weight;
    i = dice_weighted(&sim->dice, weights, COUNT_OF(faults));
    faults[i].begin(sim);
    if (faults[i].end)
        agenda_note(&sim->agenda, sim->now + SECONDS(dice_between(&sim->dice, 1, faults[i].lasts)),
                    DUE_RELIEF, i, NULL);
}

static void relieve(struct sim *sim, unsigned fault)
{
    if (sim->phase == PHASE_FAULTS)
        faults[fault].end(sim);
}

/* A server that is killed while it starts. */
static void restart(struct sim *sim)
{
    if (sim->phase <= PHASE_KILLS && dice_chance(&sim->dice, 150))
        arm_kill(sim, 12, 500);
    machine_restart(sim);
}

/* -- what is due -- */

void sim_node_receive(struct sim *sim, uint32_t node, const struct flow *flow, struct slice bytes)
{
    if (node < sim->phone_count)
        phone_receive(sim, &sim->phones[node], flow, bytes);
}

static void inspect(struct sim *sim)
{
    machine_reload(sim);
    judge_inspect(sim);
    agenda_note(&sim->agenda, sim->now + SECONDS(60), DUE_INSPECTION, 0, NULL);
}

static void look_at_transactions(struct sim *sim)
{
    lifetime_look(sim);
    agenda_note(&sim->agenda, sim->now + LIFETIME_LOOKS, DUE_LIFETIMES, 0, NULL);
}

static void dispatch(struct sim *sim, const struct due *due)
{
    switch (due->kind) {
    case DUE_ARRIVAL: network_deliver(sim, due->what); break;
    case DUE_PHONE: phone_wake(sim, &sim->phones[due->who]); break;
    case DUE_STRANGER: stranger_act(sim, &sim->strangers[due->who - sim->phone_count]); break;
    case DUE_STORE: machine_tick(sim); break;
    case DUE_ARCHIVE: archive_write(sim, due->who); break;
    case DUE_RESTART: restart(sim); break;
    case DUE_PAST: machine_recall(sim, due->who); break;
    case DUE_FAULT: throw_fault(sim); break;
    case DUE_RELIEF: relieve(sim, due->who); break;
    case DUE_LOAD: look_at_load(sim); break;
    case DUE_DNS: zone_answer(sim, due->who, due->what); break;
    case DUE_LEGS: relay_answer(sim, due->who, due->what); break;
    case DUE_NOTARY: notary_act(sim); break;
    case DUE_CERTIFICATE: notary_answer(sim, due->who, due->what); break;
    case DUE_UNREACHED: network_refuse(sim, due->who, due->what); break;
    case DUE_PHASE: begin_phase(sim, (enum phase)due->who); break;
    case DUE_WIRE:
        wire_end(sim, due->what, due->who);
        free(due->what);
        break;
    case DUE_DIAL:
        wire_dialled(sim, due->what, due->who);
        free(due->what);
        break;
    case DUE_READ:
        pipe_read_late(sim, due->what, due->who);
        free(due->what);
        break;
    case DUE_SILENCE:
        wire_listen(sim, due->what, due->who);
        free(due->what);
        break;
    case DUE_INSPECTION: inspect(sim); break;
    case DUE_LIFETIMES: look_at_transactions(sim); break;
    case DUE_KIND_COUNT: break;
    }
}

/* -- the domain -- */

static void put_user(struct sim *sim, unsigned index)
{
    static char names[MACHINE_USERS][8], extensions[MACHINE_USERS][8];
    struct user_settings *user = &sim->machine.users[index];
    struct writer name = writer_over(names[index], sizeof names[index]);
    struct writer extension = writer_over(extensions[index], sizeof extensions[index]);

    put(&name, "u%u", index);
    put(&extension, "%u", FIRST_EXTENSION + index);
    *user = (struct user_settings){
        .id = writer_slice(&name),
        .extension = writer_slice(&extension),
        .has_ha1 = {true, true},
        .source = index % 2 ? SOURCE_DATABASE : SOURCE_FILE,
    };
    for (unsigned a = 0; a < ALGORITHM_COUNT; a++)
        digest_ha1(&sim_digests, a, user->id, S(SERVER_DOMAIN), user->id, user->ha1[a]);
}

/* How many of a thousand phones have a trait. */
static const struct {
    enum trait trait;
    unsigned thousandths;
} traits[] = {
    {TRAIT_RPORT, 800},    {TRAIT_EAGER, 500},  {TRAIT_NEVER_ACKS, 20}, {TRAIT_SILENT, 20},
    {TRAIT_TWOFOLD, 20},   {TRAIT_STORMY, 20},  {TRAIT_LOOPING, 15},    {TRAIT_STRICT, 40},
    {TRAIT_OUTBOUND, 200}, {TRAIT_TIMERS, 500},
};

static unsigned throw_traits(struct sim *sim)
{
    unsigned thrown = 0;

    for (unsigned i = 0; i < COUNT_OF(traits); i++)
        if (dice_chance(&sim->dice, traits[i].thousandths))
            thrown |= traits[i].trait;
    if (sim->has_wires && dice_chance(&sim->dice, 500))
        thrown |= TRAIT_STREAM | (dice_chance(&sim->dice, 600) ? TRAIT_DOOR : 0) |
                  (dice_chance(&sim->dice, 250) ? TRAIT_WEB : 0);
    if (sim->has_secure && !(thrown & TRAIT_WEB) && (sim->phone_count + sim->report.seed) % 2)
        thrown |= TRAIT_TLS;
    return thrown;
}

#define PHONES_WITH_FLOWS 20u /* more of them than that have one flow each */

static void put_phone(struct sim *sim, unsigned user, unsigned given_traits)
{
    unsigned node = sim->phone_count++;

    assert(node < PHONES_LIMIT);
    sim->network.latency[node] = MS(dice_between(&sim->dice, 1, 60));
    phone_init(sim, &sim->phones[node], node, user, given_traits);
    sim->report.counts[COUNT_PHONES]++;
}

/* A phone, perhaps with a second flow. */
static void put_phone_of(struct sim *sim, unsigned user)
{
    unsigned thrown = throw_traits(sim);
    bool has_flows = sim->has_wires && sim->phone_count < PHONES_WITH_FLOWS &&
                     !(thrown & TRAITS_RUDE) && dice_chance(&sim->dice, 300);
    unsigned ways = TRAIT_STREAM | TRAIT_DOOR | TRAIT_WEB | TRAIT_TLS;

    put_phone(sim, user, thrown | (has_flows ? TRAIT_FLOWS : 0));
    if (has_flows)
        put_phone(sim, user,
                  (thrown & ~ways) | (throw_traits(sim) & ways) | TRAIT_FLOWS | TRAIT_SECOND);
}

#define PHONES_LEAST 20u /* of our own domain, without the impostor */

static void put_everybody(struct sim *sim)
{
    unsigned users = (unsigned)dice_between(&sim->dice, 12, 16);

    for (unsigned i = 0; i < users; i++)
        put_user(sim, i);
    sim->machine.user_count = users;
    machine_restart(sim);
    for (unsigned user = 0; user < users; user++) {
        unsigned first = sim->phone_count;
        for (uint64_t n = user < 8 ? dice_between(&sim->dice, 1, 3) : 1; n > 0; n--)
            put_phone_of(sim, user);
        if (sim->phone_count - first > 1 && dice_chance(&sim->dice, 600))
            for (unsigned i = first; i < sim->phone_count; i++)
                sim->phones[i].q = sim->phones[i].traits & TRAIT_SECOND
                                       ? sim->phones[i - 1].q
                                       : 250 * (unsigned)dice_between(&sim->dice, 1, 3);
    }
    while (sim->phone_count < PHONES_LEAST) {
        unsigned user = (unsigned)random_below(&sim->dice, users);
        put_phone(sim, user, throw_traits(sim));
    }
    put_phone(sim, 0, TRAIT_IMPOSTOR | TRAIT_RPORT);
    sim->foreign_first = sim->phone_count;
    for (unsigned i = 0; i < 3; i++)
        put_phone(sim, i, TRAIT_FOREIGN | TRAIT_RPORT);
    if (zone_is_seed(sim->report.seed)) {
        put_phone(sim, ZONES, TRAIT_FOREIGN | TRAIT_RPORT | TRAIT_BUSY);
        zone_init(sim, sim->report.seed);
    }
    for (unsigned i = 0; i < STRANGERS; i++) {
        sim->network.latency[sim->phone_count + i] = MS(20);
        stranger_init(sim, &sim->strangers[i], sim->phone_count + i);
    }
    if (notary_is_seed(sim->report.seed))
        notary_init(sim, sim->report.seed);
}

#define SPIN_LIMIT 1000000u /* things at one instant: more, and time would stand still */

void sim_run(struct sim *sim, uint64_t seed)
{
    uint32_t spins = 0;

    sim->report.seed = seed;
    sim->dice = random_seeded((struct hash_key){seed, 0x73697077});
    sim->network.weather = usual_weather;
    sim->has_secure = zone_is_secure(seed);
    sim->has_wires = wire_is_seed(seed) || sim->has_secure;
    pipe_init(sim, seed);
    if (sim->has_secure)
        zone_throw_trust(sim, seed);
    machine_init(sim);
    begin_phase(sim, PHASE_FAULTS);
    put_everybody(sim);
    agenda_note(&sim->agenda, SECONDS(60), DUE_FAULT, 0, NULL);
    agenda_note(&sim->agenda, SECONDS(60), DUE_INSPECTION, 0, NULL);
    agenda_note(&sim->agenda, LIFETIME_LOOKS, DUE_LIFETIMES, 0, NULL);
    while (sim->phase != PHASE_OVER && !sim->report.has_failed) {
        instant due_at = agenda_next(&sim->agenda), deadline = machine_deadline(sim);
        instant next = min_u64(due_at, deadline);
        spins = next == sim->now ? spins + 1 : 0;
        if (spins > SPIN_LIMIT)
            judge_fail(sim, "time goes on", "%u events at one instant", spins);
        sim->now = next;
        if (deadline <= due_at) {
            machine_tick(sim);
        } else {
            struct due due = agenda_take(&sim->agenda);
            dispatch(sim, &due);
        }
    }
}

void sim_free(struct sim *sim)
{
    while (sim->agenda.count) {
        struct due due = agenda_take(&sim->agenda);
        if (due.kind == DUE_ARRIVAL || due.kind == DUE_UNREACHED)
            copy_free(&((struct datagram *)due.what)->bytes);
        free(due.what);
    }
    free(sim->agenda.heap);
    for (unsigned i = 0; i < sim->phone_count; i++)
        phone_free(&sim->phones[i]);
    stranger_free_ears(&sim->ears);
    machine_free(sim);
    relay_free(sim);
    network_free(sim);
    pipe_free(sim);
    judge_free(sim);
}
