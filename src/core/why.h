/*
 * Why a request goes where it goes: the steps of the decision, told as rows of JSON to an
 * administrator who asks (core/rehearse).  The code that decides tells as it goes; nobody listens
 * to a real request, whose `why` is NULL, and then each step costs one look at that.
 */
#pragma once

#include "core/request.h"

/* Who listens. */
struct why {
    struct writer *rows;
    const struct settings *settings; /* whose files are named */
};

/* A step: what it is about, in a word; where the administrator wrote what it goes by; and a
 * sentence, with each % replaced by the next of the names. */
void why_tell(const struct why *why, struct slice step, struct written written, const char *text,
              struct slice first, struct slice second);

/* Members of a row that name a place; nothing where it is not known. */
void why_write_place(struct writer *w, const struct settings *settings, struct written written);

/* The profile of a user, and where it is written. */
struct slice why_profile(const struct settings *settings, const struct user *user,
                         struct written *written);

static inline void why_step(const struct request *req, struct slice step, struct written written,
                            const char *text, struct slice first, struct slice second)
{
    if (req->why)
        why_tell(req->why, step, written, text, first, second);
}

/* What a user's profile forbids. */
static inline void why_profile_step(const struct request *req, const struct user *user,
                                    const char *text)
{
    struct written written;

    if (!req->why)
        return;
    struct slice profile = why_profile(req->why->settings, user, &written);
    why_tell(req->why, S("profile"), written, text, slice_of(user->text.at, user->id_len), profile);
}
