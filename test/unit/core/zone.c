#include "zone.h"

#include "base/cursor.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static void write_name(struct writer *w, const char *name)
{
    while (*name && strcmp(name, ".") != 0) {
        size_t len = strcspn(name, ".");
        write_u8(w, (uint8_t)len);
        write_bytes(w, name, len);
        name += len + (name[len] == '.');
    }
    write_u8(w, 0);
}

static void write_network_u16(struct writer *w, unsigned n)
{
    write_u8(w, (uint8_t)(n >> 8));
    write_u8(w, (uint8_t)n);
}

static void write_string(struct writer *w, const char *text)
{
    write_u8(w, (uint8_t)strlen(text));
    write_bytes(w, text, strlen(text));
}

static void write_record(struct writer *w, enum dns_type type, const char *text)
{
    unsigned a, b, c, byte, count;
    char flags[8], services[16], name[300], host[80];
    struct address_bytes address;

    switch (type) {
    case DNS_SRV:
        assert_int_equal(sscanf(text, "%u %u %u %299s", &a, &b, &c, name), 4);
        write_network_u16(w, a);
        write_network_u16(w, b);
        write_network_u16(w, c);
        write_name(w, name);
        break;
    case DNS_NAPTR:
        assert_int_equal(sscanf(text, "%u %u %7s %15s %299s", &a, &b, flags, services, name), 5);
        write_network_u16(w, a);
        write_network_u16(w, b);
        write_string(w, flags);
        write_string(w, services);
        write_string(w, "");
        write_name(w, name);
        break;
    case DNS_TLSA: /* its data: so many bytes of that number */
        assert_int_equal(sscanf(text, "%u %u %u %ux%u", &a, &b, &c, &byte, &count), 5);
        write_u8(w, (uint8_t)a);
        write_u8(w, (uint8_t)b);
        write_u8(w, (uint8_t)c);
        while (count--)
            write_u8(w, (uint8_t)byte);
        break;
    case DNS_A:
    case DNS_AAAA:
        snprintf(host, sizeof host, type == DNS_A ? "%s" : "[%s]", text);
        assert_true(host_numeric(slice_text(host), &address));
        write_bytes(w, address.at, address.is_v6 ? 16 : 4);
        break;
    }
}

static void read_records(struct reply *reply, enum dns_type type, char *records)
{
    struct writer w = writer_over(reply->bytes, sizeof reply->bytes);
    char *rest = NULL;

    for (char *text = strtok_r(records, "|", &rest); text; text = strtok_r(NULL, "|", &rest)) {
        size_t start = w.len;
        write_record(&w, type, text);
        if (reply->answer.count < DNS_RECORDS)
            reply->answer.data[reply->answer.count++] = slice_of(w.at + start, w.len - start);
    }
    assert_false(w.failed);
}

void zone_answer(const zone_lines zone, enum dns_type asked, struct slice of, struct reply *reply)
{
    static const struct {
        const char *name;
        enum dns_type type;
    } types[] = {{"A", DNS_A},
                 {"AAAA", DNS_AAAA},
                 {"SRV", DNS_SRV},
                 {"NAPTR", DNS_NAPTR},
                 {"TLSA", DNS_TLSA}};

    reply->answer = (struct dns_answer){.status = DNS_NOTHING};
    for (unsigned i = 0; i < ZONE_LINES && zone[i]; i++) {
        char name[256], type[8], records[1024];
        assert_int_equal(sscanf(zone[i], "%255s %7s %1023[^\n]", name, type, records), 3);
        if (!slice_equal(of, slice_text(name)))
            continue;
        for (unsigned t = 0; t < COUNT_OF(types); t++) {
            if (types[t].type != asked || strcasecmp(types[t].name, type) != 0)
                continue;
            reply->answer.is_secure = type[0] >= 'a';
            reply->answer.status = records[0] == '?'   ? DNS_FAILED
                                   : records[0] == '!' ? DNS_BOGUS
                                                       : DNS_FOUND;
            if (reply->answer.status == DNS_FOUND)
                read_records(reply, asked, records);
        }
    }
}
