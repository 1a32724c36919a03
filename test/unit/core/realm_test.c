/* Who proves to be one of ours, and who does not (RFC 3261 22, RFC 7616): a REGISTER that asks for
 * nothing is answered 200 or challenged. */
#include "talk.h"

#include <stdio.h>

static struct world w;

/* What a peer puts into its credentials; what is left out is right. */
struct claim {
    unsigned host, port;
    const char *user, *secret, *realm, *nonce, *uri, *request_uri, *method, *cnonce, *nc, *qop;
    const char *shown_user; /* the user as written */
    enum algorithm algorithm;
    const char *algorithm_text;
    const char *field; /* Authorization */
    const char *more;  /* fields before it */
    unsigned cseq;
    bool has_blank_ha1; /* what stands for the digest of a user that is not there */
};

static char nonce[128];

/* A value of a challenge's parameter, without quotes. */
static void read_param(const char *challenge, const char *name, char *out, size_t limit)
{
    const char *at = strstr(challenge, name);

    assert_non_null(at);
    at += strlen(name);
    snprintf(out, limit, "%.*s", (int)strcspn(at, "\","), at + (*at == '"'));
}

static void ask(unsigned host, const char *more)
{
    static unsigned asked;

    world_receive(&w, host, 5060,
                  "REGISTER sip:example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bKask%u;rport\n"
                  "Max-Forwards: 70\nFrom: <sip:bob@example.com>;tag=r\n"
                  "To: <sip:bob@example.com>\nCall-ID: ask\nCSeq: 1 REGISTER\n%s"
                  "Content-Length: 0\n\n",
                  host, ++asked, more);
    assert_int_equal(world_status(&w, 0), 401);
}

static void get_nonce(unsigned host)
{
    ask(host, "");
    read_param(world_header(&w, 0, "WWW-Authenticate"), "nonce=\"", nonce, sizeof nonce);
}

