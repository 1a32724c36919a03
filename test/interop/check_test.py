#!/usr/bin/env python3
"""Broken set-ups of a domain: `sipwitch check` finds what is wrong with each, and nothing else.

Prints `ok NAME` or `not ok NAME: why` for each; the exit status is 0 if all are ok. SIPW and
SIPWITCH name other binaries than those of build/release/src. An argument is a part of the names of
the checks to run.
"""

import contextlib
import email.utils
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import certificates
import lab
import sip
import zones
from sip import Failure, Message, expect

SIPWITCH = os.environ.get("SIPWITCH") or os.path.join(lab.ROOT, "build/release/src/sipwitch")
FINE, FAULTY = 0, 3
FORGED = "13 2 " + 64 * "0"

# Addresses of what stands there.
GOOD, CLOSED, SILENT, STRANGE = "192.0.2.31", "192.0.2.32", "192.0.2.33", "192.0.2.34"
REFUSES, BROKEN, LATE, OURS = "192.0.2.35", "192.0.2.36", "192.0.2.37", "192.0.2.11"
STREAMS = "192.0.2.38"
GOOD6 = "2001:db8::31"
FAR, FAR6 = "198.51.100.9", "2001:db8:9::9" # no way leads there


def srv(domain, target, port=5060, service="_sip._udp", priority=1):
    return f"{service}.{domain} SRV {priority} 1 {port} {target}\n"


HOSTS = "".join(f"{name} A {address}\n" for name, address in {
    "ns": zones.ADDRESS, "good": GOOD, "shut": CLOSED, "silent": SILENT, "strange": STRANGE,
    "refuses": REFUSES, "broken": BROKEN, "late": LATE, "inside": "10.9.8.7", "streams": STREAMS,
    "ours": OURS, "loop": "127.0.0.9", "far": FAR}.items()) + (f"good6 AAAA {GOOD6}\n"
                                                               f"far6 AAAA {FAR6}\n")

WRONG = "3 1 1 " + 64 * "0"
IN_FIVE_DAYS = time.gmtime(time.time() + 5 * 86400)
SOON = ("20200101000000Z", time.strftime("%Y%m%d%H%M%SZ", IN_FIVE_DAYS))


def tls(domain, place):
    """The service of a domain by TLS alone, at the server `place` of TLS_SERVERS."""
    return srv(domain, place, 5061, "_sips._tcp")


# Servers of TLS by their names: how each one's certificate is made, by a CA that all know, one that
# nobody knows, and the folder.  Each serves the domain tls-NAME.test.
TLS_SERVERS = {
    "good": lambda known, other, folder: known.make("x", "DNS:tls-good.test"),
    "uri": lambda known, other, folder: known.make("x", "DNS:uri.test,URI:sip:tls-uri.test"),
    "name": lambda known, other, folder: known.make("x", "DNS:name.test"),
    "wildcard": lambda known, other, folder: known.make("x", "DNS:*.test"),
    "expired": lambda known, other, folder: known.make("x", "DNS:tls-expired.test",
                                                       dates=certificates.PAST),
    "early": lambda known, other, folder: known.make("x", "DNS:tls-early.test",
                                                     dates=certificates.FUTURE),
    "purpose": lambda known, other, folder: known.make("x", "DNS:tls-purpose.test",
                                                       "emailProtection"),
    "stranger": lambda known, other, folder: other.make("x", "DNS:tls-stranger.test"),
    "alone": lambda known, other, folder: certificates.self_signed(folder, "tls-alone.test"),
    "proven": lambda known, other, folder: other.make("x", "DNS:proven.test"),
    "changed": lambda known, other, folder: known.make("x", "DNS:tls-changed.test"),
    "lame-tlsa": lambda known, other, folder: known.make("x", "DNS:tls-lame-tlsa.test"),
    "ends": lambda known, other, folder: known.make("x", "DNS:tls-ends.test", dates=SOON),
}
TLS_HOSTS = {name: f"192.0.2.{100 + i}" for i, name in enumerate(TLS_SERVERS)}

