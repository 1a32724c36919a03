#!/usr/bin/env python3
"""The real sipw over TCP: framing, limits, whose connection a message goes by, and restarts.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import array
import contextlib
import fcntl
import hashlib
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True

from config_test import Clock
from server_test import (CONFIG, PATIENCE, Failure, Server, expect, free_port, one_line, run,
                         server)

DOMAIN = "lab.test"
SECRETS = {"alice": "alices secret", "bob": "bobs secret"}


def header(message, name):
    found = re.search(rf"^{name}: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def headers(message, name):
    return re.findall(rf"^{name}: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)


def digest(user, challenge, method, uri, count):
    nonce = re.search('nonce="([^"]*)"', challenge)[1]

    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()
    ha1, ha2 = md5(f"{user}:{DOMAIN}:{SECRETS[user]}"), md5(f"{method}:{uri}")
    response = md5(f"{ha1}:{nonce}:{count:08x}:cn:auth:{ha2}")
    return (f'Digest username="{user}", realm="{DOMAIN}", nonce="{nonce}", uri="{uri}", '
            f'response="{response}", algorithm=MD5, qop=auth, nc={count:08x}, cnonce="cn"')


class Peer:
    """Someone at the other end of a socket: `tcp`, or `udp`."""

    serial = 0

    def __init__(self, one, user="alice", transport="tcp", host="127.0.0.1", source=None,
                 existing=None):
        self.one, self.user, self.transport = one, user, transport
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = (host, one.port)
        self.buffer = b""
        self.challenge, self.count = "", 0
        self.socket = existing or self.dial(source)
        self.socket.settimeout(PATIENCE)
        self.port = self.socket.getsockname()[1]
        self.host = f"[{host}]" if ":" in host else self.socket.getsockname()[0]
        self.contact = f"<sip:{user}@{self.host}:{self.port};transport={transport}>"
        self.sent_by = f"{self.host}:{self.port}"

    def dial(self, source):
        kind = socket.SOCK_STREAM if self.transport == "tcp" else socket.SOCK_DGRAM
        one = socket.socket(self.family, kind)
        if source:
            one.bind((source, 0))
        one.settimeout(PATIENCE)
        one.connect(self.server)
        return one

    def again(self):
        """The same phone by another connection."""
        other = Peer(self.one, self.user, self.transport, self.server[0])
        other.contact = self.contact
        return other

    def close(self):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def receive(self, patience=PATIENCE):
        """The next message; "" once the server has closed."""
        self.socket.settimeout(patience)
        if self.transport == "udp":
            return self.socket.recv(65536).decode()
        while True:
            head = re.match(rb"(?s).*?\r\n\r\n", self.buffer)
            if head:
                length = int(header(head[0].decode(), "Content-Length"))
                if len(self.buffer) >= head.end() + length:
                    message = self.buffer[:head.end() + length].decode()
                    self.buffer = self.buffer[head.end() + length:]
                    return message
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return ""
            self.buffer += piece

    def expect(self, start):
        """The next message but for provisional ones, which must begin so."""
        while True:
            message = self.receive()
            if start.startswith("SIP/2.0 1") or not message.startswith("SIP/2.0 1"):
                break
        expect(message.startswith(start), f"{self.user} expected {start!r}, got {message!r}")
        return message

    def expect_closed(self, patience=PATIENCE):
        expect(self.receive(patience) == "", f"{self.user}'s connection is still open")

    def request(self, method, uri, *more, call=None, cseq=None, to=None, tag=None, body="",
                length=None):
        Peer.serial += 1
        size = len(body) if length is None else length
        return "\r\n".join([
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport.upper()} {self.sent_by}"
            f";branch=z9hG4bK{os.getpid()}x{Peer.serial};rport",
            f"From: <sip:{self.user}@{DOMAIN}>;tag={tag or f'{self.user}{self.port}'}",
            f"To: {to or f'<{uri}>'}", f"Call-ID: {call or f'{self.user}{self.port}@test'}",
            f"CSeq: {cseq or Peer.serial} {method}", "Max-Forwards: 70", f"Contact: {self.contact}",
            *more, f"Content-Length: {size}", "", body])

    def ask(self, method, uri, *more, **parts):
        """The final response, a challenge answered."""
        self.begin(method, uri, *more, **parts)
        return self.expect("SIP/2.0 ")

    def begin(self, method, uri, *more, **parts):
        """Sends it with credentials; what comes next is the answer to that."""
        field = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
        to = f"<sip:{self.user}@{DOMAIN}>" if method == "REGISTER" else None
        for _ in range(3):
            proof = []
            if self.challenge:
                self.count += 1
                proof = [f"{field}: {digest(self.user, self.challenge, method, uri, self.count)}"]
            self.send(self.request(method, uri, *more, *proof, to=to, **parts))
            if proof:
                return
            answer = self.expect("SIP/2.0 40")
            self.challenge, self.count = answer, 0
            if method == "INVITE":
                self.acknowledge(uri, answer)

    def acknowledge(self, uri, answer):
        via, cseq = header(answer, "Via"), header(answer, "CSeq").split()[0]
        self.send("\r\n".join([
            f"ACK {uri} SIP/2.0", f"Via: {via}", f"From: {header(answer, 'From')}",
            f"To: {header(answer, 'To')}", f"Call-ID: {header(answer, 'Call-ID')}",
            f"CSeq: {cseq} ACK", "Max-Forwards: 70", "Content-Length: 0", "", ""]))

    def bind(self):
        for _ in range(3): # the nonce may be of a run before the last restart
            self.challenge = ""
            answer = self.ask("REGISTER", f"sip:{DOMAIN}")
            if answer.startswith("SIP/2.0 200 "):
                return self
        raise Failure(f"REGISTER was answered {answer!r}")

    def options(self):
        self.send(self.request("OPTIONS", f"sip:{DOMAIN}"))
        return self.expect("SIP/2.0 200 ")

    def respond(self, request, status, *more, tag="callee"):
        """A response to what was received."""
        to = header(request, "To")
        fields = [f"SIP/2.0 {status}"]
        fields += [f"Via: {via}" for via in headers(request, "Via")]
        fields += [f"Record-Route: {route}" for route in headers(request, "Record-Route")]
        fields += [f"From: {header(request, 'From')}",
                   f"To: {to}" if ";tag=" in to else f"To: {to};tag={tag}",
                   f"Call-ID: {header(request, 'Call-ID')}", f"CSeq: {header(request, 'CSeq')}",
                   f"Contact: {self.contact}", *more, "Content-Length: 0", "", ""]
        self.send("\r\n".join(fields))


class Listener:
    """Someone who waits for connections."""

    def __init__(self, host="127.0.0.1"):
        self.socket = socket.socket()
        self.socket.bind((host, 0))
        self.socket.listen()
        self.socket.settimeout(PATIENCE)
        self.port = self.socket.getsockname()[1]

    def accept(self, one, user):
        return Peer(one, user, existing=self.socket.accept()[0])


def in_dialog(peer, method, answer, invite, is_caller=True, body=""):
    """A request in the dialog that `answer` made; of the callee with `is_caller` false."""
    Peer.serial += 1
    routes = headers(answer if is_caller else invite, "Record-Route")
    if is_caller:
        routes.reverse()
    mine, other = header(answer, "From"), header(answer, "To")
    if not is_caller:
        mine, other = other, mine
    target = re.search("<(.*)>", header(answer if is_caller else invite, "Contact"))[1]
    return "\r\n".join([
        f"{method} {target} SIP/2.0",
        f"Via: SIP/2.0/{peer.transport.upper()} {peer.sent_by}"
        f";branch=z9hG4bK{os.getpid()}x{Peer.serial};rport",
        *[f"Route: {route}" for route in routes], f"From: {mine}", f"To: {other}",
        f"Call-ID: {header(answer, 'Call-ID')}", f"CSeq: {1000 + Peer.serial} {method}",
        "Max-Forwards: 70", f"Content-Length: {len(body)}", "", body])


def call(caller, callee, target="sip:bob@lab.test"):
    """A call that stands: what the callee got, and what the caller was answered."""
    caller.begin("INVITE", target)
    invite = callee.expect("INVITE ")
    callee.respond(invite, "200 OK")
    answer = caller.expect("SIP/2.0 200 ")
    caller.send(in_dialog(caller, "ACK", answer, invite))
    callee.expect("ACK ")
    return invite, answer


class Manager:
    """A service manager: keeps what it is given, and hands it to the next run."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("")
        self.socket.settimeout(PATIENCE)
        self.name = self.socket.getsockname()[1:].decode()
        self.kept = {}

    def look(self, condition, what):
        """Takes messages until the condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            expect(time.monotonic() < end, f"the manager was not told {what}")
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            text, rights, _, _ = self.socket.recvmsg(4096, 1024)
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            descriptors = array.array("i")
            for _, _, data in rights:
                descriptors.frombytes(data[:len(data) - len(data) % 4])
            if "FDSTOREREMOVE" in fields:
                os.close(self.kept.pop(fields["FDNAME"]))
            elif "FDSTORE" in fields:
                expect(len(descriptors) == 1, "FDSTORE without one descriptor")
                self.kept[fields["FDNAME"]] = descriptors[0]

    @contextlib.contextmanager
    def counting(self):
        """The names of what it is given meanwhile, all of which it lets go at once."""
        names = []

        def count():
            with contextlib.suppress(OSError):
                while data := self.socket.recv(4096):
                    fields = dict(line.split("=", 1) for line in data.decode().splitlines())
                    if "FDSTORE" in fields:
                        names.append(fields["FDNAME"])
        self.socket.settimeout(None)
        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield names
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"", "\0" + self.name)
            thread.join()

    def environment(self):
        return {**os.environ, "NOTIFY_SOCKET": "@" + self.name}

    def start(self, one):
        """A run of the server that is handed what was kept."""
        names = list(self.kept)
        place = {name: fcntl.fcntl(self.kept[name], fcntl.F_DUPFD, 100) for name in names}
        script = "".join(f"exec {3 + n}<&{place[name]} {place[name]}<&-;"
                         for n, name in enumerate(names))
        command = " ".join(f"'{word}'" for word in one.command("-A", "127.0.0.1"))
        one.process = subprocess.Popen(
            ["bash", "-c", f"{script} export LISTEN_PID=$$; exec {command}"],
            env={**self.environment(), "LISTEN_FDS": str(len(names)),
                 "LISTEN_FDNAMES": ":".join(names)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            pass_fds=list(place.values()))
        for descriptor in place.values():
            os.close(descriptor)
        line = one.process.stdout.readline()
        expect(line == "sipw: ready\n", f"the first line is {line!r}")


# ---- messages and framing

def answers_over_tcp_on_both_families():
    with server() as one:
        one.start("-A", "127.0.0.1 ::1")
        for host in "127.0.0.1", "::1":
            answer = Peer(one, host=host).options()
            expect("received=" not in answer or host in answer, f"answered {answer!r}")


def messages_come_in_any_pieces():
    with server() as one:
        one.start()
        peer = Peer(one)
        three = "".join(peer.request("OPTIONS", f"sip:{DOMAIN}") for _ in range(3))
        peer.send(three)
        for _ in range(3):
            peer.expect("SIP/2.0 200 ")
        for byte in three.encode():
            peer.send(bytes([byte]))
        for _ in range(3):
            peer.expect("SIP/2.0 200 ")
        peer.send("\r\n" + three[:700])
        peer.send(three[700:])
        for _ in range(3):
            peer.expect("SIP/2.0 200 ")


def largest_message_is_taken():
    with server() as one:
        one.start()
        peer = Peer(one)
        request = peer.request("OPTIONS", f"sip:{DOMAIN}", body="x" * 64000)
        peer.send(request)
        peer.expect("SIP/2.0 200 ")
        peer.options()


def keep_alives_are_answered():
    with server() as one:
        one.start()
        peer = Peer(one)
        for _ in range(3):
            peer.send("\r\n\r\n")
            expect(peer.socket.recv(100) == b"\r\n", "no CRLF came back")
        peer.options()


def stun_is_answered_on_the_sip_port():
    """RFC 5626 4.4.2, RFC 8489: who asks by UDP is told its address, and that the server lives."""
    cookie, name = 0x2112a442, os.urandom(12)
    with server() as one:
        one.start()
        peer = Peer(one, "alice", "udp")
        host, port = peer.socket.getsockname()
        peer.socket.send(struct.pack("!HHI", 1, 0, cookie) + name)
        answer = peer.socket.recv(1500)
        mapped = struct.pack("!HHBBHI", 0x20, 8, 0, 1, port ^ cookie >> 16,
                             struct.unpack("!I", socket.inet_aton(host))[0] ^ cookie)
        expect(answer[:20] == struct.pack("!HHI", 0x101, len(answer) - 20, cookie) + name,
               f"answered {answer.hex()}")
        expect(mapped in answer[20:], f"the address is not in {answer.hex()}")
        peer.options() # it is a phone's port all the same


def broken_lengths_are_answered_and_end_the_connection():
    bad = ["", "Content-Length: \r\n", "Content-Length: 5\r\nContent-Length: 0\r\n",
           "Content-Length: 0\r\nl: 5\r\n", "Content-Length: +0\r\n", "Content-Length: -1\r\n",
           "Content-Length: 0x10\r\n", "Content-Length: 0, 0\r\n", "Content-Length: 0 0\r\n",
           "Content-Length: 99999\r\n", "Content-Length: 4294967296\r\n",
           "Content-Length: 18446744073709551616\r\n", "Content-Length:\r\n 0 5\r\n",
           "Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length: 0\r\nl : 00\r\n"]
    with server() as one:
        one.start()
        for fields in bad:
            peer = Peer(one)
            good = peer.request("OPTIONS", f"sip:{DOMAIN}")
            peer.send(good.replace("Content-Length: 0\r\n", fields) + good)
            answer = peer.receive()
            expect(re.match("SIP/2.0 (400|513) ", answer), f"{fields!r}: answered {answer!r}")
            peer.expect_closed()
        peer = Peer(one)
        peer.send(peer.request("OPTIONS", f"sip:{DOMAIN}").replace("Content-Length", "l "))
        peer.expect("SIP/2.0 200 ")


def endless_headers_and_other_protocols_end_the_connection():
    with server() as one:
        one.start()
        peer = Peer(one)
        with contextlib.suppress(OSError):
            peer.send(peer.request("OPTIONS", f"sip:{DOMAIN}")[:-4] + "\r\nX: " + "y" * 70000)
        answer = peer.receive()
        expect(not answer or answer.startswith("SIP/2.0 513 "), f"answered {answer!r}")
        if answer:
            peer.expect_closed()
        for text in "GET / HTTP/1.1\r\nHost: lab.test\r\n\r\n", "\0" * 40000, \
                "EHLO x\r\nContent-Length: 0\r\n\r\n":
            peer = Peer(one)
            with contextlib.suppress(OSError):
                peer.send(text)
            peer.expect_closed()
        Peer(one).options()


# ---- limits

def slow_senders_are_reaped():
    """In 32 seconds: who says nothing, who does not end a message, who only keeps alive."""
    with server() as one:
        one.start()
        silent, slow, pinging, good = (Peer(one) for _ in range(4))
        request = slow.request("OPTIONS", f"sip:{DOMAIN}")
        good.options()
        good.send(request[:50])
        begin = time.monotonic()
        waiting, at = {silent: "silent", slow: "slow", pinging: "pinging", good: "late"}, 0
        while waiting and time.monotonic() < begin + 32 + PATIENCE:
            ready = select.select([peer.socket for peer in waiting], [], [], 1)[0]
            for peer in [peer for peer in waiting if peer.socket in ready]:
                with contextlib.suppress(ConnectionResetError):
                    if peer.socket.recv(100):
                        continue
                took = time.monotonic() - begin
                expect(took > 25, f"{waiting[peer]}: closed after {took:.1f} s")
                del waiting[peer]
            if time.monotonic() > begin + at / 4:
                with contextlib.suppress(OSError):
                    slow.send(request[at:at + 1])
                    at += 1
            with contextlib.suppress(OSError):
                pinging.send("\r\n\r\n")
        expect(not waiting, f"still open: {list(waiting.values())}")


def one_address_has_its_share():
    with server() as one:
        one.start()
        peers = [Peer(one) for _ in range(256)]
        for peer in peers[0], peers[-1]:
            peer.options()
        Peer(one).expect_closed()
        one.await_line("one address has 256")
        Peer(one, source="127.0.0.2").options()
        peers.pop().close()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            peer = Peer(one)
            with contextlib.suppress(OSError, Failure):
                peer.options()
                return
        raise Failure("no place became free")


def thousands_of_connections_are_served():
    with server() as one:
        one.start("-A", "127.0.0.1", preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        try:
            peers = [Peer(one, source=f"127.0.0.{n // 250 + 1}") for n in range(1000)]
            for peer in peers:
                peer.send(peer.request("OPTIONS", f"sip:{DOMAIN}"))
            for peer in peers:
                peer.expect("SIP/2.0 200 ")
            for peer in peers:
                peer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        Peer(one).options()


def resident(one):
    """Bytes of memory that the server has."""
    with open(f"/proc/{one.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def is_closed(peer):
    try:
        return peer.socket.recv(100) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def halves_of_messages_have_their_share_of_memory():
    """Of 128 MiB a sixth: then who sends much without an end is closed, and nobody else."""
    share = (128 << 20) // 6
    with server() as one:
        with open(one.config, encoding="utf-8") as file:
            text = file.read()
        with open(one.config, "w", encoding="utf-8") as file:
            file.write(text.replace("<provision>", "<stack><memory>128</memory></stack><provision>"))
        one.start("-A", "127.0.0.1")
        good = Peer(one)
        request = good.request("OPTIONS", f"sip:{DOMAIN}")
        good.send(request[:len(request) // 2])
        before = resident(one)
        greedy = [Peer(one, source=f"127.0.0.{2 + n // 200}") for n in range(600)]
        half = greedy[0].request("OPTIONS", f"sip:{DOMAIN}", body="x" * 64000)[:60000]
        for peer in greedy:
            with contextlib.suppress(ConnectionError):
                peer.send(half)
        for peer in greedy:
            peer.socket.setblocking(False)
        most, open_ones = share // 60000 + 1, greedy
        end = time.monotonic() + PATIENCE
        while len(open_ones) > most and time.monotonic() < end:
            open_ones = [peer for peer in open_ones if not is_closed(peer)]
        expect(most // 2 < len(open_ones) <= most, f"{len(open_ones)} of {most} keep 60,000 bytes")
        expect(resident(one) < before + share + (8 << 20),
               f"it takes {(resident(one) - before) >> 20} MiB for them")
        one.await_line("as much as memory allows")
        good.send(request[len(request) // 2:])
        good.expect("SIP/2.0 200 ")
        for peer in greedy:
            peer.close()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            late = Peer(one)
            whole = late.request("OPTIONS", f"sip:{DOMAIN}", body="x" * 64000)
            with contextlib.suppress(Failure, ConnectionError):
                late.send(whole[:60000])
                late.send(whole[60000:])
                late.expect("SIP/2.0 200 ")
                return
        raise Failure("no room became free")


def who_does_not_read_is_closed():
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob").bind(), Peer(one).bind()
        bob.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = "x" * 60000
        answers = []

        def read():
            while (answer := alice.receive()):
                answers.append(answer)
                if not answer.startswith("SIP/2.0 1"):
                    return
        reader = threading.Thread(target=read)
        alice.begin("MESSAGE", "sip:bob@lab.test", body=body) # the first is challenged
        reader.start()
        end = time.monotonic() + 3 * PATIENCE
        while not answers and time.monotonic() < end:
            alice.begin("MESSAGE", "sip:bob@lab.test", body=body)
        reader.join(PATIENCE)
        expect(answers and answers[-1].startswith("SIP/2.0 480 "), f"answered {answers!r}")
        Peer(one).options()


def who_asks_without_reading_is_not_read_from():
    """Its requests wait until it reads; nobody else's do."""
    with server() as one:
        one.start()
        greedy = Peer(one)
        greedy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.socket.settimeout(1.0)
        request = greedy.request("OPTIONS", f"sip:{DOMAIN}", "X: " + "y" * 100).encode() * 100
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += greedy.socket.send(request)
        expect(sent < 64 << 20, "it takes requests without end")
        Peer(one).options()


