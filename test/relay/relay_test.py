#!/usr/bin/env python3
"""Both relays, the kernel's and the process: the same tests, in a network of our own.

Prints `ok RELAY: NAME` or `not ok RELAY: NAME: why` for each; the exit status is 0 if all are ok.
RELAY and RELAY_DRIVER name other programs than those of build/release. Arguments are names of
tests, or `kernel` or `process`, to run those alone.
"""

import contextlib
import errno
import os
import socket
import struct
import sys
import time
import traceback

sys.dont_write_bytecode = True

import network
from network import V4, V6, PATIENCE, Phone, Relay, lab, sh, written

FIRST, MUTE, PLAIN, QUIET = 1, 2, 4, 8
RATE = 100000


def rtp(number, size=160, ssrc=0x5150, kind=0, stamp=None):
    stamp = 160 * number if stamp is None else stamp
    return struct.pack("!BBHII", 0x80, kind, number & 0xffff, stamp & 0xffffffff, ssrc) + bytes(size)


def rtcp(ssrc=0x5150):
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def stun():
    return struct.pack("!HHI", 1, 0, 0x2112a442) + os.urandom(12)


def zrtp():
    return struct.pack("!BBH4sI", 0x10, 0, 7, b"ZRTP", 0x77) + b"PZ" + os.urandom(30)


def dtls():
    return b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", 40) + os.urandom(40)


def udptl():
    return struct.pack("!HB", 3, 1) + b"\xd2" + os.urandom(20)


def expect(condition, text):
    if not condition:
        raise lab.Failure(text() if callable(text) else text)


class Call:
    """Two phones, and a leg towards each."""

    ports = 20000

    def __init__(self, relay, families=(4, 4), flags=(0, 0), rate=RATE, exact=False, clocks=0, at=None,
                 **how):
        self.relay, self.flags, self.rate, self.exact = relay, list(flags), rate, exact
        self.clocks = clocks
        self.phones = [Phone("a", families[0], **how), Phone("b", families[1], at=at, **how)]
        self.at = []
        for family in families:
            self.at.append((V4 if family == 4 else V6, Call.ports))
            Call.ports += 2
        self.keys = [written(*place) for place in self.at]
        self.epochs = [1, 1]
        relay.change(*[self.rule("open", side) for side in (0, 1)])

    def rule(self, kind, side, allowed=None):
        """By its signalled address, or by the exact one."""
        phone = self.phones[side]
        allowed = allowed or written(phone.address[0], 0)
        target = phone.text if self.exact else "-"
        return (f"{kind} {self.keys[side]} {allowed} {target} {self.keys[1 - side]} "
                f"{self.epochs[side]} {self.rate} {self.flags[side]} {self.clocks}")

    def say(self, side, what, phone=None):
        (phone or self.phones[side]).send(what, self.at[side][:2])

    def warm(self):
        """Both have sent, and hear each other."""
        self.say(0, rtp(0, ssrc=1))
        lab.until(lambda: self.state(0)["locked"] == 1, PATIENCE, "lock of the first leg")
        for side in (1, 0):
            self.passes(side, rtp(1, ssrc=side + 1))

    def passes(self, side, what, phone=None):
        self.say(side, what, phone)
        heard = self.phones[1 - side].receive()
        expect(heard, lambda: f"{len(what)} bytes did not come through: {self.state(side)}")
        expect(heard[0] == what, f"{len(what)} bytes came as {len(heard[0])} others")
        expect(heard[1] == self.at[1 - side][:2], f"it came from {heard[1]}")
        return heard[2]

    def is_silent(self, side):
        heard = self.phones[side].drain()
        expect(not heard, f"{self.phones[side].host} heard {len(heard)} packets")

    def state(self, side):
        return self.relay.read(self.keys[side])

    def settle(self, side, **wanted):
        """Wait until the leg's counters are these."""
        def are_so():
            state = self.state(side)
            return all(state[name] == value for name, value in wanted.items())
        try:
            lab.until(are_so, PATIENCE, f"counters {wanted}")
        except lab.Failure as failure:
            raise lab.Failure(f"{failure}: {self.state(side)}") from None

    def close(self):
        for phone in self.phones:
            phone.close()
        if self.relay.driver.poll() is None:
            self.relay.apply(*[f"close {key}" for key in self.keys])


