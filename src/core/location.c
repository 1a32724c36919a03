#include "core/location.h"

#include "core/connection.h"
#include "core/fault.h"
#include "core/recall.h"
#include "core/record.h"
#include "core/tell.h"

#define KEEP_OPEN_INTERVAL SECONDS(25) /* between keep-alives; the shortest mappings live 30 */
/* What is stored outlives what was promised by a tenth, so that most refreshes need no record. */
#define SLACK(seconds) ((seconds) + (seconds) / 10)

size_t location_bytes(const struct limits *limits)
{
    return pool_bytes(sizeof(struct user), limits->users) + 2 * table_bytes(limits->users) +
           pool_bytes(sizeof(struct binding), limits->bindings) + table_bytes(limits->bindings);
}

void location_init(struct core *core, struct arena *from)
{
    const struct limits *limits = &core->limits;

    pool_init(&core->users, from, sizeof(struct user), limits->users, 1);
    table_init(&core->users_by_id, from, limits->users, core->users.items, sizeof(struct user),
               offsetof(struct user, by_id));
    table_init(&core->users_by_extension, from, limits->users, core->users.items,
               sizeof(struct user), offsetof(struct user, by_extension));
    pool_init(&core->bindings, from, sizeof(struct binding), limits->bindings, 1);
    table_init(&core->bindings_by_id, from, limits->bindings, core->bindings.items,
               sizeof(struct binding), offsetof(struct binding, by_id));
}

struct slice user_id(const struct user *user)
{
    return slice_of(user->text.at, user->id_len);
}

struct slice user_extension(const struct user *user)
{
    return slice_of(user->text.at + user->id_len, user->extension_len);
}

struct slice user_display(const struct user *user)
{
    size_t behind = (size_t)user->contacts_len + user->display_len;

    return slice_of(user->text.at + user->text.len - behind, user->display_len);
}

struct slice user_contacts(const struct user *user)
{
    return slice_of(user->text.at + user->text.len - user->contacts_len, user->contacts_len);
}

bool user_is_written(const struct user *user)
{
    return user->kind == USER_GATEWAY || user->contacts_len;
}

static uint32_t name_hash(const struct core *core, struct slice name)
{
    return (uint32_t)hash_bytes(&core->key_table, name);
}

struct user *location_known(const struct core *core, struct slice id)
{
    uint32_t hash = name_hash(core, id);

    for (uint32_t i = table_first(&core->users_by_id, hash); i;
         i = table_next(&core->users_by_id, i)) {
        struct user *user = pool_at(&core->users, i);
        if (slice_equal(user_id(user), id))
            return user;
    }
    return NULL;
}

static struct user *find_extension(const struct core *core, struct slice extension)
{
    uint32_t hash = name_hash(core, extension);

    for (uint32_t i = table_first(&core->users_by_extension, hash); i;
         i = table_next(&core->users_by_extension, i)) {
        struct user *user = pool_at(&core->users, i);
        if (slice_equal(user_extension(user), extension))
            return user;
    }
    return NULL;
}

struct user *location_find_id(const struct core *core, struct slice id)
{
    struct user *user = location_known(core, id);

    return core->recall ? recall_user(core->recall, user, ROSTER_ID, id) : user;
}

struct user *location_find(const struct core *core, struct slice name)
{
    struct user *user = location_find_id(core, name);

    if (user)
        return user;
    user = find_extension(core, name);
    return core->recall ? recall_user(core->recall, user, ROSTER_EXTENSION, name) : user;
}

/* It was put with the present settings, or outlives them: no leftover of an older configuration. */
static bool is_present(const struct core *core, const struct user *user)
{
    return user->source == SOURCE_DATABASE || user->epoch == core->epoch;
}

/* Two users of the database, where the id of one is the extension of the other: the id counts, and
 * the other is reached by its own.  So it does not matter which of them comes first. */
static bool are_both_of_database(const struct user_settings *settings, const struct user *user)
{
    return settings->source == SOURCE_DATABASE && user->source == SOURCE_DATABASE;
}

