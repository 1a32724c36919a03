/*
 * upgrade_read: a request gives the same event in one piece as byte by byte, its parts lie in it,
 * and what is asked can be answered.
 */
#include "fuzz.h"

#include "sip/upgrade.h"

static struct upgrade_event read_in_steps(struct slice bytes, size_t step, struct upgrade *upgrade)
{
    struct upgrade_event event = {0};
    size_t scanned = 0;

    for (size_t len = 0; event.kind == UPGRADE_NONE && len < bytes.len;) {
        len = step < bytes.len - len ? len + step : bytes.len;
        event = upgrade_read(slice_until(bytes, len), &scanned, upgrade);
    }
    return event;
}

static void answer(const struct upgrade *upgrade)
{
    static const uint8_t sum[20];
    char text[UPGRADE_ANSWER_LIMIT], to_sign[UPGRADE_SIGNED];
    struct writer w = writer_over(text, sizeof text);

    upgrade_write_signed(to_sign, upgrade);
    upgrade_write_answer(&w, sum);
    assert(!w.failed);
}

static void refuse(const struct upgrade_event *event)
{
    char text[UPGRADE_ANSWER_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    assert(event->status >= 400 && event->why);
    upgrade_write_refusal(&w, event->status, event->why);
    assert(!w.failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_input(data, size);
    struct upgrade upgrade = {0}, other = {0};
    struct upgrade_event whole = read_in_steps(bytes, bytes.len, &upgrade);
    struct upgrade_event bytewise = read_in_steps(bytes, 1, &other);

    /* Of a request that is too long, less may be seen before it is refused. */
    assert(whole.kind == bytewise.kind && whole.status == bytewise.status);
    if (whole.kind == UPGRADE_ASKED) {
        assert(whole.len <= bytes.len && whole.len == bytewise.len);
        assert(is_within(upgrade.key, bytes) && is_within(upgrade.origin, bytes));
        assert(is_within(upgrade_origin_host(upgrade.origin.at ? upgrade.origin : S("")),
                         upgrade.origin.at ? upgrade.origin : S("")));
        answer(&upgrade);
    } else if (whole.kind == UPGRADE_REFUSED) {
        refuse(&whole);
    }
    return 0;
}
