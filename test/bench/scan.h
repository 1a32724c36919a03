/* Reads what the generator has to check or copy out of a message: no more of RFC 3261 than that.
   Every span points into the message, which belongs to the caller. */
#pragma once

#include "text.h"

enum { SCAN_LINES = 8 };

struct scan {
    unsigned status; /* 0 in a request */
    struct span method;
    struct span uri;
    struct span vias[SCAN_LINES]; /* header values; one may hold several Vias */
    unsigned via_count;
    struct span record_routes[SCAN_LINES];
    unsigned record_route_count;
    struct span from;
    struct span to;
    struct span call_id;
    struct span cseq;
    struct span contact;
    struct span challenge; /* the first that offers MD5 */
    uint32_t cseq_number;
    struct span cseq_method;
};

bool scan_message(struct scan *scan, const char *bytes, size_t length);

/* What follows `name` in `value`, up to one of `stops`; empty where `name` is absent. */
struct span scan_parameter(struct span value, const char *name, const char *stops);
bool scan_same(struct span span, const char *string);
bool scan_hex(const char *digits, uint32_t *value);
