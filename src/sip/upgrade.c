#include "sip/upgrade.h"

#include "sip/grammar.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* 1.3: nobody knows it by chance */
#define FIELDS_LIMIT 100u

enum field {
    FIELD_HOST,
    FIELD_UPGRADE,
    FIELD_CONNECTION,
    FIELD_KEY,
    FIELD_VERSION,
    FIELD_PROTOCOL,
    FIELD_ORIGIN,
    FIELD_LENGTH,
    FIELD_CODING,
    FIELD_COUNT,
};

/* Those that are a list may come several times, and then count as one. */
static const struct {
    struct slice name;
    bool is_list;
} fields[FIELD_COUNT] = {
    [FIELD_HOST] = {S("host"), false},
    [FIELD_UPGRADE] = {S("upgrade"), true},
    [FIELD_CONNECTION] = {S("connection"), true},
    [FIELD_KEY] = {S("sec-websocket-key"), false},
    [FIELD_VERSION] = {S("sec-websocket-version"), false},
    [FIELD_PROTOCOL] = {S("sec-websocket-protocol"), true},
    [FIELD_ORIGIN] = {S("origin"), false},
    [FIELD_LENGTH] = {S("content-length"), false},
    [FIELD_CODING] = {S("transfer-encoding"), true},
};

/* What was found of each field. */
struct request_head {
    bool is_there[FIELD_COUNT];
    struct slice value[FIELD_COUNT];
    bool wants_websocket, wants_upgrade, wants_sip; /* said in a list */
};

static struct upgrade_event refused(unsigned status, const char *why)
{
    return (struct upgrade_event){.kind = UPGRADE_REFUSED, .status = status, .why = why};
}

/* Takes a line off, without its end; false if it breaks the grammar. */
static bool next_line(struct slice *rest, struct slice *line)
{
    size_t end = slice_find(*rest, '\r');

    if (rest->len - end < 2 || rest->at[end + 1] != '\n')
        return false;
    *line = slice_until(*rest, end);
    *rest = slice_from(*rest, end + 2);
    for (size_t i = 0; i < line->len; i++)
        if (((unsigned char)line->at[i] < ' ' && line->at[i] != '\t') || line->at[i] == 0x7f)
            return false;
    return true;
}

/* Takes the next word of a list, which may be empty. */
static struct slice next_word(struct slice *rest)
{
    size_t end = slice_find(*rest, ',');
    struct slice word = slice_trim(slice_until(*rest, end));

    *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
    return word;
}

static bool has_word(struct slice list, struct slice wanted)
{
    while (list.len)
        if (slice_equal_nocase(next_word(&list), wanted))
            return true;
    return false;
}

/* False if it may not come twice. */
static bool note_field(struct request_head *head, enum field field, struct slice value)
{
    if (head->is_there[field] && !fields[field].is_list)
        return false;
    head->is_there[field] = true;
    head->value[field] = value;
    if (field == FIELD_UPGRADE)
        head->wants_websocket |= has_word(value, S("websocket"));
    if (field == FIELD_CONNECTION)
        head->wants_upgrade |= has_word(value, S("upgrade"));
    if (field == FIELD_PROTOCOL)
        head->wants_sip |= has_word(value, S("sip"));
    return true;
}

/* RFC 9112 5: a name right before its colon; a line that is folded is refused. */
static bool read_field(struct slice line, struct request_head *head)
{
    size_t colon = slice_find(line, ':');
    struct slice name = slice_until(line, colon);

    if (!colon || colon == line.len || grammar_skip(name, 0, IN_TOKEN) != name.len)
        return false;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (slice_equal_nocase(name, fields[i].name))
            return note_field(head, (enum field)i, slice_trim(slice_from(line, colon + 1)));
    return true;
}

static bool read_fields(struct slice rest, struct request_head *head)
{
    struct slice line;
    unsigned count = 0;

    while (rest.len)
        if (!next_line(&rest, &line) || ++count > FIELDS_LIMIT || !read_field(line, head))
            return false;
    return true;
}

