#include "core/origin.h"

#include "sip/upgrade.h"

static bool is_localhost(struct slice host)
{
    return slice_equal_nocase(host, S("localhost"));
}

/* phone.example.com is under example.com. */
static bool is_under(struct slice host, struct slice domain)
{
    size_t extra = host.len - domain.len;

    return domain.len && host.len > domain.len + 1 && host.at[extra - 1] == '.' &&
           slice_equal_nocase(slice_from(host, extra), domain);
}

static bool is_our_host(const struct settings *settings, struct slice host)
{
    if (slice_equal_nocase(host, settings->realm) || is_under(host, settings->realm) ||
        is_localhost(host))
        return true;
    for (unsigned i = 0; i < settings->localname_count; i++)
        if (slice_equal_nocase(host, settings->localnames[i]))
            return true;
    for (unsigned i = 0; i < settings->socket_count; i++)
        if (!settings->sockets[i].is_gone && slice_equal_nocase(host, settings->sockets[i].host))
            return true;
    return false;
}

bool origin_is_allowed(const struct settings *settings, struct slice origin)
{
    struct slice host;

    if (!origin.at)
        return true;
    host = upgrade_origin_host(origin);
    for (unsigned i = 0; i < settings->origin_count; i++)
        if (slice_equal(settings->origins[i], S("*")) ||
            slice_equal_nocase(settings->origins[i], origin) ||
            (host.len && slice_equal_nocase(settings->origins[i], host)))
            return true;
    return host.len && is_our_host(settings, host);
}
