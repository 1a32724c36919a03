#include "core/why.h"

#include "base/json.h"

#define SENTENCE 1024u /* bytes of one; the rest is cut */

static void write_part(struct writer *w, struct slice part)
{
    write_slice(w, slice_until(part, min_u64(part.len, w->limit - w->len)));
}

static struct slice compose(struct writer *w, const char *text, const struct slice names[2])
{
    unsigned next = 0;

    for (; *text; text++) {
        if (*text == '%' && next < 2)
            write_part(w, names[next++]);
        else
            write_part(w, slice_of(text, 1));
    }
    return writer_slice(w);
}

void why_write_place(struct writer *w, const struct settings *settings, struct written written)
{
    if (!written.file || written.file > settings->file_count)
        return;
    json_text(w, S("file"), settings->files[written.file - 1]);
    json_number(w, S("line"), written.line);
}

void why_tell(const struct why *why, struct slice step, struct written written, const char *text,
              struct slice first, struct slice second)
{
    char sentence[SENTENCE];
    struct writer w = writer_over(sentence, sizeof sentence);

    json_begin(why->rows);
    json_text(why->rows, S("step"), step);
    json_text(why->rows, S("text"), compose(&w, text, (const struct slice[2]){first, second}));
    why_write_place(why->rows, why->settings, written);
    json_end(why->rows);
    write_char(why->rows, '\n');
}

struct slice why_profile(const struct settings *settings, const struct user *user,
                         struct written *written)
{
    *written = (struct written){0, 0};
    if (user->profile >= settings->profile_count)
        return S("*");
    *written = settings->profiles[user->profile].written;
    return settings->profiles[user->profile].id;
}
