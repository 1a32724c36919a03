"""SIP as the checks speak it: messages, credentials and phones, by the standard library alone.

A phone is one address that sends and receives over UDP or TCP. It keeps no state beyond its sockets
and counters: each check says itself what is sent and what must come back.
"""

import hashlib
import itertools
import re
import select
import socket
import time

PATIENCE = 10.0
T1 = 0.5
_serial = itertools.count(1)


class Failure(Exception):
    """The server did not do what the rule says."""


def expect(so, why):
    if not so:
        raise Failure(why)


COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "k": "Supported",
           "l": "Content-Length", "c": "Content-Type", "e": "Content-Encoding", "s": "Subject"}


def unique(prefix):
    return f"{prefix}{next(_serial)}x{time.monotonic_ns() % 1000000007}"


class Message:
    """A request or response, its header fields in order."""

    def __init__(self, text):
        self.text = text
        head, _, self.body = text.partition("\r\n\r\n")
        self.start, *lines = re.sub("\r\n[ \t]+", " ", head).split("\r\n")
        self.fields = []
        for line in lines:
            name, _, value = line.partition(":")
            name = COMPACT.get(name.strip().lower(), name.strip())
            self.fields.append((name, value.strip()))
        response = re.match(r"SIP/2\.0 (\d{3}) ", self.start)
        self.status = int(response[1]) if response else 0
        self.method = "" if response else self.start.split(" ")[0]
        self.uri = "" if response else self.start.split(" ")[1]

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), "")

    def list(self, name):
        """The values of a comma-separated field, none of which has a comma inside quotes."""
        return [item.strip() for value in self.all(name) for item in split_list(value)]

    def tag(self, name):
        found = re.search(r";tag=([^;\s]+)", self.get(name))
        return found[1] if found else ""

    def cseq(self):
        number, method = self.get("CSeq").split()
        return int(number), method


def split_list(value):
    return re.findall(r'(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+', value)


