#include "core/gruu.h"

#include "core/location.h"

#define TOKEN_PREFIX "tgruu."
#define TOKEN_BYTES 28u /* what is said, and the MAC */
#define MAC_BYTES 8u
#define GR_LIMIT 128u /* a longer instance stands in a public GRUU as its hash */

/* What a sum is for: none of one kind is good for another. */
enum purpose {
    HIDE_ID = 1,
    HIDE_CALL,
    PROVE,
};

static uint64_t sign(const struct core *core, enum purpose purpose, uint64_t salt, uint64_t id,
                     uint64_t call)
{
    const uint64_t words[] = {purpose, salt, id, call};

    return hash_sign(&core->key_gruu, slice_of((const char *)words, sizeof words));
}

/* Which REGISTERs it belongs to. */
static uint32_t call_of(const struct core *core, const struct binding *binding)
{
    return (uint32_t)hash_sign(&core->key_gruu, binding_call_id(binding));
}

/* Both parts under a keystream, so that two tokens of one phone have nothing in common. */
static void hide(const struct core *core, uint64_t salt, uint64_t *id, uint32_t *call)
{
    *id ^= sign(core, HIDE_ID, salt, 0, 0);
    *call ^= (uint32_t)sign(core, HIDE_CALL, salt, 0, 0);
}

static void write_token(struct writer *w, struct core *core, const struct binding *binding)
{
    char bytes[TOKEN_BYTES];
    struct writer b = writer_over(bytes, sizeof bytes);
    uint64_t salt = random_next(&core->random), id = binding->id;
    uint32_t call = call_of(core, binding);

    hide(core, salt, &id, &call);
    write_u64(&b, salt);
    write_u64(&b, id);
    write_u32(&b, call);
    write_u64(&b, sign(core, PROVE, salt, id, call));
    assert(!b.failed);
    write_slice(w, S(TOKEN_PREFIX));
    write_hex_bytes(w, bytes, b.len);
}

/* NULL if it is none of ours, or void. */
static struct binding *read_token(const struct core *core, struct slice user)
{
    char bytes[TOKEN_BYTES];
    struct slice prefix = S(TOKEN_PREFIX);
    struct binding *binding;
    struct reader r;
    uint64_t salt, id;
    uint32_t call;

    if (!slice_starts(user, prefix) ||
        !hex_decode(slice_from(user, prefix.len), bytes, sizeof bytes))
        return NULL;
    r = reader_over(slice_of(bytes, sizeof bytes));
    salt = read_u64(&r);
    id = read_u64(&r);
    call = read_u32(&r);
    if (read_u64(&r) != sign(core, PROVE, salt, id, call))
        return NULL;
    hide(core, salt, &id, &call);
    binding = location_binding(core, id);
    return binding && binding->instance_len && call == call_of(core, binding) ? binding : NULL;
}

/* Without the quotes and angle brackets around it. */
static struct slice bare_instance(const struct binding *binding)
{
    struct slice text = binding_instance(binding);

    while (text.len && (text.at[0] == '"' || text.at[0] == '<'))
        text = slice_from(text, 1);
    while (text.len && (text.at[text.len - 1] == '"' || text.at[text.len - 1] == '>'))
        text.len--;
    return text;
}

/* It may stand in a URI's parameter as it is (25.1). */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.at[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            !memchr("-_.!~*'()[]/:&+$", c, 16))
            return false;
    }
    return text.len && text.len <= GR_LIMIT;
}

static void write_gr(struct writer *w, const struct core *core, const struct binding *binding)
{
    struct slice instance = bare_instance(binding);

    if (is_plain(instance))
        write_slice(w, instance);
    else
        write_hex(w, hash_sign(&core->key_gruu, binding_instance(binding)), 16);
}

static void write_host_of(struct writer *w, const struct uri *aor)
{
    write_char(w, '@');
    write_slice(w, aor->host);
    if (aor->port) {
        write_char(w, ':');
        write_number(w, aor->port);
    }
}

void gruu_write(struct writer *w, struct core *core, const struct binding *binding,
                const struct uri *aor)
{
    struct slice scheme = aor->scheme == SCHEME_SIPS ? S("sips:") : S("sip:");

    write_slice(w, S(";pub-gruu=\""));
    write_slice(w, scheme);
    write_slice(w, aor->user);
    write_host_of(w, aor);
    write_slice(w, S(";gr="));
    write_gr(w, core, binding);
    write_slice(w, S("\";temp-gruu=\""));
    write_slice(w, scheme);
    write_token(w, core, binding);
    write_host_of(w, aor);
    write_slice(w, S(";gr\""));
}

bool uri_is_gruu(const struct uri *uri)
{
    struct slice gr;

    return uri->user.len && uri->params.len && uri_param(uri, S("gr"), &gr);
}

static bool has_gr(const struct core *core, const struct binding *binding, struct slice gr)
{
    char text[GR_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    if (!binding->instance_len)
        return false;
    write_gr(&w, core, binding);
    return slice_equal_nocase(writer_slice(&w), gr);
}

struct binding *gruu_find(const struct core *core, const struct uri *uri, unsigned *status)
{
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);
    struct slice gr = NO_SLICE;
    const struct user *user;

    *status = 404;
    if (!uri_param(uri, S("gr"), &gr) || !gr.len)
        return read_token(core, uri->user);
    uri_unescape(&w, uri->user);
    user = w.failed ? NULL : location_find(core, writer_slice(&w));
    if (!user || !user_may_be_bound(user))
        return NULL;
    for (struct binding *b = location_first(core, user); b; b = location_next(core, b))
        if (has_gr(core, b, gr))
            return b;
    *status = core->settings->unregistered;
    return NULL;
}
