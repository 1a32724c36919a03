#!/usr/bin/env python3
"""The running sipw on a disk that is full, read-only or slow.

Calls and short registrations go on, the administrator is told, and what could not be written is
written later. Prints `ok NAME` or `not ok NAME: why` for each check, as server_test.py does. Restarts
itself in a mount namespace of its own, for a file system that is really full.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import database_test
import server_test
from calling import Caller, hang_up
from server_test import Failure, Phone, expect, one_line, server

CHECKS = []
DISK = os.path.join(server_test.ROOT, "build", "release", "test", "shell", "badisk.so")
MARK = "SIPWITCH_MOUNTS"


def check(function):
    CHECKS.append(function)
    return function


class Disk:
    """What a server's disk does."""

    def __init__(self, folder):
        self.mode = os.path.join(folder, "disk")
        self.set("ok")

    def set(self, mode):
        with open(self.mode + ".new", "w", encoding="ascii") as file:
            file.write(mode)
        os.rename(self.mode + ".new", self.mode)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": DISK, "SIPWITCH_DISK": self.mode}


@contextlib.contextmanager
def on_a_bad_disk():
    with server() as one:
        disk = Disk(one.folder)
        one.start(env=disk.environment())
        yield one, disk


def granted(answer):
    expect(answer.startswith("SIP/2.0 200 "), f"REGISTER was answered {answer!r}")
    expires = re.search(r"^Contact:.*expires=(\d+)", answer, re.MULTILINE)
    expect(expires, f"nothing is granted: {answer!r}")
    return int(expires[1])


def register(phone):
    return granted(phone.register(f"Contact: {phone.contact()}"))


def call(one, alice, bob):
    made = alice.dial("bob")
    bob.accept(bob.take())
    answer = alice.answered(made)
    expect(answer.startswith("SIP/2.0 200 "), f"INVITE was answered {answer!r}")
    hang_up(alice, made, bob)
    return made.id


def await_written(one):
    """What was missing in the journal is there: the segments before it have gone."""
    one.await_line("the journal is written again")
    server_test.until(lambda: len(one.segments()) == 1, "end of a checkpoint")


def records_of(one):
    return [record["call_id"] for record in database_test.records(one)]


def goes_on_while_it_fails(mode, words):
    with on_a_bad_disk() as (one, disk):
        alice, bob = Caller(one.port), Caller(one.port, "bob", "bobs secret")
        alice.bind()
        disk.set(mode)
        expect(register(bob) <= 60, "more than a minute is promised")
        one.await_line(words)
        expect(alice.ask("OPTIONS").startswith("SIP/2.0 200 "), "OPTIONS")
        made = call(one, alice, bob)
        expect(register(bob) <= 60, "more than a minute is promised")
        disk.set("ok")
        await_written(one)
        expect(register(alice) > 60, "no more than a minute is promised")
        one.end(signal.SIGKILL)
        one.start()
        expect(bob.bindings() == [bob.contact()], "bob's binding was not written later")
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        one.end()
        expect(records_of(one) == [made], f"records {records_of(one)}, not {made}")


@check
def calls_go_on_while_the_disk_is_full():
    goes_on_while_it_fails("full", "No space left on device")


@check
def calls_go_on_while_the_disk_is_read_only():
    goes_on_while_it_fails("readonly", "Read-only file system")


@check
def calls_go_on_while_writes_take_three_seconds():
    with on_a_bad_disk() as (one, disk):
        alice, bob = Caller(one.port), Caller(one.port, "bob", "bobs secret")
        alice.bind()
        disk.set("slow 3000")
        begin = time.monotonic()
        expect(register(bob) <= 3600, "what is granted")
        one.await_line("late by two seconds")
        expect(register(bob) <= 60, "more than a minute is promised")
        begin = time.monotonic()
        alice.ask("OPTIONS")
        expect(time.monotonic() - begin < 1.5, "OPTIONS waits for the disk")
        made = call(one, alice, bob)
        disk.set("ok")
        await_written(one)
        one.end(signal.SIGKILL)
        one.start()
        expect(bob.bindings() == [bob.contact()], "bob's binding was not written later")
        one.end()
        expect(records_of(one) == [made], f"records {records_of(one)}, not {made}")


