/*
 * Three parsers read the same bytes: ours, libosip2 and sofia-sip.  Where ours and another accept a
 * message, each field must read the same, but for the differences known below.
 *
 * compare DIRECTORY SEEDS... [-n MUTATIONS] [-s SEED] reads the files of the directories, then
 * MUTATIONS messages made of them by the stream of SEED.  A difference is printed with its message,
 * which `-s` and `-n` bring back.
 */
#include "base/random.h"
#include "sip/address.h"
#include "sip/message.h"
#include "sip/via.h"

#include <dirent.h>
#include <osipparser2/osip_parser.h>
#include <sofia-sip/msg.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/url.h>
#include <stdio.h>
#include <stdlib.h>

enum item {
    ITEM_METHOD,
    ITEM_STATUS,
    ITEM_URI_USER,
    ITEM_URI_HOST,
    ITEM_URI_PORT,
    ITEM_VIA_HOST,
    ITEM_VIA_PORT,
    ITEM_VIA_BRANCH,
    ITEM_FROM_USER,
    ITEM_FROM_HOST,
    ITEM_FROM_TAG,
    ITEM_TO_USER,
    ITEM_TO_HOST,
    ITEM_TO_TAG,
    ITEM_CALL_ID,
    ITEM_CSEQ_NUMBER,
    ITEM_CSEQ_METHOD,
    ITEM_MAX_FORWARDS,
    ITEM_CONTACT_USER, /* of the first value */
    ITEM_CONTACT_HOST,
    ITEM_CONTENT_LENGTH,
    ITEM_COUNT,
};

static const char *const item_names[ITEM_COUNT] = {
    "method",       "status",       "uri user",       "uri host",    "uri port",    "via host",
    "via port",     "branch",       "from user",      "from host",   "from tag",    "to user",
    "to host",      "to tag",       "call-id",        "cseq number", "cseq method", "max-forwards",
    "contact user", "contact host", "content-length",
};

/* What a parser made of a message; an absent item is the empty text. */
struct reading {
    bool is_accepted;
    char text[ITEM_COUNT][512];
};

#define MESSAGES 256u

struct corpus {
    struct slice at[MESSAGES];
    unsigned count;
};

static void put(struct reading *r, enum item item, struct slice text)
{
    struct writer w = writer_over(r->text[item], sizeof r->text[item] - 1);

    write_slice(&w, text.len < w.limit ? text : slice_until(text, w.limit));
    r->text[item][w.len] = '\0';
}

static void put_text(struct reading *r, enum item item, const char *text)
{
    put(r, item, slice_text(text));
}

/* A number by its value: leading zeros do not count. */
static void put_number(struct reading *r, enum item item, uint64_t number)
{
    snprintf(r->text[item], sizeof r->text[item], "%llu", (unsigned long long)number);
}

static void put_digits(struct reading *r, enum item item, const char *digits)
{
    uint64_t number;

    if (!digits)
        return;
    if (slice_number(slice_trim(slice_text(digits)), UINT64_MAX / 16, &number))
        put_number(r, item, number);
    else
        put_text(r, item, digits);
}

/* A host without the brackets of an IPv6 reference, in lower case. */
static void put_host(struct reading *r, enum item item, struct slice host)
{
    if (host.len > 1 && host.at[0] == '[')
        host = slice_of(host.at + 1, host.len - 2);
    put(r, item, host);
    for (char *c = r->text[item]; *c; c++)
        *c = ascii_lower(*c);
}

/* A user part with its escapes decoded once; %00 stays. */
static void put_user(struct reading *r, enum item item, struct slice user)
{
    char text[512];
    struct writer w = writer_over(text, sizeof text);

    for (size_t i = 0; i < user.len; i++) {
        uint8_t c;
        if (user.at[i] == '%' && user.len - i > 2 &&
            hex_decode(slice_of(user.at + i + 1, 2), &c, 1) && c) {
            write_char(&w, (char)c);
            i += 2;
        } else {
            write_char(&w, user.at[i]);
        }
    }
    put(r, item, writer_slice(&w));
}

/* ---- ours */

