#!/usr/bin/env python3
"""The real sipw on a machine whose addresses come and go while it runs, in a network of its own:
phones are beyond a link, in another namespace.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "interop")]

import lab
import server_test
from server_test import Failure, expect, server, until
from stream_test import Peer, call, header, headers, in_dialog

FAR = "far"  # the namespace of the phones
ONE, OTHER, SIX = "198.51.100.1", "198.51.100.3", "2001:db8:7::1"
THERE = "198.51.100.2/24", "2001:db8:7::2/64"
IP_FREEBIND = 15
TIMER_B = 32  # seconds: a phone may be back soon, and is waited for so long
CONFIG = """<?xml version="1.0"?>
<sipwitch>
  <registry><realm>lab.test</realm></registry>
  <stack><interface>%s</interface><transport>udp tcp</transport></stack>
  <provision>
    <user id="alice" secret="alices secret"/>
    <user id="bob" secret="bobs secret"/>
  </provision>
</sipwitch>
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def build():
    lab.mount_run()
    ip("netns", "add", FAR)
    ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", FAR)
    ip("link", "set", "near", "up")
    ip("route", "delete", "default")  # who is out of reach is known to be
    # An address does not take others of its network along.
    with open("/proc/sys/net/ipv4/conf/near/promote_secondaries", "w", encoding="ascii") as file:
        file.write("1")
    for words in (["link", "set", "lo", "up"], ["link", "set", "far", "up"],
                  *(["address", "add", one, "dev", "far", *["nodad"] * (":" in one)]
                    for one in THERE)):
        ip("-n", FAR, *words)


def reset():
    ip("address", "flush", "dev", "near", "scope", "global")


def put(address, *how):
    ip("address", "add", f"{address}/{64 if ':' in address else 24}", "dev", "near", *how)


def take(address):
    ip("address", "delete", f"{address}/{64 if ':' in address else 24}", "dev", "near")


def batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


class Phone(Peer):
    """Beyond the link, and speaks to that address of the server's."""

    def __init__(self, one, user, transport, host):
        with lab.inside(FAR):
            super().__init__(one, user, transport, host)
        own = self.socket.getsockname()[0]
        self.host = f"[{own}]" if ":" in own else own
        self.contact = f"<sip:{user}@{self.host}:{self.port};transport={transport}>"
        self.sent_by = f"{self.host}:{self.port}"

    def listen_to_all(self):
        """It takes datagrams from any address of the server's from now on."""
        with lab.inside(FAR):
            other = socket.socket(self.family, socket.SOCK_DGRAM)
        address = self.socket.getsockname()
        self.socket.close()
        other.bind(address)
        other.settimeout(server_test.PATIENCE)
        self.socket = other

    def send(self, text):
        try:
            super().send(text)
        except OSError:  # it is not connected: it answers whom it was written to by
            self.socket.sendto(text.encode(), self.server)

    def receive(self, patience=server_test.PATIENCE):
        self.socket.settimeout(patience)
        if self.transport == "tcp":
            return super().receive(patience)
        message, self.server = self.socket.recvfrom(65536)
        return message.decode()


@contextlib.contextmanager
def running(interface="*", addresses=()):
    """A server on all addresses, of which these are there from the beginning."""
    for address in addresses:
        put(address, *["nodad"] * (":" in address))
    with server(CONFIG % interface, 5060) as one:
        one.start("--public")
        yield one


def listening(one):
    said = subprocess.run([os.path.join(os.path.dirname(server_test.SIPW), "sipwitch"),
                           "--prefixpath", one.state, "status", "--json"],
                          check=True, capture_output=True, text=True).stdout
    return set(json.loads(said)["listening"])


def written(address):
    return f"[{address}]" if ":" in address else address


def sockets_of(address, port=5060):
    return {f"{transport} {written(address)}:{port}" for transport in ("UDP", "TCP")}


def await_come(one, address):
    one.await_line(f"listening on {written(address)}, too")


def await_gone(one, address):
    one.await_line(f"{written(address)} has gone")
    await_reload(one)


def await_reload(one):
    one.await_line("the new configuration is in force")


def come(one, address, *how):
    put(address, *how)
    await_come(one, address)


def go(one, address):
    take(address)
    await_gone(one, address)


def hang_up(one, invite, answer, other, is_caller=True):
    one.send(in_dialog(one, "BYE", answer, invite, is_caller))
    other.respond(other.expect("BYE "), "200 OK")
    one.expect("SIP/2.0 200 ")


