#include "scan.h"

bool scan_same(struct span span, const char *string)
{
    size_t length = strlen(string);
    return span.length == length && memcmp(span.at, string, length) == 0;
}

struct span scan_parameter(struct span value, const char *name, const char *stops)
{
    size_t length = strlen(name);
    const char *end = value.at + value.length;
    const char *at = value.length ? memmem(value.at, value.length, name, length) : NULL;
    if (!at)
        return (struct span){NULL, 0};
    const char *stop = at += length;
    while (stop < end && !strchr(stops, *stop))
        stop++;
    return (struct span){at, (size_t)(stop - at)};
}

bool scan_hex(const char *digits, uint32_t *value)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        char c = digits[i];
        if (c >= '0' && c <= '9')
            sum = sum << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            sum = sum << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *value = sum;
    return true;
}

static bool scan_first_line(struct scan *scan, struct span line)
{
    if (line.length >= 11 && memcmp(line.at, "SIP/2.0 ", 8) == 0) { /* no reason is a reason */
        for (unsigned i = 8; i < 11; i++)
            scan->status = scan->status * 10 + (unsigned)(line.at[i] - '0');
        return scan->status >= 100 && scan->status <= 699;
    }
    const char *space = memchr(line.at, ' ', line.length);
    if (!space)
        return false;
    scan->method = (struct span){line.at, (size_t)(space - line.at)};
    const char *uri = space + 1;
    const char *end = memchr(uri, ' ', line.length - scan->method.length - 1);
    if (!end)
        return false;
    scan->uri = (struct span){uri, (size_t)(end - uri)};
    return true;
}

static bool scan_named(struct span name, const char *lower_case, char compact)
{
    if (name.length == 1)
        return compact && (name.at[0] | 32) == compact;
    if (name.length != strlen(lower_case))
        return false;
    for (size_t i = 0; i < name.length; i++)
        if ((name.at[i] | 32) != (lower_case[i] | 32))
            return false;
    return true;
}

static void scan_keep(struct span *lines, unsigned *count, struct span value)
{
    if (*count < SCAN_LINES)
        lines[(*count)++] = value;
}

static void scan_cseq(struct scan *scan, struct span value)
{
    scan->cseq = value;
    size_t at = 0;
    for (; at < value.length && value.at[at] >= '0' && value.at[at] <= '9'; at++)
        scan->cseq_number = scan->cseq_number * 10 + (uint32_t)(value.at[at] - '0');
    while (at < value.length && value.at[at] == ' ')
        at++;
    scan->cseq_method = (struct span){value.at + at, value.length - at};
}

static void scan_challenge(struct scan *scan, struct span value)
{
    struct span algorithm = scan_parameter(value, "algorithm=", ", \t");
    bool md5 =
        algorithm.length == 0 || scan_same(algorithm, "MD5") || scan_same(algorithm, "\"MD5\"");
    if (md5 && scan->challenge.length == 0)
        scan->challenge = value;
}

static void scan_header(struct scan *scan, struct span name, struct span value)
{
    switch (name.at[0] | 32) {
    case 'v':
        if (scan_named(name, "via", 'v'))
            scan_keep(scan->vias, &scan->via_count, value);
        break;
    case 'r':
        if (scan_named(name, "record-route", 0))
            scan_keep(scan->record_routes, &scan->record_route_count, value);
        break;
    case 'f':
        if (scan_named(name, "from", 'f'))
            scan->from = value;
        break;
    case 't':
        if (scan_named(name, "to", 't'))
            scan->to = value;
        break;
    case 'i':
        if (name.length == 1)
            scan->call_id = value;
        break;
    case 'm':
        if (name.length == 1)
            scan->contact = value;
        break;
    case 'c':
        if (scan_named(name, "call-id", 0))
            scan->call_id = value;
        else if (scan_named(name, "cseq", 0))
            scan_cseq(scan, value);
        else if (scan_named(name, "contact", 0))
            scan->contact = value;
        break;
    case 'w':
        if (scan_named(name, "www-authenticate", 0))
            scan_challenge(scan, value);
        break;
    case 'p':
        if (scan_named(name, "proxy-authenticate", 0))
            scan_challenge(scan, value);
        break;
    default: break;
    }
}

static struct span scan_trim(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct span){at, (size_t)(end - at)};
}

bool scan_message(struct scan *scan, const char *bytes, size_t length)
{
    const char *end = bytes + length;
    const char *at = bytes;
    scan->status = 0;
    scan->method = scan->uri = scan->contact = scan->challenge = (struct span){NULL, 0};
    scan->from = scan->to = scan->call_id = scan->cseq = scan->cseq_method = scan->contact;
    scan->via_count = scan->record_route_count = 0;
    scan->cseq_number = 0;

    const char *newline = memchr(at, '\n', length);
    if (!newline || !scan_first_line(scan, scan_trim(at, newline)))
        return false;
    for (at = newline + 1; at < end; at = newline + 1) {
        newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            return false;
        if (newline - at <= 1)
            break;
        const char *colon = memchr(at, ':', (size_t)(newline - at));
        if (!colon || colon == at)
            return false;
        scan_header(scan, scan_trim(at, colon), scan_trim(colon + 1, newline));
    }
    return scan->via_count && scan->from.length && scan->to.length && scan->call_id.length &&
           scan->cseq_method.length;
}
