#!/usr/bin/env python3
"""The real sipw, asked where a call would go and why: `sipwitch route`.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True

import server_test
from config_test import reload
from control_test import refused, run
from names import empty_dns
from server_test import expect, server
from stream_test import Peer

CONFIG = """<?xml version="1.0"?>
<sipwitch>
  <registry><realm>lab.test</realm><prefix>200</prefix><range>100</range></registry>
  <stack>
    <published>lab.test</published>
    <system>boss</system>
    <resolver>RESOLVER</resolver>
  </stack>
  <domains>
    <domain name="strict.test" tls="verified"/>
  </domains>
  <provision>
    <profile id="house" trs="1" incoming="no" outgoing="no"/>
    <user id="alice" secret="alices secret" extension="201"/>
    <user id="bob" secret="bobs secret" extension="202"/>
    <user id="erik" secret="e" profile="house"/>
    <user id="desk" secret="d" contact="sip:desk@127.0.0.9:5099"/>
    <gateway id="trunk" contact="sip:trunk@127.0.0.8">
      <routes>
        <route pattern="9" prefix="-9"/>
        <route pattern="8" priority="5"/>
      </routes>
    </gateway>
    <alias id="sales" contacts="sip:202@lab.test"/>
    <alias id="ring" contacts="sip:ring@lab.test"/>
    <reject id="nobody" error="404"/>
  </provision>
  <routing>
    <rewrite pattern="77" replace="202"/>
    <redirect pattern="66" target="sip:info@127.0.0.7"/>
    <refer pattern="55" server="127.0.0.6"/>
    <refuse pattern="44" error="603"/>
  </routing>
