#!/usr/bin/env python3
"""The real sipw and the commands that speak with it over its control socket.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw; the commands are those beside it. Arguments
are names of checks to run alone. Must be run by root: some checks become somebody else.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import termios
import time

sys.dont_write_bytecode = True

import calling
import server_test
from server_test import (CONFIG, PATIENCE, SIPW, Failure, Phone, expect, full_disk, one_line,
                         server, until)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.dirname(SIPW)
NOBODY = 65534
PIDFD_GETFD = 438  # __NR_pidfd_getfd


def run(one, *words, program="sipwitch", given=None, prefix=()):
    """A command for this server: its exit status, output and complaints."""
    done = subprocess.run([*prefix, os.path.join(PROGRAMS, program), "--prefixpath", one.state,
                           *words], input=given, text=True, capture_output=True, timeout=PATIENCE,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def output(one, *words, **how):
    status, said, complaint = run(one, *words, **how)
    expect(status == 0 and not complaint, f"{words}: status {status}: {complaint!r}")
    return said


def rows(one, *words):
    # Behind the command, but what follows `message` is the message's.
    words = ("--json", *words) if words[0] == "message" else (*words, "--json")
    return [json.loads(line) for line in output(one, *words).splitlines()]


def refused(one, status, *words, parts=()):
    """A command that fails says so in one line."""
    got, said, complaint = run(one, *words)
    expect(got == status and not said, f"{words}: status {got}, said {said!r}, {complaint!r}")
    one_line(complaint, *parts)


class Line:
    """A connection to the control socket."""

    def __init__(self, one):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(os.path.join(one.state, "control"))
        self.file = self.socket.makefile("rb")
        self.greeting = self.row()

    def row(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def ask(self, **request):
        """Its rows; the last is what ends the answer."""
        self.send(json.dumps(request) + "\n")
        return self.answer()

    def answer(self):
        found = [self.row()]
        while found[-1] is not None and not {"done", "error"} & set(found[-1]):
            found.append(self.row())
        return found

    def close(self):
        self.file.close()
        self.socket.close()


@contextlib.contextmanager
def running(*options, config=CONFIG):
    with server(config=config) as one:
        yield one.start(*options)


@contextlib.contextmanager
def watching(one, *words):
    """A command that goes on until it is ended, and has begun to watch."""
    command = [os.path.join(PROGRAMS, "sipwitch"), "--prefixpath", one.state, "--json", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            expect(json.loads(process.stdout.readline()) == {"event": "watching"},
                   "it does not watch")
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate()


class Caller:
    """A stranger who calls bob, who answers: sockets that know just enough of SIP."""

    def __init__(self, one, display='"Carol \\"C\\" Jones" '):
        self.one, self.display = one, display
        self.bob = Phone(one.port, "bob", "bobs secret").bind()
        self.carol = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.carol.bind(("127.0.0.2", 0))
        self.carol.settimeout(PATIENCE)
        self.port = self.carol.getsockname()[1]
        self.call_id = f"{self.port}@carol"
        self.to = "<sip:bob@lab.test>"
        self.routes = []

    def send(self, method, cseq, to=None, routes=()):
        via = f"SIP/2.0/UDP 127.0.0.2:{self.port};branch=z9hG4bK{method}{cseq}{self.port};rport"
        text = "\r\n".join([
            f"{method} sip:bob@lab.test SIP/2.0", f"Via: {via}", "Max-Forwards: 70",
            f"From: {self.display}<sip:carol@elsewhere.test>;tag=carol", f"To: {to or self.to}",
            f"Call-ID: {self.call_id}", f"CSeq: {cseq} {method}",
            *[f"Route: {route}" for route in routes],
            f"Contact: <sip:carol@127.0.0.2:{self.port}>", "Content-Length: 0", "", ""])
        self.carol.sendto(text.encode(), ("127.0.0.1", self.one.port))

    def take(self, start):
        """The next request of that kind at bob's phone."""
        self.bob.socket.settimeout(PATIENCE)
        while True:
            text = self.bob.socket.recv(65535).decode()
            if text.startswith(start):
                return text

    def reply(self, request, status):
        lines = re.findall(r"^(?:Via|Record-Route|From|Call-ID|CSeq): .*$", request, re.MULTILINE)
        lines = [line.rstrip("\r") for line in lines]
        text = "\r\n".join([f"SIP/2.0 {status} Reply", *lines, "To: <sip:bob@lab.test>;tag=bob",
                            f"Contact: <sip:bob@127.0.0.1:{self.bob.port}>", "Content-Length: 0",
                            "", ""])
        self.bob.socket.send(text.encode())

    def ring(self):
        self.send("INVITE", 1)
        self.invite = self.take("INVITE ")
        self.routes = [route.strip() for route in
                       re.findall(r"^Record-Route: (.*)$", self.invite, re.MULTILINE)]
        return self

    def answer(self):
        self.reply(self.invite, 200)
        self.expect(200)
        self.send("ACK", 1, "<sip:bob@lab.test>;tag=bob", self.routes)
        self.take("ACK ")
        return self

    def expect(self, status):
        while True:
            text = self.carol.recv(65535).decode()
            if text.startswith(f"SIP/2.0 {status} "):
                return text

    def hang_up(self):
        self.send("BYE", 2, "<sip:bob@lab.test>;tag=bob", self.routes)
        self.reply(self.take("BYE "), 200)
        self.expect(200)


# ---- checks

def status_tells_of_the_server():
    with running() as one:
        row, = rows(one, "status")
        expect(row["realm"] == "lab.test" and row["users"] == 2 and row["bindings"] == 0 and
               row["journal"] == "works" and row["pid"] == one.process.pid and
               f"UDP 127.0.0.1:{one.port}" in row["listening"], f"{row}")
        said = output(one, "status")
        for part in "lab.test", f"process {one.process.pid}", f"127.0.0.1:{one.port}", one.state:
            expect(part in said, f"{part!r} is not in {said!r}")


def registry_lists_the_phones():
    with running() as one:
        expect(output(one, "registry") == "no phone is registered\n", "a phone is listed")
        alice = Phone(one.port).bind()
        Phone(one.port, "bob", "bobs secret").bind()
        both = rows(one, "registry")
        expect(sorted(row["user"] for row in both) == ["alice", "bob"], f"{both}")
        row, = rows(one, "registry", "201")
        expect(row["user"] == "alice" and row["extension"] == "201" and
               row["contact"] == alice.contact()[1:-1] and
               row["address"] == f"127.0.0.1:{alice.port}" and 3500 < row["expires"] <= 3600,
               f"{row}")
        head, *lines = output(one, "registry").splitlines()
        expect(head.split() == ["EXT", "USER", "BY", "ADDRESS", "EXPIRES", "CONTACT"] and
               len(lines) == 2, f"{head!r} {lines}")
        refused(one, 20, "registry", "carol", parts=("carol", "dump"))


def calls_are_listed_while_they_ring_and_last():
    with running("-A", "127.0.0.1", "--public") as one:
        call = Caller(one).ring()
        row, = rows(one, "calls")
        expect(row["state"] == "ringing" and row["from"] == "sip:carol@elsewhere.test" and
               row["display"] == 'Carol "C" Jones' and row["to"] == "sip:bob@lab.test", f"{row}")
        call.answer()
        row, = rows(one, "calls", "202")
        expect(row["state"] == "answered" and row["call_id"] == call.call_id and
               abs(row["began"] - time.time()) < 60, f"{row}")
        expect(rows(one, "calls", "alice") == [], "it is alice's")
        before = row["id"]
        one.end(signal.SIGKILL)
        one.start("-A", "127.0.0.1", "--public")
        row, = rows(one, "calls")
        expect(row["id"] == before, "it has another name after a restart")
        nodes = {row.get("node"): row for row in rows(one, "stats")}
        expect(nodes["external"]["from"]["current"] == 1 and
               nodes["extension"]["to"]["current"] == 1, f"{nodes}")
        call.hang_up()
        expect(rows(one, "calls") == [], "it is still there")