# Domain below `test`: its records, and the faults that are found, and no other.
SETUPS = {
    "tls-good": (tls("tls-good", "tls1-good"), []),
    "tls-uri": (tls("tls-uri", "tls1-uri"), []),
    "tls-name": (tls("tls-name", "tls1-name"), ["certificate-name"]),
    "tls-wildcard": (tls("tls-wildcard", "tls1-wildcard"), ["certificate-name"]),
    "tls-expired": (tls("tls-expired", "tls1-expired"), ["certificate-expired"]),
    "tls-early": (tls("tls-early", "tls1-early"), ["certificate-early"]),
    "tls-purpose": (tls("tls-purpose", "tls1-purpose"), ["certificate-purpose"]),
    "tls-stranger": (tls("tls-stranger", "tls1-stranger"), ["certificate-unknown"]),
    "tls-alone": (tls("tls-alone", "tls1-alone"), []),
    "tls-proven": (tls("tls-proven", "tls1-proven"), []),
    "tls-changed": (tls("tls-changed", "tls1-changed") + f"_5061._tcp.tls1-changed TLSA {WRONG}\n",
                    ["tlsa-mismatch"]),
    "tls-lame-tlsa": (tls("tls-lame-tlsa", "tls1-lame-tlsa") + "_tcp.tls1-lame-tlsa NS ns\n",
                      ["tlsa-fails"]),
    "tls-plain": (srv("tls-plain", "streams", 5060, "_sips._tcp"), ["tls-fails"]),
    "tls-shut": (tls("tls-shut", "shut"), ["closed"]),
    "fine": (srv("fine", "good"), []),
    "tls-ends": (tls("tls-ends", "tls1-ends"), []),
    "fine-by-address": (f"fine-by-address A {GOOD}\n", []),
    "fine-by-naptr": ('fine-by-naptr NAPTR 1 1 "s" "SIP+D2U" "" datagrams.fine-by-naptr\n'
                      "datagrams.fine-by-naptr SRV 1 1 5060 good\n", []),
    "fine-by-srv-beside-naptr": (
        srv("fine-by-srv-beside-naptr", "good") +
        'fine-by-srv-beside-naptr NAPTR 1 1 "u" "E2U+sip" "!^.*$!sip:x@y.test!" .\n', []),
    "fine-but-unsigned": ("fine-but-unsigned NS ns\n", []),
    "by-another-ipv6": (srv("by-another-ipv6", "far6"), []),
    "unreachable": (srv("unreachable", "far"), ["unreachable"]),
    "fine-by-ipv6": (srv("fine-by-ipv6", "good6"), []),
    "fine-by-tcp": (srv("fine-by-tcp", "good", service="_sip._tcp"), []),
    "fine-by-cname": (srv("fine-by-cname", "nick") + "nick CNAME good\n", []),
    "nothing": ("", ["not-published"]),
    "only-mail": ("only-mail MX 10 good\n", ["not-published"]),
    "withdrawn": (srv("withdrawn", ".", 0), ["withdrawn"]),
    "no-address": (srv("no-address", "missing"), ["server-without-address"]),
    "no-address-beside": (srv("no-address-beside", "missing") + srv("no-address-beside", "good", priority=2),
                          ["server-without-address"]),
    "an-address-for-a-name": (srv("an-address-for-a-name", "192\\.0\\.2\\.31."), ["srv-broken"]),
    "dangling": ('dangling NAPTR 1 1 "s" "SIP+D2U" "" gone.dangling\n', ["naptr-dangling"]),
    "shut": (srv("shut", "shut"), ["closed"]),
    "shut-by-tcp": (srv("shut-by-tcp", "shut", service="_sip._tcp"), ["closed"]),
    "wrong-port": (srv("wrong-port", "good", 5070), ["closed"]),
    "no-streams": (srv("no-streams", "good") + srv("no-streams", "shut", service="_sip._tcp"),
                   ["closed"]),
    "silent": (srv("silent", "silent"), ["silent"]),
    "second-is-silent": (srv("second-is-silent", "good") +
                         srv("second-is-silent", "silent", priority=2), ["silent"]),
    "strange": (srv("strange", "strange"), ["not-sip"]),
    "web-server": (srv("web-server", "streams", service="_sip._tcp"), ["not-sip"]),
    "other-domain": (srv("other-domain", "refuses"), ["not-served"]),
    "broken-server": (srv("broken-server", "broken"), ["not-served"]),
    "late-clock": (srv("late-clock", "late"), ["clock"]),
    "inside": (srv("inside", "inside"), ["private-address"]),
    "loopback": (srv("loopback", "loop"), ["private-address"]),
    "forged": (f"forged NS ns\nforged DS 1 {FORGED}\n", ["forged"]),
    "lame": ("lame NS ns\n", ["dns-fails"]),
    "ours": (srv("ours", "ours", 5061), ["not-listened"]),
}


