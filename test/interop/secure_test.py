#!/usr/bin/env python3
"""Domains that call each other by TLS: who must prove what, and who is refused, said why.

Each check runs in a network of its own, with names as in domains_test. Prints `ok NAME` or
`not ok NAME: why` for each; the exit status is 0 if all are ok. SIPW names another server binary
than build/release/src/sipw. An argument is a part of the names of the checks to run.
"""

import contextlib
import copy
import hashlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading

sys.dont_write_bytecode = True

import domains_test
import lab
import sip
from between import Between
from certificates import Authority, PAST, certificate_hash, key_hash, read, self_signed, write
from domains_test import A, A6, B, B6, BOTH_FAMILIES, Domain, call, hosts, refused, service
from link import Link
from sip import Attempt, Call, Dialog, Failure, Message, expect, unique

SIPWITCH = os.path.join(lab.ROOT, "build/release/src/sipwitch")


def secure(name, target):
    """The service of a domain by TLS alone."""
    return f"_sips._tcp.{name} SRV 1 1 5061 {target}\n"


SECURE = hosts(pa=A, pb=B) + secure("a", "pa") + secure("b", "pb")


HALL = "192.0.2.90"
VERIFIED = "<tls-policy>verified</tls-policy>"
DAY = 24 * 3600


def install(domain, text):
    """The domain's server shows that certificate."""
    folder = os.path.join(domain.server.state, "certs")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{domain.domain}.pem")
    write(path + ".new", text)
    os.rename(path + ".new", path)


def configure(domain, stack):
    with open(domain.server.config, encoding="utf-8") as file:
        text = file.read().replace("</stack>", f"{stack}</stack>")
    with open(domain.server.config, "w", encoding="utf-8") as file:
        file.write(text)


def two(world, records=SECURE, stack="", names_b="DNS:b.test", dates_b=None, host_b=B,
        interface_a=None, interface_b=None, others=((), ())):
    """Both domains with certificates of a CA that both trust, and phones."""
    world.publish(records)
    world.authority = authority = Authority(os.path.join(world.folder, "authority"))
    world.a = Domain(world, "a.test", A, "alice", interface_a, others[0])
    world.b = Domain(world, "b.test", host_b, "bob", interface_b, others[1])
    for domain, names, dates in (world.a, "DNS:a.test", None), (world.b, names_b, dates_b):
        configure(domain, f"<authfile>{authority.pem}</authfile>{stack}")
        install(domain, authority.make(domain.domain, names, dates=dates))
        domain.start()
    return world.a.phone(), world.b.phone()


UNPROVEN = "Server Does Not Prove To Be That Domain"


def is_not_believed(world, alice, why):
    """b.test's server, whom alice's asks by TLS; and the log says why."""
    refused(alice, "sip:bob@b.test", 502, UNPROVEN)
    world.a.await_log(f"it does not prove to be b.test: {why}")


def shown(invite, value):
    """What a phone is told of who calls."""
    expect(invite.all("P-SIPWITCH-Caller") == [value], invite.text)


def goes_by_tls(invite):
    expect(invite.list("Via")[1].startswith("SIP/2.0/TLS "), invite.text)


def answered_by(caller, callee):
    """What the caller's phone is told of who answers it."""
    one = Call(caller, callee)
    one.hang_up()
    return one.ok.all("P-SIPWITCH-Callee")


def domains_without_a_ca_call_by_tls(world):
    """And without NAPTR that comes before the others."""
    records = SECURE + service("b", (1, "pb"), transport="tcp") + service("b", (1, "pb"))
    alice, bob = world.publish(records).two()
    goes_by_tls(call(alice, bob))
    goes_by_tls(call(bob, alice))
    told_of = answered_by(alice, bob)
    expect(told_of == ["unverified"], f"alice is told {told_of}")


def verified_domains_call_by_tls(world):
    alice, bob = two(world, stack=VERIFIED)
    goes_by_tls(call(alice, bob))
    goes_by_tls(call(bob, alice))
    told_of = answered_by(alice, bob)
    expect(told_of == ["verified;domain=b.test;by=tls"], f"alice is told {told_of}")