# ---- whose connection

def requests_go_down_the_phones_own_connection():
    with server() as one:
        one.start()
        for transport in "udp", "tcp":
            bob = Peer(one, "bob")
            bob.contact = "<sip:bob@10.1.2.3:5062;transport=tcp>" # nobody is there
            bob.bind()
            alice = Peer(one, transport=transport).bind()
            invite, answer = call(alice, bob)
            routes = headers(invite, "Record-Route")
            expect(header(invite, "Via").startswith("SIP/2.0/TCP "), "the Via is not TCP's")
            expect(len(routes) == (2 if transport == "udp" else 1), f"routes {routes}")
            expect(";transport=tcp" in routes[0], f"the first route is {routes[0]}")
            bob.send(in_dialog(bob, "BYE", answer, invite, is_caller=False))
            bye = alice.expect("BYE ")
            expect(header(bye, "Via").startswith(f"SIP/2.0/{transport.upper()} "), "wrong Via")
            alice.respond(bye, "200 OK")
            bob.expect("SIP/2.0 200 ")
            bob.close()


def response_finds_a_caller_whose_connection_is_gone():
    with server() as one:
        one.start()
        bob, alice, listener = Peer(one, "bob").bind(), Peer(one), Listener()
        alice.sent_by = f"127.0.0.1:{listener.port}"
        alice.begin("INVITE", "sip:bob@lab.test")
        invite = bob.expect("INVITE ")
        alice.close()
        bob.options() # by now the end of alice's connection was seen
        bob.respond(invite, "200 OK")
        listener.accept(one, "alice").expect("SIP/2.0 200 ")