static bool ours_uri(struct reading *r, enum item user, enum item host, struct slice text)
{
    struct uri uri;

    if (!uri_parse(text, &uri))
        return false;
    if (uri.scheme > SCHEME_SIPS)
        return true;
    put_user(r, user, uri.user);
    put_host(r, host, uri.host);
    if (user == ITEM_URI_USER && uri.port)
        put_number(r, ITEM_URI_PORT, uri.port);
    return true;
}

/* The first of the values; From and To have one. */
static bool ours_address(struct reading *r, const struct message *m, enum header header,
                         enum item user)
{
    struct slice rest = message_first(m, header);
    struct address address;

    if (!address_next(&rest, &address) || (header != HEADER_CONTACT && rest.len))
        return false;
    if (header != HEADER_CONTACT)
        put(r, user + 2, address_tag(address.text));
    return ours_uri(r, user, user + 1, address.uri);
}

static bool ours_contact(struct reading *r, const struct message *m)
{
    struct slice first = message_first(m, HEADER_CONTACT);

    return !first.at || slice_equal(first, S("*")) ||
           ours_address(r, m, HEADER_CONTACT, ITEM_CONTACT_USER);
}

static bool ours_numbers(struct reading *r, const struct message *m)
{
    struct slice forwards = message_first(m, HEADER_MAX_FORWARDS);
    uint64_t number;
    struct cseq cseq;

    if (!cseq_parse(message_first(m, HEADER_CSEQ), &cseq))
        return false;
    put_number(r, ITEM_CSEQ_NUMBER, cseq.number);
    put(r, ITEM_CSEQ_METHOD, cseq.method_text);
    if (m->has_length)
        put_number(r, ITEM_CONTENT_LENGTH, message_body(m).len);
    if (!forwards.at)
        return true;
    if (!slice_number(forwards, 255, &number))
        return false;
    put_number(r, ITEM_MAX_FORWARDS, number);
    return true;
}

static void read_ours(struct reading *r, struct slice bytes)
{
    static struct message m;
    struct slice vias;
    struct via via;

    if (message_parse(bytes, &m).status)
        return;
    vias = message_first(&m, HEADER_VIA);
    if (!via_next(&vias, &via))
        return;
    put_host(r, ITEM_VIA_HOST, via.host);
    if (via.port)
        put_number(r, ITEM_VIA_PORT, via.port);
    put(r, ITEM_VIA_BRANCH, via.branch);
    put(r, ITEM_CALL_ID, message_first(&m, HEADER_CALL_ID));
    if (m.is_request)
        put(r, ITEM_METHOD, message_span(&m, m.method_text));
    else
        put_number(r, ITEM_STATUS, m.status);
    r->is_accepted =
        (!m.is_request || ours_uri(r, ITEM_URI_USER, ITEM_URI_HOST, message_span(&m, m.uri))) &&
        ours_address(r, &m, HEADER_FROM, ITEM_FROM_USER) &&
        ours_address(r, &m, HEADER_TO, ITEM_TO_USER) && ours_contact(r, &m) && ours_numbers(r, &m);
}

/* ---- libosip2 */

static void osip_url(struct reading *r, enum item user, const osip_uri_t *url)
{
    if (!url || !url->host)
        return;
    put_text(r, user, url->username); /* it has decoded the escapes */
    put_host(r, user + 1, slice_text(url->host));
    if (user == ITEM_URI_USER)
        put_digits(r, ITEM_URI_PORT, url->port);
}

static void osip_address(struct reading *r, enum item user, osip_from_t *address)
{
    osip_generic_param_t *tag = NULL;

    osip_url(r, user, address->url);
    if (osip_from_get_tag(address, &tag) == 0 && tag)
        put_text(r, user + 2, tag->gvalue);
}