/* Nobody else who is present, and counts as much, has this id or extension. */
static bool is_free(const struct core *core, const struct user_settings *settings,
                    const struct user *user)
{
    struct slice extension = settings->extension;
    const struct user *others[] = {
        find_extension(core, settings->id),
        extension.len ? location_known(core, extension) : NULL,
    };
    const struct user *rival = extension.len ? find_extension(core, extension) : NULL;

    for (unsigned i = 0; i < COUNT_OF(others); i++)
        if (others[i] && others[i] != user && is_present(core, others[i]) &&
            !are_both_of_database(settings, others[i]))
            return false;
    return !rival || rival == user || !is_present(core, rival);
}

static void drop_extension(struct core *core, struct user *user)
{
    if (!user->extension_len)
        return;
    table_remove(&core->users_by_extension, pool_index(&core->users, user));
    user->extension_len = 0;
}

/* It is for people, who have read enough of it by then. */
static struct slice shown(const struct user_settings *settings)
{
    return slice_until(settings->display, min_u64(settings->display.len, NAME_LIMIT));
}

static bool make_user_text(struct core *core, const struct user_settings *settings,
                           struct block *text)
{
    size_t len = settings->id.len + settings->extension.len + shown(settings).len;
    struct writer w;

    if (!slab_take(&core->slab, len + settings->contacts.len, text))
        return false;
    w = writer_over(text->at, text->len);
    write_slice(&w, settings->id);
    write_slice(&w, settings->extension);
    write_slice(&w, shown(settings));
    write_slice(&w, settings->contacts);
    return true;
}

/* In place of the former one; its extension is not yet found by it. */
static void set_user_text(struct core *core, struct user *user, struct block text,
                          const struct user_settings *settings)
{
    drop_extension(core, user);
    slab_give(&core->slab, &user->text);
    user->text = text;
    user->id_len = (uint8_t)settings->id.len;
    user->display_len = (uint8_t)shown(settings).len;
    user->contacts_len = (uint16_t)settings->contacts.len;
}

static void set_extension(struct core *core, struct user *user, struct slice extension)
{
    struct user *former;

    if (!extension.len)
        return;
    former = find_extension(core, extension); /* of an older configuration */
    if (former)
        drop_extension(core, former);
    user->extension_len = (uint8_t)extension.len;
    table_insert(&core->users_by_extension, pool_index(&core->users, user),
                 name_hash(core, extension));
}

static void count_md5_only(struct core *core, const struct user *user, uint32_t count)
{
    if (user->has_ha1 && !(user->has_ha1 >> ALGORITHM_SHA256 & 1))
        core->md5_only_count += count;
}

static void set_digests(struct core *core, struct user *user, const struct user_settings *settings)
{
    count_md5_only(core, user, UINT32_MAX);
    memcpy(user->ha1_md5, settings->ha1[ALGORITHM_MD5], sizeof user->ha1_md5);
    memcpy(user->ha1_sha256, settings->ha1[ALGORITHM_SHA256], sizeof user->ha1_sha256);
    user->has_ha1 = 0;
    for (unsigned i = 0; i < ALGORITHM_COUNT; i++)
        user->has_ha1 |= (uint8_t)(settings->has_ha1[i] << i);
    count_md5_only(core, user, 1);
}

void location_set_password(struct core *core, const struct user_settings *settings)
{
    struct user *user = location_find_id(core, settings->id);

    if (user)
        set_digests(core, user, settings);
}

static void set_rights(struct core *core, struct user *user, const struct user_settings *settings)
{
    set_digests(core, user, settings);
    user->epoch = core->epoch;
    user->source = (uint8_t)settings->source;
    user->kind = (uint8_t)settings->kind;
    user->level = settings->level;
    user->is_closed = settings->is_closed;
    user->is_inside_only = settings->is_inside_only;
    user->status = settings->status;
    user->profile = settings->profile;
    user->written = settings->written;
}

static bool may_replace(const struct core *core, const struct user *user,
                        const struct user_settings *settings, bool replaces)
{
    if (!is_present(core, user))
        return true;
    return user->source > settings->source || (replaces && user->source == settings->source);
}

static void unbind_all(struct core *core, struct user *user, struct actions *out)
{
    while (user->first_binding)
        location_unbind(core, pool_at(&core->bindings, user->first_binding), S("gone"), out);
}

