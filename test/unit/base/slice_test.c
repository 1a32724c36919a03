#include "unit.h"

static void equality_ignores_the_case_of_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(S("Call-ID"), S("cALL-id")));
    assert_false(slice_equal_nocase(S("Via"), S("Viaa")));
    assert_false(slice_equal_nocase(S("[a]"), S("{a}")));
    assert_false(slice_equal_nocase(S("\xc4"), S("\xe4")));
    assert_false(slice_equal(S("Via"), S("via")));
}

static void empty_slices_are_equal_wherever_they_point(void **state)
{
    (void)state;
    assert_true(slice_equal(NO_SLICE, S("")));
    assert_true(slice_equal_nocase(S(""), NO_SLICE));
    assert_int_equal(slice_text(NULL).len, 0);
}

static void a_slice_is_cut_at_either_end(void **state)
{
    (void)state;
    assert_slice(slice_from(S("sip:x"), 4), "x");
    assert_slice(slice_from(S("sip:x"), 5), "");
    assert_slice(slice_until(S("sip:x"), 3), "sip");
    assert_true(slice_starts(S("sip:x"), S("sip:")));
    assert_false(slice_starts(S("sip"), S("sip:")));
}

static void find_returns_the_first_or_the_length(void **state)
{
    (void)state;
    assert_int_equal(slice_find(S("a@b@c"), '@'), 1);
    assert_int_equal(slice_find(S("abc"), '@'), 3);
    assert_int_equal(slice_find(NO_SLICE, '@'), 0);
    assert_int_equal(slice_find(S("a\0b"), 'b'), 2);
}

static void trim_takes_blanks_and_folds_from_both_ends(void **state)
{
    (void)state;
    assert_slice(slice_trim(S(" \t\r\n a b\r\n\t ")), "a b");
    assert_slice(slice_trim(S("a")), "a");
    assert_slice(slice_trim(S(" \r\n ")), "");
    assert_slice(slice_trim(NO_SLICE), "");
}

static void number_takes_decimal_digits_up_to_its_limit(void **state)
{
    uint64_t n = 0;

    (void)state;
    assert_true(slice_number(S("0068"), 255, &n));
    assert_int_equal(n, 68);
    assert_true(slice_number(S("699"), 699, &n));
    assert_false(slice_number(S("700"), 699, &n));
    assert_false(slice_number(S("9"), 8, &n));
    assert_true(slice_number(S("18446744073709551615"), UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_false(slice_number(S("18446744073709551616"), UINT64_MAX, &n));
    assert_false(slice_number(S("99999999999999999999999999"), UINT64_MAX, &n));
}

static void number_refuses_whatever_is_not_a_digit(void **state)
{
    static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1a"};
    uint64_t n;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(wrong); i++)
        assert_false(slice_number(slice_text(wrong[i]), UINT64_MAX, &n));
}

int main(void)
{
    RUN(cmocka_unit_test(equality_ignores_the_case_of_ascii_letters_only),
        cmocka_unit_test(empty_slices_are_equal_wherever_they_point),
        cmocka_unit_test(a_slice_is_cut_at_either_end),
        cmocka_unit_test(find_returns_the_first_or_the_length),
        cmocka_unit_test(trim_takes_blanks_and_folds_from_both_ends),
        cmocka_unit_test(number_takes_decimal_digits_up_to_its_limit),
        cmocka_unit_test(number_refuses_whatever_is_not_a_digit));
}
