#include "unit.h"

#include "config/config.h"
#include "core/access.h"
#include "shell/digests.h"

#include <stdio.h>
#include <stdlib.h>

static struct report report;

static struct config *read_bytes_of(const char *at, size_t len)
{
    struct config_part part = {"x.conf", slice_of(at, len)};
    struct config_origin origin = {
        .parts = &part,
        .part_count = 1,
        .realm = S("the-uuid"),
        .digests = &digests_openssl,
    };

    report_init(&report, "x.conf");
    return config_read(&origin, &report);
}

/* Several files, a.xml, b.xml and so on, with the accounts and networks of a small machine. */
static struct config *read_parts(unsigned count, const char *const *texts)
{
    static const struct account accounts[] = {
        {S("alice"), S("Account"), S(""), 1, false},
        {S("helen"), S("Helen Hunt"), S("299"), 2, false},
        {S("root2"), S(""), S(""), 3, true},
        {S("far"), S(""), S(""), 1000, false},
    };
    static const struct local_network networks[] = {{S("eth0"), {false, {10, 2, 3, 4}}, 24}};
    static const char *const names[] = {"a.xml", "b.xml", "c.xml"};
    struct config_part parts[3];
    struct config_origin origin = {
        .parts = parts,
        .part_count = count,
        .realm = S("the-uuid"),
        .digests = &digests_openssl,
        .networks = networks,
        .network_count = COUNT_OF(networks),
        .accounts = accounts,
        .account_count = COUNT_OF(accounts),
    };

    for (unsigned i = 0; i < count; i++)
        parts[i] = (struct config_part){names[i], slice_text(texts[i])};
    report_init(&report, "a.xml");
    return config_read(&origin, &report);
}

static const struct user_settings *find_user(const struct config *config, const char *id)
{
    for (uint32_t i = 0; i < config->user_count; i++)
        if (slice_equal(config->users[i].id, slice_text(id)))
            return &config->users[i];
    fail_msg("there is no %s", id);
    return NULL;
}

static struct config *read_text(const char *text)
{
    return read_bytes_of(text, strlen(text));
}

static struct config *read_fine(const char *text)
{
    struct config *config = read_text(text);

    if (!config)
        fail_msg("%s", report.fault);
    return config;
}

static void assert_fault(const char *text, const char *fault)
{
    struct config *config = read_text(text);

    assert_null(config);
    if (!strstr(report.fault, fault))
        fail_msg("\"%s\" does not say \"%s\"", report.fault, fault);
}

static void assert_warning(const char *text, const char *warning)
{
    struct config *config = read_fine(text);
    struct slice said = report_warnings(&report);

    if (!memmem(said.at, said.len, warning, strlen(warning)))
        fail_msg("\"%.*s\" does not say \"%s\"", (int)said.len, said.at, warning);
    config_free(config);
}

static void assert_silent(void)
{
    if (report.warnings_length)
        fail_msg("%.*s", (int)report.warnings_length, report.warnings);
}

static void an_empty_configuration_has_the_defaults(void **state)
{
    struct config *config = read_fine("<sipwitch/>");

    (void)state;
    assert_slice(config->settings.realm, "the-uuid");
    assert_slice(config->interface, "*");
    assert_int_equal(config->port, 5060);
    assert_int_equal(config->user_count, 0);
    assert_false(config->settings.is_public);
    assert_false(config->settings.sha256_first);
    assert_silent();
    config_free(config);
}

static void attributes_are_child_elements(void **state)
{
    static const char *const ways[] = {
        "<user id=\"d\" extension=\"204\" display=\"D &amp; E\" secret=\"p\"/>",
        "<user><id>d</id><extension> 204\n</extension><display>D &#38; E</display>"
        "<secret><![CDATA[p]]></secret></user>",
        "<user id = 'd'><secret>p</secret><extension>204</extension>"
        "<display><!-- no --> D &amp; E</display></user>",
        "<ADMIN id='d' display='D &#x26; E'><extension>204</extension><secret>p</secret></ADMIN>",
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(ways); i++) {
        char text[512];

        snprintf(text, sizeof text, "<sipwitch><provision>%s</provision></sipwitch>", ways[i]);
        struct config *config = read_fine(text);
        assert_silent();
        assert_int_equal(config->user_count, 1);
        assert_slice(config->users[0].id, "d");
        assert_slice(config->users[0].extension, "204");
        assert_slice(config->users[0].display, "D & E");
        assert_true(config->users[0].has_ha1[ALGORITHM_MD5]);
        assert_true(config->users[0].has_ha1[ALGORITHM_SHA256]);
        config_free(config);
    }
}

