#include "core/certificates.h"

#include "core/awaited.h"
#include "core/context.h"
#include "core/hearing.h"
#include "core/proxy.h"

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

static struct awaited_table table(const struct core *core)
{
    return (struct awaited_table){core->certificates, sizeof *core->certificates,
                                  CERTIFICATES_TABLE};
}

static struct kept_certificate *find(const struct core *core, const struct hash128 *key)
{
    struct awaited_table all = table(core);
    struct awaited *found = awaited_find(&all, key);

    return found ? CONTAINER(found, struct kept_certificate, awaited) : NULL;
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
    if (kept && kept->awaited.until > search->core->now.boot) {
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
    kept->awaited.until = 0;
    return true;
}

/* ---- waiting */

static struct kept_certificate *make_place(struct core *core, const struct hash128 *key)
{
    struct awaited_table all = table(core);
    struct awaited *place = awaited_place(core, &all, key);
    struct kept_certificate *chosen =
        place ? CONTAINER(place, struct kept_certificate, awaited) : NULL;

    if (chosen)
        *chosen = (struct kept_certificate){
            .awaited = {.key = *key, .timer.kind = TIMER_CERTIFICATE},
        };
    return chosen;
}

static void ask(struct core *core, struct kept_certificate *kept,
                const struct certificate_search *search, struct actions *out)
{
    size_t start = out->bytes.len;

    kept->awaited.question = ++core->fetches_asked << 16 | (uint64_t)(kept - core->certificates);
    core->fetches++;
    timer_set(&core->timers, &kept->awaited.timer, core->now.boot + PATIENCE);
    write_slice(&out->bytes, slice_text(search->domain));
    write_char(&out->bytes, '\n');
    write_slice(&out->bytes, search->info);
    actions_push(out, (struct action){
                          .kind = ACTION_FETCH,
                          .fetch = {kept->awaited.question, search->widest},
                          .bytes = slice_of(out->bytes.at + start, out->bytes.len - start),
                      });
}

bool certificates_await(struct core *core, const struct certificate_search *search,
                        struct context *context, struct actions *out)
{
    struct kept_certificate *kept = find(core, &search->wanted);
    bool is_asked = kept && kept->awaited.question;

    if (!awaited_has_room(core) || (!is_asked && core->fetches >= FETCHES_LIMIT))
        return false;
    if (!kept)
        kept = make_place(core, &search->wanted);
    if (!kept)
        return false;
    if (!is_asked)
        ask(core, kept, search, out);
    if (context)
        awaited_join(core, (uint32_t)(kept - core->certificates) + 1, context);
    return true;
}

/* ---- what was found */

/* One that waits goes on; the next in the next step. */
static void resume_one(struct core *core, struct kept_certificate *kept, struct moment now,
                       struct actions *out)
{
    struct context *context = awaited_next(core, &kept->awaited, now.boot);

    if (!context)
        return;
    if (context->answer.at)
        hearing_resume(core, context, now, out);
    else
        proxy_resume(core, context, now, out);
}

static void settle(struct core *core, struct kept_certificate *kept,
                   const struct certificate *found, struct moment now, struct actions *out)
{
    kept->awaited.question = 0;
    core->fetches--;
    timer_clear(&core->timers, &kept->awaited.timer);
    kept->certificate = *found;
    kept->found_at = now.boot;
    kept->awaited.until = now.boot + (found->state == CERTIFICATE_GOOD ? GOOD_LIFE : BAD_LIFE);
    resume_one(core, kept, now, out);
}

void certificates_tell(struct core *core, uint64_t question, const struct certificate *found,
                       struct moment now, struct actions *out)
{
    unsigned place = question & 0xffff;

    if (question && place < CERTIFICATES_TABLE &&
        core->certificates[place].awaited.question == question)
        settle(core, &core->certificates[place], found, now, out);
}

void certificates_expire(struct core *core, struct kept_certificate *kept, struct moment now,
                         struct actions *out)
{
    static const struct certificate unreachable = {.state = CERTIFICATE_UNREACHABLE};

    if (kept->awaited.question)
        settle(core, kept, &unreachable, now, out);
    else
        resume_one(core, kept, now, out);
}