# What is said of each fault, and what to do; an asterisk stands for what no test can know.
PUBLISH = "publish what `sipwitch dns` prints, where the domain's zone is kept"
NOBODY = "start the server there, or name the right port in the SRV record"
SILENCE = ("open that port in the firewall, forward it in the router, and see that the server runs")
REACHED = "publish the address that the world reaches it by"
PROOF = "see that the name servers of the domain answer, and that the one that is asked here does"
NAMELESS = "give that name an A or AAAA record, or take it out of the SRV record"


def at_tls(name):
    return f"TLS {TLS_HOSTS[name]}:5061"


def nameless(name):
    return (f"the certificate at {at_tls(name)} does not name tls-{name}.test, which the server's "
            "own name does not replace",
            f"get one with the alternative name DNS:tls-{name}.test, or URI:sip:tls-{name}.test")


WORDS = {
    "tls-name": nameless("name"),
    "tls-wildcard": nameless("wildcard"),
    "tls-expired": (f"the certificate at {at_tls('expired')} was good until 2020-02-01", "renew it"),
    "tls-early": (f"the certificate at {at_tls('early')} is good from 2090-01-01 on",
                  "see to the clocks, or wait"),
    "tls-purpose": (f"the certificate at {at_tls('purpose')} is not for servers, by its purposes",
                    "get one for TLS servers (serverAuth), or for SIP domains"),
    "tls-stranger": (f"nobody known here vouches for the certificate at {at_tls('stranger')}, of "
                     "CN=the tests' CA: *",
                     "put the certificates that lead to its CA behind it, or get one of a CA that "
                     "all know"),
    "tls-changed": (f"what {at_tls('changed')} shows matches none of the TLSA records of "
                    "tls1-changed.test: others with DNSSEC refuse it",
                    "publish _5061._tcp.tls1-changed.test. TLSA 3 1 1 *, or show the certificate "
                    "that the records are of"),
    "tls-lame-tlsa": ("DNS does not answer for the TLSA records _5061._tcp.tls1-lame-tlsa.test: "
                      "others with DNSSEC do not go there",
                      "see that the name servers answer questions for TLSA records, if only that "
                      "there are none"),
    "tls-plain": (f"there is no TLS with TLS {STREAMS}:5060: *",
                  "let the server speak TLS 1.2 or 1.3 at that port, or name the right one in the "
                  "SRV record"),
    "tls-shut": (f"nobody listens at TLS {CLOSED}:5061", NOBODY),
    "nothing": ("DNS knows no SIP server of nothing.test, and no address", PUBLISH),
    "only-mail": ("DNS knows no SIP server of only-mail.test, and no address", PUBLISH),
    "withdrawn": ("withdrawn.test says that it has no SIP (SRV records with a dot for a server)",
                  "if that is not so any more, name a server in the SRV records in place of the "
                  "dot"),
    "no-address": ("_sip._udp.no-address.test names missing.test, which has no address", NAMELESS),
    "no-address-beside": ("_sip._udp.no-address-beside.test names missing.test, which has no "
                          "address", NAMELESS),
    "an-address-for-a-name": ("an SRV record of _sip._udp.an-address-for-a-name.test has a target "
                              "that is no host's name",
                              "name a host there, of letters, digits and hyphens, and not an "
                              "address"),
    "dangling": ("NAPTR leads to gone.dangling.test, where there is no SRV record",
                 "publish that SRV record, or take the NAPTR record out"),
    "shut": (f"nobody listens at UDP {CLOSED}:5060", NOBODY),
    "shut-by-tcp": (f"nobody listens at TCP {CLOSED}:5060", NOBODY),
    "wrong-port": (f"nobody listens at UDP {GOOD}:5070", NOBODY),
    "no-streams": (f"nobody listens at TCP {CLOSED}:5060", NOBODY),
    "silent": (f"nothing comes back from UDP {SILENT}:5060", SILENCE),
    "second-is-silent": (f"nothing comes back from UDP {SILENT}:5060", SILENCE),
    "strange": (f"what answers at UDP {STRANGE}:5060 is not a SIP server",
                "name the port of the SIP server in the SRV record"),
    "web-server": (f"what answers at TCP {STREAMS}:5060 is not a SIP server",
                   "name the port of the SIP server in the SRV record"),
    "other-domain": (f"the server at UDP {REFUSES}:5060 answers OPTIONS for other-domain.test by "
                     "404 Answer",
                     "make that server serve the domain (realm, or localnames), or name the one "
                     "that does in DNS"),
    "broken-server": (f"the server at UDP {BROKEN}:5060 answers OPTIONS for broken-server.test by "
                      "503 Answer", "see what that server's log says, and its load"),
    "late-clock": (f"the clock of UDP {LATE}:5060 is 40* seconds behind that of this machine",
                   "set the clocks of both by NTP"),
    "inside": ("UDP 10.9.8.7:5060 is an address that nobody outside can reach, and from here "
               "nobody answers there", REACHED),
    "loopback": ("UDP 127.0.0.9:5060 is an address that nobody outside can reach, and from here "
                 "nobody answers there", REACHED),
    "unreachable": (f"UDP {FAR}:5060 cannot be reached: *", "see to the network of this machine"),
    "forged": ("what DNS says of forged.test is not what its zone signed: *",
               "sign the zone again, and see that the DS record at its parent is that of its key"),
    "lame": (f"DNS does not answer for lame.test; DNS is asked of {zones.ADDRESS}, and validated",
             PROOF),
    "ours": (f"DNS sends others to UDP {OURS}:5061, where this server does not listen",
             "change the record, or <interface>, <port> and <transport>: `sipwitch dns` prints "
             "records that fit"),
}

