#include "sim/notary.h"

#include "core/vouch.h"
#include "sim/copy.h"
#include "sim/letter.h"
#include "sim/sim.h"
#include "sim/trace.h"

#define PLACES 6u     /* of certificates, each with a key of its own */
#define DEAD_PLACE 5u /* where there is never anything */

#define GENUINE "Subject: genuine\r\n"
#define FORGED "Subject: forged\r\n"

/* What is asked for, until it is there. */
struct sought {
    struct fetch_question question;
    unsigned place;
};

bool notary_is_seed(uint64_t seed)
{
    return seed % 5 == 3;
}

/* ---- a signature of these games: the text's hash under the key */

static void sign_with(uint8_t key, struct slice text, uint8_t *signature)
{
    const struct hash_key secret = {key, 8224};
    uint64_t sum = hash_bytes(&secret, text);

    for (unsigned i = 0; i < ES256_SIGNATURE; i += 8)
        memcpy(signature + i, &sum, 8);
}

static bool sign(const void *key, struct slice text, uint8_t *signature)
{
    sign_with(*(const uint8_t *)key, text, signature);
    return true;
}

static bool verify(const uint8_t *point, struct slice text, const uint8_t *signature)
{
    uint8_t again[ES256_SIGNATURE];

    sign_with(point[0], text, again);
    return memcmp(again, signature, sizeof again) == 0;
}

static const struct es256_table es256 = {sign, verify};
static const uint8_t own_key = 200;
static const uint8_t keys[] = {10, 11, 12, 13, 14, 15, 16};
static const struct voucher own = {S(SERVER_DOMAIN), S("https://" SERVER_DOMAIN "/identity.pem"),
                                   &own_key, 0, INT64_MAX};

/* ---- writing */

static void plan_next(struct sim *sim)
{
    if (sim->phase < PHASE_HANG_UP)
        agenda_note(&sim->agenda, sim->now + dice_wait(&sim->notary.dice, SECONDS(15)), DUE_NOTARY,
                    0, NULL);
}

void notary_equip(struct sim *sim)
{
    struct machine *m = &sim->machine;

    m->origin.es256 = &es256;
    m->settings.vouchers = &own;
    m->settings.voucher_count = 1;
    m->settings.is_public = true;
}

void notary_init(struct sim *sim, uint64_t seed)
{
    sim->notary.dice = random_seeded((struct hash_key){seed, 8224});
    plan_next(sim);
}

enum forgery { NO_FORGERY, WRONG_KEY, OTHER_CALLEE, OTHER_MEDIA, LONG_AGO, FORGERY_COUNT };

/* The lines of a domain's signature of that letter. */
static bool sign_letter(const struct sim *sim, const struct letter *letter, struct slice domain,
                        enum forgery forgery, unsigned place, struct writer *lines)
{
    struct letter seen = *letter;
    char bytes[LETTER_LIMIT], info[64];
    struct writer w = writer_over(bytes, sizeof bytes), i = writer_over(info, sizeof info);
    struct voucher voucher = {.domain = domain, .not_after = INT64_MAX};
    int64_t wall = machine_moment(sim).wall - (forgery == LONG_AGO ? 600 : 0);
    struct message m;

    put(&i, "https://signer.example/%u", place);
    voucher.info = writer_slice(&i);
    voucher.key = &keys[forgery == WRONG_KEY ? place + 1 : place];
    if (forgery == OTHER_CALLEE)
        seen.to = S("<sip:nobody@" SERVER_DOMAIN ">");
    if (forgery == OTHER_MEDIA)
        seen.body = S("a=fingerprint:sha-256 CD:EF\r\n");
    letter_write(&w, &seen);
    return !message_parse(writer_slice(&w), &m).status &&
           vouch_sign(&m, &voucher, &es256, wall, lines) == VOUCHED;
}

