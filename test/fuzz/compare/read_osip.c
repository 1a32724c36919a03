#include "reading.h"

#include <osipparser2/osip_parser.h>
#include <stdio.h>

static const char *param(osip_list_t *params, const char *name)
{
    osip_generic_param_t *found = NULL;

    if (osip_generic_param_get_byname(params, (char *)(uintptr_t)name, &found) != 0 || !found)
        return NULL;
    return found->gvalue ? found->gvalue : "";
}

/* The escapes of a user are decoded already. */
static void put_url(struct reading *r, enum item user, const osip_uri_t *url)
{
    if (!url || !url->host)
        return;
    put_text(r, user, url->username);
    put_host(r, user + TO_HOST, slice_text(url->host));
}

static void read_vias(struct reading *r, const osip_message_t *m)
{
    osip_via_t *via = osip_list_get(&m->vias, 0), *second = osip_list_get(&m->vias, 1);

    put_count(r, ITEM_VIAS, (unsigned)osip_list_size(&m->vias));
    put_transport(r, slice_text(via->protocol));
    put_host(r, ITEM_VIA_HOST, slice_text(via->host));
    put_digits(r, ITEM_VIA_PORT, slice_text(via->port));
    put_text(r, ITEM_VIA_BRANCH, param(&via->via_params, "branch"));
    put_host(r, ITEM_VIA_RECEIVED, slice_text(param(&via->via_params, "received")));
    if (second) {
        put_host(r, ITEM_VIA2_HOST, slice_text(second->host));
        put_text(r, ITEM_VIA2_BRANCH, param(&second->via_params, "branch"));
    }
}

static void read_party(struct reading *r, enum item user, osip_from_t *address)
{
    put_url(r, user, address->url);
    put_text(r, user + TO_TAG, param(&address->gen_params, "tag"));
}

static void read_contacts(struct reading *r, const osip_message_t *m)
{
    unsigned count = 0;
    osip_contact_t *contact;

    for (int i = 0; (contact = osip_list_get(&m->contacts, i)) != NULL; i++) {
        if (!contact->url || count++)
            continue;
        put_url(r, ITEM_CONTACT_USER, contact->url);
        put_digits(r, ITEM_CONTACT_EXPIRES, slice_text(param(&contact->gen_params, "expires")));
        put_q(r, ITEM_CONTACT_Q, slice_text(param(&contact->gen_params, "q")));
    }
    put_count(r, ITEM_CONTACTS, count);
}

static void read_routes(struct reading *r, const osip_list_t *list, enum item routes)
{
    osip_from_t *first = osip_list_get(list, 0);
    osip_from_t *last = osip_list_get(list, osip_list_size(list) - 1);

    put_count(r, routes, (unsigned)osip_list_size(list));
    if (first && first->url) {
        put_url(r, routes + TO_FIRST_USER, first->url);
        if (param(&first->url->url_params, "lr"))
            put_text(r, routes + TO_LR, "lr");
    }
    if (last && last->url && last->url->host)
        put_host(r, routes + TO_LAST, slice_text(last->url->host));
}

static void read_options(struct reading *r, const osip_message_t *m, const char *name,
                         enum item item)
{
    osip_header_t *header = NULL;

    for (int at = 0; (at = osip_message_header_get_byname(m, name, at, &header)) >= 0; at++)
        put_word(r, item, slice_trim(slice_text(header->hvalue)));
}

static void read_numbers(struct reading *r, const osip_message_t *m)
{
    osip_header_t *header = NULL;

    put_digits(r, ITEM_CSEQ_NUMBER, slice_text(m->cseq->number));
    put_text(r, ITEM_CSEQ_METHOD, m->cseq->method);
    if (osip_message_get_max_forwards(m, 0, &header) >= 0 && header)
        put_digits(r, ITEM_MAX_FORWARDS, slice_text(header->hvalue));
    if (osip_message_header_get_byname(m, "expires", 0, &header) >= 0)
        put_digits(r, ITEM_EXPIRES, slice_text(header->hvalue));
    if (m->content_length)
        put_digits(r, ITEM_CONTENT_LENGTH, slice_text(m->content_length->value));
}

static bool read_fields(struct reading *r, const osip_message_t *m)
{
    char call_id[512];

    if (!osip_list_size(&m->vias) || !m->from || !m->to || !m->call_id || !m->cseq ||
        !m->cseq->number)
        return false;
    snprintf(call_id, sizeof call_id, "%s%s%s", m->call_id->number, m->call_id->host ? "@" : "",
             m->call_id->host ? m->call_id->host : "");
    put_text(r, ITEM_CALL_ID, call_id);
    read_vias(r, m);
    read_party(r, ITEM_FROM_USER, m->from);
    read_party(r, ITEM_TO_USER, m->to);
    read_contacts(r, m);
    read_routes(r, &m->routes, ITEM_ROUTES);
    read_routes(r, &m->record_routes, ITEM_RECORD_ROUTES);
    read_options(r, m, "require", ITEM_REQUIRE);
    read_options(r, m, "proxy-require", ITEM_PROXY_REQUIRE);
    read_numbers(r, m);
    return true;
}

void read_osip(struct reading *r, struct slice bytes)
{
    osip_message_t *m = NULL;

    if (osip_message_init(&m) != 0)
        return;
    if (osip_message_parse(m, bytes.at, bytes.len) == 0) {
        if (m->sip_method) {
            put_text(r, ITEM_METHOD, m->sip_method);
            put_url(r, ITEM_URI_USER, m->req_uri);
            if (m->req_uri && m->req_uri->host)
                put_digits(r, ITEM_URI_PORT, slice_text(m->req_uri->port));
        } else {
            put_number(r, ITEM_STATUS, (uint64_t)m->status_code);
        }
        r->is_accepted = read_fields(r, m);
    }
    osip_message_free(m);
}
