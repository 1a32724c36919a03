#include "config/schema.h"

#define AT(field) offsetof(struct values, field)
#define KEYS(list)                                                                                 \
    {                                                                                              \
        list, COUNT_OF(list)                                                                       \
    }
#define NOTHING_YET(name)                                                                          \
    {                                                                                              \
        name, KEY_LATER, 0, 0, 0, NULL, "no effect in this version"                                \
    }

/* clang-format off */
static const struct key stack_keys[] = {
    {"interface", KEY_TEXT, AT(interface), 0, 0, NULL, "addresses to listen on; * is all of them"},
    {"port", KEY_NUMBER, AT(port), 1, 65535, NULL, "port to listen on"},
    {"transport", KEY_TEXT, AT(transport), 0, 0, NULL, "udp, tcp or both, which is the default"},
    {"localnames", KEY_TEXT, AT(localnames), 0, 0, NULL, "further names of this domain"},
    {"published", KEY_TEXT, AT(published), 0, 0, NULL, "our name for callers of other domains"},
    {"public", KEY_TEXT, AT(public), 0, 0, NULL, "the same as published"},
    {"agent", KEY_TEXT, AT(agent), 0, 0, NULL, "what the Server header says"},
    NOTHING_YET("mapped"), NOTHING_YET("threading"), NOTHING_YET("priority"),
    NOTHING_YET("keysize"), NOTHING_YET("timing"), NOTHING_YET("incoming"),
    NOTHING_YET("outgoing"), NOTHING_YET("restricted"),
    NOTHING_YET("trusted"), NOTHING_YET("peering"), NOTHING_YET("gateway"),
    NOTHING_YET("contact"), NOTHING_YET("proxy"), NOTHING_YET("outbound"), NOTHING_YET("system"),
    NOTHING_YET("anon"), NOTHING_YET("trace"), NOTHING_YET("dumping"), NOTHING_YET("send101"),
    NOTHING_YET("keepalive"), NOTHING_YET("learn"), NOTHING_YET("certfile"),
    NOTHING_YET("keyfile"), NOTHING_YET("password"), NOTHING_YET("authfile"),
    NOTHING_YET("dhfile"), NOTHING_YET("random"),
};

static const struct key registry_keys[] = {
    {"realm", KEY_TEXT, AT(realm), 0, 0, NULL, "digest realm and domain"},
    {"expires", KEY_NUMBER, AT(expires), 60, 86400, NULL,
     "seconds a registration lasts where the phone names none"},
    {"prefix", KEY_NUMBER, AT(prefix), 0, 1000000000, NULL, "the lowest extension"},
    {"range", KEY_NUMBER, AT(range), 0, 1000000000, NULL, "how many extensions; 0 is any"},
    {"mapped", KEY_NUMBER, AT(mapped), 1, 4000000, NULL, "registrations at most"},
    {"digest", KEY_TEXT, AT(digest), 0, 0, NULL, "digest algorithm offered first"},
    NOTHING_YET("keysize"), NOTHING_YET("priorities"),
};

static const struct key timers_keys[] = {
    NOTHING_YET("ring"), NOTHING_YET("cfna"), NOTHING_YET("reset"), NOTHING_YET("invite"),
};

static const struct key messages_keys[] = {NOTHING_YET("expires"), NOTHING_YET("keysize")};

static const struct key media_keys[] = {
    NOTHING_YET("port"), NOTHING_YET("count"), NOTHING_YET("priority"),
};

static const struct key user_keys[] = {
    {"id", KEY_TEXT, offsetof(struct user_values, id), 0, 0, NULL, "name of the user"},
    {"secret", KEY_TEXT, offsetof(struct user_values, secret), 0, 0, NULL, "password"},
    {"digest", KEY_TEXT, offsetof(struct user_values, digest), 0, 0, NULL,
     "instead of the password: MD5 of id:realm:password, in hex"},
    {"extension", KEY_TEXT, offsetof(struct user_values, extension), 0, 0, NULL, "number"},
    {"display", KEY_TEXT, offsetof(struct user_values, display), 0, 0, NULL, "name shown"},
    NOTHING_YET("profile"), NOTHING_YET("trs"), NOTHING_YET("forwarding"),
    NOTHING_YET("published"), NOTHING_YET("contacts"), NOTHING_YET("contact"),
    NOTHING_YET("authorize"),
};

static const struct schema stack = KEYS(stack_keys), registry = KEYS(registry_keys),
                           timers = KEYS(timers_keys), messages = KEYS(messages_keys),
                           media = KEYS(media_keys);

const struct schema schema_user = KEYS(user_keys);

static const struct key root_keys[] = {
    {"provision", KEY_USERS, 0, 0, 0, NULL, "the users"},
    {"stack", KEY_SECTION, 0, 0, 0, &stack, "the server"},
    {"registry", KEY_SECTION, 0, 0, 0, &registry, "the registrar"},
    {"timers", KEY_SECTION, 0, 0, 0, &timers, "times of a call"},
    {"messages", KEY_SECTION, 0, 0, 0, &messages, "instant messages"},
    {"media", KEY_SECTION, 0, 0, 0, &media, "media relay"},
    NOTHING_YET("access"), NOTHING_YET("routing"), NOTHING_YET("templates"),
    NOTHING_YET("forward"), NOTHING_YET("subscriber"), NOTHING_YET("devices"),
    NOTHING_YET("provider"),
};

const struct schema schema_root = KEYS(root_keys);

static const struct {
    const char *name;
    enum node_kind kind;
} nodes[] = {
    {"user", NODE_USER},     {"admin", NODE_USER},   {"service", NODE_LATER},
    {"device", NODE_LATER},  {"gateway", NODE_LATER}, {"profile", NODE_LATER},
    {"reject", NODE_LATER},  {"test", NODE_LATER},   {"refer", NODE_LATER},
    {"group", NODE_LATER},   {"queue", NODE_LATER},  {"alias", NODE_LATER},
};
/* clang-format on */

struct values values_default(void)
{
    return (struct values){.interface = S("*"), .port = 5060, .prefix = 100, .range = 600};
}

const struct key *schema_find(const struct schema *schema, struct slice name)
{
    for (unsigned i = 0; i < schema->count; i++)
        if (slice_equal(slice_text(schema->keys[i].name), name))
            return &schema->keys[i];
    return NULL;
}

enum node_kind schema_node_kind(struct slice name)
{
    for (unsigned i = 0; i < COUNT_OF(nodes); i++)
        if (slice_equal_nocase(slice_text(nodes[i].name), name))
            return nodes[i].kind;
    return NODE_UNKNOWN;
}
