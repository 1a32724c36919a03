/*
 * Locating servers: whatever a zone answers, and in whatever order its answers come, a lookup ends
 * within a bounded number of questions, and leads only to places that it was allowed to: where
 * there are TLSA records that can be used, to none without TLS.
 *
 * Of the input the first byte says what is wished; then come answers: a byte that says which open
 * question is answered and how, the number of records, and each with its length.
 */
#include "fuzz.h"

#include "core/resolve.h"

#define QUESTIONS (1u + RESOLVE_SERVICES + 3u * RESOLVE_TARGETS)
#define PLACES (RESOLVE_TARGETS * RESOLVE_ADDRESSES)

struct run {
    struct reader input;
    struct random random;
    struct resolve lookup;
    uint32_t open[QUESTIONS];
    unsigned open_count, asked, places;
    bool is_bound; /* a place with TLSA records was found */
};

static struct resolve_wish read_wish(struct reader *input)
{
    static const enum transport transports[] = {TRANSPORT_OTHER, TRANSPORT_UDP, TRANSPORT_TCP,
                                                TRANSPORT_TLS};
    unsigned bits = read_u8(input);

    return (struct resolve_wish){
        .host = S("Example.test"),
        .is_for_proof = (bits & 0xc9) == 8, /* as core/claims wishes it: by TLS, of no family */
        .port = bits & 1 ? 5070 : 0,
        .transport = (uint8_t)transports[bits >> 1 & 3],
        .is_sips = bits >> 3 & 1,
        .offered = (uint8_t)(1u << TRANSPORT_TLS | (bits >> 4 & 1) << TRANSPORT_UDP |
                             (bits >> 5 & 1) << TRANSPORT_TCP),
        .has_v6 = bits >> 6 & 1,
        .has_v4 = bits >> 7,
    };
}

static void ask_all(struct run *run)
{
    struct resolve_question question;

    while (resolve_ask(&run->lookup, &question)) {
        assert(question.name.len && question.name.len <= DNS_NAME);
        assert(run->open_count < QUESTIONS && ++run->asked <= QUESTIONS);
        run->open[run->open_count++] = question.id;
    }
}

static void answer_one(struct run *run)
{
    struct dns_answer answer = {0};
    unsigned how = read_u8(&run->input);
    unsigned which = (how >> 3) % run->open_count;

    answer.status = (enum dns_status)(how & 3);
    answer.is_secure = how >> 2 & 1;
    if (answer.status == DNS_FOUND)
        answer.count = read_u8(&run->input) % (DNS_RECORDS + 1);
    for (unsigned i = 0; i < answer.count; i++)
        answer.data[i] = read_bytes(&run->input, read_u8(&run->input));
    resolve_tell(&run->lookup, run->open[which], &answer, &run->random);
    run->open[which] = run->open[--run->open_count];
}

static void check_demand(struct run *run, const struct resolve_place *place)
{
    struct peer_plan plan, again;
    char bytes[RESOLVE_TLSA + 512];
    struct writer w = writer_over(bytes, sizeof bytes);

    resolve_demand(&run->lookup, place->target, true, &plan);
    assert(place->is_secure && place->transport == TRANSPORT_TLS);
    assert(plan.tlsa_count && plan.tlsa_count <= TLSA_LIMIT);
    plan.domain = run->lookup.wish.host;
    plan.policy = POLICY_OPPORTUNISTIC;
    peer_write(&w, &plan);
    assert(!w.failed && peer_read(writer_slice(&w), &again));
    assert(again.tlsa_count == plan.tlsa_count && slice_equal(again.server, place->server));
    run->is_bound = true;
}

static void check_place(struct run *run, const struct resolve_place *place)
{
    const struct resolve_wish *wish = &run->lookup.wish;

    if (place->has_tlsa)
        check_demand(run, place);
    assert(!run->is_bound || place->transport == TRANSPORT_TLS);
    assert(++run->places <= PLACES && place->port);
    assert(wish->offered >> place->transport & 1);
    assert(!wish->is_sips || place->transport == TRANSPORT_TLS);
    assert(wish->is_for_proof     ? place->has_tlsa
           : place->address.is_v6 ? wish->has_v6
                                  : wish->has_v4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct run run;
    struct resolve_place place;

    run = (struct run){.input = reader_over(slice_of((const char *)bytes, len)),
                       .random = random_seeded((struct hash_key){1, 2})};
    const struct resolve_wish wish = read_wish(&run.input);
    if (!resolve_begin(&run.lookup, &wish))
        return 0;
    for (;;) {
        enum resolve_result result = resolve_next(&run.lookup, &place);
        if (result == RESOLVE_NONE)
            break;
        if (result == RESOLVE_PLACE) {
            check_place(&run, &place);
            continue;
        }
        ask_all(&run);
        if (resolve_may_hurry(&run.lookup) && run.input.rest.len && run.input.rest.at[0] & 1)
            resolve_hurry(&run.lookup);
        else
            answer_one(&run); /* there is one open, or the lookup could never end */
    }
    assert(run.places || resolve_fault(&run.lookup).status);
    return 0;
}
