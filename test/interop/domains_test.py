#!/usr/bin/env python3
"""Domains that call each other by name alone: real sipw, found by DNS that knot serves and signs.

Each check runs in a network of its own. Prints `ok NAME` or `not ok NAME: why` for each; the exit
status is 0 if all are ok. SIPW names another server binary than build/release/src/sipw. An argument
is a part of the names of the checks to run.
"""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import baresip
import calls_test as calls
import lab
import sip
import zones
from sip import Attempt, Call, Failure, Message, expect

# A clock that is set forward (test/shell/hasteclock.c).
HASTE = os.path.join(lab.ROOT, "build/release/test/shell/hasteclock.so")

AT_ONCE = 3.0 # seconds within which the network has said that nobody listens
QUICK = 6.0 # seconds that a caller waits longer, once, because a server of a domain is dead
SOON = 3.8 # and because it is silent: two, and a call
STAGGER = 0.25 # until another address is tried
DEAF = 8.0 # seconds until who calls hears that DNS is dead: five
SHORTEST = 1.5 # which it does not leave before that
AGAIN = 2 # seconds

# Where everything is.
A, B = "192.0.2.11", "192.0.2.12"
A6, B6 = "2001:db8::11", "2001:db8::12"
BOTH_FAMILIES = f"{A} {A6}"
DEAD, SILENT = "192.0.2.66", "192.0.2.67"

_CONFIG = """<?xml version="1.0"?>
<sipwitch>
  <registry><realm>{name}</realm><prefix>200</prefix><range>100</range></registry>
  <stack>
    <interface>{interface}</interface>
    <published>{name}</published>
    <resolver>{resolver}</resolver>
    <trust-anchor>{anchor}</trust-anchor>
  </stack>
  <provision>{users}</provision>
</sipwitch>
"""


class Domain:
    """A sipw that serves one domain, as the phones of the conformance suite want to know it."""

    transport = "udp"

    def __init__(self, world, name, host, user, interface=None, others=()):
        self.world, self.domain, self.host, self.port = world, name, host, 5060
        self.interface = interface or host
        self.users = {one: f"{one}-secret" for one in (user, *others)}
        self.user = user
        self.hosts = 20
        folder = os.path.join(world.folder, name)
        self.server = lab.Server(folder, [], host)
        self.configure()
        world.stack.callback(self.server.discard)

    def configure(self, resolver=None, anchor=None):
        users = "".join(f'<user id="{user}" secret="{secret}" extension="{201 + i}"/>'
                        for i, (user, secret) in enumerate(self.users.items()))
        with open(self.server.config, "w", encoding="utf-8") as file:
            file.write(_CONFIG.format(name=self.domain, interface=self.interface, users=users,
                                      resolver=resolver or self.world.names.address,
                                      anchor=anchor or self.world.names.anchor))

    def start(self):
        self.server.address = self.interface
        self.server.start()
        return self

    def next_host(self):
        return f"[{self.host}]" if ":" in self.host else self.host

    def address(self):
        return self.host, self.port

    def phone(self, transport="udp", user=None):
        one = sip.Phone(self, user or self.user, transport=transport)
        self.world.stack.callback(one.close)
        return one.bind()

    def log(self):
        with open(self.server.log, encoding="utf-8") as file:
            return file.read()

    def await_log(self, part):
        lab.until(lambda: part in self.log(), sip.PATIENCE, f"{part!r} in {self.log()!r}")


class World:
    """A network with a name server; the zone `test` has these records, and others stand below."""

    def __init__(self, stack):
        self.stack = stack
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sipwitch-domains-"))
        self.names = None

    def publish(self, records, signed=("test",), negative=60, **below):
        """`negative`: seconds for which it may be remembered that there is nothing."""
        table = {"test": f"ns A {zones.ADDRESS}\n{records}"}
        for name, its in below.items():
            table[f"{name}.test"] = its
        self.names = zones.NameServer(os.path.join(self.folder, "zones"), table, signed,
                                      negative=negative)
        self.stack.callback(self.names.discard)
        self.names.start()
        return self

    def two(self, **how):
        """alice of a.test and bob of b.test, each with a server and a phone."""
        self.a = Domain(self, "a.test", A, "alice", how.pop("interface_a", None)).start()
        self.b = Domain(self, "b.test", how.pop("host_b", B), "bob",
                        how.pop("interface_b", None)).start()
        return self.a.phone(**how), self.b.phone(**how)


def service(name, *places, transport="udp"):
    """SRV records: (priority, target) each, at port 5060."""
    below = f".{name}" if name else ""
    return "".join(f"_sip._{transport}{below} SRV {priority} 1 5060 {target}\n"
                   for priority, target in places)


def hosts(**addresses):
    return "".join(f"{name} A {address}\n" for name, address in addresses.items())


PLAIN = (hosts(pa=A, pb=B) + service("a", (1, "pa")) + service("b", (1, "pb")))


def call(caller, callee):
    """A call by address alone, hung up by the caller; the INVITE as the callee got it."""
    one = Call(caller, callee)
    one.hang_up()
    return one.invite


def refused(caller, uri, status, why=""):
    """A call that must fail, with this status; how it was said."""
    answer = Attempt(caller, uri).fails(status, timeout=30)
    expect(why in answer.text, f"no {why!r} in {answer.text!r}")
    return answer


def took(began):
    return time.monotonic() - began


# ---- calls

