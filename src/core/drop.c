#include "core/drop.h"

#include "core/context.h"
#include "core/dialog.h"
#include "core/listing.h"

#define LOOKS_PER_STEP 1024u

#define REASON S("SIP;cause=487;text=\"Ended by the administrator\"") /* RFC 3326 */

static bool is_named(const struct drop_wish *wish, uint64_t id)
{
    uint8_t bytes[8];
    uint64_t name = 0;

    if (!hex_decode(wish->name, bytes, sizeof bytes))
        return false;
    for (unsigned i = 0; i < sizeof bytes; i++)
        name = name << 8 | bytes[i];
    return name == id;
}

static bool is_wanted(const struct core *core, const struct drop_wish *wish, uint64_t id,
                      struct slice call_id, struct slice from, struct slice to)
{
    if (wish->user)
        return parties_have(core, from, to, wish->user);
    return is_named(wish, id) || slice_equal(call_id, wish->name);
}

/* True if it was to be dropped. */
static bool drop_ringing(struct core *core, struct context *context, const struct drop_wish *wish,
                         struct moment now, struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    struct message m;

    if (!context_is_ringing(core, context) || context->flags & CONTEXT_CANCELLED ||
        message_parse(block_slice(&context->request), &m).status ||
        !is_wanted(core, wish, context->merge.low, message_first(&m, HEADER_CALL_ID),
                   message_first(&m, HEADER_FROM), message_first(&m, HEADER_TO)))
        return false;
    context_cancel(core, server, REASON, now, out);
    return true;
}

static bool drop_answered(struct core *core, struct dialog *dialog, const struct drop_wish *wish,
                          struct moment now, struct actions *out)
{
    if (dialog->state == DIALOG_ENDING ||
        !is_wanted(core, wish, dialog->key.low, dialog_part(dialog, DIALOG_CALL_ID),
                   dialog_part(dialog, DIALOG_FROM), dialog_part(dialog, DIALOG_TO)))
        return false;
    dialog_drop(core, dialog, REASON, now, out);
    return true;
}

/* The cursor counts through contexts, then through dialogs. */
bool drop_calls(struct core *core, const struct drop_wish *wish, uint64_t *cursor,
                struct moment now, uint64_t names[DROPS_PER_STEP], unsigned *count,
                struct actions *out)
{
    const uint64_t contexts = core->contexts.limit;

    *count = 0;
    if (*cursor < contexts && *cursor >= core->contexts.used)
        *cursor = contexts;
    for (unsigned looks = 0; *cursor < contexts + core->dialogs.used; looks++) {
        uint64_t index = *cursor + 1, id = 0;
        if (looks == LOOKS_PER_STEP || *count == DROPS_PER_STEP)
            return true;
        *cursor = index == core->contexts.used ? contexts : index;
        if (index <= contexts) {
            struct context *context = pool_live_at(&core->contexts, (uint32_t)index);
            if (context && drop_ringing(core, context, wish, now, out))
                id = context->merge.low;
        } else {
            struct dialog *dialog = pool_live_at(&core->dialogs, (uint32_t)(index - contexts));
            uint64_t name = dialog ? dialog->key.low : 0;
            if (dialog && drop_answered(core, dialog, wish, now, out))
                id = name;
        }
        if (id)
            names[(*count)++] = id;
    }
    return false;
}
