#!/usr/bin/env python3
"""The real sipw behind a router, in namespaces: it learns its public address, has its ports
forwarded, and keeps both up to date; miniupnpd is the router, or a script for what that does not do.
Calls come in through both relays, the kernel's and the process.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "conformance"), os.path.join(HERE, "..", "interop")]

import lab
import router
import server_test
import sip
from router import OTHER_PUBLIC, OWN, PUBLIC, TCP, UDP, WORLD, Miniupnpd, Router, Stun
from server_test import expect, until
from sip import Attempt

PORT, FIRST, LAST = 5060, 20000, 20011
RELAYS = "kernel", "process"
CONFIG = """<?xml version="1.0"?>
<sipwitch>
  <registry><realm>home.test</realm><prefix>200</prefix><range>100</range></registry>
  <stack><published>home.test</published><transport>udp tcp</transport></stack>
  <provision>
    <user id="alice" secret="alices secret" extension="201"/>
  </provision>
  <media><mode>%s</mode><ports>20000-20011</ports><public>%s</public></media>
</sipwitch>
"""
USERS = {"alice": "alices secret"}
SDP = "Content-Type: application/sdp"
BY = {"pcp": "the router, by PCP", "pmp": "the router, by NAT-PMP", "upnp": "the router, by UPnP",
      "stun": "a STUN server"}
ALL = {(UDP, PORT), (TCP, PORT)} | {(UDP, port) for port in range(FIRST, LAST + 1)}


def run(name, *words):
    """A program of ours: what it says."""
    return subprocess.run([os.path.join(os.path.dirname(server_test.SIPW), name), *words],
                          check=True, capture_output=True, text=True).stdout


class Home:
    """A server behind the router."""

    def __init__(self, process):
        self.process = process
        self.relay = None

    def rows(self, command):
        said = run("sipwitch", "--prefixpath", self.process.state, command, "--json")
        return [json.loads(line) for line in said.splitlines()]

    def legs(self):
        """The relay's, by their ports."""
        where = [] if self.relay == "kernel" else ["--prefixpath", self.process.state]
        said = run("sipw-relay", "list", "--json", *where)
        return {int(leg["leg"].rpartition(":")[2]): leg for leg in map(json.loads, said.splitlines())}

    def outside(self):
        return self.rows("status")[0].get("outside", {})

    def await_outside(self, so, what, patience=30.0):
        """What the server says of its public address, once that is so."""
        end = time.monotonic() + patience
        while not so(found := self.outside()):
            expect(time.monotonic() < end, f"no {what}, but {found}")
            time.sleep(0.02)
        return found

    def await_address(self, address, by):
        found = self.await_outside(lambda o: o.get("address") == address and o["by"] == BY[by] and
                                   (by == "stun" or o.get("first_port")), f"{address} by {by}")
        expect("fault" not in found or by == "stun", f"there is a fault: {found}")
        if by != "stun":
            expect((found["first_port"], found["last_port"]) == (FIRST, LAST), f"{found}")
        return found

    def reload(self, public, mode="never"):
        with open(self.process.config, "w", encoding="utf-8") as file:
            file.write(CONFIG % (mode, public))
        self.rows("reload")


@contextlib.contextmanager
def home(public="router", mode="auto"):
    with server_test.server(CONFIG % (mode, public), PORT) as server:
        one, pids = Home(server), []
        try:
            server.start("-A", OWN)
            if mode != "never":
                line = server.await_line("media is relayed")
                pids = [int(pid) for pid in re.findall(r"process (\d+)\)", line)]
                one.relay = "process" if pids else "kernel"
            yield one
        finally:
            server.discard()
            for pid in pids:  # it outlives its server: that is what it is for
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)


@contextlib.contextmanager
def relay_of(kind):
    """The kernel's, loaded for a while; the process comes by itself."""
    if kind == "process":
        yield
        return
    run("sipw-relay", "load", "--user", "root")
    try:
        yield
    finally:
        run("sipw-relay", "unload")


@contextlib.contextmanager
def daemon(has_upnp, has_pcp):
    """miniupnpd, listening."""
    with tempfile.TemporaryDirectory(prefix="sipwitch-router-") as folder, \
            Miniupnpd(folder, has_upnp, has_pcp) as gate:
        until(lambda: gate.is_ready(has_upnp), "router that listens")
        yield gate


# ---- by which protocol