void notary_act(struct sim *sim)
{
    struct notary *notary = &sim->notary;
    struct stranger *s = &sim->strangers[0];
    struct random *dice = &notary->dice;
    unsigned user = (unsigned)random_below(dice, sim->machine.user_count);
    unsigned serial = ++notary->serial, place = (unsigned)random_below(dice, PLACES);
    enum forgery forgery =
        dice_chance(dice, 500) ? (enum forgery)dice_between(dice, 1, LONG_AGO) : NO_FORGERY;
    char uri[64], from[96], to[96], name[48], branch[48], extra[4096], bytes[LETTER_LIMIT];
    struct writer u = writer_over(uri, sizeof uri), f = writer_over(from, sizeof from);
    struct writer t = writer_over(to, sizeof to), n = writer_over(name, sizeof name);
    struct writer b = writer_over(branch, sizeof branch), x = writer_over(extra, sizeof extra);
    struct writer w = writer_over(bytes, sizeof bytes);

    put(&u, "sip:u%u@" SERVER_DOMAIN, user);
    put(&f, "<sip:somebody@signer.example>;tag=n%u", serial);
    put(&t, "<%.*s>", (int)u.len, uri);
    put(&n, "notary-%u", serial);
    put(&b, BRANCH_COOKIE "notary%u", serial);
    struct letter letter = {.method = METHOD_MESSAGE,
                            .uri = writer_slice(&u),
                            .sent_by = slice_text(s->host),
                            .branch = writer_slice(&b),
                            .has_rport = true,
                            .max_forwards = 70,
                            .from = writer_slice(&f),
                            .to = writer_slice(&t),
                            .call_id = writer_slice(&n),
                            .cseq = 1,
                            .type = S("application/sdp"),
                            .body = S("a=fingerprint:sha-256 AB:CD\r\n")};
    if (sign_letter(sim, &letter, S("signer.example"), forgery, place, &x)) {
        write_slice(&x, forgery ? S(FORGED) : S(GENUINE));
        letter.extra = writer_slice(&x);
        letter_write(&w, &letter);
        network_to_server(sim, s->node, &s->address, writer_slice(&w));
        if (dice_chance(dice, 300)) /* a copy, as nobody has answered */
            network_to_server(sim, s->node, &s->address, writer_slice(&w));
    }
    plan_next(sim);
}

bool notary_vouch(struct sim *sim, const struct letter *letter, struct slice domain,
                  struct writer *lines)
{
    struct random *dice = &sim->notary.dice;

    return notary_is_seed(sim->report.seed) && dice_chance(dice, 700) &&
           sign_letter(sim, letter, domain, NO_FORGERY, (unsigned)random_below(dice, PLACES),
                       lines);
}

/* ---- certificates */

void notary_asked(struct sim *sim, const struct fetch_question *question, struct slice what)
{
    struct random *dice = &sim->notary.dice;
    duration time = MS(dice_between(dice, 5, 800));
    struct sought *sought;

    trace_note(sim, "fetches %.*s", (int)what.len, what.at);
    if (dice_chance(dice, 150))
        time = MS(dice_between(dice, 3000, 8000));
    if (dice_chance(dice, 50))
        return; /* it never hears */
    sought = take(1, sizeof *sought);
    *sought = (struct sought){*question, (unsigned)(what.at[what.len - 1] - '0')};
    agenda_note(&sim->agenda, sim->now + time, DUE_CERTIFICATE, sim->machine.starts, sought);
}

void notary_answer(struct sim *sim, uint32_t starts, void *asked)
{
    struct sought *sought = asked;
    struct certificate found = {.state = CERTIFICATE_GOOD, .not_after = INT64_MAX};

    found.point[0] = keys[sought->place % PLACES];
    if (sought->place == DEAD_PLACE)
        found.state = CERTIFICATE_UNREACHABLE;
    if (starts == sim->machine.starts) /* else it died with whom it was for */
        machine_certificate(sim, sought->question.id, &found);
    free(sought);
}

/* ---- judging */

static bool has(struct slice bytes, const char *text)
{
    return memmem(bytes.at, bytes.len, text, strlen(text)) != NULL;
}

/* Strangers replay what they heard, changed; so what is forged may come without its signature. */
void notary_judge(struct sim *sim, struct slice bytes)
{
    struct slice head = slice_of(bytes.at, bytes.len);
    const char *end = memmem(bytes.at, bytes.len, "\r\n\r\n", 4);
    bool is_proven;

    if (end)
        head.len = (size_t)(end - bytes.at) + 2;
    if (slice_starts(head, S("SIP/2.0 ")))
        return;
    is_proven = has(head, "\r\nP-SIPWITCH-Caller: verified;");
    if (has(head, "\r\n" FORGED) && (is_proven || has(head, "\r\nIdentity: ")))
        judge_fail(sim, "what another domain has not signed reaches nobody", "%.*s",
                   (int)slice_find(bytes, '\r'), bytes.at);
    sim->report.counts[COUNT_SIGNED] += is_proven && has(head, "\r\n" GENUINE);
}