/* The phones' address is the root, or /ws, which those expect who know other servers. */
static bool is_our_path(struct slice target)
{
    struct slice path = slice_until(target, slice_find(target, '?'));

    return slice_equal(path, S("/")) || slice_equal(path, S("/ws"));
}

/* RFC 9112 3: method, target and version. */
static struct upgrade_event read_start(struct slice line)
{
    size_t first = slice_find(line, ' ');
    struct slice method = slice_until(line, first);
    struct slice rest = slice_from(line, first < line.len ? first + 1 : first);
    size_t second = slice_find(rest, ' ');
    struct slice target = slice_until(rest, second);

    if (!method.len || grammar_skip(method, 0, IN_TOKEN) != method.len || !target.len ||
        target.at[0] != '/' || !slice_starts(slice_from(rest, second), S(" HTTP/1.")) ||
        rest.len - second != sizeof " HTTP/1.1" - 1)
        return refused(400, "This is no HTTP/1.1 request.");
    if (!slice_equal(method, S("GET")))
        return refused(405, "Only GET is answered here.");
    if (slice_equal(target, S(UPGRADE_CERTIFICATE)))
        return (struct upgrade_event){.kind = UPGRADE_FETCHED};
    if (!is_our_path(target))
        return refused(404, "Phones find this server at / and at /ws.");
    if (rest.at[rest.len - 1] != '1')
        return refused(400, "A WebSocket begins with HTTP/1.1.");
    return (struct upgrade_event){.kind = UPGRADE_ASKED};
}

/* 4.1: sixteen bytes in base64. */
static bool is_key(struct slice key)
{
    static const char last[] = "AQgw"; /* four of its bits are not used */

    if (key.len != UPGRADE_KEY || key.at[22] != '=' || key.at[23] != '=')
        return false;
    for (unsigned i = 0; i < 22; i++)
        if (!grammar_is(key.at[i], IS_ALPHA | IS_DIGIT) && key.at[i] != '+' && key.at[i] != '/')
            return false;
    return memchr(last, key.at[21], sizeof last - 1) != NULL;
}

/* 4.2.1, and RFC 7118 4.1. */
static struct upgrade_event check_fields(const struct request_head *head)
{
    uint64_t length;

    if (!head->is_there[FIELD_HOST] || !head->value[FIELD_HOST].len)
        return refused(400, "There is no Host field.");
    if (head->is_there[FIELD_CODING] ||
        (head->is_there[FIELD_LENGTH] && (!slice_number(head->value[FIELD_LENGTH], 0, &length))))
        return refused(400, "A WebSocket begins with a request that has no body.");
    if (!head->wants_websocket || !head->wants_upgrade)
        return refused(426, "This is a SIP server: a phone in a browser reaches it by WebSocket.");
    if (!slice_equal(head->value[FIELD_VERSION], S("13")))
        return refused(426, "Version 13 of WebSocket is spoken here.");
    if (!is_key(head->value[FIELD_KEY]))
        return refused(400, "Sec-WebSocket-Key is not 16 bytes in base64.");
    if (!head->wants_sip)
        return refused(400, "The subprotocol must be sip: send Sec-WebSocket-Protocol: sip.");
    return (struct upgrade_event){.kind = UPGRADE_ASKED};
}

/* Where the empty line ends; 0 if it is not there yet. */
static size_t find_end(struct slice bytes, size_t at)
{
    for (; bytes.len - at >= 4; at++) {
        at += slice_find(slice_from(bytes, at), '\r');
        if (bytes.len - at >= 4 && memcmp(bytes.at + at, "\r\n\r\n", 4) == 0)
            return at + 4;
        if (bytes.len - at < 4)
            break;
    }
    return 0;
}

struct upgrade_event upgrade_read(struct slice bytes, size_t *scanned, struct upgrade *upgrade)
{
    struct request_head head = {0};
    struct upgrade_event event;
    struct slice rest, line;
    size_t end = find_end(bytes, *scanned);

