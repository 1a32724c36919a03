#include "programs/relay_list.h"

#include "base/json.h"
#include "core/leg_pass.h"
#include "core/leg_stream.h"
#include "programs/columns.h"
#include "shell/clock.h"
#include "shell/relay_parts.h"

#include <arpa/inet.h>
#include <stdio.h>

#define BATCH 256u
#define PLACE_TEXT (INET6_ADDRSTRLEN + 8) /* bytes of a place that is written */

static const char *const flag_names[] = {"first", "mute", "plain", "quiet"};
static const char *const drop_names[] = {"stranger", "early", "flood", "lost"};

_Static_assert(COUNT_OF(drop_names) == LEG_DROP_COUNT, "each cause has a name");

static unsigned port_of(const struct leg_place *place)
{
    return (unsigned)place->port[0] << 8 | place->port[1];
}

/* As SIP writes it; empty if there is none. */
static const char *write_place_text(const struct leg_place *place, char text[PLACE_TEXT])
{
    static const struct leg_place none;
    char host[INET6_ADDRSTRLEN];

    text[0] = '\0';
    if (memcmp(place->address, none.address, sizeof none.address) == 0)
        return text;
    if (relay_is_v4(place)) {
        inet_ntop(AF_INET, place->address + 12, host, sizeof host);
        snprintf(text, PLACE_TEXT, "%s:%u", host, port_of(place));
    } else {
        inet_ntop(AF_INET6, place->address, host, sizeof host);
        snprintf(text, PLACE_TEXT, "[%s]:%u", host, port_of(place));
    }
    return text;
}

static void put_place(struct writer *w, const char *name, const struct leg_place *place)
{
    char text[PLACE_TEXT];

    if (*write_place_text(place, text))
        json_text(w, slice_text(name), slice_text(text));
    else
        json_null(w, slice_text(name));
}

static void put_stream(struct writer *w, const struct leg_stream *stream)
{
    struct leg_heard heard = leg_heard(stream);

    json_number(w, S("expected"), heard.expected);
    json_number(w, S("lost"), heard.lost);
    if (heard.jitter == LEG_UNKNOWN)
        json_null(w, S("jitter_us"));
    else
        json_number(w, S("jitter_us"), heard.jitter);
}

static void print_object(const struct relay_leg *row, uint64_t now)
{
    const struct leg_rule *rule = &row->leg.rule;
    const struct leg_state *state = &row->leg.state;
    char line[2048], call[33];
    struct writer w = writer_over(line, sizeof line), id = writer_over(call, sizeof call);

    write_hex_bytes(&id, rule->call, sizeof rule->call);
    json_begin(&w);
    put_place(&w, "leg", &row->key);
    json_text(&w, S("call"), writer_slice(&id));
    json_number(&w, S("side"), rule->side);
    json_number(&w, S("stream"), rule->stream);
    json_number(&w, S("component"), rule->component);
    json_number(&w, S("epoch"), rule->epoch);
    json_list(&w, S("flags"));
    for (unsigned i = 0; i < COUNT_OF(flag_names); i++)
        if (rule->flags & 1u << i)
            json_item(&w, slice_text(flag_names[i]));
    json_list_end(&w);
    put_place(&w, "allowed", &rule->allowed);
    put_place(&w, "target", &rule->target);
    put_place(&w, "other", &rule->other);
    json_number(&w, S("rate"), rule->rate);
    put_place(&w, "source", leg_is_locked(&row->leg) ? &state->source : &(struct leg_place){0});
    json_number(&w, S("ssrc"), ntohl(state->ssrc));
    if (state->seen)
        json_number(&w, S("silent_ms"), now > state->seen ? (now - state->seen) / MS(1) : 0);
    else
        json_null(&w, S("silent_ms"));
    json_number(&w, S("packets"), state->packets);
    json_number(&w, S("bytes"), state->bytes);
    json_open(&w, S("drops"));
    for (unsigned i = 0; i < LEG_DROP_COUNT; i++)
        json_number(&w, slice_text(drop_names[i]), state->drops[i]);
    json_end(&w);
    put_stream(&w, &row->stream);
    json_end(&w);
    printf("%.*s\n", (int)w.len, w.at);
}

static void add_row(struct columns *columns, const struct relay_leg *row, uint64_t now)
{
    const struct leg_state *state = &row->leg.state;
    const struct leg_heard heard = leg_heard(&row->stream);
    char key[PLACE_TEXT], source[PLACE_TEXT], packets[24], dropped[24], silent[32];
    char lost[24], jitter[24];
    uint64_t drops = 0;

    for (unsigned i = 0; i < LEG_DROP_COUNT; i++)
        drops += state->drops[i];
    snprintf(packets, sizeof packets, "%llu", (unsigned long long)state->packets);
    snprintf(dropped, sizeof dropped, "%llu", (unsigned long long)drops);
    snprintf(lost, sizeof lost, "%u", heard.lost);
    snprintf(jitter, sizeof jitter, "%.1f ms", heard.jitter / 1e3);
    snprintf(silent, sizeof silent, "%.1f s",
             now > state->seen ? (double)(now - state->seen) / 1e9 : 0.0);
    const char *cells[] = {write_place_text(&row->key, key),
                           leg_is_locked(&row->leg) ? write_place_text(&state->source, source)
                                                    : NULL,
                           packets,
                           dropped,
                           heard.expected ? lost : NULL,
                           heard.jitter != LEG_UNKNOWN ? jitter : NULL,
                           state->seen ? silent : NULL};
    columns_add(columns, cells);
}

int relay_print(const struct program *program, struct relay *relay, bool is_json)
{
    static const char *const titles[] = {"LEG",   "PHONE",   ">PACKETS", ">DROPPED",
                                         ">LOST", ">JITTER", ">SILENT"};
    static struct relay_leg rows[BATCH];
    struct columns columns = columns_of(titles, COUNT_OF(titles));
    uint32_t place = 0;
    int count;

    while ((count = relay_list(relay, &place, rows, BATCH)) > 0) {
        uint64_t now = clock_now().boot;
        for (int i = 0; i < count; i++) {
            if (is_json)
                print_object(&rows[i], now);
            else
                add_row(&columns, &rows[i], now);
        }
    }
    if (!is_json)
        columns_print(&columns, "no legs");
    if (count == 0)
        return 0;
    complain(program, "the relay does not answer: %s", strerror(-count));
    return 1;
}
