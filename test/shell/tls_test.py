#!/usr/bin/env python3
"""The real sipw over TLS: handshakes, certificates and their files, limits, phones, and sips.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings

sys.dont_write_bytecode = True
warnings.simplefilter("ignore", DeprecationWarning) # of the versions that must be refused

from server_test import (CONFIG, PATIENCE, SIPW, Failure, Phone, expect, free_port, one_line, run,
                         server, until)
from stream_test import DOMAIN, Peer, call, header, headers, in_dialog, leave_first_flow


@contextlib.contextmanager
def tls_server(stack="", config=CONFIG):
    """With a port of its own for TLS."""
    port = free_port()
    section = f"<stack><tls-port>{port}</tls-port>{stack}</stack>"
    with server(config.replace("<provision>", section + "<provision>")) as one:
        one.tls_port = port
        one.certs = os.path.join(one.state, "certs")
        yield one


def client(version=None, trusted=None, certificate=None):
    """What a phone does TLS with; without `trusted` it believes whatever it is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if trusted:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(trusted)
    if version:
        context.minimum_version = context.maximum_version = version
    if certificate:
        context.load_cert_chain(certificate)
    return context


class TlsPeer(Peer):
    """A phone that speaks TLS."""

    def __init__(self, one, user="alice", context=None, name=DOMAIN, source=None, session=None):
        self.context, self.name, self.tls_session = context or client(), name, session
        super().__init__(one, user, "tls", source=source)

    def dial(self, source):
        one = socket.socket()
        if source:
            one.bind((source, 0))
        one.settimeout(PATIENCE)
        one.connect((self.server[0], self.one.tls_port))
        return self.context.wrap_socket(one, server_hostname=self.name, session=self.tls_session)

    def again(self):
        other = TlsPeer(self.one, self.user, self.context, self.name)
        other.contact = self.contact
        return other

    def receive(self, patience=PATIENCE):
        try:
            return super().receive(patience)
        except ssl.SSLError as error:
            if isinstance(error, TimeoutError):
                raise
            return ""

    def subject(self):
        """The name in the certificate that it was shown."""
        shown = ssl.DER_cert_to_PEM_cert(self.socket.getpeercert(True))
        said = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline"],
                              input=shown, capture_output=True, text=True, check=True).stdout
        return re.search("commonName *= (.*)", said)[1]


def make_certificate(path, name, key=None, names=None, mode=0o600):
    """A self-signed one, and its key in the same file, or in another."""
    made = path + ".new"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName={names or f'DNS:{name}'}", "-keyout",
                    key or made + ".key", "-out", made], check=True, capture_output=True)
    if not key:
        with open(made, "a", encoding="ascii") as both, \
                open(made + ".key", encoding="ascii") as half:
            both.write(half.read())
        os.remove(made + ".key")
    os.chmod(made, mode)
    os.rename(made, path)
    return path


def refused(why, act):
    """A handshake that must not succeed."""
    try:
        act()
    except (ssl.SSLError, OSError):
        return
    raise Failure(why)


def said_by(one):
    """What it wrote to stderr until its end."""
    status, said = one.end()
    expect(status == 0, f"exit status {status}: {said!r}")
    return said


# ---- handshakes

def speaks_tls_1_2_and_1_3():
    with tls_server() as one:
        one.start()
        for version, name in (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3,
                                                                  "TLSv1.3"):
            peer = TlsPeer(one, context=client(version))
            answer = peer.options()
            expect(peer.socket.version() == name, f"it speaks {peer.socket.version()}")
            expect(header(answer, "Via").startswith("SIP/2.0/TLS "), f"answered {answer!r}")


def speaks_nothing_older():
    with tls_server() as one:
        one.start()
        for version in "-tls1", "-tls1_1":
            said = subprocess.run(
                ["openssl", "s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect",
                 f"127.0.0.1:{one.tls_port}"], capture_output=True, text=True, input="",
                timeout=PATIENCE).stderr
            expect("alert protocol version" in said, f"{version}: {said!r}")


