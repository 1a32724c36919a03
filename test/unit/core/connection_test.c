#include "unit.h"

#include "world.h"

#include <stdio.h>

/* bob's phone registers by a stream, with a Contact where nobody can be reached but by it. */
static struct flow register_bob(struct world *w, unsigned port)
{
    struct flow flow = world_open(w, 7, port);

    world_register_by(w, &flow, "bob", "builder", "<sip:bob@10.0.0.7;transport=tcp>", 600);
    return flow;
}

/* carol of another domain calls bob by UDP. */
static void invite_bob(struct world *w, unsigned number)
{
    world_receive(w, 9, 5060,
                  "INVITE sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKi%u\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@example.net>;tag=c%u\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: call%u\n"
                  "CSeq: 1 INVITE\n"
                  "Contact: <sip:carol@198.51.100.9>\n"
                  "Content-Length: 0\n\n",
                  number, number, number);
}

static bool sent_has(const struct world *w, unsigned n, const char *part)
{
    struct slice sent = world_sent(w, n);

    return sent.len && memmem(sent.at, sent.len, part, strlen(part));
}

static void a_request_goes_down_the_phones_connection(void **state)
{
    struct world w;
    struct flow flow, to;

    (void)state;
    world_begin(&w, true);
    flow = register_bob(&w, 40001);
    invite_bob(&w, 1);
    to = world_sent_to(&w, 1);
    assert_true(flow_equal(&to, &flow));
    assert_true(sent_has(&w, 1, "Via: SIP/2.0/TCP 192.0.2.1:5060;branch="));
    assert_true(sent_has(&w, 1, "@192.0.2.1:5060;transport=tcp;lr>\r\nRecord-Route: <sip:"));
    world_wait(&w, SECONDS(10));
    assert_int_equal(world_sent_count(&w), 0); /* nothing is sent twice on a stream */
    world_end(&w);
}

static void a_request_whose_connection_ends_unheard_fails_at_once(void **state)
{
    struct world w;
    struct flow flow;

    (void)state;
    world_begin(&w, true);
    flow = register_bob(&w, 40001);
    invite_bob(&w, 1);
    assert_int_equal(core_census(w.core).connections, 1);
    world_close(&w, &flow);
    world_wait(&w, MS(10));
    assert_int_equal(world_status(&w, 0), 480);
    assert_int_equal(core_census(w.core).client_transactions, 0);
    assert_int_equal(core_census(w.core).connections, 0);
    invite_bob(&w, 2);
    world_wait(&w, MS(10));
    assert_int_equal(world_status(&w, 0), 480);
    world_end(&w);
}

/* bob's phone answers carol's first call by this connection. */
static void answer_by(struct world *w, const struct flow *flow, const char *status, const char *via)
{
    world_receive_by(w, flow,
                     "SIP/2.0 %s\n%s\nFrom: <sip:carol@example.net>;tag=c1\n"
                     "To: <sip:bob@example.com>;tag=b\nCall-ID: call1\nCSeq: 1 INVITE\n"
                     "Content-Length: 0\n\n",
                     status, via);
}

static void a_ringing_call_outlives_the_connection(void **state)
{
    struct world w;
    struct flow flow, other;
    char via[512];

    (void)state;
    world_begin(&w, true);
    flow = register_bob(&w, 40001);
    invite_bob(&w, 1);
    snprintf(via, sizeof via, "Via: %s\nVia: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKi1",
             world_header(&w, 1, "Via"));
    answer_by(&w, &flow, "180 Ringing", via);
    assert_int_equal(world_status(&w, 0), 180);
    world_close(&w, &flow);
    world_wait(&w, SECONDS(3));
    assert_int_equal(world_sent_count(&w), 0);
    other = world_open(&w, 7, 40002);
    answer_by(&w, &other, "486 Busy Here", via);
    assert_int_equal(world_status(&w, 0), 486);
    assert_true(sent_has(&w, 1, "ACK sip:bob@"));
    struct flow acked = world_sent_to(&w, 1);
    assert_true(flow_equal(&acked, &other)); /* the ACK goes where the answer came from */
    world_end(&w);
}

/* After a restart it is called at its door, where nobody may be; meanwhile it is back. */
static void an_ack_waits_for_no_connection_if_the_answer_came_by_another(void **state)
{
    struct world w;
    struct flow flow, to;
    char via[512];

    (void)state;
    world_begin(&w, true);
    flow = world_open(&w, 7, 40001);
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.7:5070;transport=tcp>",
                      600);
    invite_bob(&w, 1);
    snprintf(via, sizeof via, "Via: %s\nVia: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKi1",
             world_header(&w, 1, "Via"));
    answer_by(&w, &flow, "180 Ringing", via);
    world_restart(&w);
    world_wait(&w, MS(200));
    to = world_sent_to(&w, 0);
    assert_int_equal(to.port, 5070);
    flow = world_open(&w, 7, 40002);
    answer_by(&w, &flow, "486 Busy Here", via);
    assert_int_equal(world_status(&w, 0), 486);
    assert_true(sent_has(&w, 1, "ACK sip:bob@"));
    to = world_sent_to(&w, 1);
    assert_true(flow_equal(&to, &flow));
    world_end(&w);
}

