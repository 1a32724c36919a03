#!/usr/bin/env python3
"""kill -9 of the running sipw under a load of registrations, round after round: no change that was
accepted is lost, and none that was undone comes back.

    crash_test.py [--rounds N] [--seed N]      200 rounds unless told otherwise

Prints what it counted, and `ok NAME` or `not ok NAME: why`, as server_test.py does.
"""

import argparse
import random
import signal
import sys
import threading
import time

import server_test
from server_test import Failure, Phone, expect, server

PHONES = 6
CONTACTS = 3 # that each of them may bind
CHANGES = 40 # that are accepted in a round, at most, before the server dies


class Killed(Exception):
    """The server was killed before it answered."""


def config():
    users = "".join(f'<user id="u{n}" secret="secret {n}"/>' for n in range(PHONES))
    return ("<sipwitch><registry><realm>lab.test</realm></registry>"
            f"<provision>{users}</provision></sipwitch>")


class Doom:
    """kill -9 by the phone whose change is the last of a round, a moment later: when it dies is what is
    tested."""

    def __init__(self, process, changes, moment):
        self.process, self.left, self.moment = process, changes, moment
        self.lock, self.has_come = threading.Lock(), threading.Event()

    def come_nearer(self):
        with self.lock:
            self.left -= 1
            if self.left:
                return
        time.sleep(self.moment)
        self.process.send_signal(signal.SIGKILL)
        self.has_come.set()


class Registrant(Phone):
    """Binds and unbinds its contacts without end, and knows what it was told."""

    def __init__(self, port, number, seed):
        super().__init__(port, f"u{number}", f"secret {number}")
        self.socket.settimeout(0.02)
        self.dice = random.Random(seed)
        self.bound = {} # contact: True or False, as it was accepted; None: nobody knows
        self.doom = None # of the round; the server does not die while it is asked what it knows
        self.accepted = 0
        self.left_open = 0
        self.fault = None

    def ask(self, method, *headers):
        self.cseq += 1
        aor = f"<sip:{self.user}@{self.domain}>"
        request = "\r\n".join([
            f"{method} sip:{self.domain} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{self.port}x{self.cseq};rport",
            f"From: {aor};tag=a{self.port}", f"To: {aor}", f"Call-ID: {self.port}@test",
            f"CSeq: {self.cseq} {method}", "Max-Forwards: 70", *headers,
            "Content-Length: 0", "", ""]).encode()
        again = 0.0
        end = time.monotonic() + server_test.PATIENCE
        while time.monotonic() < end:
            if self.doom and self.doom.has_come.is_set():
                raise Killed
            try:
                if time.monotonic() >= again:
                    self.socket.send(request)
                    again = time.monotonic() + 0.5
                answer = self.socket.recv(65535).decode()
            except (TimeoutError, ConnectionRefusedError):
                continue
            if f"CSeq: {self.cseq} " in answer:
                return answer
        raise Failure(f"no answer to {method}")

    def change(self):
        """One contact bound or unbound, or refreshed."""
        contact = f"<sip:{self.user}-{self.dice.randrange(CONTACTS)}@{self.host}:{self.port}>"
        wanted = self.dice.random() < 0.6
        before = self.bound.get(contact, False)
        self.bound[contact] = before if before == wanted else None
        answer = self.register(f"Contact: {contact};expires={600 if wanted else 0}")
        expect(answer.startswith("SIP/2.0 200 "), f"REGISTER was answered {answer!r}")
        self.bound[contact] = wanted
        self.accepted += 1

    def run(self, doom):
        self.doom = doom
        try:
            while not doom.has_come.is_set():
                self.change()
                doom.come_nearer()
        except Killed:
            self.left_open += 1
        except (Failure, OSError) as why:
            self.fault = str(why)

    def compare(self, tally):
        """What the server shows, against what was accepted."""
        self.doom = None
        shown = set(self.bindings())
        for contact, wanted in self.bound.items():
            if wanted is True and contact not in shown:
                tally.lost.append(contact)
            if wanted is False and contact in shown:
                tally.resurrected.append(contact)
            self.bound[contact] = contact in shown
        tally.unknown += [contact for contact in shown if contact not in self.bound]


class Tally:
    def __init__(self):
        self.rounds = 0
        self.lost, self.resurrected, self.unknown = [], [], []


def play_round(one, phones, dice):
    doom = Doom(one.process, 1 + dice.randrange(CHANGES), dice.uniform(0, 0.005))
    threads = [threading.Thread(target=phone.run, args=[doom]) for phone in phones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.end(signal.SIGKILL)


def kill_under_load(rounds, seed):
    dice = random.Random(seed)
    tally = Tally()
    with server(config=config()) as one:
        one.start()
        phones = [Registrant(one.port, n, seed * 100 + n) for n in range(PHONES)]
        for _ in range(rounds):
            play_round(one, phones, dice)
            faults = [phone.fault for phone in phones if phone.fault]
            expect(not faults, f"round {tally.rounds + 1}: {faults[:1]}")
            one.start()
            for phone in phones:
                phone.compare(tally)
            tally.rounds += 1
    accepted = sum(phone.accepted for phone in phones)
    print(f"{tally.rounds} rounds of kill -9: {accepted} changes accepted, "
          f"{sum(phone.left_open for phone in phones)} under way when it died, "
          f"{len(tally.lost)} lost, {len(tally.resurrected)} resurrected", flush=True)
    expect(accepted >= 10 * rounds, f"only {accepted} changes: that is no load")
    expect(not tally.lost, f"lost: {tally.lost[:3]}")
    expect(not tally.resurrected, f"resurrected: {tally.resurrected[:3]}")
    expect(not tally.unknown, f"never asked for: {tally.unknown[:3]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    def no_accepted_change_is_lost_and_none_resurrected():
        kill_under_load(options.rounds, options.seed)
    sys.argv[1:] = []
    return server_test.run([no_accepted_change_is_lost_and_none_resurrected])


if __name__ == "__main__":
    sys.exit(main())
