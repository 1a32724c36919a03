#include "shell/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

int netlink_open(unsigned groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0), NETLINK_ROUTE);

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

bool netlink_hear(int descriptor)
{
    char bytes[8192];
    bool has_heard = false;

    while (recv(descriptor, bytes, sizeof bytes, 0) > 0 || errno == ENOBUFS || errno == EINTR)
        has_heard = true;
    return has_heard;
}
