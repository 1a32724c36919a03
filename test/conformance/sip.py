"""Phones that speak SIP, with their credentials and dialogs, by the standard library alone.

A phone is one address that sends and receives over UDP or TCP. It keeps no state beyond its sockets
and counters: each check says itself what is sent and what must come back.
"""

import hashlib
import re
import select
import socket
import time

from message import Closed, Failure, Message, contact_uri, expect, unique, uri_of

PATIENCE = 10.0
T1 = 0.5
FREEBIND = 78 # IPV6_FREEBIND of <linux/in6.h>
# As phones have them; a request much shorter than theirs cannot be challenged (see abuse.py).
COMMON = ["User-Agent: a phone of the conformance rules",
          "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, INFO, UPDATE"]

ALGORITHMS = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Phone:
    """One address; `user` is who it says it is, in `domain`. Its host is written as in URIs."""

    def __init__(self, server, user, host=None, transport="udp", port=0, domain=None):
        self.server, self.user, self.transport = server, user, transport
        self.domain = domain or server.domain
        self.password = server.users.get(user)
        self.host = host or server.next_host()
        self.socket = self.open(port)
        self.port = self.socket.getsockname()[1]
        self.stream = b""
        self.waiting = []
        self.tag = unique("t")
        self.call_id = unique("r")
        self.register_cseq = 0
        self.sent = self.received = 0

    def open(self, port):
        kind = socket.SOCK_STREAM if self.transport == "tcp" else socket.SOCK_DGRAM
        is_v6 = ":" in self.host
        one = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, kind)
        one.settimeout(PATIENCE)
        if is_v6: # its whole network leads here, but none of its addresses is said to be ours
            one.setsockopt(socket.IPPROTO_IPV6, FREEBIND, 1)
        one.bind((self.host.strip("[]"), port))
        if self.transport == "tcp":
            one.connect(self.server.address())
        return one

    def close(self):
        self.socket.close()

    # ---- names

    def aor(self):
        return f"sip:{self.user}@{self.domain}"

    def sender(self):
        return f"<{self.aor()}>;tag={self.tag}"

    def contact(self, *parameters):
        if self.transport == "tcp":
            parameters = ("transport=tcp", *parameters)
        return ";".join((f"sip:{self.user}@{self.host}:{self.port}", *parameters))

    def via(self, branch=None):
        return (f"SIP/2.0/{self.transport.upper()} {self.host}:{self.port};"
                f"branch={branch or unique('z9hG4bK')};rport")

    # ---- bytes

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        self.sent += len(data)
        if self.transport == "tcp":
            self.socket.sendall(data)
        else:
            self.socket.sendto(data, self.server.address())

    def _from_stream(self):
        """A whole message of the stream, or None."""
        self.stream = self.stream.lstrip(b"\r\n")
        head, gap, rest = self.stream.partition(b"\r\n\r\n")
        if not gap:
            return None
        found = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(\d+)", head)
        length = int(found[1]) if found else 0
        if len(rest) < length:
            return None
        self.stream = rest[length:]
        return head + gap + rest[:length]

    def receive(self, timeout=PATIENCE):
        """The next message, or None when none comes in that time."""
        end = time.monotonic() + timeout
        while True:
            if self.transport == "tcp":
                data = self._from_stream()
                if data:
                    return Message(data.decode())
            left = end - time.monotonic()
            if left < 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            try:
                data = self.socket.recv(65535)
            except ConnectionError:
                data = b""
            self.received += len(data)
            if self.transport == "tcp":
                if not data:
                    raise Closed("the server closed the connection")
                self.stream += data
            elif data.strip(b"\r\n\0"):
                return Message(data.decode())

    def await_message(self, so, what, timeout=PATIENCE):
        """The next message for which this is so; the others wait for their turn."""
        for message in self.waiting:
            if so(message):
                self.waiting.remove(message)
                return message
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.receive(end - time.monotonic())
            if message and so(message):
                return message
            if message:
                self.waiting.append(message)
        raise Failure(f"{self.user} got no {what}")

    def await_request(self, method, timeout=PATIENCE):
        return self.await_message(lambda m: m.method == method, method, timeout)

    def await_closed(self, timeout=PATIENCE):
        """The server ends the connection; what came before that."""
        came = []
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                message = self.receive(end - time.monotonic())
            except Closed:
                return came
            if message:
                came.append(message)
        raise Failure("the connection is still open")

    def ping(self):
        """What the server was sent before has been dealt with: it works in the order of arrival."""
        answer = self.ask(self.request("OPTIONS", f"sip:{self.server.domain}"))
        expect(answer.status == 200, f"OPTIONS was answered {answer.start}")

    def has_nothing(self, so, why, after=()):
        """Nothing like this has come of what these phones sent."""
        for phone in (*after, self):
            phone.ping()
        for message in self.waiting:
            expect(not so(message), f"{why}: {message.start}")

    def nothing(self, so, why, during=1.0):
        """No such message comes within this time."""
        try:
            message = self.await_message(so, "", during)
        except Failure:
            return
        raise Failure(f"{why}: {message.start}")

    # ---- requests

    def request(self, method, uri, *fields, to=None, sender=None, call_id=None, cseq=1, branch=None,
                body="", via=None, forwards=70):
        lines = [f"{method} {uri} SIP/2.0", f"Via: {via or self.via(branch)}",
                 *([f"Max-Forwards: {forwards}"] if forwards is not None else []),
                 f"From: {sender or self.sender()}", f"To: {to or f'<{uri}>'}",
                 f"Call-ID: {call_id or unique('c')}", f"CSeq: {cseq} {method}",
                 *COMMON, *fields, f"Content-Length: {len(body.encode())}"]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def ask(self, text, timeout=PATIENCE):
        """Sends a request, over UDP again each second; the final response of its transaction."""
        request = Message(text)
        branch, cseq = request.branch(), request.get("CSeq")

        def is_final(message):
            return (message.status >= 200 and message.get("CSeq") == cseq and
                    message.branch() == branch)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.send(text)
            try:
                return self.await_message(is_final, f"answer to {request.method}",
                                          2 * T1 if self.transport == "udp" else timeout)
            except Closed:
                raise
            except Failure:
                continue
        raise Failure(f"{self.user} got no answer to {request.method}")

    def prove(self, method, uri, *fields, cseq=1, call_id=None, **more):
        """The answer to a request with credentials; without, it must be challenged."""
        call_id = call_id or unique("c")
        answer = self.ask(self.request(method, uri, *fields, call_id=call_id, cseq=cseq, **more))
        expect(answer.status == 407, f"{method} was not challenged: {answer.start}")
        if method == "INVITE":
            self.acknowledge(answer, uri)
        proof = self.authorization(answer, method, uri)
        return self.ask(self.request(method, uri, *fields, proof, call_id=call_id, cseq=cseq + 1,
                                     **more))

    def acknowledge(self, answer, uri, call_id=None):
        """ACK to a final failure (17.1.1.3)."""
        self.send(self.request("ACK", uri, to=answer.get("To"), sender=answer.get("From"),
                               call_id=call_id or answer.get("Call-ID"), cseq=answer.cseq()[0],
                               branch=answer.branch()))

    def challenge(self, method="REGISTER", uri=None):
        """A 401 or 407, to a request without credentials."""
        uri = uri or f"sip:{self.server.domain}"
        answer = self.ask(self.request(method, uri, to=f"<{self.aor()}>"))
        expect(answer.status in (401, 407), f"{method} was not challenged: {answer.start}")
        return answer

    def authorization(self, challenge, method, uri, **parts):
        """The field that answers a challenge; `parts` are said otherwise, None is left out."""
        is_proxy = challenge.status == 407
        value = challenge.get("Proxy-Authenticate" if is_proxy else "WWW-Authenticate")
        password = parts.pop("password", self.password)
        given = {
            "username": self.user,
            "realm": re.search('realm="([^"]*)"', value)[1],
            "nonce": re.search('nonce="([^"]*)"', value)[1],
            "uri": uri, "algorithm": "MD5", "qop": "auth", "nc": "00000001", "cnonce": "cn",
            **parts,
        }
        digest = ALGORITHMS.get(given["algorithm"] or "MD5", hashlib.md5)

        def hashed(*texts):
            return digest(":".join(texts).encode()).hexdigest()
        name = given.pop("as_user", given["username"])
        ha1 = hashed(name, given["realm"], password)
        middle = (given["nc"], given["cnonce"], given["qop"]) if given["qop"] else ()
        middle = tuple(part or "" for part in middle)
        given.setdefault("response", hashed(ha1, given["nonce"], *middle,
                                            hashed(method, given["uri"])))
        bare = ("algorithm", "qop", "nc")
        text = ", ".join(f"{name}={part}" if name in bare else f'{name}="{part}"'
                         for name, part in given.items() if part is not None)
        return f"{'Proxy-Authorization' if is_proxy else 'Authorization'}: Digest {text}"

    # ---- registration

    def register(self, *fields, call_id=None, cseq=None, **more):
        """The answer to a REGISTER with credentials."""
        uri = more.pop("uri", f"sip:{self.server.domain}")
        more = {"to": f"<{self.aor()}>", "call_id": call_id or self.call_id, **more}
        self.register_cseq = cseq or self.register_cseq + 1
        answer = self.ask(self.request("REGISTER", uri, *fields, cseq=self.register_cseq, **more))
        if answer.status != 401:
            return answer
        proof = self.authorization(answer, "REGISTER", uri)
        if cseq is None:
            self.register_cseq += 1
        return self.ask(self.request("REGISTER", uri, *fields, proof, cseq=self.register_cseq,
                                     **more))

    def bind(self, *fields, contact=None):
        answer = self.register(f"Contact: {contact or f'<{self.contact()}>'}", *fields)
        expect(answer.status == 200, f"REGISTER was answered {answer.start}")
        return self

    def bindings(self):
        """The Contact values that the registrar lists."""
        answer = self.register()
        expect(answer.status == 200, f"the query was answered {answer.start}")
        return answer.list("Contact")

    def bound_uris(self):
        return {uri_of(value) for value in self.bindings()}

    # ---- answers

    def response(self, request, status, *fields, reason="Answer", body="", tag=None):
        """The text of a response to what was received."""
        lines = [f"SIP/2.0 {status} {reason}"]
        lines += [f"Via: {value}" for value in request.all("Via")]
        lines += [f"Record-Route: {value}" for value in request.all("Record-Route")]
        to = request.get("To")
        if status > 100 and not request.tag("To"):
            to += f";tag={tag or self.tag}"
        lines += [f"From: {request.get('From')}", f"To: {to}",
                  f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}"]
        if not any(field.startswith("Contact:") for field in fields):
            lines.append(f"Contact: <{self.contact()}>")
        lines += [*fields, f"Content-Length: {len(body.encode())}"]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def answer(self, request, status, *fields, **more):
        text = self.response(request, status, *fields, **more)
        self.send(text)
        return text

    def take(self, method, status=None, *fields, **more):
        """The next request of this method, answered."""
        request = self.await_request(method)
        if status:
            self.answer(request, status, *fields, **more)
        return request