# What else is said of a set-up: (set-up, grade, finding, words).
SIGNED, STRIPPED = zones.ADDRESS, "192.0.2.54" # two name servers; the second signs nothing
SAID = [
    ("fine", "ok", "signed", "all of these records are proven by DNSSEC"),
    ("tls-alone", "ok", "signed", "all of these records are proven by DNSSEC"),
    ("fine-but-unsigned", "note", "unsigned",
     "not all of these records are signed (DNSSEC): who is on the way can change them"),
    ("fine-by-address", "note", "no-srv",
     "there are no SRV records: others try the addresses of fine-by-address.test, port 5060, by "
     "UDP"),
    ("fine-by-srv-beside-naptr", "note", "naptr-foreign",
     "the NAPTR records lead to no service that is known here; they are passed over"),
    ("tls-ends", "note", "certificate-ends",
     f"the certificate at {at_tls('ends')} is good until {time.strftime('%Y-%m-%d', IN_FIVE_DAYS)} "
     "only: renew it"),
    ("tls-alone", "note", "certificate-self-signed",
     f"the certificate at {at_tls('alone')} is signed by itself: others cannot know whose it is, "
     "unless TLSA records say so; those that demand to know refuse it"),
    ("by-another-ipv6", "note", "no-ipv6",
     f"UDP [{FAR6}]:5060 cannot be tried: this machine has no IPv6 (*)"),
]


def answer(request, status, *fields):
    lines = [f"SIP/2.0 {status} Answer", *(f"Via: {via}" for via in request.all("Via")),
             f"From: {request.get('From')}", f"To: {request.get('To')};tag=x",
             f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}", *fields,
             "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


