#!/usr/bin/env python3
"""The running sipw and its database.

Prints `ok NAME` or `not ok NAME: why` for each check, as server_test.py does, whose phones it uses.
"""

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import time

import server_test
from calling import Caller, hang_up
from server_test import Phone, expect, one_line, server

CHECKS = []
NAME = "sipwitch.db"


def check(function):
    CHECKS.append(function)
    return function


def path_of(one):
    return os.path.join(one.state, NAME)


@contextlib.contextmanager
def database(one):
    """The file of a server that does not run."""
    file = sqlite3.connect(path_of(one))
    with contextlib.closing(file), file:
        yield file


def put_password(file, user, password, realm="lab.test"):
    text = f"{user}:{realm}:{password}".encode()
    file.execute("INSERT OR REPLACE INTO passwords VALUES (?, ?, ?, ?)",
                 (realm, user, hashlib.md5(text).digest(), hashlib.sha256(text).digest()))


def put_user(file, user, extension=None, password=None, realm="lab.test"):
    file.execute("INSERT INTO users VALUES (?, ?, ?, 1)", (user, extension, user.title()))
    put_password(file, user, password or f"{user}s secret", realm)


def make(one):
    """Start it once, so that there is a database."""
    one.start()
    one.end()


def is_registered(phone):
    return phone.register(f"Contact: {phone.contact()}").startswith("SIP/2.0 200 ")


def reload(one, text, awaited="the new configuration is in force"):
    with open(one.config, "w", encoding="utf-8") as file:
        file.write(text)
    one.process.send_signal(signal.SIGHUP)
    one.await_line(awaited)


def refused_and_kept(one, *parts):
    with open(path_of(one), "rb") as file:
        before = file.read()
    status, said = one.refuse()
    expect(status == 3, f"exit status {status}, said {said!r}")
    one_line(said, path_of(one), "kept", *parts)
    with open(path_of(one), "rb") as file:
        expect(file.read() == before, "the file was changed")
    expect(not os.path.exists(path_of(one) + "-wal") or not os.path.getsize(path_of(one) + "-wal"),
           "something was written behind it")


# ---- users

@check
def users_of_the_database_register_and_their_bindings_survive_kill():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "carol", "203")
        one.start()
        carol = Phone(one.port, "carol", "carols secret").bind()
        one.end(signal.SIGKILL)
        one.start()
        expect(carol.bindings() == [carol.contact()], "the binding is gone")


@check
def the_configuration_counts_before_the_database():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "alice", "299", password="of the database")
            file.execute("DELETE FROM passwords")
            put_user(file, "dora", "202")
            put_user(file, "erna", "205")
        one.start()
        expect(is_registered(Phone(one.port)), "alice of the file cannot register")
        expect(is_registered(Phone(one.port, "bob", "bobs secret")), "bob's extension is lost")
        expect(not is_registered(Phone(one.port, "dora", "doras secret")),
               "dora has an extension of the file")
        expect(is_registered(Phone(one.port, "erna", "ernas secret")), "erna is left out, too")
        _, said = one.end()
        expect("alice is left out" in said and "dora is left out" in said, f"said {said!r}")


@check
def a_password_of_the_database_counts_before_the_files():
    with server() as one:
        make(one)
        with database(one) as file:
            put_password(file, "alice", "set later")
        one.start()
        expect(is_registered(Phone(one.port, password="set later")), "it does not count")
        expect(not is_registered(Phone(one.port)), "the file's password still counts")
        with open(one.config, encoding="utf-8") as file:
            text = file.read()
        reload(one, text.replace('id="alice"', 'id="alice" display="Alice"'))
        expect(is_registered(Phone(one.port, password="set later")), "a reload forgets it")


@check
def a_password_of_another_realm_does_not_count():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "carol", "203", realm="old.test")
        one.start()
        expect(not is_registered(Phone(one.port, "carol", "carols secret")), "it counts")
        _, said = one.end()
        expect("1 users of the database have no password for the realm lab.test" in said,
               f"said {said!r}")


@check
def a_reload_reads_the_database_again_for_its_realm():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "carol", "203")
            put_password(file, "carol", "the new one", realm="new.test")
        one.start()
        expect(is_registered(Phone(one.port, "carol", "carols secret")), "not before")
        reload(one, server_test.CONFIG.replace("lab.test", "new.test"))
        carol = Phone(one.port, "carol", "the new one", domain="new.test")
        expect(is_registered(carol), "not after")


@check
def a_user_whom_the_file_gives_up_is_the_databases():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "bob", "222", password="of the database")
        one.start()
        bob = Phone(one.port, "bob", "of the database").bind()
        reload(one, server_test.CONFIG.replace("<id>bob</id>", "<id>bert</id>"))
        expect(bob.bindings() == [bob.contact()], "bob is gone, or his phone")