</sipwitch>
"""


def line_of(text):
    """The line of CONFIG in which this stands."""
    found = [n for n, line in enumerate(CONFIG.splitlines(), 1) if text in line]
    expect(len(found) == 1, f"{text} stands in lines {found}")
    return found[0]


@contextlib.contextmanager
def routed(resolver="127.0.0.1@1"):
    with server(config=CONFIG.replace("RESOLVER", resolver)) as one:
        yield one.start()


def ask(one, *words, status=0):
    """Its rows."""
    got, said, complaint = run(one, "route", *words, "--json")
    expect(got == status and not complaint, f"{words}: status {got}, {said!r}, {complaint!r}")
    return [json.loads(line) for line in said.splitlines()]


def step(found, kind, part="", line=None):
    """The step of that kind which says so, and where the rule stands."""
    wanted = [row for row in found if row.get("step") == kind and part in row["text"]]
    expect(wanted, f"no {kind} with {part!r} in {found}")
    if line:
        expect(wanted[0].get("line") == line_of(line) and
               wanted[0]["file"].endswith("sipwitch.conf"), f"{wanted[0]} is not of {line}")
    return wanted[0]


def ends(found, result, **members):
    expect(found[-1] == {"result": result, **members}, f"{found[-1]} ends {found}")


def phone_is_found_by_id_extension_and_alias():
    with routed() as one:
        bob = Peer(one, "bob", "udp").bind()
        for dialed in "bob", "202", "sip:202@lab.test", "sales":
            found = ask(one, "--as", "alice", dialed)
            step(found, "caller", "alice calls", 'id="alice"')
            row = step(found, "target", "a phone of bob")
            expect(row["address"] == f"127.0.0.1:{bob.port}" and row["transport"] == "UDP", row)
            ends(found, "goes")
        step(ask(one, "--as", "alice", "202"), "user", "202 is the extension of bob", 'id="bob"')
        step(ask(one, "--as", "alice", "sales"), "user", "sales is an alias", 'id="sales"')
        expect(bob.socket.gettimeout() and not pending(bob), "something was sent")


def pending(peer):
    try:
        return peer.receive(0.01)
    except TimeoutError:
        return ""


def who_has_no_phone_is_said():
    with routed() as one:
        found = ask(one, "--as", "alice", "bob", status=3)
        step(found, "user", "no phone of bob is registered")
        ends(found, "refused", status=480, text="Temporarily Unavailable")
        found = ask(one, "--as", "alice", "desk")
        expect(step(found, "target")["address"] == "127.0.0.9:5099", found)
        found = ask(one, "--as", "alice", "alice", status=3)
        step(found, "user", "alice is the caller itself")
        ends(found, "refused", status=486, text="Busy Here")


def routes_of_gateways_are_named():
    with routed() as one:
        found = ask(one, "--as", "alice", "9123")
        step(found, "route", "is asked for 123", 'pattern="9"')
        expect(step(found, "target")["uri"] == "sip:123@127.0.0.8", found)
        found = ask(one, "--as", "alice", "8123", status=3)
        step(found, "route", "of a higher level than 1", 'pattern="8"')
        step(found, "unknown", "8123 is nobody's")
        ends(found, "refused", status=404, text="Not Found")


def rules_are_named():
    with routed() as one:
        Peer(one, "bob", "udp").bind()
        found = ask(one, "--as", "alice", "77")
        step(found, "rule", "the rule for 77 makes it 202", 'pattern="77"')
        ends(found, "goes")
        found = ask(one, "--as", "alice", "66")
        step(found, "rule", "sends it on to sip:info@127.0.0.7", 'pattern="66"')
        expect(step(found, "target")["address"] == "127.0.0.7:5060", found)
        found = ask(one, "--as", "alice", "55")
        step(found, "rule", "tells the caller to ask sip:55@127.0.0.6", 'pattern="55"')
        ends(found, "referred", status=302, text="Moved Temporarily", uri="sip:55@127.0.0.6")
        found = ask(one, "--as", "alice", "44", status=3)
        step(found, "rule", "the rule for 44 refuses it", 'pattern="44"')
        ends(found, "refused", status=603, text="Decline")


def who_may_not_is_said_why():
    with routed() as one:
        found = ask(one, "--as", "erik", "sip:x@127.0.0.7", status=3)
        step(found, "profile", "erik has the profile house, which does not call", 'id="house"')
        ends(found, "refused", status=403, text="Forbidden")
        step(ask(one, "--as", "alice", "boss", status=3), "reserved", "nobody may call", "<system>")
        step(ask(one, "--as", "alice", "anonymous", status=3), "reserved", "nobody has")
        step(ask(one, "--as", "alice", "nobody", status=3), "user", "is refused", 'id="nobody"')
        step(ask(one, "--as", "alice", "ring", status=3), "rule", "in a circle")


def strangers_hear_less_than_administrators():
    with routed() as one:
        Peer(one, "bob", "udp").bind()
        found = ask(one, "bob")
        step(found, "caller", "of another domain")
        step(found, "target", "a phone of bob")
        for name, kind, part in (("erik", "profile", "do not reach"), ("alice", "user", "no phone"),
                                 ("zoe", "unknown", "nobody's"), ("66", "rule", "our own users")):
            found = ask(one, name, status=3)
            step(found, kind, part)
            ends(found, "refused", status=480, text="Temporarily Unavailable")
        found = ask(one, "sip:x@elsewhere.test", status=3)
        step(found, "strangers", "reach only this one")
        ends(found, "refused", status=403, text="Forbidden")


def limits_of_strangers_are_told():
    limit = "<stranger-callee>2</stranger-callee>"
    config = CONFIG.replace("<system>", f"{limit}\n    <system>")
    with server(config=config.replace("RESOLVER", "127.0.0.1@1")) as one:
        one.start()
        bob = Peer(one, "bob", "udp").bind()
        visitor = Peer(one, "zoe", "udp")
        for _ in range(2):
            found = ask(one, "bob")
            step(found, "limit", "one caller of another domain is let in 120 times a minute")
            row = step(found, "limit", "all of them together 2 times a minute to bob")
            expect(row["line"] == config[:config.index(limit)].count("\n") + 1, f"{row}")
            ends(found, "goes")
            visitor.send(visitor.request("MESSAGE", "sip:bob@lab.test").replace(
                "From: <sip:zoe@lab.test>", "From: <sip:zoe@far.test>"))
            bob.respond(bob.expect("MESSAGE "), "200 OK")
        found = ask(one, "bob", status=3)
        step(found, "limit", "as many have come for bob within the last")
        ends(found, "refused", status=480, text="Temporarily Unavailable")
        ends(ask(one, "--as", "alice", "bob"), "goes")


def reconfigure(one, access, stack=""):
    text = CONFIG.replace("RESOLVER", "127.0.0.1@1").replace("<system>", f"{stack}\n    <system>")
    reload(one, text.replace("</registry>", f"</registry>\n  <access>{access}</access>"))


def networks_are_looked_at():
    """alice's phone is where nobody is served any more."""
    with routed() as one:
        Peer(one, "bob", "udp").bind()
        Peer(one, "alice", "udp").bind()
        ends(ask(one, "--as", "alice", "bob"), "goes")
        reconfigure(one, "<decline>127.0.0.0/8</decline>")
        found = ask(one, "--as", "alice", "bob", status=3)
        step(found, "access", "it comes from a network from which nobody is served")
        ends(found, "refused", status=603, text="Decline")
        reconfigure(one, "<home>192.0.2.0/24</home>", "<restricted>home</restricted>")
        found = ask(one, "--as", "alice", "bob", status=3)
        row = step(found, "access", "outside the networks that our own users are restricted to")
        expect(row["file"].endswith("sipwitch.conf"), f"{row}")
        ends(found, "refused", status=403, text="Forbidden")