class SecurePhone(sip.Phone):
    """One that speaks TLS with its server, and is called by sips: once it is registered."""

    scheme = "sip"

    def __init__(self, domain):
        super().__init__(domain, domain.user, transport="tcp")
        domain.world.stack.callback(self.close)
        self.bind()
        self.scheme = "sips"

    def open(self, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        there = self.server.host, 5061
        return context.wrap_socket(socket.create_connection(there, sip.PATIENCE, (self.host, port)))

    def aor(self):
        return f"{self.scheme}:{self.user}@{self.domain}"

    def contact(self, *parameters):
        return ";".join((f"sips:{self.user}@{self.host}:{self.port}", *parameters))

    def via(self, branch=None):
        return super().via(branch).replace("/TCP ", "/TLS ")


def sips_goes_by_tls_all_the_way(world):
    """Whatever else a domain publishes; and one that has no TLS is not called."""
    two(world, SECURE + service("b", (1, "pb")) + service("plain", (1, "pb")))
    alice, bob = SecurePhone(world.a), SecurePhone(world.b)
    one = Call(alice, bob)
    goes_by_tls(one.invite)
    expect(one.invite.uri.startswith("sips:"), one.invite.text)
    one.exchange(one.far, alice, "INFO")
    one.hang_up()
    refused(alice, "sips:bob@plain.test", 404)


_KAMAILIO = """listen=tls:{address}:5061
enable_tls=yes
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
modparam("tls", "ca_list", "{authority}")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 0)
modparam("tls", "low_mem_threshold1", -1)
modparam("tls", "low_mem_threshold2", -1)
"""


def a_domain_of_kamailio_calls_and_is_called_by_tls(world):
    """It goes by NAPTR alone, believes the same CA as we do, and each proves itself to the other."""
    domains_test.ask_our_name_server(world)
    world.publish(SECURE + "".join(f'{one} NAPTR 1 1 "s" "SIPS+D2T" "" _sips._tcp.{one}\n'
                                   for one in "ab"))
    authority = Authority(os.path.join(world.folder, "authority"))
    one = Domain(world, "a.test", A, "alice")
    configure(one, f"<authfile>{authority.pem}</authfile>{VERIFIED}")
    install(one, authority.make("a.test", "DNS:a.test", "serverAuth,clientAuth"))
    path = os.path.join(world.folder, "b.pem")
    write(path, authority.make("b.test", "DNS:b.test"))
    alice = one.start().phone()
    bob = domains_test.Kamailio(world, "b.test", B, _KAMAILIO.format(
        address=B, certificate=path, authority=authority.pem)).phone()
    goes_by_tls(call(alice, bob))
    invite = call(bob, alice)
    goes_by_tls(invite)
    shown(invite, "verified;domain=b.test;by=tls")


def a_family_that_is_black_holed_is_not_waited_for(world):
    alice, bob = two(world, SECURE + f"pb AAAA {B6}\n", VERIFIED, interface_a=BOTH_FAMILIES,
                     interface_b=f"{B} {B6}")
    domains_test.one_family_is_black_holed(world, alice, bob, B6)


def a_sip_uri_in_the_certificate_names_the_domain(world):
    alice, bob = two(world, stack=VERIFIED,
                     names_b="DNS:pb.test,URI:sip:b.test")
    goes_by_tls(call(alice, bob))


def a_certificate_that_nobody_vouches_for_is_refused(world):
    world.publish(SECURE)
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    configure(world.a, VERIFIED)
    for domain in world.a, world.b:
        domain.start()
    is_not_believed(world, world.a.phone(), "self-signed certificate")


def the_name_of_the_server_is_not_enough(world):
    alice, _ = two(world, stack=VERIFIED, names_b="DNS:pb.test,DNS:*.test")
    is_not_believed(world, alice, "its certificate does not name that domain")


def who_must_prove_itself_is_not_asked_for_without_tls(world):
    alice, _ = two(world, stack=VERIFIED)
    refused(alice, "sip:bob@b.test;transport=udp", 502, "That Domain Must Prove Itself By TLS")


def a_certificate_that_has_expired_is_refused(world):
    alice, bob = two(world, stack=VERIFIED, dates_b=PAST)
    is_not_believed(world, alice, "certificate has expired")
    expect(not is_remembered(world.a), "it counts as proven")
    shown(call(bob, alice), "unverified") # nor does it prove who calls


def where_nothing_is_demanded_an_expired_certificate_proves_nothing(world):
    alice, bob = two(world, dates_b=PAST)
    invite = call(bob, alice)
    goes_by_tls(invite)
    shown(invite, "unverified")
    expect(is_remembered(world.b, "a.test"), "a.test's good certificate does not count")
    invite = call(alice, bob)
    goes_by_tls(invite)
    shown(invite, "verified;domain=a.test;by=tls")
    expect(not is_remembered(world.a), "it counts as proven")


def a_domain_alone_may_have_to_be_verified(world):
    world.publish(SECURE)
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    demand(world.a, "verified")
    for domain in world.a, world.b:
        domain.start()
    alice, bob = world.a.phone(), world.b.phone()
    is_not_believed(world, alice, "self-signed certificate")
    goes_by_tls(call(bob, alice)) # whose own server demands nothing


def domains_call_by_tls_and_ipv6(world):
    """b.test has nothing else."""
    records = (f"{hosts(pa=A)}pa AAAA {A6}\npb AAAA {B6}\n" + secure("a", "pa") +
               secure("b", "pb"))
    alice, bob = two(world, records, VERIFIED, host_b=B6, interface_a=BOTH_FAMILIES)
    for caller, callee, there in (alice, bob, A6), (bob, alice, B6):
        via = call(caller, callee).list("Via")[1]
        expect(via.startswith(f"SIP/2.0/TLS [{there}]"), via)


# ---- several domains at one address (SNI, RFC 5922)

class Hall:
    """A server that serves several domains at one address, as providers do, and shows each with a
    certificate of its own; it answers every call."""

    def __init__(self, world, certificates, authority=None):
        self.named = [] # of each connection: the domain that it was opened for,
        self.heard = [] # of each INVITE: that, and the domain that it was for
        self.certificates = [] # what was shown to it, if an authority is to vouch for that
        self.contexts = {}
        for domain, text in certificates.items():
            path = os.path.join(world.folder, f"hall-{domain}.pem")
            write(path, text)
            self.contexts[domain] = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            context.sni_callback = self._choose
            if authority:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(authority.pem)
        self.listener = world.stack.enter_context(socket.create_server((HALL, 5061)))
        threading.Thread(target=self._listen, daemon=True).start()

    def _choose(self, stream, name, _context):
        self.named.append(name)
        if name in self.contexts:
            stream.context = self.contexts[name]

    def _listen(self):
        first = next(iter(self.contexts.values()))
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(plain, first), daemon=True).start()

    def _serve(self, plain, context):
        with contextlib.suppress(OSError), plain, \
                context.wrap_socket(plain, server_side=True) as stream:
            named, data = self.named[-1], b""
            self.certificates.append(stream.getpeercert(True))
            while piece := stream.recv(65535):
                *whole, data = (data + piece).split(b"\r\n\r\n")
                for text in whole:
                    self._answer(stream, named, Message(text.decode()))

    def _answer(self, stream, named, request):
        if request.method == "INVITE":
            self.heard.append((named, request.uri.rpartition("@")[2]))
        if request.method == "ACK":
            return
        lines = ["SIP/2.0 200 OK", *(f"{name}: {value}" for name in ("Via", "Record-Route")
                                     for value in request.all(name)),
                 f"From: {request.get('From')}",
                 f"To: {request.get('To')}{'' if request.tag('To') else ';tag=hall'}",
                 f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}",
                 f"Contact: <sip:x@{HALL}:5061;transport=tls>", "Content-Length: 0", "", ""]
        stream.sendall("\r\n".join(lines).encode())


