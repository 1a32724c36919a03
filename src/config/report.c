#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>

void report_init(struct report *report, const char *file)
{
    *report = (struct report){.file = file};
}

/* Control characters of a file must not reach a terminal, nor make two lines of one. */
static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static void write_report(char *out, size_t limit, const char *file, struct place place,
                         const char *format, va_list values)
{
    int head = place.line ? snprintf(out, limit, "%s:%u:%u: ", file, place.line, place.column)
                          : snprintf(out, limit, "%s: ", file);

    if (head > 0 && (size_t)head < limit)
        vsnprintf(out + head, limit - (size_t)head, format, values);
    clean(out);
}

bool report_fault(struct report *report, struct place place, const char *format, ...)
{
    va_list values;

    if (report->has_fault)
        return false; /* what follows from the first is noise */
    va_start(values, format);
    write_report(report->fault, sizeof report->fault, report->file, place, format, values);
    va_end(values);
    report->has_fault = true;
    return false;
}

void report_warning(struct report *report, struct place place, const char *format, ...)
{
    char line[REPORT_FAULT];
    va_list values;

    va_start(values, format);
    write_report(line, sizeof line, report->file, place, format, values);
    va_end(values);
    size_t len = strlen(line);
    if (len + 1 > REPORT_WARNINGS - report->warnings_length) {
        report->warnings_left_out++;
        return;
    }
    memcpy(report->warnings + report->warnings_length, line, len);
    report->warnings[report->warnings_length + len] = '\n';
    report->warnings_length += (uint32_t)len + 1;
}

struct slice report_warnings(const struct report *report)
{
    return slice_of(report->warnings, report->warnings_length);
}

bool report_next(struct slice *rest, struct slice *line)
{
    if (!rest->len)
        return false;
    size_t end = slice_find(*rest, '\n');
    *line = slice_until(*rest, end);
    *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
    return true;
}
