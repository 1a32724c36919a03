#!/usr/bin/env python3
"""Signed identity (RFC 8224) through the real sipw: two servers as two domains, and who is between them.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import base64
import contextlib
import email.utils
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import between
import server_test
import sip
from between import unchanged
from dialog_test import USERS
from sip import Failure, Message, expect, unique

NAMES = {"one.test": "alice", "two.test": "bob"}
FINGERPRINT = "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89"
OTHER = FINGERPRINT.replace("AB:CD", "12:34")
OFFER = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
         f"a=fingerprint:sha-256 {FINGERPRINT}\r\nm=audio 4000 UDP/TLS/RTP/SAVP 0\r\n")
REPLY = OFFER.replace(FINGERPRINT, OTHER).replace("4000", "5000")
PROVEN = "verified;domain={};by=signature"
SDP = "Content-Type: application/sdp"
SIPWITCH = os.path.join(os.path.dirname(server_test.SIPW), "sipwitch")
RESULT = "P-SIPWITCH-Caller"
ANSWER = "P-SIPWITCH-Answer"
CALLEE = "P-SIPWITCH-Callee"


# ---- certificates

def openssl(*words, cwd=None):
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=cwd)


def lasting():
    """From yesterday on, for a week: a Date may be some seconds back."""
    day = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() - 86400))
    return "-startdate", day, "-enddate", time.strftime("%y%m%d%H%M%SZ",
                                                        time.gmtime(time.time() + 7 * 86400))


class Authority:
    """A CA that the servers trust, and what it has certified."""

    def __init__(self, folder):
        self.folder = folder
        self.file = os.path.join(folder, "ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=the CA of these checks", "-keyout", "ca.key", "-out", "ca.pem",
                "-days", "30", cwd=folder)

    def certify(self, domain, path, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), dates=None):
        """A certificate for a domain and its key, in one file."""
        name = os.path.join(self.folder, unique("made"))
        openssl("req", "-newkey", *key, "-nodes", "-subj", f"/CN={domain}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")
        with open(f"{name}.ext", "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{domain},URI:sip:{domain}\n")
        openssl("ca", "-batch", "-notext", "-config", self.config(), "-in", f"{name}.csr", "-extfile",
                f"{name}.ext", *(dates or lasting()), "-out", f"{name}.pem")
        with open(f"{name}.new", "w", encoding="ascii") as both:
            for half in f"{name}.pem", f"{name}.key":
                with open(half, encoding="ascii") as file:
                    both.write(file.read())
        os.chmod(f"{name}.new", 0o600)
        os.rename(f"{name}.new", path)
        return path

    def expire(self, domain, path):
        """One that was good some years ago."""
        return self.certify(domain, path, dates=("-startdate", "20200101000000Z", "-enddate",
                                                 "20200201000000Z"))

    def config(self):
        path = os.path.join(self.folder, "ca.cnf")
        if not os.path.exists(path):
            for name in "index", "index.attr":
                with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
                    file.write("unique_subject = no\n" if name == "index.attr" else "")
            with open(path, "w", encoding="ascii") as file:
                file.write("[ca]\ndefault_ca = it\n[it]\ndatabase = {0}/index\nnew_certs_dir = {0}\n"
                           "rand_serial = yes\ncertificate = {0}/ca.pem\nprivate_key = {0}/ca.key\n"
                           "default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n"
                           .format(self.folder))
        return path


@contextlib.contextmanager
def name_server():
    """Answers for each name that it is here; as <resolver> names it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    query, peer = one.recvfrom(4096)
                    end = query.index(b"\0", 12) + 5
                    is_address = query[end - 4:end - 2] == b"\0\x01"
                    answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01" if is_address else b""
                    one.sendto(query[:2] + b"\x81\x80\0\x01" + (b"\0\x01" if answer else b"\0\0") +
                               b"\0\0\0\0" + query[12:end] + answer, peer)
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1@{one.getsockname()[1]}"


class Place:
    """An https server of its own that has a certificate; it counts who asks."""

    def __init__(self, world, path, is_mute=False):
        self.path, self.is_mute, self.asked = path, is_mute, 0
        self.held = []
        self.listener = world.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        self.uri = f"https://127.0.0.1:{self.port}/some/place.pem"
        own = world.authority.certify("localhost", os.path.join(world.folder, unique("place")))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(own)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                one = self.listener.accept()[0]
                self.asked += 1
                if self.is_mute:
                    self.held.append(one)
                    continue
                with contextlib.suppress(OSError), self.context.wrap_socket(one, server_side=True) as tls:
                    tls.recv(65536)
                    with open(self.path, encoding="ascii") as file:
                        body = file.read().partition("-----BEGIN PRIVATE")[0].encode()
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


# ---- domains