def a_router_is_asked_by_pcp():
    with Router() as gate, home(mode="never") as one:
        one.await_outside(lambda o: o.get("address") == PUBLIC, PUBLIC)
        expect(one.outside()["by"] == BY["pcp"], f"it was {one.outside()}")
        expect(set(gate.forwards()) == {(UDP, PORT), (TCP, PORT)}, f"{gate.forwards()}")
        text = subprocess.run([os.path.join(os.path.dirname(server_test.SIPW), "sipwitch"),
                               "--prefixpath", one.process.state, "status"], check=True,
                              capture_output=True, text=True).stdout
        expect(re.search(rf"^public +{PUBLIC}, says the router, by PCP$", text, re.MULTILINE), text)


def a_router_without_pcp_is_asked_by_nat_pmp():
    with Router(speaks=("pmp",)) as gate, home(mode="auto") as one:
        one.await_address(PUBLIC, "pmp")
        expect(set(gate.forwards()) == ALL, f"{gate.forwards()}")


def miniupnpd_forwards_by_pcp():
    with daemon(False, True) as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        for protocol, port in (("udp", PORT), ("tcp", PORT), ("udp", FIRST), ("udp", LAST)):
            expect(gate.forwards(protocol, port), f"{protocol} {port} is not in {gate.rules()}")


def miniupnpd_forwards_by_upnp():
    with daemon(True, False) as gate, home() as one:
        one.await_address(PUBLIC, "upnp")
        for protocol, port in (("udp", PORT), ("tcp", PORT), ("udp", FIRST), ("udp", LAST)):
            expect(gate.forwards(protocol, port), f"{protocol} {port} is not in {gate.rules()}")
        one.process.end()
        until(lambda: not gate.forwards("udp", FIRST), "ports that were given back")


# ---- a call from outside

class World:
    """What a phone of another domain needs: it sends to the router's public address."""
    users, domain = {}, "home.test"

    @staticmethod
    def address():
        return PUBLIC, PORT

    @staticmethod
    def next_host():
        return WORLD


class House(World):
    users = USERS

    @staticmethod
    def address():
        return OWN, PORT

    @staticmethod
    def next_host():
        return OWN


def ear(host):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, 0))
    one.settimeout(0.2)
    return one


def describe(one):
    host, port = one.getsockname()
    return (f"v=0\r\no=- 7 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtcp-mux\r\n")


def place(body):
    return (re.search(r"^c=IN IP4 (\S+)\r$", body, re.MULTILINE)[1],
            int(re.search(r"^m=audio (\d+) ", body, re.MULTILINE)[1]))


def rtp(number):
    return bytes([0x80, 0]) + number.to_bytes(2, "big") + bytes(4) + b"ssrc" + bytes(160)


def hears(listener, speaker, where, others):
    """The other speaks, too: a port of the relay leads nowhere before its phone has sent. How many
    each has sent."""
    end = time.monotonic() + server_test.PATIENCE
    number = 0
    while time.monotonic() < end:
        number += 1
        listener.sendto(rtp(number), others)
        speaker.sendto(rtp(number), where)
        with contextlib.suppress(TimeoutError):
            if len(listener.recv(2048)) == 172:
                return number
    raise server_test.Failure(f"what is sent to {where} is not heard")


def calls_from_outside(one):
    """carol outside calls alice, they hear each other by the legs of the relay, alice asks her something, and
    carol hangs up."""
    with contextlib.ExitStack() as stack:
        alice = sip.Phone(House(), "alice").bind()
        with router.within("world"):
            carol = sip.Phone(World(), "carol", domain="elsewhere.test")
            far = ear(WORLD)
        near = ear(OWN)
        for item in (alice, carol, far, near):
            stack.callback(item.close)
        attempt = Attempt(carol, "sip:alice@home.test", SDP, body=describe(far))
        invite = alice.await_request("INVITE")
        answer = alice.answer(invite, 200, SDP, body=describe(near))
        ok, dialog = attempt.accepted()
        host, port = place(ok.body)
        expect(host == PUBLIC and FIRST <= port <= LAST, f"carol was told {host}:{port}")
        inner = place(invite.body)
        expect(inner[0] == OWN, f"alice was told {inner}")
        expect(PUBLIC in dialog.routes[0], f"the way back is {dialog.routes}")
        sent = hears(near, far, (host, port), inner) + hears(far, near, inner, (host, port))
        until(lambda: all(arrived(one.legs()[leg]) == sent for leg in (port, inner[1])),
              f"count of {sent} packets each way: {one.legs()}")
        table = one.legs()
        for leg, source in (port, rf"{re.escape(WORLD)}:\d+"), (inner[1], f"{OWN}:{near.getsockname()[1]}"):
            expect(table[leg]["packets"] > 0 and re.fullmatch(source, table[leg]["source"]),
                   f"the leg is {table[leg]}")
        alice.await_request("ACK")
        alice.send(sip.Dialog.of_callee(alice, invite, answer).write("INFO"))
        carol.take("INFO", 200)
        alice.await_message(lambda m: m.status == 200 and m.cseq()[1] == "INFO", "answer to INFO")
        carol.send(dialog.write("BYE"))
        alice.take("BYE", 200)
        carol.await_message(lambda m: m.status == 200 and m.cseq()[1] == "BYE", "answer to BYE")
        expect(not one.legs(), f"there still are {one.legs()}")