def hall_of(world, **names):
    """One with certificates of these names for b.test and c.test, and alice, whose server demands
    that they prove themselves."""
    world.publish(hosts(pa=A, hall=HALL) + secure("a", "pa") + secure("b", "hall") +
                  secure("c", "hall"))
    authority = Authority(os.path.join(world.folder, "authority"))
    world.a = Domain(world, "a.test", A, "alice")
    configure(world.a, f"<authfile>{authority.pem}</authfile>{VERIFIED}")
    hall = Hall(world, {f"{domain}.test": authority.make(f"{domain}.test", its)
                        for domain, its in names.items()})
    return hall, world.a.start().phone()


def call_hall(alice, domain):
    _, dialog = Attempt(alice, f"sip:x@{domain}").accepted()
    answer = alice.ask(dialog.write("BYE"))
    expect(answer.status == 200, f"BYE was answered {answer.start}")


def domains_at_one_address_each_prove_themselves(world):
    hall, alice = hall_of(world, b="DNS:b.test", c="DNS:c.test")
    for domain in "b.test", "c.test", "b.test", "c.test":
        call_hall(alice, domain)
    expect(hall.named == ["b.test", "c.test"], f"connections were opened for {hall.named}")
    expect(hall.heard == 2 * [("b.test", "b.test"), ("c.test", "c.test")], f"{hall.heard}")


def a_connection_proven_for_one_domain_is_not_used_for_another(world):
    """Though both are at one address, and the first shows the certificate of the other."""
    hall, alice = hall_of(world, b="DNS:b.test", c="DNS:b.test")
    call_hall(alice, "b.test")
    refused(alice, "sip:x@c.test", 502, UNPROVEN)
    world.a.await_log("it does not prove to be c.test: its certificate does not name that domain")
    expect(hall.named == ["b.test", "c.test"], f"connections were opened for {hall.named}")
    expect(hall.heard == [("b.test", "b.test")], f"{hall.heard}")


def a_connection_proven_for_two_domains_carries_calls_to_both(world):
    hall, alice = hall_of(world, b="DNS:b.test,DNS:c.test", c="DNS:c.test")
    for domain in "b.test", "c.test":
        call_hall(alice, domain)
    expect(hall.named == ["b.test"], f"connections were opened for {hall.named}")


# ---- certificates that are replaced

def link(world, here, there):
    """What one server says to the other goes by it."""
    return Link(world.stack, (here, 5061), (there, 5061), here)


class Calling(threading.Thread):
    """Calls on and on, each time by a new connection of the servers, and a new handshake."""

    def __init__(self, caller, callee, link):
        super().__init__(daemon=True)
        self.caller, self.callee, self.link = caller, callee, link
        self.calls, self.fault, self.is_over = 0, None, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.is_over.is_set():
                invite = call(self.caller, self.callee)
                goes_by_tls(invite)
                shown(invite, f"verified;domain={self.caller.domain};by=tls")
                self.calls += 1
                self.link.cut()
        except (Failure, OSError, ValueError) as fault:
            self.fault = fault

    def end(self):
        lab.until(lambda: self.fault or self.calls >= 10, 3 * sip.PATIENCE, "ten calls")
        self.is_over.set()
        self.join()
        expect(not self.fault, f"after {self.calls} calls: {self.fault}")
        expect(self.link.count >= self.calls,
               f"{self.calls} calls by {self.link.count} connections")


def replace_certificate(domain, text, count):
    """A reload, the server's `count`-th, puts it in force: it is what is shown from then on."""
    install(domain, text)
    domain.server.process.send_signal(signal.SIGHUP)
    lab.until(lambda: domain.log().count("the new configuration is in force") == count,
              sip.PATIENCE, "reload")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((domain.host, 5061), 10) as plain, \
            context.wrap_socket(plain, server_hostname=domain.domain) as stream:
        its = hashlib.sha256(stream.getpeercert(True)).hexdigest()
    expect(its == certificate_hash(text), f"{domain.domain} shows another certificate")


def no_call_is_lost_while_certificates_are_replaced(world):
    """Those of both domains, ten times; each server is a server, and a client that shows its own."""
    to_a, to_b = "192.0.2.91", "192.0.2.92"
    records = (hosts(pa=to_a, pb=to_b, hall=HALL) + secure("a", "pa") + secure("b", "pb") +
               secure("c", "hall"))
    alice, bob = two(world, records, VERIFIED, others=(["anna"], ["ben"]))
    anna, ben = world.a.phone(user="anna"), world.b.phone(user="ben")
    make = world.authority.make
    hall = Hall(world, {"c.test": make("c.test", "DNS:c.test")}, world.authority)
    callings = [Calling(alice, ben, link(world, to_b, B)), Calling(bob, anna, link(world, to_a, A))]
    made = None
    for count in range(1, 11):
        for domain in world.b, world.a:
            made = make(domain.domain, f"DNS:{domain.domain}", "serverAuth,clientAuth")
            replace_certificate(domain, made, count)
    for calling in callings:
        calling.end()
    call_hall(alice, "c.test")
    expect(hashlib.sha256(hall.certificates[-1]).hexdigest() == certificate_hash(made),
           "a.test shows an old certificate where it connects")


# ---- signed calls (RFC 8224)

MIDDLE = "192.0.2.91"
OFFER = ("v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
         f"a=fingerprint:sha-256 {':'.join(['AB:CD:EF:01'] * 8)}\r\nm=audio 4000 UDP/TLS/RTP/SAVP 0\r\n")
