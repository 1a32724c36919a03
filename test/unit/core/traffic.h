/* Messages of a call through a world: carol of elsewhere.example, at 198.51.100.9, calls bob. */
#pragma once

#include "sip/address.h"
#include "world.h"

#define CAROL 9u
#define BOB 2u

/* carol's INVITE; `extra` is whole further fields, or "". */
void traffic_invite(struct world *w, const char *branch, const char *extra);

/* The answer of whom the n-th message was sent to: Via, From, Call-ID, CSeq and Record-Route as it
 * has them, To with this tag unless it has one, a Contact at bob's or carol's; `extra` as above. */
void traffic_answer(struct world *w, unsigned n, unsigned status, const char *tag,
                    const char *extra);

/* A request in the dialog of tags carol and bob. */
void traffic_request(struct world *w, bool is_callers, const char *method, unsigned cseq,
                     const char *route, const char *extra);

/* A call that stands: bob registered, carol called, bob accepted.  Its Record-Route is in `route`.
 */
void traffic_call(struct world *w, char *route, size_t limit);