def stats_count():
    with running("-A", "127.0.0.1", "--public") as one:
        call = Caller(one).ring().answer()
        call.hang_up()
        found = rows(one, "stats")
        nodes = {row["node"]: row for row in found if "node" in row}
        for node, way in ("system", "from"), ("external", "from"), ("extension", "to"):
            expect(nodes[node][way] == {"total": 1, "current": 0, "peak": 1}, f"{nodes}")
        expect(abs(nodes["system"]["last_call"] - time.time()) < 60, f"{nodes}")
        counters = found[-1]
        expect(counters["bound"] == 1 and counters["requests"] >= 5 and
               counters["responses"] == 2, f"{counters}")
        expect("external" in output(one, "stats"), "the table lacks a node")


def events_tell_of_registrations_and_calls():
    with running("-A", "127.0.0.1", "--public") as one, watching(one, "events") as watcher:
        call = Caller(one).ring().answer()
        call.hang_up()
        call.bob.unbind()
        told = [json.loads(watcher.stdout.readline()) for _ in range(5)]
        expect([row["event"] for row in told] ==
               ["registered", "ringing", "answered", "ended", "unregistered"], f"{told}")
        expect(told[0]["user"] == "bob" and told[4]["reason"] == "removed" and
               told[1]["from"] == "sip:carol@elsewhere.test" and told[3]["reason"] == "bye" and
               told[2]["id"] == told[3]["id"], f"{told}")
        call = Caller(one).ring()
        call.reply(call.invite, 486)
        told = [json.loads(watcher.stdout.readline()) for _ in range(3)]
        expect(told[2]["event"] == "failed" and told[2]["status"] == 486, f"{told}")
        one.end()
        expect(json.loads(watcher.stdout.readline()) == {"event": "ending"}, "no word of the end")
        expect(watcher.wait(PATIENCE) == 0, f"status {watcher.returncode}")


SDP = "\r\n".join(["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
                   "k=clear:sessionkey", "m=audio 9 RTP/SAVP 0",
                   "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7|2^20", ""])


def send_secrets(one):
    """A REGISTER with a digest, a MESSAGE, and an OPTIONS with keys in its body."""
    phone = Phone(one.port).bind()
    phone.socket.settimeout(PATIENCE)
    for body in "MESSAGE", SDP:
        text = "\r\n".join([
            f"{'MESSAGE' if body == 'MESSAGE' else 'OPTIONS'} sip:lab.test SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{phone.port};branch=z9hG4bKs{len(body)};rport",
            "From: <sip:a@elsewhere.test>;tag=a", "To: <sip:lab.test>", f"Call-ID: {len(body)}",
            f"CSeq: 1 {'MESSAGE' if body == 'MESSAGE' else 'OPTIONS'}",
            "Proxy-Authorization: Digest username=\"a\", response = \"feedface\", nc=00000001",
            "Authorization: Basic YWxpY2U6cHc=", f"Content-Length: {len(body)}", "", body])
        phone.socket.send(text.encode())
        phone.socket.recv(65535)


def assert_no_secrets(said):
    expect("username=\"alice\"" in said and "a=crypto:1" in said, "the trace lacks messages")
    responses = re.findall(r'response\s*=\s*"([^"]*)"', said)
    expect(len(responses) >= 3 and all(set(text) == {"*"} for text in responses), f"{responses}")
    for secret in "feedface", "YWxp", "sessionkey", "WVNf", "\r\n\r\nMESSAGE", "    MESSAGE\n":
        expect(secret not in said, f"{secret!r} is in the trace")


def trace_shows_messages_without_secrets():
    with running() as one:
        output(one, "trace", "on")
        send_secrets(one)
        output(one, "trace", "off")
        said = output(one, "trace", "show")
        assert_no_secrets(said)
        found = rows(one, "trace", "show")
        expect([row["way"] for row in found] == ["received", "sent"] * 4 and
               found[0]["message"].startswith("REGISTER sip:lab.test SIP/2.0\r\n"), f"{found}")
        with tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder:
            os.symlink(os.path.join(PROGRAMS, "sipwitch"), os.path.join(folder, "sipcontrol"))
            again = run(one, "siplog", program=os.path.join(folder, "sipcontrol"))
        expect(again == (0, said, ""), "siplog shows another trace")
        output(one, "trace", "clear")
        expect(rows(one, "trace", "show") == [], "it is not cleared")
        send_secrets(one)
        expect(rows(one, "trace", "show") == [], "it goes on though it is off")
        refused(one, 20, "trace", "loud", parts=("loud", "clear"))


def trace_is_followed_as_it_happens():
    with running() as one, watching(one, "trace") as watcher:
        send_secrets(one)
        found = [json.loads(watcher.stdout.readline()) for _ in range(8)]
        assert_no_secrets("|".join(row["message"] for row in found))
        one.end()
        expect(json.loads(watcher.stdout.readline()) == {"event": "ending"}, "no word of the end")
        expect(watcher.wait(PATIENCE) == 0, f"status {watcher.returncode}")


def trace_keeps_the_latest_and_no_more():
    with running() as one:
        output(one, "trace", "on")
        phone = Phone(one.port)
        filler = "Subject: " + "x" * 30000
        for _ in range(200):
            phone.ask("OPTIONS", filler)
        output(one, "trace", "off")
        found = rows(one, "trace", "show")
        size = sum(len(row["message"]) for row in found)
        expect(2 << 20 <= size + 60000 and size <= 4 << 20, f"{size} bytes are kept")
        expect("CSeq: 200 " in found[-1]["message"] and "CSeq: 1 " not in found[0]["message"],
               "not the latest are kept")


def activated_phone_stays_until_it_is_released():
    with running() as one:
        phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(PATIENCE)
        address = "127.0.0.1:%d" % phone.getsockname()[1]
        row, = rows(one, "activate", "alice", address)
        expect(row == {"user": "alice", "contact": f"sip:alice@{address}"}, f"{row}")
        for _ in range(2):
            one.end(signal.SIGKILL)
            one.start()
        row, = rows(one, "registry")
        expect(row["expires"] is None and row["address"] == address, f"{row}")
        expect("never" in output(one, "registry"), "it expires")
        output(one, "message", "201", "are you there?")
        expect(b"\r\n\r\nare you there?" in phone.recv(65535), "it is not reached")
        expect(rows(one, "release", "alice") == [{"released": 1}], "it was not released")
        one.end(signal.SIGKILL)
        one.start()
        expect(rows(one, "registry") == [], "it has come back")
        refused(one, 20, "release", "alice", parts=("alice", "registered"))
        refused(one, 20, "activate", "carol", address, parts=("carol",))
        refused(one, 20, "activate", "alice", "example.test", parts=("example.test", "192.0.2.7"))
        refused(one, 20, "activate", "alice", "[::1]:5060", parts=("family",))


def release_takes_a_registration_away():
    with running() as one:
        phone = Phone(one.port).bind()
        output(one, "release", "201")
        expect(phone.bindings() == [], "the phone is still bound")


def calling_phones(one):
    """alice and bob, who may call each other."""
    alice = calling.Caller(one.port).rebind()
    bob = calling.Caller(one.port, "bob", "bobs secret").rebind()
    return alice, bob


def agree(*phones):
    """Each answers the BYE that has come to it, if one has."""
    for phone in phones:
        phone.socket.settimeout(0.1)
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            message = phone.socket.recv(65535).decode()
            if message.startswith("BYE "):
                phone.respond(message, 200, "OK")
    return True


def drop_ends_an_answered_call_on_both_sides():
    with running() as one:
        alice, bob = calling_phones(one)
        call = alice.dial("202")
        bob.accept(bob.take())
        alice.answered(call)
        row, = rows(one, "calls")
        expect(rows(one, "drop", row["id"]) == [{"id": row["id"]}], "another call was dropped")
        for phone in alice, bob:
            bye = phone.await_request("BYE")
            expect(calling.header_of(bye, "Call-ID") == call.id and
                   "Ended by the administrator" in calling.header_of(bye, "Reason"), f"{bye!r}")
            phone.respond(bye, 200, "OK")
        until(lambda: rows(one, "calls") == [], "end of the call")
        until(lambda: rows(one, "records"), "record")
        record, = rows(one, "records")
        expect(record["reason"] == "dropped" and record["ended_by"] == "admin", f"{record}")
        refused(one, 20, "drop", row["id"], parts=("no call", "sipwitch calls"))


