/* The numbers of what we listen on. */
#include "unit.h"

#include "shell/sockets.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static struct sockets *sockets;

static int begin(void **state)
{
    (void)state;
    sockets = sockets_create();
    return sockets ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    sockets_destroy(sockets);
    return 0;
}

/* 10.0.N / 256.N % 256, or an IPv6 address that ends so. */
static union netaddr address(unsigned n, bool is_v6)
{
    union netaddr found;
    char text[64];

    snprintf(text, sizeof text, is_v6 ? "2001:db8::%x:%x" : "10.0.%u.%u", n / 256, n % 256);
    assert_true(netaddr_parse(slice_text(text), 5060, &found));
    return found;
}

static unsigned enter_by(enum transport transport, unsigned n, bool is_v6)
{
    union netaddr there = address(n, is_v6);

    sockets_enter(sockets, transport, &there, open("/dev/null", O_RDONLY | O_CLOEXEC));
    const struct own_socket *own = sockets_find(sockets, transport, &there);
    return own ? socket_number(sockets, own) : SOCKET_LIMIT;
}

static unsigned enter(unsigned n)
{
    return enter_by(TRANSPORT_UDP, n, false);
}

static void the_next_gets_the_next_number(void **state)
{
    (void)state;
    assert_int_equal(enter(1), 0);
    assert_int_equal(enter_by(TRANSPORT_TCP, 1, false), 1);
    assert_int_equal(enter_by(TRANSPORT_UDP, 1, true), 2);
    assert_int_equal(enter(2), 3);
    assert_int_equal(sockets->count, 4);
}

static void what_comes_back_has_its_old_number(void **state)
{
    union netaddr there = address(1, false);

    (void)state;
    enter(1);
    enter(2);
    sockets_leave(sockets, 0);
    assert_null(sockets_find(sockets, TRANSPORT_UDP, &there));
    assert_int_equal(enter_by(TRANSPORT_TCP, 1, false), 2);
    assert_int_equal(enter(1), 0);
    assert_int_equal(sockets->count, 3);
}

static void of_many_that_have_gone_the_longest_gone_is_forgotten(void **state)
{
    (void)state;
    for (unsigned n = 0; n < GONE_LIMIT + 1; n++)
        enter(n);
    enter_by(TRANSPORT_TCP, 0, false);
    for (unsigned n = 1; n < GONE_LIMIT; n++)
        sockets_leave(sockets, n);
    assert_int_equal(enter(1000), GONE_LIMIT + 2);
    sockets_leave(sockets, 0);
    assert_int_equal(enter_by(TRANSPORT_TCP, 1001, false), GONE_LIMIT + 3); /* another kind */
    assert_int_equal(enter_by(TRANSPORT_UDP, 1001, true), GONE_LIMIT + 4);
    assert_int_equal(enter(1001), 1);
    assert_int_equal(enter(2), 2);
}

static void there_is_always_a_number(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (enum transport transport = TRANSPORT_UDP; transport < TRANSPORT_COUNT; transport++)
            for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
                unsigned first = sockets->count;
                for (unsigned n = 0; n < LOCAL_LIMIT; n++)
                    assert_true(enter_by(transport, 1000 * round + n, is_v6) < SOCKET_LIMIT);
                assert_int_equal(enter_by(transport, 5000, is_v6), SOCKET_LIMIT); /* too many */
                assert_true(sockets->count == first || sockets->count == first + LOCAL_LIMIT);
                for (unsigned i = 0; i < sockets->count; i++)
                    if (sockets->at[i].descriptor >= 0)
                        sockets_leave(sockets, i);
            }
}

static void settings_have_a_list_of_their_own(void **state)
{
    struct settings settings = {0};
    struct socket_list *list;

    (void)state;
    enter(1);
    enter_by(TRANSPORT_TCP, 2, true);
    sockets_leave(sockets, 0);
    list = sockets_list(sockets);
    assert_int_equal(list->count, 2);
    settings.sockets = list->at;
    settings.socket_count = list->count;
    assert_slice(list->at[0].host, "10.0.0.1");
    assert_true(list->at[0].is_gone);
    assert_slice(list->at[1].host, "[2001:db8::2]");
    assert_int_equal(list->at[1].port, 5060);
    assert_int_equal(list->at[1].transport, TRANSPORT_TCP);
    enter(1);
    enter(3);
    assert_false(sockets_are_known(sockets, 0, &settings));
    assert_true(sockets_are_known(sockets, 1, &settings));
    assert_false(sockets_are_known(sockets, 2, &settings));
    free(list);
}

/* The number's former address is not what they have. */
static void settings_do_not_know_who_took_a_number_over(void **state)
{
    struct settings settings = {0};
    struct socket_list *list;

    (void)state;
    for (unsigned n = 0; n < GONE_LIMIT; n++)
        enter(n);
    list = sockets_list(sockets);
    settings.sockets = list->at;
    settings.socket_count = list->count;
    for (unsigned n = 0; n < GONE_LIMIT; n++)
        sockets_leave(sockets, n);
    assert_int_equal(enter(1000), 0);
    assert_false(sockets_are_known(sockets, 0, &settings));
    free(list);
}

#define SOCKETS(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    RUN(SOCKETS(the_next_gets_the_next_number), SOCKETS(what_comes_back_has_its_old_number),
        SOCKETS(of_many_that_have_gone_the_longest_gone_is_forgotten),
        SOCKETS(there_is_always_a_number), SOCKETS(settings_have_a_list_of_their_own),
        SOCKETS(settings_do_not_know_who_took_a_number_over));
}
