/*
 * A disk that fails on demand, for disk_test.py: preloaded into sipw, it stands before the calls
 * that write or sync.  The file that SIPWITCH_DISK names says how each of them goes: "ok", "full",
 * "readonly", "slow N" or "sync N", where N is milliseconds of waiting, for writes or for syncs.
 */
#undef _FILE_OFFSET_BITS /* it would give pwrite and pwrite64 one name */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void read_mode(char mode[32])
{
    const char *name = getenv("SIPWITCH_DISK");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t len = fd < 0 ? 0 : read(fd, mode, 31);

    if (fd >= 0)
        close(fd);
    mode[len > 0 ? len : 0] = '\0';
}

/* 0, or the error of a write; waits where the disk is slow. */
static int trouble(const char *slow)
{
    char mode[32];
    unsigned wait;

    read_mode(mode);
    if (strncmp(mode, "full", 4) == 0)
        return ENOSPC;
    if (strncmp(mode, "readonly", 8) == 0)
        return EROFS;
    if (strncmp(mode, slow, strlen(slow)) == 0 && sscanf(mode + strlen(slow), "%u", &wait) == 1)
        usleep(1000 * wait);
    return 0;
}

/* The call's own function, behind this one. */
static void *behind(const char *name)
{
    void *at = dlsym(RTLD_NEXT, name);

    if (!at)
        abort();
    return at;
}

#define FAIL_OR(slow, call)                                                                        \
    do {                                                                                           \
        int error = trouble(slow);                                                                 \
        if (!error)                                                                                \
            return call;                                                                           \
        errno = error;                                                                             \
        return -1;                                                                                 \
    } while (0)

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t (*next)(int, const void *, size_t, off_t) = behind("pwrite64");

    FAIL_OR("slow", next(fd, bytes, len, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t (*next)(int, const void *, size_t, off_t) = behind("pwrite64");

    FAIL_OR("slow", next(fd, bytes, len, at));
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    int (*next)(int, int, off_t, off_t) = behind("fallocate64");

    FAIL_OR("slow", next(fd, mode, at, len));
}

int fallocate64(int fd, int mode, off_t at, off_t len)
{
    int (*next)(int, int, off_t, off_t) = behind("fallocate64");

    FAIL_OR("slow", next(fd, mode, at, len));
}

int fdatasync(int fd)
{
    int (*next)(int) = behind("fdatasync");

    FAIL_OR("sync", next(fd));
}

int fsync(int fd)
{
    int (*next)(int) = behind("fsync");

    FAIL_OR("sync", next(fd));
}
