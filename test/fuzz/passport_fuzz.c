/*
 * identity_field_parse, passport_read and body_find_sdp.  An input is the value of an Identity
 * field, or
 * '{' and the claims of a PASSporT as JSON, or '=' and a body of multipart/mixed.  What is read
 * lies in its buffers, and written again reads the same.
 */
#include "fuzz.h"

#include "base/base64.h"
#include "sip/body.h"
#include "sip/identity_field.h"

static void check_name(const struct passport_name *name)
{
    assert(name->text.len && name->text.len <= PASSPORT_NAME);
}

/* With the first destination alone, for that is what can be written. */
static void check_again(struct passport passport)
{
    static char at[PASSPORT_SIGNED];
    static struct passport_text text;
    struct writer w = writer_over(at, sizeof at);
    struct passport again;
    size_t dot;

    if (!slice_equal(passport.type, S("div")) && !slice_equal(passport.type, S("answer")))
        passport.type = NO_SLICE;
    passport.dest_count = 1;
    passport_write(&w, &passport);
    if (w.failed)
        return; /* no UTF-8, or the escapes of control characters */
    dot = slice_find(writer_slice(&w), '.');
    assert(passport_read(slice_until(writer_slice(&w), dot), slice_from(writer_slice(&w), dot + 1),
                         &text, &again));
    assert(slice_equal(again.info, passport.info) && slice_equal(again.type, passport.type));
    assert(passport_same_name(&again.orig, &passport.orig));
    assert(passport_same_name(&again.dest[0], &passport.dest[0]));
    if (slice_equal(again.type, S("div")))
        assert(passport_same_name(&again.div, &passport.div));
    assert(slice_equal(again.call.id, passport.call.id) &&
           slice_equal(again.call.from, passport.call.from) &&
           slice_equal(again.call.to, passport.call.to));
    assert(again.iat == passport.iat && fingerprints_equal(&again.keys, &passport.keys));
}

static void check_passport(struct slice header, struct slice payload)
{
    static struct passport_text text;
    struct passport passport;

    if (!passport_read(header, payload, &text, &passport))
        return;
    check_name(&passport.orig);
    assert(passport.dest_count && passport.dest_count <= PASSPORT_DESTS);
    for (unsigned i = 0; i < passport.dest_count; i++)
        check_name(&passport.dest[i]);
    assert(passport.iat >= 0 && passport.info.len && passport.info.len <= PASSPORT_NAME);
    check_again(passport);
}

static void check_claims(struct slice claims)
{
    static char header[256], payload[65536];
    struct writer h = writer_over(header, sizeof header);
    struct writer p = writer_over(payload, sizeof payload);

    write_base64url(&h,
                    S("{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\",\"x5u\":\"u\"}"));
    write_base64url(&p, claims);
    if (!p.failed)
        check_passport(writer_slice(&h), writer_slice(&p));
}

static void check_body(struct slice body)
{
    static char at[MESSAGE_LIMIT];
    static struct message m;
    struct writer w = writer_over(at, sizeof at);
    struct fingerprints list;
    struct slice sdp = NO_SLICE;

    write_slice(&w, S("MESSAGE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
                      "From: <sip:a@a>;tag=1\r\nTo: <sip:b>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\n"
                      "Content-Type: multipart/mixed;boundary=b\r\n\r\n"));
    write_slice(&w, body);
    if (w.failed || message_parse(writer_slice(&w), &m).status)
        return;
    if (body_find_sdp(&m, &sdp) != BODY_SDP)
        return;
    assert(sdp.at && is_within(sdp, message_body(&m)));
    if (fingerprints_read(sdp, &list))
        assert(list.count <= FINGERPRINTS_LIMIT && fingerprints_equal(&list, &list));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = fuzz_input(data, size);
    struct identity_field identity;

    if (size && (data[0] == '{' || data[0] == '=')) {
        if (data[0] == '{')
            check_claims(input);
        else
            check_body(slice_from(input, 1));
        return 0;
    }
    if (!identity_field_parse(input, &identity))
        return 0;
    const struct slice parts[] = {identity.header, identity.payload, identity.covered,
                                  identity.signature, identity.info};
    for (unsigned i = 0; i < COUNT_OF(parts); i++)
        assert(is_within(parts[i], input));
    assert(identity.info.len && identity.signature.len);
    if (identity.header.len)
        check_passport(identity.header, identity.payload);
    return 0;
}