def drop_ends_all_calls_of_a_user_ringing_ones_too():
    with running() as one:
        alice, bob = calling_phones(one)
        call = alice.dial("202")
        invite = bob.take()
        expect(len(rows(one, "drop", "201")) == 1, "not one call was dropped")
        bob.respond(bob.await_request("CANCEL"), 200, "OK")
        bob.respond(invite, 487, "Request Terminated")
        expect(alice.answered(call).startswith("SIP/2.0 487 "), "the caller is not told")
        until(lambda: rows(one, "calls") == [], "end of the call")


def a_dropped_call_is_dropped_again_after_a_crash():
    with running() as one:
        alice, bob = calling_phones(one)
        call = alice.dial("202")
        bob.accept(bob.take())
        alice.answered(call)
        row, = rows(one, "calls")
        output(one, "drop", row["id"])
        bob.await_request("BYE")
        one.end(signal.SIGKILL)
        one.start()
        until(lambda: agree(alice, bob) and rows(one, "calls") == [], "end of the call")


def changes_are_refused_while_the_journal_fails():
    with running() as one:
        phone = Phone(one.port).bind()
        with full_disk(one):
            Phone(one.port, "bob", "bobs secret").register("Contact: <sip:bob@127.0.0.1:9>")
            one.await_line("cannot be written")
            refused(one, 20, "release", "alice", parts=("journal", "disk"))
            refused(one, 20, "activate", "alice", "127.0.0.1", parts=("journal", "disk"))
            row, = rows(one, "status")
            expect(row["journal"] == "failing", f"{row}")
        one.await_line("written again")
        until(lambda: rows(one, "status")[0]["journal"] == "works", "recovery")
        expect(phone.bindings() == [phone.contact()], "the phone is not bound")


def message_reaches_every_phone_of_a_user():
    with running() as one:
        phones = [Phone(one.port).bind() for _ in range(2)]
        expect(rows(one, "message", "alice", "Grüße") == [{"phones": 2}], "not sent to two phones")
        for phone in phones:
            phone.socket.settimeout(PATIENCE)
            text = phone.socket.recv(65535).decode()
            head, body = text.split("\r\n\r\n")
            expect(head.startswith(f"MESSAGE {phone.contact()[1:-1]} SIP/2.0\r\n") and
                   body == "Grüße" and "To: <sip:alice@lab.test>" in head and
                   "Content-Length: 7" in head and "charset=utf-8" in head, f"{text!r}")
            lines = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*$", head, re.MULTILINE)
            phone.socket.send("\r\n".join(["SIP/2.0 200 OK", *[line.rstrip() for line in lines],
                                           "Content-Length: 0", "", ""]).encode())
        until(lambda: rows(one, "status")[0]["text_bytes"] < 2048, "end of the transactions")
        refused(one, 20, "message", "bob", "hello", parts=("bob", "registered"))
        refused(one, 20, "message", "alice", "x" * 1025, parts=("1024",))


def dump_shows_settings_and_no_secrets():
    with running() as one:
        found = rows(one, "dump")
        expect(found[0]["settings"]["realm"] == "lab.test", f"{found[0]}")
        expect([row["user"] for row in found[1:]] == ["alice", "bob"] and
               found[1]["digests"] == ["MD5", "SHA-256"], f"{found[1:]}")
        said = output(one, "dump")
        ha1 = hashlib.md5(b"alice:lab.test:alices secret").hexdigest()
        expect("secret" not in said and ha1 not in said, "a secret is shown")


def digest_is_computed_without_showing_the_password():
    with running() as one:
        ha1 = hashlib.md5(b"alice:lab.test:pass word").hexdigest()
        said = output(one, "--stdin", "digest", "alice", given="pass word\n")
        expect(said == ha1 + "\n", f"said {said!r}")
        ha1 = hashlib.sha256(b"alice:other.test:pass word").hexdigest()
        said = output(one, "--stdin", "digest", "alice", "other.test", "sha256",
                      given="pass word\n")
        expect(said == ha1 + "\n", f"said {said!r}")
        status, said, complaint = run(one, "--stdin", "digest", "alice", given="")
        expect(status == 2 and "password" in complaint, f"status {status}: {complaint!r}")


def reload_reads_the_configuration_and_says_what_is_wrong():
    with running() as one:
        phone = Phone(one.port).bind()
        with open(one.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.replace("</provision>", '<user id="carol" secret="c"/></provision>'))
        output(one, "reload")
        expect([row["user"] for row in rows(one, "dump")[1:]] == ["alice", "bob", "carol"],
               "carol is missing")
        with open(one.config, "w", encoding="utf-8") as file:
            file.write("<sipwitch>\n<oops>\n</sipwitch>")
        refused(one, 20, "reload", parts=(one.config, ":3:"))
        expect(phone.bindings() == [phone.contact()], "the phone is gone")
        line = Line(one)
        line.send('{"command":"reload"}\n' * 3 + '{"command":"check"}\n')
        expect([line.answer()[-1].get("error") for _ in range(4)] == ["failed"] * 3 + [None],
               "not every request is answered")
        lines = [Line(one) for _ in range(20)]
        for line in lines:
            line.send('{"command":"reload"}\n')
        answers = [line.answer()[-1] for line in lines]
        expect(all(answer["error"] == "failed" for answer in answers), f"{answers}")


def check_and_down():
    with running() as one:
        expect(output(one, "check") == "the server answers\n", "it does not")
        expect(json.loads(output(one, "--json", "check")) ==
               {"grade": "ok", "finding": "answers", "text": "the server answers"}, "it does not")
        output(one, "down")
        expect(one.process.wait(PATIENCE) == 0, f"it ended with status {one.process.returncode}")
        expect(not os.path.exists(os.path.join(one.state, "control")), "the socket is still there")
        refused(one, 10, "check", parts=("not running", "sipw"))


def stopped_server_is_waited_for_no_longer_than_asked():
    with running() as one:
        one.process.send_signal(signal.SIGSTOP)
        try:
            begin = time.monotonic()
            refused(one, 12, "-t", "1", "status", parts=("in time",))
            expect(0.5 < time.monotonic() - begin < 5, "it waited for another time")
        finally:
            one.process.send_signal(signal.SIGCONT)


def usage_is_refused():
    with running() as one:
        refused(one, 1, parts=("--help",))
        refused(one, 1, "nothing", parts=("nothing", "--help"))
        refused(one, 1, "activate", "alice", parts=("activate USER ADDRESS",))
        refused(one, 1, "down", "now", parts=("too many",))
        refused(one, 1, "-t", "soon", "status", parts=("soon", "seconds"))


