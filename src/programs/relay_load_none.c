#include "programs/relay_load.h"

/* Built where there is no compiler for the kernel's program, or no libbpf. */
static int refuse(const struct program *program)
{
    complain(program, "the kernel's relay is not in this build, which had no clang or no libbpf");
    return 1;
}

int relay_load(const struct program *program, const struct relay_load *setup)
{
    (void)setup;
    return refuse(program);
}

int relay_watch(const struct program *program, const struct relay_load *setup)
{
    (void)setup;
    return refuse(program);
}

int relay_unload(const struct program *program, const struct relay_load *setup)
{
    (void)setup;
    return refuse(program);
}
