#include "core/recall.h"

#include "core/location.h"

#define SMALLEST_RECORD 17u /* bytes of the journal that say that a binding is gone */
#define USUAL_RECORD 128u   /* and that bind */
#define SMALLEST_HEADS 16u
#define UNLINKED 16u /* notes: as many as lie between a memory access and its end */
#define LOOKS 1024u  /* notes looked at in a step of the walk */

/* A record about a binding. */
struct note {
    uint64_t id;
    const char *record; /* one that binds, behind its type; NULL if it removes, or is done with */
    uint32_t len;
    uint32_t user;                     /* hash of the user's id */
    uint32_t next_by_id, next_by_user; /* older ones with the same hash; 0 = none */
};

/* Index 0 is never used.  The newest notes are not linked yet: the heads they belong to were asked
 * for when they were written, and are in the cache some notes later. */
struct recall {
    struct core *core;
    const struct roster *roster;
    struct moment began; /* as the clocks stood when the records were still to be read */
    struct note *notes;
    uint32_t *by_id, *by_user; /* newest notes; as many as mask + 1 */
    uint32_t mask;
    uint32_t used, linked, limit;
    uint32_t walked;  /* notes behind the walk */
    uint32_t waiting; /* notes that bind, of which nobody knows yet whether they are the newest */
    bool has_brought; /* somebody's bindings are in memory */
};

static uint32_t note_limit(uint64_t journal_bytes)
{
    return (uint32_t)min_u64(journal_bytes / SMALLEST_RECORD, UINT32_MAX / 2);
}

static uint32_t head_count(uint64_t journal_bytes)
{
    uint32_t heads = SMALLEST_HEADS;

    while (heads < min_u64(journal_bytes / USUAL_RECORD, UINT32_MAX / 4))
        heads *= 2;
    return heads;
}

size_t recall_bytes(uint64_t journal_bytes)
{
    return sizeof(struct recall) + ((size_t)note_limit(journal_bytes) + 1) * sizeof(struct note) +
           2 * sizeof(uint32_t) * (size_t)head_count(journal_bytes) + 4 * 64;
}

void recall_begin(struct core *core, void *memory, uint64_t journal_bytes,
                  const struct roster *roster)
{
    struct arena arena = arena_over(memory, recall_bytes(journal_bytes));
    struct recall *recall = arena_take(&arena, sizeof *recall);
    size_t heads = head_count(journal_bytes);

    *recall = (struct recall){
        .core = core,
        .roster = roster,
        .began = core->now,
        .limit = note_limit(journal_bytes),
        .mask = (uint32_t)heads - 1,
        .by_id = arena_take(&arena, heads * sizeof *recall->by_id),
        .by_user = arena_take(&arena, heads * sizeof *recall->by_user),
    };
    recall->notes = arena_take(&arena, ((size_t)recall->limit + 1) * sizeof *recall->notes);
    assert(recall->by_id && recall->by_user && recall->notes);
    core->recall = recall;
}

bool recall_goes_on(const struct core *core)
{
    return core->recall != NULL;
}

uint32_t recall_owed(const struct core *core)
{
    return core->recall ? core->recall->waiting : 0;
}

static struct slice note_record(const struct note *note)
{
    return slice_of(note->record, note->len);
}

static uint32_t user_hash(const struct recall *recall, struct slice id)
{
    return (uint32_t)hash_bytes(&recall->core->key_table, id);
}

/* Ids are hashes, or random (location_bind): they serve as their own. */
static uint32_t *head_by_id(const struct recall *recall, uint64_t id)
{
    return &recall->by_id[id >> 32 & recall->mask];
}

static uint32_t *head_by_user(const struct recall *recall, uint32_t hash)
{
    return &recall->by_user[hash & recall->mask];
}

static void link_next(struct recall *recall)
{
    struct note *note = &recall->notes[++recall->linked];
    uint32_t *by_id = head_by_id(recall, note->id);
    uint32_t *by_user = head_by_user(recall, note->user);

    note->next_by_id = *by_id;
    *by_id = recall->linked;
    if (!note->record)
        return;
    note->next_by_user = *by_user;
    *by_user = recall->linked;
}

static void link_all(struct recall *recall)
{
    while (recall->linked < recall->used)
        link_next(recall);
}

static void add_note(struct recall *recall, const struct note *note)
{
    assert(recall->used < recall->limit);
    recall->notes[++recall->used] = *note;
    recall->waiting += note->record != NULL;
    __builtin_prefetch(head_by_id(recall, note->id), 1);
    if (note->record)
        __builtin_prefetch(head_by_user(recall, note->user), 1);
    if (recall->used - recall->linked > UNLINKED)
        link_next(recall);
}

static struct note *newest(const struct recall *recall, uint64_t id)
{
    for (uint32_t i = *head_by_id(recall, id); i; i = recall->notes[i].next_by_id)
        if (recall->notes[i].id == id)
            return &recall->notes[i];
    return NULL;
}

