#include "core/peer.h"

void peer_write(struct writer *w, const struct peer_plan *plan)
{
    write_u8(w, plan->policy);
    write_counted(w, plan->domain);
    write_counted(w, plan->server);
    write_u8(w, plan->tlsa_count);
    for (unsigned i = 0; i < plan->tlsa_count; i++) {
        const struct tlsa *tlsa = &plan->tlsa[i];
        write_u8(w, tlsa->usage);
        write_u8(w, tlsa->selector);
        write_u8(w, tlsa->matching);
        write_counted(w, tlsa->data);
    }
}

bool peer_read(struct slice bytes, struct peer_plan *plan)
{
    struct reader r = reader_over(bytes);

    *plan = (struct peer_plan){.policy = read_u8(&r)};
    plan->domain = read_counted(&r);
    plan->server = read_counted(&r);
    plan->tlsa_count = read_u8(&r);
    if (plan->tlsa_count > TLSA_LIMIT)
        return false;
    for (unsigned i = 0; i < plan->tlsa_count; i++) {
        struct tlsa *tlsa = &plan->tlsa[i];
        tlsa->usage = read_u8(&r);
        tlsa->selector = read_u8(&r);
        tlsa->matching = read_u8(&r);
        tlsa->data = read_counted(&r);
    }
    return !r.failed && !r.rest.len && plan->policy <= POLICY_DANE;
}
