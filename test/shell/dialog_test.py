#!/usr/bin/env python3
"""What phones say to each other within their dialogs passes the real sipw as it was said.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import os
import signal
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))

import server_test
import sip
from sip import Call, Dialog, Failure, Message, expect, unique

USERS = {"alice": "alices secret", "bob": "bobs secret", "carol": "carols secret"}
CONFIG = """<?xml version="1.0"?>
<sipwitch>
  <registry><realm>lab.test</realm><prefix>200</prefix><range>100</range></registry>
  <provision>
    <user id="alice" secret="alices secret" extension="201"/>
    <user id="bob" secret="bobs secret" extension="202"/>
    <user id="carol" secret="carols secret" extension="203"/>
  </provision>
</sipwitch>
"""
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
SDP = "Content-Type: application/sdp"
MIXES = [("udp", "udp"), ("udp", "tcp"), ("tcp", "udp"), ("tcp", "tcp")]
# What a proxy changes in a request (RFC 3261 16.6); all else must pass.
HOPS = {"via", "route", "record-route", "max-forwards", "proxy-authorization"}


class House:
    """A running server, as the phones of the conformance suite want to know it, and its phones."""

    def __init__(self, server, stack, transports, host="127.0.0.1"):
        self.process, self.stack = server, stack
        self.users, self.domain = USERS, "lab.test"
        self.host, self.port, self.transport = host, server.port, "udp"
        self.phones = []
        for user, transport in zip(USERS, transports):
            phone = sip.Phone(self, user, transport=transport)
            stack.callback(lambda phone=phone: phone.close())
            self.phones.append(phone.bind())

    def address(self):
        return self.host, self.port

    def next_host(self):
        return self.host

    def kill_and_start(self):
        """kill -9, and the phones whose connections that broke come back."""
        self.process.end(signal.SIGKILL)
        self.process.start()
        for phone in self.phones:
            if phone.transport == "tcp":
                reconnect(phone)


def reconnect(phone):
    """By another connection; the Contact that it registers anew is the old one."""
    phone.socket.close()
    phone.stream = b""
    phone.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    phone.socket.settimeout(sip.PATIENCE)
    phone.socket.connect((phone.server.host, phone.server.port))
    phone.bind()


def expect_as_sent(sent, received, added=()):
    """A request or response arrived as it was sent, but for what names the hops, and `added`."""
    skipped = HOPS | {name.lower() for name in added}

    def rest(message):
        return [(name, value) for name, value in message.fields if name.lower() not in skipped]
    expect(sent.start == received.start, f"{sent.start!r} arrived as {received.start!r}")
    expect(rest(sent) == rest(received), f"{rest(sent)} arrived as {rest(received)}")
    expect(sent.body == received.body, f"{sent.start}: the body arrived as {received.body!r}")


def arrival(phone, text):
    """The request with this CSeq of this call, and no copy of an earlier one."""
    sent = Message(text)
    return phone.await_message(
        lambda m: m.method == sent.method and m.get("CSeq") == sent.get("CSeq") and
        m.get("Call-ID") == sent.get("Call-ID"), sent.method)


def pass_request(ours, theirs, method, *fields, body="", status=200, answer_fields=(), added=()):
    """A request of one end reaches the other as sent, and so does its answer; the request."""
    text = ours.write(method, *fields, body=body)
    ours.phone.send(text)
    received = arrival(theirs.phone, text)
    expect_as_sent(Message(text), received, added)
    sent = Message(theirs.phone.answer(received, status, *answer_fields))
    cseq = received.get("CSeq")
    answer = ours.phone.await_message(
        lambda m: m.status >= 200 and m.get("CSeq") == cseq and m.get("Call-ID") == ours.call_id,
        f"answer to {method}")
    expect_as_sent(sent, answer, ("Session-Expires", "Require", "Record-Route"))
    return received


def pass_reinvite(ours, theirs, *fields, body=OFFER):
    """A re-INVITE, its 200 and its ACK."""
    received = pass_request(ours, theirs, "INVITE", f"Contact: <{ours.phone.contact()}>", SDP,
                            *fields, body=body, answer_fields=[SDP], added=["Session-Expires"])
    ack = ours.write("ACK", cseq=received.cseq()[0])
    ours.phone.send(ack)
    expect_as_sent(Message(ack), arrival(theirs.phone, ack))


def ways(call):
    """Both ends of a call, the caller first and then the callee."""
    return [(call.near, call.far), (call.far, call.near)]


# ---- checks: one house with the first two transports for alice and bob


class EarlyCall:
    """A call that rings reliably (RFC 3262): alice's and bob's sides of the early dialog."""

    def __init__(self, alice, bob):
        self.alice, self.bob = alice, bob
        uri, call_id = bob.aor(), unique("early")
        fields = [f"Contact: <{alice.contact()}>", "Supported: 100rel, timer", SDP]
        challenge = alice.ask(alice.request("INVITE", uri, *fields, call_id=call_id, body=OFFER))
        expect(challenge.status == 407, f"INVITE was answered {challenge.start}")
        alice.acknowledge(challenge, uri, call_id)
        alice.send(alice.request("INVITE", uri, *fields,
                                 alice.authorization(challenge, "INVITE", uri), call_id=call_id,
                                 cseq=2, body=OFFER))
        self.invite = bob.await_request("INVITE")
        sent = bob.answer(self.invite, 183, "Require: 100rel", "RSeq: 814", SDP, body=OFFER)
        self.progress = alice.await_message(lambda m: m.status == 183, "183")
        expect_as_sent(Message(sent), self.progress, ["Record-Route"])
        expect(self.progress.get("Record-Route"), "the 183 has no Record-Route")
        self.near = Dialog.of_caller(alice, self.progress)
        self.far = Dialog.of_callee(bob, self.invite, sent)

    def accept(self):
        """The call is answered; its ACK arrives."""
        self.bob.answer(self.invite, 200, SDP, body=OFFER)
        answer = self.alice.await_message(
            lambda m: m.status >= 200 and m.cseq()[1] == "INVITE", "answer to INVITE")
        expect(answer.status == 200, f"the call was answered {answer.start}")
        ack = self.near.write("ACK", cseq=2)
        self.alice.send(ack)
        expect_as_sent(Message(ack), arrival(self.bob, ack))


def early_dialogs_take_prack_update_and_info(house):
    alice, bob = house.phones[:2]
    call = EarlyCall(alice, bob)
    pass_request(call.near, call.far, "PRACK", "RAck: 814 2 INVITE")
    for ours, theirs in ways(call):
        pass_request(ours, theirs, "UPDATE", f"Contact: <{ours.phone.contact()}>", SDP, body=OFFER,
                     answer_fields=[SDP])
        pass_request(ours, theirs, "INFO", "Info-Package: foo", "Content-Type: text/x",
                     body="early\r\n")
    # A second reliable one, and the answer only behind its PRACK.
    sent = bob.answer(call.invite, 180, "Require: 100rel", "RSeq: 815")
    expect_as_sent(Message(sent), alice.await_message(lambda m: m.status == 180, "180"))
    pass_request(call.near, call.far, "PRACK", "RAck: 815 2 INVITE")
    call.accept()
    for ours, theirs in ways(call):
        pass_request(ours, theirs, "INFO", "Content-Type: text/x", body="late\r\n")


def prack_refused_is_refused(house):
    """481 of a phone to a PRACK is the phone's word, and the call goes on ringing."""
    alice, bob = house.phones[:2]
    call = EarlyCall(alice, bob)
    pass_request(call.near, call.far, "PRACK", "RAck: 813 2 INVITE", status=481)
    pass_request(call.near, call.far, "PRACK", "RAck: 814 2 INVITE")
    call.accept()


