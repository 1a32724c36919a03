/* TLS between two of us over a pair of sockets: who is believed to be what, under which policy. */
#include "unit.h"

#include "core/credential.h"
#include "shell/tls.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct log log_quiet;

/* A server of one domain, in a directory of its own, with a certificate that it made itself. */
struct side {
    char state[64], certificate[128], authfile[128];
    struct tls *tls;
};

static void load(struct side *side, const char *realm, const char *authfile)
{
    struct report report;
    struct certs_plan plan = {.state_path = side->state, .realm = slice_text(realm)};

    report_init(&report, "test");
    plan.authfile = slice_text(authfile);
    struct certs *certs = certs_load(&plan, &report);
    if (!certs)
        fail_msg("%s", report.fault);
    tls_use(side->tls, certs);
}

static void begin_side(struct side *side, const char *realm)
{
    snprintf(side->state, sizeof side->state, "/tmp/sipwitch-tls-XXXXXX");
    assert_non_null(mkdtemp(side->state));
    snprintf(side->certificate, sizeof side->certificate, "%s/certs/self-signed.pem", side->state);
    side->tls = tls_create(&log_quiet);
    load(side, realm, NULL);
}

static void end_side(struct side *side)
{
    char folder[128];

    tls_destroy(side->tls);
    unlink(side->certificate);
    snprintf(folder, sizeof folder, "%s/certs", side->state);
    rmdir(folder);
    rmdir(side->state);
}

static struct side net, com; /* example.net answers, example.com connects */
static int ends[2];
static struct channel *answering, *asking;

static int begin(void **state)
{
    (void)state;
    begin_side(&net, "example.net");
    begin_side(&com, "example.com");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (answering)
        answering->kind->drop(answering);
    if (asking)
        asking->kind->drop(asking);
    answering = asking = NULL;
    close(ends[0]);
    close(ends[1]);
    end_side(&net);
    end_side(&com);
    return 0;
}

/* Both do their part until both are done; true if both then stand. */
static bool shake_hands(const struct peer_plan *plan)
{
    enum channel_state a = CHANNEL_BEGINS, b = CHANNEL_BEGINS;

    answering = tls_accept(net.tls, ends[0]);
    asking = tls_connect(com.tls, ends[1], plan);
    assert_non_null(answering);
    assert_non_null(asking);
    for (unsigned n = 0; n < 20 && (a == CHANNEL_BEGINS || b == CHANNEL_BEGINS); n++) {
        if (b == CHANNEL_BEGINS)
            b = asking->kind->ready(asking);
        if (b == CHANNEL_FAILED)
            return false;
        if (a == CHANNEL_BEGINS)
            a = answering->kind->ready(answering);
    }
    return a == CHANNEL_STANDS && b == CHANNEL_STANDS;
}

static bool shake_hands_for(const char *domain, enum peer_policy policy)
{
    return shake_hands(
        &(struct peer_plan){.domain = slice_text(domain), .policy = (uint8_t)policy});
}

static void assert_proven(const struct channel *channel, const char *domains)
{
    struct slice proven = tls_proven(channel);

    assert_true(slice_equal(proven, slice_text(domains)));
}

/* The SHA-256 sum of the key that example.net shows (RFC 6698 2.1.2: 1, 2.1.3: 1). */
static struct tlsa key_of_net(uint8_t *digest)
{
    FILE *file = fopen(net.certificate, "re");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    unsigned char *key = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);

    fclose(file);
    assert_true(len > 0);
    EVP_Digest(key, (size_t)len, digest, NULL, EVP_sha256(), NULL);
    OPENSSL_free(key);
    X509_free(certificate);
    return (struct tlsa){3, 1, 1, slice_of((const char *)digest, 32)};
}

/* Both ask for the other's certificate, and neither demands it. */
static void what_the_peer_has_shown_is_told_by_its_fingerprints(void **state)
{
    struct credential of_net, of_com;
    uint8_t digest[32];

    (void)state;
    key_of_net(digest);
    assert_true(shake_hands_for("example.net", POLICY_OPPORTUNISTIC));
    assert_true(credential_read(tls_credential(asking), &of_net));
    assert_true(credential_read(tls_credential(answering), &of_com));
    assert_memory_equal(of_net.chain[0].sha256[1], digest, sizeof digest);
    assert_int_equal(of_net.count, 1);
    assert_int_equal(of_com.count, 1);
    assert_false(of_com.is_vouched);
    assert_memory_not_equal(of_com.chain[0].sha256[1], digest, sizeof digest);
}

static void who_cannot_be_verified_has_proven_nothing(void **state)
{
    (void)state;
    assert_true(shake_hands_for("example.net", POLICY_OPPORTUNISTIC));
    assert_proven(asking, "");
    assert_proven(answering, "");
}

static void who_is_verified_is_what_its_certificate_names(void **state)
{
    (void)state;
    load(&com, "example.com", net.certificate);
    assert_true(shake_hands_for("example.net", POLICY_VERIFIED));
    assert_proven(asking, "example.net\n");
}

