/*
 * The journal's records: a server that begins with any records, broken and contradicting ones too,
 * keeps its limits, persists what it took from them so that another start has the same, forgets all
 * of it in time, and serves phones meanwhile as ever.
 *
 * The first octet's lowest bit: what the last run left is recalled while the server works.  The
 * rest is records, each behind its length in two octets, little-endian.
 */
#include "fuzz.h"
#include "rest.h"

#include "base/cursor.h"

static const struct limits tiny = {
    .users = 16,
    .bindings = 6,
    .transactions = 8,
    .contexts = 4,
    .dialogs = 3,
    .calls = 3,
    .anchors = 2,
    .nonces = 8,
    .accepted = 4,
    .connected = TESTBED_STREAMS - 4,
    .lookups = 2,
    .text = 800 << 10,
};

static void fill_journal(struct testbed *server, struct reader input)
{
    while (input.rest.len > 2) {
        size_t len = read_u16(&input);
        len = min_u64(len, input.rest.len);
        write_u64(&server->journal, len);
        write_slice(&server->journal, read_bytes(&input, len));
    }
    assert(!server->journal.failed && !input.failed);
}

static void restart(struct testbed *server, bool recalls)
{
    if (!recalls) {
        testbed_restart(server);
        return;
    }
    testbed_restart_recalling(server);
    rest_check_limits(server);
    while (testbed_recall(server))
        rest_check_limits(server);
}

/* A new journal, of what there is. */
static void checkpoint(struct testbed *server)
{
    testbed_step(server, EVENT_CHECKPOINT, NULL, NO_SLICE);
    testbed_run_until(server, server->now.boot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct testbed *server;
    struct reader input = reader_over(fuzz_input(data, size));
    bool recalls = read_u8(&input) & 1;
    struct census before, after;
    size_t text_at_rest;

    if (!server)
        server = testbed_new(&tiny, "example.com", NULL);
    testbed_clear(server);
    text_at_rest = core_census(server->core).text_bytes;
    server->journal.len = 0;
    if (!input.failed)
        fill_journal(server, input);
    restart(server, recalls);
    rest_check_limits(server);
    checkpoint(server);
    before = core_census(server->core);
    restart(server, !recalls);
    after = core_census(server->core);
    assert(after.bindings == before.bindings && after.dialogs == before.dialogs);
    rest_check(server, text_at_rest);
    rest_check_service(server);
    return 0;
}
