#include "programs/look.h"

#include "base/cursor.h"

#include <poll.h>
#include <stdio.h>

static void keep(struct looked *found, const struct dns_answer *answer)
{
    struct writer w = writer_over(found->bytes, sizeof found->bytes);

    found->answer = *answer;
    found->answer.count = 0;
    for (unsigned i = 0; i < answer->count; i++) {
        size_t start = w.len;
        write_slice(&w, answer->data[i]);
        if (w.failed)
            return;
        found->answer.data[found->answer.count++] = slice_of(w.at + start, w.len - start);
    }
}

void look_up(struct dns *dns, unsigned type, struct slice name, struct looked *found)
{
    struct pollfd wait = {.fd = dns_descriptor(dns), .events = POLLIN};
    struct dns_answer answer;
    uint64_t id;

    dns_ask(dns, 1, (enum dns_type)type, name);
    while (!dns_next(dns, &id, &answer))
        poll(&wait, 1, 1000);
    keep(found, &answer);
    snprintf(found->why, sizeof found->why, "%s", dns_why(dns));
}
