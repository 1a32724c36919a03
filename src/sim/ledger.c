#include "sim/ledger.h"

#include "sim/copy.h"

static uint32_t find(const struct ledger *l, uint32_t place, uint64_t key)
{
    while (place && l->entries[place].key != key)
        place = l->entries[place].next;
    return place;
}

static void grow(struct ledger *l)
{
    l->room = l->room ? 2 * l->room : 4096;
    l->bucket_count = l->room;
    l->entries = realloc(l->entries, l->room * sizeof *l->entries);
    free(l->buckets);
    l->buckets = take(l->bucket_count, sizeof *l->buckets);
    if (!l->entries)
        abort();
    l->count = l->count ? l->count : 1;
    for (uint32_t i = 1; i < l->count; i++) {
        uint32_t *bucket = &l->buckets[l->entries[i].key & (l->bucket_count - 1)];
        l->entries[i].next = *bucket;
        *bucket = i;
    }
}

void ledger_note(struct ledger *l, uint64_t key, uint32_t value)
{
    uint32_t *bucket;

    if (l->count == l->room)
        grow(l);
    bucket = &l->buckets[key & (l->bucket_count - 1)];
    l->entries[l->count] = (struct ledger_entry){key, *bucket, value};
    *bucket = l->count++;
}

uint32_t ledger_first(const struct ledger *l, uint64_t key)
{
    return l->count ? find(l, l->buckets[key & (l->bucket_count - 1)], key) : 0;
}

uint32_t ledger_next(const struct ledger *l, uint32_t place)
{
    return find(l, l->entries[place].next, l->entries[place].key);
}

void ledger_free(struct ledger *l)
{
    free(l->entries);
    free(l->buckets);
    *l = (struct ledger){0};
}

uint64_t ledger_key(const char *kind, struct slice a, struct slice b, uint64_t number)
{
    static const struct hash_key key = {1, 2};
    struct hash_key second = {hash_bytes(&key, slice_text(kind)), number};

    second.k1 ^= hash_bytes(&second, a);
    return hash_bytes(&second, b);
}
