#include "core/signing.h"

#include "core/caller.h"
#include "core/realm.h"

/* Bytes of both lines at most: what is signed, its signature, the place of the certificate. */
#define LINES_LIMIT (PASSPORT_SIGNED + PASSPORT_HEADER + 256u)

static const struct voucher *voucher_of(const struct core *core, struct slice text)
{
    const struct settings *settings = core->settings;
    struct uri uri;

    if (!core->es256 || !settings->voucher_count || !uri_parse(text, &uri))
        return NULL;
    for (unsigned i = 0; i < settings->voucher_count; i++)
        if (slice_equal_nocase(settings->vouchers[i].domain, uri.host))
            return &settings->vouchers[i];
    return NULL;
}

/* In a dialog both ends know each other; REGISTER is for us. */
static bool stands_alone(const struct request *req)
{
    enum method method = req->message.method;

    return !req->to_tag.len && method != METHOD_ACK && method != METHOD_CANCEL &&
           method != METHOD_REGISTER;
}

bool signing_may(const struct core *core, const struct request *req)
{
    return req->sender && stands_alone(req) && voucher_of(core, req->from.uri) &&
           realm_names(core, &req->from, req->sender);
}

bool signing_concerns(const struct target *target)
{
    return !target->binding && !target->is_ours;
}

static bool is_good(const struct context *context, int64_t wall)
{
    return context->signature.at && wall >= context->signed_at &&
           wall - context->signed_at <= SIGNING_LIFE;
}

/* What cannot be signed goes unsigned, and says so by that: a phone whose clock is wrong may call
 * all the same. */
static void sign(struct core *core, struct context *context, const struct request *req)
{
    const struct voucher *voucher = voucher_of(core, req->from.uri);
    char text[LINES_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    slab_give(&core->slab, &context->signature);
    context->signed_at = req->now.wall;
    if (voucher && vouch_sign(&req->message, voucher, core->es256, req->now.wall, &w) == VOUCHED)
        context->proof |=
            slab_copy(&core->slab, writer_slice(&w), &context->signature) ? CALLER_SIGNED : 0;
    else
        context->flags &= (uint8_t)~CONTEXT_SIGNED;
}

struct slice signing_lines(struct core *core, struct context *context, const struct request *req)
{
    if (!(context->flags & CONTEXT_SIGNED))
        return NO_SLICE;
    if (!is_good(context, req->now.wall))
        sign(core, context, req);
    return block_slice(&context->signature);
}

struct slice signing_diversion(const struct core *core, const struct context *context,
                               const struct request *req, struct slice text, struct actions *out)
{
    bool is_signed = context->flags & CONTEXT_SIGNED || context->proof & CALLER_SIGNATURE;
    size_t start = out->bytes.len;
    const struct voucher *voucher;
    char line[LINES_LIMIT];
    struct writer w = writer_over(line, sizeof line);
    struct uri uri;

    if (!is_signed || !text.len || !req->uri_is_valid || !stands_alone(req) ||
        !uri_parse(text, &uri))
        return NO_SLICE;
    voucher = voucher_of(core, req->uri.text);
    if (!voucher || vouch_divert(&req->message, voucher, &req->uri, &uri, core->es256,
                                 req->now.wall, &w) != VOUCHED)
        return NO_SLICE;
    write_slice(&out->bytes, writer_slice(&w));
    return slice_of(out->bytes.at + start, out->bytes.len - start);
}
