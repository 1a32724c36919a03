/*
 * GRUUs (RFC 5627): URIs that reach one phone of a user, wherever it is registered now.
 *
 * The public one is the address of record with the phone's instance in the parameter gr.  The
 * temporary one is a token that tells neither: it names the binding that it was given for, under a
 * keystream and a MAC, and is void once that binding has gone or has another Call-ID (5.3). Nothing
 * is remembered of either.
 */
#pragma once

#include "core/request.h"

/* Writes ;pub-gruu and ;temp-gruu of a binding that has an instance, in the domain of that address
 * of record. */
void gruu_write(struct writer *w, struct core *core, const struct binding *binding,
                const struct uri *aor);

/* It has the parameter gr: if it is of this domain, it is for one phone. */
bool uri_is_gruu(const struct uri *uri);

/* A binding of the phone that such a URI of this domain names.  NULL, and the status, if there is
 * none: 480 where the phone is not registered, 404 where the URI is void. */
struct binding *gruu_find(const struct core *core, const struct uri *uri, unsigned *status);
