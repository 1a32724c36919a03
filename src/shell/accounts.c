#include "shell/accounts.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#define FIRST_UID 1000u
#define LAST_UID 59999u /* above are nobody and the dynamic users */

static uint32_t first_uid(void)
{
    uint64_t uid;

    return slice_number(slice_text(getenv("FIRSTUID")), LAST_UID, &uid) ? (uint32_t)uid : FIRST_UID;
}

static bool add(struct accounts *accounts, const struct passwd *entry, uint32_t first,
                bool is_admin)
{
    struct slice gecos = slice_text(entry->pw_gecos);
    size_t comma = slice_find(gecos, ',');
    struct slice rest = comma < gecos.len ? slice_from(gecos, comma + 1) : NO_SLICE;
    size_t second = slice_find(rest, ',');
    uint64_t number;

    if (accounts->count == ACCOUNTS_LIMIT)
        return true;
    if (!slice_number(slice_until(rest, second), UINT64_MAX, &number))
        second = 0;
    const char *name = strdup(entry->pw_name);
    const char *texts = strdup(gecos.at ? gecos.at : "");
    if (!name || !texts) {
        free((void *)(uintptr_t)name);
        free((void *)(uintptr_t)texts);
        return false;
    }
    accounts->at[accounts->count++] = (struct account){
        .name = slice_text(name),
        .display = slice_of(texts, comma),
        .number = second ? slice_of(texts + comma + 1, second) : NO_SLICE,
        .place = first && entry->pw_uid >= first ? entry->pw_uid - first : UINT32_MAX,
        .is_admin = is_admin,
    };
    return true;
}

static bool is_member(const struct group *group, const struct passwd *entry)
{
    for (char **name = group->gr_mem; *name; name++)
        if (strcmp(*name, entry->pw_name) == 0)
            return true;
    return entry->pw_gid == group->gr_gid;
}

/* The members of a group, copied: getgrnam's answer is gone with the next. */
struct members {
    struct group group;
    char *texts;
};

static bool find_group(const char *variable, const char *name, struct members *members)
{
    const char *other = getenv(variable);
    struct group *found = NULL;
    size_t size = 1u << 20;

    *members = (struct members){.texts = malloc(size)};
    if (other && other[0])
        name = other;
    return members->texts && strcmp(name, "-") != 0 &&
           getgrnam_r(name, &members->group, members->texts, size, &found) == 0 && found;
}

struct choice {
    struct members users, admins;
    bool has_users, has_admins;
    uint32_t first; /* uid; 0 = none */
};

static bool is_wanted(const struct choice *choice, bool is_admin, const struct passwd *entry)
{
    if (is_admin || choice->has_users)
        return is_admin || is_member(&choice->users.group, entry);
    return !choice->has_admins && choice->first && entry->pw_uid >= choice->first &&
           entry->pw_uid <= LAST_UID;
}

bool accounts_read(struct accounts *accounts)
{
    struct choice choice = {.first = first_uid()};
    bool ok = true;
    struct passwd *entry;

    choice.has_users = find_group("SIPUSERS", "sipusers", &choice.users);
    choice.has_admins = find_group("SIPADMIN", "sipadmin", &choice.admins);
    *accounts = (struct accounts){.at = calloc(ACCOUNTS_LIMIT, sizeof *accounts->at)};
    setpwent();
    while (accounts->at && ok && (entry = getpwent())) {
        bool is_admin = choice.has_admins && is_member(&choice.admins.group, entry);
        if (is_wanted(&choice, is_admin, entry))
            ok = add(accounts, entry, choice.first, is_admin);
    }
    endpwent();
    free(choice.users.texts);
    free(choice.admins.texts);
    return ok && accounts->at;
}

void accounts_free(struct accounts *accounts)
{
    for (unsigned i = 0; i < accounts->count; i++) {
        free((void *)(uintptr_t)accounts->at[i].name.at);
        free((void *)(uintptr_t)accounts->at[i].display.at);
    }
    free(accounts->at);
    *accounts = (struct accounts){0};
}
