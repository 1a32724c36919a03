#include "shell/errand.h"

#include "shell/loop.h"

#include <stdlib.h>

struct errand {
    struct errands *all;
    uint32_t client; /* 0 = free */
};

struct errands {
    struct loop *loop;
    struct control *control;
    struct errand at[ERRANDS];
};

struct errands *errands_create(struct loop *loop, struct control *control)
{
    struct errands *errands = calloc(1, sizeof *errands);

    if (errands)
        *errands = (struct errands){.loop = loop, .control = control};
    return errands;
}

void errands_destroy(struct errands *errands)
{
    free(errands);
}

static struct errand *begin(struct errands *errands, uint32_t client)
{
    for (unsigned i = 0; i < ERRANDS; i++)
        if (!errands->at[i].client) {
            errands->at[i] = (struct errand){errands, client};
            return &errands->at[i];
        }
    return NULL;
}

static void end(struct errand *errand, const char *fault)
{
    control_finish(errand->all->control, errand->client, fault);
    errand->client = 0;
}

static void reloaded(void *self, const char *fault)
{
    end(self, fault);
}

void errands_run(struct errands *errands, const struct order *order)
{
    static const char busy[] = "too many others wait for the same; try again";
    uint32_t client = order->request.client;
    struct errand *errand = begin(errands, client);

    if (!errand)
        control_finish(errands->control, client, busy);
    else if (!loop_reload(errands->loop, reloaded, errand))
        end(errand, busy);
}