def calls_take_info_update_and_message_both_ways(house):
    call = Call(*house.phones[:2])
    for ours, theirs in ways(call):
        pass_request(ours, theirs, "INFO", "Content-Type: application/dtmf-relay",
                     body="Signal=5\r\nDuration=160\r\n")
        pass_request(ours, theirs, "UPDATE", f"Contact: <{ours.phone.contact()}>",
                     "Supported: timer", "Session-Expires: 1800;refresher=uac",
                     answer_fields=["Session-Expires: 1800;refresher=uac", "Require: timer"])
        pass_request(ours, theirs, "MESSAGE", "Content-Type: text/plain", body="hello\r\n")
        pass_request(ours, theirs, "OPTIONS", "Accept: application/sdp")
        pass_request(ours, theirs, "INFO", status=469)
        pass_request(ours, theirs, "FROBNICATE", "X-Unknown: passes, too", status=501)
    call.hang_up()


def reinvites_pass_both_ways_with_their_acks(house):
    call = Call(*house.phones[:2])
    for ours, theirs in ways(call) * 2:
        pass_reinvite(ours, theirs, "Supported: timer", "P-Odd: as it was")
    call.hang_up()


def a_refused_reinvite_is_acknowledged_and_the_call_stands(house):
    call = Call(*house.phones[:2])
    for ours, theirs in ways(call):
        received = pass_request(ours, theirs, "INVITE", f"Contact: <{ours.phone.contact()}>", SDP,
                                body=OFFER, status=488, added=["Session-Expires"])
        await_ack(theirs.phone, received)
        ours.phone.send(ours.write("ACK", cseq=received.cseq()[0],
                                   branch=branch_of(ours, received)))
        pass_reinvite(ours, theirs)
    call.hang_up()