bool user_may_be_bound(const struct user *user)
{
    return user->kind < USER_REJECT;
}

bool location_put_user(struct core *core, const struct user_settings *settings, bool replaces,
                       struct actions *out)
{
    struct user *user = location_known(core, settings->id);
    bool is_new = !user;
    struct block text;

    if (!settings->id.len || settings->id.len > NAME_LIMIT ||
        settings->extension.len > NAME_LIMIT || settings->contacts.len > CONTACTS_LIMIT ||
        (user && !may_replace(core, user, settings, replaces)) || !is_free(core, settings, user))
        return false;
    if (!make_user_text(core, settings, &text))
        return false;
    if (is_new)
        user = pool_take(&core->users);
    if (!user) {
        slab_give(&core->slab, &text);
        return false;
    }
    set_user_text(core, user, text, settings);
    if (is_new) {
        user->lacks_bindings = core->recall != NULL;
        table_insert(&core->users_by_id, pool_index(&core->users, user),
                     name_hash(core, settings->id));
    }
    set_extension(core, user, settings->extension);
    set_rights(core, user, settings);
    if (!user_may_be_bound(user))
        unbind_all(core, user, out);
    return true;
}

void location_remove_user(struct core *core, struct user *user, struct actions *out)
{
    unbind_all(core, user, out);
    count_md5_only(core, user, UINT32_MAX);
    drop_extension(core, user);
    table_remove(&core->users_by_id, pool_index(&core->users, user));
    slab_give(&core->slab, &user->text);
    pool_give(&core->users, user);
}

void location_sweep(struct core *core, struct actions *out)
{
    uint32_t end = (uint32_t)min_u64(core->users.used, (uint64_t)core->sweep + SWEEP_ROWS);
    uint32_t count = out->count + STEP_ACTIONS / 4;

    for (; core->sweep <= end && out->count < count; core->sweep++) {
        struct user *user = pool_live_at(&core->users, core->sweep);
        if (user && !is_present(core, user))
            location_remove_user(core, user, out);
    }
    if (core->sweep > core->users.used)
        core->sweep = 0;
}

static uint32_t id_hash(const struct core *core, uint64_t id)
{
    return (uint32_t)hash_bytes(&core->key_table, slice_of((const char *)&id, sizeof id));
}

static struct binding *find_binding(const struct core *core, uint64_t id)
{
    for (uint32_t i = table_first(&core->bindings_by_id, id_hash(core, id)); i;
         i = table_next(&core->bindings_by_id, i)) {
        struct binding *binding = pool_at(&core->bindings, i);
        if (binding->id == id)
            return binding;
    }
    return NULL;
}

struct binding *location_binding(const struct core *core, uint64_t id)
{
    struct binding *binding = find_binding(core, id);

    if (binding || !core->recall)
        return binding;
    recall_binding(core->recall, id);
    return find_binding(core, id);
}

struct binding *location_first(const struct core *core, const struct user *user)
{
    return user->first_binding ? pool_at(&core->bindings, user->first_binding) : NULL;
}

struct binding *location_next(const struct core *core, const struct binding *binding)
{
    return binding->next ? pool_at(&core->bindings, binding->next) : NULL;
}

struct user *location_user(const struct core *core, const struct binding *binding)
{
    return pool_at(&core->users, binding->user);
}

struct flow location_flow(const struct core *core, const struct binding *binding)
{
    struct flow flow = binding->flow;

    if (binding->is_displaced)
        flow_choose_socket(core, &flow, false);
    return flow;
}

struct slice binding_contact(const struct binding *binding)
{
    return slice_of(binding->text.at, binding->contact_len);
}

struct slice binding_call_id(const struct binding *binding)
{
    return slice_of(binding->text.at + binding->contact_len, binding->call_id_len);
}

struct slice binding_path(const struct binding *binding)
{
    return slice_of(binding->text.at + binding->contact_len + binding->call_id_len,
                    binding->path_len);
}

struct slice binding_instance(const struct binding *binding)
{
    struct slice path = binding_path(binding);

    return slice_of(path.at + path.len, binding->instance_len);
}

