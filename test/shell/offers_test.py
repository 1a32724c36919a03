#!/usr/bin/env python3
"""Whatever phones agree on by the real sipw, its relay carries: RTCP apart, bundles, layers, fax, ICE;
in reliable responses, too, on hold, and on the move; and all that is no place passes byte for byte. With
both relays, whose counters are looked at.

Prints `ok RELAY: NAME` or `not ok RELAY: NAME: why` for each check; the exit status is 0 if all are
ok. It needs root, to load the kernel's relay. SIPW names another server binary than
build/release/src/sipw. Arguments are names of checks, or `kernel` or `process`, to run those alone.
"""

import contextlib
import os
import random
import struct
import sys

sys.dont_write_bytecode = True

import media_test
from media_test import (CONFIG, KEYS, SDP, Call, Ear, Line, expect_led, house, lab, port_of, running,
                        server_test, told)
from sip import Attempt, Dialog, Phone, expect

CORPUS = os.path.join(server_test.ROOT, "test", "fuzz", "corpus", "sdp")
# Of those there, what real phones without ICE say.
REAL = "asterisk", "baresip", "baresip_srtp", "linphone", "linphone_zrtp", "twinkle"
# Written by hand: what nobody here knows, and lines that end as they like.
ODD = ("v=0\r\no=- 18446744073709551615 0 IN IP4 name.test\r\ns= \r\ni=\u00e9t\u00e9\r\n"
       "u=http://x/?m=audio 1\r\ne=a@b\r\np=+1\r\nc=IN IP4 10.1.2.3\nb=AS:64\r\n"
       "t=0 0\r\nr=7d 1h 0 25h\r\nz=0 0\r\nk=prompt\r\n"
       "a=fingerprint:sha-256 AA:bb\r\na=setup:actpass\r\nx=unknown\r\na=\r\n"
       "m=audio 40000 RTP/AVP 0 101\r\ni=title\r\nb=TIAS:64000\r\na=rtpmap:101 telephone-event/8000\n"
       "a=zrtp-hash:1.10 0123456789abcdef\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c=IN IP4 9|2^20\r\n"
       "a=x-port:40000\r\na=rtcp-mux\r\nm=video 0 RTP/AVP 34\r\na=inactive\r\n"
       "m=message 0 TCP/MSRP *\r\na=path:msrp://127.0.0.1:40000/x;tcp\r\n")


class Control(Ear):
    """The RTCP of a phone."""

    def packet(self):
        return struct.pack("!BBHII", 0x80, 201, 2, self.ssrc, self.sequence)


class Fax(Ear):
    """T.38, which looks like no protocol that the relay knows."""

    def packet(self):
        return struct.pack("!HB", self.sequence, 1) + b"\xd2" + bytes(20)


def neighbours(stack, *kinds):
    """Ears on ports that follow each other, of which the first is even."""
    while True:
        first = random.randrange(10000, 11900, 2)
        with contextlib.suppress(OSError):
            return [kind(stack, port=first + n) for n, kind in enumerate(kinds)]


def describe(*media, session=(), version=1):
    """m-lines and what belongs to them."""
    lines = ["v=0", f"o=- 7 {version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
             *session, *media]
    return "\r\n".join(lines) + "\r\n" + KEYS


def hang_up(near, bob, *lines):
    near.phone.send(near.write("BYE"))
    bob.take("BYE", 200)
    near.phone.await_message(lambda m: m.status == 200 and m.cseq()[1] == "BYE", "answer to BYE")
    for line in lines:
        line.expect_silence()


# ---- checks

def rtcp_goes_apart(named):
    """The line of RTCP; alice has it on another port than the next one, if she names that."""
    with house() as one, contextlib.ExitStack() as stack:
        near, near_control = neighbours(stack, Ear, Control)
        far, far_control = neighbours(stack, Ear, Control)
        more = ()
        if named:
            near_control = Control(stack)
            more = (named % near_control.port,)
        call = Call(one, ears=(near, far), bodies=(
            describe(f"m=audio {near.port} RTP/AVP 0", *more),
            describe(f"m=audio {far.port} RTP/AVP 0")))
        (_, near_told, _), (_, far_told, _) = call.line.ends
        control = Line(one, near_control, near_told + 1, far_control, far_told + 1)
        control.expect_sound()
        call.line.expect_sound()
        legs = control.legs()
        expect([leg["component"] for leg in legs] == [2, 2], f"the legs are {legs}")
        expect(not any(leg["expected"] for leg in legs), f"RTCP is counted as RTP: {legs}")
        expect([leg["component"] for leg in call.line.legs()] == [1, 1], f"{call.line.legs()}")
        call.hang_up()
        control.expect_silence()


def rtcp_goes_by_the_next_port():
    rtcp_goes_apart(None)


