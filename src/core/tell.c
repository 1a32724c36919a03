#include "core/tell.h"

#include "base/json.h"
#include "core/calls.h"
#include "core/dialog.h"
#include "core/listing.h"
#include "core/location.h"

static struct writer *begin(struct core *core, struct slice event, struct actions *out)
{
    struct writer *w = &out->bytes;

    actions_push(out, (struct action){
                          .kind = ACTION_ANSWER,
                          .bytes = slice_of(w->at + w->len, 0),
                      });
    json_begin(w);
    json_text(w, S("event"), event);
    json_number(w, S("time"), core->now.wall > 0 ? (uint64_t)core->now.wall : 0);
    return w;
}

static void end(struct actions *out)
{
    struct action *line = &out->at[out->count - 1];

    json_end(&out->bytes);
    write_char(&out->bytes, '\n');
    assert(!out->bytes.failed && line->kind == ACTION_ANSWER);
    line->bytes.len = (size_t)(out->bytes.at + out->bytes.len - line->bytes.at);
}

static void write_binding(struct writer *w, struct core *core, const struct binding *binding)
{
    const struct user *user = location_user(core, binding);

    json_text(w, S("user"), user_id(user));
    if (user->extension_len)
        json_text(w, S("extension"), user_extension(user));
    json_text(w, S("contact"), binding_contact(binding));
    write_peer(w, &binding->flow);
}

void tell_bound(struct core *core, const struct binding *binding, struct actions *out)
{
    if (!core->is_watched)
        return;
    write_binding(begin(core, S("registered"), out), core, binding);
    end(out);
}

void tell_unbound(struct core *core, const struct binding *binding, struct slice why,
                  struct actions *out)
{
    if (!core->is_watched)
        return;
    struct writer *w = begin(core, S("unregistered"), out);
    write_binding(w, core, binding);
    json_text(w, S("reason"), why);
    end(out);
}

static void tell_of_context(struct core *core, const struct context *context, struct slice event,
                            unsigned status, struct actions *out)
{
    struct message m;
    struct writer *w;

    if (!core->is_watched || message_parse(block_slice(&context->request), &m).status)
        return;
    w = begin(core, event, out);
    write_parties(w, message_first(&m, HEADER_FROM), message_first(&m, HEADER_TO));
    write_proof(w, context->proof);
    json_text(w, S("call_id"), message_first(&m, HEADER_CALL_ID));
    if (status)
        json_number(w, S("status"), status);
    end(out);
}

void tell_ringing(struct core *core, const struct context *context, struct actions *out)
{
    tell_of_context(core, context, S("ringing"), 0, out);
}

void tell_failed(struct core *core, const struct context *context, unsigned status,
                 struct actions *out)
{
    tell_of_context(core, context, S("failed"), status, out);
}

static struct writer *begin_dialog(struct core *core, const struct dialog *dialog,
                                   struct slice event, struct actions *out)
{
    struct writer *w = begin(core, event, out);

    write_call_name(w, dialog);
    write_parties(w, dialog_part(dialog, DIALOG_FROM), dialog_part(dialog, DIALOG_TO));
    write_proof(w, call_proof(dialog_part(dialog, DIALOG_CALL)));
    json_text(w, S("call_id"), dialog_part(dialog, DIALOG_CALL_ID));
    return w;
}

void tell_answered(struct core *core, const struct dialog *dialog, struct actions *out)
{
    if (!core->is_watched)
        return;
    begin_dialog(core, dialog, S("answered"), out);
    end(out);
}

void tell_ended(struct core *core, const struct dialog *dialog, struct slice why,
                struct actions *out)
{
    if (!core->is_watched)
        return;
    struct writer *w = begin_dialog(core, dialog, S("ended"), out);
    json_number(w, S("seconds"), (core->now.boot - dialog->began_at) / SECONDS(1));
    json_text(w, S("reason"), why);
    end(out);
}