def arrived(leg):
    """All packets that came to a leg, passed on or not."""
    return leg["packets"] + sum(leg["drops"].values())


def a_call_from_outside_has_sound_and_ends(relay):
    with relay_of(relay), daemon(False, True), home() as one:
        expect(one.relay == relay, f"it is the {one.relay}")
        one.await_address(PUBLIC, "pcp")
        calls_from_outside(one)


def an_address_that_is_written_is_told_likewise(relay):
    """Where somebody has forwarded the ports by hand."""
    router.forward(PORT, f"{FIRST}-{LAST}")
    with relay_of(relay), home(PUBLIC) as one:
        expect(one.relay == relay, f"it is the {one.relay}")
        expect(one.outside() == {"address": PUBLIC, "by": "the configuration"}, f"{one.outside()}")
        calls_from_outside(one)


# ---- what changes

def a_change_of_the_address_is_learnt():
    with Router() as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        gate.restart(OTHER_PUBLIC)
        one.await_address(OTHER_PUBLIC, "pcp")
        one.process.await_line(f"the public address is {OTHER_PUBLIC}")
        until(lambda: set(gate.forwards()) == ALL, "ports that are forwarded again")


def a_change_of_the_address_is_learnt_by_upnp():
    """Which says nothing by itself: it is asked."""
    with daemon(True, False), home() as one:
        one.await_address(PUBLIC, "upnp")
        router.move(OTHER_PUBLIC)
        one.await_address(OTHER_PUBLIC, "upnp")
        one.process.await_line(f"the public address is {OTHER_PUBLIC}")


def a_router_that_starts_anew_in_silence_is_noticed():
    with Router(speaks=("pmp",)) as gate, home() as one:
        one.await_address(PUBLIC, "pmp")
        gate.restart(is_said=False)
        until(lambda: set(gate.forwards()) == ALL, "ports that are forwarded again", 40)


def a_router_that_starts_anew_twice_is_noticed():
    """Its clock tells nothing then: the seconds are the same, as good as."""
    with Router(age=0) as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        gate.restart(is_said=False)
        until(lambda: set(gate.forwards()) == ALL, "ports that are forwarded again", 40)


def miniupnpd_that_starts_anew_is_asked_again():
    with daemon(False, True) as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        gate.restart()
        until(lambda: gate.forwards("udp", LAST), "ports that are forwarded again", 40)


def a_reload_changes_who_is_asked():
    with Router() as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        one.reload("203.0.113.77")
        until(lambda: not gate.forwards(), "ports that were given back")
        expect(one.outside() == {"address": "203.0.113.77", "by": "the configuration"},
               f"it is {one.outside()}")
        one.reload("router", "auto")
        one.await_address(PUBLIC, "pcp")


# ---- what is missing

def without_a_router_it_says_so_and_goes_on():
    with home() as one:
        line = one.process.await_line("no public address: ")
        expect("no router answers by PCP, NAT-PMP or UPnP; switch one" in line, line)
        expect("fault" in one.outside() and "address" not in one.outside(), f"{one.outside()}")
        sip.Phone(House(), "alice").bind().close()


def a_router_with_little_room_limits_the_calls():
    with Router(room=8) as gate, home() as one:
        found = one.await_outside(lambda o: "fault" in o, "fault")
        expect("the router forwards 8 of 14 ports: it has no room for more; " in found["fault"],
               found["fault"])
        expect((found["first_port"], found["last_port"]) == (FIRST, FIRST + 5), f"{found}")
        expect(len(gate.forwards()) == 8, f"{gate.forwards()}")


def a_port_that_another_machine_has_is_not_taken_for_ours():
    with Router(taken={(UDP, PORT)}), home() as one:
        found = one.await_outside(lambda o: "fault" in o, "fault")
        expect("another machine has that port" in found["fault"], found["fault"])


def a_router_behind_another_has_no_public_address():
    with Router(address="100.64.3.4"), home() as one:
        found = one.await_outside(lambda o: "fault" in o, "fault")
        expect("100.64.3.4 is not public" in found["fault"] and "address" not in found, f"{found}")


# ---- STUN