def rtcp_goes_by_the_port_that_is_named():
    for named in "a=rtcp:%d", "a=rtcp:%d IN IP4 127.0.0.1":
        rtcp_goes_apart(named)


class Early:
    """A call that rings reliably (RFC 3262): with what is said in INVITE and 183."""

    def __init__(self, one, invite_body, body):
        alice, self.bob = one.phones[:2]
        fields = ["Supported: 100rel", *([SDP] if invite_body else [])]
        attempt = Attempt(alice, self.bob.aor(), *fields, body=invite_body)
        self.attempt = attempt
        self.invite = self.bob.await_request("INVITE")
        self.bob.answer(self.invite, 183, "Require: 100rel", "RSeq: 71", SDP, body=body)
        self.progress = attempt.provisional(183)
        self.near = Dialog.of_caller(alice, self.progress)

    def acknowledge(self, body, answer_body=""):
        """PRACK, and its answer; as they arrived."""
        text = self.near.write("PRACK", f"RAck: 71 {self.attempt.cseq} INVITE", SDP, body=body)
        self.near.phone.send(text)
        request = self.bob.await_request("PRACK")
        self.bob.answer(request, 200, *([SDP] if answer_body else []), body=answer_body)
        answer = self.near.phone.await_message(
            lambda m: m.status >= 200 and m.cseq()[1] == "PRACK", "answer to PRACK")
        expect(answer.status == 200, f"PRACK was answered {answer.start}")
        return request, answer

    def accept(self):
        """Nothing is left to be said."""
        self.bob.answer(self.invite, 200)
        self.attempt.accepted()
        self.bob.await_request("ACK")


def prack_carries_another_offer():
    """The INVITE's was answered in 183: alice moves before the call is answered."""
    with house() as one:
        near, far, moved = one.ears
        early = Early(one, near.describe(), far.describe())
        line = Line(one, near, told(early.progress), far, told(early.invite))
        expect_led(far.describe(), early.progress)
        line.expect_sound()
        request, answer = early.acknowledge(moved.describe(version=2), far.describe(version=2))
        expect_led(moved.describe(version=2), request)
        expect_led(far.describe(version=2), answer)
        expect((told(answer), told(request)) == (line.ends[0][1], line.ends[1][1]),
               "the ports have changed")
        line = Line(one, moved, told(answer), far, told(request))
        line.expect_sound()
        early.accept()
        line.expect_sound()
        hang_up(early.near, early.bob, line)


def prack_answers_the_offer_of_a_reliable_response():
    with house() as one:
        near, far, _ = one.ears
        early = Early(one, "", far.describe())
        expect(not early.invite.body, "the INVITE has a description")
        expect_led(far.describe(), early.progress)
        request, answer = early.acknowledge(near.describe())
        expect_led(near.describe(), request)
        expect(not answer.body, f"the answer to PRACK has {answer.body!r}")
        line = Line(one, near, told(early.progress), far, told(request))
        line.expect_sound()
        early.accept()
        line.expect_sound()
        hang_up(early.near, early.bob, line)


def who_holds_by_no_address_is_sent_nothing():
    """RFC 3264 8.4, the old way; who is on hold may still be sent music."""
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        held = call.near_ear.describe(version=2).replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0")
        request, answer = call.exchange(call.near, call.far, "INVITE", body=held,
                                        answer_body=call.far_ear.describe())
        expect(request.body == held, f"it arrived as {request.body!r}")
        (near, near_told, far), (_, far_told, _) = call.line.ends
        expect(told(answer) == near_told, "the port of who holds has changed")
        near.silence()
        legs = call.line.legs()
        expect("mute" in legs[0]["flags"], f"the leg towards who holds is {legs[0]}")
        for n in range(1, 4):
            far.send(far_told)
            server_test.until(lambda n=n: call.line.legs()[1]["drops"]["early"] ==
                              legs[1]["drops"]["early"] + n, "count of what is not sent on")
            expect(far.hears(near.send(near_told), server_test.PATIENCE), "music is not heard")
        expect(near.hears_nothing_before(far), "who holds was sent something")
        expect(call.line.legs()[0]["packets"] == legs[0]["packets"] + 3, f"{call.line.legs()}")
        call.reinvite(call.near, call.far, near.describe(version=3), far.describe(version=2))
        call.line.expect_sound()
        call.hang_up()


def who_is_inactive_keeps_the_ports():
    with house() as one:
        call = Call(one)
        call.line.expect_sound()
        call.reinvite(call.far, call.near, call.far_ear.describe("inactive", version=2),
                      call.near_ear.describe("inactive", version=2))
        legs = call.line.legs()
        expect(all("quiet" in leg["flags"] for leg in legs), f"the legs are {legs}")
        call.reinvite(call.far, call.near, call.far_ear.describe(version=3),
                      call.near_ear.describe(version=3))
        expect(not any(leg["flags"].count("quiet") for leg in call.line.legs()),
               f"the legs are {call.line.legs()}")
        call.line.expect_sound()
        call.hang_up()


