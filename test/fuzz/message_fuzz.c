/*
 * message_parse: whatever the bytes, fields lie in them and in order, chains of equal headers are
 * whole, a splice without edits reproduces the bytes; and what was accepted is accepted again.
 */
#include "fuzz.h"

#include "sip/compose.h"

static void check_field(const struct message *m, unsigned index)
{
    const struct field *f = &m->fields[index];
    struct slice name = slice_of(m->bytes.at + f->line, (size_t)(f->value - f->line));

    assert(index > 1 ? f->line == m->fields[index - 1].next_line : f->line == m->headers);
    assert(f->line < f->value && f->value <= f->end && f->end + 2 <= f->next_line);
    name = slice_trim(slice_until(name, slice_find(name, ':')));
    assert(header_of(name) == f->header);
    assert(!f->next || (f->next > index && f->next <= m->field_count &&
                        m->fields[f->next].header == f->header));
}

static void check_chains(const struct message *m)
{
    unsigned chained = 0, known = 0;

    for (unsigned header = HEADER_OTHER + 1; header < HEADER_COUNT; header++) {
        unsigned last = 0;
        for (unsigned i = m->first[header]; i; i = m->fields[i].next, chained++)
            last = i;
        assert(m->last[header] == last);
    }
    for (unsigned i = 1; i <= m->field_count; i++)
        known += m->fields[i].header != HEADER_OTHER;
    assert(chained == known);
}

static void check_splice(const struct message *m)
{
    static char copy[MESSAGE_LIMIT];
    struct writer w = writer_over(copy, sizeof copy);
    const struct splice nothing = {.count = 0};

    splice_write(&w, m->bytes, &nothing);
    assert(!w.failed && slice_equal(writer_slice(&w), m->bytes));
}

/* Nothing but the bytes decides: parsing what was accepted gives the same index. */
static void check_again(const struct message *m)
{
    static struct message again;

    assert(message_parse(m->bytes, &again).status == 0);
    assert(again.bytes.len == m->bytes.len && again.body == m->body);
    assert(memcmp(again.first, m->first, sizeof again.first) == 0);
    assert(memcmp(again.fields + 1, m->fields + 1, m->field_count * sizeof *m->fields) == 0);
}

static void check_accepted(const struct message *m)
{
    static const enum header needed[] = {HEADER_VIA, HEADER_CSEQ, HEADER_CALL_ID, HEADER_FROM,
                                         HEADER_TO};
    struct cseq cseq;
    uint64_t length;

    for (unsigned i = 0; i < COUNT_OF(needed); i++)
        assert(message_first(m, needed[i]).len);
    assert(cseq_parse(message_first(m, HEADER_CSEQ), &cseq) && cseq.number <= INT32_MAX);
    assert(m->is_request ? m->method_text.len && m->uri.len && !m->status
                         : m->status >= 100 && m->status <= 699);
    assert(m->headers <= m->headers_end && m->body == m->headers_end + 2 &&
           m->body <= m->bytes.len);
    if (m->has_length) {
        assert(slice_number(message_first(m, HEADER_CONTENT_LENGTH), MESSAGE_LIMIT, &length));
        assert(message_body(m).len == length);
    }
    check_splice(m);
    check_again(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct message m;
    struct slice bytes = fuzz_input(data, size);
    struct fault fault = message_parse(bytes, &m);

    assert(m.bytes.len <= bytes.len && m.bytes.len <= MESSAGE_LIMIT);
    assert(!fault.status == !fault.reason);
    if (!m.bytes.len) {
        assert(fault.status);
        return 0;
    }
    assert(is_within(message_span(&m, m.method_text), m.bytes));
    assert(is_within(message_span(&m, m.uri), m.bytes));
    assert(is_within(message_span(&m, m.reason), m.bytes));
    for (unsigned i = 1; i <= m.field_count; i++)
        check_field(&m, i);
    check_chains(&m);
    if (!fault.status)
        check_accepted(&m);
    return 0;
}