def domains_call_each_other_by_udp(world):
    alice, bob = world.publish(PLAIN).two()
    invite = call(alice, bob)
    expect(invite.list("Via")[0].startswith(f"SIP/2.0/UDP {B}"), invite.text)
    call(bob, alice)
    world.a.await_log("DNS is asked of 192.0.2.53, and validated")
    for one in world.a, world.b: # and what was asked of DNS does not keep them from ending well
        one.server.stop()


def domains_call_each_other_by_tcp(world):
    """Also where there is UDP, too: without NAPTR TCP comes first."""
    records = (hosts(pa=A, pb=B) + service("a", (1, "pa"), transport="tcp") +
               service("b", (1, "pb"), transport="tcp") + service("b", (1, "pb")))
    alice, bob = world.publish(records).two()
    for caller, callee in (alice, bob), (bob, alice):
        invite = call(caller, callee)
        expect(invite.list("Via")[1].startswith("SIP/2.0/TCP "), invite.text)


def phones_by_tcp_call_by_name(world):
    alice, bob = world.publish(PLAIN).two(transport="tcp")
    call(alice, bob)
    call(bob, alice)


def a_phone_that_sends_all_to_its_server_by_a_route_calls_by_name(world):
    """The Route is for our own server, also where its request had to wait for DNS (16.4)."""
    alice, bob = world.publish(PLAIN).two()
    attempt = Attempt(alice, "sip:bob@b.test", f"Route: <sip:{A}:5060;lr>")
    invite = bob.take("INVITE", 486)
    expect(not invite.all("Route"), invite.text)
    attempt.fails(486)


def naptr_chooses_the_transport(world):
    """The SRV records stand under names that only NAPTR tells."""
    records = hosts(pa=A, pb=B) + "".join(
        f'{one} NAPTR 10 10 "s" "SIP+D2T" "" stream.{one}\n'
        f'{one} NAPTR 20 10 "s" "SIP+D2U" "" datagram.{one}\n'
        f"stream.{one} SRV 1 1 5060 p{one}\ndatagram.{one} SRV 1 1 5060 p{one}\n" for one in "ab")
    alice, bob = world.publish(records).two()
    expect(call(alice, bob).list("Via")[1].startswith("SIP/2.0/TCP "), "not by TCP")
    call(bob, alice)


def a_domain_without_srv_is_its_address(world):
    alice, bob = world.publish(hosts(a=A, b=B)).two()
    call(alice, bob)
    call(bob, alice)


def names_behind_names_are_followed(world):
    """CNAMEs of the services, and, though RFC 2782 forbids it, of the servers."""
    records = (hosts(pa=A, real=B) + service("a", (1, "pa")) + service("c", (1, "pb")) +
               "pb CNAME real\n_sip._udp.b CNAME _sip._udp.c\n")
    alice, bob = world.publish(records).two()
    call(alice, bob)


def a_domain_that_is_not_signed_is_called(world):
    alice, bob = world.publish(f"b NS ns\n{hosts(pa=A)}{service('a', (1, 'pa'))}",
                               b=f"{service('', (1, 'pb'))}{hosts(pb=B)}").two()
    call(alice, bob)


# ---- servers that are dead

class Ear:
    """Hears what is sent to an address, whoever is there, or nobody."""

    def __init__(self, world, address, protocol=socket.IPPROTO_UDP):
        self.socket = world.stack.enter_context(
            socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol))
        self.socket.bind((address, 0))
        self.socket.setblocking(False)

    def _packets(self):
        """Those since the last time, without the network's header; what was sent is here at once."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self.socket.recv(65535)
                yield packet[(packet[0] & 15) * 4:]

    def methods(self):
        """Of the requests that came by UDP."""
        return [packet[8:].partition(b" ")[0].decode() for packet in self._packets()]

    def attempts(self):
        """How often somebody has begun to connect by TCP."""
        return sum(packet[13] & 0x12 == 0x02 for packet in self._packets())


def is_passed_over(alice, bob, most, least=0.0):
    """The domain's first server is, and the call gets to bob within these times."""
    began = time.monotonic()
    call(alice, bob)
    expect(least <= took(began) < most, f"it took {took(began):.1f} s")


def is_avoided(alice, bob):
    """And now nobody waits for it."""
    began = time.monotonic()
    call(alice, bob)
    expect(took(began) < 1, f"the second time it took {took(began):.1f} s")


def a_server_where_nobody_listens_is_passed_over(world):
    records = hosts(pb=B, dead=DEAD) + service("b", (1, "dead"), (2, "pb"))
    alice, bob = world.publish(records).two()
    ear = Ear(world, DEAD)
    is_passed_over(alice, bob, AT_ONCE)
    expect(set(ear.methods()) == {"INVITE"}, "the first server was not asked")
    is_avoided(alice, bob)
    expect(ear.methods() == [], "the first server was asked again")


def open_mute(world):
    """Somebody listens at the silent server's address."""
    mute = world.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    mute.bind((SILENT, 5060))
    mute.settimeout(sip.PATIENCE)
    return mute


def a_server_that_is_silent_is_passed_over(world):
    records = hosts(pb=B, silent=SILENT) + service("b", (1, "silent"), (2, "pb"))
    alice, bob = world.publish(records).two()
    open_mute(world)
    ear = Ear(world, SILENT)
    is_passed_over(alice, bob, SOON, SHORTEST)
    copies = ear.methods()
    expect(len(copies) >= 3 and set(copies) == {"INVITE"}, f"the first server was sent {copies}")
    is_avoided(alice, bob)
    expect(ear.methods() == [], "the first server was asked again")