def who_hangs_up_or_speaks_otherwise_is_exit_status_11():
    greeting = b'{"protocol":"sipwitch-control","version":%d}\n'
    with tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder, \
            socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "control")
        listener.bind(path)
        listener.listen()
        listener.settimeout(PATIENCE)
        for said, part in (b"", "hung up"), (b"220 mail\n", "cannot be read"), \
                (b'{"protocol":"other"}\n', "not the control socket of SIP Witch"), \
                (greeting % 999, "speaks version 999"), (greeting % 1, "hung up"), \
                (greeting % 1 + b'{"realm"', "hung up"), (b"x" * (32 << 20), "without an end"):
            with subprocess.Popen([os.path.join(PROGRAMS, "sipwitch"), "--socket", path, "status"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True) as asking:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    peer.sendall(said)
                told, complaint = asking.communicate(timeout=PATIENCE)
            expect(asking.returncode == 11 and not told,
                   f"{said[:40]}: status {asking.returncode}: {complaint!r}")
            one_line(complaint, part)


def gnu_sip_witchs_layouts_are_printed():
    with running("-A", "127.0.0.1", "--public") as one, \
            tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder:
        for name in "sipcontrol", "sipwitchctl":
            os.symlink(os.path.join(PROGRAMS, "sipwitch"), os.path.join(folder, name))

        def old(*words, name="sipcontrol"):
            return run(one, *words, program=os.path.join(folder, name))
        expect(old("status") == (0, "\n", ""), f"status: {old('status')}")
        call = Caller(one, display='"Carol" ').ring()
        expect(old("status") == (0, "r\n", ""), f"status: {old('status')}")
        expect(re.fullmatch(r'[0-9a-f]{8}:0 ringing carol "Carol" -> none; \d+ secs\n',
                            old("calls")[1]), f"calls: {old('calls')}")
        call.answer()
        expect(old("status", name="sipwitchctl") == (0, "j\n", ""), f"status: {old('status')}")
        expect(re.fullmatch(r'[0-9a-f]{8}:0 joined carol "Carol" -> bob; \d+ sec\(s\)\n',
                            old("calls")[1]), f"calls: {old('calls')}")
        head, row, tail = old("registry")[1].splitlines()
        expect(head == f"{'ext':>7} {'user':<30} type {'profile':<30}  use expires address",
               f"{head!r}")
        expect(re.fullmatch(r"    202 bob {28}user \* {29}    1 +\d+ 127\.0\.0\.1:\d+", row),
               f"{row!r}")
        expect(re.fullmatch(r"found 1 entries active of \d+", tail), f"{tail!r}")
        stats = old("stats")[1].splitlines()
        expect(len(stats) == 3 and
               re.fullmatch(r"external     -     000000001 00001 00001 000000000 00000 00000 0s",
                            stats[2]), f"{stats}")
        status, said, complaint = old("release", "alice")
        expect(status == 20 and not said and complaint.startswith("*** sipcontrol: release: "),
               f"{status} {complaint!r}")
        one.end()
        expect(old("calls") == (10, "", "*** sipcontrol: calls: offline\n"), f"{old('calls')}")


def sipcontrol_tells_gateways_and_devices_from_users():
    nodes = """<gateway id="gw" secret="x"/><device id="fax" secret="x" extension="250"/>
               <user id="clerk" secret="x" profile="local"/></provision>"""
    with server(config=CONFIG.replace("</provision>", nodes)) as one, \
            tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder:
        one.start("-A", "127.0.0.1")
        name = os.path.join(folder, "sipcontrol")
        os.symlink(os.path.join(PROGRAMS, "sipwitch"), name)
        for user in "gw", "fax", "clerk":
            Phone(one.port, user, "x").bind()
        lines = run(one, "registry", program=name)[1].splitlines()[1:-1]
        found = {tuple(line[column:].split()[0] for column in (8, 39, 44, 75)) for line in lines}
        expect(found == {("gw", "gw", "gateway", "0"), ("fax", "svc", "device", "0"),
                         ("clerk", "user", "local", "0")}, f"{lines}")
        kinds = {(row["user"], row["kind"], row["profile"]) for row in rows(one, "registry")}
        expect(kinds == {("gw", "gateway", "gateway"), ("fax", "device", "device"),
                         ("clerk", "user", "local")}, f"{kinds}")
        for word in "status", "registry", "calls", "stats":
            said = run(one, word, "--json", program=name)[1]
            expect(said == "" and word == "calls" or
                   all(json.loads(line) for line in said.splitlines()) and said,
                   f"{word} --json: {said!r}")


def part(path, *users):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(["<provision>", *(f'<user id="{user}" secret="x"/>' for user in users),
                            "</provision>"]))
    return path


