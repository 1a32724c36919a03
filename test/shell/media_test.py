#!/usr/bin/env python3
"""Calls whose media goes through the relay of the real sipw: packets arrive both ways, the relay has
counted them, and they go on when the server is killed. With the kernel's relay and with the process:
each check in a network of its own, several at a time.

Prints `ok RELAY: NAME` or `not ok RELAY: NAME: why` for each check; the exit status is 0 if all are
ok. It needs root, to load the kernel's relay. SIPW names another server binary than
build/release/src/sipw. Arguments are names of checks, or `kernel` or `process`, to run those alone.
"""

import contextlib
import errno
import json
import os
import random
import re
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
for folder in "conformance", "interop":
    sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

import confine
import dialog_test
import lab
import server_test
import sip
from sip import Attempt, Dialog, Failure, Message, expect

RELAYS = "kernel", "process"
# What this program was started for: one check with one of both.
ALONE = sys.argv[2:4] if sys.argv[1:2] == ["--alone"] else []
RELAY = ALONE[0] if ALONE else "process"
AT_ONCE = 4
HASTE = os.path.join(server_test.ROOT, "build", "release", "test", "shell", "hasteclock.so")
CHECK_PATIENCE = 120.0

CONFIG = dialog_test.CONFIG.replace(
    "</sipwitch>", "  <media><mode>always</mode>%s</media>\n</sipwitch>")
SDP = "Content-Type: application/sdp"
KEYS = ("a=fingerprint:sha-256 00:11:22\r\na=zrtp-hash:1.10 abcdef\r\n"
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\r\n")


def place(host, port):
    """As the relay writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connection(host):
    """As descriptions have it."""
    return f"IN IP{6 if ':' in host else 4} {host}"


class Ear:
    """A phone's media: one port, that sends RTP and hears it."""

    def __init__(self, stack, host="127.0.0.1", relay="127.0.0.1", port=0):
        self.host, self.relay = host, relay
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        stack.callback(self.socket.close)
        self.port = self.socket.getsockname()[1]
        self.ssrc = random.getrandbits(32)
        self.sequence = 0

    def describe(self, direction="sendrecv", host=None, version=1):
        at = connection(host or self.host)
        return (f"v=0\r\no=- 7 {version} {at}\r\ns=-\r\nc={at}\r\nt=0 0\r\n"
                f"m=audio {self.port} RTP/AVP 0\r\na=rtcp-mux\r\na={direction}\r\n{KEYS}")

    def packet(self):
        """The next one."""
        return struct.pack("!BBHII", 0x80, 0, self.sequence, 160 * self.sequence,
                           self.ssrc) + bytes(160)

    def send(self, port):
        self.sequence += 1
        packet = self.packet()
        self.socket.sendto(packet, (self.relay, port))
        return packet

    def hears(self, packet, patience):
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0] and \
                    self.socket.recv(2048) == packet:
                return True
        return False

    def silence(self):
        while select.select([self.socket], [], [], 0)[0]:
            self.socket.recv(2048)

    def hears_nothing_before(self, other):
        """What the other sends directly arrives behind what it has sent by the relay."""
        other.socket.sendto(b"behind it", (self.host, self.port))
        if not select.select([self.socket], [], [], server_test.PATIENCE)[0]:
            return False
        return self.socket.recv(2048) == b"behind it"


class Line:
    """Two ears and the relay's ports that each was told."""

    def __init__(self, house, near, near_told, far, far_told):
        self.house = house
        self.ends = [(near, near_told, far), (far, far_told, near)]

    def keys(self):
        return [place(ear.relay, told) for ear, told, _ in self.ends]

    def legs(self):
        """As the relay lists them: that which hears the near ear, and that of the far one."""
        table = self.house.legs()
        expect(all(key in table for key in self.keys()),
               f"{self.keys()} are not among the relay's legs: {list(table)}")
        return [table[key] for key in self.keys()]

    def expect_sound(self):
        """Each hears the other, and the relay counts what each has sent; who is new to the relay is
        heard once both have sent."""
        before, sent = self.legs(), [ear.sequence for ear, _, _ in self.ends]
        end = time.monotonic() + server_test.PATIENCE
        for ear, told, other in self.ends:
            ear.send(told)
        for ear, told, other in self.ends:
            while not other.hears(ear.send(told), 0.2):
                expect(time.monotonic() < end,
                       f"port {told} of the relay leads nowhere: {self.legs()}")
        for (ear, _, _), first, old, new in zip(self.ends, sent, before, self.legs()):
            expect(new["packets"] > old["packets"] and
                   arrived(new) - arrived(old) == ear.sequence - first,
                   f"{ear.sequence - first} packets were sent: {old} became {new}")
            expect(new["source"] == place(ear.host, ear.port), f"the leg hears another: {new}")

    def expect_silence(self):
        """There are no such legs, and nothing goes through."""
        table = self.house.legs()
        for key, (ear, told, other) in zip(self.keys(), self.ends):
            expect(key not in table, f"there still is the leg {table.get(key)}")
            other.silence()
            ear.send(told)
            expect(other.hears_nothing_before(ear), f"port {told} of the relay is still open")


def arrived(leg):
    """All packets that came to a leg, passed on or not."""
    return leg["packets"] + sum(leg["drops"].values())


def film(port):
    """A second m-line; 0 says that there is none any more."""
    return f"m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=rtcp-mux\r\n"


def port_of(message, kind="audio"):
    return int(re.search(rf"^m={kind} (\d+)", message.body, re.MULTILINE)[1])


def told(message, kind="audio", relay="127.0.0.1"):
    """The port of the relay in a description of one of our ears."""
    port = port_of(message, kind)
    expect(KEYS in message.body, f"the keys are gone: {message.body!r}")
    expect(f"c=IN IP4 {relay}\r\n" in message.body, f"{message.body!r}")
    return port


def expect_led(said, message, relay="127.0.0.1"):
    """A description arrived as it was said, byte for byte, but that it leads to the relay; m-lines
    without a port have none."""
    ports = iter(re.findall(r"^m=\S+ (\d+)", message.body, re.MULTILINE))
    port = None
    lines = []
    for line in said.splitlines(keepends=True):
        if line.startswith("m="):
            port = next(ports, "none")
            line = re.sub(r"^(m=\S+ )[1-9]\d*", rf"\g<1>{port}", line)
        elif line.startswith("c="):
            line = re.sub(r"^c=IN IP. [^\r\n]*", f"c={connection(relay)}", line)
        elif line.startswith("a=rtcp:"):
            line = re.sub(r"\d+", str(int(port) + 1), line, count=1)
            line = re.sub(r"IN IP. [^\r\n]*", connection(relay), line)
        lines.append(line)
    expect(message.body == "".join(lines), f"{said!r} arrived as {message.body!r}")