static void a_secret_becomes_digests_under_the_realm(void **state)
{
    /* RFC 2617 3.5: HA1 of Mufasa:testrealm@host.com:Circle Of Life */
    static const uint8_t ha1[16] = {0x93, 0x9e, 0x75, 0x78, 0xed, 0x9e, 0x3c, 0x51,
                                    0x8a, 0x45, 0x2a, 0xce, 0xe7, 0x63, 0xbc, 0xe9};
    struct config *config =
        read_fine("<sipwitch><provision><user id='Mufasa' secret='Circle Of Life'/></provision>"
                  "<registry><realm>testrealm@host.com</realm></registry></sipwitch>");

    (void)state;
    assert_memory_equal(config->users[0].ha1[ALGORITHM_MD5], ha1, sizeof ha1);
    config_free(config);
}

static void a_digest_wins_over_a_secret(void **state)
{
    struct config *config =
        read_fine("<sipwitch><provision><user id='a' secret='s' "
                  "digest='000102030405060708090A0b0c0d0e0f'/></provision></sipwitch>");

    (void)state;
    assert_true(config->users[0].has_ha1[ALGORITHM_MD5]);
    assert_false(config->users[0].has_ha1[ALGORITHM_SHA256]);
    assert_int_equal(config->users[0].ha1[ALGORITHM_MD5][10], 10);
    config_free(config);
    assert_warning("<sipwitch><provision><user id='a' digest='12'/></provision></sipwitch>",
                   "x.conf:1:22: the digest of a is ignored");
}

static void sections_set_the_server(void **state)
{
    struct config *config = read_fine(
        "\xef\xbb\xbf<?xml version='1.0'?>\n<!DOCTYPE sipwitch>\n<sipwitch>\n"
        "<stack><interface>127.0.0.1</interface><port>5070</port><agent>me</agent>"
        "<localnames>a.test, b.test;c.test</localnames><published>sip.a.test</published></stack>"
        "<registry><expires>120</expires><mapped>17</mapped><digest>SHA-256</digest></registry>"
        "</sipwitch>\n<!-- the end -->\n");

    (void)state;
    assert_silent();
    assert_slice(config->interface, "127.0.0.1");
    assert_int_equal(config->port, 5070);
    assert_int_equal(config->bindings, 17);
    assert_int_equal(config->settings.expires, 120);
    assert_int_equal(config->settings.localname_count, 4);
    assert_slice(config->settings.localnames[2], "c.test");
    assert_slice(config->settings.localnames[3], "sip.a.test");
    assert_slice(config->settings.agent, "me");
    assert_true(config->settings.is_public);
    assert_true(config->settings.sha256_first);
    config_free(config);
}

static void transports_are_a_list_and_all_by_default(void **state)
{
    static const struct {
        const char *text;
        bool has_udp, has_tcp, has_tls;
    } cases[] = {
        {"", true, true, true},         {"udp", true, false, false},
        {"TCP", false, true, false},    {"udp, tcp", true, true, false},
        {"tls", false, false, true},    {" tcp ", false, true, false},
        {"tcp tls", false, true, true}, {"both", true, true, false},
        {"both Tls", true, true, true},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "<sipwitch><stack><transport>%s</transport></stack></sipwitch>",
                 cases[i].text);
        struct config *config = read_fine(text);
        assert_int_equal(config->has_udp, cases[i].has_udp);
        assert_int_equal(config->has_tcp, cases[i].has_tcp);
        assert_int_equal(config->has_tls, cases[i].has_tls);
        config_free(config);
    }
}

