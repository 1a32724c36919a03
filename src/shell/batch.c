#include "shell/batch.h"

#include <stdlib.h>
#include <sys/mman.h>

bool batch_create(struct batch *batch)
{
    *batch = (struct batch){.actions.limit = BATCH_ACTIONS};
    batch->actions.at = calloc(BATCH_ACTIONS, sizeof *batch->actions.at);
    char *bytes =
        mmap(NULL, BATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        free(batch->actions.at);
        batch->actions.at = NULL;
        return false;
    }
    batch->actions.bytes = writer_over(bytes, BATCH_BYTES);
    return batch->actions.at != NULL;
}

void batch_destroy(struct batch *batch)
{
    free(batch->actions.at);
    if (batch->actions.bytes.at)
        munmap(batch->actions.bytes.at, BATCH_BYTES);
}
