/*
 * Session timers (RFC 4028), as a proxy takes part in them: it asks for one in every INVITE, and
 * speaks for the callee where only the caller knows of them.  When an interval ends without a
 * refresh, the observer hangs up (core/dialog).
 */
#pragma once

#include "core/request.h"
#include "sip/compose.h"

#define SESSION_TEXT 96u /* bytes that the edits below write */

/* Seconds that a Session-Expires field says; 0 without one that can be read. */
uint32_t session_interval(const struct message *m);

/* What the callee is asked for by a request: its own Session-Expires, or ours; never less than its
 * Min-SE.  0: nothing. */
uint32_t session_asked(const struct core *core, const struct message *m);

/* What a 2xx that says nothing of it is given, for its sender knows nothing of session timers but
 * the sender of the request does (8.2): seconds, 0 = nothing.  Refreshes are INVITEs, and UPDATEs
 * that say so. */
uint32_t session_promised(const struct core *core, const struct message *request);

/* The session that a 2xx agrees on, `promised` included: seconds, 0 = it does not expire.  An
 * answer that is shorter than anyone may ask for ends no call early. */
uint32_t session_agreed(const struct core *core, const struct message *response, uint32_t promised);

/* The sender knows of session timers, and wants one that is too short: 422 (8.1). */
bool session_is_too_short(const struct core *core, const struct message *m);

/* 8.1: adds our Session-Expires to an INVITE without one, and lengthens one that is too short.
 * `w` has SESSION_TEXT left and outlives the splice. */
void session_edit_request(struct splice *s, const struct core *core, const struct message *m,
                          struct writer *w);

/* 8.2: a 2xx whose sender knows nothing of session timers makes the caller the refresher. */
void session_edit_response(struct splice *s, const struct message *m, uint32_t interval,
                           struct writer *w);