static void who_connects_is_verified_too(void **state)
{
    (void)state;
    load(&net, "example.net", com.certificate);
    assert_true(shake_hands_for("example.net", POLICY_OPPORTUNISTIC));
    assert_proven(answering, "example.com\n");
}

static void who_must_be_verified_and_cannot_be_is_not_spoken_with(void **state)
{
    (void)state;
    assert_false(shake_hands_for("example.net", POLICY_VERIFIED));
}

static void another_name_is_another_domain(void **state)
{
    (void)state;
    load(&com, "example.com", net.certificate);
    assert_false(shake_hands_for("sip.example.net", POLICY_VERIFIED));
}

static void another_name_is_no_matter_where_nothing_is_demanded(void **state)
{
    (void)state;
    load(&com, "example.com", net.certificate);
    assert_true(shake_hands_for("other.example", POLICY_OPPORTUNISTIC));
    assert_proven(asking, "example.net\n");
}

static void the_domains_own_records_prove_it_without_a_ca(void **state)
{
    uint8_t digest[32];
    const enum peer_policy policies[] = {POLICY_OPPORTUNISTIC, POLICY_VERIFIED, POLICY_DANE};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(policies); i++) {
        struct peer_plan plan = {
            .domain = S("other.example"), /* whatever the certificate names (RFC 7671 5.1) */
            .server = S("sip.hoster.example"),
            .policy = (uint8_t)policies[i],
            .tlsa_count = 1,
            .tlsa = {key_of_net(digest)},
        };
        assert_true(shake_hands(&plan));
        assert_true(slice_starts(tls_proven(asking), S("other.example\n")));
        end(NULL);
        begin(NULL);
    }
}

static void records_of_another_key_refuse_it_whatever_the_policy(void **state)
{
    uint8_t digest[32];
    struct peer_plan plan = {
        .domain = S("example.net"), .tlsa_count = 1, .tlsa = {key_of_net(digest)}};

    (void)state;
    load(&com, "example.com", net.certificate); /* a CA vouches for it in vain */
    digest[7] ^= 1;
    assert_false(shake_hands(&plan));
}

static void records_that_cannot_be_used_are_none(void **state)
{
    struct peer_plan plan = {
        .domain = S("example.net"), .tlsa_count = 1, .tlsa = {{9, 9, 9, S("what is this")}}};

    (void)state;
    assert_true(shake_hands(&plan));
    assert_proven(asking, "");
}

static void without_records_dane_proves_nothing(void **state)
{
    (void)state;
    load(&com, "example.com", net.certificate);
    assert_false(shake_hands_for("example.net", POLICY_DANE));
}

static void bytes_go_both_ways_in_any_number(void **state)
{
    static char sent[200000], got[sizeof sent + CHANNEL_ROOM];
    size_t given = 0, taken = 0;

    (void)state;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 7 + i / 251);
    assert_true(shake_hands_for("example.net", POLICY_OPPORTUNISTIC));
    for (unsigned n = 0; n < 1000 && taken < sizeof sent; n++) {
        ssize_t count = asking->kind->give(asking, sent + given, sizeof sent - given);
        assert_true(count >= 0);
        given += (size_t)count;
        count = answering->kind->take(answering, got + taken, CHANNEL_ROOM);
        assert_true(count >= 0);
        taken += (size_t)count;
    }
    assert_int_equal(taken, sizeof sent);
    assert_memory_equal(sent, got, sizeof sent);
    assert_int_equal(answering->kind->give(answering, "ok", 2), 2);
    assert_int_equal(asking->kind->take(asking, got, CHANNEL_ROOM), 2);
    assert_int_equal(asking->kind->take(asking, got, CHANNEL_ROOM), 0);
}

static void an_end_is_told_behind_the_last_bytes(void **state)
{
    static char got[CHANNEL_ROOM];

    (void)state;
    assert_true(shake_hands_for("example.net", POLICY_OPPORTUNISTIC));
    assert_int_equal(asking->kind->give(asking, "last", 4), 4);
    asking->kind->end(asking);
    assert_int_equal(answering->kind->take(answering, got, CHANNEL_ROOM), 4);
    assert_true(answering->kind->take(answering, got, CHANNEL_ROOM) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    RUN(TEST(what_the_peer_has_shown_is_told_by_its_fingerprints),
        TEST(who_cannot_be_verified_has_proven_nothing),
        TEST(who_is_verified_is_what_its_certificate_names), TEST(who_connects_is_verified_too),
        TEST(who_must_be_verified_and_cannot_be_is_not_spoken_with),
        TEST(another_name_is_another_domain),
        TEST(another_name_is_no_matter_where_nothing_is_demanded),
        TEST(the_domains_own_records_prove_it_without_a_ca),
        TEST(records_of_another_key_refuse_it_whatever_the_policy),
        TEST(records_that_cannot_be_used_are_none), TEST(without_records_dane_proves_nothing),
        TEST(bytes_go_both_ways_in_any_number), TEST(an_end_is_told_behind_the_last_bytes));
}
