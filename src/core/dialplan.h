/*
 * The dial plan: which numbers go where, as the administrator wrote it.  Pure: it knows patterns
 * and tables, not users or bindings (core/dial.h asks it about a request).
 *
 * A pattern is digits, `*` and `#`, and x (0-9), n (2-9), z (1-9), o (a 1, or nothing), ? (any).
 * As in GNU SIP Witch it matches a number that begins with it; one that ends with `!` matches a
 * number of its own length only, and one that begins with `+` a number that ends with it.  Other
 * names are matched whole, and case does not count.
 */
#pragma once

#include "base/cursor.h"
#include "core/written.h"

/* What is done to a number: `-12` takes a 12 off, `12` puts it there unless it is there.  The
 * prefix is dealt with first. */
struct affix {
    struct slice prefix, suffix;
};

/* Numbers that a gateway takes. */
struct route {
    struct slice pattern;
    struct slice gateway; /* its id */
    struct affix affix;
    uint8_t priority; /* 0 to 9; callers of a higher level may use it */
    struct written written;
};

enum rule_kind {
    RULE_REWRITE,  /* the number becomes another */
    RULE_REDIRECT, /* the request goes elsewhere */
    RULE_REFER,    /* the caller is told to go elsewhere (302) */
    RULE_REFUSE,
};

/* A row of the routing table. */
struct rule {
    enum rule_kind kind;
    struct slice pattern;  /* empty: the identity counts */
    struct slice identity; /* matched whole */
    struct slice target;   /* URI; or what the number is replaced by; or empty */
    struct slice server;   /* host, where the number is to be asked for */
    struct affix affix;
    uint16_t status; /* of a refusal */
    struct written written;
};

struct dialplan {
    const struct route *routes; /* by priority, the highest first */
    unsigned route_count;
    const struct rule *rules; /* as written: the first that matches counts */
    unsigned rule_count;
};

bool pattern_matches(struct slice pattern, struct slice number);

/* Fails if there is no room. */
void affix_write(struct writer *w, const struct affix *affix, struct slice number);

/* The next route from *position on that a caller of this level may use; NULL = no more. */
const struct route *dialplan_route(const struct dialplan *plan, struct slice number, unsigned level,
                                   unsigned *position);

/* The first rule for this number or name; NULL = none.  A number that was rewritten is not
 * rewritten again. */
const struct rule *dialplan_rule(const struct dialplan *plan, struct slice number,
                                 bool may_rewrite);
