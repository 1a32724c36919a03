#include "core/identity.h"

#include "core/limits.h"
#include "sip/uri.h"

/* A dot at the end says that a name is whole, which these are anyway. */
static struct slice without_dot(struct slice domain)
{
    return domain.len && domain.at[domain.len - 1] == '.' ? slice_until(domain, domain.len - 1)
                                                          : domain;
}

/* What could stand for several, or for something else, names nothing (7.2). */
static bool is_domain(struct slice host)
{
    struct address_bytes address;

    return host.len <= NAME_LIMIT && host_valid(host) && !host_numeric(host, &address);
}

/* 7.1 step 1: sip: without a user; a sips: URI names none. */
static bool domain_of_uri(struct slice text, struct slice *domain)
{
    struct uri uri;

    if (!uri_parse(text, &uri) || uri.scheme != SCHEME_SIP || uri.user.at)
        return false;
    *domain = uri.host;
    return is_domain(uri.host);
}

static bool has_sip_uri(const struct certificate_names *names)
{
    struct slice domain;

    for (unsigned i = 0; i < names->uri_count; i++)
        if (domain_of_uri(names->uris[i], &domain))
            return true;
    return false;
}

/* The domains one after another: `at` starts with 0; false after the last. */
static bool next_domain(const struct certificate_names *names, unsigned *at, struct slice *domain)
{
    bool by_uri = has_sip_uri(names);
    unsigned count = by_uri ? names->uri_count : names->host_count;

    if (!names->has_alternatives) {
        *domain = without_dot(names->common);
        return !(*at)++ && is_domain(*domain);
    }
    while (*at < count) {
        unsigned i = (*at)++;
        if (by_uri && domain_of_uri(names->uris[i], domain))
            return true;
        *domain = without_dot(names->hosts[i]);
        if (!by_uri && is_domain(*domain))
            return true;
    }
    return false;
}

bool identity_proves(const struct certificate_names *names, struct slice domain)
{
    struct slice named, wanted = without_dot(domain);

    for (unsigned at = 0; next_domain(names, &at, &named);)
        if (slice_equal_nocase(without_dot(named), wanted))
            return true;
    return false;
}

void identity_write(struct writer *w, const struct certificate_names *names)
{
    struct slice domain;

    for (unsigned at = 0; next_domain(names, &at, &domain);) {
        domain = without_dot(domain);
        if (domain.len + 1 > w->limit - w->len)
            continue;
        for (size_t i = 0; i < domain.len; i++)
            write_char(w, ascii_lower(domain.at[i]));
        write_char(w, '\n');
    }
}

bool identity_is_among(struct slice lines, struct slice domain)
{
    struct slice wanted = without_dot(domain);

    while (lines.len) {
        size_t end = slice_find(lines, '\n');
        if (slice_equal_nocase(slice_until(lines, end), wanted))
            return true;
        lines = slice_from(lines, end < lines.len ? end + 1 : end);
    }
    return false;
}
