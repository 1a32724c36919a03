"""Where a message begins and ends (RFC 3261 7.5, 18.3, 20.14; RFC 5626 4.4)."""

import socket
import struct
import time

from message import Closed, expect, is_response, unique
from rules import deviates, rule, status_is
from sip import PATIENCE

def options(phone, *fields, body=""):
    return phone.request("OPTIONS", f"sip:{phone.server.domain}", *fields, body=body)


def answered(phone, count):
    """So many OPTIONS get their answers."""
    for _ in range(count):
        status_is(phone.await_message(is_response("OPTIONS"), "answer to OPTIONS"), 200)


def bytes_of(phone, count):
    """The next bytes, whatever they are."""
    data = b""
    while len(data) < count:
        piece = phone.socket.recv(count - len(data))
        expect(piece, "the server closed the connection")
        data += piece
    return data


# ---- streams

@rule("RFC 3261 18.3", transports=("tcp",))
def several_messages_in_one_segment_are_told_apart(t):
    phone = t.stranger()
    phone.send("".join(options(phone, body="x" * n) for n in range(5)))
    answered(phone, 5)


@rule("RFC 3261 18.3", transports=("tcp",))
def message_comes_byte_by_byte(t):
    phone = t.stranger()
    phone.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in options(phone, body="body").encode() * 2:
        phone.send(bytes([byte]))
    answered(phone, 2)


@rule("RFC 3261 18.3", transports=("tcp",))
def message_is_cut_anywhere(t):
    phone = t.stranger()
    text = options(phone, body="\r\n\r\nOPTIONS x SIP/2.0\r\n\r\n") + options(phone)
    phone.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(1, len(text), 37):
        phone.send(text[:at])
        phone.send(text[at:])
        answered(phone, 2)


@rule("RFC 3261 7.5: CRLFs before a start line", transports=("tcp",))
def blank_lines_before_a_message_are_skipped(t):
    phone = t.stranger()
    for blank in "\r\n", "\r\n\r\n\r\n":
        phone.send(blank + options(phone))
        answered(phone, 1)


@rule("RFC 5626 4.4.1", transports=("tcp",))
def ping_is_answered_by_pong(t):
    phone = t.stranger()
    for _ in range(3):
        phone.send("\r\n\r\n")
        expect(bytes_of(phone, 2) == b"\r\n", "it is no CRLF")
    phone.ping()


@rule("RFC 3261 18.3, 20.14", transports=("tcp",))
def length_in_compact_form_counts(t):
    phone = t.stranger()
    for name in "l", "L", "content-length", "CONTENT-LENGTH ", "Content-Length\t":
        phone.send(options(phone, body="12345").replace("Content-Length:", f"{name}:") * 2)
        answered(phone, 2)


def broken(t, *fields):
    """A message whose length nobody can tell is refused, and nothing after it is read."""
    for field in fields:
        phone = t.stranger()
        smuggled = phone.request("OPTIONS", f"sip:{t.server.domain}", branch="z9hG4bKsmuggled")
        phone.send(options(phone).replace("Content-Length: 0\r\n", field) + smuggled)
        came = phone.await_closed()
        expect(all(one.status in (400, 413, 513) for one in came),
               f"{field!r} was answered {[one.start for one in came]}")
        expect(all(one.branch() != "z9hG4bKsmuggled" for one in came), f"{field!r}: it was read on")


@rule("RFC 3261 18.3: required on streams", transports=("tcp",))
def missing_length_ends_the_connection(t):
    broken(t, "")


@rule("no smuggling: which of the lengths counts?",
      deviates("", "takes the last"), transports=("tcp",))
def conflicting_lengths_end_the_connection(t):
    broken(t, "Content-Length: 0\r\nContent-Length: 30\r\n",
           "Content-Length: 30\r\nContent-Length: 0\r\n", "l: 0\r\nContent-Length: 30\r\n")


@rule("no smuggling: another may count the other, or all",
      deviates("", "takes the last"), transports=("tcp",))
def repeated_lengths_end_the_connection(t):
    broken(t, "Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length: 0\r\nl: 00\r\n")


@rule("RFC 3261 25.1: 1*DIGIT", deviates("", "reads what digits there are"), transports=("tcp",))
def length_that_is_no_number_ends_the_connection(t):
    broken(t, "Content-Length: -1\r\n", "Content-Length: +0\r\n", "Content-Length: 0x10\r\n",
           "Content-Length: 0, 0\r\n", "Content-Length: 0 0\r\n", "Content-Length:\r\n")


