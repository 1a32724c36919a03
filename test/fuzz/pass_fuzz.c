/*
 * A leg of the relay: whatever packets come from wherever, in whatever order, with the rule changed
 * between them, nothing is let in but from the allowed address, and nothing leaves for a place that
 * was not told and has not sent since the epoch began.
 *
 * Of the input each step takes a byte that says what happens, and of a packet 13 more: where it is
 * from and what it begins with.
 */
#include "fuzz.h"

#include "base/cursor.h"
#include "core/leg_pass.h"

struct run {
    struct leg leg;
    bool has_sent[4][4]; /* host and port, in this epoch */
    uint64_t now;
    uint64_t passed;
};

static struct leg_place place(unsigned host, unsigned port)
{
    return (struct leg_place){
        {[10] = 0xff, [11] = 0xff, [15] = (uint8_t)(host + 1)}, {0, (uint8_t)port}, {0}};
}

static void change_rule(struct run *run, unsigned bits)
{
    struct leg_rule *rule = &run->leg.rule;

    rule->flags = bits & 7;
    if (bits & 8) {
        rule->epoch++;
        memset(run->has_sent, 0, sizeof run->has_sent);
        rule->allowed = place(bits >> 4 & 3, bits >> 6 & 1);
    }
    rule->target = bits & 128 ? place(bits >> 4 & 3, 9) : place(0, 0);
}

static void send_packet(struct run *run, unsigned bits, struct reader *input)
{
    struct leg_packet p = {.from = place(bits & 3, 1 + (bits >> 2 & 3)), .now = run->now};
    struct slice head;
    int verdict;

    p.len = read_u8(input);
    head = read_bytes(input, min_u64(p.len, LEG_HEAD));
    if (input->failed)
        return;
    if (head.len)
        memcpy(p.head, head.at, head.len);
    verdict = leg_take(&run->leg.rule, &run->leg.state, &p);
    leg_count(&run->leg.state, verdict, p.len);
    if (verdict != LEG_PASSES && verdict != LEG_FLOOD)
        return;
    run->passed += verdict == LEG_PASSES;
    run->has_sent[bits & 3][bits >> 2 & 3] = true;
    assert(leg_same_host(&p.from, &run->leg.rule.allowed));
    assert(run->leg.state.locked == LEG_LOCKED && run->leg.state.epoch == run->leg.rule.epoch);
    assert(leg_same_place(&p.from, &run->leg.state.source));
}

static void check_aim(const struct run *run)
{
    struct leg_place to __attribute__((aligned(4)));

    if (leg_aim(&run->leg.rule, &run->leg.state, &to) != LEG_PASSES)
        return;
    assert(!(run->leg.rule.flags & LEG_MUTE));
    if (leg_has_port(&run->leg.rule.target))
        assert(leg_same_place(&to, &run->leg.rule.target));
    else
        assert(run->has_sent[to.address[15] - 1][to.port[1] - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(fuzz_input(data, size));
    struct run run = {.leg.rule = {.version = LEG_VERSION, .epoch = 1, .rate = 5}};

    run.leg.rule.allowed = place(0, 0);
    while (!input.failed && input.rest.len) {
        unsigned what = read_u8(&input);
        if (what & 128)
            change_rule(&run, read_u8(&input));
        else
            send_packet(&run, what, &input);
        run.now += (uint64_t)(what & 0x70) << 25; /* up to 3.8 s */
        check_aim(&run);
    }
    assert(run.leg.state.packets == run.passed);
    return 0;
}