static void none_is_not_a_published_name(void **state)
{
    struct config *config = read_fine("<sipwitch><stack published='none'/></sipwitch>");

    (void)state;
    assert_false(config->settings.is_public);
    assert_int_equal(config->settings.localname_count, 0);
    config_free(config);
}

static void a_published_name_is_a_host(void **state)
{
    (void)state;
    assert_fault("<sipwitch><stack published='sip.a.test:5060'/></sipwitch>",
                 "published in <stack> is \"sip.a.test:5060\"; write the name of a host");
    assert_fault("<sipwitch><stack public='2001:db8::1'/></sipwitch>", "(IPv6 in brackets)");
}

static void the_first_of_repeated_keys_counts(void **state)
{
    (void)state;
    assert_warning("<sipwitch><stack><port>5070</port><port>5080</port></stack></sipwitch>",
                   "x.conf:1:35: port is given again");
    struct config *config =
        read_fine("<sipwitch><stack><port>5070</port><port>5080</port></stack></sipwitch>");
    assert_int_equal(config->port, 5070);
    config_free(config);
}

static void users_of_all_provision_sections_count_and_the_first_of_a_name_wins(void **state)
{
    static const char text[] = "<sipwitch><provision><user id='a' secret='1' extension='201'/>"
                               "<user id='b' secret='1' extension='201'/></provision>"
                               "<provision><user id='a' secret='2'/><user id='c' secret='1'/>"
                               "</provision></sipwitch>";
    struct config *config = read_fine(text);

    (void)state;
    assert_int_equal(config->user_count, 3);
    assert_slice(config->users[0].extension, "201");
    assert_slice(config->users[1].extension, "");
    assert_slice(config->users[2].id, "c");
    config_free(config);
    assert_warning(text, "<provision> is given again; all of them count");
    assert_warning(text, "a is there already");
    assert_warning(text, "extension 201 is taken; that of b is ignored");
}

static void one_bad_user_does_not_keep_the_others_out(void **state)
{
    static const struct {
        const char *user, *warning;
    } cases[] = {
        {"<user secret='x'/>", "a user is ignored; give it an id"},
        {"<user id='a@b' secret='x'/>", "a user is ignored; give it an id"},
        {"<user id='a:b' secret='x'/>", "a user is ignored; give it an id"},
        {"<user id='x'/>", "x has neither secret nor digest"},
        {"<user id='x' secret='x' extension='12a'/>",
         "extension 12a of x is ignored; write digits"},
        {"<user id='x' secret='x' extension='99'/>", "write one from 100 to 699"},
        {"<user id='x' secret='x' colour='red'/>", "<user> has no key colour"},
        {"<user id='x' secret='x' profile='p'/>", "there is no profile p"},
        {"<user id='x' secret='x' forwarding='p'/>", "forwarding in <user> has no effect: "},
        {"<robot id='x'/>", "<provision> knows no <robot>"},
        {"<gateway id='x'/>", "x has neither secret nor digest"},
        {"<group id='x'/>", "group in <provision> has no effect: "},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char text[512];

        snprintf(text, sizeof text,
                 "<sipwitch><provision>%s<user id='good' secret='x'/></provision></sipwitch>",
                 cases[i].user);
        assert_warning(text, cases[i].warning);
        struct config *config = read_fine(text);
        assert_true(config->user_count >= 1);
        assert_slice(config->users[config->user_count - 1].id, "good");
        config_free(config);
    }
}

static void a_range_says_how_many_extensions_there_are(void **state)
{
    static const char user[] = "<provision><user id='x' secret='x' extension='5551234567'/>"
                               "</provision></sipwitch>";
    static const struct {
        const char *registry, *extension;
    } cases[] = {
        {"prefix='0' range='1000000000000000'", "5551234567"},
        {"prefix='5551234567' range='1'", "5551234567"},
        {"prefix='5551234566' range='1'", ""},
        {"prefix='0' range='0'", ""},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char text[256];

        snprintf(text, sizeof text, "<sipwitch><registry %s/>%s", cases[i].registry, user);
        struct config *config = read_fine(text);
        assert_slice(config->users[0].extension, cases[i].extension);
        config_free(config);
        if (!*cases[i].extension)
            assert_warning(text, "extension 5551234567 of x is ignored");
    }
}

