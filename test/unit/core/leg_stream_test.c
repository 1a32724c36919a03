/* What is counted of the RTP that comes to a leg (RFC 3550 6.4.1). */
#include "core/leg_stream.h"

#include "unit.h"

#define START (100 * LEG_A_SECOND)
#define MILLISECOND UINT64_C(1000000)

/* A leg's stream, and the next packet of its phone. */
struct bench {
    struct leg_rule rule;
    struct leg_stream stream;
    struct leg_packet packet;
};

static struct bench bench(void)
{
    return (struct bench){
        .rule = {.component = 1},
        .packet = {.len = 172, .head = {0x80, 0, [11] = 9}, .now = START},
    };
}

static void put(uint8_t *at, uint32_t number, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        at[i] = (uint8_t)(number >> 8 * (len - 1 - i));
}

static void hear(struct bench *b, uint32_t number)
{
    put(b->packet.head + 2, number, 2);
    leg_hear(&b->rule, &b->stream, &b->packet);
}

/* It came after so long, and says by its timestamp when it was sent. */
static void hear_timed(struct bench *b, uint32_t number, uint64_t after, uint32_t stamp)
{
    b->packet.now += after;
    put(b->packet.head + 4, stamp, 4);
    hear(b, number);
}

static void assert_heard(const struct bench *b, uint32_t expected, uint32_t lost)
{
    assert_int_equal(leg_heard(&b->stream).expected, expected);
    assert_int_equal(leg_heard(&b->stream).lost, lost);
}

static void what_is_missing_is_lost_over_the_wrap(void **state)
{
    struct bench b = bench();

    (void)state;
    assert_heard(&b, 0, 0);
    for (uint32_t i = 65000; i < 3 * 65536; i++)
        if (i % 1000)
            hear(&b, i & 0xffff);
    assert_heard(&b, 3 * 65536 - 65001, 131);
}

static void what_is_late_or_comes_twice_is_not_lost(void **state)
{
    static const uint16_t numbers[] = {65534, 0, 65535, 3, 1, 2, 2, 6};
    struct bench b = bench();

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(numbers); i++)
        hear(&b, numbers[i]);
    assert_heard(&b, 9, 1); /* 4 and 5 did not come, 2 came twice: A.3 */
    hear(&b, 4);
    hear(&b, 5);
    assert_heard(&b, 9, 0);
}

static void a_stray_number_changes_nothing_and_two_begin_anew(void **state)
{
    struct bench b = bench();

    (void)state;
    hear(&b, 10);
    hear(&b, 12);
    hear(&b, 40000);
    hear(&b, 13);
    assert_heard(&b, 4, 1);
    hear(&b, 30000);
    hear(&b, 30001);
    hear(&b, 30004);
    assert_heard(&b, 4 + 4, 1 + 2);
    hear(&b, 30004 + LEG_STREAM_JUMP - 1);
    assert_heard(&b, 4 + 4 + LEG_STREAM_JUMP - 1, 3 + LEG_STREAM_JUMP - 2);
}

static void another_ssrc_counts_once_the_first_is_silent(void **state)
{
    struct bench b = bench();

    (void)state;
    hear(&b, 10);
    hear(&b, 12);
    b.packet.head[11] = 10;
    b.packet.now += LEG_STREAM_GAP - 1;
    hear(&b, 500);
    assert_heard(&b, 3, 1);
    b.packet.head[11] = 9;
    hear(&b, 13);
    assert_heard(&b, 4, 1);
    b.packet.head[11] = 10;
    b.packet.now += LEG_STREAM_GAP;
    hear(&b, 600);
    hear(&b, 602);
    assert_heard(&b, 4 + 3, 1 + 1);
}

static void only_rtp_of_a_leg_for_it_counts(void **state)
{
    static const struct {
        uint8_t head[2];
        uint32_t len;
    } others[] = {{{0x80, 200}, 28}, {{0x81, 201}, 32}, {{0x80, 192}, 12}, {{0x80, 223}, 12},
                  {{0x10, 0}, 80},   {{0, 1}, 20},      {{22, 0xfe}, 60},  {{0x80, 0}, 11},
                  {{0x40, 0}, 172},  {{0xc0, 0}, 172},  {{0, 3}, 40}};
    struct bench b = bench();

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(others); i++) {
        memcpy(b.packet.head, others[i].head, 2);
        b.packet.len = others[i].len;
        hear(&b, i);
    }
    assert_heard(&b, 0, 0);
    b = bench();
    b.rule.flags = LEG_PLAIN;
    hear(&b, 1);
    b.rule.flags = 0;
    b.rule.component = 2;
    hear(&b, 1);
    assert_heard(&b, 0, 0);
    b.rule.component = 1;
    hear(&b, 1);
    assert_heard(&b, 1, 0);
}