SDP = "Content-Type: application/sdp"


def use_names(world):
    """Of this network, wherever a name is looked for: certificates are fetched as by any program."""
    path = os.path.join(world.folder, "resolv.conf")
    write(path, f"nameserver {world.names.address}\n")
    subprocess.run(["mount", "--bind", path, os.path.realpath("/etc/resolv.conf")], check=True)


def signed_through(world, change):
    """DNS leads to somebody who passes on what b.test is sent, changed perhaps; a.test signs."""
    records = hosts(a=A, b=B, pm=MIDDLE) + service("a", (1, "a")) + service("b", (1, "pm"))
    world.publish(records)
    use_names(world)
    world.authority = Authority(os.path.join(world.folder, "authority"))
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    for domain in world.a, world.b:
        configure(domain, f"<authfile>{world.authority.pem}</authfile>"
                          f"<identity>https://{domain.domain}:5067/identity.pem</identity>")
        install(domain, world.authority.make(domain.domain, f"DNS:{domain.domain}"))
        domain.start()
    middle = Between(world, world.b, change, place=(MIDDLE, 5060))
    alice, bob = world.a.phone(), world.b.phone()
    return middle, bob, Attempt(alice, "sip:bob@b.test", SDP, body=OFFER)


def a_signed_call_is_proven_whoever_passes_it_on(world):
    middle, bob, attempt = signed_through(world, lambda text: text)
    invite = bob.await_request("INVITE")
    shown(invite, "verified;domain=a.test;by=signature;media=offer-only")
    expect(invite.body == OFFER and middle.seen, invite.text)
    bob.answer(invite, 486)
    attempt.fails(486)


def who_passes_it_on_cannot_put_in_keys_of_his_own(world):
    middle, bob, attempt = signed_through(world, lambda text: text.replace("AB:CD:EF:01", "AB:CD:EF:02", 1))
    attempt.fails(438)
    expect("AB:CD:EF:02" in middle.seen[0].body, middle.seen[0].text)
    bob.has_nothing(lambda m: m.method == "INVITE", "the phone was called")


# ---- one connection for both directions (RFC 5923)

def connections():
    """How many connections of TLS stand between the two servers."""
    done = subprocess.run(["ss", "-Htn", "state", "established"], check=True, capture_output=True,
                          text=True)
    ends = [line.split()[2:4] for line in done.stdout.splitlines()]
    return sum(peer in (f"{A}:5061", f"{B}:5061") and local.split(":")[0] in (A, B)
               for local, peer in ends)


def one_connection_carries_calls_both_ways(world):
    alice, bob = two(world, names_b="DNS:b.test")
    invite = call(alice, bob)
    expect(";alias" in invite.list("Via")[1], invite.text)
    for caller, callee in (bob, alice), (alice, bob), (bob, alice):
        goes_by_tls(call(caller, callee))
    expect(connections() == 1, f"{connections()} connections")


def a_connection_that_broke_is_opened_anew(world):
    """The other server dies: the connection that it opened is gone, and calls go on."""
    alice, bob = two(world, stack=VERIFIED)
    call(bob, alice)
    world.b.server.kill()
    world.b.server.start()
    bob.bind()
    goes_by_tls(call(alice, bob))
    goes_by_tls(call(bob, alice))
    expect(connections() == 1, f"{connections()} connections")


def who_has_proven_nothing_is_not_called_by_its_own_connection(world):
    """Anybody can connect: what its certificate does not prove is looked for where DNS says it is."""
    alice, bob = world.publish(SECURE).two()
    call(bob, alice)
    call(alice, bob)
    expect(connections() == 2, f"{connections()} connections")


# ---- DANE (RFC 7673): nobody knows the CA, and DNSSEC proves what is published

WRONG = "3 1 1 " + 64 * "0"


class Dane:
    """alice of a.test and bob of b.test, whose certificate is of a CA that alice's server does not
    know; record(shown, authority) is the TLSA record of b.test's server."""

    def __init__(self, world, record, policy="", known=False, records=SECURE, chain=False,
                 names="DNS:pb.test", **below):
        authority = Authority(os.path.join(world.folder, "authority"))
        shown = authority.make("b.test", names)
        if chain:
            shown = shown.replace("-----BEGIN PRIVATE", read(authority.pem) + "-----BEGIN PRIVATE")
        at = below.pop("at", "_5061._tcp.pb")
        tlsa = f"{at} TLSA {record(shown, authority)}\n" if record else ""
        world.publish(records + tlsa, **below)
        world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
        if policy:
            demand(world.a, policy)
        if known:
            configure(world.a, f"<authfile>{authority.pem}</authfile>")
        install(world.b, shown)
        for domain in world.a, world.b:
            domain.start()
        self.alice, self.bob = world.a.phone(), world.b.phone()


def demand(domain, policy):
    """It demands that of b.test."""
    with open(domain.server.config, encoding="utf-8") as file:
        text = file.read().replace("</sipwitch>", f'<domains><domain name="b.test" tls="{policy}"/>'
                                   "</domains></sipwitch>")
    with open(domain.server.config, "w", encoding="utf-8") as file:
        file.write(text)


def by_key(shown, authority):
    del authority
    return f"3 1 1 {key_hash(shown)}"


def by_authority(shown, authority):
    del shown
    return f"2 0 1 {certificate_hash(read(authority.pem))}"


def by_key_and_a_ca(shown, authority):
    del authority
    return f"1 1 1 {key_hash(shown)}"


def wrong(shown, authority):
    del shown, authority
    return WRONG


def is_remembered(domain, name="b.test"):
    """Whether it has proven itself; it is forgotten by this."""
    return subprocess.run([SIPWITCH, "--prefixpath", domain.server.state, "forget", name],
                          capture_output=True, check=False).returncode == 0


