#include "sip/date.h"

#define DAY 86400
#define DATE_LENGTH 29u
#define LATEST INT64_C(253402300799) /* of the year 9999 */

static const char days[] = "ThuFriSatSunMonTueWed";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void write_two(struct writer *w, uint64_t n)
{
    write_number(w, n / 10);
    write_number(w, n % 10);
}

void date_write(struct writer *w, int64_t wall)
{
    uint64_t second = wall > 0 ? min_u64((uint64_t)wall, LATEST) : 0;
    uint64_t day = second / DAY;
    /* Days since 0000-03-01, so that the leap day ends a year (H. Hinnant, 2013). */
    uint64_t shifted = day + 719468;
    uint64_t era = shifted / 146097;
    uint64_t of_era = shifted % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * of_year + 2) / 153;
    uint64_t of_month = of_year - (153 * month + 2) / 5 + 1;
    uint64_t calendar_month = (month + 2) % 12;
    uint64_t clock[3] = {second / 3600 % 24, second / 60 % 60, second % 60};

    write_bytes(w, days + 3 * (day % 7), 3);
    write_slice(w, S(", "));
    write_two(w, of_month);
    write_char(w, ' ');
    write_bytes(w, months + 3 * calendar_month, 3);
    write_char(w, ' ');
    write_number(w, year_of_era + era * 400 + (calendar_month < 2));
    for (unsigned i = 0; i < 3; i++) {
        write_char(w, i ? ':' : ' ');
        write_two(w, clock[i]);
    }
    write_slice(w, S(" GMT"));
}

/* Exactly so many digits. */
static bool read_digits(struct slice s, size_t at, size_t len, uint64_t *n)
{
    return slice_number(slice_of(s.at + at, len), 9999, n);
}

/* Month 0 to 11 at `at`. */
static bool read_month(struct slice s, size_t at, uint64_t *month)
{
    for (*month = 0; *month < 12; ++*month)
        if (memcmp(s.at + at, months + 3 * *month, 3) == 0)
            return true;
    return false;
}

bool date_parse(struct slice text, int64_t *wall)
{
    char again[DATE_LENGTH];
    struct writer w = writer_over(again, sizeof again);
    uint64_t day, month, year, hour, minute, second;

    if (text.len != DATE_LENGTH || !read_digits(text, 5, 2, &day) || !read_month(text, 8, &month) ||
        !read_digits(text, 12, 4, &year) || !read_digits(text, 17, 2, &hour) ||
        !read_digits(text, 20, 2, &minute) || !read_digits(text, 23, 2, &second) || year < 1970 ||
        !day)
        return false;
    uint64_t shifted_year = year - (month < 2);
    uint64_t of_year = (153 * ((month + 10) % 12) + 2) / 5 + day - 1;
    uint64_t since = shifted_year * 365 + shifted_year / 4 - shifted_year / 100 +
                     shifted_year / 400 + of_year - 719468;
    *wall = (int64_t)(since * DAY + hour * 3600 + minute * 60 + second);
    date_write(&w, *wall); /* which of no other text makes the same */
    return !w.failed && slice_equal(writer_slice(&w), text);
}
