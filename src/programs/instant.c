#define _XOPEN_SOURCE 700

#include "programs/instant.h"

#include "base/base.h"

#include <stdlib.h>
#include <time.h>

bool instant_read_ago(const char *text, long long *seconds)
{
    static const struct {
        char unit;
        long long length;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    long number = strtol(text, &end, 10);

    if (end == text || number < 0 || number > 1000000 || !end[0] || end[1])
        return false;
    for (unsigned i = 0; i < COUNT_OF(units); i++)
        if (units[i].unit == *end) {
            *seconds = (long long)time(NULL) - number * units[i].length;
            return *seconds >= 0;
        }
    return false;
}

bool instant_read_day(const char *text, long long *seconds)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
                                        "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"};

    for (unsigned i = 0; i < COUNT_OF(forms); i++) {
        struct tm day = {.tm_isdst = -1};
        const char *end = strptime(text, forms[i], &day);

        if (end && !*end) {
            *seconds = (long long)mktime(&day);
            return *seconds >= 0;
        }
    }
    return false;
}
