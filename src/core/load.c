#include "core/load.h"

/* The kernel counts what was read as queued until it is a quarter of the queue. */
#define LOAD_HIGH (LOAD_FULL * 3 / 4) /* above it for LOAD_PATIENCE the server is strained */
#define LOAD_LOW (LOAD_FULL / 2)      /* below it a strained server lets new requests in */
#define LOAD_PATIENCE MS(500)         /* no pause of the machine keeps a queue high so long */
#define LOAD_GAP MS(100)              /* one that is low for less has not been low */
#define LOAD_CALM SECONDS(2)          /* low for so long: strained no more */

size_t load_bytes(void)
{
    return SHED_TABLE * sizeof(uint64_t) + 64;
}

void load_init(struct core *core, struct arena *from)
{
    core->load.high_since = core->load.low_since = NEVER;
    core->load.shed = arena_take(from, SHED_TABLE * sizeof *core->load.shed);
}

static void tell(const char *text, struct actions *out)
{
    size_t start = out->bytes.len;

    write_slice(&out->bytes, slice_text(text));
    actions_push(out, (struct action){
                          .kind = ACTION_LOG,
                          .bytes = slice_of(out->bytes.at + start, out->bytes.len - start),
                      });
}

/* Strained from the moment in which it has been high for long enough, until it has been low for a
 * while. */
static bool is_strained(struct load *load, unsigned fill, instant now)
{
    bool was_low = load->low_since != NEVER && now - load->low_since > LOAD_GAP;

    if (fill < LOAD_HIGH)
        load->low_since = min_u64(load->low_since, now);
    else
        load->low_since = NEVER;
    if (fill >= LOAD_HIGH && (load->high_since == NEVER || was_low))
        load->high_since = now;
    if (load->is_strained ? fill >= LOAD_LOW
                          : fill >= LOAD_HIGH && now - load->high_since >= LOAD_PATIENCE)
        load->calm_at = now + LOAD_CALM;
    return now < load->calm_at;
}

void load_weigh(struct core *core, unsigned fill, instant now, struct actions *out)
{
    struct load *load = &core->load;
    bool was_strained = load->is_strained;

    load->is_strained = is_strained(load, fill, now);
    load->is_shedding = load->is_strained && fill >= LOAD_LOW;
    if (load->is_strained && !was_strained)
        tell("more comes than can be served: new calls, messages and registrations are answered "
             "503 until it is less; calls go on",
             out);
    else if (was_strained && !load->is_strained)
        tell("all is served again", out);
}

instant load_deadline(const struct core *core)
{
    return core->load.is_strained ? core->load.calm_at : NEVER;
}

/* It has been at rest since. */
void load_meet(struct core *core, instant now, struct actions *out)
{
    if (load_deadline(core) <= now)
        load_weigh(core, 0, now, out);
}

static bool begins_something(const struct core *core, const struct request *req)
{
    enum method method = req->message.method;

    if (req->to_tag.len || method == METHOD_ACK || method == METHOD_CANCEL)
        return false;
    if (method == METHOD_REGISTER)
        return !req->message.first[HEADER_AUTHORIZATION];
    return method != METHOD_OPTIONS || !req->uri_is_valid || req->uri.user.len ||
           !uri_is_local(core, &req->uri);
}

/* An INVITE that was refused: a copy of it that comes when others are let in must not ring. */
static uint64_t *place_of(const struct load *load, const struct request *req)
{
    return &load->shed[req->key.low % SHED_TABLE];
}

void load_note(struct core *core, const struct request *req)
{
    if (req->message.method != METHOD_INVITE)
        return;
    *place_of(&core->load, req) = req->key.low;
    core->load.copies_until = req->now.boot + 64 * T1;
}

bool load_refuses(struct core *core, const struct request *req)
{
    struct load *load = &core->load;
    instant now = req->now.boot;
    bool is_invite = req->message.method == METHOD_INVITE;

    if (!load->is_shedding && now >= load->copies_until)
        return false;
    if (!begins_something(core, req))
        return false;
    if (!load->is_shedding)
        return is_invite && *place_of(load, req) == req->key.low;
    load_note(core, req);
    core->tally.shed++;
    return true;
}
