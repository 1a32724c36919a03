/* Bindings by instance and reg-id (RFC 5626 6), and which Contacts are accepted at all. */
#include "enrol.h"
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define INSTANCE "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\""

static const char *flow_at(unsigned port, unsigned reg_id)
{
    static char fields[512];

    snprintf(fields, sizeof fields,
             "Contact: <sip:bob@198.51.100.2:%u>;" INSTANCE ";reg-id=%u\n"
             "Supported: path, outbound\n",
             port, reg_id);
    return fields;
}

static void test_a_flow_replaces_its_binding_whatever_the_contact(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1, .fields = flow_at(5060, 1)});
    assert_int_equal(world_status(&w, 0), 200);
    enrol(&w, (struct enrolment){.cseq = 1, .call_id = "after-boot", .fields = flow_at(6060, 1)});
    assert_int_equal(enrol_count(&w), 1);
    assert_non_null(strstr(world_header(&w, 0, "Contact"), "<sip:bob@198.51.100.2:6060>"));
    assert_non_null(strstr(world_header(&w, 0, "Contact"), INSTANCE ";reg-id=1"));
    enrol(&w, (struct enrolment){.cseq = 2, .call_id = "after-boot", .fields = flow_at(6060, 2)});
    assert_int_equal(enrol_count(&w), 2);
    world_restart(&w);
    enrol(&w, (struct enrolment){.cseq = 3, .call_id = "again", .fields = flow_at(7060, 2)});
    assert_int_equal(enrol_count(&w), 2);
    world_end(&w);
}

static void test_one_flow_of_an_instance_rings(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 1, .fields = flow_at(5060, 1)});
    world_wait(&w, SECONDS(5));
    enrol(&w, (struct enrolment){.cseq = 2, .fields = flow_at(6060, 2)});
    traffic_invite(&w, "inv", "");
    assert_int_equal(world_sent_count(&w), 2); /* 100 and one INVITE */
    assert_true(slice_starts(world_sent(&w, 1), S("INVITE sip:bob@198.51.100.2:6060 ")));
    world_end(&w);
}

static void test_reg_id_counts_only_with_outbound_and_instance(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){
                  .cseq = 1, .fields = "Contact: <sip:bob@198.51.100.2>;" INSTANCE ";reg-id=1\n"});
    assert_null(strstr(world_header(&w, 0, "Contact"), "reg-id"));
    enrol(&w, (struct enrolment){.cseq = 2,
                                 .fields = "Contact: <sip:bob@198.51.100.2>;reg-id=1\n"
                                           "Supported: outbound\n"});
    assert_null(strstr(world_header(&w, 0, "Contact"), "reg-id"));
    assert_int_equal(enrol_count(&w), 1);
    world_end(&w);
}

static void test_two_flows_in_one_register_are_refused(void **state)
{
    struct world w;

    (void)state;
    world_begin(&w, true);
    enrol(&w,
          (struct enrolment){.cseq = 1,
                             .fields = "Contact: <sip:bob@198.51.100.2>;" INSTANCE ";reg-id=1\n"
                                       "Contact: <sip:bob@198.51.100.3>\nSupported: outbound\n"});
    assert_int_equal(world_status(&w, 0), 400);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void test_a_first_hop_that_keeps_no_flows_is_439(void **state)
{
    struct world w;
    struct enrolment through = {.cseq = 1, .vias = "Via: SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKx\n"};

    (void)state;
    world_begin(&w, true);
    through.fields = flow_at(5060, 1);
    enrol(&w, through);
    assert_int_equal(world_status(&w, 0), 439);
    through.fields = "Contact: <sip:bob@198.51.100.2>;" INSTANCE ";reg-id=1\n"
                     "Path: <sip:edge@198.51.100.2;lr;ob>\nSupported: path, outbound\n";
    through.cseq = 2;
    enrol(&w, through);
    assert_int_equal(world_status(&w, 0), 200);
    assert_string_equal(world_header(&w, 0, "Require"), "outbound");
    world_end(&w);
}

static void test_a_contact_where_no_phone_can_be_is_refused(void **state)
{
    static const char *const hosts[] = {
        "127.0.0.1", "127.8.8.8:5070",     "[::1]",       "[::ffff:127.0.0.1]",
        "localhost", "224.0.1.75",         "[ff02::1]",   "255.255.255.255",
        "0.0.0.0",   "192.0.2.1",          "[::]",        "198.51.100.2;maddr=127.0.0.1",
        "240.0.0.1", "[::ffff:224.0.0.1]", "example.com", "198.51.100.2;maddr=192.0.2.1",
    };
    struct world w;
    char fields[256];

    (void)state;
    world_begin(&w, true);
    for (unsigned i = 0; i < COUNT_OF(hosts); i++) {
        snprintf(fields, sizeof fields, "Contact: <sip:bob@%s>\n", hosts[i]);
        enrol(&w, (struct enrolment){.cseq = i + 1, .fields = fields});
        assert_int_equal(world_status(&w, 0), 403);
    }
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

static void test_the_same_cseq_again_is_200_only_for_what_is_bound(void **state)
{
    struct world w;
    const char *bound = "Contact: <sip:bob@198.51.100.2>;q=0.5\n";

    (void)state;
    world_begin(&w, true);
    enrol(&w, (struct enrolment){.cseq = 7, .fields = bound});
    enrol(&w, (struct enrolment){.cseq = 7, .fields = bound});
    assert_int_equal(world_status(&w, 0), 200);
    enrol(&w, (struct enrolment){.cseq = 7, .fields = "Contact: <sip:bob@198.51.100.2>;q=0.7\n"});
    assert_int_equal(world_status(&w, 0), 500);
    enrol(&w,
          (struct enrolment){.cseq = 7, .fields = "Contact: <sip:bob@198.51.100.2>;expires=0\n"});
    assert_int_equal(world_status(&w, 0), 500);
    enrol(&w, (struct enrolment){.cseq = 7, .fields = "Contact: *\nExpires: 0\n"});
    assert_int_equal(world_status(&w, 0), 500);
    enrol(&w, (struct enrolment){.cseq = 6, .fields = bound});
    assert_int_equal(world_status(&w, 0), 500);
    assert_int_equal(core_census(w.core).bindings, 1);
    enrol(&w, (struct enrolment){.cseq = 8, .fields = "Contact: *\nExpires: 0\n"});
    assert_int_equal(world_status(&w, 0), 200);
    assert_int_equal(core_census(w.core).bindings, 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flow_replaces_its_binding_whatever_the_contact),
        cmocka_unit_test(test_one_flow_of_an_instance_rings),
        cmocka_unit_test(test_reg_id_counts_only_with_outbound_and_instance),
        cmocka_unit_test(test_two_flows_in_one_register_are_refused),
        cmocka_unit_test(test_a_first_hop_that_keeps_no_flows_is_439),
        cmocka_unit_test(test_a_contact_where_no_phone_can_be_is_refused),
        cmocka_unit_test(test_the_same_cseq_again_is_200_only_for_what_is_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
