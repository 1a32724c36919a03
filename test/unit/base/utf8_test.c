#include "unit.h"

#include "base/utf8.h"

static void text_in_any_alphabet_is_valid(void **state)
{
    static const char *const good[] = {
        "",
        "plain",
        "eight by",
        "k\xc3\xa4se",
        "\xe2\x82\xac at the front, and twelve and more behind",
        "\xf0\x9f\x98\x80",
        "\xed\x9f\xbf\xee\x80\x80",
        "\xf4\x8f\xbf\xbf",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++)
        assert_true(utf8_is_valid(slice_text(good[i])));
    assert_true(utf8_is_valid(S("a\0b")));
}

static void what_is_broken_overlong_or_a_surrogate_is_not(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "long enough for a word \xff",
        "\xc3",
        "\xc3(",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xe2\x82",
        "\xed\xa0\x80",
        "\xf0\x80\x80\xaf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        assert_false(utf8_is_valid(slice_text(bad[i])));
}

int main(void)
{
    RUN(cmocka_unit_test(text_in_any_alphabet_is_valid),
        cmocka_unit_test(what_is_broken_overlong_or_a_surrogate_is_not));
}
