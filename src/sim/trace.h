/* The trace of a replayed seed (-v): one line a message, fault and event. */
#pragma once

#include "core/flow.h"

struct sim;

/* "12.345678 -> 10.20.3.7:10004 (node 4) INVITE sip:... | call-id | cseq" */
void trace_message(const struct sim *sim, const char *arrow, const struct flow *flow, uint32_t node,
                   struct slice bytes);

__attribute__((format(printf, 2, 3))) void trace_note(const struct sim *sim, const char *format,
                                                      ...);
