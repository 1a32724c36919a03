#!/usr/bin/env python3
"""Session timers (RFC 4028) through the real sipw, and calls that it ends when nobody refreshes them.

What needs neither a short session nor settings is in test/conformance/dialogs.py. Prints `ok NAME` or
`not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW names another server binary
than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import dialog_test
import server_test
import sip
from dialog_test import House
from sip import Call, Failure, expect

SIPWITCH = os.path.join(os.path.dirname(server_test.SIPW), "sipwitch")
KNOWS = "Supported: timer"
SHORT = 5 # seconds: of a session, or of a call
CHECKS = []


def check(timers=""):
    """A check, with what <timers> has for it."""
    def add(function):
        CHECKS.append((function, timers))
        return function
    return add


def records(house):
    """Of the calls that have ended."""
    done = subprocess.run([SIPWITCH, "--prefixpath", house.process.state, "--json", "records"],
                          capture_output=True, text=True, check=False)
    expect(done.returncode == 0, done.stderr)
    return [row for row in map(json.loads, done.stdout.splitlines()) if "call_id" in row]


def await_record(house, call_id):
    """The one record of that call."""
    end = time.monotonic() + sip.PATIENCE
    while time.monotonic() < end:
        rows = [row for row in records(house) if row["call_id"] == call_id]
        if rows:
            expect(len(rows) == 1, f"{len(rows)} records of a call")
            return rows[0]
    raise Failure("no record of the call")


def await_bye(phone, why):
    """The server hangs up: its BYE, answered."""
    bye = phone.await_request("BYE")
    expect(why in bye.get("Reason"), f"the BYE says {bye.get('Reason')!r}")
    phone.answer(bye, 200)
    return bye


def expect_expired(house, call, why="Session not refreshed"):
    for phone in house.phones[:2]:
        bye = await_bye(phone, why)
        expect(bye.get("Call-ID") == call.call_id, "the BYE is of another call")
    row = await_record(house, call.call_id)
    expect(row["reason"] == "expired" and row["status"] == 200 and "ended_by" not in row, f"{row}")
    return row


@check("<session>0</session>")
def the_administrator_can_do_without(house):
    call = Call(*house.phones[:2], KNOWS)
    expect(not call.invite.all("Session-Expires"), "the INVITE has Session-Expires")
    expect(not call.ok.all("Session-Expires"), "the 200 has Session-Expires")
    call.hang_up()


@check("<session>2400</session>")
def the_administrator_sets_its_length(house):
    call = Call(*house.phones[:2], KNOWS)
    expect(call.invite.get("Session-Expires") == "2400", call.invite.get("Session-Expires"))
    expect(call.ok.get("Session-Expires") == "2400;refresher=uac", call.ok.get("Session-Expires"))
    expect(call.ok.get("Require") == "timer", "a caller that must refresh is not told that it must")
    call.hang_up()


@check(f"<session>{SHORT}</session><shortest>{SHORT}</shortest>")
def a_call_that_nobody_refreshes_is_hung_up_on_both_sides(house):
    call = Call(*house.phones[:2], KNOWS)
    began = time.monotonic()
    row = expect_expired(house, call)
    lasted = time.monotonic() - began
    expect(lasted > SHORT - 0.5, f"it was hung up after {lasted:.1f} s already")
    expect(row["duration"] >= SHORT - 1, f"{row}")


@check(f"<session>{SHORT}</session><shortest>{SHORT}</shortest>")
def what_the_callee_agreed_to_counts(house):
    call = Call(*house.phones[:2], KNOWS, "Session-Expires: 1800", answer_fields=[
        f"Session-Expires: {SHORT};refresher=uas", "Require: timer"])
    expect(call.ok.get("Session-Expires") == f"{SHORT};refresher=uas", call.ok.text)
    expect_expired(house, call)


@check(f"<session>{SHORT}</session><shortest>{SHORT}</shortest>")
def a_callee_that_knows_timers_is_held_to_them_for_a_caller_that_does_not(house):
    call = Call(*house.phones[:2], answer_fields=[f"Session-Expires: {SHORT};refresher=uas"])
    expect(call.invite.get("Session-Expires") == str(SHORT), "the callee is not asked to refresh")
    expect(call.ok.get("Session-Expires") == f"{SHORT};refresher=uas", call.ok.text)
    expect(not call.ok.all("Require"), "the caller is asked for what it does not know")
    expect_expired(house, call)


def refresh_for(house, call, refresh):
    """Both ways by turns, for two sessions and a half; nobody is hung up."""
    end = time.monotonic() + 2.5 * SHORT
    sides = dialog_test.ways(call)
    while time.monotonic() < end:
        house.phones[0].nothing(lambda m: m.method == "BYE", "a live call was hung up", SHORT / 4)
        refresh(*sides[0])
        sides.reverse()


@check(f"<session>{SHORT}</session><shortest>{SHORT}</shortest>")
def reinvites_keep_a_call_alive(house):
    call = Call(*house.phones[:2], KNOWS, answer_fields=[
        f"Session-Expires: {SHORT};refresher=uac", "Require: timer"])
    refresh_for(house, call, lambda ours, theirs: dialog_test.pass_reinvite(
        ours, theirs, KNOWS, f"Session-Expires: {SHORT};refresher=uac"))
    expect_expired(house, call)


@check(f"<session>{SHORT}</session><shortest>{SHORT}</shortest>")
def updates_keep_a_call_alive_though_the_callee_knows_no_timers(house):
    call = Call(*house.phones[:2], KNOWS)
    refresh_for(house, call, lambda ours, theirs: dialog_test.pass_request(
        ours, theirs, "UPDATE", f"Contact: <{ours.phone.contact()}>", KNOWS,
        f"Session-Expires: {SHORT};refresher=uac"))
    expect_expired(house, call)


@check(f"<call>{SHORT}</call>")
def a_call_of_phones_that_know_no_timers_ends_of_age(house):
    call = Call(*house.phones[:2])
    expect(not call.ok.all("Session-Expires"), "the caller is asked to refresh")
    expect_expired(house, call, "Call too long")


@check(f"<session>{SHORT}</session><shortest>{SHORT}</shortest>")
def a_session_ends_though_the_server_was_killed(house):
    call = Call(*house.phones[:2], KNOWS)
    house.kill_and_start()
    expect_expired(house, call)
    house.kill_and_start()
    expect(len(records(house)) == 1, "the call has not one record")


def main():
    wanted = sys.argv[1:]
    failed = False
    for function, timers in CHECKS:
        if wanted and function.__name__ not in wanted:
            continue
        config = dialog_test.CONFIG.replace("</sipwitch>",
                                            f"  <timers>{timers}</timers>\n</sipwitch>")
        try:
            with server_test.server(config) as server, contextlib.ExitStack() as stack:
                server.start()
                function(House(server, stack, ["udp", "tcp", "udp"]))
            print(f"ok {function.__name__}", flush=True)
        except (Failure, server_test.Failure, OSError, ValueError) as why:
            print(f"not ok {function.__name__}: {why}", flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
