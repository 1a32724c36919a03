#include "rest.h"

void rest_check_limits(const struct testbed *server)
{
    const struct limits *limits = &server->limits;
    struct census census = core_census(server->core);

    assert(census.server_transactions <= limits->transactions);
    assert(census.client_transactions <= limits->transactions);
    assert(census.contexts <= limits->contexts);
    assert(census.bindings <= limits->bindings && census.dialogs <= limits->dialogs);
    assert(census.text_bytes <= limits->text && census.lookups <= limits->lookups);
}

void rest_check(struct testbed *server, size_t text_at_rest)
{
    struct census census;

    for (unsigned place = 1; place <= TESTBED_STREAMS; place++)
        testbed_close(server, place);
    testbed_step(server, EVENT_STORE_WORKS, NULL, NO_SLICE);
    while (testbed_recall(server))
        continue;
    testbed_run_until(server, server->now.boot + server->settings.timer_c + SECONDS(200));
    census = core_census(server->core);
    assert(!census.server_transactions && !census.client_transactions && !census.contexts);
    assert(!census.lookups && !census.asked && !census.held);
    testbed_run_until(server, server->now.boot + server->settings.call_longest + SECONDS(7200) +
                                  SECONDS(server->settings.expires_longest));
    census = core_census(server->core);
    assert(!census.bindings && !census.dialogs && !census.timers);
    testbed_keep_calls(server);
    census = core_census(server->core);
    assert(!census.calls);
    assert(census.text_bytes == text_at_rest);
}

void rest_check_service(struct testbed *server)
{
    static const struct slice request =
        S("MESSAGE sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP "
          "198.51.100.1;branch=z9hG4bKlast\r\n"
          "From: <sip:out@example.org>;tag=1\r\nTo: <sip:user@example.com>\r\nCall-ID: last\r\n"
          "CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n");
    struct flow source = testbed_flow(BY_UDP, 1, 5060);
    struct flow phone = testbed_flow(BY_UDP, 10, 5060);

    assert(testbed_bind(server, "user", &phone));
    testbed_step(server, EVENT_RECEIVED, &source, request);
    assert(server->sent_count == 1 && flow_equal(&server->sent[0].flow, &phone));
}