class Domain:
    """A running server with one user's phone."""

    def __init__(self, world, name, identity="yes", extra="", certificate=None):
        self.world, self.domain, self.users = world, name, USERS
        self.wss = server_test.free_port()
        self.info = f"https://127.0.0.1:{self.wss}/identity.pem"
        self.identity = self.info if identity == "yes" else identity
        self.host, self.transport, self.extra = "127.0.0.1", "udp", extra
        self.certificate = certificate or world.authority.certify(
            name, os.path.join(world.folder, f"{name}.pem"))
        self.process = world.stack.enter_context(server_test.server(self.config()))
        self.port = self.process.port
        self.process.start()
        self.phone = self.new_phone(NAMES.get(name, "carol"))

    def config(self):
        users = "".join(f'<user id="{user}" secret="{secret}"/>' for user, secret in USERS.items())
        return (f'<?xml version="1.0"?>\n<sipwitch><registry><realm>{self.domain}</realm></registry>'
                f'<stack><public>yes</public><wss-port>{self.wss}</wss-port>'
                f'<certfile>{self.certificate}</certfile><authfile>{self.world.authority.file}</authfile>'
                f'<identity>{self.identity}</identity>'
                f'<resolver>{self.world.resolver}</resolver></stack>{self.extra}'
                f'<provision>{users}</provision></sipwitch>\n')

    def address(self):
        return self.host, self.port

    @staticmethod
    def next_host():
        return "127.0.0.1"

    def new_phone(self, user):
        phone = sip.Phone(self, user)
        self.world.stack.callback(phone.close)
        return phone.bind()

    def uri(self, user):
        return f"sip:{user}@{self.domain}:{self.port}"

    def kill_and_start(self):
        self.process.end(signal.SIGKILL)
        self.process.start()


def sipwitch(domain, *words):
    return subprocess.run([SIPWITCH, "--prefixpath", domain.process.state, *words], check=True,
                          text=True, capture_output=True, timeout=sip.PATIENCE).stdout


class World:
    """What all checks need."""

    def __init__(self, stack):
        self.stack = stack
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sipwitch-identity-"))
        self.authority = Authority(self.folder)
        self.resolver = stack.enter_context(name_server())

    def domain(self, name, **more):
        return Domain(self, name, **more)

    def two(self):
        return self.domain("one.test"), self.domain("two.test")


class Between(between.Between):
    def __init__(self, world, *words, **more):
        super().__init__(world, *words, **more, place=("127.0.0.1", server_test.free_port()))


# ---- PASSporTs

