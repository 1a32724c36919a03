#include "shell/trace.h"

#include "base/json.h"

#include <stdlib.h>

/* An entry lies in a half as its head and then its bytes, padded to 8. */
struct head {
    struct moment at;
    struct flow flow;
    uint32_t len;
    bool is_sent;
};

struct half {
    uint64_t start; /* its position among all bytes ever kept */
    size_t used;
    char *bytes; /* TRACE_HALF of them */
};

struct trace {
    struct half older, newer;
};

/* ---- blanking */

static size_t skip_space(struct slice s, size_t at)
{
    while (at < s.len && slice_is_space(s.at[at]))
        at++;
    return at;
}

/* Past "NAME =", with white space as the grammar allows; 0 if that does not stand there. */
static size_t past_parameter(struct slice s, size_t at, struct slice name)
{
    if (s.len - at < name.len || !slice_same_letters(slice_of(s.at + at, name.len), name))
        return 0;
    at = skip_space(s, at + name.len);
    return at < s.len && s.at[at] == '=' ? skip_space(s, at + 1) : 0;
}

static bool ends_token(char c)
{
    return c == ',' || c == ';' || slice_is_space(c);
}

/* A token or a quoted string; what an unfinished quote might hide goes, too. */
static void blank_value(char *bytes, size_t len, size_t at)
{
    bool is_quoted = at < len && bytes[at] == '"';

    for (at += is_quoted; at < len; at++) {
        if (is_quoted ? bytes[at] == '"' : ends_token(bytes[at]))
            return;
        if (bytes[at] != '\r' && bytes[at] != '\n')
            bytes[at] = '*';
    }
}

static void blank_parameters(char *bytes, size_t len)
{
    static const struct slice names[] = {{"response", 8}, {"rspauth", 7}, {"password", 8}};
    struct slice s = slice_of(bytes, len);

    for (size_t at = 0; at < len; at++)
        for (unsigned i = 0; i < COUNT_OF(names); i++) {
            size_t value = past_parameter(s, at, names[i]);
            if (value)
                blank_value(bytes, len, value);
        }
}

/* Up to white space or a bar: a=crypto's key (RFC 4568 9.1), Basic credentials, k= of a session. */
static void blank_keys(char *bytes, size_t len)
{
    static const struct slice marks[] = {{"inline:", 7}, {"\nk=", 3}, {"Basic ", 6}};
    struct slice s = slice_of(bytes, len);

    for (size_t at = 0; at < len; at++)
        for (unsigned i = 0; i < COUNT_OF(marks); i++) {
            struct slice mark = marks[i];
            if (len - at < mark.len || !slice_same_letters(slice_of(s.at + at, mark.len), mark))
                continue;
            for (size_t n = at + mark.len; n < len && !slice_is_space(bytes[n]) && bytes[n] != '|';
                 n++)
                bytes[n] = '*';
        }
}

/* The body of a MESSAGE is between two people. */
static size_t blank_body(char *bytes, size_t len)
{
    char *end = slice_starts(slice_of(bytes, len), S("MESSAGE "))
                    ? memmem(bytes, len, "\r\n\r\n", 4)
                    : NULL;
    size_t body = end ? (size_t)(end - bytes) + 4 : len;

    for (size_t at = body; at < len; at++)
        bytes[at] = '*';
    return min_u64(len, body + 8);
}

size_t trace_blank(char *bytes, size_t len)
{
    blank_parameters(bytes, len);
    blank_keys(bytes, len);
    return blank_body(bytes, len);
}

/* ---- keeping */

static size_t room_of(size_t len)
{
    return (sizeof(struct head) + len + 7) & ~(size_t)7;
}

struct trace *trace_create(void)
{
    struct trace *trace = calloc(1, sizeof *trace);
    char *bytes = malloc(2 * (size_t)TRACE_HALF);

    if (!trace || !bytes) {
        free(trace);
        free(bytes);
        return NULL;
    }
    trace->older.bytes = bytes;
    trace->newer.bytes = bytes + TRACE_HALF;
    return trace;
}

void trace_destroy(struct trace *trace)
{
    char *first = trace->older.bytes < trace->newer.bytes ? trace->older.bytes : trace->newer.bytes;

    free(first);
    free(trace);
}

void trace_clear(struct trace *trace)
{
    trace->newer.start += trace->newer.used;
    trace->older.used = trace->newer.used = 0;
}

static struct head *head_at(const struct half *half, size_t at)
{
    return (struct head *)(void *)(half->bytes + at);
}

static void read_entry(const struct head *head, struct trace_entry *entry)
{
    *entry = (struct trace_entry){
        .at = head->at,
        .flow = head->flow,
        .is_sent = head->is_sent,
        .bytes = slice_of((const char *)(head + 1), head->len),
    };
}

void trace_keep(struct trace *trace, bool is_sent, const struct flow *flow, struct slice bytes,
                struct moment now, struct trace_entry *entry)
{
    size_t len = min_u64(bytes.len, MESSAGE_LIMIT);

    if (TRACE_HALF - trace->newer.used < room_of(len)) {
        struct half older = trace->older;
        trace->older = trace->newer;
        trace->newer = (struct half){trace->older.start + trace->older.used, 0, older.bytes};
    }
    struct head *head = head_at(&trace->newer, trace->newer.used);
    char *text = (char *)(head + 1);
    memcpy(text, bytes.at, len);
    *head = (struct head){
        .at = now,
        .flow = *flow,
        .len = (uint32_t)trace_blank(text, len),
        .is_sent = is_sent,
    };
    trace->newer.used += room_of(head->len);
    read_entry(head, entry);
}

bool trace_next(const struct trace *trace, uint64_t *position, struct trace_entry *entry)
{
    const struct half *half = *position < trace->newer.start ? &trace->older : &trace->newer;

    if (half == &trace->older && !half->used)
        half = &trace->newer;
    *position = max_u64(*position, half->start);
    if (*position == half->start + half->used)
        return false;
    const struct head *head = head_at(half, (size_t)(*position - half->start));
    read_entry(head, entry);
    *position += room_of(head->len);
    return true;
}

void trace_write(struct writer *w, const struct trace_entry *entry)
{
    const struct flow *flow = &entry->flow;
    struct address_bytes address = {.is_v6 = flow->is_v6};
    char text[64];
    struct writer peer = writer_over(text, sizeof text);

    memcpy(address.at, flow->address, sizeof address.at);
    write_host(&peer, &address);
    write_char(&peer, ':');
    write_number(&peer, flow->port);
    json_begin(w);
    json_number(w, S("time"), (uint64_t)entry->at.wall);
    json_number(w, S("boot"), entry->at.boot / MS(1));
    json_text(w, S("way"), entry->is_sent ? S("sent") : S("received"));
    json_text(w, S("transport"), transport_name(flow->transport));
    json_text(w, S("address"), writer_slice(&peer));
    json_whole(w, S("message"), entry->bytes);
    json_end(w);
    write_char(w, '\n');
}
