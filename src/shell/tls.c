#include "shell/tls.h"

#include "core/credential.h"
#include "core/identity.h"
#include "shell/certificate.h"
#include "shell/netaddr.h"
#include "sip/uri.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define OCTETS_ROOM                                                                                \
    (40u << 10) /* taken with one call: with a record held before, in CHANNEL_ROOM */
#define TICKET_KEYS_LIFE (12 * 3600) /* seconds: who has the key can read what it resumed */
#define TICKET_LIFE 7200             /* seconds */
#define SAID_AGAIN 60                /* seconds between two lines on handshakes that failed */

struct tls {
    struct log *log;
    struct certs *certs;
    BIO_METHOD *method;
    time_t keyed_at; /* tickets are under keys made then */
    time_t said_at;
    unsigned unsaid; /* handshakes that failed since */
    char octets[OCTETS_ROOM];
};

struct tls_channel {
    struct channel channel;
    struct tls *tls;
    SSL *ssl;
    int descriptor;
    bool is_server, is_over;
    bool is_fed;         /* what OpenSSL reads is `octets` alone */
    struct slice octets; /* of tls->octets, not yet read */
    struct peer_plan *plan;
    char *proven; /* lines; NULL = none */
    char *shown;  /* shown_len bytes of a credential; NULL = none */
    size_t shown_len;
};

static struct tls_channel *channel_at(struct channel *channel)
{
    return (struct tls_channel *)(void *)channel;
}

/* ---- octets, to OpenSSL and from it */

static int feed(struct tls_channel *c, char *at, int room)
{
    size_t len = min_u64(c->octets.len, (uint64_t)room);

    memcpy(at, c->octets.at, len);
    c->octets = slice_from(c->octets, len);
    return (int)len;
}

static bool may_go_on(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS;
}

/* A handshake takes no more than it asks for, so that what comes behind it stays in the socket. */
static int read_octets(BIO *bio, char *at, int room)
{
    struct tls_channel *c = BIO_get_data(bio);
    ssize_t count;

    BIO_clear_retry_flags(bio);
    if (c->octets.len)
        return feed(c, at, room);
    if (c->is_fed) {
        BIO_set_retry_read(bio);
        return -1;
    }
    count = recv(c->descriptor, at, (size_t)room, MSG_DONTWAIT);
    if (count < 0 && may_go_on(errno))
        BIO_set_retry_read(bio);
    return (int)count;
}

static int write_octets(BIO *bio, const char *at, int len)
{
    const struct tls_channel *c = BIO_get_data(bio);
    ssize_t count = send(c->descriptor, at, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);

    BIO_clear_retry_flags(bio);
    if (count < 0 && may_go_on(errno))
        BIO_set_retry_write(bio);
    return (int)count;
}

static long control(BIO *bio, int what, long number, void *at)
{
    (void)bio, (void)number, (void)at;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

    if (!method)
        return NULL;
    BIO_meth_set_read(method, read_octets);
    BIO_meth_set_write(method, write_octets);
    BIO_meth_set_ctrl(method, control);
    return method;
}

/* ---- what a peer has proven */

/* Keeps the domains that a certificate names, once it is known to be its owner's. */
static void keep_names(struct tls_channel *c, const X509 *certificate, struct slice domain)
{
    char text[TLS_PROVEN];
    struct writer w = writer_over(text, sizeof text - 1);

    if (domain.len) {
        write_slice(&w, domain);
        write_char(&w, '\n');
    }
    certificate_write_domains(certificate, &w);
    if (w.len)
        c->proven = strndup(text, w.len);
}

/* A record that DNSSEC proved names this certificate, or what signed it. */
static bool is_by_dane(const struct tls_channel *c)
{
    return SSL_get0_dane_authority(c->ssl, NULL, NULL) >= 0 &&
           SSL_get_verify_result(c->ssl) == X509_V_OK;
}

static void hash_both(unsigned char *der, int len, struct shown_certificate *to, unsigned selector)
{
    SHA256(der, (size_t)len, to->sha256[selector]);
    SHA512(der, (size_t)len, to->sha512[selector]);
    OPENSSL_free(der);
}

