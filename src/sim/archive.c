#include "sim/archive.h"

#include "core/calls.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sim/trace.h"

#define WRITE_AFTER 2500u /* milliseconds at most */

static uint64_t number_of(struct slice record)
{
    struct reader r = reader_over(record);

    return read_u64(&r);
}

static void append(struct archive_row **rows, unsigned *count, unsigned *room,
                   struct archive_row row)
{
    if (*count == *room) {
        *room = *room ? 2 * *room : 256;
        *rows = realloc(*rows, *room * sizeof row);
        if (!*rows)
            abort();
    }
    (*rows)[(*count)++] = row;
}

static void plan(struct sim *sim)
{
    agenda_note(&sim->agenda, sim->now + MS(dice_between(&sim->dice, 0, WRITE_AFTER)), DUE_ARCHIVE,
                sim->machine.starts, NULL);
}

void archive_take(struct sim *sim, struct slice record)
{
    struct archive *a = &sim->machine.archive;

    if (!a->waiting_count)
        plan(sim);
    if (a->waiting_count == CALL_WINDOW)
        judge_fail(sim, "the database is given no more than it can hold", "%u", CALL_WINDOW);
    append(&a->waiting, &a->waiting_count, &a->waiting_room,
           (struct archive_row){number_of(record), copy_slice(record)});
}

static struct call_record read_row(const struct archive_row *row)
{
    struct reader r = reader_over(row->record);
    struct call_record record;

    if (!call_read(&r, &record) || r.rest.len)
        abort();
    return record;
}

/* Rows with this Call-ID; *last is the last of them. */
static unsigned rows_of(const struct archive *a, struct slice call_id, struct call_record *last)
{
    unsigned count = 0;

    for (unsigned i = 0; i < a->row_count; i++) {
        struct call_record record = read_row(&a->rows[i]);
        if (!slice_equal(record.call_id, call_id))
            continue;
        *last = record;
        count++;
    }
    return count;
}

static bool is_there(const struct archive *a, uint64_t id)
{
    for (unsigned i = a->row_count; i > 0; i--)
        if (a->rows[i - 1].id == id)
            return true;
    return false;
}

static void write_one(struct sim *sim, struct archive_row *row)
{
    struct archive *a = &sim->machine.archive;

    if (is_there(a, row->id)) {
        sim->report.counts[COUNT_RECORDS_AGAIN]++;
        copy_free(&row->record);
        return;
    }
    sim->report.counts[COUNT_RECORDS]++;
    append(&a->rows, &a->row_count, &a->row_room, *row);
}

/* What was just written is told in parts, between which the machine may die. */
static void tell(struct sim *sim, const uint64_t *numbers, unsigned count)
{
    for (unsigned i = 0; i < count && sim->machine.is_up; i += CALLS_KEPT_AT_ONCE) {
        unsigned part = count - i < CALLS_KEPT_AT_ONCE ? count - i : CALLS_KEPT_AT_ONCE;

        if (sim->phase <= PHASE_KILLS && dice_chance(&sim->dice, 30)) {
            machine_kill(sim, MS(dice_between(&sim->dice, 1, 2000)));
            return;
        }
        machine_calls_kept(sim, slice_of((const char *)&numbers[i], part * sizeof *numbers));
    }
}

void archive_write(struct sim *sim, uint32_t start)
{
    struct archive *a = &sim->machine.archive;
    unsigned count = a->waiting_count;
    uint64_t *numbers;

    if (!sim->machine.is_up || sim->machine.starts != start || !count)
        return;
    if (sim->machine.disk == DISK_FULL) {
        plan(sim);
        return;
    }
    numbers = take(count, sizeof *numbers);
    for (unsigned i = 0; i < count; i++) {
        numbers[i] = a->waiting[i].id;
        write_one(sim, &a->waiting[i]);
    }
    a->waiting_count = 0;
    tell(sim, numbers, count);
    free(numbers);
}

void archive_kill(struct sim *sim)
{
    struct archive *a = &sim->machine.archive;

    for (unsigned i = 0; i < a->waiting_count; i++)
        copy_free(&a->waiting[i].record);
    a->waiting_count = 0;
}

uint64_t archive_first(const struct sim *sim)
{
    const struct archive *a = &sim->machine.archive;
    uint64_t first = 1;

    for (unsigned i = 0; i < a->row_count; i++)
        first = max_u64(first, a->rows[i].id + 1);
    return first;
}

/* -- judging -- */

/* Some phone was asked to take this call. */
static bool was_forwarded(const struct sim *sim, struct slice call_id)
{
    for (unsigned i = 0; i < sim->phone_count; i++) {
        const struct phone *phone = &sim->phones[i];
        for (const struct call *c = phone->calls; c; c = c->next)
            if (!c->is_caller && slice_equal(slice_text(c->call_id), call_id))
                return true;
        for (const struct call *c = phone->past_calls; c; c = c->next)
            if (!c->is_caller && slice_equal(slice_text(c->call_id), call_id))
                return true;
    }
    return false;
}

/* When its INVITE was sent: a second answer made a call object of its own, later. */
static instant begin_of(const struct phone *phone, const struct call *c)
{
    instant began = c->began;

    for (const struct call *d = phone->calls; d; d = d->next)
        if (d->is_caller && strcmp(d->call_id, c->call_id) == 0)
            began = min_u64(began, d->began);
    for (const struct call *d = phone->past_calls; d; d = d->next)
        if (d->is_caller && strcmp(d->call_id, c->call_id) == 0)
            began = min_u64(began, d->began);
    return began;
}

static void judge_call(struct sim *sim, const struct phone *phone, const struct call *c)
{
    struct slice call_id = slice_text(c->call_id);
    struct call_record record = {0};
    unsigned count;

    if (!c->is_caller || sim->judge.upheaval >= begin_of(phone, c) || !was_forwarded(sim, call_id))
        return;
    count = rows_of(&sim->machine.archive, call_id, &record);
    if (count > 1 && count <= 1 + stranger_repeats(sim, call_id))
        return; /* which of them is the genuine one cannot be told */
    if (count != 1)
        judge_fail(sim, "each call has one record", "%s has %u", c->call_id, count);
    else if (c->was_hung_up && !record.answered)
        judge_fail(sim, "a record tells what became of the call", "%s was hung up, not refused",
                   c->call_id);
    else if (record.answered && record.ended < record.answered)
        judge_fail(sim, "a record tells what became of the call", "%s ended before its answer",
                   c->call_id);
}

void archive_judge(struct sim *sim)
{
    const struct archive *a = &sim->machine.archive;

    if (a->waiting_count)
        judge_fail(sim, "records reach the database", "%u wait", a->waiting_count);
    for (unsigned i = 0; i < sim->phone_count; i++) {
        for (const struct call *c = sim->phones[i].calls; c; c = c->next)
            judge_call(sim, &sim->phones[i], c);
        for (const struct call *c = sim->phones[i].past_calls; c; c = c->next)
            judge_call(sim, &sim->phones[i], c);
    }
}

void archive_free(struct archive *a)
{
    for (unsigned i = 0; i < a->row_count; i++)
        copy_free(&a->rows[i].record);
    for (unsigned i = 0; i < a->waiting_count; i++)
        copy_free(&a->waiting[i].record);
    free(a->rows);
    free(a->waiting);
}