static bool osip_fields(struct reading *r, const osip_message_t *m)
{
    osip_via_t *via = osip_list_get(&m->vias, 0);
    osip_contact_t *contact = osip_list_get(&m->contacts, 0);
    osip_generic_param_t *branch = NULL;
    osip_header_t *forwards = NULL;

    if (!via || !m->from || !m->to || !m->call_id || !m->cseq || !m->cseq->number)
        return false;
    put_host(r, ITEM_VIA_HOST, slice_text(via->host));
    put_digits(r, ITEM_VIA_PORT, via->port);
    if (osip_via_param_get_byname(via, (char *)(uintptr_t) "branch", &branch) == 0 && branch)
        put_text(r, ITEM_VIA_BRANCH, branch->gvalue);
    osip_address(r, ITEM_FROM_USER, m->from);
    osip_address(r, ITEM_TO_USER, m->to);
    if (contact && contact->url)
        osip_url(r, ITEM_CONTACT_USER, contact->url);
    snprintf(r->text[ITEM_CALL_ID], sizeof r->text[ITEM_CALL_ID], "%s%s%s", m->call_id->number,
             m->call_id->host ? "@" : "", m->call_id->host ? m->call_id->host : "");
    put_digits(r, ITEM_CSEQ_NUMBER, m->cseq->number);
    put_text(r, ITEM_CSEQ_METHOD, m->cseq->method);
    if (osip_message_get_max_forwards(m, 0, &forwards) >= 0 && forwards)
        put_digits(r, ITEM_MAX_FORWARDS, forwards->hvalue);
    if (m->content_length)
        put_digits(r, ITEM_CONTENT_LENGTH, m->content_length->value);
    return true;
}

static void read_osip(struct reading *r, struct slice bytes)
{
    osip_message_t *m = NULL;

    if (osip_message_init(&m) != 0)
        return;
    if (osip_message_parse(m, bytes.at, bytes.len) == 0) {
        if (m->sip_method) {
            put_text(r, ITEM_METHOD, m->sip_method);
            osip_url(r, ITEM_URI_USER, m->req_uri);
        } else {
            put_number(r, ITEM_STATUS, (uint64_t)m->status_code);
        }
        r->is_accepted = osip_fields(r, m);
    }
    osip_message_free(m);
}

/* ---- sofia-sip */

static void sofia_url(struct reading *r, enum item user, const url_t *url)
{
    if (url->url_type != url_sip && url->url_type != url_sips)
        return;
    put_user(r, user, slice_text(url->url_user));
    put_host(r, user + 1, slice_text(url->url_host));
    if (user == ITEM_URI_USER && url->url_port && *url->url_port)
        put_digits(r, ITEM_URI_PORT, url->url_port);
}

static bool sofia_fields(struct reading *r, const sip_t *sip)
{
    if (sip->sip_error || !sip->sip_via || !sip->sip_from || !sip->sip_to || !sip->sip_call_id ||
        !sip->sip_cseq)
        return false;
    put_host(r, ITEM_VIA_HOST, slice_text(sip->sip_via->v_host));
    put_digits(r, ITEM_VIA_PORT, sip->sip_via->v_port);
    put_text(r, ITEM_VIA_BRANCH, sip->sip_via->v_branch);
    sofia_url(r, ITEM_FROM_USER, sip->sip_from->a_url);
    put_text(r, ITEM_FROM_TAG, sip->sip_from->a_tag);
    sofia_url(r, ITEM_TO_USER, sip->sip_to->a_url);
    put_text(r, ITEM_TO_TAG, sip->sip_to->a_tag);
    put_text(r, ITEM_CALL_ID, sip->sip_call_id->i_id);
    put_number(r, ITEM_CSEQ_NUMBER, sip->sip_cseq->cs_seq);
    put_text(r, ITEM_CSEQ_METHOD, sip->sip_cseq->cs_method_name);
    if (sip->sip_max_forwards)
        put_number(r, ITEM_MAX_FORWARDS, sip->sip_max_forwards->mf_count);
    if (sip->sip_contact)
        sofia_url(r, ITEM_CONTACT_USER, sip->sip_contact->m_url);
    if (sip->sip_content_length)
        put_number(r, ITEM_CONTENT_LENGTH, sip->sip_content_length->l_length);
    return true;
}

