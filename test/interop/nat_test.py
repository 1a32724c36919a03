#!/usr/bin/env python3
"""Real phones behind every kind of NAT hear each other, by the way that they should: directly where
that can be, and else through the relay, whose counters are looked at. Once with the kernel's relay,
and once with the process.

    nat_test.py [WORD]    only the checks whose name contains WORD

Prints `ok NAME` or `not ok NAME: why` for each. It needs root: the kernel's relay is loaded into a
network of its own. SIPW names another server binary than build/release/src/sipw.
"""

import collections
import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
for place in "browser", "conformance":
    sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", place))

import browser
import homes
import lab
import message
import sip
from baresip import Baresip, make_tone
from homes import KINDS, SERVER, SERVER6, Home
from linphone import Linphone
from poor_line import PoorLines

Place = collections.namedtuple("Place", "address port")

V4, V6 = Place(SERVER, lab.PORT), Place(f"[{SERVER6}]", lab.PORT)
PORTS = range(40000, 42000)
PATIENCE = 10.0
MEDIA = f"""
  <media>
    <mode>auto</mode><address>{SERVER} {SERVER6}</address><ports>{PORTS[0]}-{PORTS[-1]}</ports>
    <user-calls>0</user-calls><sites>office</sites>
  </media>
  <access><office>%s/32</office></access>
"""
RELAYED, DIRECT, OFFERED = "relayed", "direct", "offered"
BOTH_HIDDEN = "both are behind NAT"


def expect(condition, text):
    if not condition:
        raise lab.Failure(text() if callable(text) else text)


def host_of(place):
    return place.rpartition(":")[0].strip("[]")


# ---- the homes

class Town:
    """All homes. Those of the near side call, those of the far side are called."""

    def __init__(self):
        homes.build()
        self.near = {kind: Home(f"near-{kind}", kind) for kind in KINDS}
        self.far = {kind: Home(f"far-{kind}", kind) for kind in KINDS}
        self.six = Home("six", "v6")
        self.office = Home("office", "port", hosts=2)
        self.flats = Home("flats", "port", hosts=2)
        self.stranger = Home("stranger", "none").hosts[0]
        self.other_stranger = Home("stranger2", "none").hosts[0]

    def hosts(self):
        every = [*self.near.values(), *self.far.values(), self.six, self.office, self.flats]
        return [host for home in every for host in home.hosts]


# ---- the phones

class Phone(Baresip):
    """A baresip in a home, with a tone of its own."""

    def __init__(self, folder, number, host, user, options, more):
        self.host, self.options = host, options
        self.tone, self.extension = 400 + 70 * number, str(201 + number)
        self.password = f"secret-{self.extension}"
        path = make_tone(os.path.join(folder, f"{self.tone}.wav"), self.tone, length=60)
        super().__init__(user, folder, path, host.address, more, host.name)

    def row(self):
        return self.name, self.password, self.extension

    def register(self):
        self.add_account(self.name, self.password, V6 if ":" in self.address else V4,
                         options=self.options)
        self.expect("REGISTER_OK")


ICE = f';medianat=ice;stunserver="stun:{SERVER}:{lab.PORT}"'
ICE_KINDS = "none", "port", "sym"


# ---- the server, with one of the relays