@rule("no overflow: a length is bounded",
      deviates("still open", "waits for what a length means that it cut off"),
      transports=("tcp",))
def huge_length_ends_the_connection(t):
    broken(t, "Content-Length: 99999999\r\n", "Content-Length: 4294967296\r\n",
           "Content-Length: 4294967328\r\n", "Content-Length: 18446744073709551616\r\n")


@rule("a message that cannot be delimited is answered before the end",
      deviates("was not answered", "closes without a word"), transports=("tcp",))
def sender_of_a_broken_length_is_told(t):
    for field in "", "Content-Length: -1\r\n", "Content-Length: 4294967296\r\n":
        phone = t.stranger()
        phone.send(options(phone).replace("Content-Length: 0\r\n", field))
        came = phone.await_closed()
        expect(len(came) == 1 and came[0].status in (400, 513), f"{field!r} was not answered")


@rule("another protocol is no SIP", transports=("tcp",))
def other_protocols_end_the_connection(t):
    for text in ("GET / HTTP/1.1\r\nHost: conf.test\r\n\r\n", "EHLO x\r\n\r\n",
                 "SSH-2.0-x\r\n\r\n", "\x16\x03\x01" + "\0" * 300000):
        phone = t.stranger()
        try:
            phone.send(text)
        except ConnectionError:
            continue
        phone.await_closed()


@rule("endless headers end the connection", transports=("tcp",))
def endless_headers_end_the_connection(t):
    phone = t.stranger()
    try:
        phone.send(options(phone)[:-4] + "\r\nX: " + "y" * 200000)
        came = phone.await_closed()
    except ConnectionError:
        return
    expect(all(one.status >= 400 for one in came), f"answered {[one.start for one in came]}")


SLOW = deviates("still open", "waits as long as for the next message")


@rule("no slow senders: a message is whole within 32 s", SLOW, transports=("tcp",), is_long=True)
def partial_message_ends_the_connection(t):
    phone = t.stranger()
    phone.ping()
    phone.send(options(phone)[:60])
    began = time.monotonic()
    phone.await_closed(45)
    took = time.monotonic() - began
    expect(took > 25, f"it was closed after {took:.0f} s")


@rule("no slow senders: a byte now and then makes it no better", SLOW, transports=("tcp",),
      is_long=True)
def dripping_message_ends_the_connection(t):
    phone = t.stranger()
    end = time.monotonic() + 45
    for byte in options(phone, f"X: {'x' * 1000}").encode():
        expect(time.monotonic() < end, "the connection is still open")
        try:
            phone.send(bytes([byte]))
            expect(not phone.receive(0.5), "it was answered")
        except (Closed, ConnectionError):
            return


