#!/usr/bin/env python3
"""Requests of our users to hosts outside: by datagram or stream (RFC 3261 18.1.1), and while they wait.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import os
import re
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import server_test
import sip
from dialog_test import CONFIG, House
from sip import Attempt, Failure, Message, expect, unique

LONG = "x" * 1200 # a body with which the request no longer fits into 1300 bytes, forwarded


def fill(stack, listener):
    """Connects to a listener until it takes no more: from then on its host says nothing to whoever
    connects, as where a firewall drops that."""
    while True:
        one = stack.enter_context(socket.socket())
        one.settimeout(0.5)
        try:
            one.connect(listener.getsockname())
        except TimeoutError:
            return


class Host:
    """A SIP element outside, which listens for datagrams, and perhaps for streams."""

    def __init__(self, stack, takes_streams, is_blocked=False):
        self.datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.datagrams.bind(("127.0.0.5", 0))
        self.datagrams.settimeout(sip.PATIENCE)
        self.port = self.datagrams.getsockname()[1]
        self.listener = self.stream = None
        if takes_streams:
            self.listener = stack.enter_context(socket.socket())
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.5", self.port))
            self.listener.listen(0 if is_blocked else 8)
            self.listener.settimeout(sip.PATIENCE)
        if is_blocked:
            fill(stack, self.listener)
        self.stack = stack

    def uri(self):
        return f"sip:x@127.0.0.5:{self.port}"

    def take_datagram(self):
        data, self.peer = self.datagrams.recvfrom(65535)
        return Message(data.decode())

    def take_stream(self):
        """The next request by the stream that the server opens, or has opened."""
        if not self.stream:
            self.stream = self.stack.enter_context(self.listener.accept()[0])
            self.stream.settimeout(sip.PATIENCE)
        data = b""
        while b"\r\n\r\n" not in data or len(data) < self._whole(data):
            piece = self.stream.recv(65535)
            expect(piece, "the server closed the stream")
            data += piece
        return Message(data.decode())

    @staticmethod
    def _whole(data):
        head, _, _ = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\nContent-Length: *(\d+)", head)
        return len(head) + 4 + int(length[1])

    def answer(self, request, status):
        to = request.get("To")
        lines = [f"SIP/2.0 {status} Answer", *(f"Via: {via}" for via in request.all("Via")),
                 *(f"Record-Route: {route}" for route in request.all("Record-Route")),
                 f"From: {request.get('From')}", f"To: {to if ';tag=' in to else to + ';tag=out'}",
                 f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}",
                 f"Contact: <{self.uri()}>", "Content-Length: 0", "", ""]
        data = "\r\n".join(lines).encode()
        if self.stream:
            self.stream.sendall(data)
        else:
            self.datagrams.sendto(data, self.peer)


def say(alice, host, body):
    """alice's MESSAGE to the host, with a digest, on its way; its last CSeq and Call-ID."""
    call_id = unique("out")
    challenge = alice.ask(alice.request("MESSAGE", host.uri(), call_id=call_id, body=body))
    expect(challenge.status == 407, f"MESSAGE was answered {challenge.start}")
    text = alice.request("MESSAGE", host.uri(), alice.authorization(challenge, "MESSAGE", host.uri()),
                         call_id=call_id, cseq=2, body=body)
    alice.send(text)
    return text


def await_answer(alice, text, status):
    asked = Message(text)
    answer = alice.await_message(lambda m: m.status and m.get("CSeq") == asked.get("CSeq") and
                                 m.get("Call-ID") == asked.get("Call-ID"), "answer")
    expect(answer.status == status, f"{asked.method} was answered {answer.start}, not {status}")


def a_long_request_goes_by_a_stream(alice, stack):
    host = Host(stack, takes_streams=True)
    text = say(alice, host, LONG)
    request = host.take_stream()
    expect(request.body == LONG and request.get("Via").startswith("SIP/2.0/TCP "), request.text)
    host.answer(request, 200)
    await_answer(alice, text, 200)
    text = say(alice, host, LONG) # and the next by the same
    host.answer(host.take_stream(), 202)
    await_answer(alice, text, 202)


