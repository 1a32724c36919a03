#include "unit.h"

#include "base/json_read.h"

static struct json_value read_text(const char *text)
{
    struct json_value value;

    if (!json_read(slice_text(text), &value))
        fail_msg("refused: %s", text);
    return value;
}

static void values_have_a_kind_and_a_text(void **state)
{
    static const struct {
        const char *text;
        enum json_kind kind;
        const char *inner;
    } values[] = {
        {" {} ", JSON_OBJECT, ""},
        {"[1, 2]", JSON_LIST, "1, 2"},
        {"\"a\\\"b\"", JSON_STRING, "a\\\"b"},
        {"-0.5e+7", JSON_NUMBER, "-0.5e+7"},
        {"0", JSON_NUMBER, "0"},
        {"\t\r\ntrue", JSON_TRUE, "true"},
        {"false", JSON_FALSE, "false"},
        {"null", JSON_NULL, "null"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(values); i++) {
        struct json_value value = read_text(values[i].text);
        assert_int_equal(value.kind, values[i].kind);
        assert_slice(value.text, values[i].inner);
    }
}

static void members_and_items_come_one_after_another(void **state)
{
    struct json_value object = read_text("{ \"a\" : 1 , \"b\":[ \"x\" , {\"}\":[]} ] }");
    struct slice rest = object.text, name;
    struct json_value value, item;

    (void)state;
    assert_true(json_take_member(&rest, &name, &value));
    assert_slice(name, "a");
    assert_slice(value.text, "1");
    assert_true(json_take_member(&rest, &name, &value));
    assert_slice(name, "b");
    assert_false(json_take_member(&rest, &name, &item));
    rest = value.text;
    assert_true(json_take_item(&rest, &item));
    assert_slice(item.text, "x");
    assert_true(json_take_item(&rest, &item));
    assert_int_equal(item.kind, JSON_OBJECT);
    assert_slice(item.text, "\"}\":[]");
    assert_false(json_take_item(&rest, &item));
}

static void a_member_is_found_if_it_is_there_once(void **state)
{
    struct json_value object = read_text("{\"a\":1,\"b\":\"x\",\"a\":2,\"c\":{\"d\":null}}"), value;

    (void)state;
    assert_true(json_find(&object, S("b"), JSON_STRING, &value));
    assert_slice(value.text, "x");
    assert_false(json_find(&object, S("b"), JSON_NUMBER, &value));
    assert_false(json_find(&object, S("a"), JSON_NUMBER, &value));
    assert_false(json_find(&object, S("d"), JSON_NULL, &value));
    assert_true(json_find(&object, S("c"), JSON_OBJECT, &value));
    assert_true(json_find(&value, S("d"), JSON_NULL, &value));
    assert_false(json_find(&value, S("d"), JSON_NULL, &value));
}

static void escapes_become_what_they_stand_for(void **state)
{
    struct json_value value =
        read_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t|\\u0041\\u00e4\\u20AC\\ud83d\\uDE00|\xc3\xa4\"");
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    json_unescape(&w, value.text);
    assert_slice(writer_slice(&w),
                 "\"\\/\b\f\n\r\t|A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80|\xc3\xa4");
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "{]",
        "[}",
        "[1",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1,}",
        "{1:2}",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "\"\x1f\"",
        "\"\\",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "True",
        "nul",
        "nullx",
        "1 2",
        "[1 2]",
        "{\"a\" 1}",
        "\"\xff\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\xef\xbb\xbf{}",
        "[1]x",
        "NaN",
        "/**/1",
        "\"\xc0\xaf\"",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct json_value value;
        if (json_read(slice_text(bad[i]), &value))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void brackets_open_only_so_deep(void **state)
{
    struct json_value value;

    (void)state;
    assert_true(json_read(S("[[[[[[[[1]]]]]]]]"), &value));
    assert_false(json_read(S("[[[[[[[[[1]]]]]]]]]"), &value));
    assert_false(json_read(S("[[[[[[[[{}]]]]]]]]"), &value));
}

static void mutilated_texts_stay_within_bounds(void **state)
{
    static const char text[] = "{\"a\\u00e4\":[1,-2.5e3,{\"b\":\"\\ud83d\\ude00\"}],\"c\":null}";
    static const char letters[] = "{}[]\",:\\u0d-.e \xff";
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        char at[sizeof text];
        size_t len = sizeof text - 1;
        struct json_value value, member;
        struct slice name, rest;
        memcpy(at, text, sizeof text);
        for (uint64_t changes = draw_below(&seed, 3); changes > 0; changes--)
            at[draw_below(&seed, len)] = letters[draw_below(&seed, sizeof letters - 1)];
        if (draw_below(&seed, 2))
            len = draw_below(&seed, len);
        if (!json_read(slice_of(at, len), &value) || value.kind != JSON_OBJECT)
            continue;
        for (rest = value.text; json_take_member(&rest, &name, &member);)
            assert_true(member.text.at >= at && member.text.at + member.text.len <= at + len);
        assert_int_equal(rest.len, 0);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(values_have_a_kind_and_a_text),
        cmocka_unit_test(members_and_items_come_one_after_another),
        cmocka_unit_test(a_member_is_found_if_it_is_there_once),
        cmocka_unit_test(escapes_become_what_they_stand_for),
        cmocka_unit_test(what_is_no_json_is_refused), cmocka_unit_test(brackets_open_only_so_deep),
        cmocka_unit_test(mutilated_texts_stay_within_bounds));
}
