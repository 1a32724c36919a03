#include "floor.h"

#include <errno.h>
#include <stdlib.h>

enum { FLOOR_SAMPLES = 6 };

static const uint64_t FLOOR_PATIENCE = 1000000000;

struct floor {
    char packets[FLOOR_SAMPLES][WIRE_DATAGRAM];
    size_t lengths[FLOOR_SAMPLES];
    unsigned count;
};

static struct span floor_keep(struct floor *floor, const struct text *text)
{
    size_t length = text_length(text);
    char *packet = floor->packets[floor->count];
    memcpy(packet, text->start, length);
    floor->lengths[floor->count++] = length;
    return (struct span){packet, length};
}

static void floor_register(struct floor *floor, struct letter *letter, struct text text, bool plain)
{
    static const char challenge[] = "Digest realm=\"" BENCH_DOMAIN "\", qop=\"auth\", "
                                    "nonce=\"0123456789abcdef0123456789abcdef01234567\"";
    struct text first = text;
    if (plain) {
        render_register(&first, letter);
        floor_keep(floor, &first);
    }
    struct phone *phone = letter->caller;
    credentials_take(&phone->registrar, (struct span){challenge, sizeof challenge - 1});
    letter->credentials = &phone->registrar;
    render_register(&text, letter);
    floor_keep(floor, &text);
    phone->registrar.nonce_length = 0;
}

static void floor_message(struct floor *floor, struct letter *letter, struct text text)
{
    struct scan request;
    struct text answer = text;
    letter->caller = NULL;
    render_message(&text, letter);
    struct span sent = floor_keep(floor, &text);
    scan_message(&request, sent.at, sent.length);
    render_ok(&answer, &request, request.call_id.at);
    floor_keep(floor, &answer);
}

static void floor_call(struct floor *floor, struct letter *letter, struct text room)
{
    struct scan request, answer;
    struct text text = room;
    letter->caller = NULL;
    render_invite(&text, letter);
    struct span invite = floor_keep(floor, &text);
    scan_message(&request, invite.at, invite.length);
    const char *name = request.call_id.at;
    text = room;
    render_ringing(&text, &request, letter->callee, letter->wire, name);
    floor_keep(floor, &text);
    text = room;
    render_answered(&text, &request, letter->callee, letter->wire, name);
    struct span answered = floor_keep(floor, &text);
    scan_message(&answer, answered.at, answered.length);
    text = room;
    render_ack(&text, letter, &answer);
    floor_keep(floor, &text);
    text = room;
    render_bye(&text, letter, &answer);
    struct span bye = floor_keep(floor, &text);
    scan_message(&request, bye.at, bye.length);
    text = room;
    render_ok(&text, &request, request.call_id.at);
    floor_keep(floor, &text);
}

static void floor_prepare(struct floor *floor, struct scene *scene, const struct row *row)
{
    static char buffer[WIRE_DATAGRAM];
    struct text text = text_over(buffer, sizeof buffer);
    struct letter letter = {.wire = scene->wires,
                            .cseq = 1,
                            .step = 'i',
                            .caller = scene->phones,
                            .callee = scene->phones};
    if (strcmp(row->method, "REGISTER") == 0) {
        floor_register(floor, &letter, text, strcmp(row->name, "challenge") == 0);
    } else if (strcmp(row->method, "MESSAGE") == 0) {
        floor_message(floor, &letter, text);
    } else if (strcmp(row->method, "INVITE") == 0) {
        floor_call(floor, &letter, text);
    } else {
        render_options(&text, &letter);
        floor_keep(floor, &text);
    }
}

static void floor_send(const struct floor *floor, struct wire *wire, struct tally *tally)
{
    unsigned sample = (unsigned)(tally->started++ % floor->count);
    struct text text = wire_next(wire);
    text_put(&text, floor->packets[sample], floor->lengths[sample]);
    wire_add(wire, &text);
}

static bool floor_came_back(const struct floor *floor, const char *bytes, size_t length)
{
    for (unsigned i = 0; i < floor->count; i++)
        if (floor->lengths[i] == length && memcmp(floor->packets[i], bytes, length) == 0)
            return true;
    return false;
}

static bool floor_receive(const struct floor *floor, struct wire *wire, struct wire_inbox *inbox,
                          struct tally *tally)
{
    int count = wire_receive(wire, inbox);
    for (int j = 0; j < count; j++) {
        if (floor_came_back(floor, inbox->datagrams[j], inbox->headers[j].msg_len))
            tally->done++;
        else
            tally->wrong++;
    }
    return count != -ECONNREFUSED;
}

/* Packets go out in runs of eight from each source, as in every row. */
bool floor_run(struct scene *scene, const struct meter *meter, const struct row *row,
               uint32_t window, uint64_t length, struct tally *tally)
{
    static struct floor floor;
    static struct wire_inbox inbox;
    bool there = true;
    *tally = (struct tally){0};
    floor.count = 0;
    floor_prepare(&floor, scene, row);
    wire_inbox_prepare(&inbox);

    instant begin = meter_now(), now = begin, progress = begin;
    uint64_t cpu = meter_cpu(meter);
    while (there && now - progress < FLOOR_PATIENCE) {
        uint64_t ended = tally->done + tally->wrong;
        if (now - begin >= length && ended == tally->started)
            break;
        for (uint32_t i = 0; i < scene->wire_count; i++)
            there &= floor_receive(&floor, &scene->wires[i], &inbox, tally);
        if (tally->done + tally->wrong > ended)
            progress = now;
        while (now - begin < length && tally->started - tally->done - tally->wrong < window)
            floor_send(&floor, &scene->wires[tally->started / 8 % scene->wire_count], tally);
        for (uint32_t i = 0; i < scene->wire_count; i++)
            if (scene->wires[i].queued)
                wire_flush(&scene->wires[i]);
        now = meter_now();
    }
    tally->missing = tally->started - tally->done - tally->wrong;
    tally->elapsed = now - begin;
    tally->cpu = meter_cpu(meter) - cpu;
    return there;
}
