/*
 * STUN on the SIP port (RFC 5626 8, RFC 8489): a phone asks whether its flow still is one, and what
 * its address is.  Only the Binding request without attributes that count, answered without state.
 */
#pragma once

#include "core/action.h"

/* Answers it; false if it is no STUN Binding request. */
bool keepalive_answer(const struct flow *flow, struct slice bytes, struct actions *out);
