#include "unit.h"

#include "sip/upgrade.h"

#define START "GET / HTTP/1.1\r\n"
#define FIELDS                                                                                     \
    "Host: sip.example.com:5066\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                 \
    "Sec-WebSocket-Protocol: sip\r\n"
#define ORIGIN "Origin: https://www.example.com\r\n"

static struct upgrade_event read_all(struct slice request, struct upgrade *upgrade)
{
    size_t scanned = 0;

    return upgrade_read(request, &scanned, upgrade);
}

static void assert_refused(const char *request, unsigned status)
{
    struct upgrade upgrade;
    struct upgrade_event event = read_all(slice_text(request), &upgrade);

    assert_int_equal(event.kind, UPGRADE_REFUSED);
    assert_int_equal(event.status, status);
    assert_non_null(event.why);
}

static void a_browser_that_asks_for_sip_is_let_in(void **state)
{
    struct slice request = S(START FIELDS ORIGIN "\r\n");
    struct upgrade upgrade;
    struct upgrade_event event = read_all(request, &upgrade);

    (void)state;
    assert_int_equal(event.kind, UPGRADE_ASKED);
    assert_int_equal(event.len, request.len);
    assert_true(slice_equal(upgrade.key, S("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_true(slice_equal(upgrade.origin, S("https://www.example.com")));
    event = read_all(S(START FIELDS "\r\n\x81"), &upgrade);
    assert_int_equal(event.kind, UPGRADE_ASKED);
    assert_int_equal(event.len, sizeof(START FIELDS "\r\n") - 1);
    assert_null(upgrade.origin.at);
}

static void other_spellings_are_the_same(void **state)
{
    static const char *const good[] = {
        "GET /ws HTTP/1.1\r\n" FIELDS "\r\n",
        "GET /?token=1 HTTP/1.1\r\n" FIELDS "\r\n",
        "GET / HTTP/1.1\r\nHOST:a\r\nupgrade:WebSocket\r\nCONNECTION:upgrade\r\n"
        "sec-websocket-key:AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13 \r\n"
        "sec-websocket-protocol: other, sip\r\nSec-WebSocket-Protocol: third\r\n\r\n",
        START FIELDS "Content-Length: 0\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    };
    struct upgrade upgrade;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(read_all(slice_text(good[i]), &upgrade).kind, UPGRADE_ASKED);
}

static void it_may_come_in_pieces(void **state)
{
    struct slice request = S(START FIELDS ORIGIN "\r\n");
    struct upgrade upgrade;
    size_t scanned = 0;

    (void)state;
    for (size_t len = 0; len < request.len; len++)
        assert_int_equal(upgrade_read(slice_until(request, len), &scanned, &upgrade).kind,
                         UPGRADE_NONE);
    assert_int_equal(upgrade_read(request, &scanned, &upgrade).kind, UPGRADE_ASKED);
}

static void what_is_no_handshake_is_refused_and_told_why(void **state)
{
    static const struct {
        const char *request;
        unsigned status;
    } bad[] = {
        {"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\n\r\n", 400},
        {"\r\n\r\n", 400},
        {"GET\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 400},
        {"GET / HTTP/1.0\r\n" FIELDS "\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n" FIELDS "\r\n", 400},
        {"POST / HTTP/1.1\r\n" FIELDS "\r\n", 405},
        {"GET /admin HTTP/1.1\r\n" FIELDS "\r\n", 404},
        {START "Host: a\r\n\r\n", 426},
        {START "Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 426},
        {START "Host: a\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n", 426},
        {START "Upgrade: websocket\r\n\r\n", 400},
        {START "Host: a\r\nHost: b\r\n\r\n", 400},
        {START "Host : a\r\n\r\n", 400},
        {START "Host: a\r\n folded\r\n\r\n", 400},
        {START "Host: a\r\nno colon\r\n\r\n", 400},
        {START "Host: a\x01\r\n\r\n", 400},
        {START "Host: a\n\r\r\n\r\n", 400},
        {START FIELDS "Content-Length: 5\r\n\r\nhello", 400},
        {START FIELDS "Transfer-Encoding: chunked\r\n\r\n", 400},
        {START FIELDS "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        assert_refused(bad[i].request, bad[i].status);
}

static void the_fields_of_a_websocket_are_checked(void **state)
{
#define UPGRADE_ONLY START "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: "
#define SIP_13 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    (void)state;
    assert_refused(UPGRADE_ONLY KEY
                   "dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
                   426);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                    "Sec-WebSocket-Protocol: sip\r\n\r\n",
                   426);
    assert_refused(UPGRADE_ONLY SIP_13, 400);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBsZSBub25jZQ=\r\n" SIP_13, 400);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBsZSBub25jZR==\r\n" SIP_13, 400);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBsZSBub25jZQ=A\r\n" SIP_13, 400);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBs-SBub25jZQ==\r\n" SIP_13, 400);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                   400);
    assert_refused(UPGRADE_ONLY KEY "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Protocol: chat, sips\r\n\r\n",
                   400);
}

static void a_request_without_an_end_is_refused(void **state)
{
    static char request[UPGRADE_HEAD_LIMIT + 64];
    struct upgrade upgrade;

    (void)state;
    memset(request, 'a', sizeof request);
    memcpy(request, START "x: ", sizeof(START "x: ") - 1);
    assert_int_equal(read_all(slice_of(request, UPGRADE_HEAD_LIMIT - 1), &upgrade).kind,
                     UPGRADE_NONE);
    assert_int_equal(read_all(slice_of(request, UPGRADE_HEAD_LIMIT), &upgrade).status, 431);
    memcpy(request + UPGRADE_HEAD_LIMIT, "\r\n\r\n", 4);
    assert_int_equal(read_all(slice_of(request, sizeof request), &upgrade).status, 431);
}

static void the_answer_proves_that_the_key_was_read(void **state)
{
    /* RFC 6455 1.3 */
    static const uint8_t sum[20] = {0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6,
                                    0x46, 0x06, 0xcf, 0x38, 0x59, 0x45, 0xb2, 0xbe, 0xc4, 0xea};
    char answer[UPGRADE_ANSWER_LIMIT], to_sign[UPGRADE_SIGNED + 1] = {0};
    struct writer w = writer_over(answer, sizeof answer - 1);
    struct upgrade upgrade;

    (void)state;
    read_all(S(START FIELDS "\r\n"), &upgrade);
    upgrade_write_signed(to_sign, &upgrade);
    assert_string_equal(to_sign, "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    upgrade_write_answer(&w, sum);
    write_char(&w, 0);
    assert_non_null(strstr(answer, "HTTP/1.1 101 "));
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Protocol: sip\r\n"));
}

static void a_refusal_says_what_would_be_right(void **state)
{
    char answer[UPGRADE_ANSWER_LIMIT];
    struct writer w = writer_over(answer, sizeof answer - 1);

    (void)state;
    upgrade_write_refusal(&w, 426, "Come by WebSocket.");
    write_char(&w, 0);
    assert_non_null(strstr(answer, "HTTP/1.1 426 Upgrade Required\r\n"));
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Length: 19\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nCome by WebSocket.\n"));
    w = writer_over(answer, sizeof answer - 1);
    upgrade_write_refusal(&w, 405, "Only GET.");
    write_char(&w, 0);
    assert_non_null(strstr(answer, "\r\nAllow: GET\r\n"));
}

static void an_origin_has_a_host(void **state)
{
    (void)state;
    assert_true(slice_equal(upgrade_origin_host(S("https://a.example:8443")), S("a.example")));
    assert_true(slice_equal(upgrade_origin_host(S("http://localhost")), S("localhost")));
    assert_true(slice_equal(upgrade_origin_host(S("http://[::1]:80")), S("[::1]")));
    assert_int_equal(upgrade_origin_host(S("null")).len, 0);
    assert_int_equal(upgrade_origin_host(S("")).len, 0);
    assert_int_equal(upgrade_origin_host(S("https:/a")).len, 0);
    assert_int_equal(upgrade_origin_host(S("http://[::1")).len, 0);
}

int main(void)
{
    RUN(cmocka_unit_test(a_browser_that_asks_for_sip_is_let_in),
        cmocka_unit_test(other_spellings_are_the_same), cmocka_unit_test(it_may_come_in_pieces),
        cmocka_unit_test(what_is_no_handshake_is_refused_and_told_why),
        cmocka_unit_test(the_fields_of_a_websocket_are_checked),
        cmocka_unit_test(a_request_without_an_end_is_refused),
        cmocka_unit_test(the_answer_proves_that_the_key_was_read),
        cmocka_unit_test(a_refusal_says_what_would_be_right),
        cmocka_unit_test(an_origin_has_a_host));
}
