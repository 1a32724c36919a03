#include "core/dns.h"

#include "base/cursor.h"

#define LABEL_LIMIT 63u /* RFC 1035 2.3.4 */

/* In the order of the network. */
static uint16_t read_network_u16(struct reader *r)
{
    unsigned high = read_u8(r);

    return (uint16_t)(high << 8 | read_u8(r));
}

/* A <character-string> (RFC 1035 3.3). */
static struct slice read_string(struct reader *r)
{
    return read_bytes(r, read_u8(r));
}

/* Letters, digits and hyphens, and the underscore that services begin with (RFC 2782). */
static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool add_label(struct dns_name *name, struct slice label)
{
    struct writer w = writer_over(name->text, sizeof name->text);

    w.len = name->len;
    if (name->len)
        write_char(&w, '.');
    for (size_t i = 0; i < label.len; i++) {
        char c = ascii_lower(label.at[i]);
        if (!is_plain(c))
            return false;
        write_char(&w, c);
    }
    name->len = (uint8_t)w.len;
    return !w.failed;
}

static bool read_name(struct reader *r, struct dns_name *name)
{
    name->len = 0;
    for (;;) {
        uint8_t len = read_u8(r);
        if (r->failed || len > LABEL_LIMIT)
            return false;
        if (!len)
            return true;
        struct slice label = read_bytes(r, len);
        if (r->failed || !add_label(name, label))
            return false;
    }
}

bool dns_read_srv(struct slice data, struct dns_srv *srv)
{
    struct reader r = reader_over(data);

    srv->priority = read_network_u16(&r);
    srv->weight = read_network_u16(&r);
    srv->port = read_network_u16(&r);
    return read_name(&r, &srv->target) && !r.rest.len;
}

bool dns_read_naptr(struct slice data, struct dns_naptr *naptr)
{
    struct reader r = reader_over(data);

    naptr->order = read_network_u16(&r);
    naptr->preference = read_network_u16(&r);
    naptr->flags = read_string(&r);
    naptr->services = read_string(&r);
    read_string(&r); /* a regular expression: the "s" flag leaves it empty (RFC 3263 4.1) */
    return read_name(&r, &naptr->replacement) && !r.rest.len;
}

bool dns_read_address(struct slice data, bool is_v6, struct address_bytes *address)
{
    *address = (struct address_bytes){.is_v6 = is_v6};
    if (data.len != (is_v6 ? 16 : 4))
        return false;
    memcpy(address->at, data.at, data.len);
    return true;
}

bool dns_read_tlsa(struct slice data, struct tlsa *tlsa)
{
    static const uint8_t lengths[] = {0, 32, 64}; /* what matches itself, SHA-256, SHA-512 */
    struct reader r = reader_over(data);

    tlsa->usage = read_u8(&r);
    tlsa->selector = read_u8(&r);
    tlsa->matching = read_u8(&r);
    tlsa->data = r.rest;
    return !r.failed && tlsa->usage <= 3 && tlsa->selector <= 1 &&
           tlsa->matching < COUNT_OF(lengths) && tlsa->data.len &&
           (!lengths[tlsa->matching] || tlsa->data.len == lengths[tlsa->matching]);
}
