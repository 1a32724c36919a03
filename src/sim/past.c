#include "sim/past.h"

#include "sim/copy.h"
#include "sim/sim.h"

#define PAUSE_LONGEST MS(30) /* between two bits of it */

static bool is_of_database(const struct user_settings *user)
{
    return user->source == SOURCE_DATABASE;
}

static bool find(void *self, enum roster_key key, struct slice name, struct user_settings *user)
{
    const struct machine *m = &((struct sim *)self)->machine;

    for (unsigned i = 0; i < m->user_count; i++) {
        *user = m->users[i];
        if (is_of_database(user) &&
            slice_equal(key == ROSTER_ID ? user->id : user->extension, name))
            return true;
    }
    return false;
}

void past_begin(struct sim *sim, uint64_t journal_bytes)
{
    struct machine *m = &sim->machine;
    struct past *past = &m->past;

    *past = (struct past){
        .roster = {find, sim},
        .dice = random_seeded((struct hash_key){m->origin.seed.k1, m->origin.seed.k0}),
        .size = recall_bytes(journal_bytes),
    };
    past->memory = take(1, past->size);
    recall_begin(m->core, past->memory, journal_bytes, &past->roster);
}

void past_put_users(struct sim *sim)
{
    struct machine *m = &sim->machine;

    for (unsigned i = 0; i < m->user_count; i++)
        if ((!m->past.memory || !is_of_database(&m->users[i])) &&
            !core_put_user(m->core, &m->users[i]))
            abort();
}

struct slice past_keep(struct sim *sim, struct slice record)
{
    struct past *past = &sim->machine.past;

    if (past->count == past->room) {
        past->room = 2 * past->room + 64;
        past->records = realloc(past->records, past->room * sizeof *past->records);
        if (!past->records)
            abort();
    }
    past->records[past->count] = copy_slice(record);
    return past->records[past->count++];
}

void past_note(struct sim *sim)
{
    struct past *past = &sim->machine.past;

    if (past->memory)
        agenda_note(&sim->agenda, sim->now + random_below(&past->dice, PAUSE_LONGEST), DUE_PAST,
                    sim->machine.starts, NULL);
}

const struct user_settings *past_next_user(struct sim *sim)
{
    struct machine *m = &sim->machine;

    while (m->past.next_user < m->user_count) {
        const struct user_settings *user = &m->users[m->past.next_user++];
        if (is_of_database(user))
            return user;
    }
    return NULL;
}

void past_end(struct sim *sim)
{
    struct past *past = &sim->machine.past;

    for (size_t i = 0; i < past->count; i++)
        copy_free(&past->records[i]);
    free(past->records);
    free(past->memory);
    *past = (struct past){0};
}
