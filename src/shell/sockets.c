#include "shell/sockets.h"

#include <stdlib.h>
#include <unistd.h>

struct sockets *sockets_create(void)
{
    return calloc(1, sizeof(struct sockets));
}

void sockets_destroy(struct sockets *sockets)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].descriptor >= 0)
            close(sockets->at[i].descriptor);
    free(sockets);
}

static bool is_at(const struct own_socket *own, enum transport transport,
                  const union netaddr *address)
{
    return own->transport == transport && netaddr_same_host(&own->address, address) &&
           netaddr_port(&own->address) == netaddr_port(address);
}

const struct own_socket *sockets_find(const struct sockets *sockets, enum transport transport,
                                      const union netaddr *address)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].descriptor >= 0 && is_at(&sockets->at[i], transport, address))
            return &sockets->at[i];
    return NULL;
}

/* Where it was before, or else where one of its kind was, if many have gone, or the next place.
 * There is always one: of a kind, those that listen are LOCAL_LIMIT at most. */
static struct own_socket *find_place(struct sockets *sockets, enum transport transport,
                                     const union netaddr *address)
{
    bool is_v6 = address->any.sa_family == AF_INET6;
    struct own_socket *oldest = NULL;
    unsigned gone = 0, kind = 0;

    for (unsigned i = 0; i < sockets->count; i++) {
        struct own_socket *own = &sockets->at[i];
        if (own->transport != transport || own->is_v6 != is_v6)
            continue;
        kind++;
        if (own->descriptor >= 0)
            continue;
        if (is_at(own, transport, address))
            return own;
        gone++;
        if (!oldest || own->closing < oldest->closing)
            oldest = own;
    }
    if (gone >= GONE_LIMIT || kind == LOCAL_LIMIT)
        return oldest;
    return &sockets->at[sockets->count++];
}

static unsigned count_of(const struct sockets *sockets, enum transport transport)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sockets->count; i++)
        count += sockets->at[i].descriptor >= 0 && sockets->at[i].transport == transport;
    return count;
}

void sockets_enter(struct sockets *sockets, enum transport transport, const union netaddr *address,
                   int descriptor)
{
    struct own_socket *own;
    struct writer host;

    if (count_of(sockets, transport) == LOCAL_LIMIT) {
        close(descriptor);
        return;
    }
    own = find_place(sockets, transport, address);
    *own = (struct own_socket){
        .descriptor = descriptor,
        .transport = (uint8_t)transport,
        .is_v6 = address->any.sa_family == AF_INET6,
        .address = *address,
    };
    host = writer_over(own->host, sizeof own->host - 1);
    netaddr_write_host(&host, address);
}

void sockets_leave(struct sockets *sockets, unsigned number)
{
    struct own_socket *own = &sockets->at[number];

    close(own->descriptor);
    own->descriptor = -1;
    own->is_served = false;
    own->closing = ++sockets->closings;
}

struct socket_list *sockets_list(const struct sockets *sockets)
{
    unsigned count = sockets->count;
    size_t texts = sizeof(struct socket_list) + count * sizeof(struct socket_settings);
    struct socket_list *list = malloc(texts + count * (size_t)NETADDR_TEXT);
    char *text = (char *)list + texts;

    if (!list)
        return NULL;
    list->count = count;
    for (unsigned i = 0; i < count; i++, text += NETADDR_TEXT) {
        const struct own_socket *own = &sockets->at[i];
        memcpy(text, own->host, NETADDR_TEXT);
        list->at[i] = (struct socket_settings){
            .transport = own->transport,
            .host = slice_text(text),
            .port = netaddr_port(&own->address),
            .is_gone = own->descriptor < 0,
        };
    }
    return list;
}

bool sockets_are_known(const struct sockets *sockets, unsigned number,
                       const struct settings *settings)
{
    const struct own_socket *own = &sockets->at[number];

    return number < settings->socket_count && !settings->sockets[number].is_gone &&
           settings->sockets[number].transport == own->transport &&
           slice_equal(settings->sockets[number].host, slice_text(own->host));
}