def talk(caller, callee):
    """A call, and its end; the INVITE that came."""
    invite, answer = call(caller, callee, f"sip:{callee.user}@lab.test")
    hang_up(caller, invite, answer, callee)
    return invite


def descriptors(one):
    return len(os.listdir(f"/proc/{one.process.pid}/fd"))


def expect_lively(one):
    expect(one.process.poll() is None, f"the server has ended: {one.process.poll()}")


# ---- checks

def an_address_that_comes_is_listened_on():
    with running() as one:
        expect(not sockets_of(ONE) & listening(one), "it is there already")
        come(one, ONE)
        expect(sockets_of(ONE) <= listening(one), f"status says {listening(one)}")
        alice = Phone(one, "alice", "tcp", ONE).bind()
        bob = Phone(one, "bob", "udp", ONE).bind()
        invite = talk(alice, bob)
        expect(ONE in header(invite, "Via"), f"it came by {invite!r}")
        talk(bob, alice)


def the_name_of_an_address_that_comes_is_ours():
    with running() as one:
        come(one, ONE)
        alice = Phone(one, "alice", "udp", ONE).bind()
        bob = Phone(one, "bob", "udp", ONE).bind()
        invite, answer = call(alice, bob, f"sip:bob@{ONE}")
        hang_up(alice, invite, answer, bob)


def an_ipv6_address_that_comes_is_listened_on():
    with running() as one:
        come(one, SIX, "nodad")
        expect(sockets_of(SIX) <= listening(one), f"status says {listening(one)}")
        alice = Phone(one, "alice", "tcp", SIX).bind()
        bob = Phone(one, "bob", "udp", SIX).bind()
        talk(alice, bob)


def an_ipv6_address_is_listened_on_as_soon_as_it_is_known_to_be_alone():
    with running() as one:
        put(SIX)
        seen = []
        while not (seen and f"listening on [{SIX}], too" in seen[-1]):
            line = one.next_line()
            expect(line, f"it said no more than {seen}")
            seen.append(line)
        expect(not [line for line in seen if "no such address" in line], f"it said {seen}")
        alice = Phone(one, "alice", "udp", SIX).bind()
        talk(alice, Phone(one, "bob", "tcp", SIX).bind())


def a_server_starts_while_an_ipv6_address_is_asked_for():
    put(SIX)
    with server(CONFIG % "*", 5060) as one:
        one.start("--public")
        until(lambda: sockets_of(SIX) <= listening(one), f"socket at {SIX}")
        Phone(one, "alice", "udp", SIX).bind()


def an_address_that_goes_is_left_and_calls_by_others_go_on():
    with running(addresses=[ONE, OTHER]) as one:
        alice = Phone(one, "alice", "udp", OTHER).bind()
        bob = Phone(one, "bob", "tcp", OTHER).bind()
        invite, answer = call(alice, bob)
        go(one, ONE)
        expect(not sockets_of(ONE) & listening(one), f"status says {listening(one)}")
        expect(sockets_of(OTHER) <= listening(one), f"status says {listening(one)}")
        hang_up(bob, invite, answer, alice, is_caller=False)
        talk(bob, alice)


def a_call_goes_on_by_another_address_than_the_one_that_has_gone():
    with running(addresses=[OTHER]) as one:
        come(one, ONE)
        alice = Phone(one, "alice", "udp", OTHER).bind()
        bob = Phone(one, "bob", "udp", ONE).bind()
        invite, answer = call(alice, bob)
        bob.listen_to_all()
        go(one, ONE)
        hang_up(alice, invite, answer, bob)


def an_answer_leaves_by_another_address_than_the_one_that_has_gone():
    with running(addresses=[ONE, OTHER]) as one:
        alice = Phone(one, "alice", "udp", ONE).bind()
        bob = Phone(one, "bob", "tcp", OTHER).bind()
        alice.begin("INVITE", "sip:bob@lab.test")
        invite = bob.expect("INVITE ")
        alice.listen_to_all()
        go(one, ONE)
        bob.respond(invite, "200 OK")
        answer = alice.expect("SIP/2.0 200 ")
        expect(f"@{ONE}:" in headers(answer, "Record-Route")[-1], f"nothing names it in {answer!r}")
        alice.send(in_dialog(alice, "ACK", answer, invite))
        bob.expect("ACK ")
        hang_up(bob, invite, answer, alice, is_caller=False)


def a_phone_that_registered_by_an_address_that_has_gone_is_called_by_another():
    with running(addresses=[OTHER]) as one:
        come(one, ONE)
        alice = Phone(one, "alice", "udp", OTHER).bind()
        bob = Phone(one, "bob", "udp", ONE).bind()
        bob.listen_to_all()
        go(one, ONE)
        invite = talk(alice, bob)
        expect(ONE not in header(invite, "Via"), f"the Via says where nobody is: {invite!r}")
        for route in headers(invite, "Record-Route"):
            expect(f"@{ONE}" not in route, f"the route leads where nobody is: {invite!r}")


