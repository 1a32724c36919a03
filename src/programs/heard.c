#include "programs/heard.h"

#include "programs/session.h"

#include <stdio.h>

#define END_TEXT 20u

/* In percent; below 0 where it is not known. */
static double lost_of(const json_t *end)
{
    long long expected = row_number(end, "expected");

    return expected > 0 ? 100.0 * (double)row_number(end, "lost") / (double)expected : -1;
}

/* In milliseconds. */
static double jitter_of(const json_t *end)
{
    const json_t *jitter = json_object_get(end, "jitter_us");

    return jitter ? (double)json_integer_value(jitter) / 1000 : -1;
}

static const char *spell(const json_t *row, double (*of)(const json_t *end), const char *unit,
                         char text[HEARD_TEXT])
{
    static const char *const ends[] = {"from_caller", "from_callee"};
    char texts[2][END_TEXT] = {"-", "-"};
    bool is_known = false;

    for (unsigned i = 0; i < 2; i++) {
        double number = of(json_object_get(row, ends[i]));
        if (number < 0)
            continue;
        snprintf(texts[i], END_TEXT, "%.1f", number);
        is_known = true;
    }
    snprintf(text, HEARD_TEXT, "%s/%s%s", texts[0], texts[1], unit);
    return is_known ? text : NULL;
}

const char *spell_lost(const json_t *row, char text[HEARD_TEXT])
{
    return spell(row, lost_of, "%", text);
}

const char *spell_jitter(const json_t *row, char text[HEARD_TEXT])
{
    return spell(row, jitter_of, " ms", text);
}
