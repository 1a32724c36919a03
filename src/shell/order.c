#include "shell/order.h"

#include "base/cursor.h"
#include "shell/netaddr.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

enum member {
    MEMBER_USER = 1 << 0,
    MEMBER_TEXT = 1 << 1,
    MEMBER_ADDRESS = 1 << 2,
    MEMBER_TRACE = 1 << 3,
    MEMBER_REALM = 1 << 4,
    MEMBER_MD5 = 1 << 5,
    MEMBER_SHA256 = 1 << 6,
    MEMBER_EXTENSION = 1 << 7,
    MEMBER_DISPLAY = 1 << 8,
    MEMBER_SINCE = 1 << 9,
    MEMBER_CALL = 1 << 10,
    MEMBER_DOMAIN = 1 << 11,
    MEMBER_AT = 1 << 12,
    MEMBER_URI = 1 << 13,
};

#define PASSWORD (MEMBER_USER | MEMBER_REALM | MEMBER_MD5 | MEMBER_SHA256)

/* clang-format off */
static const struct {
    const char *name;
    unsigned member;
    size_t limit; /* bytes */
} members[] = {
    {"user", MEMBER_USER, NAME_LIMIT},
    {"text", MEMBER_TEXT, ORDER_LIMIT},
    {"address", MEMBER_ADDRESS, 64},
    {"trace", MEMBER_TRACE, 16},
    {"realm", MEMBER_REALM, NAME_LIMIT},
    {"md5", MEMBER_MD5, 32},
    {"sha256", MEMBER_SHA256, 64},
    {"extension", MEMBER_EXTENSION, 19}, /* digits of the largest number */
    {"display", MEMBER_DISPLAY, NAME_LIMIT},
    {"since", MEMBER_SINCE, 19},
    {"call", MEMBER_CALL, CONTACT_LIMIT},
    {"domain", MEMBER_DOMAIN, NAME_LIMIT},
    {"at", MEMBER_AT, 19},
    {"uri", MEMBER_URI, CONTACT_LIMIT},
};

static const struct row {
    const char *name;
    enum order_kind kind;
    enum admin_command command;
    unsigned needs, takes;
} rows[] = {
    {"status",        ORDER_CORE,         ADMIN_STATUS,   0, 0},
    {"registry",      ORDER_CORE,         ADMIN_REGISTRY, 0, MEMBER_USER},
    {"calls",         ORDER_CORE,         ADMIN_CALLS,    0, MEMBER_USER},
    {"stats",         ORDER_CORE,         ADMIN_STATS,    0, 0},
    {"dump",          ORDER_CORE,         ADMIN_DUMP,     0, 0},
    {"activate",      ORDER_CORE,         ADMIN_ACTIVATE, MEMBER_USER | MEMBER_ADDRESS, 0},
    {"release",       ORDER_CORE,         ADMIN_RELEASE,  MEMBER_USER, 0},
    {"message",       ORDER_CORE,         ADMIN_MESSAGE,  MEMBER_USER | MEMBER_TEXT, 0},
    {"drop",          ORDER_CORE,         ADMIN_DROP,     MEMBER_CALL, 0},
    {"forget",        ORDER_CORE,         ADMIN_FORGET,   MEMBER_DOMAIN, 0},
    {"route",         ORDER_CORE,         ADMIN_ROUTE,    MEMBER_URI, MEMBER_USER | MEMBER_AT},
    {"check",         ORDER_CHECK,        ADMIN_NONE,     0, 0},
    {"events",        ORDER_EVENTS,       ADMIN_NONE,     0, 0},
    {"trace",         ORDER_TRACE,        ADMIN_NONE,     0, MEMBER_TRACE},
    {"reload",        ORDER_RELOAD,       ADMIN_NONE,     0, 0},
    {"down",          ORDER_DOWN,         ADMIN_NONE,     0, 0},
    {"records",       ORDER_RECORDS,      ADMIN_NONE,     0, MEMBER_USER | MEMBER_SINCE},
    {"user-add",      ORDER_ADD_USER,     ADMIN_NONE,     PASSWORD,
        MEMBER_EXTENSION | MEMBER_DISPLAY},
    {"user-remove",   ORDER_REMOVE_USER,  ADMIN_NONE,     MEMBER_USER, 0},
    {"user-password", ORDER_SET_PASSWORD, ADMIN_NONE,     PASSWORD, 0},
};
/* clang-format on */

static const char *const traces[] = {
    [TRACE_STREAM] = "stream", [TRACE_ON] = "on",     [TRACE_OFF] = "off",
    [TRACE_CLEAR] = "clear",   [TRACE_SHOW] = "show",
};

