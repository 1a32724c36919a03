/*
 * config_read: each input is read, or refused with one line; what was read keeps its promises.  The
 * input is cut into parts at each octet 0x1E.
 */
#include "fuzz.h"

#include "../torture/toy_digest.h"
#include "config/config.h"
#include "core/limits.h"

#include <stdlib.h>

#define SEPARATOR 0x1e
#define PARTS 4u

static struct slice stored(void *self, struct slice realm)
{
    (void)self;
    return realm.len ? S("u:00112233445566778899aabbccddeeff\nnonsense\n") : NO_SLICE;
}

static void check_users(const struct config *config)
{
    for (uint32_t i = 0; i < config->user_count; i++) {
        const struct user_settings *user = &config->users[i];
        uint64_t number;

        assert(user->id.len && user->id.len <= NAME_LIMIT);
        assert(slice_find(user->id, '@') == user->id.len);
        assert(!user->extension.len || slice_number(user->extension, UINT64_MAX, &number));
        assert(user->contacts.len <= CONTACTS_LIMIT && user->level <= LEVEL_LIMIT);
        assert(user->kind != USER_REJECT || (user->status >= 300 && user->status < 700));
        for (uint32_t j = 0; config->user_count < 100 && j < i; j++)
            assert(!slice_equal(config->users[j].id, user->id));
    }
}

/* Routes and networks are in their order, and take any number. */
static void check_plan(const struct config *config, struct slice number)
{
    const struct settings *settings = &config->settings;
    const struct dialplan *plan = &settings->dialplan;
    unsigned position = 0;
    char text[1024];

    for (unsigned i = 1; i < plan->route_count; i++)
        assert(plan->routes[i - 1].priority >= plan->routes[i].priority);
    for (unsigned i = 1; i < settings->network_count; i++)
        assert(settings->networks[i - 1].bits >= settings->networks[i].bits);
    for (const struct route *route;
         (route = dialplan_route(plan, number, LEVEL_LIMIT + 1, &position));) {
        struct writer w = writer_over(text, sizeof text);
        affix_write(&w, &route->affix, number);
    }
    dialplan_rule(plan, number, true);
}

static void read_parts(const struct config_part *parts, unsigned count, struct slice number)
{
    static const struct account accounts[] = {{S("u"), S("U"), S("201"), 1, false},
                                              {S("root"), S(""), S(""), 2, true}};
    static const struct local_network networks[] = {{S("eth0"), {false, {10, 2}}, 24}};
    static struct report report;
    const struct config_origin origin = {
        .parts = parts,
        .part_count = count,
        .realm = S("uuid"),
        .digests = &toy_digests,
        .networks = networks,
        .network_count = COUNT_OF(networks),
        .accounts = accounts,
        .account_count = COUNT_OF(accounts),
        .stored_digests = stored,
    };

    report_init(&report, "x.conf");
    struct config *config = config_read(&origin, &report);
    assert(!config == report.has_fault);
    assert(!memchr(report.fault, '\n', strlen(report.fault)));
    if (!config)
        return;
    check_users(config);
    check_plan(config, number);
    config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size);
    struct config_part parts[PARTS];
    char *copies[PARTS];
    unsigned count = 0;

    do { /* each of its own size, for the sanitizer */
        size_t end = slice_find(rest, SEPARATOR);
        copies[count] = malloc(end + !end);
        if (end)
            memcpy(copies[count], rest.at, end);
        parts[count] = (struct config_part){"x.xml", slice_of(copies[count], end)};
        count++;
        rest = slice_from(rest, end < rest.len ? end + 1 : end);
    } while (rest.len && count < PARTS);
    read_parts(parts, count, slice_until(parts[0].xml, min_u64(parts[0].xml.len, 20)));
    for (unsigned i = 0; i < count; i++)
        free(copies[i]);
    return 0;
}