def a_server_that_takes_no_connections_is_passed_over(world):
    records = (hosts(pb=B, dead=DEAD) + service("b", (1, "dead"), (2, "pb"), transport="tcp"))
    alice, bob = world.publish(records).two()
    ear = Ear(world, DEAD, socket.IPPROTO_TCP)
    is_passed_over(alice, bob, QUICK)
    expect(ear.attempts() == 1, "the first server was not asked once")
    is_avoided(alice, bob)
    expect(ear.attempts() == 0, "the first server was asked again")


def open_busy(world, alice, *fields):
    """Somebody who says 503 to all at that address."""
    busy = world.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    busy.bind((SILENT, 5060))

    def refuse():
        with contextlib.suppress(OSError):
            while True:
                data, peer = busy.recvfrom(65535)
                request = Message(data.decode())
                if request.method != "ACK":
                    busy.sendto(alice.response(request, 503, *fields).encode(), peer)
    threading.Thread(target=refuse, daemon=True).start()


def a_server_that_says_503_is_passed_over(world):
    records = hosts(pb=B, busy=SILENT) + service("b", (1, "busy"), (2, "pb"))
    alice, bob = world.publish(records).two()
    open_busy(world, alice)
    ear = Ear(world, SILENT)
    is_passed_over(alice, bob, AT_ONCE)
    said = ear.methods()
    expect(said[:1] == ["INVITE"] and set(said) <= {"INVITE", "ACK"}, f"it was sent {said}")
    is_avoided(alice, bob)
    expect("INVITE" not in ear.methods(), "the first server was asked again")


def a_server_that_says_when_to_come_again_is_asked_then(world):
    """Retry-After (RFC 3261 21.5.4)."""
    records = hosts(pb=B, busy=SILENT) + service("b", (1, "busy"), (2, "pb"))
    alice, bob = world.publish(records).two()
    open_busy(world, alice, f"Retry-After: {AGAIN} (being repaired)")
    ear = Ear(world, SILENT)
    began = time.monotonic()
    call(alice, bob)
    expect("INVITE" in ear.methods(), "the first server was not asked")

    def is_asked():
        """Calls are some apart: b.test takes only so many of one domain at once."""
        if took(began) < len(calls) / 4:
            return False
        calls.append(call(alice, bob))
        return "INVITE" in ear.methods()
    calls = []
    lab.until(is_asked, sip.PATIENCE, "INVITE after the time that it asked for")
    expect(took(began) >= AGAIN, f"it was asked again after {took(began):.1f} s")


# ---- long requests (RFC 3261 18.1.1)

_FIREWALL = """table inet firewall {{
    counter dropped {{ }}
    set attempts {{ type inet_service; size 1024; flags dynamic; }}
    chain input {{
        type filter hook input priority 0;
        {family} daddr {address} tcp dport {{ 5060, 5061 }} \\
            update @attempts {{ tcp sport }} counter name dropped drop
    }}
}}
"""


def drop_connections(address):
    """From now on a firewall lets nobody connect to that address, and says nothing."""
    subprocess.run(["nft", "-f", "-"], check=True, text=True,
                   input=_FIREWALL.format(family="ip6" if ":" in address else "ip",
                                          address=address))


def dropped():
    """How many packets the firewall has dropped."""
    listed = subprocess.run(["nft", "list", "counter", "inet", "firewall", "dropped"], check=True,
                            capture_output=True, text=True).stdout
    return int(re.search(r"packets (\d+)", listed)[1])


def attempts():
    """How many connections it kept from being made: the ports that they came from, for the kernel
    sends the first packet of each again."""
    listed = subprocess.run(["nft", "-j", "list", "set", "inet", "firewall", "attempts"], check=True,
                            capture_output=True, text=True).stdout
    return len(json.loads(listed)["nftables"][1]["set"].get("elem", []))


def a_firewall_that_drops_connections_costs_time_once(world):
    """A request too long for a datagram goes by TCP; where that does not come about, by UDP to the
    same server, and the next at once."""
    records = hosts(pb=B, silent=SILENT) + service("b", (1, "pb"), (2, "silent"))
    alice, bob = world.publish(records).two()
    drop_connections(B)
    ears = [Ear(world, SILENT), Ear(world, SILENT, socket.IPPROTO_TCP)]
    counts = []
    for least, most in (SHORTEST, QUICK), (0, 1):
        began = time.monotonic()
        one = Call(alice, bob, f"Subject: {1300 * 'x'}")
        expect(least <= took(began) < most, f"it took {took(began):.1f} s")
        expect(one.invite.list("Via")[1].startswith("SIP/2.0/UDP "), one.invite.text)
        one.hang_up()
        counts.append(attempts())
    expect(counts == [1, 1], f"{counts} connections were tried")
    expect(ears[0].methods() == [] and not ears[1].attempts(), "the next server was asked")


# ---- the same server for all of a transaction (RFC 3263 4)

def rings_and_is_cancelled(alice, bob):
    attempt = Attempt(alice, "sip:bob@b.test")
    invite = bob.await_request("INVITE")
    bob.answer(invite, 180)
    attempt.provisional(180)
    attempt.cancel()
    cancel = bob.take("CANCEL", 200)
    expect(cancel.branch() == invite.branch(), cancel.text)
    bob.answer(invite, 487)
    attempt.fails(487)
    bob.await_request("ACK")