@contextlib.contextmanager
def call(relay, **how):
    one = Call(relay, **how)
    try:
        yield one
    finally:
        one.close()


KINDS = {"RTP": rtp(7), "video of 1400 bytes": rtp(8, 1388), "RTCP on the same port": rtcp(),
         "STUN": stun(), "DTLS": dtls(), "ZRTP": zrtp(), "T.38": udptl(), "one byte": b"\0",
         "an empty datagram": b"", "CRLF": b"\r\n\r\n"}


def passes_all_kinds(relay):
    for families in ((4, 4), (6, 6), (4, 6), (6, 4)):
        with call(relay, families=families) as one:
            one.warm()
            for side in (0, 1):
                before = one.state(side)
                for what in KINDS.values():
                    one.passes(side, what)
                after = one.state(side)
                expect(after["packets"] - before["packets"] == len(KINDS), f"counted: {after}")
                expect(after["bytes"] - before["bytes"] == sum(map(len, KINDS.values())),
                       f"bytes counted: {after}")
            expect(not any(one.state(0)[name] for name in ("stranger", "flood", "lost")),
                   lambda: f"dropped: {one.state(0)}")


def passes_fragments(relay):
    """What is longer than the link's packets; each of its fragments goes by itself."""
    for families in ((4, 4), (6, 6)):
        with call(relay, families=families) as one:
            one.warm()
            for size in (1600, 4000, 9000):
                one.passes(0, rtp(3, size, ssrc=1))
                one.passes(1, rtp(3, size, ssrc=2))
            expect(one.state(0)["lost"] == 0, f"{one.state(0)}")
            one.settle(0, packets=4)


def drops_fragments_of_strangers(relay):
    with call(relay) as one, contextlib.closing(Phone("x")) as stranger:
        one.warm()
        one.say(0, rtp(2, 3000), stranger)
        one.passes(0, rtp(3, 3000, ssrc=1))
        one.is_silent(1)
        one.settle(0, stranger=1)


def relays_rtcp_apart(relay):
    with call(relay) as media, call(relay, flags=(QUIET, QUIET)) as control:
        media.warm()
        control.say(0, rtcp(1))
        control.settle(0, locked=1)
        control.passes(1, rtcp(2))
        control.passes(0, rtcp(1))
        media.is_silent(0)


def locks_by_each_protocol(relay):
    for what in (rtp(1), rtcp(), stun(), dtls(), zrtp()):
        with call(relay) as one:
            one.say(0, what)
            one.settle(0, locked=1, early=1)
            one.passes(1, what)
            one.passes(0, what)


def locks_by_nothing_else(relay):
    with call(relay) as one:
        for what in (b"", b"\0", udptl(), b"\r\n\r\n", rtp(1)[:11], rtcp()[:7],
                     stun()[:19], b"\x16\x03\x01" + bytes(20)):
            one.say(0, what)
        one.settle(0, stranger=8, locked=0)


def takes_anything_where_it_is_plain(relay):
    with call(relay, flags=(PLAIN, PLAIN)) as one:
        one.say(0, udptl())
        one.settle(0, locked=1)
        one.passes(1, b"")
        one.passes(0, udptl())


def sums_what_has_no_checksum(relay):
    with call(relay, families=(4, 6), no_checksum=True) as one:
        one.warm()
        sizes = (*range(0, 20), 159, 160, 500, 501, 502, 503, 504, 505, 1023, 1024, 1387, 1388)
        for size in sizes:
            one.passes(0, rtp(1, size))
        one.settle(0, packets=1 + len(sizes), bytes=172 + 12 * len(sizes) + sum(sizes), lost=0)


