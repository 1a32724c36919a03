#include "unit.h"

#include "shell/file.h"
#include "shell/folder.h"
#include "shell/journal.h"

static struct log quiet;
static struct folder folder;
static struct journal journal;

static int make_folder(void **state)
{
    (void)state;
    folder = folder_make();
    return folder.fd < 0;
}

static int remove_folder(void **state)
{
    (void)state;
    folder_remove(&folder);
    return 0;
}

static void open_journal(void)
{
    assert_true(journal_open(&journal, folder.fd, folder.path, &quiet));
}

static void append(const char *text)
{
    char bytes[256];
    struct writer w = writer_over(bytes, sizeof bytes);

    segment_append(&w, journal.epoch, slice_text(text));
    assert_int_equal(journal_append(&journal, writer_slice(&w)), 0);
}

/* All records that the journal found when it was opened, joined. */
static void assert_records(const char *wanted)
{
    char text[1024];
    struct writer w = writer_over(text, sizeof text);
    struct slice file, payload;
    uint64_t order = 0, epoch;
    int error;

    while (journal_next(&journal, &order, &file, &epoch, &error)) {
        struct slice rest = slice_from(file, SEGMENT_HEADER);

        while (segment_next(&rest, epoch, &payload))
            write_slice(&w, payload);
        free((void *)(uintptr_t)file.at);
    }
    assert_int_equal(error, 0);
    assert_slice(writer_slice(&w), wanted);
}

static bool is_there(const char *name)
{
    return faccessat(folder.fd, name, F_OK, 0) == 0;
}

static void records_come_back_in_order_over_segments(void **state)
{
    (void)state;
    open_journal();
    assert_records("");
    assert_int_equal(journal_begin(&journal), 0);
    append("a");
    append("b");
    assert_int_equal(journal_begin(&journal), 0);
    append("c");
    journal_close(&journal);
    open_journal();
    assert_records("abc");
    journal_close(&journal);
}

static void a_checkpoint_retires_older_segments_after_the_sync(void **state)
{
    (void)state;
    open_journal();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(journal_begin(&journal), 0);
        append("old");
    }
    append("new");
    journal_checkpointed(&journal);
    assert_true(is_there("journal.1"));
    assert_int_equal(journal_sync(&journal), 0);
    assert_false(is_there("journal.1"));
    assert_false(is_there("journal.2"));
    assert_true(is_there("journal.spare"));
    journal_close(&journal);
    open_journal();
    assert_records("oldnew");
    journal_close(&journal);
}

static void a_spare_segment_does_not_bring_its_records_back(void **state)
{
    (void)state;
    open_journal();
    assert_int_equal(journal_begin(&journal), 0);
    append("one");
    append("two");
    assert_int_equal(journal_begin(&journal), 0);
    journal_checkpointed(&journal);
    assert_int_equal(journal_sync(&journal), 0);
    assert_true(is_there("journal.spare"));
    assert_int_equal(journal_begin(&journal), 0);
    assert_false(is_there("journal.spare"));
    append("new");
    journal_close(&journal);
    open_journal();
    assert_records("new");
    journal_close(&journal);
}

static void a_segment_is_full_only_after_its_checkpoint(void **state)
{
    (void)state;
    open_journal();
    assert_int_equal(journal_begin(&journal), 0);
    journal.used = SEGMENT_BYTES;
    assert_false(journal_is_full(&journal));
    journal_checkpointed(&journal);
    assert_false(journal_is_full(&journal));
    journal.used = 4 * SEGMENT_BYTES;
    assert_true(journal_is_full(&journal));
    journal_close(&journal);
}

static void put(const char *name, struct slice bytes)
{
    assert_int_equal(file_write(folder.fd, name, bytes), 0);
}

static void a_torn_creation_is_passed_over(void **state)
{
    static const char nothing[100];
    char bytes[SEGMENT_HEADER];
    struct writer earlier = writer_over(bytes, sizeof bytes);

    (void)state;
    open_journal();
    assert_int_equal(journal_begin(&journal), 0);
    append("a");
    journal_close(&journal);
    put("journal.2", slice_of(nothing, 5));
    put("journal.3", slice_of(nothing, sizeof nothing));
    segment_begin(&earlier, 77, 1); /* a spare whose new header did not come to the disk */
    put("journal.4", writer_slice(&earlier));
    open_journal();
    assert_records("a");
    assert_int_equal(journal_begin(&journal), 0);
    assert_true(is_there("journal.5"));
    journal_close(&journal);
}

static void damaged_and_newer_segments_are_refused(void **state)
{
    static const char *const heads[] = {"SIPWJRN2.......................................",
                                        "SIPWJRN1.......................................",
                                        "something else that is longer than a header"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(heads); i++) {
        put("journal.7", slice_text(heads[i]));
        assert_false(journal_open(&journal, folder.fd, folder.path, &quiet));
        assert_true(is_there("journal.7"));
    }
}

static void a_failed_begin_leaves_the_segment_before_in_use(void **state)
{
    (void)state;
    open_journal();
    assert_int_equal(journal_begin(&journal), 0);
    append("a");
    journal.limit = UINT64_C(1) << 62; /* no disk has that */
    assert_true(journal_begin(&journal) < 0);
    journal.limit = SEGMENT_BYTES;
    append("b");
    journal_close(&journal);
    open_journal();
    assert_records("ab");
    journal_close(&journal);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
        IN_FOLDER(records_come_back_in_order_over_segments),
        IN_FOLDER(a_checkpoint_retires_older_segments_after_the_sync),
        IN_FOLDER(a_spare_segment_does_not_bring_its_records_back),
        IN_FOLDER(a_segment_is_full_only_after_its_checkpoint),
        IN_FOLDER(a_torn_creation_is_passed_over),
        IN_FOLDER(damaged_and_newer_segments_are_refused),
        IN_FOLDER(a_failed_begin_leaves_the_segment_before_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
