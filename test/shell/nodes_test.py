#!/usr/bin/env python3
"""Nodes that believe each other which user calls (P-SIPWITCH-Node): two real sipw, and impostors.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import json
import os
import socket
import ssl
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import server_test
import sip
from identity_test import Asking, Domain, RESULT, delivered, sipwitch, took, world
from sip import Failure, Message, expect

OFFICE = "office.test"
FIELD = "P-SIPWITCH-Node"
BELIEVED = "verified;domain={};by=node"
HERE = '<nodes><node address="127.0.0.1"/></nodes>'


class Node(Domain):
    """A running server, with further sections, and the phone of one user."""

    def __init__(self, world, name=OFFICE, extra="", is_public=True, user="bob"):
        self.is_public = is_public
        super().__init__(world, name, identity="no", extra=extra)
        self.phone = self.new_phone(user)

    def config(self):
        is_public = "yes" if self.is_public else "none"
        return super().config().replace("<public>yes<", f"<public>{is_public}<")

    def change(self, extra):
        """Its further sections are others, while it runs."""
        self.extra = extra
        with open(self.process.config, "w", encoding="utf-8") as file:
            file.write(self.config())
        sipwitch(self, "reload")

    def at(self, user):
        """Whom it serves, by its address."""
        return f"sip:{user}@127.0.0.1:{self.port}"


def leads(name, target):
    return f'<routing><redirect identity="{name}" target="{target}"/></routing>'


def pair(world, extra=""):
    """Two servers of one domain; at the first `desk` leads to bob at the second."""
    two = Node(world, extra=HERE + extra)
    return Node(world, extra=HERE + leads("desk", two.at("bob")), user="alice"), two


def answered(phone, uri, *fields, sender=None):
    """The answer to a MESSAGE that nobody gets to see."""
    return phone.ask(phone.request("MESSAGE", uri, *fields, sender=sender)).status


def told(callee, phone, uri, *fields, sender=None):
    """What the callee's phone is told of who sends a MESSAGE."""
    asking = Asking(lambda: phone.ask(phone.request("MESSAGE", uri, *fields, sender=sender)))
    request = took(callee)
    expect(asking.end().status == 200, "it was not delivered")
    expect(not request.all(FIELD), f"the phone was shown {FIELD}: {request.text}")
    return request.all(RESULT)


def other(world, two, user="alice", **more):
    """A sender that is not registered."""
    phone = sip.Phone(two, user, **more)
    world.stack.callback(phone.close)
    return phone


class TlsSender:
    """Who connects by TLS, perhaps with a certificate."""

    def __init__(self, world, two, certificate=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            self.context.load_cert_chain(certificate)
        plain = socket.create_connection(("127.0.0.1", two.port + 1), sip.PATIENCE)
        self.socket = world.stack.enter_context(self.context.wrap_socket(plain))

    def send(self, two, domain, *fields):
        """A MESSAGE of alice's to bob; nobody waits for its answer here."""
        host, port = self.socket.getsockname()
        lines = [f"MESSAGE {two.at('bob')} SIP/2.0", f"Via: SIP/2.0/TLS {host}:{port};branch={sip.unique('z9hG4bK')}",
                 "Max-Forwards: 70", f"From: <sip:alice@{domain}>;tag=1", f"To: <{two.at('bob')}>",
                 f"Call-ID: {sip.unique('c')}", "CSeq: 1 MESSAGE", *sip.COMMON, *fields,
                 "Content-Length: 0"]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def told(self, two, domain, *fields):
        self.send(two, domain, *fields)
        return took(two.phone).all(RESULT)

    def status(self, two, domain, *fields):
        self.send(two, domain, *fields)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.socket.recv(65536)
            expect(piece, "the connection was closed")
            data += piece
        return Message(data.decode()).status


# ---- who is believed

def a_user_of_another_node_is_believed(world):
    one, two = pair(world)
    request = delivered(one.phone, two.phone, f"sip:desk@{OFFICE}")
    expect(request.all(RESULT) == [BELIEVED.format(OFFICE)], request.text)
    expect(not request.all(FIELD), request.text)


def a_call_is_recorded_as_such(world):
    one, two = pair(world)
    attempt = sip.Attempt(one.phone, f"sip:desk@{OFFICE}")
    two.phone.answer(two.phone.await_request("INVITE"), 486)
    attempt.fails(486)
    for server, proof in (one, "own"), (two, "node"):
        server_test.until(lambda at=server: sipwitch(at, "records", "--json"), "the record")
        row = json.loads(sipwitch(server, "records", "--json"))
        expect(row["proof"] == proof, f"{row}")


def a_user_of_both_has_the_rights_of_this_one(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind(("127.0.0.9", 0))
        host.settimeout(sip.PATIENCE)
        outside = f"sip:x@127.0.0.9:{host.getsockname()[1]}"
        two = Node(world, extra=HERE + leads("out", outside))
        one = Node(world, user="alice", extra=HERE + leads("desk", two.at("out")) +
                   '<provision><user id="zoe" secret="z"/></provision>')
        asking = Asking(lambda: one.phone.prove("MESSAGE", f"sip:desk@{OFFICE}"))
        request = Message(host.recv(65536).decode())
        expect(not request.all(FIELD), f"the world was told: {request.text}")
        via = request.all("Via")
        lines = ["SIP/2.0 202 Accepted", *[f"Via: {value}" for value in via],
                 *[f"{name}: {request.get(name)}" for name in ("From", "To", "Call-ID", "CSeq")],
                 "Content-Length: 0"]
        host.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), ("127.0.0.1", two.port))
        expect(asking.end().status == 202, "alice was refused")
    one.users = {**one.users, "zoe": "z"}
    zoe = one.new_phone("zoe")
    expect(zoe.prove("MESSAGE", f"sip:desk@{OFFICE}").status == 404, "zoe went on to others")


