#include "core/credential.h"

#include "core/identity.h"

/* RFC 6698 2.1.1 */
enum usage { USAGE_CA, USAGE_SERVICE, USAGE_ANCHOR, USAGE_DOMAIN };

#define HEAD 2u /* bytes before the first fingerprints */

void credential_write(struct writer *w, const struct credential *credential)
{
    write_u8(w, credential->is_vouched);
    write_u8(w, (uint8_t)credential->count);
    for (unsigned i = 0; i < credential->count; i++) {
        const struct shown_certificate *of = &credential->chain[i];
        write_bytes(w, of->sha256, sizeof of->sha256);
        write_bytes(w, of->sha512, sizeof of->sha512);
    }
    write_counted(w, credential->names);
}

/* As many bytes as there are; what is not there stays as it was. */
static void read_into(struct reader *r, void *at, size_t len)
{
    struct slice bytes = read_bytes(r, len);

    if (bytes.len)
        memcpy(at, bytes.at, bytes.len);
}

bool credential_read(struct slice bytes, struct credential *credential)
{
    struct reader r = reader_over(bytes);

    *credential = (struct credential){.is_vouched = read_u8(&r)};
    credential->count = read_u8(&r);
    if (!credential->count || credential->count > CREDENTIAL_CHAIN)
        return false;
    for (unsigned i = 0; i < credential->count; i++) {
        struct shown_certificate *of = &credential->chain[i];
        read_into(&r, of->sha256, sizeof of->sha256);
        read_into(&r, of->sha512, sizeof of->sha512);
    }
    credential->names = read_counted(&r);
    return !r.failed && !r.rest.len;
}

struct slice credential_name(struct slice bytes)
{
    const struct shown_certificate *own;

    return slice_until(slice_from(bytes, HEAD), sizeof own->sha256[0]);
}

/* What matches itself is compared by its hash. */
static bool is_of(const struct shown_certificate *of, const struct tlsa *tlsa,
                  digest_function *sha256)
{
    uint8_t sum[32];

    switch (tlsa->matching) {
    case 0:
        sha256(&tlsa->data, 1, sum);
        return memcmp(sum, of->sha256[tlsa->selector], sizeof sum) == 0;
    case 1: return memcmp(tlsa->data.at, of->sha256[tlsa->selector], 32) == 0;
    default: return memcmp(tlsa->data.at, of->sha512[tlsa->selector], 64) == 0;
    }
}

static bool names_it(const struct credential *credential, const struct peer_plan *plan)
{
    return identity_is_among(credential->names, plan->domain) ||
           (plan->server.len && identity_is_among(credential->names, plan->server));
}

static bool matches_one(const struct credential *credential, const struct peer_plan *plan,
                        const struct tlsa *tlsa, digest_function *sha256)
{
    bool is_authority = tlsa->usage == USAGE_CA || tlsa->usage == USAGE_ANCHOR;
    unsigned first = is_authority ? 1 : 0, end = is_authority ? credential->count : 1;

    if ((tlsa->usage <= USAGE_SERVICE && !credential->is_vouched) ||
        (tlsa->usage != USAGE_DOMAIN && !names_it(credential, plan)))
        return false;
    for (unsigned i = first; i < end; i++)
        if (is_of(&credential->chain[i], tlsa, sha256))
            return true;
    return false;
}

bool credential_matches(const struct credential *credential, const struct peer_plan *plan,
                        digest_function *sha256)
{
    for (unsigned i = 0; i < plan->tlsa_count; i++)
        if (matches_one(credential, plan, &plan->tlsa[i], sha256))
            return true;
    return false;
}
