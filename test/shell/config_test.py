#!/usr/bin/env python3
"""The running sipw and its configuration: what each key does, and what a reload changes.

Prints `ok NAME` or `not ok NAME: why` for each check, as server_test.py does, whose phones it uses.
"""

import contextlib
import glob
import hashlib
import os
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import server_test
from names import empty_dns
from server_test import (PATIENCE, ROOT, Failure, Phone, Server, cpu_seconds, expect, one_line, until,
                         server)

CHECKS = []
HASTE = os.path.join(ROOT, "build", "release", "test", "shell", "hasteclock.so")


def check(function):
    CHECKS.append(function)
    return function


def config(provision="", registry="", stack="", more=""):
    """A configuration with alice (201) and bob (202), and these."""
    return f"""<?xml version="1.0"?>
<sipwitch>
  <registry><realm>lab.test</realm><prefix>200</prefix><range>100</range>{registry}</registry>
  <stack>{stack}</stack>
  <provision>
    <user id="alice" secret="alices secret" extension="201"/>
    <user id="bob" secret="bobs secret" extension="202"/>
    {provision}
  </provision>
  {more}
</sipwitch>
"""


def write(one, text):
    with open(one.config, "w", encoding="utf-8") as file:
        file.write(text)


def reload(one, text, awaited="the new configuration is in force"):
    write(one, text)
    one.process.send_signal(signal.SIGHUP)
    one.await_line(awaited)


def is_registered(phone):
    return phone.register().startswith("SIP/2.0 200 ")


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def proof(phone, challenge, method, uri):
    nonce = re.search('nonce="([^"]*)"', challenge)[1]
    realm = re.search('realm="([^"]*)"', challenge)[1]
    ha1, ha2 = md5(f"{phone.user}:{realm}:{phone.password}"), md5(f"{method}:{uri}")
    response = md5(f"{ha1}:{nonce}:00000001:cn:auth:{ha2}")
    return (f'Proxy-Authorization: Digest username="{phone.user}", realm="{realm}", '
            f'nonce="{nonce}", uri="{uri}", response="{response}", '
            'algorithm=MD5, qop=auth, nc=00000001, cnonce="cn"')


