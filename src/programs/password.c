#include "programs/password.h"

#include "base/cursor.h"
#include "programs/secret.h"
#include "shell/digests.h"

#include <string.h>

enum client_status password_digests(const struct session *session, const char *user,
                                    const char *realm, struct user_settings *to)
{
    static const enum algorithm algorithms[] = {ALGORITHM_MD5, ALGORITHM_SHA256};
    char secret[SECRET_LIMIT];
    const char *why = session->has_stdin ? secret_read(secret) : secret_ask(user, secret);

    if (why)
        return session_fail(session, CLIENT_LOCAL, "%s", why);
    *to = (struct user_settings){.id = slice_text(user)};
    for (unsigned i = 0; i < COUNT_OF(algorithms); i++) {
        digest_ha1(&digests_openssl, algorithms[i], to->id, slice_text(realm), slice_text(secret),
                   to->ha1[algorithms[i]]);
        to->has_ha1[algorithms[i]] = true;
    }
    explicit_bzero(secret, sizeof secret);
    return CLIENT_FINE;
}

static void spell(const struct user_settings *user, enum algorithm algorithm, char *to)
{
    struct writer w = writer_over(to, 2 * DIGEST_LIMIT);

    write_hex_bytes(&w, user->ha1[algorithm], digest_size(algorithm));
    to[w.len] = '\0';
}

enum client_status password_put(struct session *session, const char *command, const char *realm,
                                struct user_settings *to)
{
    char md5[2 * DIGEST_LIMIT + 1], sha256[2 * DIGEST_LIMIT + 1];

    spell(to, ALGORITHM_MD5, md5);
    spell(to, ALGORITHM_SHA256, sha256);
    enum client_status status = session_ask(session, "command", command, "user", to->id.at, "realm",
                                            realm, "md5", md5, "sha256", sha256, "extension",
                                            session->extension, "display", session->display, NULL);
    explicit_bzero(md5, sizeof md5);
    explicit_bzero(sha256, sizeof sha256);
    explicit_bzero(to, sizeof *to);
    return status == CLIENT_FINE ? session_finish(session) : status;
}