class World:
    """A server and phones, new for each relay."""

    def __init__(self, relay, town, stack):
        self.relay, self.town, self._stack = relay, town, stack
        self.folder = tempfile.mkdtemp(prefix=f"sipwitch-nat-{relay}-")
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.phones = {}
        for host in town.hosts():
            self._add(host, host.name)
        for side in town.near, town.far:
            for kind in ICE_KINDS:
                self._add(side[kind].hosts[0], f"{side[kind].name}-ice", ICE)
        for host in town.flats.hosts:
            self._add(host, f"{host.name}-ice", ICE)
        self._add(town.far["sym"].hosts[0], "far-sym-dtls", ";medianat=ice;mediaenc=dtls_srtp",
                  "rtcp_mux yes\n")
        self._serve()

    def _add(self, host, user, options="", more=""):
        self.phones[user] = Phone(self.folder, len(self.phones), host, user, options, more)
        self._stack.callback(self.phones[user].discard)

    def program(self, name):
        return os.path.join(os.path.dirname(self.server.binary), name)

    def _serve(self):
        rows = [phone.row() for phone in self.phones.values()]
        rows += [(user, secret, str(280 + i))
                 for i, (user, secret) in enumerate(Exchange.users.items())]
        self.server = lab.Server(self.folder, rows, address="*")
        with open(self.server.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.server.config, "w", encoding="utf-8") as file:
            file.write(text.replace("</sipwitch>", MEDIA % self.town.office.outside + "</sipwitch>"))
        if self.relay == "kernel":
            self._stack.callback(self._ask, "unload")
            done = self._ask("load", "--user", "root", "--ports", f"{PORTS[0]}-{PORTS[-1]}")
            expect(done.returncode == 0, f"sipw-relay load: {done.stderr.strip()}")
        self._stack.callback(self.server.discard)
        self.server.start()
        said = lab.until(lambda: re.search("media is relayed .*", self._log()), PATIENCE, "relay")[0]
        expect(("in the kernel" in said) == (self.relay == "kernel"), f"it says: {said}")

    def _log(self):
        with open(self.server.log, encoding="utf-8") as file:
            return file.read()

    @contextlib.contextmanager
    def saying(self, text):
        """The server's log says it meanwhile."""
        before = len(self._log())
        yield
        lab.until(lambda: text in self._log()[before:], PATIENCE, f"line of the log with {text!r}")

    def _ask(self, *words):
        return subprocess.run([self.program("sipw-relay"), *words], capture_output=True, text=True,
                              check=False)

    def start_phones(self):
        for phone in self.phones.values():
            phone.launch()
        for phone in self.phones.values():
            phone.attend(60.0)
        self.register(*self.phones.values())

    @staticmethod
    def register(*phones):
        with ThreadPoolExecutor(len(phones)) as pool:
            list(pool.map(Phone.register, phones))

    def legs(self):
        """Those that there are, by their place."""
        where = [] if self.relay == "kernel" else ["--prefixpath", self.server.state]
        done = self._ask("list", "--json", *where)
        expect(done.returncode == 0, f"sipw-relay list: {done.stderr.strip()}")
        return {leg["leg"]: leg for leg in map(json.loads, done.stdout.splitlines())}

    def legs_towards(self, home, component=1):
        return [leg for leg in self.legs().values()
                if host_of(leg["allowed"]) == home.outside and leg["component"] == component]

    def rows(self, command="calls"):
        done = subprocess.run([self.program("sipwitch"), "--prefixpath", self.server.state, command,
                               "--json"], check=True, capture_output=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def record(self, call_id):
        return next((row for row in self.rows("records") if row["call_id"] == call_id), None)

    def await_no_legs(self):
        lab.until(lambda: not self.legs(), PATIENCE, "end of all legs")


class Talk:
    """A call of two real phones."""

    def __init__(self, world, near, far):
        self.world, self.near, self.far = world, near, far
        self.before = 0  # bytes of its log

    def begin(self):
        self.before = os.path.getsize(self.near.log)
        self.near.dial(self.far.extension)
        self.far.expect("CALL_INCOMING")
        self.far.accept()
        self.far.expect("CALL_ESTABLISHED")
        self.near.expect("CALL_ESTABLISHED")
        return self

    def answers_with_the_relay(self):
        """Who was called, to the offer that says which pair ICE has chosen."""
        with open(self.near.log, errors="replace", newline="") as log:
            log.seek(self.before)
            *_, chosen = log.read().split("sending Re-INVITE with updated default candidates")
        places = re.findall(r"^m=audio [^\r\n]*\r?\nc=IN IP4 (\S+)", chosen, re.MULTILINE)
        return len(places) == 2 and SERVER not in places[0] and places[1] == SERVER

    def hear(self):
        """Each hears the other's tone, in sound that comes from now on."""
        # ICE may think about it for as long as it likes.
        recordings = [phone.recording(30.0) for phone in (self.near, self.far)]
        starts = [recording.length() for recording in recordings]
        for recording, since, own, other in zip(recordings, starts, (self.near, self.far),
                                                (self.far, self.near)):
            recording.await_tone(other.tone, but_not=own.tone, since=since, timeout=30.0)

    def row(self):
        return next(row for row in self.world.rows()
                    if row["from"] == f"sip:{self.near.name}@{lab.REALM}")

    def legs(self):
        """What carries its sound: the leg towards each of the two; none if it goes directly."""
        homes_of = self.near.host.home, self.far.host.home
        table = self.world.legs()
        for leg in table.values():
            other = table.get(leg["other"])
            if leg["component"] == 1 and leg["side"] == 0 and other and \
                    (host_of(leg["allowed"]), host_of(other["allowed"])) == \
                    tuple(home.outside for home in homes_of):
                return [leg, other]
        return []

    def judge(self, path, reason):
        """It was decided so; and the sound goes by the relay, or does not."""
        row, legs = self.row(), self.legs()
        expect((row["media"], row["media_reason"]) == (path, reason),
               f"decided {row['media']}: {row['media_reason']}; not {path}: {reason}")
        expect(bool(legs) == (path != DIRECT), f"legs: {legs}")
        for leg in legs:
            expect(not any(leg["drops"][name] for name in ("stranger", "flood", "lost")),
                   f"dropped: {leg['drops']}")
            expect(path != RELAYED or leg["packets"] >= 40, f"one leg has {leg['packets']} packets")

    def end(self):
        self.near.hang_up()
        self.near.expect("CALL_CLOSED")
        self.far.expect("CALL_CLOSED")
        lab.until(lambda: not self.legs(), PATIENCE, "end of its legs")

    def clear(self):
        """Whatever it is like."""
        for phone in self.near, self.far:
            with contextlib.suppress(lab.Failure, OSError):
                phone.hang_up()
        for phone in self.near, self.far:
            with contextlib.suppress(lab.Failure):
                phone.expect("CALL_CLOSED", timeout=3.0)


@contextlib.contextmanager
def talk(world, near, far):
    one = Talk(world, world.phones[near], world.phones[far])
    try:
        yield one.begin()
        one.end()
    except BaseException:
        one.clear()
        raise


def reason_of(near, far):
    """What has to be decided for homes of these kinds."""
    if "v6" in (near, far):
        hidden = {"none", "v6"}
        return (RELAYED, "who offers is behind NAT" if near not in hidden else
                "who answers is behind NAT" if far not in hidden else
                "one has IPv4, the other IPv6")
    if near == far == "none":
        return DIRECT, "both can be reached from everywhere"
    if "none" in (near, far):
        return RELAYED, f"who {'offers' if far == 'none' else 'answers'} is behind NAT"
    return RELAYED, BOTH_HIDDEN


# ---- checks with real phones: five calls at a time

def they_hear_each_other(near, far, path, reason):
    def check(world):
        with talk(world, near, far) as one:
            one.hear()
            one.judge(path, reason)
    return check


def pairs():
    """Each round has each home once."""
    for shift in range(len(KINDS)):
        yield [(f"{near} to {far}",
                they_hear_each_other(f"near-{near}", f"far-{far}", *reason_of(near, far)))
               for near, far in zip(KINDS, KINDS[shift:] + KINDS[:shift])]


def packets_in(one):
    """How much the relay carries while both hear each other."""
    before = [leg["packets"] for leg in one.legs()]
    one.hear()
    return [leg["packets"] - n for leg, n in zip(one.legs(), before)]


def carries(one):
    """Whether the relay still does, or ICE has found its own way: it may hear both ways before it has
    chosen one."""
    def settled():
        return "nothing" if packets_in(one) == [0, 0] else one.answers_with_the_relay() and "sound"
    try:
        return lab.until(settled, 30.0, "end of what the relay carries")
    except lab.Failure as why:
        raise lab.Failure(f"{why}: {json.dumps(list(one.world.legs().values()))}") from why


def needs_no_relay(world, near="flats-1-ice", far="flats-2-ice", reason=BOTH_HIDDEN):
    """Both find the way. Who is called by libre answers the choice that it is told of with the pair
    that its own checks tried last, and if that was the relay's is sent to there from then on: then
    they talk again."""
    for attempt in range(5):
        with talk(world, near, far) as one:
            one.hear()
            if attempt and one.row()["media"] == DIRECT:  # it is known for ICE by now
                return
            one.judge(OFFERED, reason)
            if carries(one) == "nothing":
                return
    raise lab.Failure("the relay was chosen five times")


def ice_finds_its_own_way(world):
    """Whoever is called is not known for ICE, and then is: our relay is one candidate more, which
    nobody needs; or, where one can be reached, none."""
    needs_no_relay(world, "far-port-ice", "near-none-ice", "who offers is behind NAT")
    with talk(world, "near-none-ice", "far-port-ice") as one:
        one.hear()
        one.judge(DIRECT, "both look for the way themselves")
    for near, far in ("near-port-ice", "far-port-ice"), ("far-port-ice", "near-port-ice"):
        needs_no_relay(world, near, far)


def ice_may_need_the_relay(world):
    """Between two symmetric NATs there is no other way, whatever is known of both."""
    for near, far in ("near-sym-ice", "far-sym-ice"), ("far-sym-ice", "near-sym-ice"):
        with talk(world, near, far) as one:
            one.hear()
            one.judge(OFFERED, BOTH_HIDDEN)
            expect(all(n >= 40 for n in packets_in(one)), "the relay is not used")


MORE = [
    ("IPv6 to IPv4", they_hear_each_other("six", "far-none", *reason_of("v6", "none"))),
    ("symmetric NAT to IPv6", they_hear_each_other("near-sym", "six", *reason_of("sym", "v6"))),
    ("one site behind one NAT",
     they_hear_each_other("office-1", "office-2", DIRECT, "both are at the same site")),
    ("one NAT, and who knows", they_hear_each_other("flats-1", "flats-2", RELAYED, BOTH_HIDDEN)),
    ("ICE finds its own way", ice_finds_its_own_way),
    ("ICE may need the relay", ice_may_need_the_relay),
    ("ICE behind one NAT", needs_no_relay),
]
PAIRED = list(pairs())
ROUNDS = [MORE[:1] + MORE[2:-1], MORE[1:2] + MORE[-1:]]


def the_records_say_what_their_lines_have_lost(world, lines):
    """Of a hundred packets one each way, and they come unevenly."""
    expect(lines.lost > lines.passed / 200 > 10, f"{lines.lost} of {lines.passed} frames were lost")
    heard = [row["from_caller"] for row in world.rows("records") if row.get("from_caller")]
    expected, lost = sum(one["expected"] for one in heard), sum(one["lost"] for one in heard)
    expect(expected / 400 < lost < expected / 25, f"{lost} of {expected} packets were lost")
    uneven = [one["jitter_us"] for one in heard]
    expect(max(uneven) > 1000, f"they came as unevenly as {uneven}")


# ---- scripted phones, whose packets are counted

SCRIPTED = {"sam": "near-sym", "tom": "far-port", "una": "near-none", "vic": "far-full"}
TONES = {"lin": 440, "phil": 620, "web": 900} # of those that are no baresip
WS = 6 # above the port of the others
SDP = "Content-Type: application/sdp"


class Exchange:
    """What scripted phones know of the server."""

    domain = lab.REALM
    users = {user: f"secret-{user}" for user in [*SCRIPTED, *TONES]}

    @staticmethod
    def address():
        return V4


class Script(sip.Phone):
    """One, in a home."""

    def __init__(self, host, user):
        self.at = host
        super().__init__(Exchange, user, host.address)

    def open(self, port):
        with lab.inside(self.at.name):
            return super().open(port)


class Ear:
    """The media of a scripted phone: numbered packets, and what is heard of the other's."""

    def __init__(self, host):
        self.host, self.socket = host, host.socket()
        self.ssrc, self.sequence = random.getrandbits(32), 0
        self.told = None
        self.foreign = 0  # packets that the other did not send

    def describe(self):
        return (f"v=0\r\no=- 7 1 IN IP4 {self.host.address}\r\ns=-\r\n"
                f"c=IN IP4 {self.host.address}\r\nt=0 0\r\n"
                f"m=audio {self.socket.getsockname()[1]} RTP/AVP 0\r\na=rtcp-mux\r\n")

    def listen_to(self, description):
        port = int(re.search(r"^m=audio (\d+) ", description.body, re.MULTILINE)[1])
        address = re.search(r"^c=IN IP4 (\S+)\r$", description.body, re.MULTILINE)[1]
        expect(address == SERVER, f"it was told {address}, which is not the relay")
        self.told = address, port

    def send(self):
        self.sequence += 1
        packet = struct.pack("!BBHII", 0x80, 0, self.sequence & 0xffff,
                             160 * self.sequence & 0xffffffff, self.ssrc) + bytes(160)
        self.socket.sendto(packet, self.told)
        return packet

    def lose(self):
        """As if the network lost one."""
        self.sequence += 1

    def hears(self, packet, patience=PATIENCE):
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                break
            heard = self.socket.recv(2048)
            if heard == packet:
                return True
            self.foreign += heard[8:12] != packet[8:12]
        return False

    def close(self):
        self.socket.close()


class Wire(sip.Call):
    """A call of two scripted phones."""

    def __init__(self, caller, callee):
        self.caller, self.callee = caller, callee
        self.ears = [Ear(phone.at) for phone in (caller, callee)]
        attempt = sip.Attempt(caller, callee.aor(), SDP, body=self.ears[0].describe())
        invite = callee.await_request("INVITE")
        answer = callee.answer(invite, 200, SDP, body=self.ears[1].describe())
        ok, self.near = attempt.accepted()
        self.far = sip.Dialog.of_callee(callee, invite, answer)
        callee.await_request("ACK")
        self.ears[0].listen_to(ok)
        self.ears[1].listen_to(invite)

    def ways(self):
        return (self.ears[0], self.ears[1]), (self.ears[1], self.ears[0])

    def warm(self):
        """Both have sent, and hear each other."""
        for ear in self.ears:
            ear.send()
        for ear, other in self.ways():
            lab.until(lambda ear=ear, other=other: other.hears(ear.send(), 0.2), PATIENCE, "sound")
        return self

    def lost(self):
        """Of one packet each way."""
        return sum(not other.hears(ear.send(), 3.0) for ear, other in self.ways())

    def legs(self, world):
        table = world.legs()
        return [table[f"{SERVER}:{ear.told[1]}"] for ear in self.ears]

    def close(self):
        for ear in self.ears:
            ear.close()


class Stream(threading.Thread):
    """Packets both ways, each awaited before the next, while something else happens."""

    def __init__(self, lines):
        super().__init__(daemon=True)
        self.lines, self.sent, self.lost = lines, 0, 0
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(0.002):
            for line in self.lines:
                self.lost += line.lost()
                self.sent += 2

    def go_on(self, count=200):
        """So many more are sent."""
        goal = self.sent + count
        lab.until(lambda: self.sent >= goal, 30, "packets of a stream")


@contextlib.contextmanager
def stream(*lines):
    """All of its packets must come."""
    one = Stream(lines)
    one.start()
    try:
        yield one
    finally:
        one.ending.set()
        one.join()
    expect(not one.lost, f"{one.lost} of {one.sent} packets were lost")


@contextlib.contextmanager
def wires(world, *names, count=1):
    """Calls between scripted phones, each with sound."""
    found = []
    with contextlib.ExitStack() as stack:
        hosts = {host.name: host for host in world.town.hosts()}
        try:
            for pair in names:
                phones = [bound(hosts[SCRIPTED[user]], user, stack) for user in pair]
                for _ in range(count):
                    found.append(Wire(*phones))
                    stack.callback(found[-1].close)
            for wire in found:
                wire.warm()
            yield found
        except BaseException:
            for wire in found:
                with contextlib.suppress(message.Failure, OSError):
                    wire.hang_up()
            raise
        for wire in found:
            wire.hang_up()
        world.await_no_legs()
        for wire in found[:2]:
            expect(is_dead(wire), "a port of the relay is still open")


def bound(host, user, stack):
    """A scripted phone, the only one that its user has."""
    phone = Script(host, user)
    stack.callback(phone.close)
    phone.register("Contact: *", "Expires: 0")
    return phone.bind()


def is_dead(wire):
    """Nothing goes through."""
    return not any(other.hears(ear.send(), 0.2) for ear, other in wire.ways())


def lost_of(lines):
    """Of a packet each way, in each; a few are enough."""
    lost = 0
    for line in lines:
        lost += line.lost()
        if lost > 3:
            break
    return lost


PAIRS = ("sam", "tom"), ("una", "vic")


# ---- checks of what happens to calls

def calls_outlive_the_server(world):
    """Killed in mid-call and started again: not one packet is lost, and real phones go on."""
    names = [(f"near-{near}", f"far-{far}") for near, far in zip(KINDS, KINDS[2:] + KINDS[:2])]
    with wires(world, *PAIRS) as lines, contextlib.ExitStack() as stack:
        talks = [stack.enter_context(talk(world, *pair)) for pair in names]
        hear_all(talks)
        with stream(*lines) as packets:
            packets.go_on()
            world.server.kill()
            packets.go_on()
            hear_all(talks)
            world.server.start()
            hear_all(talks)
            packets.go_on()
        for leg in (leg for line in lines for leg in line.legs(world)):
            expect(leg["packets"] >= packets.sent / 4, f"a leg has {leg['packets']} packets")


def hear_all(talks):
    with ThreadPoolExecutor(len(talks)) as pool:
        list(pool.map(Talk.hear, talks))


def two_hundred_calls_are_taken_over(world):
    with wires(world, ("sam", "tom"), count=200) as lines:
        before = world.legs()
        expect(len(before) == 400, f"{len(before)} legs")
        world.server.kill()
        expect(not lost_of(lines), "packets were lost while the server was away")
        world.server.start()
        expect(not lost_of(lines), "packets were lost when the server was back")
        known = [row for row in world.rows() if row["from"] == f"sip:sam@{lab.REALM}"]
        expect(len(known) == 200, f"{len(known)} calls are known")
        after = world.legs()
        expect(after.keys() == before.keys(), "the legs are others")
        for key, leg in after.items():
            expect(leg["packets"] == before[key]["packets"] + 2 and
                   leg["source"] == before[key]["source"], f"{before[key]} became {leg}")


def what_was_lost_on_the_way_is_in_the_record(world):
    """Up to the last packet, and as the relay itself has counted. Packets at once, whose timestamps
    are 20 ms apart, come as unevenly as that."""
    with wires(world, ("sam", "tom")) as (line,):
        before = line.legs(world)
        for (ear, other), gap in zip(line.ways(), (20, 50)):
            for n in range(1, 411):
                if n % gap:
                    expect(other.hears(ear.send()), "a packet is lost")
                else:
                    ear.lose()
        legs = line.legs(world)
    record = lab.until(lambda: world.record(line.near.call_id), PATIENCE, "record")
    for leg, first, lost, name in zip(legs, before, (20, 8), ("from_caller", "from_callee")):
        heard = record[name]
        expect(heard == {key: leg[key] for key in ("expected", "lost", "jitter_us")},
               f"the leg has {leg}, and the record {heard}")
        expect((heard["expected"] - first["expected"], heard["lost"] - first["lost"]) == (410, lost),
               f"{name}: {first} and then {heard}")
        expect(10000 < heard["jitter_us"] < 45000, f"{name}: {heard}")


class Attacker(threading.Thread):
    """Sprays what it can at all ports of the relay, and listens."""

    PACKETS = (struct.pack("!BBHII", 0x80, 0, 1, 160, 0x666) + bytes(range(160)),
               struct.pack("!BBHI", 0x80, 201, 1, 0x666),
               struct.pack("!HHI", 1, 0, 0x2112a442) + bytes(12))

    def __init__(self, hosts):
        super().__init__(daemon=True)
        self.sockets = [host.socket() for host in hosts]
        self.sweeps = self.heard = 0
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(0.01):
            for what in Attacker.PACKETS:
                for port in PORTS:
                    self.sockets[port // 2 % len(self.sockets)].sendto(what, (SERVER, port))
            self.sweeps += 1
        for one in self.sockets:
            while select.select([one], [], [], 0)[0]:
                self.heard += bool(one.recv(2048))
            one.close()

    def sweep(self, count=1):
        """So many more times over all ports."""
        goal = self.sweeps + count
        lab.until(lambda: self.sweeps >= goal, 30, "sweep over all ports")


@contextlib.contextmanager
def attack(*hosts):
    """From before the first packet to the end of all calls."""
    one = Attacker(hosts)
    one.start()
    try:
        one.sweep()
        yield one
    finally:
        one.ending.set()
        one.join()
    expect(not one.heard, f"the attacker heard {one.heard} packets")


def an_attacker_hears_nothing_and_is_not_heard(world):
    with attack(world.town.stranger, world.town.other_stranger) as attacker, \
            wires(world, *PAIRS) as lines, talk(world, "near-sym", "far-sym") as hidden, \
            talk(world, "near-none", "far-addr") as half:
        with stream(*lines) as packets:
            packets.go_on()
            attacker.sweep(2)
            hear_all([hidden, half])
        for line in lines:
            for ear, leg in zip(line.ears, line.legs(world)):
                expect(not ear.foreign, f"{ear.host.name} heard {ear.foreign} packets")
                expect(leg["drops"]["stranger"] > 0, f"nothing came to {leg}")


def floods_hurt_nobody_else(world):
    """A stranger's count for nothing; a phone's own are cut to its rate."""
    with wires(world, *PAIRS) as (victim, other), stream(other) as packets, \
            contextlib.closing(world.town.stranger.socket()) as stranger:
        def drops():
            return victim.legs(world)[0]["drops"]
        with world.saying("packets of strangers come to the media of "):
            for _ in range(20000):
                stranger.sendto(Attacker.PACKETS[0], victim.ears[0].told)
        lab.until(lambda: drops()["stranger"] > 0, PATIENCE, "stranger's packet at the relay")
        lab.until(lambda: not victim.lost(), PATIENCE, "sound behind a stranger's flood")
        expect(drops()["flood"] == 0, f"the stranger used the phone's rate up: {drops()}")
        for _ in range(20):
            for _ in range(5000):
                victim.ears[0].send()
            if drops()["flood"]:
                break
        expect(drops()["flood"] > 0, "a phone may send what it likes")
        packets.go_on()
        lab.until(lambda: not victim.lost(), PATIENCE, "sound after the flood")


def a_reload_of_the_firewall_is_not_heard(world):
    table = "table inet host {\n chain input {\n type filter hook input priority 0\n%s }\n}\n"
    homes.nft(None, table % " ct state new counter\n")
    with wires(world, *PAIRS) as lines:
        before = [leg for line in lines for leg in line.legs(world)]
        with stream(*lines) as packets:
            packets.go_on()
            homes.nft(None, "flush ruleset\n")
            packets.go_on()
            if world.relay == "kernel":  # no rule sees its packets
                homes.nft(None, table % f" udp dport {PORTS[0]}-{PORTS[-1]} drop\n")
                packets.go_on()
                homes.nft(None, "flush ruleset\n")
        after = [leg for line in lines for leg in line.legs(world)]
        for old, new in zip(before, after):
            expect(new["packets"] - old["packets"] == packets.sent // len(before) and
                   new["drops"] == old["drops"],
                   f"of {packets.sent} packets by {len(before)} legs: {old} became {new}")


# ---- what is encrypted passes as it is

def zrtp_shows_both_the_same_words(world):
    """Nobody is between them, although the relay is."""
    server = types.SimpleNamespace(address=SERVER, port=lab.PORT, state=world.server.state)
    with contextlib.ExitStack() as stack:
        phones = []
        for home, user in (world.town.near["sym"], "lin"), (world.town.far["port"], "phil"):
            host = home.hosts[0]
            tone = make_tone(os.path.join(world.folder, f"{user}.wav"), TONES[user])
            phones.append(Linphone(user, Exchange.users[user], server, world.folder, tone, "zrtp",
                                   address=host.address, network=host.name))
            stack.callback(phones[-1].discard)
            phones[-1].start()
        near, far = (phone.await_registered() for phone in phones)
        near.dial(f"sip:phil@{lab.REALM}")
        far.await_incoming()
        near.await_ringing()
        far.accept()
        near.await_connected()
        far.await_connected()
        ours, theirs = near.auth_token(), far.auth_token()
        expect(ours == theirs, f"the one shows {ours}, the other {theirs}")
        far.await_tone(TONES["lin"])
        near.await_tone(TONES["phil"])
        carried(world, world.town.near["sym"], world.town.far["port"])
        far.hang_up()
        far.await_ended()
        near.await_ended()
        world.await_no_legs()


def a_browser_and_a_telephone_hear_each_other(world):
    """Each behind a symmetric NAT, with ICE and DTLS: the relay is the candidate that works."""
    near, far = world.town.near["sym"], world.phones["far-sym-dtls"]
    host = near.hosts[0].name
    with contextlib.ExitStack() as stack:
        site = browser.Site(network=host)
        stack.callback(site.close)
        tone = make_tone(os.path.join(world.folder, "web.wav"), TONES["web"])
        chromium = browser.Chromium(world.folder, "web", tone, host)
        stack.callback(chromium.discard)
        tab = chromium.tab(site.url())
        tab.start(f"ws://{SERVER}:{lab.PORT + WS}/", "web", Exchange.users["web"], lab.REALM)
        tab.expect("registered", spoiled_by=["registrationFailed"])
        tab.do("call", f"sip:{far.extension}@{lab.REALM}")
        far.expect("CALL_INCOMING")
        far.accept()
        tab.expect("confirmed", spoiled_by=["failed", "ended"])
        far.expect("CALL_ESTABLISHED")
        tab.await_tone(far.tone)
        far.recording().await_tone(TONES["web"], but_not=far.tone)
        carried(world, near, far.host.home)
        tab.do("hangUp")
        far.expect("CALL_CLOSED")
        world.await_no_legs()


def carried(world, near, far):
    """The relay has passed sound on, both ways."""
    for home in near, far:
        def has_passed(home=home):
            packets = [leg["packets"] for leg in world.legs_towards(home)]
            return len(packets) == 1 and packets[0] >= 40
        lab.until(has_passed, 5.0, f"forty packets by the one leg towards {home.name}")


EVENTS = [calls_outlive_the_server, two_hundred_calls_are_taken_over,
          what_was_lost_on_the_way_is_in_the_record, an_attacker_hears_nothing_and_is_not_heard,
          floods_hurt_nobody_else, a_reload_of_the_firewall_is_not_heard, zrtp_shows_both_the_same_words,
          a_browser_and_a_telephone_hear_each_other]


# ---- the lab itself

# By what is seen from outside: does every destination see one port, and who may answer: somebody
# else, another port of who was sent to.
BEHAVIOUR = {"none": (True, True, True), "full": (True, True, True), "addr": (True, False, True),
             "port": (True, False, False), "sym": (False, False, False)}


def behaves(kind):
    def check(town):
        for home in town.near[kind], town.far[kind]:
            found = behaviour(home.hosts[0], town)
            expect(found == BEHAVIOUR[kind], f"{home.name} behaves like {found}")
    return check


def behaviour(host, town):
    one, two = town.stranger, town.other_stranger
    with contextlib.ExitStack() as stack:
        def keep(socket):
            stack.callback(socket.close)
            socket.settimeout(PATIENCE)
            return socket
        asked, port, address = keep(one.socket()), keep(one.socket()), keep(two.socket())
        inside = keep(host.socket())
        inside.sendto(b"out", asked.getsockname())
        _, outside = asked.recvfrom(100)
        for each, word in (address, b"address"), (port, b"port"), (asked, b"asked"):
            each.sendto(word, outside)
        answers = set()
        while b"asked" not in answers:
            answers.add(inside.recv(100))
        seen = {outside}
        for each in port, address:
            inside.sendto(b"out", each.getsockname())
            seen.add(each.recvfrom(100)[1])
        return len(seen) == 1, b"address" in answers, b"port" in answers


# ---- running

def run(name, check, *what):
    """True if it passed."""
    began = time.monotonic()
    try:
        check(*what)
    except (lab.Failure, message.Failure, OSError, StopIteration,
            subprocess.SubprocessError) as failure:
        sys.stdout.write(f"not ok {name}: {type(failure).__name__}: {failure}\n")
        sys.stdout.flush()
        return False
    sys.stdout.write(f"ok {name} ({time.monotonic() - began:.1f} s)\n")
    sys.stdout.flush()
    return True


def run_all(checks, word, prefix, *what):
    """Those of a round, at the same time."""
    checks = [(f"{prefix}: {name}", check) for name, check in checks
              if word in f"{prefix}: {name}"]
    if not checks:
        return True
    with ThreadPoolExecutor(len(checks)) as pool:
        return all(list(pool.map(lambda one: run(*one, *what), checks)))


def run_pairs(relay, world, word):
    """While the lines of all near homes are poor."""
    if not any(word in f"{relay}: {name}" for one in PAIRED for name, _ in one):
        return True
    passed = True
    with PoorLines("net", [home.line for home in world.town.near.values()]) as lines:
        for one in PAIRED:
            passed &= run_all(one, word, relay, world)
        if not word:
            check = the_records_say_what_their_lines_have_lost
            passed &= run(f"{relay}: {check.__name__}", check, world, lines)
    return passed


def run_relay(relay, town, word):
    rounds = [[(name, check) for name, check in one if word in f"{relay}: {name}"]
              for one in PAIRED + ROUNDS]
    events = [check for check in EVENTS if word in f"{relay}: {check.__name__}"]
    if not any(rounds) and not events:
        return True
    passed = True
    with contextlib.ExitStack() as stack:
        try:
            world = World(relay, town, stack)
            world.start_phones()
        except lab.Failure as failure:
            print(f"not ok {relay}: {failure}", flush=True)
            return False
        passed &= run_pairs(relay, world, word)
        for one in rounds[len(PAIRED):]:
            passed &= run_all(one, word, relay, world)
        for check in events:
            passed &= run(f"{relay}: {check.__name__}", check, world)
    return passed


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    lab.need("baresip", "chromium", "ip", "linphonec", "nft", "npm", "setpriv", "sox")
    if "SIPWITCH_LAB" not in os.environ: # what must be fetched comes before the network of our own
        browser.prepare()
    lab.enter()
    town = Town()
    passed = run_all([(kind, behaves(kind)) for kind in KINDS], word, "NAT", town)
    for relay in "kernel", "process":
        passed &= run_relay(relay, town, word)
    return 0 if passed else 1


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except lab.Unable as unable:
        print(f"not ok nat_test: {unable}")
        sys.exit(1)
