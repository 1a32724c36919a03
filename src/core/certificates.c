#include "core/certificates.h"

#include "core/context.h"
#include "core/hearing.h"
#include "core/proxy.h"

#define WAYS 4u
#define GOOD_LIFE SECONDS(3600) /* a certificate that was revoked or replaced is used so long */
#define BAD_LIFE SECONDS(10)    /* nobody makes us fetch more often what is not there */
#define PATIENCE SECONDS(5)     /* a caller still waits then, and so may its own transaction */

size_t certificates_bytes(void)
{
    return sizeof(struct kept_certificate) * CERTIFICATES_TABLE + 64;
}

void certificates_init(struct core *core, struct arena *from)
{
    core->certificates = arena_take(from, sizeof(struct kept_certificate) * CERTIFICATES_TABLE);
    assert(core->certificates);
}

/* ---- looking */

static struct hash128 key_of(const struct core *core, struct slice info, struct slice domain,
                             enum seclusion widest)
{
    char bytes[PASSPORT_HEADER + NAME_LIMIT + 8];
    struct writer w = writer_over(bytes, sizeof bytes);

    write_u8(&w, (uint8_t)widest);
    write_u32(&w, (uint32_t)domain.len);
    write_slice(&w, domain);
    write_slice(&w, info);
    return w.failed ? (struct hash128){0} : hash_bytes_wide(&core->key_table, writer_slice(&w));
}

static bool is_same(const struct hash128 *a, const struct hash128 *b)
{
    return a->low == b->low && a->high == b->high;
}

static struct kept_certificate *ways_of(const struct core *core, const struct hash128 *key)
{
    return &core->certificates[key->low & (CERTIFICATES_TABLE - 1) & ~(uint64_t)(WAYS - 1)];
}

static struct kept_certificate *find(const struct core *core, const struct hash128 *key)
{
    struct kept_certificate *ways = ways_of(core, key);

    for (unsigned i = 0; i < WAYS; i++)
        if (is_same(&ways[i].key, key))
            return &ways[i];
    return NULL;
}

static void want(struct certificate_search *search, const struct hash128 *key, struct slice info,
                 struct slice domain)
{
    struct writer w = writer_over(search->domain, NAME_LIMIT);

    if (search->has_wanted)
        return;
    write_slice(&w, domain);
    search->has_wanted = !w.failed;
    search->domain[w.len] = '\0';
    search->wanted = *key;
    search->info = info;
}

struct certificate certificates_look(void *self, struct slice info, struct slice domain)
{
    static const struct certificate unsupported = {.state = CERTIFICATE_UNSUPPORTED};
    struct certificate_search *search = self;
    struct hash128 key = key_of(search->core, info, domain, search->widest);
    struct kept_certificate *kept = find(search->core, &key);

    if ((!key.low && !key.high) || domain.len > NAME_LIMIT)
        return unsupported; /* nobody has such a long name */
    if (kept && kept->until > search->core->now.boot) {
        search->relied = kept;
        return kept->certificate;
    }
    want(search, &key, info, domain);
    return (struct certificate){.state = CERTIFICATE_UNKNOWN};
}

bool certificates_forget(struct core *core, struct kept_certificate *kept)
{
    if (kept->certificate.state != CERTIFICATE_GOOD || core->now.boot < kept->found_at + BAD_LIFE)
        return false;
    kept->until = 0;
    return true;
}

/* ---- waiting */

/* A place in the table: the one that is good for the shortest time and that nobody waits for. */
static struct kept_certificate *make_place(struct core *core, const struct hash128 *key)
{
    struct kept_certificate *ways = ways_of(core, key), *chosen = NULL;

    for (unsigned i = 0; i < WAYS; i++)
        if (!ways[i].question && !ways[i].first_held && (!chosen || ways[i].until < chosen->until))
            chosen = &ways[i];
    if (!chosen)
        return NULL;
    timer_clear(&core->timers, &chosen->timer);
    *chosen = (struct kept_certificate){.key = *key, .timer.kind = TIMER_CERTIFICATE};
    return chosen;
}