def old_ciphers_are_refused():
    with tls_server() as one:
        one.start()
        for cipher in "AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "NULL-SHA256":
            context = client(ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(f"{cipher}:@SECLEVEL=0")
            refused(f"{cipher} was taken", lambda: TlsPeer(one, context=context))


def renegotiation_is_refused():
    with tls_server() as one:
        one.start()
        with subprocess.Popen(
                ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{one.tls_port}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True) as other:
            for line in other.stdout:
                if "Extended master secret" in line:
                    break
            other.stdin.write("R\n")
            other.stdin.flush()
            rest = other.stdout.read()
        expect("no renegotiation" in rest, f"openssl said {rest!r}")
        TlsPeer(one).options()


def sessions_are_resumed():
    with tls_server() as one:
        one.start()
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            context = client(version)
            first = TlsPeer(one, context=context)
            first.options() # a ticket of TLS 1.3 comes with what is read
            again = TlsPeer(one, context=context, session=first.socket.session)
            again.options()
            expect(again.socket.session_reused, f"{version.name} was begun from scratch")


def protocol_is_agreed_on_or_left_open():
    with tls_server() as one:
        one.start()
        for offered, chosen in (["sip/2"], "sip/2"), (["h2", "sip/2"], "sip/2"), (["h2"], None):
            context = client()
            context.set_alpn_protocols(offered)
            peer = TlsPeer(one, context=context)
            expect(peer.socket.selected_alpn_protocol() == chosen, f"for {offered}")
            peer.options()


def plain_sip_and_noise_end_the_connection():
    with tls_server() as one:
        one.start()
        for bytes_sent in (b"OPTIONS sip:lab.test SIP/2.0\r\n\r\n", b"\x16\x03\x01\xff\xff" +
                           os.urandom(3000), b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
                           b"\r\n\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", one.tls_port), PATIENCE) as other:
                other.sendall(bytes_sent)
                with contextlib.suppress(ConnectionResetError):
                    while other.recv(4096):
                        pass
        TlsPeer(one).options()
        expect("TLS with 127.0.0.1:" in said_by(one), "nobody was told")


def slow_handshakes_are_ended():
    with tls_server() as one:
        one.start()
        silent = socket.create_connection(("127.0.0.1", one.tls_port), 3 * PATIENCE)
        slow = socket.create_connection(("127.0.0.1", one.tls_port), 1)
        began = time.monotonic()
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in hello:
                slow.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(1):
                        break
        took = time.monotonic() - began
        expect(8 < took < 30, f"the slow one was ended after {took:.1f} s")
        with contextlib.suppress(ConnectionResetError):
            expect(silent.recv(1) == b"", "the silent one was answered")
        TlsPeer(one).options()


def one_address_has_its_share_of_handshakes():
    with tls_server() as one:
        one.start()
        half = [socket.create_connection(("127.0.0.1", one.tls_port), PATIENCE) for _ in range(64)]
        until(lambda: os.listdir(f"/proc/{one.process.pid}/fd").__len__() > 64, "connections")
        refused("one more was taken", lambda: TlsPeer(one))
        TlsPeer(one, source="127.0.0.2").options()
        for other in half:
            other.close()
        until(lambda: os.listdir(f"/proc/{one.process.pid}/fd").__len__() < 64, "end of them")
        TlsPeer(one).options()


def flood_of_handshakes_leaves_room_for_calls():
    with tls_server() as one:
        one.start()
        phone = Phone(one.port).bind()
        ends = threading.Event()

        def knock(host):
            while not ends.is_set():
                with contextlib.suppress(ssl.SSLError, OSError):
                    TlsPeer(one, source=host).close()
        knockers = [threading.Thread(target=knock, args=[f"127.0.0.{n}"]) for n in range(2, 10)]
        for knocker in knockers:
            knocker.start()
        try:
            for _ in range(50):
                began = time.monotonic()
                expect(phone.ask("OPTIONS").startswith("SIP/2.0 200 "), "OPTIONS was refused")
                expect(time.monotonic() - began < 2, "OPTIONS took 2 s")
        finally:
            ends.set()
            for knocker in knockers:
                knocker.join()


