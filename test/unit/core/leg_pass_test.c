#include "core/leg_pass.h"

#include "unit.h"

/* A leg towards 192.0.2.N, and packets of its phone. */
struct bench {
    struct leg leg;
    struct leg_packet packet;
};

static struct leg_place place(uint8_t host, uint16_t port)
{
    struct leg_place p = {{[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = host},
                          {(uint8_t)(port >> 8), (uint8_t)port},
                          {0}};
    return p;
}

static struct bench bench(void)
{
    struct bench b = {
        .leg.rule = {.version = LEG_VERSION, .epoch = 7, .allowed = place(1, 0), .rate = 100},
        .packet = {.from = place(1, 4000),
                   .len = 172,
                   .head = {0x80, 0},
                   .now = 100 * LEG_A_SECOND},
    };

    b.packet.head[11] = 9; /* its SSRC */
    return b;
}

static int take(struct bench *b)
{
    return leg_take(&b->leg.rule, &b->leg.state, &b->packet);
}

static void the_first_packet_locks(void **state)
{
    struct bench b = bench();
    struct leg_place to __attribute__((aligned(4)));

    (void)state;
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_EARLY);
    assert_int_equal(take(&b), LEG_PASSES);
    assert_int_equal(b.leg.state.locked, 1);
    assert_int_equal(b.leg.state.epoch, 7);
    assert_int_equal(b.leg.state.seen, 100 * LEG_A_SECOND);
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_PASSES);
    assert_memory_equal(&to, &b.packet.from, sizeof to);
}

static void only_known_protocols_lock(void **state)
{
    static const struct {
        uint8_t head[LEG_HEAD];
        uint32_t len;
        bool may_lock;
    } rows[] = {
        {{0x80, 0}, 12, true},
        {{0x80, 0}, 11, false},
        {{0x40, 0}, 172, false},
        {{0x81, 200}, 8, true},
        {{0x81, 200}, 7, false},
        {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20, true},
        {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 19, false},
        {{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}, 20, false},
        {{0x10, 0, 0, 0, 'Z', 'R', 'T', 'P'}, 12, true},
        {{0x10, 0, 0, 0, 'Z', 'R', 'T', 'p'}, 12, false},
        {{22, 0xfe, 0xfd}, 13, true},
        {{22, 0xfe, 0xfd}, 12, false},
        {{22, 3, 3}, 200, false},
        {{64, 0xfe}, 200, false},
        {{0}, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bench b = bench();
        memcpy(b.packet.head, rows[i].head, sizeof rows[i].head);
        b.packet.len = rows[i].len;
        assert_int_equal(take(&b), rows[i].may_lock ? LEG_PASSES : LEG_STRANGER);
        b.leg.rule.flags = LEG_PLAIN;
        assert_int_equal(take(&b), LEG_PASSES);
    }
}

static void another_host_or_port_is_a_stranger(void **state)
{
    struct bench b = bench();

    (void)state;
    b.packet.from = place(2, 4000);
    assert_int_equal(take(&b), LEG_STRANGER);
    b.packet.from = place(1, 4000);
    b.leg.rule.allowed = place(1, 4002);
    assert_int_equal(take(&b), LEG_STRANGER);
    b.packet.from = place(1, 4002);
    assert_int_equal(take(&b), LEG_PASSES);
    assert_int_equal(b.leg.state.counted, 1); /* strangers use up no rate */
}

static void a_new_port_needs_silence_and_the_ssrc(void **state)
{
    struct bench b = bench();

    (void)state;
    assert_int_equal(take(&b), LEG_PASSES);
    b.packet.from = place(1, 4002);
    b.packet.now += LEG_SILENCE - 1;
    assert_int_equal(take(&b), LEG_STRANGER);
    b.packet.now++;
    b.packet.head[11] = 8;
    assert_int_equal(take(&b), LEG_STRANGER);
    b.packet.head[11] = 9;
    assert_int_equal(take(&b), LEG_PASSES);
    b.packet.from = place(1, 4000);
    assert_int_equal(take(&b), LEG_STRANGER);
}

static void no_ssrc_is_nobodys(void **state)
{
    struct bench b = bench();

    (void)state;
    b.leg.rule.flags = LEG_PLAIN;
    b.packet.len = 1;
    assert_int_equal(take(&b), LEG_PASSES);
    b.packet.from = place(1, 4002);
    b.packet.now += 2 * LEG_SILENCE;
    assert_int_equal(take(&b), LEG_STRANGER);
}

static void the_locked_source_may_change_its_ssrc(void **state)
{
    struct bench b = bench();

    (void)state;
    assert_int_equal(take(&b), LEG_PASSES);
    b.packet.head[11] = 10;
    assert_int_equal(take(&b), LEG_PASSES);
    b.packet.from = place(1, 4002);
    b.packet.now += LEG_SILENCE;
    assert_int_equal(take(&b), LEG_PASSES);
}

static void another_epoch_forgets_the_lock(void **state)
{
    struct bench b = bench();
    struct leg_place to __attribute__((aligned(4)));

    (void)state;
    assert_int_equal(take(&b), LEG_PASSES);
    b.leg.rule.epoch = 8;
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_EARLY);
    b.packet.from = place(1, 4002);
    assert_int_equal(take(&b), LEG_PASSES);
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_PASSES);
    assert_memory_equal(&to, &b.packet.from, sizeof to);
}