static void faults_say_where_and_what_to_write(void **state)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"", "x.conf:1:1: no element found; "},
        {"<sipwitch>\n <stack>\n</sipwitch>", "x.conf:3:3: mismatched tag; "},
        {"<sipwitch>\n", "x.conf:2:1: "},
        {"<sipwitch><a b=c/></sipwitch>", "write values in quotes"},
        {"<sipwitch><a>R&D</a></sipwitch>", "& as &amp;"},
        {"<sipwitch><a>&nbsp;</a></sipwitch>", "numbers like &#233;"},
        {"<sipwitch>\n<stack>x<port>1</port></stack></sipwitch>",
         "x.conf:2:9: text and elements side by side; "},
        {"<sipwitch><stack><port>1</port>x</stack></sipwitch>", "text and elements side by side; "},
        {"<sipwitch><stack/>up</sipwitch>", "text and elements side by side; "},
        {"<sipwitch><stack>up<port/></stack></sipwitch>", "text and elements side by side; "},
        {"<config/>", "x.conf:1:1: the file begins with <config>; begin it with <sipwitch>"},
        {"<sipwitch><stack port='0'/></sipwitch>",
         "x.conf:1:11: port is \"0\"; write a number from 1 to 65535"},
        {"<sipwitch><registry realm='a\\b'/></sipwitch>", "without quotation marks"},
        {"<sipwitch><registry digest='SHA1'/></sipwitch>", "write MD5 or SHA-256"},
        {"<sipwitch><stack transport='sctp'/></sipwitch>", "write udp, tcp, tls"},
        {"<!DOCTYPE s [<!ENTITY a 'b'>]><sipwitch>&a;</sipwitch>", "a DOCTYPE with declarations; "},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++)
        assert_fault(cases[i].text, cases[i].fault);
}

static void control_characters_do_not_reach_the_report(void **state)
{
    (void)state;
    assert_fault("<sipwitch><stack port='1&#10;2'/></sipwitch>", "port is \"");
    assert_null(strchr(report.fault, '\n'));
}

static void what_follows_the_root_is_ignored_with_a_warning(void **state)
{
    (void)state;
    assert_warning("<sipwitch></sipwitch>\n<!-- fine -->\n <oops/>",
                   "x.conf:3:2: what follows the end of <sipwitch> is ignored");
    assert_warning("<sipwitch/>oops", "x.conf:1:12: what follows");
}

static void depth_is_limited(void **state)
{
    char text[2048] = "<sipwitch>";

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        strcat(text, "<a>");
    assert_fault(text, "more than 64 elements within one another");
}

static void comments_and_values_may_be_long(void **state)
{
    enum { LENGTH = 100000 };
    char *text = malloc(2 * LENGTH + 200);
    size_t len = (size_t)sprintf(text, "<sipwitch><!--");

    (void)state;
    memset(text + len, '<', LENGTH);
    len += LENGTH;
    len += (size_t)sprintf(text + len, "--><provision><user id='a' secret='s' display='");
    memset(text + len, '>', LENGTH);
    len += LENGTH;
    strcpy(text + len, "'/></provision></sipwitch>");
    struct config *config = read_fine(text);
    assert_int_equal(config->users[0].display.len, LENGTH);
    config_free(config);
    free(text);
}

static void every_prefix_of_a_file_is_refused_or_read(void **state)
{
    static const char text[] =
        "<?xml version='1.0'?><sipwitch a='1'><!-- c --><provision>"
        "<user id='a' secret='&lt;&#65;'><display><![CDATA[<x>]]></display>"
        "</user></provision><stack><port>1</port></stack></sipwitch><!--x-->";

    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len ? len : 1); /* of its size, for the sanitizer */

        memcpy(copy, text, len);
        struct config *config = read_bytes_of(copy, len);
        assert_true(!config == report.has_fault);
        if (config)
            config_free(config);
        free(copy);
    }
}