def serve_datagrams(stack, address, how):
    """how(request) is the answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    one.bind((address, 5060))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                data, peer = one.recvfrom(65535)
                text = how(Message(data.decode()))
                if text:
                    one.sendto(text, peer)
    threading.Thread(target=serve, daemon=True).start()


def serve_streams(stack, address, how):
    one = stack.enter_context(socket.create_server((address, 5060)))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = one.accept()
                with peer:
                    peer.sendall(how(peer.recv(65535)))
    threading.Thread(target=serve, daemon=True).start()


def serve_tls(stack, address, folder, text):
    path = os.path.join(folder, f"{address}.pem")
    certificates.write(path, text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    one = stack.enter_context(socket.create_server((address, 5061)))

    def serve():
        while True:
            try:
                peer, _ = one.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), peer, context.wrap_socket(peer, server_side=True) as its:
                data = its.recv(65535)
                if data:
                    its.sendall(fine(Message(data.decode())))
    threading.Thread(target=serve, daemon=True).start()


def fine(request):
    return answer(request, 200)


def open_servers(stack):
    for address in GOOD, GOOD6:
        serve_datagrams(stack, address, fine)
    serve_streams(stack, GOOD, lambda data: fine(Message(data.decode())))
    serve_datagrams(stack, SILENT, lambda request: None)
    serve_datagrams(stack, STRANGE, lambda request: b"220 mail.test ESMTP\r\n")
    serve_datagrams(stack, REFUSES, lambda request: answer(request, 404))
    serve_datagrams(stack, BROKEN, lambda request: answer(request, 503))
    late = email.utils.formatdate(time.time() - 4000, usegmt=True)
    serve_datagrams(stack, LATE, lambda request: answer(request, 200, f"Date: {late}"))
    serve_streams(stack, STREAMS, lambda data: b"HTTP/1.1 400 Bad Request\r\n\r\n")


class World:
    def __init__(self, stack):
        self.stack = stack
        self.server = None
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sipwitch-check-"))
        records = HOSTS + "".join(its for its, _ in SETUPS.values()) + self._secure(stack)
        self.names = zones.NameServer(os.path.join(self.folder, "zones"), {
            "fine-but-unsigned.test": "_sip._udp SRV 1 1 5060 good.test.\n",
            "test": records + "made NS ns\nwritten NS ns\n", "made.test": "", "written.test":
            '@ NAPTR 5 5 "u" "E2U+sip" "!^.*$!sip:x@y.test!" .\nwww A 192.0.2.80\n', "lame.test": None, "_tcp.tls1-lame-tlsa.test": None, "forged.test": "_sip._udp SRV 1 1 5060 good.test.\n"})
        stack.callback(self.names.discard)
        self.names.start()
        stripped = zones.NameServer(os.path.join(self.folder, "stripped"), {
            "test": f"ns A {STRIPPED}\ngood A {GOOD}\n{srv('fine', 'good')}"}, (), STRIPPED)
        stack.callback(stripped.discard)
        stripped.start()
        open_servers(stack)

    def _secure(self, stack):
        """Opens the servers of TLS; their records."""
        known, other = (certificates.Authority(os.path.join(self.folder, name)) for name in
                        ("known", "other"))
        self.known = known.pem
        shown = {name: make(known, other, self.folder) for name, make in TLS_SERVERS.items()}
        for name, text in shown.items():
            serve_tls(stack, TLS_HOSTS[name], self.folder, text)
        return ("".join(f"tls1-{name} A {address}\n" for name, address in TLS_HOSTS.items()) +
                f"_5061._tcp.tls1-proven TLSA 3 1 1 {certificates.key_hash(shown['proven'])}\n")

    def clear(self):
        """What a check that failed has left."""
        if self.server:
            self.server.discard()

    def run(self, *words, prefix=None, resolver=None):
        return self.ask("--resolver", resolver or self.names.address, "--trust-anchor",
                        self.names.anchor, "check", *words, prefix=prefix)

    def ask(self, *words, prefix=None):
        prefix = prefix or os.path.join(self.folder, "nobody")
        return subprocess.run([SIPWITCH, "--prefixpath", prefix, *words], capture_output=True,
                              text=True, timeout=60, check=False,
                              env={**os.environ, "SSL_CERT_FILE": self.known})

    def findings(self, *words, **how):
        """(exit status, rows) of a check."""
        done = self.run("--json", *words, **how)
        expect(not done.stderr, f"it said {done.stderr!r}")
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def faults(rows):
    return [row["finding"] for row in rows if row["grade"] == "fault"]


def judge(setup, world, **how):
    _, wanted = SETUPS[setup]
    status, rows = world.findings(f"{setup}.test", **how)
    expect(faults(rows) == wanted, f"found {faults(rows)} of {rows}")
    expect(status == (FAULTY if wanted else FINE), f"exit status {status}")
    said = [(row["text"], row["remedy"]) for row in rows if row["grade"] == "fault"]
    for pair in said:
        expect(all(is_like(*both) for both in zip(WORDS[setup], pair)), f"it said {pair}")
    for row in rows:
        expect((row["grade"] == "fault") == ("remedy" in row), f"{row}")


def is_like(pattern, text):
    return re.fullmatch(re.escape(pattern).replace("\\*", ".+"), text)


def says(setup, grade, finding, words, world):
    _, rows = world.findings(f"{setup}.test")
    said = [row["text"] for row in rows if (row["grade"], row["finding"]) == (grade, finding)]
    expect(len(said) == 1 and is_like(words, said[0]), f"it said {said} of {rows}")


def dnssec_is_told_by_one_row(world):
    """Of the three that there are."""
    for setup, finding, resolver in (("fine", "signed", SIGNED),
                                     ("fine-but-unsigned", "unsigned", SIGNED),
                                     ("fine", "not-validated", STRIPPED)):
        status, rows = world.findings(f"{setup}.test", resolver=resolver)
        told = [(row["finding"], row["text"]) for row in rows
                if row["finding"] in ("signed", "unsigned", "not-validated")]
        expect(status == FINE and [its for its, _ in told] == [finding], f"{told} of {rows}")
    expect(told[0][1] == "whether the records are signed cannot be seen from here", f"{told}")


def graded(rows, grade):
    return [row["finding"] for row in rows if row["grade"] == grade]


def a_certificate_of_nobody_is_noted(world):
    _, rows = world.findings("tls-alone.test")
    expect("certificate-self-signed" in graded(rows, "note"), f"{rows}")
    _, rows = world.findings("tls-good.test")
    expect("certificate-self-signed" not in graded(rows, "note"), f"{rows}")


def what_is_good_about_tls_is_said(world):
    _, rows = world.findings("tls-good.test")
    texts = [row["text"] for row in rows if row["finding"] == "certificate"]
    expect(len(texts) == 1 and "of CN=the tests' CA, is good until 20" in texts[0], f"{rows}")
    expect("answers" in graded(rows, "ok"), f"{rows}")
    _, rows = world.findings("tls-proven.test")
    expect({"tlsa", "dane", "answers"} <= set(graded(rows, "ok")), f"{rows}")


def the_record_to_publish_is_said(world):
    _, rows = world.findings("tls-changed.test")
    shown = os.path.join(world.folder, f"{TLS_HOSTS['changed']}.pem")
    wanted = f"_5061._tcp.tls1-changed.test. TLSA 3 1 1 {certificates.key_hash(certificates.read(shown))}"
    remedies = [row["remedy"] for row in rows if row["finding"] == "tlsa-mismatch"]
    expect(len(remedies) == 1 and wanted in remedies[0], f"no {wanted} in {remedies}")


# ---- our own server

def sipw(world, name, published, port=5060):
    folder = tempfile.mkdtemp(dir=world.folder)
    one = lab.Server(folder, [], OURS, port)
    world.clear()
    with open(one.config, "w", encoding="ascii") as file:
        file.write(f"<sipwitch><registry><realm>{name}</realm></registry><stack>"
                   f"{f'<published>{name}</published>' if published else ''}</stack></sipwitch>")
    world.stack.callback(one.discard)
    world.server = one
    one.start()
    return one


def our_own_server_is_told_what_it_does_not_listen_on(world):
    one = sipw(world, "ours.test", True)
    judge("ours", world, prefix=one.state)
    status, rows = world.findings(prefix=one.state)
    expect((status, faults(rows)) == (FAULTY, ["not-listened"]), f"{status}, {rows}")
    one.stop()


def our_own_server_is_fine(world):
    """Where records and sockets fit; by its name, and without."""
    one = sipw(world, "ours.test", True, 5061)
    for words in ["ours.test"], []:
        status, rows = world.findings(*words, prefix=one.state)
        expect((status, faults(rows)) == (FINE, []), f"{status}, {rows}")
    one.stop()


def a_server_that_lets_nobody_in_is_told_so(world):
    one = sipw(world, "ours.test", False)
    status, rows = world.findings("ours.test", prefix=one.state)
    expect((status, faults(rows)) == (FAULTY, ["closed-to-others"]), f"{status}, {rows}")
    one.stop()


def a_realm_that_is_no_domain_is_told_so(world):
    one = sipw(world, "office", True)
    status, rows = world.findings(prefix=one.state)
    expect((status, faults(rows)) == (FAULTY, ["no-domain"]), f"{status}, {rows}")
    one.stop()


def a_server_for_itself_alone_is_asked_no_more_than_whether_it_answers(world):
    one = sipw(world, "ours.test", False)
    done = world.run(prefix=one.state)
    expect((done.returncode, done.stdout) == (FINE, "the server answers\n"), f"{done}")
    one.stop()


def a_resolver_that_is_silent_is_named(world):
    status, rows = world.findings("fine.test", resolver="192.0.2.99")
    expect((status, faults(rows)) == (FAULTY, ["dns-fails"]), f"{status}, {rows}")
    expect("192.0.2.99" in rows[0]["text"], f"{rows}")


# ---- words

def faults_have_a_remedy_in_words(world):
    done = world.run("shut.test")
    expect(done.returncode == FAULTY, f"exit status {done.returncode}")
    lines = done.stdout.splitlines()
    at = [i for i, line in enumerate(lines) if line.startswith("FAULT  ")]
    expect(len(at) == 1 and "nobody listens at UDP 192.0.2.32:5060" in lines[at[0]],
           done.stdout)
    expect(lines[at[0] + 1].startswith("       -> start the server there"), done.stdout)
    expect(any(line.startswith("ok     _sip._udp.shut.test: shut.test, port 5060") for line in lines),
           done.stdout)


def what_is_no_domain_is_refused(world):
    for word in "192.0.2.1", "a b", "", "x" * 300:
        done = world.run(word)
        expect(done.returncode == 1 and "is no domain" in done.stderr, f"{word}: {done}")


# ---- the records to publish

def what_dns_prints_makes_a_zone_that_check_finds_fine(world):
    one = sipw(world, "made.test", True)
    done = world.ask("dns", prefix=one.state)
    expect(done.returncode == FINE, f"{done}")
    world.names.replace("made.test", done.stdout)
    lab.until(lambda: world.names.serves("_sip._udp.made.test", "SRV") == ["10 10 5060 sip.made.test."],
              sip.PATIENCE, f"zone of {done.stdout}")
    expect(len(world.names.serves("made.test", "NAPTR")) == 3, done.stdout) # by TLS, too
    status, rows = world.findings("made.test", prefix=one.state)
    expect((status, faults(rows)) == (FINE, []), f"{rows}")
    answered = [row["text"] for row in rows if row["finding"] == "answers"]
    expect(len(answered) == 3, f"{rows}")
    one.stop()


def dns_prints_the_addresses_that_it_is_given(world):
    one = sipw(world, "made.test", True)
    done = world.ask("--json", "dns", "203.0.113.5", "2001:db8::5", prefix=one.state)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    addresses = [(row["type"], row["data"]) for row in rows if row["name"] == "sip.made.test."]
    expect(addresses == [("A", "203.0.113.5"), ("AAAA", "2001:db8::5")], f"{rows}")
    done = world.ask("dns", "nowhere", prefix=one.state)
    expect(done.returncode == 1 and "nowhere is no address" in done.stderr, f"{done}")
    one.stop()


def dns_without_a_domain_says_so(world):
    one = sipw(world, "office", True)
    done = world.ask("dns", prefix=one.state)
    expect(done.returncode == 2 and "the realm office is no domain" in done.stderr, f"{done}")
    one.stop()


def with_a_key_the_records_are_written(world):
    """Twice, as after a change; what others have there stays."""
    key = os.path.join(world.folder, "key")
    zones.write_key(key)
    one = sipw(world, "written.test", True)
    for _ in range(2):
        done = world.ask("dns", "--key", key, "--server", zones.ADDRESS, prefix=one.state)
        expect((done.returncode, done.stdout) == (FINE, "8 records are written\n"), f"{done}")
        status, rows = world.findings("written.test", prefix=one.state)
        expect((status, faults(rows)) == (FINE, []), f"{rows}")
        expect(len(world.names.serves("written.test", "NAPTR")) == 4, "NAPTR records")
        expect(world.names.serves("www.written.test", "A") == ["192.0.2.80"], "www is gone")
    done = world.ask("dns", "--key", key, "--server", zones.ADDRESS, "203.0.113.9", prefix=one.state)
    expect(done.returncode == FINE, f"{done}")
    expect(world.names.serves("sip.written.test", "A") == ["203.0.113.9"], "the old address stays")
    one.stop()


def the_record_of_a_certificate_is_written(world):
    """Of one that the server made; of a CA's only where that is wanted, and the old one goes."""
    key = os.path.join(world.folder, "key")
    zones.write_key(key)
    one = sipw(world, "written.test", True)

    def written(*words):
        done = world.ask("dns", "--key", key, "--server", zones.ADDRESS, *words, prefix=one.state)
        expect(done.returncode == FINE, f"{done}")
        rows = world.names.serves("_5061._tcp.sip.written.test", "TLSA")
        return [row.replace(" ", "") for row in rows]
    own = certificates.key_hash(certificates.read(os.path.join(one.state, "certs/self-signed.pem")))
    expect(written() == [f"311{own.upper()}"], f"the record is {written()}")
    authority = certificates.Authority(os.path.join(world.folder, "written-ca"))
    text = authority.make("written.test", "DNS:written.test")
    certificates.write(os.path.join(one.state, "certs/written.test.pem"), text)
    expect(world.ask("reload", prefix=one.state).returncode == FINE, "the reload was refused")
    expect(written() == [], f"the old record stays: {written()}")
    new = certificates.key_hash(text)
    expect(written("--tlsa") == [f"311{new.upper()}"], f"the record is {written('--tlsa')}")
    one.stop()


