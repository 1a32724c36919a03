/* Patterns, prefixes and suffixes, routes and rules of the dial plan; networks of the access lists.
 */
#include "unit.h"

#include "core/access.h"
#include "core/dialplan.h"

static bool matches(const char *pattern, const char *number)
{
    return pattern_matches(slice_text(pattern), slice_text(number));
}

static void a_pattern_matches_the_beginning_of_a_number(void **state)
{
    (void)state;
    assert_true(matches("77", "77"));
    assert_true(matches("77", "777"));
    assert_false(matches("77", "7"));
    assert_false(matches("77", "87"));
    assert_true(matches("*8#", "*8#1"));
    assert_false(matches("", "1"));
    assert_false(matches("1", ""));
}

static void letters_stand_for_digits(void **state)
{
    static const struct {
        const char *pattern, *all, *none;
    } cases[] = {
        {"x", "0123456789", "*#"},   {"X", "0123456789", "*#"}, {"n", "23456789", "01*#"},
        {"z", "123456789", "0*#"},   {"Z", "123456789", "0*#"}, {"?", "0123456789*#", ""},
        {"o2", "2", "0134567890*#"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        for (const char *c = cases[i].all; *c; c++)
            assert_true(pattern_matches(slice_text(cases[i].pattern), slice_of(c, 1)));
        for (const char *c = cases[i].none; *c; c++)
            assert_false(pattern_matches(slice_text(cases[i].pattern), slice_of(c, 1)));
    }
    assert_true(matches("o555", "1555"));
    assert_true(matches("o555", "555"));
    assert_false(matches("o555", "2555"));
}

static void an_exclamation_mark_ends_both(void **state)
{
    (void)state;
    assert_true(matches("77!", "77"));
    assert_false(matches("77!", "777"));
    assert_true(matches("2xo!", "20"));
    assert_true(matches("2xo!", "201"));
    assert_false(matches("2xo!", "202"));
    assert_true(matches("77!", "77!5"));
}

static void a_plus_matches_the_end(void **state)
{
    (void)state;
    assert_true(matches("+1234", "1234"));
    assert_true(matches("+1234", "0001234"));
    assert_false(matches("+1234", "12345"));
    assert_true(matches("+o234", "5234"));
    assert_false(matches("+1234", "234"));
}

static void what_is_said_between_digits_does_not_count(void **state)
{
    (void)state;
    assert_true(matches("4930", "+49 30,123"));
    assert_true(matches("4930123!", "+49 30,123"));
}

static void names_match_whole_and_in_any_case(void **state)
{
    (void)state;
    assert_true(matches("Info", "info"));
    assert_false(matches("info", "infos"));
    assert_false(matches("x", "a"));
    assert_false(matches("1", "1a"));
}

static void very_long_numbers_match_nothing(void **state)
{
    char number[200];

    (void)state;
    memset(number, '1', sizeof number);
    assert_false(pattern_matches(S("1"), slice_of(number, sizeof number)));
    assert_true(pattern_matches(S("1"), slice_of(number, 64)));
}

static void affixes_are_put_and_taken_off(void **state)
{
    static const struct {
        const char *prefix, *suffix, *number, *result;
    } cases[] = {
        {"", "", "123", "123"},    {"9", "", "123", "9123"}, {"9", "", "9123", "9123"},
        {"-9", "", "9123", "123"}, {"-9", "", "123", "123"}, {"", "#", "123", "123#"},
        {"", "#", "123#", "123#"}, {"", "-23", "123", "1"},  {"", "-9", "123", "123"},
        {"-1", "-1", "11", ""},    {"-1", "-1", "1", ""},    {"-", "-", "12", "12"},
        {"-9", "0", "912", "120"}, {"-912", "", "912", ""},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct affix affix = {slice_text(cases[i].prefix), slice_text(cases[i].suffix)};
        char text[32];
        struct writer w = writer_over(text, sizeof text);

        affix_write(&w, &affix, slice_text(cases[i].number));
        assert_false(w.failed);
        assert_slice(writer_slice(&w), cases[i].result);
    }
}

static void routes_are_limited_by_level(void **state)
{
    static const struct route routes[] = {
        {.pattern = S("0"), .gateway = S("dear"), .priority = 5},
        {.pattern = S("1"), .gateway = S("other"), .priority = 5},
        {.pattern = S("0"), .gateway = S("cheap"), .priority = 0},
    };
    const struct dialplan plan = {.routes = routes, .route_count = COUNT_OF(routes)};
    unsigned position = 0;

    (void)state;
    assert_slice(dialplan_route(&plan, S("01"), 9, &position)->gateway, "dear");
    assert_slice(dialplan_route(&plan, S("01"), 9, &position)->gateway, "cheap");
    assert_null(dialplan_route(&plan, S("01"), 9, &position));
    position = 0;
    assert_slice(dialplan_route(&plan, S("01"), 5, &position)->gateway, "cheap");
    position = 0;
    assert_null(dialplan_route(&plan, S("01"), 0, &position));
}

static void the_first_rule_counts_and_rewriting_is_done_once(void **state)
{
    static const struct rule rules[] = {
        {.kind = RULE_REWRITE, .pattern = S("1")},
        {.kind = RULE_REFUSE, .pattern = S("12")},
        {.kind = RULE_REFER, .identity = S("Boss")},
    };
    const struct dialplan plan = {.rules = rules, .rule_count = COUNT_OF(rules)};

    (void)state;
    assert_ptr_equal(dialplan_rule(&plan, S("12"), true), &rules[0]);
    assert_ptr_equal(dialplan_rule(&plan, S("12"), false), &rules[1]);
    assert_ptr_equal(dialplan_rule(&plan, S("boss"), true), &rules[2]);
    assert_null(dialplan_rule(&plan, S("3"), true));
}

static void the_most_specific_network_counts(void **state)
{
    static const struct subnet subnets[] = {
        {{10, 1, 2, 3}, 32, false, 1}, {{10, 1, 2}, 23, false, 2}, {{10}, 8, false, 4},
        {{0x20, 0x01}, 3, true, 8},    {{0}, 0, true, 1},
    };
    static const struct {
        uint8_t address[16];
        bool is_v6;
        unsigned access;
    } cases[] = {
        {{10, 1, 2, 3}, false, 1}, {{10, 1, 3, 9}, false, 2}, {{10, 1, 4, 9}, false, 4},
        {{11, 1, 2, 3}, false, 0}, {{0x3f}, true, 8},         {{0x40}, true, 1},
        {{10, 1, 2, 3}, true, 1},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(access_of(subnets, COUNT_OF(subnets), cases[i].is_v6, cases[i].address),
                         cases[i].access);
}

int main(void)
{
    RUN(cmocka_unit_test(a_pattern_matches_the_beginning_of_a_number),
        cmocka_unit_test(letters_stand_for_digits), cmocka_unit_test(an_exclamation_mark_ends_both),
        cmocka_unit_test(a_plus_matches_the_end),
        cmocka_unit_test(what_is_said_between_digits_does_not_count),
        cmocka_unit_test(names_match_whole_and_in_any_case),
        cmocka_unit_test(very_long_numbers_match_nothing),
        cmocka_unit_test(affixes_are_put_and_taken_off),
        cmocka_unit_test(routes_are_limited_by_level),
        cmocka_unit_test(the_first_rule_counts_and_rewriting_is_done_once),
        cmocka_unit_test(the_most_specific_network_counts));
}
