/*
 * The legs of calls: whatever phones say in whatever order, each leg leads to one that leads back,
 * changes fit the relay's table, no m-line that lives changes its ports, and when the call has
 * ended no leg and no port is left.
 *
 * Of the input each step takes a byte that says what happens, one for tag and number, and two for
 * the m-lines of a description.
 */
#include "fuzz.h"

#include "core/legs_record.h"

#include "../unit/core/table.h"

struct run {
    struct reader input;
    struct legs legs;
    struct ports ports;
    struct random random;
    struct relay_table table;
    struct legs_output out;
};

static const char *const hosts[] = {"IP4 198.51.100.1", "IP4 10.0.0.5", "IP6 2001:db8::7",
                                    "IP4 0.0.0.0"};
static const char *const lines[] = {
    "m=audio 4000 RTP/AVP 0\r\n",
    "m=audio 0 RTP/AVP 0\r\n",
    "m=audio 4000/3 RTP/AVP 0\r\na=sendonly\r\n",
    "m=image 4010 udptl t38\r\n",
    "m=audio 4000 RTP/SAVPF 0\r\na=rtcp-mux\r\na=mid:a\r\n",
    "m=video 4000 RTP/SAVPF 0\r\na=rtcp-mux\r\na=mid:b\r\n",
    "m=message 4000 TCP/MSRP *\r\n",
    "m=video 9 RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:b\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\n",
};

/* Bits say the host and two or three of the m-lines. */
static struct slice describe(unsigned bits, char *at, size_t size)
{
    struct writer w = writer_over(at, size);

    write_slice(&w, S("v=0\r\nc=IN "));
    write_slice(&w, slice_text(hosts[bits & 3]));
    write_slice(&w, S("\r\na=group:BUNDLE a b\r\n"));
    for (unsigned i = 0; i < 2u + (bits >> 2 & 1); i++)
        write_slice(&w, slice_text(lines[bits >> (3 + 3 * i) & 7]));
    return writer_slice(&w);
}

static void apply(struct run *run)
{
    table_apply(&run->table, &run->out);
    table_check(&run->table);
    assert(run->ports.taken <= run->ports.limit);
}

/* What is told reads as it should. */
static void check_told(const struct run *run, const struct sdp *sdp)
{
    static char at[SDP_BYTES];
    static struct sdp again;
    struct writer w = writer_over(at, sizeof at);

    sdp_rewrite(&w, sdp, run->out.places, SDP_ICE_KEPT);
    assert(sdp_parse(writer_slice(&w), &again).fault == SDP_FINE);
    for (unsigned i = 0; i < again.media_count; i++)
        if (run->out.places[i].is_other)
            assert(run->out.places[i].port >= 20000 && run->out.places[i].port % 2 == 0);
}

static void speak(struct run *run, unsigned what, struct legs_message *m)
{
    static char text[1024];
    static struct sdp sdp;
    enum legs_verdict verdict;
    unsigned bits = read_u8(&run->input);

    bits |= (unsigned)read_u8(&run->input) << 8;
    assert(sdp_parse(describe(bits, text, sizeof text), &sdp).fault == SDP_FINE);
    m->sdp = &sdp;
    if (what >> 6 & 1)
        verdict = legs_hear(&run->legs, &run->ports, &run->random, m, &run->out);
    else if (what & 1)
        verdict = legs_offer(&run->legs, &run->ports, &run->random, m, &run->out);
    else
        verdict = legs_answer(&run->legs, &run->ports, &run->random, m, &run->out);
    if (verdict == LEGS_REWRITE)
        check_told(run, &sdp);
    else
        assert(verdict == LEGS_FULL || !run->out.count);
}

static void meet(struct run *run, enum legs_side side, unsigned number)
{
    struct address_bytes source = {.at = {198, 51, 100, (uint8_t)number}};

    legs_meet(&run->legs, side, &source, &run->out);
}

/* As after a restart: what a record says is what there was. */
static void record(struct run *run)
{
    static char at[LEGS_RECORD_LIMIT];
    static struct legs again;
    static struct legs_output before, after;
    struct writer w = writer_over(at, sizeof at);
    struct reader r;

    legs_write(&w, &run->legs);
    legs_write_clocks(&w, &run->legs);
    assert(!w.failed);
    r = reader_over(writer_slice(&w));
    assert(legs_read(&r, &again));
    legs_read_clocks(&r, &again);
    assert(!r.failed && !r.rest.len);
    legs_list(&run->legs, &before);
    legs_list(&again, &after);
    assert(before.count == after.count);
    assert(memcmp(before.changes, after.changes, before.count * sizeof before.changes[0]) == 0);
    run->legs = again;
}

static void step(struct run *run)
{
    unsigned what = read_u8(&run->input), which = read_u8(&run->input);
    struct legs_message m = {
        .from = what >> 4 & 1 ? LEGS_CALLEE : LEGS_CALLER,
        .tag = which % 8,
        .number = which >> 4 & 3,
        .is_final = what >> 5 & 1,
        .carrier = (enum legs_carrier)(which >> 6 & 3),
    };

    run->out.count = 0;
    switch (what & 15) {
    case 8: legs_refuse(&run->legs, &run->ports, &m, &run->out); break;
    case 9: legs_accept(&run->legs, m.tag, &run->out); break;
    case 10: legs_settle(&run->legs, &run->ports, &run->out); break;
    case 11: legs_leave(&run->legs, &run->ports, m.tag, &run->out); break;
    case 12: meet(run, m.from, which); break;
    case 13: legs_prove(&run->legs, m.from, &run->out); break;
    default: speak(run, what, &m); break;
    }
    apply(run);
    if (what >> 7 & 1)
        record(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    static const uint8_t call[16] = {1};
    const struct legs_relay relay = {
        {true, true}, {{.at = {192, 0, 2, 1}}, {.is_v6 = true, .at = {0x20, 1}}}, 1000};
    unsigned traits = size ? data[0] / 64u : 0;
    const struct legs_end ends[2] = {
        {.source = {.at = {198, 51, 100, 1}}, .is_hidden = !traits, .is_unproven = traits == 1},
        {.source = {.at = {198, 51, 100, 2}}, .is_known = true, .may_wait = traits & 2},
    };

    run = (struct run){.input = reader_over(fuzz_input(data, size)),
                       .random = random_seeded((struct hash_key){1, 2})};
    ports_init(&run.ports, 20000, 20099, size ? data[0] % 64u : 0);
    legs_begin(&run.legs, call, &relay, ends);
    for (unsigned i = 0; i < 200 && run.input.rest.len; i++)
        step(&run);
    legs_end(&run.legs, &run.ports, &run.out);
    apply(&run);
    assert(!run.table.count && !run.ports.taken && legs_are_closed(&run.legs));
    return 0;
}
