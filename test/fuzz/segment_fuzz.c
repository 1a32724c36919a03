/*
 * The journal's segments: any file is read without reaching past its end; and a segment of records
 * cut from the input, itself cut at any byte or with one byte changed, gives back a run of the
 * records written, from the first on.
 */
#include "fuzz.h"

#include "core/segment.h"

/* However it is read, no record is left behind. */
static void check_reading(struct slice file, size_t end)
{
    size_t at = SEGMENT_HEADER, len = 0;

    while (len < file.len && segment_goes_on(slice_until(file, len), &at))
        len += min_u64(1 + len / 2, file.len - len);
    assert(len >= end || file.len < SEGMENT_HEADER);
}

static void check_any(struct slice file)
{
    struct slice rest = slice_from(file, file.len < SEGMENT_HEADER ? file.len : SEGMENT_HEADER);
    struct slice payload;
    uint64_t epoch = 0, order;

    if (!segment_open(file, &epoch, &order))
        epoch = 1;
    while (segment_next(&rest, epoch, &payload))
        assert(is_within(payload, file) && is_within(rest, file) && is_behind(rest, payload));
    check_reading(file, (size_t)(rest.at - file.at));
}

/* Records of 1 + (first byte & 15) bytes each; returns how many. */
static unsigned write_records(struct writer *w, struct slice bytes, struct slice *records,
                              unsigned limit)
{
    unsigned count = 0;

    segment_begin(w, 77, 3);
    while (bytes.len && count < limit) {
        size_t len = min_u64(1 + (size_t)(bytes.at[0] & 15), bytes.len);
        records[count++] = slice_until(bytes, len);
        segment_append(w, 77, slice_until(bytes, len));
        bytes = slice_from(bytes, len);
    }
    return count;
}

static unsigned read_records(struct slice file, const struct slice *records, unsigned count)
{
    struct slice rest, payload;
    uint64_t epoch, order;
    unsigned n = 0;

    if (!segment_open(file, &epoch, &order))
        return 0;
    assert(epoch == 77 && order == 3);
    rest = slice_from(file, SEGMENT_HEADER);
    for (; segment_next(&rest, epoch, &payload); n++)
        assert(n < count && slice_equal(payload, records[n]));
    return n;
}

static void check_damaged(struct slice bytes)
{
    static char file[8192];
    struct slice records[32];
    struct writer w = writer_over(file, sizeof file);
    size_t cut = (unsigned char)bytes.at[0] | (size_t)(unsigned char)bytes.at[1] << 8;
    unsigned count = write_records(&w, slice_from(bytes, 2), records, COUNT_OF(records));

    assert(!w.failed && read_records(writer_slice(&w), records, count) == count);
    cut %= w.len;
    assert(read_records(slice_until(writer_slice(&w), cut), records, count) <= count);
    file[cut] = (char)(file[cut] ^ (bytes.at[0] | 1));
    assert(read_records(writer_slice(&w), records, count) < count || !count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_input(data, size);

    check_any(bytes);
    if (bytes.len > 2)
        check_damaged(bytes);
    return 0;
}