def dane_proves_a_domain_without_a_ca(world):
    dane = Dane(world, by_key, policy="dane")
    goes_by_tls(call(dane.alice, dane.bob))
    told_of = answered_by(dane.alice, dane.bob)
    expect(told_of == ["verified;domain=b.test;by=tls"], f"alice is told {told_of}")
    expect(is_remembered(world.a), "it does not count as proven")


def dane_is_asked_for_where_nobody_demands_it(world):
    dane = Dane(world, by_key)
    goes_by_tls(call(dane.alice, dane.bob))
    expect(is_remembered(world.a), "it does not count as proven")


def without_dane_the_same_domain_has_proven_nothing(world):
    dane = Dane(world, None)
    goes_by_tls(call(dane.alice, dane.bob))
    expect(not is_remembered(world.a), "it counts as proven")


def dane_may_name_the_authority(world):
    dane = Dane(world, by_authority, policy="dane", chain=True)
    goes_by_tls(call(dane.alice, dane.bob))


def records_that_want_a_ca_as_well_get_it(world):
    """Usages 0 and 1 (RFC 6698 2.1.1)."""
    dane = Dane(world, by_key_and_a_ca, policy="dane", known=True)
    goes_by_tls(call(dane.alice, dane.bob))


def records_that_want_a_ca_do_not_do_without(world):
    dane = Dane(world, by_key_and_a_ca)
    refused(dane.alice, "sip:bob@b.test", 502, UNPROVEN)


def who_does_not_match_the_records_is_refused(world):
    dane = Dane(world, wrong)
    refused(dane.alice, "sip:bob@b.test", 502, UNPROVEN)
    world.a.await_log("it does not prove to be b.test")


def a_ca_does_not_help_who_does_not_match(world):
    dane = Dane(world, wrong, known=True, names="DNS:b.test,DNS:pb.test")
    refused(dane.alice, "sip:bob@b.test", 502, UNPROVEN)


def a_domain_with_records_is_not_called_without_tls(world):
    """A downgrade: who is in the way keeps TLS from coming about, and there is UDP as well."""
    dane = Dane(world, wrong, records=SECURE + service("b", (1, "pb")))
    refused(dane.alice, "sip:bob@b.test", 502)
    world.b.server.stop()
    refused(dane.alice, "sip:bob@b.test", 500)


def a_domain_that_must_have_records_is_refused_without(world):
    dane = Dane(world, None, policy="dane")
    refused(dane.alice, "sip:bob@b.test", 502, "No TLSA Records Prove That Domain")


def records_that_nobody_signed_do_not_count(world):
    """Those of a zone without DNSSEC: they are not asked for, so that the wrong one changes nothing."""
    records = hosts(pa=A) + secure("a", "pa") + "b NS ns\n"
    below = {"b": f"{hosts(pb=B)}_sips._tcp SRV 1 1 5061 pb\n_5061._tcp.pb TLSA {WRONG}\n"}
    dane = Dane(world, None, records=records, **below)
    goes_by_tls(call(dane.alice, dane.bob))


def a_forged_zone_is_refused(world):
    records = hosts(pa=A) + secure("a", "pa") + f"b NS ns\nb DS 1 {domains_test.FORGED}\n"
    below = {"b": f"{hosts(pb=B)}_sips._tcp SRV 1 1 5061 pb\n"}
    dane = Dane(world, None, records=records, **below)
    refused(dane.alice, "sip:bob@b.test", 502, "DNS Answer Is Forged")


def forged_records_are_refused(world):
    """All but the TLSA records is proven, and there is UDP as well."""
    records = (SECURE + service("b", (1, "pb")) +
               f"_tcp.pb NS ns\n_tcp.pb DS 1 {domains_test.FORGED}\n")
    dane = Dane(world, None, records=records, **{"_tcp.pb": f"_5061 TLSA {WRONG}\n"})
    refused(dane.alice, "sip:bob@b.test", 502, "DNS Answer Is Forged")


def records_that_cannot_be_had_are_not_taken_as_absent(world):
    records = SECURE + service("b", (1, "pb")) + "_tcp.pb NS ns\n"
    dane = Dane(world, None, records=records, **{"_tcp.pb": None})
    refused(dane.alice, "sip:bob@b.test", 504, "DNS Does Not Answer")


def servers_that_cannot_be_had_are_not_taken_as_absent(world):
    """Somebody in the way drops the records of TLS of a signed domain; there is UDP as well."""
    records = hosts(pa=A, pb=B) + secure("a", "pa") + service("b", (1, "pb"))
    dane = Dane(world, None, records=records + "_sips._tcp.b NS ns\n", **{"_sips._tcp.b": None})
    refused(dane.alice, "sip:bob@b.test", 504, "DNS Does Not Answer")


def a_server_that_cannot_be_found_does_not_lead_to_one_without_tls(world):
    records = (hosts(pa=A, pb=B) + secure("a", "pa") + service("b", (1, "pb")) +
               secure("b", "one.lost") + "lost NS ns\n")
    dane = Dane(world, None, records=records, lost=None)
    refused(dane.alice, "sip:bob@b.test", 504, "DNS Does Not Answer")


# ---- who calls, and is proven by DANE alone

def told(request):
    return request.get("P-SIPWITCH-Caller")


def shown_as(caller, callee, domain):
    """A call by TLS, whose callee is told that the caller is of that domain."""
    invite = call(caller, callee)
    goes_by_tls(invite)
    expect(told(invite) == f"verified;domain={domain};by=tls", told(invite))


