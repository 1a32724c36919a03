#include "unit.h"

#include "sip/date.h"

static const struct {
    const char *text;
    int64_t wall;
} dates[] = {
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
    {"Wed, 01 Mar 2000 00:00:00 GMT", 951868800},
    {"Sat, 13 Nov 2010 23:29:00 GMT", 1289690940}, /* RFC 3261 20.17 */
    {"Fri, 25 Sep 2015 19:12:25 GMT", 1443208345}, /* RFC 8224 5.1 */
    {"Sun, 28 Feb 2100 12:00:00 GMT", 4107499200},
    {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
};

static void dates_go_both_ways(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(dates); i++) {
        char at[64];
        struct writer w = writer_over(at, sizeof at);
        int64_t wall = -1;
        date_write(&w, dates[i].wall);
        assert_slice(writer_slice(&w), dates[i].text);
        assert_true(date_parse(writer_slice(&w), &wall));
        assert_int_equal(wall, dates[i].wall);
    }
}

static void every_day_of_four_centuries_survives(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 146097; day++) {
        char at[64];
        struct writer w = writer_over(at, sizeof at);
        int64_t wall = -1;
        date_write(&w, day * 86400 + day % 86400);
        assert_true(date_parse(writer_slice(&w), &wall));
        assert_int_equal(wall, day * 86400 + day % 86400);
    }
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Fri, 25 Sep 2015 19:12:25",
        "Fri, 25 Sep 2015 19:12:25 EST",
        "fri, 25 Sep 2015 19:12:25 GMT",
        "Mon, 25 Sep 2015 19:12:25 GMT",
        "Sun, 30 Feb 2016 19:12:25 GMT",
        "Thu, 31 Sep 2015 19:12:25 GMT",
        "Fri, 25 Sep 2015 24:12:25 GMT",
        "Fri, 25 Sep 2015 19:60:25 GMT",
        "Fri, 25 Sep 2015 19:12:61 GMT",
        "Fri, 00 Sep 2015 19:12:25 GMT",
        "Fri,  5 Sep 2015 19:12:25 GMT",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Fri, 25 Foo 2015 19:12:25 GMT",
        "Fri, 25 Sep 2015 19-12-25 GMT",
        "Fri, 25 Sep 20.5 19:12:25 GMT",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        int64_t wall;
        if (date_parse(slice_text(bad[i]), &wall))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void a_clock_before_its_time_shows_the_first_second(void **state)
{
    char at[64];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    date_write(&w, -5);
    assert_slice(writer_slice(&w), "Thu, 01 Jan 1970 00:00:00 GMT");
}

int main(void)
{
    RUN(cmocka_unit_test(dates_go_both_ways),
        cmocka_unit_test(every_day_of_four_centuries_survives),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(a_clock_before_its_time_shows_the_first_second));
}