# ---- call records

COLUMNS = "began, answered, ended, duration, status, reason, ended_by, network, caller, dialed, " \
          "callee, display, call_id"


def records(one):
    """Those of a server that does not run, in their order."""
    with database(one) as file:
        rows = file.execute(f"SELECT {COLUMNS} FROM calls ORDER BY id").fetchall()
    return [dict(zip(COLUMNS.split(", "), row)) for row in rows]


def listed_records(one):
    """Those that a running server lists."""
    sipwitch = os.path.join(os.path.dirname(server_test.SIPW), "sipwitch")
    listed = subprocess.run([sipwitch, "--prefixpath", one.state, "records", "--json"],
                            check=True, capture_output=True, text=True).stdout
    return [json.loads(row) for row in listed.splitlines()]


@contextlib.contextmanager
def two_phones(*options):
    with server() as one:
        one.start(*options)
        alice = Caller(one.port)
        alice.display = '"Alice \u00c4" '
        bob = Caller(one.port, "bob", "bobs secret")
        yield one, alice.bind(), bob.bind()


def expect_record(record, **wanted):
    for name, value in wanted.items():
        expect(record[name] == value, f"{name} is {record[name]!r}, not {value!r}: {record}")


@check
def an_answered_call_has_one_record():
    with two_phones() as (one, alice, bob):
        begin = int(time.time())
        call = alice.dial("202")
        bob.accept(bob.take())
        alice.answered(call)
        hang_up(alice, call, bob)
        one.end()
        (record,) = records(one)
        expect_record(record, status=200, reason="terminated", ended_by="caller", caller="alice",
                      dialed="202", callee="bob", display="Alice \u00c4", call_id=call.id,
                      network="127.0.0.1")
        times = [begin, record["began"], record["answered"], record["ended"], int(time.time())]
        expect(times == sorted(times), f"times {times}")
        expect(0 <= record["duration"] <= 10, f"duration {record['duration']}")


@check
def the_callee_may_end_it():
    with two_phones() as (one, alice, bob):
        call = alice.dial("bob")
        bobs = bob.accept(bob.take())
        alice.answered(call)
        hang_up(bob, bobs, alice)
        one.end()
        (record,) = records(one)
        expect_record(record, status=200, reason="terminated", ended_by="callee", dialed="bob")


@check
def a_refused_call_has_one_record():
    for status, text, reason in ((486, "Busy Here", "busy"), (603, "Decline", "declined"),
                                 (480, "Away", "failed"), (302, "Moved", "redirect")):
        with two_phones() as (one, alice, bob):
            call = alice.dial("bob")
            bob.respond(bob.take(), status, text)
            answer = alice.answered(call)
            expect(answer.startswith(f"SIP/2.0 {status} "), f"answered {answer!r}")
            one.end()
            (record,) = records(one)
            expect_record(record, status=status, reason=reason, answered=None, duration=0,
                          ended_by=None, callee="bob")


@check
def a_cancelled_call_has_one_record():
    with two_phones() as (one, alice, bob):
        call = alice.dial("bob")
        invite = bob.take()
        alice.cancel(call)
        bob.respond(bob.await_request("CANCEL"), 200, "OK")
        bob.respond(invite, 487, "Request Terminated")
        answer = alice.answered(call)
        expect(answer.startswith("SIP/2.0 487 "), f"answered {answer!r}")
        one.end()
        (record,) = records(one)
        expect_record(record, status=487, reason="terminated", answered=None, ended_by="caller")


@check
def a_record_survives_kill_at_once_and_is_written_once():
    with two_phones() as (one, alice, bob):
        call = alice.dial("bob")
        bob.accept(bob.take())
        alice.answered(call)
        hang_up(alice, call, bob)
        for _ in range(3):
            one.end(signal.SIGKILL)
            one.start()
        one.end()
        (record,) = records(one)
        expect_record(record, status=200, call_id=call.id)


@check
def a_call_that_lives_through_kills_has_one_record():
    with two_phones() as (one, alice, bob):
        call = alice.dial("bob")
        invite = bob.take()
        one.end(signal.SIGKILL)
        one.start()
        bob.accept(invite)
        alice.answered(call)
        one.end(signal.SIGKILL)
        one.start()
        hang_up(alice, call, bob)
        one.end(signal.SIGKILL)
        one.start()
        one.end()
        (record,) = records(one)
        expect_record(record, status=200, reason="terminated", ended_by="caller", callee="bob",
                      caller="alice", dialed="bob", call_id=call.id)