static bool take_fingerprints(X509 *certificate, struct shown_certificate *to)
{
    unsigned char *whole = NULL, *key = NULL;
    int whole_len = i2d_X509(certificate, &whole);
    int key_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);

    if (whole_len <= 0 || key_len <= 0) {
        OPENSSL_free(whole);
        OPENSSL_free(key);
        return false;
    }
    hash_both(whole, whole_len, to, 0);
    hash_both(key, key_len, to, 1);
    return true;
}

/* Those that signed it, one the other, up to the last that the peer sent: whether that one is to be
 * trusted is another question.  NULL if they did not. */
static STACK_OF(X509) * follow(X509 *certificate, STACK_OF(X509) * sent)
{
    X509 *last = sk_X509_num(sent) > 0 ? sk_X509_value(sent, sk_X509_num(sent) - 1) : NULL;
    X509_STORE_CTX *judging = X509_STORE_CTX_new();
    STACK_OF(X509) *trusted = sk_X509_new_null(), *chain = NULL;

    if (last && X509_cmp(last, certificate) != 0 && judging && trusted &&
        sk_X509_push(trusted, last) > 0 &&
        X509_STORE_CTX_init(judging, NULL, certificate, sent) == 1) {
        X509_STORE_CTX_set0_trusted_stack(judging, trusted);
        X509_STORE_CTX_set_depth(judging, (int)CREDENTIAL_CHAIN);
        X509_STORE_CTX_set_flags(judging, X509_V_FLAG_PARTIAL_CHAIN);
        if (X509_verify_cert(judging) == 1)
            chain = X509_STORE_CTX_get1_chain(judging);
    }
    X509_STORE_CTX_free(judging);
    sk_X509_free(trusted);
    return chain;
}

/* From it to a CA; NULL where it was verified earlier, in a session that is resumed. */
static STACK_OF(X509) * verified_chain(const struct tls_channel *c)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(c->ssl);

    return chain ? X509_chain_up_ref(chain) : NULL;
}

/* Without the memory for it the peer has shown nothing. */
static void keep_shown(struct tls_channel *c, const struct credential *credential)
{
    char bytes[CREDENTIAL_BYTES];
    struct writer w = writer_over(bytes, sizeof bytes);

    credential_write(&w, credential);
    c->shown = w.failed ? NULL : malloc(w.len);
    if (!c->shown)
        return;
    memcpy(c->shown, bytes, w.len);
    c->shown_len = w.len;
}

/* Names matter for what others have signed alone (core/credential). */
static void show(struct tls_channel *c, X509 *certificate)
{
    bool is_vouched = SSL_get_verify_result(c->ssl) == X509_V_OK && !is_by_dane(c);
    struct credential credential = {.is_vouched = is_vouched};
    STACK_OF(X509) *chain =
        is_vouched ? verified_chain(c) : follow(certificate, SSL_get_peer_cert_chain(c->ssl));
    int len = sk_X509_num(chain);
    char names[CREDENTIAL_NAMES];
    struct writer w = writer_over(names, sizeof names);

    if (take_fingerprints(certificate, &credential.chain[0]))
        credential.count = 1;
    while (credential.count && credential.count < CREDENTIAL_CHAIN && (int)credential.count < len &&
           take_fingerprints(sk_X509_value(chain, (int)credential.count),
                             &credential.chain[credential.count]))
        credential.count++;
    if (is_vouched || credential.count > 1)
        certificate_write_domains(certificate, &w);
    credential.names = writer_slice(&w);
    if (credential.count)
        keep_shown(c, &credential);
    sk_X509_pop_free(chain, X509_free);
}

static void prove(struct tls_channel *c)
{
    X509 *certificate = SSL_get0_peer_certificate(c->ssl);

    if (!certificate)
        return;
    show(c, certificate);
    if (SSL_get_verify_result(c->ssl) != X509_V_OK)
        return;
    /* By DANE the domain's own records say so, whatever names the certificate has. */
    keep_names(c, certificate, c->plan && is_by_dane(c) ? c->plan->domain : NO_SLICE);
}

/* ---- handshakes */

