#include "abroad.h"

#include <stdio.h>

static const struct socket_settings sockets[] = {{TRANSPORT_UDP, S("192.0.2.1"), 5060},
                                                 {TRANSPORT_TLS, S("192.0.2.1"), 5061}};
static const struct subnet trusted[] = {
    {.address = {198, 51, 100, 0}, .bits = 24, .access = ACCESS_TRUSTED},
};

void abroad_begin(struct abroad *a)
{
    abroad_begin_within(a, &world_limits);
}

void abroad_begin_within(struct abroad *a, const struct limits *limits)
{
    world_begin_within(&a->w, true, limits);
    a->w.settings.sockets = sockets;
    a->w.settings.socket_count = COUNT_OF(sockets);
    a->w.settings.networks = trusted;
    a->w.settings.network_count = COUNT_OF(trusted);
    world_register(&a->w, "alice", "wonder", 9, 5060, 3600);
    a->stream = (struct flow){0};
}

bool abroad_look(struct abroad *a)
{
    bool is_new = false;

    for (unsigned i = 0; i < a->w.out.count; i++) {
        const struct action *act = &a->w.out.at[i];
        if (act->kind != ACTION_CONNECT)
            continue;
        assert_true(act->bytes.len <= sizeof a->plan_bytes);
        memcpy(a->plan_bytes, act->bytes.at, act->bytes.len);
        a->plan = (struct peer_plan){.domain = NO_SLICE};
        assert_true(!act->bytes.len ||
                    peer_read(slice_of(a->plan_bytes, act->bytes.len), &a->plan));
        a->stream = act->flow;
        is_new = true;
    }
    if (is_new)
        snprintf(a->sent, sizeof a->sent, "%s", talk_sent(&a->w));
    return is_new;
}

bool abroad_settle(struct abroad *a, const zone_lines zone)
{
    bool is_new = abroad_look(a);

    while (a->w.asked_count) {
        struct reply reply;
        zone_answer(zone, a->w.asked[0].question.type, slice_text(a->w.asked[0].name), &reply);
        world_tell(&a->w, 0, &reply.answer);
        is_new |= abroad_look(a);
    }
    return is_new;
}

void abroad_call(struct abroad *a, const char *uri, const char *name)
{
    SAY(&a->w, .host = 9, .uri = uri, .from = ALICE, .to = "<sip:carol@elsewhere.example>",
        .call_id = name, .branch = name);
}

void abroad_prove(struct abroad *a, const char *domains)
{
    world_event(&a->w, &(struct event){
                           .kind = EVENT_OPENED, .flow = a->stream, .bytes = slice_text(domains)});
}

void abroad_fail_to_prove(struct abroad *a)
{
    a->w.out.count = 0;
    world_event(&a->w,
                &(struct event){.kind = EVENT_CLOSED, .flow = a->stream, .is_unproven = true});
    abroad_look(a);
    world_wait(&a->w, MS(10));
}
