#include "sim/weeks.h"

#include "sim/letter.h"
#include "sim/sim.h"

#define DAY SECONDS(24 * 3600)

/* The clock may have jumped for hours, and a proof was perhaps not written anew for a day. */
#define SURE_DAYS 28u
#define MEMORY_DAYS 31u

/* A phone of ours whose requests get through; NULL if there is none. */
static struct phone *find_writer(struct sim *sim)
{
    for (unsigned i = 0; i < sim->foreign_first; i++) {
        struct phone *phone = &sim->phones[i];
        if (!phone_is_rude(phone) && !phone_is_by_stream(phone) && !(phone->traits & TRAIT_SECOND))
            return phone;
    }
    return NULL;
}

static void write_to_all(struct sim *sim)
{
    struct phone *phone = find_writer(sim);
    char text[64];

    if (!phone)
        return;
    for (unsigned i = 0; i < ZONES; i++) {
        struct writer w = writer_over(text, sizeof text);
        if (!zone_is_free(sim, i))
            continue;
        put(&w, "sip:f%u@d%u.example", i, i);
        phone_write_to(sim, phone, writer_slice(&w));
        sim->zones.at[i].is_written_to = true;
    }
    phone_arrange(sim, phone);
}

void weeks_pass(struct sim *sim)
{
    struct random dice = random_seeded((struct hash_key){sim->report.seed, 0x7765656b});
    struct zones *z = &sim->zones;

    if (!sim->has_secure)
        return;
    z->is_memory_over = dice_chance(&dice, 500);
    machine_suspend(sim, DAY * (z->is_memory_over ? dice_between(&dice, MEMORY_DAYS, 60)
                                                  : dice_between(&dice, 1, SURE_DAYS)));
    switch (random_below(&dice, 3)) {
    case 0: machine_kill(sim, SECONDS(1)); break;
    case 1: machine_cut_power(sim, SECONDS(1)); break;
    default: break;
    }
    zone_hide_tls(sim);
    write_to_all(sim);
}

static void judge_zone(struct sim *sim, unsigned i)
{
    const struct zone *at = &sim->zones.at[i];
    bool is_free = !at->may_be_known || sim->zones.is_memory_over;

    if (is_free && !at->is_asked_in_clear)
        judge_fail(sim, "a proof is forgotten after thirty days", "d%u.example", i);
    if (at->may_be_known)
        sim->report.counts[at->is_asked_in_clear ? COUNT_FORGOTTEN : COUNT_WITHHELD]++;
}

void weeks_judge(struct sim *sim)
{
    for (unsigned i = 0; sim->has_secure && i < ZONES; i++)
        if (sim->zones.at[i].is_written_to)
            judge_zone(sim, i);
}
