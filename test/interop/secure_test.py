#!/usr/bin/env python3
"""Domains that call each other by TLS: who must prove what, and who is refused, said why.

Each check runs in a network of its own, with names as in domains_test. Prints `ok NAME` or
`not ok NAME: why` for each; the exit status is 0 if all are ok. SIPW names another server binary
than build/release/src/sipw. An argument is a part of the names of the checks to run.
"""

import os
import subprocess
import sys

sys.dont_write_bytecode = True

import domains_test
import lab
from domains_test import A, B, Domain, call, hosts, service
from sip import Attempt, expect

SIPWITCH = os.path.join(lab.ROOT, "build/release/src/sipwitch")


def secure(name, target):
    """The service of a domain by TLS alone."""
    return f"_sips._tcp.{name} SRV 1 1 5061 {target}\n"


SECURE = hosts(pa=A, pb=B) + secure("a", "pa") + secure("b", "pb")


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    """A CA of the tests' own."""

    def __init__(self, folder):
        self.folder = folder
        self.pem, self.key = (os.path.join(folder, name) for name in ("ca.pem", "ca.key"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=the tests' CA", "-addext", "basicConstraints=critical,CA:TRUE",
                "-keyout", self.key, "-out", self.pem)

    def certify(self, domain, names):
        """The domain's server shows a certificate with these alternative names."""
        folder = os.path.join(domain.server.state, "certs")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, f"{domain.domain}.pem")
        request, extensions, made = (os.path.join(self.folder, part)
                                     for part in ("request", "extensions", "made"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={domain.domain}", "-keyout", path + ".new", "-out", request)
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key,
                "-CAcreateserial", "-extfile", extensions, "-out", made)
        with open(made, encoding="ascii") as one, open(path + ".new", encoding="ascii") as other:
            text = one.read() + other.read()
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)


def configure(domain, stack):
    with open(domain.server.config, encoding="utf-8") as file:
        text = file.read().replace("</stack>", f"{stack}</stack>")
    with open(domain.server.config, "w", encoding="utf-8") as file:
        file.write(text)


def two(world, records=SECURE, stack="", names_b="DNS:b.test"):
    """Both domains with certificates of a CA that both trust, and phones."""
    world.publish(records)
    authority = Authority(world.folder)
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    for domain, names in (world.a, "DNS:a.test"), (world.b, names_b):
        configure(domain, f"<authfile>{authority.pem}</authfile>{stack}")
        authority.certify(domain, names)
        domain.start()
    return world.a.phone(), world.b.phone()


def fails(caller):
    answer = Attempt(caller, "sip:bob@b.test").final(30)
    expect(answer.status >= 400, f"INVITE was answered {answer.start}")


def goes_by_tls(invite):
    expect(invite.list("Via")[1].startswith("SIP/2.0/TLS "), invite.text)


def domains_without_a_ca_call_by_tls(world):
    alice, bob = world.publish(SECURE).two()
    goes_by_tls(call(alice, bob))
    goes_by_tls(call(bob, alice))


def verified_domains_call_by_tls(world):
    alice, bob = two(world, stack="<tls-policy>verified</tls-policy>")
    goes_by_tls(call(alice, bob))
    goes_by_tls(call(bob, alice))


def a_sip_uri_in_the_certificate_names_the_domain(world):
    alice, bob = two(world, stack="<tls-policy>verified</tls-policy>",
                     names_b="DNS:pb.test,URI:sip:b.test")
    goes_by_tls(call(alice, bob))


def a_certificate_that_nobody_vouches_for_is_refused(world):
    world.publish(SECURE)
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    configure(world.a, "<tls-policy>verified</tls-policy>")
    for domain in world.a, world.b:
        domain.start()
    fails(world.a.phone())
    world.a.await_log("it does not prove to be b.test: self-signed certificate")


def the_name_of_the_server_is_not_enough(world):
    alice, _ = two(world, stack="<tls-policy>verified</tls-policy>", names_b="DNS:pb.test,DNS:*.test")
    fails(alice)
    world.a.await_log("it does not prove to be b.test: its certificate does not name")


def a_domain_alone_may_have_to_be_verified(world):
    world.publish(SECURE)
    world.a, world.b = Domain(world, "a.test", A, "alice"), Domain(world, "b.test", B, "bob")
    with open(world.a.server.config, encoding="utf-8") as file:
        text = file.read().replace("</sipwitch>", '<domains><domain name="b.test" tls="verified"/>'
                                   "</domains></sipwitch>")
    with open(world.a.server.config, "w", encoding="utf-8") as file:
        file.write(text)
    for domain in world.a, world.b:
        domain.start()
    fails(world.a.phone())


def who_proved_itself_is_not_reached_without(world):
    """A downgrade: the records of TLS are gone from one day to the next."""
    alice, bob = two(world)
    goes_by_tls(call(alice, bob))
    plain = hosts(pa=A, pb=B) + secure("a", "pa") + service("b", (1, "pb"))
    world.names.replace("test", f"ns A {world.names.address}\n{plain}")
    lab.until(lambda: world.names.serves("_sip._udp.b.test", "SRV"), 20.0, "the new zone")
    world.a.server.kill() # what it remembers outlives it; what it knows of DNS does not
    world.a.server.start()
    alice.bind()
    fails(alice)
    subprocess.run([SIPWITCH, "--prefixpath", world.a.server.state, "forget", "b.test"], check=True)
    invite = call(alice, bob)
    expect(invite.list("Via")[1].startswith("SIP/2.0/UDP ") or
           invite.list("Via")[0].startswith("SIP/2.0/UDP "), invite.text)


CHECKS = [
    domains_without_a_ca_call_by_tls,
    verified_domains_call_by_tls,
    a_sip_uri_in_the_certificate_names_the_domain,
    a_certificate_that_nobody_vouches_for_is_refused,
    the_name_of_the_server_is_not_enough,
    a_domain_alone_may_have_to_be_verified,
    who_proved_itself_is_not_reached_without,
]


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(domains_test.main(CHECKS, __file__))
    except lab.Unable as unable:
        sys.exit(f"not ok secure_test: {unable}")
