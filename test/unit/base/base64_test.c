#include "unit.h"

#include "base/base64.h"

static void check(const char *bytes, const char *text)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    write_base64url(&w, slice_text(bytes));
    assert_slice(writer_slice(&w), text);
    assert_int_equal(w.len, base64url_length(strlen(bytes)));
    w = writer_over(at, sizeof at);
    assert_true(base64url_decode(&w, slice_text(text)));
    assert_slice(writer_slice(&w), bytes);
}

/* RFC 4648 10, without the padding. */
static void the_examples_of_the_rfc_go_both_ways(void **state)
{
    (void)state;
    check("", "");
    check("f", "Zg");
    check("fo", "Zm8");
    check("foo", "Zm9v");
    check("foob", "Zm9vYg");
    check("fooba", "Zm9vYmE");
    check("foobar", "Zm9vYmFy");
    check("\xfb\xff\xbf", "-_-_");
}

static void every_byte_survives(void **state)
{
    char bytes[256], text[400], again[256];
    struct writer w = writer_over(text, sizeof text), back = writer_over(again, sizeof again);

    (void)state;
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    write_base64url(&w, slice_of(bytes, sizeof bytes));
    assert_true(base64url_decode(&back, writer_slice(&w)));
    assert_int_equal(back.len, sizeof bytes);
    assert_memory_equal(bytes, again, sizeof bytes);
}

static void what_is_no_one_text_of_bytes_is_refused(void **state)
{
    static const char *const bad[] = {
        "A", "AAAAA", "Zh", "Zm9", "Zg==", "Zm 9v", "+/+/", "Zm9v\n", "\xc3\xa4", "Zm9vZh"};
    char at[16];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        struct writer w = writer_over(at, sizeof at);
        if (base64url_decode(&w, slice_text(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void what_does_not_fit_is_a_failure(void **state)
{
    char at[5];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    assert_false(base64url_decode(&w, S("Zm9vYmFy")));
    w = writer_over(at, sizeof at);
    write_base64url(&w, S("foobar"));
    assert_true(w.failed);
}

int main(void)
{
    RUN(cmocka_unit_test(the_examples_of_the_rfc_go_both_ways),
        cmocka_unit_test(every_byte_survives),
        cmocka_unit_test(what_is_no_one_text_of_bytes_is_refused),
        cmocka_unit_test(what_does_not_fit_is_a_failure));
}