def audio(ear, mid):
    return f"m=audio {ear.port} RTP/AVP 0", "a=rtcp-mux", f"a=mid:{mid}"


def video(ear, mid):
    return f"m=video {ear.port} RTP/AVP 96", "a=rtcp-mux", f"a=mid:{mid}"


def a_bundle_goes_by_one_pair_of_legs():
    """RFC 8843: the answer has one port for both; another offer, too."""
    group = ("a=group:BUNDLE 0 1",)
    with house() as one, contextlib.ExitStack() as stack:
        near, far, _ = one.ears
        film = Ear(stack)
        call = Call(one, bodies=(describe(*audio(near, 0), *video(film, 1), session=group),
                                 describe(*audio(far, 0), *video(far, 1), session=group)))
        expect(told(call.ok, "video") == told(call.ok), f"she is told {call.ok.body!r}")
        expect(told(call.invite, "video") != told(call.invite), f"he is told {call.invite.body!r}")
        expect(len(one.legs()) == 2, f"the legs are {one.legs()}")
        call.line.expect_sound()
        call.reinvite(call.near, call.far,
                      describe(*audio(near, 0), *video(near, 1), session=group, version=2),
                      describe(*audio(far, 0), *video(far, 1), session=group, version=2))
        expect(len(one.legs()) == 2, f"the legs are {one.legs()}")
        call.line.expect_sound()
        call.hang_up()
        expect(not one.legs(), f"there still are {one.legs()}")


def layers_go_by_ports_that_follow_each_other():
    """RFC 8866 5.14: m=audio 49170/2, of which each has an RTCP port behind it."""
    kinds = Ear, Control, Ear, Control
    with house() as one, contextlib.ExitStack() as stack:
        near, far = neighbours(stack, *kinds), neighbours(stack, *kinds)
        call = Call(one, ears=(near[0], far[0]), bodies=(
            describe(f"m=audio {near[0].port}/2 RTP/AVP 0"),
            describe(f"m=audio {far[0].port}/2 RTP/AVP 0")))
        (_, near_told, _), (_, far_told, _) = call.line.ends
        expect("/2 RTP" in call.ok.body and "/2 RTP" in call.invite.body, f"{call.ok.body!r}")
        lines = [Line(one, near[n], near_told + n, far[n], far_told + n) for n in range(4)]
        for n, line in enumerate(lines):
            line.expect_sound()
            expect([leg["component"] for leg in line.legs()] == [n % 2 + 1] * 2, f"{line.legs()}")
        expect(len(one.legs()) == 8, f"the legs are {one.legs()}")
        call.hang_up()
        for line in lines:
            line.expect_silence()


def image(ear):
    return f"m=image {ear.port} udptl t38", "a=T38FaxVersion:0", "a=T38FaxMaxDatagram:400"


def a_call_goes_over_to_fax_and_back():
    """In the place of sound, and beside it."""
    with house() as one, contextlib.ExitStack() as stack:
        near, far, _ = one.ears
        faxes = Fax(stack), Fax(stack)
        for nothing in (), ("m=audio 0 RTP/AVP 0",):
            call = Call(one)
            call.line.expect_sound()
            bodies = [describe(*nothing, *image(fax), version=2) for fax in faxes]
            request, answer = call.exchange(call.far, call.near, "INVITE", body=bodies[1],
                                            answer_body=bodies[0])
            expect_led(bodies[1], request)
            expect_led(bodies[0], answer)
            line = Line(one, faxes[0], told(request, "image"), faxes[1], told(answer, "image"))
            expect(nothing or line.keys() == call.line.keys(), "the ports have changed")
            line.expect_sound()
            expect(all("plain" in leg["flags"] for leg in line.legs()), f"{line.legs()}")
            expect(len(one.legs()) == 2, f"the legs are {one.legs()}")
            gone = ("m=image 0 udptl t38",) if nothing else ()
            sound = [describe(f"m=audio {ear.port} RTP/AVP 0", "a=rtcp-mux", *gone, version=3)
                     for ear in (near, far)]
            request, answer = call.exchange(call.far, call.near, "INVITE", body=sound[1],
                                            answer_body=sound[0])
            call.line = Line(one, near, told(request), far, told(answer))
            call.line.expect_sound()
            expect(len(one.legs()) == 2, f"the legs are {one.legs()}")
            call.hang_up()


HOST = "a=candidate:1 1 UDP 2130706431 10.1.2.3 4000 typ host\r\n"
MIRROR = "a=candidate:2 1 UDP 1694498815 203.0.113.5 4000 typ srflx raddr 10.1.2.3 rport 4000\r\n"