static void the_first_part_with_a_key_or_a_name_counts(void **state)
{
    static const char *const texts[] = {
        "<sipwitch>night<stack agent='first'/></sipwitch>",
        ("<sipwitch>day<stack agent='second' port='5070'/><provision><user id='u' secret='1'/>"
         "</provision></sipwitch>"),
        "<provision><user id='u' secret='2'/><user id='v' secret='1'/></provision>",
    };
    struct config *config = read_parts(3, texts);

    (void)state;
    assert_non_null(config);
    assert_slice(config->state, "night");
    assert_slice(config->settings.agent, "first");
    assert_int_equal(config->port, 5070);
    find_user(config, "v");
    assert_non_null(memmem(report.warnings, report.warnings_length,
                           "c.xml:1:12: u is there already; the first one counts", 52));
    config_free(config);
}

static void a_fault_names_its_part(void **state)
{
    static const char *const texts[] = {"<sipwitch/>", "<access>\n<lan>x</lan></access>"};
    struct config *config = read_parts(2, texts);

    (void)state;
    assert_null(config);
    assert_string_equal(report.fault, "b.xml:2:1: x is no network; write one like 192.0.2.0/24 or "
                                      "2001:db8::/32");
}

static void accounts_become_users_by_the_templates(void **state)
{
    static const char *const texts[] = {
        "<sipwitch><registry prefix='200' range='100'/><templates><user><secret>t</secret></user>"
        "<admin trs='5'/></templates><provision><user id='alice' secret='s'/></provision>"
        "</sipwitch>"};
    struct config *config = read_parts(1, texts);
    const struct user_settings *user;

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->user_count, 4);
    assert_int_equal(find_user(config, "alice")->source, SOURCE_FILE);
    user = find_user(config, "helen");
    assert_int_equal(user->source, SOURCE_ACCOUNT);
    assert_slice(user->display, "Helen Hunt");
    assert_slice(user->extension, "299");
    assert_true(user->has_ha1[ALGORITHM_SHA256]);
    assert_int_equal(user->level, 1);
    user = find_user(config, "root2");
    assert_slice(user->extension, "203");
    assert_int_equal(user->level, 5);
    assert_false(user->has_ha1[ALGORITHM_MD5]);
    assert_slice(find_user(config, "far")->extension, "");
    config_free(config);
}

static void networks_stand_in_order_with_the_lists_of_their_names(void **state)
{
    static const char *const texts[] = {
        "<sipwitch><stack trusted='lan loopback eth0' restricted='lan all6'/>"
        "<access><lan>10.0.0.0/8 2001:db8::/32</lan><hole>10.1.2.3/255.255.0.0</hole>"
        "<decline>10.1.9.9</decline><all6>::/0</all6></access></sipwitch>"};
    static const struct {
        uint8_t address[16];
        bool is_v6;
        unsigned access;
    } cases[] = {
        {{10, 9}, false, ACCESS_TRUSTED | ACCESS_ALLOWED},
        {{10, 1, 7}, false, 0},
        {{10, 1, 9, 9}, false, ACCESS_DECLINED},
        {{10, 2, 3, 99}, false, ACCESS_TRUSTED},
        {{127, 1}, false, ACCESS_TRUSTED},
        {{11}, false, 0},
        {{0x20, 1, 0xd, 0xb8, 1}, true, ACCESS_TRUSTED | ACCESS_ALLOWED},
        {{0x20, 2}, true, ACCESS_ALLOWED},
    };
    struct config *config = read_parts(1, texts);

    (void)state;
    assert_non_null(config);
    assert_silent();
    assert_true(config->settings.is_restricted);
    for (unsigned i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(access_of(config->settings.networks, config->settings.network_count,
                                   cases[i].is_v6, cases[i].address),
                         cases[i].access);
    config_free(config);
}

static void without_lists_networks_of_interfaces_mean_nothing(void **state)
{
    static const char *const texts[] = {"<sipwitch><stack trusted='none'/></sipwitch>"};
    struct config *config = read_parts(1, texts);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->settings.network_count, 0);
    assert_false(config->settings.is_restricted);
    config_free(config);
}

