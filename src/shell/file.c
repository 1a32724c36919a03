#include "shell/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define FIRST_STEP ((size_t)256 << 10) /* bytes read before it is asked whether there is more */

/* A first touch of each of thousands of small pages would cost more than the reading. */
static char *take(size_t size)
{
    void *at;

    if (size < HUGE_PAGE)
        return malloc(size + 1);
    if (posix_memalign(&at, HUGE_PAGE, size + 1) != 0)
        return NULL;
    madvise(at, size, MADV_HUGEPAGE);
    return at;
}

static int read_some(int fd, char *at, size_t size, size_t *len)
{
    while (*len < size) {
        ssize_t got = read(fd, at + *len, size - *len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        *len += (size_t)got;
    }
    return 0;
}

static bool wants_all(struct slice head, size_t *place)
{
    (void)head, (void)place;
    return true;
}

int file_read_while(int folder, const char *name, size_t limit,
                    bool (*goes_on)(struct slice head, size_t *place), size_t place,
                    struct slice *bytes)
{
    struct stat about = {0};
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    size_t len = 0, step = FIRST_STEP, size;
    int error = 0;
    char *at;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &about) < 0)
        error = -errno;
    else if (S_ISDIR(about.st_mode))
        error = -EISDIR;
    else if ((uint64_t)about.st_size > limit)
        error = -EFBIG;
    size = error ? 0 : (size_t)about.st_size;
    at = error ? NULL : take(size);
    if (!error && !at)
        error = -ENOMEM;
    while (!error && len < size && goes_on(slice_of(at, len), &place)) {
        size_t before = len;

        error = read_some(fd, at, min_u64(size, len + step), &len);
        if (len == before)
            break; /* it has become shorter */
        step = 2 * len;
    }
    close(fd);
    if (error)
        free(at);
    else
        *bytes = slice_of(at, len);
    return error;
}

int file_read(int folder, const char *name, size_t limit, struct slice *bytes)
{
    return file_read_while(folder, name, limit, wants_all, 0, bytes);
}

int file_write_at(int fd, struct slice bytes, uint64_t at)
{
    while (bytes.len) {
        ssize_t put = pwrite(fd, bytes.at, bytes.len, (off_t)at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        bytes = slice_from(bytes, (size_t)put);
        at += (uint64_t)put;
    }
    return 0;
}

int file_write(int folder, const char *name, struct slice bytes)
{
    char fresh[64];

    snprintf(fresh, sizeof fresh, "%s.new", name);
    int fd = openat(folder, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = file_write_at(fd, bytes, 0);
    if (!error && fsync(fd) < 0)
        error = -errno;
    close(fd);
    if (!error && renameat(folder, fresh, folder, name) < 0)
        error = -errno;
    if (!error && fsync(folder) < 0)
        error = -errno;
    return error;
}
