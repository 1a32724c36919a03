#include "ask.h"

static const struct flow target = {
    .transport = TRANSPORT_UDP,
    .port = 5070,
    .address = {198, 51, 100, 7},
};

void ask(struct world *w, enum admin_command command, const char *user, const char *text)
{
    struct admin_request request = {
        .command = command,
        .client = ASKING,
        .user = slice_text(user),
        .text = slice_text(text),
        .target = target,
    };

    world_event(w, &(struct event){.kind = EVENT_ADMIN, .request = &request});
}

const struct action *ask_answer(const struct world *w, uint32_t client, unsigned n)
{
    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->out.at[i].kind == ACTION_ANSWER && w->out.at[i].answer.client == client && !n--)
            return &w->out.at[i];
    return NULL;
}

static bool has_part(const struct action *line, const char *part)
{
    assert_non_null(line);
    assert_int_equal(line->bytes.at[line->bytes.len - 1], '\n');
    return memmem(line->bytes.at, line->bytes.len, part, strlen(part)) != NULL;
}

static void assert_part(const struct action *line, const char *part)
{
    if (!has_part(line, part))
        fail_msg("%s is not in %.*s", part, (int)line->bytes.len, line->bytes.at);
}

void assert_answer(const struct world *w, const char *part)
{
    assert_part(ask_answer(w, ASKING, 0), part);
}

void assert_answer_lacks(const struct world *w, const char *part)
{
    const struct action *line = ask_answer(w, ASKING, 0);

    if (has_part(line, part))
        fail_msg("%s is in %.*s", part, (int)line->bytes.len, line->bytes.at);
}

void assert_told(const struct world *w, unsigned n, const char *part)
{
    assert_part(ask_answer(w, 0, n), part);
}
