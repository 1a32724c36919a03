#include "unit.h"

#include "base/json.h"

static struct writer fresh(char *at, size_t limit)
{
    return writer_over(at, limit);
}

static void members_are_separated_by_commas(void **state)
{
    char at[256];
    struct writer w = fresh(at, sizeof at);

    (void)state;
    json_begin(&w);
    json_text(&w, S("a"), S("x"));
    json_number(&w, S("b"), 7);
    json_bool(&w, S("c"), true);
    json_null(&w, S("d"));
    json_end(&w);
    assert_slice(writer_slice(&w), "{\"a\":\"x\",\"b\":7,\"c\":true,\"d\":null}");
}

static void objects_and_lists_may_be_empty_and_nest(void **state)
{
    char at[256];
    struct writer w = fresh(at, sizeof at);

    (void)state;
    json_begin(&w);
    json_open(&w, S("o"));
    json_end(&w);
    json_list(&w, S("l"));
    json_list_end(&w);
    json_list(&w, S("m"));
    json_item(&w, S("{"));
    json_item(&w, S("["));
    json_next(&w);
    json_number(&w, S("n"), 1);
    json_end(&w);
    json_next(&w);
    json_end(&w);
    json_list_end(&w);
    json_end(&w);
    assert_slice(writer_slice(&w), "{\"o\":{},\"l\":[],\"m\":[\"{\",\"[\",{\"n\":1},{}]}");
}

static void what_stands_before_it_does_not_matter(void **state)
{
    char at[64];
    struct writer w = fresh(at, sizeof at);

    (void)state;
    write_slice(&w, S("x\n"));
    json_begin(&w);
    json_end(&w);
    assert_slice(writer_slice(&w), "x\n{}");
}

static void assert_text(struct slice text, const char *written)
{
    char at[8192];
    struct writer w = fresh(at, sizeof at);

    json_begin(&w);
    json_text(&w, S("t"), text);
    json_end(&w);
    assert_false(w.failed);
    assert_slice(slice_of(w.at + 6, w.len - 8), written);
}

static void control_characters_and_quotes_are_escaped(void **state)
{
    (void)state;
    assert_text(S("a\"b\\c/\n\x1b[2J\x7f"), "a\\\"b\\\\c/\\n\\u001b[2J\\u007f");
    assert_text(S("\0"), "\\u0000");
    assert_text(S("\xc2\x9b"), "\\u009b");
}

static void utf_8_passes(void **state)
{
    (void)state;
    assert_text(S("Gr\xc3\xbc\xc3\x9f"
                  "e"),
                "Gr\xc3\xbc\xc3\x9f"
                "e");
    assert_text(S("\xe2\x82\xac\xf0\x9f\x93\x9e"), "\xe2\x82\xac\xf0\x9f\x93\x9e");
}

static void what_is_no_utf_8_is_replaced(void **state)
{
    (void)state;
    assert_text(S("\xff"
                  "a"),
                "\\ufffda");
    assert_text(S("\xc3"), "\\ufffd");
    assert_text(S("\xc0\xaf"), "\\ufffd\\ufffd");                       /* overlong */
    assert_text(S("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd");            /* a surrogate */
    assert_text(S("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd"); /* above U+10FFFF */
    assert_text(S("\xe0\x80\x80"), "\\ufffd\\ufffd\\ufffd");
    assert_text(S("\xf0\x80\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd");
}

static void long_texts_are_cut(void **state)
{
    char at[JSON_TEXT + 64], text[JSON_TEXT + 8];
    struct writer w = fresh(at, sizeof at);

    (void)state;
    memset(text, 'x', sizeof text);
    json_begin(&w);
    json_text(&w, S("t"), slice_of(text, sizeof text));
    json_end(&w);
    assert_false(w.failed);
    assert_int_equal(w.len, JSON_TEXT + 8);
}

int main(void)
{
    RUN(cmocka_unit_test(members_are_separated_by_commas),
        cmocka_unit_test(objects_and_lists_may_be_empty_and_nest),
        cmocka_unit_test(what_stands_before_it_does_not_matter),
        cmocka_unit_test(control_characters_and_quotes_are_escaped), cmocka_unit_test(utf_8_passes),
        cmocka_unit_test(what_is_no_utf_8_is_replaced), cmocka_unit_test(long_texts_are_cut));
}