def a_cancel_goes_to_the_server_that_was_chosen(world):
    """And others of the domain, though of the same rank, hear nothing of the call."""
    records = (hosts(pb=B, silent=SILENT, dead=DEAD) +
               service("b", (1, "pb"), (2, "silent"), (2, "dead")))
    alice, bob = world.publish(records).two()
    open_mute(world)
    ears = [Ear(world, address) for address in (SILENT, DEAD)]
    rings_and_is_cancelled(alice, bob)
    heard = [ear.methods() for ear in ears]
    expect(heard == [[], []], f"the others heard {heard}")


def a_server_that_was_left_is_not_cancelled_unless_it_speaks(world):
    """9.1: CANCEL has to wait for a provisional response; whoever rings after all gets one."""
    records = hosts(pb=B, silent=SILENT) + service("b", (1, "silent"), (2, "pb"))
    alice, bob = world.publish(records).two()
    mute = open_mute(world)
    ear = Ear(world, SILENT)
    attempt = Attempt(alice, "sip:bob@b.test")
    invite = bob.await_request("INVITE")
    expect(set(ear.methods()) == {"INVITE"}, "a server that said nothing got more than INVITE")
    data, peer = mute.recvfrom(65535)
    late = Message(data.decode())
    mute.sendto(alice.response(late, 180).encode(), peer)
    while data.startswith(b"INVITE"):
        data = mute.recv(65535)
    cancel = Message(data.decode())
    expect(cancel.method == "CANCEL" and cancel.branch() == late.branch(), cancel.text)
    bob.answer(invite, 486)
    attempt.fails(486)


# ---- weights (RFC 2782)

class Answering:
    """Servers that take any MESSAGE, and count them."""

    def __init__(self, world, alice, addresses):
        self.counts = dict.fromkeys(addresses, 0)
        for address in addresses:
            one = world.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.bind((address, 5060))
            threading.Thread(target=self._serve, args=(one, alice, address), daemon=True).start()

    def _serve(self, one, alice, address):
        with contextlib.suppress(OSError):
            while True:
                data, peer = one.recvfrom(65535)
                self.counts[address] += 1
                one.sendto(alice.response(Message(data.decode()), 200).encode(), peer)


def servers_are_drawn_by_their_weights(world):
    """Of 240 messages; each bound is six standard deviations away."""
    weights = {"192.0.2.81": 30, "192.0.2.82": 10, "192.0.2.83": 0}
    names = {address: f"w{address[-2:]}" for address in (*weights, "192.0.2.84")}
    records = (hosts(**{name: address for address, name in names.items()}) +
               "".join(f"_sip._udp.c SRV 1 {weight} 5060 {names[address]}\n"
                       for address, weight in weights.items()) +
               "_sip._udp.c SRV 2 60000 5060 w84\n")
    alice, _ = world.publish(PLAIN + records).two()
    answering = Answering(world, alice, names)
    for _ in range(240):
        answer = alice.prove("MESSAGE", "sip:x@c.test", body="hello")
        expect(answer.status == 200, f"MESSAGE was answered {answer.start}")
    often, seldom, hardly, never = answering.counts.values()
    expect(135 <= often <= 216 and 19 <= seldom <= 98 and hardly <= 21 and never == 0,
           f"weights of 30, 10 and 0 were chosen {often}, {seldom} and {hardly} times, "
           f"the second rank {never} times")


# ---- families of addresses

def a_domain_of_ipv6_alone_calls_and_is_called(world):
    """It listens nowhere else, and publishes nothing else; its caller has both families."""
    records = f"{hosts(pa=A)}pa AAAA {A6}\npb AAAA {B6}\n" + service("a", (1, "pa")) + \
        service("b", (1, "pb"))
    alice, bob = world.publish(records).two(interface_a=BOTH_FAMILIES, host_b=B6)
    invite = call(alice, bob)
    expect(f"[{A6}]" in invite.list("Via")[1], invite.text)
    invite = call(bob, alice)
    expect(f"[{B6}]" in invite.list("Via")[1], invite.text)


def a_domain_of_the_other_family_alone_is_refused_and_said_why(world):
    records = f"{hosts(pa=A)}pb AAAA {B6}\n" + service("a", (1, "pa")) + service("b", (1, "pb"))
    alice, bob = world.publish(records).two(host_b=B6)
    refused(alice, "sip:bob@b.test", 502, "No Server Of That Domain Has An Address In Reach")
    refused(bob, "sip:alice@a.test", 502, "No Server Of That Domain Has An Address In Reach")


def a_domain_of_ipv4_alone_is_called_from_both_families(world):
    alice, bob = world.publish(PLAIN).two(interface_a=BOTH_FAMILIES)
    call(alice, bob)


def of_two_families_the_dead_one_is_passed_over(world):
    records = PLAIN + "pb AAAA 2001:db8::66\n"
    alice, bob = world.publish(records).two(interface_a=BOTH_FAMILIES)
    began = time.monotonic()
    call(alice, bob)
    expect(took(began) < AT_ONCE, f"it took {took(began):.1f} s")


def one_family_is_black_holed(world, alice, bob, address):
    """It costs the first call a quarter of a second, and the next nothing."""
    drop_connections(address)
    is_passed_over(alice, bob, AT_ONCE, STAGGER)
    first = attempts()
    is_avoided(alice, bob)
    expect(first and attempts() == first, f"{first} and {attempts() - first} were tried")