# ---- messages

def messages_come_in_any_pieces():
    with tls_server() as one:
        one.start()
        peer = TlsPeer(one)
        three = "".join(peer.request("OPTIONS", f"sip:{DOMAIN}") for _ in range(3))
        peer.send(three)
        for _ in range(3):
            peer.expect("SIP/2.0 200 ")
        for byte in three.encode():
            peer.send(bytes([byte]))
        for _ in range(3):
            peer.expect("SIP/2.0 200 ")
        peer.send("\r\n\r\n")
        peer.send(peer.request("OPTIONS", f"sip:{DOMAIN}", body="x" * 64000))
        expect(peer.socket.recv(2) == b"\r\n", "the keep-alive was not answered")
        peer.expect("SIP/2.0 200 ")


def many_messages_at_once_are_all_answered():
    with tls_server() as one:
        one.start()
        peer = TlsPeer(one)
        for _ in range(20):
            peer.send("".join(peer.request("OPTIONS", f"sip:{DOMAIN}") for _ in range(150)))
            for _ in range(150):
                peer.expect("SIP/2.0 200 ")


def who_does_not_read_is_not_read_from():
    with tls_server() as one:
        one.start()
        peer = TlsPeer(one)
        peer.socket.settimeout(2)
        many = "".join(peer.request("OPTIONS", f"sip:{DOMAIN}") for _ in range(100)).encode()
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += peer.socket.send(many)
        expect(sent < 64 << 20, "all was taken though nothing was read")
        TlsPeer(one).options()


def end_is_told():
    with tls_server() as one:
        one.start()
        peer = TlsPeer(one)
        peer.send("NONSENSE\r\nContent-Length: x\r\n\r\n")
        try:
            while peer.socket.recv(4096):
                pass
        except ssl.SSLEOFError as error:
            raise Failure("it ended without close_notify") from error


# ---- phones

def phones_call_by_tls():
    with tls_server() as one:
        one.start()
        alice, bob = TlsPeer(one).bind(), TlsPeer(one, "bob").bind()
        invite, answer = call(alice, bob)
        expect(header(invite, "Via").startswith(f"SIP/2.0/TLS 127.0.0.1:{one.tls_port};"),
               f"the INVITE is {invite!r}")
        routes = headers(invite, "Record-Route")
        expect(len(routes) == 1 and f":{one.tls_port};transport=tls;lr" in routes[0],
               f"routes {routes}")
        for peer, other, is_caller in (bob, alice, False), (alice, bob, True):
            peer.send(in_dialog(peer, "BYE" if is_caller else "INFO", answer, invite, is_caller))
            request = other.expect("BYE " if is_caller else "INFO ")
            other.respond(request, "200 OK")
            peer.expect("SIP/2.0 200 ")


def calls_cross_between_transports():
    with tls_server() as one:
        one.start()
        for kinds in ("tls", "udp"), ("udp", "tls"), ("tls", "tcp"), ("tcp", "tls"):
            alice, bob = [TlsPeer(one, user).bind() if kind == "tls" else
                          Peer(one, user, kind).bind() for user, kind in zip(("alice", "bob"), kinds)]
            invite, answer = call(alice, bob)
            routes = headers(invite, "Record-Route")
            expect(len(routes) == 2, f"routes {routes}")
            for route, kind in zip(routes, reversed(kinds)): # the one towards bob is on top
                port = one.tls_port if kind == "tls" else one.port
                param = "" if kind == "udp" else f";transport={kind}"
                expect(f":{port}{param};lr" in route, f"{kinds}: {route}")
            for peer, other, is_caller in (bob, alice, False), (alice, bob, True):
                peer.send(in_dialog(peer, "BYE" if is_caller else "INFO", answer, invite, is_caller))
                other.respond(other.expect("BYE " if is_caller else "INFO "), "200 OK")
                peer.expect("SIP/2.0 200 ")
            for peer in alice, bob:
                peer.ask("REGISTER", f"sip:{DOMAIN}", "Expires: 0")