def unpacked(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def passport_of(request):
    """Header and claims of the one Identity field."""
    values = request.all("Identity")
    expect(len(values) == 1, f"{len(values)} Identity fields in {request.text}")
    header, claims, _ = values[0].split(";")[0].split(".")
    return unpacked(header), unpacked(claims)


def message_to(caller, uri, *fields, **more):
    return caller.prove("MESSAGE", uri, *fields, body=more.pop("body", "hello"), **more)


def took(phone, method="MESSAGE", status=200, *fields, **more):
    return phone.take(method, status, *fields, **more)


class Asking(threading.Thread):
    """A request of one phone, while the other answers."""

    def __init__(self, act):
        super().__init__(daemon=True)
        self.act, self.answer, self.error = act, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.act()
        except Exception as error: # told to who waits
            self.error = error

    def end(self):
        self.join(2 * sip.PATIENCE)
        if self.error:
            raise self.error
        expect(self.answer, "there was no answer")
        return self.answer


def delivered(caller, callee, uri, *fields, **more):
    """The MESSAGE as it reached the callee."""
    asking = Asking(lambda: message_to(caller, uri, *fields, **more))
    request = took(callee)
    answer = asking.end()
    expect(answer.status == 200, f"MESSAGE was answered {answer.start}")
    return request


def fetched(domain, name=None, path="/identity.pem"):
    """What is at that path of its port for WebSockets over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", domain.wss), sip.PATIENCE) as plain, \
            context.wrap_socket(plain, server_hostname=name or domain.domain) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: {domain.domain}\r\n\r\n".encode())
        text = b""
        while piece := one.recv(65536):
            text += piece
    return text.decode()


# ---- another signer, which shares no line with ours

def packed(thing):
    text = thing if isinstance(thing, bytes) else json.dumps(thing, separators=(",", ":"),
                                                             sort_keys=True).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signature_of(key, text):
    """R and S of ES256, out of the DER that openssl writes."""
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(),
                         check=True, capture_output=True).stdout
    parts, at = [], 2
    for _ in range(2):
        length = der[at + 1]
        parts.append(der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0"))
        at += 2 + length
    return packed(b"".join(parts))


class Signer:
    """A domain of which there is no server, but a certificate."""

    def __init__(self, world, certificate=None, place=None, domain="three.test"):
        self.domain = domain
        self.certificate = certificate or world.authority.certify(
            domain, os.path.join(world.folder, unique("signer")))
        self.place = place or Place(world, self.certificate)
        self.users, self.host = {}, "127.0.0.1"

    def phone(self, world, two):
        """dave, who asks at that server without being a user of it."""
        self.port = two.port
        phone = sip.Phone(self, "dave", domain=self.domain)
        world.stack.callback(phone.close)
        return phone

    def address(self):
        return self.host, self.port

    @staticmethod
    def next_host():
        return "127.0.0.1"

    def identity(self, to, iat=None, **claims):
        header = {"alg": "ES256", "typ": "passport", "x5u": self.place.uri}
        body = {"orig": {"uri": f"sip:dave@{self.domain}"}, "dest": {"uri": [to]},
                "iat": int(time.time()) if iat is None else int(iat), **claims}
        text = f"{packed(header)}.{packed(body)}"
        return f"Identity: {text}.{signature_of(self.certificate, text)};info=<{self.place.uri}>"


def said_to(phone, signer, uri, *fields, method="MESSAGE", **more):
    """The answer to a signed request that nobody gets to see."""
    answer = phone.ask(phone.request(method, uri, signer.identity("sip:bob@two.test"), *fields, **more))
    return answer.status


# ---- signing

def what_leaves_for_another_domain_is_signed(world):
    one = world.domain("one.test")
    two = world.domain("two.test", identity="no")
    between = Between(world, two)
    request = delivered(one.phone, two.phone, between.uri("bob"))
    header, claims = passport_of(between.seen[0])
    expect(header == {"alg": "ES256", "typ": "passport", "x5u": one.info}, f"the header is {header}")
    expect(claims["orig"] == {"uri": "sip:alice@one.test"}, f"{claims}")
    expect(claims["dest"] == {"uri": ["sip:bob@two.test"]}, f"{claims}")
    expect(abs(claims["iat"] - time.time()) < 30, f"{claims}")
    date = email.utils.parsedate_to_datetime(request.get("Date")).timestamp()
    expect(date == claims["iat"], f"Date is {request.get('Date')}, iat {claims['iat']}")


def fingerprints_of_an_offer_are_signed(world):
    one = world.domain("one.test")
    two = world.domain("two.test", identity="no")
    attempt = sip.Attempt(one.phone, two.uri("bob"), SDP, body=OFFER)
    invite = two.phone.await_request("INVITE")
    _, claims = passport_of(invite)
    expect(claims["mky"] == [{"alg": "sha-256", "dig": FINGERPRINT.replace(":", "")}], f"{claims}")
    two.phone.answer(invite, 486)
    attempt.fails(486)


def a_date_that_a_phone_gave_is_signed(world):
    one = world.domain("one.test")
    two = world.domain("two.test", identity="no")
    date = email.utils.formatdate(time.time() - 20, usegmt=True)
    request = delivered(one.phone, two.phone, two.uri("bob"), f"Date: {date}")
    expect(request.all("Date") == [date], request.text)
    passport_of(request)
    date = email.utils.formatdate(time.time() - 3600, usegmt=True)
    request = delivered(one.phone, two.phone, two.uri("bob"), f"Date: {date}")
    expect(request.all("Date") == [date] and not request.all("Identity"), request.text)


def calls_within_the_domain_are_not_signed(world):
    one = world.domain("one.test")
    carol = one.new_phone("carol")
    request = delivered(one.phone, carol, "sip:carol@one.test")
    expect(not request.all("Identity") and not request.all("Date"), request.text)


def nothing_is_signed_unless_it_is_configured(world):
    one = world.domain("one.test", identity="no")
    two = world.domain("two.test")
    request = delivered(one.phone, two.phone, two.uri("bob"))
    expect(not request.all("Identity") and request.all(RESULT) == ["unverified"], request.text)


def the_certificate_is_at_our_own_port(world):
    one = world.domain("one.test")
    text = fetched(one)
    head, _, body = text.partition("\r\n\r\n")
    expect(head.startswith("HTTP/1.1 200 ") and "application/pem-certificate-chain" in head, head)
    with open(one.certificate, encoding="ascii") as file:
        expect(body.strip() in file.read() and "PRIVATE" not in body, body)
    expect(fetched(one, path="/other.pem").startswith("HTTP/1.1 404 "), "another path")


def a_certificate_that_cannot_sign_is_named(world):
    path = os.path.join(world.folder, "rsa.pem")
    world.authority.certify("one.test", path, key=("rsa:2048",))
    one = world.domain("one.test", certificate=path)
    said = one.process.await_line("are not signed")
    expect("P-256" in said, said)
    two = world.domain("two.test", identity="no")
    request = delivered(one.phone, two.phone, two.uri("bob"))
    expect(not request.all("Identity"), request.text)


def fits(field, certificate):
    """The signature of an Identity value is by the key of that certificate."""
    text, _, signature = field.split(";")[0].rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    inside = b""
    for half in raw[:32].lstrip(b"\0"), raw[32:].lstrip(b"\0"):
        number = b"\0" + half if half[0] & 0x80 else half
        inside += b"\x02" + bytes([len(number)]) + number
    with tempfile.TemporaryDirectory() as folder:
        key, der = os.path.join(folder, "key"), os.path.join(folder, "der")
        openssl("x509", "-in", certificate, "-pubkey", "-noout", "-out", key)
        with open(der, "wb") as file:
            file.write(b"\x30" + bytes([len(inside)]) + inside)
        return subprocess.run(["openssl", "dgst", "-sha256", "-verify", key, "-signature", der],
                              input=text.encode(), capture_output=True, check=False).returncode == 0


def signing_goes_on_with_a_certificate_that_was_replaced(world):
    one = world.domain("one.test")
    two = world.domain("two.test")
    old = os.path.join(world.folder, "old.pem")
    shutil.copy(one.certificate, old)
    field = delivered(one.phone, two.phone, two.uri("bob")).get("Identity")
    expect(fits(field, old), "it is not signed with the first")
    world.authority.certify("one.test", one.certificate)
    sipwitch(one, "reload")
    two.kill_and_start() # it has the first, and would fetch another only after ten seconds
    request = delivered(one.phone, two.phone, two.uri("bob"))
    field = request.get("Identity")
    expect(request.all(RESULT) == [PROVEN.format("one.test")], request.text)
    expect(fits(field, one.certificate) and not fits(field, old), "it is not signed with the second")
    with open(one.certificate, encoding="ascii") as file:
        expect(fetched(one).partition("\r\n\r\n")[2].strip() in file.read(), "the first is published")


# ---- verifying

def what_another_domain_has_signed_is_proven(world):
    one, two = world.two()
    between = Between(world, two)
    request = delivered(one.phone, two.phone, between.uri("bob"))
    expect(request.all(RESULT) == [PROVEN.format("one.test")], request.text)
    for name in "From", "To", "Date", "Identity":
        expect(request.all(name) == between.seen[0].all(name) != [], f"{name} was changed")


def media_keys_of_an_offer_are_proven(world):
    one, two = world.two()
    attempt = sip.Attempt(one.phone, two.uri("bob"), SDP, body=OFFER)
    invite = two.phone.await_request("INVITE")
    expect(invite.all(RESULT) == [PROVEN.format("one.test") + ";media=offer-only"], invite.text)
    expect(invite.body == OFFER, invite.body)
    two.phone.answer(invite, 200)
    attempt.accepted()
    for command, want in ("calls", "signature+offer-only"), ("records", None):
        rows = [json.loads(line) for line in sipwitch(two, command, "--json").splitlines()]
        expect([row.get("proof") for row in rows] == ([want] if want else []), f"{rows}")


def an_answered_call_is_recorded_with_it(world):
    one, two = world.two()
    attempt = sip.Attempt(one.phone, two.uri("bob"), SDP, body=OFFER)
    two.phone.answer(two.phone.await_request("INVITE"), 486)
    attempt.fails(486)
    for domain, want in (one, "own+signed"), (two, "signature+offer-only"):
        server_test.until(lambda: sipwitch(domain, "records", "--json"), "the record")
        row = json.loads(sipwitch(domain, "records", "--json"))
        expect(row["proof"] == want, f"{domain.domain}: {row}")
    said = sipwitch(two, "records")
    expect("signature+offer-only" in said, said)


def refused_when_changed(world, change, status=438, **more):
    one, two = world.two()
    between = Between(world, two, change)
    attempt = sip.Attempt(one.phone, between.uri("bob"), SDP, body=OFFER, **more)
    attempt.fails(status)
    two.phone.has_nothing(lambda m: m.method == "INVITE", "it reached bob all the same")


def a_changed_fingerprint_is_refused(world):
    refused_when_changed(world, lambda text: text.replace("AB:CD:EF:01", "AB:CD:EF:02", 1)
                         if text.startswith("INVITE") else text)


def a_removed_fingerprint_is_refused(world):
    refused_when_changed(world, lambda text: text.replace("a=fingerprint", "a=fingerprinz", 1)
                         if text.startswith("INVITE") else text)


def a_changed_caller_is_refused(world):
    refused_when_changed(world, lambda text: text.replace("sip:alice@one.test", "sip:carol@one.test")
                         if text.startswith("INVITE") else text)


def an_expired_certificate_is_refused(world):
    path = os.path.join(world.folder, "expired.pem")
    signer = Signer(world, world.authority.expire("three.test", path))
    two = world.domain("two.test")
    expect(said_to(signer.phone(world, two), signer, two.uri("bob")) == 437, "it was not refused")


def a_certificate_of_another_domain_is_refused(world):
    path = world.authority.certify("four.test", os.path.join(world.folder, "four.pem"))
    signer = Signer(world, path)
    two = world.domain("two.test")
    expect(said_to(signer.phone(world, two), signer, two.uri("bob")) == 437, "it was not refused")


def a_certificate_that_nobody_vouches_for_is_refused(world):
    folder = os.path.join(world.folder, "others")
    os.mkdir(folder)
    signer = Signer(world, Authority(folder).certify("three.test", os.path.join(folder, "three.pem")))
    two = world.domain("two.test")
    expect(said_to(signer.phone(world, two), signer, two.uri("bob")) == 437, "it was not refused")


def a_certificate_out_of_reach_is_told(world):
    signer = Signer(world)
    signer.place.listener.shutdown(socket.SHUT_RDWR)
    signer.place.listener.close()
    two = world.domain("two.test")
    expect(said_to(signer.phone(world, two), signer, two.uri("bob")) == 436, "it was not refused")


def a_place_that_never_answers_is_given_up(world):
    signer = Signer(world)
    signer.place.is_mute = True
    two = world.domain("two.test")
    expect(said_to(signer.phone(world, two), signer, two.uri("bob")) == 436, "it was not refused")
    expect(signer.place.asked == 1, f"it was asked {signer.place.asked} times for one request")


def a_caller_who_waits_can_cancel(world):
    signer = Signer(world)
    signer.place.is_mute = True
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    attempt = sip.Attempt(phone, two.uri("bob"), signer.identity("sip:bob@two.test"))
    server_test.until(lambda: signer.place.asked, "the question for the certificate")
    attempt.cancel()
    attempt.fails(487)
    two.phone.has_nothing(lambda m: m.method == "INVITE", "it reached bob all the same")


def what_was_signed_long_ago_is_refused(world):
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    for shift, status in (-3600, 403), (3600, 403):
        field = signer.identity("sip:bob@two.test", time.time() + shift)
        answer = phone.ask(phone.request("MESSAGE", two.uri("bob"), field))
        expect(answer.status == status, f"it was answered {answer.start}")


def a_minute_is_where_a_signature_becomes_old(world):
    """Or too new: ten seconds to this side it is believed, to that side it is not."""
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)

    def signed(shift):
        field = signer.identity("sip:bob@two.test", time.time() + shift)
        return phone.ask(phone.request("MESSAGE", two.uri("bob"), field, body="hello"))
    for shift in -50, 50:
        asking = Asking(lambda shift=shift: signed(shift))
        expect(took(two.phone).all(RESULT) == [PROVEN.format("three.test")], f"{shift} s: not proven")
        expect(asking.end().status == 200, "it was not delivered")
    for shift in -70, 70:
        answer = signed(shift)
        expect(answer.status == 403, f"at {shift} s it was answered {answer.start}")


def another_signer_is_believed(world):
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    asking = Asking(lambda: said_to(phone, signer, two.uri("bob"), body="hello"))
    expect(took(two.phone).all(RESULT) == [PROVEN.format("three.test")], "it is not proven")
    expect(asking.end() == 200, "it was not delivered")


def a_certificate_is_fetched_once_and_anew_after_a_restart(world):
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    for asked in 1, 1, 2:
        if asked == 2:
            two.kill_and_start()
        asking = Asking(lambda: said_to(phone, signer, two.uri("bob"), body="hello"))
        expect(took(two.phone).all(RESULT) == [PROVEN.format("three.test")], "it is not proven")
        expect(asking.end() == 200, "it was not delivered")
        expect(signer.place.asked == asked, f"it was fetched {signer.place.asked} times, not {asked}")


def nobody_learns_who_exists_by_a_bad_signature(world):
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    answers = {said_to(phone, signer, two.uri(user), to="<sip:x@two.test>")
               for user in ("bob", "nobody", "carol")}
    expect(answers == {438}, f"they were answered {answers}")


def the_result_is_never_believed_from_outside(world):
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    asking = Asking(lambda: phone.ask(phone.request("MESSAGE", two.uri("bob"),
                                                    f"{RESULT}: {PROVEN.format(signer.domain)}")).status)
    expect(took(two.phone).all(RESULT) == ["unverified"], "it came in from outside")
    expect(asking.end() == 200, "it was not delivered")


def what_must_be_signed_and_is_not_is_refused(world):
    two = world.domain("two.test", extra='<domains><domain name="three.test" identity="required"/>'
                       '</domains>')
    signer = Signer(world)
    phone = signer.phone(world, two)
    answer = phone.ask(phone.request("MESSAGE", two.uri("bob")))
    expect(answer.status == 428, f"it was answered {answer.start}")
    asking = Asking(lambda: said_to(phone, signer, two.uri("bob"), body="hello"))
    expect(took(two.phone).all(RESULT) == [PROVEN.format("three.test")], "it is not proven")
    expect(asking.end() == 200, "it was not delivered")


def signed_and_encoded_bodies_pass_untouched(world):
    one, two = world.two()
    for kind, extra in (('multipart/signed;boundary="b";protocol="application/pkcs7-signature"', ()),
                        ("application/pkcs7-mime", ()), ("application/sdp",
                                                         ("Content-Encoding: gzip",))):
        body = f"--b\r\n\r\n{OFFER}--b--\r\n\u00e9\u0001"
        request = delivered(one.phone, two.phone, two.uri("bob"), f"Content-Type: {kind}", *extra,
                            body=body)
        expect(request.body == body, f"{kind} arrived as {request.body!r}")
        expect(request.all(RESULT) == [PROVEN.format("one.test")], request.text)
        expect("mky" not in passport_of(request)[1], "keys were signed that cannot be read")


# ---- answers

BOTH = "verified;domain={};by=signature;media=offer+answer"


def called(one, two, uri=None, offer=OFFER):
    """alice's INVITE has reached bob."""
    attempt = sip.Attempt(one.phone, uri or two.uri("bob"), SDP, body=offer)
    return attempt, two.phone.await_request("INVITE")


def proofs(domain, count=1):
    """What the records of calls say."""
    server_test.until(lambda: len(sipwitch(domain, "records", "--json").splitlines()) >= count,
                      "the record")
    return [json.loads(line)["proof"] for line in sipwitch(domain, "records", "--json").splitlines()]


def hang_up(attempt, one, two, invite, text):
    """The call's end, so that it is recorded."""
    answer, near = attempt.accepted()
    two.phone.await_request("ACK")
    bye = near.write("BYE")
    one.phone.send(bye)
    two.phone.take("BYE", 200)
    one.phone.await_message(lambda m: m.status == 200 and m.branch() == Message(bye).branch(), "200 to BYE")
    return answer


def media_keys_of_an_answer_are_signed_and_proven(world):
    one, two = world.two()
    between = Between(world, two)
    attempt, invite = called(one, two, between.uri("bob"))
    text = two.phone.answer(invite, 200, SDP, body=REPLY)
    answer = hang_up(attempt, one, two, invite, text)
    expect(answer.all(CALLEE) == [BOTH.format("two.test")] and answer.body == REPLY, answer.text)
    expect(not answer.all(ANSWER), "the phone was shown the signature")
    accepted = [m for m in between.answers if m.status == 200 and m.get("CSeq").endswith("INVITE")]
    value = accepted[0].all(ANSWER)
    expect(len(value) == 1, f"{value}")
    header, claims, _ = value[0].split(";")[0].split(".")
    expect(unpacked(header) == {"alg": "ES256", "ppt": "answer", "typ": "passport", "x5u": two.info},
           f"{unpacked(header)}")
    claims = unpacked(claims)
    expect(claims["call"] == {"id": attempt.call_id, "from": one.phone.tag, "to": answer.tag("To")},
           f"{claims}")
    expect(claims["orig"] == {"uri": "sip:two.test"} and
           claims["dest"] == {"uri": ["sip:alice@one.test"]}, f"{claims}")
    expect(claims["mky"] == [{"alg": "sha-256", "dig": OTHER.replace(":", "")}], f"{claims}")
    expect(proofs(one) == ["own+signed+answer"], f"{proofs(one)}")
    expect(proofs(two) == ["signature+offer+answer"], f"{proofs(two)}")


def an_offer_that_the_answer_makes_is_said_to_be_all_that_is_signed(world):
    """The caller's answer, in the ACK, is signed by nobody."""
    one, two = world.two()
    attempt = sip.Attempt(one.phone, two.uri("bob"))
    two.phone.answer(two.phone.await_request("INVITE"), 200, SDP, body=REPLY)
    answer, _ = attempt.accepted()
    told = BOTH.format("two.test").replace("offer+answer", "offer-only")
    expect(answer.all(CALLEE) == [told], answer.text)
    two.phone.await_request("ACK")


def early_media_is_signed_too(world):
    one, two = world.two()
    attempt, invite = called(one, two)
    two.phone.answer(invite, 183, SDP, body=REPLY)
    early = attempt.provisional(183)
    expect(early.all(CALLEE) == [BOTH.format("two.test")] and early.body == REPLY, early.text)
    two.phone.answer(invite, 486)
    attempt.fails(486)


def an_answer_without_keys_is_not_signed(world):
    one, two = world.two()
    between = Between(world, two)
    attempt, invite = called(one, two, between.uri("bob"))
    two.phone.answer(invite, 180)
    ringing = attempt.provisional(180)
    text = two.phone.answer(invite, 200, SDP, body=REPLY.replace("a=fingerprint", "a=nothing"))
    answer = hang_up(attempt, one, two, invite, text)
    for message in ringing, answer, *between.answers:
        expect(not message.all(CALLEE) and not message.all(ANSWER), message.text)
    expect(proofs(two) == ["signature+offer-only"], f"{proofs(two)}")


def an_answer_that_nobody_signs_is_told_as_that(world):
    one = world.domain("one.test")
    two = world.domain("two.test", identity="no")
    attempt, invite = called(one, two)
    two.phone.answer(invite, 200, f"{CALLEE}: {BOTH.format('two.test')}", SDP, body=REPLY)
    answer, _ = attempt.accepted()
    expect(answer.all(CALLEE) == ["unverified;media=offer-only"] and answer.body == REPLY, answer.text)
    expect(proofs_of_calls(one) == ["own+signed"], f"{proofs_of_calls(one)}")


def proofs_of_calls(domain):
    return [json.loads(line)["proof"] for line in sipwitch(domain, "calls", "--json").splitlines()]


def calls_that_nobody_signed_are_answered_unsigned(world):
    one = world.domain("one.test", identity="no")
    two = world.domain("two.test")
    between = Between(world, two)
    attempt, invite = called(one, two, between.uri("bob"))
    two.phone.answer(invite, 200, SDP, body=REPLY)
    answer, _ = attempt.accepted()
    expect(not answer.all(CALLEE), answer.text)
    expect(not any(message.all(ANSWER) for message in between.answers), "it was signed")


def a_changed_answer(world, change, status=200):
    """Somebody changes the answer on its way: nobody hears it, and the call ends."""
    one, two = world.two()
    between = Between(world, two, change_back=lambda text: change(text) if
                      text.startswith(f"SIP/2.0 {status}") and "INVITE" in text else text)
    attempt, invite = called(one, two, between.uri("bob"))
    two.phone.answer(invite, status, SDP, body=REPLY)
    return one, two, attempt, invite


def is_refused(one, two, attempt):
    failure = attempt.fails(502)
    expect("Changed" in failure.start, failure.start)
    one.phone.has_nothing(lambda m: m.status == 200 and attempt.is_mine(m), "alice heard it")
    expect(proofs(one) == ["own+signed"], f"{proofs(one)}")


def a_changed_fingerprint_of_an_answer_ends_the_call(world):
    one, two, attempt, _ = a_changed_answer(world, lambda text: text.replace("12:34", "12:35"))
    two.phone.await_request("ACK")
    bye = two.phone.take("BYE", 200)
    expect("changed" in bye.get("Reason"), bye.text)
    is_refused(one, two, attempt)


def a_removed_fingerprint_of_an_answer_ends_the_call(world):
    one, two, attempt, _ = a_changed_answer(world, lambda text: text.replace("a=fingerprint", "a=fingerprinz"))
    two.phone.await_request("ACK")
    two.phone.take("BYE", 200)
    is_refused(one, two, attempt)


def an_answer_of_another_call_ends_the_call(world):
    seen = []

    def change(text):
        message = Message(text)
        seen.extend(message.all(ANSWER))
        return text.replace(message.get(ANSWER), seen[0])
    one, two, attempt, _ = a_changed_answer(world, change)
    attempt.accepted()
    two.phone.await_request("ACK")
    between = Between(world, two, change_back=lambda text: change(text) if
                      text.startswith("SIP/2.0 200") and "INVITE" in text else text)
    again, invite = called(one, two, between.uri("bob"))
    two.phone.answer(invite, 200, SDP, body=REPLY)
    two.phone.await_request("ACK")
    two.phone.take("BYE", 200)
    again.fails(502)


def a_changed_fingerprint_of_early_media_ends_the_call(world):
    one, two, attempt, invite = a_changed_answer(world, lambda text: text.replace("12:34", "12:35"), 183)
    two.phone.take("CANCEL", 200)
    two.phone.answer(invite, 487)
    is_refused(one, two, attempt)


def a_signature_that_was_taken_off_leaves_it_unverified(world):
    one, _, attempt, _ = a_changed_answer(world, lambda text: re.sub(f"{ANSWER}:.*\r\n", "", text))
    answer, _ = attempt.accepted()
    expect(answer.all(CALLEE) == ["unverified;media=offer-only"], answer.text)


def an_answer_whose_certificate_is_out_of_reach_is_unverified(world):
    one = world.domain("one.test")
    two = world.domain("two.test", identity="https://127.0.0.1:1/nothing.pem")
    attempt, invite = called(one, two)
    two.phone.answer(invite, 200, SDP, body=REPLY)
    answer, _ = attempt.accepted()
    expect(answer.all(CALLEE) == ["unverified;media=offer-only"] and answer.body == REPLY, answer.text)


def an_answer_is_signed_after_a_crash_while_it_rings(world):
    one, two = world.two()
    attempt, _ = called(one, two)
    for domain in one, two:
        domain.kill_and_start()
        invite = two.phone.await_request("INVITE")
    two.phone.answer(invite, 200, SDP, body=REPLY)
    answer, _ = attempt.accepted()
    expect(answer.all(CALLEE) == [BOTH.format("two.test")], answer.text)


# ---- diversions

def leads(name, target):
    return f'<routing><redirect identity="{name}" target="{target}"/></routing>'


def diverted(world, change=unchanged):
    """Two servers: `desk` at the first is bob at the second, and who stands between them."""
    two = world.domain("two.test")
    between = Between(world, two, change)
    return world.domain("one.test", extra=leads("desk", between.uri("bob"))), two, between


def diversion(text, change):
    """The request with its diversion changed."""
    lines = [change(line) if line.endswith(';ppt="div"') else line for line in text.split("\r\n")]
    return "\r\n".join(line for line in lines if line is not None)


def a_call_that_is_sent_to_another_domain_says_so(world):
    one, two, between = diverted(world)
    request = delivered(one.phone, two.phone, "sip:desk@one.test")
    expect(request.all(RESULT) == [PROVEN.format("one.test")], request.text)
    fields = between.seen[0].all("Identity")
    expect(len(fields) == 2 and fields[1].endswith(';ppt="div"') and fits(fields[1], one.certificate),
           f"{fields}")
    header, claims = (unpacked(part) for part in fields[1].split(".")[:2])
    expect(header == {"alg": "ES256", "ppt": "div", "typ": "passport", "x5u": one.info}, f"{header}")
    expect(abs(claims.pop("iat") - time.time()) < 30 and
           claims == {"orig": {"uri": "sip:alice@one.test"}, "div": {"uri": "sip:desk@one.test"},
                      "dest": {"uri": ["sip:bob@two.test"]}}, f"{claims}")


def without_its_diversion_a_call_is_not_proven(world):
    one, two, _ = diverted(world, lambda text: diversion(text, lambda line: None))
    request = delivered(one.phone, two.phone, "sip:desk@one.test")
    expect(request.all(RESULT) == ["unverified"], request.text)


def a_changed_diversion_is_refused(world):
    def change(line):
        start, _, signature = line.partition(";")[0].rpartition(".")
        return f"{start}.{signature[8:]}{signature[:8]};{line.partition(';')[2]}"
    one, two, _ = diverted(world, lambda text: diversion(text, change))
    answer = message_to(one.phone, "sip:desk@one.test")
    expect(answer.status == 438, f"it was answered {answer.start}")
    two.phone.has_nothing(lambda m: m.method == "MESSAGE", "it reached bob all the same")


def a_strangers_signature_outlives_a_diversion(world):
    two = world.domain("two.test")
    alias = f'<provision><alias id="desk" contact="{two.uri("bob")}"/></provision>'
    one = world.domain("one.test", extra=alias)
    signer = Signer(world)
    phone = signer.phone(world, one)
    asking = Asking(lambda: phone.ask(phone.request(
        "MESSAGE", "sip:desk@one.test", signer.identity("sip:desk@one.test"), body="hello")))
    request = took(two.phone)
    expect(asking.end().status == 200, "it was not delivered")
    expect(request.all(RESULT) == [PROVEN.format(signer.domain)], request.text)
    expect(len(request.all("Identity")) == 2, request.text)


def what_was_signed_for_another_proves_nothing(world):
    signer = Signer(world)
    two = world.domain("two.test")
    phone = signer.phone(world, two)
    asking = Asking(lambda: phone.ask(phone.request(
        "MESSAGE", two.uri("bob"), signer.identity("sip:eve@four.test"), to="<sip:eve@four.test>",
        body="hello")))
    expect(took(two.phone).all(RESULT) == ["unverified"], "it is proven")
    expect(asking.end().status == 200, "it was not delivered")


CHECKS = [
    what_leaves_for_another_domain_is_signed,
    fingerprints_of_an_offer_are_signed,
    a_date_that_a_phone_gave_is_signed,
    calls_within_the_domain_are_not_signed,
    nothing_is_signed_unless_it_is_configured,
    the_certificate_is_at_our_own_port,
    a_certificate_that_cannot_sign_is_named,
    signing_goes_on_with_a_certificate_that_was_replaced,
    what_another_domain_has_signed_is_proven,
    media_keys_of_an_offer_are_proven,
    an_answered_call_is_recorded_with_it,
    a_changed_fingerprint_is_refused,
    a_removed_fingerprint_is_refused,
    a_changed_caller_is_refused,
    an_expired_certificate_is_refused,
    a_certificate_of_another_domain_is_refused,
    a_certificate_that_nobody_vouches_for_is_refused,
    a_certificate_out_of_reach_is_told,
    a_place_that_never_answers_is_given_up,
    a_caller_who_waits_can_cancel,
    what_was_signed_long_ago_is_refused,
    a_minute_is_where_a_signature_becomes_old,
    another_signer_is_believed,
    a_certificate_is_fetched_once_and_anew_after_a_restart,
    nobody_learns_who_exists_by_a_bad_signature,
    the_result_is_never_believed_from_outside,
    what_must_be_signed_and_is_not_is_refused,
    signed_and_encoded_bodies_pass_untouched,
    media_keys_of_an_answer_are_signed_and_proven,
    an_offer_that_the_answer_makes_is_said_to_be_all_that_is_signed,
    early_media_is_signed_too,
    an_answer_without_keys_is_not_signed,
    an_answer_that_nobody_signs_is_told_as_that,
    calls_that_nobody_signed_are_answered_unsigned,
    a_changed_fingerprint_of_an_answer_ends_the_call,
    a_removed_fingerprint_of_an_answer_ends_the_call,
    an_answer_of_another_call_ends_the_call,
    a_changed_fingerprint_of_early_media_ends_the_call,
    a_signature_that_was_taken_off_leaves_it_unverified,
    an_answer_whose_certificate_is_out_of_reach_is_unverified,
    an_answer_is_signed_after_a_crash_while_it_rings,
    a_call_that_is_sent_to_another_domain_says_so,
    without_its_diversion_a_call_is_not_proven,
    a_changed_diversion_is_refused,
    a_strangers_signature_outlives_a_diversion,
    what_was_signed_for_another_proves_nothing,
]


@contextlib.contextmanager
def world():
    with contextlib.ExitStack() as stack:
        yield (World(stack),)


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS, world, (Failure,)))