def await_ack(phone, invite):
    """Of the server, for what the phone refused."""
    phone.await_message(lambda m: m.method == "ACK" and m.cseq()[0] == invite.cseq()[0], "ACK")


def branch_of(dialog, received):
    """The branch that a phone gave a request which has arrived at the other."""
    via = received.list("Via")[-1]
    expect(f":{dialog.phone.port}" in via, f"{via} is not of the phone")
    return via.split("branch=")[1].split(";")[0]


def crossing_reinvites_are_both_refused_by_the_phones(house):
    call = Call(*house.phones[:2])
    texts, received = [], []
    for ours, _ in ways(call):
        texts.append(ours.write("INVITE", f"Contact: <{ours.phone.contact()}>", SDP, body=OFFER))
        ours.phone.send(texts[-1])
    for (_, theirs), text in zip(ways(call), texts):
        received.append(arrival(theirs.phone, text))
        expect_as_sent(Message(text), received[-1], ["Session-Expires"])
    for (_, theirs), invite in zip(ways(call), received):
        theirs.phone.answer(invite, 491)
    for (ours, theirs), invite in zip(ways(call), received):
        answer = ours.phone.await_message(
            lambda m, cseq=invite.get("CSeq"): m.status >= 200 and m.get("CSeq") == cseq,
            "answer to the crossing INVITE")
        expect(answer.status == 491, f"the crossing INVITE was answered {answer.start}")
        ours.phone.send(ours.write("ACK", cseq=invite.cseq()[0], branch=branch_of(ours, invite)))
        await_ack(theirs.phone, invite)
    for ours, theirs in ways(call):
        pass_reinvite(ours, theirs)
    call.hang_up()


def notify(ours, theirs, event, state, body="", kind="message/sipfrag;version=2.0"):
    pass_request(ours, theirs, "NOTIFY", f"Contact: <{ours.phone.contact()}>", f"Event: {event}",
                 f"Subscription-State: {state}", f"Content-Type: {kind}", body=body)


def refer_in_a_call_notifies_both_ways(house):
    call = Call(*house.phones[:2])
    for ours, theirs in ways(call):
        number = ours.cseq + 1
        pass_request(ours, theirs, "REFER", f"Contact: <{ours.phone.contact()}>",
                     f"Refer-To: <sip:carol@{house.domain}>", f"Referred-By: <{ours.phone.aor()}>",
                     status=202)
        notify(theirs, ours, f"refer;id={number}", "active;expires=60", "SIP/2.0 100 Trying\r\n")
        notify(theirs, ours, f"refer;id={number}", "terminated;reason=noresource",
               "SIP/2.0 486 Busy Here\r\n")
    call.hang_up()


def dial_replacing(caller, callee, replaces):
    """INVITE with Replaces through the server; the call that it makes."""
    field = f"Replaces: {replaces}"
    call = Call(caller, callee, field, f"Referred-By: <{caller.aor()}>", "Require: replaces")
    expect(call.invite.get("Replaces") == replaces, f"Replaces is {call.invite.get('Replaces')}")
    expect(call.invite.get("Require") == "replaces", "Require did not pass")
    return call


