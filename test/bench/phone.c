#include "phone.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "scan.h"

static const EVP_MD *digest_algorithm;
static EVP_MD_CTX *digest_context;

/* Fetched once: a fetch by name costs more than the digest itself. */
bool digest_prepare(void)
{
    digest_algorithm = EVP_MD_fetch(NULL, "MD5", NULL);
    digest_context = EVP_MD_CTX_new();
    return digest_algorithm && digest_context;
}

void digest_hex(const char *bytes, size_t length, char hex[HASH_HEX])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    EVP_DigestInit_ex(digest_context, digest_algorithm, NULL);
    EVP_DigestUpdate(digest_context, bytes, length);
    EVP_DigestFinal_ex(digest_context, hash, NULL);
    for (unsigned i = 0; i < HASH_HEX / 2; i++) {
        hex[2 * i] = "0123456789abcdef"[hash[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
    }
}

void phone_prepare(struct phone *phone, uint32_t number, uint32_t wire)
{
    char secret[64];
    memset(phone, 0, sizeof *phone);
    snprintf(phone->user, sizeof phone->user, "u%06u", number % 1000000);
    int length =
        snprintf(secret, sizeof secret, "%s:" BENCH_DOMAIN ":secret-%s", phone->user, phone->user);
    digest_hex(secret, (size_t)length, phone->ha1);
    phone->wire = wire;
}

bool credentials_take(struct credentials *credentials, struct span challenge)
{
    struct span nonce = scan_parameter(challenge, "nonce=\"", "\"");
    struct span opaque = scan_parameter(challenge, "opaque=\"", "\"");
    struct span realm = scan_parameter(challenge, "realm=\"", "\"");
    struct span qop = scan_parameter(challenge, "qop=", " ");
    if (nonce.length == 0 || nonce.length > NONCE_MAX || opaque.length > NONCE_MAX ||
        qop.length == 0 || !scan_same(realm, BENCH_DOMAIN))
        return false;
    memcpy(credentials->nonce, nonce.at, nonce.length);
    credentials->nonce_length = nonce.length;
    if (opaque.length)
        memcpy(credentials->opaque, opaque.at, opaque.length);
    credentials->opaque_length = opaque.length;
    credentials->uses = 0;
    credentials->generation++;
    return true;
}

static void credentials_response(const struct credentials *credentials, const struct phone *phone,
                                 struct span method, struct span uri, char response[HASH_HEX])
{
    char buffer[512];
    char ha2[HASH_HEX];
    struct text text = text_over(buffer, sizeof buffer);
    text_span(&text, method);
    text_say(&text, ":");
    text_span(&text, uri);
    digest_hex(buffer, text_length(&text), ha2);

    text = text_over(buffer, sizeof buffer);
    text_put(&text, phone->ha1, HASH_HEX);
    text_say(&text, ":");
    text_put(&text, credentials->nonce, credentials->nonce_length);
    text_say(&text, ":");
    text_hex(&text, credentials->uses);
    text_say(&text, ":6d5f4e3c:auth:");
    text_put(&text, ha2, HASH_HEX);
    digest_hex(buffer, text_length(&text), response);
}

void credentials_answer(struct credentials *credentials, const struct phone *phone,
                        struct span method, struct span uri, struct text *text)
{
    char response[HASH_HEX];
    credentials->uses++;
    credentials_response(credentials, phone, method, uri, response);
    text_say(text, "Digest username=\"");
    text_put(text, phone->user, 7);
    text_say(text, "\", realm=\"" BENCH_DOMAIN "\", nonce=\"");
    text_put(text, credentials->nonce, credentials->nonce_length);
    text_say(text, "\", uri=\"");
    text_span(text, uri);
    text_say(text, "\", response=\"");
    text_put(text, response, HASH_HEX);
    text_say(text, "\", algorithm=MD5, cnonce=\"6d5f4e3c\", qop=auth, nc=");
    text_hex(text, credentials->uses);
    if (credentials->opaque_length) {
        text_say(text, ", opaque=\"");
        text_put(text, credentials->opaque, credentials->opaque_length);
        text_say(text, "\"");
    }
}