static void routes_are_sorted_and_rules_stay_in_order(void **state)
{
    struct config *config = read_fine(
        "<sipwitch><provision><gateway id='a' contact='192.0.2.1'><routes>"
        "<route pattern='1!' priority='1'/><route pattern='2!'/></routes></gateway>"
        "<gateway id='b' contact='192.0.2.1'><routes><route pattern='3!' priority='9'/>"
        "<route pattern='4!' priority='1' prefix='-4' suffix='#'/></routes></gateway></provision>"
        "<routing><refuse identity='x'/><REWRITE pattern='5!' replace='y@z'/></routing>"
        "</sipwitch>");
    const struct dialplan *plan = &config->settings.dialplan;
    static const char *const order[] = {"3!", "1!", "4!", "2!"};

    (void)state;
    assert_silent();
    assert_int_equal(plan->route_count, COUNT_OF(order));
    for (unsigned i = 0; i < COUNT_OF(order); i++)
        assert_slice(plan->routes[i].pattern, order[i]);
    assert_slice(plan->routes[2].gateway, "b");
    assert_slice(plan->routes[2].affix.prefix, "-4");
    assert_int_equal(plan->rule_count, 2);
    assert_int_equal(plan->rules[0].kind, RULE_REFUSE);
    assert_int_equal(plan->rules[0].status, 403);
    assert_int_equal(plan->rules[1].kind, RULE_REDIRECT);
    assert_slice(plan->rules[1].target, "sip:y@z");
    config_free(config);
}

static void contacts_are_uris_one_a_line(void **state)
{
    struct config *config =
        read_fine("<sipwitch><provision><user id='a' secret='s' contact='192.0.2.1'>"
                  "<contacts><contact>sips:x@192.0.2.2:7</contact><contact>:</contact>"
                  "<contact>sip:y@host.test</contact></contacts></user></provision></sipwitch>");

    (void)state;
    assert_slice(config->users[0].contacts, "sip:192.0.2.1\nsips:x@192.0.2.2:7\nsip:y@host.test\n");
    struct slice said = report_warnings(&report);
    assert_non_null(memmem(said.at, said.len, "the contact : is ignored; write a SIP URI", 41));
    config_free(config);
}

