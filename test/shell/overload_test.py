#!/usr/bin/env python3
"""The real sipw while more comes than it can serve: it refuses what is new, and serves what goes on.

It shares one core with senders that are favoured, so that any machine is slow enough. Prints
`ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW names another
server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import json
import multiprocessing
import os
import select
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import dialog_test
import server_test
import sip
from dialog_test import CONFIG, House
from session_test import SIPWITCH
from sip import Attempt, Call, Failure, Message, expect

SMALL = CONFIG.replace("<provision>", """<stack><memory>128</memory><trusted>here</trusted></stack>
  <access><here>127.0.0.0/8</here></access>
  <provision>""")
SENDERS = 2
BATCH = 64 # calls that are on their way at once
BEHIND = 6 # the niceness by which the server stands back
SERVED = 20.0 # seconds within which something gets through to a server in a flood
# Each %b is one call's number: nothing else is made anew, so that senders are quick.
INVITE = (b"INVITE sip:bob@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK%b;rport\r\n"
          b"Max-Forwards: 70\r\nFrom: <sip:alice@lab.test>;tag=%b\r\nTo: <sip:bob@lab.test>\r\n"
          b"Call-ID: flood%b\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@127.0.0.1>\r\n"
          b"User-Agent: a phone among many, in the hour in which everybody calls\r\n"
          b"Content-Length: 0\r\n\r\n")


def flood(port, number, statuses, stop):
    """Calls as fast as they can be written; and the statuses that came back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("127.0.0.1", port))
        one.setblocking(False)
        n = 0
        while not stop.is_set():
            for _ in range(64):
                n += 1
                name = b"%dx%d" % (number, n)
                try:
                    one.send(INVITE % (name, name, name))
                except (BlockingIOError, ConnectionRefusedError):
                    pass
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                while True:
                    answer = one.recv(2048)
                    status = int(answer[8:11])
                    if status == 503 and b"\r\nRetry-After: " not in answer:
                        status = 0
                    if status not in statuses:
                        statuses[status] = n


@contextlib.contextmanager
def flooding(house):
    """Senders at work; a dict of the statuses that they were answered."""
    with multiprocessing.Manager() as manager:
        statuses, stop = manager.dict(), multiprocessing.Event()
        senders = [multiprocessing.Process(target=flood, args=(house.port, i, statuses, stop))
                   for i in range(SENDERS)]
        for sender in senders:
            sender.start()
        try:
            yield statuses
        finally:
            stop.set()
            for sender in senders:
                sender.join(10)
                if sender.is_alive():
                    sender.kill()
                    sender.join()


