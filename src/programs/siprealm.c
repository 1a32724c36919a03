/* siprealm: shows or sets the realm, which is the domain that the server serves. */
#include "programs/realm.h"
#include "shell/place.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum option_code { OPTION_SOCKET = 256, OPTION_PREFIXPATH, OPTION_FILE };

static const struct option_row option_rows[] = {
    {OPTION_FILE, "file", "FILE", "instead of " REALM_FILE},
    {OPTION_SOCKET, "socket", "PATH", "the control socket of the server"},
    {OPTION_PREFIXPATH, "prefixpath", "DIR", "the server's state directory"},
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "siprealm",
    .synopsis = "[REALM [TYPE]]",
    .about = "Shows the realm of SIP Witch, or sets it. TYPE is md5 (the default) or sha-256.",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

static enum client_status run(struct session *session, char **words, const char *file,
                              const char *state)
{
    char realm[REALM_LIMIT];

    if (words[0] && words[1] && words[2]) {
        complain(&program, "too many words; siprealm --help tells more");
        return CLIENT_USAGE;
    }
    if (words[0])
        return realm_set(session, file, words[0], words[1]);
    enum client_status status = realm_find(session, file, state, realm);
    if (status == CLIENT_FINE)
        printf("%s\n", realm);
    return status;
}

int main(int count, char **words)
{
    static char socket[PATH_MAX], state[PATH_MAX];
    struct session session = {.program = &program, .patience = 10000, .command = "realm"};
    const char *file = REALM_FILE;
    int code;

    place_state(state);
    while ((code = options_next(&program, count, words)) != -1) {
        switch (code) {
        case OPTION_FILE: file = optarg; break;
        case OPTION_SOCKET: session.socket = optarg; break;
        case OPTION_PREFIXPATH:
            snprintf(state, sizeof state, "%s", optarg);
            snprintf(socket, sizeof socket, "%s/control", optarg);
            session.socket = socket;
            break;
        default: return CLIENT_USAGE;
        }
    }
    enum client_status status = run(&session, words + optind, file, state);
    if (session.is_open)
        client_leave(&session.client);
    return (int)(fflush(stdout) != 0 && status == CLIENT_FINE ? CLIENT_LOCAL : status);
}
