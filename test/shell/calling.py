"""A phone of the checks that makes and takes calls, a step at a time, over a plain socket."""

import hashlib
import re
import time

import server_test
from server_test import Failure, Phone, expect


def headers_of(message, name):
    return re.findall(rf"^{name}: *(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)


def header_of(message, name):
    found = headers_of(message, name)
    return found[0] if found else ""


def with_tag(value, tag):
    return value if ";tag=" in value else f"{value};tag={tag}"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Call:
    """One side of a call."""

    def __init__(self, call_id, local, remote):
        self.id, self.local, self.remote = call_id, local, remote
        self.cseq = 0
        self.routes = []
        self.target = None
        self.branch = None
        self.invite = None


class Caller(Phone):
    """Also a callee."""

    calls = 0

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.display = ""

    def rebind(self):
        """Bind this phone alone: what the user had before goes."""
        answer = self.register("Contact: *", "Expires: 0")
        expect(answer.startswith("SIP/2.0 200 "), f"the removal was answered {answer!r}")
        return self.bind()

    # ---- sending

    def send(self, text):
        self.socket.send(text.encode())

    def request(self, method, uri, call, cseq=None, branch=None, extra=()):
        Caller.calls += 1
        branch = branch or f"z9hG4bK{self.port}c{Caller.calls}"
        lines = [f"{method} {uri} SIP/2.0",
                 f"Via: SIP/2.0/UDP {self.host}:{self.port};branch={branch};rport",
                 *(f"Route: {route}" for route in call.routes),
                 f"From: {call.local}", f"To: {call.remote}", f"Call-ID: {call.id}",
                 f"CSeq: {cseq or call.cseq} {method}", "Max-Forwards: 70",
                 f"Contact: {self.contact()}", *extra, "Content-Length: 0", "", ""]
        return branch, "\r\n".join(lines)

    def respond(self, request, status, reason, *extra):
        """Answer a request."""
        to = header_of(request, "To")
        if status > 100:
            to = with_tag(to, f"t{self.port}")
        lines = [f"SIP/2.0 {status} {reason}",
                 *(f"Via: {via}" for via in headers_of(request, "Via")),
                 *(f"Record-Route: {route}" for route in headers_of(request, "Record-Route")),
                 f"From: {header_of(request, 'From')}", f"To: {to}",
                 f"Call-ID: {header_of(request, 'Call-ID')}", f"CSeq: {header_of(request, 'CSeq')}",
                 f"Contact: {self.contact()}", *extra, "Content-Length: 0", "", ""]
        self.send("\r\n".join(lines))

    # ---- waiting

    def wait(self, wanted, again=None):
        """The next message that is wanted; `again` is sent each half second until then."""
        end = time.monotonic() + server_test.PATIENCE
        while time.monotonic() < end:
            try:
                message = self.socket.recv(65535).decode()
            except (TimeoutError, ConnectionRefusedError):
                if again:
                    self.send(again)
                continue
            if wanted(message):
                return message
        raise Failure(f"{self.user} waited in vain")

    def await_request(self, method):
        return self.wait(lambda message: message.startswith(f"{method} "))

    def await_final(self, call, method="INVITE", again=None):
        """The final response to the latest request of a call."""
        def is_final(message):
            return (message.startswith("SIP/2.0 ") and int(message[8:11]) >= 200 and
                    header_of(message, "CSeq") == f"{call.cseq} {method}" and
                    header_of(message, "Call-ID") == call.id)
        return self.wait(is_final, again)

    # ---- calls

    def proof(self, challenge, method, uri):
        nonce = re.search('nonce="([^"]*)"', challenge)[1]
        realm = re.search('realm="([^"]*)"', challenge)[1]
        ha1, ha2 = md5(f"{self.user}:{realm}:{self.password}"), md5(f"{method}:{uri}")
        response = md5(f"{ha1}:{nonce}:00000001:cn:auth:{ha2}")
        return (f'Proxy-Authorization: Digest username="{self.user}", realm="{realm}", '
                f'nonce="{nonce}", uri="{uri}", response="{response}", '
                'algorithm=MD5, qop=auth, nc=00000001, cnonce="cn"')

    def dial(self, number):
        """Call it, with a digest; the INVITE is sent and not yet answered."""
        Caller.calls += 1
        uri = f"sip:{number}@{self.domain}"
        call = Call(f"call{Caller.calls}x{self.port}",
                    f"{self.display}<sip:{self.user}@{self.domain}>;tag=f{self.port}x{Caller.calls}",
                    f"<{uri}>")
        call.cseq = 1
        _, request = self.request("INVITE", uri, call)
        self.send(request)
        for _ in range(5):
            answer = self.await_final(call, again=request)
            expect(answer.startswith("SIP/2.0 407 "), f"INVITE was answered {answer!r}")
            call.cseq += 1
            call.branch, call.invite = self.request(
                "INVITE", uri, call, extra=[self.proof(answer, "INVITE", uri)])
            call.target = uri
            self.send(call.invite)
            early = self.wait(lambda message: header_of(message, "Call-ID") == call.id and
                              header_of(message, "CSeq") == f"{call.cseq} INVITE",
                              again=call.invite)
            if not early.startswith("SIP/2.0 407 "):
                call.first = early
                return call
        raise Failure("the digest is never right")

    def answered(self, call):
        """The INVITE was answered: acknowledge it; the response."""
        answer = call.first if call.first[8:11] >= "200" else self.await_final(call,
                                                                               again=call.invite)
        if answer.startswith("SIP/2.0 2"):
            call.remote = header_of(answer, "To")
            call.routes = list(reversed(headers_of(answer, "Record-Route")))
            call.target = re.search("<([^>]*)>", header_of(answer, "Contact"))[1]
            self.send(self.request("ACK", call.target, call)[1])
        else:
            acked = Call(call.id, call.local, header_of(answer, "To"))
            self.send(self.request("ACK", call.target, acked, call.cseq, call.branch)[1])
        return answer

    def cancel(self, call):
        _, request = self.request("CANCEL", call.target, call, branch=call.branch)
        self.send(request)

    def hang_up(self, call):
        """Send BYE; not yet answered."""
        call.cseq += 1
        call.bye = self.request("BYE", call.target, call)[1]
        self.send(call.bye)
        return call

    def take(self, ring=True):
        """Await an INVITE and ring."""
        invite = self.await_request("INVITE")
        if ring:
            self.respond(invite, 180, "Ringing")
        return invite

    def accept(self, invite):
        """Answer it, so that this side may hang up, too."""
        self.respond(invite, 200, "OK")
        call = Call(header_of(invite, "Call-ID"), with_tag(header_of(invite, "To"), f"t{self.port}"),
                    header_of(invite, "From"))
        call.routes = headers_of(invite, "Record-Route")
        call.target = re.search("<([^>]*)>", header_of(invite, "Contact"))[1]
        call.cseq = 100
        return call


def hang_up(one, call, other):
    """`one` ends the call, and `other` agrees."""
    one.hang_up(call)
    other.respond(other.await_request("BYE"), 200, "OK")
    answer = one.await_final(call, "BYE", again=call.bye)
    expect(answer.startswith("SIP/2.0 200 "), f"BYE was answered {answer!r}")