def counters(house):
    done = subprocess.run([SIPWITCH, "--prefixpath", house.process.state, "--json", "stats"],
                          capture_output=True, text=True, check=False)
    expect(done.returncode == 0, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def ask_options(house):
    """OPTIONS for the server, sent again and again: of what comes in a flood the kernel drops the most,
    whoever it is from."""
    phone = house.phones[2]
    text = phone.request("OPTIONS", f"sip:{house.domain}", "User-Agent: a monitor that wants to know "
                         "whether the server is there")
    branch = Message(text).branch()

    def answer():
        phone.send(text)
        with contextlib.suppress(Failure):
            return phone.await_message(lambda m: m.status and m.branch() == branch, "answer", 0.05)
        return None
    said = server_test.until(answer, "answer to OPTIONS", SERVED)
    expect(said.status == 200, f"OPTIONS was answered {said.start}")


def new_calls_are_refused_and_options_answered(house):
    with flooding(house) as statuses:
        server_test.until(lambda: 503 in statuses, "503 in the flood", SERVED)
        expect(0 not in statuses, "a 503 has no Retry-After")
        ask_options(house)
    house.process.await_line("more comes than can be served")
    house.process.await_line("all is served again")
    expect(counters(house)["refused"] > 0, "nothing was counted")


def calls_that_stand_go_on(house):
    """Of phones whose connections lose nothing, unlike datagrams that the kernel drops."""
    call = Call(*house.phones[:2])
    with flooding(house) as statuses:
        server_test.until(lambda: 503 in statuses, "503 in the flood", SERVED)
        call.exchange(call.near, call.callee, "INFO")
        call.hang_up()


def read_all(phones, patience=0.0):
    """What has come for these phones, of whom one is waited for: pairs of phone and message."""
    ready, _, _ = select.select([phone.socket for phone in phones], [], [], patience)
    for phone in phones:
        while phone.socket in ready and (message := phone.receive(0.0001)):
            yield phone, message


def refuse(caller, answer, refused):
    """A final answer is acknowledged, and kept."""
    if answer.status >= 300:
        caller.acknowledge(answer, "sip:bob@lab.test")
        refused.append(answer)


def ring_and_ring(caller, callee):
    """Calls that ring and that nobody answers, one upon another, until one is refused: what rings,
    and that answer."""
    ringing, refused = [], []
    while not refused and len(ringing) < 60000:
        so_far = len(ringing)
        for _ in range(BATCH):
            caller.send(caller.request("INVITE", callee.aor(), f"Contact: <{caller.contact()}>"))
        end = time.monotonic() + SERVED
        while len(ringing) + len(refused) < so_far + BATCH and time.monotonic() < end:
            for phone, message in read_all((caller, callee), 1.0):
                if phone is caller:
                    refuse(caller, message, refused)
                elif message.method == "INVITE":
                    callee.answer(message, 180)
                    ringing.append(message)
    expect(refused, f"{len(ringing)} calls ring, and none was refused")
    return ringing, refused[0]


def memory_has_an_end_and_what_stands_goes_on(house):
    """As many calls as there is room for ring at once."""
    alice, bob, carol = house.phones
    for phone in house.phones:
        phone.password = None # nobody is challenged
    call = Call(carol, bob)
    ringing, refused = ring_and_ring(alice, bob)
    expect(refused.status == 503 and refused.get("Retry-After"), f"it was {refused.text}")
    expect(len(ringing) > 1000, f"there was room for {len(ringing)} calls only")
    ask_options(house)
    call.hang_up()
    for request in ringing:
        bob.answer(request, 486)
        for phone, answer in read_all((alice, bob)):
            if phone is alice:
                refuse(alice, answer, [])
    server_test.until(lambda: is_served(carol, bob), "call when there is room again", SERVED)


def is_served(caller, callee):
    """Whether a call reaches the callee, who is busy."""
    attempt = Attempt(caller, callee.aor())
    end = time.monotonic() + SERVED
    while time.monotonic() < end:
        for phone, message in read_all((caller, callee), 1.0):
            if phone is caller and attempt.is_mine_final(message):
                caller.acknowledge(message, callee.aor())
                return message.status == 486
            if phone is callee and message.method == "INVITE" and \
                    message.get("Call-ID") == attempt.call_id:
                callee.answer(message, 486)
    return False


def it_serves_again_at_once(house):
    with flooding(house) as statuses:
        server_test.until(lambda: 503 in statuses, "503 in the flood", SERVED)

    def a_call_succeeds():
        try:
            Call(*house.phones[:2]).hang_up()
        except Failure as why:
            if " 503 " not in str(why): # what waits from the flood is served first
                raise
            return False
        return True
    server_test.until(a_call_succeeds, "call after the flood", SERVED)


CHECKS = [
    new_calls_are_refused_and_options_answered,
    calls_that_stand_go_on,
    it_serves_again_at_once,
    memory_has_an_end_and_what_stands_goes_on,
]


def main():
    wanted = sys.argv[1:]
    failed = False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        try:
            is_small = check is memory_has_an_end_and_what_stands_goes_on
            way = "tcp" if check is calls_that_stand_go_on else "udp"
            with server_test.server(SMALL if is_small else CONFIG) as server, \
                    contextlib.ExitStack() as stack:
                server.start(preexec_fn=lambda: os.nice(0 if is_small else BEHIND))
                check(House(server, stack, [way, way, "udp"]))
            print(f"ok {check.__name__}", flush=True)
        except (Failure, server_test.Failure, OSError, ValueError) as why:
            print(f"not ok {check.__name__}: {why}", flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