def connections_to_a_family_that_is_black_holed_are_not_waited_for(world):
    records = hosts(pa=A, pb=B) + f"pb AAAA {B6}\n" + service("b", (1, "pb"), transport="tcp")
    alice, bob = world.publish(records).two(interface_a=BOTH_FAMILIES, interface_b=f"{B} {B6}")
    one_family_is_black_holed(world, alice, bob, B6)


def a_target_behind_a_firewall_is_given_up_in_four_seconds(world):
    """Three SYNs, or more, nobody has heard."""
    alice, _ = world.publish(PLAIN).two()
    drop_connections(B)
    began = time.monotonic()
    refused(alice, f"sip:bob@{B};transport=tcp", 500)
    expect(took(began) < QUICK, f"it took {took(began):.1f} s")
    expect(dropped() >= 3, f"{dropped()} packets were dropped")


# ---- DNS that is wrong

FORGED = "13 2 " + 64 * "0"


def a_forged_domain_is_refused_and_the_caller_told_why(world):
    records = PLAIN + f"evil NS ns\nevil DS 1 {FORGED}\n"
    alice, bob = world.publish(records, evil=f"{service('', (1, 'pb'))}{hosts(pb=B)}").two()
    refused(alice, "sip:bob@evil.test", 502, "DNS Answer Is Forged")
    call(alice, bob)


def a_domain_that_is_not_there_is_not_found(world):
    alice, bob = world.publish(PLAIN).two()
    began = time.monotonic()
    refused(alice, "sip:bob@nobody.test", 404, "No SIP Server In That Domain")
    expect(took(began) < QUICK, f"it took {took(began):.1f} s")
    call(alice, bob)


def a_domain_that_says_it_has_no_sip_is_not_tried_by_address(world):
    """RFC 2782: a target of `.` means that the service is decidedly not there."""
    records = PLAIN + "".join(f"_{service}._{by}.quiet SRV 0 0 0 .\n"
                              for service, by in (("sip", "udp"), ("sip", "tcp"), ("sips", "tcp")))
    alice, bob = world.publish(records + f"quiet A {B}\n").two()
    refused(alice, "sip:bob@quiet.test", 404)
    call(alice, bob)


def a_lame_name_server_is_said_not_to_answer(world):
    """The zone is delegated to a server that cannot serve it."""
    alice, bob = world.publish(PLAIN + "lame NS ns\n", lame=None).two()
    refused(alice, "sip:bob@lame.test", 504, "DNS Does Not Answer")
    call(alice, bob)


def a_silent_name_server_holds_nobody_else_up(world):
    """A caller of another domain is served while one waits for DNS; and DNS comes back."""
    alice, bob = world.publish(PLAIN).two()
    world.names.process.send_signal(signal.SIGSTOP)
    try:
        waiting = Attempt(alice, "sip:bob@b.test")
        began = time.monotonic()
        alice.ping()
        expect(took(began) < 1, f"OPTIONS took {took(began):.1f} s")
        waiting.fails(504, timeout=40)
        expect(took(began) < DEAF, f"that DNS is dead took {took(began):.1f} s")
    finally:
        world.names.process.send_signal(signal.SIGCONT)
    world.a.await_log("DNS is asked of 192.0.2.53, which is silent so far")
    call(alice, bob)


def a_very_large_answer_comes_by_tcp(world):
    """Sixty servers do not fit into a datagram; those of the best priority are found."""
    records = hosts(pa=A, pb=B) + service("b", *((100 + i, f"a-server-with-a-long-name-{i}")
                                                 for i in range(59)), (1, "pb"))
    alice, bob = world.publish(records).two()
    call(alice, bob)


def a_resolver_that_strips_signatures_is_used_and_said_to_be_so(world):
    """The same names from a server that signs nothing."""
    alice, bob = world.publish(PLAIN).two()
    table = {"test": f"ns A 192.0.2.54\n{PLAIN}"}
    plain = zones.NameServer(os.path.join(world.folder, "plain"), table, (), "192.0.2.54")
    world.stack.callback(plain.discard)
    plain.start()
    world.a.configure(resolver="192.0.2.54")
    world.a.server.process.send_signal(signal.SIGHUP)
    world.a.await_log("the new configuration is in force")
    call(alice, bob)
    world.a.await_log("DNS is asked of 192.0.2.54, and not validated, since no signatures come")


def a_reload_replaces_the_resolver(world):
    alice, bob = world.publish(PLAIN).two()
    world.a.configure(resolver="192.0.2.99")
    world.a.server.process.send_signal(signal.SIGHUP)
    world.a.await_log("the new configuration is in force")
    waiting = Attempt(alice, "sip:bob@b.test")
    world.a.configure()
    world.a.server.process.send_signal(signal.SIGHUP)
    lab.until(lambda: world.a.log().count("the new configuration is in force") == 2, sip.PATIENCE,
              "reload")
    bob.take("INVITE", 486)
    waiting.fails(486)


