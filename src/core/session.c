#include "core/session.h"

static struct slice text_since(const struct writer *w, size_t start)
{
    return slice_of(w->at + start, w->len - start);
}

/* The number at the front of a value with parameters. */
static struct slice digits_of(struct slice value)
{
    return slice_trim(slice_until(value, slice_find(value, ';')));
}

static uint32_t seconds_of(const struct message *m, enum header header)
{
    uint64_t seconds;

    return slice_number(digits_of(message_first(m, header)), UINT32_MAX, &seconds)
               ? (uint32_t)seconds
               : 0;
}

uint32_t session_interval(const struct message *m)
{
    return seconds_of(m, HEADER_SESSION_EXPIRES);
}

static bool knows_timers(const struct message *m)
{
    return message_has_option(m, HEADER_SUPPORTED, S("timer")) ||
           message_has_option(m, HEADER_REQUIRE, S("timer"));
}

static uint32_t longer(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t session_asked(const struct core *core, const struct message *m)
{
    uint32_t least = seconds_of(m, HEADER_MIN_SE);
    uint32_t asked =
        m->first[HEADER_SESSION_EXPIRES] ? session_interval(m) : core->settings->session_expires;

    if (!asked)
        return 0;
    return longer(asked, longer(least, core->settings->session_shortest));
}

uint32_t session_promised(const struct core *core, const struct message *request)
{
    bool is_refresh = request->method == METHOD_INVITE ||
                      (request->method == METHOD_UPDATE && request->first[HEADER_SESSION_EXPIRES]);

    return is_refresh && knows_timers(request) ? session_asked(core, request) : 0;
}

uint32_t session_agreed(const struct core *core, const struct message *response, uint32_t promised)
{
    uint32_t interval = session_interval(response);

    interval = interval ? interval : promised;
    return interval ? longer(interval, core->settings->session_shortest) : 0;
}

bool session_is_too_short(const struct core *core, const struct message *m)
{
    uint32_t interval = m->first[HEADER_SESSION_EXPIRES] ? session_interval(m) : 0;

    return interval && interval < core->settings->session_shortest && knows_timers(m);
}

static void add_line(struct splice *s, const struct message *m, const char *name, uint32_t seconds,
                     struct writer *w)
{
    size_t start = w->len;

    write_slice(w, slice_text(name));
    write_number(w, seconds);
    write_slice(w, S("\r\n"));
    splice_add(s, m->headers_end, 0, text_since(w, start));
}

/* A phone that knows nothing of them can still be asked for too little by somebody before us. */
static void lengthen(struct splice *s, const struct message *m, uint32_t asked, struct writer *w)
{
    struct slice digits = digits_of(message_first(m, HEADER_SESSION_EXPIRES));
    size_t start = w->len;

    write_number(w, asked);
    splice_add(s, (size_t)(digits.at - m->bytes.at), digits.len, text_since(w, start));
    if (!m->first[HEADER_MIN_SE])
        add_line(s, m, "Min-SE: ", asked, w);
}

void session_edit_request(struct splice *s, const struct core *core, const struct message *m,
                          struct writer *w)
{
    uint32_t asked;

    if (m->method != METHOD_INVITE && !m->first[HEADER_SESSION_EXPIRES])
        return;
    asked = session_asked(core, m);
    if (!asked)
        return;
    if (!m->first[HEADER_SESSION_EXPIRES])
        add_line(s, m, "Session-Expires: ", asked, w);
    else if (session_interval(m) < asked && !knows_timers(m))
        lengthen(s, m, asked, w);
}

void session_edit_response(struct splice *s, const struct message *m, uint32_t interval,
                           struct writer *w)
{
    size_t start = w->len;

    if (!interval || m->status < 200 || m->status > 299 || m->first[HEADER_SESSION_EXPIRES])
        return;
    write_slice(w, S("Session-Expires: "));
    write_number(w, interval);
    write_slice(w, S(";refresher=uac\r\nRequire: timer\r\n"));
    splice_add(s, m->headers_end, 0, text_since(w, start));
}
