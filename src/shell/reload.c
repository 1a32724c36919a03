#include "shell/reload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct waiter {
    reload_told *tell;
    void *self;
};

enum progress { IDLE, READING, TAKEN };

struct reload {
    const struct sources *sources;
    const struct sockets *sockets;
    struct socket_list *listed; /* when it began, for the thread */
    int done;                   /* eventfd: the thread has ended */
    pthread_t thread;
    enum progress progress;
    bool again; /* it was asked for while one was under way */
    struct waiter waiters[RELOAD_WAITERS];
    unsigned waiter_count;
    unsigned served; /* of the waiters: those that the present one is for */
    struct epoch *epoch;
    struct report report;
};

struct reload *reload_create(const struct sources *sources, const struct sockets *sockets)
{
    int done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct reload *reload = done < 0 ? NULL : calloc(1, sizeof *reload);

    if (reload) {
        reload->sources = sources;
        reload->sockets = sockets;
        reload->done = done;
    } else if (done >= 0) {
        close(done);
    }
    return reload;
}

void reload_destroy(struct reload *reload)
{
    if (reload->progress == READING) {
        pthread_join(reload->thread, NULL);
        if (reload->epoch)
            epoch_free(reload->epoch);
    }
    close(reload->done);
    free(reload);
}

int reload_descriptor(const struct reload *reload)
{
    return reload->done;
}

/* A configuration with its certificates, or NULL. */
static struct epoch *read_epoch(struct reload *reload)
{
    struct config *config = load_config(reload->sources, &reload->report);
    struct certs *certs = NULL;
    struct epoch *epoch;

    if (!config) {
        free(reload->listed);
        return NULL;
    }
    if (load_wants_certs(reload->sources, config)) {
        certs = load_certs(reload->sources, config, &reload->report);
        if (!certs) {
            config_free(config);
            free(reload->listed);
            return NULL;
        }
    }
    epoch = epoch_make(config, reload->listed, reload->sources->is_public);
    if (epoch) {
        epoch->certs = certs;
        epoch_vouch(epoch, certs, &reload->report);
        return epoch;
    }
    if (certs)
        certs_free(certs);
    report_fault(&reload->report, (struct place){0}, "no memory for this configuration");
    return NULL;
}

static void *read_it(void *self)
{
    struct reload *reload = self;
    uint64_t one = 1;

    reload->epoch = read_epoch(reload);
    while (write(reload->done, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    return NULL;
}

static void begin(struct reload *reload)
{
    reload->again = false;
    reload->served = reload->waiter_count;
    reload->progress = READING;
    reload->epoch = NULL;
    reload->listed = sockets_list(reload->sockets);
    int error = pthread_create(&reload->thread, NULL, read_it, reload);
    if (!error)
        return;
    free(reload->listed);
    report_init(&reload->report, reload->sources->config_path);
    report_fault(&reload->report, (struct place){0}, "no thread to read it: %s", strerror(error));
    reload->progress = TAKEN;
    reload_finish(reload, reload->report.fault);
}

bool reload_ask(struct reload *reload, reload_told *tell, void *self)
{
    if (tell && reload->waiter_count == RELOAD_WAITERS)
        return false;
    if (tell)
        reload->waiters[reload->waiter_count++] = (struct waiter){tell, self};
    reload->again = true;
    if (reload->progress == IDLE)
        begin(reload);
    return true;
}

bool reload_take(struct reload *reload, struct epoch **epoch, const struct report **report)
{
    uint64_t count;

    if (reload->progress != READING || read(reload->done, &count, sizeof count) < 0)
        return false;
    pthread_join(reload->thread, NULL);
    reload->progress = TAKEN;
    *epoch = reload->epoch;
    *report = &reload->report;
    reload->epoch = NULL;
    return true;
}

void reload_finish(struct reload *reload, const char *fault)
{
    struct waiter served[RELOAD_WAITERS];
    unsigned count = reload->served;

    memcpy(served, reload->waiters, count * sizeof *served);
    memmove(reload->waiters, reload->waiters + count,
            (reload->waiter_count - count) * sizeof *served);
    reload->waiter_count -= count;
    reload->served = 0;
    reload->progress = IDLE;
    for (unsigned i = 0; i < count; i++)
        served[i].tell(served[i].self, fault);
    if (reload->again && reload->progress == IDLE)
        begin(reload);
}
