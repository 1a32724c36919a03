#include "unit.h"

#include "shell/dns.h"
#include "shell/folder.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 15000 /* ms that a test waits for an answer */

/* A name server of one thread, which answers by what the question's first label says:
 *
 *   a1...      one A record            many...   20 SRV records, the last the best
 *   none...    no such name            broken... SERVFAIL
 *   silent...  nothing at all
 */
struct server {
    pthread_t thread;
    int fd, ends[2];
    uint16_t port;
};

static size_t put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

/* A record of the name that the question has, by a pointer to it. */
static size_t put_record(uint8_t *at, unsigned type, const void *data, unsigned len)
{
    size_t n = put16(at, 0xc00c);

    n += put16(at + n, type);
    n += put16(at + n, 1);
    n += put16(at + n, 0);
    n += put16(at + n, 60);
    n += put16(at + n, len);
    memcpy(at + n, data, len);
    return n + len;
}

/* "sN" below the question's own domain: the pointer is to its second label. */
static size_t put_srv(uint8_t *at, unsigned i, unsigned second)
{
    uint8_t data[16] = {0, (uint8_t)(200 - i), 0, 1, 0x13, 0xc4, 2, 's', (uint8_t)('a' + i)};

    put16(data + 9, 0xc000u | second);
    return put_record(at, DNS_SRV, data, 11);
}

static size_t answer(const uint8_t *query, size_t len, uint8_t *reply)
{
    size_t end = 12, n;
    unsigned count = 0, code = 0;
    const char *label = (const char *)query + 13;

    while (end < len && query[end])
        end += query[end] + 1u;
    end += 5;
    if (end > len || strncmp(label, "silent", 6) == 0)
        return 0;
    unsigned type = query[end - 3], second = 12 + query[12] + 1u;
    memcpy(reply, query, n = end);
    if (strncmp(label, "a1", 2) == 0 && type == DNS_A) {
        n += put_record(reply + n, DNS_A, (const uint8_t[]){192, 0, 2, 7}, 4);
        count = 1;
    }
    for (; strncmp(label, "many", 4) == 0 && type == DNS_SRV && count < 20; count++)
        n += put_srv(reply + n, count, second);
    if (strncmp(label, "none", 4) == 0)
        code = 3;
    if (strncmp(label, "broken", 6) == 0)
        code = 2;
    put16(reply + 2, 0x8180 | code);
    put16(reply + 4, 1);
    put16(reply + 6, count);
    put16(reply + 8, 0);
    put16(reply + 10, 0);
    return n;
}

static void *serve(void *self)
{
    struct server *server = self;
    struct pollfd waits[] = {{.fd = server->fd, .events = POLLIN},
                             {.fd = server->ends[0], .events = POLLIN}};
    uint8_t query[512], reply[2048];

    while (poll(waits, 2, -1) >= 0 && !waits[1].revents) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t len = recvfrom(server->fd, query, sizeof query, 0, (struct sockaddr *)&from, &size);
        size_t n = len > 12 ? answer(query, (size_t)len, reply) : 0;
        if (n)
            sendto(server->fd, reply, n, 0, (struct sockaddr *)&from, size);
    }
    return NULL;
}

static void server_start(struct server *server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof at;

    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &size), 0);
    server->port = ntohs(at.sin_port);
    assert_int_equal(pipe(server->ends), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    assert_int_equal(write(server->ends[1], "", 1), 1);
    pthread_join(server->thread, NULL);
    close(server->fd);
    close(server->ends[0]);
    close(server->ends[1]);
}

/* ---- what every test has */

static struct folder folder;
static struct server server;
static struct dns_plan plan;