static void ask(struct core *core, struct kept_certificate *kept,
                const struct certificate_search *search, struct actions *out)
{
    size_t start = out->bytes.len;

    kept->question = ++core->fetches_asked << 16 | (uint64_t)(kept - core->certificates);
    core->fetches++;
    timer_set(&core->timers, &kept->timer, core->now.boot + PATIENCE);
    write_slice(&out->bytes, slice_text(search->domain));
    write_char(&out->bytes, '\n');
    write_slice(&out->bytes, search->info);
    actions_push(out, (struct action){
                          .kind = ACTION_FETCH,
                          .fetch = {kept->question, search->widest},
                          .bytes = slice_of(out->bytes.at + start, out->bytes.len - start),
                      });
}

static void join(struct core *core, struct kept_certificate *kept, struct context *context)
{
    uint32_t index = pool_index(&core->contexts, context);

    context->held_by = (uint32_t)(kept - core->certificates) + 1;
    context->next_held = 0;
    if (kept->last_held)
        ((struct context *)pool_at(&core->contexts, kept->last_held))->next_held = index;
    else
        kept->first_held = index;
    kept->last_held = index;
    core->held++;
}

bool certificates_await(struct core *core, const struct certificate_search *search,
                        struct context *context, struct actions *out)
{
    struct kept_certificate *kept = find(core, &search->wanted);
    bool is_asked = kept && kept->question;

    if (core->held >= HELD_LIMIT || (!is_asked && core->fetches >= FETCHES_LIMIT))
        return false;
    if (!kept)
        kept = make_place(core, &search->wanted);
    if (!kept)
        return false;
    if (!is_asked)
        ask(core, kept, search, out);
    if (context)
        join(core, kept, context);
    return true;
}

void certificates_leave(struct core *core, struct context *context)
{
    struct kept_certificate *kept = &core->certificates[context->held_by - 1];
    uint32_t index = pool_index(&core->contexts, context), before = 0;

    for (uint32_t i = kept->first_held; i != index;
         i = ((struct context *)pool_at(&core->contexts, i))->next_held)
        before = i;
    if (before)
        ((struct context *)pool_at(&core->contexts, before))->next_held = context->next_held;
    else
        kept->first_held = context->next_held;
    if (kept->last_held == index)
        kept->last_held = before;
    context->held_by = context->next_held = 0;
    core->held--;
}

/* ---- what was found */

/* One that waits goes on; the next in the next step. */
static void resume_one(struct core *core, struct kept_certificate *kept, struct moment now,
                       struct actions *out)
{
    if (!kept->first_held)
        return;
    struct context *context = pool_at(&core->contexts, kept->first_held);
    certificates_leave(core, context);
    if (kept->first_held)
        timer_set(&core->timers, &kept->timer, now.boot);
    if (context->answer.at)
        hearing_resume(core, context, now, out);
    else
        proxy_resume(core, context, now, out);
}

static void settle(struct core *core, struct kept_certificate *kept,
                   const struct certificate *found, struct moment now, struct actions *out)
{
    kept->question = 0;
    core->fetches--;
    timer_clear(&core->timers, &kept->timer);
    kept->certificate = *found;
    kept->found_at = now.boot;
    kept->until = now.boot + (found->state == CERTIFICATE_GOOD ? GOOD_LIFE : BAD_LIFE);
    resume_one(core, kept, now, out);
}

void certificates_tell(struct core *core, uint64_t question, const struct certificate *found,
                       struct moment now, struct actions *out)
{
    unsigned place = question & 0xffff;

    if (question && place < CERTIFICATES_TABLE && core->certificates[place].question == question)
        settle(core, &core->certificates[place], found, now, out);
}

void certificates_expire(struct core *core, struct kept_certificate *kept, struct moment now,
                         struct actions *out)
{
    static const struct certificate unreachable = {.state = CERTIFICATE_UNREACHABLE};

    if (kept->question)
        settle(core, kept, &unreachable, now, out);
    else
        resume_one(core, kept, now, out);
}