def a_stun_server_says_the_address():
    with Stun(), home(f"stun:{WORLD}") as one:
        found = one.await_address(PUBLIC, "stun")
        expect("fault" not in found, f"{found}")


def a_change_of_the_address_is_learnt_by_stun():
    """It is asked again each half minute."""
    with Stun() as server, home(f"stun:{WORLD}") as one:
        one.await_address(PUBLIC, "stun")
        server.lie = OTHER_PUBLIC
        one.await_outside(lambda o: o.get("address") == OTHER_PUBLIC, OTHER_PUBLIC, 45)
        one.process.await_line(f"the public address is {OTHER_PUBLIC}, says a STUN server")


def a_stun_server_helps_where_the_router_does_not_know():
    with Stun(3479), Router(address="100.64.3.4"), home(f"router stun:{WORLD}:3479") as one:
        found = one.await_address(PUBLIC, "stun")
        expect("is not public" in found["fault"], f"{found}")


def a_silent_stun_server_is_told_of():
    with home(f"stun:{WORLD}:9") as one:
        line = one.process.await_line("no public address: ")
        expect(f"the STUN server {WORLD}:9 does not help" in line, line)


# ---- ends

def a_clean_stop_gives_the_ports_back():
    with Router() as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        one.process.end()
        until(lambda: not gate.forwards(), "ports that were given back")


def a_kill_keeps_the_ports_for_the_next_run():
    with Router() as gate, home() as one:
        one.await_address(PUBLIC, "pcp")
        one.process.end(signal.SIGKILL)
        asked = gate.asked
        one.process.start("-A", OWN)
        expect(one.outside().get("address") == PUBLIC, f"it has forgotten: {one.outside()}")
        until(lambda: gate.asked >= asked + len(ALL), "questions of the next run")
        one.await_address(PUBLIC, "pcp")
        expect(set(gate.forwards()) == ALL, f"{gate.forwards()}")


def a_helper_that_is_killed_is_started_again():
    with Router(), home() as one:
        one.await_address(PUBLIC, "pcp")
        pid, = children(one.process.process.pid, "sipw-router")
        os.kill(pid, signal.SIGKILL)
        until(lambda: children(one.process.process.pid, "sipw-router") not in ([], [pid]),
              "another helper", 45)
        one.await_address(PUBLIC, "pcp")


def children(parent, name):
    with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
        pids = [int(pid) for pid in file.read().split()]
    return [pid for pid in pids if command_of(pid) == name]


def command_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


CHECKS = [
    a_router_is_asked_by_pcp,
    a_router_without_pcp_is_asked_by_nat_pmp,
    miniupnpd_forwards_by_pcp,
    miniupnpd_forwards_by_upnp,
    a_call_from_outside_has_sound_and_ends,
    an_address_that_is_written_is_told_likewise,
    a_change_of_the_address_is_learnt,
    a_change_of_the_address_is_learnt_by_upnp,
    a_router_that_starts_anew_in_silence_is_noticed,
    a_router_that_starts_anew_twice_is_noticed,
    miniupnpd_that_starts_anew_is_asked_again,
    a_reload_changes_who_is_asked,
    without_a_router_it_says_so_and_goes_on,
    a_router_with_little_room_limits_the_calls,
    a_port_that_another_machine_has_is_not_taken_for_ours,
    a_router_behind_another_has_no_public_address,
    a_stun_server_says_the_address,
    a_change_of_the_address_is_learnt_by_stun,
    a_stun_server_helps_where_the_router_does_not_know,
    a_silent_stun_server_is_told_of,
    a_clean_stop_gives_the_ports_back,
    a_kill_keeps_the_ports_for_the_next_run,
    a_helper_that_is_killed_is_started_again,
]


WITH_RELAYS = {a_call_from_outside_has_sound_and_ends, an_address_that_is_written_is_told_likewise}


def plan():
    """Each check and its name; those with calls twice."""
    for check in CHECKS:
        if check not in WITH_RELAYS:
            yield check, check.__name__
            continue
        for relay in RELAYS:
            yield lambda check=check, relay=relay: check(relay), f"{relay}: {check.__name__}"


def main():
    names, failed = set(sys.argv[1:]), 0
    lab.end_on_signals()
    lab.enter()
    lab.need("ip", "nft", "miniupnpd")
    router.build()
    for check, name in plan():
        if names and name.rpartition(" ")[2] not in names:
            continue
        try:
            router.reset()
            check()
            print(f"ok {name}", flush=True)
        except (server_test.Failure, sip.Failure, lab.Failure, OSError, ValueError,
                subprocess.SubprocessError) as failure:
            failed += 1
            print(f"not ok {name}: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
