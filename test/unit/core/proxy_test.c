/* The request path (RFC 3261 16.3 to 16.6): what is refused, and how, and what is forwarded. */
#include "talk.h"

#include "core/forward.h"

#include <stdio.h>

static struct world w;

/* bob has phone 2; anybody may call him. */
static int begin(void **state)
{
    (void)state;
    world_begin(&w, true);
    talk_phone(&w, 2, "");
    return 0;
}

/* A call to nobody's phone leaves nothing behind. */
static int end(void **state)
{
    (void)state;
    talk_end(&w);
    return 0;
}

/* The n-th message sent has this text in it. */
static bool sent_has(unsigned n, const char *text)
{
    struct slice sent = world_sent(&w, n);

    return memmem(sent.at, sent.len, text, strlen(text)) != NULL;
}

/* The Proxy-Authorization that the last 407 asks for. */
static const char *proof(const char *user, const char *secret, const char *method, const char *uri)
{
    static char text[1100];

    snprintf(
        text, sizeof text, "Proxy-Authorization: %s\n",
        world_credentials(world_header(&w, 0, "Proxy-Authenticate"), user, secret, method, uri, 1));
    return text;
}

#define ALICE "<sip:alice@example.com>;tag=alice"

/* alice proves herself and calls. */
static void alice_calls(const char *uri, const char *more)
{
    char fields[2048];

    SAY(&w, .host = 1, .from = ALICE, .uri = uri, .branch = "first");
    assert_sent(&w, "407>1");
    snprintf(fields, sizeof fields, "%s%s", proof("alice", "wonder", "INVITE", uri), more);
    SAY(&w, .host = 1, .from = ALICE, .uri = uri, .cseq = 2, .more = fields);
}

