/* What is said to a router by PCP and NAT-PMP, byte by byte, and what it says. */
#include "programs/router_portmap.h"

#include "unit.h"

static const uint8_t nonce[PORTMAP_NONCE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const uint8_t own[4] = {192, 168, 1, 10}, nobody[4] = {0};
static const struct portmap_ask sip = {PORTMAP_UDP, 5060, 3600, nonce, own, nobody};

#define MAPPED(a, b, c, d) 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d

static struct slice written(enum portmap_version version, const struct portmap_ask *ask)
{
    static char bytes[128];
    struct writer w = writer_over(bytes, sizeof bytes);

    portmap_write(&w, version, ask);
    assert_false(w.failed);
    return writer_slice(&w);
}

static bool read_bytes_of(const uint8_t *bytes, size_t len, struct portmap_answer *answer)
{
    return portmap_read(slice_of((const char *)bytes, len), answer);
}

static void a_pcp_request_is_that_of_the_rfc(void **state)
{
    static const uint8_t expected[60] = {2,    1,    0,
                                         0,    0,    0,
                                         0x0e, 0x10, MAPPED(192, 168, 1, 10),
                                         1,    2,    3,
                                         4,    5,    6,
                                         7,    8,    9,
                                         10,   11,   12,
                                         17,   0,    0,
                                         0,    0x13, 0xc4,
                                         0x13, 0xc4, MAPPED(0, 0, 0, 0)};
    struct slice said = written(PORTMAP_PCP, &sip);

    (void)state;
    assert_int_equal(said.len, sizeof expected);
    assert_memory_equal(said.at, expected, sizeof expected);
}

static void a_nat_pmp_request_is_that_of_the_rfc(void **state)
{
    static const uint8_t expected[12] = {0, 2, 0, 0, 0x13, 0xc4, 0x13, 0xc4, 0, 0, 0x0e, 0x10};
    static const uint8_t over[12] = {0, 2, 0, 0, 0x13, 0xc4, 0, 0, 0, 0, 0, 0};
    struct portmap_ask ask = sip;
    struct slice said;

    (void)state;
    ask.protocol = PORTMAP_TCP;
    said = written(PORTMAP_PMP, &ask);
    assert_int_equal(said.len, sizeof expected);
    assert_memory_equal(said.at, expected, sizeof expected);
    ask.lifetime = 0; /* 3.4: the port outside is 0 then */
    assert_memory_equal(written(PORTMAP_PMP, &ask).at, over, sizeof over);
}

static void a_pcp_answer_has_the_address(void **state)
{
    uint8_t answer[60] = {
        2, 0x81, 0, 0,  0,  0,  0x0e, 0x10, 0, 0, 0,    77,   0,    0,    0,
        0, 0,    0, 0,  0,  0,  0,    0,    0, 1, 2,    3,    4,    5,    6,
        7, 8,    9, 10, 11, 12, 6,    0,    0, 0, 0x13, 0xc4, 0x13, 0xc5, MAPPED(203, 0, 113, 7)};
    struct portmap_answer a;

    (void)state;
    assert_true(read_bytes_of(answer, sizeof answer, &a));
    assert_int_equal(a.kind, PORTMAP_MAPPED);
    assert_int_equal(a.version, PORTMAP_PCP);
    assert_int_equal(a.result, 0);
    assert_int_equal(a.epoch, 77);
    assert_int_equal(a.lifetime, 3600);
    assert_int_equal(a.protocol, PORTMAP_TCP);
    assert_int_equal(a.port, 5060);
    assert_int_equal(a.outside_port, 5061);
    assert_true(a.has_address && a.address.at[0] == 203 && a.address.at[3] == 7);
    assert_memory_equal(a.nonce, nonce, sizeof nonce);
    answer[44] = 1; /* an address of IPv6 is none that counts */
    assert_true(read_bytes_of(answer, sizeof answer, &a));
    assert_false(a.has_address);
}

static void nat_pmp_answers_are_told_apart(void **state)
{
    static const uint8_t address[12] = {0, 0x80, 0, 0, 0, 0, 1, 0, 203, 0, 113, 7};
    static const uint8_t mapping[16] = {0,    0x81, 0,    0,    0, 0, 1,  1,
                                        0x13, 0xc4, 0x13, 0xc4, 0, 0, 14, 16};
    static const uint8_t version[8] = {0, 0x81, 0, 1, 0, 0, 1, 0};
    struct portmap_answer a;

    (void)state;
    assert_true(read_bytes_of(address, sizeof address, &a));
    assert_int_equal(a.kind, PORTMAP_ADDRESS);
    assert_int_equal(a.epoch, 256);
    assert_true(a.has_address);
    assert_true(read_bytes_of(mapping, sizeof mapping, &a));
    assert_int_equal(a.kind, PORTMAP_MAPPED);
    assert_int_equal(a.protocol, PORTMAP_UDP);
    assert_int_equal(a.lifetime, 3600);
    assert_true(read_bytes_of(version, sizeof version, &a)); /* to one who speaks PCP */
    assert_int_equal(a.kind, PORTMAP_OTHER);
    assert_int_equal(a.result, 1);
}

static void what_is_cut_or_asks_is_no_answer(void **state)
{
    uint8_t answer[60] = {2, 0x81, 0, 0};
    struct portmap_answer a;

    (void)state;
    for (size_t len = 0; len < sizeof answer; len++)
        assert_false(read_bytes_of(answer, len, &a) && a.kind == PORTMAP_MAPPED);
    assert_true(read_bytes_of(answer, sizeof answer, &a));
    answer[1] = 1;
    assert_false(read_bytes_of(answer, sizeof answer, &a));
    answer[0] = 7;
    answer[1] = 0x81;
    assert_false(read_bytes_of(answer, sizeof answer, &a));
}

static void a_router_that_started_anew_is_seen_by_its_epoch(void **state)
{
    (void)state;
    assert_false(portmap_has_restarted(PORTMAP_PCP, 1000, 1060, 60));
    assert_false(portmap_has_restarted(PORTMAP_PCP, 1000, 1064, 60)); /* its clock is fast */
    assert_true(portmap_has_restarted(PORTMAP_PCP, 1000, 5, 60));
    assert_true(portmap_has_restarted(PORTMAP_PCP, 1000, 1300, 60)); /* RFC 6887 8.5: too far */
    assert_true(portmap_has_restarted(PORTMAP_PCP, 1000, 1010, 60));
    assert_false(portmap_has_restarted(PORTMAP_PCP, 1000, 999, 0));
    assert_false(portmap_has_restarted(PORTMAP_PMP, 1000, 1060, 60));
    assert_false(portmap_has_restarted(PORTMAP_PMP, 1000, 1051, 60));
    assert_true(portmap_has_restarted(PORTMAP_PMP, 1000, 1040, 60));
    assert_true(portmap_has_restarted(PORTMAP_PMP, 1000, 3, 60));
}

static void every_refusal_has_words(void **state)
{
    (void)state;
    for (unsigned result = 0; result < 300; result++) {
        assert_non_null(portmap_why(PORTMAP_PCP, result));
        assert_non_null(portmap_why(PORTMAP_PMP, result));
    }
    assert_string_equal(portmap_why(PORTMAP_PCP, 8), portmap_why(PORTMAP_PMP, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pcp_request_is_that_of_the_rfc),
        cmocka_unit_test(a_nat_pmp_request_is_that_of_the_rfc),
        cmocka_unit_test(a_pcp_answer_has_the_address),
        cmocka_unit_test(nat_pmp_answers_are_told_apart),
        cmocka_unit_test(what_is_cut_or_asks_is_no_answer),
        cmocka_unit_test(a_router_that_started_anew_is_seen_by_its_epoch),
        cmocka_unit_test(every_refusal_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