static void jitter_is_that_of_rfc_3550(void **state)
{
    /* Milliseconds after the one before; each was sent 20 ms after. */
    static const uint64_t gaps[] = {20, 35, 5, 20, 60, 0, 0, 20, 25, 15, 20};
    struct bench b = bench();
    uint32_t jitter = 0;

    (void)state;
    hear_timed(&b, 0, 0, 0xffffff00);
    assert_int_equal(leg_heard(&b.stream).jitter, 0);
    for (unsigned i = 0; i < COUNT_OF(gaps); i++) {
        uint32_t late = (uint32_t)(gaps[i] > 20 ? gaps[i] - 20 : 20 - gaps[i]) * 8;
        jitter += late - ((jitter + 8) >> 4);
        hear_timed(&b, i + 1, gaps[i] * MILLISECOND, 0xffffff00 + 160 * (i + 1));
        assert_in_range(b.stream.jitter + 20, jitter + 18 - i,
                        jitter + 22 + i); /* 1.024 us apart */
    }
    assert_in_range(leg_heard(&b.stream).jitter, jitter * 125 / 16 - 90, jitter * 125 / 16 + 90);
    assert_true(jitter > 16 * 20);
}

static void a_pause_or_a_clock_that_is_set_is_no_jitter(void **state)
{
    struct bench b = bench();

    (void)state;
    hear_timed(&b, 0, 0, 0);
    hear_timed(&b, 1, 20 * MILLISECOND, 160);
    hear_timed(&b, 2, LEG_SILENCE, 320); /* it held */
    hear_timed(&b, 3, 20 * MILLISECOND, 480);
    hear_timed(&b, 4, 20 * MILLISECOND, 0x80000000);
    hear_timed(&b, 5, 20 * MILLISECOND, 0x80000000 + 160);
    assert_in_range(leg_heard(&b.stream).jitter, 0, 60);
}

static void another_clock_goes_on_from_the_same_jitter(void **state)
{
    struct bench b = bench();

    (void)state;
    b.rule.clocks = 96 | 6 << 7;
    hear_timed(&b, 0, 0, 0);
    for (uint32_t i = 1; i < 100; i++)
        hear_timed(&b, i, 0, 160 * i);
    assert_in_range(leg_heard(&b.stream).jitter, 19000, 20000);
    b.packet.head[1] = 0x80 | 96;
    hear_timed(&b, 100, 0, 77);
    assert_int_equal(b.stream.clock, 48000);
    assert_in_range(leg_heard(&b.stream).jitter, 19000, 20000);
    b.packet.head[1] = 101; /* of no clock, as an event: nothing is learnt from it */
    hear_timed(&b, 101, LEG_A_SECOND, 77);
    assert_in_range(leg_heard(&b.stream).jitter, 19000, 20000);
    assert_heard(&b, 102, 0);
}

static void without_a_clock_jitter_is_unknown(void **state)
{
    struct bench b = bench();

    (void)state;
    assert_int_equal(leg_heard(&b.stream).jitter, LEG_UNKNOWN);
    b.packet.head[1] = 96;
    hear_timed(&b, 0, 0, 0);
    hear_timed(&b, 2, 0, 900);
    assert_heard(&b, 3, 1);
    assert_int_equal(leg_heard(&b.stream).jitter, LEG_UNKNOWN);
}

static void clocks_are_those_of_rfc_3551_and_those_named(void **state)
{
    /* RFC 3551 6, tables 4 and 5, in kHz; 90 for video; 0 where none is assigned. */
    static const uint32_t fixed[35] = {8000, 0,     0,     8000, 8000,  8000,  16000, 8000,  8000,
                                       8000, 44100, 44100, 8000, 8000,  90000, 8000,  11025, 22050,
                                       8000, 0,     0,     0,    0,     0,     0,     90000, 90000,
                                       0,    90000, 0,     0,    90000, 90000, 90000, 90000};
    static const uint32_t classes[] = {0, 8000, 12000, 16000, 24000, 32000, 48000, 90000};
    const uint32_t named = 96 | 6 << 7 | (63u | 3 << 7) << 10 | (127u | 0 << 7) << 20;

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(fixed); i++)
        assert_int_equal(leg_clock(7 << 7, i), fixed[i]);
    for (uint32_t i = 0; i < COUNT_OF(classes); i++) {
        assert_int_equal(leg_clock((100 | i << 7) << 20, 100), classes[i]);
        assert_int_equal(leg_clock(i << 7, 127), classes[i]);
    }
    assert_int_equal(leg_clock(named, 96), 48000);
    assert_int_equal(leg_clock(named, 63), 16000);
    assert_int_equal(leg_clock(named, 127), 0);
    assert_int_equal(leg_clock(named, 97), 0);
}

int main(void)
{
    RUN(cmocka_unit_test(what_is_missing_is_lost_over_the_wrap),
        cmocka_unit_test(what_is_late_or_comes_twice_is_not_lost),
        cmocka_unit_test(a_stray_number_changes_nothing_and_two_begin_anew),
        cmocka_unit_test(another_ssrc_counts_once_the_first_is_silent),
        cmocka_unit_test(only_rtp_of_a_leg_for_it_counts),
        cmocka_unit_test(jitter_is_that_of_rfc_3550),
        cmocka_unit_test(a_pause_or_a_clock_that_is_set_is_no_jitter),
        cmocka_unit_test(another_clock_goes_on_from_the_same_jitter),
        cmocka_unit_test(without_a_clock_jitter_is_unknown),
        cmocka_unit_test(clocks_are_those_of_rfc_3551_and_those_named));
}
