#include "shell/clock.h"

#include "base/hash.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

struct moment clock_now(void)
{
    struct timespec boot, wall;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME_COARSE, &wall);
    return (struct moment){SECONDS(boot.tv_sec) + (uint64_t)boot.tv_nsec, wall.tv_sec};
}

uint64_t clock_boot(void)
{
    const struct hash_key key = {0, 0};
    char id[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, id, sizeof id);

    if (fd >= 0)
        close(fd);
    return len > 0 ? hash_bytes(&key, slice_of(id, (size_t)len)) | 1 : 0;
}