static int begin(void **state)
{
    (void)state;
    world_begin(&w, false);
    get_nonce(2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end(&w);
    return 0;
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* The Authorization that a claim makes. */
static void write_claim(const struct claim *c, char *out, size_t limit)
{
    const char *qop = text_or(c->qop, "auth");
    bool has_qop = *qop;
    char hex[2 * DIGEST_LIMIT + 1] = "", name[64] = "", use[256] = "";
    uint8_t ha1[DIGEST_LIMIT];
    struct credentials said = {
        .realm = slice_text(text_or(c->realm, "example.com")),
        .nonce = slice_text(text_or(c->nonce, nonce)),
        .uri = slice_text(text_or(c->uri, text_or(c->request_uri, "sip:example.com"))),
        .cnonce = slice_text(text_or(c->cnonce, "c")),
        .qop = has_qop ? slice_text(qop) : NO_SLICE,
        .algorithm = c->algorithm,
        .nc_text = slice_text(text_or(c->nc, "00000001")),
    };

    digest_ha1(&world_digests, c->algorithm, slice_text(text_or(c->user, "bob")), said.realm,
               slice_text(text_or(c->secret, "builder")), ha1);
    if (c->has_blank_ha1)
        memset(ha1, 0, sizeof ha1);
    digest_response(&world_digests, &said, ha1, slice_text(text_or(c->method, "REGISTER")),
                    NO_SLICE, hex);
    hex[2 * digest_size(c->algorithm)] = 0;
    if (c->algorithm_text || c->algorithm)
        snprintf(name, sizeof name, ", algorithm=%s",
                 text_or(c->algorithm_text, algorithm_name(c->algorithm).at));
    if (has_qop)
        snprintf(use, sizeof use, ", qop=%s%s%s%s%s", qop, *said.nc_text.at ? ", nc=" : "",
                 said.nc_text.at, *said.cnonce.at ? ", cnonce=\"" : "", said.cnonce.at);
    if (has_qop && *said.cnonce.at)
        strcat(use, "\"");
    snprintf(out, limit,
             "%s: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
             "response=\"%s\"%s%s\n",
             text_or(c->field, "Authorization"), text_or(c->shown_user, text_or(c->user, "bob")),
             said.realm.at, said.nonce.at, said.uri.at, hex, name, use);
}

/* "200", "401" or "401 stale". */
static const char *verdict(struct claim c)
{
    char authorization[1600];
    unsigned host = c.host ? c.host : 2;
    static char text[32];
    unsigned cseq = c.cseq ? c.cseq : 2;

    write_claim(&c, authorization, sizeof authorization);
    world_receive(&w, host, c.port ? c.port : 5060,
                  "REGISTER %s SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bK%u;rport\n"
                  "Max-Forwards: 70\nFrom: <sip:bob@example.com>;tag=r\n"
                  "To: <sip:bob@example.com>\nCall-ID: call\nCSeq: %u REGISTER\n%s%s"
                  "Content-Length: 0\n\n",
                  text_or(c.request_uri, "sip:example.com"), host, cseq, cseq, text_or(c.more, ""),
                  authorization);
    snprintf(text, sizeof text, "%u%s", world_status(&w, 0),
             strstr(world_header(&w, 0, "WWW-Authenticate"), "stale=true") ? " stale" : "");
    return text;
}

#define VERDICT(...) verdict((struct claim){__VA_ARGS__})
#define assert_verdict(wanted, ...) assert_string_equal(VERDICT(__VA_ARGS__), wanted)

static void proof_is_the_right_digest_of_the_right_request(void **state)
{
    static const struct {
        struct claim claim;
        const char *verdict;
    } rows[] = {
        {{.user = "bob"}, "200"},
        {{.algorithm = ALGORITHM_SHA256}, "200"},
        {{.algorithm_text = "MD5"}, "200"},
        {{.algorithm_text = "md5"}, "200"},
        {{.qop = ""}, "200"},
        {{.qop = "auth-int"}, "200"},
        {{.shown_user = "b\\ob"}, "200"},
        {{.port = 9999}, "200"}, /* NATs change ports */
        {{.uri = "sip:EXAMPLE.com"}, "200"},
        {{.request_uri = "sip:example.com;x=y", .uri = "sip:example.com;X=y"}, "200"},
        {{.uri = "sip:192.0.2.1:5060"}, "200"}, /* another name of the server */
        {{.uri = "sip:192.0.2.1"}, "200"},
        {{.uri = "sip:example.com", .request_uri = "sip:192.0.2.1:5060"}, "200"},
        {{.uri = "sip:192.0.2.1:5061"}, "401"},
        {{.uri = "sip:192.0.2.9:5060"}, "401"},
        {{.uri = "sip:bob@example.com"}, "401"},
        {{.uri = "sip:192.0.2.1?x=y"}, "401"},
        {{.uri = "tel:192.0.2.1"}, "401"},
        {{.secret = "wrong"}, "401"},
        {{.user = "alice"}, "401"},
        {{.user = "nobody"}, "401"},
        {{.user = "bob", .shown_user = "alice"}, "401"},
        {{.method = "INVITE"}, "401"},
        {{.realm = "elsewhere.example"}, "401"},
        {{.uri = "sip:elsewhere.example"}, "401"},
        {{.uri = "sip:"}, "401"},
        {{.algorithm_text = "SHA-512-256"}, "401"},
        {{.nc = ""}, "401"},
        {{.cnonce = ""}, "401"},
        {{.field = "Proxy-Authorization"}, "401"},
        {{.nonce = "0123"}, "401 stale"},
        {{.nonce = "0123456789abcdef0123456789abcdef01234567"}, "401 stale"},
        {{.host = 3}, "401 stale"}, /* given to another address */
        {{.more = "Authorization: Digest username=\"x\", realm=\"other\", nonce=\"n\", "
                  "uri=\"sip:x\", response=\"0123456789abcdef0123456789abcdef\"\n"},
         "200"},
        {{.more = "Authorization: Basic Ym9iOmJ1aWxkZXI=\n"}, "200"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        const char *got;
        begin(state);
        got = verdict(rows[i].claim);
        if (strcmp(got, rows[i].verdict))
            fail_msg("row %u: %s", i, got);
        end(state);
    }
}

static void a_name_that_is_too_long_is_nobodys(void **state)
{
    char name[400];

    (void)state;
    snprintf(name, sizeof name, "%0300u", 1u);
    assert_verdict("401", .user = name);
}

static void a_nonce_has_an_age_and_a_run(void **state)
{
    (void)state;
    assert_verdict("200", .nc = "00000001");
    world_wait(&w, w.settings.nonce_life - SECONDS(10));
    assert_verdict("200", .nc = "00000002", .cseq = 3);
    world_wait(&w, SECONDS(20));
    assert_verdict("401 stale", .nc = "00000003", .cseq = 4);
    get_nonce(2);
    assert_verdict("200", .nc = "00000001", .cseq = 5);
    world_restart(&w);
    assert_verdict("401 stale", .nc = "00000002", .cseq = 6);
}

/* Else what was heard of a refused request would be good once the clock is set back. */
static void a_nonce_does_not_know_the_wall_clock(void **state)
{
    (void)state;
    w.now.wall -= 7200;
    assert_verdict("200", .nc = "00000001", .cseq = 2);
    w.now.wall += 9000;
    assert_verdict("200", .nc = "00000002", .cseq = 3);
}

static void a_nonce_count_is_good_once(void **state)
{
    (void)state;
    assert_verdict("200", .nc = "00000001", .cseq = 2);
    assert_verdict("401 stale", .nc = "00000001", .cseq = 3); /* replayed in another request */
    assert_verdict("401 stale", .nc = "00000001", .cseq = 3, .cnonce = "d");
    assert_verdict("200", .nc = "00000002", .cseq = 3);
}

static void a_retransmission_is_known_by_all_that_makes_it_one(void **state)
{
    (void)state;
    assert_verdict("200", .nc = "00000001", .cseq = 2);
    assert_verdict("200", .nc = "00000001", .cseq = 2);
    assert_verdict("200", .nc = "00000002", .cseq = 3);
    assert_verdict("401 stale", .nc = "00000001", .cseq = 2); /* not the last any more */
}

static void counts_may_come_out_of_order_within_a_window(void **state)
{
    (void)state;
    assert_verdict("200", .nc = "00000064", .cseq = 2); /* 100 */
    assert_verdict("200", .nc = "00000063", .cseq = 3);
    assert_verdict("200", .nc = "00000025", .cseq = 4); /* 63 behind */
    assert_verdict("401 stale", .nc = "00000024", .cseq = 5);
    assert_verdict("401 stale", .nc = "00000063", .cseq = 6);
    assert_verdict("401 stale", .nc = "00000025", .cseq = 7);
    assert_verdict("200", .nc = "00001000", .cseq = 8); /* far ahead: the window begins anew */
    assert_verdict("200", .nc = "00000fff", .cseq = 9);
    assert_verdict("200", .nc = "00000fe4", .cseq = 11);
    assert_verdict("401 stale", .nc = "00000065", .cseq = 10);
}

static void without_qop_a_nonce_is_good_for_one_request(void **state)
{
    (void)state;
    assert_verdict("200", .qop = "", .cseq = 2);
    assert_verdict("200", .qop = "", .cseq = 2);
    assert_verdict("401 stale", .qop = "", .cseq = 3);
}

/* The table of counts is small: a nonce that fell out of it is not taken for new for long. */
static void a_nonce_that_was_evicted_is_stale_soon(void **state)
{
    struct limits limits = world_limits;
    char first[128];

    for (unsigned wait = 30; wait <= 70; wait += 40) {
        limits.nonces = 4;
        world_begin_within(&w, false, &limits);
        get_nonce(2);
        memcpy(first, nonce, sizeof first);
        assert_verdict("200", .nc = "00000001", .cseq = 1);
        world_wait(&w, SECONDS(wait));
        for (unsigned i = 2; i < 7; i++) {
            get_nonce(2);
            assert_verdict("200", .nc = "00000005", .cseq = i);
        }
        assert_string_equal(VERDICT(.nonce = first, .nc = "00000009", .cseq = 9),
                            wait < 60 ? "200" : "401 stale");
        end(state);
    }
}

static void a_busy_nonce_stays_where_idle_ones_make_room(void **state)
{
    struct limits limits = world_limits;
    char busy[128];

    limits.nonces = 4;
    world_begin_within(&w, false, &limits);
    get_nonce(2);
    memcpy(busy, nonce, sizeof busy);
    assert_verdict("200", .nc = "00000050", .cseq = 1);
    for (unsigned i = 2; i < 12; i++) {
        get_nonce(2);
        assert_verdict("200", .nc = "00000001", .cseq = i);
    }
    assert_verdict("401 stale", .nonce = busy, .nc = "00000050", .cseq = 20); /* it is known */
    end(state);
}

static unsigned hashed; /* digests that were computed */

static void count_md5(const struct slice *parts, unsigned count, uint8_t *out)
{
    hashed++;
    world_digests.hash[ALGORITHM_MD5](parts, count, out);
}

static void count_sha256(const struct slice *parts, unsigned count, uint8_t *out)
{
    hashed++;
    world_digests.hash[ALGORITHM_SHA256](parts, count, out);
}

/* Neither the answer nor its cost tells who exists. */
static void an_unknown_user_is_answered_as_one_with_a_wrong_password(void **state)
{
    static const struct digest_table counting = {{count_md5, count_sha256}};
    static const char *const users[] = {"bob", "nobody"};
    unsigned cost[2];
    size_t len[2];

    (void)state;
    w.digests = &counting;
    world_restart(&w);
    for (unsigned i = 0; i < 2; i++) {
        get_nonce(2);
        hashed = 0;
        assert_verdict("401", .user = users[i], .secret = "guess", .cseq = 5);
        cost[i] = hashed;
        len[i] = world_sent(&w, 0).len;
    }
    assert_true(cost[0] > 0);
    assert_int_equal(cost[0], cost[1]);
    assert_int_equal(len[0], len[1]);
}

static void what_is_hashed_for_an_unknown_user_opens_nothing(void **state)
{
    (void)state;
    world_put_user(&w, "dora", "", "old", false);
    assert_verdict("401", .user = "nobody", .has_blank_ha1 = true);
    assert_verdict("401", .user = "dora", .algorithm = ALGORITHM_SHA256, .has_blank_ha1 = true);
}

/* RFC 8760: the algorithms offered, the strongest first; never by user. */
static void sha256_is_offered_to_phones_that_know_it(void **state)
{
    static const struct {
        const char *agent;
        bool sha256_first, has_md5_only;
        const char *offered;
    } rows[] = {
        {"", false, false, "MD5 "},
        {"User-Agent: Linphone/5.2 (belle-sip)\n", false, false, "SHA-256 MD5 "},
        {"User-Agent: linphone-desktop\n", false, false, "SHA-256 MD5 "},
        {"User-Agent: Linphone\n", false, false, "MD5 "},
        {"User-Agent: baresip v1.0\n", false, false, "MD5 "},
        {"", true, false, "SHA-256 MD5 "},
        {"User-Agent: Linphone/5.2 (belle-sip)\n", false, true, "MD5 "},
        {"", true, true, "MD5 "},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct message m;
        char offered[64] = "";
        begin(state);
        w.settings.sha256_first = rows[i].sha256_first;
        if (rows[i].has_md5_only)
            world_put_user(&w, "dora", "", "old", false);
        ask(2, rows[i].agent);
        assert_false(message_parse(world_sent(&w, 0), &m).status);
        for (unsigned f = m.first[HEADER_WWW_AUTHENTICATE]; f; f = m.fields[f].next) {
            char value[512];
            struct slice v = message_value(&m, f);
            snprintf(value, sizeof value, "%.*s", (int)v.len, v.at);
            read_param(value, "algorithm=", offered + strlen(offered), 16);
            strcat(offered, " ");
        }
        if (strcmp(offered, rows[i].offered))
            fail_msg("row %u: %s", i, offered);
        end(state);
    }
}

static void a_user_without_a_sha256_digest_cannot_answer_in_it(void **state)
{
    (void)state;
    world_put_user(&w, "dora", "", "old", false);
    assert_verdict("401", .user = "dora", .secret = "old", .algorithm = ALGORITHM_SHA256);
}

static void each_challenge_has_a_nonce_of_its_own(void **state)
{
    char first[128];

    (void)state;
    memcpy(first, nonce, sizeof first);
    get_nonce(2);
    assert_string_not_equal(nonce, first);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(cmocka_unit_test(proof_is_the_right_digest_of_the_right_request),
        WITH(a_name_that_is_too_long_is_nobodys), WITH(a_nonce_has_an_age_and_a_run),
        WITH(a_nonce_does_not_know_the_wall_clock), WITH(a_nonce_count_is_good_once),
        WITH(a_retransmission_is_known_by_all_that_makes_it_one),
        WITH(counts_may_come_out_of_order_within_a_window),
        WITH(without_qop_a_nonce_is_good_for_one_request),
        cmocka_unit_test(a_nonce_that_was_evicted_is_stale_soon),
        cmocka_unit_test(a_busy_nonce_stays_where_idle_ones_make_room),
        WITH(an_unknown_user_is_answered_as_one_with_a_wrong_password),
        WITH(what_is_hashed_for_an_unknown_user_opens_nothing),
        cmocka_unit_test(sha256_is_offered_to_phones_that_know_it),
        WITH(a_user_without_a_sha256_digest_cannot_answer_in_it),
        WITH(each_challenge_has_a_nonce_of_its_own));
}