class House(dialog_test.House):
    """A running server, its phones, and an ear for each."""

    def __init__(self, server, stack, host="127.0.0.1", relay=RELAY):
        super().__init__(server, stack, ["udp"] * len(dialog_test.USERS), host)
        self.relay = relay
        self.ears = [Ear(stack, host, host) for _ in self.phones]

    def next_host(self):
        return f"[{self.host}]" if ":" in self.host else self.host

    def listing(self, *options):
        where = [] if self.relay == "kernel" else ["--prefixpath", self.process.state]
        return relay_does("list", *options, *where).splitlines()

    def legs(self):
        """The relay's, by their places."""
        return {leg["leg"]: leg for leg in map(json.loads, self.listing("--json"))}

    def says(self, *words):
        return subprocess.run([program("sipwitch"), "--prefixpath", self.process.state, *words],
                              check=True, capture_output=True, text=True).stdout

    def rows(self, command):
        return [json.loads(line) for line in self.says(command, "--json").splitlines()]

    def kill(self):
        self.process.end(signal.SIGKILL)

    def restart(self):
        self.kill()
        self.process.start("-A", self.host)


class Call:
    """alice calls bob, who answers at once: both dialogs, and the line between their ears."""

    def __init__(self, house, films=("", ""), ears=(), bodies=()):
        self.house = house
        self.alice, self.bob = house.phones[:2]
        self.near_ear, self.far_ear = ears or house.ears[:2]
        said = bodies or (self.near_ear.describe() + films[0], self.far_ear.describe() + films[1])
        attempt = Attempt(self.alice, self.bob.aor(), SDP, body=said[0])
        self.invite = self.bob.await_request("INVITE")
        expect_led(said[0], self.invite, house.host)
        answer = self.bob.answer(self.invite, 200, SDP, body=said[1])
        self.ok, self.near = attempt.accepted()
        expect_led(said[1], self.ok, house.host)
        self.far = Dialog.of_callee(self.bob, self.invite, answer)
        self.bob.await_request("ACK")
        self.line = Line(house, self.near_ear, port_of(self.ok), self.far_ear, port_of(self.invite))

    def exchange(self, ours, theirs, method, status=200, body="", answer_body="", fields=()):
        """A request in the dialog and its answer, as they arrived."""
        text = ours.write(method, f"Contact: <{ours.phone.contact()}>", *([SDP] if body else []),
                          *fields, body=body)
        sent = Message(text)
        ours.phone.send(text)
        request = theirs.phone.await_message(
            lambda m: m.method == method and m.get("CSeq") == sent.get("CSeq"), method)
        theirs.phone.answer(request, status, *([SDP] if answer_body else []), body=answer_body)
        answer = ours.phone.await_message(
            lambda m: m.status >= 200 and m.branch() == sent.branch(), f"answer to {method}")
        expect(answer.status == status, f"{method} was answered {answer.start}")
        if method == "INVITE" and status < 300:
            ours.phone.send(ours.write("ACK", cseq=request.cseq()[0]))
            theirs.phone.await_request("ACK")
        elif method == "INVITE":
            ours.phone.send(ours.write("ACK", cseq=request.cseq()[0], branch=sent.branch()))
            theirs.phone.await_request("ACK")
        return request, answer

    def reinvite(self, ours, theirs, our_body, their_body, method="INVITE"):
        """Both are told the ports that they had."""
        request, answer = self.exchange(ours, theirs, method, body=our_body,
                                        answer_body=their_body)
        expect_led(our_body, request, self.house.host)
        expect_led(their_body, answer, self.house.host)
        at = 0 if ours is self.near else 1
        expect(port_of(request) == self.line.ends[1 - at][1], "the port of who is asked has changed")
        expect(port_of(answer) == self.line.ends[at][1], "the port of who asks has changed")

    def hang_up(self):
        self.exchange(self.near, self.far, "BYE")
        self.line.expect_silence()


class DirectCall(Call):
    """One that the relay has nothing to do with."""

    def __init__(self, house, caller=None, callee=None):
        self.house = house
        self.alice, self.bob = caller or house.phones[0], callee or house.phones[1]
        near, far = (ear.describe() for ear in house.ears[:2])
        attempt = Attempt(self.alice, self.bob.aor(), SDP, body=near)
        self.invite = self.bob.await_request("INVITE")
        expect(self.invite.body == near, f"it is not as it was: {self.invite.body!r}")
        answer = self.bob.answer(self.invite, 200, SDP, body=far)
        self.ok, self.near = attempt.accepted()
        expect(self.ok.body == far, f"it is not as it was: {self.ok.body!r}")
        self.far = Dialog.of_callee(self.bob, self.invite, answer)
        self.bob.await_request("ACK")


def relay_does(*words):
    """What it says."""
    done = subprocess.run([program("sipw-relay"), *words], check=False, capture_output=True, text=True)
    expect(done.returncode == 0, f"sipw-relay {words[0]}: {done.stderr.strip()}")
    return done.stdout


def program(name):
    return os.path.join(os.path.dirname(server_test.SIPW), name)


@contextlib.contextmanager
def running(config, host="127.0.0.1", relay=RELAY, **how):
    with server_test.server(config) as server, contextlib.ExitStack() as stack:
        pids = []
        stack.callback(end_relays, server, pids)
        server.start("-A", host, **how)
        line = server.await_line("media is relayed")
        pids += process_of(line)
        expect(bool(pids) == (relay == "process"), f"this is not the {relay}: {line}")
        one = House(server, stack, host, relay)
        one.chosen, one.pids = line, pids
        yield one


@contextlib.contextmanager
def house(more="", count=100):
    first = random.randrange(61000, 65400, 2)  # behind those that the system gives to phones
    with running(CONFIG % f"<ports>{first}-{first + count - 1}</ports>{more}") as one:
        one.first = first
        yield one


def process_of(line):
    return [int(pid) for pid in re.findall(r"process (\d+)\)", line)]


def end_relays(server, pids):
    """They outlive their server: that is what they are for."""
    server.discard()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


# ---- checks

def sound_goes_both_ways_and_ends_with_the_call():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        row, = one.rows("calls")
        expect((row["media"], row["media_reason"]) == ("relayed", "all media is relayed"),
               f"the call is shown as {row}")
        call.hang_up()
        record = server_test.until(lambda: one.rows("records"), "record")[0]
        expect(record["media"] == "relayed", f"the record is {record}")


def what_is_relayed_and_dropped_is_counted():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.bind(("127.0.0.2", 0))
        with stranger:
            stranger.sendto(b"\x80\0" + bytes(170), ("127.0.0.1", call.line.ends[0][1]))
        for _ in range(5):
            for ear, port, other in call.line.ends:
                other.hears(ear.send(port), server_test.PATIENCE)
        found = server_test.until(lambda: counted(one, lambda c: c["relay_packets"] >= 10 and
                                                  c["dropped_stranger"] == 1), "counts", 20)
        expect((found["relayed"], found["relayed_now"], found["relayed_peak"],
                found["relay_refused"]) == (1, 1, 1, 0), f"{found}")
        expect(found["relay_bytes"] == 172 * found["relay_packets"], f"{found}")
        call.hang_up()
        found = server_test.until(lambda: counted(one, lambda c: c["relayed_now"] == 0), "end")
        expect(found["relayed"] == 1, f"{found}")