static void read_sofia(struct reading *r, struct slice bytes)
{
    msg_t *msg = msg_make(sip_default_mclass(), 0, bytes.at, (ssize_t)bytes.len);
    sip_t *sip = msg ? sip_object(msg) : NULL;

    if (sip && !(sip->sip_flags & MSG_FLG_ERROR)) {
        if (sip->sip_request) {
            put_text(r, ITEM_METHOD, sip->sip_request->rq_method_name);
            sofia_url(r, ITEM_URI_USER, sip->sip_request->rq_url);
        } else if (sip->sip_status) {
            put_number(r, ITEM_STATUS, (uint64_t)sip->sip_status->st_status);
        }
        r->is_accepted = (sip->sip_request || sip->sip_status) && sofia_fields(r, sip);
    }
    if (msg)
        msg_destroy(msg);
}

/* ---- comparing */

enum other {
    OSIP,
    SOFIA,
    OTHER_COUNT,
};

static const struct {
    const char *name;
    void (*read)(struct reading *r, struct slice bytes);
} others[OTHER_COUNT] = {
    [OSIP] = {"libosip2", read_osip},
    [SOFIA] = {"sofia-sip", read_sofia},
};

static struct {
    unsigned messages;
    unsigned ours; /* accepted */
    unsigned theirs[OTHER_COUNT];
    unsigned compared[OTHER_COUNT];
    unsigned known[OTHER_COUNT];
    unsigned differences;
} tally;

static bool ours_is_absent(const char *ours, const char *theirs)
{
    (void)theirs;
    return !*ours;
}

static bool theirs_is_absent(const char *ours, const char *theirs)
{
    (void)ours;
    return !*theirs;
}

static bool theirs_is_shorter(const char *ours, const char *theirs)
{
    return strncmp(ours, theirs, strlen(theirs)) == 0;
}

static bool theirs_has_cr(const char *ours, const char *theirs)
{
    (void)ours;
    return strchr(theirs, '\r') != NULL;
}

static bool has_nul(const char *ours, const char *theirs)
{
    (void)theirs;
    return strstr(ours, "%00") != NULL;
}

static bool has_parenthesis(const char *ours, const char *theirs)
{
    (void)theirs;
    return strpbrk(ours, "()") != NULL;
}

static bool has_space(const char *ours, const char *theirs)
{
    (void)theirs;
    return strpbrk(ours, " \t\r\n") != NULL;
}

/* Differences that are not our fault, each with its reason. */
/* clang-format off */
static const struct known {
    enum other other;
    enum item item;
    bool (*applies)(const char *ours, const char *theirs);
    const char *reason;
} known_differences[] = {
    {OSIP, ITEM_CONTENT_LENGTH, ours_is_absent, "20.14: it adds the field where there is none"},
    {OSIP, ITEM_URI_USER, has_nul, "RFC 4475 3.1.1.4: it cuts the user at %00"},
    {OSIP, ITEM_FROM_USER, has_nul, "the same"},
    {OSIP, ITEM_TO_USER, has_nul, "the same"},
    {OSIP, ITEM_CONTACT_USER, has_nul, "the same"},
    {OSIP, ITEM_URI_USER, ours_is_absent, "25.1: it takes sipx: for sip:"},
    {OSIP, ITEM_URI_HOST, ours_is_absent, "the same"},
    {OSIP, ITEM_URI_PORT, ours_is_absent, "the same"},
    {OSIP, ITEM_FROM_USER, ours_is_absent, "the same"},
    {OSIP, ITEM_FROM_HOST, ours_is_absent, "the same"},
    {OSIP, ITEM_TO_USER, ours_is_absent, "the same"},
    {OSIP, ITEM_TO_HOST, ours_is_absent, "the same"},
    {OSIP, ITEM_CONTACT_USER, ours_is_absent, "the same"},
    {OSIP, ITEM_CONTACT_HOST, ours_is_absent, "the same"},
    {OSIP, ITEM_CONTACT_USER, theirs_is_absent, "25.1: it takes a display name * for Contact: *"},
    {OSIP, ITEM_CONTACT_HOST, theirs_is_absent, "the same"},
    {OSIP, ITEM_VIA_BRANCH, theirs_is_shorter, "25.1: there are no comments in Via"},
    {SOFIA, ITEM_VIA_BRANCH, has_parenthesis, "the same"},
    {SOFIA, ITEM_FROM_TAG, has_parenthesis, "25.1: there are no comments in From and To"},
    {SOFIA, ITEM_TO_TAG, has_parenthesis, "the same"},
    {SOFIA, ITEM_CSEQ_METHOD, theirs_is_absent, "7.3.1: it stops at a line of blanks"},
    {SOFIA, ITEM_FROM_HOST, theirs_has_cr, "the same"},
    {SOFIA, ITEM_TO_HOST, theirs_has_cr, "the same"},
    {SOFIA, ITEM_CONTACT_HOST, theirs_has_cr, "the same"},
    {OSIP, ITEM_CALL_ID, has_space, "8.1.1.4: compared octet by octet, so kept as it came"},
};
/* clang-format on */