static void faults_of_the_dial_plan_are_refused(void **state)
{
    static const struct {
        const char *inside, *fault;
    } cases[] = {
        {"<routing><refuse error='404'/></routing>", "refuse without a pattern or an identity; "},
        {"<routing><redirect pattern='1'/></routing>", "redirect needs a server, or a target; "},
        {"<routing><refer pattern='1' target='x'/></routing>", "refer needs a server, or a target"},
        {"<routing><redirect pattern='1' server='h:0'/></routing>", "write HOST or HOST:PORT"},
        {"<routing><redirect pattern='1' server='h:65536'/></routing>", "write HOST or HOST:PORT"},
        {"<routing><redirect pattern='1' server='[::1'/></routing>", "write HOST or HOST:PORT"},
        {"<routing><redirect pattern='1' server='[::1]5060'/></routing>",
         "write HOST or HOST:PORT"},
        {"<routing><refuse pattern='1' error='200'/></routing>", "write a number from 300 to 699"},
        {"<provision><gateway id='g'><routes><route/></routes></gateway></provision>",
         "a route without a pattern; "},
        {"<provision><gateway id='g'><routes><route pattern='1' priority='10'/></routes></gateway>"
         "</provision>",
         "write a number from 0 to 9"},
        {"<provision><user id='u' trs='10'/></provision>", "write a number from 0 to 9"},
        {"<registry unregistered='470'/>", "unregistered in <registry> is 470; write 480 or 410"},
        {"<timers c='60'/>", "write a number from 181 to 3600"},
        {"<nodes><node/></nodes>", "a node without a name and an address"},
        {"<nodes><node name='192.0.2.1'/></nodes>", "the name of a node is \"192.0.2.1\""},
        {"<nodes><node address='192.0.2.1 north'/></nodes>", "north is no address of a node"},
        {"<stack transport='smoke'/>", "write udp, tcp, tls"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char text[512];

        snprintf(text, sizeof text, "<sipwitch>%s</sipwitch>", cases[i].inside);
        assert_fault(text, cases[i].fault);
    }
}

static void nodes_are_there_once_for_each_address(void **state)
{
    struct config *config = read_fine("<sipwitch><nodes><node name='north.example'/>"
                                      "<node address='192.0.2.1, [2001:db8::1]'/></nodes>"
                                      "</sipwitch>");
    const struct fellow *fellows = config->settings.fellows;

    (void)state;
    assert_int_equal(config->settings.fellow_count, 3);
    assert_slice(fellows[0].name, "north.example");
    assert_false(fellows[0].has_address);
    assert_true(fellows[1].has_address && !fellows[1].address.is_v6);
    assert_int_equal(fellows[1].address.at[3], 1);
    assert_true(fellows[2].has_address && fellows[2].address.is_v6);
    config_free(config);
}

static void the_relay_is_as_it_is_written(void **state)
{
    struct config *config = read_fine(
        "<sipwitch><media mode='always' address='192.0.2.1, 2001:db8::1' public='203.0.113.9' "
        "ports='20000-20099' calls='40' user-calls='3' rate='500' silence='0' sites='lan hall'/>"
        "<access><lan>10.1.0.0/16 10.2.0.0/16</lan><hall>10.3.0.0/16</hall></access></sipwitch>");
    const struct media_settings *media = &config->settings.media;
    const struct subnet *networks = config->settings.networks;

    (void)state;
    assert_silent();
    assert_int_equal(media->mode, MEDIA_ALWAYS);
    assert_true(media->has[0] && media->has[1]);
    assert_int_equal(media->own[0].at[3], 1);
    assert_int_equal(media->outside[0].at[0], 203);
    assert_true(address_is_unspecified(&media->outside[1]));
    assert_int_equal(media->first_port, 20000);
    assert_int_equal(media->last_port, 20099);
    assert_int_equal(media->calls, 40);
    assert_int_equal(media->user_calls, 3);
    assert_int_equal(media->rate, 500);
    assert_int_equal(media->silence, 0);
    assert_int_equal(config->settings.network_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(networks[i].site, networks[i].address[1] == 3 ? 2 : 1);
    config_free(config);
}

static void the_public_address_may_be_found_out(void **state)
{
    static const struct {
        const char *value, *stun;
        bool asks_router;
        unsigned router; /* the last number of its address */
        unsigned last;   /* of the ports */
    } cases[] = {
        {"none", "", false, 0, 32767},
        {"router", "", true, 0, 16511},
        {"router:192.168.1.1", "", true, 1, 16511},
        {"stun:stun.example.org", "stun.example.org", false, 0, 32767},
        {"router, stun:192.0.2.1:3479", "192.0.2.1:3479", true, 0, 16511},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "<sipwitch><media><public>%s</public></media></sipwitch>",
                 cases[i].value);
        struct config *config = read_fine(text);
        const struct media_settings *media = &config->settings.media;
        assert_silent();
        assert_int_equal(media->asks_router, cases[i].asks_router);
        assert_int_equal(media->router.at[3], cases[i].router);
        assert_slice(media->stun, cases[i].stun);
        assert_int_equal(media->last_port, cases[i].last);
        assert_true(address_is_unspecified(&media->outside[0]));
        config_free(config);
    }
    assert_fault("<sipwitch><media public='router' ports='20000-20512'/></sipwitch>",
                 "a router is asked for each of them: write 512 at most");
    config_free(read_fine("<sipwitch><media public='router' ports='20000-20511'/></sipwitch>"));
}

static void old_keys_of_the_relay_count(void **state)
{
    static const struct {
        const char *text;
        unsigned mode, first, last;
    } cases[] = {
        {"<sipwitch/>", MEDIA_AUTO, 16384, 32767},
        {"<sipwitch><media><count>0</count></media></sipwitch>", MEDIA_NEVER, 16384, 32767},
        {"<sipwitch><media><count>20</count></media></sipwitch>", MEDIA_AUTO, 5062, 5081},
        {"<sipwitch><media><port>7000</port></media></sipwitch>", MEDIA_AUTO, 7000, 7037},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct config *config = read_fine(cases[i].text);
        assert_silent();
        assert_int_equal(config->settings.media.mode, cases[i].mode);
        assert_int_equal(config->settings.media.first_port, cases[i].first);
        assert_int_equal(config->settings.media.last_port, cases[i].last);
        config_free(config);
    }
    struct config *config =
        read_fine("<sipwitch><stack><peering>203.0.113.9</peering></stack></sipwitch>");
    assert_int_equal(config->settings.media.outside[0].at[3], 9);
    config_free(config);
    assert_warning("<sipwitch><stack><peering>example.com</peering></stack></sipwitch>",
                   "peering in <stack> is example.com, which is no address; it is ignored");
}

static void faults_of_the_relay_are_refused(void **state)
{
    static const struct {
        const char *key, *value, *fault;
    } cases[] = {
        {"mode", "sometimes", "mode in <media> is \"sometimes\"; write auto, never or always"},
        {"address", "example.com", "address in <media> is \"example.com\"; write one address"},
        {"address", "192.0.2.1 192.0.2.2", "write one address"},
        {"public", "0.0.0.0", "public in <media> is \"0.0.0.0\"; write one address"},
        {"public", "router 192.0.2.1", "write addresses, or router"},
        {"public", "router:there", "write addresses, or router"},
        {"public", "stun:", "write addresses, or router"},
        {"ports", "20000", "ports in <media> is \"20000\"; write the first and the last port"},
        {"ports", "20000-19999", "write the first and the last port"},
        {"ports", "80-90", "from 1024 on"},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "<sipwitch><media><%s>%s</%s></media></sipwitch>", cases[i].key,
                 cases[i].value, cases[i].key);
        assert_fault(text, cases[i].fault);
    }
}