class Attempt:
    """An INVITE on its way: sent, with credentials if the caller has some."""

    def __init__(self, caller, uri, *fields, **more):
        self.caller, self.uri = caller, uri
        self.call_id = more.pop("call_id", None) or unique("call")
        self.fields = (f"Contact: <{caller.contact()}>", *fields)
        self.cseq = 1
        proof = ()
        if caller.password:
            challenge = caller.ask(self._write(**more))
            expect(challenge.status == 407, f"INVITE was not challenged: {challenge.start}")
            caller.acknowledge(challenge, uri)
            proof = (caller.authorization(challenge, "INVITE", uri),)
            self.cseq += 1
        self.text = self._write(*proof, **more)
        self.request = Message(self.text)
        self.branch = self.request.branch()
        caller.send(self.text)

    def _write(self, *proof, **more):
        return self.caller.request("INVITE", self.uri, *self.fields, *proof, call_id=self.call_id,
                                   cseq=self.cseq, **more)

    def is_mine(self, message):
        return (message.status > 0 and message.get("CSeq") == f"{self.cseq} INVITE" and
                message.get("Call-ID") == self.call_id)

    def is_mine_final(self, message):
        return self.is_mine(message) and message.status >= 200

    def provisional(self, status):
        return self.caller.await_message(
            lambda m: self.is_mine(m) and m.status == status, f"{status} to INVITE")

    def final(self, timeout=PATIENCE):
        """The final response; a failure is acknowledged."""
        answer = self.caller.await_message(self.is_mine_final, "answer to INVITE", timeout)
        if answer.status >= 300:
            self.caller.acknowledge(answer, self.uri)
        return answer

    def fails(self, status, timeout=PATIENCE):
        answer = self.final(timeout)
        expect(answer.status == status, f"INVITE was answered {answer.start}, not {status}")
        return answer

    def accepted(self):
        """The 2xx, acknowledged, and the caller's side of its dialog."""
        answer = self.final()
        expect(answer.status == 200, f"the call was answered {answer.start}")
        dialog = Dialog.of_caller(self.caller, answer)
        self.caller.send(dialog.write("ACK", cseq=self.cseq))
        return answer, dialog

    def send_cancel(self, *fields, sender=None):
        """The CANCEL's text, sent."""
        text = self.caller.request("CANCEL", self.uri, *fields, to=self.request.get("To"),
                                   sender=self.request.get("From"), call_id=self.call_id,
                                   cseq=self.cseq, via=self.request.get("Via"))
        (sender or self.caller).send(text)
        return text

    def cancel(self, *fields):
        """CANCEL, and its own answer, which must be 200."""
        self.send_cancel(*fields)
        answer = self.caller.await_message(
            lambda m: m.get("CSeq") == f"{self.cseq} CANCEL" and m.get("Call-ID") == self.call_id,
            "answer to CANCEL")
        expect(answer.status == 200, f"CANCEL was answered {answer.start}")


