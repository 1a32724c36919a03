#include "shell/netaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>

bool netaddr_parse(struct slice text, uint16_t port, union netaddr *address)
{
    char copy[INET6_ADDRSTRLEN];

    *address = (union netaddr){0};
    if (text.len >= 2 && text.at[0] == '[' && text.at[text.len - 1] == ']')
        text = slice_of(text.at + 1, text.len - 2);
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, copy, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(port);
        return true;
    }
    return false;
}

void netaddr_write_host(struct writer *w, const union netaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "?"; /* what is no address of the Internet has no text */
    bool is_v6 = address->any.sa_family == AF_INET6;
    const void *host =
        is_v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;

    inet_ntop(address->any.sa_family, host, text, sizeof text);
    if (is_v6)
        write_char(w, '[');
    write_slice(w, slice_text(text));
    if (is_v6)
        write_char(w, ']');
}

void netaddr_write(struct writer *w, const union netaddr *address)
{
    netaddr_write_host(w, address);
    write_char(w, ':');
    write_number(w, ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
                                                             : address->v4.sin_port));
}

static bool is_known(const union netaddr *found, int count, const union netaddr *address)
{
    for (int i = 0; i < count; i++)
        if (memcmp(&found[i], address, sizeof *address) == 0)
            return true;
    return false;
}

static void add(union netaddr *found, int *count, const union netaddr *address)
{
    if (*count < (int)LOCAL_LIMIT && !is_known(found, *count, address))
        found[(*count)++] = *address;
}

/* What may be listened on by everyone's wish: up, and not IPv6 link-local. */
static bool is_wanted(const struct ifaddrs *own, bool v4, bool v6)
{
    if (!own->ifa_addr || !(own->ifa_flags & IFF_UP))
        return false;
    if (own->ifa_addr->sa_family == AF_INET)
        return v4;
    if (own->ifa_addr->sa_family != AF_INET6 || !v6)
        return false;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)own->ifa_addr;
    return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static int add_all(union netaddr *found, int *count, uint16_t port, bool v4, bool v6)
{
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        return -errno;
    for (const struct ifaddrs *own = list; own; own = own->ifa_next) {
        union netaddr address = {0};

        if (!is_wanted(own, v4, v6))
            continue;
        if (own->ifa_addr->sa_family == AF_INET) {
            memcpy(&address.v4, own->ifa_addr, sizeof address.v4);
            address.v4.sin_port = htons(port);
        } else {
            memcpy(&address.v6, own->ifa_addr, sizeof address.v6);
            address.v6.sin6_port = htons(port);
        }
        add(found, count, &address);
    }
    freeifaddrs(list);
    return 0;
}

static bool is_any_v6(struct slice word)
{
    return slice_equal(word, S("::")) || slice_equal(word, S("::*")) ||
           slice_equal(word, S("::0")) || slice_equal(word, S(":::")) ||
           slice_equal(word, S("[::]"));
}

/* Takes the next word off a list; empty between two separators. */
static struct slice take_word(struct slice *text)
{
    size_t end = 0;

    while (end < text->len && !strchr(" ,;\t\r\n", text->at[end]))
        end++;
    struct slice word = slice_until(*text, end);
    *text = slice_from(*text, end < text->len ? end + 1 : end);
    return word;
}

bool netaddr_names_all(struct slice text)
{
    while (text.len) {
        struct slice word = take_word(&text);

        if (slice_equal(word, S("*")) || slice_equal(word, S("0.0.0.0")) || is_any_v6(word))
            return true;
    }
    return false;
}

bool netaddr_is_written(struct slice text, const union netaddr *address)
{
    while (text.len) {
        struct slice word = take_word(&text);
        union netaddr written;

        if (netaddr_parse(word, 0, &written) && netaddr_same_host(&written, address))
            return true;
    }
    return false;
}

int netaddr_list_local(struct slice text, uint16_t port, union netaddr *found, struct slice *bad)
{
    int count = 0, error = 0;

    *bad = NO_SLICE;
    while (text.len && !error) {
        struct slice word = take_word(&text);
        union netaddr address;

        if (word.len == 0)
            continue;
        if (slice_equal(word, S("*")))
            error = add_all(found, &count, port, true, true);
        else if (slice_equal(word, S("0.0.0.0")))
            error = add_all(found, &count, port, true, false);
        else if (is_any_v6(word))
            error = add_all(found, &count, port, false, true);
        else if (netaddr_parse(word, port, &address))
            add(found, &count, &address);
        else if (!bad->len)
            *bad = word;
    }
    return error ? error : count;
}
