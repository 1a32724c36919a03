#include "shell/certs.h"

#include "shell/file.h"
#include "sip/uri.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_BYTES (size_t)(1u << 20)
#define CHAIN_LIMIT 8               /* certificates from ours to a CA */
#define PEER_CHAIN_BYTES (32 << 10) /* that a peer may send before it has proven anything */
#define SELF_SIGNED_DAYS 3650
#define SELF_SIGNED "self-signed.pem"

/* What careful servers offer: forward secrecy and authenticated encryption (RFC 9325 4.2). */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS "X25519:P-256:P-384"

static const char *const no_place_remedy = "write the certificate, its chain and its key, in PEM";

/* ---- files */

/* Never asks at a terminal. */
static int no_passphrase(char *at, int size, int is_writing, void *self)
{
    (void)at, (void)size, (void)is_writing, (void)self;
    return -1;
}

static bool fault(struct report *report, const char *path, const char *what)
{
    report->file = path;
    return report_fault(report, (struct place){0}, "%s", what);
}

/* Whoever can read a key can be us.  A group may where root says so, as Debian's ssl-cert. */
static bool check_permissions(const char *path, struct report *report)
{
    struct stat found;

    if (stat(path, &found) < 0)
        return true; /* reading it will say why */
    if (!(found.st_mode & (found.st_uid == 0 ? 0027 : 0077)))
        return true;
    report->file = path;
    return report_fault(report, (struct place){0},
                        "others can read the private key in it (mode %04o); chmod 600 it, and "
                        "replace the key if they may have",
                        (unsigned)(found.st_mode & 07777));
}

static BIO *open_pem(const char *path, struct slice *bytes, struct report *report)
{
    int error = file_read(AT_FDCWD, path, PEM_BYTES, bytes);

    if (!error)
        return BIO_new_mem_buf(bytes->at, (int)bytes->len);
    report->file = path;
    report_fault(report, (struct place){0}, "cannot be read: %s; %s", strerror(-error),
                 error == -EACCES ? "let the user that sipw runs as read it"
                                  : "put it there, or name another file");
    return NULL;
}

static void close_pem(BIO *pem, struct slice *bytes)
{
    BIO_free(pem);
    explicit_bzero((void *)(uintptr_t)bytes->at, bytes->len);
    free((void *)(uintptr_t)bytes->at);
}

/* ---- one certificate */

/* The first certificate of a file is ours, those behind it lead to a CA. */
static bool use_chain(SSL_CTX *context, const char *path, struct report *report)
{
    struct slice bytes;
    BIO *pem = open_pem(path, &bytes, report);
    X509 *certificate;
    bool ok;

    if (!pem)
        return false;
    certificate = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL);
    ok = certificate && SSL_CTX_use_certificate(context, certificate) == 1;
    X509_free(certificate);
    while (ok && (certificate = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL)))
        ok = SSL_CTX_add0_chain_cert(context, certificate) == 1;
    close_pem(pem, &bytes);
    if (ok)
        return true;
    report->file = path;
    return report_fault(report, (struct place){0}, "there is no usable certificate in it (%s); %s",
                        ERR_peek_last_error() ? ERR_reason_error_string(ERR_peek_last_error())
                                              : "none at all",
                        no_place_remedy);
}

static bool use_key(SSL_CTX *context, const char *path, struct report *report)
{
    struct slice bytes;
    BIO *pem;
    EVP_PKEY *key;
    bool is_key, fits;

    if (!check_permissions(path, report))
        return false;
    pem = open_pem(path, &bytes, report);
    if (!pem)
        return false;
    key = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL);
    close_pem(pem, &bytes);
    is_key = key != NULL;
    fits = is_key && SSL_CTX_use_PrivateKey(context, key) == 1 &&
           SSL_CTX_check_private_key(context) == 1;
    EVP_PKEY_free(key);
    if (fits)
        return true;
    return fault(report, path,
                 is_key ? "its private key is not that of the certificate; put the two together "
                          "that belong to each other"
                        : "there is no private key in it that can be read without a passphrase; "
                          "add it, as openssl pkey prints it");
}

static void warn_of_dates(const SSL_CTX *context, const char *path, struct report *report)
{
    const X509 *certificate = SSL_CTX_get0_certificate(context);

    report->file = path;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        report_warning(report, (struct place){0},
                       "the certificate has expired: who verifies it will not connect; renew it");
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        report_warning(report, (struct place){0},
                       "the certificate is not valid yet; look at this machine's clock");
}

/* A certificate's file, and its key's. */
struct files {
    char certificate[PATH_MAX], key[PATH_MAX];
};

static bool use_files(SSL_CTX *context, const struct files *files, struct report *report)
{
    ERR_clear_error();
    return use_chain(context, files->certificate, report) && use_key(context, files->key, report);
}

/* ---- one of our own making */

static bool add_extension(X509 *certificate, int what, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool ok;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, what, value);
    ok = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* The realm as a domain (RFC 5922 4), if it can be one. */