def published(world, stack=""):
    """Both domains show certificates that they have made themselves, and publish their keys."""
    made = {name: self_signed(world.folder, f"{name}.test") for name in "ab"}
    world.publish(SECURE + "".join(f"_5061._tcp.p{name} TLSA 3 1 1 {key_hash(text)}\n"
                                   for name, text in made.items()))
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    for domain, name in (world.a, "a"), (world.b, "b"):
        if stack:
            configure(domain, stack)
        install(domain, made[name])
        domain.start()
    return world.a.phone(), world.b.phone()


def domains_without_a_ca_prove_themselves_both_ways(world):
    alice, bob = published(world)
    for _ in range(2):
        shown_as(alice, bob, "a.test")
        shown_as(bob, alice, "b.test")
    expect(connections() == 1, f"{connections()} connections")
    for domain, other in (world.a, "b.test"), (world.b, "a.test"):
        expect(is_remembered(domain, other), f"{domain.domain} does not count {other} as proven")


def they_prove_themselves_where_dane_is_demanded(world):
    alice, bob = published(world, stack="<tls-policy>dane</tls-policy>")
    shown_as(bob, alice, "b.test")
    shown_as(alice, bob, "a.test")
    expect(connections() == 1, f"{connections()} connections")


def they_prove_themselves_again_after_a_crash(world):
    alice, bob = published(world)
    shown_as(bob, alice, "b.test")
    one = Call(bob, alice)
    for domain in world.a, world.b:
        domain.server.kill()
    for domain in world.a, world.b:
        domain.server.start()
    one.exchange(one.far, bob, "INFO")
    shown_as(bob, alice, "b.test")
    shown_as(alice, bob, "a.test")
    restart(world.b)
    one.exchange(one.far, bob)


def an_impostor_hears_nothing_of_a_call_from_who_was_proven_by_dane(world):
    alice, bob = published(world)
    one = Call(bob, alice)
    hears_nothing(world, one, "Server Does Not Prove To Be That Domain", one.far)


def a_caller_may_be_proven_by_its_authority(world):
    dane = Dane(world, by_authority, chain=True)
    shown_as(dane.bob, dane.alice, "b.test")


def a_caller_may_be_proven_by_records_that_want_a_ca_as_well(world):
    """The CA vouches for the server's name alone, and the records for that as the domain's."""
    dane = Dane(world, by_key_and_a_ca, known=True)
    shown_as(dane.bob, dane.alice, "b.test")


def speak(world, phone, sender, shown):
    """What the phone is told of a MESSAGE from that sender, by somebody who connects to its server
    with that certificate, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown:
        path = os.path.join(world.folder, "shown.pem")
        write(path, shown)
        context.load_cert_chain(path)
    with socket.create_connection((A, 5061), 10, (B, 0)) as plain, \
            context.wrap_socket(plain) as stream:
        stream.sendall(phone.request("MESSAGE", phone.aor(), sender=f"<sip:x@{sender}>;tag=x",
                                     via=f"SIP/2.0/TLS {B}:5061;branch={unique('z9hG4bK')}").encode())
        message = phone.take("MESSAGE", 200)
        expect(stream.recv(65535).startswith(b"SIP/2.0 200 "), "no 200")
    return told(message)


def only_records_that_are_the_domains_own_and_signed_prove_a_caller(world):
    shown, others = (self_signed(world.folder, "right.test") for _ in range(2))
    right = f"TLSA 3 1 1 {key_hash(shown)}\n"
    server = f"_sips._tcp SRV 1 1 5061 p\np A {B}\n_5061._tcp.p {right}"
    world.publish(
        hosts(pa=A, pb=B) + secure("a", "pa") + "".join(secure(name, f"p{name}") for name in
                                                       ("right", "wrong", "none", "old")) +
        f"_5061._tcp.pright {right}_5061._tcp.pwrong TLSA {WRONG}\n" +
        f"_5061._tcp.pold {right}_5061._tcp.pold TLSA {WRONG}\n" +
        f"plain NS ns\nforged NS ns\nforged DS 1 {domains_test.FORGED}\nlame NS ns\n",
        plain=server, forged=server, lame=None)
    world.a = Domain(world, "a.test", A, "alice").start()
    alice = world.a.phone()
    proven = "verified;domain={};by=tls".format
    for sender, certificate, wanted in (
            ("right.test", shown, proven("right.test")),
            ("old.test", shown, proven("old.test")), # one of two records, as while a key is replaced
            ("right.test", others, "unverified"), # its name in a certificate, with another key
            ("right.test", None, "unverified"),
            ("wrong.test", shown, "unverified"),
            ("none.test", shown, "unverified"),
            ("nobody.test", shown, "unverified"),
            ("plain.test", shown, "unverified"),
            ("forged.test", shown, "unverified"),
            ("lame.test", shown, "unverified"),
            ("a.right.test", shown, "unverified"),
    ):
        said = speak(world, alice, sender, certificate)
        expect(said == wanted, f"{sender} is {said}, not {wanted}")


# ---- in a dialog, after its connection has gone: what was proven then is proven again

def restart(domain):
    domain.server.kill()
    domain.server.start()


def a_call_outlives_its_connection(world):
    """The other server dies, and with it the connection; whoever hangs up is heard."""
    alice, bob = two(world, stack=VERIFIED)
    call_by_alice, call_by_bob = Call(alice, bob), Call(bob, alice)
    restart(world.b)
    call_by_alice.exchange(call_by_alice.near, bob, "INFO")
    call_by_alice.exchange(call_by_alice.far, alice)
    call_by_bob.exchange(call_by_bob.near, alice, "INFO")
    call_by_bob.exchange(call_by_bob.far, bob)


def a_call_outlives_both_servers(world):
    alice, bob = two(world, stack=VERIFIED)
    one = Call(alice, bob)
    for domain in world.a, world.b:
        restart(domain)
    one.exchange(one.near, bob, "INFO")
    one.exchange(one.far, alice)


class Impostor:
    """Somebody at the address of b.test's server, with a certificate of the same name that nobody
    vouches for; and what was said to it."""

    def __init__(self, world):
        self.heard, self.came, self.went = b"", threading.Event(), threading.Event()
        path = os.path.join(world.folder, "impostor.pem")
        write(path, self_signed(world.folder, "b.test"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(path)
        self.listener = world.stack.enter_context(socket.create_server((B, 5061)))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self.listener.accept()
                with contextlib.suppress(OSError), plain:
                    plain.settimeout(10)
                    self.came.set()
                    with self.context.wrap_socket(plain, server_side=True) as stream:
                        self.heard += stream.recv(65535)
                self.went.set()


def hears_nothing(world, one, why, end=None):
    """b.test's server is gone, and the caller hangs up, or the other end that is named."""
    end = end or one.near
    world.b.server.stop()
    impostor = Impostor(world)
    end.phone.send(end.write("BYE"))
    answer = end.phone.await_message(
        lambda m: m.status >= 200 and "BYE" in m.get("CSeq"), "answer to BYE", 30)
    expect(answer.status == 502 and why in answer.text, answer.text)
    expect(impostor.came.is_set(), "the impostor was not even asked")
    expect(not impostor.heard, f"it was told {impostor.heard}")