static void a_restart_is_waited_for_and_then_no_longer(void **state)
{
    struct world w;
    struct flow flow, to;

    (void)state;
    world_begin(&w, true);
    register_bob(&w, 40001);
    world_restart(&w);
    invite_bob(&w, 1);
    assert_int_equal(world_sent_count(&w), 1);
    assert_int_equal(world_status(&w, 0), 100);
    world_wait(&w, SECONDS(2));
    assert_int_equal(world_sent_count(&w), 0);
    flow = register_bob(&w, 40002);
    world_wait(&w, MS(200));
    to = world_sent_to(&w, 0);
    assert_true(flow_equal(&to, &flow));
    assert_true(sent_has(&w, 0, "INVITE sip:bob@10.0.0.7;transport=tcp SIP/2.0\r\n"));
    world_end(&w);

    world_begin(&w, true);
    register_bob(&w, 40001);
    world_restart(&w);
    invite_bob(&w, 1);
    world_wait(&w, MS(4900));
    assert_int_equal(world_sent_count(&w), 0);
    world_wait(&w, MS(200));
    assert_int_equal(world_status(&w, 0), 480);
    world_wait(&w, SECONDS(90)); /* by now nobody is expected back */
    invite_bob(&w, 2);
    world_wait(&w, MS(10));
    assert_int_equal(world_status(&w, 0), 480);
    world_end(&w);
}

static void a_phone_is_called_back_where_it_came_from_and_only_there(void **state)
{
    struct world w;
    struct flow flow, to;

    (void)state;
    world_begin(&w, true);
    flow = world_open(&w, 7, 40001);
    world_register_by(&w, &flow, "bob", "builder", "<sip:bob@198.51.100.7:5070;transport=tcp>",
                      600);
    world_close(&w, &flow);
    invite_bob(&w, 1);
    assert_int_equal(w.out.at[w.out.count - 2].kind, ACTION_CONNECT);
    to = world_sent_to(&w, 1);
    assert_int_equal(to.port, 5070);
    assert_int_equal(to.transport, TRANSPORT_TCP);
    world_close(&w, &to); /* refused */
    world_wait(&w, MS(10));
    assert_int_equal(world_status(&w, 0), 480);
    world_end(&w);
}

static void what_cannot_be_framed_is_answered_and_ends_the_connection(void **state)
{
    struct world w;
    struct flow flow;

    (void)state;
    world_begin(&w, true);
    flow = world_open(&w, 7, 40001);
    world_break(&w, &flow, (struct fault){400, "Bad Content-Length"},
                "OPTIONS sip:example.com SIP/2.0\n"
                "Via: SIP/2.0/TCP 198.51.100.7:40001;branch=z9hG4bKo\n"
                "Max-Forwards: 70\nFrom: <sip:x@example.net>;tag=1\nTo: <sip:example.com>\n"
                "Call-ID: o\nCSeq: 1 OPTIONS\nContent-Length: +1\n\n");
    assert_int_equal(world_status(&w, 0), 400);
    assert_int_equal(w.out.at[w.out.count - 1].kind, ACTION_CLOSE);
    world_break(&w, &flow, (struct fault){513, NULL}, "GET / HTTP/1.1\n\n");
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.at[0].kind, ACTION_CLOSE);
    world_receive_by(&w, &flow, "v=0\nContent-Length: 0\n\n");
    assert_int_equal(w.out.count, 1);
    assert_int_equal(w.out.at[0].kind, ACTION_CLOSE);
    world_end(&w);
}

static unsigned keep_alives(const struct world *w)
{
    unsigned count = 0;

    for (unsigned n = 0; n < world_sent_count(w); n++)
        count += slice_equal(world_sent(w, n), S("\r\n\r\n"));
    return count;
}

static void mappings_of_nat_are_kept_open_while_a_binding_lasts(void **state)
{
    struct world w;
    struct flow udp = world_flow(7, 41000);

    (void)state;
    world_begin(&w, true);
    world_register_by(&w, &udp, "bob", "builder", "<sip:bob@192.168.1.9:5060>", 120);
    world_wait(&w, SECONDS(24));
    assert_int_equal(keep_alives(&w), 0);
    world_wait(&w, SECONDS(2));
    assert_int_equal(keep_alives(&w), 1);
    world_wait(&w, SECONDS(90));
    assert_int_equal(keep_alives(&w), 3);
    world_wait(&w, SECONDS(90)); /* it has expired */
    assert_int_equal(keep_alives(&w), 0);
    assert_int_equal(core_census(w.core).bindings, 0);
    assert_int_equal(core_census(w.core).timers, 0);

    world_register_by(&w, &udp, "bob", "builder", "<sip:bob@192.168.1.9:5060>", 120);
    world_restart(&w);
    world_wait(&w, SECONDS(50));
    assert_int_equal(keep_alives(&w), 2);
    world_end(&w);
}

static void phones_that_need_no_keep_alive_get_none(void **state)
{
    struct world w;
    struct flow udp = world_flow(7, 41000);

    (void)state;
    world_begin(&w, true);
    world_register(&w, "alice", "wonder", 8, 5060, 600); /* no NAT */
    world_register_by(&w, &udp, "bob", "builder",
                      "<sip:bob@192.168.1.9:5060>;reg-id=1;+sip.instance=\"<urn:x:1>\"\n"
                      "Supported: outbound",
                      600);
    register_bob(&w, 40001); /* a stream */
    world_wait(&w, SECONDS(200));
    assert_int_equal(world_sent_count(&w), 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_down_the_phones_connection),
        cmocka_unit_test(a_request_whose_connection_ends_unheard_fails_at_once),
        cmocka_unit_test(a_ringing_call_outlives_the_connection),
        cmocka_unit_test(an_ack_waits_for_no_connection_if_the_answer_came_by_another),
        cmocka_unit_test(a_restart_is_waited_for_and_then_no_longer),
        cmocka_unit_test(a_phone_is_called_back_where_it_came_from_and_only_there),
        cmocka_unit_test(what_cannot_be_framed_is_answered_and_ends_the_connection),
        cmocka_unit_test(mappings_of_nat_are_kept_open_while_a_binding_lasts),
        cmocka_unit_test(phones_that_need_no_keep_alive_get_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
