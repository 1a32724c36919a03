/*
 * Session timers (RFC 4028), as a proxy takes part in them: it asks for one in every INVITE, and
 * speaks for the callee where only the caller knows of them.  When an interval ends without a
 * refresh, the observer hangs up (core/dialog).
 */
#pragma once

#include "core/request.h"
#include "sip/compose.h"

#define SESSION_SHORTEST 90u /* seconds: RFC 4028 5 allows no lower minimum */
#define SESSION_TEXT 96u     /* bytes that the edits below write */

/* Seconds that a Session-Expires field says; 0 without one that can be read. */
uint32_t session_interval(const struct message *m);

/* What the callee is asked for by an INVITE: its own Session-Expires, or ours; never less than its
 * Min-SE.  0: nothing. */
uint32_t session_asked(const struct core *core, const struct message *m);

/* The sender knows of session timers, and wants one that is too short: 422 (8.1). */
bool session_is_too_short(const struct message *m);

/* 8.1: adds our Session-Expires to an INVITE without one, and lengthens one that is too short.
 * `w` has SESSION_TEXT left and outlives the splice. */
void session_edit_request(struct splice *s, const struct core *core, const struct message *m,
                          struct writer *w);

/* 8.2: a 2xx whose sender knows nothing of session timers makes the caller the refresher. */
void session_edit_response(struct splice *s, const struct message *m, uint32_t interval,
                           struct writer *w);
