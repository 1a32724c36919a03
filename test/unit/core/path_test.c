/* Path (RFC 3327) and Service-Route (RFC 3608). */
#include "enrol.h"
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CONTACT "Contact: <sip:bob@198.51.100.2:5060>\n"
#define PATH "Path: <sip:edge@198.51.100.2;lr>\nPath: <sip:far.example;lr>\n"

static void test_path_is_answered_and_leads_to_the_phone(void **state)
{
    struct world w;
    struct slice sent;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1, .fields = CONTACT PATH "Supported: path\n"});
    assert_int_equal(world_status(&w, 0), 200);
    assert_string_equal(world_header(&w, 0, "Path"),
                        "<sip:edge@198.51.100.2;lr>, <sip:far.example;lr>");
    traffic_invite(&w, "inv", "");
    sent = world_sent(&w, 1);
    assert_true(slice_starts(sent, S("INVITE sip:bob@198.51.100.2:5060 SIP/2.0\r\n")));
    assert_string_equal(world_header(&w, 1, "Route"),
                        "<sip:edge@198.51.100.2;lr>, <sip:far.example;lr>");
    world_end(&w);
}

static void test_path_survives_a_crash_of_the_binding_and_of_the_call(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1, .fields = CONTACT PATH "Supported: path\n"});
    world_restart(&w);
    traffic_invite(&w, "inv", "");
    assert_string_equal(world_header(&w, 1, "Route"),
                        "<sip:edge@198.51.100.2;lr>, <sip:far.example;lr>");
    world_restart(&w);
    world_wait(&w, SECONDS(1));
    assert_string_equal(world_header(&w, 0, "Route"),
                        "<sip:edge@198.51.100.2;lr>, <sip:far.example;lr>");
    world_end(&w);
}

static void test_path_that_the_phone_does_not_know_of_is_420(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1, .fields = CONTACT PATH});
    assert_int_equal(world_status(&w, 0), 420);
    assert_string_equal(world_header(&w, 0, "Unsupported"), "path");
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void test_a_demand_for_path_is_met_and_any_other_named(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1,
                                 .fields = CONTACT PATH "Supported: gruu, path\nRequire: path\n"});
    assert_int_equal(world_status(&w, 0), 200);
    enrol(&w, (struct enrolment){.cseq = 2, .fields = CONTACT "Require: path, sec-agree\n"});
    assert_int_equal(world_status(&w, 0), 420);
    assert_string_equal(world_header(&w, 0, "Unsupported"), "sec-agree");
    world_end(&w);
}

static void test_a_broken_path_is_refused(void **state)
{
    static const char *const paths[] = {
        "Path: <sip:edge.example>\n", /* a strict router */
        "Path: <sip:edge example;lr>\n",
        "Path: <tel:+123;lr>\n",
        "Path: nothing\n",
    };
    struct world w;
    char fields[512];

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < COUNT_OF(paths); i++) {
        snprintf(fields, sizeof fields, CONTACT "Supported: path\n%s", paths[i]);
        enrol(&w, (struct enrolment){.cseq = i + 1, .fields = fields});
        assert_int_equal(world_status(&w, 0), 400);
    }
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void test_the_service_route_is_told_when_there_is_one(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1, .fields = CONTACT});
    assert_string_equal(world_header(&w, 0, "Service-Route"), "");
    w.settings.service_route = S("<sip:192.0.2.1;lr>");
    enrol(&w, (struct enrolment){.cseq = 2});
    assert_string_equal(world_header(&w, 0, "Service-Route"), "<sip:192.0.2.1;lr>");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_is_answered_and_leads_to_the_phone),
        cmocka_unit_test(test_path_survives_a_crash_of_the_binding_and_of_the_call),
        cmocka_unit_test(test_path_that_the_phone_does_not_know_of_is_420),
        cmocka_unit_test(test_a_demand_for_path_is_met_and_any_other_named),
        cmocka_unit_test(test_a_broken_path_is_refused),
        cmocka_unit_test(test_the_service_route_is_told_when_there_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