static bool is_known(enum other other, enum item item, const char *ours, const char *theirs)
{
    for (unsigned i = 0; i < COUNT_OF(known_differences); i++) {
        const struct known *known = &known_differences[i];
        if (known->other == other && known->item == item &&
            (!known->applies || known->applies(ours, theirs)))
            return true;
    }
    return false;
}

static void print_message(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.at[i];
        if (c == '\n' || (c >= ' ' && c < 0x7f))
            putchar(c);
        else if (c != '\r')
            printf("\\x%02x", c);
    }
    putchar('\n');
}

static void compare_readings(enum other other, const struct reading *ours,
                             const struct reading *theirs, const char *name, struct slice bytes)
{
    tally.compared[other]++;
    for (enum item i = 0; i < ITEM_COUNT; i++) {
        if (strcmp(ours->text[i], theirs->text[i]) == 0)
            continue;
        if (is_known(other, i, ours->text[i], theirs->text[i])) {
            tally.known[other]++;
            continue;
        }
        printf("%s: %s: ours \"%s\", %s \"%s\"\n", name, item_names[i], ours->text[i],
               others[other].name, theirs->text[i]);
        tally.differences++;
        print_message(bytes);
    }
}

static void compare_message(const char *name, struct slice bytes)
{
    static struct reading ours, theirs;

    if (slice_find(bytes, '\0') < bytes.len)
        return; /* the others' texts end there */
    memset(&ours, 0, sizeof ours);
    read_ours(&ours, bytes);
    tally.messages++;
    tally.ours += ours.is_accepted;
    for (enum other other = 0; other < OTHER_COUNT; other++) {
        memset(&theirs, 0, sizeof theirs);
        others[other].read(&theirs, bytes);
        tally.theirs[other] += theirs.is_accepted;
        if (ours.is_accepted && theirs.is_accepted)
            compare_readings(other, &ours, &theirs, name, bytes);
    }
}

/* ---- messages */