/* Puts new texts into a binding; false, and nothing changed, if there is no room. */
static bool set_texts(struct core *core, struct binding *binding,
                      const struct binding_request *from)
{
    size_t len = from->contact.len + from->call_id.len + from->path.len + from->instance.len;
    struct block text;
    struct writer w;

    if (len > UINT16_MAX || !slab_take(&core->slab, len, &text))
        return false;
    w = writer_over(text.at, text.len);
    write_slice(&w, from->contact);
    write_slice(&w, from->call_id);
    write_slice(&w, from->path);
    write_slice(&w, from->instance);
    slab_give(&core->slab, &binding->text);
    binding->text = text;
    binding->contact_len = (uint16_t)from->contact.len;
    binding->call_id_len = (uint16_t)from->call_id.len;
    binding->path_len = (uint16_t)from->path.len;
    binding->instance_len = (uint16_t)from->instance.len;
    return true;
}

/* The same for the same phone at the same place, so that calls outlive a registration that was
 * taken back and made anew, as some phones do whenever their network stirs.  Random if that is
 * taken. */
static uint64_t new_id(struct core *core, const struct user *user, const struct binding_request *of)
{
    struct slice place = of->reg_id ? of->instance : of->contact;
    const uint64_t words[] = {
        hash_bytes(&core->key_binding, user_id(user)),
        hash_bytes(&core->key_binding, place),
        of->reg_id,
    };
    uint64_t id = hash_bytes(&core->key_binding, slice_of((const char *)words, sizeof words)) | 1;

    while (find_binding(core, id))
        id = random_next(&core->random) | 1;
    return id;
}

/* A new, empty binding of a user, the first in its list. */
static struct binding *add_binding(struct core *core, struct user *user, uint64_t id)
{
    struct binding *binding = pool_take(&core->bindings);

    if (!binding)
        return NULL;
    binding->id = id;
    binding->user = pool_index(&core->users, user);
    binding->next = user->first_binding;
    binding->timer.kind = TIMER_BINDING;
    user->first_binding = pool_index(&core->bindings, binding);
    user->binding_count++;
    table_insert(&core->bindings_by_id, user->first_binding, id_hash(core, id));
    return binding;
}

/* A phone knows itself by another address than we do. */
static bool contact_is_elsewhere(const struct binding *binding)
{
    struct address_bytes address;
    struct uri uri;

    return uri_parse(binding_contact(binding), &uri) && host_numeric(uri.host, &address) &&
           (address.is_v6 != binding->flow.is_v6 ||
            memcmp(address.at, binding->flow.address, sizeof address.at) != 0 ||
            (uri.port ? uri.port : 5060) != binding->flow.port);
}

static void keep_open(struct core *core, struct binding *binding, bool wanted)
{
    core->kept_open -= binding->is_kept_open;
    binding->is_kept_open =
        wanted && binding->flow.transport == TRANSPORT_UDP && core->kept_open < KEPT_OPEN_LIMIT;
    core->kept_open += binding->is_kept_open;
}

static void drop_binding(struct core *core, struct binding *binding)
{
    struct user *user = location_user(core, binding);
    uint32_t index = pool_index(&core->bindings, binding);
    uint32_t *link = &user->first_binding;

    while (*link != index) /* at most BINDINGS_PER_AOR */
        link = &((struct binding *)pool_at(&core->bindings, *link))->next;
    *link = binding->next;
    user->binding_count--;
    timer_clear(&core->timers, &binding->timer);
    keep_open(core, binding, false);
    table_remove(&core->bindings_by_id, index);
    slab_give(&core->slab, &binding->text);
    pool_give(&core->bindings, binding);
}

static void write_binding(struct core *core, const struct binding *binding, instant until,
                          struct moment now, struct actions *out)
{
    struct writer *w = record_begin(out, RECORD_BIND, binding->id);
    struct flow flow = binding->flow;

    if (binding->is_displaced)
        flow.socket = UINT16_MAX; /* nor will the next run know it */
    write_instant(w, core, until, now);
    write_u32(w, binding->cseq);
    write_u16(w, binding->q);
    write_flow(w, &flow);
    write_counted(w, user_id(location_user(core, binding)));
    write_counted(w, binding_contact(binding));
    write_counted(w, binding_call_id(binding));
    write_counted(w, binding_path(binding));
    write_counted(w, binding_instance(binding));
    write_u32(w, binding->reg_id);
    record_end(out);
}