class Zone:
    """A name server of one domain with two servers, one preferred."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.resolver = f"127.0.0.1@{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"

    def answer(self, name, kind):
        servers = {"one": ("127.0.0.31", 10), "two": ("127.0.0.32", 20)}
        if name == "_sip._udp.far.test" and kind == 33:
            return [struct.pack(">HHH", order, 0, 5070) + self.name(f"{server}.far.test")
                    for server, (_, order) in reversed(servers.items())]
        found = servers.get(name.removesuffix(".far.test"))
        return [socket.inet_aton(found[0])] if found and kind == 1 else []

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self.socket.recvfrom(4096)
                at, parts = 12, []
                while query[at]:
                    parts.append(query[at + 1:at + 1 + query[at]].decode().lower())
                    at += 1 + query[at]
                kind = struct.unpack(">H", query[at + 1:at + 3])[0]
                found = self.answer(".".join(parts), kind)
                known = ".".join(parts).endswith("far.test")
                head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(found),
                                               0, 0)
                records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
                                   for data in found)
                self.socket.sendto(head + query[12:at + 5] + records, peer)

    def close(self):
        self.socket.close()


def servers_of_another_domain_are_listed_in_order():
    with contextlib.closing(Zone()) as zone, routed(zone.resolver) as one:
        Peer(one, "alice", "udp").bind()
        found = ask(one, "--as", "alice", "sip:zoe@far.test")
        step(found, "outside", "far.test is not of this domain")
        step(found, "domain", "the servers of far.test need prove nothing")
        places = [row["address"] for row in found if row.get("step") == "place"]
        expect(places == ["127.0.0.31:5070", "127.0.0.32:5070"], f"{found}")
        servers = [row["server"] for row in found if row.get("step") == "place"]
        expect(servers == ["one.far.test", "two.far.test"], f"{found}")
        step(found, "place", "a server of it, one.far.test, is at 127.0.0.31:5070 by UDP")
        ends(found, "goes")


def domain_without_servers_is_said():
    with empty_dns() as resolver, routed(resolver) as one:
        Peer(one, "alice", "udp").bind()
        found = ask(one, "--as", "alice", "sip:zoe@none.test", status=3)
        expect(found[-1]["result"] == "refused" and found[-1]["status"] >= 400, found)
        found = ask(one, "--as", "alice", "sip:zoe@strict.test", status=3)
        step(found, "domain", "must prove by TLS", 'name="strict.test"')


def it_is_told_in_words_too():
    with routed() as one:
        Peer(one, "bob", "udp").bind()
        status, said, complaint = run(one, "route", "--as", "alice", "77")
        expect(status == 0 and not complaint, f"{status}: {complaint!r}")
        lines = said.splitlines()
        expect(lines[-1] == "=> it goes there", said)
        place = f"sipwitch.conf:{line_of('rewrite pattern')})"
        expect(any("the rule for 77 makes it 202" in line and line.endswith(place)
                   for line in lines), said)


def time_may_be_another():
    with routed() as one:
        Peer(one, "bob", "udp").bind()
        later = time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() + 86400))
        step(ask(one, "--as", "alice", "--at", later, "bob"), "target", "registered again by then")
        refused(one, 1, "route", "--at", "noon", "bob", parts=["noon"])


def wrong_words_are_refused():
    with routed() as one:
        refused(one, 20, "route", "--as", "zoe", "bob", parts=["no such user"])
        refused(one, 20, "route", "--as", "nobody", "bob", parts=["cannot call"])
        refused(one, 20, "route", "sip:a b@", parts=["no URI"])
        refused(one, 1, "calls", "--as", "bob", parts=["--as"])


CHECKS = [
    phone_is_found_by_id_extension_and_alias, who_has_no_phone_is_said,
    routes_of_gateways_are_named, rules_are_named, who_may_not_is_said_why,
    strangers_hear_less_than_administrators, limits_of_strangers_are_told, networks_are_looked_at,
    servers_of_another_domain_are_listed_in_order,
    domain_without_servers_is_said, it_is_told_in_words_too, time_may_be_another,
    wrong_words_are_refused,
]


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS))
