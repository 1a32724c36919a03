#include "unit.h"

#include "base/hash.h"

/* The vectors of the reference implementation: key 00 01 .. 0f, input 00 01 .. len - 1. */
static const struct hash_key vector_key = {UINT64_C(0x0706050403020100),
                                           UINT64_C(0x0f0e0d0c0b0a0908)};

/* clang-format off */
static const struct {
    size_t len;
    uint64_t hash;
    struct hash128 wide;
} vectors[] = {
    {0, UINT64_C(0x726fdb47dd0e0e31), {UINT64_C(0xe6a825ba047f81a3), UINT64_C(0x930255c71472f66d)}},
    {1, UINT64_C(0x74f839c593dc67fd), {UINT64_C(0x44af996bd8c187da), UINT64_C(0x45fc229b11597634)}},
    {2, UINT64_C(0x0d6c8009d9a94f5a), {UINT64_C(0xc75da4a48d227781), UINT64_C(0xe4ff0af6de8ba3fc)}},
    {3, UINT64_C(0x85676696d7fb7e2d), {UINT64_C(0x4ea967520cb6709c), UINT64_C(0x51ed8529b0b6335f)}},
    {4, UINT64_C(0xcf2794e0277187b7), {UINT64_C(0xaf8f9c2dc16481f8), UINT64_C(0x7955cd7b7c6e0f7d)}},
    {5, UINT64_C(0x18765564cd99a68d), {UINT64_C(0x886f778059876813), UINT64_C(0x27960e69077a5254)}},
    {6, UINT64_C(0xcbc9466e58fee3ce), {UINT64_C(0x1386208b33caee14), UINT64_C(0x5ea1d78f30a05e48)}},
    {7, UINT64_C(0xab0200f58b01d137), {UINT64_C(0x53c1dbd8beebf1a1), UINT64_C(0x3982f01fa64ab8c0)}},
    {8, UINT64_C(0x93f5f5799a932462), {UINT64_C(0x61f55862baa9623b), UINT64_C(0xb49714f364e2830f)}},
    {9, UINT64_C(0x9e0082df0ba9e4b0), {UINT64_C(0xabbad90a06994426), UINT64_C(0xed716dbb028b7fc4)}},
    {10, UINT64_C(0x7a5dbbc594ddb9f3), {UINT64_C(0x56691478c30d1100), UINT64_C(0xbafbd0f3d34754c9)}},
    {11, UINT64_C(0xf4b32f46226bada7), {UINT64_C(0x77666b3868c55101), UINT64_C(0x18dce5816fdcb4a2)}},
    {12, UINT64_C(0x751e8fbc860ee5fb), {UINT64_C(0x58f35e9066b226d6), UINT64_C(0x25c13285f64d6382)}},
    {13, UINT64_C(0x14ea5627c0843d90), {UINT64_C(0x108bc0e947e26998), UINT64_C(0xf752b9c44f9329d0)}},
    {14, UINT64_C(0xf723ca908e7af2ee), {UINT64_C(0x9cded766aceffc31), UINT64_C(0x024949e45f48c77e)}},
    {15, UINT64_C(0xa129ca6149be45e5), {UINT64_C(0x11a8b03399e99354), UINT64_C(0xd9c3cf970fec087e)}},
    {63, UINT64_C(0x958a324ceb064572), {UINT64_C(0x4a83502f77d15051), UINT64_C(0x7cbd3f979a063e50)}},
};
/* clang-format on */

/* SipHash-1-3 with a key of zeros, as CPython 3.11 computes hash(bytes(range(len))) under
 * PYTHONHASHSEED=0. */
static const struct {
    size_t len;
    uint64_t hash;
} quick_vectors[] = {
    {1, UINT64_C(0x68a914128e01e473)},  {2, UINT64_C(0x010bac45c41e3669)},
    {3, UINT64_C(0x4d4c9a4a8ef6e0ad)},  {7, UINT64_C(0x2f098ab0c751325a)},
    {8, UINT64_C(0xead411e67ebe2eea)},  {9, UINT64_C(0x75927f9d95124362)},
    {15, UINT64_C(0xf30eb725bb91c9ea)}, {16, UINT64_C(0x8972188433a5c5b7)},
    {63, UINT64_C(0x385d3e39e5f37359)},
};

static struct slice counting_bytes(size_t len)
{
    static char bytes[64];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    return slice_of(bytes, len);
}

static void signing_gives_the_published_vectors(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(vectors); i++)
        assert_true(hash_sign(&vector_key, counting_bytes(vectors[i].len)) == vectors[i].hash);
}

static void derived_keys_are_the_published_wide_vectors(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(vectors); i++) {
        struct hash_key derived = hash_derive(&vector_key, counting_bytes(vectors[i].len));
        assert_true(derived.k0 == vectors[i].wide.low && derived.k1 == vectors[i].wide.high);
    }
}

static void hash_agrees_with_another_implementation(void **state)
{
    const struct hash_key zeros = {0, 0};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(quick_vectors); i++)
        assert_true(hash_bytes(&zeros, counting_bytes(quick_vectors[i].len)) ==
                    quick_vectors[i].hash);
}

static void wide_hashes_differ_in_both_halves_wherever_a_bit_differs(void **state)
{
    char bytes[33] = {0};
    struct hash128 plain = hash_bytes_wide(&vector_key, slice_of(bytes, sizeof bytes));

    (void)state;
    for (unsigned bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] = (char)(1u << bit % 8);
        struct hash128 other = hash_bytes_wide(&vector_key, slice_of(bytes, sizeof bytes));
        assert_true(other.low != plain.low && other.high != plain.high);
        assert_true(other.low != other.high);
        bytes[bit / 8] = 0;
    }
}

static void hash_does_not_depend_on_where_the_bytes_lie(void **state)
{
    char bytes[64 + 8];

    (void)state;
    for (unsigned shift = 0; shift < 8; shift++) {
        struct slice moved = slice_of(bytes + shift, 63);
        memcpy(bytes + shift, counting_bytes(63).at, 63);
        assert_true(hash_bytes(&vector_key, moved) == hash_bytes(&vector_key, counting_bytes(63)));
    }
}

static void keys_of_different_purposes_differ(void **state)
{
    struct hash_key branch = hash_derive(&vector_key, S("branch"));
    struct hash_key nonce = hash_derive(&vector_key, S("nonce"));
    struct hash_key again = hash_derive(&vector_key, S("branch"));

    (void)state;
    assert_true(branch.k0 != nonce.k0 && branch.k1 != nonce.k1);
    assert_true(branch.k0 == again.k0 && branch.k1 == again.k1);
}

int main(void)
{
    RUN(cmocka_unit_test(signing_gives_the_published_vectors),
        cmocka_unit_test(derived_keys_are_the_published_wide_vectors),
        cmocka_unit_test(hash_agrees_with_another_implementation),
        cmocka_unit_test(wide_hashes_differ_in_both_halves_wherever_a_bit_differs),
        cmocka_unit_test(hash_does_not_depend_on_where_the_bytes_lie),
        cmocka_unit_test(keys_of_different_purposes_differ));
}