static bool refuse(struct order_fault *fault, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(struct order_fault *fault, const char *code, const char *format, ...)
{
    va_list values;

    fault->code = code;
    va_start(values, format);
    vsnprintf(fault->text, sizeof fault->text, format, values);
    va_end(values);
    return false;
}

static struct slice text_of(const json_t *value)
{
    return slice_of(json_string_value(value), json_string_length(value));
}

/* A port is all digits behind the last colon, unless that is within an IPv6 address. */
static bool read_address(struct slice text, struct flow *flow)
{
    size_t colon = text.len;
    uint64_t port = 5060;
    union netaddr address;

    while (colon && text.at[colon - 1] != ':')
        colon--;
    bool has_port = colon && (text.at[0] == '[' ? text.len > colon && text.at[colon - 2] == ']'
                                                : slice_find(text, ':') == colon - 1);
    if (has_port) {
        if (!slice_number(slice_from(text, colon), 65535, &port) || !port)
            return false;
        text = slice_until(text, colon - 1);
    }
    if (!netaddr_parse(text, (uint16_t)port, &address))
        return false;
    *flow = (struct flow){.transport = TRANSPORT_UDP};
    netaddr_to_flow(&address, flow);
    return true;
}

static bool read_trace(struct slice text, enum order_trace *trace)
{
    for (unsigned i = 0; i < COUNT_OF(traces); i++)
        if (slice_equal(text, slice_text(traces[i]))) {
            *trace = (enum order_trace)i;
            return true;
        }
    return false;
}

static bool read_digest(struct order *order, enum algorithm algorithm, struct slice text,
                        struct order_fault *fault)
{
    order->user.has_ha1[algorithm] =
        hex_decode(text, order->user.ha1[algorithm], digest_size(algorithm));
    return order->user.has_ha1[algorithm] ||
           refuse(fault, "bad-request", "a digest is hex, of %u digits",
                  2 * (unsigned)digest_size(algorithm));
}

static bool read_display(struct order *order, struct slice text, struct order_fault *fault)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
            return refuse(fault, "bad-request", "a name has no control characters");
    order->user.display = text;
    return true;
}

static bool take_member(struct order *order, unsigned member, struct slice text,
                        struct order_fault *fault)
{
    switch (member) {
    case MEMBER_USER: order->request.user = order->user.id = text; return true;
    case MEMBER_REALM: order->realm = text; return true;
    case MEMBER_MD5: return read_digest(order, ALGORITHM_MD5, text, fault);
    case MEMBER_SHA256: return read_digest(order, ALGORITHM_SHA256, text, fault);
    case MEMBER_EXTENSION: order->user.extension = text; return true;
    case MEMBER_DISPLAY: return read_display(order, text, fault);
    case MEMBER_SINCE:
        return slice_number(text, INT64_MAX, &order->since) ||
               refuse(fault, "bad-request", "since is a number of seconds, as Unix counts them");
    case MEMBER_AT:
        return slice_number(text, INT64_MAX / 2, &order->request.at) ||
               refuse(fault, "bad-request", "at is a number of seconds, as Unix counts them");
    case MEMBER_TEXT:
    case MEMBER_DOMAIN:
    case MEMBER_URI:
    case MEMBER_CALL: order->request.text = text; return true;
    case MEMBER_ADDRESS:
        return read_address(text, &order->request.target) ||
               refuse(fault, "bad-request",
                      "%.*s is not an address; write one like 192.0.2.7 or [2001:db8::7]:5060",
                      (int)min_u64(text.len, 64), text.at);
    default:
        return read_trace(text, &order->trace) ||
               refuse(fault, "bad-request",
                      "trace takes no %.*s; it can be on, off, clear, show or stream",
                      (int)min_u64(text.len, 64), text.at);
    }
}

/* One member but `command`; `given` collects which there are. */
static bool read_member(struct order *order, const struct row *row, const char *name,
                        const json_t *value, unsigned *given, struct order_fault *fault)
{
    for (unsigned i = 0; i < COUNT_OF(members); i++) {
        if (strcmp(members[i].name, name) != 0 || !((row->needs | row->takes) & members[i].member))
            continue;
        struct slice text = text_of(value);
        if (!json_is_string(value) || !text.len || text.len > members[i].limit)
            return refuse(fault, "bad-request", "\"%s\" is a text of 1 to %zu bytes", name,
                          members[i].limit);
        *given |= members[i].member;
        return take_member(order, members[i].member, text, fault);
    }
    return refuse(fault, "bad-request", "%s takes no \"%.40s\"", row->name, name);
}

static bool read_members(struct order *order, const struct row *row, json_t *object,
                         struct order_fault *fault)
{
    const char *name;
    json_t *value;
    unsigned given = 0;

    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "command") != 0 && !read_member(order, row, name, value, &given, fault))
            return false;
    }
    for (unsigned i = 0; i < COUNT_OF(members); i++)
        if (row->needs & members[i].member & ~given)
            return refuse(fault, "bad-request", "%s needs a \"%s\"", row->name, members[i].name);
    return true;
}

static const struct row *find_row(const json_t *name, struct order_fault *fault)
{
    for (unsigned i = 0; json_is_string(name) && i < COUNT_OF(rows); i++)
        if (strcmp(rows[i].name, json_string_value(name)) == 0)
            return &rows[i];
    if (json_is_string(name))
        refuse(fault, "unknown-command", "this server knows no command %.40s",
               json_string_value(name));
    else
        refuse(fault, "bad-request", "a request is an object with a text \"command\"");
    return NULL;
}

bool order_read(struct slice line, struct order *order, struct order_fault *fault)
{
    json_error_t error;
    json_t *object = json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES, &error);

    *order = (struct order){.held = object};
    if (!json_is_object(object)) {
        json_decref(object);
        return refuse(fault, "bad-request", "a request is one JSON object in one line");
    }
    const struct row *row = find_row(json_object_get(object, "command"), fault);
    if (row) {
        order->kind = row->kind;
        order->request.command = row->command;
    }
    if (!row || !read_members(order, row, object, fault)) {
        json_decref(object);
        return false;
    }
    return true;
}

void order_free(struct order *order)
{
    json_decref(order->held);
    explicit_bzero(order, sizeof *order);
}
