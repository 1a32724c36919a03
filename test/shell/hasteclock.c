/*
 * A clock that is set forward on demand, for config_test.py, media_test.py and domains_test.py:
 * preloaded into sipw and what that starts, it stands before clock_gettime, and before
 * gettimeofday, which libunbound asks.  The file that SIPWITCH_HASTE names holds the seconds by
 * which the server's clocks are ahead; what sleeps wakes no earlier.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long seconds_ahead(void)
{
    const char *name = getenv("SIPWITCH_HASTE");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    char text[24] = "";
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    return len > 0 ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = next ? next(clock, now) : -1;

    if (status == 0 && (clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += seconds_ahead();
    return status;
}

int gettimeofday(struct timeval *now, void *zone)
{
    int (*next)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int status = next ? next(now, zone) : -1;

    if (status == 0)
        now->tv_sec += seconds_ahead();
    return status;
}
