/* What a certificate names, and a plan's bytes: whatever a peer or a journal holds. */
#include "core/identity.h"
#include "core/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines: "u" a URI, "h" a host name, "c" the common name; the first is the domain asked for. */
static struct slice read_names(struct slice rest, struct certificate_names *names)
{
    size_t end = slice_find(rest, '\n');
    struct slice domain = slice_until(rest, end);

    while (end < rest.len) {
        rest = slice_from(rest, end + 1);
        end = slice_find(rest, '\n');
        struct slice line = slice_until(rest, end);
        struct slice name = slice_from(line, line.len > 0);
        char kind = line.len ? line.at[0] : 0;
        names->has_alternatives |= kind == 'u' || kind == 'h';
        if (kind == 'u' && names->uri_count < IDENTITY_NAMES)
            names->uris[names->uri_count++] = name;
        else if (kind == 'h' && names->host_count < IDENTITY_NAMES)
            names->hosts[names->host_count++] = name;
        else if (kind == 'c')
            names->common = name;
    }
    return domain;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct certificate_names names = {0};
    struct slice domain = read_names(bytes, &names);
    char text[4096], again[4096];
    struct writer w = writer_over(text, sizeof text);
    struct peer_plan plan;

    identity_write(&w, &names);
    assert(!w.failed);
    if (size < 2000)
        assert(identity_proves(&names, domain) == identity_is_among(writer_slice(&w), domain));
    if (!peer_read(bytes, &plan) || size > sizeof again)
        return 0;
    w = writer_over(again, sizeof again);
    peer_write(&w, &plan);
    assert(slice_equal(writer_slice(&w), bytes));
    return 0;
}