class Dialog:
    """One side of a dialog: what its requests carry (12.2.1.1)."""

    def __init__(self, phone, local, remote, call_id, target, routes, cseq):
        self.phone, self.local, self.remote, self.call_id = phone, local, remote, call_id
        self.target, self.routes, self.cseq = target, routes, cseq

    @staticmethod
    def of_caller(phone, answer):
        return Dialog(phone, answer.get("From"), answer.get("To"), answer.get("Call-ID"),
                      contact_uri(answer), answer.list("Record-Route")[::-1],
                      answer.cseq()[0])

    @staticmethod
    def of_callee(phone, request, answer_text):
        answer = Message(answer_text)
        return Dialog(phone, answer.get("To"), answer.get("From"), request.get("Call-ID"),
                      contact_uri(request), request.list("Record-Route"), 100)

    def write(self, method, *fields, cseq=None, body="", **more):
        if cseq is None:
            self.cseq += 1
        routes = [f"Route: {route}" for route in self.routes]
        more = {"to": self.remote, "sender": self.local, "call_id": self.call_id, **more}
        phone = more.pop("phone", self.phone)
        return phone.request(method, more.pop("target", self.target), *routes, *fields,
                             cseq=cseq or self.cseq, body=body, **more)


class Call:
    """A call that stands: caller and callee with their sides of the dialog."""

    def __init__(self, caller, callee, *fields, answer_fields=()):
        self.caller, self.callee = caller, callee
        self.attempt = Attempt(caller, callee.aor(), *fields)
        self.call_id = self.attempt.call_id
        self.invite = callee.await_request("INVITE")
        answer = callee.answer(self.invite, 200, *answer_fields)
        self.ok, self.near = self.attempt.accepted()
        self.far = Dialog.of_callee(callee, self.invite, answer)
        self.ack = callee.await_request("ACK")

    def hang_up(self):
        """The caller's BYE reaches the callee, who agrees."""
        self.exchange(self.near, self.callee)

    def exchange(self, side, other, method="BYE", status=200):
        """A request in the dialog; what the other side got, and what came back."""
        text = side.write(method)
        side.phone.send(text)
        request = other.take(method, status)
        branch = Message(text).branch()
        answer = side.phone.await_message(
            lambda m: m.status >= 200 and m.branch() == branch, f"answer to {method}")
        expect(answer.status == status, f"{method} was answered {answer.start}")
        return request, answer
