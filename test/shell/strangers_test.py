#!/usr/bin/env python3
"""The real sipw and callers of other domains: what is proven of them, and how that is told.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import statistics
import sys
import time

sys.dont_write_bytecode = True

import server_test
import stream_test
from control_test import rows, watching
from server_test import CONFIG, expect, free_port, server, until
from stream_test import DOMAIN, Peer, header, headers, in_dialog
from tls_test import TlsPeer, client, make_certificate

FIELD = "P-SIPWITCH-Caller"
FORGED = f"{FIELD}: verified;domain=bank.test;by=tls"


@contextlib.contextmanager
def published(stack="", proven=("b.test",), config=CONFIG):
    """A server that lets strangers in, and believes certificates of these domains."""
    port = free_port()
    with server() as one:
        one.tls_port, one.certificates = port, {}
        trusted = os.path.join(one.state, "trusted.pem")
        os.makedirs(one.state, mode=0o700, exist_ok=True)
        for domain in proven:
            path = os.path.join(one.state, f"{domain}.pem")
            one.certificates[domain] = make_certificate(path, domain)
            with open(path, encoding="ascii") as made, open(trusted, "a", encoding="ascii") as all_:
                all_.write(made.read())
        section = (f"<stack><published>{DOMAIN}</published><tls-port>{port}</tls-port>"
                   f"<authfile>{trusted}</authfile>{stack}</stack>")
        with open(one.config, "w", encoding="utf-8") as file:
            file.write(config.replace("<provision>", section + "<provision>"))
        yield one.start()


class Stranger(TlsPeer):
    """Somebody of another domain, by TLS; with `shows`, with the certificate of that one."""

    def __init__(self, one, domain="b.test", shows=None, user="carol"):
        self.domain = domain
        certificate = one.certificates[shows] if shows else None
        super().__init__(one, user, client(certificate=certificate))

    def request(self, *words, **named):
        text = super().request(*words, **named)
        return text.replace(f"From: <sip:{self.user}@{DOMAIN}>",
                            f"From: <sip:{self.user}@{self.domain}>")

    def ring(self, phone, *more, user="bob"):
        """An INVITE that has reached the phone, as it came there."""
        self.send(self.request("INVITE", f"sip:{user}@{DOMAIN}", *more))
        return phone.expect("INVITE ")

    def be_answered(self, phone, invite):
        phone.respond(invite, "200 OK")
        answer = self.expect("SIP/2.0 200 ")
        self.send(in_dialog(self, "ACK", answer, invite))
        phone.expect("ACK ")
        return answer


def said(invite, value):
    """The only such field that a phone got."""
    expect(headers(invite, FIELD) == ([value] if value else []), invite)


def be_refused(caller, phone, invite):
    phone.respond(invite, "486 Busy Here")
    phone.expect("ACK ")
    caller.expect("SIP/2.0 486 ")


# ---- who is proven by TLS

def a_phone_is_told_that_a_domain_is_proven():
    with published() as one:
        bob = Peer(one, "bob", "udp").bind()
        said(Stranger(one, shows="b.test").ring(bob, FORGED), "verified;domain=b.test;by=tls")


def a_certificate_proves_the_domain_that_it_names_alone():
    with published() as one:
        bob = Peer(one, "bob", "udp").bind()
        said(Stranger(one, "c.test", shows="b.test").ring(bob), "unverified")
        said(Stranger(one, "b.test.c.test", shows="b.test").ring(bob), "unverified")


def a_certificate_that_nobody_vouches_for_proves_nothing():
    with published(proven=["b.test"]) as one:
        own = make_certificate(os.path.join(one.state, "own.pem"), "b.test")
        one.certificates["own"] = own
        bob = Peer(one, "bob", "udp").bind()
        said(Stranger(one, shows="own").ring(bob), "unverified")


def who_proves_nothing_is_told_as_that():
    with published() as one:
        bob = Peer(one, "bob", "udp").bind()
        said(Stranger(one).ring(bob, FORGED), "unverified")


def nothing_is_said_of_own_users_nor_by_them():
    with published() as one:
        bob, alice = Peer(one, "bob", "udp").bind(), Peer(one, "alice", "udp").bind()
        alice.begin("INVITE", f"sip:bob@{DOMAIN}", FORGED)
        said(bob.expect("INVITE "), None)


def nobody_says_it_within_a_call():
    with published() as one:
        bob, carol = Peer(one, "bob", "udp").bind(), Stranger(one, shows="b.test")
        invite = carol.ring(bob)
        answer = carol.be_answered(bob, invite)
        info = in_dialog(carol, "INFO", answer, invite)
        carol.send(info.replace("Max-Forwards: 70", f"Max-Forwards: 70\r\n{FORGED}"))
        said(bob.expect("INFO "), None)


def administrators_see_it_in_calls_events_and_records():
    with published() as one:
        bob, carol = Peer(one, "bob", "udp").bind(), Stranger(one, shows="b.test")
        with watching(one, "events") as events:
            invite = carol.ring(bob)
            expect('"proof":"tls"' in events.stdout.readline(), "the event ringing lacks it")
            expect([row["proof"] for row in rows(one, "calls")] == ["tls"], rows(one, "calls"))
            answer = carol.be_answered(bob, invite)
            expect('"proof":"tls"' in events.stdout.readline(), "the event answered lacks it")
            expect([row["proof"] for row in rows(one, "calls")] == ["tls"], rows(one, "calls"))
            carol.send(in_dialog(carol, "BYE", answer, invite))
            bob.respond(bob.expect("BYE "), "200 OK")
            carol.expect("SIP/2.0 200 ")
            expect('"proof":"tls"' in events.stdout.readline(), "the event ended lacks it")
        found = until(lambda: rows(one, "records"), "record")
        expect([row["proof"] for row in found] == ["tls"], found)


def records_tell_own_users_and_strangers():
    with published() as one:
        bob, alice = Peer(one, "bob", "udp").bind(), Peer(one, "alice", "udp").bind()
        alice.begin("INVITE", f"sip:bob@{DOMAIN}")
        be_refused(alice, bob, bob.expect("INVITE "))
        stranger = Stranger(one)
        be_refused(stranger, bob, stranger.ring(bob))
        until(lambda: sorted(row["proof"] for row in rows(one, "records")) == ["none", "own"],
              "records of both")


def records_of_an_older_server_say_nothing_of_it():
    with published() as one:
        bob = Peer(one, "bob", "udp").bind()

        def fail_a_call():
            carol = Stranger(one)
            be_refused(carol, bob, carol.ring(bob))
        fail_a_call()
        until(lambda: rows(one, "records"), "record")
        one.end()
        with contextlib.closing(sqlite3.connect(os.path.join(one.state, "sipwitch.db"))) as file:
            file.executescript("DROP TRIGGER call_removed; DROP TABLE legs")
            for column in ("proof", "media", "media_reason", "caller_expected", "caller_lost",
                           "caller_jitter", "callee_expected", "callee_lost", "callee_jitter"):
                file.execute(f"ALTER TABLE calls DROP COLUMN {column}")
            file.execute("PRAGMA user_version = 3")
            file.commit()
        one.start()
        fail_a_call()
        found = until(lambda: [row.get("proof") for row in rows(one, "records")][1:] and
                      [row.get("proof") for row in rows(one, "records")], "second record")
        expect(found == ["none", None], found)


def it_outlives_a_crash():
    with published() as one:
        bob, carol = Peer(one, "bob", "udp").bind(), Stranger(one, shows="b.test")
        carol.ring(bob)
        one.end(signal.SIGKILL)
        one.start()
        said(bob.expect("INVITE "), "verified;domain=b.test;by=tls")
        expect([row["proof"] for row in rows(one, "calls")] == ["tls"], rows(one, "calls"))


# ---- who is reached, and how often

HOUSE = CONFIG.replace("<provision>", '''<provision>
    <profile id="house" incoming="no" outgoing="no"/>
    <user id="erik" secret="e" extension="205" profile="house"/>
    <user id="gone" secret="g" extension="206"/>
    <alias id="void" contacts="sip:gone@lab.test"/>
    <reject id="nobody" error="404"/>
    <test id="probe" error="486"/>''')
UNLIMITED = "<stranger-source>0</stranger-source><stranger-callee>0</stranger-callee>"


class Visitor(Peer):
    """Somebody of another domain, by UDP."""

    def __init__(self, one, domain="c.test", source="127.0.0.2"):
        self.domain = domain
        super().__init__(one, "carol", "udp", source=source)

    def request(self, *words, **named):
        text = super().request(*words, **named)
        return text.replace(f"From: <sip:{self.user}@{DOMAIN}>",
                            f"From: <sip:{self.user}@{self.domain}>")

    def answer(self, method, user):
        self.send(self.request(method, f"sip:{user}@{DOMAIN}"))
        while (answer := self.receive()).startswith("SIP/2.0 1"):
            pass
        if method == "INVITE":
            self.acknowledge(f"sip:{user}@{DOMAIN}", answer)
        return answer


def of_any(answer, user):
    """An answer without what must differ."""
    for pattern in (r"branch=\S*", r"tag=[^;\s]*", r"CSeq: \d+"):
        answer = re.sub(pattern, "-", answer)
    return answer.replace(f"sip:{user}@", "sip:NAME@")


ABSENT = ["zoe", "299", "erik", "205", "gone", "206", "void", "nobody", "probe", "system",
          "anonymous", "%41%42"]


def who_is_not_there_for_strangers_looks_the_same():
    with published(UNLIMITED, config=HOUSE) as one:
        visitor = Visitor(one)
        for method in "INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE":
            answers = {of_any(visitor.answer(method, user), user) for user in ABSENT}
            expect(len(answers) == 1, f"{method}: {answers}")
            expect(answers.pop().startswith("SIP/2.0 480 "), "it is no 480")


def who_is_not_there_takes_the_same_time():
    with published(UNLIMITED, config=HOUSE) as one:
        visitor = Visitor(one)
        times = {user: [] for user in ("zoe", "erik", "gone")}
        for _ in range(300):
            for user, taken in times.items():
                begun = time.perf_counter()
                visitor.answer("MESSAGE", user)
                taken.append(time.perf_counter() - begun)
        medians = {user: statistics.median(taken) for user, taken in times.items()}
        expect(max(medians.values()) < 1.5 * min(medians.values()), f"{medians}")


def a_source_is_limited_and_told_when_to_come_again():
    with published("<stranger-source>5</stranger-source>") as one:
        visitor, other = Visitor(one), Visitor(one, source="127.0.0.3")
        for _ in range(5):
            expect(visitor.answer("MESSAGE", "zoe").startswith("SIP/2.0 480 "), "refused too early")
        for user in "zoe", "bob":
            answer = visitor.answer("INVITE", user)
            expect(answer.startswith("SIP/2.0 503 "), answer)
            expect(1 <= int(header(answer, "Retry-After")) <= 12, answer)
        expect(other.answer("MESSAGE", "zoe").startswith("SIP/2.0 480 "), "another source is, too")
        bob, alice = Peer(one, "bob", "udp").bind(), Peer(one, "alice", "udp").bind()
        for _ in range(7): # our own users are not
            alice.begin("INVITE", f"sip:bob@{DOMAIN}", call=f"own{alice.serial}")
            be_refused(alice, bob, bob.expect("INVITE "))
        said(Stranger(one, shows="b.test").ring(bob), "verified;domain=b.test;by=tls")


def a_callee_is_limited_and_nothing_is_told():
    with published("<stranger-callee>3</stranger-callee>") as one:
        bob = Peer(one, "bob", "udp").bind()
        sources = [Visitor(one, source=f"127.0.0.{n}") for n in range(10, 16)]
        for visitor in sources[:3]:
            visitor.send(visitor.request("INVITE", f"sip:bob@{DOMAIN}"))
            be_refused_by(bob, visitor)
        told = {of_any(sources[3].answer("INVITE", "bob"), "bob")}
        for visitor in sources[:3]:
            visitor.answer("MESSAGE", "zoe")
        told |= {of_any(sources[3].answer("INVITE", "zoe"), "zoe")}
        expect(len(told) == 1 and told.pop().startswith("SIP/2.0 480 "), told)
        said(Stranger(one, shows="b.test").ring(bob), "verified;domain=b.test;by=tls")


def a_callee_is_limited_by_whatever_name():
    alias = CONFIG.replace("</provision>", f'<alias id="robert" contact="sip:bob@{DOMAIN}"/></provision>')
    names = ["bob", "202", "robert"]
    with published("<stranger-callee>3</stranger-callee>", config=alias) as one:
        bob = Peer(one, "bob", "udp").bind()
        sources = [Visitor(one, source=f"127.0.0.{n}") for n in range(10, 14)]
        for visitor, name in zip(sources, names):
            visitor.send(visitor.request("INVITE", f"sip:{name}@{DOMAIN}"))
            be_refused_by(bob, visitor, name)
        for name in names:
            answer = sources[3].answer("INVITE", name)
            expect(answer.startswith("SIP/2.0 480 "), f"{name}: {answer}")


def be_refused_by(phone, caller, name=None):
    phone.respond(phone.expect("INVITE "), "486 Busy Here")
    phone.expect("ACK ")
    caller.acknowledge(f"sip:{name or phone.user}@{DOMAIN}", caller.expect("SIP/2.0 486 "))


def exempt_networks_are_not_limited():
    access = "</registry><access><friends>127.0.0.2</friends></access>"
    with published("<stranger-source>1</stranger-source><exempt>friends</exempt>",
                   config=CONFIG.replace("</registry>", access)) as one:
        friend, other = Visitor(one), Visitor(one, source="127.0.0.3")
        for _ in range(4):
            expect(friend.answer("MESSAGE", "zoe").startswith("SIP/2.0 480 "), "it is limited")
        other.answer("MESSAGE", "zoe")
        expect(other.answer("MESSAGE", "zoe").startswith("SIP/2.0 503 "), "the other is not")


def a_late_copy_of_what_was_refused_does_not_ring():
    with published("<stranger-source>60</stranger-source>") as one:
        Peer(one, "bob", "udp").bind()
        visitor = Visitor(one)
        answer = "SIP/2.0 480 "
        while answer.startswith("SIP/2.0 480 "):
            answer = visitor.answer("MESSAGE", "zoe")
        expect(answer.startswith("SIP/2.0 503 "), answer)
        invite = visitor.request("INVITE", f"sip:bob@{DOMAIN}")
        visitor.send(invite)
        answer = visitor.expect("SIP/2.0 503 ")
        until(lambda: visitor.answer("MESSAGE", "zoe").startswith("SIP/2.0 480 "), "room again")
        visitor.send(invite)
        expect(visitor.receive().startswith("SIP/2.0 503 "), "the copy was let in")


def users_call_other_domains_if_their_profile_allows_it():
    with published(config=HOUSE) as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
            host.bind(("127.0.0.9", 0))
            host.settimeout(server_test.PATIENCE)
            uri = f"sip:x@127.0.0.9:{host.getsockname()[1]}"
            stream_test.SECRETS["erik"] = "e"
            alice, erik = Peer(one, "alice", "udp"), Peer(one, "erik", "udp")
            alice.begin("MESSAGE", uri)
            expect(host.recv(65536).startswith(f"MESSAGE {uri} ".encode()), "alice's did not come")
            erik.begin("MESSAGE", uri)
            erik.expect("SIP/2.0 403 ")
            forged = alice.request("MESSAGE", uri).replace(f"@{DOMAIN}>;tag", "@c.test>;tag")
            alice.send(forged) # in the name of another domain
            alice.expect("SIP/2.0 403 ")
            visitor = Visitor(one)
            visitor.send(visitor.request("MESSAGE", uri))
            visitor.expect("SIP/2.0 403 ")


CHECKS = [
    a_phone_is_told_that_a_domain_is_proven,
    a_certificate_proves_the_domain_that_it_names_alone,
    a_certificate_that_nobody_vouches_for_proves_nothing,
    who_proves_nothing_is_told_as_that,
    nothing_is_said_of_own_users_nor_by_them,
    nobody_says_it_within_a_call,
    administrators_see_it_in_calls_events_and_records,
    records_tell_own_users_and_strangers,
    records_of_an_older_server_say_nothing_of_it,
    it_outlives_a_crash,
    who_is_not_there_for_strangers_looks_the_same,
    who_is_not_there_takes_the_same_time,
    a_source_is_limited_and_told_when_to_come_again,
    a_callee_is_limited_and_nothing_is_told,
    a_callee_is_limited_by_whatever_name,
    exempt_networks_are_not_limited,
    a_late_copy_of_what_was_refused_does_not_ring,
    users_call_other_domains_if_their_profile_allows_it,
]


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS))