def a_validating_resolver_may_stand_between(world):
    """unbound, as a network has it for all."""
    world.publish(PLAIN + f"evil NS ns\nevil DS 1 {FORGED}\n",
                  evil=f"{service('', (1, 'pb'))}{hosts(pb=B)}")
    path = os.path.join(world.folder, "unbound.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""server:
    interface: 192.0.2.55
    access-control: 192.0.2.0/24 allow
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{world.folder}"
    pidfile: "{world.folder}/unbound.pid"
    use-syslog: no
    local-zone: "test." nodefault
    do-not-query-localhost: no
    trust-anchor-file: "{world.names.anchor}"
remote-control:
    control-enable: no
stub-zone:
    name: "test"
    stub-addr: {zones.ADDRESS}
""")
    log = world.stack.enter_context(open(os.path.join(world.folder, "unbound.log"), "wb"))
    unbound = lab.spawn(["unbound", "-d", "-c", path], stdout=log, stderr=log)
    world.stack.callback(lab.end, unbound)
    alice, bob = world.two()
    world.a.configure(resolver="192.0.2.55")
    world.a.server.process.send_signal(signal.SIGHUP)
    world.a.await_log("the new configuration is in force")
    call(alice, bob)
    world.a.await_log("DNS is asked of 192.0.2.55, and validated")
    expect(Attempt(alice, "sip:bob@evil.test").final(timeout=30).status in (502, 504),
           "a forged domain was called")


# ---- what is remembered of DNS

def a_name_that_appears_is_found_and_a_change_of_it_followed(world):
    """As soon as the times to live are over, which the zone says: one second."""
    alice, bob = world.publish(hosts(pa=A, pb=B), negative=1).two()
    refused(alice, "sip:bob@b.test", 404, "No SIP Server In That Domain")

    def replace(target):
        world.names.replace("test", f"ns A {zones.ADDRESS}\n{hosts(pa=A, pb=B, dead=DEAD)}"
                                    f"_sip._udp.b 1 SRV 1 1 5060 {target}\n")
    replace("dead")
    ear = Ear(world, DEAD)

    def is_sought_there():
        Attempt(alice, "sip:bob@b.test").final()
        return "INVITE" in ear.methods()
    lab.until(is_sought_there, sip.PATIENCE, "INVITE to where the new name leads")
    replace("pb")

    def is_followed():
        attempt = Attempt(alice, "sip:bob@b.test")
        invite = bob.receive(1.0)
        if invite:
            bob.answer(invite, 486)
        return attempt.final().status == 486
    lab.until(is_followed, sip.PATIENCE, "call to where the name leads now")


def what_dns_said_is_kept_as_long_as_it_may_be(world):
    """Also that there is nothing: nobody is asked again within the minute that the zone allows."""
    alice, bob = world.publish(PLAIN).two()
    call(alice, bob)
    refused(alice, "sip:bob@nobody.test", 404)
    world.names.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        call(alice, bob)
        refused(alice, "sip:bob@nobody.test", 404, "No SIP Server In That Domain")
        expect(took(began) < 1, f"it took {took(began):.1f} s")
    finally:
        world.names.process.send_signal(signal.SIGCONT)


def a_domain_that_was_just_set_up_is_found_in_five_minutes(world):
    """Though its zone allows to remember for a day that there was nothing."""
    ahead = os.path.join(world.folder, "ahead") # how far the server's clocks are
    world.publish(hosts(pa=A, pb=B), negative=86400)
    one = Domain(world, "a.test", A, "alice")
    one.server.environment = {**os.environ, "LD_PRELOAD": HASTE, "SIPWITCH_HASTE": ahead}
    alice, bob = one.start().phone(), Domain(world, "b.test", B, "bob").start().phone()
    refused(alice, "sip:bob@b.test", 404)
    world.names.replace("test", f"ns A {zones.ADDRESS}\n{PLAIN}")
    lab.until(lambda: world.names.serves("_sip._udp.b.test", "SRV"), 20.0, "the new zone")
    set_ahead(ahead, 270)
    refused(alice, "sip:bob@b.test", 404, "No SIP Server In That Domain")
    set_ahead(ahead, 330)
    call(alice, bob)


def set_ahead(path, seconds):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(str(seconds))
    os.rename(path + ".new", path)


# ---- files of the system

def the_hosts_file_counts_first(world):
    """A name that stands there is reached there, whatever DNS would say."""
    path = os.path.join(world.folder, "hosts")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"127.0.0.1 localhost\n{B} b.test\n")
    subprocess.run(["mount", "--bind", path, "/etc/hosts"], check=True)
    alice, bob = world.publish(hosts(b=DEAD)).two()
    call(alice, bob)


def resolv_conf_is_used_and_its_changes_are_noticed(world):
    """A laptop that moves to another network."""
    path = os.path.join(world.folder, "resolv.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write("nameserver 192.0.2.98\n")
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)
    alice, bob = world.publish(PLAIN).two()
    world.a.configure(resolver=" ")
    world.a.server.process.send_signal(signal.SIGHUP)
    world.a.await_log("the new configuration is in force")
    refused(alice, "sip:bob@b.test", 504)
    world.a.await_log("DNS is asked of 192.0.2.98, which is silent so far")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"nameserver {zones.ADDRESS}\n")
    call(alice, bob)


# ---- phones that people have

def real_phones_call_by_address_alone(world):
    """baresip at both ends, and each hears the other."""
    world.publish(PLAIN)
    phones = []
    for name, host, user, tone in ("a.test", A, "alice", calls.ALICE_TONE), \
            ("b.test", B, "bob", calls.BOB_TONE):
        domain = Domain(world, name, host, user).start()
        sound = baresip.make_tone(os.path.join(world.folder, f"{user}.wav"), tone)
        phone = baresip.Baresip(user, world.folder, sound)
        world.stack.callback(phone.discard)
        phone.start()
        phone.add_account(user, domain.users[user], domain.server, name)
        phone.expect("REGISTER_OK")
        phones.append((phone, domain))
    (alice, _), (bob, at_b) = phones
    calls.call(alice, bob, "sip:bob@b.test")
    calls.hear_each_other(alice, bob)
    calls.hang_up(alice, bob, at_b.server)
    calls.call(bob, alice, "sip:alice@a.test")
    calls.hear_each_other(alice, bob)


# ---- strangers

_HEADS = """      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:sipp@[local_ip]>;tag=[call_number]
      To: <sip:alice@[remote_ip]>{tag}
      Call-ID: [call_id]
      CSeq: {cseq}
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Length: 0
"""
_SEND = """  <send{how}><![CDATA[
      {method} {uri} SIP/2.0
{routes}{heads}
  ]]></send>
"""
_ANSWER = """  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_Record-Route:]
      [last_From:]
      [last_To:];tag=[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Content-Length: 0

  ]]></send>
