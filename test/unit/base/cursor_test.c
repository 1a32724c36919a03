#include "unit.h"

#include "base/cursor.h"

static void the_first_error_of_a_writer_sticks(void **state)
{
    char at[4];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    write_slice(&w, S("abc"));
    write_slice(&w, S("de"));
    write_char(&w, 'f');
    assert_true(w.failed);
    assert_slice(writer_slice(&w), "abc");
}

static void a_writer_can_be_filled_to_its_last_byte(void **state)
{
    char at[4];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    write_slice(&w, S("abcd"));
    write_slice(&w, NO_SLICE);
    assert_false(w.failed);
    assert_slice(writer_slice(&w), "abcd");
}

static void numbers_are_written_without_leading_zeros(void **state)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    write_number(&w, 0);
    write_char(&w, ' ');
    write_number(&w, UINT64_MAX);
    assert_slice(writer_slice(&w), "0 18446744073709551615");
}

static void hex_is_lower_case_and_of_the_width_asked_for(void **state)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    write_hex(&w, 0xabc, 8);
    write_char(&w, ' ');
    write_hex(&w, UINT64_MAX, 16);
    write_char(&w, ' ');
    write_hex_bytes(&w, "\x01\xfe", 2);
    assert_slice(writer_slice(&w), "00000abc ffffffffffffffff 01fe");
}

static void binary_is_little_endian(void **state)
{
    char at[16];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    write_u8(&w, 1);
    write_u16(&w, 0x0302);
    write_u32(&w, 0x07060504);
    write_u64(&w, UINT64_C(0x0f0e0d0c0b0a0908));
    assert_slice(writer_slice(&w), "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17");
}

static void what_was_written_reads_back(void **state)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);
    struct reader r;

    (void)state;
    write_u8(&w, UINT8_MAX);
    write_u16(&w, UINT16_MAX - 1);
    write_u32(&w, UINT32_MAX - 2);
    write_u64(&w, UINT64_MAX - 3);
    write_counted(&w, S("text"));
    write_counted(&w, S(""));
    r = reader_over(writer_slice(&w));
    assert_int_equal(read_u8(&r), UINT8_MAX);
    assert_int_equal(read_u16(&r), UINT16_MAX - 1);
    assert_int_equal(read_u32(&r), UINT32_MAX - 2);
    assert_true(read_u64(&r) == UINT64_MAX - 3);
    assert_slice(read_counted(&r), "text");
    assert_slice(read_counted(&r), "");
    assert_false(r.failed);
    assert_int_equal(r.rest.len, 0);
}

static void reading_past_the_end_yields_nothing_ever_after(void **state)
{
    struct reader r = reader_over(S("\1\2\3"));

    (void)state;
    assert_int_equal(read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(read_u8(&r), 0);
    assert_true(read_bytes(&r, 0).at == NULL);
}

static void a_count_beyond_the_bytes_fails(void **state)
{
    struct reader r = reader_over(S("\5\0abcd"));

    (void)state;
    assert_int_equal(read_counted(&r).len, 0);
    assert_true(r.failed);
}

static void a_slice_longer_than_its_count_can_say_fails(void **state)
{
    static char at[70000];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    write_counted(&w, slice_of(at, 65536));
    assert_true(w.failed);
    assert_int_equal(w.len, 0);
}

static void every_byte_is_a_hex_digit_or_none_wherever_it_stands(void **state)
{
    uint8_t out[20];

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned at = 0; at < 40; at++) {
            char text[41] = "0123456789abcdefABCDEF01234567899876543f";
            text[at] = (char)c;
            assert_int_equal(hex_decode(slice_of(text, 40), out, 20), hex_digit((char)c) >= 0);
            if (hex_digit((char)c) >= 0)
                assert_int_equal(at % 2 ? out[at / 2] & 15 : out[at / 2] >> 4, hex_digit((char)c));
        }
    }
}

static void hex_of_any_length_comes_back(void **state)
{
    uint8_t bytes[37], back[37];
    char text[80];

    (void)state;
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (unsigned len = 0; len <= sizeof bytes; len++) {
        struct writer w = writer_over(text, sizeof text);
        write_hex_bytes(&w, bytes, len);
        assert_int_equal(w.len, 2 * len);
        assert_true(hex_decode(writer_slice(&w), back, len));
        assert_memory_equal(back, bytes, len);
    }
}

static void numbers_around_each_power_of_ten_have_their_digits(void **state)
{
    (void)state;
    for (uint64_t n = 1, digits = 1; digits <= 19; n *= 10, digits++) {
        char text[24];
        struct writer w = writer_over(text, sizeof text);
        write_number(&w, n);
        assert_int_equal(w.len, digits);
        assert_int_equal(text[0], '1');
        w.len = 0;
        write_number(&w, n - 1);
        assert_int_equal(w.len, digits > 1 ? digits - 1 : 1);
        assert_int_equal(text[w.len - 1], digits > 1 ? '9' : '0');
    }
}

static void hex_decodes_in_either_case_and_only_whole(void **state)
{
    uint8_t out[2];

    (void)state;
    assert_true(hex_decode(S("aBFf"), out, 2));
    assert_memory_equal(out, "\xab\xff", 2);
    assert_false(hex_decode(S("aBF"), out, 2));
    assert_false(hex_decode(S("aBFfF"), out, 2));
    assert_false(hex_decode(S("aBFg"), out, 2));
    assert_int_equal(hex_digit('@'), -1);
    assert_int_equal(hex_digit('G'), -1);
    assert_int_equal(hex_digit('`'), -1);
}

int main(void)
{
    RUN(cmocka_unit_test(the_first_error_of_a_writer_sticks),
        cmocka_unit_test(a_writer_can_be_filled_to_its_last_byte),
        cmocka_unit_test(numbers_are_written_without_leading_zeros),
        cmocka_unit_test(hex_is_lower_case_and_of_the_width_asked_for),
        cmocka_unit_test(binary_is_little_endian), cmocka_unit_test(what_was_written_reads_back),
        cmocka_unit_test(reading_past_the_end_yields_nothing_ever_after),
        cmocka_unit_test(a_count_beyond_the_bytes_fails),
        cmocka_unit_test(a_slice_longer_than_its_count_can_say_fails),
        cmocka_unit_test(every_byte_is_a_hex_digit_or_none_wherever_it_stands),
        cmocka_unit_test(hex_of_any_length_comes_back),
        cmocka_unit_test(numbers_around_each_power_of_ten_have_their_digits),
        cmocka_unit_test(hex_decodes_in_either_case_and_only_whole));
}
