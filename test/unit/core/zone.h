/* Zones of DNS as tables of text, for tests. */
#pragma once

#include "core/dns.h"

/*
 * What a zone has: "NAME TYPE RECORD|RECORD".  A record is as in a zone file, without quotes and
 * final dots; of a NAPTR's fields the regular expression is left out, and of a TLSA's data "7x32"
 * is 32 bytes of 7.  Instead of records: "?" nobody answers, "!" forged.  A type in small letters
 * is proven by DNSSEC.
 */
#define ZONE_LINES 12
typedef const char *zone_lines[ZONE_LINES];

/* An answer and the bytes that it points at. */
struct reply {
    struct dns_answer answer;
    char bytes[4096];
};

/* What the zone has of that name. */
void zone_answer(const zone_lines zone, enum dns_type type, struct slice name, struct reply *reply);
