#include "reading.h"

#include "sip/address.h"
#include "sip/message.h"
#include "sip/via.h"

/* With the words of the server's answer, or of what cannot be read. */
static bool refuse(struct reading *r, const char *why, struct slice what)
{
    r->refusal = why;
    r->refused = what;
    return false;
}

static bool read_uri(struct reading *r, enum item user, struct slice text, struct uri *uri)
{
    if (!uri_parse(text, uri))
        return false;
    if (uri->scheme > SCHEME_SIPS)
        return true;
    put_user(r, user, uri->user);
    put_host(r, user + TO_HOST, uri->host);
    return true;
}

static bool read_start(struct reading *r, const struct message *m)
{
    struct uri uri;

    if (!m->is_request) {
        put_number(r, ITEM_STATUS, m->status);
        return true;
    }
    put(r, ITEM_METHOD, message_span(m, m->method_text));
    if (!read_uri(r, ITEM_URI_USER, message_span(m, m->uri), &uri))
        return refuse(r, "Bad Request-URI", message_span(m, m->uri));
    if (uri.scheme <= SCHEME_SIPS && uri.port)
        put_number(r, ITEM_URI_PORT, uri.port);
    return true;
}

static void put_via(struct reading *r, unsigned number, const struct via *via)
{
    if (number == 1) {
        put_transport(r, transport_name(via->transport));
        put_host(r, ITEM_VIA_HOST, via->host);
        if (via->port)
            put_number(r, ITEM_VIA_PORT, via->port);
        put(r, ITEM_VIA_BRANCH, via->branch);
        put_host(r, ITEM_VIA_RECEIVED, via->received);
    } else if (number == 2) {
        put_host(r, ITEM_VIA2_HOST, via->host);
        put(r, ITEM_VIA2_BRANCH, via->branch);
    }
}

static bool read_vias(struct reading *r, const struct message *m)
{
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_VIA]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct via via;
        do {
            if (!via_next(&rest, &via))
                return refuse(r, "Bad Via", message_value(m, i));
            put_via(r, ++count, &via);
        } while (rest.len);
    }
    put_count(r, ITEM_VIAS, count);
    return true;
}

static bool read_party(struct reading *r, const struct message *m, enum header header,
                       enum item user)
{
    struct address address;
    struct slice tag;
    struct uri uri;

    if (!address_parse(message_first(m, header), &address, &tag) ||
        !read_uri(r, user, address.uri, &uri))
        return refuse(r, header == HEADER_FROM ? "Bad From" : "Bad To", message_first(m, header));
    put(r, user + TO_TAG, tag);
    return true;
}

static bool read_contacts(struct reading *r, const struct message *m)
{
    static struct reading later; /* of values that are not the first */
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i), value;
        struct address address;
        struct uri uri;
        if (slice_equal(rest, S("*")))
            continue;
        do {
            if (!address_next(&rest, &address) ||
                !read_uri(count ? &later : r, ITEM_CONTACT_USER, address.uri, &uri))
                return refuse(r, "Bad Contact", message_value(m, i));
            if (count++)
                continue;
            if (param_find(address.params, S("expires"), &value))
                put_digits(r, ITEM_CONTACT_EXPIRES, value);
            if (param_find(address.params, S("q"), &value))
                put_q(r, ITEM_CONTACT_Q, value);
        } while (rest.len);
    }
    put_count(r, ITEM_CONTACTS, count);
    return true;
}

static void put_route(struct reading *r, enum item routes, bool is_first, const struct uri *uri)
{
    bool is_sip = uri->scheme <= SCHEME_SIPS;
    struct slice value;

    put_host(r, routes + TO_LAST, is_sip ? uri->host : NO_SLICE);
    if (!is_first || !is_sip)
        return;
    put_user(r, routes + TO_FIRST_USER, uri->user);
    put_host(r, routes + TO_FIRST_USER + TO_HOST, uri->host);
    if (uri_param(uri, S("lr"), &value))
        put_text(r, routes + TO_LR, "lr");
}

static bool read_routes(struct reading *r, const struct message *m, enum header header,
                        enum item routes)
{
    unsigned count = 0;

    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct address address;
        struct uri uri;
        do {
            if (!address_next(&rest, &address) || !uri_parse(address.uri, &uri))
                return refuse(r, header == HEADER_ROUTE ? "Bad Route" : "Bad Record-Route",
                              message_value(m, i));
            put_route(r, routes, count++ == 0, &uri);
        } while (rest.len);
    }
    put_count(r, routes, count);
    return true;
}

static void read_options(struct reading *r, const struct message *m, enum header header,
                         enum item item)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i), word;
        while (list_next(&rest, &word))
            put_word(r, item, word);
    }
}

static bool read_numbers(struct reading *r, const struct message *m)
{
    struct slice forwards = message_first(m, HEADER_MAX_FORWARDS);
    uint64_t number;

    put_number(r, ITEM_CSEQ_NUMBER, m->cseq.number);
    put(r, ITEM_CSEQ_METHOD, m->cseq.method_text);
    if (m->has_length)
        put_number(r, ITEM_CONTENT_LENGTH, message_body(m).len);
    put_digits(r, ITEM_EXPIRES, message_first(m, HEADER_EXPIRES));
    if (!forwards.at)
        return true;
    if (!slice_number(forwards, 255, &number))
        return refuse(r, "Bad Max-Forwards", forwards);
    put_number(r, ITEM_MAX_FORWARDS, number);
    return true;
}

/* What of the message a fault is about. */
static struct slice suspect(const struct message *m, struct slice bytes, const char *reason)
{
    size_t line = 0, end, fields;

    while (bytes.len - line >= 2 && memcmp(bytes.at + line, "\r\n", 2) == 0)
        line += 2;
    for (end = line; end + 2 <= bytes.len && memcmp(bytes.at + end, "\r\n", 2) != 0;)
        end++;
    if (strcmp(reason, "Bad CSeq") == 0)
        return message_first(m, HEADER_CSEQ);
    if (strcmp(reason, "Malformed Header Field") != 0)
        return slice_of(bytes.at + line, end - line);
    for (fields = end; fields + 4 <= bytes.len && memcmp(bytes.at + fields, "\r\n\r\n", 4) != 0;)
        fields++;
    return fields + 4 > bytes.len ? slice_from(bytes, end)
                                  : slice_of(bytes.at + end + 2, fields - end);
}

void read_ours(struct reading *r, struct slice bytes)
{
    static struct message m;
    struct fault fault = message_parse(bytes, &m);

    if (fault.status) {
        refuse(r, fault.reason, suspect(&m, bytes, fault.reason));
        return;
    }
    put(r, ITEM_CALL_ID, message_first(&m, HEADER_CALL_ID));
    read_options(r, &m, HEADER_REQUIRE, ITEM_REQUIRE);
    read_options(r, &m, HEADER_PROXY_REQUIRE, ITEM_PROXY_REQUIRE);
    r->is_accepted =
        read_start(r, &m) && read_vias(r, &m) && read_party(r, &m, HEADER_FROM, ITEM_FROM_USER) &&
        read_party(r, &m, HEADER_TO, ITEM_TO_USER) && read_contacts(r, &m) &&
        read_routes(r, &m, HEADER_ROUTE, ITEM_ROUTES) &&
        read_routes(r, &m, HEADER_RECORD_ROUTE, ITEM_RECORD_ROUTES) && read_numbers(r, &m);
}
