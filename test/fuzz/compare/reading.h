/* What a parser made of a message, in one form for all three parsers that are compared. */
#pragma once

#include "base/slice.h"

/* Of a list: how many values it has, in all of its fields; and the first of them. */
enum item {
    ITEM_METHOD,
    ITEM_STATUS,
    ITEM_URI_USER,
    ITEM_URI_HOST,
    ITEM_URI_PORT,
    ITEM_VIAS,
    ITEM_VIA_TRANSPORT,
    ITEM_VIA_HOST,
    ITEM_VIA_PORT,
    ITEM_VIA_BRANCH,
    ITEM_VIA_RECEIVED,
    ITEM_VIA2_HOST, /* of the second value */
    ITEM_VIA2_BRANCH,
    ITEM_FROM_USER,
    ITEM_FROM_HOST,
    ITEM_FROM_TAG,
    ITEM_TO_USER,
    ITEM_TO_HOST,
    ITEM_TO_TAG,
    ITEM_CALL_ID,
    ITEM_CSEQ_NUMBER,
    ITEM_CSEQ_METHOD,
    ITEM_MAX_FORWARDS,
    ITEM_CONTACTS,
    ITEM_CONTACT_USER,
    ITEM_CONTACT_HOST,
    ITEM_CONTACT_EXPIRES,
    ITEM_CONTACT_Q,
    ITEM_ROUTES,
    ITEM_ROUTE_USER,
    ITEM_ROUTE_HOST,
    ITEM_ROUTE_LR,
    ITEM_ROUTE_LAST, /* its host */
    ITEM_RECORD_ROUTES,
    ITEM_RECORD_ROUTE_USER,
    ITEM_RECORD_ROUTE_HOST,
    ITEM_RECORD_ROUTE_LR,
    ITEM_RECORD_ROUTE_LAST,
    ITEM_EXPIRES,
    ITEM_REQUIRE, /* all of its option tags */
    ITEM_PROXY_REQUIRE,
    ITEM_CONTENT_LENGTH,
    ITEM_COUNT,
};

/* Items of an address stand behind that of its user, those of a route behind the count of all. */
enum {
    TO_HOST = ITEM_FROM_HOST - ITEM_FROM_USER,
    TO_TAG = ITEM_FROM_TAG - ITEM_FROM_USER,
    TO_FIRST_USER = ITEM_ROUTE_USER - ITEM_ROUTES,
    TO_LR = ITEM_ROUTE_LR - ITEM_ROUTES,
    TO_LAST = ITEM_ROUTE_LAST - ITEM_ROUTES,
};

extern const char *const item_names[ITEM_COUNT];

/* An absent item is the empty text. */
struct reading {
    bool is_accepted;
    const char *refusal;  /* of ours: why not */
    struct slice refused; /* what of the message */
    char text[ITEM_COUNT][512];
};

void put(struct reading *r, enum item item, struct slice text);
void put_text(struct reading *r, enum item item, const char *text);

/* A number by its value: leading zeros do not count. */
void put_number(struct reading *r, enum item item, uint64_t number);
void put_digits(struct reading *r, enum item item, struct slice digits);

/* How many; none is absent. */
void put_count(struct reading *r, enum item item, unsigned count);

/* A host without the brackets of an IPv6 reference, in lower case. */
void put_host(struct reading *r, enum item item, struct slice host);

/* A user part with its escapes decoded once; %00 stays. */
void put_user(struct reading *r, enum item item, struct slice user);

/* A q value in thousandths. */
void put_q(struct reading *r, enum item item, struct slice text);

/* A transport that has a number with us. */
void put_transport(struct reading *r, struct slice name);

/* One more of a list of words; white space in it, folds too, is a blank. */
void put_word(struct reading *r, enum item item, struct slice word);

void read_ours(struct reading *r, struct slice bytes);
void read_osip(struct reading *r, struct slice bytes);
void read_sofia(struct reading *r, struct slice bytes);
