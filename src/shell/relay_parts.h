/* What the two relays share, for src/shell/relay*.c alone. */
#pragma once

#include "shell/relay.h"

struct relay_calls {
    enum relay_kind kind;
    void (*close)(struct relay *);
    unsigned (*limit)(const struct relay *);
    int (*descriptor)(const struct relay *);
    unsigned (*apply)(struct relay *, const struct leg_change *, unsigned count, int *errors);
    int (*read)(struct relay *, const struct leg_place *keys, unsigned count, struct relay_leg *);
    int (*list)(struct relay *, uint32_t *place, struct relay_leg *, unsigned room);
};

/* The first member of each. */
struct relay {
    const struct relay_calls *calls;
};

/* Both: NULL if it is not to be had; what to say of that or of it is written.  Of the process errno
 * is EPROTO if it is of another version. */
struct relay *relay_open_kernel(const struct relay_setup *setup, struct writer *words);
struct relay *relay_open_process(const struct relay_setup *setup, struct writer *words);

/* Printed into the words as far as there is room. */
void relay_say(struct writer *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What no relay takes: -EINVAL, or 0. */
int relay_check_change(const struct leg_change *change);

static inline bool relay_is_v4(const struct leg_place *place)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(place->address, mapped, sizeof mapped) == 0;
}