    if (end > UPGRADE_HEAD_LIMIT || (!end && bytes.len >= UPGRADE_HEAD_LIMIT))
        return refused(431, "The request is too long.");
    if (!end) {
        *scanned = bytes.len > 3 ? bytes.len - 3 : 0;
        return (struct upgrade_event){.kind = UPGRADE_NONE};
    }
    rest = slice_until(bytes, end - 2);
    if (!next_line(&rest, &line))
        return refused(400, "This is no HTTP/1.1 request.");
    event = read_start(line);
    if (event.kind != UPGRADE_ASKED)
        return event;
    if (!read_fields(rest, &head))
        return refused(400, "A header field breaks the grammar of HTTP/1.1.");
    event = check_fields(&head);
    event.len = end;
    *upgrade = (struct upgrade){.key = head.value[FIELD_KEY], .origin = head.value[FIELD_ORIGIN]};
    return event;
}

struct slice upgrade_origin_host(struct slice origin)
{
    size_t colon = slice_find(origin, ':');
    struct slice host;

    if (!colon || !slice_starts(slice_from(origin, colon), S("://")))
        return NO_SLICE;
    host = slice_from(origin, colon + 3);
    if (host.len && host.at[0] == '[') {
        size_t end = slice_find(host, ']');
        return end < host.len ? slice_until(host, end + 1) : NO_SLICE;
    }
    return slice_until(host, slice_find(host, ':'));
}

void upgrade_write_signed(char text[UPGRADE_SIGNED], const struct upgrade *upgrade)
{
    assert(upgrade->key.len == UPGRADE_KEY);
    memcpy(text, upgrade->key.at, UPGRADE_KEY);
    memcpy(text + UPGRADE_KEY, GUID, sizeof GUID - 1);
}

static void write_base64(struct writer *w, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        three |= i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0;
        three |= i + 2 < len ? bytes[i + 2] : 0;
        write_char(w, digits[three >> 18]);
        write_char(w, digits[three >> 12 & 63]);
        write_char(w, i + 1 < len ? digits[three >> 6 & 63] : '=');
        write_char(w, i + 2 < len ? digits[three & 63] : '=');
    }
}

void upgrade_write_answer(struct writer *w, const uint8_t sum[20])
{
    write_slice(w, S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\n"
                     "Sec-WebSocket-Accept: "));
    write_base64(w, sum, 20);
    write_slice(w, S("\r\n\r\n"));
}

static struct slice reason_of(unsigned status)
{
    switch (status) {
    case 400: return S("Bad Request");
    case 403: return S("Forbidden");
    case 404: return S("Not Found");
    case 405: return S("Method Not Allowed");
    case 426: return S("Upgrade Required");
    case 431: return S("Request Header Fields Too Large");
    default: return S("Service Unavailable");
    }
}

void upgrade_write_certificate(struct writer *w, struct slice pem)
{
    write_slice(w, S("HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=3600\r\n"
                     "Content-Type: application/pem-certificate-chain\r\nContent-Length: "));
    write_number(w, pem.len);
    write_slice(w, S("\r\n\r\n"));
    write_slice(w, pem);
}

void upgrade_write_refusal(struct writer *w, unsigned status, const char *why)
{
    struct slice text = slice_text(why);

    write_slice(w, S("HTTP/1.1 "));
    write_number(w, status);
    write_char(w, ' ');
    write_slice(w, reason_of(status));
    write_slice(w, S("\r\n"));
    if (status == 405)
        write_slice(w, S("Allow: GET\r\n"));
    if (status == 426)
        write_slice(w, S("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    write_slice(w,
                status == 426 ? S("Connection: Upgrade, close\r\n") : S("Connection: close\r\n"));
    write_slice(w, S("Content-Type: text/plain; charset=utf-8\r\nContent-Length: "));
    write_number(w, text.len + 1);
    write_slice(w, S("\r\n\r\n"));
    write_slice(w, text);
    write_char(w, '\n');
}