/* The journal must know: any of this says where requests go, or which REGISTER comes next. */
static bool changes(const struct binding *binding, const struct binding_request *request)
{
    return !flow_equal(&binding->flow, &request->flow) ||
           !slice_equal(binding_contact(binding), request->contact) ||
           !slice_equal(binding_call_id(binding), request->call_id) ||
           !slice_equal(binding_path(binding), request->path) ||
           !slice_equal(binding_instance(binding), request->instance) ||
           binding->reg_id != request->reg_id || binding->q != request->q;
}

static void arm(struct core *core, struct binding *binding, instant now, duration first)
{
    instant due = binding->expires;

    if (binding->is_kept_open)
        due = min_u64(due, now + first);
    if (due == NEVER) /* until it is released */
        timer_clear(&core->timers, &binding->timer);
    else
        timer_set(&core->timers, &binding->timer, due);
}

bool location_bind(struct core *core, struct user *user, struct binding *binding,
                   const struct binding_request *request, struct moment now, struct actions *out)
{
    instant expires = now.boot + SECONDS(request->expires);
    bool is_new = !binding;
    bool is_changed;

    if (is_new) {
        if (user->binding_count >= BINDINGS_PER_AOR)
            return false;
        binding = add_binding(core, user, new_id(core, user, request));
        if (!binding)
            return false;
    }
    is_changed = is_new || changes(binding, request);
    if (is_changed && !set_texts(core, binding, request)) {
        if (is_new)
            drop_binding(core, binding);
        return false;
    }
    binding->cseq = request->cseq;
    binding->q = request->q;
    binding->reg_id = request->reg_id;
    binding->flow = request->flow;
    binding->is_restored = binding->is_displaced = false;
    if (core->store_failed) /* a short grant, which must not cut an earlier promise */
        expires = max_u64(expires, binding->expires);
    binding->expires = expires;
    keep_open(core, binding,
              !request->keeps_itself && (request->is_behind_nat || contact_is_elsewhere(binding)));
    arm(core, binding, now.boot, KEEP_OPEN_INTERVAL);
    if (core->store_failed) {
        binding->stored_until = 0;
    } else if (is_changed || expires > binding->stored_until) {
        binding->stored_until = now.boot + SECONDS(SLACK(request->expires));
        write_binding(core, binding, binding->stored_until, now, out);
    }
    core->tally.bound += is_new;
    if (is_changed)
        tell_bound(core, binding, out);
    return true;
}

bool location_activate(struct core *core, struct user *user, struct slice contact,
                       const struct flow *flow, struct moment now, struct actions *out)
{
    struct binding_request from = {.contact = contact, .call_id = S("activated")};
    struct binding *binding = user->binding_count < BINDINGS_PER_AOR
                                  ? add_binding(core, user, new_id(core, user, &from))
                                  : NULL;

    if (!binding)
        return false;
    if (!set_texts(core, binding, &from)) {
        drop_binding(core, binding);
        return false;
    }
    binding->q = 1000;
    binding->flow = *flow;
    binding->expires = binding->stored_until = NEVER;
    write_binding(core, binding, NEVER, now, out);
    core->tally.bound++;
    tell_bound(core, binding, out);
    return true;
}

void location_unbind(struct core *core, struct binding *binding, struct slice why,
                     struct actions *out)
{
    if (!fault_is(FAULT_BINDING_RESURRECTED)) {
        record_begin(out, RECORD_UNBIND, binding->id);
        record_end(out);
    }
    core->tally.unbound++;
    tell_unbound(core, binding, why, out);
    drop_binding(core, binding);
}

void location_expire(struct core *core, struct binding *binding, instant now, struct actions *out)
{
    struct slice nothing = S("\r\n\r\n");
    size_t start = out->bytes.len;

    if (now >= binding->expires || !binding->is_kept_open) {
        location_unbind(core, binding, S("expired"), out);
        return;
    }
    write_slice(&out->bytes, nothing);
    actions_push(out, (struct action){.kind = ACTION_SEND,
                                      .flow = binding->flow,
                                      .bytes = slice_of(out->bytes.at + start, nothing.len)});
    arm(core, binding, now, KEEP_OPEN_INTERVAL);
}

