#include "unit.h"

#include "sip/identity_field.h"

/* RFC 8225 appendix A as RFC 8224 4.1.1 puts it into a field. */
#define HEADER                                                                                     \
    "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3"   \
    "Nwb3J0LmNlciJ9"
#define PAYLOAD                                                                                    \
    "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6ey"   \
    "J0biI6IjEyMTU1NTUxMjEyIn19"
#define SIGNATURE                                                                                  \
    "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47ZbNFdOJquE35cw"
#define INFO "https://cert.example.org/passport.cer"

static struct identity_field parsed(const char *value)
{
    struct identity_field identity;

    if (!identity_field_parse(slice_text(value), &identity))
        fail_msg("refused: %s", value);
    return identity;
}

static void the_full_form_falls_into_its_parts(void **state)
{
    struct identity_field i = parsed(HEADER "." PAYLOAD "." SIGNATURE ";info=<" INFO ">");
    uint8_t signature[ES256_SIGNATURE];

    (void)state;
    assert_slice(i.header, HEADER);
    assert_slice(i.payload, PAYLOAD);
    assert_slice(i.covered, HEADER "." PAYLOAD);
    assert_slice(i.signature, SIGNATURE);
    assert_slice(i.info, INFO);
    assert_slice(i.algorithm, "ES256");
    assert_int_equal(i.type.len, 0);
    assert_true(identity_field_signature(&i, signature));
    assert_int_equal(signature[0], 0x54);
    assert_int_equal(signature[63], 0x73);
}

static void the_compact_form_has_only_its_signature(void **state)
{
    struct identity_field i = parsed(".." SIGNATURE ";info=<" INFO ">");

    (void)state;
    assert_int_equal(i.header.len, 0);
    assert_int_equal(i.covered.len, 0);
    assert_slice(i.signature, SIGNATURE);
}

static void types_and_algorithms_may_be_quoted(void **state)
{
    struct identity_field i =
        parsed("..AA;ppt=\"div\";alg=\"RS256\";y=\"a;b\" ;\r\n INFO =<a:b?c,d>");
    uint8_t signature[ES256_SIGNATURE];

    (void)state;
    assert_slice(i.type, "div");
    assert_slice(i.algorithm, "RS256");
    assert_slice(i.info, "a:b?c,d");
    assert_slice(parsed("..AA;info=<a:b>;ppt=shaken").type, "shaken");
    assert_false(identity_field_signature(&i, signature));
}

static void a_signature_has_its_length(void **state)
{
    uint8_t signature[ES256_SIGNATURE];
    struct identity_field i = parsed(".." SIGNATURE ";info=<a:b>");

    (void)state;
    assert_true(identity_field_signature(&i, signature));
    i.signature.len -= 2;
    assert_false(identity_field_signature(&i, signature));
    i = parsed(".." SIGNATURE "AA;info=<a:b>");
    assert_false(identity_field_signature(&i, signature));
}

static void broken_fields_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "..AA",
        "..AA;info=a:b",
        "..AA;info=<>",
        "..AA;info=<a:b",
        "..AA;info",
        "..AA;info=\"<a:b>\"",
        "..AA;info=<a:b>;info=<c:d>",
        "..AA;info=<a:b>;alg=ES256;alg=none",
        "..AA;info=<a:b>;ppt=div;ppt=x",
        "..AA;info=<a:b>,..AA;info=<a:b>",
        "..AA;info=<a:b>;",
        "..AA info=<a:b>",
        "AA;info=<a:b>",
        "A.A;info=<a:b>",
        "A..A;info=<a:b>",
        ".A.A;info=<a:b>",
        "A.A.A.A;info=<a:b>",
        "A.A.;info=<a:b>",
        "\"..AA\";info=<a:b>",
        "..A+;info=<a:b>",
        "..AA==;info=<a:b>",
    };
    struct identity_field identity;

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (identity_field_parse(slice_text(bad[i]), &identity))
            fail_msg("accepted: %s", bad[i]);
}

static void what_is_written_is_read_again(void **state)
{
    struct passport passport = {.info = S(INFO), .type = S("div")};
    uint8_t signature[ES256_SIGNATURE], again[ES256_SIGNATURE];
    struct identity_field i = parsed(".." SIGNATURE ";info=<a:b>");
    char at[512];
    struct writer w = writer_over(at, sizeof at);

    (void)state;
    assert_true(identity_field_signature(&i, signature));
    identity_field_write(&w, &passport, S(HEADER "." PAYLOAD), signature);
    assert_slice(writer_slice(&w), HEADER "." PAYLOAD "." SIGNATURE ";info=<" INFO ">;ppt=\"div\"");
    assert_true(identity_field_parse(writer_slice(&w), &i));
    assert_true(identity_field_signature(&i, again));
    assert_memory_equal(signature, again, sizeof again);
}

int main(void)
{
    RUN(cmocka_unit_test(the_full_form_falls_into_its_parts),
        cmocka_unit_test(the_compact_form_has_only_its_signature),
        cmocka_unit_test(types_and_algorithms_may_be_quoted),
        cmocka_unit_test(a_signature_has_its_length), cmocka_unit_test(broken_fields_are_refused),
        cmocka_unit_test(what_is_written_is_read_again));
}