def a_caller_whom_only_that_node_knows_reaches_users(world):
    two = Node(world, extra=HERE + '<provision><profile id="*" incoming="no"/></provision>')
    one = Node(world, user="alice", extra=HERE + leads("desk", two.at("bob")) +
               '<provision><user id="zoe" secret="z"/></provision>')
    one.users = {**one.users, "zoe": "z"}
    request = delivered(one.new_phone("zoe"), two.phone, f"sip:desk@{OFFICE}")
    expect(request.all(RESULT) == [BELIEVED.format(OFFICE)], request.text)


def a_node_of_another_domain_is_let_in_where_strangers_are_not(world):
    two = Node(world, "two.test", is_public=False,
               extra='<nodes><node name="one.test" address="127.0.0.1"/></nodes>')
    one = Node(world, "one.test", extra='<nodes><node name="two.test"/></nodes>', user="alice")
    request = delivered(one.phone, two.phone, f"{two.uri('bob')};transport=tcp")
    expect(request.all(RESULT) == [BELIEVED.format("one.test")], request.text)
    one.change("")
    answer = one.phone.prove("MESSAGE", f"{two.uri('bob')};transport=tcp")
    expect(answer.status == 403, f"without the field it was answered {answer.start}")


def a_node_is_known_by_its_certificate(world):
    two = Node(world, "two.test", extra='<nodes><node name="one.test"/></nodes>')
    one = Node(world, "one.test", extra='<nodes><node name="two.test"/></nodes>', user="alice")
    uri = f"sip:bob@two.test:{two.port + 1};transport=tls"
    request = delivered(one.phone, two.phone, uri)
    expect(request.all(RESULT) == ["verified;domain=one.test;by=tls+node"], request.text)
    two.change("")
    request = delivered(one.phone, two.phone, uri)
    expect(request.all(RESULT) == ["verified;domain=one.test;by=tls"], request.text)


def it_is_believed_after_a_crash_while_it_rings(world):
    one, two = pair(world)
    attempt = sip.Attempt(one.phone, f"sip:desk@{OFFICE}")
    two.phone.await_request("INVITE")
    two.kill_and_start()
    invite = two.phone.await_request("INVITE")
    expect(invite.all(RESULT) == [BELIEVED.format(OFFICE)], invite.text)
    two.phone.answer(invite, 486)
    attempt.fails(486)


# ---- who is not

def nobody_is_believed_by_a_datagram(world):
    _, two = pair(world)
    expect(answered(other(world, two), two.at("bob"), f"{FIELD}: yes") == 407, "it was believed")