def a_phone_that_nothing_leads_to_is_refused():
    with running(addresses=[ONE]) as one:
        Phone(one, "bob", "udp", ONE).bind()
        go(one, ONE)
        alice = Peer(one, "alice", "udp", lab.ADDRESS).bind()
        alice.begin("INVITE", "sip:bob@lab.test")
        while (answer := alice.receive(TIMER_B + server_test.PATIENCE)).startswith("SIP/2.0 1"):
            pass
        expect(answer.startswith("SIP/2.0 408 "), f"INVITE was answered {answer!r}")
        alice.acknowledge("sip:bob@lab.test", answer)
        come(one, ONE)
        talk(alice, Phone(one, "bob", "udp", ONE).bind())


def an_address_that_comes_back_is_listened_on_again():
    with running(addresses=[ONE]) as one:
        for _ in range(3):
            go(one, ONE)
            come(one, ONE)
            alice = Phone(one, "alice", "udp", ONE).bind()
            talk(alice, Phone(one, "bob", "tcp", ONE).bind())
        expect(sockets_of(ONE) <= listening(one), f"status says {listening(one)}")


def a_link_that_goes_down_takes_its_addresses_along():
    with running(addresses=[ONE]) as one:
        try:
            ip("link", "set", "near", "down")
            await_gone(one, ONE)
        finally:
            ip("link", "set", "near", "up")
        await_come(one, ONE)
        Phone(one, "alice", "udp", ONE).bind()


def hundreds_of_addresses_leave_nothing_behind():
    many = [f"198.51.100.{n}" for n in range(10, 60)]
    with running(addresses=[ONE]) as one:
        alice = Phone(one, "alice", "udp", ONE).bind()
        bob = Phone(one, "bob", "tcp", ONE).bind()
        go_round(one, many[:20])
        before, known = descriptors(one), listening(one)
        for n in range(6):
            go_round(one, [address.replace("198.51", f"198.{60 + n}") for address in many])
        batch([f"address {what} 198.70.{n % 3}.{n}/24 dev near"
               for n in range(1, 250) for what in ("add", "delete")])
        talk(alice, bob)
        put(OTHER)
        await_come(one, OTHER)
        talk(Phone(one, "alice", "tcp", OTHER).bind(), Phone(one, "bob", "udp", OTHER).bind())
        take(OTHER)
        await_gone(one, OTHER)
        until(lambda: listening(one) == known, f"end of others than {known}")
        # Two connections of phones are added, and perhaps those that went with their address.
        expect(descriptors(one) <= before + 2, f"{before} descriptors became {descriptors(one)}")
        status, said = one.end()
        expect(status == 0, f"exit status {status}: {said!r}")


def go_round(one, addresses):
    """They come, are listened on, and go."""
    wanted = set().union(*map(sockets_of, addresses))
    batch([f"address add {address}/24 dev near" for address in addresses])
    until(lambda: wanted <= listening(one), f"sockets at {addresses}")
    batch([f"address delete {address}/24 dev near" for address in reversed(addresses)])
    until(lambda: not wanted & listening(one), f"end of the sockets at {addresses}")


def a_bad_configuration_keeps_what_is_served():
    with running(addresses=[OTHER]) as one:
        alice = Phone(one, "alice", "udp", OTHER).bind()
        bob = Phone(one, "bob", "tcp", OTHER).bind()
        with open(one.config, "w", encoding="utf-8") as file:
            file.write("<sipwitch>")
        put(ONE)
        one.await_line(f"{one.config}:1:")
        one.await_line("the old configuration stays in force")
        expect(not sockets_of(ONE) & listening(one), f"status says {listening(one)}")
        waiting = [Phone(one, "alice", transport, ONE) for transport in ("tcp", "udp")]
        for phone in waiting:
            phone.send(phone.request("OPTIONS", "sip:lab.test"))
        talk(alice, bob)
        answered, _, _ = select.select([phone.socket for phone in waiting], [], [], 0)
        expect(not answered, "what nobody knows of is answered")
        with open(one.config, "w", encoding="utf-8") as file:
            file.write(CONFIG % "*")
        one.process.send_signal(signal.SIGHUP)
        await_come(one, ONE)
        for phone in waiting:
            phone.expect("SIP/2.0 200 ")
        await_reload(one)
        talk(Phone(one, "alice", "tcp", ONE).bind(), Phone(one, "bob", "udp", ONE).bind())


