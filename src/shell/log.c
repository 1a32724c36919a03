#include "shell/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct log log_open(void)
{
    return (struct log){.has_prefix = getenv("JOURNAL_STREAM") != NULL};
}

/* A pipe that reports room takes PIPE_BUF bytes whole, so a write after this does not block; and
 * the file description, which others may share, keeps its flags. */
static bool has_room(void)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&fd, 1, 0) == 1 && fd.revents & POLLOUT;
}

/* What a peer sent may stand in a line: a terminal must not obey it. */
static size_t escape(const char *text, char *out, size_t limit)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = 0;

    for (; *text && len + 4 < limit; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c != 0x7f) {
            out[len++] = (char)c;
        } else {
            out[len++] = '\\';
            out[len++] = 'x';
            out[len++] = digits[c >> 4];
            out[len++] = digits[c & 15];
        }
    }
    return len;
}

static void write_line(struct log *log, enum severity severity, const char *text)
{
    char line[LOG_LINE + 64];
    int head = log->has_prefix ? snprintf(line, sizeof line, "<%d>", (int)severity)
                               : snprintf(line, sizeof line, "sipw: ");
    size_t len = (size_t)head;

    len += escape(text, line + len, sizeof line - len - 1);
    line[len++] = '\n';
    if (!has_room() || write(STDERR_FILENO, line, len) < 0)
        log->dropped++;
}

void log_line(struct log *log, enum severity severity, const char *format, ...)
{
    char text[LOG_LINE];
    va_list values;

    if (log->dropped && has_room()) {
        snprintf(text, sizeof text, "%u log lines were dropped: nobody read them in time",
                 log->dropped);
        log->dropped = 0;
        write_line(log, LOG_WARNING, text);
    }
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    write_line(log, severity, text);
}