static void load_directory(struct corpus *corpus, const char *name)
{
    struct dirent **entries;
    int count = scandir(name, &entries, NULL, alphasort); /* the same order everywhere */
    char path[1024];

    if (count < 0) {
        perror(name);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char *bytes;
        FILE *stream;
        size_t len;
        snprintf(path, sizeof path, "%s/%s", name, entries[i]->d_name);
        stream = entries[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        free(entries[i]);
        if (!stream)
            continue;
        bytes = malloc(MESSAGE_LIMIT);
        assert(bytes && corpus->count < MESSAGES);
        len = fread(bytes, 1, MESSAGE_LIMIT, stream);
        fclose(stream);
        corpus->at[corpus->count++] = slice_of(bytes, len);
        compare_message(path, slice_of(bytes, len));
    }
    free((void *)entries);
}

static const char *const pieces[] = {
    " ",
    "\t",
    "\r\n",
    "\r\n ",
    ",",
    ";",
    "=",
    "<",
    ">",
    "\"",
    "\\",
    "@",
    ":",
    "?",
    "%",
    "%41",
    "%00",
    "[::1]",
    "sip:",
    "sips:",
    "tel:",
    ";tag=x",
    ";branch=z9hG4bKx",
    ";lr",
    "z9hG4bK",
    "0",
    "1",
    "-1",
    "255",
    "4294967296",
    "99999999999999999999",
    "*",
    "()",
    "(c)",
    "\xc3\xa9",
    "SIP/2.0",
    "INVITE",
    "Via: SIP/2.0/UDP h;branch=z9hG4bKq\r\n",
    "To: <sip:x@y>;tag=z\r\n",
    "Contact: <sip:x@y>\r\n",
    "l: 0\r\n",
    "Max-Forwards: 7\r\n",
    "m: \"a, b\" <sip:c@d>\r\n",
    "CSeq: 1 INVITE\r\n",
};

/* Replaces `remove` bytes at `at` by `insert`, as far as there is room. */
static void replace(struct writer *w, size_t at, size_t remove, struct slice insert)
{
    if (at + remove > w->len || w->len - remove + insert.len > w->limit)
        return;
    memmove(w->at + at + insert.len, w->at + at + remove, w->len - at - remove);
    if (insert.len)
        memcpy(w->at + at, insert.at, insert.len);
    w->len = w->len - remove + insert.len;
}

/* Mostly near the start: there are the headers. */
static size_t random_place(struct random *dice, size_t len)
{
    size_t reach = random_below(dice, 4) ? min_u64(len, 600) : len;

    return reach ? random_below(dice, reach) : 0;
}

static void mutate(struct random *dice, const struct corpus *corpus, struct writer *w)
{
    struct slice other = corpus->at[random_below(dice, corpus->count)];
    size_t at = random_place(dice, w->len);
    size_t from = random_place(dice, other.len);
    char c = (char)(1 + random_below(dice, 255));

    switch (random_below(dice, 6)) {
    case 0: replace(w, at, w->len > at, slice_of(&c, 1)); break;
    case 1: replace(w, at, 1 + random_below(dice, 8), NO_SLICE); break;
    case 2: replace(w, at, 0, slice_of(&c, 1)); break;
    case 3: /* a part of another message */
        replace(w, at, 0,
                slice_of(other.at + from, min_u64(random_below(dice, 60), other.len - from)));
        break;
    default:
        replace(w, at, random_below(dice, 3),
                slice_text(pieces[random_below(dice, COUNT_OF(pieces))]));
    }
}

static void compare_mutations(const struct corpus *corpus, uint64_t seed, uint64_t count)
{
    static char bytes[MESSAGE_LIMIT];
    char name[64];

    for (uint64_t i = 0; i < count; i++) {
        struct random dice = random_seeded((struct hash_key){seed, i});
        struct slice base = corpus->at[random_below(&dice, corpus->count)];
        struct writer w = writer_over(bytes, sizeof bytes);
        write_slice(&w, base);
        for (uint64_t n = 1 + random_below(&dice, 2); n > 0; n--)
            mutate(&dice, corpus, &w);
        snprintf(name, sizeof name, "mutation %llu", (unsigned long long)i);
        compare_message(name, writer_slice(&w));
    }
}

static void print_tally(void)
{
    printf("%u messages, %u accepted by ours\n", tally.messages, tally.ours);
    for (enum other i = 0; i < OTHER_COUNT; i++)
        printf("%s: %u accepted, %u compared, %u known differences\n", others[i].name,
               tally.theirs[i], tally.compared[i], tally.known[i]);
    printf("%u differences\n", tally.differences);
}

/* Both libraries would log each message they refuse. */
static void say_nothing(const char *file, int line, osip_trace_level_t level, const char *format,
                        va_list values)
{
    (void)file, (void)line, (void)level, (void)format, (void)values;
}

int main(int argc, char **argv)
{
    static struct corpus corpus;
    uint64_t count = 0, seed = 1;

    parser_init();
    osip_trace_initialize_func(TRACE_LEVEL0, say_nothing);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            load_directory(&corpus, argv[i]);
    }
    assert(corpus.count);
    compare_mutations(&corpus, seed, count);
    print_tally();
    return tally.differences ? 1 : 0;
}