/* One a minute: who cannot be spoken with is worth a line, but strangers can do it as they like. */
static void say_failed(struct tls_channel *c, const char *why)
{
    struct tls *tls = c->tls;
    time_t now = time(NULL);
    union netaddr peer = {0};
    socklen_t len = sizeof peer;
    char text[NETADDR_TEXT];
    struct writer w = writer_over(text, sizeof text);

    tls->unsaid++;
    if (tls->said_at && now - tls->said_at < SAID_AGAIN)
        return;
    if (getpeername(c->descriptor, &peer.any, &len) == 0)
        netaddr_write(&w, &peer);
    log_line(tls->log, LOG_WARNING, "TLS with %.*s failed: %s (%u since the last such line)",
             (int)w.len, text, why, tls->unsaid);
    tls->said_at = now;
    tls->unsaid = 0;
}

/* What our plan for a domain demands of its server. */
static bool is_enough(struct tls_channel *c)
{
    const struct peer_plan *plan = c->plan;
    bool is_proven;

    if (!plan)
        return true;
    is_proven = c->proven && identity_is_among(slice_text(c->proven), plan->domain);
    if (plan->policy == POLICY_DANE && !is_by_dane(c))
        is_proven = false;
    else if (plan->policy == POLICY_OPPORTUNISTIC && !plan->tlsa_count)
        return true;
    if (is_proven)
        return true;
    c->channel.is_unproven = true;
    char why[512];
    long result = SSL_get_verify_result(c->ssl);
    snprintf(why, sizeof why, "it does not prove to be %.*s: %s", (int)plan->domain.len,
             plan->domain.at,
             result != X509_V_OK ? X509_verify_cert_error_string(result)
                                 : "its certificate does not name that domain");
    say_failed(c, why);
    return false;
}

static enum channel_state finish(struct tls_channel *c)
{
    prove(c);
    if (!is_enough(c))
        return CHANNEL_FAILED;
    free(c->plan);
    c->plan = NULL;
    c->is_fed = true;
    return CHANNEL_STANDS;
}

static enum channel_state ready(struct channel *channel)
{
    struct tls_channel *c = channel_at(channel);
    unsigned long error;
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(c->ssl);
    channel->wants_room = false;
    if (result == 1)
        return finish(c);
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: return CHANNEL_BEGINS;
    case SSL_ERROR_WANT_WRITE: channel->wants_room = true; return CHANNEL_BEGINS;
    default: break;
    }
    error = ERR_peek_error();
    if (error)
        say_failed(c, ERR_reason_error_string(error) ? ERR_reason_error_string(error) : "unknown");
    return CHANNEL_FAILED;
}

/* ---- bytes */

/* What was still taken is given out first; then it is over. */
static ssize_t end_with(struct tls_channel *c, ssize_t sum)
{
    c->is_over = true;
    if (!sum)
        return -1;
    shutdown(c->descriptor, SHUT_RD); /* so that it is looked at again */
    return sum;
}

static ssize_t take(struct channel *channel, char *at, size_t room)
{
    struct tls_channel *c = channel_at(channel);
    ssize_t sum = 0;
    ssize_t count = recv(c->descriptor, c->tls->octets, OCTETS_ROOM, MSG_DONTWAIT);
    int result;

    assert(room >= CHANNEL_ROOM);
    if (c->is_over || count == 0 || (count < 0 && !may_go_on(errno)))
        return -1;
    c->octets = slice_of(c->tls->octets, count > 0 ? (size_t)count : 0);
    ERR_clear_error();
    while ((result = SSL_read(c->ssl, at + sum, (int)(room - (size_t)sum))) > 0)
        sum += result;
    channel->wants_room = false;
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: break;
    case SSL_ERROR_WANT_WRITE: channel->wants_room = true; break;
    default: c->octets = NO_SLICE; return end_with(c, sum);
    }
    return sum;
}

static ssize_t give(struct channel *channel, const char *at, size_t len)
{
    struct tls_channel *c = channel_at(channel);
    size_t sum = 0;
    int result = 1;

    ERR_clear_error();
    while (sum < len && (result = SSL_write(c->ssl, at + sum, (int)(len - sum))) > 0)
        sum += (size_t)result;
    if (result > 0)
        return (ssize_t)sum;
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return (ssize_t)sum;
    default: return -1;
    }
}

static void end(struct channel *channel)
{
    struct tls_channel *c = channel_at(channel);

    ERR_clear_error();
    if (SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl);
}