static void a_faulty_request_gets_the_status_it_deserves(void **state)
{
    static const struct {
        struct words words;
        const char *sent;
        const char *text; /* in the answer */
    } rows[] = {
        {{.uri = "sip:"}, "400>9", "400 Bad Request-URI"},
        {{.uri = "tel:+4930123"}, "416>9", "416 Unsupported URI Scheme"},
        {{.uri = "mailto:bob@example.com"}, "416>9", ""},
        {{.uri = "sip:bob@example.com?Subject=x"}, "400>9", "400 Headers In Request-URI"},
        {{.from = "<sip:carol@elsewhere.example;tag=1"}, "400>9", "400 Bad From"},
        {{.to = "<sip:bob@example.com"}, "400>9", "400 Bad To"},
        {{.more = "Max-Forwards: many\n"}, "400>9", "400 Bad Max-Forwards"},
        {{.more = "Max-Forwards: 256\n"}, "400>9", "400 Bad Max-Forwards"},
        {{.more = "Max-Forwards: 0\n"}, "483>9", "483 Too Many Hops"},
        {{.more = "Max-Breadth: wide\n"}, "400>9", "400 Bad Max-Breadth"},
        {{.method = "MESSAGE", .more = "Max-Breadth: 0\n"}, "440>9", "440 Max-Breadth Exceeded"},
        {{.more = "Proxy-Require: a, b\nProxy-Require: c\n"}, "420>9", "Unsupported: a, b, c\r\n"},
        {{.more = "Route: <sip:\n"}, "400>9", "400 Bad Route"},
        {{.more = "Route: <sip:192.0.2.1;lr>, <sip:192.0.2.1;lr>, <sip:192.0.2.1;lr>,"
                  " <sip:192.0.2.1;lr>, <sip:192.0.2.1;lr>\n"},
         "400>9",
         "400 Too Many Routes"},
        {{.more = "Route: <sip:198.51.100.77;lr>\n"}, "403>9", "403 Preloaded Route"},
        {{.more = "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.77;lr>\n"}, "403>9", ""},
        {{.to = "<sip:bob@example.com>;tag=forged"}, "481>9", ""},
        {{.method = "BYE", .to = "<sip:bob@example.com>;tag=forged"}, "481>9", ""},
        {{.uri = "sip:dave@other.example"}, "403>9", ""},
        {{.uri = "sip:bob@example.com:5999"}, "403>9", ""},
        {{.from = "<sip:mallory@example.com>;tag=m"}, "407>9", "Proxy-Authenticate: Digest"},
        {{.uri = "sip:nobody@example.com"}, "480>9", ""},
        {{.uri = "sip:alice@example.com"}, "480>9", ""},
        {{.method = "MESSAGE", .uri = "sip:nobody@example.com"}, "480>9", ""},
        {{.uri = "sip:example.com"}, "405>9", "Allow: OPTIONS, REGISTER"},
        {{.method = "DANCE", .uri = "sip:example.com"}, "501>9", ""},
        {{.method = "OPTIONS", .uri = "sip:example.com"}, "200>9", "Allow: INVITE, ACK"},
        {{.method = "OPTIONS", .uri = "sip:192.0.2.1", .more = "Max-Forwards: 0\n"}, "200>9", ""},
        {{.method = "OPTIONS", .uri = "sip:example.com", .more = "Require: magic\n"},
         "420>9",
         "Unsupported: magic\r\n"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct words words = rows[i].words;
        begin(state);
        words.host = 9;
        talk_say(&w, words);
        if (strcmp(talk_sent(&w), rows[i].sent) || !sent_has(0, rows[i].text))
            fail_msg("row %u: %s: %.*s", i, talk_sent(&w), (int)world_sent(&w, 0).len,
                     world_sent(&w, 0).at);
        words.method = "ACK"; /* is never answered (17.1.1.3), whatever is wrong with it */
        words.branch = "other";
        talk_say(&w, words);
        assert_sent(&w, "");
        end(state);
    }
}

static void our_users_are_found_under_all_their_names(void **state)
{
    static const char *const uris[] = {
        "sip:bob@example.com",       "sip:202@example.com",      "sip:bob@EXAMPLE.com",
        "sip:b%6fb@example.com",     "sip:bob@example.com:5060", "sip:bob@192.0.2.1",
        "sip:bob@[2001:DB8:0:0::1]", "sip:bob@pbx.example",      "sip:bob@example.com;user=phone",
    };
    static const struct slice names[] = {{"pbx.example", 11}};

    for (unsigned i = 0; i < COUNT_OF(uris); i++) {
        begin(state);
        w.settings.localnames = names;
        w.settings.localname_count = 1;
        SAY(&w, .host = 9, .uri = uris[i]);
        if (strcmp(talk_sent(&w), "100>9 INVITE>2"))
            fail_msg("%s: %s", uris[i], talk_sent(&w));
        assert_true(sent_has(1, "INVITE sip:bob@198.51.100.2:5060 SIP/2.0\r\n"));
        end(state);
    }
}

static void a_name_that_is_too_long_or_badly_escaped_is_nobodys(void **state)
{
    char uri[600];

    (void)state;
    snprintf(uri, sizeof uri, "sip:%0300u@example.com", 1u);
    SAY(&w, .host = 9, .uri = uri);
    assert_sent(&w, "480>9");
    SAY(&w, .host = 9, .uri = "sip:b%00b@example.com", .branch = "escaped");
    assert_true(world_status(&w, 0) >= 400);
}

static void strangers_are_refused_unless_the_server_is_public(void **state)
{
    (void)state;
    world_begin(&w, false);
    talk_phone(&w, 2, "");
    PLAY(&w, {"9 INVITE", "403>9"}, {"9 MESSAGE", "403>9"});
    SAY(&w, .host = 9, .method = "OPTIONS", .uri = "sip:example.com");
    assert_sent(&w, "200>9");
    end(state);
}

static void strangers_cannot_tell_who_is_unknown_from_who_is_away(void **state)
{
    char unknown[1024];
    struct slice sent;

    (void)state;
    SAY(&w, .host = 9, .uri = "sip:nobody@example.com", .branch = "same", .to = BOB);
    sent = world_sent(&w, 0);
    snprintf(unknown, sizeof unknown, "%.*s", (int)sent.len, sent.at);
    world_end(&w);
    begin(state);
    SAY(&w, .host = 9, .uri = "sip:alice@example.com", .branch = "same", .to = BOB);
    assert_slice(world_sent(&w, 0), unknown);
}

static void our_users_are_told_who_is_unknown(void **state)
{
    (void)state;
    alice_calls("sip:nobody@example.com", "");
    assert_sent(&w, "404>1");
}

static void a_refusal_of_an_invite_stays_the_same_for_its_copies(void **state)
{
    (void)state;
    SAY(&w, .host = 9, .uri = "sip:alice@example.com");
    assert_sent(&w, "480>9");
    world_register(&w, "alice", "wonder", 1, 5060, 3600);
    SAY(&w, .host = 9, .uri = "sip:alice@example.com");
    assert_sent(&w, "480>9");
    PLAY(&w, {"wait 510", ""}, {"9 ACK", ""}, {"wait 2000", ""});
}

static void a_user_cannot_call_in_the_name_of_another(void **state)
{
    (void)state;
    SAY(&w, .host = 1, .from = "<sip:bob@example.com>;tag=b", .branch = "first");
    assert_sent(&w, "407>1");
    SAY(&w, .host = 1, .from = "<sip:bob@example.com>;tag=b", .cseq = 2,
        .more = proof("alice", "wonder", "INVITE", "sip:bob@example.com"));
    assert_sent(&w, "403>1");
}

static void a_user_may_call_under_its_extension(void **state)
{
    (void)state;
    SAY(&w, .host = 1, .from = "<sip:201@example.com>;tag=b", .branch = "first");
    SAY(&w, .host = 1, .from = "<sip:201@example.com>;tag=b", .cseq = 2,
        .more = proof("alice", "wonder", "INVITE", "sip:bob@example.com"));
    assert_sent(&w, "100>1 INVITE>2");
}

static void our_challenge_is_not_shown_to_others_and_theirs_stays(void **state)
{
    (void)state;
    alice_calls("sip:bob@example.com",
                "Proxy-Authorization: Digest realm=\"other\", username=\"a\", nonce=\"n\", "
                "uri=\"sip:x\", response=\"0123456789abcdef0123456789abcdef\"\n");
    assert_sent(&w, "100>1 INVITE>2");
    assert_non_null(strstr(world_header(&w, 1, "Proxy-Authorization"), "realm=\"other\""));
    assert_false(sent_has(1, "realm=\"example.com\""));
}

static void our_users_reach_numeric_hosts_outside(void **state)
{
    (void)state;
    alice_calls("sip:dave@198.51.100.50:5070", "");
    assert_sent(&w, "100>1 INVITE>50");
    assert_int_equal(world_sent_to(&w, 1).port, 5070);
    assert_true(sent_has(1, "INVITE sip:dave@198.51.100.50:5070 SIP/2.0\r\n"));
    PLAY(&w, {"50 486", "486>1 ACK>50"});
}

/* RFC 5658: each side gets the name of ours that it can reach. */
static void a_call_that_changes_sides_records_both(void **state)
{
    struct message m;
    struct slice top, below;
    struct flow outside;

    (void)state;
    alice_calls("sip:dave@[2001:db8::5]", "");
    assert_int_equal(world_sent_count(&w), 2);
    assert_true(world_sent_to(&w, 1).is_v6);
    assert_int_equal(world_sent_to(&w, 1).socket, 1);
    assert_int_equal(world_sent_to(&w, 1).port, 5060);
    assert_false(message_parse(world_sent(&w, 1), &m).status);
    top = message_value(&m, m.first[HEADER_RECORD_ROUTE]);
    below = message_value(&m, m.fields[m.first[HEADER_RECORD_ROUTE]].next);
    assert_non_null(memmem(top.at, top.len, "@[2001:db8::1]:5060;lr>", 23));
    assert_non_null(memmem(below.at, below.len, "@192.0.2.1:5060;lr>", 19));
    assert_int_equal(m.fields[m.last[HEADER_RECORD_ROUTE]].next, 0);
    assert_true(sent_has(1, "Via: SIP/2.0/UDP [2001:db8::1]:5060;branch="));
    outside = world_sent_to(&w, 1);
    world_receive_by(&w, &outside,
                     "SIP/2.0 486 Busy\nVia: %.*s\nVia: %s\nFrom: " ALICE "\nTo: " BOB
                     ";tag=d\nCall-ID: call\nCSeq: 2 INVITE\nContent-Length: 0\n\n",
                     (int)message_first(&m, HEADER_VIA).len, message_first(&m, HEADER_VIA).at,
                     "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKinvite");
    assert_int_equal(world_status(&w, 0), 486);
}

static void a_family_that_we_have_no_address_of_is_refused(void **state)
{
    (void)state;
    w.settings.socket_count = 1;
    alice_calls("sip:dave@[2001:db8::5]", "");
    assert_sent(&w, "500>1");
}

static void a_dialog_whose_socket_went_with_a_restart_is_over(void **state)
{
    char route[1024];
    struct message m;
    struct slice below;

    (void)state;
    alice_calls("sip:dave@[2001:db8::5]", "");
    assert_false(message_parse(world_sent(&w, 1), &m).status);
    below = message_value(&m, m.last[HEADER_RECORD_ROUTE]);
    snprintf(route, sizeof route, "Route: %.*s\n", (int)below.len, below.at);
    w.settings.socket_count = 1;
    world_restart(&w);
    SAY(&w, .host = 1, .method = "BYE", .uri = "sip:dave@[2001:db8::5]", .from = ALICE,
        .to = "<sip:bob@example.com>;tag=d", .cseq = 3, .more = route);
    assert_sent(&w, "480>1");
}

/* The INVITE that phone 2 was sent comes back by `uri`, with more Via fields on top. */
static void send_back(const char *uri, const char *vias)
{
    struct message m;
    struct slice via;

    for (unsigned i = w.request_count; i-- > 0;)
        if (w.requests[i].to.address[3] == 2) {
            assert_false(message_parse(w.requests[i].bytes, &m).status);
            break;
        }
    via = message_first(&m, HEADER_VIA);
    world_receive(&w, 2, 5060,
                  "INVITE %s SIP/2.0\n%sVia: SIP/2.0/UDP 198.51.100.2:5060;branch=z9hG4bKback,"
                  " %.*s\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKinvite\n"
                  "Max-Forwards: 68\nFrom: " CAROL "\nTo: " BOB "\nCall-ID: call\nCSeq: 1 INVITE\n"
                  "Content-Length: 0\n\n",
                  uri, vias, (int)via.len, via.at);
}

/* 16.3 step 4 */
static void a_request_that_comes_back_unchanged_is_a_loop(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    send_back("sip:bob@example.com", "");
    assert_sent(&w, "482>2");
    assert_true(sent_has(0, "SIP/2.0 482 "));
}

static void a_request_that_comes_back_for_another_is_a_spiral_and_passes(void **state)
{
    (void)state;
    world_register(&w, "alice", "wonder", 1, 5060, 3600);
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    send_back("sip:alice@example.com", "");
    assert_sent(&w, "100>2 INVITE>1");
}

static void more_vias_than_hops_are_allowed_are_too_many(void **state)
{
    char vias[82 * 32] = "Via: ";

    (void)state;
    for (unsigned i = 0; i < 79; i++)
        snprintf(vias + strlen(vias), sizeof vias - strlen(vias), "%sSIP/2.0/UDP h%u", i ? "," : "",
                 i);
    strcat(vias, "\n");
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    send_back("sip:alice@example.com", vias);
    assert_int_equal(world_status(&w, 0), 483);
}

/* 8.2.2.2 */
static void the_same_request_by_another_path_is_merged(void **state)
{
    (void)state;
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    SAY(&w, .host = 8, .branch = "elsewhere");
    assert_sent(&w, "482>8");
    assert_true(sent_has(0, "482 Request Merged"));
    SAY(&w, .host = 8, .branch = "forked", .uri = "sip:202@example.com");
    assert_sent(&w, "100>8 INVITE>2"); /* a fork upstream of us is none */
    PLAY(&w, {"2 486", "486>8 ACK>2"});
}

static void parts_of_any_length_tell_merged_requests_apart(void **state)
{
    char call[700];

    (void)state;
    snprintf(call, sizeof call, "%0600u", 1u);
    SAY(&w, .host = 9, .call_id = call);
    assert_sent(&w, "100>9 INVITE>2");
    SAY(&w, .host = 8, .call_id = call, .branch = "elsewhere");
    assert_sent(&w, "482>8");
    call[0] = '2';
    SAY(&w, .host = 8, .call_id = call, .branch = "another");
    assert_sent(&w, "100>8 INVITE>2");
}

/* 17.2.3: before RFC 3261 a branch meant nothing. */
static void a_request_without_the_magic_cookie_is_known_by_its_fields(void **state)
{
    static const char format[] =
        "INVITE sip:bob@example.com SIP/2.0\n"
        "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=1\nMax-Forwards: 70\nFrom: " CAROL "\nTo: " BOB
        "\nCall-ID: %s\nCSeq: %u INVITE\nContent-Length: 0\n\n";

    (void)state;
    world_receive(&w, 9, 5060, format, "old", 1);
    assert_sent(&w, "100>9 INVITE>2");
    world_receive(&w, 9, 5060, format, "old", 1);
    assert_sent(&w, "100>9");
    world_receive(&w, 9, 5060, format, "old", 2);
    assert_sent(&w, "100>9 INVITE>2");
    world_receive(&w, 9, 5060, format, "older", 1);
    assert_sent(&w, "100>9 INVITE>2");
}

/* 18.2.2, RFC 3581 */
static void responses_go_where_the_via_says(void **state)
{
    static const struct {
        const char *via;
        unsigned port;
        const char *answered;
    } rows[] = {
        {"198.51.100.9:5080;branch=z9hG4bK1", 5080, "198.51.100.9:5080;branch=z9hG4bK1"},
        {"198.51.100.9;branch=z9hG4bK1", 5060, "198.51.100.9;branch=z9hG4bK1"},
        {"10.0.0.1;branch=z9hG4bK1", 5060, "10.0.0.1;branch=z9hG4bK1;received=198.51.100.9"},
        {"phone.example:5080;branch=z9hG4bK1", 5080,
         "phone.example:5080;branch=z9hG4bK1;received=198.51.100.9"},
        {"198.51.100.9;rport;branch=z9hG4bK1", 40000,
         "198.51.100.9;rport=40000;branch=z9hG4bK1;received=198.51.100.9"},
        {"10.0.0.1;rport;branch=z9hG4bK1;received=192.0.2.66", 40000,
         "10.0.0.1;rport=40000;branch=z9hG4bK1;received=198.51.100.9"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        world_receive(&w, 9, 40000,
                      "OPTIONS sip:example.com SIP/2.0\nVia: SIP/2.0/UDP %s\nMax-Forwards: 70\n"
                      "From: " CAROL "\nTo: " BOB "\nCall-ID: c\nCSeq: 1 OPTIONS\n"
                      "Content-Length: 0\n\n",
                      rows[i].via);
        assert_sent(&w, "200>9");
        assert_int_equal(world_sent_to(&w, 0).port, rows[i].port);
        assert_string_equal(world_header(&w, 0, "Via") + strlen("SIP/2.0/UDP "), rows[i].answered);
    }
}

/* 25.1, RFC 5118 4.5: here an IPv6 address has no brackets. */
static void an_ipv6_source_is_named_without_brackets(void **state)
{
    struct flow flow = {.transport = TRANSPORT_UDP,
                        .is_v6 = true,
                        .port = 40000,
                        .socket = 1,
                        .address = {0x20, 0x01, 0x0d, 0xb8, [15] = 9}};

    (void)state;
    world_receive_by(&w, &flow,
                     "OPTIONS sip:example.com SIP/2.0\n"
                     "Via: SIP/2.0/UDP [::1];rport;branch=z9hG4bK1\nMax-Forwards: 70\n"
                     "From: " CAROL "\nTo: " BOB "\nCall-ID: c\nCSeq: 1 OPTIONS\n"
                     "Content-Length: 0\n\n");
    assert_int_equal(world_status(&w, 0), 200);
    assert_string_equal(world_header(&w, 0, "Via"), "SIP/2.0/UDP [::1];rport=40000;"
                                                    "branch=z9hG4bK1;received=2001:db8::9");
}

static void a_copy_of_a_stateless_request_gets_the_same_answer(void **state)
{
    char first[1024];

    (void)state;
    SAY(&w, .host = 9, .method = "OPTIONS", .uri = "sip:example.com", .branch = "1");
    snprintf(first, sizeof first, "%s", world_header(&w, 0, "To"));
    assert_non_null(strstr(first, ";tag="));
    SAY(&w, .host = 9, .method = "OPTIONS", .uri = "sip:example.com", .branch = "1");
    assert_string_equal(world_header(&w, 0, "To"), first);
    SAY(&w, .host = 9, .method = "OPTIONS", .uri = "sip:example.com", .branch = "2");
    assert_string_not_equal(world_header(&w, 0, "To"), first);
}

static void old_requests_that_share_a_via_get_answers_of_their_own(void **state)
{
    char first[1024];

    (void)state;
    for (unsigned call = 1; call <= 2; call++) {
        world_receive(&w, 9, 5060,
                      "OPTIONS sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.9\n"
                      "From: " CAROL "\nTo: " BOB "\nCall-ID: %u\nCSeq: 1 OPTIONS\n\n",
                      call);
        assert_sent(&w, "200>9");
        if (call == 1)
            snprintf(first, sizeof first, "%s", world_header(&w, 0, "To"));
    }
    assert_string_not_equal(world_header(&w, 0, "To"), first);
}

static void what_is_no_request_is_dropped_and_what_is_half_one_refused(void **state)
{
    static const struct {
        const char *text, *sent;
    } rows[] = {
        {"\n\n", ""},
        {"hello\n\n", ""},
        {"SIP/2.0 99 Low\nVia: SIP/2.0/UDP h\n\n", ""},
        {"OPTIONS sip:example.com SIP/2.0\nFrom: " CAROL "\nTo: " BOB "\nCall-ID: c\n"
         "CSeq: 1 OPTIONS\n\n",
         ""},
        {"OPTIONS sip:example.com SIP/2.0\nVia: nonsense\nFrom: " CAROL "\nTo: " BOB
         "\nCall-ID: c\nCSeq: 1 OPTIONS\n\n",
         "400>9"},
        {"OPTIONS sip:example.com SIP/2.0\nVia: SIP/2.0/UDP h\nFrom: " CAROL "\nTo: " BOB
         "\nCall-ID: c\nCSeq: many OPTIONS\n\n",
         "400>9"},
        {"OPTIONS sip:example.com SIP/3.0\nVia: SIP/2.0/UDP h\nFrom: " CAROL "\nTo: " BOB
         "\nCall-ID: c\nCSeq: 1 OPTIONS\n\n",
         "505>9"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        world_receive(&w, 9, 5060, "%s", rows[i].text);
        if (strcmp(talk_sent(&w), rows[i].sent))
            fail_msg("row %u: %s", i, talk_sent(&w));
    }
}

/* However many fields there are, the edits of one forwarding have a limit. */
static void empty_routes_do_no_harm(void **state)
{
    char routes[2048] = "";

    (void)state;
    for (unsigned i = 0; i < 60; i++)
        strcat(routes, "Route: \n");
    strcat(routes, "Route: <sip:192.0.2.1;lr>\n");
    SAY(&w, .host = 9, .more = routes);
    assert_sent(&w, "100>9 INVITE>2");
}

/* What was forwarded is read again, for its ACK and CANCEL: it must leave room for what is added.
 */
static void a_request_with_many_fields_is_cancelled_like_any_or_refused(void **state)
{
    unsigned refused = 0;

    for (unsigned count = 230; count <= MESSAGE_FIELDS; count++) {
        char fields[2048] = "";
        for (unsigned i = 8; i < count; i++) /* Via to Content-Length are eight */
            strcat(fields, "X: y\n");
        begin(state);
        SAY(&w, .host = 9, .more = fields);
        if (world_status(&w, 0) == 513) {
            refused++;
        } else {
            assert_sent(&w, "100>9 INVITE>2");
            PLAY(&w, {"2 180", "180>9"}, {"9 CANCEL", "CANCEL>2 200>9"}, {"2 487", "487>9 ACK>2"});
        }
        end(state);
    }
    assert_int_equal(refused, FORWARD_FIELDS);
}

static void max_forwards_falls_by_one_and_is_added_where_it_lacks(void **state)
{
    static const struct {
        const char *line, *sent;
    } rows[] = {{"Max-Forwards: 1\n", "0"}, {"Max-Forwards: 255\n", "254"}, {"", "70"}};

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        begin(state);
        world_receive(&w, 9, 5060,
                      "INVITE sip:bob@example.com SIP/2.0\n"
                      "Via: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bK1\n%sFrom: " CAROL "\nTo: " BOB
                      "\nCall-ID: c\nCSeq: 1 INVITE\nContent-Length: 0\n\n",
                      rows[i].line);
        assert_sent(&w, "100>9 INVITE>2");
        assert_string_equal(world_header(&w, 1, "Max-Forwards"), rows[i].sent);
        end(state);
    }
}

/* Admission: before anything is spent. */
static void without_room_requests_are_put_off(void **state)
{
    struct limits limits = world_limits;

    (void)state;
    limits.contexts = 1;
    world_begin_within(&w, true, &limits);
    talk_phone(&w, 2, "");
    PLAY(&w, {"9 INVITE", "100>9 INVITE>2"});
    SAY(&w, .host = 8, .call_id = "other", .branch = "other");
    assert_sent(&w, "503>8");
    assert_string_equal(world_header(&w, 0, "Retry-After"), "5");
    PLAY(&w, {"8 MESSAGE", "503>8"});
    SAY(&w, .host = 8, .call_id = "other", .branch = "nobody", .uri = "sip:nobody@example.com");
    assert_sent(&w, "480>8"); /* without a transaction, but answered */
    PLAY(&w, {"2 486", "486>9 ACK>2"}, {"8 MESSAGE", "MESSAGE>2"}, {"2 200 MESSAGE", "200>8"});
    end(state);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(cmocka_unit_test(a_faulty_request_gets_the_status_it_deserves),
        cmocka_unit_test(our_users_are_found_under_all_their_names),
        WITH(a_name_that_is_too_long_or_badly_escaped_is_nobodys),
        cmocka_unit_test(strangers_are_refused_unless_the_server_is_public),
        WITH(strangers_cannot_tell_who_is_unknown_from_who_is_away),
        WITH(our_users_are_told_who_is_unknown),
        WITH(a_refusal_of_an_invite_stays_the_same_for_its_copies),
        WITH(a_user_cannot_call_in_the_name_of_another), WITH(a_user_may_call_under_its_extension),
        WITH(our_challenge_is_not_shown_to_others_and_theirs_stays),
        WITH(our_users_reach_numeric_hosts_outside), WITH(a_call_that_changes_sides_records_both),
        WITH(a_family_that_we_have_no_address_of_is_refused),
        WITH(a_dialog_whose_socket_went_with_a_restart_is_over),
        WITH(a_request_that_comes_back_unchanged_is_a_loop),
        WITH(a_request_that_comes_back_for_another_is_a_spiral_and_passes),
        WITH(more_vias_than_hops_are_allowed_are_too_many),
        WITH(the_same_request_by_another_path_is_merged),
        WITH(parts_of_any_length_tell_merged_requests_apart),
        WITH(a_request_without_the_magic_cookie_is_known_by_its_fields),
        WITH(responses_go_where_the_via_says), WITH(an_ipv6_source_is_named_without_brackets),
        WITH(a_copy_of_a_stateless_request_gets_the_same_answer),
        WITH(old_requests_that_share_a_via_get_answers_of_their_own),
        WITH(what_is_no_request_is_dropped_and_what_is_half_one_refused),
        WITH(empty_routes_do_no_harm),
        cmocka_unit_test(a_request_with_many_fields_is_cancelled_like_any_or_refused),
        cmocka_unit_test(max_forwards_falls_by_one_and_is_added_where_it_lacks),
        cmocka_unit_test(without_room_requests_are_put_off));
}