def a_key_that_is_wrong_or_open_to_others_is_refused(world):
    key = os.path.join(world.folder, "wrong")
    one = sipw(world, "written.test", True)
    zones.write_key(key, "bm90IHRoZSBzZWNyZXQgb2YgdGhlIHRlc3RzIQ==")
    done = world.ask("dns", "--key", key, "--server", zones.ADDRESS, prefix=one.state)
    expect(done.returncode == 20 and "the records were not written" in done.stderr, f"{done}")
    zones.write_key(key, mode=0o644)
    done = world.ask("dns", "--key", key, "--server", zones.ADDRESS, prefix=one.state)
    expect(done.returncode == 2 and "chmod 600" in done.stderr, f"{done}")
    done = world.ask("dns", "--key", f"{key}s", "--server", zones.ADDRESS, prefix=one.state)
    expect(done.returncode == 2 and "No such file" in done.stderr, f"{done}")
    one.stop()


OTHERS = [
    dnssec_is_told_by_one_row,
    a_certificate_of_nobody_is_noted,
    what_is_good_about_tls_is_said,
    the_record_to_publish_is_said,
    what_dns_prints_makes_a_zone_that_check_finds_fine,
    dns_prints_the_addresses_that_it_is_given,
    dns_without_a_domain_says_so,
    with_a_key_the_records_are_written,
    the_record_of_a_certificate_is_written,
    a_key_that_is_wrong_or_open_to_others_is_refused,
    our_own_server_is_told_what_it_does_not_listen_on,
    our_own_server_is_fine,
    a_server_that_lets_nobody_in_is_told_so,
    a_realm_that_is_no_domain_is_told_so,
    a_server_for_itself_alone_is_asked_no_more_than_whether_it_answers,
    a_resolver_that_is_silent_is_named,
    faults_have_a_remedy_in_words,
    what_is_no_domain_is_refused,
]


def run(name, check, *arguments):
    try:
        check(*arguments)
    except (Failure, lab.Failure, OSError, ValueError, subprocess.SubprocessError) as failure:
        print(f"not ok {name}: {failure}", flush=True)
        return False
    print(f"ok {name}", flush=True)
    return True


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    lab.need("knotd", "keymgr", "nsupdate", "dig", "openssl")
    lab.enter()
    subprocess.run(["ip", "address", "add", f"{GOOD6}/128", "dev", "lo"], check=True)
    subprocess.run(["ip", "route", "add", "unreachable", f"{FAR}/32"], check=True)
    checks = [(f"setup_{setup}", judge, setup) for setup in SETUPS if setup != "ours"]
    checks += [(f"{finding}_of_{setup}", says, setup, grade, finding, words)
               for setup, grade, finding, words in SAID]
    checks += [(check.__name__, check) for check in OTHERS]
    checks = [check for check in checks if word in check[0]]
    if not checks:
        sys.exit(f"check_test: no check's name contains {word!r}")
    with contextlib.ExitStack() as stack:
        world = World(stack)
        return 0 if all([run(*check, world) for check in checks]) else 1


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except lab.Unable as unable:
        sys.exit(f"not ok check_test: {unable}")
