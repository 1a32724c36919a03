/*
 * Three parsers read the same bytes: ours, libosip2 and sofia-sip.  Where ours and another accept a
 * message, each field must read the same, but for the differences known below.
 *
 * compare DIRECTORY SEEDS... [-n MUTATIONS] [-s SEED] reads the files of the directories, then
 * MUTATIONS messages made of them by the stream of SEED.  A difference is printed with its message,
 * which `-s` and `-n` bring back.  So is a message that both others accept and ours refuses for a
 * reason that is not known.  Of many messages each item must be read by both in some.
 */
#include "base/cursor.h"
#include "base/random.h"
#include "refusal.h"
#include "sip/message.h"

#include <dirent.h>
#include <osipparser2/osip_parser.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGES 256u
#define MANY 10000u /* of so many each item is in some */
#define OFTEN 100u  /* in one of so many */

struct corpus {
    struct slice at[MESSAGES];
    unsigned count;
};

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
    unsigned both[OTHER_COUNT][ITEM_COUNT]; /* it was there for both */
    unsigned differences;
    unsigned refusals; /* that are not known */
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

static bool theirs_is_fewer(const char *ours, const char *theirs)
{
    return strtoul(theirs, NULL, 10) < strtoul(ours, NULL, 10);
}

static bool theirs_is_largest(const char *ours, const char *theirs)
{
    (void)ours;
    return strtoul(theirs, NULL, 10) == UINT64_MAX;
}

static bool has_open(const char *ours, const char *theirs)
{
    (void)theirs;
    return strpbrk(ours, "\"<") != NULL;
}

static bool theirs_has_blank(const char *ours, const char *theirs)
{
    (void)ours;
    return strpbrk(theirs, " \t") != NULL;
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
    {OSIP, ITEM_ROUTE_USER, has_nul, "RFC 4475 3.1.1.4: it cuts the user at %00"},
    {OSIP, ITEM_RECORD_ROUTE_USER, has_nul, "the same"},
    {OSIP, ITEM_ROUTES, theirs_is_fewer, "it leaves out the values that it cannot read"},
    {OSIP, ITEM_RECORD_ROUTES, theirs_is_fewer, "the same"},
    {OSIP, ITEM_ROUTE_USER, ours_is_absent, "25.1: it takes sipx: for sip:"},
    {OSIP, ITEM_ROUTE_HOST, ours_is_absent, "the same"},
    {OSIP, ITEM_ROUTE_LR, ours_is_absent, "the same"},
    {OSIP, ITEM_ROUTE_LAST, ours_is_absent, "the same"},
    {OSIP, ITEM_RECORD_ROUTE_USER, ours_is_absent, "the same"},
    {OSIP, ITEM_RECORD_ROUTE_HOST, ours_is_absent, "the same"},
    {OSIP, ITEM_RECORD_ROUTE_LR, ours_is_absent, "the same"},
    {OSIP, ITEM_RECORD_ROUTE_LAST, ours_is_absent, "the same"},
    {OSIP, ITEM_CONTACTS, theirs_is_fewer, "25.1: it takes a display name * for Contact: *"},
    {OSIP, ITEM_VIA_RECEIVED, theirs_is_absent, "25.1: there are no comments in Via"},
    {SOFIA, ITEM_CONTACT_Q, has_parenthesis, "25.1: there are no comments in Contact"},
    {SOFIA, ITEM_CONTACT_EXPIRES, has_parenthesis, "the same"},
    {OSIP, ITEM_VIA_HOST, theirs_has_blank, "25.1: it knows no tab in sent-protocol"},
    {OSIP, ITEM_VIA2_HOST, theirs_has_blank, "the same"},
    {OSIP, ITEM_VIA2_BRANCH, theirs_is_shorter, "25.1: there are no comments in Via"},
    {SOFIA, ITEM_VIA2_BRANCH, has_parenthesis, "the same"},
    {OSIP, ITEM_REQUIRE, has_open, "25.1: no option tag has a quote or a bracket"},
    {OSIP, ITEM_PROXY_REQUIRE, has_open, "the same"},
    {SOFIA, ITEM_REQUIRE, theirs_is_shorter, "25.1: it ends the list where no token is"},
    {SOFIA, ITEM_PROXY_REQUIRE, theirs_is_shorter, "the same"},
    {SOFIA, ITEM_EXPIRES, theirs_is_largest, "20.19: beyond 2**32 - 1 it is no number"},
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
        else if (c != '\r' || i + 1 == bytes.len || bytes.at[i + 1] != '\n')
            printf("\\x%02x", c);
    }
    putchar('\n');
}

/* Where there are fewer values, as is told of their count, the first may be another. */
static bool counts_differ(enum item item, const struct reading *ours, const struct reading *theirs)
{
    static const struct {
        enum item count;
        enum item last;
    } lists[] = {
        {ITEM_CONTACTS, ITEM_CONTACT_Q},
        {ITEM_ROUTES, ITEM_ROUTE_LAST},
        {ITEM_RECORD_ROUTES, ITEM_RECORD_ROUTE_LAST},
    };

    for (unsigned i = 0; i < COUNT_OF(lists); i++)
        if (item > lists[i].count && item <= lists[i].last)
            return strcmp(ours->text[lists[i].count], theirs->text[lists[i].count]) != 0;
    return false;
}

