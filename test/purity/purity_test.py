"""The core is pure: what the archives of base, sip, sdp and core import, and that they hold no
mutable static.  Arguments: the archives."""
import re
import subprocess
import sys

# Memory and string functions that touch nothing but their arguments; the rest is the compiler's.
ALLOWED = {
    "memchr", "memcmp", "bcmp", "memcpy", "memmove", "memset", "strlen", "__assert_fail",
    "__stack_chk_fail", "__stack_chk_guard", "__memcpy_chk", "__memset_chk", "__memmove_chk", "_GLOBAL_OFFSET_TABLE_",
}
INSTRUMENTED = re.compile(r"^(__asan_|__ubsan_|__sanitizer_|__sancov_|__start___sanc|__stop___sanc|"
                          r"__gcov_|__llvm_|__tsan_|llvm_gc)")


def symbols(archive, *options):
    out = subprocess.run(["nm", *options, archive], check=True, capture_output=True, text=True)
    return out.stdout.splitlines()


def sections_of_data(archive):
    """Names of objects in a writable section, by objdump: relocated constants are not."""
    out = subprocess.run(["objdump", "-t", archive], check=True, capture_output=True, text=True)
    found = []
    for line in out.stdout.splitlines():
        match = re.match(r"^[0-9a-f]+ .{7} (\S+)\s+([0-9a-f]+) (?:\.hidden )?(\S+)$", line)
        if not match:
            continue
        section, size, name = match.groups()
        writable = re.match(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*)", section)
        if writable and int(size, 16) > 0 and not INSTRUMENTED.match(name):
            found.append(f"{name} in {section}")
    return found


def judge(archives):
    """What they define, and what is not pure in them."""
    defined, undefined, faults = set(), {}, []
    for archive in archives:
        for line in symbols(archive, "--defined-only", "--format=posix"):
            if line and not line.endswith(":"):
                defined.add(line.split()[0])
        for line in symbols(archive, "--undefined-only", "--format=posix"):
            if line and not line.endswith(":"):
                undefined.setdefault(line.split()[0], archive)
        faults += [f"{archive}: mutable static {entry}" for entry in sections_of_data(archive)]
    for name, archive in sorted(undefined.items()):
        if name not in defined and name not in ALLOWED and not INSTRUMENTED.match(name):
            faults.append(f"{archive}: imports {name}")
    return defined, faults


def main():
    archives = sys.argv[1:]
    defined, faults = judge(archives)
    for fault in faults:
        print("not pure:", fault)
    print(f"{len(archives)} archives, {len(defined)} symbols, {len(faults)} faults")
    return 1 if faults or not defined else 0


if __name__ == "__main__":
    sys.exit(main())