class Phone:
    """One address; `user` is who it says it is."""

    def __init__(self, server, user, host=None, transport=None):
        self.server = server
        self.user = user
        self.password = server.users.get(user)
        self.domain = server.domain
        self.transport = transport or server.transport
        self.host = host or server.next_host()
        kind = socket.SOCK_STREAM if self.transport == "tcp" else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.bind((self.host, 0))
        if self.transport == "tcp":
            self.socket.settimeout(PATIENCE)
            self.socket.connect((server.host, server.port))
        self.port = self.socket.getsockname()[1]
        self.stream = b""
        self.waiting = []
        self.tag = unique("t")
        self.call_id = unique("r")
        self.register_cseq = 0
        self.sent = self.received = 0

    def close(self):
        self.socket.close()

    # ---- names

    def aor(self):
        return f"sip:{self.user}@{self.domain}"

    def contact(self):
        parameter = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:{self.user}@{self.host}:{self.port}{parameter}"

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
            self.socket.sendto(data, (self.server.host, self.server.port))

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
            data = self.socket.recv(65535)
            self.received += len(data)
            if self.transport == "tcp":
                expect(data, "the server closed the connection")
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
        sender = sender or f"<{self.aor()}>;tag={self.tag}"
        lines = [f"{method} {uri} SIP/2.0", f"Via: {via or self.via(branch)}",
                 f"Max-Forwards: {forwards}", f"From: {sender}", f"To: {to or f'<{uri}>'}",
                 f"Call-ID: {call_id or unique('c')}", f"CSeq: {cseq} {method}", *fields,
                 f"Content-Length: {len(body.encode())}"]
        return "\r\n".join(lines) + "\r\n\r\n" + body

    def ask(self, text, timeout=PATIENCE):
        """Sends a request, again every T1 over UDP; the final response of its transaction."""
        request = Message(text)
        branch, cseq = re.search(r"branch=([^;\s]+)", request.get("Via"))[1], request.get("CSeq")

        def is_final(message):
            return (message.status >= 200 and message.get("CSeq") == cseq and
                    f"branch={branch}" in message.get("Via"))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.send(text)
            try:
                return self.await_message(is_final, f"answer to {request.method}",
                                          T1 * 2 if self.transport == "udp" else timeout)
            except Failure:
                continue
        raise Failure(f"{self.user} got no answer to {request.method}")

    def authorization(self, challenge, method, uri, count=1, password=None, user=None, nonce=None,
                      realm=None):
        """The field that answers a 401 or 407, or the challenge value of one."""
        is_proxy = False
        if isinstance(challenge, Message):
            is_proxy = challenge.status == 407
            challenge = challenge.get("Proxy-Authenticate" if is_proxy else "WWW-Authenticate")
        realm = realm or re.search('realm="([^"]*)"', challenge)[1]
        nonce = nonce or re.search('nonce="([^"]*)"', challenge)[1]

        def md5(text):
            return hashlib.md5(text.encode()).hexdigest()
        user = user or self.user
        ha1 = md5(f"{user}:{realm}:{password or self.password}")
        response = md5(f"{ha1}:{nonce}:{count:08x}:cn:auth:{md5(f'{method}:{uri}')}")
        name = "Proxy-Authorization" if is_proxy else "Authorization"
        return (f'{name}: Digest username="{user}", realm="{realm}", nonce="{nonce}", '
                f'uri="{uri}", response="{response}", algorithm=MD5, qop=auth, '
                f'nc={count:08x}, cnonce="cn"')

    def prove(self, method, uri, *fields, cseq=1, **more):
        """A request that is challenged once: the answer to the one with credentials."""
        call_id = more.pop("call_id", None) or unique("c")
        answer = self.ask(self.request(method, uri, *fields, call_id=call_id, cseq=cseq, **more))
        expect(answer.status in (401, 407), f"{method} was not challenged: {answer.start}")
        if method == "INVITE":
            self.acknowledge(answer, uri, call_id)
        for _ in range(3):
            cseq += 1
            credentials = self.authorization(answer, method, uri)
            answer = self.ask(self.request(method, uri, *fields, credentials, call_id=call_id,
                                           cseq=cseq, **more))
            if "stale=true" not in answer.text:
                break
        return answer

    def acknowledge(self, answer, uri, call_id):
        """ACK to a final failure (17.1.1.3)."""
        via = split_list(answer.get("Via"))[0].strip()
        branch = re.search(r"branch=([^;\s]+)", via)[1]
        self.send(self.request("ACK", uri, to=answer.get("To"), sender=answer.get("From"),
                               call_id=call_id, cseq=answer.cseq()[0], branch=branch))

    def register(self, *fields, call_id=None, cseq=None, uri=None):
        """The answer to a REGISTER with credentials."""
        uri = uri or f"sip:{self.domain}"
        self.register_cseq = (cseq or self.register_cseq + 1)
        first = self.register_cseq
        answer = self.ask(self.request("REGISTER", uri, *fields, to=f"<{self.aor()}>",
                                       call_id=call_id or self.call_id, cseq=first))
        for _ in range(3):
            if answer.status != 401:
                break
            credentials = self.authorization(answer, "REGISTER", uri)
            if cseq is None:
                self.register_cseq += 1
            answer = self.ask(self.request("REGISTER", uri, *fields, credentials,
                                           to=f"<{self.aor()}>", call_id=call_id or self.call_id,
                                           cseq=self.register_cseq))
        return answer

    def bind(self, *fields):
        answer = self.register(f"Contact: <{self.contact()}>", *fields)
        expect(answer.status == 200, f"REGISTER was answered {answer.start}")
        return self

    def bindings(self):
        answer = self.register()
        expect(answer.status == 200, f"the query was answered {answer.start}")
        return answer.list("Contact")

    # ---- answers

    def answer(self, request, status, *fields, reason="Answer", body="", tag=None, contact=True):
        lines = [f"SIP/2.0 {status} {reason}"]
        lines += [f"Via: {value}" for value in request.all("Via")]
        lines += [f"Record-Route: {value}" for value in request.all("Record-Route")]
        to = request.get("To")
        if status > 100 and not request.tag("To"):
            to += f";tag={tag or self.tag}"
        lines += [f"From: {request.get('From')}", f"To: {to}",
                  f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}"]
        if contact:
            lines.append(f"Contact: <{self.contact()}>")
        lines += [*fields, f"Content-Length: {len(body.encode())}"]
        text = "\r\n".join(lines) + "\r\n\r\n" + body
        self.send(text)
        return text


