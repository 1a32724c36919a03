#!/usr/bin/env python3
"""The real sipw and callers of other domains: what is proven of them, and how that is told.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import os
import signal
import sqlite3
import sys

sys.dont_write_bytecode = True

import server_test
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
            file.execute("ALTER TABLE calls DROP COLUMN proof")
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
]


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS))
