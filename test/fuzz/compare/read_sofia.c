#include "reading.h"

#include <sofia-sip/msg.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/url.h>

static bool is_sip(const url_t *url)
{
    return url->url_type == url_sip || url->url_type == url_sips;
}

static void put_url(struct reading *r, enum item user, const url_t *url)
{
    if (!is_sip(url))
        return;
    put_user(r, user, slice_text(url->url_user));
    put_host(r, user + TO_HOST, slice_text(url->url_host));
}

/* "SIP/2.0/UDP" */
static struct slice transport_of_protocol(const char *protocol)
{
    const char *slash = protocol ? strrchr(protocol, '/') : NULL;

    return slash ? slice_trim(slice_text(slash + 1)) : NO_SLICE;
}

static void read_vias(struct reading *r, const sip_via_t *via)
{
    const sip_via_t *second = via->v_next;
    unsigned count = 0;

    put_transport(r, transport_of_protocol(via->v_protocol));
    put_host(r, ITEM_VIA_HOST, slice_text(via->v_host));
    put_digits(r, ITEM_VIA_PORT, slice_text(via->v_port));
    put_text(r, ITEM_VIA_BRANCH, via->v_branch);
    put_host(r, ITEM_VIA_RECEIVED, slice_text(via->v_received));
    if (second) {
        put_host(r, ITEM_VIA2_HOST, slice_text(second->v_host));
        put_text(r, ITEM_VIA2_BRANCH, second->v_branch);
    }
    for (; via; via = via->v_next)
        count++;
    put_count(r, ITEM_VIAS, count);
}

static void read_party(struct reading *r, enum item user, const sip_addr_t *address)
{
    put_url(r, user, address->a_url);
    put_text(r, user + TO_TAG, address->a_tag);
}

static void read_contacts(struct reading *r, const sip_contact_t *contact)
{
    unsigned count = 0;

    for (; contact; contact = contact->m_next) {
        if (contact->m_url->url_type == url_any || count++)
            continue;
        put_url(r, ITEM_CONTACT_USER, contact->m_url);
        put_digits(r, ITEM_CONTACT_EXPIRES, slice_text(contact->m_expires));
        put_q(r, ITEM_CONTACT_Q, slice_text(contact->m_q));
    }
    put_count(r, ITEM_CONTACTS, count);
}

static void read_routes(struct reading *r, const sip_route_t *route, enum item routes)
{
    unsigned count = 0;

    for (; route; route = route->r_next) {
        put_host(r, routes + TO_LAST,
                 is_sip(route->r_url) ? slice_text(route->r_url->url_host) : NO_SLICE);
        if (count++)
            continue;
        put_url(r, routes + TO_FIRST_USER, route->r_url);
        if (is_sip(route->r_url) && url_has_param(route->r_url, "lr"))
            put_text(r, routes + TO_LR, "lr");
    }
    put_count(r, routes, count);
}

static void read_options(struct reading *r, const msg_list_t *list, enum item item)
{
    const msg_param_t *word = list ? list->k_items : NULL;

    for (; word && *word; word++)
        put_word(r, item, slice_trim(slice_text(*word)));
}

static void read_numbers(struct reading *r, const sip_t *sip)
{
    put_number(r, ITEM_CSEQ_NUMBER, sip->sip_cseq->cs_seq);
    put_text(r, ITEM_CSEQ_METHOD, sip->sip_cseq->cs_method_name);
    if (sip->sip_max_forwards)
        put_number(r, ITEM_MAX_FORWARDS, sip->sip_max_forwards->mf_count);
    if (sip->sip_expires)
        put_number(r, ITEM_EXPIRES, sip->sip_expires->ex_delta);
    if (sip->sip_content_length)
        put_number(r, ITEM_CONTENT_LENGTH, sip->sip_content_length->l_length);
}

static bool read_fields(struct reading *r, const sip_t *sip)
{
    if (sip->sip_error || !sip->sip_via || !sip->sip_from || !sip->sip_to || !sip->sip_call_id ||
        !sip->sip_cseq)
        return false;
    put_text(r, ITEM_CALL_ID, sip->sip_call_id->i_id);
    read_vias(r, sip->sip_via);
    read_party(r, ITEM_FROM_USER, sip->sip_from);
    read_party(r, ITEM_TO_USER, sip->sip_to);
    read_contacts(r, sip->sip_contact);
    read_routes(r, sip->sip_route, ITEM_ROUTES);
    read_routes(r, sip->sip_record_route, ITEM_RECORD_ROUTES);
    read_options(r, sip->sip_require, ITEM_REQUIRE);
    read_options(r, sip->sip_proxy_require, ITEM_PROXY_REQUIRE);
    read_numbers(r, sip);
    return true;
}

void read_sofia(struct reading *r, struct slice bytes)
{
    msg_t *msg = msg_make(sip_default_mclass(), 0, bytes.at, (ssize_t)bytes.len);
    sip_t *sip = msg ? sip_object(msg) : NULL;

    if (sip && !(sip->sip_flags & MSG_FLG_ERROR)) {
        if (sip->sip_request) {
            const url_t *url = sip->sip_request->rq_url;
            put_text(r, ITEM_METHOD, sip->sip_request->rq_method_name);
            put_url(r, ITEM_URI_USER, url);
            if (is_sip(url))
                put_digits(r, ITEM_URI_PORT, slice_text(url->url_port));
        } else if (sip->sip_status) {
            put_number(r, ITEM_STATUS, (uint64_t)sip->sip_status->st_status);
        }
        r->is_accepted = (sip->sip_request || sip->sip_status) && read_fields(r, sip);
    }
    if (msg)
        msg_destroy(msg);
}
