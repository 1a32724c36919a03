#!/usr/bin/env python3
"""The real sipw by WebSocket (RFC 7118), plain and over TLS: handshakes, frames, limits, origins,
and phones in browsers that call others and are called.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True

import websocket
from config_test import Clock
import server_test
from server_test import CONFIG, PATIENCE, Failure, cpu_seconds, expect, one_line, run, until
from stream_test import (DOMAIN, Peer, call, digest, header, headers, in_dialog,
                         leave_first_flow)
from websocket import BINARY, CLOSE, PING, TEXT, Ended, Refused, WebSocket, frame

WS, WSS = 6, 7 # above the port of the others


def is_free(port):
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def server(config=CONFIG):
    """One whose ports for browsers are free too."""
    def found():
        port = server_test.free_port()
        return port if is_free(port + WS) and is_free(port + WSS) else None
    return server_test.server(config, until(found, "port with free ports above it"))


class Browser(Peer):
    """A phone in a browser: it knows nothing of addresses."""

    def __init__(self, one, user="alice", secure=False, name=None, **how):
        self.one, self.user, self.transport = one, user, "wss" if secure else "ws"
        self.secure, self.how = secure, how
        self.server = ("127.0.0.1", one.port + (WSS if secure else WS))
        self.challenge, self.count = "", 0
        self.web = WebSocket(self.server, PATIENCE, secure=secure, **how)
        self.port = self.web.socket.getsockname()[1]
        self.host = f"{name or f'{user}{self.port}'}.invalid"
        self.contact = f"<sip:{user}@{self.host};transport=ws>"
        self.sent_by = self.host

    @property
    def socket(self):
        return self.web.socket

    def again(self):
        other = Browser(self.one, self.user, self.secure, **self.how)
        other.contact = self.contact
        return other

    def send(self, text):
        self.web.send(text if isinstance(text, bytes) else text.encode())

    def receive(self, patience=PATIENCE):
        self.web.socket.settimeout(patience)
        try:
            return self.web.receive().decode()
        except Ended:
            return ""

    def expect_close(self, code):
        try:
            got = self.web.receive()
        except Ended as ended:
            expect(ended.code == code, f"closed with {ended.code}, not {code}")
            return
        raise Failure(f"{got!r} came instead of a close")


def refusal(one, *more, port=WS, **how):
    """What the server answers a handshake that it does not take."""
    try:
        WebSocket(("127.0.0.1", one.port + port), PATIENCE, *more, **how)
    except Refused as refused:
        return refused
    raise Failure("the handshake was taken")


def with_stack(lines):
    return CONFIG.replace("<sipwitch>", f"<sipwitch><stack>{lines}</stack>")


# ---- handshakes

def browsers_are_let_in_plain_and_by_tls():
    with server() as one:
        one.start("-A", "127.0.0.1 ::1")
        for secure in False, True:
            answer = Browser(one, secure=secure).options()
            expect(f"SIP/2.0/WS{'S' if secure else ''} " in header(answer, "Via"), answer)
        WebSocket(("::1", one.port + WS), PATIENCE)
        WebSocket(("127.0.0.1", one.port + WS), PATIENCE, path="/ws")


def bad_handshakes_are_answered():
    with server() as one:
        one.start()
        for status, how in [
                (400, {"without": ["Host"]}), (400, {"without": ["Sec-WebSocket-Key"]}),
                (400, {"without": ["Sec-WebSocket-Protocol"]}), (400, {"key": "short"}),
                (400, {"version": "HTTP/1.0"}), (404, {"path": "/admin"}),
                (405, {"method": "POST"}), (426, {"without": ["Upgrade"]}),
                (426, {"without": ["Connection"]}), (426, {"without": ["Sec-WebSocket-Version"]})]:
            got = refusal(one, **how)
            expect(got.status == status, f"{how} was answered {got}, not {status}")
        expect("\r\nAllow: GET\r\n" in refusal(one, method="PUT").answer, "405 without Allow")
        answer = refusal(one, without=["Sec-WebSocket-Version"]).answer
        expect("\r\nSec-WebSocket-Version: 13\r\n" in answer, answer)
        refused = refusal(one, "X: " + "x" * 9000)
        expect(refused.status == 431, f"a long head was answered {refused}")
        Browser(one).options()


def refused_connections_end():
    with server() as one:
        one.start()
        with socket.create_connection(("127.0.0.1", one.port + WS), PATIENCE) as peer:
            peer.sendall(b"OPTIONS sip:lab.test SIP/2.0\r\n\r\n")
            said = b""
            while piece := peer.recv(4096):
                said += piece
            expect(said.startswith(b"HTTP/1.1 400 "), said)


def slow_handshakes_are_taken_and_reaped():
    with server() as one:
        clock = Clock(one)
        one.start("-A", "127.0.0.1", env=clock.environment())
        request, _ = websocket.handshake("127.0.0.1")
        slow, slower, silent = (socket.create_connection(("127.0.0.1", one.port + WS), PATIENCE)
                                for _ in range(3))
        quiet = WebSocket(("127.0.0.1", one.port + WS), PATIENCE)
        for n in range(0, len(request), 20):
            slow.sendall(request[n:n + 20])
        expect(slow.recv(4096).startswith(b"HTTP/1.1 101 "), "a handshake in pieces was refused")
        slower.sendall(request[:100])
        clock.look()
        clock.set(33)
        clock.look()
        for peer in slower, silent, quiet.socket:
            expect(peer.recv(100) == b"", "who says nothing is kept")


def silent_browsers_are_asked_whether_they_are_there():
    with server() as one:
        clock = Clock(one)
        one.start("-A", "127.0.0.1", env=clock.environment())
        browser = Browser(one)
        for ahead in 31, 62, 93:
            browser.options()
            clock.set(ahead - 10)
            clock.look()
            clock.set(ahead)
            clock.look()
            opcode, payload = browser.web.next_frame()
            expect(opcode == PING and not payload, f"{opcode} {payload} came instead of a ping")
            browser.socket.sendall(frame(websocket.PONG))
        browser.options()


def pages_from_elsewhere_are_refused():
    with server() as one:
        one.start()
        for origin in "https://lab.test", "https://www.lab.test:8443", "http://localhost:3000", \
                "http://127.0.0.1":
            page(one, origin).options()
        for origin in "https://evil.test", "https://lab.test.evil.test", "https://evillab.test", \
                "null":
            refused = refusal(one, f"Origin: {origin}")
            expect(refused.status == 403, f"{origin} was answered {refused}")
        one_line(one.await_line("origins"), "https://evil.test", "<origins>")


def page(one, origin):
    """A phone in a page from there."""
    browser = Browser(one)
    browser.web.close()
    browser.web = WebSocket(browser.server, PATIENCE, f"Origin: {origin}")
    return browser


def origins_are_a_setting_that_reloads():
    with server(with_stack("<origins>https://phone.example other.example</origins>")) as one:
        one.start()
        page(one, "https://phone.example").options()
        page(one, "http://other.example:8080").options()
        expect(refusal(one, "Origin: https://evil.test").status == 403, "evil.test was let in")
        expect(refusal(one, "Origin: http://phone.example").status == 403,
               "another scheme was let in")
        with open(one.config, "w", encoding="utf-8") as file:
            file.write(with_stack("<origins>*</origins>"))
        one.process.send_signal(signal.SIGHUP)
        one.await_line("the new configuration is in force")
        page(one, "https://evil.test").options()


# ---- frames

def messages_come_in_fragments_with_pings_between():
    with server() as one:
        one.start()
        browser = Browser(one)
        request = browser.request("OPTIONS", f"sip:{DOMAIN}").encode()
        browser.socket.sendall(frame(TEXT, request[:10], final=False) + frame(PING, b"there?") +
                               frame(0, b"", final=False) + frame(0, request[10:200], final=False))
        browser.socket.sendall(frame(0, request[200:]))
        browser.expect("SIP/2.0 200 ")
        expect(browser.web.pongs == [b"there?"], f"pongs {browser.web.pongs}")
        for byte in frame(BINARY, browser.request("OPTIONS", f"sip:{DOMAIN}").encode()):
            browser.socket.sendall(bytes([byte]))
        browser.expect("SIP/2.0 200 ")
        many = b"".join(frame(TEXT, browser.request("OPTIONS", f"sip:{DOMAIN}").encode())
                        for _ in range(50))
        browser.socket.sendall(many)
        for _ in range(50):
            browser.expect("SIP/2.0 200 ")


def content_length_is_not_needed():
    with server() as one:
        one.start()
        browser = Browser(one)
        request = browser.request("OPTIONS", f"sip:{DOMAIN}")
        browser.send(request.replace("Content-Length: 0\r\n", ""))
        browser.expect("SIP/2.0 200 ")


def keep_alives_are_answered():
    with server() as one:
        one.start()
        browser = Browser(one)
        for _ in range(3):
            browser.send("\r\n\r\n")
            expect(browser.web.receive() == b"\r\n", "the keep-alive has no answer")
        browser.send("\r\n")
        browser.options()


def what_breaks_the_protocol_closes_it():
    with server() as one:
        one.start()
        for code, octets in [
                (1002, frame(TEXT, b"not masked", mask=None)), (1002, frame(0, b"goes on")),
                (1002, frame(TEXT, first=0xc1)), (1002, frame(3)),
                (1002, frame(PING, b"x" * 126)), (1002, frame(PING, final=False)),
                (1007, frame(TEXT, b"\xff\xfe")), (1009, frame(TEXT, b"x" * 65536)),
                (1009, frame(TEXT, b"x" * 60000, final=False) + frame(0, b"x" * 6000)),
                (1008, frame(TEXT, b"this is no SIP")), (1000, frame(CLOSE, b"\x03\xe8")),
                (1005, frame(CLOSE))]:
            browser = Browser(one)
            browser.socket.sendall(octets)
            browser.expect_close(code)
        Browser(one).options()


def huge_frames_are_refused_at_once():
    with server() as one:
        one.start()
        browser = Browser(one)
        browser.socket.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"mask")
        browser.expect_close(1009)


def largest_message_is_taken():
    with server() as one:
        one.start()
        browser = Browser(one)
        browser.send(browser.request("OPTIONS", f"sip:{DOMAIN}", body="x" * 64000))
        browser.expect("SIP/2.0 200 ")
        request = browser.request("OPTIONS", f"sip:{DOMAIN}", body="y" * 64000).encode()
        for n in range(0, len(request), 1000):
            browser.socket.sendall(frame(0 if n else TEXT, request[n:n + 1000],
                                         final=n + 1000 >= len(request)))
        browser.expect("SIP/2.0 200 ")


def ping_floods_cost_little():
    with server() as one:
        one.start()
        flooder, other = Browser(one), Browser(one)
        before = cpu_seconds(one.process.pid)
        flood = frame(PING, b"x") * 10000
        for _ in range(20):
            flooder.socket.sendall(flood)
            other.options()
        flooder.options()
        pongs = len(flooder.web.pongs)
        expect(1 <= pongs < 20000, f"{pongs} pongs for 200,000 pings")
        spent = cpu_seconds(one.process.pid) - before
        expect(spent < 2, f"{spent} s were spent on pings")


def who_does_not_read_is_closed():
    with server() as one:
        one.start()
        deaf = Browser(one, "bob", receive_buffer=4096).bind()
        alice = Peer(one).bind()
        body = "x" * 30000
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            answer = ""
            alice.begin("MESSAGE", "sip:bob@lab.test", body=body)
            alice.socket.settimeout(0.2)
            try:
                answer = alice.receive(0.2)
            except TimeoutError:
                continue
            if answer.startswith("SIP/2.0 480 "):
                break
        else:
            raise Failure("what nobody reads is queued for ever")
        deaf.close()
        Peer(one).options()


def one_address_has_its_share():
    with server() as one:
        one.start()
        many = [Browser(one) for _ in range(256)]
        try:
            WebSocket(many[0].server, PATIENCE)
        except (Refused, Ended, ConnectionError):
            pass
        else:
            raise Failure("the 257th connection of an address was taken")
        many[255].options()
        WebSocket(many[0].server, PATIENCE, source="127.0.0.2")


# ---- phones

def browsers_call_each_other(secure=False):
    with server() as one:
        one.start()
        alice, bob = Browser(one, secure=secure).bind(), Browser(one, "bob", secure=secure).bind()
        invite, answer = call(alice, bob)
        expect(header(invite, "Via").startswith(f"SIP/2.0/WS{'S' if secure else ''} 127.0.0.1:"),
               f"the topmost Via is {header(invite, 'Via')}")
        expect(invite.startswith(f"INVITE sip:bob@{bob.host};transport=ws SIP/2.0"), invite)
        route, = headers(invite, "Record-Route")
        expect(";transport=ws;lr>" in route, f"the route is {route}")
        bob.send(in_dialog(bob, "BYE", answer, invite, is_caller=False))
        bye = alice.expect("BYE ")
        alice.respond(bye, "200 OK")
        bob.expect("SIP/2.0 200 ")


def secure_browsers_call_each_other():
    browsers_call_each_other(secure=True)


def browser_and_telephone_call_each_other():
    with server() as one:
        one.start()
        browser, phone = Browser(one).bind(), Peer(one, "bob", transport="udp").bind()
        for caller, callee in (browser, phone), (phone, browser):
            invite, answer = call(caller, callee, f"sip:{callee.user}@lab.test")
            routes = headers(invite, "Record-Route")
            expect(len(routes) == 2, f"{len(routes)} Record-Routes between two transports")
            expect((";transport=ws;" in routes[0]) == (callee is browser) and
                   (";transport=ws;" in routes[1]) == (caller is browser), f"routes {routes}")
            for sender, other, is_caller in (callee, caller, False), (caller, callee, True):
                sender.send(in_dialog(sender, "INFO", answer, invite, is_caller))
                other.respond(other.expect("INFO "), "200 OK")
                sender.expect("SIP/2.0 200 ")
            caller.send(in_dialog(caller, "BYE", answer, invite))
            callee.respond(callee.expect("BYE "), "200 OK")
            caller.expect("SIP/2.0 200 ")


def large_invites_reach_telephones():
    with server() as one:
        one.start()
        browser, phone = Browser(one).bind(), Peer(one, "bob", transport="udp").bind()
        browser.begin("INVITE", "sip:bob@lab.test", body="v=0\r\n" + "a=candidate:x\r\n" * 300)
        invite = phone.expect("INVITE ")
        expect(invite.count("a=candidate") == 300, "the body has shrunk")
        phone.respond(invite, "486 Busy Here")
        browser.expect("SIP/2.0 486 ")


def bytes_that_are_no_text_come_as_binary():
    with server() as one:
        one.start()
        browser, phone = Browser(one).bind(), Peer(one, "bob", transport="udp").bind()
        phone.begin("MESSAGE", "sip:alice@lab.test", body="plain")
        opcode, first = browser.web.next_frame()
        expect(opcode == TEXT and first.endswith(b"plain"), f"text came as {opcode}")
        browser.respond(first.decode(), "200 OK")
        phone.expect("SIP/2.0 200 ")
        request = phone.request("MESSAGE", "sip:alice@lab.test", body="????").encode()
        phone.count += 1
        request = request.replace(b"Max-Forwards", proof(phone).encode() + b"\r\nMax-Forwards")
        phone.send(request.replace(b"????", b"\xff\xfe\x00\x01"))
        opcode, second = browser.web.next_frame()
        expect(opcode == BINARY and second.endswith(b"\xff\xfe\x00\x01"), f"bytes came as {opcode}")


def proof(phone):
    return "Proxy-Authorization: " + digest(phone.user, phone.challenge, "MESSAGE",
                                            "sip:alice@lab.test", phone.count)


def browser_that_is_gone_is_away_at_once():
    with server() as one:
        one.start()
        alice, bob = Peer(one).bind(), Browser(one, "bob").bind()
        bob.web.close()

        def is_away():
            answer = alice.ask("MESSAGE", "sip:bob@lab.test")
            return answer.startswith("SIP/2.0 480 ")
        until(is_away, "480 for a browser that is gone")


def browser_that_reconnected_goes_on_with_its_call():
    with server() as one:
        one.start()
        alice, bob = Peer(one, transport="udp").bind(), Browser(one, "bob").bind()
        invite, answer = call(alice, bob)
        bob.web.close()
        bob = bob.again()
        bob.send(in_dialog(bob, "INFO", answer, invite, is_caller=False)) # before it is bound
        alice.respond(alice.expect("INFO "), "200 OK")
        bob.expect("SIP/2.0 200 ")
        bob.bind()
        alice.send(in_dialog(alice, "BYE", answer, invite))
        bob.respond(bob.expect("BYE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


def next_flow_is_used_when_the_page_of_the_first_is_closed():
    with server() as one:
        one.start()
        leave_first_flow(one, Browser(one).bind(), Browser(one, "bob"), Peer(one, "bob", "udp"))


def caller_that_reconnected_hears_the_answer():
    with server() as one:
        one.start()
        alice, bob = Browser(one).bind(), Peer(one, "bob", transport="udp").bind()
        alice.begin("INVITE", "sip:bob@lab.test")
        invite = bob.expect("INVITE ")
        bob.respond(invite, "180 Ringing")
        while not alice.receive().startswith("SIP/2.0 180 "):
            pass
        alice.web.close()
        alice = alice.again().bind()
        bob.respond(invite, "200 OK")
        answer = alice.expect("SIP/2.0 200 ")
        alice.send(in_dialog(alice, "ACK", answer, invite))
        bob.expect("ACK ")


def call_goes_on_after_kill_when_browsers_reconnect():
    with server() as one:
        one.start()
        alice, bob = Browser(one).bind(), Browser(one, "bob").bind()
        invite, answer = call(alice, bob)
        one.end(signal.SIGKILL)
        one.start()
        alice, bob = alice.again().bind(), bob.again().bind()
        alice.send(in_dialog(alice, "BYE", answer, invite))
        bob.respond(bob.expect("BYE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


# ---- ports

def ports_are_a_setting():
    with server(with_stack("<transport>udp ws</transport>")) as one:
        one.start()
        Browser(one).options()
        for refused in one.port, one.port + WSS:
            with socket.socket() as probe:
                expect(probe.connect_ex(("127.0.0.1", refused)) != 0, f"{refused} is listened on")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with server(with_stack(f"<ws-port>{port}</ws-port>")) as one:
        one.start()
        WebSocket(("127.0.0.1", port), PATIENCE)


def port_that_is_taken_is_done_without_unless_it_was_asked_for():
    with server() as one, socket.socket() as taken:
        taken.bind(("127.0.0.1", one.port + WS))
        taken.listen()
        one.start()
        one_line(one.await_line("ws is in use"), f"{one.port + WS}", "ws-port")
        Browser(one, secure=True).options()
        one.end()
        with open(one.config, "w", encoding="utf-8") as file:
            file.write(with_stack(f"<ws-port>{one.port + WS}</ws-port>"))
        status, said = one.refuse()
        expect(status == 1, f"exit status {status}")
        one_line(said, f"{one.port + WS}", "ws-port in <stack>")


CHECKS = [browsers_are_let_in_plain_and_by_tls, bad_handshakes_are_answered,
          refused_connections_end, slow_handshakes_are_taken_and_reaped,
          silent_browsers_are_asked_whether_they_are_there,
          pages_from_elsewhere_are_refused, origins_are_a_setting_that_reloads,
          messages_come_in_fragments_with_pings_between, content_length_is_not_needed,
          keep_alives_are_answered, what_breaks_the_protocol_closes_it,
          huge_frames_are_refused_at_once, largest_message_is_taken, ping_floods_cost_little,
          who_does_not_read_is_closed, one_address_has_its_share, browsers_call_each_other,
          secure_browsers_call_each_other, browser_and_telephone_call_each_other,
          large_invites_reach_telephones, bytes_that_are_no_text_come_as_binary,
          browser_that_is_gone_is_away_at_once, browser_that_reconnected_goes_on_with_its_call,
          next_flow_is_used_when_the_page_of_the_first_is_closed,
          caller_that_reconnected_hears_the_answer,
          call_goes_on_after_kill_when_browsers_reconnect, ports_are_a_setting,
          port_that_is_taken_is_done_without_unless_it_was_asked_for]


def main():
    return run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