def an_impostor_hears_nothing_of_a_call(world):
    alice, bob = two(world, stack=VERIFIED)
    hears_nothing(world, Call(alice, bob), UNPROVEN)


def an_impostor_hears_nothing_after_a_restart_of_ours(world):
    alice, bob = two(world, stack=VERIFIED)
    one = Call(alice, bob)
    restart(world.a)
    hears_nothing(world, one, UNPROVEN)


def ringing(caller, callee):
    """A call that rings."""
    attempt = Attempt(caller, callee.aor())
    invite = callee.await_request("INVITE")
    callee.answer(invite, 180)
    attempt.provisional(180)
    return attempt, invite


def an_impostor_hears_no_answer(world):
    """The caller's server is gone while it rings."""
    alice, bob = two(world, stack=VERIFIED)
    _, invite = ringing(bob, alice)
    world.b.server.kill()
    impostor = Impostor(world)
    alice.answer(invite, 200)
    expect(impostor.went.wait(20), "the impostor was not even asked")
    expect(not impostor.heard, f"it was told {impostor.heard}")


def an_answer_finds_the_server_of_its_caller_again(world):
    alice, bob = two(world, stack=VERIFIED)
    attempt, invite = ringing(bob, alice)
    restart(world.b)
    alice.answer(invite, 200)
    attempt.accepted()
    alice.await_request("ACK")


def a_call_proven_by_tls_is_not_ended_without(world):
    """By somebody at the same address who has seen all of it."""
    alice, bob = two(world, stack=VERIFIED)
    one = Call(bob, alice)
    its = copy.copy(one.near)
    its.routes = [route for route in its.routes if A in route]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.settimeout(10)
        other.bind((B, 0))
        port = other.getsockname()[1]
        via = f"SIP/2.0/UDP {B}:{port};branch={unique('z9hG4bK')}"
        other.sendto(its.write("BYE", via=via).encode(), (A, 5060))
        status = int(other.recv(65535).split()[1])
    expect(status in (403, 407, 481), f"it was answered {status}")
    alice.has_nothing(lambda m: m.method == "BYE", "the phone was told of it")
    one.exchange(one.near, alice)


def a_call_proven_by_dane_outlives_both_servers(world):
    dane = Dane(world, by_key, policy="dane")
    one = Call(dane.alice, dane.bob)
    restart(world.b)
    one.exchange(one.near, dane.bob, "INFO")
    for domain in world.a, world.b:
        restart(domain)
    one.exchange(one.near, dane.bob)


def an_ack_waits_until_it_is_proven_who_gets_it(world):
    """The connection goes between the answer and its ACK."""
    dane = Dane(world, by_key, policy="dane")
    attempt = Attempt(dane.alice, "sip:bob@b.test")
    dane.bob.answer(dane.bob.await_request("INVITE"), 200)
    near = Dialog.of_caller(dane.alice, attempt.final())
    restart(world.b)
    dane.alice.send(near.write("ACK", cseq=attempt.cseq))
    dane.bob.await_request("ACK")


def a_call_that_is_dropped_ends_at_both_after_its_connection(world):
    """The server's own BYE goes to who proves to be the other domain, too."""
    dane = Dane(world, by_key, policy="dane")
    one = Call(dane.alice, dane.bob)
    restart(world.b)
    subprocess.run([SIPWITCH, "--prefixpath", world.a.server.state, "drop", one.call_id],
                   check=True, stdout=subprocess.DEVNULL)
    for phone in dane.bob, dane.alice:
        phone.take("BYE", 200)


def an_impostor_hears_nothing_of_a_call_proven_by_dane(world):
    dane = Dane(world, by_key)
    hears_nothing(world, Call(dane.alice, dane.bob), UNPROVEN)


def a_ringing_call_proven_by_dane_outlives_our_restart(world):
    dane = Dane(world, by_key, policy="dane")
    attempt = Attempt(dane.alice, "sip:bob@b.test")
    invite = dane.bob.await_request("INVITE")
    dane.bob.answer(invite, 180)
    attempt.provisional(180)
    restart(world.a)
    attempt.provisional(180) # b.test's server says again what it said to the same INVITE
    dane.bob.answer(invite, 200)
    attempt.accepted()
    dane.bob.await_request("ACK")


def hide_tls(world):
    """A downgrade: the records of TLS are gone from one day to the next."""
    plain = hosts(pa=A, pb=B) + secure("a", "pa") + service("b", (1, "pb"))
    world.names.replace("test", f"ns A {world.names.address}\n{plain}")
    lab.until(lambda: world.names.serves("_sip._udp.b.test", "SRV"), 20.0, "the new zone")