def another_host_is_called_over_tcp():
    with server() as one:
        one.start()
        alice, listener = Peer(one).bind(), Listener()
        target = f"sip:carol@127.0.0.1:{listener.port};transport=tcp"
        alice.begin("INVITE", target)
        carol = listener.accept(one, "carol")
        carol.contact = f"<{target}>"
        invite = carol.expect("INVITE ")
        expect(header(invite, "Via").startswith(f"SIP/2.0/TCP 127.0.0.1:{one.port}"), "wrong Via")
        carol.respond(invite, "200 OK")
        answer = alice.expect("SIP/2.0 200 ")
        carol.close()
        alice.send(in_dialog(alice, "BYE", answer, invite)) # by a new connection
        carol = listener.accept(one, "carol")
        carol.respond(carol.expect("BYE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


def host_that_refuses_is_known_at_once():
    with server() as one:
        one.start()
        alice = Peer(one).bind()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            begin = time.monotonic()
            alice.begin("INVITE", f"sip:x@127.0.0.1:{closed.getsockname()[1]};transport=tcp")
            alice.expect("SIP/2.0 500 ")
        expect(time.monotonic() - begin < 5, "the caller waits")


def phone_that_is_gone_is_away_at_once_and_the_next_one_rings():
    with server() as one:
        one.start()
        first, second, alice = Peer(one, "bob"), Peer(one, "bob"), Peer(one).bind()
        first.contact = "<sip:bob@10.1.2.3;transport=tcp>;q=0.9"
        second.contact = "<sip:bob@10.1.2.4;transport=tcp>;q=0.5"
        first.bind()
        second.bind()
        first.close()
        alice.options()
        alice.begin("INVITE", "sip:bob@lab.test")
        second.respond(second.expect("INVITE "), "486 Busy Here")
        alice.expect("SIP/2.0 486 ")
        second.expect("ACK ")
        second.close()
        alice.options()
        begin = time.monotonic()
        expect(alice.ask("MESSAGE", "sip:bob@lab.test").startswith("SIP/2.0 480 "), "not 480")
        expect(time.monotonic() - begin < 4, "the caller waits")


def phone_that_listens_is_called_back():
    """Its connection is gone, but its Contact is where it came from."""
    with server() as one:
        one.start()
        bob, alice, listener = Peer(one, "bob"), Peer(one).bind(), Listener()
        bob.contact = f"<sip:bob@127.0.0.1:{listener.port};transport=tcp>"
        bob.bind()
        bob.close()
        alice.options()
        alice.begin("INVITE", "sip:bob@lab.test")
        bob = listener.accept(one, "bob")
        bob.respond(bob.expect("INVITE "), "486 Busy Here")
        alice.expect("SIP/2.0 486 ")


def phone_that_reconnected_goes_on_with_its_call():
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob").bind(), Peer(one).bind()
        invite, answer = call(alice, bob)
        bob.close()
        alice.options()
        bob = bob.again()
        bob.send(in_dialog(bob, "BYE", answer, invite, is_caller=False))
        alice.respond(alice.expect("BYE "), "200 OK")
        bob.expect("SIP/2.0 200 ")


def caller_that_reconnected_hears_the_answer():
    """It listens nowhere, and is bound again by another connection."""
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob").bind(), Peer(one)
        alice.contact = "<sip:alice@10.1.2.3;transport=tcp>"
        alice.bind()
        alice.begin("INVITE", "sip:bob@lab.test")
        invite = bob.expect("INVITE ")
        alice.expect("SIP/2.0 100 ")
        alice.close()
        bob.options() # so that the end has been seen
        alice = alice.again().bind()
        bob.respond(invite, "180 Ringing")
        alice.expect("SIP/2.0 180 ")
        bob.respond(invite, "200 OK")
        answer = alice.expect("SIP/2.0 200 ")
        alice.send(in_dialog(alice, "ACK", answer, invite))
        bob.expect("ACK ")


# ---- restarts

def call_goes_on_after_kill_when_phones_reconnect():
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob"), Peer(one)
        for peer in bob, alice:
            peer.contact = f"<sip:{peer.user}@10.1.2.3;transport=tcp>"
            peer.bind()
        invite, answer = call(alice, bob)
        one.end(signal.SIGKILL)
        one.start()
        alice, bob = alice.again(), bob.again().bind()
        alice.send(in_dialog(alice, "BYE", answer, invite))
        bob.respond(bob.expect("BYE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


def request_waits_for_a_phone_that_our_restart_cut_off():
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob"), Peer(one).bind()
        bob.contact = "<sip:bob@10.1.2.3;transport=tcp>"
        bob.bind()
        one.end(signal.SIGKILL)
        one.start()
        alice = alice.again().bind()
        alice.begin("INVITE", "sip:bob@lab.test")
        alice.expect("SIP/2.0 100 ")
        bob = bob.again().bind()
        invite = bob.expect("INVITE ")
        bob.respond(invite, "200 OK")
        alice.expect("SIP/2.0 200 ")


def request_waits_no_longer_than_five_seconds():
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob"), Peer(one).bind()
        bob.contact = "<sip:bob@10.1.2.3;transport=tcp>"
        bob.bind()
        one.end(signal.SIGKILL)
        one.start()
        alice = alice.again().bind()
        begin = time.monotonic()
        alice.begin("INVITE", "sip:bob@lab.test")
        alice.expect("SIP/2.0 480 ")
        took = time.monotonic() - begin
        expect(4 < took < 9, f"refused after {took:.1f} s")


def ringing_call_is_answered_after_kill():
    with server() as one:
        one.start()
        bob, alice = Peer(one, "bob"), Peer(one, transport="udp")
        bob.contact = "<sip:bob@10.1.2.3;transport=tcp>"
        bob.bind()
        alice.begin("INVITE", "sip:bob@lab.test")
        invite = bob.expect("INVITE ")
        bob.respond(invite, "180 Ringing")
        alice.expect("SIP/2.0 100 ")
        alice.expect("SIP/2.0 180 ")
        one.end(signal.SIGKILL)
        one.start()
        bob = bob.again() # a response by a connection of its own (18.2.2)
        bob.respond(invite, "200 OK")
        alice.expect("SIP/2.0 200 ")


def connections_outlive_a_run_with_a_service_manager():
    with server() as one:
        manager = Manager()
        one.start("-A", "127.0.0.1", env=manager.environment())
        bob, alice = Peer(one, "bob"), Peer(one)
        for peer in bob, alice:
            peer.contact = f"<sip:{peer.user}@10.1.2.3;transport=tcp>"
            peer.bind()
        invite, answer = call(alice, bob)
        manager.look(lambda: len(manager.kept) == 2, "of two connections")
        for how in signal.SIGKILL, signal.SIGTERM, signal.SIGKILL:
            one.end(how)
            manager.start(one)
            alice.send(in_dialog(alice, "INFO", answer, invite))
            bob.respond(bob.expect("INFO "), "200 OK")
            alice.expect("SIP/2.0 200 ")
        bob.send(in_dialog(bob, "BYE", answer, invite, is_caller=False))
        alice.respond(alice.expect("BYE "), "200 OK")
        bob.expect("SIP/2.0 200 ")
        alice.challenge = "" # it was of an earlier run
        call(alice, bob)
        Peer(one).options() # a new one gets another place
        manager.look(lambda: len(manager.kept) == 3, "of the third")
        bob.close()
        manager.look(lambda: len(manager.kept) < 3, "that a connection has ended")


def connections_that_no_next_run_could_be_told_of_are_not_left_with_the_manager():
    """Their names are in one variable of its environment, and the kernel takes none above 128 KiB."""
    with server() as one:
        manager = Manager()
        one.start("-A", "127.0.0.1", env=manager.environment())
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        with contextlib.ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            told = stack.enter_context(manager.counting())
            for n in range(10500):
                peer = stack.enter_context(socket.socket())
                peer.bind((f"127.0.1.{n // 200}", 0))
                peer.connect(("127.0.0.1", one.port))
            Peer(one).options() # behind them all
            Peer(one, source="127.0.0.2").options()
        names = ":".join(told)
        done = subprocess.run(["true"], env={"PATH": os.environ["PATH"], "LISTEN_FDNAMES": names},
                              check=False)
        expect(done.returncode == 0 and len(told) > 1000, f"{len(told)} were left with it")


def connection_that_ended_meanwhile_is_given_up():
    with server() as one:
        manager = Manager()
        one.start("-A", "127.0.0.1", env=manager.environment())
        alice = Peer(one).bind()
        manager.look(lambda: len(manager.kept) == 1, "of the connection")
        one.end(signal.SIGKILL)
        alice.close()
        manager.start(one)
        manager.look(lambda: not manager.kept, "that it has ended")
        Peer(one).options()


# ---- NAT

def as_flow(peer, reg_id, instance="<urn:uuid:00000000-0000-1000-8000-000000000001>"):
    """Registers it as one of the flows of a phone (RFC 5626), and as one that knows GRUUs."""
    peer.contact += f';+sip.instance="{instance}";reg-id={reg_id}'
    for _ in range(3):
        peer.challenge = ""
        answer = peer.ask("REGISTER", f"sip:{DOMAIN}", "Supported: path, outbound, gruu")
        if answer.startswith("SIP/2.0 200 "):
            return answer
    raise Failure(f"REGISTER was answered {answer!r}")


def leave_first_flow(one, alice, first, second):
    """bob's phone has two flows, of which the first ends; in a call, too; and after the server was
    killed."""
    as_flow(second, 2)
    as_flow(first, 1)
    second.contact, first.contact = (peer.contact.split(";+")[0] for peer in (second, first))
    invite, answer = call(alice, first)
    first.close()
    alice.send(in_dialog(alice, "INFO", answer, invite))
    second.respond(second.expect("INFO "), "200 OK")
    alice.expect("SIP/2.0 200 ")
    second.send(in_dialog(second, "INFO", answer, invite, is_caller=False))
    alice.respond(alice.expect("INFO "), "200 OK")
    second.expect("SIP/2.0 200 ")
    alice.begin("INVITE", "sip:bob@lab.test", call="again")
    second.respond(second.expect("INVITE "), "486 Busy Here")
    second.expect("ACK ")
    alice.expect("SIP/2.0 486 ")
    one.end(signal.SIGKILL)
    one.start()
    alice = alice.again().bind()
    alice.send(in_dialog(alice, "BYE", answer, invite))
    second.respond(second.expect("BYE "), "200 OK")
    alice.expect("SIP/2.0 200 ")


def next_flow_is_used_when_the_stream_of_the_first_has_ended():
    with server() as one:
        one.start()
        leave_first_flow(one, Peer(one).bind(), Peer(one, "bob"), Peer(one, "bob", "udp"))


def flow_that_shows_no_life_is_closed():
    with server() as one:
        clock = Clock(one)
        one.start("-A", "127.0.0.1", env=clock.environment())
        flow, lively, plain = Peer(one, "bob"), Peer(one), Peer(one).bind()
        answer = as_flow(flow, 1)
        expect(header(answer, "Flow-Timer") == "120", f"Flow-Timer: {header(answer, 'Flow-Timer')}")
        as_flow(lively, 1)
        for ahead in 100, 181:
            clock.look()
            lively.send("\r\n\r\n")
            expect(lively.socket.recv(2) == b"\r\n", "the keep-alive has no answer")
            clock.set(ahead)
            clock.look()
        flow.expect_closed()
        lively.options()
        plain.options()


def gruu_reaches_one_phone():
    with server() as one:
        one.start()
        alice, bob, other = Peer(one).bind(), Peer(one, "bob"), Peer(one, "bob").bind()
        answer = as_flow(bob, 1)
        contact = next(value for value in headers(answer, "Contact") if "pub-gruu" in value)
        for kind in "pub-gruu", "temp-gruu":
            uri = re.search(f'{kind}="(.*?)"', contact)[1]
            alice.begin("MESSAGE", uri, call=kind)
            bob.respond(bob.expect("MESSAGE "), "200 OK")
            alice.expect("SIP/2.0 200 ")
        expect(not select.select([other.socket], [], [], 0)[0], "the other phone was asked")


def mapping_of_a_phone_behind_nat_is_kept_open():
    with server() as one:
        one.start()
        inside, outside = Peer(one, "bob", "udp"), Peer(one, "alice", "udp")
        inside.contact = "<sip:bob@192.168.1.9:5060>"
        for peer in inside, outside:
            peer.bind()
        inside.socket.settimeout(25 + PATIENCE)
        begin = time.monotonic()
        expect(inside.socket.recv(100) == b"\r\n\r\n", "not kept open by an empty line")
        expect(time.monotonic() - begin > 20, "kept open too busily")
        expect(not select.select([outside.socket], [], [], 0)[0], "the other phone is kept open")


# ---- settings

def busy_tcp_port_is_refused():
    with server() as one, socket.socket() as other:
        other.bind(("127.0.0.1", one.port))
        other.listen()
        status, said = one.refuse()
        expect(status == 1, f"exit status {status}")
        one_line(said, f"127.0.0.1:{one.port}/tcp is in use", "-P")


def port_is_free_again_at_once():
    with server() as one:
        for _ in range(3):
            one.start()
            peer = Peer(one)
            peer.options()
            one.end(signal.SIGKILL)


def transports_are_chosen():
    def config(names):
        return CONFIG.replace("<sipwitch>",
                              f"<sipwitch><stack><transport>{names}</transport></stack>")
    with server(config("udp")) as one:
        one.start()
        Peer(one, transport="udp").options()
        try:
            Peer(one)
        except ConnectionRefusedError:
            pass
        else:
            raise Failure("TCP is taken, though only udp is named")
    with server(config("TCP")) as one:
        one.start()
        bob, alice = Peer(one, "bob").bind(), Peer(one).bind()
        call(alice, bob)
    with server(config("udp, tcp")) as one:
        one.start()
        Peer(one).options()
        Peer(one, transport="udp").options()
    with server(config("sctp")) as one:
        status, said = one.refuse()
        expect(status == 2, f"exit status {status}")
        one_line(said, "sctp", "write udp, tcp, tls")


CHECKS = [answers_over_tcp_on_both_families, messages_come_in_any_pieces, largest_message_is_taken,
          keep_alives_are_answered, stun_is_answered_on_the_sip_port,
          broken_lengths_are_answered_and_end_the_connection,
          endless_headers_and_other_protocols_end_the_connection, slow_senders_are_reaped,
          one_address_has_its_share, thousands_of_connections_are_served,
          halves_of_messages_have_their_share_of_memory,
          who_does_not_read_is_closed, who_asks_without_reading_is_not_read_from,
          requests_go_down_the_phones_own_connection,
          response_finds_a_caller_whose_connection_is_gone, another_host_is_called_over_tcp,
          host_that_refuses_is_known_at_once,
          phone_that_is_gone_is_away_at_once_and_the_next_one_rings,
          phone_that_listens_is_called_back, phone_that_reconnected_goes_on_with_its_call,
          caller_that_reconnected_hears_the_answer,
          call_goes_on_after_kill_when_phones_reconnect,
          request_waits_for_a_phone_that_our_restart_cut_off,
          request_waits_no_longer_than_five_seconds, ringing_call_is_answered_after_kill,
          connections_outlive_a_run_with_a_service_manager,
          connections_that_no_next_run_could_be_told_of_are_not_left_with_the_manager,
          connection_that_ended_meanwhile_is_given_up,
          next_flow_is_used_when_the_stream_of_the_first_has_ended,
          flow_that_shows_no_life_is_closed, gruu_reaches_one_phone,
          mapping_of_a_phone_behind_nat_is_kept_open, busy_tcp_port_is_refused,
          port_is_free_again_at_once, transports_are_chosen]


def main():
    return run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
