#include "core/tally.h"

#include "core/dialog.h"
#include "sip/address.h"

static enum node node_of(const struct core *core, struct slice party)
{
    struct address address;
    struct uri uri;

    return address_next(&party, &address) && uri_parse(address.uri, &uri) &&
                   uri_is_local(core, &uri)
               ? NODE_EXTENSION
               : NODE_EXTERNAL;
}

static void begin(struct node_count *count)
{
    count->total++;
    count->current++;
    if (count->current > count->peak)
        count->peak = count->current;
}

void tally_begin(struct core *core, struct dialog *dialog)
{
    struct tally *tally = &core->tally;

    dialog->from = (uint8_t)node_of(core, dialog_part(dialog, DIALOG_FROM));
    dialog->to = (uint8_t)node_of(core, dialog_part(dialog, DIALOG_TO));
    begin(&tally->from[NODE_SYSTEM]);
    begin(&tally->to[NODE_SYSTEM]);
    begin(&tally->from[dialog->from]);
    begin(&tally->to[dialog->to]);
    tally->last[NODE_SYSTEM] = tally->last[dialog->from] = tally->last[dialog->to] = dialog->began;
}

void tally_end(struct core *core, const struct dialog *dialog)
{
    struct tally *tally = &core->tally;

    if (dialog->from == NODE_SYSTEM) /* it never began */
        return;
    tally->from[NODE_SYSTEM].current--;
    tally->to[NODE_SYSTEM].current--;
    tally->from[dialog->from].current--;
    tally->to[dialog->to].current--;
}
