#!/usr/bin/env python3
"""./run alone: a server for this machine with two accounts, and what it says.

It starts the release build, which must be up to date: nothing is built here. Prints `ok NAME` or
`not ok NAME: why` for each check; the exit status is 0 if all are ok. Arguments are names of checks to
run alone.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import server_test
import sip
from server_test import PATIENCE, ROOT, Failure, expect, free_port, one_line
from sip import Attempt

HOST = "127.0.0.1"
NOBODY = 65534


class Run:
    """./run, with a state directory of its own that outlives it."""

    def __init__(self, folder, port):
        self.home = os.path.join(folder, "state-home")
        self.state = os.path.join(self.home, "sipwitch")
        self.config = os.path.join(self.state, "sipwitch.conf")
        self.port, self.process = port, None

    def command(self):
        return [os.path.join(ROOT, "run"), "-A", HOST, "-P", str(self.port)]

    def environment(self):
        return {**os.environ, "XDG_STATE_HOME": self.home}

    def start(self):
        """What it says until it is done with that."""
        self.process = subprocess.Popen(
            self.command(), env=self.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        said, end = "", time.monotonic() + 2 * PATIENCE
        while "Ctrl-C stops the server.\n" not in said:
            left = end - time.monotonic()
            expect(left > 0 and select.select([self.process.stdout], [], [], left)[0],
                   f"it said no more than {said!r}")
            piece = os.read(self.process.stdout.fileno(), 65536).decode()
            if not piece:
                raise Failure(f"it ended: {said!r}, {self.process.stderr.read()!r}")
            said += piece
        expect("Building in" not in said, "the release build is older than its sources: "
               "./check release")
        return said

    def refuse(self):
        """Where it must not start: its status and what it says, both ways."""
        done = subprocess.run(self.command(), env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def end(self, how=signal.SIGINT):
        """As a terminal does at Ctrl-C: its whole group. The status, and what it said."""
        os.killpg(self.process.pid, how)
        said, trouble = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said + trouble

    def discard(self):
        with contextlib.suppress(ProcessLookupError):
            if self.process:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def run():
    with tempfile.TemporaryDirectory(prefix="sipwitch-run-") as folder:
        one = Run(folder, free_port())
        try:
            yield one
        finally:
            one.discard()


class Told:
    """What the first start tells whoever has a phone; a server as phones want to know it."""

    def __init__(self, said):
        rows = {}
        for row in "user", "password", "server", "realm":
            found = re.search(rf"(?m)^ +{row} +(.*)$", said)
            expect(found, f"no {row} is told: {said!r}")
            rows[row] = found[1]
        names, passwords = rows["user"].split(), rows["password"].split()
        expect(names == ["alice", "bob"] and len(passwords) == 2, f"{names}, {passwords}")
        self.users = dict(zip(names, passwords))
        self.realm = rows["realm"].split()[0]
        found = re.fullmatch(r"(\S+), port (\d+), transport UDP or TCP", rows["server"])
        expect(found, f"the server is told as {rows['server']!r}")
        self.host, self.port = found[1], int(found[2])
        self.domain = self.host # as it says: where a phone asks for a domain

    def address(self):
        return self.host, self.port

    def next_host(self):
        return self.host


# ---- checks

def the_first_start_tells_two_phones_what_they_need():
    with run() as one, contextlib.ExitStack() as stack:
        said = one.start()
        told = Told(said)
        expect((told.host, told.port) == (HOST, one.port), f"told are {told.host}, {told.port}")
        for user, password in told.users.items():
            expect(re.fullmatch("[a-z2-9]{16}", password), f"{user} gets the password {password!r}")
        expect(len(set(told.users.values())) == 2, "both have the same password")
        expect("Then dial 202 on alice's phone, or 201 on bob's." in said, said)
        alice, bob = (stack.enter_context(contextlib.closing(
            sip.Phone(told, user, transport=transport)))
            for user, transport in (("alice", "udp"), ("bob", "tcp")))
        for phone in alice, bob:
            phone.bind()
            expect(f'realm="{told.realm}"' in phone.challenge().text, "another realm is told")
        for caller, callee, number in (alice, bob, "202"), (bob, alice, "201"):
            attempt = Attempt(caller, f"sip:{number}@{told.domain}")
            callee.answer(callee.await_request("INVITE"), 486)
            attempt.fails(486)
        status, said = one.end()
        expect(status == 0 and "The server has stopped.\n" in said, f"{status}: {said!r}")


def passwords_are_shown_once_and_kept_from_others():
    with run() as one:
        told = Told(one.start())
        one.end(signal.SIGTERM)
        again = one.start()
        expect(not any(password in again for password in told.users.values()),
               f"the second start shows passwords: {again!r}")
        expect(one.config in again and "alice (201), bob (202)" in again, f"it says {again!r}")
        for path, mode in (one.config, 0o600), (one.state, 0o700):
            is_mode = stat.S_IMODE(os.stat(path).st_mode)
            expect(is_mode == mode, f"{path} has mode {is_mode:o}")
        phone = sip.Phone(told, "alice")
        with contextlib.closing(phone):
            phone.bind()


def a_busy_port_is_refused_with_what_to_do():
    with run() as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, one.port))
            status, said, trouble = one.refuse()
        expect(status == 1 and not said, f"status {status}: {said!r}")
        first, *rest = trouble.splitlines(keepends=True)
        one_line(first, f"{HOST}:{one.port}/udp is in use", "choose another port with -P")
        expect(rest == ["./run: sipw ended with status 1\n"], f"{rest}")
        Told(one.start()) # whose passwords nobody has seen yet


def options_without_their_value_are_refused():
    with run() as one:
        command = one.command()[:1]
        for option in "-A", "-P":
            one.command = lambda option=option: [*command, option]
            status, said, trouble = one.refuse()
            expect(status == 2 and not said, f"status {status}: {said!r}")
            one_line(trouble, f"{option} needs a value", "./run --help")
        expect(not os.path.exists(one.home), "it made a state directory all the same")


# ---- a machine that lacks packages

# What ./run uses before it builds; nothing else is on the machine.
TOOLS = ["bash", "dirname", "id", "grep", "cat", "sed", "sh", "mkdir", "chmod", "rm"]


class Bare:
    """A machine whose packages are told by a dpkg-query of ours, with nobody at it."""

    def __init__(self, folder):
        self.folder = folder
        self.tools = os.path.join(folder, "bin")
        self.said = os.path.join(folder, "apt-get.said")
        os.makedirs(os.path.join(folder, "tools"))
        os.mkdir(self.tools)
        for name in "run", "tools/packages":
            shutil.copy(os.path.join(ROOT, name), os.path.join(folder, name))
        for name in TOOLS:
            os.symlink(shutil.which(name), os.path.join(self.tools, name))
        self.give("apt-get", f'echo "$@" >>{self.said}')
        for path, folders, _ in os.walk(folder):
            os.chmod(path, 0o777)

    def give(self, name, script):
        path = os.path.join(self.tools, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path) # it may lead to the machine's own
        with open(path, "x", encoding="ascii") as file:
            file.write(f"#!{shutil.which('sh')}\n{script}\n")
        os.chmod(path, 0o755)

    def has(self, *packages):
        self.give("dpkg-query", "".join(f"echo '{name} installed'\n" for name in packages) or ":")

    def installs(self, *packages):
        """Has these, and an apt-get that brings what it is asked for."""
        listed = os.path.join(self.folder, "installed")
        with open(listed, "w", encoding="ascii") as file:
            file.writelines(f"{name} installed\n" for name in packages)
        os.chmod(listed, 0o666)
        self.give("dpkg-query", f"cat {listed}")
        self.give("apt-get", f'echo "$@" >>{self.said}\nif [ "$1" = install ]; then\n'
                  f'    for name in "$@"; do echo "$name installed"; done >>{listed}\nfi')

    def builds(self):
        """A meson that says when it is called, and gets no further."""
        built = os.path.join(self.folder, "meson.said")
        self.give("meson", f'echo "$@" >>{built}\necho "meson of the test"\nexit 1')
        self.give("ninja", "exit 1")

    def lines(self, name):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            return []
        with open(path, encoding="ascii") as file:
            return file.read().splitlines()

    def needed(self):
        """The packages of the build, by the list itself."""
        done = subprocess.run(
            ["bash", "-c", f"source {ROOT}/tools/packages; printf '%s\\n' \"${{packages_build[@]}}\""],
            capture_output=True, text=True, check=True)
        return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())

    def run(self, *arguments):
        """Its status, and what it says."""
        as_nobody = [shutil.which("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        done = subprocess.run(
            [*(as_nobody if os.geteuid() == 0 else []), shutil.which("bash"),
             os.path.join(self.folder, "run"), *arguments],
            env={"PATH": self.tools, "HOME": self.folder, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def expect_untouched(self):
        made = set(os.listdir(self.folder)) - {"run", "tools", "bin"}
        expect(not made, f"it made or asked for {made}")


@contextlib.contextmanager
def bare():
    with tempfile.TemporaryDirectory(prefix="sipwitch-bare-") as folder:
        os.chmod(folder, 0o755)
        yield Bare(folder)


def apt_line(trouble):
    """The packages that root is asked to install."""
    found = re.search(r"(?m)^    apt-get update && apt-get install --no-install-recommends (.*)$",
                      trouble)
    expect(found, f"no line for root: {trouble!r}")
    return found[1].split()


def without_root_the_line_for_apt_is_printed_and_no_more():
    with bare() as machine:
        needed = machine.needed()
        expect(len(needed) > 10, f"the list of packages has {needed}")
        machine.has()
        status, said, trouble = machine.run()
        expect(status == 1 and "This is not root, and there is no sudo." in trouble,
               f"{status}: {trouble!r}")
        expect(apt_line(trouble) == list(needed), f"not what is needed: {trouble!r}")
        for name, reason in needed.items():
            expect(re.search(rf"(?m)^    {re.escape(name)} +{re.escape(reason)}$", said),
                   f"{name} is not said, or not why: {said!r}")
        machine.expect_untouched()


def what_is_installed_is_not_asked_for():
    with bare() as machine:
        *rest, last = machine.needed()
        machine.has(*rest)
        status, _, trouble = machine.run()
        expect(status == 1 and apt_line(trouble) == [last], f"{status}: {trouble!r}")
        machine.expect_untouched()


def sudo_that_asks_for_a_password_is_not_waited_for():
    """Without a terminal nobody could type one."""
    with bare() as machine:
        machine.has()
        machine.give("sudo", "exit 1")
        status, said, trouble = machine.run()
        expect(status == 1 and "Installing them: sudo --non-interactive apt-get install" in said,
               f"{status}: {said!r}")
        expect("Installing failed." in trouble and apt_line(trouble) == list(machine.needed()),
               f"{trouble!r}")
        machine.expect_untouched()


def expect_installed(machine, become):
    """All but two of the packages are there: these are asked for, and the build begins; the next
    start asks for nothing."""
    needed = machine.needed()
    *rest, last = needed
    first, *rest = rest
    machine.installs(*rest)
    machine.builds()
    become()
    status, said, trouble = machine.run()
    install = f"install --yes --no-install-recommends {first} {last}"
    expect(machine.lines("apt-get.said") == ["update", install],
           f"apt-get was asked for {machine.lines('apt-get.said')}: {said!r}, {trouble!r}")
    for name, has in (first, True), (last, True), (rest[0], False):
        told = re.search(rf"(?m)^    {re.escape(name)} +{re.escape(needed[name])}$", said)
        expect(bool(told) == has, f"{name}: {said!r}")
    expect("Installing failed." not in trouble and len(machine.lines("meson.said")) == 1
           and "meson of the test" in trouble and status == 1, f"{status}: {said!r}, {trouble!r}")
    machine.run()
    expect(len(machine.lines("apt-get.said")) == 2, "what was installed was asked for again")
    expect(len(machine.lines("meson.said")) == 2, "the second start did not go on")


def root_gets_what_is_missing_and_the_build_begins():
    with bare() as machine:
        expect_installed(machine, lambda: machine.give("id", "echo 0"))


def sudo_gets_what_is_missing_and_the_build_begins():
    with bare() as machine:
        expect_installed(machine, lambda: machine.give("sudo", '[ "$1" = --non-interactive ] && shift\n"$@"'))


# ---- ./run --demo

def demo(**environment):
    """Its status, and the last line that it says, which must be the verdict."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "test/demo/demo.py")],
                          env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
    verdicts = re.findall("(?m)^(?:FAIL|PASS).*$", done.stdout)
    expect(len(verdicts) == 1 and done.stdout.endswith(f"{verdicts[0]}\n") and
           "Traceback" not in done.stderr, f"{done.stdout!r}, {done.stderr!r}")
    return done.returncode, verdicts[0]