int main(void)
{
    RUN(cmocka_unit_test(the_first_part_with_a_key_or_a_name_counts),
        cmocka_unit_test(a_fault_names_its_part),
        cmocka_unit_test(accounts_become_users_by_the_templates),
        cmocka_unit_test(networks_stand_in_order_with_the_lists_of_their_names),
        cmocka_unit_test(without_lists_networks_of_interfaces_mean_nothing),
        cmocka_unit_test(routes_are_sorted_and_rules_stay_in_order),
        cmocka_unit_test(contacts_are_uris_one_a_line),
        cmocka_unit_test(faults_of_the_dial_plan_are_refused),
        cmocka_unit_test(the_relay_is_as_it_is_written),
        cmocka_unit_test(the_public_address_may_be_found_out),
        cmocka_unit_test(old_keys_of_the_relay_count),
        cmocka_unit_test(faults_of_the_relay_are_refused),
        cmocka_unit_test(an_empty_configuration_has_the_defaults),
        cmocka_unit_test(attributes_are_child_elements),
        cmocka_unit_test(a_secret_becomes_digests_under_the_realm),
        cmocka_unit_test(a_digest_wins_over_a_secret), cmocka_unit_test(sections_set_the_server),
        cmocka_unit_test(transports_are_a_list_and_all_by_default),
        cmocka_unit_test(none_is_not_a_published_name),
        cmocka_unit_test(a_published_name_is_a_host),
        cmocka_unit_test(the_first_of_repeated_keys_counts),
        cmocka_unit_test(users_of_all_provision_sections_count_and_the_first_of_a_name_wins),
        cmocka_unit_test(one_bad_user_does_not_keep_the_others_out),
        cmocka_unit_test(a_range_says_how_many_extensions_there_are),
        cmocka_unit_test(faults_say_where_and_what_to_write),
        cmocka_unit_test(control_characters_do_not_reach_the_report),
        cmocka_unit_test(what_follows_the_root_is_ignored_with_a_warning),
        cmocka_unit_test(nodes_are_there_once_for_each_address), cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(comments_and_values_may_be_long),
        cmocka_unit_test(every_prefix_of_a_file_is_refused_or_read));
}