def counts_what_is_missing(relay):
    """Over the wrap of the sequence number; what is late, or comes twice, is not missing."""
    with call(relay) as one:
        numbers = [number for number in range(65500, 65700) if number % 20]
        numbers[3], numbers[7] = numbers[7], numbers[3]
        numbers[60:80] = reversed(numbers[60:80])
        for number in numbers:
            one.say(0, rtp(number))
        one.settle(0, expected=199, missing=9)
        one.say(0, rtp(65680))
        one.settle(0, expected=199, missing=8)
        expect(one.state(1)["expected"] == 0, "it is counted on the other leg")


def counts_nothing_but_rtp(relay):
    with call(relay) as one, call(relay, flags=(PLAIN, PLAIN)) as plain:
        for what in KINDS.values():
            if what[:1] != b"\x80":
                one.say(0, what)
        for kind in (200, 201, 202, 203, 204, 205, 206, 207):
            one.say(0, struct.pack("!BBHI", 0x81, kind, 6, 0x5150) + bytes(20))
        for number in (1, 2, 4):
            one.say(0, rtp(number))
            plain.say(0, rtp(number))
        one.settle(0, expected=4, missing=1)
        one.say(0, rtp(3)[:11])
        one.say(0, rtp(6, ssrc=0x5150))
        one.settle(0, expected=6, missing=2)
        plain.settle(0, early=3)
        expect(plain.state(0)["expected"] == 0, "what is no RTP is counted")


def counts_the_next_stream_where_one_ends(relay):
    with call(relay) as one:
        for number in (1, 2, 4):
            one.say(0, rtp(number))
        for number in (100, 103):
            one.say(0, rtp(number, ssrc=7))  # of a bundle, perhaps: not the one that is counted
        one.say(0, rtp(5))
        one.settle(0, expected=5, missing=1)
        number = 200

        def is_counted():
            nonlocal number
            number += 1
            one.say(0, rtp(number, ssrc=7))
            return one.state(0)["expected"] > 5
        lab.until(is_counted, PATIENCE, "count of the next stream")
        one.say(0, rtp(number + 11, ssrc=7))
        lab.until(lambda: one.state(0)["missing"] >= 11, PATIENCE, "loss of the next stream")
        expect(one.state(0)["missing"] == 11, lambda: f"{one.state(0)}")


def counts_anew_where_the_numbers_jump(relay):
    with call(relay) as one:
        for number in (10, 11, 12, 40000, 13, 30000, 30001, 30003):
            one.say(0, rtp(number))
        one.settle(0, expected=7, missing=1)


