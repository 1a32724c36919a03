/* Where certificates are fetched from, and where not. */
#include "unit.h"

#include "shell/fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 10000 /* ms */

struct listener {
    int descriptor;
    unsigned port;
};

/* Somebody on this machine; who connects is never answered. */
static struct listener listener_on_loopback(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    struct listener one = {.descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};

    assert_int_equal(bind(one.descriptor, (const void *)&at, sizeof at), 0);
    assert_int_equal(listen(one.descriptor, 8), 0);
    assert_int_equal(getsockname(one.descriptor, (void *)&at, &len), 0);
    one.port = ntohs(at.sin_port);
    return one;
}

static bool was_connected(const struct listener *one)
{
    int other = accept(one->descriptor, NULL, NULL);

    if (other >= 0)
        close(other);
    return other >= 0;
}

/* The answer to what is asked. */
static enum certificate_state fetch(struct fetch *fetch, enum seclusion widest, const char *what)
{
    static uint64_t serial;
    struct pollfd ready = {.fd = fetch_descriptor(fetch), .events = POLLIN};
    struct certificate found;
    uint64_t question;

    fetch_ask(fetch, ++serial, widest, slice_text(what));
    while (!fetch_next(fetch, &question, &found))
        assert_true(poll(&ready, 1, PATIENCE) == 1);
    assert_int_equal(question, serial);
    return found.state;
}

static void nobody_looks_into_our_network_through_us(void **state)
{
    struct log log = {0};
    struct fetch *one = fetch_open(&log);
    struct listener listener = listener_on_loopback();
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0",
                                        "2130706433"};
    char what[128];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(hosts); i++)
        for (enum seclusion widest = SECLUSION_NONE; widest < SECLUSION_LOOPBACK; widest++) {
            snprintf(what, sizeof what, "a.example\nhttps://%s:%u/x", hosts[i], listener.port);
            assert_int_equal(fetch(one, widest, what), CERTIFICATE_UNREACHABLE);
            assert_false(was_connected(&listener));
        }
    close(listener.descriptor);
    fetch_close(one);
}

static void https_alone_is_spoken(void **state)
{
    struct log log = {0};
    struct fetch *one = fetch_open(&log);
    struct listener listener = listener_on_loopback();
    static const char *const schemes[] = {"http://",    "ftp://",  "gopher://",
                                          "telnet://",  "dict://", "file:///etc/ssl/certs/x",
                                          "https://u@", ""};
    char what[128];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(schemes); i++) {
        snprintf(what, sizeof what, "a.example\n%s127.0.0.1:%u/x", schemes[i], listener.port);
        assert_int_equal(fetch(one, SECLUSION_LOOPBACK, what), CERTIFICATE_UNREACHABLE);
        if (i + 1 < COUNT_OF(schemes)) /* the last is https or http, as libcurl guesses */
            assert_false(was_connected(&listener));
    }
    close(listener.descriptor);
    fetch_close(one);
}

static void what_is_under_way_is_dropped_at_the_end(void **state)
{
    struct log log = {0};
    struct fetch *one = fetch_open(&log);
    struct listener listener = listener_on_loopback();
    char what[128];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(what, sizeof what, "a.example\nhttps://127.0.0.1:%u/%u", listener.port, i);
        fetch_ask(one, i + 1, SECLUSION_LOOPBACK, slice_text(what));
    }
    fetch_close(one);
    close(listener.descriptor);
}

int main(void)
{
    RUN(cmocka_unit_test(nobody_looks_into_our_network_through_us),
        cmocka_unit_test(https_alone_is_spoken),
        cmocka_unit_test(what_is_under_way_is_dropped_at_the_end));
}
