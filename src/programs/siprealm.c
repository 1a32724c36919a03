/* siprealm: shows or sets the realm, which is the domain that the server serves. */
#include "programs/realm.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum option_code { OPTION_FILE = 256 };

static const struct option_row option_rows[] = {
    {OPTION_FILE, "file", "FILE", "instead of " REALM_FILE},
    OPTIONS_SERVER,
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "siprealm",
    .synopsis = "[REALM [TYPE]]",
    .about = "Shows the realm of SIP Witch, or sets it. TYPE is md5 (the default) or sha-256.",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

static enum client_status run(struct session *session, char **words, const char *file)
{
    char realm[REALM_LIMIT];

    if (words[0] && words[1] && words[2]) {
        complain(&program, "too many words; siprealm --help tells more");
        return CLIENT_USAGE;
    }
    if (words[0])
        return realm_set(session, file, words[0], words[1]);
    enum client_status status = realm_find(session, file, session->state, realm);
    if (status == CLIENT_FINE)
        printf("%s\n", realm);
    return status;
}

int main(int count, char **words)
{
    const char *file = REALM_FILE;
    struct session session;
    int code;

    session_begin(&session, &program, "realm");
    while ((code = options_next(&program, count, words)) != -1) {
        if (code == OPTION_FILE)
            file = optarg;
        else if (!session_option(&session, code))
            return CLIENT_USAGE;
    }
    return session_end(&session, run(&session, words + optind, file));
}