def field(message, name):
    found = re.search(rf"^{name}: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def answer(phone, request, status):
    """What a phone says to a request; its dialog has the tag of its port."""
    fields = re.findall(r"^(?:Via|From|Call-ID|CSeq|Record-Route): .*?\r\n", request, re.MULTILINE)
    to = field(request, "To")
    to += "" if ";tag=" in to else f";tag=b{phone.port}"
    phone.socket.send((f"SIP/2.0 {status} Answer\r\n{''.join(fields)}To: {to}\r\n"
                       f"Contact: {phone.contact()}\r\nContent-Length: 0\r\n\r\n").encode())


class Call:
    """One request by `caller` to `target`, and what all phones see until it is decided.

    `rings` says for each phone with which status it answers; None leaves it ringing."""

    count = 0

    def __init__(self, caller, target, rings=None, method="INVITE", sender=None, proves=True):
        Call.count += 1
        self.caller, self.method, self.proves = caller, method, proves
        self.uri = target if target.startswith("sip:") else f"sip:{target}@{caller.domain}"
        self.sender = sender or f"sip:{caller.user}@{caller.domain}"
        self.rings = rings or {}
        self.reached = {}    # phone: the request it got
        self.cancelled = {}  # phone: the CANCEL it got
        self.status, self.answer, self.challenged = 0, "", False
        self.cseq = 1
        self.run()

    def text(self, *headers, method=None, to=None):
        branch = f"z9hG4bKc{self.caller.port}x{Call.count}x{self.cseq}"
        method = method or self.method
        return "\r\n".join([
            f"{method} {self.uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.caller.host}:{self.caller.port};branch={branch};rport",
            f"From: <{self.sender}>;tag=a{Call.count}", f"To: {to or f'<{self.uri}>'}",
            f"Call-ID: c{Call.count}x{self.caller.port}@test", f"CSeq: {self.cseq} {method}",
            "Max-Forwards: 70", f"Contact: {self.caller.contact()}", *headers,
            "Content-Length: 0", "", ""]).encode()

    def take_answer(self, message):
        if field(message, "CSeq") != f"{self.cseq} {self.method}":
            return
        status = int(message.split()[1])
        if status < 200:
            return
        if self.method == "INVITE" and status >= 300:
            self.caller.socket.send(self.text(method="ACK", to=field(message, "To")))
        if status == 407 and self.proves and not self.challenged:
            self.challenged = True
            self.cseq += 1
            self.request = self.text(proof(self.caller, message, self.method, self.uri))
            self.caller.socket.send(self.request)
            return
        self.status, self.answer = status, message

    def take_request(self, phone, message):
        method = message.split()[0]
        if method == "CANCEL":
            self.cancelled[phone] = message
            answer(phone, message, 200)
            answer(phone, self.reached[phone], 487)
        elif method == self.method:
            self.reached[phone] = message
            answer(phone, message, self.rings[phone] or 180)

    def step(self, patience):
        phones = {phone.socket: phone for phone in [self.caller, *self.rings]}
        for ready in select.select(list(phones), [], [], patience)[0]:
            try:
                message = ready.recv(65535).decode()
            except (TimeoutError, ConnectionRefusedError):
                continue
            if not message.startswith("SIP/2.0 "):
                self.take_request(phones[ready], message)
            elif phones[ready] is self.caller:
                self.take_answer(message)

    def run(self):
        self.request = self.text()
        self.caller.socket.send(self.request)
        end, again = time.monotonic() + PATIENCE, time.monotonic() + 1
        while not self.status:
            self.step(0.1)
            if time.monotonic() > end:
                raise Failure(f"{self.method} to {self.uri} was not answered")
            if time.monotonic() > again:
                self.caller.socket.send(self.request)
                again = time.monotonic() + 1

    def await_cancel(self, phone):
        end = time.monotonic() + PATIENCE
        while phone not in self.cancelled and time.monotonic() < end:
            self.step(0.1)
        return self.cancelled.get(phone, "")


def expect_status(call, status):
    expect(call.status == status, f"{call.uri}: answered {call.answer.splitlines()[:1]}, "
                                  f"not {status}")


def expect_reached(call, phone, user=None):
    """It rang there, under this user part of the Request-URI."""
    expect(list(call.reached) == [phone],
           f"{call.uri} reached {[p.user for p in call.reached]}, answered {call.status}")
    if user is not None:
        uri = call.reached[phone].split()[1]
        expect(uri.startswith(f"sip:{user}@"), f"{call.uri} arrived as {uri}")


def phones_of(one, *users):
    """Registered phones; alice and bob by their passwords, others by `x`."""
    passwords = {"alice": "alices secret", "bob": "bobs secret"}
    return [Phone(one.port, user, passwords.get(user, "x")).bind() for user in users]


def stranger(one, host="127.0.0.1"):
    return Phone(one.port, "carol", "", host=host, domain="lab.test")


FOREIGN = "sip:carol@elsewhere.test"


# ---- dialing

@check
def users_are_dialed_by_name_and_by_extension():
    with server(config()) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        for target in "bob", "202":
            expect_reached(Call(alice, target, {bob: 486}), bob)


@check
def dialing_yourself_is_busy_and_an_unknown_number_is_not_found():
    with server(config()) as one:
        one.start()
        alice, = phones_of(one, "alice")
        expect_status(Call(alice, "alice"), 486)
        expect_status(Call(alice, "201"), 486)
        expect_status(Call(alice, "777"), 404)
        expect_status(Call(alice, "nobody"), 404)


@check
def known_but_unregistered_is_480_or_410():
    for registry, status in ("", 480), ("<unregistered>410</unregistered>", 410):
        with server(config(registry=registry)) as one:
            one.start()
            alice, = phones_of(one, "alice")
            expect_status(Call(alice, "bob"), status)


@check
def a_digest_takes_the_place_of_the_password():
    for node in "user", "admin", "device", "service", "gateway":
        digest = md5("carol:lab.test:pw")
        text = config(f'<{node} id="carol" secret="other" digest="{digest}" display="Carol C."/>')
        with server(text) as one:
            one.start()
            expect(can_register(one, "carol", "pw"), f"{node}: refused")
            expect(not can_register(one, "carol", "other"), f"{node}: the secret counts, too")


@check
def reserved_ids_are_refused():
    for stack, system, anonymous in (("", "system", "anonymous"),
                                     ("<system>root</system><anon>none</anon>", "root", "none")):
        with server(config('<user id="anonymous" secret="x"/>', stack=stack)) as one:
            one.start()
            alice, = phones_of(one, "alice")
            expect_status(Call(alice, system), 403)
            expect_status(Call(alice, anonymous), 404)


@check
def reject_and_test_nodes_answer_with_their_status():
    nodes = """<reject id="bad"/><reject id="gone" error="410"/>
               <test id="busy" extension="297" error="486"/><test id="plain" extension="299"/>
               <test id="ring" extension="298" error="180"/>"""
    with server(config(nodes)) as one:
        one.start()
        alice, = phones_of(one, "alice")
        for target, status in ("bad", 403), ("gone", 410), ("busy", 486), ("297", 486), \
                ("299", 480), ("298", 480):
            expect_status(Call(alice, target), status)
        answered = Phone(one.port, "gone", "x").register()
        expect(answered.startswith("SIP/2.0 410 "), f"registering as it: {answered!r}")


@check
def all_phones_of_a_user_ring_and_the_others_are_told_it_was_answered_elsewhere():
    with server(config()) as one:
        one.start()
        alice, left, right = phones_of(one, "alice", "bob", "bob")
        call = Call(alice, "bob", {left: None, right: 200})
        expect_status(call, 200)
        reason = field(call.await_cancel(left), "Reason")
        expect('cause=200' in reason and "Call completed elsewhere" in reason, f"{reason!r}")


@check
def a_device_rings_at_its_newest_registration_alone():
    for node in "device", "service":
        with server(config(f'<{node} id="fax" secret="x" extension="250"/>')) as one:
            one.start()
            alice, _, new = phones_of(one, "alice", "fax", "fax")
            expect_reached(Call(alice, "250", {new: 486}), new)


@check
def an_alias_leads_to_users_and_to_addresses():
    with server(config()) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        away = Phone(one.port, "away")
        nodes = f"""<alias id="desk" extension="280"><contact>sip:bob@lab.test</contact></alias>
                    <alias id="far"><contact>sip:x@127.0.0.1:{away.port}</contact></alias>
                    <alias id="ring" contact="sip:round@lab.test"/>
                    <alias id="round" contact="sip:ring@lab.test"/>
                    <alias id="both"><contacts><contact>sip:bob@lab.test</contact>
                    <contact>sip:x@127.0.0.1:{away.port}</contact></contacts></alias>"""
        reload(one, config(nodes))
        for target in "desk", "280":
            expect_reached(Call(alice, target, {bob: 486}), bob)
        expect_reached(Call(alice, "far", {away: 486}), away, "x")
        expect_status(Call(alice, "ring"), 404)
        both = Call(alice, "both", {bob: 486, away: 486})
        expect(set(both.reached) == {bob, away}, "not both contacts of the alias rang")


@check
def static_contacts_need_no_registration():
    with server(config()) as one:
        one.start()
        alice, = phones_of(one, "alice")
        here, there = Phone(one.port, "here"), Phone(one.port, "there")
        at = f"<contact>sip:%s@127.0.0.1:%d</contact>"
        door, pair = at % ("door", here.port), at % ("p", here.port) + at % ("q", there.port)
        reload(one, config(f"""<user id="door">{door}</user>
                               <service id="pair"><contacts>{pair}</contacts></service>"""))
        expect_reached(Call(alice, "door", {here: 486}), here, "door")
        both = Call(alice, "pair", {here: 486, there: 486})
        expect(set(both.reached) == {here, there}, "not both contacts rang")


# ---- gateways and the routing table

@check
def gateways_get_the_numbers_of_their_routes():
    gateway = """<gateway id="gw" secret="x"><routes>
                 <route pattern="9" prefix="-9"/><route pattern="555xx!" prefix="1" suffix="#"/>
                 <route pattern="77"/><route pattern="+1234" suffix="-34"/>
                 </routes></gateway>"""
    with server(config(gateway)) as one:
        one.start()
        alice, gw = phones_of(one, "alice", "gw")
        for dialed, arrives in ("9123", "123"), ("55512", "155512%23"), ("777", "777"), \
                ("001234", "0012"), ("771", "771"):
            expect_reached(Call(alice, dialed, {gw: 486}), gw, arrives)
        for dialed in "555123", "12345", "8":
            expect_status(Call(alice, dialed, {gw: 486}), 404)


@check
def routes_are_tried_by_priority_and_limited_by_level():
    def nodes(level, ports=(1, 1)):
        gateways = "".join(
            f"""<gateway id="g{n}"><contact>sip:g@127.0.0.1:{ports[n]}</contact>
                <routes><route pattern="0" priority="{n}"/></routes></gateway>""" for n in (0, 1))
        return f'{gateways}<user id="u" secret="x" trs="{level}"/>'
    with server(config(nodes(0))) as one:
        one.start()
        caller, = phones_of(one, "u")
        ways = [Phone(one.port, "g0"), Phone(one.port, "g1")]
        ports = [way.port for way in ways]
        expect_status(Call(caller, "012"), 404)
        reload(one, config(nodes(1, ports)))
        expect_reached(Call(caller, "012", {ways[0]: 486, ways[1]: 486}), ways[0], "012")
        reload(one, config(nodes(2, ports)))
        expect_reached(Call(caller, "012", {ways[0]: 486, ways[1]: 200}), ways[1], "012")
        both = Call(caller, "012", {ways[0]: 200, ways[1]: 503})
        expect_status(both, 200)
        expect(list(both.reached) == [ways[1], ways[0]], "not tried in the order of priority")


@check
def a_gateway_calls_in_the_name_of_numbers_outside_only():
    with server(config('<gateway id="gw" secret="x"/>')) as one:
        one.start()
        bob, gw = phones_of(one, "bob", "gw")
        for sender, status in ("5551234", 486), ("gw", 486), ("alice", 403):
            call = Call(gw, "bob", {bob: 486}, sender=f"sip:{sender}@lab.test")
            expect_status(call, status)


@check
def the_routing_table_rewrites_redirects_refers_and_refuses():
    with server(config()) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        away = Phone(one.port, "away")
        table = f"""<routing>
            <rewrite pattern="0049" prefix="-0049"/><rewrite pattern="31!" replace="bob"/>
            <rewrite identity="Boss" replace="bob"/><rewrite pattern="02" prefix="2" suffix="-9"/>
            <rewrite pattern="33" replace="x@127.0.0.1:{away.port}"/>
            <redirect pattern="4xx!" target="sip:op@127.0.0.1:{away.port}"/>
            <redirect pattern="5xx" server="127.0.0.1:{away.port}"/>
            <refer pattern="6xx" server="far.test"/><refer pattern="7" target="sip:x@y.test"/>
            <refuse pattern="900" error="484"/><refuse identity="spam"/>
            <refuse pattern="4" error="410"/></routing>"""
        reload(one, config(more=table))
        for target in "0049202", "31", "Boss", "boss", "029":
            expect_reached(Call(alice, target, {bob: 486}), bob)
        expect_reached(Call(alice, "33", {away: 486}), away, "x")
        expect_reached(Call(alice, "401", {away: 486}), away, "op")
        expect_reached(Call(alice, "512", {away: 486}), away, "512")
        for target, contact in ("601", "<sip:601@far.test>"), ("71", "<sip:x@y.test>"):
            call = Call(alice, target)
            expect_status(call, 302)
            expect(field(call.answer, "Contact") == contact, f"{call.answer!r}")
        for target, status in ("900", 484), ("spam", 403), ("4012", 410), ("311", 404):
            expect_status(Call(alice, target), status)


# ---- strangers

@check
def strangers_get_one_answer_for_all_who_cannot_be_reached():
    nodes = """<user id="closed" secret="x" profile="local"/><reject id="bad" error="410"/>
               <device id="fax" secret="x"/><test id="busy" error="486"/>
               <gateway id="gw" secret="x"><routes><route pattern="9"/></routes></gateway>"""
    table = '<routing><refuse pattern="8"/><redirect pattern="7" server="127.0.0.1"/></routing>'
    with server(config(nodes, more=table, stack="<published>lab.test</published>")) as one:
        one.start()
        phones = phones_of(one, "bob", "closed", "fax", "gw")
        caller, rings = stranger(one), {phone: 486 for phone in phones}
        answers = set()
        for target in "alice", "nobody", "777", "closed", "bad", "fax", "busy", "gw", "912", \
                "81", "71", "system", "anonymous":
            call = Call(caller, target, rings, sender=FOREIGN)
            expect(not call.reached, f"a stranger reached {target}")
            answers.add(call.answer.split("\r\n")[0])
        expect(answers == {"SIP/2.0 480 Temporarily Unavailable"}, f"answers {answers}")
        expect_reached(Call(caller, "bob", rings, sender=FOREIGN), phones[0])


@check
def strangers_reach_nobody_unless_the_domain_is_published():
    for stack, reached in ("", False), ("<published>none</published>", False), \
            ("<public>lab.test</public>", True):
        with server(config(stack=stack)) as one:
            one.start()
            bob, = phones_of(one, "bob")
            call = Call(stranger(one), "bob", {bob: 486}, sender=FOREIGN)
            expect(bool(call.reached) == reached, f"{stack!r}: answered {call.status}")


@check
def the_published_name_is_one_of_the_domain():
    for key in "published", "public":
        with empty_dns() as resolver, server(config(
                stack=f"<resolver>{resolver}</resolver><{key}>switch.test</{key}>")) as one:
            one.start()
            alice, bob = phones_of(one, "alice", "bob")
            for name in "switch.test", "SWITCH.test.", "lab.test":
                uri = f"sip:bob@{name}"
                expect_reached(Call(stranger(one), uri, {bob: 486}, sender=FOREIGN), bob)
                expect_reached(Call(alice, uri, {bob: 486}), bob)
            expect_reached(Call(alice, "bob", {bob: 486}, sender="sip:alice@switch.test"), bob)
            expect_status(Call(stranger(one), "bob", {bob: 486}, sender="sip:alice@switch.test"),
                          407)
            expect(is_registered(Phone(one.port, domain="switch.test")), "no phone registers there")
            expect_status(Call(stranger(one), "sip:bob@other.test", {bob: 486}, sender=FOREIGN), 403)


# ---- profiles

@check
def profiles_say_who_may_call_out():
    nodes = """<profile id="clerk" trs="3"/><profile id="*" trs="0"/>
               <user id="c" secret="x" profile="clerk"/><user id="l" secret="x" profile="local"/>
               <user id="r" secret="x" profile="restricted"/><admin id="a" secret="x"/>
               <admin id="m" secret="x" profile="restricted"/><service id="s" secret="x"/>
               <device id="d" secret="x"/><user id="t" secret="x" profile="clerk" trs="1"/>
               <gateway id="gw" secret="x"><routes><route pattern="9" priority="2"/>
               <route pattern="8"/></routes></gateway>"""
    with server(config(nodes)) as one:
        one.start()
        gw, away = phones_of(one, "gw")[0], Phone(one.port, "away")
        outside = f"sip:away@127.0.0.1:{away.port}"
        for user, high, low, out in ("c", 486, 486, 486), ("l", 404, 486, 403), \
                ("r", 404, 404, 403), ("a", 486, 486, 486), ("d", 404, 404, 403), \
                ("m", 404, 404, 403), ("s", 404, 404, 486), ("t", 404, 486, 486), ("alice", 404, 404, 486):
            caller, = phones_of(one, user)
            for target, status in ("91", high), ("81", low), (outside, out):
                call = Call(caller, target, {gw: 486, away: 486})
                expect(call.status == status, f"{user} calls {target}: {call.status}")


# ---- sections: the server, the registrar, times

@check
def the_server_listens_where_it_is_told():
    port = server_test.free_port()
    with server(config(stack=f"<interface>127.0.0.2</interface><port>{port}</port>")) as one:
        command = [word for word in one.command() if word not in ("-P", str(one.port))]
        one.port = port
        one.command = lambda *options: command
        one.start()
        expect(is_registered(Phone(port, host="127.0.0.2")), "it does not listen there")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


@check
def every_interface_of_a_family_has_several_names():
    for interface, v4, v6 in ("*", True, True), ("0.0.0.0", True, False), ("::", False, True), \
            ("::*", False, True), ("::0", False, True), (":::", False, True):
        with server(config(stack=f"<interface>{interface}</interface>")) as one:
            one.start("-f")
            for host, served in ("127.0.0.1", v4), ("::1", v6):
                if served:
                    said = Phone(one.port, host=host).ask("OPTIONS")
                    expect(said.startswith("SIP/2.0 200 "), f"{interface} at {host}: {said!r}")
                else:
                    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                                       socket.SOCK_DGRAM) as free:
                        free.bind((host, one.port))


