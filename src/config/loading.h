/*
 * A configuration on its way from trees to settings; for src/config only.
 */
#pragma once

#include "config/config.h"
#include "config/document.h"
#include "config/keep.h"
#include "config/schema.h"

#define NOTED_LIMIT 160u   /* keys without effect that are noted, each once */
#define SECTIONS_LIMIT 16u /* of <sipwitch> */
#define PROFILES_LIMIT 64u
#define NAMES_LIMIT 64u           /* local names */
#define RESOLVER_LIMIT 512u       /* bytes: some ten servers */
#define ANCHOR_LIMIT 251u         /* bytes of a path: shell/dns.h has room for no more */
#define IDENTITY_INFO_LIMIT 400u  /* bytes: it is in each Identity field, twice */
#define ORIGINS_LIMIT 64u         /* web sites */
#define SERVICE_ROUTE_LIMIT 1024u /* bytes: the answer to a REGISTER must fit into a datagram */

struct whole {
    struct config config; /* first: what config_free gets */
    struct keeper keeper;
};

/* Which keys of a section were given. */
struct seen {
    uint64_t before; /* in files before this one */
    uint64_t here;
};

struct profile {
    struct slice id;
    struct written written;
    uint8_t level;
    bool is_closed, is_inside_only;
};

struct loading {
    const struct config_origin *origin;
    struct report *report;
    struct document *documents;      /* of the parts */
    const struct document *document; /* that is being read */
    struct values values;
    struct seen root_seen, seen[SECTIONS_LIMIT];
    const char *noted[NOTED_LIMIT];
    unsigned noted_count;
    struct whole *whole;
    bool is_out_of_memory;
    bool has_warned_of_prefix;

    struct profile profiles[PROFILES_LIMIT];
    unsigned profile_count;
    struct route *routes; /* of the dial plan, while it is made */
    uint32_t route_limit;
    struct rule *rules;
    struct subnet *networks;
    struct domain_settings *domains;
    struct fellow *fellows;
    struct slice *network_names; /* of <access> */
    unsigned network_name_count;
    uint32_t *known; /* users by id and by extension: index + 1, 0 = none */
    uint32_t known_mask;
    struct stored *stored; /* digests by id */
    uint32_t stored_mask;
};

/* Reads the children of `parent` by a schema into `values`; false if there is a fault. */
bool loading_keys(struct loading *l, const struct node *parent, const struct schema *schema,
                  void *values, struct seen *seen);

/* Notes once that a key has no effect, and why. */
void loading_note(struct loading *l, const struct node *node, const struct key *key,
                  struct slice section);

/* Reads each section of this name in all parts, in order; false at the first fault. */
typedef bool section_reader(struct loading *l, const struct node *section);
bool loading_sections(struct loading *l, struct slice name, section_reader *read);

struct slice loading_keep(struct loading *l, struct slice text);

/* Where a node of the part that is being read was written. */
struct written loading_written(const struct loading *l, const struct node *node);
/* Where a key of a section was: the first, which counts. */
struct written loading_key_written(struct loading *l, struct slice section, struct slice key);

/* The next word of a list that is separated by blanks, commas, semicolons or colons. */
bool loading_word(struct slice *rest, struct slice *word);

/* The same with separators of one's own. */
bool loading_word_of(struct slice *rest, const char *separators, struct slice *word);

bool profiles_read(struct loading *l); /* before nodes_read */
bool nodes_read(struct loading *l);    /* users, gateways with their routes, and the rest */
bool routing_read(struct loading *l);  /* the routing table */
bool domains_read(struct loading *l);  /* other domains */
bool fellows_read(struct loading *l);  /* other nodes */
bool access_read(struct loading *l);   /* networks, trusted and restricted */
bool media_read(struct loading *l);    /* the relay */

/* Warns once that patterns match the beginning of a number. */
void routing_check_pattern(struct loading *l, const struct node *node, struct slice pattern);