@check
def numbers_of_calls_rise_across_runs():
    with two_phones() as (one, alice, bob):
        ids = []
        for _ in range(3):
            call = alice.dial("bob")
            bob.respond(bob.take(), 486, "Busy Here")
            alice.answered(call)
            ids.append(call.id)
            one.end()
            one.start()
        one.end()
        found = [record["call_id"] for record in records(one)]
        expect(found == ids, f"{found}, not {ids}")


@check
def a_running_server_writes_records_within_seconds():
    with two_phones() as (one, alice, bob):
        call = alice.dial("bob")
        bob.respond(bob.take(), 486, "Busy Here")
        alice.answered(call)

        def is_written():
            with open(path_of(one) + "-wal", "rb") as file:
                return call.id.encode() in file.read()

        server_test.until(is_written, "record while it runs")


@check
def an_older_database_is_brought_up_to_date():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "carol", "203")
            for what in ("TABLE calls", "TABLE legs", "TRIGGER user_added", "TRIGGER user_removed",
                         "TABLE counts"):
                file.execute(f"DROP {what}")
            file.execute("PRAGMA user_version = 1")
        one.start()
        expect(is_registered(Phone(one.port, "carol", "carols secret")), "its users are gone")
        one.end()
        expect(records(one) == [], "there are records")
        with database(one) as file:
            put_user(file, "dora", "204")
            put_user(file, "erna", "205")
            file.execute("DELETE FROM users WHERE id = 'dora'")
            counted = file.execute("SELECT users FROM counts").fetchall()
        expect(counted == [(2,)], f"{counted} are counted")


@check
def a_database_without_legs_is_brought_up_to_date_with_its_calls():
    """Of a call that was relayed it has the sums."""
    with two_phones() as (one, alice, bob):
        call = alice.dial("bob")
        bob.respond(bob.take(), 486, "Busy Here")
        alice.answered(call)
        one.end()
        with database(one) as file:
            file.execute("DROP TABLE legs")
            file.execute("DROP TRIGGER call_removed")
            file.execute("UPDATE calls SET caller_expected = 700, caller_lost = 3")
            file.execute("PRAGMA user_version = 6")
        one.start()
        row, = listed_records(one)
        expect(row["from_caller"] == {"expected": 700, "lost": 3} and row["call_id"] == call.id and
               "legs" not in row, f"it is {row}")
        one.end()
        with database(one) as file:
            file.execute("INSERT INTO legs SELECT id, 'caller', 1, 700, 3, NULL FROM calls")
            counts = [file.execute("SELECT count(*) FROM legs").fetchone()[0]]
            file.execute("DELETE FROM calls")
            counts += file.execute("SELECT count(*) FROM legs").fetchone()
        expect(counts == [1, 0], f"before and after the call's row goes there are {counts} of legs")


@check
def who_has_the_extension_of_anothers_id_is_reached_by_its_own():
    with server() as one:
        make(one)
        with database(one) as file:
            put_user(file, "carol", "dora")
            put_user(file, "dora", "204")
            put_user(file, "0th", "carol")
        one.start()
        for user in ("0th", "carol", "dora"):
            expect(is_registered(Phone(one.port, user, f"{user}s secret")), f"{user} is left out")


# ---- the file

@check
def a_newer_database_is_refused_and_kept():
    with server() as one:
        make(one)
        with database(one) as file:
            file.execute("PRAGMA user_version = 1000")
        refused_and_kept(one, "newer sipw")


@check
def a_damaged_database_is_refused_and_kept():
    with server() as one:
        make(one)
        with open(path_of(one), "r+b") as file:
            file.write(b"no database at all")
        refused_and_kept(one, "damaged", "backup")


@check
def a_damaged_page_is_refused_and_kept():
    with server() as one:
        make(one)
        with database(one) as file:
            file.execute("PRAGMA journal_mode = DELETE")
        with open(path_of(one), "r+b") as file:
            file.seek(100)
            file.write(bytes(4000))
        refused_and_kept(one, "damaged")


@check
def a_database_of_another_program_is_refused_and_kept():
    with server() as one:
        make(one)
        with database(one) as file:
            file.execute("PRAGMA application_id = 7")
        refused_and_kept(one, "not ours")


@check
def a_running_servers_database_is_its_own():
    with server() as one:
        one.start()
        with contextlib.closing(sqlite3.connect(path_of(one), timeout=0)) as file:
            try:
                file.execute("INSERT INTO users VALUES ('x', NULL, '', 1)")
                raise server_test.Failure("another program could write to it")
            except sqlite3.OperationalError:
                pass


def main():
    return server_test.run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
