#!/usr/bin/env python3
"""The kernel's relay on Debian's own kernel, whichever runs here: its verifier is not everybody's.

A virtual machine is emulated (qemu; no help of the processor is needed) with that kernel, and this
machine's files, which it can only read; there it runs relay_test.py. Prints its lines, each with
the kernel's version; the exit status is 0 if all are ok. KERNEL names another package than what
linux-image-amd64 stands for.
"""

import contextlib
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "linux-image-amd64"
KEPT = ROOT / "build/kernel"
PATIENCE = 400                      # seconds until it has ended; all is emulated
MODULES = ["virtio_pci", "9pnet_virtio", "9p"]
FILES = "files"                     # the name of what is shared
STATUS = "the tests ended with "

# What the kernel calls for a module that is missed.
MODPROBE = """#!/bin/sh
exec /busybox chroot /new /sbin/modprobe --dirname {tree} "$@"
"""

# The first process: it brings up the files of this machine, and what is written goes to memory.
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/busybox mkdir -p /proc /sys /new
/busybox mount -t proc none /proc
for module in {modules}; do
    /busybox insmod /modules/$module
done
/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose {files} /new
/busybox mount -t tmpfs none /new/run
/busybox mount -t proc none /new/proc
/busybox mount -t sysfs none /new/sys
/busybox mount -t bpf none /new/sys/fs/bpf
/busybox mount -t devtmpfs none /new/dev
/busybox mkdir -p /new/dev/shm
/busybox mount -t tmpfs none /new/dev/shm
/busybox ip link set lo up
/busybox ip route add default dev lo
/busybox chroot /new /bin/sh -c {command}
/busybox echo "{status}$?"
/busybox poweroff -f
"""


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise OSError(f"{shlex.join(str(word) for word in command)}: {done.stderr.strip()}")
    return done.stdout


def package():
    """The package of the kernel itself: the other only names it."""
    named = os.environ.get("KERNEL")
    if named:
        return named
    found = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", PACKAGE))
    if not found:
        raise OSError(f"{PACKAGE} names no kernel; apt-get update perhaps helps")
    return found[1]


def unpack(name):
    """Its files, below a directory of this build; nothing is installed."""
    tree = KEPT / name
    if not tree.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as fresh:
            os.chmod(fresh, 0o755)      # who fetches is no root
            run("apt-get", "download", name, cwd=fresh)
            run("dpkg-deb", "--extract", next(pathlib.Path(fresh).glob("*.deb")), f"{fresh}/tree")
            version = next(pathlib.Path(fresh, "tree/lib/modules").iterdir()).name
            run("depmod", "--basedir", f"{fresh}/tree", version)
            os.rename(f"{fresh}/tree", tree)
    return tree


def files_of(module, tree, version):
    """Its file, after those of what it needs."""
    said = run("modprobe", "--dirname", tree, "--set-version", version, "--show-depends", module)
    return [line.split()[1] for line in said.splitlines() if line.startswith("insmod ")]


def write_script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def write_start(folder, tree, version, command):
    """The archive that the kernel starts with."""
    inside = pathlib.Path(folder, "start")
    (inside / "modules").mkdir(parents=True)
    shutil.copy("/bin/busybox", inside / "busybox")
    for place in "bin", "sbin":
        (inside / place).mkdir()
    (inside / "bin/sh").symlink_to("/busybox")
    names = []
    for module in MODULES:
        for file in files_of(module, tree, version):
            name = os.path.basename(file)
            if name not in names:
                names.append(name)
                shutil.copy(file, inside / "modules" / name)
    write_script(inside / "sbin/modprobe", MODPROBE.format(tree=tree))
    write_script(inside / "init", INIT.format(modules=" ".join(names), files=FILES,
                                              command=shlex.quote(command), status=STATUS))
    listed = run("find", ".", cwd=inside)
    archive = pathlib.Path(folder, "start.cpio")
    with open(archive, "wb") as out:
        subprocess.run(["/bin/busybox", "cpio", "-o", "-H", "newc"], input=listed.encode(),
                       stdout=out, stderr=subprocess.DEVNULL, cwd=inside, check=True)
    return archive


def machine(kernel, start):
    return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1G",
            "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
            "-kernel", kernel, "-initrd", start, "-append", "console=ttyS0 quiet panic=-1",
            "-virtfs", f"local,path=/,mount_tag={FILES},security_model=none,readonly=on,multidevs=remap"]


def watch(command, version):
    """What it says of its tests; the status that it ended with, or None."""
    status, last = None, []
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace") as one:
        timer = threading.Timer(PATIENCE, one.kill)
        timer.start()
        with contextlib.closing(one.stdout):
            for line in map(str.rstrip, one.stdout):
                last = [*last[-40:], line]
                result = re.match(r"(ok|not ok) kernel: (.*)", line)
                if result:
                    print(f"{result[1]} Linux {version}: {result[2]}", flush=True)
                elif line.startswith(STATUS):
                    status = int(line.removeprefix(STATUS))
        timer.cancel()
    if status is None or status:
        print(*last, sep="\n")
    return status


def main():
    if platform.machine() != "x86_64":
        print("ok no kernel to emulate: this is no amd64")
        return 0
    tree = unpack(package())
    version = next((tree / "lib/modules").iterdir()).name
    command = shlex.join(["env", f"PATH={os.environ['PATH']}", "LANG=C.UTF-8", "HOME=/dev/shm",
                          "TMPDIR=/dev/shm", sys.executable,
                          str(ROOT / "test/relay/relay_test.py"), "kernel", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as folder:
        start = write_start(folder, tree, version, command)
        status = watch(machine(tree / f"boot/vmlinuz-{version}", start), version)
    if status is None:
        print(f"not ok Linux {version}: it said nothing for {PATIENCE} s, or ended too early")
    return 0 if status == 0 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, StopIteration) as trouble:
        print(f"not ok machine: {trouble}")
        sys.exit(1)