static bool add_names(X509 *certificate, struct slice realm)
{
    char names[1024];

    if (!host_valid(realm) || realm.at[0] == '[' || realm.len > 255)
        return true;
    snprintf(names, sizeof names, "DNS:%.*s,URI:sip:%.*s", (int)realm.len, realm.at, (int)realm.len,
             realm.at);
    return add_extension(certificate, NID_subject_alt_name, names);
}

static bool fill_certificate(X509 *certificate, EVP_PKEY *key, struct slice realm)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    uint64_t serial = 0;

    return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
           X509_set_version(certificate, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -24 * 3600) &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), SELF_SIGNED_DAYS, 0, NULL) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)realm.at,
                                      (int)min_u64(realm.len, 64), -1, 0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth,clientAuth") &&
           add_names(certificate, realm) && X509_sign(certificate, key, EVP_sha256()) > 0;
}

/* Into certs/self-signed.pem, for us alone. */
static bool make_self_signed(int folder, struct slice realm)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    BIO *pem = BIO_new(BIO_s_secmem());
    char *text;
    bool ok = key && certificate && pem && fill_certificate(certificate, key, realm) &&
              PEM_write_bio_X509(pem, certificate) == 1 &&
              PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1;

    if (ok) {
        long len = BIO_get_mem_data(pem, &text);
        ok = file_write(folder, SELF_SIGNED, slice_of(text, (size_t)len)) == 0;
    }
    BIO_free(pem);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return ok;
}

/* Made for this realm, and good for some time. */
static bool is_good(const char *path, struct slice realm)
{
    struct slice bytes;
    X509 *certificate = NULL;
    char name[65] = {0};
    bool ok = false;

    if (file_read(AT_FDCWD, path, PEM_BYTES, &bytes) != 0)
        return false;
    BIO *pem = BIO_new_mem_buf(bytes.at, (int)bytes.len);
    if (pem)
        certificate = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL);
    if (certificate && X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                                 name, sizeof name) >= 0)
        ok = slice_equal(slice_text(name), slice_until(realm, min_u64(realm.len, 64))) &&
             X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
    X509_free(certificate);
    close_pem(pem, &bytes);
    return ok;
}

static int open_folder(const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The file of the one that we made, or make now. */
static bool find_self_signed(struct certs *certs, const struct certs_plan *plan,
                             const char *folder_path, struct files *files, struct report *report)
{
    if (snprintf(files->certificate, sizeof files->certificate, "%s/" SELF_SIGNED, folder_path) >=
        (int)sizeof files->certificate)
        return fault(report, folder_path, "its name is too long; use a shorter one");
    memcpy(files->key, files->certificate, sizeof files->key);
    memcpy(certs->self_signed, files->certificate, sizeof certs->self_signed);
    if (is_good(certs->self_signed, plan->realm))
        return true;
    int folder = open_folder(folder_path);
    certs->is_made = folder >= 0 && make_self_signed(folder, plan->realm);
    if (folder >= 0)
        close(folder);
    return certs->is_made ||
           fault(report, folder_path,
                 "no certificate can be made in it; let the user that sipw runs as write to it, or "
                 "configure one with certfile and keyfile");
}

/* ---- contexts */

static bool is_file(const char *path)
{
    return access(path, F_OK) == 0;
}

static SSL_CTX *make_context(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);

    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* An idle connection has no buffers, which are 34 KiB of its 50.  The chain is what the file
     * has: looking for it among the CAs would cost each handshake as much as the rest of it. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_verify_depth(context, CHAIN_LIMIT);
    SSL_CTX_set_max_cert_list(context, PEER_CHAIN_BYTES);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_set_cipher_list(context, CIPHERS_12) == 1 &&
        SSL_CTX_set1_groups_list(context, GROUPS) == 1)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* The public CAs are read when the first certificate has to be judged: a start has no 25 ms for
 * them, and many a server never judges one.  The bundle, and the folder by its hashed names; of the
 * default ways not the third, which reads the whole folder for each issuer that is not in it. */
static int find_issuer(X509 **issuer, X509_STORE_CTX *judging, X509 *of)
{
    X509_STORE *store = X509_STORE_CTX_get0_store(judging);
    X509_LOOKUP *bundle = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    X509_LOOKUP *folder = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

    X509_STORE_set_get_issuer(store, X509_STORE_CTX_get1_issuer);
    ERR_set_mark(); /* a machine without them is no error of this handshake */
    if (bundle)
        X509_LOOKUP_load_file(bundle, NULL, X509_FILETYPE_DEFAULT);
    if (folder)
        X509_LOOKUP_add_dir(folder, NULL, X509_FILETYPE_DEFAULT);
    ERR_pop_to_mark();
    return X509_STORE_CTX_get1_issuer(issuer, judging, of);
}

/* Any purpose: what a certificate may be used for is looked at with its names (shell/tls.c); public
 * CAs no longer issue any for clients. */
static bool trust(SSL_CTX *context, struct slice authfile, struct report *report)
{
    char path[PATH_MAX];

    SSL_CTX_set_purpose(context, X509_PURPOSE_ANY);
    X509_STORE_set_get_issuer(SSL_CTX_get_cert_store(context), find_issuer);
    if (!authfile.len)
        return true;
    snprintf(path, sizeof path, "%.*s", (int)authfile.len, authfile.at);
    if (SSL_CTX_load_verify_file(context, path) == 1)
        return true;
    return fault(report, path,
                 "no CA certificates can be read from it, as authfile says; write "
                 "them in PEM, or leave authfile out");
}

