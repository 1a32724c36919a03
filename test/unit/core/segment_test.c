/* Journal segments: what of a file can be read, wherever it was cut. */
#include "unit.h"

#include "core/segment.h"

#define EPOCH UINT64_C(0x1122334455667788)

static const struct slice payloads[] = {S("one"), S("a second record, of more bytes"), S("3")};

static struct slice make_file(char *bytes, size_t limit)
{
    struct writer w = writer_over(bytes, limit);

    segment_begin(&w, EPOCH, 7);
    for (unsigned i = 0; i < COUNT_OF(payloads); i++)
        segment_append(&w, EPOCH, payloads[i]);
    assert_false(w.failed);
    return writer_slice(&w);
}

static unsigned count_records(struct slice file, uint64_t epoch)
{
    struct slice rest = slice_from(file, SEGMENT_HEADER);
    struct slice payload;
    unsigned count = 0;

    while (segment_next(&rest, epoch, &payload)) {
        assert_true(slice_equal(payload, payloads[count]));
        count++;
    }
    return count;
}

static void a_whole_file_gives_all_records(void **state)
{
    char bytes[512];
    struct slice file = make_file(bytes, sizeof bytes);
    uint64_t epoch, order;

    (void)state;
    assert_true(segment_open(file, &epoch, &order));
    assert_int_equal(epoch, EPOCH);
    assert_int_equal(order, 7);
    assert_int_equal(count_records(file, epoch), 3);
}

/* As a file is read: the first bytes of it, then more, for as long as records go on. */
static void what_is_behind_the_last_record_need_not_be_read(void **state)
{
    char bytes[4096] = {0};
    size_t end = make_file(bytes, sizeof bytes).len;

    (void)state;
    for (size_t first = 0; first < sizeof bytes; first++) {
        size_t at = SEGMENT_HEADER;

        assert_int_equal(segment_goes_on(slice_of(bytes, first), &at),
                         first < end + SEGMENT_RECORD_OVERHEAD);
        assert_false(segment_goes_on(slice_of(bytes, sizeof bytes), &at));
        assert_int_equal(at, end);
    }
}

static void a_file_cut_at_any_byte_gives_the_records_before_it(void **state)
{
    char bytes[512];
    struct slice file = make_file(bytes, sizeof bytes);
    size_t end = SEGMENT_HEADER;
    unsigned whole = 0;

    (void)state;
    for (size_t cut = SEGMENT_HEADER; cut < file.len; cut++) {
        if (whole < 3 && cut == end + SEGMENT_RECORD_OVERHEAD + payloads[whole].len) {
            end = cut;
            whole++;
        }
        assert_int_equal(count_records(slice_until(file, cut), EPOCH), whole);
    }
}

static void a_changed_byte_ends_the_reading(void **state)
{
    char bytes[512];
    struct slice file = make_file(bytes, sizeof bytes);

    (void)state;
    for (size_t i = SEGMENT_HEADER; i < file.len; i++) {
        bytes[i] ^= 0x20;
        assert_true(count_records(file, EPOCH) < 3);
        bytes[i] ^= 0x20;
    }
}

static void a_changed_header_is_refused(void **state)
{
    char bytes[512];
    struct slice file = make_file(bytes, sizeof bytes);
    uint64_t epoch, order;

    (void)state;
    for (size_t i = 0; i < SEGMENT_HEADER; i++) {
        bytes[i] ^= 1;
        assert_false(segment_open(file, &epoch, &order));
        bytes[i] ^= 1;
    }
}

static void remains_of_another_epoch_are_not_records(void **state)
{
    char bytes[512];
    struct slice file = make_file(bytes, sizeof bytes);

    (void)state;
    assert_int_equal(count_records(file, EPOCH + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_gives_all_records),
        cmocka_unit_test(what_is_behind_the_last_record_need_not_be_read),
        cmocka_unit_test(a_file_cut_at_any_byte_gives_the_records_before_it),
        cmocka_unit_test(a_changed_byte_ends_the_reading),
        cmocka_unit_test(a_changed_header_is_refused),
        cmocka_unit_test(remains_of_another_epoch_are_not_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