static void compare_readings(enum other other, const struct reading *ours,
                             const struct reading *theirs, const char *name, struct slice bytes)
{
    tally.compared[other]++;
    for (enum item i = 0; i < ITEM_COUNT; i++) {
        tally.both[other][i] += *ours->text[i] && *theirs->text[i];
        if (strcmp(ours->text[i], theirs->text[i]) == 0)
            continue;
        if (is_known(other, i, ours->text[i], theirs->text[i]) || counts_differ(i, ours, theirs)) {
            tally.known[other]++;
            continue;
        }
        printf("%s: %s: ours \"%s\", %s \"%s\"\n", name, item_names[i], ours->text[i],
               others[other].name, theirs->text[i]);
        tally.differences++;
        print_message(bytes);
    }
}

/* What both others accept must be refused for a known reason. */
static void judge_refusal(const struct reading *ours, const char *name, struct slice bytes)
{
    if (refusal_is_known(ours))
        return;
    printf("%s: ours refuses it: %s\n", name, ours->refusal);
    tally.refusals++;
    print_message(bytes);
}

static void compare_message(const char *name, struct slice bytes)
{
    static struct reading ours, theirs[OTHER_COUNT];

    if (slice_find(bytes, '\0') < bytes.len)
        return; /* the others' texts end there */
    memset(&ours, 0, sizeof ours);
    memset(theirs, 0, sizeof theirs);
    read_ours(&ours, bytes);
    tally.messages++;
    tally.ours += ours.is_accepted;
    for (enum other other = 0; other < OTHER_COUNT; other++) {
        others[other].read(&theirs[other], bytes);
        tally.theirs[other] += theirs[other].is_accepted;
        if (ours.is_accepted && theirs[other].is_accepted)
            compare_readings(other, &ours, &theirs[other], name, bytes);
    }
    if (!ours.is_accepted && theirs[OSIP].is_accepted && theirs[SOFIA].is_accepted)
        judge_refusal(&ours, name, bytes);
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

/* Whole fields, so that lists have several values in one and in several. */
static const char *const lines[] = {
    "Via: SIP/2.0/TCP [2001:db8::9]:5061;branch=z9hG4bKr;received=192.0.2.9;rport=5061\r\n",
    "Via: SIP/2.0/UDP a;branch=z9hG4bKs,SIP/2.0/TLS b:5061;received=::1;branch=z9hG4bKt\r\n",
    "v: SIP / 2.0 / UDP\r\n c ;branch=z9hG4bKu\r\n",
    "Route: <sip:r@h:5070;lr>, <sips:q@[::1]>\r\n",
    "Route: \"a, b\" <sip:h;lr;x=y>;p=q\r\n",
    "Route: <sip:s@i.example;transport=tcp>\r\n",
    "Record-Route: <sip:r@h;lr>\r\n",
    "Record-Route: <sip:h.example>;ab=b,<sip:t%41@[::1]:5061;transport=tcp;lr>\r\n",
    "Expires: 3600\r\n",
    "Expires: 007\r\n",
    "Require: 100rel, timer\r\n",
    "Require: path\r\n",
    "Proxy-Require: foo ,bar\r\n",
    "Proxy-Require: sec-agree\r\n",
    "Contact: <sip:x@y>;expires=60;q=0.7\r\n",
    "m: \"a\" <sip:c@d>;q=1, sip:e@f;expires=0\r\n",
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

/* A field where another begins. */
static void insert_line(struct random *dice, struct writer *w)
{
    size_t at = random_place(dice, w->len);

    while (at < w->len && w->at[at] != '\n')
        at++;
    if (at < w->len)
        replace(w, at + 1, 0, slice_text(lines[random_below(dice, COUNT_OF(lines))]));
}

static void mutate(struct random *dice, const struct corpus *corpus, struct writer *w)
{
    struct slice other = corpus->at[random_below(dice, corpus->count)];
    size_t at = random_place(dice, w->len);
    size_t from = random_place(dice, other.len);
    char c = (char)(1 + random_below(dice, 255));

    switch (random_below(dice, 8)) {
    case 0: replace(w, at, w->len > at, slice_of(&c, 1)); break;
    case 1: replace(w, at, 1 + random_below(dice, 8), NO_SLICE); break;
    case 2: replace(w, at, 0, slice_of(&c, 1)); break;
    case 3: /* a part of another message */
        replace(w, at, 0,
                slice_of(other.at + from, min_u64(random_below(dice, 60), other.len - from)));
        break;
    case 4:
    case 5: insert_line(dice, w); break;
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

/* How many items both read in hardly any message, so that their comparison would say nothing. */
static unsigned count_rare(enum other other)
{
    unsigned rare = 0;

    for (enum item i = 0; i < ITEM_COUNT; i++) {
        if (tally.both[other][i] * OFTEN > tally.compared[other])
            continue;
        printf("%s: %s: compared in %u messages only\n", others[other].name, item_names[i],
               tally.both[other][i]);
        rare++;
    }
    return rare;
}

static void print_tally(void)
{
    printf("%u messages, %u accepted by ours\n", tally.messages, tally.ours);
    for (enum other i = 0; i < OTHER_COUNT; i++)
        printf("%s: %u accepted, %u compared, %u known differences\n", others[i].name,
               tally.theirs[i], tally.compared[i], tally.known[i]);
    refusal_print();
    printf("%u differences, %u unknown refusals\n", tally.differences, tally.refusals);
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
    unsigned rare = 0;

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
    if (count > MANY)
        for (enum other i = 0; i < OTHER_COUNT; i++)
            rare += count_rare(i);
    return tally.differences || tally.refusals || rare ? 1 : 0;
}