def nobody_is_believed_from_another_address(world):
    _, two = pair(world)
    impostor = other(world, two, host="127.0.0.2", transport="tcp")
    expect(answered(impostor, two.at("bob"), f"{FIELD}: yes") == 407, "it was believed")
    stranger = "<sip:alice@bank.test>;tag=1"
    expect(told(two.phone, impostor, two.at("bob"), f"{FIELD}: yes", sender=stranger) ==
           ["unverified"], "it was believed for another domain")


def nobody_is_believed_by_another_certificate(world):
    two = Node(world, "two.test", extra='<nodes><node name="one.test"/></nodes>')
    good = world.authority.certify("one.test", os.path.join(world.folder, "good.pem"))
    bad = world.authority.certify("four.test", os.path.join(world.folder, "bad.pem"))
    yes = f"{FIELD}: yes"
    expect(TlsSender(world, two, good).told(two, "one.test", yes) ==
           ["verified;domain=one.test;by=tls+node"], "the node was not believed")
    for certificate in bad, None:
        expect(TlsSender(world, two, certificate).told(two, "one.test", yes) == ["unverified"],
               "an impostor was believed")
        expect(TlsSender(world, two, certificate).status(two, "two.test", yes) == 407,
               "an impostor was believed for a user of ours")


def a_node_speaks_for_no_other_domain(world):
    _, two = pair(world)
    node = other(world, two, transport="tcp")
    stranger = "<sip:alice@bank.test>;tag=1"
    expect(told(two.phone, node, two.at("bob"), f"{FIELD}: yes", sender=stranger) ==
           ["unverified"], "it was believed")


def only_one_yes_counts(world):
    _, two = pair(world)
    node = other(world, two, transport="tcp")
    for fields in (), (f"{FIELD}: no",), (f"{FIELD}: yes", f"{FIELD}: yes"), (f"{FIELD}x: yes",), \
            (f"{FIELD}: yesterday",):
        expect(answered(node, two.at("bob"), *fields) == 407, f"it was believed for {fields}")
    for field in f"{FIELD}: yes", f"p-sipwitch-node : YES ;some=thing":
        expect(told(two.phone, node, two.at("bob"), field) == [BELIEVED.format(OFFICE)],
               f"it was not believed for {field}")


def who_is_refused_here_is_refused_from_there(world):
    two = Node(world, extra=HERE + '<provision><reject id="mallory" error="603"/></provision>')
    node = other(world, two, transport="tcp")
    sender = f"<sip:mallory@{OFFICE}>;tag=1"
    expect(answered(node, two.at("bob"), f"{FIELD}: yes", sender=sender) == 603, "it was let in")


def a_node_that_is_taken_out_is_believed_no_longer(world):
    _, two = pair(world)
    node = other(world, two, transport="tcp")
    expect(told(two.phone, node, two.at("bob"), f"{FIELD}: yes") == [BELIEVED.format(OFFICE)],
           "it was not believed")
    two.change("")
    expect(answered(node, two.at("bob"), f"{FIELD}: yes") == 407, "it was still believed")


# ---- in circles

def nodes_that_lead_to_each_other_end_in_a_loop(world):
    one, two = pair(world)
    two.change(HERE + leads("bench", one.at("bench")))
    one.change(HERE + leads("bench", two.at("bench")))
    answer = one.phone.prove("MESSAGE", f"sip:bench@{OFFICE}")
    expect(answer.status == 482, f"it was answered {answer.start}")


CHECKS = [
    a_user_of_another_node_is_believed,
    a_call_is_recorded_as_such,
    a_user_of_both_has_the_rights_of_this_one,
    a_caller_whom_only_that_node_knows_reaches_users,
    a_node_of_another_domain_is_let_in_where_strangers_are_not,
    a_node_is_known_by_its_certificate,
    it_is_believed_after_a_crash_while_it_rings,
    nobody_is_believed_by_a_datagram,
    nobody_is_believed_from_another_address,
    nobody_is_believed_by_another_certificate,
    a_node_speaks_for_no_other_domain,
    only_one_yes_counts,
    who_is_refused_here_is_refused_from_there,
    a_node_that_is_taken_out_is_believed_no_longer,
    nodes_that_lead_to_each_other_end_in_a_loop,
]


if __name__ == "__main__":
    sys.exit(server_test.run(CHECKS, world, (Failure,)))