@check
def slow_syncs_hold_nothing_up():
    with on_a_bad_disk() as (one, disk):
        alice, bob = Caller(one.port), Caller(one.port, "bob", "bobs secret")
        alice.bind()
        disk.set("sync 5000")
        begin = time.monotonic()
        expect(register(bob) > 60, "only a minute is promised")
        made = call(one, alice, bob)
        expect(time.monotonic() - begin < 4.5, "the call waits for a sync")
        disk.set("ok")
        _, said = one.end()
        expect("cannot be written" not in said, f"said {said!r}")
        expect(records_of(one) == [made], f"records {records_of(one)}, not {made}")


@check
def a_full_disk_does_not_keep_it_from_starting():
    with on_a_bad_disk() as (one, disk):
        alice = Caller(one.port).bind()
        one.end(signal.SIGKILL)
        disk.set("full")
        one.start(env=disk.environment())
        one.await_line("cannot be written")
        expect(alice.bindings() == [alice.contact()], "the binding is gone")
        bob = Caller(one.port, "bob", "bobs secret")
        expect(register(bob) <= 60, "more than a minute is promised")
        call(one, alice, bob)
        disk.set("ok")
        await_written(one)
        one.end(signal.SIGKILL)
        one.start()
        for phone in alice, bob:
            expect(phone.bindings() == [phone.contact()], f"{phone.user}'s binding is gone")


@contextlib.contextmanager
def file_system(folder, size):
    """One of that size, in a namespace of our own."""
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    with contextlib.suppress(OSError), open(os.path.join(folder, "filler"), "wb", 0) as file:
        while True:
            file.write(bytes(4096))


def punch(name, start):
    """Give the file's preallocated rest back, so that the next write asks for room."""
    subprocess.run(["fallocate", "--punch-hole", "--offset", str(start), "--length",
                    str((16 << 20) - start), name], check=True)


@check
def a_file_system_without_room_stops_no_calls():
    with server() as one, file_system(one.state, "24m"):
        one.start()
        alice, bob = Caller(one.port).bind(), Caller(one.port, "bob", "bobs secret")
        punch(one.segments()[-1], 8192)
        fill(one.state)
        said = None
        for number in range(200):
            answer = bob.register(f"Contact: <sip:bob@{bob.host}:{bob.port};n={number}>")
            if not answer.startswith("SIP/2.0 200 ") or granted(answer) <= 60:
                said = answer
                break
            bob.register("Contact: *", "Expires: 0")
        expect(said, "it never came to the end of the disk")
        one.await_line("No space left on device")
        bob.bind()
        call(one, alice, bob)
        os.remove(os.path.join(one.state, "filler"))
        await_written(one)
        one.end(signal.SIGKILL)
        one.start()
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        one.end()


@check
def a_read_only_file_system_is_refused_and_kept():
    with server() as one, file_system(one.state, "64m"):
        one.start()
        Phone(one.port).bind()
        one.end()
        subprocess.run(["mount", "-o", "remount,ro", one.state], check=True)
        status, said = one.refuse()
        expect(status == 3, f"exit status {status}")
        one_line(said, one.state, "Read-only file system")


def enter_namespace():
    """Restart in one where we may mount."""
    if os.environ.pop(MARK, None):
        return
    os.environ[MARK] = "1"
    for way in ["unshare", "-m"], ["unshare", "-r", "-m"]:
        if subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            os.execvp(way[0], [*way, sys.executable, *sys.argv])
    raise Failure("this system allows no mount namespace of our own: run it as root")


def main():
    enter_namespace()
    return server_test.run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