def a_port_in_use_there_is_said_once_and_the_rest_is_served():
    with running() as one, socket.socket() as other:
        other.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((ONE, 5060))
        other.listen()
        put(ONE)
        one.await_line(f"{ONE}:5060/tcp is in use")
        await_come(one, ONE)
        expect(sockets_of(ONE) & listening(one) == {f"UDP {ONE}:5060"}, f"status says {listening(one)}")
        Phone(one, "alice", "udp", ONE).bind()
        put(OTHER)  # all are looked at again
        seen = []
        while not (seen and "the new configuration is in force" in seen[-1] and
                   any(OTHER in line for line in seen)):
            line = one.next_line()
            expect(line, f"it said no more than {seen}")
            seen.append(line)
        expect(not [line for line in seen if "is in use" in line], f"it is said again: {seen}")


def an_address_that_is_written_is_kept():
    for interface in f"{lab.ADDRESS} {ONE}", f"* {ONE}":
        with running(interface, [ONE, OTHER]) as one:
            before = descriptors(one)
            take(OTHER)
            take(ONE)
            if "*" in interface:
                line = one.await_line("has gone")
                expect(OTHER in line, f"it said {line!r}")
                await_reload(one)
            expect(sockets_of(ONE) <= listening(one), f"status says {listening(one)}")
            put(ONE)
            talk(Phone(one, "alice", "udp", ONE).bind(), Phone(one, "bob", "tcp", ONE).bind())
            expect(descriptors(one) <= before + 1, f"{before} descriptors became {descriptors(one)}")
        reset()


def a_binding_outlives_a_restart_with_fewer_addresses():
    with running(addresses=[OTHER]) as one:
        come(one, ONE)
        bob = Phone(one, "bob", "udp", ONE).bind()
        bob.listen_to_all()
        one.end(signal.SIGKILL)
        take(ONE)
        one.start("--public")
        alice = Phone(one, "alice", "udp", OTHER).bind()
        talk(alice, bob)
        one.end(signal.SIGKILL)
        take(OTHER)
        one.start("--public")
        alice = Peer(one, "alice", "udp", lab.ADDRESS).bind()
        come(one, ONE)
        talk(alice, bob)


def a_stream_to_an_address_that_has_gone_ends_without_harm():
    with running(addresses=[ONE, OTHER]) as one:
        bob = Phone(one, "bob", "tcp", ONE).bind()
        alice = Phone(one, "alice", "tcp", OTHER).bind()
        go(one, ONE)
        bob.close()
        alice.begin("INVITE", "sip:bob@lab.test")
        expect_lively(one)
        bob = Phone(one, "bob", "tcp", OTHER).bind()
        until(lambda: alice.receive()[8] in "123456", "answer")
        alice = Phone(one, "alice", "udp", OTHER).bind()
        talk(alice, bob)


CHECKS = [
    an_address_that_comes_is_listened_on,
    the_name_of_an_address_that_comes_is_ours,
    an_ipv6_address_that_comes_is_listened_on,
    an_ipv6_address_is_listened_on_as_soon_as_it_is_known_to_be_alone,
    a_server_starts_while_an_ipv6_address_is_asked_for,
    an_address_that_goes_is_left_and_calls_by_others_go_on,
    a_call_goes_on_by_another_address_than_the_one_that_has_gone,
    an_answer_leaves_by_another_address_than_the_one_that_has_gone,
    a_phone_that_registered_by_an_address_that_has_gone_is_called_by_another,
    a_phone_that_nothing_leads_to_is_refused,
    an_address_that_comes_back_is_listened_on_again,
    a_link_that_goes_down_takes_its_addresses_along,
    hundreds_of_addresses_leave_nothing_behind,
    a_bad_configuration_keeps_what_is_served,
    a_port_in_use_there_is_said_once_and_the_rest_is_served,
    an_address_that_is_written_is_kept,
    a_binding_outlives_a_restart_with_fewer_addresses,
    a_stream_to_an_address_that_has_gone_ends_without_harm,
]


def main():
    names, failed = set(sys.argv[1:]), 0
    lab.end_on_signals()
    lab.enter()
    lab.need("ip")
    build()
    for check in CHECKS:
        if names and check.__name__ not in names:
            continue
        try:
            reset()
            check()
            print(f"ok {check.__name__}", flush=True)
        except (Failure, lab.Failure, OSError, ValueError, subprocess.SubprocessError) as failure:
            failed += 1
            print(f"not ok {check.__name__}: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
