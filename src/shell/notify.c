#include "shell/notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_STORED 3      /* sd_listen_fds(3) */
#define STORED_LIMIT 100000 /* more is nonsense */

/* Length of the manager's address; 0 if there is no manager. */
static socklen_t manager_address(struct sockaddr_un *to)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;

    if (len < 2 || len >= sizeof to->sun_path)
        return 0;
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to->sun_path, path, len);
    if (path[0] == '@')
        to->sun_path[0] = '\0'; /* the abstract name space */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* With a descriptor unless that is negative; false if there is no manager. */
static bool tell(const char *state, int descriptor)
{
    struct sockaddr_un to;
    struct iovec text = {(void *)(uintptr_t)state, strlen(state)};
    char room[CMSG_SPACE(sizeof descriptor)] __attribute__((aligned(8))) = {0};
    struct msghdr message = {.msg_name = &to, .msg_iov = &text, .msg_iovlen = 1};

    message.msg_namelen = manager_address(&to);
    if (!message.msg_namelen)
        return false;
    if (descriptor >= 0) {
        message.msg_control = room;
        message.msg_controllen = sizeof room;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool is_told = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
    close(fd);
    return is_told;
}

void notify_manager(const char *state)
{
    tell(state, -1);
}

bool notify_store(int descriptor, const char *name)
{
    char text[96];

    snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
    return tell(text, descriptor);
}

void notify_forget(const char *name)
{
    char text[96];

    snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    tell(text, -1);
}

static long number_in(const char *variable)
{
    const char *text = getenv(variable);

    return text ? strtol(text, NULL, 10) : 0;
}

void notify_take_stored(void (*take)(void *at, int descriptor, const char *name), void *at)
{
    const char *names = getenv("LISTEN_FDNAMES");
    long count = number_in("LISTEN_FDS");

    if (!names || count > STORED_LIMIT || number_in("LISTEN_PID") != getpid())
        return;
    for (int n = 0; n < count; n++) {
        char name[64];
        size_t len = strcspn(names, ":");

        snprintf(name, sizeof name, "%.*s", (int)len, names);
        names += len + (names[len] == ':');
        fcntl(FIRST_STORED + n, F_SETFD, FD_CLOEXEC);
        take(at, FIRST_STORED + n, name);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}
