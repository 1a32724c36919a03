#!/usr/bin/env python3
"""Two real phones call each other through sipw, also while it is killed.

    calls_test.py [WORD]    only the checks whose name contains WORD

Each check runs in a network namespace and a process of its own, so it needs root or user
namespaces. SIPW names another server binary than build/release/src/sipw.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import lab
from baresip import Baresip, make_tone

PASSWORDS = {"alice": "alice-secret-1", "bob": "bob-secret-2"}
USERS = [("alice", PASSWORDS["alice"], "201"), ("bob", PASSWORDS["bob"], "202")]
ALICE_TONE, BOB_TONE = 440, 620


class House:
    """A server and its phones, in a folder that goes with them."""

    def __init__(self, stack, tones):
        self._stack, self._tones = stack, tones
        self.folder = tempfile.mkdtemp(prefix="sipwitch-calls-")
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = lab.Server(self.folder, USERS)
        stack.callback(self.server.discard)
        self.server.start()

    def phone(self, name, tone=None):
        phone = Baresip(name, self.folder, self._tones.get(tone))
        self._stack.callback(phone.discard)
        return phone.start()

    def registered(self, user, transport="udp"):
        phone = self.phone(user, user)
        phone.add_account(user, PASSWORDS[user], self.server, transport=transport)
        phone.expect("REGISTER_OK")
        return phone

    def pair(self, alices="udp", bobs="udp"):
        """Both phones, by these transports."""
        return self.registered("alice", alices), self.registered("bob", bobs)


def ring(caller, callee, target):
    caller.dial(target)
    callee.expect("CALL_INCOMING")
    caller.expect("CALL_RINGING")


def answer(caller, callee):
    callee.accept()
    caller.expect("CALL_ESTABLISHED")
    callee.expect("CALL_ESTABLISHED")


def call(caller, callee, target):
    ring(caller, callee, target)
    answer(caller, callee)


def hear_each_other(alice, bob):
    bob.recording().await_tone(ALICE_TONE, but_not=BOB_TONE)
    alice.recording().await_tone(BOB_TONE, but_not=ALICE_TONE)


def hear_each_other_from_now(alice, bob):
    """The sound of this moment on, not what was recorded before."""
    for phone, heard, other in ((bob, ALICE_TONE, BOB_TONE), (alice, BOB_TONE, ALICE_TONE)):
        recording = phone.recording()
        recording.await_tone(heard, but_not=other, since=recording.length())


def hang_up(first, other, server):
    """Both calls end, and the BYE came by way of the server."""
    first.hang_up()
    other.expect("CALL_CLOSED")
    first.expect("CALL_CLOSED")
    other.await_message_from(server, "BYE ")


def require(holds, why):
    if not holds:
        raise lab.Failure(why)


def phones_register_with_digest(house):
    for phone in house.pair():
        phone.await_message_from(house.server, "SIP/2.0 401 ")


def phones_call_each_other_and_hear_the_tone_both_ways(house):
    alice, bob = house.pair()
    call(alice, bob, "202")
    hear_each_other(alice, bob)
    hang_up(alice, bob, house.server)
    call(bob, alice, "alice")
    hear_each_other(alice, bob)


def registration_with_a_wrong_password_is_refused(house):
    alice, intruder = house.registered("alice"), house.phone("intruder")
    intruder.add_account("bob", "guessed", house.server)
    intruder.expect("REGISTER_FAIL", timeout=60.0)  # ten times it is told, then not any more
    require(intruder.count("REGISTER_OK") == 0, "the wrong password was accepted")
    alice.dial("202")
    alice.expect("CALL_CLOSED")
    require(intruder.count("CALL_INCOMING") == 0, "a call went to the refused phone")


def call_with_a_wrong_password_is_refused(house):
    bob, intruder = house.registered("bob"), house.phone("intruder")
    intruder.add_account("alice", "guessed", house.server, interval=0)
    intruder.dial("202")
    intruder.expect("CALL_CLOSED")
    require(bob.count("CALL_INCOMING") == 0, "bob's phone rang")


def caller_hangs_up(house):
    alice, bob = house.pair()
    call(alice, bob, "202")
    hang_up(alice, bob, house.server)


def callee_hangs_up(house):
    alice, bob = house.pair()
    call(alice, bob, "202")
    hang_up(bob, alice, house.server)


def caller_gives_up_while_it_rings(house):
    alice, bob = house.pair()
    ring(alice, bob, "202")
    alice.hang_up()
    bob.expect("CALL_CLOSED")


def callee_declines(house):
    alice, bob = house.pair()
    ring(alice, bob, "202")
    bob.hang_up()
    alice.expect("CALL_CLOSED")
    alice.await_message_from(house.server, "SIP/2.0 486 ")


def require_one_registration(*phones):
    for phone in phones:
        require(phone.count("REGISTERING") == 1, f"{phone.name}'s phone registered again")


def call_outlives_the_server(house):
    """A call, made before kill -9 of the server and heard during and after it."""
    alice, bob = house.pair()
    call(alice, bob, "202")
    hear_each_other(alice, bob)
    house.server.kill()
    hear_each_other_from_now(alice, bob)
    house.server.start()
    hear_each_other_from_now(alice, bob)
    require_one_registration(alice, bob)
    return alice, bob


def call_goes_on_after_kill_9_and_the_caller_hangs_up(house):
    alice, bob = call_outlives_the_server(house)
    hang_up(alice, bob, house.server)


def call_goes_on_after_kill_9_and_the_callee_hangs_up(house):
    alice, bob = call_outlives_the_server(house)
    hang_up(bob, alice, house.server)


def ringing_call_is_answered_after_kill_9(house):
    alice, bob = house.pair()
    ring(alice, bob, "202")
    house.server.kill()
    house.server.start()
    answer(alice, bob)
    hear_each_other(alice, bob)
    hang_up(bob, alice, house.server)
    require_one_registration(alice, bob)


def ringing_call_is_given_up_after_kill_9(house):
    alice, bob = house.pair()
    ring(alice, bob, "202")
    house.server.kill()
    house.server.start()
    alice.hang_up()
    bob.expect("CALL_CLOSED")
    require_one_registration(alice, bob)


def registration_survives_kill_9(house):
    alice, bob = house.pair()
    house.server.kill()
    house.server.start()
    call(alice, bob, "202")
    require_one_registration(alice, bob)


def call_both_ways(house, alices, bobs):
    alice, bob = house.pair(alices, bobs)
    call(alice, bob, "202")
    hear_each_other(alice, bob)
    hang_up(alice, bob, house.server)
    call(bob, alice, "alice")
    hear_each_other(alice, bob)
    hang_up(alice, bob, house.server)


def tcp_phones_call_each_other_both_ways(house):
    call_both_ways(house, "tcp", "tcp")


def tcp_and_udp_phones_call_each_other_both_ways(house):
    call_both_ways(house, "tcp", "udp")


def tls_phones_call_each_other_both_ways(house):
    call_both_ways(house, "tls", "tls")


def tls_and_udp_phones_call_each_other_both_ways(house):
    call_both_ways(house, "tls", "udp")


def tcp_and_tls_phones_call_each_other_both_ways(house):
    call_both_ways(house, "tcp", "tls")


def call_outlives_the_server_by(house, alices, bobs):
    """Made before kill -9; their connections are gone after it, their call is not."""
    alice, bob = house.pair(alices, bobs)
    call(alice, bob, "202")
    house.server.kill()
    house.server.start()
    hear_each_other_from_now(alice, bob)
    return alice, bob


def tcp_call_goes_on_after_kill_9_and_the_caller_hangs_up(house):
    alice, bob = call_outlives_the_server_by(house, "tcp", "tcp")
    hang_up(alice, bob, house.server)


def tcp_call_goes_on_after_kill_9_and_the_callee_hangs_up(house):
    alice, bob = call_outlives_the_server_by(house, "tcp", "udp")
    hang_up(bob, alice, house.server)


def call_to_tcp_goes_on_after_kill_9_and_the_caller_hangs_up(house):
    alice, bob = call_outlives_the_server_by(house, "udp", "tcp")
    hang_up(alice, bob, house.server)


def tls_call_goes_on_after_kill_9_and_the_caller_hangs_up(house):
    # A baresip that is called by TLS comes back only when it registers again.
    alice, bob = call_outlives_the_server_by(house, "tls", "udp")
    hang_up(alice, bob, house.server)


def tcp_phone_is_called_after_kill_9(house):
    alice, bob = house.pair("udp", "tcp")
    house.server.kill()
    house.server.start()
    call(alice, bob, "202")
    hang_up(bob, alice, house.server)


def cut_connections(server):
    """Both ends of each hear of it from the kernel."""
    port = f"( sport = :{server.port} or dport = :{server.port} )"
    subprocess.run(["ss", "--kill", "--tcp", "state", "established", port], check=True,
                   capture_output=True)
    left = subprocess.run(["ss", "--no-header", "--tcp", "state", "established", port],
                          check=True, capture_output=True, text=True).stdout
    require(not left, f"connections stand that were cut: {left}")


def phone_whose_connection_is_cut_comes_back(house):
    alice, bob = house.pair("tcp", "tcp")
    call(alice, bob, "202")
    cut_connections(house.server)
    hear_each_other_from_now(alice, bob)
    hang_up(bob, alice, house.server)
    cut_connections(house.server)
    call(bob, alice, "alice")
    hang_up(alice, bob, house.server)


def server_stops_cleanly(house):
    house.pair()
    house.server.stop()


CHECKS = [
    phones_register_with_digest,
    phones_call_each_other_and_hear_the_tone_both_ways,
    registration_with_a_wrong_password_is_refused,
    call_with_a_wrong_password_is_refused,
    caller_hangs_up,
    callee_hangs_up,
    caller_gives_up_while_it_rings,
    callee_declines,
    call_goes_on_after_kill_9_and_the_caller_hangs_up,
    call_goes_on_after_kill_9_and_the_callee_hangs_up,
    ringing_call_is_answered_after_kill_9,
    ringing_call_is_given_up_after_kill_9,
    registration_survives_kill_9,
    tcp_phones_call_each_other_both_ways,
    tcp_and_udp_phones_call_each_other_both_ways,
    tls_phones_call_each_other_both_ways,
    tls_and_udp_phones_call_each_other_both_ways,
    tcp_and_tls_phones_call_each_other_both_ways,
    tls_call_goes_on_after_kill_9_and_the_caller_hangs_up,
    tcp_call_goes_on_after_kill_9_and_the_caller_hangs_up,
    tcp_call_goes_on_after_kill_9_and_the_callee_hangs_up,
    call_to_tcp_goes_on_after_kill_9_and_the_caller_hangs_up,
    tcp_phone_is_called_after_kill_9,
    phone_whose_connection_is_cut_comes_back,
    server_stops_cleanly,
]


def run(check, tones):
    """One check in a house of its own; says how it went, and whether well."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            check(House(stack, tones))
        except lab.Failure as failure:
            print(f"not ok {check.__name__}: {failure}", flush=True)
            return False
    print(f"ok {check.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def tones_in(folder):
    return {name: os.path.join(folder, f"{name}.wav") for name in PASSWORDS}


def main():
    if sys.argv[1:2] == ["--one"]:
        lab.enter()
        check = next(check for check in CHECKS if check.__name__ == sys.argv[2])
        return 0 if run(check, tones_in(sys.argv[3])) else 1
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    checks = [check for check in CHECKS if word in check.__name__]
    if not checks:
        sys.exit(f"calls_test: no check's name contains {word!r}: {[c.__name__ for c in CHECKS]}")
    lab.need("sox", "baresip")
    with tempfile.TemporaryDirectory(prefix="sipwitch-tones-") as folder:
        for tone, path in zip((ALICE_TONE, BOB_TONE), tones_in(folder).values()):
            make_tone(path, tone)
        alone = [subprocess.run([sys.executable, __file__, "--one", check.__name__, folder],
                                check=False) for check in checks]
    return max(done.returncode for done in alone) and 1


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except lab.Unable as unable:
        sys.exit(f"not ok calls_test: {unable}")