@rule("a broken connection hurts nobody else", transports=("tcp",))
def other_connections_go_on(t):
    callee, phone = t.bound(), t.stranger()
    phone.send("INVITE sip:x SIP/2.0\r\nContent-Length: -5\r\n\r\n")
    phone.close()
    other = t.stranger()
    other.send(other.request("MESSAGE", callee.aor()))
    callee.take("MESSAGE", 200)
    status_is(other.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 18.3: a body of any bytes", transports=("tcp", "udp"))
def body_of_any_bytes_passes(t):
    sender, callee = t.stranger(), t.bound()
    body = "".join(chr(n) for n in range(128)) + "\u00e4\u20ac"
    sender.send(sender.request("MESSAGE", callee.aor(), body=body))
    expect(callee.take("MESSAGE", 200).body == body, "the body changed")
    status_is(sender.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 18.1.1: large messages", transports=("tcp", "udp"))
def large_message_passes(t):
    sender, callee = t.stranger(), t.bound()
    body = "x" * 30000
    sender.send(sender.request("MESSAGE", callee.aor(), body=body))
    expect(callee.take("MESSAGE", 200).body == body, "the body changed")
    status_is(sender.await_message(lambda m: m.status, "answer"), 200)


# ---- datagrams

@rule("RFC 3261 18.3",
      deviates("got no MESSAGE", "drops what is longer than it says: sanity's own rule"),
      transports=("udp",))
def bytes_after_the_body_are_dropped(t):
    sender, callee = t.stranger(), t.bound()
    text = sender.request("MESSAGE", callee.aor(), body="body")
    sender.send(text + "more" + options(sender))
    expect(callee.take("MESSAGE", 200).body == "body", "the body changed")
    sender.has_nothing(is_response("OPTIONS"), "what was behind it was answered", [callee])


@rule("RFC 3261 18.3", deviates("got no answer", "drops it"), transports=("udp",))
def length_beyond_the_datagram_is_400(t):
    sender, callee = t.stranger(), t.bound()
    for value in "10", "99999", "4294967296":
        text = sender.request("MESSAGE", callee.aor()).replace("Content-Length: 0",
                                                               f"Content-Length: {value}")
        sender.send(text)
        callee.has_nothing(lambda m: m.method, "it was passed on", [sender])
        status_is(sender.await_message(is_response("MESSAGE"), "answer"), 400, 413, 513)


@rule("RFC 3261 18.3: a datagram needs no length", transports=("udp",))
def missing_length_means_to_the_end(t):
    sender, callee = t.stranger(), t.bound()
    text = sender.request("MESSAGE", callee.aor(), body="body").replace("Content-Length: 4\r\n", "")
    sender.send(text)
    expect(callee.take("MESSAGE", 200).body == "body", "the body changed")
    status_is(sender.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 25.1: 1*DIGIT", deviates("got no answer", "drops it"), transports=("udp",))
def length_that_is_no_number_is_400(t):
    sender, callee = t.stranger(), t.bound()
    for value in "-1", "+0", "0x0", "0, 0", "":
        text = sender.request("MESSAGE", callee.aor()).replace("Content-Length: 0",
                                                               f"Content-Length: {value}")
        sender.send(text)
        callee.has_nothing(lambda m: m.method, "it was passed on", [sender])
        status_is(sender.await_message(is_response("MESSAGE"), "answer"), 400)


@rule("no smuggling: which of the lengths counts?",
      deviates("got no answer", "takes the last, and drops what is longer"), transports=("udp",))
def conflicting_lengths_are_400(t):
    for second in 2, 4:
        sender, callee = t.stranger(), t.bound()
        text = sender.request("MESSAGE", callee.aor(), "Content-Length: 4").replace(
            "Content-Length: 0\r\n\r\n", f"l: {second}\r\n\r\nbody")
        sender.send(text)
        callee.has_nothing(lambda m: m.method, "it was passed on", [sender])
        status_is(sender.await_message(is_response("MESSAGE"), "answer"), 400)


@rule("a datagram that is cut off is dropped or refused", transports=("udp",))
def truncated_datagrams_do_no_harm(t):
    sender, callee = t.stranger(), t.bound()
    text = sender.request("MESSAGE", callee.aor(), body="body")
    for end in range(0, len(text) - 4, 7):
        sender.send(text[:end])
    callee.has_nothing(lambda m: m.method, "it was passed on", [sender])


@rule("junk is dropped", transports=("udp",))
def junk_is_dropped(t):
    sender = t.stranger()
    for data in (b"", b"\0", b"\r\n", b"\r\n\r\n", b"\r\n" * 700, bytes(range(256)), b"\xff" * 1400,
                 b"SIP/2.0", b"SIP/2.0 200 OK\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                 b"INVITE\r\n\r\n", b"INVITE sip:x SIP/2.0\r\n\r\n", b": \r\n\r\n",
                 b"A sip:x@y SIP/2.0\r\nVia\r\nVia:\r\nVia: ;;;\r\n\r\n"):
        sender.send(data)
    sender.has_nothing(lambda m: m.status, "it was answered")


@rule("RFC 5389 10, RFC 5626 4.4.2: STUN on the SIP port", transports=("udp",))
def stun_binding_is_answered(t):
    sender = t.stranger()
    transaction = unique("")[:6].encode().ljust(12, b"t")
    sender.send(struct.pack("!HHI", 1, 0, 0x2112A442) + transaction)
    sender.socket.settimeout(PATIENCE)
    answer = sender.socket.recv(1500)
    kind, length, cookie = struct.unpack("!HHI", answer[:8])
    expect((kind, cookie, answer[8:20]) == (0x0101, 0x2112A442, transaction),
           f"answered {answer!r}")
    expect(length == len(answer) - 20, "its length is wrong")
    port = struct.pack("!H", sender.port ^ 0x2112)
    expect(port in answer[20:], "the mapped address is wrong")
