#include "shell/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_NAME 64 /* bytes of a name of ours */

void place_state(char path[PATH_MAX])
{
    const char *home = getenv("HOME"), *state = getenv("XDG_STATE_HOME");

    if (geteuid() == 0 || !home)
        snprintf(path, PATH_MAX, "/var/lib/sipwitch");
    else if (state && state[0] == '/')
        snprintf(path, PATH_MAX, "%s/sipwitch", state);
    else
        snprintf(path, PATH_MAX, "%s/.local/state/sipwitch", home);
}

void place_control(const char *prefix, char path[PATH_MAX])
{
    const char *given = getenv("RUNTIME_DIRECTORY"), *runtime = getenv("XDG_RUNTIME_DIR");
    char state[PATH_MAX];

    if (prefix) {
        snprintf(path, PATH_MAX, "%s/control", prefix);
    } else if (given && given[0] == '/') {
        snprintf(path, PATH_MAX, "%.*s/control", (int)strcspn(given, ":"), given);
    } else if (geteuid() == 0) {
        snprintf(path, PATH_MAX, "/run/sipwitch/control");
    } else if (runtime && runtime[0] == '/') {
        snprintf(path, PATH_MAX, "%s/sipwitch/control", runtime);
    } else {
        place_state(state);
        snprintf(path, PATH_MAX, "%.*s/control", PATH_MAX - 16, state);
    }
}

const char *place_program(const char *name, char path[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - PROGRAM_NAME);
    char *slash;

    path[len > 0 ? len : 0] = '\0';
    slash = strrchr(path, '/');
    if (!slash)
        return name;
    snprintf(slash + 1, PROGRAM_NAME, "%s", name);
    return access(path, X_OK) == 0 ? path : name;
}