def who_is_on_the_relay_is_listed_with_their_silence():
    """For people, too."""
    with house() as one:
        call = Call(one)
        expect(all(leg["silent_ms"] is None and leg["source"] is None for leg in call.line.legs()),
               f"somebody was heard: {call.line.legs()}")
        (near, _, _), _ = call.line.ends
        began = time.monotonic()
        call.line.expect_sound()
        server_test.until(lambda: all(leg["silent_ms"] >= 300 for leg in call.line.legs()), "silence")
        call.line.expect_sound()
        last = time.monotonic()
        legs = call.line.legs()
        silent = 1000 * (time.monotonic() - began)
        expect(all(leg["silent_ms"] <= silent for leg in legs), f"silent for {silent:.0f} ms: {legs}")
        server_test.until(lambda: all(1000 * (time.monotonic() - last) - 100 <= leg["silent_ms"]
                                      for leg in call.line.legs()), "silence that goes on")
        leg = call.line.legs()[0]
        title, *rows = one.listing()
        expect(title.split() == ["LEG", "PHONE", "PACKETS", "DROPPED", "LOST", "JITTER", "SILENT"], title)
        row, = [row.split() for row in rows if row.startswith(f"{leg['leg']} ")]
        dropped = sum(leg["drops"].values())
        expect(row[:5] == [leg["leg"], place(near.host, near.port), str(leg["packets"]), str(dropped),
                           str(leg["lost"])] and row[-1] == "s", f"{leg} is shown as {row}")
        call.hang_up()


def say_with_gaps(ear, port, other, count, gap):
    """So many packets at once, of which each `gap`-th is lost and the two behind it come in turn."""
    for n in range(1, count + 1):
        number = ear.sequence + n + {1: 1, 2: -1}.get(n % gap, 0)
        packet = struct.pack("!BBHII", 0x80, 0, number, 160 * number, ear.ssrc) + bytes(160)
        if n % gap:
            ear.socket.sendto(packet, ("127.0.0.1", port))
            expect(other.hears(packet, server_test.PATIENCE), "a packet is not through")
    ear.sequence += count


def what_is_lost_and_uneven_is_in_the_record():
    """Packets at once, whose timestamps are 20 ms apart, come as unevenly as that."""
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        near, near_port, far = call.line.ends[0]
        before = server_test.until(lambda: heard(one, "calls", lambda r: "from_callee" in r), "look", 20)
        say_with_gaps(near, near_port, far, 410, 20)
        rtcp = struct.pack("!BBHI", 0x80, 201, 1, near.ssrc)
        near.socket.sendto(rtcp, ("127.0.0.1", near_port))
        expect(far.hears(rtcp, server_test.PATIENCE), "what was sent is not through")
        call.hang_up()
        row = server_test.until(lambda: heard(one, "records", lambda r: True), "record")
        lost = {name: row[name]["lost"] - before[name]["lost"] for name in ("from_caller", "from_callee")}
        expect(lost == {"from_caller": 20, "from_callee": 0}, f"{before} and then {row}")
        expect(row["from_caller"]["expected"] - before["from_caller"]["expected"] == 410, f"{row}")
        expect(15000 < row["from_caller"]["jitter_us"] < 45000, f"{row}")
        percent = 100 * row["from_caller"]["lost"] / row["from_caller"]["expected"]
        other = 100 * row["from_callee"]["lost"] / row["from_callee"]["expected"]
        expect(f"{percent:.1f}/{other:.1f}%" in one.says("records"), one.says("records"))
        found = server_test.until(lambda: counted(one, lambda c: c["rtp_lost"]), "counts")
        expect(found["rtp_lost"] == row["from_caller"]["lost"] + row["from_callee"]["lost"], f"{found}")