"""


def _send(method, cseq, uri="[next_url]", again=True):
    first = method == "INVITE"
    return _SEND.format(method=method, uri="sip:alice@a.test" if first else uri,
                        how=' retrans="500"' if again else "",
                        routes="" if first else "      [routes]\n",
                        heads=_HEADS.format(cseq=f"{cseq} {method}",
                                            tag="" if first else "[peer_tag_param]"))


# The scenarios that sipp has of its own know no Record-Route.
_CALLER = ("<scenario>\n" + _send("INVITE", 1) + '  <recv response="100" optional="true"/>\n'
           '  <recv response="200" rrs="true"/>\n' + _send("ACK", 1, again=False) +
           _send("BYE", 2) + '  <recv response="200"/>\n</scenario>\n')
_CALLEE = ('<scenario>\n  <recv request="INVITE"/>\n' + _ANSWER + '  <recv request="ACK"/>\n'
           '  <recv request="BYE"/>\n' + _ANSWER.replace(";tag=[call_number]", "") +
           "</scenario>\n")


def spawn_sipp(world, name, scenario, address, *options):
    path = os.path.join(world.folder, f"{name}.xml")
    with open(path, "w", encoding="ascii") as file:
        file.write(f'<?xml version="1.0"?>\n{scenario}')
    log = world.stack.enter_context(open(os.path.join(world.folder, f"{name}.log"), "wb"))
    one = lab.spawn(["sipp", "-sf", path, "-i", address, "-p", "5060", "-m", "1", "-nostdin",
                     "-timeout", "20", "-timeout_error", *options], cwd=world.folder, stdout=log,
                    stderr=log)
    world.stack.callback(lab.end, one)
    return one


def await_sipp(one, world, name):
    status = one.wait(30)
    expect(status == 0, f"sipp ended with {status}: "
                        f"{lab.tail(os.path.join(world.folder, f'{name}.log'), 30)}")


def a_stranger_with_sipp_is_called(world):
    """Another implementation, without a domain of its own."""
    alice, _ = world.publish(PLAIN + hosts(far="192.0.2.77")).two()
    far = spawn_sipp(world, "callee", _CALLEE, "192.0.2.77")
    lab.until(lambda: listens("192.0.2.77"), sip.PATIENCE, "sipp")
    _, dialog = Attempt(alice, "sip:anyone@far.test").accepted()
    answer = alice.ask(dialog.write("BYE"))
    expect(answer.status == 200, f"BYE was answered {answer.start}")
    await_sipp(far, world, "callee")


def a_stranger_with_sipp_calls(world):
    alice, _ = world.publish(PLAIN).two()
    far = spawn_sipp(world, "caller", _CALLER, "192.0.2.78", f"{A}:5060")
    alice.take("INVITE", 200)
    alice.take("ACK")
    alice.take("BYE", 200)
    await_sipp(far, world, "caller")


def listens(address):
    """Whether a UDP socket is bound there."""
    wanted = f"{struct.unpack('<I', socket.inet_aton(address))[0]:08X}:{5060:04X}"
    with open("/proc/net/udp", encoding="ascii") as file:
        return wanted in file.read()


_KAMAILIO = """listen=udp:{address}:5060
listen=tcp:{address}:5060
children=2
tcp_children=2
log_stderror=yes
debug=1
dns_try_naptr=yes
use_dns_failover=yes
alias="{name}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
{more}request_route {{
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ if (is_method("ACK")) exit; sl_send_reply("404", "Gone"); exit; }}
        t_relay(); exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    record_route();
    if (uri == myself) {{
        if (!lookup("location")) {{ sl_send_reply("404", "Nobody"); exit; }}
    }}
    t_relay();
}}
"""


class Kamailio:
    """A domain of another kind, which lets everybody register."""

    transport = "udp"

    def __init__(self, world, name, host, more=""):
        self.domain, self.host, self.port = name, host, 5060
        self.users = {"bob": None}
        self.world = world
        path = os.path.join(world.folder, "kamailio.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(_KAMAILIO.format(address=host, name=name, more=more))
        self.log = os.path.join(world.folder, "kamailio.log")
        with open(self.log, "wb") as log:
            process = lab.spawn(["kamailio", "-DD", "-E", "-f", path, "-m", "32", "-M", "4",
                                 "-P", os.path.join(world.folder, "kamailio.pid"),
                                 "-Y", world.folder], stdout=log, stderr=log)
        world.stack.callback(lab.end, process)
        lab.until(lambda: listens(host) and self._takes_streams(), 20.0,
                  f"Kamailio: {lab.tail(self.log)}")

    def _takes_streams(self):
        """It does that a while later."""
        with contextlib.suppress(OSError), socket.create_connection(self.address(), 5):
            return True
        return False

    def next_host(self):
        return self.host

    def address(self):
        return self.host, self.port

    def phone(self):
        one = sip.Phone(self, "bob")
        self.world.stack.callback(one.close)
        answer = one.ask(one.request("REGISTER", f"sip:{self.domain}",
                                     f"Contact: <{one.contact()}>", to=f"<{one.aor()}>"))
        expect(answer.status == 200, f"REGISTER was answered {answer.start}")
        return one


def ask_our_name_server(world):
    """Whatever goes by resolv.conf does."""
    path = os.path.join(world.folder, "resolv.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"nameserver {zones.ADDRESS}\n")
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)


def call_kamailio(world, transport):
    ask_our_name_server(world)
    world.publish(hosts(pa=A, pb=B) + service("a", (1, "pa"), transport=transport) +
                  service("b", (1, "pb"), transport=transport))
    alice = Domain(world, "a.test", A, "alice").start().phone()
    bob = Kamailio(world, "b.test", B).phone()
    for caller, callee in (alice, bob), (bob, alice):
        via = call(caller, callee).list("Via")[1]
        expect(via.startswith(f"SIP/2.0/{transport.upper()} "), via)


def a_domain_of_kamailio_calls_and_is_called(world):
    call_kamailio(world, "udp")


def a_domain_of_kamailio_calls_and_is_called_by_tcp(world):
    call_kamailio(world, "tcp")


CHECKS = [
    domains_call_each_other_by_udp,
    domains_call_each_other_by_tcp,
    phones_by_tcp_call_by_name,
    a_phone_that_sends_all_to_its_server_by_a_route_calls_by_name,
    naptr_chooses_the_transport,
    a_domain_without_srv_is_its_address,
    names_behind_names_are_followed,
    a_domain_that_is_not_signed_is_called,
    a_server_where_nobody_listens_is_passed_over,
    a_server_that_is_silent_is_passed_over,
    a_server_that_takes_no_connections_is_passed_over,
    a_server_that_says_503_is_passed_over,
    a_server_that_says_when_to_come_again_is_asked_then,
    a_firewall_that_drops_connections_costs_time_once,
    a_cancel_goes_to_the_server_that_was_chosen,
    a_server_that_was_left_is_not_cancelled_unless_it_speaks,
    servers_are_drawn_by_their_weights,
    a_name_that_appears_is_found_and_a_change_of_it_followed,
    what_dns_said_is_kept_as_long_as_it_may_be,
    a_domain_that_was_just_set_up_is_found_in_five_minutes,
    a_domain_of_ipv6_alone_calls_and_is_called,
    a_domain_of_the_other_family_alone_is_refused_and_said_why,
    a_domain_of_ipv4_alone_is_called_from_both_families,
    of_two_families_the_dead_one_is_passed_over,
    connections_to_a_family_that_is_black_holed_are_not_waited_for,
    a_target_behind_a_firewall_is_given_up_in_four_seconds,
    a_forged_domain_is_refused_and_the_caller_told_why,
    a_domain_that_is_not_there_is_not_found,
    a_domain_that_says_it_has_no_sip_is_not_tried_by_address,
    a_lame_name_server_is_said_not_to_answer,
    a_silent_name_server_holds_nobody_else_up,
    a_very_large_answer_comes_by_tcp,
    a_resolver_that_strips_signatures_is_used_and_said_to_be_so,
    a_reload_replaces_the_resolver,
    a_validating_resolver_may_stand_between,
    the_hosts_file_counts_first,
    resolv_conf_is_used_and_its_changes_are_noticed,
    real_phones_call_by_address_alone,
    a_stranger_with_sipp_is_called,
    a_stranger_with_sipp_calls,
    a_domain_of_kamailio_calls_and_is_called,
    a_domain_of_kamailio_calls_and_is_called_by_tcp,
]


def run_here(check):
    """One check, in this process; says how it went, and whether well."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        world = World(stack)
        try:
            check(world)
        except (Failure, lab.Failure, OSError, ValueError) as failure:
            print(f"not ok {check.__name__}: {failure}", flush=True)
            return False
    print(f"ok {check.__name__} ({took(began):.1f} s)", flush=True)
    return True


def enter():
    lab.enter()
    for address in A6, B6:
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo"], check=True)


def main(checks=None, file=__file__):
    """All checks, or those of another file."""
    known = checks or CHECKS
    if sys.argv[1:2] == ["--one"]:
        enter()
        check = next(check for check in known if check.__name__ == sys.argv[2])
        return 0 if run_here(check) else 1
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    checks = [check for check in known if word in check.__name__]
    if not checks:
        sys.exit(f"domains_test: no check's name contains {word!r}")
    lab.need("knotd", "keymgr", "unbound", "baresip", "sox", "sipp", "kamailio", "nft")
    alone = [subprocess.run([sys.executable, file, "--one", check.__name__], check=False)
             for check in checks]
    return max(done.returncode for done in alone) and 1


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except lab.Unable as unable:
        sys.exit(f"not ok domains_test: {unable}")
