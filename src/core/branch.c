#include "core/branch.h"

static uint64_t mac_of(const struct hash_key *key, const struct branch *branch)
{
    uint64_t words[2] = {branch->transaction, (uint64_t)branch->shard << 32 | branch->loop};

    return hash_sign(key, slice_of((const char *)words, sizeof words));
}

void branch_write(struct writer *w, const struct hash_key *key, const struct branch *branch)
{
    write_slice(w, S(BRANCH_COOKIE));
    write_hex(w, branch->shard, 2);
    write_hex(w, branch->transaction, 16);
    write_hex(w, branch->loop, 8);
    write_hex(w, mac_of(key, branch), 16);
}

bool branch_read(struct slice text, const struct hash_key *key, struct branch *branch)
{
    const size_t cookie = sizeof BRANCH_COOKIE - 1;
    uint8_t bytes[21];
    uint64_t mac = 0;

    if (text.len != BRANCH_TEXT || !slice_starts(text, S(BRANCH_COOKIE)) ||
        !hex_decode(slice_from(text, cookie), bytes, sizeof bytes))
        return false;
    *branch = (struct branch){.shard = bytes[0]};
    for (int i = 1; i < 9; i++)
        branch->transaction = branch->transaction << 8 | bytes[i];
    for (int i = 9; i < 13; i++)
        branch->loop = branch->loop << 8 | bytes[i];
    for (int i = 13; i < 21; i++)
        mac = mac << 8 | bytes[i];
    return mac == mac_of(key, branch);
}
