"""The tests of purity and layers bite: each breach of the rules, put into a source of its own, is told,
and what is allowed is not.  Arguments: the compiler."""
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import layers_test
import purity_test

# What it is, the source, and what the fault must name: nothing where it is pure.
SOURCES = [
    ("a constant table", "extern const char *const names[]; const char *const names[] = {\"a\", \"b\"};", None),
    ("memory functions", "#include <string.h>\nint f(const char *s) { return (int)strlen(s) + s[0]; }", None),
    ("an initialised static", "static int seed = 7; int f(void) { return seed++; }", "seed in .data"),
    ("a static of zeros", "static int count; int f(void) { return ++count; }", "count in .bss"),
    ("a static in a function", "int f(void) { static int calls; return ++calls; }", "calls"),
    ("a variable of all", "int shared; int f(void) { return ++shared; }", "shared"),
    ("a common variable", "int common __attribute__((common));", "common in *COM*"),
    ("a variable of each thread", "_Thread_local int own; int f(void) { return ++own; }", "own in .tbss"),
    ("a table that can be written", "const char *names[] = {\"a\", \"b\"};", "names"),
    ("the clock", "#include <time.h>\nlong f(void) { return (long)time(0); }", "imports time"),
    ("the heap", "#include <stdlib.h>\nvoid *f(void) { return malloc(9); }", "imports malloc"),
    ("a socket", "#include <sys/socket.h>\nint f(void) { return socket(1, 2, 0); }", "imports socket"),
    ("a lock", "#include <pthread.h>\nint f(pthread_mutex_t *m) { return pthread_mutex_lock(m); }",
     "imports pthread_mutex_lock"),
    ("the environment", "#include <stdlib.h>\nchar *f(void) { return getenv(\"A\"); }", "imports getenv"),
]
# The file, what it includes, whether that is a fault.
INCLUDES = [
    ("core/a.c", "base/slice.h", None), ("core/a.c", "sip/uri.h", None), ("sip/a.h", "sip/via.h", None),
    ("programs/a.c", "shell/udp.h", None), ("shell/a.c", "<time.h>", None), ("core/a.c", "<string.h>", None),
    ("base/a.c", "sip/uri.h", "looks up"), ("sip/a.c", "core/core.h", "looks up"),
    ("core/a.c", "shell/udp.h", "looks up"), ("sip/a.c", "sdp/sdp.h", "sideways"),
    ("config/a.c", "shell/udp.h", "looks up"), ("sim/a.c", "shell/udp.h", "sideways"),
    ("core/a.c", "<time.h>", "pure layer"), ("base/a.h", "<stdlib.h>", "pure layer"),
    ("core/a.c", "uri.h", "is not named from src/"), ("other/a.c", "base/slice.h", "is unknown"),
]


def judge_source(compiler, folder, source):
    (folder / "a.c").write_text(source + "\n")
    subprocess.run([*compiler, "-O2", "-c", "a.c", "-o", "a.o"], cwd=folder, check=True)
    archive = folder / "liba.a"
    archive.unlink(missing_ok=True)
    subprocess.run(["ar", "rcs", archive, "a.o"], cwd=folder, check=True)
    return purity_test.judge([str(archive)])[1]


def judge_include(folder, file, included):
    path = folder / "src" / file
    path.parent.mkdir(parents=True)
    path.write_text(f"#include {included}\n" if included[0] == "<" else f'#include "{included}"\n')
    faults = layers_test.judge(folder / "src")[1]
    path.unlink()
    path.parent.rmdir()
    return faults


def main():
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        found = [(what, judge_source(sys.argv[1:], folder, source), fault) for what, source, fault in SOURCES]
        found += [(f"{file} includes {included}", judge_include(folder, file, included), fault)
                  for file, included, fault in INCLUDES]
    for what, faults, fault in found:
        if len(faults) != (fault is not None) or (fault and fault not in faults[0]):
            wrong.append(f"{what}: {faults or 'no fault'}, and not {fault or 'none'}")
    print(*wrong, f"{len(found)} sources, {len(wrong)} judged wrongly", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
