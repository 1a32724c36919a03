#include "sim/trace.h"

#include "sim/sim.h"
#include "sip/message.h"

#include <stdarg.h>
#include <stdio.h>

/* Garbage must not reach a terminal. */
static void print_clean(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        putchar(s.at[i] >= ' ' && s.at[i] <= '~' ? s.at[i] : '.');
}

void trace_message(const struct sim *sim, const char *arrow, const struct flow *flow, uint32_t node,
                   struct slice bytes)
{
    static struct message m;
    char text[64];
    struct slice peer = network_text(flow, text, sizeof text);
    struct slice line = slice_until(bytes, slice_find(bytes, '\r'));

    if (!sim->is_traced)
        return;
    message_parse(bytes, &m);
    printf("%12.6f %s %.*s (node %u) ", (double)sim->now / 1e9, arrow, (int)peer.len, peer.at,
           node);
    print_clean(slice_until(line, line.len < 80 ? line.len : 80));
    printf(" | ");
    print_clean(message_first(&m, HEADER_CALL_ID));
    printf(" | ");
    print_clean(message_first(&m, HEADER_CSEQ));
    printf(" | to ");
    print_clean(message_first(&m, HEADER_TO));
    printf("\n");
    if (sim->is_traced_whole) {
        fwrite(bytes.at, 1, bytes.len, stdout);
        printf("\n");
    }
}

void trace_note(const struct sim *sim, const char *format, ...)
{
    va_list arguments;

    if (!sim->is_traced)
        return;
    printf("%12.6f ** ", (double)sim->now / 1e9);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}
