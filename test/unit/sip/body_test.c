#include "unit.h"

#include "sip/body.h"

#include <stdio.h>

#define REQUEST                                                                                    \
    "INVITE sip:bob@example.com SIP/2.0\r\n"                                                       \
    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"                                               \
    "From: <sip:alice@example.org>;tag=1\r\n"                                                      \
    "To: <sip:bob@example.com>\r\n"                                                                \
    "Call-ID: 1\r\n"                                                                               \
    "CSeq: 1 INVITE\r\n"                                                                           \
    "Max-Forwards: 70\r\n"

#define MIXED REQUEST "Content-Type: multipart/mixed;boundary=\"b 1\"\r\n\r\n"
#define PART "--b 1\r\n"
#define END "--b 1--\r\n"

static enum body find(const char *text, struct slice *sdp)
{
    static struct message m;
    struct fault fault = message_parse(slice_text(text), &m);

    if (fault.status)
        fail_msg("%s", fault.reason);
    *sdp = NO_SLICE;
    return body_find_sdp(&m, sdp);
}

static void expect(const char *text, const char *wanted)
{
    struct slice sdp;

    if (find(text, &sdp) != BODY_SDP)
        fail_msg("not found: %s", text);
    assert_slice(sdp, wanted);
}

static void expect_none(enum body kind, const char *text)
{
    struct slice sdp;

    if (find(text, &sdp) != kind)
        fail_msg("taken for another: %s", text);
}

static void a_description_may_be_all_of_the_body(void **state)
{
    (void)state;
    expect(REQUEST "Content-Type: application/sdp\r\n\r\nv=0\r\n", "v=0\r\n");
    expect(REQUEST "c: Application/SDP ; charset=utf-8\r\n\r\nv=0\r\n", "v=0\r\n");
    expect(REQUEST "c: application/sdp\r\nContent-Encoding: identity\r\n\r\nv=0\r\n", "v=0\r\n");
}

static void a_description_may_be_a_part(void **state)
{
    (void)state;
    expect(MIXED PART "Content-Type: application/sdp\r\n\r\nv=0\r\n\r\n" END, "v=0\r\n");
    expect(MIXED "preamble\r\n" PART "\r\nhello\r\n--b 1 \t\r\nContent-Disposition: session\r\n"
                 "Content-Type:\r\n application/sdp\r\nContent-Transfer-Encoding: binary\r\n\r\n"
                 "v=0\r\n--b 12\r\n" END "epilogue",
           "v=0\r\n--b 12");
    expect(REQUEST "c: multipart/mixed;boundary=x\r\n\r\n--x\nContent-Type: application/sdp\n\n"
                   "v=0\n\n--x--",
           "v=0\n");
}

static void other_bodies_have_none(void **state)
{
    (void)state;
    expect_none(BODY_WITHOUT_SDP, REQUEST "\r\n");
    expect_none(BODY_WITHOUT_SDP, MIXED "");
    expect_none(BODY_WITHOUT_SDP, REQUEST "Content-Type: text/plain\r\n\r\nv=0\r\n");
    expect_none(BODY_WITHOUT_SDP, MIXED PART "\r\nv=0\r\n" END);
    expect_none(BODY_WITHOUT_SDP, MIXED PART "Content-Type: text/plain\r\n\r\nv=0\r\n" END);
}

static void what_belongs_to_others_is_opaque(void **state)
{
    static const char *const types[] = {
        "multipart/signed;boundary=b",
        "multipart/alternative;boundary=b",
        "multipart/related;boundary=b",
        "application/pkcs7-mime;smime-type=enveloped-data",
        "application/pkcs7-signature",
        "sdp",
        "multipart/mixed",
        "multipart/mixed;boundary=\"\"",
        "multipart/encrypted;boundary=b",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(types); i++) {
        char text[1024];
        snprintf(text, sizeof text, REQUEST "Content-Type: %s\r\n\r\n--b\r\n\r\n--b--\r\n",
                 types[i]);
        expect_none(BODY_OPAQUE, text);
    }
    expect_none(BODY_OPAQUE, REQUEST "\r\nv=0\r\n");
    expect_none(BODY_OPAQUE,
                REQUEST "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n\r\nv=0\r\n");
    expect_none(BODY_OPAQUE, REQUEST "Content-Type: application/sdp\r\ne: gzip\r\n\r\nv=0\r\n");
}

static void parts_that_leave_doubt_are_opaque(void **state)
{
    (void)state;
    expect_none(BODY_OPAQUE, MIXED "v=0\r\n");
    expect_none(BODY_OPAQUE, MIXED PART "Content-Type: application/sdp\r\n\r\nv=0\r\n");
    expect_none(BODY_OPAQUE, MIXED PART "Content-Type: application/sdp\r\n\r\nv=0\r\n" PART
                                        "Content-Type: application/sdp\r\n\r\nv=0\r\n" END);
    expect_none(BODY_OPAQUE, MIXED PART "Content-Type: application/sdp\r\n"
                                        "Content-Type: text/plain\r\n\r\nv=0\r\n" END);
    expect_none(BODY_OPAQUE, MIXED PART "Content-Type: application/sdp\r\n"
                                        "Content-Transfer-Encoding: base64\r\n\r\ndj0w\r\n" END);
    expect_none(BODY_OPAQUE, MIXED PART "Content-Type: application/sdp\r\n"
                                        "Content-Encoding: gzip\r\n\r\nv=0\r\n" END);
    expect_none(BODY_OPAQUE, MIXED PART "Content-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\n"
                                        "\r\n--c--\r\n" END);
    expect_none(BODY_OPAQUE,
                MIXED PART "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART
                           "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART
                           "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" PART "\r\n" END);
}

int main(void)
{
    RUN(cmocka_unit_test(a_description_may_be_all_of_the_body),
        cmocka_unit_test(a_description_may_be_a_part), cmocka_unit_test(other_bodies_have_none),
        cmocka_unit_test(what_belongs_to_others_is_opaque),
        cmocka_unit_test(parts_that_leave_doubt_are_opaque));
}