static void write_file(char *path, size_t room, const char *name, const char *text)
{
    snprintf(path, room, "%s/%s", folder.path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    server_start(&server);
    plan = (struct dns_plan){0};
    snprintf(plan.servers, sizeof plan.servers, "127.0.0.1@%u", server.port);
    write_file(plan.hosts, sizeof plan.hosts, "hosts", "192.0.2.9 listed.example other.example\n");
    write_file(plan.resolv, sizeof plan.resolv, "resolv.conf", "# nobody\n");
    return 0;
}

static int end(void **state)
{
    (void)state;
    server_stop(&server);
    folder_remove(&folder);
    return 0;
}

static bool await(struct dns *dns, uint64_t *id, struct dns_answer *answer)
{
    struct pollfd wait = {.fd = dns_descriptor(dns), .events = POLLIN};

    while (!dns_next(dns, id, answer))
        if (poll(&wait, 1, PATIENCE) <= 0)
            return false;
    return true;
}

static struct dns_answer ask(struct dns *dns, enum dns_type type, const char *name)
{
    static uint64_t last;
    struct dns_answer answer;
    uint64_t id = 0;

    dns_ask(dns, ++last, type, slice_text(name));
    assert_true(await(dns, &id, &answer));
    assert_int_equal(id, last);
    return answer;
}

static struct dns *open_it(void)
{
    struct dns *dns = dns_open(&plan, NULL);

    assert_non_null(dns);
    return dns;
}

/* ---- the tests */

static void an_answer_has_the_data_of_its_records(void **state)
{
    struct dns *dns = open_it();
    struct dns_answer found = ask(dns, DNS_A, "a1.example");

    (void)state;
    assert_int_equal(found.status, DNS_FOUND);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.data[0].len, 4);
    assert_memory_equal(found.data[0].at, "\300\0\2\7", 4);
    assert_false(found.is_secure);
    dns_close(dns);
}

static void what_there_is_not_is_told_from_what_fails(void **state)
{
    struct dns *dns = open_it();

    (void)state;
    assert_int_equal(ask(dns, DNS_A, "none.example").status, DNS_NOTHING);
    assert_int_equal(ask(dns, DNS_AAAA, "a1.example").status, DNS_NOTHING);
    assert_int_equal(ask(dns, DNS_A, "broken.example").status, DNS_FAILED);
    dns_close(dns);
}

/* Names in the data are whole, though the packet has pointers. */
static void of_many_servers_the_best_are_kept(void **state)
{
    struct dns *dns = open_it();
    struct dns_answer found = ask(dns, DNS_SRV, "many.example");
    struct dns_srv srv;

    (void)state;
    assert_int_equal(found.status, DNS_FOUND);
    assert_int_equal(found.count, DNS_RECORDS);
    for (unsigned i = 0; i < found.count; i++) {
        assert_true(dns_read_srv(found.data[i], &srv));
        assert_int_equal(srv.priority, 181 + i);
    }
    assert_true(dns_read_srv(found.data[0], &srv));
    assert_true(slice_equal(dns_text(&srv.target), S("st.example")));
    dns_close(dns);
}

static void the_hosts_file_counts(void **state)
{
    struct dns *dns = open_it();

    (void)state;
    struct dns_answer found = ask(dns, DNS_A, "other.example");
    assert_int_equal(found.status, DNS_FOUND);
    assert_memory_equal(found.data[0].at, "\300\0\2\11", 4);
    assert_int_equal(ask(dns, DNS_NAPTR, "listed.example").status, DNS_NOTHING);
    dns_close(dns);
}

static void resolv_conf_names_whom_to_ask(void **state)
{
    char text[64];

    (void)state;
    snprintf(text, sizeof text, "search x\nnameserver 127.0.0.1@%u\n", server.port);
    write_file(plan.resolv, sizeof plan.resolv, "resolv.conf", text);
    plan.servers[0] = '\0';
    struct dns *dns = open_it();
    assert_int_equal(ask(dns, DNS_A, "a1.example").status, DNS_FOUND);
    dns_close(dns);
}

static void a_resolver_without_signatures_does_not_make_all_forged(void **state)
{
    struct dns *dns;

    (void)state;
    write_file(plan.anchors, sizeof plan.anchors, "anchor",
               "; a comment\nexample. IN DS 1 8 2 "
               "0000000000000000000000000000000000000000000000000000000000000000\n");
    dns = open_it();
    assert_int_equal(ask(dns, DNS_A, "a1.example").status, DNS_FOUND);
    assert_non_null(strstr(dns_about(dns), "not validated, since no signatures come through"));
    dns_close(dns);
}

