#include "unit.h"

#include "sip/compose.h"

static void assert_spliced(struct slice original, const struct splice *s, const char *wanted)
{
    char at[256];
    struct writer w = writer_over(at, sizeof at);

    splice_write(&w, original, s);
    assert_false(w.failed);
    assert_slice(writer_slice(&w), wanted);
}

static void without_edits_the_original_comes_out(void **state)
{
    struct splice s = {.count = 0};

    (void)state;
    assert_spliced(S("abc"), &s, "abc");
    assert_spliced(S(""), &s, "");
}

static void edits_insert_replace_and_remove(void **state)
{
    struct splice s = {.count = 0};

    (void)state;
    splice_add(&s, 0, 0, S("<"));
    splice_add(&s, 1, 2, S("XYZ"));
    splice_add(&s, 4, 1, NO_SLICE);
    splice_add(&s, 6, 0, S(">"));
    assert_spliced(S("abcdef"), &s, "<aXYZdf>");
}

static void edits_may_be_added_in_any_order(void **state)
{
    struct splice s = {.count = 0};

    (void)state;
    splice_add(&s, 5, 0, S("3"));
    splice_add(&s, 0, 1, S("1"));
    splice_add(&s, 2, 0, S("2"));
    assert_spliced(S("abcdef"), &s, "1b2cde3f");
}

static void edits_at_one_place_keep_the_order_they_were_added_in(void **state)
{
    struct splice s = {.count = 0};

    (void)state;
    splice_add(&s, 1, 0, S("1"));
    splice_add(&s, 0, 0, S("0"));
    splice_add(&s, 1, 0, S("2"));
    splice_add(&s, 1, 1, S("3"));
    assert_spliced(S("abc"), &s, "0a123c");
}

static void a_writer_that_is_too_small_fails(void **state)
{
    struct splice s = {.count = 0};
    char at[4];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    splice_add(&s, 1, 0, S("xx"));
    splice_write(&w, S("abc"), &s);
    assert_true(w.failed);
}

/* The naive model edits a text in place, from its end to its beginning. */
static void splicing_agrees_with_a_naive_model(void **state)
{
    static const char original[] = "INVITE sip:bob@example.com SIP/2.0\r\nVia: x\r\n\r\n";
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);

    (void)state;
    for (unsigned run = 0; run < 5000; run++) {
        size_t at[EDIT_LIMIT], remove[EDIT_LIMIT], place = 0;
        struct splice s = {.count = 0};
        char text[512];
        unsigned count = 0;
        strcpy(text, original);
        while (count < EDIT_LIMIT && place < sizeof original - 4) {
            at[count] = place + draw_below(&seed, 3);
            remove[count] = draw_below(&seed, 2);
            place = at[count] + remove[count] + 1;
            count++;
        }
        for (unsigned i = count; i-- > 0;) {
            char *tail = text + at[i];
            memmove(tail + 2, tail + remove[i], strlen(tail + remove[i]) + 1);
            memcpy(tail, "<>", 2);
        }
        for (unsigned i = 0; i < count; i++) { /* odd ones first */
            unsigned odd = 2 * i + 1 < count ? 2 * i + 1 : 2 * (i - count / 2);
            splice_add(&s, at[odd], remove[odd], S("<>"));
        }
        assert_spliced(slice_text(original), &s, text);
    }
}

static void statuses_have_their_phrases(void **state)
{
    (void)state;
    assert_slice(reason_phrase(100), "Trying");
    assert_slice(reason_phrase(200), "OK");
    assert_slice(reason_phrase(486), "Busy Here");
    assert_slice(reason_phrase(606), "Not Acceptable");
    assert_slice(reason_phrase(299), "Unknown");
    assert_slice(reason_phrase(0), "Unknown");
}

int main(void)
{
    RUN(cmocka_unit_test(without_edits_the_original_comes_out),
        cmocka_unit_test(edits_insert_replace_and_remove),
        cmocka_unit_test(edits_may_be_added_in_any_order),
        cmocka_unit_test(edits_at_one_place_keep_the_order_they_were_added_in),
        cmocka_unit_test(a_writer_that_is_too_small_fails),
        cmocka_unit_test(splicing_agrees_with_a_naive_model),
        cmocka_unit_test(statuses_have_their_phrases));
}
