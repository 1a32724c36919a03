"""A program as a unit of systemd would run it, as far as that can be had without systemd.

    confine.py PLAN WORD...

PLAN is a file of JSON that service_test.py makes of the unit. This file stands by itself: the program may
see little of the machine, and this runs with as little. Run by root, in a mount namespace that is to be
thrown away.
"""

import ctypes
import errno
import json
import os
import resource
import subprocess
import sys

CLONE_NEWNS = 0x20000
NAMESPACES = 0x7e020080  # CLONE_NEW* of clone(2)
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38
PROT_WRITE, PROT_EXEC = 2, 4
ALLOW = 0x7fff0000
EQUAL, GREATER, MASKED = 4, 6, 7  # enum scmp_compare
DEVICES = ["null", "zero", "full", "random", "urandom", "tty"]

libc = ctypes.CDLL(None, use_errno=True)


def call(result, what):
    if result < 0:
        sys.exit(f"confine: {what}: {os.strerror(ctypes.get_errno() or -result)}")
    return result


# ---- what it sees of the machine

def mount(*words):
    subprocess.run(["mount", *words], check=True)


def places():
    """Where something is mounted, the outermost first."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        return [line.split()[1] for line in file]


def is_below(place, folders):
    return any(place == folder or place.startswith(f"{folder}/") for folder in folders)


# By one of these systemd gives a unit mounts of its own.
MOUNTS = ("PrivateDevices", "PrivateTmp", "ProtectHome", "ProtectKernelTunables", "ProtectSystem")


def see_only(plan):
    if all(plan[key] == "no" for key in MOUNTS):
        return
    call(libc.unshare(CLONE_NEWNS), "unshare")
    mount("--make-rslave", "/")
    for folder in plan["writable"]:
        mount("--rbind", folder, folder)
    if plan["ProtectHome"] == "yes":
        for folder in "/home", "/root":
            mount("-t", "tmpfs", "-o", "mode=000,ro", "none", folder)
    if plan["PrivateTmp"] == "yes":
        for folder in "/tmp", "/var/tmp":
            mount("-t", "tmpfs", "-o", "mode=1777", "none", folder)
    if plan["PrivateDevices"] == "yes":
        os.mkdir("/tmp/devices")
        mount("-t", "tmpfs", "-o", "mode=755", "none", "/tmp/devices")
        for name in filter(lambda name: os.path.exists(f"/dev/{name}"), DEVICES):
            with open(f"/tmp/devices/{name}", "wb"):
                mount("--bind", f"/dev/{name}", f"/tmp/devices/{name}")
        mount("--rbind", "/tmp/devices", "/dev")
        mount("-o", "remount,bind,ro", "/dev")
    if plan["ProtectSystem"] == "strict":
        kept = [*plan["writable"], "/tmp", "/var/tmp", "/dev", "/proc"]
        for place in places():
            if not is_below(place, kept):
                subprocess.run(["mount", "-o", "remount,bind,ro", place], check=False,
                               stderr=subprocess.DEVNULL)
    if plan["ProtectKernelTunables"] == "yes":
        mount("--bind", "/proc/sys", "/proc/sys")
        mount("-o", "remount,bind,ro", "/proc/sys")


# ---- what it may do

def become(plan):
    files = min(int(plan["LimitNOFILE"]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    capability = 0
    while libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        if capability not in plan["capabilities"]:
            call(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "bounding set")
        capability += 1
    os.setgroups([])
    os.setresgid(*[plan["gid"]] * 3)
    os.setresuid(*[plan["uid"]] * 3)
    call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.umask(int(plan["UMask"], 8))


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


class Filter:
    """One of seccomp(2), by libseccomp."""

    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p

    def __init__(self, default):
        self.at = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(default)))

    def add(self, action, name, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return # this machine has none of that name
        array = (Comparison * len(comparisons))(*comparisons)
        call(self.library.seccomp_rule_add_array(
            self.at, ctypes.c_uint32(action), number, len(comparisons), array), name)

    def load(self):
        call(self.library.seccomp_load(self.at), "seccomp_load")


def refuse(number):
    return 0x50000 | number


def filter_calls(plan):
    denied = Filter(ALLOW)
    if plan["families"]:
        known, last = plan["families"], max(plan["families"])
        refused = refuse(errno.EAFNOSUPPORT)
        denied.add(refused, "socket", Comparison(0, GREATER, last))
        for family in set(range(last)) - set(known):
            denied.add(refused, "socket", Comparison(0, EQUAL, family))
    if plan["RestrictNamespaces"] == "yes":
        denied.add(refuse(errno.ENOSYS), "clone3") # its flags are in memory
        for name in "unshare", "setns":
            denied.add(refuse(errno.EPERM), name)
        for bit in range(32):
            if NAMESPACES & 1 << bit:
                denied.add(refuse(errno.EPERM), "clone", Comparison(0, MASKED, 1 << bit, 1 << bit))
    if plan["MemoryDenyWriteExecute"] == "yes":
        both = PROT_WRITE | PROT_EXEC
        denied.add(refuse(errno.EPERM), "mmap", Comparison(2, MASKED, both, both))
        for name in "mprotect", "pkey_mprotect":
            denied.add(refuse(errno.EPERM), name, Comparison(2, MASKED, PROT_EXEC, PROT_EXEC))
    denied.load()
    if not plan["calls"]:
        return
    allowed = Filter(refuse(getattr(errno, plan["SystemCallErrorNumber"])))
    for name in plan["calls"]:
        allowed.add(ALLOW, name)
    allowed.load()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    handed = {name: value for name, value in os.environ.items()
              if name.startswith("LISTEN_") or name == "NOTIFY_SOCKET"}
    os.chdir("/")
    see_only(plan)
    become(plan)
    filter_calls(plan)
    os.execve(sys.argv[2], sys.argv[2:], {**handed, **plan["environment"]})


if __name__ == "__main__":
    main()
