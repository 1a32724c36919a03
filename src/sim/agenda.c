#include "sim/agenda.h"

#include "sim/copy.h"

static bool is_before(const struct due *a, const struct due *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void agenda_note(struct agenda *a, instant at, enum due_kind kind, uint32_t who, void *what)
{
    struct due due = {at, a->noted++, kind, who, what};
    size_t i = a->count++;

    if (i == a->room) {
        a->room = a->room ? 2 * a->room : 1024;
        a->heap = realloc(a->heap, a->room * sizeof *a->heap);
        if (!a->heap)
            abort();
    }
    for (; i > 0 && is_before(&due, &a->heap[(i - 1) / 2]); i = (i - 1) / 2)
        a->heap[i] = a->heap[(i - 1) / 2];
    a->heap[i] = due;
}

instant agenda_next(const struct agenda *a)
{
    return a->count ? a->heap[0].at : NEVER;
}

struct due agenda_take(struct agenda *a)
{
    assert(a->count > 0);

    struct due first = a->heap[0], last = a->heap[--a->count];
    size_t i = 0;

    for (size_t child = 1; child < a->count; child = 2 * i + 1) {
        if (child + 1 < a->count && is_before(&a->heap[child + 1], &a->heap[child]))
            child++;
        if (!is_before(&a->heap[child], &last))
            break;
        a->heap[i] = a->heap[child];
        i = child;
    }
    if (a->count)
        a->heap[i] = last;
    return first;
}
