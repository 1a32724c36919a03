/* name-addr and addr-spec (RFC 3261 20.10, 25.1): From, To, Contact, Route, Record-Route, Path. */
#pragma once

#include "sip/uri.h"

struct address {
    struct slice text;    /* this value, without the comma */
    struct slice display; /* with its quotes */
    struct slice uri;     /* without the angle brackets */
    struct slice params;  /* the header's, from the first ';' after the URI */
};

/* Takes the first value off a field; false if it breaks the grammar.  Without angle brackets
 * parameters after the URI are the header's (20.10), and a URI with a comma, question mark or
 * semicolon is a fault or cut there. */
bool address_next(struct slice *rest, struct address *address);

/* The whole of a From or To value, and its tag (empty if there is none).  False if it breaks the
 * grammar or is more than one. */
bool address_parse(struct slice value, struct address *address, struct slice *tag);

/* The tag of a From or To value; empty if there is none or it cannot be read. */
struct slice address_tag(struct slice value);

/* A quality value 0 to 1 (q parameter) in thousandths; false if it is none. */
bool qvalue_parse(struct slice text, unsigned *thousandths);