def an_attended_transfer_goes_through(house):
    """alice has bob and carol on two lines, and puts them together (RFC 3891, RFC 5589 7)."""
    alice, bob, carol = house.phones
    first, second = Call(alice, bob), Call(alice, carol)
    local, remote = second.ok.tag("To"), second.ok.tag("From")
    escaped = f"{second.call_id}%3Bto-tag%3D{local}%3Bfrom-tag%3D{remote}"
    refer = pass_request(first.near, first.far, "REFER", f"Contact: <{alice.contact()}>",
                         f"Refer-To: <{carol.contact()}?Replaces={escaped}>", status=202)
    expect(f"?Replaces={escaped}>" in refer.get("Refer-To"), "Refer-To lost its Replaces")
    notify(first.far, first.near, "refer", "active;expires=60", "SIP/2.0 100 Trying\r\n")
    third = dial_replacing(bob, carol, f"{second.call_id};to-tag={local};from-tag={remote}")
    notify(first.far, first.near, "refer", "terminated;reason=noresource", "SIP/2.0 200 OK\r\n")
    pass_request(second.far, second.near, "BYE") # carol's phone ends what was replaced
    first.hang_up()
    for ours, theirs in ways(third):
        pass_request(ours, theirs, "INFO")
    third.hang_up()


def ask_with_proof(phone, to, method, *fields, body="", cseq=1, call_id=None):
    """Send a request outside of dialogs that is challenged; what was sent in the end."""
    call_id, uri = call_id or unique("out"), to.aor()
    challenge = phone.ask(phone.request(method, uri, *fields, call_id=call_id, cseq=cseq,
                                        body=body))
    expect(challenge.status == 407, f"{method} was not challenged: {challenge.start}")
    text = phone.request(method, uri, *fields, phone.authorization(challenge, method, uri),
                         call_id=call_id, cseq=cseq + 1, body=body)
    phone.send(text)
    return Message(text)


def expect_forwarded(sent, received, to):
    """To a phone: the Request-URI is its Contact, and the dialog comes back this way."""
    expect(received.uri == to.contact(), f"{received.start} is not for {to.contact()}")
    expect_as_sent(sent, Message(received.text.replace(received.start, sent.start, 1)))
    expect(received.get("Record-Route"), f"{received.start}: no Record-Route")


def refer_out_of_a_dialog_makes_its_own(house):
    alice, bob = house.phones[:2]
    sent = ask_with_proof(alice, bob, "REFER", f"Contact: <{alice.contact()}>",
                          f"Refer-To: <sip:carol@{house.domain}>")
    refer = bob.await_request("REFER")
    expect_forwarded(sent, refer, bob)
    answer_text = bob.answer(refer, 202)
    answer = alice.await_message(lambda m: m.status >= 200 and m.cseq() == (2, "REFER"), "202")
    near = Dialog.of_caller(alice, answer)
    far = Dialog.of_callee(bob, refer, answer_text)
    notify(far, near, "refer", "active;expires=60", "SIP/2.0 100 Trying\r\n")
    notify(far, near, "refer", "terminated;reason=noresource", "SIP/2.0 200 OK\r\n")


def subscribe_in_a_call_and_its_notifications(house):
    call = Call(*house.phones[:2])
    for ours, theirs in ways(call):
        pass_request(ours, theirs, "SUBSCRIBE", f"Contact: <{ours.phone.contact()}>",
                     "Event: kpml;id=7", "Expires: 600", answer_fields=["Expires: 600"])
        notify(theirs, ours, "kpml;id=7", "active;expires=600", "<kpml/>", "application/kpml+xml")
    call.hang_up()