def a_demo_that_cannot_be_shown_says_why():
    status, verdict = demo(SIPW="/nonexistent")
    expect(status == 1 and "/nonexistent is missing" in verdict, f"{status}: {verdict!r}")
    with tempfile.TemporaryDirectory(prefix="sipwitch-demo-") as folder:
        for name, script in ("sox", "exit 3"), ("sipw", "exit 4"):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\n{script}\n")
            os.chmod(path, 0o755)
        status, verdict = demo(SIPW=path)
        expect(status == 1 and "status 4" in verdict, f"{status}: {verdict!r}")
        status, verdict = demo(PATH=f"{folder}:{os.environ['PATH']}")
        expect(status == 1 and "exit status 3" in verdict and "sox" in verdict, f"{status}: {verdict!r}")


def a_demo_that_cannot_be_built_says_why():
    with bare() as machine:
        machine.has()
        status, said, _ = machine.run("--demo")
        expect(status == 1 and said.endswith("\nFAIL: the packages are not installed\n"), f"{status}: {said!r}")
        machine.installs()
        machine.builds()
        machine.give("id", "echo 0")
        status, said, trouble = machine.run("--demo")
        expect(status == 1 and said.endswith("\nFAIL: the server cannot be built\n") and
               "meson of the test" in trouble, f"{status}: {said!r}, {trouble!r}")


CHECKS = [
    the_first_start_tells_two_phones_what_they_need,
    passwords_are_shown_once_and_kept_from_others,
    a_busy_port_is_refused_with_what_to_do,
    options_without_their_value_are_refused,
    without_root_the_line_for_apt_is_printed_and_no_more,
    what_is_installed_is_not_asked_for,
    sudo_that_asks_for_a_password_is_not_waited_for,
    root_gets_what_is_missing_and_the_build_begins,
    sudo_gets_what_is_missing_and_the_build_begins,
    a_demo_that_cannot_be_shown_says_why,
    a_demo_that_cannot_be_built_says_why,
]


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS, failures=(sip.Failure,)))