/* DOMAIN.pem, and the key in DOMAIN.key, or behind it; false if there is none. */
static bool find_of_domain(const char *folder, struct slice domain, struct files *files)
{
    size_t room = sizeof files->key;

    if (!host_valid(domain) || domain.at[0] == '[')
        return false;
    if (snprintf(files->certificate, room, "%s/%.*s.pem", folder, (int)domain.len, domain.at) >=
            (int)room ||
        !is_file(files->certificate))
        return false;
    snprintf(files->key, room, "%s/%.*s.key", folder, (int)domain.len, domain.at);
    if (!is_file(files->key))
        memcpy(files->key, files->certificate, room);
    return true;
}

/* For all who ask for no name that has a certificate of its own, and for us where we connect. */
static bool find_default(struct certs *certs, const struct certs_plan *plan, const char *folder,
                         struct files *files, struct report *report)
{
    struct slice keyfile = plan->keyfile.len ? plan->keyfile : plan->certfile;

    if (!plan->certfile.len)
        return find_of_domain(folder, plan->realm, files) ||
               find_self_signed(certs, plan, folder, files, report);
    snprintf(files->certificate, sizeof files->certificate, "%.*s", (int)plan->certfile.len,
             plan->certfile.at);
    snprintf(files->key, sizeof files->key, "%.*s", (int)keyfile.len, keyfile.at);
    return true;
}

static bool use_default(struct certs *certs, const struct certs_plan *plan, const char *folder,
                        struct report *report)
{
    struct files files;

    if (!find_default(certs, plan, folder, &files, report) ||
        !use_files(certs->server, &files, report) || !use_files(certs->client, &files, report))
        return false;
    warn_of_dates(certs->server, files.certificate, report);
    return true;
}

static int is_certificate(const struct dirent *entry)
{
    struct slice name = slice_text(entry->d_name);

    return name.len > 4 && name.at[0] != '.' && strcmp(entry->d_name, SELF_SIGNED) != 0 &&
           slice_equal(slice_from(name, name.len - 4), S(".pem"));
}

static bool add_named(struct certs *certs, const struct certs_plan *plan, const char *folder,
                      struct slice domain, struct report *report)
{
    struct named_certificate *named = &certs->named[certs->named_count];
    struct files files;
    char *name;

    if (!find_of_domain(folder, domain, &files))
        return fault(report, folder, "a file in it does not have a domain's name; take it away");
    if (certs->named_count == CERTS_NAMED)
        return fault(report, folder, "there are more than 256 certificates in it; take some away");
    name = strndup(domain.at, domain.len);
    if (!name)
        return false;
    *named = (struct named_certificate){slice_text(name), make_context(TLS_server_method())};
    certs->named_count++;
    if (!named->context || !use_files(named->context, &files, report))
        return false;
    /* Its handshakes judge the peer by this store, and it trusts the same CAs. */
    SSL_CTX_set1_cert_store(named->context, SSL_CTX_get_cert_store(certs->server));
    if (plan->certfile.len || !slice_equal(domain, plan->realm)) /* else that was said */
        warn_of_dates(named->context, files.certificate, report);
    return true;
}

static bool load_named(struct certs *certs, const struct certs_plan *plan, const char *folder,
                       struct report *report)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_certificate, alphasort);
    bool ok = true;

    for (int i = 0; i < count; i++) {
        struct slice name = slice_text(entries[i]->d_name);
        ok = ok && add_named(certs, plan, folder, slice_until(name, name.len - 4), report);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return ok;
}

static bool load_all(struct certs *certs, const struct certs_plan *plan, struct report *report)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%s/certs", plan->state_path);
    certs->server = make_context(TLS_server_method());
    certs->client = make_context(TLS_client_method());
    return certs->server && certs->client && trust(certs->server, plan->authfile, report) &&
           trust(certs->client, plan->authfile, report) &&
           SSL_CTX_dane_enable(certs->client) == 1 && use_default(certs, plan, folder, report) &&
           load_named(certs, plan, folder, report);
}

struct certs *certs_load(const struct certs_plan *plan, struct report *report)
{
    struct certs *certs = calloc(1, sizeof *certs);
    const char *file = report->file;
    bool ok = certs && load_all(certs, plan, report);

    if (!ok && !report->has_fault)
        report_fault(report, (struct place){0}, "no memory for certificates");
    report->file = file;
    if (ok)
        return certs;
    if (certs)
        certs_free(certs);
    return NULL;
}

void certs_free(struct certs *certs)
{
    for (unsigned i = 0; i < certs->named_count; i++) {
        SSL_CTX_free(certs->named[i].context);
        free((void *)(uintptr_t)certs->named[i].name.at);
    }
    SSL_CTX_free(certs->server);
    SSL_CTX_free(certs->client);
    free(certs);
}
