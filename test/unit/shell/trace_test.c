#include "unit.h"

#include "shell/trace.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_blanked(const char *message, const char *blanked)
{
    char bytes[1024];
    size_t len = strlen(message);

    memcpy(bytes, message, len);
    len = trace_blank(bytes, len);
    assert_slice(slice_of(bytes, len), blanked);
}

static void digest_responses_are_blanked_however_they_are_written(void **state)
{
    (void)state;
    assert_blanked("Authorization: Digest response=\"0af3\", nc=1\r\n",
                   "Authorization: Digest response=\"****\", nc=1\r\n");
    assert_blanked("Proxy-Authorization: Digest nc=1,RESPONSE =\r\n \"0af3\"\r\n",
                   "Proxy-Authorization: Digest nc=1,RESPONSE =\r\n \"****\"\r\n");
    assert_blanked("a: response=0af3, x\r\n", "a: response=****, x\r\n");
    assert_blanked("Authentication-Info: rspauth=\"6629\"\r\n",
                   "Authentication-Info: rspauth=\"****\"\r\n");
    assert_blanked("a: response=\"0af", "a: response=\"***");
    assert_blanked("a: response", "a: response");
    assert_blanked("a: response =", "a: response =");
}

static void keys_are_blanked(void **state)
{
    (void)state;
    assert_blanked("a=crypto:1 X inline:WVNf|2^20 Y\r\nk=prompt\r\n",
                   "a=crypto:1 X inline:****|2^20 Y\r\nk=******\r\n");
    assert_blanked("Authorization: basic YWxp\r\n", "Authorization: basic ****\r\n");
}

static void what_people_write_to_each_other_is_blanked(void **state)
{
    (void)state;
    assert_blanked("MESSAGE sip:b SIP/2.0\r\n\r\nsee you", "MESSAGE sip:b SIP/2.0\r\n\r\n*******");
    assert_blanked("MESSAGE sip:b SIP/2.0\r\n\r\nsee you later",
                   "MESSAGE sip:b SIP/2.0\r\n\r\n********");
    assert_blanked("MESSAGE sip:b SIP/2.0", "MESSAGE sip:b SIP/2.0");
}

/* Messages of one size, each with its number. */
static void keep(struct trace *trace, unsigned number, size_t len)
{
    char *bytes = malloc(len);
    struct flow flow = {.transport = TRANSPORT_UDP, .port = 5060};
    struct trace_entry entry;

    memset(bytes, 'x', len);
    memcpy(bytes, &number, sizeof number);
    trace_keep(trace, number % 2, &flow, slice_of(bytes, len), (struct moment){1, 2}, &entry);
    assert_int_equal(entry.is_sent, number % 2);
    assert_true(slice_equal(entry.bytes, slice_of(bytes, len)));
    free(bytes);
}

/* Those that are kept follow one another up to `last`. */
static size_t assert_kept_up_to(const struct trace *trace, unsigned last)
{
    struct trace_entry entry;
    uint64_t position = 0;
    unsigned number = 0;
    size_t bytes = 0;

    while (trace_next(trace, &position, &entry)) {
        unsigned found;
        memcpy(&found, entry.bytes.at, sizeof found);
        assert_true(!number || found == number + 1);
        number = found;
        bytes += entry.bytes.len;
    }
    assert_int_equal(number, last);
    return bytes;
}

static void the_latest_are_kept_and_no_more(void **state)
{
    struct trace *trace = trace_create();

    (void)state;
    assert_int_equal(assert_kept_up_to(trace, 0), 0);
    for (unsigned n = 1; n <= 5000; n++) {
        keep(trace, n, 400 + n % 1601);
        if (n % 500 == 0)
            assert_true(assert_kept_up_to(trace, n) <= 2 * TRACE_HALF);
    }
    assert_true(assert_kept_up_to(trace, 5000) > TRACE_HALF / 2);
    trace_clear(trace);
    assert_int_equal(assert_kept_up_to(trace, 0), 0);
    keep(trace, 1, MESSAGE_LIMIT);
    assert_kept_up_to(trace, 1);
    trace_destroy(trace);
}

static void a_reader_goes_on_where_it_was_or_with_the_oldest(void **state)
{
    struct trace *trace = trace_create();
    struct trace_entry entry;
    uint64_t position = 0;
    unsigned found;

    (void)state;
    keep(trace, 1, 1000);
    assert_true(trace_next(trace, &position, &entry));
    assert_false(trace_next(trace, &position, &entry));
    keep(trace, 2, 1000);
    assert_true(trace_next(trace, &position, &entry));
    for (unsigned n = 3; n <= 10000; n++)
        keep(trace, n, 1000);
    assert_true(trace_next(trace, &position, &entry));
    memcpy(&found, entry.bytes.at, sizeof found);
    assert_true(found > 3);
    trace_clear(trace);
    assert_false(trace_next(trace, &position, &entry));
    keep(trace, 7, 1000);
    assert_true(trace_next(trace, &position, &entry));
    trace_destroy(trace);
}

int main(void)
{
    RUN(cmocka_unit_test(digest_responses_are_blanked_however_they_are_written),
        cmocka_unit_test(keys_are_blanked),
        cmocka_unit_test(what_people_write_to_each_other_is_blanked),
        cmocka_unit_test(the_latest_are_kept_and_no_more),
        cmocka_unit_test(a_reader_goes_on_where_it_was_or_with_the_oldest));
}