static void drop(struct channel *channel)
{
    struct tls_channel *c = channel_at(channel);

    SSL_free(c->ssl);
    free(c->plan);
    free(c->proven);
    free(c->shown);
    free(c);
}

static const struct channel_kind kind = {ready, take, give, end, drop};

struct slice tls_proven(const struct channel *channel)
{
    return slice_text(((const struct tls_channel *)(const void *)channel)->proven);
}

struct slice tls_credential(const struct channel *channel)
{
    const struct tls_channel *c = (const struct tls_channel *)(const void *)channel;

    return slice_of(c->shown, c->shown_len);
}

static bool write_memory(struct writer *w, BIO *memory)
{
    char *at;
    long len = BIO_get_mem_data(memory, &at);

    write_bytes(w, at, (size_t)len);
    return !w->failed;
}

static bool write_pem(struct writer *w, X509 *certificate)
{
    BIO *pem = BIO_new(BIO_s_mem());
    bool ok = pem && PEM_write_bio_X509(pem, certificate) == 1;

    if (ok)
        ok = write_memory(w, pem);
    BIO_free(pem);
    return ok;
}

bool tls_write_chain(const struct channel *channel, struct writer *w)
{
    SSL *ssl = ((const struct tls_channel *)(const void *)channel)->ssl;
    X509 *certificate = SSL_get_certificate(ssl);
    STACK_OF(X509) *chain = NULL;
    bool ok = certificate && write_pem(w, certificate);

    SSL_get0_chain_certs(ssl, &chain);
    for (int i = 0; ok && i < sk_X509_num(chain); i++)
        ok = write_pem(w, sk_X509_value(chain, i));
    return ok;
}

/* ---- channels */

static struct tls_channel *make_channel(struct tls *tls, SSL_CTX *context, int descriptor)
{
    struct tls_channel *c = calloc(1, sizeof *c);
    BIO *bio = c ? BIO_new(tls->method) : NULL;

    if (bio)
        c->ssl = SSL_new(context);
    if (!bio || !c->ssl) {
        BIO_free(bio);
        free(c);
        return NULL;
    }
    c->channel.kind = &kind;
    c->tls = tls;
    c->descriptor = descriptor;
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->ssl, bio, bio);
    return c;
}

static void renew_ticket_keys(struct tls *tls)
{
    time_t now = time(NULL);
    unsigned char keys[80];

    if (tls->keyed_at && now - tls->keyed_at < TICKET_KEYS_LIFE)
        return;
    tls->keyed_at = now;
    RAND_bytes(keys, sizeof keys);
    SSL_CTX_set_tlsext_ticket_keys(tls->certs->server, keys, sizeof keys);
    OPENSSL_cleanse(keys, sizeof keys);
}

struct channel *tls_accept(struct tls *tls, int descriptor)
{
    struct tls_channel *c;

    renew_ticket_keys(tls);
    c = make_channel(tls, tls->certs->server, descriptor);
    if (!c)
        return NULL;
    c->is_server = true;
    SSL_set_accept_state(c->ssl);
    return &c->channel;
}

struct channel *tls_accept_browser(struct tls *tls, int descriptor)
{
    struct channel *channel = tls_accept(tls, descriptor);

    if (channel)
        SSL_set_verify(((struct tls_channel *)(void *)channel)->ssl, SSL_VERIFY_NONE, NULL);
    return channel;
}

/* A copy with all its texts behind it, for as long as the handshake. */
static struct peer_plan *keep_plan(const struct peer_plan *plan)
{
    size_t room = sizeof *plan + 16 + plan->domain.len + plan->server.len;
    struct peer_plan *kept;

    for (unsigned i = 0; i < plan->tlsa_count; i++)
        room += 8 + plan->tlsa[i].data.len;
    kept = malloc(room);
    if (!kept)
        return NULL;
    struct writer w = writer_over((char *)(kept + 1), room - sizeof *kept);
    peer_write(&w, plan);
    if (!w.failed && peer_read(writer_slice(&w), kept))
        return kept;
    free(kept);
    return NULL;
}

/* Names as OpenSSL takes them. */
static bool copy_name(char *text, size_t limit, struct slice name)
{
    if (!name.len || name.len >= limit || memchr(name.at, 0, name.len))
        return false;
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    return true;
}