static void anchors_that_cannot_be_read_let_nothing_be_found(void **state)
{
    (void)state;
    snprintf(plan.anchors, sizeof plan.anchors, "%s/missing", folder.path);
    struct dns *dns = open_it();
    assert_int_equal(ask(dns, DNS_A, "a1.example").status, DNS_FAILED);
    assert_non_null(strstr(dns_about(dns), "missing"));
    dns_close(dns);
}

static void what_is_under_way_is_asked_anew_after_a_change(void **state)
{
    struct dns_plan silent = plan;
    struct dns_answer found;
    struct server mute;
    uint64_t id;

    (void)state;
    server_start(&mute);
    snprintf(silent.servers, sizeof silent.servers, "127.0.0.1@%u", mute.port);
    struct dns *dns = dns_open(&silent, NULL);
    dns_ask(dns, 5, DNS_A, S("a1.example"));
    server_stop(&mute); /* it answers perhaps, perhaps not */
    dns_change(dns, &plan);
    assert_true(await(dns, &id, &found));
    assert_int_equal(id, 5);
    assert_int_equal(found.status, DNS_FOUND);
    dns_close(dns);
}

/* More than are asked at a time wait their turn. */
static void many_may_be_under_way(void **state)
{
    struct dns *dns = open_it();
    struct dns_answer found;
    uint64_t id, sum = 0;
    char name[32];

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "a1-%u.example", i);
        dns_ask(dns, i, DNS_A, slice_text(name));
    }
    for (unsigned i = 0; i < 600; i++) {
        assert_true(await(dns, &id, &found));
        assert_int_equal(found.status, DNS_FOUND);
        sum += id;
    }
    assert_int_equal(sum, 599 * 300);
    dns_close(dns);
}

/* The end does not wait for them. */
static void there_is_a_limit_to_what_is_under_way(void **state)
{
    struct dns *dns = open_it();
    struct dns_answer found;
    uint64_t id;
    char name[32];

    (void)state;
    dns_ask(dns, 1000, DNS_A, S("a1.example"));
    for (unsigned i = 0; i < DNS_QUESTIONS - 1; i++) {
        snprintf(name, sizeof name, "silent%u.example", i);
        dns_ask(dns, i, DNS_A, slice_text(name));
    }
    dns_ask(dns, 9999, DNS_A, S("a1.example"));
    assert_true(await(dns, &id, &found));
    assert_int_equal(id, 9999);
    assert_int_equal(found.status, DNS_FAILED);
    assert_true(await(dns, &id, &found));
    assert_int_equal(id, 1000);
    assert_int_equal(found.status, DNS_FOUND);
    dns_close(dns);
}

static void a_name_that_is_none_fails_at_once(void **state)
{
    struct dns *dns = open_it();
    char name[300];

    (void)state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(ask(dns, DNS_A, name).status, DNS_FAILED);
    assert_int_equal(ask(dns, DNS_A, "a..example").status, DNS_FAILED);
    dns_close(dns);
}

static void an_end_while_it_opens_is_quick(void **state)
{
    struct server mute;

    (void)state;
    server_start(&mute);
    snprintf(plan.servers, sizeof plan.servers, "127.0.0.1@%u", mute.port);
    struct dns *dns = open_it();
    dns_ask(dns, 1, DNS_A, S("silent.example"));
    dns_close(dns);
    server_stop(&mute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_has_the_data_of_its_records, begin, end),
        cmocka_unit_test_setup_teardown(what_there_is_not_is_told_from_what_fails, begin, end),
        cmocka_unit_test_setup_teardown(of_many_servers_the_best_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(the_hosts_file_counts, begin, end),
        cmocka_unit_test_setup_teardown(resolv_conf_names_whom_to_ask, begin, end),
        cmocka_unit_test_setup_teardown(a_resolver_without_signatures_does_not_make_all_forged,
                                        begin, end),
        cmocka_unit_test_setup_teardown(anchors_that_cannot_be_read_let_nothing_be_found, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_is_under_way_is_asked_anew_after_a_change, begin, end),
        cmocka_unit_test_setup_teardown(many_may_be_under_way, begin, end),
        cmocka_unit_test_setup_teardown(there_is_a_limit_to_what_is_under_way, begin, end),
        cmocka_unit_test_setup_teardown(a_name_that_is_none_fails_at_once, begin, end),
        cmocka_unit_test_setup_teardown(an_end_while_it_opens_is_quick, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