def what_each_medium_has_lost_is_in_the_record():
    """Of audio and video, from either end; in the database, too."""
    with house() as one, contextlib.ExitStack() as stack:
        films = [Ear(stack), Ear(stack)]
        call = Call(one, [film(ear.port) for ear in films])
        line = Line(one, films[0], told(call.ok, "video"), films[1], told(call.invite, "video"))
        legs = [("caller", 1, 10, call.line.ends[0]), ("callee", 1, 20, call.line.ends[1]),
                ("caller", 2, 40, line.ends[0]), ("callee", 2, 80, line.ends[1])]
        for each in call.line, line:
            each.expect_sound()
        for _, _, gap, end in legs:
            say_with_gaps(*end, 165, gap)
        wanted = sorted((side, media, end[0].sequence, 165 // gap) for side, media, gap, end in legs)
        server_test.until(lambda: heard(one, "calls", lambda r: legs_of(r) == wanted), "look", 20)
        call.hang_up()
        one.restart()
        row = server_test.until(lambda: heard(one, "records", lambda r: True), "record")
        expect(legs_of(row) == wanted, f"{wanted} were sent and lost, and the record is {row}")
        for side in "caller", "callee":
            sums = [sum(leg[n] for leg in wanted if leg[0] == side) for n in (2, 3)]
            worst = max(leg["jitter_us"] for leg in row["legs"] if leg["from"] == side)
            expect(row[f"from_{side}"] == {"expected": sums[0], "lost": sums[1], "jitter_us": worst}, f"{row}")
        one.process.end()
        with contextlib.closing(sqlite3.connect(os.path.join(one.process.state, "sipwitch.db"))) as file:
            found = file.execute("SELECT side, line, expected, lost FROM legs JOIN calls ON call = id "
                                 "WHERE id = ? ORDER BY side, line", (row["id"],)).fetchall()
        expect(found == wanted, f"{wanted} were sent and lost, and the database has {found}")


def legs_of(row):
    return sorted((leg["from"], leg["media"], leg["expected"], leg["lost"]) for leg in row.get("legs", ()))


def what_closed_legs_have_heard_outlives_a_kill():
    """The video of a call ends, and the server; those who are left count once."""
    with house() as one, contextlib.ExitStack() as stack:
        films = [Ear(stack), Ear(stack)]
        call = Call(one, [film(ear.port) for ear in films])
        line = Line(one, films[0], told(call.ok, "video"), films[1], told(call.invite, "video"))
        for each in call.line, line:
            each.expect_sound()
        for end, gap in zip(line.ends, (20, 40)):
            say_with_gaps(*end, 205, gap)
        sent = [ear.sequence for ear in films]
        call.reinvite(call.near, call.far, call.near_ear.describe() + film(0),
                      call.far_ear.describe() + film(0))
        line.expect_silence()
        await_count(one, call, sent)
        passed = sum(sent) - 15 + call.near_ear.sequence + call.far_ear.sequence
        found = counted(one, lambda c: True)
        expect(found["relay_packets"] <= passed, f"{passed} packets, and {found}")
        one.restart()
        call.line.expect_sound()
        sent = [sent[0] + call.near_ear.sequence, sent[1] + call.far_ear.sequence]
        call.hang_up()
        row = server_test.until(lambda: heard(one, "records", lambda r: True), "record")
        found = [(row[name]["expected"], row[name]["lost"]) for name in ("from_caller", "from_callee")]
        expect(found == [(sent[0], 10), (sent[1], 5)], f"{sent} were sent, and the record is {row}")


def await_count(one, call, films):
    """Until it was looked at what was sent by now."""
    call.line.expect_sound()
    sent = films[0] + call.near_ear.sequence
    server_test.until(lambda: heard(one, "calls", lambda r: "from_caller" in r and
                                    r["from_caller"]["expected"] == sent), "look", 20)


def heard(one, command, so):
    found = one.rows(command)
    return found[0] if found and so(found[0]) else None


def counted(one, so):
    counters, = [row for row in one.rows("stats") if "node" not in row]
    return counters if so(counters) else None


def hold_and_other_places_keep_the_ports():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        call.reinvite(call.near, call.far, call.near_ear.describe("sendonly"),
                      call.far_ear.describe("recvonly"))
        call.reinvite(call.far, call.near, call.far_ear.describe(), call.near_ear.describe())
        call.line.expect_sound()
        moved = one.ears[2]
        call.reinvite(call.near, call.far, moved.describe(), call.far_ear.describe(), "UPDATE")
        near, far = call.line.ends
        call.line = Line(one, moved, near[1], call.far_ear, far[1])
        call.line.expect_sound()
        call.hang_up()


def a_refused_offer_changes_nothing():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        call.exchange(call.near, call.far, "INVITE", 488, one.ears[2].describe())
        call.line.expect_sound()
        call.hang_up()


def an_offer_may_come_in_the_answer():
    with house() as one:
        alice, bob = one.phones[:2]
        near, far = one.ears[:2]
        attempt = Attempt(alice, bob.aor())
        invite = bob.await_request("INVITE")
        expect(not invite.body, "the INVITE has a description")
        bob.answer(invite, 200, SDP, body=far.describe())
        ok = attempt.final()
        dialog = Dialog.of_caller(alice, ok)
        alice.send(dialog.write("ACK", SDP, cseq=attempt.cseq, body=near.describe()))
        line = Line(one, near, told(ok), far, told(bob.await_request("ACK")))
        line.expect_sound()
        alice.send(dialog.write("BYE"))
        bob.take("BYE", 200)
        alice.await_message(lambda m: m.status == 200 and m.cseq()[1] == "BYE", "answer to BYE")
        line.expect_silence()


def signed_and_encoded_bodies_pass_byte_for_byte():
    """RFC 8224: there is a description within, but to touch it would break the signature."""
    with house() as home:
        alice, bob = home.phones[:2]
        for kind, extra in (('multipart/signed;protocol="application/pkcs7-signature";boundary=b', ()),
                            ("application/pkcs7-mime;smime-type=enveloped-data", ()),
                            ("application/sdp", ("Content-Encoding: gzip",))):
            bodies = [f"--b\r\n{SDP}\r\n\r\n{ear.describe()}\r\n--b--\r\n\u00e9\u0001"
                      for ear in home.ears[:2]]
            fields = (f"Content-Type: {kind}", *extra)
            attempt = Attempt(alice, bob.aor(), *fields, body=bodies[0])
            invite = bob.await_request("INVITE")
            expect(invite.body == bodies[0], f"{kind} arrived as {invite.body!r}")
            text = bob.answer(invite, 200, *fields, body=bodies[1])
            ok, near = attempt.accepted()
            expect(ok.body == bodies[1], f"{kind} came back as {ok.body!r}")
            bob.await_request("ACK")
            alice.send(near.write("BYE"))
            bob.take("BYE", 200)
            expect(Message(text).get("Content-Type") == ok.get("Content-Type"), ok.text)


def early_media_of_two_phones_is_told_apart():
    with house() as one, contextlib.ExitStack() as stack:
        alice, bob = one.phones[:2]
        other = sip.Phone(one, "bob")
        stack.callback(other.close)
        other.bind()
        attempt = Attempt(alice, bob.aor(), SDP, body=one.ears[0].describe())
        lines, invites = [], []
        for phone, ear in ((bob, one.ears[1]), (other, one.ears[2])):
            invite = phone.await_request("INVITE")
            phone.answer(invite, 183, SDP, body=ear.describe())
            early = attempt.provisional(183)
            lines.append(Line(one, one.ears[0], told(early), ear, told(invite)))
            invites.append(invite)
        expect(lines[0].ends[0][1] != lines[1].ends[0][1], "both have one port")
        for ear, port, _ in (lines[0].ends[1], lines[1].ends[1]):  # both are heard before the 200
            one.ears[0].send(lines[0].ends[0][1])
            one.ears[0].send(lines[1].ends[0][1])
            server_test.until(lambda ear=ear, port=port: one.ears[0].hears(ear.send(port), 0.2),
                              "early media")
        other.answer(invites[1], 200, SDP, body=one.ears[2].describe())
        _, dialog = attempt.accepted()
        bob.take("CANCEL", 200)
        bob.answer(invites[0], 487)
        bob.await_request("ACK")
        lines[1].expect_sound()
        lines[0].expect_silence()
        alice.send(dialog.write("BYE"))
        other.take("BYE", 200)
        alice.await_message(lambda m: m.status == 200 and m.cseq()[1] == "BYE", "answer to BYE")
        lines[1].expect_silence()


def sound_goes_on_when_the_server_is_killed():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        one.kill()
        for _ in range(20):
            for ear, port, other in call.line.ends:
                expect(other.hears(ear.send(port), server_test.PATIENCE), "a packet is lost")
        one.process.start()
        for ear, port, other in call.line.ends:
            expect(other.hears(ear.send(port), server_test.PATIENCE), "a packet is lost")
        call.reinvite(call.near, call.far, call.near_ear.describe(), call.far_ear.describe())
        call.line.expect_sound()
        call.hang_up()


def calls_outlive_the_process_that_relays():
    """It is killed in mid-call: another has all legs, and the phones find it by their packets."""
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        sent = call.near_ear.sequence
        server_test.until(lambda: heard(one, "calls", lambda r: "from_caller" in r and
                                        r["from_caller"]["expected"] == sent), "look", 20)
        os.kill(one.pids[0], signal.SIGKILL)
        one.process.await_line("the media relay has ended; the media of its calls comes back with another")
        line = one.process.await_line("media is relayed by a process of its own (sipw-relay, ")
        one.pids += process_of(line)
        expect(len(set(one.pids)) == 2, f"it is the same: {line}")
        server_test.until(lambda: set(call.line.keys()) <= one.legs().keys(), "legs of the call")
        call.line.expect_sound()
        call.reinvite(call.near, call.far, call.near_ear.describe(), call.far_ear.describe())
        call.line.expect_sound()
        sent = [ear.sequence for ear, _, _ in call.line.ends]
        call.hang_up()
        row = server_test.until(lambda: heard(one, "records", lambda r: True), "record")
        found = [row[name]["expected"] for name in ("from_caller", "from_callee")]
        expect(found == sent, f"{sent} were sent, and the record is {row}")
        call = Call(one)
        call.line.expect_sound()
        call.hang_up()


def a_call_that_ends_while_the_server_is_away_leaves_no_port():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        state = one.process.state
        one.kill()
        for name in os.listdir(state):  # as if the journal had never been written
            if name.startswith("journal."):
                os.unlink(os.path.join(state, name))
        one.process.start()
        server_test.until(lambda: is_silent(call.line), "end of the legs")


def is_silent(line):
    try:
        line.expect_silence()
    except Failure:
        return False
    return True


def a_ringing_call_keeps_its_ports_through_a_restart():
    with house() as one:
        alice, bob = one.phones[:2]
        attempt = Attempt(alice, bob.aor(), SDP, body=one.ears[0].describe())
        invite = bob.await_request("INVITE")
        bob.answer(invite, 180)
        attempt.provisional(180)
        one.restart()
        again = bob.await_request("INVITE")
        expect(told(again) == told(invite), "the phone was offered another port")
        bob.answer(again, 200, SDP, body=one.ears[1].describe())
        ok, dialog = attempt.accepted()
        line = Line(one, one.ears[0], told(ok), one.ears[1], told(invite))
        line.expect_sound()
        alice.send(dialog.write("BYE"))
        bob.take("BYE", 200)
        alice.await_message(lambda m: m.status == 200 and m.cseq()[1] == "BYE", "answer to BYE")
        line.expect_silence()


def a_full_relay_refuses():
    with house("<user-calls>1</user-calls>") as one:
        call = Call(one)
        alice, carol = one.phones[0], one.phones[2]
        attempt = Attempt(alice, carol.aor(), SDP, body=one.ears[2].describe())
        attempt.fails(503)
        call.hang_up()
        attempt = Attempt(alice, carol.aor(), SDP, body=one.ears[2].describe())
        carol.take("INVITE", 486)
        attempt.fails(486)


def refuses_another(one):
    """alice calls carol, too, and hears that the relay is full."""
    attempt = Attempt(one.phones[0], one.phones[2].aor(), SDP, body=one.ears[2].describe())
    attempt.fails(503)


def serves_another(one):
    alice, carol = one.phones[0], one.phones[2]
    attempt = Attempt(alice, carol.aor(), SDP, body=one.ears[2].describe())
    carol.take("INVITE", 486)
    attempt.fails(486)


def a_restart_forgets_nobodys_limit():
    with house("<user-calls>1</user-calls>") as one:
        call = Call(one)
        one.restart()
        one.process.await_line("media is relayed")
        refuses_another(one)
        call.hang_up()
        serves_another(one)


def more_calls_than_all_may_have_are_refused():
    with house("<calls>1</calls>") as one:
        call = Call(one)
        refuses_another(one)
        call.hang_up()
        serves_another(one)


def a_full_relay_refuses_more_media_in_mid_call():
    """Who asks hears it, and the call stands as it was."""
    with house(count=4) as one, contextlib.ExitStack() as stack:  # a pair towards each phone
        call = Call(one)
        call.line.expect_sound()
        for ours, theirs, ear in ((call.near, call.far, call.near_ear),
                                  (call.far, call.near, call.far_ear)):
            text = ours.write("INVITE", f"Contact: <{ours.phone.contact()}>", SDP,
                              body=ear.describe(version=2) + film(Ear(stack).port))
            ours.phone.send(text)
            answer = ours.phone.await_message(
                lambda m, branch=Message(text).branch(): m.status >= 200 and m.branch() == branch,
                "answer to INVITE")
            expect(answer.status == 503, f"INVITE was answered {answer.start}")
            ours.phone.send(ours.write("ACK", cseq=ours.cseq, branch=Message(text).branch()))
            theirs.phone.has_nothing(lambda m: m.method == "INVITE", "it was asked all the same",
                                     [ours.phone])
        call.line.expect_sound()
        call.reinvite(call.near, call.far, call.near_ear.describe(), call.far_ear.describe())
        call.line.expect_sound()
        call.hang_up()


def a_relay_without_a_port_refuses():
    with house(count=4) as one:  # a pair towards each phone
        call = Call(one)
        refuses_another(one)
        call.line.expect_sound()
        call.hang_up()
        serves_another(one)


def occupy(stack, ports):
    """Other programs have them."""
    for port in ports:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stack.callback(one.close)
        one.bind(("127.0.0.1", port))


def a_call_whose_port_another_program_has_ends():
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(house(count=8))  # four pairs
        occupy(stack, range(one.first, one.first + 4))
        ended = heard = 0
        while heard < 4:
            call = Call(one)
            if is_heard(call.line):
                heard += 1
                call.hang_up()
                continue
            ended += 1
            expect(ended <= 2, "a port is used again that another program has")
            for phone in call.alice, call.bob:
                bye = phone.await_message(lambda m, call=call: m.method == "BYE" and
                                          m.get("Call-ID") == call.near.call_id, "BYE")
                expect("No relay" in (bye.get("Reason") or ""), f"Reason is {bye.get('Reason')!r}")
                phone.answer(bye, 200)
            record = server_test.until(lambda: newest(one, call), "record")
            expect((record["reason"], record["ended_by"]) == ("unrelayed", "relay"),
                   f"the record is {record}")


def newest(one, call):
    found = [row for row in one.rows("records") if row["call_id"] == call.near.call_id]
    return found[0] if found else None


def is_heard(line):
    """Either it is, or the server hangs up."""
    (near, port, far), (_, other_port, _) = line.ends
    end = time.monotonic() + 2
    while time.monotonic() < end:
        far.send(other_port)
        if far.hears(near.send(port), 0.1):
            return True
    return False


def a_silent_call_is_hung_up():
    with house("<silence>2</silence>") as one:
        call = Call(one)
        call.line.expect_sound()
        for phone in call.alice, call.bob:
            bye = phone.await_request("BYE", 20)
            expect("No media" in (bye.get("Reason") or ""), f"Reason is {bye.get('Reason')!r}")
            phone.answer(bye, 200)
        record = server_test.until(lambda: one.rows("records"), "record")[0]
        expect((record["reason"], record["ended_by"]) == ("silent", "silence"),
               f"the record is {record}")
        call.line.expect_silence()


def who_hears_nothing_is_told_in_the_log():
    with house() as one:
        call = Call(one)
        ear, port, other = call.line.ends[0]
        end = time.monotonic() + 20
        line = None
        while not line and time.monotonic() < end:
            ear.send(port)
            line = one.process.next_line(0.1)
            line = line if line and "hears nothing" in line else None
        expect(line and "bob hears nothing: alice's" not in line and
               "alice hears nothing: bob's packets do not arrive" in line, f"the log says {line!r}")
        call.hang_up()


def who_sends_from_elsewhere_than_was_said_is_heard():
    """bob names an address of which nothing comes: three seconds later his packets are let in where
    his signalling comes from."""
    with running(CONFIG % "", lab.ADDRESS) as one:
        wrong = one.ears[1].describe(host="192.0.2.99")
        call = Call(one, bodies=(one.ears[0].describe(), wrong))
        strangers = 0

        def is_mended():
            nonlocal strangers
            for ear, port, _ in call.line.ends:
                ear.send(port)
            leg = call.line.legs()[1]
            if leg["allowed"].startswith("192.0.2.99:"):
                expect(not leg["packets"], f"a stranger is let in: {leg}")
                strangers = max(strangers, leg["drops"]["stranger"])
            return leg["allowed"].startswith(f"{lab.ADDRESS}:")
        server_test.until(is_mended, "address that is let in", 20)
        expect(strangers > 0, "bob was heard from the beginning")
        one.process.await_line("alice hears nothing: bob's packets do not arrive")
        for ear in one.ears:
            ear.silence()
        call.line.expect_sound()
        call.hang_up()


def only_a_gateway_is_sent_to_before_it_sends():
    """bob's media is not where his signalling comes from: until he sends there he hears nothing, for
    anybody may live there. A gateway may wait for others to send first."""
    gateway = '<gateway id="carol" secret="carols secret"/>'
    config = re.sub(r'<user id="carol".*/>', gateway, CONFIG % "")
    with running(config, lab.ADDRESS) as one, contextlib.ExitStack() as stack:
        alice, bob, carol = one.phones
        ears = [Ear(stack, "192.0.2.7", lab.ADDRESS) for _ in range(2)]
        line = call_from_elsewhere(one, bob, alice, ears[0])
        ear, port, other = line.ends[1]
        for _ in range(3):
            ear.send(port)
        server_test.until(lambda: line.legs()[1]["drops"]["early"] == 3, "packets that are dropped")
        expect(other.hears_nothing_before(ear), "bob heard something before he sent")
        line.expect_sound()
        line = call_from_elsewhere(one, carol, alice, ears[1])
        ear, port, other = line.ends[1]
        expect(other.hears(ear.send(port), server_test.PATIENCE), "the gateway hears nothing")
        line.expect_sound()


def a_stranger_hears_nothing_before_it_is_there():
    """An INVITE by UDP may bear the address of somebody who knows nothing of it."""
    public = "<stack><published>lab.test</published></stack><provision>"
    with running((CONFIG % "").replace("<provision>", public), lab.ADDRESS) as one, \
            contextlib.ExitStack() as stack:
        bob, ear = one.phones[1], one.ears[1]
        stranger = sip.Phone(one, "mallory", domain="other.test")
        stack.callback(stranger.close)
        afar = Ear(stack, lab.ADDRESS, lab.ADDRESS)
        attempt = Attempt(stranger, bob.aor(), SDP, body=afar.describe())
        invite = bob.await_request("INVITE")
        bob.answer(invite, 183, SDP, body=ear.describe())
        line = Line(one, afar, port_of(attempt.provisional(183)), ear, port_of(invite))
        for _ in range(3):
            ear.send(port_of(invite))
        server_test.until(lambda: line.legs()[1]["drops"]["early"] == 3, "packets that are dropped")
        expect(afar.hears_nothing_before(ear), "it was sent what it may not know of")
        bob.answer(invite, 200, SDP, body=ear.describe())
        attempt.accepted()
        bob.await_request("ACK")
        expect(afar.hears(ear.send(port_of(invite)), server_test.PATIENCE), "nobody hears bob")
        line.expect_sound()


def call_from_elsewhere(one, caller, callee, ear):
    """The line between another ear than the caller's own and the callee's."""
    attempt = Attempt(caller, callee.aor(), SDP, body=ear.describe())
    invite = callee.await_request("INVITE")
    callee.answer(invite, 200, SDP, body=one.ears[0].describe())
    ok, _ = attempt.accepted()
    callee.await_request("ACK")
    return Line(one, ear, port_of(ok), one.ears[0], port_of(invite))


def two_whose_calls_ended_at_once_are_relayed():
    """Directly it seems that they do not hear each other. Others are left alone."""
    with running(dialog_test.CONFIG, lab.ADDRESS) as one:
        for expected in ("direct", "direct", "relayed"):
            call = DirectCall(one) if expected == "direct" else Call(one)
            row = server_test.until(lambda: heard(one, "calls", lambda r: r["media"] == expected),
                                    f"call that is {expected}")
            if expected == "relayed":
                expect(row["media_reason"] == "the last calls of the two ended at once", f"{row}")
                call.line.expect_sound()
            else:
                expect(not one.legs(), f"there are legs: {one.legs()}")
            call.exchange(call.near, call.far, "BYE")
            server_test.until(lambda call=call: newest(one, call), "record")
        call = DirectCall(one, *one.phones[::2])
        call.exchange(call.near, call.far, "BYE")


def where_the_kernels_may_not_be_opened_a_process_relays():
    """As in a container that may not call bpf(2)."""
    def forbid():
        filtered = confine.Filter(confine.ALLOW)
        filtered.add(confine.refuse(errno.EPERM), "bpf")
        filtered.load()
    with running(CONFIG % "", relay="process", preexec_fn=forbid) as one:
        expect("the kernel's relay in /run/sipwitch/relay cannot be used: Operation not permitted; "
               "instead, media is relayed by a process of its own" in one.chosen, one.chosen)
        call = Call(one)
        call.line.expect_sound()
        call.hang_up()


def where_nothing_is_written_a_process_relays():
    """The kernel's is not loaded."""
    relay_by_default("the kernel's relay is not loaded (sipw-relay load; /run/sipwitch/relay); "
                     "instead, media is relayed by a process of its own")


def where_nothing_is_written_the_kernel_relays():
    """It is loaded."""
    relay_by_default("media is relayed in the kernel (/run/sipwitch/relay)")


def ports_of_the_relay_are_given_to_nobody_else():
    """Unless a program asks for one by its number."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as file:
        file.write("41000 41009")
    relay_does("load", "--user", "root", "--ports", "41000-41007")
    with contextlib.ExitStack() as stack:
        ports = {Ear(stack).port for _ in range(2)}
        expect(ports == {41008, 41009}, f"the system gives {ports}")


def where_only_this_machine_is_served_no_process_is_started():
    with server_test.server(dialog_test.CONFIG) as server:
        server.start("-A", "127.0.0.1,::1")
        expect(not os.path.exists(os.path.join(server.state, "relay")), "a relay was started")


def who_relays_ends_once_nobody_needs_it():
    with server_test.server(CONFIG % "") as server:
        server.start("-A", "127.0.0.1")
        pid = int(re.search(r"process (\d+)", server.await_line("media is relayed"))[1])
        expect(is_running(pid), "it has gone at once")
        server.discard()
        server_test.until(lambda: not is_running(pid), "end of the relay", 20)


def legs_that_nobody_comes_back_for_end():
    """After an hour of silence without a server, and the process with them. By a clock that is set
    forward (hasteclock.c)."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as ahead:
        haste = {"LD_PRELOAD": HASTE, "SIPWITCH_HASTE": ahead.name}
        with running(CONFIG % "", env={**os.environ, **haste}) as one:
            call = Call(one)
            call.line.expect_sound()
            one.kill()
            for seconds in 1800, 3600, 5400:
                set_forward(ahead, seconds)
                call.line.expect_sound()
            set_forward(ahead, 5400 + 3700)
            server_test.until(lambda: not is_running(one.pids[0]), "end of the relay", 30)


def set_forward(ahead, seconds):
    ahead.seek(0)
    ahead.write(str(seconds))
    ahead.flush()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "XZ"
    except FileNotFoundError:
        return False


def relay_by_default(words):
    with running(dialog_test.CONFIG, lab.ADDRESS) as one:
        expect(words in one.chosen, one.chosen)
        alice, bob, _ = one.phones
        attempt = Attempt(alice, bob.aor(), SDP, body=one.ears[0].describe(host="192.168.1.7"))
        invite = bob.await_request("INVITE")
        expect(f"c=IN IP4 {lab.ADDRESS}\r\n" in invite.body, f"it is not relayed: {invite.body!r}")
        bob.answer(invite, 486)
        attempt.fails(486)
        record = server_test.until(lambda: heard(one, "records", lambda r: True), "record")
        expect((record["media"], record["media_reason"]) == ("relayed", "who offers is behind NAT"),
               f"the record is {record}")


def who_leaves_for_a_place_behind_nat_is_relayed_from_there_on():
    """alice and bob reach each other, until she goes. What bob says then is what he said before, and
    has another version, for to her it is another place."""
    with running(dialog_test.CONFIG, lab.ADDRESS) as one, contextlib.ExitStack() as stack:
        alice, bob, _ = one.phones
        near, far, away = [Ear(stack, host, lab.ADDRESS)
                           for host in (lab.ADDRESS, lab.ADDRESS, "192.0.2.7")]
        attempt = Attempt(alice, bob.aor(), SDP, body=near.describe())
        invite = bob.await_request("INVITE")
        expect(invite.body == near.describe(), f"it is not as it was: {invite.body!r}")
        bob.answer(invite, 200, SDP, body=far.describe())
        ok, dialog = attempt.accepted()
        expect(ok.body == far.describe(), f"it is not as it was: {ok.body!r}")
        bob.await_request("ACK")
        dialog.phone = sip.Phone(one, "alice", away.host)
        stack.callback(dialog.phone.close)
        dialog.phone.bind(contact=f"<{alice.contact()}>")
        line = reinvite_from_elsewhere(one, dialog, bob, away, far)
        line.expect_sound()
        row, = one.rows("calls")
        expect((row["media"], row["media_reason"]) == ("relayed", "who offers is behind NAT"),
               f"the call is shown as {row}")
        one.restart()
        line.expect_sound()
        dialog.phone.send(dialog.write("BYE"))
        bob.take("BYE", 200)
        record = server_test.until(lambda: heard(one, "records", lambda r: True), "record")
        expect(record["media"] == "relayed" and record["from_caller"]["expected"] == away.sequence,
               f"the record is {record}")


def reinvite_from_elsewhere(one, dialog, bob, away, far):
    """The line that both are told of."""
    phone = dialog.phone
    body = away.describe(host="192.168.1.7", version=2)
    phone.send(dialog.write("INVITE", f"Contact: <{phone.contact()}>", SDP, body=body))
    offer = bob.await_request("INVITE")
    bob.answer(offer, 200, SDP, body=far.describe())
    ok = phone.await_message(lambda m: m.status >= 200 and m.get("CSeq") == f"{dialog.cseq} INVITE",
                             "answer to the offer")
    expect(ok.status == 200, f"it was answered {ok.start}")
    expect("o=- 7 2 IN " in ok.body, f"the version stays: {ok.body!r}")
    phone.send(dialog.write("ACK", cseq=dialog.cseq))
    bob.await_request("ACK")
    return Line(one, away, told(ok, relay=lab.ADDRESS), far, told(offer, relay=lab.ADDRESS))


def keys_of_gnu_sip_witch_say_where_the_relay_is():
    for key in "peering", "gateway":
        place_by_old_key(key)


def place_by_old_key(key):
    """Eight ports: those of two calls."""
    first, outside = 20000, "203.0.113.9"
    text = (CONFIG % f"<port>{first}</port><count>8</count>").replace(
        "<media>", f"<stack><{key}>{outside}</{key}></stack><media>")
    with running(text, lab.ADDRESS) as one:
        alice, bob, carol = one.phones
        bodies = [ear.describe() for ear in one.ears]
        ports = []
        for caller, callee in (alice, bob), (bob, carol):
            attempt = Attempt(caller, callee.aor(), SDP, body=bodies[0])
            invite = callee.await_request("INVITE")
            callee.answer(invite, 200, SDP, body=bodies[1])
            ok, _ = attempt.accepted()
            for body in invite.body, ok.body:
                expect(f"c=IN IP4 {outside}\r\n" in body, f"its address is not told: {body!r}")
                ports.append(int(re.search(r"^m=audio (\d+) ", body, re.MULTILINE)[1]))
        expect(sorted(ports) == [first, first + 2, first + 4, first + 6], f"its ports are {ports}")
        Attempt(carol, alice.aor(), SDP, body=bodies[2]).fails(503)


@contextlib.contextmanager
def listening(server):
    """Where the server finds the relay's process, before it begins."""
    os.makedirs(server.state, 0o700)
    path = os.path.join(server.state, "relay")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        yield listener
    os.unlink(path)


def a_relay_without_a_leg_refuses():
    """It has ports enough, but a call of one medium comes to four legs."""
    with server_test.server(CONFIG % "") as server, contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening(server))
        relay = lab.spawn([program("sipw-relay"), "serve", "--listener", str(listener.fileno()), "--legs", "5"],
                          pass_fds=[listener.fileno()])
        stack.callback(lab.end, relay)
        server.start("-A", "127.0.0.1")
        server.await_line("found sipw-relay")
        one = House(server, stack, relay="process")
        call = Call(one)
        refuses_another(one)
        call.line.expect_sound()
        call.hang_up()
        serves_another(one)
        counted(one, lambda c: expect(c["relay_refused"] == 1 and c["relay_broken"] == 0, f"{c}"))


def who_is_held_without_music_is_held_for_longer():
    with house("<silence>1</silence>") as one:
        call = Call(one)
        call.line.expect_sound()
        call.reinvite(call.near, call.far, call.near_ear.describe("sendonly"),
                      call.far_ear.describe("recvonly"))
        call.bob.nothing(lambda m: m.method == "BYE", "the call was hung up", 5)
        call.reinvite(call.near, call.far, call.near_ear.describe(), call.far_ear.describe())
        call.line.expect_sound()
        call.hang_up()


def be_of_another_version(listener, ended):
    """Answers one question after another, and each time it is of no use."""
    while not ended.is_set():
        if select.select([listener], [], [], 0.1)[0]:
            with listener.accept()[0] as asker:
                _, question, _, _ = struct.unpack("IIII", asker.recv(65536)[:16])
                asker.send(struct.pack("IIII", 0xffff, question, 0, 0))


def a_relay_of_another_version_is_replaced_once_it_has_ended():
    with server_test.server(CONFIG % "") as server, contextlib.ExitStack() as stack:
        with listening(server) as listener:
            ended = threading.Event()
            relay = threading.Thread(target=be_of_another_version, args=(listener, ended))
            relay.start()
            try:
                server.start("-A", "127.0.0.1")
                server.await_line("the relay's process is of another version: it ends with its last call")
            finally:
                ended.set()
                relay.join()
        line = server.await_line("media is relayed by a process", 20)
        stack.callback(end_relays, server, process_of(line))
        call = Call(House(server, stack, relay="process"))
        call.line.expect_sound()
        call.hang_up()


def an_offer_in_the_answer_that_finds_no_port_ends_the_call():
    """Nobody can refuse it."""
    with house(count=4) as one:  # a pair towards each phone
        call = Call(one)
        alice, carol = one.phones[0], one.phones[2]
        attempt = Attempt(alice, carol.aor())
        invite = carol.await_request("INVITE")
        answer = carol.answer(invite, 200, SDP, body=one.ears[2].describe())
        _, near = attempt.accepted()
        Dialog.of_callee(carol, invite, answer)
        for phone in alice, carol:
            bye = phone.await_request("BYE")
            expect("No relay" in (bye.get("Reason") or ""), f"Reason is {bye.get('Reason')!r}")
            phone.answer(bye, 200)
        record = server_test.until(lambda: heard(one, "records", lambda r: r["call_id"] == near.call_id),
                                   "record")
        expect((record["reason"], record["ended_by"]) == ("unrelayed", "relay"),
               f"the record is {record}")
        call.line.expect_sound()
        call.hang_up()


def strangers_are_told_of_in_the_log():
    with house() as one, contextlib.ExitStack() as stack:
        call = Call(one)
        call.line.expect_sound()
        stranger, line = Ear(stack, "127.0.0.2"), None
        end = time.monotonic() + 20
        while not line and time.monotonic() < end:
            stranger.send(call.line.ends[0][1])
            line = one.process.next_line(0.01)
        expect(line and re.search(r"packets of strangers come to the media of alice's call with bob: "
                                  r"\d+ of them were dropped", line), f"the log says {line!r}")
        call.line.expect_sound()
        call.hang_up()


def calls_stay_with_the_process_when_the_kernels_relay_comes():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        relay_does("load", "--user", "root")
        one.restart()
        line = one.process.await_line("media is relayed")
        expect("found sipw-relay" in line and "has calls; the kernel's relay is there" in line, line)
        call.line.expect_sound()
        call.hang_up()
        one.restart()
        one.process.await_line("media is relayed in the kernel (/run/sipwitch/relay)")
        one.relay = "kernel"
        call = Call(one)
        call.line.expect_sound()
        call.hang_up()


CHECKS = [
    sound_goes_both_ways_and_ends_with_the_call,
    what_is_relayed_and_dropped_is_counted,
    who_is_on_the_relay_is_listed_with_their_silence,
    what_is_lost_and_uneven_is_in_the_record,
    what_each_medium_has_lost_is_in_the_record,
    what_closed_legs_have_heard_outlives_a_kill,
    hold_and_other_places_keep_the_ports,
    a_refused_offer_changes_nothing,
    an_offer_may_come_in_the_answer,
    signed_and_encoded_bodies_pass_byte_for_byte,
    early_media_of_two_phones_is_told_apart,
    sound_goes_on_when_the_server_is_killed,
    calls_outlive_the_process_that_relays,
    a_call_that_ends_while_the_server_is_away_leaves_no_port,
    a_ringing_call_keeps_its_ports_through_a_restart,
    a_full_relay_refuses,
    a_full_relay_refuses_more_media_in_mid_call,
    a_restart_forgets_nobodys_limit,
    more_calls_than_all_may_have_are_refused,
    a_relay_without_a_port_refuses,
    a_call_whose_port_another_program_has_ends,
    a_silent_call_is_hung_up,
    who_hears_nothing_is_told_in_the_log,
    who_sends_from_elsewhere_than_was_said_is_heard,
    only_a_gateway_is_sent_to_before_it_sends,
    a_stranger_hears_nothing_before_it_is_there,
    two_whose_calls_ended_at_once_are_relayed,
    where_nothing_is_written_a_process_relays,
    where_nothing_is_written_the_kernel_relays,
    where_the_kernels_may_not_be_opened_a_process_relays,
    ports_of_the_relay_are_given_to_nobody_else,
    where_only_this_machine_is_served_no_process_is_started,
    who_relays_ends_once_nobody_needs_it,
    legs_that_nobody_comes_back_for_end,
    who_leaves_for_a_place_behind_nat_is_relayed_from_there_on,
    keys_of_gnu_sip_witch_say_where_the_relay_is,
    a_relay_without_a_leg_refuses,
    who_is_held_without_music_is_held_for_longer,
    a_relay_of_another_version_is_replaced_once_it_has_ended,
    an_offer_in_the_answer_that_finds_no_port_ends_the_call,
    strangers_are_told_of_in_the_log,
    calls_stay_with_the_process_when_the_kernels_relay_comes,
]
ONLY = {
    a_relay_without_a_leg_refuses: "process",
    a_relay_of_another_version_is_replaced_once_it_has_ended: "process",
    calls_stay_with_the_process_when_the_kernels_relay_comes: "process",
    ports_of_the_relay_are_given_to_nobody_else: "kernel",
    calls_outlive_the_process_that_relays: "process",
    where_nothing_is_written_a_process_relays: "process",
    where_nothing_is_written_the_kernel_relays: "kernel",
    where_the_kernels_may_not_be_opened_a_process_relays: "kernel",
    where_only_this_machine_is_served_no_process_is_started: "process",
    who_relays_ends_once_nobody_needs_it: "process",
    legs_that_nobody_comes_back_for_end: "process",
}


# ---- each check with each relay

def be_alone(checks):
    """In a network of this check's own, and with a folder of pins; both go away with it."""
    lab.end_on_signals()
    lab.enter()
    try:
        lab.mount_run()
        if RELAY == "kernel":
            relay_does("load", "--user", "root")
        next(check for check in checks if check.__name__ == ALONE[1])()
    except (Failure, server_test.Failure, lab.Failure, lab.Unable, OSError,
            subprocess.SubprocessError) as why:
        print(why)
        return 1
    return 0


def send_alone(file, relay, name):
    """Why it fails; empty if it does not."""
    process = lab.spawn([sys.executable, file, "--alone", relay, name], text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = process.communicate(timeout=CHECK_PATIENCE)
    except subprocess.TimeoutExpired:
        lab.end(process)
        return f"it takes more than {CHECK_PATIENCE:g} s"
    return said.strip() or f"status {process.returncode}" if process.returncode else ""


def run(file, checks, only):
    if ALONE:
        return be_alone(checks)
    relays = [relay for relay in RELAYS if relay in sys.argv[1:]] or RELAYS
    names = set(sys.argv[1:]) - set(RELAYS)
    plan = [(relay, check.__name__) for check in checks for relay in relays
            if only.get(check, relay) == relay and (not names or check.__name__ in names)]
    failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:  # most of the time they wait
        for (relay, name), why in zip(plan, pool.map(lambda one: send_alone(file, *one), plan)):
            failed += bool(why)
            print(f"not ok {relay}: {name}: {why}" if why else f"ok {relay}: {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(__file__, CHECKS, ONLY))