/* RFC 7673 4: at the server that DNS named; what it shows may name that, or the domain.  False if
 * none of the records can be used. */
static bool add_records(SSL *ssl, const struct peer_plan *plan, const char *domain)
{
    char server[256];
    bool has_one = false;

    if (!copy_name(server, sizeof server, plan->server) &&
        !copy_name(server, sizeof server, plan->domain))
        return false;
    if (SSL_dane_enable(ssl, server) != 1)
        return false;
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7671 5.1 */
    SSL_add1_host(ssl, domain);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_WILDCARDS);
    for (unsigned i = 0; i < plan->tlsa_count; i++) {
        const struct tlsa *tlsa = &plan->tlsa[i];
        has_one |= SSL_dane_tlsa_add(ssl, tlsa->usage, tlsa->selector, tlsa->matching,
                                     (const unsigned char *)tlsa->data.at, tlsa->data.len) > 0;
    }
    return has_one;
}

/* The name that is asked for (RFC 6066 3) is the domain's, since its server may have many; only
 * where records speak of the server it is the server's (RFC 7671). */
static bool set_plan(struct tls_channel *c, const struct peer_plan *plan)
{
    char domain[256];
    struct address_bytes address;

    c->plan = keep_plan(plan);
    if (!c->plan)
        return false;
    if (!copy_name(domain, sizeof domain, plan->domain) || host_numeric(plan->domain, &address))
        return true;
    if (plan->tlsa_count && add_records(c->ssl, plan, domain))
        return true;
    c->plan->tlsa_count = 0;
    SSL_set_tlsext_host_name(c->ssl, domain);
    return true;
}

struct channel *tls_connect(struct tls *tls, int descriptor, const struct peer_plan *plan)
{
    struct tls_channel *c = make_channel(tls, tls->certs->client, descriptor);

    if (!c)
        return NULL;
    SSL_set_connect_state(c->ssl);
    if (set_plan(c, plan))
        return &c->channel;
    drop(&c->channel);
    return NULL;
}

/* ---- what all share */

static int choose_certificate(SSL *ssl, int *alert, void *self)
{
    const struct tls *tls = self;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    for (unsigned i = 0; asked && i < tls->certs->named_count; i++)
        if (slice_equal_nocase(tls->certs->named[i].name, slice_text(asked))) {
            SSL_set_SSL_CTX(ssl, tls->certs->named[i].context);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

/* "sip/2" (RFC 7301's registry), if it is offered; without it, it is SIP all the same. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *len,
                           const unsigned char *offered, unsigned offered_len, void *self)
{
    static const unsigned char ours[] = "\5sip/2";

    (void)ssl, (void)self;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, len, ours, sizeof ours - 1,
                                 offered, offered_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

/* Who shows a certificate that nobody vouches for has shown none. */
static int note_only(int is_good, X509_STORE_CTX *context)
{
    (void)is_good, (void)context;
    return 1;
}

struct tls *tls_create(struct log *log)
{
    struct tls *tls = calloc(1, sizeof *tls);

    if (!tls)
        return NULL;
    tls->log = log;
    tls->method = make_method();
    if (tls->method)
        return tls;
    free(tls);
    return NULL;
}

void tls_destroy(struct tls *tls)
{
    if (tls->certs)
        certs_free(tls->certs);
    BIO_meth_free(tls->method);
    free(tls);
}

void tls_use(struct tls *tls, struct certs *certs)
{
    SSL_CTX *server = certs->server;

    if (tls->certs)
        certs_free(tls->certs);
    tls->certs = certs;
    tls->keyed_at = 0;
    SSL_CTX_set_tlsext_servername_callback(server, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(server, tls);
    SSL_CTX_set_alpn_select_cb(server, choose_protocol, NULL);
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER, note_only);
    SSL_CTX_set_verify(certs->client, SSL_VERIFY_PEER, note_only);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"sipw", 4);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF); /* the tickets hold it */
    SSL_CTX_set_timeout(server, TICKET_LIFE);
    SSL_CTX_set_num_tickets(server, 1);
    if (certs->self_signed[0] && certs->is_made)
        log_line(tls->log, LOG_NOTICE,
                 "TLS has a certificate of its own making, %s, which phones must be told to trust; "
                 "certfile and keyfile in <stack> name another",
                 certs->self_signed);
}