void location_persist(struct core *core, const struct binding *binding, struct moment now,
                      struct actions *out)
{
    instant until = max_u64(binding->expires, binding->stored_until);

    write_binding(core, binding, until, now, out);
}

/* What a record says of a binding. */
struct bind_record {
    uint64_t id;
    instant until;
    struct slice user;
    struct binding_request request;
};

/* False if it is broken. */
static bool read_binding(const struct core *core, struct reader *r, struct moment now,
                         struct bind_record *record)
{
    struct binding_request *from = &record->request;
    duration longest = SECONDS(SLACK((uint64_t)core->settings->expires_longest));

    *record = (struct bind_record){.id = read_u64(r)};
    record->until = read_instant(r, core, now, longest);
    from->cseq = read_u32(r);
    from->q = read_u16(r);
    from->flow = read_flow(r);
    record->user = read_counted(r);
    from->contact = read_counted(r);
    from->call_id = read_counted(r);
    from->path = read_counted(r);
    from->instance = read_counted(r);
    from->reg_id = read_u32(r);
    return !r->failed;
}

bool location_bound_user(struct slice record, struct slice *user)
{
    const size_t before = 8 + 24 + 4 + 2; /* id, instant, CSeq, q */
    struct reader r = reader_over(record);

    read_bytes(&r, before);
    read_flow(&r);
    *user = read_counted(&r);
    return !r.failed;
}

bool location_view_record(const struct core *core, struct slice record, struct moment now,
                          struct binding_view *view)
{
    struct reader r = reader_over(record);
    struct bind_record found;

    if (!read_binding(core, &r, now, &found) || found.until <= now.boot ||
        !flow_find_socket(core, &found.request.flow))
        return false;
    *view = (struct binding_view){
        .aor = found.user,
        .contact = found.request.contact,
        .call_id = found.request.call_id,
        .cseq = found.request.cseq,
        .flow = found.request.flow,
        .expires = found.until,
        .id = found.id,
    };
    return true;
}

/* Older segments stay until a checkpoint is over: were nothing said, a user who comes back before
 * that would have this binding again after the next crash. */
static void forget_binding(uint64_t id, struct actions *out)
{
    record_begin(out, RECORD_UNBIND, id);
    record_end(out);
}

void location_restore_bind(struct core *core, struct reader *r, struct moment now,
                           struct actions *out)
{
    struct bind_record record;
    struct binding *binding;
    struct user *user;
    unsigned number;

    if (!read_binding(core, r, now, &record))
        return;
    binding = find_binding(core, record.id);
    user = location_known(core, record.user);
    if (!user || !user_may_be_bound(user)) {
        forget_binding(record.id, out);
        return;
    }
    number = record.request.flow.socket;
    if (!flow_find_socket(core, &record.request.flow))
        return;
    if (record.until <= now.boot) { /* it expired while nobody was there to see it */
        if (binding)
            drop_binding(core, binding);
        return;
    }
    if (!binding && user->binding_count < BINDINGS_PER_AOR)
        binding = add_binding(core, user, record.id);
    if (!binding)
        return;
    if (!set_texts(core, binding, &record.request)) {
        drop_binding(core, binding);
        return;
    }
    binding->cseq = record.request.cseq;
    binding->q = record.request.q;
    binding->reg_id = record.request.reg_id;
    binding->flow = record.request.flow;
    binding->is_restored = true;
    binding->is_displaced = !flow_is_reliable(&binding->flow) && binding->flow.socket != number;
    binding->expires = binding->stored_until = record.until;
    keep_open(core, binding, contact_is_elsewhere(binding));
    arm(core, binding, now.boot, binding->id % KEEP_OPEN_INTERVAL); /* not all at once */
}

void location_restore_unbind(struct core *core, struct reader *r)
{
    struct binding *binding = find_binding(core, read_u64(r));

    if (binding && !r->failed)
        drop_binding(core, binding);
}