def says_how_uneven_packets_come(relay):
    """Packets at once whose timestamps are a step apart are as late, each after the other, as that
    step lasts by their clock; those that come as they say are not."""
    opus = 96 | 6 << 7  # 48000 (core/leg.h)
    for kind, step, wanted in ((0, 160, 20000), (14, 1800, 20000), (96, 960, 20000), (97, 960, -1)):
        with call(relay, clocks=opus) as one:
            number = 0

            def is_so():
                nonlocal number
                for _ in range(100):
                    number += 1
                    one.say(0, rtp(number, 20, kind=kind, stamp=number * step))
                one.phones[0].drain()
                jitter = one.state(0)["jitter"]
                return one.state(0)["expected"] == number and (
                    jitter == wanted if wanted < 0 else 0.9 * wanted < jitter < 1.05 * wanted)
            try:
                lab.until(is_so, PATIENCE, f"jitter of payload type {kind}")
            except lab.Failure as failure:
                raise lab.Failure(f"{failure}: {one.state(0)}") from None
    with call(relay) as one:
        number = 0

        def is_even():
            nonlocal number
            for _ in range(100):
                number += 1
                one.say(0, rtp(number, 20, stamp=time.monotonic_ns() * 8 // 1000000))
            return 0 <= one.state(0)["jitter"] < 1000
        lab.until(is_even, PATIENCE, "packets that come as they say")


def lets_in_only_the_signalled_address(relay):
    with call(relay) as one, contextlib.closing(Phone("x")) as stranger:
        for n in range(10):
            one.say(0, rtp(n), stranger)
        one.settle(0, stranger=10, locked=0)
        one.warm()
        one.say(0, rtp(3), stranger)
        one.settle(0, stranger=11)
        one.is_silent(1)


def keeps_to_who_it_is_locked_to(relay):
    with call(relay) as one, contextlib.closing(Phone("a")) as other:
        one.warm()
        one.say(0, rtp(2, ssrc=77), other)
        one.say(0, rtp(2, ssrc=1), other)  # the same one, but there was no silence
        one.say(0, stun(), other)
        one.settle(0, stranger=3)
        one.is_silent(1)
        one.passes(0, rtp(4, ssrc=99))  # another stream of the same phone
        one.passes(1, rtp(5))


def follows_a_new_port_after_silence(relay):
    with call(relay) as one, contextlib.closing(Phone("a")) as other, \
            contextlib.closing(Phone("x")) as stranger:
        one.warm()
        since = time.monotonic()

        def is_let_in():
            one.say(0, rtp(3, ssrc=5), other)     # not the stream that was there
            one.say(0, rtp(3, ssrc=1), stranger)  # not the address
            one.say(0, rtp(3, ssrc=1), other)
            return one.phones[1].hears(0.1)
        heard = lab.until(is_let_in, PATIENCE, "packet from the new port")
        expect(heard == rtp(3, ssrc=1), "another's packet was let in")
        expect(time.monotonic() - since >= 2, "it was let in without silence")
        one.phones[0].drain()
        one.say(1, rtp(4))
        expect(other.hears() == rtp(4), "the new port hears nothing")
        one.is_silent(0)


def latches_anew_in_another_epoch(relay):
    with call(relay) as one, contextlib.closing(Phone("a")) as other:
        one.warm()
        before = one.state(0)["packets"]
        one.epochs[0] = 2
        relay.change(one.rule("move", 0))
        expect(one.state(0)["packets"] == before, "a move forgets the counters")
        one.say(1, rtp(9))
        one.settle(1, early=1)
        one.passes(0, rtp(1, ssrc=50), other)
        one.say(1, rtp(2))
        expect(other.hears() == rtp(2), "the new port hears nothing")
        one.is_silent(0)


def keeps_its_lock_in_the_same_epoch(relay):
    with call(relay) as one:
        one.warm()
        one.rate += 1
        relay.change(one.rule("move", 0))
        one.passes(1, rtp(9))
        one.settle(0, locked=1, packets=1, stranger=0)
        one.settle(1, locked=1, packets=2, early=0)


def stands_an_attack(relay):
    """From the first packet on, somebody sprays RTP and RTCP at both ports."""
    with call(relay) as one, contextlib.closing(Phone("x")) as stranger:
        sprayed = 0

        def spray():
            for side in (0, 1):
                for what in (rtp(1, ssrc=1), rtcp(1), rtp(2, ssrc=os.getpid()), stun()):
                    one.say(side, what, stranger)
            return 4
        sprayed += spray()
        one.say(0, rtp(0, ssrc=1))
        one.settle(0, locked=1)
        for n in range(1, 301):
            sprayed += spray()
            for side in (1, 0):
                one.passes(side, rtp(n, ssrc=side + 1))
        for side in (0, 1):
            one.settle(side, stranger=sprayed, packets=300)
            one.is_silent(side)
        expect(not stranger.drain(), "the attacker heard something")


def limits_the_rate(relay):
    with call(relay, rate=50) as one, call(relay) as other:
        one.warm()
        other.warm()
        with contextlib.closing(Phone("x")) as stranger:
            for n in range(200):
                one.say(0, rtp(n), stranger)  # uses up nobody's rate
        one.settle(0, stranger=200, flood=0)
        begun, sent = time.monotonic(), 0

        def are_counted():
            return sum(one.state(0)[name] for name in ("packets", "flood", "early")) == sent + 2
        for _ in range(6):
            for _ in range(50):
                one.say(0, rtp(sent, ssrc=1))
                sent += 1
            lab.until(are_counted, PATIENCE, "count of all packets")
        seconds = time.monotonic() - begun
        passed = one.state(0)["packets"]
        expect(one.state(0)["flood"] >= sent - 50 * (seconds + 2), lambda: f"let in: {one.state(0)}")
        expect(len(one.phones[1].drain()) <= passed, "more came out than went in")
        other.passes(0, rtp(1))


def is_mute_where_it_is_told(relay):
    with call(relay) as one:
        one.warm()
        one.flags[1] = MUTE
        relay.change(one.rule("move", 1))
        one.say(0, rtp(5))
        one.settle(0, early=2)  # and the very first
        one.passes(1, rtp(6))   # who holds may still be heard
        one.is_silent(1)
        one.flags[1] = 0
        relay.change(one.rule("move", 1))
        one.passes(0, rtp(7))


def sends_first_where_it_may(relay):
    with call(relay, exact=True, flags=(0, FIRST)) as one:
        one.passes(0, rtp(1))
        one.say(1, rtp(2))
        expect(one.phones[0].hears() == rtp(2), "the first had sent, and hears nothing")
        # Where its target is, although it sends from elsewhere.
        with contextlib.closing(Phone("b")) as other:
            one.epochs[1] = 2
            relay.change(one.rule("move", 1))
            one.passes(1, rtp(3), other)
            one.passes(0, rtp(4))
            expect(not other.drain(), "it goes where it came from, not to its target")
        for side in (0, 1):
            one.settle(side, packets=2, early=0)


def never_sends_to_who_has_not_sent(relay):
    for how in ({"exact": True}, {"flags": (FIRST, FIRST)}):
        with call(relay, **how) as one:
            for n in range(5):
                one.say(0, rtp(n))
            one.settle(0, early=5, packets=0)
            one.is_silent(1)
            one.passes(1, rtp(1))
            one.passes(0, rtp(2))


def keeps_dscp(relay):
    for families in ((4, 4), (6, 6), (4, 6), (6, 4)):
        with call(relay, families=families) as one:
            one.warm()
            for traffic_class in (0xb8, 0x88, 0x02, 0):
                one.phones[0].mark(traffic_class)
                got = one.passes(0, rtp(1))
                expect(got == traffic_class, f"{families}: {traffic_class:#x} came as {got:#x}")
            one.settle(0, packets=5, lost=0)


def says_what_is_wrong(relay):
    with call(relay) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((V4, 0))
        port = taken.getsockname()[1]
        rest = f"10.1.0.2:0 - {one.keys[0]} 1 100 0"
        errors = relay.apply(f"open {V4}:{port} {rest}", f"open 198.51.100.9:5000 {rest}",
                             f"open [fd00:ff::9]:5000 {rest}", f"move {V4}:5002 {rest}",
                             f"close {V4}:5002", f"open {V4}:0 {rest}", f"open {V4}:5006 {rest}")
        expect(errors == [-errno.EADDRINUSE, -errno.EADDRNOTAVAIL, -errno.EADDRNOTAVAIL,
                          -errno.ENOENT, -errno.ENOENT, -errno.EINVAL, 0], f"errors: {errors}")
        relay.change(f"close {V4}:5006")


def lists_its_legs(relay):
    with call(relay, families=(4, 6)) as one:
        one.warm()
        legs = relay.legs()
        expect(set(one.keys) <= set(legs), f"listed: {list(legs)}")
        first = legs[one.keys[0]]
        expect(first["source"] == one.phones[0].text and first["other"] == one.keys[1] and
               first["packets"] == 1 and first["drops"]["early"] == 1 and first["ssrc"] == 1,
               f"listed: {first}")
        expect(int(relay.ask("count")) == len(legs), "the list and the driver count differently")
        relay.change(f"close {one.keys[0]}")
        expect(one.keys[0] not in relay.legs(), "a closed leg is listed")
        expect(one.state(0)["version"] == 0, "a closed leg is read")
        one.say(1, rtp(3))
        one.settle(1, early=1)


def opens_anew_what_is_open(relay):
    with call(relay) as one:
        one.warm()
        legs = int(relay.ask("count"))
        relay.change(one.rule("open", 0))
        expect(one.state(0)["locked"] == 0 and one.state(0)["packets"] == 0, "it is not new")
        expect(int(relay.ask("count")) == legs, "it is there twice")


def stream(one, count, meanwhile):
    """Both talk, a packet at a time; `meanwhile` has what is done after so many. All must come."""
    for n in range(count):
        if n in meanwhile:
            meanwhile[n]()
        for side in (0, 1):
            one.passes(side, rtp(n, ssrc=side + 1))


def outlives_who_opened_it(relay):
    with call(relay) as one:
        one.warm()
        legs = int(relay.ask("count"))
        stream(one, 300, {100: relay.kill, 200: relay.open})
        expect(int(relay.ask("count")) == legs, "legs are missing")
        state = one.state(0)
        expect(state["packets"] == 301 and state["locked"] == 1, f"the state was lost: {state}")
        one.epochs[0] = 2
        relay.change(one.rule("move", 0))
        one.passes(0, rtp(1))
        one.passes(1, rtp(1))


def stands_a_reload_of_the_firewall(relay):
    sh("nft", "add", "table", "inet", "filter")
    sh("nft", "add", "chain", "inet", "filter", "input",
       "{ type filter hook input priority 0; policy accept; }")
    with call(relay) as one:
        one.warm()
        stream(one, 100, {50: lambda: sh("nft", "flush", "ruleset")})
        for side in (0, 1):
            one.settle(side, packets=101, stranger=0, flood=0, lost=0)


def survives_its_link(relay):
    with call(relay, families=(4, 4)) as one, call(relay, families=(4, 6)) as six:
        one.warm()
        six.warm()
        before = [each.state(side)["packets"] for each in (one, six) for side in (0, 1)]
        sh("ip", "link", "set", "to-b", "down")
        sh("ip", "link", "set", "to-b", "up")
        sh("ip", "link", "del", "to-b")
        one.phones[1].close()
        six.phones[1].close()
        network.link("b")
        for each in (one, six):
            old = each.phones[1]
            each.phones[1] = Phone("b", old.family, port=old.address[1])

        def goes_again(each):
            each.say(0, rtp(3, ssrc=1))
            each.say(1, rtp(3, ssrc=2))
            return each.phones[1].hears(0.1) and each.phones[0].hears(0.1)
        for each in (one, six):
            lab.until(lambda: goes_again(each), PATIENCE, "packet over the new link")
        after = [each.state(side)["packets"] for each in (one, six) for side in (0, 1)]
        expect(all(new > old for new, old in zip(after, before)), f"{before} became {after}")


def goes_by_the_gateway_that_there_is(relay):
    """Its next hop is known beforehand, and changes with the routes; where nobody looks after those
    any more, the kernel is asked again."""
    far, gateway, other = "10.9.0.1", "10.2.0.2", "10.2.0.77"

    def go_by(hop):
        sh("ip", "route", "replace", far, "via", hop)
    sh("ip", "-n", "b", "address", "add", f"{far}/32", "dev", "lo")
    sh("ip", "neigh", "replace", other, "lladdr", "02:00:00:00:00:77", "dev", "to-b", "nud", "permanent")
    go_by(gateway)
    try:
        with call(relay, at=far) as one:
            one.warm()

            def is_heard():
                one.phones[1].drain()
                one.say(0, rtp(3, ssrc=1))
                return one.phones[1].hears(0.2) is not None
            go_by(other)
            lab.until(lambda: not is_heard(), PATIENCE, "packets by the other gateway")
            go_by(gateway)
            lab.until(is_heard, PATIENCE, "packets by the gateway again")
            lab.end(relay.watcher)
            go_by(other)
            expect(is_heard(), "the hop that is known is not used")
            lab.until(lambda: not is_heard(), 20, "packets by the other gateway, with nobody watching")
            expect(one.state(0)["lost"] == 0, f"{one.state(0)}")
    finally:
        sh("ip", "route", "del", far)
        sh("ip", "-n", "b", "address", "del", f"{far}/32", "dev", "lo")
        relay.watch()


def survives_a_load(relay):
    """An upgrade: the program is another one, the legs are the same."""
    with call(relay) as one:
        one.warm()
        stream(one, 100, {50: relay.load})
        expect(one.state(0)["packets"] == 101, lambda: f"state: {one.state(0)}")


def goes_by_the_host_itself(relay):
    """A phone on the relay's own machine."""
    with call(relay) as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.bind(("10.1.0.1", 0))
            near.settimeout(PATIENCE)
            one.epochs[0] = 2
            relay.change(one.rule("move", 0, allowed="10.1.0.1:0"))
            near.sendto(rtp(1), one.at[0])
            one.settle(0, locked=1)
            one.say(1, rtp(2))
            expect(near.recv(2000) == rtp(2), "it heard something else")
            near.sendto(rtp(3), one.at[0])
            expect(one.phones[1].hears() == rtp(3), "it is not heard")


def refuses_beyond_its_limit(_relay):
    small = Relay(_relay.kind, "small", ["--legs", "3"])
    try:
        if small.kind == "kernel":
            small.load()
        else:
            small.serve("--legs", "3")
        small.open()
        lines = [f"open {V4}:{port} 10.1.0.2:0 - {V4}:40000 1 100 0"
                 for port in (40000, 40002, 40004, 40006)]
        errors = small.apply(*lines)
        expect(errors == [0, 0, 0, -errno.ENOSPC], f"errors: {errors}")
        errors = small.apply(f"close {V4}:40002", lines[3])
        expect(errors == [0, 0], f"errors: {errors}")
    finally:
        small.end()


def counts_once_an_older_one_is_replaced(_relay):
    """One that counts no streams relays as well; what replaces it counts those of its calls."""
    own = Relay("kernel", "before")
    try:
        own.load()
        os.unlink(f"{own.pins}/streams")
        words = own.open()
        expect("older" in words, words)
        with call(own) as one:
            one.warm()
            one.passes(0, rtp(5, ssrc=1))
            state = one.state(0)
            expect((state["expected"], state["jitter"]) == (0, -1), f"{state}")
            own.kill()
            own.load()
            words = own.open()
            expect("older" not in words, words)
            for number in (6, 7, 9):
                one.passes(0, rtp(number, ssrc=1))
            one.settle(0, expected=4, missing=1)
    finally:
        own.end()


def ends_where_nobody_needs_it(_relay):
    brief = Relay("process", "brief")
    try:
        brief.serve("--linger", "1")
        brief.open()
        brief.change(f"open {V4}:41000 10.1.0.2:0 - {V4}:41000 1 100 0")
        brief.kill()
        with contextlib.closing(Phone("a")) as phone:
            phone.send(rtp(1), (V4, 41000))  # it is there
        brief.open()
        expect(int(brief.ask("count")) == 1, "its leg is gone")
        brief.change(f"close {V4}:41000")
        brief.kill()
        lab.until(lambda: brief.server.poll() is not None, PATIENCE, "end")
        expect(brief.server.returncode == 0, f"it ended with {brief.server.returncode}")
    finally:
        brief.end()


def says_which_process_it_is(relay):
    relay.kill()
    words = relay.open()
    with open(f"/proc/{relay.process()}/cmdline", "rb") as file:
        expect(b"serve" in file.read().split(b"\0"), "this is another process")
    expect(f"process {relay.process()})" in words, words)


def obeys_only_its_own_user(_relay):
    own = Relay("process", "own")
    try:
        own.serve()
        os.chmod(own.state, 0o755)
        own.open()
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setgid(1)
            os.setuid(1)
            os.chdir("/")
            one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                one.connect(f"{own.state}/relay")
                one.settimeout(PATIENCE)
                one.send(struct.pack("=IIII", 2, 0, 0, 0))
                os.write(writer, b"refused" if one.recv(1000) == b"" else b"heard")
            except OSError as error:
                os.write(writer, b"refused" if error.errno in (errno.EPIPE, errno.ECONNRESET)
                         else str(error).encode())
            os._exit(0)
        os.close(writer)
        said = os.read(reader, 1000)
        os.wait()
        expect(said == b"refused", f"another user: {said.decode()}")
        expect(int(own.ask("count")) == 0, "it ended")
    finally:
        own.end()


BOTH = [passes_all_kinds, passes_fragments, drops_fragments_of_strangers, relays_rtcp_apart, locks_by_each_protocol, locks_by_nothing_else,
        takes_anything_where_it_is_plain, sums_what_has_no_checksum,
        counts_what_is_missing, counts_nothing_but_rtp, counts_the_next_stream_where_one_ends,
        counts_anew_where_the_numbers_jump, says_how_uneven_packets_come,
        lets_in_only_the_signalled_address, keeps_to_who_it_is_locked_to,
        follows_a_new_port_after_silence, latches_anew_in_another_epoch,
        keeps_its_lock_in_the_same_epoch, stands_an_attack, limits_the_rate,
        is_mute_where_it_is_told, sends_first_where_it_may, never_sends_to_who_has_not_sent,
        keeps_dscp, says_what_is_wrong, lists_its_legs, opens_anew_what_is_open,
        outlives_who_opened_it, stands_a_reload_of_the_firewall, survives_its_link,
        goes_by_the_host_itself, refuses_beyond_its_limit]
TESTS = {"kernel": BOTH + [goes_by_the_gateway_that_there_is, survives_a_load, counts_once_an_older_one_is_replaced],
         "process": BOTH + [ends_where_nobody_needs_it, says_which_process_it_is, obeys_only_its_own_user]}


def prepare(kind):
    relay = Relay(kind)
    if kind == "kernel":
        relay.load()
        relay.watch()
    words = relay.open()
    expect(("kernel" in words) == (kind == "kernel"), f"this is not the {kind}: {words}")
    return relay


def run(kind, names):
    """How many fail."""
    failed = 0
    try:
        relay = prepare(kind)
    except lab.Failure as failure:
        print(f"not ok {kind}: it is to be had: {failure}", flush=True)
        return 1
    for test in TESTS[kind]:
        name = test.__name__
        if names and name not in names:
            continue
        try:
            test(relay)
            print(f"ok {kind}: {name}", flush=True)
        except Exception as failure:
            failed += 1
            print(f"not ok {kind}: {name}: {failure}", flush=True)
            if not isinstance(failure, lab.Failure):
                traceback.print_exc()
            if relay.driver.poll() is not None:
                relay.open()
    relay.end()
    return failed


def main():
    lab.end_on_signals()
    lab.need("ip", "nft", "setpriv")
    lab.enter()
    network.build()
    kinds = [kind for kind in TESTS if kind in sys.argv[1:]] or list(TESTS)
    names = set(sys.argv[1:]) - set(TESTS)
    failed = sum(run(kind, names) for kind in kinds)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except lab.Unable as unable:
        print(f"not ok relay: {unable}")
        sys.exit(1)
