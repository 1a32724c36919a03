/*
 * Opens, moves and closes legs as the daemon does, on the word of a test: so that the relay can be
 * tested, killed and measured without one.
 *
 *     relay-driver kernel|process PINS STATE PROGRAM
 *
 * reads commands from standard input, one on a line, and answers each by a line:
 *
 *     open|move KEY ALLOWED TARGET OTHER EPOCH RATE FLAGS [CLOCKS]   noted
 *     close KEY                                                      noted
 *     apply        the noted changes are made: their errors
 *     read KEY     version, locked, packets, bytes, drops by cause; packets of RTP expected and
 *                  missing, and its jitter in microseconds, or -1
 *     count        legs there are
 *     calls N      opens and closes N calls of four legs: microseconds for a call
 */
#include "core/leg_stream.h"
#include "shell/clock.h"
#include "shell/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES 64u

static struct leg_change changes[CHANGES];
static unsigned change_count;

/* `A.B.C.D:PORT`, `[IPv6]:PORT`, or `-` for none. */
static bool read_place(char *text, struct leg_place *place)
{
    char *colon = strrchr(text, ':');
    long port;

    *place = (struct leg_place){0};
    if (strcmp(text, "-") == 0)
        return true;
    if (!colon)
        return false;
    port = strtol(colon + 1, NULL, 10);
    place->port[0] = (uint8_t)(port >> 8);
    place->port[1] = (uint8_t)port;
    *colon = '\0';
    if (text[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        return inet_pton(AF_INET6, text + 1, place->address) == 1;
    }
    place->address[10] = place->address[11] = 0xff;
    return inet_pton(AF_INET, text, place->address + 12) == 1;
}

static bool note(char *line)
{
    char kind[8], key[64], allowed[64], target[64], other[64];
    unsigned epoch, rate, flags, clocks = 0;
    struct leg_change *change = &changes[change_count];
    int count = sscanf(line, "%7s %63s %63s %63s %63s %u %u %u %u", kind, key, allowed, target,
                       other, &epoch, &rate, &flags, &clocks);

    if (change_count == CHANGES || count < 2 || (count < 8 && strcmp(kind, "close") != 0))
        return false;
    *change = (struct leg_change){0};
    if (!read_place(key, &change->key))
        return false;
    change->kind = strcmp(kind, "open") == 0 ? LEG_OPEN : LEG_MOVE;
    if (count == 2) {
        change->kind = LEG_CLOSE;
    } else {
        change->rule = (struct leg_rule){.version = LEG_VERSION,
                                         .flags = (uint16_t)flags,
                                         .epoch = epoch,
                                         .rate = rate,
                                         .component = 1,
                                         .clocks = clocks};
        if (!read_place(allowed, &change->rule.allowed) ||
            !read_place(target, &change->rule.target) || !read_place(other, &change->rule.other))
            return false;
    }
    change_count++;
    return true;
}

static void apply(struct relay *relay)
{
    int errors[CHANGES];
    unsigned failed = relay_apply(relay, changes, change_count, errors);

    printf("%u", failed);
    for (unsigned i = 0; i < change_count; i++)
        printf(" %d", errors[i]);
    printf("\n");
    change_count = 0;
}

static void print_leg(struct relay *relay, char *key)
{
    struct leg_place place;
    struct relay_leg leg;
    int error = read_place(key, &place) ? relay_read(relay, &place, 1, &leg) : -1;
    const struct leg_state *state = &leg.leg.state;
    struct leg_heard heard;

    if (error) {
        printf("error %d\n", error);
        return;
    }
    heard = leg_heard(&leg.stream);
    printf("%u %u %llu %llu", leg.leg.rule.version, state->locked,
           (unsigned long long)state->packets, (unsigned long long)state->bytes);
    for (unsigned i = 0; i < LEG_DROP_COUNT; i++)
        printf(" %llu", (unsigned long long)state->drops[i]);
    printf(" %u %u %d\n", heard.expected, heard.lost, (int)heard.jitter);
}

static void print_count(struct relay *relay)
{
    struct relay_leg legs[100];
    uint32_t place = 0;
    int count, sum = 0;

    while ((count = relay_list(relay, &place, legs, 100)) > 0)
        sum += count;
    printf("%d\n", count < 0 ? count : sum);
}

/* As a call has them: RTP and RTCP, towards each side. */
static void time_calls(struct relay *relay, unsigned count)
{
    uint64_t begun = clock_now().boot;
    unsigned failed = 0;

    for (unsigned n = 0; n < count; n++) {
        struct leg_change call[4] = {0};
        for (unsigned i = 0; i < 4; i++) {
            unsigned port = 20000 + 4 * (n % 1000) + i;
            call[i] = changes[0];
            call[i].kind = LEG_OPEN;
            call[i].key.port[0] = (uint8_t)(port >> 8);
            call[i].key.port[1] = (uint8_t)port;
        }
        failed += relay_apply(relay, call, 4, NULL);
        for (unsigned i = 0; i < 4; i++)
            call[i].kind = LEG_CLOSE;
        failed += relay_apply(relay, call, 4, NULL);
    }
    printf("%.3f %u\n", (double)(clock_now().boot - begun) / 1e3 / count, failed);
    change_count = 0;
}

int main(int count, char **words)
{
    char line[512], text[1024];
    struct writer w = writer_over(text, sizeof text);
    struct relay_setup setup = {.may_start = true};
    struct relay *relay;

    if (count != 5)
        return 2;
    setup.wanted = strcmp(words[1], "kernel") == 0 ? RELAY_KERNEL : RELAY_PROCESS;
    setup.pins = words[2];
    setup.state = open(words[3], O_PATH | O_DIRECTORY | O_CLOEXEC);
    setup.program = words[4];
    relay = relay_open(&setup, &w);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s %.*s\n", relay ? "ok" : "failed", (int)w.len, w.at);
    while (relay && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "apply") == 0)
            apply(relay);
        else if (strncmp(line, "read ", 5) == 0)
            print_leg(relay, line + 5);
        else if (strcmp(line, "count") == 0)
            print_count(relay);
        else if (strncmp(line, "calls ", 6) == 0)
            time_calls(relay, (unsigned)atoi(line + 6));
        else if (!note(line))
            printf("what is %s?\n", line);
    }
    relay_close(relay);
    return !relay;
}