def a_short_request_goes_by_datagram(alice, stack):
    host = Host(stack, takes_streams=True)
    text = say(alice, host, "short")
    request = host.take_datagram()
    expect(request.get("Via").startswith("SIP/2.0/UDP "), request.text)
    host.answer(request, 200)
    await_answer(alice, text, 200)


def a_long_request_goes_by_datagram_where_nobody_takes_streams(alice, stack):
    host = Host(stack, takes_streams=False)
    text = say(alice, host, LONG)
    request = host.take_datagram()
    expect(request.body == LONG and request.get("Via").startswith("SIP/2.0/UDP "), request.text)
    host.answer(request, 200)
    await_answer(alice, text, 200)


def a_long_request_waits_two_seconds_for_a_stream(alice, stack):
    """Where nothing says that there is none; and the next does not wait."""
    host = Host(stack, takes_streams=True, is_blocked=True)
    for least, most in (1.5, 3.5), (0, 1):
        text = say(alice, host, LONG)
        begun = time.monotonic()
        request = host.take_datagram()
        took = time.monotonic() - begun
        expect(least <= took < most, f"it took {took:.1f} s")
        expect(request.body == LONG and request.get("Via").startswith("SIP/2.0/UDP "), request.text)
        host.answer(request, 200)
        await_answer(alice, text, 200)


def call(alice, host):
    """alice's side of a dialog that began by datagrams."""
    attempt = Attempt(alice, host.uri())
    host.answer(host.take_datagram(), 200)
    _, dialog = attempt.accepted()
    expect(host.take_datagram().method == "ACK", "no ACK came")
    return dialog


def ask_in_a_dialog(alice, host, take, transport):
    """Something long, which arrives so."""
    dialog = call(alice, host)
    text = dialog.write("INFO", body=LONG)
    alice.send(text)
    request = take()
    expect(request.body == LONG and request.get("Via").startswith(f"SIP/2.0/{transport} "), request.text)
    host.answer(request, 200)
    await_answer(alice, text, 200)


def a_long_request_in_a_dialog_goes_by_a_stream(alice, stack):
    host = Host(stack, takes_streams=True)
    ask_in_a_dialog(alice, host, host.take_stream, "TCP")


def a_long_request_in_a_dialog_goes_by_datagram_where_nobody_takes_streams(alice, stack):
    host = Host(stack, takes_streams=False)
    ask_in_a_dialog(alice, host, host.take_datagram, "UDP")


def a_host_where_nobody_listens_is_known_at_once(alice, stack):
    """The network says so (RFC 3261 18.4)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.5", 0))
        gone = f"sip:x@127.0.0.5:{free.getsockname()[1]}"
    begun = time.monotonic()
    answer = alice.prove("MESSAGE", gone)
    expect(answer.status == 500, f"MESSAGE was answered {answer.start}")
    took = time.monotonic() - begun
    expect(took < 3, f"it took {took:.1f} s")


def who_waits_is_told_100_after_three_and_a_half_seconds(alice, stack):
    """RFC 4320 4.1; of other provisional responses nothing is heard."""
    host = Host(stack, takes_streams=False)
    text = say(alice, host, "slow")
    begun = time.monotonic()
    request = host.take_datagram()
    host.answer(request, 180)
    await_answer(alice, text, 100)
    took = time.monotonic() - begun
    expect(took > 3.4, f"100 came after {took:.1f} s already")
    host.answer(request, 200)
    await_answer(alice, text, 200)


CHECKS = [
    a_long_request_goes_by_a_stream,
    a_short_request_goes_by_datagram,
    a_long_request_goes_by_datagram_where_nobody_takes_streams,
    a_long_request_waits_two_seconds_for_a_stream,
    a_long_request_in_a_dialog_goes_by_a_stream,
    a_long_request_in_a_dialog_goes_by_datagram_where_nobody_takes_streams,
    a_host_where_nobody_listens_is_known_at_once,
    who_waits_is_told_100_after_three_and_a_half_seconds,
]


@contextlib.contextmanager
def house():
    """A server with a phone of alice."""
    with server_test.server(CONFIG) as server, contextlib.ExitStack() as stack:
        server.start()
        yield House(server, stack, ["udp"]).phones[0], stack


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS, house, (Failure,)))