class Checks(Ear):
    """Of connectivity, by STUN (RFC 8445 7)."""

    def packet(self):
        return struct.pack("!HHIIQ", 1, 0, 0x2112a442, self.ssrc, self.sequence)


def where_all_is_relayed_ice_has_that_way_alone():
    """Its candidates are replaced by one, and checks go by it."""
    with house() as one, contextlib.ExitStack() as stack:
        ears = Checks(stack), Checks(stack)
        said = [describe(f"m=audio {ear.port} RTP/AVP 0", "a=rtcp-mux", "a=ice-ufrag:abcd",
                         "a=ice-pwd:0123456789012345678901", (HOST + MIRROR).strip(),
                         "a=end-of-candidates") for ear in ears]
        alice, bob = one.phones[:2]
        attempt = Attempt(alice, bob.aor(), SDP, body=said[0])
        invite = bob.await_request("INVITE")
        bob.answer(invite, 200, SDP, body=said[1])
        ok, near = attempt.accepted()
        bob.await_request("ACK")
        for text, message in zip(said, (invite, ok)):
            ours = (f"a=candidate:sipw 1 UDP 255 127.0.0.1 {told(message)} typ relay "
                    "raddr 0.0.0.0 rport 9\r\n")
            expect_led(text.replace(HOST + MIRROR, ours), message)
        line = Line(one, ears[0], told(ok), ears[1], told(invite))
        line.expect_sound()
        hang_up(near, bob, line)


def who_moves_to_another_network_is_found_there():
    """Signalling comes from elsewhere, and media with it; what is said of the place is of no use."""
    with running(CONFIG % "", lab.ADDRESS) as one, contextlib.ExitStack() as stack:
        call = Call(one)
        call.line.expect_sound()
        (left, port, far), (_, far_port, _) = call.line.ends
        away = Ear(stack, "192.0.2.7", lab.ADDRESS)
        call.near.phone = Phone(one, "alice", away.host)
        stack.callback(call.near.phone.close)
        call.near.phone.bind(contact=f"<{call.alice.contact()}>")
        body = away.describe(host="192.168.1.7", version=2)
        request, answer = call.exchange(call.near, call.far, "INVITE", body=body,
                                        answer_body=far.describe())
        expect((port_of(answer), port_of(request)) == (port, far_port), "the ports have changed")
        call.line = Line(one, away, port, far, far_port)
        expect(call.line.legs()[0]["allowed"] == "192.0.2.7:0", f"{call.line.legs()[0]}")
        call.line.expect_sound()
        strangers = call.line.legs()[0]["drops"]["stranger"]
        left.send(port)
        server_test.until(lambda: call.line.legs()[0]["drops"]["stranger"] == strangers + 1,
                          "count of a packet from where she was")
        call.line.expect_sound()
        call.hang_up()


def by_ipv6_it_is_the_same():
    with running(CONFIG % "", "::1") as one:
        call = Call(one)
        call.line.expect_sound()
        call.reinvite(call.near, call.far, call.near_ear.describe("sendonly", version=2),
                      call.far_ear.describe("recvonly", version=2))
        call.reinvite(call.far, call.near, call.far_ear.describe(version=3),
                      call.near_ear.describe(version=3))
        call.line.expect_sound()
        call.hang_up()


def what_is_no_place_passes_byte_for_byte():
    """In offer and answer, of INVITE and UPDATE."""
    bodies = [ODD]
    for name in REAL:
        with open(os.path.join(CORPUS, name), "rb") as file:
            text = file.read()
        bodies.append(text[text.index(b"v=0"):].decode())
    with house() as one:
        for body in bodies:
            call = Call(one, bodies=(body, body))
            for arrived in call.exchange(call.far, call.near, "UPDATE", body=body, answer_body=body):
                expect_led(body, arrived)
            call.exchange(call.near, call.far, "BYE")


CHECKS = [
    rtcp_goes_by_the_next_port,
    rtcp_goes_by_the_port_that_is_named,
    prack_carries_another_offer,
    prack_answers_the_offer_of_a_reliable_response,
    who_holds_by_no_address_is_sent_nothing,
    who_is_inactive_keeps_the_ports,
    a_bundle_goes_by_one_pair_of_legs,
    layers_go_by_ports_that_follow_each_other,
    a_call_goes_over_to_fax_and_back,
    where_all_is_relayed_ice_has_that_way_alone,
    who_moves_to_another_network_is_found_there,
    by_ipv6_it_is_the_same,
    what_is_no_place_passes_byte_for_byte,
]

if __name__ == "__main__":
    sys.exit(media_test.run(__file__, CHECKS, {}))