def call_goes_on_after_kill_when_phones_reconnect():
    with tls_server() as one:
        one.start()
        alice, bob = TlsPeer(one).bind(), TlsPeer(one, "bob").bind()
        invite, answer = call(alice, bob)
        one.end(signal.SIGKILL)
        one.start()
        alice, bob = alice.again(), bob.again()
        bob.bind()
        alice.bind()
        alice.send(in_dialog(alice, "BYE", answer, invite))
        bob.respond(bob.expect("BYE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


def next_flow_is_used_when_the_connection_of_the_first_has_ended():
    with tls_server() as one:
        one.start()
        leave_first_flow(one, TlsPeer(one).bind(), TlsPeer(one, "bob"), Peer(one, "bob", "udp"))


def request_waits_for_a_phone_that_our_restart_cut_off():
    with tls_server() as one:
        one.start()
        alice, bob = TlsPeer(one).bind(), TlsPeer(one, "bob").bind()
        one.end(signal.SIGKILL)
        one.start()
        alice, bob = alice.again(), bob.again()
        alice.begin("MESSAGE", f"sip:bob@{DOMAIN}")
        bob.bind()
        bob.respond(bob.expect("MESSAGE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


def idle_connections_cost_little():
    def resident(pid):
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    with tls_server() as one:
        one.start()
        peers = []

        def add(source):
            peers.append(TlsPeer(one, source=source))
            peers[-1].options()
        for n in range(1, 51):
            add(f"127.0.1.{n}")
        before = resident(one.process.pid)
        for n in range(1000):
            add(f"127.0.{n // 250 + 2}.{n % 250 + 1}")
        each = (resident(one.process.pid) - before) // 1000
        print(f"# {each} bytes a connection", flush=True)
        limit = 1000000 if "sanitized" in os.environ.get("SIPW", "") else 20000
        expect(each < limit, f"{each} bytes a connection")


class TlsHost:
    """Another server, which speaks TLS."""

    def __init__(self, folder, name="host.test", version=None):
        self.pem = make_certificate(os.path.join(folder, f"{name}.pem"), name)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.pem)
        if version:
            self.context.maximum_version = version
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.socket.settimeout(PATIENCE)
        self.port = self.socket.getsockname()[1]

    def accept(self, one):
        plain, _ = self.socket.accept()
        plain.settimeout(PATIENCE)
        return Peer(one, "host", "tls", existing=self.context.wrap_socket(plain, server_side=True))


def another_host_is_called_by_tls():
    for version in None, ssl.TLSVersion.TLSv1_2:
        with tls_server() as one:
            host = TlsHost(one.folder, version=version)
            one.start()
            alice = TlsPeer(one).bind()
            alice.begin("INVITE", f"sip:x@127.0.0.1:{host.port};transport=tls")
            peer = host.accept(one)
            invite = peer.expect("INVITE ")
            expect(header(invite, "Via").startswith("SIP/2.0/TLS "), f"got {invite!r}")
            peer.respond(invite, "486 Busy Here")
            alice.expect("SIP/2.0 486 ")
            peer.expect("ACK ")
            alice.begin("MESSAGE", f"sip:x@127.0.0.1:{host.port};transport=tls")
            peer.respond(peer.expect("MESSAGE "), "200 OK") # by the same connection
            alice.expect("SIP/2.0 200 ")


def sips_reaches_another_host_by_tls():
    with tls_server() as one:
        host = TlsHost(one.folder)
        one.start()
        alice = TlsPeer(one).bind()
        alice.begin("MESSAGE", f"sips:x@127.0.0.1:{host.port}")
        peer = host.accept(one)
        peer.respond(peer.expect("MESSAGE sips:"), "200 OK")
        alice.expect("SIP/2.0 200 ")


def host_that_cannot_do_tls_is_known_at_once():
    with tls_server() as one, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(PATIENCE)
        one.start()
        alice = TlsPeer(one).bind()
        alice.begin("MESSAGE", f"sip:x@127.0.0.1:{other.getsockname()[1]};transport=tls")
        peer, _ = other.accept()
        peer.recv(1000)
        peer.sendall(b"SIP/2.0 400 Bad Request\r\n\r\n")
        began = time.monotonic()
        alice.expect("SIP/2.0 5")
        expect(time.monotonic() - began < 5, "it took 5 s")
        expect("TLS with 127.0.0.1:" in said_by(one), "nobody was told")


def old_versions_of_another_host_are_refused():
    with tls_server() as one:
        host = TlsHost(one.folder)
        host.context.minimum_version = ssl.TLSVersion.TLSv1_1
        host.context.maximum_version = ssl.TLSVersion.TLSv1_1
        host.context.set_ciphers("ALL:@SECLEVEL=0")
        one.start()
        alice = TlsPeer(one).bind()
        alice.begin("MESSAGE", f"sip:x@127.0.0.1:{host.port};transport=tls")
        refused("TLS 1.1 was taken", lambda: host.accept(one))
        alice.expect("SIP/2.0 5")


def unknown_domain_is_not_forgotten():
    with tls_server() as one:
        one.start()
        done = subprocess.run([os.path.join(os.path.dirname(SIPW), "sipwitch"), "--prefixpath",
                               one.state, "forget", "example.net"], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        expect(done.returncode and "example.net has proven itself" in done.stderr,
               f"status {done.returncode}: {done.stderr!r}")


# ---- sips

def sips_goes_by_tls_alone():
    with tls_server() as one:
        one.start()
        alice = TlsPeer(one).bind()
        bob = TlsPeer(one, "bob")
        bob.contact = f"<sips:bob@127.0.0.1:{bob.port}>"
        bob.bind()
        invite, answer = call(alice, bob, f"sips:bob@{DOMAIN}")
        expect(invite.startswith(f"INVITE sips:bob@127.0.0.1:{bob.port} "), f"got {invite!r}")
        routes = headers(invite, "Record-Route")
        expect(len(routes) == 1 and re.match(f"<sips:.*:{one.tls_port};lr>", routes[0]),
               f"routes {routes}")
        alice.send(in_dialog(alice, "BYE", answer, invite))
        bob.respond(bob.expect("BYE sips:"), "200 OK")
        alice.expect("SIP/2.0 200 ")


def sips_is_kept_from_other_transports():
    with tls_server() as one:
        one.start()
        alice = Peer(one, transport="udp").bind()
        contact = alice.contact
        alice.contact = f"<sips:alice@127.0.0.1:{alice.port}>"
        answer = alice.ask("REGISTER", f"sip:{DOMAIN}")
        expect(answer.startswith("SIP/2.0 403 SIPS Without TLS"), f"answered {answer!r}")
        alice.contact = contact
        alice.send(alice.request("OPTIONS", f"sips:bob@{DOMAIN}"))
        alice.expect("SIP/2.0 403 SIPS Without TLS")


def warned(answer, code, text):
    """RFC 5630: what would be possible is said for programs, too."""
    values = headers(answer, "Warning")
    expect(len(values) == 1 and re.fullmatch(rf'{code} \S+:\d+ "{text}"', values[0]),
           f"warned of {values}")


def schemes_do_not_mix():
    with tls_server() as one:
        one.start()
        alice, bob = TlsPeer(one).bind(), TlsPeer(one, "bob").bind()
        alice.begin("MESSAGE", f"sips:bob@{DOMAIN}")
        warned(alice.expect("SIP/2.0 480 SIPS Not Allowed"), 380, "SIPS Not Allowed")
        bob.ask("REGISTER", f"sip:{DOMAIN}", "Expires: 0")
        bob.contact = f"<sips:bob@127.0.0.1:{bob.port}>"
        bob.bind()
        alice.begin("MESSAGE", f"sip:bob@{DOMAIN}")
        warned(alice.expect("SIP/2.0 480 SIPS Required"), 381, "SIPS Required")


# ---- certificates

def certificate_is_made_for_the_realm():
    with tls_server() as one:
        one.start()
        path = os.path.join(one.certs, "self-signed.pem")
        expect(os.stat(path).st_mode & 0o777 == 0o600, "others may read its key")
        peer = TlsPeer(one, context=client(trusted=path))
        expect(peer.subject() == DOMAIN, f"it is for {peer.subject()}")
        names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", path],
                               capture_output=True, text=True, check=True).stdout
        expect(f"DNS:{DOMAIN}, URI:sip:{DOMAIN}\n" in names, f"it names {names!r}")
        peer.close()
        one_line(said_by(one), path, "certificate of its own making")
        with open(path, "rb") as file:
            made = file.read()
        one.start()
        TlsPeer(one, context=client(trusted=path)).close()
        with open(path, "rb") as file:
            expect(file.read() == made, "it was made anew")
        expect(said_by(one) == "", "it was said again")
        with open(one.config, "r+", encoding="utf-8") as file:
            text = file.read().replace(DOMAIN, "other.test")
            file.seek(0)
            file.write(text)
        one.start()
        expect(TlsPeer(one).subject() == "other.test", "it is not for the new realm")


def certificate_of_the_name_is_shown():
    with tls_server() as one:
        os.makedirs(one.certs)
        for name in DOMAIN, "two.test":
            make_certificate(os.path.join(one.certs, f"{name}.pem"), name)
        make_certificate(os.path.join(one.certs, "three.test.pem"), "three.test",
                         key=os.path.join(one.certs, "three.test.key"))
        one.start()
        for name, shown in ((DOMAIN, DOMAIN), ("two.test", "two.test"), ("THREE.test", "three.test"),
                            ("four.test", DOMAIN), (None, DOMAIN)):
            peer = TlsPeer(one, name=name)
            expect(peer.subject() == shown, f"{name}: it is for {peer.subject()}")
            peer.options()
        expect(not os.path.exists(os.path.join(one.certs, "self-signed.pem")), "it made one")


def configured_certificate_is_shown():
    with tls_server() as one:
        pem, key = (os.path.join(one.folder, name) for name in ("c.pem", "c.key"))
        make_certificate(pem, "configured.test", key=key)
        with open(one.config, "r+", encoding="utf-8") as file:
            text = file.read().replace("</stack>", f"<certfile>{pem}</certfile><keyfile>{key}"
                                       "</keyfile></stack>")
            file.seek(0)
            file.write(text)
        one.start()
        expect(TlsPeer(one).subject() == "configured.test", "another is shown")


def bad_certificates_are_refused():
    def spoil(one, how):
        os.makedirs(one.certs)
        pem = os.path.join(one.certs, f"{DOMAIN}.pem")
        key = os.path.join(one.certs, f"{DOMAIN}.key")
        make_certificate(pem, DOMAIN, mode=0o644 if how == "mode" else 0o600)
        if how == "mismatch":
            make_certificate(pem + ".other", DOMAIN, key=key)
            os.remove(pem + ".other")
        elif how == "empty":
            with open(pem, "w", encoding="ascii"):
                pass
        elif how == "no key":
            subprocess.run(["openssl", "x509", "-in", pem, "-out", pem], check=True)
        elif how == "passphrase":
            subprocess.run(["openssl", "pkey", "-in", pem, "-aes128", "-passout", "pass:word",
                            "-out", key], check=True)
            os.chmod(key, 0o600)
        return pem, key
    for how, parts in {"mode": (".pem", "mode 0644", "chmod 600"),
                       "mismatch": (".key", "not that of the certificate"),
                       "empty": (".pem", "no usable certificate"),
                       "no key": (".pem", "no private key"),
                       "passphrase": (".key", "without a passphrase")}.items():
        with tls_server() as one:
            spoil(one, how)
            status, said = one.refuse()
            expect(status == 2, f"{how}: exit status {status}: {said!r}")
            one_line(said, *parts)
    with tls_server("<certfile>/nowhere/c.pem</certfile>") as one:
        status, said = one.refuse()
        expect(status == 2, f"exit status {status}")
        one_line(said, "/nowhere/c.pem", "cannot be read")
    with tls_server("<keyfile>/nowhere/c.key</keyfile>") as one:
        status, said = one.refuse()
        expect(status == 2, f"exit status {status}")
        one_line(said, "keyfile", "certfile")


AUTHORITY = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def make_expired(folder, path, name):
    """One whose time is over, signed by itself."""
    for file, text in ("index", ""), ("config", AUTHORITY.format(folder=folder)):
        with open(os.path.join(folder, file), "w", encoding="ascii") as to:
            to.write(text)
    request, key, made = (os.path.join(folder, part) for part in ("request", "key", "made"))
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "ca", "-selfsign", "-batch", "-notext", "-config",
                    os.path.join(folder, "config"), "-keyfile", key, "-in", request, "-out", made,
                    "-startdate", "20200101000000Z", "-enddate", "20200201000000Z"],
                   check=True, capture_output=True)
    with open(path, "w", encoding="ascii") as both:
        for part in made, key:
            with open(part, encoding="ascii") as half:
                both.write(half.read())
    os.chmod(path, 0o600)


def expired_certificate_is_said():
    with tls_server() as one:
        os.makedirs(one.certs)
        make_expired(one.folder, os.path.join(one.certs, f"{DOMAIN}.pem"), DOMAIN)
        one.start()
        TlsPeer(one).options()
        one_line(said_by(one), f"{DOMAIN}.pem", "has expired")


def reload(one):
    """SIGHUP; whether it was taken."""
    one.process.send_signal(signal.SIGHUP)
    said = ""
    while line := one.next_line():
        said += line
        if "is in force" in line:
            return True, said
        if "stays in force" in line:
            return False, said
    raise Failure(f"no word of the reload: {said!r}")


def certificates_are_replaced_by_a_reload():
    with tls_server() as one:
        os.makedirs(one.certs)
        path = os.path.join(one.certs, f"{DOMAIN}.pem")
        make_certificate(path, "first.test")
        one.start()
        alice, bob = TlsPeer(one).bind(), TlsPeer(one, "bob").bind()
        invite, answer = call(alice, bob)
        half = socket.create_connection(("127.0.0.1", one.tls_port), PATIENCE)
        make_certificate(path, "second.test")
        make_certificate(os.path.join(one.certs, "two.test.pem"), "two.test")
        taken, said = reload(one)
        expect(taken, f"said {said!r}")
        expect(TlsPeer(one).subject() == "second.test", "the old one is shown")
        expect(TlsPeer(one, name="two.test").subject() == "two.test", "the new name's is not shown")
        late = client().wrap_socket(half, server_hostname="two.test") # begun before, asks after
        late.close()
        os.chmod(path, 0o666)
        taken, said = reload(one)
        expect(not taken and "mode 0666" in said, f"said {said!r}")
        expect(TlsPeer(one).subject() == "second.test", "another is shown")
        alice.send(in_dialog(alice, "BYE", answer, invite))
        bob.respond(bob.expect("BYE "), "200 OK")
        alice.expect("SIP/2.0 200 ")


def no_call_is_lost_while_certificates_are_replaced():
    with tls_server() as one:
        os.makedirs(one.certs)
        path = os.path.join(one.certs, f"{DOMAIN}.pem")
        make_certificate(path, "first.test")
        one.start()
        alice, bob = TlsPeer(one).bind(), TlsPeer(one, "bob").bind()
        faults, ends = [], threading.Event()
        calls = 0

        def keep_calling():
            nonlocal calls
            try:
                while not ends.is_set():
                    invite, answer = call(alice, bob)
                    alice.send(in_dialog(alice, "BYE", answer, invite))
                    bob.respond(bob.expect("BYE "), "200 OK")
                    alice.expect("SIP/2.0 200 ")
                    calls += 1
            except (Failure, OSError) as fault:
                faults.append(fault)
        caller = threading.Thread(target=keep_calling)
        caller.start()
        try:
            n = 0
            while not faults and (n < 10 or calls <= 10):
                make_certificate(path, f"number{n}.test")
                taken, said = reload(one)
                expect(taken, f"said {said!r}")
                expect(TlsPeer(one).subject() == f"number{n}.test", "an old one is shown")
                n += 1
        finally:
            ends.set()
            caller.join()
        expect(not faults, f"after {calls} calls: {faults}")


# ---- ports

def port_of_tls_is_the_next_one():
    with server() as one:
        one.start()
        one.tls_port = one.port + 1
        TlsPeer(one).options()


def busy_tls_port_is_said_or_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        busy = other.getsockname()[1]
        stack = f"<stack><tls-port>{busy}</tls-port></stack><provision>"
        with server(CONFIG.replace("<provision>", stack)) as one:
            status, said = one.refuse()
            expect(status == 1, f"exit status {status}: {said!r}")
            one_line(said, f"127.0.0.1:{busy}/tls is in use", "tls-port")
        with server(port=busy - 1) as one:
            one.start()
            expect(Phone(one.port).ask("OPTIONS").startswith("SIP/2.0 200 "), "it does not answer")
            said = said_by(one)
            expect(f"127.0.0.1:{busy}/tls is in use" in said, f"said {said!r}")


def only_tls_is_listened_on():
    with tls_server("<transport>tls</transport>") as one:
        one.start()
        TlsPeer(one).options()
        refused("TCP is served", lambda: Peer(one))


CHECKS = [speaks_tls_1_2_and_1_3, speaks_nothing_older, old_ciphers_are_refused,
          renegotiation_is_refused, sessions_are_resumed, protocol_is_agreed_on_or_left_open,
          plain_sip_and_noise_end_the_connection, slow_handshakes_are_ended,
          one_address_has_its_share_of_handshakes, flood_of_handshakes_leaves_room_for_calls,
          messages_come_in_any_pieces, many_messages_at_once_are_all_answered,
          who_does_not_read_is_not_read_from, end_is_told, phones_call_by_tls,
          calls_cross_between_transports, call_goes_on_after_kill_when_phones_reconnect,
          next_flow_is_used_when_the_connection_of_the_first_has_ended,
          request_waits_for_a_phone_that_our_restart_cut_off, idle_connections_cost_little,
          another_host_is_called_by_tls, sips_reaches_another_host_by_tls,
          host_that_cannot_do_tls_is_known_at_once, old_versions_of_another_host_are_refused,
          unknown_domain_is_not_forgotten, sips_goes_by_tls_alone,
          sips_is_kept_from_other_transports, schemes_do_not_mix, certificate_is_made_for_the_realm,
          certificate_of_the_name_is_shown, configured_certificate_is_shown,
          bad_certificates_are_refused, expired_certificate_is_said,
          certificates_are_replaced_by_a_reload, no_call_is_lost_while_certificates_are_replaced,
          port_of_tls_is_the_next_one, busy_tls_port_is_said_or_refused, only_tls_is_listened_on]


def main():
    return run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
