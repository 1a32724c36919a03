/*
 * The location service (RFC 3261 10): which users there are, and where their phones are bound.
 *
 * Users are found by id or extension, bindings by their user or, from a Record-Route cookie, by
 * their own id.  Who calls must have checked that the change is allowed; persisting is done here,
 * so that no change is forgotten.
 */
#pragma once

#include "core/inspect.h"
#include "core/state.h"

void location_init(struct core *core, struct arena *from);
size_t location_bytes(const struct limits *limits);

/* False if there is no room or the id or extension is taken: by a row of a source that counts more,
 * or by any that was put with the present settings, unless `replaces` and it has this id.  `out`
 * takes the records of bindings that go, where what it was could be bound and what it is cannot;
 * NULL before the start. */
bool location_put_user(struct core *core, const struct user_settings *settings, bool replaces,
                       struct actions *out);

/* Replaces the digests of the user with this id, if there is one. */
void location_set_password(struct core *core, const struct user_settings *settings);

/* Removes a user with all bindings. */
void location_remove_user(struct core *core, struct user *user, struct actions *out);

/* EVENT_USERS_PUT: a few steps of the walk that removes the rows of older epochs. */
void location_sweep(struct core *core, struct actions *out);

/* The user with this id or extension, an id before an extension; NULL if there is none.  Escapes
 * must be decoded.  Whoever is not in memory yet comes there (core/recall). */
struct user *location_find(const struct core *core, struct slice name);
struct user *location_find_id(const struct core *core, struct slice id);
/* With this id, if it is in memory. */
struct user *location_known(const struct core *core, struct slice id);
struct slice user_id(const struct user *user);
struct slice user_extension(const struct user *user);
struct slice user_display(const struct user *user);
bool user_may_be_bound(const struct user *user);
struct slice user_contacts(const struct user *user); /* static ones: URIs, one a line */
/* A gateway, or one with such contacts: the administrator wrote down where it is. */
bool user_is_written(const struct user *user);

struct binding *location_binding(const struct core *core, uint64_t id);
/* Walks a user's bindings, the newest first: NULL at the end. */
struct binding *location_first(const struct core *core, const struct user *user);
struct binding *location_next(const struct core *core, const struct binding *binding);
struct user *location_user(const struct core *core, const struct binding *binding);
/* Where requests to it go: by the socket that it came by, or, where that is not known any more, by
 * the one that serves best now. */
struct flow location_flow(const struct core *core, const struct binding *binding);

struct slice binding_contact(const struct binding *binding);
struct slice binding_call_id(const struct binding *binding);
struct slice binding_path(const struct binding *binding);
struct slice binding_instance(const struct binding *binding);

/* What a phone asked to be bound. */
struct binding_request {
    struct slice contact; /* URI */
    struct slice call_id;
    uint32_t cseq;
    uint16_t q;
    struct slice path;     /* Path values (RFC 3327), or empty */
    struct slice instance; /* instance ID as written, quotes included, or empty */
    uint32_t reg_id;       /* 0 = none */
    struct flow flow;
    uint32_t expires;   /* seconds granted, > 0 */
    bool is_behind_nat; /* its Via says so (18.2.1); where its Contact does is seen here */
    bool keeps_itself;  /* it sends keep-alives (RFC 5626) */
};

/* Binds, or refreshes `binding` if that is not NULL, and emits the record if the journal's promise
 * does not reach far enough.  False if there is no room. */
bool location_bind(struct core *core, struct user *user, struct binding *binding,
                   const struct binding_request *request, struct moment now, struct actions *out);

/* Binds a contact that stays until it is removed.  False if there is no room. */
bool location_activate(struct core *core, struct user *user, struct slice contact,
                       const struct flow *flow, struct moment now, struct actions *out);

/* Removes it and emits the record; `why` is for those who watch. */
void location_unbind(struct core *core, struct binding *binding, struct slice why,
                     struct actions *out);

/* Timer: it has expired, or the mapping of the NAT before it is kept open: by an empty line, which
 * every phone passes over (RFC 3261 7.5), every 25 seconds (the shortest mappings live 30). */
void location_expire(struct core *core, struct binding *binding, instant now, struct actions *out);

/* Emits the record of a binding again, for a checkpoint. */
void location_persist(struct core *core, const struct binding *binding, struct moment now,
                      struct actions *out);

/* Takes in a record of an earlier run.  One of a user who is gone meanwhile is taken back: `out`
 * gets the record of that. */
void location_restore_bind(struct core *core, struct reader *record, struct moment now,
                           struct actions *out);
void location_restore_unbind(struct core *core, struct reader *record);

/* What such a record says, behind its type: whose binding it is; false if it is broken. */
bool location_bound_user(struct slice record, struct slice *user);
/* And the binding that it would become; false if it would not. */
bool location_view_record(const struct core *core, struct slice record, struct moment now,
                          struct binding_view *view);