class Dialog:
    """One side of a dialog: what its requests carry (RFC 3261 12.2.1.1)."""

    def __init__(self, phone, local, remote, call_id, target, routes, cseq):
        self.phone, self.local, self.remote, self.call_id = phone, local, remote, call_id
        self.target, self.routes, self.cseq = target, routes, cseq

    @staticmethod
    def of_caller(phone, answer):
        return Dialog(phone, answer.get("From"), answer.get("To"), answer.get("Call-ID"),
                      contact_uri(answer), answer.list("Record-Route")[::-1], answer.cseq()[0])

    @staticmethod
    def of_callee(phone, request, answer_text):
        answer = Message(answer_text)
        return Dialog(phone, answer.get("To"), answer.get("From"), request.get("Call-ID"),
                      contact_uri(request), request.list("Record-Route"), 0)

    def write(self, method, *fields, cseq=None, body="", branch=None):
        if cseq is None and method not in ("ACK", "CANCEL"):
            self.cseq += 1
        routes = [f"Route: {route}" for route in self.routes]
        return self.phone.request(method, self.target, *routes, *fields, to=self.remote,
                                  sender=self.local, call_id=self.call_id,
                                  cseq=cseq or self.cseq, body=body, branch=branch)

    def ask(self, method, *fields, **more):
        return self.phone.ask(self.write(method, *fields, **more))


def contact_uri(message):
    found = re.search("<([^>]*)>", message.get("Contact"))
    expect(found, f"no Contact in {message.start}")
    return found[1]


class Call:
    """A call that stands: caller and callee with their sides of the dialog."""

    def __init__(self, caller, callee, *fields, answer_fields=(), proves=True, ring=False):
        self.caller, self.callee = caller, callee
        uri = callee.aor()
        self.call_id = unique("call")
        cseq = 1
        fields = (f"Contact: <{caller.contact()}>", *fields)
        text = caller.request("INVITE", uri, *fields, call_id=self.call_id, cseq=cseq)
        if proves:
            challenge = caller.ask(text)
            expect(challenge.status == 407, f"INVITE was not challenged: {challenge.start}")
            caller.acknowledge(challenge, uri, self.call_id)
            cseq += 1
            text = caller.request("INVITE", uri, *fields,
                                  caller.authorization(challenge, "INVITE", uri),
                                  call_id=self.call_id, cseq=cseq)
        caller.send(text)
        self.sent_invite = Message(text)
        self.invite = callee.await_request("INVITE")
        if ring:
            callee.answer(self.invite, 180)
        self.ok_text = callee.answer(self.invite, 200, *answer_fields)
        self.ok = caller.await_message(
            lambda m: m.status >= 200 and m.get("CSeq") == f"{cseq} INVITE", "answer to INVITE")
        expect(self.ok.status == 200, f"the call was answered {self.ok.start}")
        self.near = Dialog.of_caller(caller, self.ok)
        self.far = Dialog.of_callee(callee, self.invite, self.ok_text)
        caller.send(self.near.write("ACK", cseq=cseq))
        self.ack = callee.await_request("ACK")

    def hang_up(self):
        text = self.near.write("BYE")
        self.caller.send(text)
        self.callee.answer(self.callee.await_request("BYE"), 200)
        answer = self.caller.await_message(lambda m: m.status and m.cseq()[1] == "BYE",
                                           "answer to BYE")
        expect(answer.status == 200, f"BYE was answered {answer.start}")