def come_back(world, alice):
    """What a.test's server remembers outlives it; what it knows of DNS does not."""
    restart(world.a)
    alice.bind()


def is_not_called_in_clear(alice):
    refused(alice, "sip:bob@b.test", 502, "That Domain Has Proven Itself By TLS, And Has None Now")


def is_called_in_clear(alice, bob):
    invite = call(alice, bob)
    expect(invite.list("Via")[1].startswith("SIP/2.0/UDP "), invite.text)


def who_proved_itself_is_not_reached_without(world):
    alice, bob = two(world)
    goes_by_tls(call(alice, bob))
    hide_tls(world)
    come_back(world, alice)
    is_not_called_in_clear(alice)
    world.a.await_log("if it has given TLS up: sipwitch forget b.test")
    subprocess.run([SIPWITCH, "--prefixpath", world.a.server.state, "forget", "b.test"], check=True)
    is_called_in_clear(alice, bob)
    come_back(world, alice)
    is_called_in_clear(alice, bob)


def who_proved_itself_by_its_own_call_is_not_reached_without(world):
    """By the one connection that it opened itself: its Via says that it is to be called by it."""
    alice, bob = two(world, names_b="DNS:b.test")
    goes_by_tls(call(bob, alice))
    goes_by_tls(call(alice, bob))
    expect(connections() == 1, f"{connections()} connections")
    hide_tls(world)
    come_back(world, alice)
    is_not_called_in_clear(alice)


def it_is_for_thirty_days(world):
    """By a clock that is set forward (test/shell/hasteclock.c)."""
    ahead = os.path.join(world.folder, "ahead")
    alice, bob = two(world)
    goes_by_tls(call(alice, bob))
    hide_tls(world)
    world.a.server.environment = {**os.environ, "LD_PRELOAD": domains_test.HASTE,
                                  "SIPWITCH_HASTE": ahead}
    for days in 15, 29:
        domains_test.set_ahead(ahead, days * DAY)
        come_back(world, alice)
        is_not_called_in_clear(alice)
    domains_test.set_ahead(ahead, 30 * DAY + 3600)
    come_back(world, alice)
    is_called_in_clear(alice, bob)


CHECKS = [
    domains_without_a_ca_call_by_tls,
    verified_domains_call_by_tls,
    sips_goes_by_tls_all_the_way,
    a_domain_of_kamailio_calls_and_is_called_by_tls,
    a_family_that_is_black_holed_is_not_waited_for,
    a_sip_uri_in_the_certificate_names_the_domain,
    a_certificate_that_nobody_vouches_for_is_refused,
    the_name_of_the_server_is_not_enough,
    who_must_prove_itself_is_not_asked_for_without_tls,
    a_certificate_that_has_expired_is_refused,
    where_nothing_is_demanded_an_expired_certificate_proves_nothing,
    a_domain_alone_may_have_to_be_verified,
    domains_call_by_tls_and_ipv6,
    domains_at_one_address_each_prove_themselves,
    a_connection_proven_for_one_domain_is_not_used_for_another,
    a_connection_proven_for_two_domains_carries_calls_to_both,
    no_call_is_lost_while_certificates_are_replaced,
    who_proved_itself_is_not_reached_without,
    who_proved_itself_by_its_own_call_is_not_reached_without,
    it_is_for_thirty_days,
    a_signed_call_is_proven_whoever_passes_it_on,
    who_passes_it_on_cannot_put_in_keys_of_his_own,
    one_connection_carries_calls_both_ways,
    a_connection_that_broke_is_opened_anew,
    who_has_proven_nothing_is_not_called_by_its_own_connection,
    a_call_outlives_its_connection,
    a_call_outlives_both_servers,
    an_impostor_hears_nothing_of_a_call,
    an_impostor_hears_nothing_after_a_restart_of_ours,
    an_impostor_hears_no_answer,
    an_answer_finds_the_server_of_its_caller_again,
    a_call_proven_by_tls_is_not_ended_without,
    a_call_proven_by_dane_outlives_both_servers,
    an_ack_waits_until_it_is_proven_who_gets_it,
    a_call_that_is_dropped_ends_at_both_after_its_connection,
    an_impostor_hears_nothing_of_a_call_proven_by_dane,
    a_ringing_call_proven_by_dane_outlives_our_restart,
    dane_proves_a_domain_without_a_ca,
    dane_is_asked_for_where_nobody_demands_it,
    without_dane_the_same_domain_has_proven_nothing,
    dane_may_name_the_authority,
    records_that_want_a_ca_as_well_get_it,
    records_that_want_a_ca_do_not_do_without,
    who_does_not_match_the_records_is_refused,
    a_ca_does_not_help_who_does_not_match,
    a_domain_with_records_is_not_called_without_tls,
    a_domain_that_must_have_records_is_refused_without,
    records_that_nobody_signed_do_not_count,
    a_forged_zone_is_refused,
    forged_records_are_refused,
    records_that_cannot_be_had_are_not_taken_as_absent,
    servers_that_cannot_be_had_are_not_taken_as_absent,
    a_server_that_cannot_be_found_does_not_lead_to_one_without_tls,
    domains_without_a_ca_prove_themselves_both_ways,
    they_prove_themselves_where_dane_is_demanded,
    they_prove_themselves_again_after_a_crash,
    an_impostor_hears_nothing_of_a_call_from_who_was_proven_by_dane,
    a_caller_may_be_proven_by_its_authority,
    a_caller_may_be_proven_by_records_that_want_a_ca_as_well,
    only_records_that_are_the_domains_own_and_signed_prove_a_caller,
]


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(domains_test.main(CHECKS, __file__))
    except lab.Unable as unable:
        sys.exit(f"not ok secure_test: {unable}")