static void be_done_with(struct recall *recall, struct note *note)
{
    recall->waiting -= note->record != NULL;
    note->record = NULL;
}

static bool has_bindings(const struct core *core, struct slice id)
{
    const struct user *user = core->recall->has_brought ? location_known(core, id) : NULL;

    return user && !user->lacks_bindings;
}

void recall_bind(struct core *core, struct reader *r, struct moment now, struct actions *out)
{
    struct slice record = r->rest, user;

    if (!location_bound_user(record, &user))
        return;
    if (has_bindings(core, user)) {
        location_restore_bind(core, r, now, out);
        return;
    }
    add_note(core->recall, &(struct note){.id = read_u64(r),
                                          .record = record.at,
                                          .len = (uint32_t)record.len,
                                          .user = user_hash(core->recall, user)});
}

void recall_unbind(struct core *core, uint64_t id)
{
    add_note(core->recall, &(struct note){.id = id});
}

static bool is_of(const struct note *note, uint32_t hash, struct slice user)
{
    struct slice bound;

    return note->user == hash && note->record && location_bound_user(note_record(note), &bound) &&
           slice_equal(bound, user);
}

/* Takes the notes of a user off their chain, which has the newest first; of each binding the
 * newest, the oldest binding first. */
static uint32_t take_notes(struct recall *recall, struct slice user)
{
    uint32_t hash = user_hash(recall, user), taken = 0;
    uint32_t *at = head_by_user(recall, hash);

    while (*at) {
        uint32_t index = *at;
        struct note *note = &recall->notes[index];
        if (!is_of(note, hash, user)) {
            at = &note->next_by_user;
            continue;
        }
        *at = note->next_by_user;
        if (newest(recall, note->id) != note) {
            be_done_with(recall, note);
            continue;
        }
        note->next_by_user = taken;
        taken = index;
    }
    return taken;
}

/* Now, as if the wall clock had not been set since: what it says there was written before. */
static struct moment moment_of(const struct recall *recall)
{
    struct moment now = recall->core->now;

    now.wall = recall->began.wall + (int64_t)((now.boot - recall->began.boot) / SECONDS(1));
    return now;
}

static void restore_note(struct recall *recall, struct note *note, struct actions *out)
{
    struct reader r = reader_over(note_record(note));

    be_done_with(recall, note);
    location_restore_bind(recall->core, &r, moment_of(recall), out);
}

/* What was bound before it could not be bound any more waits for the walk, which takes it back. */
static void bring_bindings(struct recall *recall, struct user *user)
{
    uint32_t index;

    user->lacks_bindings = false;
    recall->has_brought = true;
    if (!user_may_be_bound(user))
        return;
    link_all(recall);
    for (index = take_notes(recall, user_id(user)); index;
         index = recall->notes[index].next_by_user)
        restore_note(recall, &recall->notes[index], NULL);
}

struct user *recall_user(struct recall *recall, struct user *user, enum roster_key key,
                         struct slice name)
{
    const struct roster *roster = recall->roster;
    struct user_settings settings;

    if (!user && roster->find(roster->self, key, name, &settings) &&
        location_put_user(recall->core, &settings, false, NULL))
        user = location_known(recall->core, settings.id);
    if (user && user->lacks_bindings)
        bring_bindings(recall, user);
    return user;
}

static void bring_user(struct recall *recall, const struct note *note)
{
    struct slice user;

    if (location_bound_user(note_record(note), &user))
        location_find_id(recall->core, user);
}

void recall_binding(struct recall *recall, uint64_t id)
{
    const struct note *note;

    link_all(recall);
    note = newest(recall, id);
    if (note && note->record)
        bring_user(recall, note);
}

static void bring_note(struct recall *recall, struct note *note, struct actions *out)
{
    bring_user(recall, note);
    if (note->record && newest(recall, note->id) == note)
        restore_note(recall, note, out); /* its user is gone, or may not be bound */
    be_done_with(recall, note);
}

void recall_some(struct core *core, struct actions *out)
{
    struct recall *recall = core->recall;
    unsigned brought = 0;

    link_all(recall);
    for (unsigned n = 0; n < LOOKS && brought < STEP_WORK && recall->walked < recall->used; n++) {
        struct note *note = &recall->notes[++recall->walked];
        brought += note->record != NULL;
        if (note->record)
            bring_note(recall, note, out);
    }
    if (recall->walked == recall->used)
        core->recall = NULL;
}

bool recall_next(struct recall *recall, uint32_t *cursor, struct binding_view *view)
{
    link_all(recall);
    while (*cursor < recall->used) {
        const struct note *note = &recall->notes[++*cursor];
        if (note->record && newest(recall, note->id) == note &&
            location_view_record(recall->core, note_record(note), moment_of(recall), view))
            return true;
    }
    return false;
}
