#include "shell/load.h"

#include "shell/digests.h"
#include "shell/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_BYTES (size_t)(256u << 20)
#define NAMES_OF_OURS 2u /* the host's name and localhost */

struct config *load_config(const struct sources *sources, struct report *report)
{
    struct slice xml;
    int error = file_read(AT_FDCWD, sources->config_path, CONFIG_BYTES, &xml);

    report_init(report, sources->config_path);
    if (error) {
        report_fault(report, (struct place){0},
                     "cannot be read: %s; name another with --configpath", strerror(-error));
        return NULL;
    }
    struct config *config = config_read(xml, sources->realm, &digests_openssl, report);
    explicit_bzero((void *)(uintptr_t)xml.at, xml.len);
    free((void *)(uintptr_t)xml.at);
    return config;
}

/* The same address by another transport is the same name. */
static bool is_named(const struct sockets *sockets, unsigned i)
{
    for (unsigned n = 0; n < i; n++)
        if (slice_equal(sockets->at[n].host, sockets->at[i].host))
            return true;
    return false;
}

static bool make_settings(struct epoch *epoch, const struct sockets *sockets, bool is_public)
{
    struct settings *settings = &epoch->settings;
    unsigned count;

    *settings = epoch->config->settings;
    settings->sockets = sockets->at;
    settings->socket_count = sockets->count;
    settings->is_public |= is_public;
    count = settings->localname_count;
    epoch->localnames = calloc(count + sockets->count + NAMES_OF_OURS, sizeof *epoch->localnames);
    if (!epoch->localnames)
        return false;
    if (count)
        memcpy(epoch->localnames, settings->localnames, count * sizeof *epoch->localnames);
    if (gethostname(epoch->hostname, sizeof epoch->hostname - 1) == 0 && epoch->hostname[0])
        epoch->localnames[count++] = slice_text(epoch->hostname);
    epoch->localnames[count++] = S("localhost");
    for (unsigned i = 0; i < sockets->count; i++)
        if (!is_named(sockets, i))
            epoch->localnames[count++] = sockets->at[i].host;
    settings->localnames = epoch->localnames;
    settings->localname_count = count;
    return true;
}

struct epoch *epoch_make(struct config *config, const struct sockets *sockets, bool is_public)
{
    struct epoch *epoch = calloc(1, sizeof *epoch);

    if (!epoch) {
        config_free(config);
        return NULL;
    }
    epoch->config = config;
    if (make_settings(epoch, sockets, is_public))
        return epoch;
    epoch_free(epoch);
    return NULL;
}

void epoch_free(struct epoch *epoch)
{
    config_free(epoch->config);
    free(epoch->localnames);
    free(epoch);
}
