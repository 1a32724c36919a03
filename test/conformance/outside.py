"""Hosts outside, which no binding names: by datagram or stream (RFC 3261 18.1.1)."""

import copy
import socket

from message import Message, expect, unique
from rules import deviates, rule, status_is
from sip import FREEBIND, PATIENCE

DATAGRAM_LIMIT = 1300 # bytes of a request, where the path's MTU is not known


class Element:
    """A SIP element outside, which takes datagrams, and perhaps streams, at the same port."""

    def __init__(self, t, takes_streams=True):
        self.trial = t
        self.datagrams = t.stranger(transport="udp")
        self.stream = self.listener = None
        if takes_streams:
            self.listener = t.keep(socket.socket(self.datagrams.socket.family))
            if t.server.family == 6:
                self.listener.setsockopt(socket.IPPROTO_IPV6, FREEBIND, 1)
            self.listener.bind((self.datagrams.host.strip("[]"), self.datagrams.port))
            self.listener.listen()
            self.listener.settimeout(PATIENCE)

    def uri(self):
        return f"sip:x@{self.datagrams.host}:{self.datagrams.port}"

    def by_stream(self):
        """Where requests come by the stream that the server opened, which is the next one."""
        if not self.stream:
            self.stream = copy.copy(self.datagrams)
            self.stream.transport, self.stream.waiting = "tcp", []
            self.stream.socket = self.trial.keep(self.listener.accept()[0])
        return self.stream


def say(phone, element, body):
    """A MESSAGE to there with a proof, on its way; how to wait for its answer."""
    uri, call_id = element.uri(), unique("out")
    challenge = phone.ask(phone.request("MESSAGE", uri, call_id=call_id, body=body))
    status_is(challenge, 407)
    proof = phone.authorization(challenge, "MESSAGE", uri)
    text = phone.request("MESSAGE", uri, proof, call_id=call_id, cseq=2, body=body)
    phone.send(text)
    branch = Message(text).branch()
    return lambda status: status_is(phone.await_message(
        lambda m: m.status >= 200 and m.branch() == branch, "answer to MESSAGE"), status)


def comes_by(transport, request, body):
    expect(request.body == body, "the body changed")
    via = request.list("Via")[0]
    expect(via.startswith(f"SIP/2.0/{transport} "), f"by {transport} came Via: {via}")


@rule("RFC 3261 18.1.1: a request too long for a datagram goes by a stream")
def long_request_goes_outside_by_a_stream(t):
    phone, element, body = t.bound(), Element(t), "x" * DATAGRAM_LIMIT
    for status in 200, 202: # the second by the same
        answered = say(phone, element, body)
        request = element.by_stream().await_request("MESSAGE")
        comes_by("TCP", request, body)
        element.stream.answer(request, status)
        answered(status)


@rule("RFC 3261 18.1.1, 18.1.2: and one that is not by a datagram")
def short_request_goes_outside_by_a_datagram(t):
    phone, element = t.bound(), Element(t)
    answered = say(phone, element, "short")
    request = element.datagrams.await_request("MESSAGE")
    comes_by("UDP", request, "short")
    element.datagrams.answer(request, 200)
    answered(200)


@rule("RFC 3261 18.1.1: by a datagram all the same, where no stream is taken",
      deviates("got no MESSAGE", "gives up where its connection is refused"))
def long_request_goes_by_a_datagram_where_no_stream_is_taken(t):
    phone, element, body = t.bound(), Element(t, takes_streams=False), "x" * DATAGRAM_LIMIT
    answered = say(phone, element, body)
    request = element.datagrams.await_request("MESSAGE")
    comes_by("UDP", request, body)
    element.datagrams.answer(request, 200)
    answered(200)


@rule("RFC 3261 18.1.1: the limit is that of the request as it is sent")
def limit_of_datagrams_is_that_of_what_is_sent(t):
    phone, element = t.bound(), Element(t)
    answered = say(phone, element, "x" * 100)
    request = element.datagrams.await_request("MESSAGE")
    element.datagrams.answer(request, 200)
    answered(200)
    room = DATAGRAM_LIMIT - (len(request.text) - 100)
    for length, way in (room - 5, "datagrams"), (room + 5, "stream"):
        answered = say(phone, element, "x" * length)
        at = element.datagrams if way == "datagrams" else element.by_stream()
        request = at.await_request("MESSAGE")
        expect((len(request.text) <= DATAGRAM_LIMIT) == (way == "datagrams"),
               f"{len(request.text)} bytes came by {way}")
        at.answer(request, 200)
        answered(200)
