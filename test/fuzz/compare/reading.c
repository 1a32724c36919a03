#include "reading.h"

#include "sip/address.h"
#include "sip/via.h"

#include <stdio.h>

const char *const item_names[ITEM_COUNT] = {
    [ITEM_METHOD] = "method",
    [ITEM_STATUS] = "status",
    [ITEM_URI_USER] = "uri user",
    [ITEM_URI_HOST] = "uri host",
    [ITEM_URI_PORT] = "uri port",
    [ITEM_VIAS] = "count of via",
    [ITEM_VIA_TRANSPORT] = "via transport",
    [ITEM_VIA_HOST] = "via host",
    [ITEM_VIA_PORT] = "via port",
    [ITEM_VIA_BRANCH] = "branch",
    [ITEM_VIA_RECEIVED] = "received",
    [ITEM_VIA2_HOST] = "second via host",
    [ITEM_VIA2_BRANCH] = "second branch",
    [ITEM_FROM_USER] = "from user",
    [ITEM_FROM_HOST] = "from host",
    [ITEM_FROM_TAG] = "from tag",
    [ITEM_TO_USER] = "to user",
    [ITEM_TO_HOST] = "to host",
    [ITEM_TO_TAG] = "to tag",
    [ITEM_CALL_ID] = "call-id",
    [ITEM_CSEQ_NUMBER] = "cseq number",
    [ITEM_CSEQ_METHOD] = "cseq method",
    [ITEM_MAX_FORWARDS] = "max-forwards",
    [ITEM_CONTACTS] = "count of contact",
    [ITEM_CONTACT_USER] = "contact user",
    [ITEM_CONTACT_HOST] = "contact host",
    [ITEM_CONTACT_EXPIRES] = "contact expires",
    [ITEM_CONTACT_Q] = "contact q",
    [ITEM_ROUTES] = "count of route",
    [ITEM_ROUTE_USER] = "route user",
    [ITEM_ROUTE_HOST] = "route host",
    [ITEM_ROUTE_LR] = "route lr",
    [ITEM_ROUTE_LAST] = "last route host",
    [ITEM_RECORD_ROUTES] = "count of record-route",
    [ITEM_RECORD_ROUTE_USER] = "record-route user",
    [ITEM_RECORD_ROUTE_HOST] = "record-route host",
    [ITEM_RECORD_ROUTE_LR] = "record-route lr",
    [ITEM_RECORD_ROUTE_LAST] = "last record-route host",
    [ITEM_EXPIRES] = "expires",
    [ITEM_REQUIRE] = "require",
    [ITEM_PROXY_REQUIRE] = "proxy-require",
    [ITEM_CONTENT_LENGTH] = "content-length",
};

void put(struct reading *r, enum item item, struct slice text)
{
    struct writer w = writer_over(r->text[item], sizeof r->text[item] - 1);

    write_slice(&w, text.len < w.limit ? text : slice_until(text, w.limit));
    r->text[item][w.len] = '\0';
}

void put_text(struct reading *r, enum item item, const char *text)
{
    put(r, item, slice_text(text));
}

void put_number(struct reading *r, enum item item, uint64_t number)
{
    snprintf(r->text[item], sizeof r->text[item], "%llu", (unsigned long long)number);
}

void put_digits(struct reading *r, enum item item, struct slice digits)
{
    uint64_t number;

    if (slice_number(slice_trim(digits), UINT64_MAX / 16, &number))
        put_number(r, item, number);
    else
        put_word(r, item, slice_trim(digits));
}

void put_count(struct reading *r, enum item item, unsigned count)
{
    if (count)
        put_number(r, item, count);
}

void put_host(struct reading *r, enum item item, struct slice host)
{
    if (host.len > 1 && host.at[0] == '[')
        host = slice_of(host.at + 1, host.len - 2);
    put(r, item, host);
    for (char *c = r->text[item]; *c; c++)
        *c = ascii_lower(*c);
}

void put_user(struct reading *r, enum item item, struct slice user)
{
    char text[512];
    struct writer w = writer_over(text, sizeof text);

    for (size_t i = 0; i < user.len; i++) {
        uint8_t c;
        if (user.at[i] == '%' && user.len - i > 2 &&
            hex_decode(slice_of(user.at + i + 1, 2), &c, 1) && c) {
            write_char(&w, (char)c);
            i += 2;
        } else {
            write_char(&w, user.at[i]);
        }
    }
    put(r, item, writer_slice(&w));
}

void put_q(struct reading *r, enum item item, struct slice text)
{
    unsigned thousandths;

    if (qvalue_parse(text, &thousandths))
        put_number(r, item, thousandths);
    else
        put(r, item, text);
}

void put_transport(struct reading *r, struct slice name)
{
    enum transport transport = transport_of(name);

    if (transport != TRANSPORT_OTHER)
        put(r, ITEM_VIA_TRANSPORT, transport_name(transport));
}

void put_word(struct reading *r, enum item item, struct slice word)
{
    struct writer w = writer_over(r->text[item], sizeof r->text[item] - 1);

    w.len = strlen(r->text[item]);
    if (!word.len || w.limit - w.len <= word.len)
        return;
    if (w.len)
        write_char(&w, ' ');
    for (size_t i = 0; i < word.len; i++)
        if (!slice_is_space(word.at[i]))
            write_char(&w, word.at[i]);
        else if (!slice_is_space(word.at[i - 1]))
            write_char(&w, ' ');
    r->text[item][w.len] = '\0';
}
