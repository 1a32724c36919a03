#include "shell/relay_parts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void relay_say(struct writer *words, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (len > 0)
        write_bytes(words, line, min_u64((size_t)len, sizeof line - 1));
}

int relay_check_change(const struct leg_change *change)
{
    static const struct leg_place none;

    if (change->kind != LEG_OPEN && change->kind != LEG_MOVE && change->kind != LEG_CLOSE)
        return -EINVAL;
    if (memcmp(change->key.address, none.address, sizeof none.address) == 0 ||
        memcmp(change->key.port, none.port, sizeof none.port) == 0)
        return -EINVAL;
    return change->kind == LEG_CLOSE || change->rule.version == LEG_VERSION ? 0 : -EINVAL;
}

static bool has_legs(struct relay *relay)
{
    struct relay_leg leg;
    uint32_t place = 0;

    return relay_list(relay, &place, &leg, 1) > 0;
}

/* The process that still has calls, where the kernel's relay has none: their ports are those of
 * another program to that.  Its words take the place of those that were said. */
static struct relay *prefer_busy(struct relay *kernel, const struct relay_setup *setup,
                                 struct writer *words, size_t said)
{
    struct relay_setup there = *setup;
    char text[256];
    struct writer own = writer_over(text, sizeof text);
    struct relay *process;

    if (has_legs(kernel))
        return kernel;
    there.may_start = false;
    process = relay_open_process(&there, &own);
    if (process && !has_legs(process)) {
        relay_close(process);
        return kernel;
    }
    if (!process && errno != EPROTO) /* one of another version ends with its last call */
        return kernel;
    relay_close(kernel);
    words->len = said;
    write_slice(words, writer_slice(&own));
    if (process)
        relay_say(words,
                  ", which has calls; the kernel's relay is there, and has them from a start "
                  "without any on");
    return process;
}

struct relay *relay_open(const struct relay_setup *setup, struct writer *words)
{
    size_t said = words->len;
    struct relay *relay = NULL;

    if (setup->wanted != RELAY_PROCESS)
        relay = relay_open_kernel(setup, words);
    if (relay && setup->wanted == RELAY_ANY)
        return prefer_busy(relay, setup, words, said);
    if (!relay && setup->wanted == RELAY_ANY)
        relay_say(words, "; instead, ");
    if (!relay && setup->wanted != RELAY_KERNEL)
        relay = relay_open_process(setup, words);
    return relay;
}

void relay_close(struct relay *relay)
{
    if (relay)
        relay->calls->close(relay);
}

enum relay_kind relay_kind(const struct relay *relay)
{
    return relay->calls->kind;
}

unsigned relay_limit(const struct relay *relay)
{
    return relay->calls->limit(relay);
}

int relay_descriptor(const struct relay *relay)
{
    return relay->calls->descriptor(relay);
}

unsigned relay_apply(struct relay *relay, const struct leg_change *changes, unsigned count,
                     int *errors)
{
    return relay->calls->apply(relay, changes, count, errors);
}

int relay_read(struct relay *relay, const struct leg_place *keys, unsigned count,
               struct relay_leg *legs)
{
    return relay->calls->read(relay, keys, count, legs);
}

int relay_list(struct relay *relay, uint32_t *place, struct relay_leg *legs, unsigned room)
{
    return relay->calls->list(relay, place, legs, room);
}