class Subscription:
    """alice watches bob, in a dialog of its own; the first NOTIFY overtakes the 200."""

    def __init__(self, alice, bob):
        sent = ask_with_proof(alice, bob, "SUBSCRIBE", f"Contact: <{alice.contact()}>",
                              "Event: dialog", "Expires: 600", "Accept: application/dialog-info+xml")
        request = bob.await_request("SUBSCRIBE")
        expect_forwarded(sent, request, bob)
        tag = unique("s")
        self.far = Dialog(bob, f"{request.get('To')};tag={tag}", request.get("From"),
                          request.get("Call-ID"), sip.contact_uri(request),
                          request.list("Record-Route"), 0)
        text = self.far.write("NOTIFY", f"Contact: <{bob.contact()}>", "Event: dialog",
                              "Subscription-State: pending;expires=600")
        bob.send(text)
        early = arrival(alice, text)
        expect_as_sent(Message(text), early)
        alice.answer(early, 200)
        bob.await_message(lambda m: m.status == 200 and m.cseq()[1] == "NOTIFY", "200 to NOTIFY")
        bob.answer(request, 200, "Expires: 600", tag=tag)
        answer = alice.await_message(lambda m: m.status >= 200 and m.cseq() == (2, "SUBSCRIBE"),
                                     "answer to SUBSCRIBE")
        expect(answer.status == 200, f"SUBSCRIBE was answered {answer.start}")
        self.near = Dialog.of_caller(alice, answer)

    def tell(self, state, body="<dialog-info/>"):
        notify(self.far, self.near, "dialog", state, body, "application/dialog-info+xml")

    def renew(self, expires):
        pass_request(self.near, self.far, "SUBSCRIBE",
                     f"Contact: <{self.near.phone.contact()}>", "Event: dialog",
                     f"Expires: {expires}", answer_fields=[f"Expires: {expires}"])


def a_subscription_makes_its_own_dialog(house):
    watch = Subscription(*house.phones[:2])
    watch.tell("active;expires=600")
    watch.renew(600)
    watch.tell("active;expires=600", "<dialog-info version='2'/>")
    watch.renew(0)
    watch.tell("terminated;reason=timeout")


def dialogs_outlive_kill_9(house):
    """Between any two of their requests."""
    call = Call(*house.phones[:2])
    watch = Subscription(*house.phones[:2])
    house.kill_and_start()
    for ours, theirs in ways(call):
        pass_request(ours, theirs, "INFO", "Content-Type: text/x", body="still here\r\n")
        pass_reinvite(ours, theirs)
    watch.tell("active;expires=500")
    watch.renew(600)
    number = call.near.cseq + 1
    pass_request(call.near, call.far, "REFER", f"Contact: <{call.caller.contact()}>",
                 f"Refer-To: <sip:carol@{house.domain}>", status=202)
    house.kill_and_start()
    notify(call.far, call.near, f"refer;id={number}", "terminated;reason=noresource",
           "SIP/2.0 200 OK\r\n")
    watch.tell("active;expires=400")
    call.hang_up()


def a_phone_that_moved_in_the_call_is_reached_there(house):
    """Target refresh (12.2): the Request-URI that the other end says passes as it is."""
    call = Call(*house.phones[:2])
    call.far.target = f"{call.caller.contact()};line=2"
    pass_request(call.far, call.near, "INFO")
    call.near.target = f"{call.callee.contact()};line=3"
    pass_request(call.near, call.far, "INFO")
    call.hang_up()


CHECKS = [
    early_dialogs_take_prack_update_and_info,
    prack_refused_is_refused,
    calls_take_info_update_and_message_both_ways,
    reinvites_pass_both_ways_with_their_acks,
    a_refused_reinvite_is_acknowledged_and_the_call_stands,
    crossing_reinvites_are_both_refused_by_the_phones,
    refer_in_a_call_notifies_both_ways,
    an_attended_transfer_goes_through,
    refer_out_of_a_dialog_makes_its_own,
    subscribe_in_a_call_and_its_notifications,
    a_subscription_makes_its_own_dialog,
    dialogs_outlive_kill_9,
    a_phone_that_moved_in_the_call_is_reached_there,
]


def run(check, mix):
    with server_test.server(CONFIG) as server, contextlib.ExitStack() as stack:
        server.start()
        check(House(server, stack, [*mix, mix[0]]))


def main():
    wanted = sys.argv[1:]
    failed = False
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        for mix in MIXES:
            name = f"{check.__name__}_{mix[0]}_{mix[1]}"
            try:
                run(check, mix)
                print(f"ok {name}", flush=True)
            except (Failure, server_test.Failure, OSError, ValueError, IndexError) as trouble:
                print(f"not ok {name}: {trouble}", flush=True)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