def routes_in(message):
    lines = re.findall(r"^Record-Route: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return [route for line in lines for route in re.split(", *", line)]


def end_call(call, callee, is_caller, number):
    """A BYE of one side that arrives at the other, and its answer."""
    invite, caller = call.reached[callee], call.caller
    routes, ends = routes_in(invite), (field(invite, "From"), field(call.answer, "To"))
    ours, theirs = (caller, callee) if is_caller else (callee, caller)
    local, remote = ends if is_caller else ends[::-1]
    ours.socket.send("\r\n".join([
        f"BYE {theirs.contact()[1:-1]} SIP/2.0",
        f"Via: SIP/2.0/UDP {ours.host}:{ours.port};branch=z9hG4bKbye{number};rport",
        *(f"Route: {route}" for route in (routes[::-1] if is_caller else routes)),
        f"From: {local}", f"To: {remote}", f"Call-ID: {field(invite, 'Call-ID')}", "CSeq: 90 BYE",
        "Max-Forwards: 70", "Content-Length: 0", "", ""]).encode())
    theirs.socket.settimeout(PATIENCE)
    ours.socket.settimeout(PATIENCE)
    while not (message := theirs.socket.recv(65535).decode()).startswith("BYE "):
        pass
    answer(theirs, message, 200)
    while field(message := ours.socket.recv(65535).decode(), "CSeq") != "90 BYE":
        pass
    expect(message.startswith("SIP/2.0 200 "), f"BYE was answered {message!r}")


@check
def a_call_between_ipv6_and_ipv4_has_both_sides_in_its_route():
    """RFC 5658: each phone is told an address of its own family."""
    with server(config()) as one:
        one.start("-A", "127.0.0.1,::1")
        alice, bob = Phone(one.port, host="::1").bind(), phones_of(one, "bob")[0]
        for number, (caller, callee) in enumerate([(alice, bob), (bob, alice)] * 2):
            call = Call(caller, callee.user, {callee: 200})
            expect_status(call, 200)
            routes = routes_in(call.reached[callee])
            hosts = [re.search(r"@?([^@:<]+|\[[^]]*\])(?::\d+)?(?:;|>)", route)[1]
                     for route in routes]
            expect(hosts == [callee.host, caller.host] and routes_in(call.answer) == routes,
                   f"its routes are {routes}, then {routes_in(call.answer)}")
            end_call(call, callee, number < 2, number)


@check
def a_trace_may_begin_with_the_server():
    command = os.path.join(os.path.dirname(server_test.SIPW), "sipwitch")
    for stack, options, kept in ("<trace>yes</trace>", [], True), ("<dumping>1</dumping>", [], True), \
            ("<trace>false</trace>", [], False), ("", ["-t"], True), ("", [], False):
        with server(config(stack=stack)) as one:
            one.start("-A", "127.0.0.1", *options)
            Phone(one.port).ask("OPTIONS")
            said = subprocess.run([command, "--prefixpath", one.state, "trace", "show"], text=True,
                                  capture_output=True, timeout=PATIENCE, check=True).stdout
            expect(("OPTIONS sip:lab.test" in said) == kept, f"{stack} {options}: {said!r}")


@check
def localnames_are_names_of_the_domain():
    with empty_dns() as resolver, server(config(stack=f"""<resolver>{resolver}</resolver>
            <localnames>one.test, two.test;three.test:four.test</localnames>""")) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        for name in "one.test", "two.test", "three.test", "four.test", "localhost", \
                "localhost.localdomain", "127.0.0.1":
            expect_reached(Call(alice, f"sip:bob@{name}", {bob: 486}), bob)
        expect_status(Call(alice, "sip:bob@five.test"), 404)


@check
def a_realm_that_is_no_name_leaves_the_domain_to_the_hosts_name():
    command = os.path.join(os.path.dirname(server_test.SIPW), "sipwitch")
    host = socket.gethostname()
    for realm in "Our House", "none", "no":
        with server(config().replace("lab.test", realm)) as one:
            one.start()
            alice, bob = (Phone(one.port, user, f"{user}s secret", domain=host).bind()
                          for user in ("alice", "bob"))
            expect(f'realm="{realm}"' in alice.ask("REGISTER"), "the realm is another")
            expect_reached(Call(alice, "202", {bob: 486}), bob)
            subprocess.run([command, "--prefixpath", one.state, "message", "bob", "Tea is ready"],
                           timeout=PATIENCE, check=True)
            bob.socket.settimeout(PATIENCE)
            while not (said := bob.socket.recv(65535).decode()).startswith("MESSAGE "):
                pass
            expect(field(said, "From").startswith(f"<sip:{host}>") and
                   field(said, "To") == f"<sip:bob@{host}>", f"{realm}: {said!r}")


@check
def the_agent_is_what_the_server_calls_itself():
    with server(config(stack="<agent>Our Switch</agent>")) as one:
        one.start()
        expect(field(Phone(one.port).ask("OPTIONS"), "Server") == "Our Switch", "another name")


@check
def registrations_last_as_long_as_configured():
    with server(config(registry="<expires>120</expires>")) as one:
        one.start()
        said = Phone(one.port).register("Contact: <sip:alice@127.0.0.1:5099>")
        expect(";expires=120\r\n" in said, f"{said!r}")


@check
def prefix_and_range_bound_the_extensions():
    users = '<user id="low" secret="x" extension="199"/><user id="high" secret="x" extension="300"/>'
    with server(config(users)) as one:
        status, said = one.refuse("--check")
        expect(status == 0 and said.count("write one from 200 to 299") == 2, f"{said!r}")
        one.start()
        low, alice = phones_of(one, "low", "alice")
        expect_status(Call(alice, "199", {low: 486}), 404)
        expect_reached(Call(alice, "low", {low: 486}), low)
    wide = config(users).replace("<prefix>200</prefix><range>100</range>",
                                 "<prefix>0</prefix><range>1000000</range>")
    with server(wide) as one:
        one.start()
        low, alice = phones_of(one, "low", "alice")
        expect_reached(Call(alice, "199", {low: 486}), low)
    with server(config(users).replace("<range>100</range>", "<range>0</range>")) as one:
        status, said = one.refuse("--check")
        expect(status == 0 and said.count("range in <registry> is 0") == 4, f"{said!r}")
        one.start()
        low, alice = phones_of(one, "low", "alice")
        expect_status(Call(alice, "199", {low: 486}), 404)
        expect_reached(Call(alice, "low", {low: 486}), low)


@check
def registrations_are_limited():
    with server(config(registry="<mapped>3</mapped>")) as one:
        one.start()
        phones = [Phone(one.port, user, f"{user}s secret") for user in ("alice", "bob") * 2]
        for phone in phones[:3]:
            phone.bind()

        def status_of(phone):
            return phone.register(f"Contact: {phone.contact()}").split("\r\n")[0]
        said = phones[3].register(f"Contact: {phones[3].contact()}")
        expect(said.startswith("SIP/2.0 503 ") and field(said, "Retry-After"),
               f"the fourth of three registrations was answered {said!r}")
        expect(status_of(phones[0]).startswith("SIP/2.0 200 "), "a refresh is one too many")
        one.end()
        write(one, config(registry="<mapped>2</mapped>"))
        one.start()
        expect(phones[1].bindings() == [phones[1].contact()], "one of three is lost where two may be")
        expect(status_of(phones[2]).startswith("SIP/2.0 200 "), "and cannot be refreshed")
        phones[0].unbind()
        expect(status_of(phones[3]).startswith("SIP/2.0 503 "), "a third is taken of two")
        phones[1].unbind()
        phones[3].bind()


@check
def the_digest_algorithm_is_a_setting():
    with server(config(registry="<digest>SHA-256</digest>")) as one:
        one.start()
        said = Phone(one.port).ask("REGISTER")
        offered = re.findall("algorithm=([A-Z0-9-]+)", said)
        expect(offered == ["SHA-256", "MD5"], f"offered {offered}")


def offered_to(one, user, *fields):
    """The algorithms of its challenge."""
    return re.findall("algorithm=([A-Z0-9-]+)", Phone(one.port, user).ask("REGISTER", *fields))


@check
def no_users_name_decides_on_the_digest():
    linphone = "User-Agent: Linphone Desktop/4.4.10"
    users = "alice", "carol", "nobody"
    with server(config('<user id="carol" secret="carols secret"/>')) as one:
        one.start()
        for user in users:
            expect(offered_to(one, user) == ["MD5"], f"{user} is offered more than MD5")
            expect(offered_to(one, user, linphone) == ["SHA-256", "MD5"], f"{user}'s linphone is not")
        one.end()
        only_md5 = '<user id="carol" digest="00112233445566778899aabbccddeeff"/>'
        write(one, config(only_md5, registry="<digest>SHA-256</digest>"))
        one.start()
        for user in users:
            for fields in (), (linphone,):
                expect(offered_to(one, user, *fields) == ["MD5"],
                       f"where one user has an MD5 digest alone, {user} is offered another")


def guess(phone):
    """The status for this phone's password; 0 if nothing is said of it before what is asked next."""
    challenge = phone.ask("REGISTER")
    phone.socket.send(phone.text("REGISTER", phone.authorization(challenge)))
    phone.socket.send(phone.text("OPTIONS"))
    statuses = {}
    phone.socket.settimeout(PATIENCE)
    while phone.cseq not in statuses:
        answer = phone.socket.recv(65535).decode()
        statuses[int(field(answer, "CSeq").split()[0])] = int(answer.split()[1])
    phone.socket.settimeout(0.5)
    return statuses.get(phone.cseq - 1, 0)


@check
def wrong_passwords_are_limited_as_configured():
    limits = "<account-guesses>3</account-guesses><source-guesses>5</source-guesses>"
    with server(config(stack=limits)) as one:
        one.start()
        alice, bob = Phone(one.port, "alice", "wrong"), Phone(one.port, "bob", "wrong")
        said = [guess(alice) for _ in range(4)]
        expect(said == [401, 401, 401, 0], f"one account: {said}")
        alice.password = "alices secret"
        expect(guess(alice) == 0, "the right password ends it")
        said = [guess(bob) for _ in range(3)]
        expect(said == [401, 401, 0], f"two accounts: {said}")
        expect(guess(phone_at(one, "127.0.0.9")) == 200, "another address is not answered")


@check
def wrong_passwords_are_forgotten_after_a_time():
    limits = "<account-guesses>1</account-guesses><guess-window>2</guess-window>"
    with server(config(stack=limits)) as one:
        one.start()
        alice = Phone(one.port, "alice", "wrong")
        begin = time.monotonic()
        expect([guess(alice), guess(alice)] == [401, 0], "one guess is not enough")
        alice.password = "alices secret"
        while guess(alice) != 200:
            expect(time.monotonic() < begin + PATIENCE, "they are not forgotten")
        expect(time.monotonic() > begin + 2, "they are forgotten too soon")


@check
def wrong_passwords_from_exempt_networks_are_not_counted():
    stack = "<exempt>lab</exempt><account-guesses>2</account-guesses>"
    with server(config(stack=stack, more="<access><lab>127.0.0.3</lab></access>")) as one:
        one.start("-A", "127.0.0.1")
        for source, wanted in ("127.0.0.3", [401] * 5), ("127.0.0.4", [401, 401, 0, 0, 0]):
            phone = phone_at(one, source, password="wrong")
            said = [guess(phone) for _ in range(5)]
            expect(said == wanted, f"{source}: {said}")


def is_at_rest(pid):
    """All its threads wait for something."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
            if file.read().rpartition(")")[2].split()[0] != "S":
                return False
    return True


def cpu_at_rest(pid):
    """The kernel counts what a thread took when it comes to rest: one that has the next request
    before that is not counted for many."""
    taken = [None]

    def is_counted():
        before, taken[0] = taken[0], cpu_seconds(pid)
        return is_at_rest(pid) and taken[0] == before
    until(is_counted, "the server at rest")
    return taken[0]


def cost_of_guesses(one, phones, turns=20, count=25):
    """Of the server's processor, for each of these phones in turn: what a wrong guess takes."""
    costs = [[] for _ in phones]
    for _ in range(turns):
        for phone, cost in zip(phones, costs):
            before = cpu_at_rest(one.process.pid)
            for _ in range(count):
                expect(guess(phone) == 401, "a guess is not answered")
            cost.append((cpu_at_rest(one.process.pid) - before) / count)
    return [statistics.median(cost) for cost in costs]


@check
def a_wrong_guess_costs_as_much_for_a_user_who_does_not_exist():
    stack = "<exempt>lab</exempt>"
    with server(config(stack=stack, more="<access><lab>127.0.0.3</lab></access>")) as one:
        one.start("-A", "127.0.0.1")
        users = "alice", "nobody"
        phones = [phone_at(one, "127.0.0.3", user=user, password="wrong") for user in users]
        known, unknown = cost_of_guesses(one, phones)
        print(f"known {known * 1e6:.1f} us, unknown {unknown * 1e6:.1f} us")
        expect(abs(known - unknown) < 0.1 * known, f"{known * 1e6:.1f} us of a processor for a "
               f"known user, {unknown * 1e6:.1f} us for one who is not")


@check
def phones_are_told_the_service_route():
    route = "sip:127.0.0.1;lr sip:edge.test"
    with server(config(stack=f"<service-route>{route}</service-route>")) as one:
        one.start()
        said = field(Phone(one.port).register(), "Service-Route")
        expect(said == "<sip:127.0.0.1;lr>, <sip:edge.test;lr>", f"{said!r}")
        write(one, config(stack="<service-route>edge.test</service-route>"))
        status, said = one.refuse("--check")
        expect(status == 2, f"exit status {status}: {said!r}")
        one_line(said, one.config, 'service-route in <stack> has "edge.test"; write SIP URIs')


@check
def a_resolver_is_an_address():
    for said in "dns.test", "127.0.0.1@0", "127.0.0.1@65536", "[::1]", "127.0.0.1 dns.test":
        with server(config(stack=f"<resolver>{said}</resolver>")) as one:
            status, told = one.refuse("--check")
            expect(status == 2, f"{said}: exit status {status}: {told!r}")
            one_line(told, one.config, f'resolver in <stack> has "{said.split()[-1]}"; write')
    with server(config(stack="<resolver>127.0.0.1@5353, ::1</resolver>")) as one:
        status, told = one.refuse("--check")
        expect(status == 0, f"exit status {status}: {told!r}")


@check
def a_trust_anchor_is_a_file_with_keys():
    """By one that cannot be read nothing is proven, so nobody is looked up."""
    for said in "anchor", "./anchor", "/" + 260 * "x":
        with server(config(stack=f"<trust-anchor>{said}</trust-anchor>")) as one:
            status, told = one.refuse("--check")
            expect(status == 2, f"{said}: exit status {status}: {told!r}")
            one_line(told, one.config, "trust-anchor in <stack> is", "write the path of a file")
    with empty_dns() as resolver, server(config(stack=f"""<resolver>{resolver}</resolver>
            <trust-anchor>/nonexistent/anchor</trust-anchor>""")) as one:
        one.start()
        alice, = phones_of(one, "alice")
        expect_status(Call(alice, "sip:bob@four.test"), 504)
        _, told = one.end()
        expect("DNS cannot be asked: /nonexistent/anchor" in told, f"it said {told!r}")


@check
def a_phone_may_ring_for_so_long_only():
    with server(config(more="<timers><answer>5</answer></timers>")) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        begin = time.monotonic()
        call = Call(alice, "bob", {bob: None})
        took = time.monotonic() - begin
        expect(call.cancelled, "the phone was not told to stop")
        expect(call.status == 408 and 4.5 < took, f"{call.status} after {took:.1f} s")


class Clock:
    """A server's clock, which is set forward; the server looks at it when it is asked something."""

    def __init__(self, one):
        self.one, self.path = one, os.path.join(one.folder, "ahead")
        self.set(0)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": HASTE, "SIPWITCH_HASTE": self.path}

    def set(self, ahead):
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write(str(ahead))
        os.rename(self.path + ".new", self.path)

    def look(self):
        """All that was due is done: the second answer comes in a later round than the first."""
        for _ in range(2):
            expect(Phone(self.one.port).ask("OPTIONS").startswith("SIP/2.0 200 "), "no answer")


@check
def a_ringing_call_is_given_up_after_timer_c():
    with server(config(more="<timers><c>240</c></timers>")) as one:
        clock = Clock(one)
        one.start("-A", "127.0.0.1", env=clock.environment())
        alice, bob = phones_of(one, "alice", "bob")

        class Patient(Call):
            def take_request(self, phone, message):
                super().take_request(phone, message)
                if message.startswith("INVITE "):
                    clock.look()
                    clock.set(235)
                    clock.look()
                    expect(not select.select([phone.socket], [], [], 0)[0], "it is given up before")
                    clock.set(241)
                    clock.look()
        call = Patient(alice, "bob", {bob: None})
        expect(call.cancelled, "the phone was not told to stop")
        expect_status(call, 408)  # not the 487 that the phone says to the CANCEL


@check
def keys_without_effect_are_accepted_and_noted_once():
    stack = "".join(f"<{key}>1</{key}>" for key in (
        "mapped threading priority keysize timing incoming outgoing contact proxy "
        "outbound send101 keepalive learn password "
        "dhfile random").split())
    more = """<timers><ring>4</ring><cfna>4</cfna><reset>6</reset><invite>120</invite></timers>
              <messages><expires>15</expires><keysize>7</keysize></messages>
              <media><priority>1</priority></media>
              <forward><server>x</server></forward><subscriber><server>x</server></subscriber>
              <devices><x/></devices><provider/>"""
    nodes = """<refer id="a"/><group id="b"/><queue id="c"/><user id="u" secret="x">
               <forwarding><na>202</na></forwarding><published/><authorize><userid>u</userid>
               </authorize></user><user id="v" secret="x"><forwarding><busy>1</busy></forwarding>
               </user><test id="t"><answer>1</answer><duration>2</duration></test>"""
    text = config(nodes, "<keysize>7</keysize><priorities>10</priorities>", stack, more)
    with server(text) as one:
        status, said = one.refuse("--check")
        expect(status == 0, f"exit status {status}: {said!r}")
        for key in re.findall("<([a-z0-9]+)>", stack + more) + ["refer", "group", "queue",
                                                               "forwarding", "published",
                                                               "authorize", "answer", "duration",
                                                               "priorities"]:
            if key in ("timers", "messages", "media", "server"):
                continue
            noted = re.findall(rf": {key} in <[a-z]+> has no effect: .+", said)
            expect(noted and len(noted) == len(set(noted)), f"{key}: {noted}")
        expect(said.count(": forwarding in") == 1, "forwarding is noted twice")
        one.start()
        alice, = phones_of(one, "alice")
        for target in "a", "b", "c":  # they are nobody
            expect_status(Call(alice, target), 404)
        _, at_start = one.end()
        notes = [line for line in said.splitlines() if " has no effect: " in line]
        expect([at_start.count(note) for note in notes] == [1] * len(notes),
               f"not each of {notes} is noted once at the start: {at_start!r}")


# ---- access lists

@check
def networks_decline_and_reject():
    access = "<access><decline>127.0.0.3</decline><reject>127.0.0.4/32</reject></access>"
    with server(config(more=access)) as one:
        one.start("-A", "127.0.0.1")
        for source, status in ("127.0.0.3", 603), ("127.0.0.4", 503), ("127.0.0.5", 200):
            phone = phone_at(one, source)
            said = phone.ask("OPTIONS")
            expect(said.startswith(f"SIP/2.0 {status} "), f"{source}: {said!r}")


def phone_at(one, source, user="alice", password="alices secret"):
    """A phone at another address of this machine."""
    phone = Phone(one.port, user, password)
    phone.socket.close()
    phone.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.socket.bind((source, 0))
    phone.socket.connect(("127.0.0.1", one.port))
    phone.socket.settimeout(0.5)
    phone.host, phone.port = source, phone.socket.getsockname()[1]
    return phone


@check
def users_are_served_from_restricted_networks_only():
    cases = [  # access, restricted, where it is served, where it is not
        ("<lan>127.0.0.3</lan>", "lan", ["127.0.0.3"], ["127.0.0.1", "127.0.0.4"]),
        ("<lan>127.0.0.0/30</lan><hole>127.0.0.2</hole>", "lan", ["127.0.0.3"], ["127.0.0.2"]),
        ("<lan>127.0.0.0/255.255.255.252</lan>", "lan", ["127.0.0.2"], ["127.0.0.4"]),
        ("", "loopback", ["127.0.0.1", "127.5.5.5"], []),
        ("", "lo", ["127.0.0.1"], []),
        ("<one>127.0.0.5</one><two>127.0.0.6, 127.0.0.7</two>", "one two",
         ["127.0.0.5", "127.0.0.6", "127.0.0.7"], ["127.0.0.8"]),
        ("", "any", ["127.0.0.9"], []), ("", "none", ["127.0.0.9"], []),
        ("", "world", ["127.0.0.9"], []), ("", "nat", ["127.0.0.9"], []),
        ("<gateway>127.0.0.9</gateway>", "gateway", ["127.0.0.9"], ["127.0.0.8"]),
        ("", "nowhere", [], ["127.0.0.1"]),
    ]
    with server(config()) as one:
        one.start("-A", "127.0.0.1")
        for access, names, served, refused in cases:
            reload(one, config(stack=f"<restricted>{names}</restricted>",
                               more=f"<access>{access}</access>"))
            for source in served:
                expect(is_registered(phone_at(one, source)), f"{names}: refused at {source}")
            for source in refused:
                said = phone_at(one, source).ask("REGISTER")
                expect(said.startswith("SIP/2.0 403 "), f"{names} at {source}: {said!r}")
                said = phone_at(one, source).ask("OPTIONS")
                expect(said.startswith("SIP/2.0 200 "), f"{names} at {source}: {said!r}")


@check
def networks_may_be_of_ipv6():
    for network, status in ("::1/128", 200), ("::/64", 200), ("2001:db8::/32", 403):
        text = config(stack="<restricted>six</restricted>",
                      more=f"<access><six>{network}</six></access>")
        with server(text) as one:
            one.start("-A", "::1")
            said = Phone(one.port, host="::1").register() if status == 200 else \
                Phone(one.port, host="::1").ask("REGISTER")
            expect(said.startswith(f"SIP/2.0 {status} "), f"{network}: {said!r}")


@check
def restricted_does_not_keep_strangers_out():
    stack = "<restricted>lan</restricted><published>lab.test</published>"
    with server(config(stack=stack, more="<access><lan>127.0.0.3</lan></access>")) as one:
        one.start("-A", "127.0.0.1")
        bob = phone_at(one, "127.0.0.3", "bob", "bobs secret").bind()
        expect_reached(Call(stranger(one), "bob", {bob: 486}, sender=FOREIGN), bob)
        expect_status(Call(stranger(one), "bob", {bob: 486}, sender="sip:alice@lab.test"), 403)


@check
def trusted_networks_need_no_digest_on_the_flow_of_a_live_binding():
    access = "<access><lan>127.0.0.0/24</lan><guests>127.0.0.64/26</guests></access>"
    with server(config(stack="<trusted>lan</trusted>", more=access)) as one:
        one.start("-A", "127.0.0.1")
        alice, bob = phones_of(one, "alice", "bob")
        guest = phone_at(one, "127.0.0.70").bind()
        rings = {bob: 486}

        def is_challenged(phone, method="INVITE", sender="sip:alice@lab.test"):
            call = Call(phone, "bob", rings, method, sender, proves=False)
            expect(call.status in (407, 486), f"answered {call.status}")
            return call.status == 407
        expect(not is_challenged(alice), "challenged on its own flow")
        expect(not is_challenged(alice, "MESSAGE"), "a MESSAGE is challenged on its own flow")
        expect(is_challenged(alice, sender="sip:bob@lab.test"), "another's name is believed")
        expect(is_challenged(phone_at(one, "127.0.0.5")), "another flow is believed")
        expect(is_challenged(guest), "a more specific network is not minded")
        said = alice.ask("REGISTER")
        expect(said.startswith("SIP/2.0 401 "), f"a REGISTER is not challenged: {said!r}")
        alice.unbind()
        expect(is_challenged(alice), "believed without a binding")


@check
def networks_that_are_none_are_refused():
    for network in "127.0.0.1/33", "127.0.0.1/255.0.255.0", "name", "1.2.3", "::1/129":
        with server(config(more=f"<access><lan>{network}</lan></access>")) as one:
            status, said = one.refuse()
            expect(status == 2, f"{network}: exit status {status}: {said!r}")
            one_line(said, one.config, "is no network; write one like")


# ---- reload

@check
def reload_changes_a_password():
    with server(config()) as one:
        one.start()
        phone = Phone(one.port).bind()
        reload(one, config().replace("alices secret", "new secret"))
        expect(not is_registered(phone), "the old password still counts")
        phone.password = "new secret"
        expect(phone.bindings() == [phone.contact()], "the binding is gone")


@check
def reload_removes_and_adds_users():
    with server(config()) as one:
        one.start()
        bob = Phone(one.port, "bob", "bobs secret").bind()
        alice = Phone(one.port).bind()
        reload(one, config('<user id="carol" secret="c"/>').replace('id="bob"', 'id="bert"'))
        expect(not is_registered(bob), "a user who was removed registers")
        expect(is_registered(Phone(one.port, "carol", "c")), "a new user cannot register")
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        reload(one, config())
        expect(bob.bindings() == [], "bob is back, and the binding of his former life, too")


@check
def reload_survives_a_restart():
    with server(config()) as one:
        one.start()
        alice, bob = Phone(one.port).bind(), Phone(one.port, "bob", "bobs secret").bind()
        reload(one, config().replace('id="bob"', 'id="bert"'))
        expect(not is_registered(bob), "a user who was removed registers")
        one.end(signal.SIGKILL)
        write(one, config())
        one.start()
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        expect(bob.bindings() == [], "bob's binding has come back")


@check
def reload_exchanges_extensions_and_changes_routes():
    with server(config()) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        swapped = config().replace('"201"', '"0"').replace('"202"', '"201"').replace('"0"', '"202"')
        reload(one, swapped)
        expect_reached(Call(alice, "201", {bob: 486}), bob)
        expect_status(Call(alice, "202", {bob: 486}), 486)
        reload(one, config(more='<routing><refuse pattern="9" error="410"/></routing>'))
        expect_reached(Call(alice, "202", {bob: 486}), bob)
        expect_status(Call(alice, "91"), 410)


@check
def reload_leaves_a_ringing_call_alone():
    with server(config()) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")

        class Interrupted(Call):
            def take_request(self, phone, message):
                if message.startswith("INVITE ") and phone not in self.reached:
                    answer(phone, message, 180)
                    reload(one, config(more='<routing><refuse pattern="9"/></routing>'))
                super().take_request(phone, message)
        expect_status(Interrupted(alice, "bob", {bob: 200}), 200)


@check
def reload_leaves_an_answered_call_alone():
    with server(config()) as one:
        one.start()
        alice, bob = phones_of(one, "alice", "bob")
        answered = Call(alice, "bob", {bob: 200})
        route = field(answered.answer, "Record-Route")
        before = answered.reached[bob]
        reload(one, config(more='<routing><refuse pattern="9"/></routing>'))
        answer(bob, before, 200)  # again, as it had no ACK
        call_id, tag = field(before, "Call-ID"), field(answered.answer, "To")
        alice.socket.send("\r\n".join([
            f"BYE sip:bob@127.0.0.1:{bob.port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{alice.port};branch=z9hG4bKbye;rport",
            f"Route: {route}", f"From: <sip:alice@lab.test>;tag=a{Call.count}", f"To: {tag}",
            f"Call-ID: {call_id}", "CSeq: 9 BYE", "Max-Forwards: 70", "Content-Length: 0", "", ""]
        ).encode())
        bob.socket.settimeout(PATIENCE)
        while not (message := bob.socket.recv(65535).decode()).startswith("BYE "):
            pass
        expect(field(message, "Call-ID") == call_id, f"{message!r}")


@check
def reload_of_a_bad_file_changes_nothing():
    with server(config()) as one:
        one.start()
        phone = Phone(one.port).bind()
        write(one, "<sipwitch>\n<stack>\n</sipwitch>")
        one.process.send_signal(signal.SIGHUP)
        one.await_line(f"{one.config}:3:")
        one.await_line("the old configuration stays")
        expect(phone.bindings() == [phone.contact()], "the binding is gone")
        os.remove(one.config)
        one.process.send_signal(signal.SIGHUP)
        one.await_line("cannot be read")
        expect(is_registered(phone), "alice cannot register any more")


@check
def reload_says_what_needs_a_restart():
    with server(config()) as one:
        one.start()
        write(one, config(stack="<port>5099</port>"))
        one.process.send_signal(signal.SIGHUP)
        one.await_line("from the next start on")


@check
def reload_under_load_loses_nothing():
    """Ten phones register in turn while the configuration is reloaded again and again."""
    users = "".join(f'<user id="u{n}" secret="s{n}"/>' for n in range(3000))
    with server(config(users)) as one:
        one.start()
        phones = [Phone(one.port, f"u{n}", f"s{n}") for n in range(10)]
        faults, over = [], threading.Event()

        def keep_registering(phone):
            try:
                while not over.is_set():
                    phone.bind()
                    if phone.bindings() != [phone.contact()]:
                        faults.append(f"{phone.user} lost its binding")
            except Failure as why:
                faults.append(str(why))
        threads = [threading.Thread(target=keep_registering, args=[phone]) for phone in phones]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                reload(one, config(users))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        expect(not faults, f"{faults[:3]}")
        for phone in phones:
            expect(phone.bindings() == [phone.contact()], f"{phone.user} lost its binding")


# ---- the files

@check
def the_samples_of_gnu_sip_witch_load():
    folder = os.path.join(ROOT, "test", "data", "sipwitch")
    with server(config()) as one:
        os.mkdir(one.state)
        shutil.copy(os.path.join(folder, "sipwitch.conf"), one.config)
        shutil.copy(os.path.join(folder, "tests.xml"), one.state)
        shutil.copy(os.path.join(folder, "lab.xml-example"), os.path.join(one.state, "lab.xml"))
        status, said = one.refuse("--check")
        expect(status == 0, f"exit status {status}: {said!r}")
        one.start()
        phone = Phone(one.port, "tycho1", "xxx", domain="127.0.0.1").bind()
        expect_status(Call(phone, "297"), 486)
        expect_status(Call(phone, "295"), 484)
        expect_status(Call(phone, "202"), 480)


def put(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def user_file(*users):
    return "<provision>" + "".join(f'<user id="{u}" secret="{s}"/>' for u, s in users) + \
        "</provision>"


def can_register(one, user, password):
    return is_registered(Phone(one.port, user, password))


@check
def parts_are_read_in_order_and_the_first_counts():
    with server(config()) as one:
        cache = os.path.join(one.folder, "cache")
        put(cache, "provision.xml", user_file(("p", "cache"), ("alice", "no")))
        put(cache, "user-z.xml", user_file(("z", "user"), ("p", "no")))
        put(cache, "routing.xml", '<routing><refuse identity="spam" error="410"/></routing>')
        put(cache, "policy.xml", "<access><decline>127.0.0.3</decline></access>")
        put(cache, "profile.xml", '<provision><profile id="*" trs="0"/></provision>')
        put(one.state, "b.xml", user_file(("s", "b"), ("z", "no")))
        put(one.state, "a.xml", user_file(("s", "a")))
        put(one.state, "not-xml.txt", "<")
        one.start("-A", "127.0.0.1", "--cachepath", cache)
        for user, password in ("alice", "alices secret"), ("p", "cache"), ("z", "user"), ("s", "a"):
            expect(can_register(one, user, password), f"{user} is not of the first part")
        expect_status(Call(Phone(one.port).bind(), "spam"), 410)
        said = phone_at(one, "127.0.0.3").ask("OPTIONS")
        expect(said.startswith("SIP/2.0 603 "), f"{said!r}")


@check
def a_state_overrides_keys_and_files():
    with server(config(stack="<agent>usual</agent>")) as one:
        put(one.state, "state.xml", "<sipwitch>night<stack><agent>late</agent></stack></sipwitch>")
        put(one.state, "staff.xml", user_file(("s", "day")))
        put(one.state, "night/staff.xml", user_file(("s", "night")))
        one.start()
        expect(field(Phone(one.port).ask("OPTIONS"), "Server") == "late", "the key is not his")
        expect(can_register(one, "s", "night"), "the file of the state does not count")
        os.remove(os.path.join(one.state, "state.xml"))
        reload(one, config(stack="<agent>usual</agent>"))
        expect(field(Phone(one.port).ask("OPTIONS"), "Server") == "usual", "the state goes on")
        expect(can_register(one, "s", "day"), "the file of the state goes on")


@check
def a_bad_part_is_refused_and_named():
    with server(config()) as one:
        put(one.state, "staff.xml", "<provision>\n<user id=x/></provision>")
        status, said = one.refuse()
        expect(status == 2, f"exit status {status}")
        one_line(said, os.path.join(one.state, "staff.xml") + ":2:", ";")
        put(one.state, "staff.xml", "<shop/>")
        status, said = one.refuse()
        one_line(said, "staff.xml:1:1: the file begins with <shop>; begin it with <sipwitch>")


@check
def stored_digests_count_more_than_the_file():
    with server(config('<user id="carol" digest="00112233445566778899aabbccddeeff"/>')) as one:
        lines = [f"{user}:{md5(f'{user}:lab.test:stored')}" for user in ("alice", "carol")]
        put(one.state, "digests/lab.test", "\n".join([*lines, "nonsense", ""]))
        one.start()
        for user in "alice", "carol":
            expect(can_register(one, user, "stored"), f"{user}: the stored digest is not used")
        expect(not can_register(one, "alice", "alices secret"), "the secret counts, too")
        one.await_line("line 3 of the stored digests is ignored; write")


TEMPLATES = """<templates><user><secret>templ</secret></user>
               <admin><secret>chief</secret></admin></templates>"""


def etc_of(one, accounts, groups):
    """An /etc with these accounts, as NAME:UID:GECOS, and groups, as NAME:MEMBERS."""
    folder = os.path.join(one.folder, "etc")
    os.makedirs(folder, exist_ok=True)
    for name in "group", "passwd", "nsswitch.conf", "ld.so.cache":
        shutil.copy(os.path.join("/etc", name), folder)
    with open(os.path.join(folder, "passwd"), encoding="utf-8") as file:
        system = [line for line in file if int(line.split(":")[2]) < 1000]
    with open(os.path.join(folder, "passwd"), "w", encoding="utf-8") as file:
        file.writelines(system)
        for account in accounts:
            name, uid, gecos = account.split(":")
            file.write(f"{name}:x:{uid}:{uid}:{gecos}:/:/bin/false\n")
    with open(os.path.join(folder, "group"), "a", encoding="utf-8") as file:
        for number, group in enumerate(groups, 2000):
            name, members = group.split(":")
            file.write(f"{name}:x:{number}:{members}\n")
    return folder


def start_with_etc(one, folder, *options, **environment):
    """In a mount namespace of its own, where that is /etc."""
    script = 'mount --bind "$ETC" /etc && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", *one.command(*options)]
    one.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.PIPE,
                                   env={**os.environ, "ETC": folder, **environment})
    line = one.process.stdout.readline()
    if line != "sipw: ready\n":
        raise Failure(f"the first line is {line!r}: {one.process.stderr.read()!r}")


@check
def the_systems_accounts_are_chosen_by_groups_or_by_their_number():
    accounts = ("early:990:E", "helen:1007:Helen Hunt", "chief:1009:", "stray:1011:",
                "nobody2:65534:")
    users, admins, others = "sipusers:helen", "sipadmin:chief", "phones:stray"
    cases = [  # groups, environment, who is a user, who is an admin
        ((users, admins), {}, {"helen"}, {"chief"}),
        ((users,), {}, {"helen"}, set()),
        ((admins,), {}, set(), {"chief"}),
        ((), {}, {"helen", "chief", "stray"}, set()),
        ((), {"FIRSTUID": "1009"}, {"chief", "stray"}, set()),
        ((users, others), {"SIPUSERS": "phones"}, {"stray"}, set()),
        ((admins, others), {"SIPADMIN": "phones"}, set(), {"stray"}),
        ((users, admins), {"SIPUSERS": "-"}, set(), {"chief"}),
        ((users, admins), {"SIPUSERS": "-", "SIPADMIN": "-"}, {"helen", "chief", "stray"}, set()),
    ]
    with server(config(more=TEMPLATES)) as one:
        for groups, environment, are_users, are_admins in cases:
            start_with_etc(one, etc_of(one, accounts, groups), "-A", "127.0.0.1", "--system",
                           **environment)
            names = [account.split(":")[0] for account in accounts]
            for secret, wanted in ("templ", are_users), ("chief", are_admins):
                found = {name for name in names if can_register(one, name, secret)}
                expect(found == wanted, f"{groups} {environment}: {found} have the password "
                                        f"{secret}, not {wanted}")
            one.end()


@check
def an_accounts_extension_counts_from_the_first_uid():
    with server(config(more=TEMPLATES)) as one:
        folder = etc_of(one, ("helen:1007:Helen Hunt", "stray:1012:,,"), ())
        for environment, number in ({}, "212"), ({"FIRSTUID": "1007"}, "205"):
            start_with_etc(one, folder, "-A", "127.0.0.1", "--system", **environment)
            helen, stray = (Phone(one.port, name, "templ").bind() for name in ("helen", "stray"))
            expect_reached(Call(helen, number, {stray: 486}), stray)
            stray.unbind()
            one.end()


@check
def a_configuration_that_is_named_is_read_alone():
    """Where /etc has a siprealm and accounts."""
    accounts = ("helen:1007:Helen Hunt,255", "alice:1008:Other", "root2:1009:", "root3:1011:",
                "stray:1010:")
    with server(config(more=TEMPLATES)) as one:
        folder = etc_of(one, accounts, ("sipusers:helen,alice", "sipadmin:root2,root3"))
        put(folder, "siprealm", "machine.test:MD5\n")

        def start(*options):
            start_with_etc(one, folder, *options)

        def realm():
            said = Phone(one.port, domain="127.0.0.1").ask("REGISTER")
            return re.search('realm="([^"]*)"', said)[1]
        start("-A", "127.0.0.1")
        expect(realm() == "lab.test", "/etc/siprealm is read unasked")
        expect(not can_register(one, "helen", "templ"), "accounts are read unasked")
        one.end()
        put(one.state, "digests/machine.test", f"root2:{md5('root2:machine.test:pw')}\n")
        start("-A", "127.0.0.1", "--system")
        expect(realm() == "machine.test", "/etc/siprealm does not count more")
        phone = Phone(one.port, "helen", "templ", domain="machine.test").bind()
        expect_status(Call(phone, "255"), 486)
        for user, password, may in ("root2", "pw", True), ("root3", "chief", True), \
                ("root3", "templ", False), ("alice", "alices secret", True), \
                ("alice", "templ", False), ("stray", "templ", False):
            caller = Phone(one.port, user, password, domain="machine.test")
            expect(is_registered(caller) == may, f"{user} with {password}: not {may}")
        caller.user, caller.password = "root2", "pw"
        expect_status(Call(phone, "stray"), 404)
        expect_status(Call(phone, "209"), 480)
        one.end()
        start("-A", "127.0.0.1", "--system", "-n")
        expect(realm() == "machine.test", "-n is for accounts")
        expect(not is_registered(phone), "-n does not keep the accounts out")


@check
def paths_are_printed():
    with server(config()) as one:
        done = subprocess.run(one.command("--dump-config", "--cachepath", "/c"), text=True,
                              capture_output=True, timeout=PATIENCE, check=False)
        expect(done.stdout == f"configuration {one.config}\nstate {one.state}\n"
               f"control {one.state}/control\ncache /c\n",
               f"{done.stdout!r}")
        expect(not os.path.exists(one.state), "it made a state directory")


def main():
    return server_test.run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
