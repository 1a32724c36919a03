#include "unit.h"

#include <sys/stat.h>

#include "folder.h"
#include "shell/memory.h"

/* A tree of control groups, as the kernel shows them. */
struct groups {
    struct folder folder;
    char list[96];
};

static void put(const struct groups *g, const char *path, const char *text)
{
    int fd = openat(g->folder.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static struct groups begin(const char *list)
{
    struct groups g = {.folder = folder_make()};

    assert_true(g.folder.fd >= 0);
    assert_int_equal(mkdirat(g.folder.fd, "a", 0700) + mkdirat(g.folder.fd, "a/b", 0700) +
                         mkdirat(g.folder.fd, "memory", 0700) +
                         mkdirat(g.folder.fd, "memory/a", 0700),
                     0);
    snprintf(g.list, sizeof g.list, "%s/list", g.folder.path);
    put(&g, "list", list);
    return g;
}

static void end(struct groups *g)
{
    static const char *const files[] = {"a/b/memory.max", "a/memory.max",
                                        "memory/a/memory.limit_in_bytes",
                                        "memory/memory.limit_in_bytes"};
    static const char *const folders[] = {"a/b", "a", "memory/a", "memory"};

    for (unsigned i = 0; i < COUNT_OF(files); i++)
        unlinkat(g->folder.fd, files[i], 0);
    for (unsigned i = 0; i < COUNT_OF(folders); i++)
        unlinkat(g->folder.fd, folders[i], AT_REMOVEDIR);
    folder_remove(&g->folder);
}

static void the_least_of_a_group_and_those_above_it_counts(void **state)
{
    struct groups g = begin("0::/a/b\n");

    (void)state;
    assert_true(memory_granted(g.list, g.folder.path) == UINT64_MAX);
    put(&g, "a/b/memory.max", "max\n");
    assert_true(memory_granted(g.list, g.folder.path) == UINT64_MAX);
    put(&g, "a/memory.max", "268435456\n");
    assert_true(memory_granted(g.list, g.folder.path) == 268435456);
    put(&g, "a/b/memory.max", "134217728\n");
    assert_true(memory_granted(g.list, g.folder.path) == 134217728);
    put(&g, "memory.max", "67108864\n"); /* what a container sees of itself */
    assert_true(memory_granted(g.list, g.folder.path) == 67108864);
    end(&g);
}

static void the_first_version_has_a_tree_for_memory(void **state)
{
    struct groups g = begin("8:pids:/a\n4:memory:/a\n0::/\n");

    (void)state;
    put(&g, "memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(memory_granted(g.list, g.folder.path) == UINT64_C(9223372036854771712));
    put(&g, "memory/a/memory.limit_in_bytes", "300000000\n");
    assert_true(memory_granted(g.list, g.folder.path) == 300000000);
    end(&g);
}

static void without_groups_all_is_granted(void **state)
{
    struct groups g = begin("no group:\n::\n4:memory:relative\n");

    (void)state;
    assert_true(memory_granted(g.list, g.folder.path) == UINT64_MAX);
    assert_true(memory_granted("/nowhere/list", g.folder.path) == UINT64_MAX);
    end(&g);
}

static void a_setting_lowers_what_there_is_room_for(void **state)
{
    struct limits all = memory_limits(10, 0, 0), some = memory_limits(10, 0, 128);

    (void)state;
    assert_true(some.contexts <= all.contexts && some.text <= all.text);
    assert_int_equal(some.contexts, 8192);
    assert_int_equal(some.text, 64 << 20);
    assert_int_equal(some.bindings, all.bindings);
    assert_int_equal(memory_limits(10, 17, 128).registered, 17);
}

static void a_lower_limit_of_bindings_has_room_for_all_that_were(void **state)
{
    (void)state;
    assert_int_equal(memory_limits(10, 17, 0).bindings, 1000);
    assert_int_equal(memory_limits(1000, 17, 0).bindings, 1000 * BINDINGS_PER_AOR);
    assert_int_equal(memory_limits(1000, 20000, 0).bindings, 20000);
    assert_int_equal(memory_limits(1000000, 17, 0).bindings,
                     4000000); /* the most that mapped takes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_of_a_group_and_those_above_it_counts),
        cmocka_unit_test(the_first_version_has_a_tree_for_memory),
        cmocka_unit_test(without_groups_all_is_granted),
        cmocka_unit_test(a_setting_lowers_what_there_is_room_for),
        cmocka_unit_test(a_lower_limit_of_bindings_has_room_for_all_that_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