def parts_are_enabled_and_disabled():
    with running() as one:
        staff = part(os.path.join(one.folder, "available", "staff.xml"), "carol")
        guests = part(os.path.join(one.folder, "available", "guests.xml"), "dave")
        output(one, "enable", staff, guests)
        expect({"carol", "dave"} <= set(users(one)), f"{users(one)}")
        expect(os.readlink(os.path.join(one.state, "staff.xml")) == staff, "it is another link")
        output(one, "disable", "staff")
        expect("carol" not in users(one) and "dave" in users(one), f"{users(one)}")
        refused(one, 1, "disable", "staff", parts=("not enabled",))
        with open(staff, "w", encoding="utf-8") as file:
            file.write("<provision>\n<user></provision>")
        refused(one, 20, "enable", staff, parts=("staff.xml:2:",))
        expect(not os.path.lexists(os.path.join(one.state, "staff.xml")), "it is not taken back")
        refused(one, 2, "disable", "guests", part(os.path.join(one.state, "own.xml")), parts=("no link",))
        expect("dave" in users(one), "guests are disabled though own could not be")
        for word in "..", "", "state", "a/.xml":
            refused(one, 1, "enable", word, parts=("is no part",))
        refused(one, 2, "enable", "nonesuch", parts=("/etc/sipwitch.d/nonesuch.xml: No such",))
        one.end()
        output(one, "disable", "guests.xml")
        expect(not os.path.lexists(os.path.join(one.state, "guests.xml")), "not without a server")
        etc = os.path.join(one.folder, "etc")
        part(os.path.join(etc, "sipwitch.d", "office.xml"), "frank")
        output(one, "enable", "office",
               prefix=["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc])
        expect(os.readlink(os.path.join(one.state, "office.xml")) == "/etc/sipwitch.d/office.xml",
               "it is not that of /etc/sipwitch.d")


def the_state_of_the_server_is_switched():
    with running() as one:
        part(os.path.join(one.state, "staff.xml"), "carol")
        part(os.path.join(one.state, "night", "staff.xml"), "dave")
        with open(part(os.path.join(one.state, "states", "night.xml")), "w") as file:
            file.write("<sipwitch>night</sipwitch>")
        expect(output(one, "state") == "none\n", "it has a state already")
        expect(rows(one, "state") == [{"state": None}], f"{rows(one, 'state')}")
        output(one, "state", "night")
        expect(output(one, "state") == "night\n", "it has no state")
        expect(rows(one, "state") == [{"state": "night"}], f"{rows(one, 'state')}")
        expect("dave" in users(one) and "carol" not in users(one), f"{users(one)}")
        refused(one, 2, "state", "day", parts=("states/day.xml: No such",))
        expect(output(one, "state") == "night\n", "the state went")
        output(one, "state", "none")
        expect("carol" in users(one) and "dave" not in users(one), f"{users(one)}")


def what_was_a_command_is_told_from_what_never_was():
    with running() as one, tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder:
        old = os.path.join(folder, "sipcontrol")
        os.symlink(os.path.join(PROGRAMS, "sipwitch"), old)
        for words, status in (["period", "15"], 0), (["verbose", "3"], 0), (["ifup", "eth0"], 0), \
                (["pstats"], 1), (["history", "5"], 1), (["restart"], 1):
            for program, start in ("sipwitch", "sipwitch: "), (old, f"*** sipcontrol: {words[0]}: "):
                got, said, complaint = run(one, *words, program=program)
                expect(got == status and not said, f"{words}: status {got}, said {said!r}")
                one_line(complaint, start, words[0] + (" has no effect: " if status == 0 else
                                                       " is not in this version: "))
        refused(one, 1, "stop", parts=("no command",))
        said = run(one, "snapshot", program=old)[1]
        expect('"settings"' in said, f"snapshot: {said!r}")
        expect(run(one, "stop", program=old)[0] == 0, "stop is refused")
        expect(one.process.wait(PATIENCE) == 0, "it was not ended")


def others_are_refused():
    with running() as one:
        somebody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        os.chmod(one.folder, 0o755)
        os.chmod(one.state, 0o755)
        status, said, complaint = run(one, "status", prefix=somebody)
        expect(status == 20 and not said and "sipadmin" in complaint, f"{status} {complaint!r}")
        os.chmod(os.path.join(one.state, "control"), 0o666)
        status, said, complaint = run(one, "status", prefix=somebody)
        expect(status == 20 and not said and "sipadmin" in complaint, f"{status} {complaint!r}")
        status, _, complaint = run(one, "down", prefix=somebody)
        expect(status == 20 and one.process.poll() is None, "somebody ended the server")
        output(one, "status")


def members_of_sipadmin_may():
    with server() as one:
        group = os.path.join(one.folder, "group")
        with open(group, "w", encoding="ascii") as file:
            file.write("root:x:0:\nsipadmin:x:4242:\n")
        command = one.command
        one.command = lambda *options: ["unshare", "-m", "sh", "-c",
                                        'mount --bind "$1" /etc/group && shift && exec "$@"', "sh",
                                        group, *command(*options)]
        one.start()
        os.chmod(one.folder, 0o755)
        os.chmod(one.state, 0o755)
        about = os.stat(os.path.join(one.state, "control"))
        expect(about.st_gid == 4242 and about.st_mode & 0o777 == 0o660, f"{about}")
        for groups in "--regid=4242", f"--regid={NOBODY}":
            member = ["setpriv", f"--reuid={NOBODY}", groups, "--groups=4242"]
            expect("lab.test" in output(one, "status", prefix=member), "no status")
        stranger = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--groups=4243"]
        status, _, complaint = run(one, "status", prefix=stranger)
        expect(status == 20, f"{status} {complaint!r}")


def garbage_is_refused_and_harmless():
    with running() as one:
        line = Line(one)
        bad = ["garbage", "[]", "7", '"status"', "{}", '{"command":7}', '{"command":"nothing"}',
               '{"command":"status","user":"x"}', '{"command":"release"}',
               '{"command":"release","user":7}', '{"command":"release","user":""}',
               '{"command":"release","user":"%s"}' % ("x" * 300),
               '{"command":"status","command":"down"}',
               '{"command":"down"} {"command":"down"}', '{"command":"down\\u0000"}',
               "[" * 4000, '{"a":' * 1500, "\x00", "\udcff\udcfe"]
        for text in bad:
            line.send(text.encode("utf-8", "surrogateescape") + b"\n")
            answer = line.answer()
            expect(len(answer) == 1 and answer[0]["error"] in ("bad-request", "unknown-command") and
                   answer[0]["text"], f"{text[:40]!r}: {answer}")
        expect(line.ask(command="check") == [{"done": True}], "the connection is spoilt")
        line.send(b"x" * 9000)
        expect(line.answer()[0]["error"] == "bad-request" and line.row() is None,
               "an endless line is read on")
        dice = random.Random(1)
        for _ in range(50):
            noise = Line(one)
            with contextlib.suppress(ConnectionError):
                noise.send(dice.randbytes(dice.randrange(20000)))
            noise.close()
        expect(one.process.poll() is None, "the server has ended")
        output(one, "check")


def requests_may_come_together_and_in_pieces():
    with running() as one:
        line = Line(one)
        expect(line.greeting["protocol"] == "sipwitch-control" and line.greeting["version"] == 1,
               f"{line.greeting}")
        line.send('{"command":"status"}\n\n{"command":"check"}\n{"command":"regis')
        expect(line.answer()[0]["realm"] == "lab.test", "no status")
        expect(line.answer() == [{"done": True}], "no second answer")
        line.send('try"}\n')
        expect(line.answer() == [{"done": True}], "no third answer")
        line.send('{"command":"check"}\n')
        line.socket.shutdown(socket.SHUT_WR)
        expect(line.answer() == [{"done": True}] and line.row() is None, "no answer at the end")


def many_requests_in_one_go_are_all_answered():
    with running() as one:
        line = Line(one)
        for port in range(1, 17):
            line.ask(command="activate", user="alice", address=f"127.0.0.1:{port}")
        line.send('{"command":"registry"}\n' * 340)
        for _ in range(340):
            expect(len(line.answer()) == 17, "an answer is not whole")


def slow_reader_holds_up_nobody_and_misses_nothing():
    users = "".join(f'<user id="u{n}" secret="s" extension="{n}"/>' for n in range(50000))
    config = CONFIG.replace("<prefix>200</prefix><range>100</range>", "<prefix>0</prefix><range>50000</range>").replace(
        "<provision>", f"<provision>{users}")
    with running(config=config) as one:
        slow, phone = Line(one), Phone(one.port)
        slow.send('{"command":"dump"}\n')
        for _ in range(20):
            begin = time.monotonic()
            phone.ask("OPTIONS")
            output(one, "check")
            expect(time.monotonic() - begin < 2, "the server is held up")
        found = slow.answer()
        names = {row["user"] for row in found if "user" in row}
        expect(found[-1] == {"done": True} and len(names) == 50002 and len(found) == 50004,
               f"{len(found)} rows, {len(names)} users, at the end {found[-1]}")


def slow_watcher_is_told_what_it_lost():
    with running() as one:
        watcher, line = Line(one), Line(one)
        watcher.send('{"command":"events"}\n')
        expect(watcher.row() == {"event": "watching"}, "it does not watch")
        changes = 8000
        for _ in range(changes // 2):
            expect(line.ask(command="activate", user="alice", address="127.0.0.1")[-1]["done"] and
                   line.ask(command="release", user="alice")[-1]["done"], "no change")
        seen = lost = 0
        while seen + lost < changes:
            row = watcher.row()
            if row["event"] == "lost":
                lost += row["count"]
            else:
                seen += 1
        expect(lost > 0, "nothing was lost, nothing was bounded")
        line.ask(command="activate", user="alice", address="127.0.0.1")
        expect(watcher.row()["event"] == "registered", "it is told no more")


def sockets(one):
    """Of the server: descriptors, and what they are."""
    found, folder = set(), f"/proc/{one.process.pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.add((int(name), os.readlink(f"{folder}/{name}")))
    return {(number, what) for number, what in found if what.startswith("socket:")}


def end_of_one_is_not_taken_for_the_next_ones():
    """A program that the server starts has all of its descriptors for a moment: what the server closes
    meanwhile is still open, and epoll goes on to tell of it. Here we have it."""
    with running() as one:
        before = sockets(one)
        first = Line(one)
        theirs, = sockets(one) - before
        process = os.pidfd_open(one.process.pid)
        kept = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, theirs[0], 0)
        os.close(process)
        expect(kept >= 0, f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
        try:
            first.close()
            until(lambda: theirs not in sockets(one), "end of the first")
            for _ in range(3):
                second = Line(one)
                expect(second.ask(command="status")[-1] == {"done": True}, "it was hung up")
                second.close()
        finally:
            os.close(kept)


def many_clients_are_bounded():
    with running() as one:
        lines = [Line(one) for _ in range(32)]
        lines.append(Line(one))
        expect(lines[0].row() is None, "the one idle for longest was not dropped")
        expect(lines[-1].ask(command="check") == [{"done": True}], "the newest is not served")
        watchers = []
        for line in lines[1:]:
            line.send('{"command":"events"}\n')
            expect(line.row() == {"event": "watching"}, "it does not watch")
            watchers.append(line)
        expect(Line(one).greeting.get("error") == "busy", "one more was let in")
        watchers.pop().close()
        until(lambda: "error" not in Line(one).greeting, "free place")
        Phone(one.port).bind()
        for line in watchers:
            expect(line.row()["event"] == "registered", "a watcher was not told")


def socket_in_a_deep_directory_works():
    with tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder, running() as other:
        del other
        with server() as one:
            one.state = os.path.join(folder, "d" * 120, "e" * 120)
            one.start()
            expect("lab.test" in output(one, "status"), "no status")


def ask_sip(*words, given=None, **environment):
    """sipquery's exit status, output and complaints."""
    done = subprocess.run([os.path.join(PROGRAMS, "sipquery"), *words], input=given, text=True,
                          capture_output=True, timeout=PATIENCE, check=False,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


def sipquery_asks_where_a_user_is():
    with running() as one:
        server_at = f"127.0.0.1:{one.port}"
        phone = Phone(one.port).bind()
        status, said, complaint = ask_sip("--server", server_at, "--stdin", "alice@lab.test",
                                          given="alices secret\n")
        expect(status == 0 and re.fullmatch(re.escape(phone.contact()[1:-1]) + r"  \d+ s\n", said),
               f"status {status}: {said!r} {complaint!r}")
        status, said, _ = ask_sip("--stdin", "sip:alice", given="alices secret\n",
                                  SIP_SERVER=server_at)
        expect(status == 0 and phone.contact()[1:-1] in said, f"status {status}: {said!r}")
        for words, given in (("--stdin",), "guessed\n"), ((), None):
            status, said, _ = ask_sip("--server", server_at, *words, "alice@lab.test", given=given)
            expect(status == 1 and "401" in said, f"status {status}: {said!r}")
        status, said, _ = ask_sip("-v", "--server", server_at, "--stdin", "alice@lab.test",
                                  given="alices secret\n")
        expect(status == 0 and 'response="****' in said and "SIP/2.0 401" in said, f"{said!r}")
        row = json.loads(ask_sip("--json", "--server", server_at, "--stdin", "alice@lab.test",
                                 given="alices secret\n")[1])
        expect(row["contact"] == phone.contact()[1:-1] and 3000 < row["expires"] <= 3600, f"{row}")
        status, said, _ = ask_sip("--json", "--server", server_at, "alice@lab.test")
        row = json.loads(said)
        expect((status, row["status"], row["server"]) == (1, 401, server_at), f"{row}")
        status, said, _ = ask_sip("-q", "--server", server_at, "alice@lab.test")
        expect((status, said) == (1, ""), f"status {status}: {said!r}")


def sipquery_tells_a_server_that_answers_from_one_that_does_not():
    with running() as one:
        status, said, _ = ask_sip("--server", f"127.0.0.1:{one.port}")
        expect(status == 0 and "200 OK" in said, f"status {status}: {said!r}")
        status, said, _ = ask_sip("--proxy", f"127.0.0.1:{one.port}", "--server", "lab.test")
        expect(status == 0 and "200 OK" in said, f"status {status}: {said!r}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        status, said, complaint = ask_sip("-t", "1", "--server", where)
        expect(status == 2 and not said, f"status {status}: {said!r}")
        one_line(complaint, where, "does not answer")
    for words in ["a", "b"], ["--port", "0"], ["--timeout", "soon"], ["--server", ":"], ["@x"]:
        status, said, complaint = ask_sip(*words)
        expect(status == 3 and complaint, f"{words}: status {status}: {complaint!r}")


def realm_is_shown_and_set():
    with running() as one:
        file = os.path.join(one.folder, "siprealm")

        def siprealm(*words):
            return run(one, "--file", file, *words, program="siprealm")
        expect(siprealm() == (0, "lab.test\n", ""), f"{siprealm()}")
        expect(output(one, "realm") == "lab.test\n", "sipwitch says another")
        one.end()
        with open(os.path.join(one.state, "uuid"), encoding="ascii") as uuid:
            expect(siprealm() == (0, uuid.read() + "\n", ""), f"{siprealm()}")
        expect(siprealm("example.org", "sha-256") == (0, "", ""), "it is not set")
        expect(siprealm() == (0, "example.org\n", ""), f"{siprealm()}")
        with open(file, encoding="ascii") as written:
            expect(written.read() == "example.org:sha-256\n", "the file has another form")
        expect(os.stat(file).st_mode & 0o777 == 0o644, "not everyone can read the file")
        for words in ["two words"], ["a:b"], [""], ["x" * 300], ["example.org", "crc"]:
            status, said, complaint = siprealm(*words)
            expect(status == 1 and not said, f"{words}: status {status}")
            one_line(complaint, "write")
        status, _, complaint = siprealm("--file", "/proc/nowhere", "example.org")
        expect(status == 2 and "/proc/nowhere" in complaint, f"{status} {complaint!r}")


def passwords(one):
    """Those in the database of a server that does not run: (id, MD5, SHA-256) in hex."""
    with contextlib.closing(sqlite3.connect(os.path.join(one.state, "sipwitch.db"))) as file:
        return file.execute("SELECT id, lower(hex(md5)), lower(hex(sha256)) FROM passwords "
                            "WHERE realm = 'lab.test' ORDER BY id").fetchall()


def wanted_passwords(**wanted):
    return [(user, digests_of(user, password)["md5"], digests_of(user, password)["sha256"])
            for user, password in sorted(wanted.items())]


def sippasswd_sets_a_password():
    with running() as one:
        def sippasswd(*words, given="new secret\n"):
            return run(one, *words, program="sippasswd", given=given)
        expect(sippasswd("--stdin", "alice") == (0, "", ""), f"{sippasswd('--stdin', 'alice')}")
        expect(not is_admitted(one, "alice", "alices secret"), "the old password is still good")
        expect(is_admitted(one, "alice", "new secret"), "the new one is not")
        expect(is_admitted(one, "bob", "bobs secret"), "bob's is another, too")
        for given in "third\n", "fourth\r\n":
            expect(sippasswd("--stdin", "bob", given=given)[0] == 0, "it is not set again")
        for status, words, given in ((20, ["--stdin", "carol"], "x\n"),
                                     (20, ["--stdin", "202"], "x\n"),
                                     (20, ["--stdin", "--realm", "other.test", "alice"], "x\n"),
                                     (2, ["--stdin", "alice"], "\n"),
                                     (2, ["--stdin", "alice"], "x" * 300),
                                     (1, ["alice", "password"], None),
                                     (1, ["--stdin", "a:b"], "x\n")):
            got, said, complaint = sippasswd(*words, given=given)
            expect(got == status and not said, f"{words}: status {got}")
            one_line(complaint)
        one.end(signal.SIGKILL)
        one.start()
        expect(is_admitted(one, "alice", "new secret") and is_admitted(one, "bob", "fourth"),
               "they are forgotten")
        one.end()
        expect(passwords(one) == wanted_passwords(alice="new secret", bob="fourth"),
               f"{passwords(one)}")


def at_a_terminal(one, *answers):
    """sippasswd's exit status, and what a terminal shows of its asking; each answer is given once the
    question is there, and the terminal shows nothing."""
    ours, theirs = os.openpty()
    shown, command = "", [os.path.join(PROGRAMS, "sippasswd"), "--prefixpath", one.state, "alice"]
    with os.fdopen(ours, "r+b", buffering=0) as terminal, \
            subprocess.Popen(["setsid", "--ctty", *command], stdin=theirs, stdout=theirs,
                             stderr=theirs) as asking:
        def is_asked(count):
            nonlocal shown
            while select.select([terminal], [], [], 0)[0]:
                shown += terminal.read(1000).decode()
            return shown.count(": ") == count and not shows()

        def shows():
            return termios.tcgetattr(terminal)[3] & termios.ECHO
        try:
            for count, answer in enumerate(answers, 1):
                until(lambda count=count: is_asked(count), f"question {count}")
                terminal.write(answer.encode() + b"\n")
            status = asking.wait(PATIENCE)
            is_asked(0)
            expect(shows(), "the terminal does not show what is typed from then on")
        finally:
            asking.kill()
            os.close(theirs)
    return status, shown


def sippasswd_asks_twice_at_a_terminal_and_shows_nothing():
    with running() as one:
        status, shown = at_a_terminal(one, "typed secret", "typed secret")
        expect(status == 0 and is_admitted(one, "alice", "typed secret"), f"{status}: {shown!r}")
        expect(shown.split() == "New SIP password for alice: The same again:".split(), f"{shown!r}")
        status, shown = at_a_terminal(one, "one secret", "another secret")
        expect(status == 2 and "the two differ" in shown and "secret" not in shown,
               f"{status}: {shown!r}")
        expect(is_admitted(one, "alice", "typed secret"), "it was changed all the same")
        status, shown = at_a_terminal(one, "")
        expect(status == 2 and "no password was given" in shown, f"{status}: {shown!r}")


def sippasswd_works_without_a_server():
    with running() as one:
        def sippasswd(*words, given="later\n"):
            return run(one, "--stdin", *words, program="sippasswd", given=given)
        expect(sippasswd("alice", given="before\n")[0] == 0, "not while it runs")
        status, _, complaint = run(one, "--stdin", "--socket", os.path.join(one.folder, "none"),
                                   "--realm", "lab.test", "alice", program="sippasswd", given="x\n")
        expect(status == 2, f"status {status}: it wrote beside the server")
        one_line(complaint, "in use", "--socket")
        one.end()
        status, _, complaint = sippasswd("alice")
        expect(status == 2, f"status {status}")
        one_line(complaint, "--realm")
        for _ in range(2):
            got = sippasswd("--realm", "lab.test", "alice")
            expect(got == (0, "", ""), f"{got}")
        expect(passwords(one) == wanted_passwords(alice="later"), f"{passwords(one)}")
        one.start()
        expect(is_admitted(one, "alice", "later"), "it does not count")
        one.end()
        shutil.rmtree(os.path.join(one.state, "certs"))
        for name in os.listdir(one.state):
            os.unlink(os.path.join(one.state, name))
        os.chown(one.state, NOBODY, NOBODY)
        expect(sippasswd("--realm", "lab.test", "alice")[0] == 0, "not before the first start")
        for name in os.listdir(one.state):
            found = os.stat(os.path.join(one.state, name))
            expect((found.st_uid, found.st_mode & 0o777) == (NOBODY, 0o600), f"{name}: {found}")
        lock = os.path.join(one.state, "lock")
        os.chown(lock, 0, 0)
        expect(sippasswd("--realm", "lab.test", "alice")[0] == 0, "not a second time")
        expect(os.stat(lock).st_uid == 0, "a file that was there was given away")


# ---- users of the database, and call records

def add_user(one, *words, given="secret\n"):
    return output(one, "user", "add", *words, "--stdin", given=given)


def users(one):
    return {row["user"]: row for row in rows(one, "user", "list")}


def digests_of(user, password, realm="lab.test"):
    text = f"{user}:{realm}:{password}".encode()
    return {"user": user, "realm": realm, "md5": hashlib.md5(text).hexdigest(),
            "sha256": hashlib.sha256(text).hexdigest()}


def is_admitted(one, user, password):
    phone = Phone(one.port, user, password)
    return phone.register(f"Contact: {phone.contact()}").startswith("SIP/2.0 200 ")


def user_is_added_and_survives_kill():
    with running() as one:
        said = add_user(one, "carol", "--extension", "203", "--display", "Carol C")
        expect(said == "", f"said {said!r}")
        one.end(signal.SIGKILL)
        one.start()
        carol = calling.Caller(one.port, "carol", "secret").bind()
        row = users(one)["carol"]
        expect(row["extension"] == "203" and row["source"] == "database" and
               sorted(row["digests"]) == ["MD5", "SHA-256"] and row["bindings"] == 1, f"{row}")
        expect(users(one)["alice"]["source"] == "configuration", "alice has another source")
        said = output(one, "user")
        expect(re.search(r"203 +carol +Carol C +database +1 ", said), f"{said!r}")
        alice = calling.Caller(one.port).bind()
        call = alice.dial("203")
        carol.respond(carol.take(), 486, "Busy Here")
        alice.answered(call)


def users_are_listed_with_their_names():
    config = CONFIG.replace('extension="201"/>', 'extension="201" display="Ali\u010de &amp; Co"/>')
    with running(config=config) as one:
        found = users(one)
        expect(found["alice"]["display"] == "Ali\u010de & Co", f"{found['alice']}")
        expect("display" not in found["bob"], f"{found['bob']}")
        said = output(one, "user", "list")
        expect(re.search("^ *201 +alice +Ali\u010de & Co +configuration ", said, re.MULTILINE) and
               re.search("^ *202 +bob +- +configuration ", said, re.MULTILINE), f"{said!r}")


def user_is_good_at_once_and_gone_at_once():
    with running() as one:
        add_user(one, "carol", "--extension", "203")
        phone = Phone(one.port, "carol", "secret").bind()
        expect(len(rows(one, "registry", "203")) == 1, "carol's phone is not registered")
        expect(output(one, "user", "remove", "carol") == "", "it says something")
        expect("carol" not in users(one) and rows(one, "registry") == [], "something is left")
        answer = phone.register(f"Contact: {phone.contact()}")
        expect(not answer.startswith("SIP/2.0 200 "), f"it may still register: {answer!r}")
        one.end(signal.SIGKILL)
        one.start()
        expect("carol" not in users(one) and rows(one, "registry") == [], "it is back")
        add_user(one, "carol", "--extension", "203", given="another\n")
        expect(rows(one, "registry") == [], "the phone came back with its user")
        expect(is_admitted(one, "carol", "another"), "the new carol is refused")
        expect(not is_admitted(one, "carol", "secret"), "the old password is still good")


def changes_of_users_are_refused_with_a_reason():
    with running() as one:
        add_user(one, "carol", "--extension", "203")
        for words, part in ((["add", "alice"], "already"), (["add", "carol"], "already"),
                            (["add", "202"], "already"), (["add", "a:b"], "is no id"),
                            (["add", "dora", "--extension", "203"], "taken"),
                            (["add", "dora", "--extension", "2x"], "digits")):
            status, said, complaint = run(one, "user", *words, "--stdin", given="secret\n")
            expect(status == 20 and not said, f"{words}: status {status}, said {said!r}")
            one_line(complaint, part)
        refused(one, 20, "user", "remove", "alice", parts=["configuration"])
        refused(one, 20, "user", "remove", "nobody", parts=["there is no user nobody"])
        refused(one, 20, "user", "remove", "203", parts=["there is no user 203"])
        for words in ["frob"], ["add"], ["remove"], ["list", "carol"], ["list", "--extension", "1"]:
            refused(one, 1, "user", *words, parts=["user add"])
        refused(one, 1, "--extension", "204", "status", parts=["status", "--extension"])
        refused(one, 1, "user", "list", "--since", "1h", parts=["user", "--since"])
        status, _, complaint = run(one, "user", "add", "dora", "--stdin", given="\n")
        expect(status == 2, f"status {status}")
        one_line(complaint, "no password")
        expect(set(users(one)) == {"alice", "bob", "carol"}, f"{users(one)}")
        one.end()
        refused(one, 10, "user", "add", "dora", "--stdin", parts=["not running"])


def protocol_takes_digests_of_its_realm_only():
    with running() as one:
        line = Line(one)
        good = digests_of("carol", "secret")
        for change, code, part in (({"realm": "other.test"}, "refused", "lab.test"),
                                   ({"md5": "0" * 31}, "bad-request", "hex"),
                                   ({"sha256": "x" * 64}, "bad-request", "hex"),
                                   ({"display": "a\nb"}, "bad-request", "control"),
                                   ({"password": "secret"}, "bad-request", "password")):
            last = line.ask(command="user-add", **{**good, **change})[-1]
            expect(last.get("error") == code and part in last["text"], f"{change}: {last}")
        expect("carol" not in users(one), "carol was added")
        expect(line.ask(command="user-add", **good) == [{"done": True}], "she was not")
        again = digests_of("carol", "changed")
        expect(line.ask(command="user-password", **again) == [{"done": True}], "not changed")
        expect(is_admitted(one, "carol", "changed") and not is_admitted(one, "carol", "secret"),
               "the change does not count")
        ask = digests_of("nobody", "x")
        last = line.ask(command="user-password", **ask)[-1]
        expect(last.get("error") == "refused" and "nobody" in last["text"], f"{last}")
        last = line.ask(command="records", since="yesterday")[-1]
        expect(last.get("error") == "bad-request" and "since" in last["text"], f"{last}")


def make_call(one, alice, bob, status=None):
    """From alice to bob's extension; its Call-ID."""
    before = len(rows(one, "records"))
    call = alice.dial("202")
    if status:
        bob.respond(bob.take(), status, "No")
        alice.answered(call)
    else:
        bob.accept(bob.take())
        alice.answered(call)
        calling.hang_up(alice, call, bob)
    until(lambda: len(rows(one, "records")) > before, "record")
    return call.id


def records_show_the_calls_that_were():
    with running() as one:
        expect(rows(one, "records") == [], "there are records of nothing")
        expect(output(one, "records") == "no calls\n", "it does not say so")
        alice = calling.Caller(one.port)
        alice.display = '"Alice A" '
        alice.bind()
        bob = calling.Caller(one.port, "bob", "bobs secret").bind()
        begin = int(time.time())
        first = make_call(one, alice, bob)
        row, = rows(one, "records")
        wanted = {"call_id": first, "status": 200, "reason": "terminated", "ended_by": "caller",
                  "caller": "alice", "dialed": "202", "callee": "bob", "display": "Alice A", "proof": "own",
                  "network": "127.0.0.1", "media": "direct",
                  "media_reason": "there is no relay that both could reach"}
        expect(wanted.items() <= row.items(), f"{row}")
        expect(begin <= row["began"] <= row["answered"] <= row["ended"] <= time.time(), f"{row}")
        one.end(signal.SIGKILL)
        one.start()
        expect(rows(one, "records") == [row], "it is another after a crash")
        second = make_call(one, alice, bob, 486)
        found = [row["call_id"] for row in rows(one, "records")]
        expect(found == [second, first], f"{found}: not the newest first")
        row = rows(one, "records")[0]
        expect(row["reason"] == "busy" and not {"answered", "ended_by"} & set(row), f"{row}")
        said = output(one, "records")
        expect(re.search(r"^[\d-]{10} [\d:]{8} +alice +own +202 +bob +0s +busy +486 +direct +- +-$", said,
                         re.MULTILINE), f"{said!r}")
        for words, count in ((["alice"], 2), (["201"], 2), (["202"], 2), (["bob"], 2),
                             (["bob@lab.test"], 2), (["202@127.0.0.1"], 2), (["nobody"], 0),
                             (["bob@elsewhere.test"], 0), (["nobody@lab.test"], 0),
                             (["--since", "1h"], 2), (["--since", "2038-01-01"], 0),
                             (["bob", "--since", "2026-01-01T00:00"], 2)):
            found = rows(one, "records", *words)
            expect(len(found) == count, f"{words}: {found}")
        for time_of in "soon", "5", "-1h", "2026-13-01", "2026-01-01Tx":
            refused(one, 1, "records", "--since", time_of, parts=[time_of, "7d"])


def records_have_gnu_sip_witchs_layout():
    with running() as one:
        alice = calling.Caller(one.port).bind()
        bob = calling.Caller(one.port, "bob", "bobs secret").bind()
        make_call(one, alice, bob)
        make_call(one, alice, bob, 486)
        old = os.path.join(one.folder, "sipcontrol")
        os.symlink(os.path.join(PROGRAMS, "sipwitch"), old)
        done = subprocess.run([old, "--prefixpath", one.state, "records"], text=True, check=True,
                              capture_output=True, timeout=PATIENCE)
        when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
        expect(re.fullmatch(rf"[0-9a-f]{{8}}:0 127.0.0.1 terminated {when} \d+ alice 202 bob \n"
                            rf"[0-9a-f]{{8}}:0 127.0.0.1 busy {when} \d+ alice 202 bob \n",
                            done.stdout), f"{done.stdout!r}")


def many_records_are_read_in_parts():
    with running() as one:
        one.end()
        with contextlib.closing(sqlite3.connect(os.path.join(one.state, "sipwitch.db"))) as file:
            file.executemany("INSERT INTO calls VALUES (?, ?, NULL, ?, 0, 486, 'busy', NULL, "
                             "'192.0.2.1', ?, '202', 'bob', ?, ?, NULL, NULL, NULL, "
                             "NULL, NULL, NULL, NULL, NULL, NULL)",
                             [(n, n, n, ("alice", "carol")[n % 2], '"' * 255, "x" * 255)
                              for n in range(1, 1001)])
            file.commit()
        one.start()
        line = Line(one)
        line.send('{"command":"records"}\n{"command":"records","user":"carol","since":"900"}\n')
        found = line.answer()
        expect([row["id"] for row in found[:-1]] == list(range(1000, 0, -1)), "rows are missing")
        found = line.answer()
        expect([row["id"] for row in found[:-1]] == list(range(999, 900, -2)), "they are others")
        expect(len(rows(one, "records")) == 1000, "not with sipwitch")


def manuals_name_every_command_and_option():
    for program in "sipwitch", "siprealm", "sippasswd", "sipquery", "sipw", "sipw-relay":
        done = subprocess.run([os.path.join(PROGRAMS, program), "--help"], text=True, check=True,
                              capture_output=True, timeout=PATIENCE)
        page = program + (".8" if program.startswith("sipw-") or program == "sipw" else ".1")
        with open(os.path.join(ROOT, "doc", "man", page), encoding="utf-8") as file:
            manual = file.read()
        commands = re.findall(r"^  ([a-z]+)(?: [A-Z[].*?)? {2,}\S", done.stdout, re.MULTILINE)
        options = re.findall(r"^ +(?:-\w, )?--([a-z-]+)", done.stdout, re.MULTILINE)
        expect(len(options) >= 5 and (len(commands) >= 12) == (program == "sipwitch"),
               f"{commands} {options}")
        for command in commands:
            expect(re.search(rf"^\.It Cm {command}\b", manual, re.MULTILINE),
                   f"{page} lacks {command}")
        for option in options:
            expect(re.search(rf"(Fl|,) -{option}\b", manual), f"{page} lacks --{option}")


CHECKS = [status_tells_of_the_server, registry_lists_the_phones,
          calls_are_listed_while_they_ring_and_last, stats_count,
          events_tell_of_registrations_and_calls, trace_shows_messages_without_secrets,
          trace_is_followed_as_it_happens, trace_keeps_the_latest_and_no_more,
          activated_phone_stays_until_it_is_released,
          release_takes_a_registration_away, drop_ends_an_answered_call_on_both_sides,
          drop_ends_all_calls_of_a_user_ringing_ones_too,
          a_dropped_call_is_dropped_again_after_a_crash,
          changes_are_refused_while_the_journal_fails,
          message_reaches_every_phone_of_a_user, dump_shows_settings_and_no_secrets,
          digest_is_computed_without_showing_the_password, check_and_down,
          reload_reads_the_configuration_and_says_what_is_wrong,
          stopped_server_is_waited_for_no_longer_than_asked, usage_is_refused,
          parts_are_enabled_and_disabled, the_state_of_the_server_is_switched,
          what_was_a_command_is_told_from_what_never_was,
          who_hangs_up_or_speaks_otherwise_is_exit_status_11,
          gnu_sip_witchs_layouts_are_printed,
          sipcontrol_tells_gateways_and_devices_from_users, others_are_refused, members_of_sipadmin_may,
          garbage_is_refused_and_harmless, requests_may_come_together_and_in_pieces,
          many_requests_in_one_go_are_all_answered,
          slow_reader_holds_up_nobody_and_misses_nothing, slow_watcher_is_told_what_it_lost,
          end_of_one_is_not_taken_for_the_next_ones, many_clients_are_bounded,
          socket_in_a_deep_directory_works,
          sipquery_asks_where_a_user_is, sipquery_tells_a_server_that_answers_from_one_that_does_not,
          user_is_added_and_survives_kill, users_are_listed_with_their_names,
          user_is_good_at_once_and_gone_at_once,
          changes_of_users_are_refused_with_a_reason, protocol_takes_digests_of_its_realm_only,
          records_show_the_calls_that_were, records_have_gnu_sip_witchs_layout,
          many_records_are_read_in_parts,
          realm_is_shown_and_set, sippasswd_sets_a_password,
          sippasswd_asks_twice_at_a_terminal_and_shows_nothing, sippasswd_works_without_a_server,
          manuals_name_every_command_and_option]


def main():
    if os.geteuid() != 0:
        print("not ok control_test: run it as root: it must become somebody else")
        return 1
    return server_test.run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