static void while_one_locks_others_wait(void **state)
{
    struct bench b = bench();
    struct leg_place to __attribute__((aligned(4)));

    (void)state;
    b.leg.state.epoch = 7;
    b.leg.state.locked = LEG_LOCKING;
    assert_int_equal(take(&b), LEG_STRANGER);
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_EARLY);
}

static void the_rate_is_of_a_second(void **state)
{
    struct bench b = bench();

    (void)state;
    b.leg.rule.rate = 3;
    for (unsigned second = 0; second < 3; second++) {
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(take(&b), i < 3 ? LEG_PASSES : LEG_FLOOD);
        b.packet.now += LEG_A_SECOND;
    }
    b.leg.rule.rate = 0;
    assert_int_equal(take(&b), LEG_FLOOD);
}

static void aims_at_its_target(void **state)
{
    struct bench b = bench();
    struct leg_place to __attribute__((aligned(4)));

    (void)state;
    b.leg.rule.target = place(1, 5000);
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_EARLY);
    b.leg.rule.flags = LEG_FIRST;
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_PASSES);
    assert_memory_equal(&to, &b.leg.rule.target, sizeof to);
    assert_int_equal(take(&b), LEG_PASSES);
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_PASSES);
    assert_memory_equal(&to, &b.leg.rule.target, sizeof to);
    b.leg.rule.flags |= LEG_MUTE;
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_EARLY);
    b.leg.rule.flags = LEG_FIRST;
    b.leg.rule.target = place(1, 0);
    b.leg.state = (struct leg_state){0};
    assert_int_equal(leg_aim(&b.leg.rule, &b.leg.state, &to), LEG_EARLY);
}

static void counts_by_cause(void **state)
{
    struct leg_state counted = {0};

    (void)state;
    leg_count(&counted, LEG_PASSES, 172);
    leg_count(&counted, LEG_FLOOD, 172);
    leg_count(&counted, LEG_DROP_COUNT, 172);
    assert_int_equal(counted.packets, 1);
    assert_int_equal(counted.bytes, 172);
    assert_int_equal(counted.drops[LEG_FLOOD], 1);
    assert_int_equal(counted.drops[LEG_STRANGER], 0);
}

int main(void)
{
    RUN(cmocka_unit_test(the_first_packet_locks), cmocka_unit_test(only_known_protocols_lock),
        cmocka_unit_test(another_host_or_port_is_a_stranger),
        cmocka_unit_test(a_new_port_needs_silence_and_the_ssrc),
        cmocka_unit_test(no_ssrc_is_nobodys),
        cmocka_unit_test(the_locked_source_may_change_its_ssrc),
        cmocka_unit_test(another_epoch_forgets_the_lock),
        cmocka_unit_test(while_one_locks_others_wait), cmocka_unit_test(the_rate_is_of_a_second),
        cmocka_unit_test(aims_at_its_target), cmocka_unit_test(counts_by_cause));
}
