#!/usr/bin/env python3
"""Phones of several makers through one sipw: linphone, twinkle, baresip, sipp.

    phones_test.py [WORD]    only the checks whose name contains WORD

Each check runs in a network namespace and a process of its own, so it needs root or user
namespaces. SIPW names another server binary than build/release/src/sipw.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import lab
from baresip import Baresip, make_tone
from link import Link
from linphone import Linphone
from twinkle import Twinkle

NAMES = ["alice", "bob", "carol"]
MANY = 50
ALICE_TONE, BOB_TONE, CAROL_TONE = 440, 620, 850


def password(user):
    """Without a hyphen: sipp takes one in its own brackets for a sum."""
    return f"{user}secret1"


USERS = [(name, password(name), str(201 + i)) for i, name in enumerate(NAMES)]
USERS += [(f"many{i}", password(f"many{i}"), str(230 + i)) for i in range(MANY)]


class House:
    """A server and its phones, in a folder that goes with them."""

    def __init__(self, stack):
        self._stack = stack
        self.folder = tempfile.mkdtemp(prefix="sipwitch-phones-")
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = lab.Server(self.folder, USERS)
        stack.callback(self.server.discard)
        self.server.start()

    def _keep(self, phone):
        self._stack.callback(phone.discard)
        return phone.start()

    def command(self, *words):
        """A command of the administrator."""
        program = os.path.join(os.path.dirname(self.server.binary), "sipwitch")
        done = subprocess.run([program, "--prefixpath", self.server.state, *words],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise lab.Failure(f"sipwitch {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def configure(self, more):
        """The same users, and these sections."""
        with open(self.server.config, "w", encoding="utf-8") as file:
            file.write(lab.configuration(USERS, more=more))
        self.command("reload")

    def tone(self, hertz):
        path = os.path.join(self.folder, f"{hertz}.wav")
        return path if os.path.exists(path) else make_tone(path, hertz)

    def baresip(self, user, tone=None, name=None, **more):
        phone = self._keep(Baresip(name or user, self.folder, tone and self.tone(tone), **more))
        phone.add_account(user, password(user), self.server)
        phone.expect("REGISTER_OK")
        return phone

    def another_baresip(self, name):
        """Without an account."""
        return self._keep(Baresip(name, self.folder))

    def link(self):
        """What all streams to the server go by from now on, unknown to both ends. Media does not: so
        it must not be led as for a phone behind NAT."""
        self.configure("  <media><mode>never</mode></media>\n")
        source, port = "192.0.2.9", 5999
        link = Link(self._stack, (lab.ADDRESS, port), (lab.ADDRESS, lab.PORT), source)
        subprocess.run(["nft", "-f", "-"], check=True, text=True, input=f"""table ip detour {{
            chain output {{
                type nat hook output priority -100;
                ip saddr != {source} ip daddr {lab.ADDRESS} tcp dport {lab.PORT} dnat to {lab.ADDRESS}:{port}
            }}
        }}""")
        return link

    def linphone(self, user, tone=None, encryption="none", secret=None, transport="udp"):
        phone = self._keep(Linphone(user, secret or password(user), self.server, self.folder,
                                    tone and self.tone(tone), encryption, transport))
        return phone if secret else phone.await_registered()

    def twinkle(self, user):
        return self._keep(Twinkle(user, password(user), self.server, self.folder))


def linphones_call(house, encryption, transport="udp"):
    """Two linphones in a call, each hearing the other."""
    alice = house.linphone("alice", ALICE_TONE, encryption, transport=transport)
    bob = house.linphone("bob", BOB_TONE, encryption, transport=transport)
    alice.dial(f"sip:202@{lab.REALM}")
    bob.await_incoming()
    alice.await_ringing()
    bob.accept()
    alice.await_connected()
    bob.await_connected()
    return alice, bob


def linphones_hear_and_hang_up(alice, bob):
    bob.await_tone(ALICE_TONE)
    alice.await_tone(BOB_TONE)
    bob.hang_up()
    bob.await_ended()
    alice.await_ended()


def linphone_calls_linphone_in_the_clear(house):
    linphones_hear_and_hang_up(*linphones_call(house, "none"))


def linphone_calls_linphone_with_srtp(house):
    linphones_hear_and_hang_up(*linphones_call(house, "srtp"))


def linphone_calls_linphone_by_tls_with_srtp(house):
    """They trust the certificate that the server made."""
    linphones_hear_and_hang_up(*linphones_call(house, "srtp", "tls"))


def linphone_calls_linphone_with_zrtp_and_both_see_the_same_words(house):
    alice, bob = linphones_call(house, "zrtp")
    ours, theirs = alice.auth_token(), bob.auth_token()
    if ours != theirs:
        raise lab.Failure(f"alice's phone shows {ours}, bob's {theirs}: somebody is between them")
    linphones_hear_and_hang_up(alice, bob)


def linphone_calls_linphone_by_gruu(house):
    """Each names itself by the GRUU that it was given: its ACK and BYE are for that."""
    alice, bob = linphones_call(house, "none")
    bob.await_tone(ALICE_TONE)
    for phone, user in (alice, "alice"), (bob, "bob"):
        phone.await_trace(rf'pub-gruu="sip:{user}@{lab.REALM};gr=urn:uuid:')
        phone.await_trace(rf"^Contact: .*<sip:{user}@{lab.REALM};gr=urn:uuid:")
    alice.await_trace(rf"^ACK sip:bob@{lab.REALM};gr=urn:uuid:")
    bob.hang_up()
    bob.await_trace(rf"^BYE sip:alice@{lab.REALM};gr=urn:uuid:")
    alice.await_ended()
    bob.await_ended()


def linphone_loses_its_connection_and_comes_back(house):
    """It is called by the connection that it opens then."""
    link = house.link()

    def place():
        found = re.search(rf"{link.source}:\d+", house.command("registry", "bob"))
        return found and found[0]
    bob = house.linphone("bob", BOB_TONE, transport="tcp")
    alice = house.baresip("alice", ALICE_TONE)
    before = place()
    if not before or link.count != 1:
        raise lab.Failure(f"bob's phone is at {before}, after {link.count} connections")
    link.cut()
    lab.until(lambda: place() not in (None, before), 30.0, "registration by another connection")
    alice.dial("202")
    bob.await_incoming()
    alice.expect("CALL_RINGING")
    bob.accept()
    bob.await_connected()
    alice.recording().await_tone(BOB_TONE, but_not=ALICE_TONE)
    alice.hang_up()
    bob.await_ended()


def linphone_with_a_wrong_password_is_refused(house):
    house.linphone("alice", secret="guessed").await_refused()


def linphone_calls_baresip(house):
    alice, bob = house.linphone("alice", ALICE_TONE), house.baresip("bob", BOB_TONE)
    alice.dial(f"sip:bob@{lab.REALM}")
    bob.expect("CALL_INCOMING")
    alice.await_ringing()
    bob.accept()
    alice.await_connected()
    bob.recording().await_tone(ALICE_TONE, but_not=BOB_TONE)
    alice.await_tone(BOB_TONE)
    alice.hang_up()
    bob.expect("CALL_CLOSED")


def baresip_calls_linphone(house):
    alice, bob = house.baresip("alice", ALICE_TONE), house.linphone("bob", BOB_TONE)
    alice.dial("202")
    bob.await_incoming()
    alice.expect("CALL_RINGING")
    bob.accept()
    bob.await_connected()
    alice.recording().await_tone(BOB_TONE, but_not=ALICE_TONE)
    bob.await_tone(ALICE_TONE)
    alice.hang_up()
    bob.await_ended()


def baresip_calls_linphone_and_gives_up(house):
    alice, bob = house.baresip("alice"), house.linphone("bob")
    alice.dial("bob")
    bob.await_incoming()
    alice.expect("CALL_RINGING")
    alice.hang_up()
    bob.await_ended()


def linphone_declines(house):
    alice, bob = house.baresip("alice"), house.linphone("bob")
    alice.dial("bob")
    bob.await_incoming()
    bob.hang_up()
    alice.expect("CALL_CLOSED")
    alice.await_message_from(house.server, "SIP/2.0 603 ")


def baresip_in_a_call_is_busy(house):
    """Bob's phone has one line, and he speaks with carol; alice is told so, and he hears nothing of it."""
    alice, carol = house.baresip("alice"), house.baresip("carol", CAROL_TONE)
    bob = house.baresip("bob", BOB_TONE, calls=1)
    carol.dial("202")
    bob.expect("CALL_INCOMING")
    bob.accept()
    for phone in bob, carol:
        phone.expect("CALL_ESTABLISHED")
    alice.dial("202")
    alice.expect("CALL_CLOSED")
    alice.await_message_from(house.server, "SIP/2.0 486 Max Calls") # as the phone says it
    if alice.count("CALL_RINGING") or bob.count("CALL_INCOMING") != 1 or bob.count("CALL_CLOSED"):
        raise lab.Failure("bob's phone rang, or lost its call")
    bob.recording().await_tone(CAROL_TONE, but_not=BOB_TONE)
    carol.recording().await_tone(BOB_TONE, but_not=CAROL_TONE)
    carol.hang_up()
    bob.expect("CALL_CLOSED")
    alice.dial("202") # and now the line is free
    bob.expect("CALL_INCOMING")
    alice.expect("CALL_RINGING")
    alice.hang_up()
    bob.expect("CALL_CLOSED")


def nobody_answers_and_the_call_is_given_up(house):
    house.configure("<timers><answer>5</answer></timers>")
    alice, bob = house.baresip("alice"), house.linphone("bob")
    alice.dial("202")
    bob.await_incoming()
    alice.expect("CALL_RINGING")
    alice.expect("CALL_CLOSED", timeout=30.0)
    alice.await_message_from(house.server, "SIP/2.0 408 ")
    bob.await_trace("^CANCEL ")
    bob.await_ended()


def a_user_who_does_not_exist_is_refused_as_one_with_a_wrong_password(house):
    """Nothing tells which of the two it was."""
    bob, mallory = house.baresip("bob"), house.another_baresip("mallory")
    mallory.add_account("mallory", "guessed", house.server, interval=0)
    mallory.dial("202")
    mallory.expect("CALL_CLOSED")
    mallory.await_message_from(house.server, "SIP/2.0 407 ")
    if bob.count("CALL_INCOMING"):
        raise lab.Failure("bob's phone rang for somebody who is no user")
    unknown, known = (house.linphone(user, secret="guessed") for user in ("nobody", "alice"))
    for phone in unknown, known:
        phone.await_refused()
    told, usual = unknown.statuses("REGISTER"), known.statuses("REGISTER")
    if told != {"401 Unauthorized"} or told != usual:
        raise lab.Failure(f"who is no user is told {told}, who guesses a password {usual}")


def twinkle_calls_a_number_that_nobody_has(house):
    alice = house.twinkle("alice")
    alice.command("call 777")
    alice.expect(r"(?i)\b404\b|not found")


def twinkle_calls_its_own_extension_and_is_busy(house):
    alice = house.twinkle("alice")
    alice.command("call 201")
    alice.expect(r"(?i)\b486\b|busy")


def twinkle_calls_its_own_address_and_its_second_line_rings(house):
    alice = house.twinkle("alice")
    alice.command(f"call sip:alice@{lab.ADDRESS}:{alice.port}")
    alice.expect("Line 2: incoming call")
    alice.command("bye")
    alice.expect("Line 2: far end cancelled call")


def twinkle_calls_baresip(house):
    alice, bob = house.twinkle("alice"), house.baresip("bob")
    alice.command("call 202")
    bob.expect("CALL_INCOMING")
    bob.accept()
    alice.expect(r"Line 1: far end answered call")
    bob.expect("CALL_ESTABLISHED")
    alice.command("bye")
    bob.expect("CALL_CLOSED")


def every_phone_of_a_user_rings_and_the_others_stop_when_one_answers(house):
    alice = house.baresip("alice")
    desk, kitchen = house.baresip("bob", name="desk"), house.baresip("bob", name="kitchen")
    alice.dial("202")
    desk.expect("CALL_INCOMING")
    kitchen.expect("CALL_INCOMING")
    kitchen.accept()
    kitchen.expect("CALL_ESTABLISHED")
    alice.expect("CALL_ESTABLISHED")
    desk.expect("CALL_CLOSED")
    desk.await_message_from(house.server, "CANCEL ")
    with open(desk.log, encoding="utf-8", errors="replace") as log:
        if 'Reason: SIP;cause=200;text="Call completed elsewhere"' not in log.read():
            raise lab.Failure("the CANCEL does not say that another phone answered")
    alice.hang_up()
    kitchen.expect("CALL_CLOSED")


def a_call_is_transferred(house):
    alice, bob, carol = (house.baresip(name) for name in NAMES)
    alice.dial("202")
    bob.expect("CALL_INCOMING")
    bob.accept()
    alice.expect("CALL_ESTABLISHED")
    bob.expect("CALL_ESTABLISHED")
    bob.command("transfer", f"sip:203@{lab.REALM}")
    carol.expect("CALL_INCOMING")
    carol.accept()
    carol.expect("CALL_ESTABLISHED")
    alice.await_message_from(house.server, "REFER ")
    carol.hang_up()
    alice.expect("CALL_CLOSED")


def two_calls_of_a_linphone_are_put_together(house):
    """An attended transfer: the INVITE that replaces a call, among three phones."""
    alice = house.linphone("alice")
    bob, carol = house.linphone("bob", BOB_TONE), house.linphone("carol", CAROL_TONE)
    for number, phone in ("202", bob), ("203", carol):
        alice.dial(f"sip:{number}@{lab.REALM}")
        phone.await_incoming()
        alice.await_ringing()
        phone.accept()
        alice.await_connected()
        phone.await_connected()
        if phone is bob:
            alice.hold()
    alice.join(0, 1)
    carol.await_traced("\nReplaces: ")
    alice.await_ended()
    alice.await_ended()
    carol.await_tone(BOB_TONE)
    bob.await_tone(CAROL_TONE)
    bob.hang_up()
    carol.await_ended()


def the_administrator_drops_a_call_of_two_phones(house):
    alice, bob = house.baresip("alice"), house.baresip("bob")
    alice.dial("202")
    bob.expect("CALL_INCOMING")
    bob.accept()
    alice.expect("CALL_ESTABLISHED")
    bob.expect("CALL_ESTABLISHED")
    house.command("drop", "alice")
    for phone in alice, bob:
        phone.expect("CALL_CLOSED")
        phone.await_message_from(house.server, "BYE ")


_REGISTER = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="register">
  <send retrans="500"><![CDATA[
    REGISTER sip:[field2] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
    Max-Forwards: 70
    From: <sip:[field0]@[field2]>;tag=[pid]SIPp[call_number]
    To: <sip:[field0]@[field2]>
    Call-ID: [call_id]
    CSeq: 1 REGISTER
    Contact: <sip:[field0]@[local_ip]:[local_port]>
    Expires: 600
    Content-Length: 0

  ]]></send>
  <recv response="401" auth="true"></recv>
  <send retrans="500"><![CDATA[
    REGISTER sip:[field2] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
    Max-Forwards: 70
    From: <sip:[field0]@[field2]>;tag=[pid]SIPp[call_number]
    To: <sip:[field0]@[field2]>
    Call-ID: [call_id]
    CSeq: 2 REGISTER
    Contact: <sip:[field0]@[local_ip]:[local_port]>
    Expires: 600
    [field1]
    Content-Length: 0

  ]]></send>
  <recv response="200"></recv>
</scenario>
"""


_CONTACT = "Contact: <sip:[field0]@[local_ip]:[local_port]>"
# Method, what it asks for, fields, and the status that it must get; None: silence.
_ODD = [
    ("CANCEL", "sip:[field0]@[field2]", [], 481),  # there is nothing to give up
    ("ACK", "sip:[field0]@[field2]", [], None),  # there was no answer
    ("OPTIONS", "sip:[field2]", [], 200),
    ("OPTIONS", "sip:[field2]", ["Max-Forwards: 0"], 200),  # it is for the server
    ("INVITE", "sip:[field0]@[field2]", ["Proxy-Require: magic"], 420),
    ("INVITE", "tel:+15551234", [], 416),
    ("OPTIONS", "http://[field2]/", [], 416),
    ("REGISTER", "sip:[field2]", ["Contact: *", "Expires: 600", "[field1]"], 400),
    ("REGISTER", "sip:[field2]", [_CONTACT, "Expires: 1", "[field1]"], 423),
    ("REGISTER", "sip:[field2]", [_CONTACT, "Require: magic", "[field1]"], 420),
    ("REGISTER", "sip:[field2]", ["Contact: <sip:[field0]@[remote_ip]>", "[field1]"], 403),
    ("INVITE", "sip:many1@[field2]", ["[field1]"], 480),  # nobody is there
    ("INVITE", "sip:nobody@[field2]", ["[field1]"], 404),
    ("INVITE", "sip:[field0]@[field2]", ["[field1]"], 486),  # itself
    ("BYE", "sip:many1@[field2]", ["[field1]"], 480),  # of no dialog
    ("OPTIONS", "sip:[field2]", [], 200),
]


def _send(method, uri, cseq, fields, tail=""):
    """One request; sipp repeats those that expect an answer."""
    again = "" if method == "ACK" else ' retrans="500"'
    if not any(field.startswith("Max-Forwards") for field in fields):
        fields = ["Max-Forwards: 70", *fields]
    lines = [f"{method} {uri} SIP/2.0",
             "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport",
             "From: <sip:[field0]@[field2]>;tag=[pid]SIPp[call_number]", f"To: <{uri}>{tail}",
             "Call-ID: [call_id]", f"CSeq: {cseq} {method}",
             *([_CONTACT] if method == "INVITE" else []),
             *fields, "Content-Length: 0"]
    if method == "REGISTER":
        lines[3] = "To: <sip:[field0]@[field2]>"
    text = "".join(f"    {line}\n" for line in lines)
    return f"  <send{again}><![CDATA[\n{text}\n  ]]></send>\n"


def _odd_scenario(method, uri, fields, status):
    """What needs credentials is challenged first."""
    text, statuses = "", [status]
    if "[field1]" in fields:
        statuses.insert(0, 401 if method == "REGISTER" else 407)
    for cseq, expected in enumerate(statuses, 1):
        given = fields if expected == status else [f for f in fields if f != "[field1]"]
        text += _send(method, uri, cseq, given)
        if not expected: # and what comes next has an answer, with none before it
            text += _send("OPTIONS", "sip:[field2]", cseq + 1, [])
            expected = 200
        if method == "INVITE":
            text += '  <recv response="100" optional="true"></recv>\n'
        auth = ' auth="true"' if expected in (401, 407) else ""
        text += f'  <recv response="{expected}"{auth}></recv>\n'
        if method == "INVITE":
            text += _send("ACK", uri, cseq, [], "[peer_tag_param]")
    return ('<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="odd">\n' + text +
            "</scenario>\n")


def sipp_is_odd_and_gets_the_answers_of_the_rules(house):
    for row in _ODD:
        target = row[1].removeprefix("sip:").replace("[field2]", lab.REALM)
        target = target.replace("[field0]", "many0")
        status, said = register_by_sipp(house, 1, "-auth_uri", target, scenario=_odd_scenario(*row))
        if status != 0:
            raise lab.Failure(f"{row}: sipp ended with {status}: {said[-600:]}")


def register_by_sipp(house, count, *options, scenario=_REGISTER):
    """Its exit status and what it says; it ends at the first answer that it did not expect."""
    path, rows = (os.path.join(house.folder, name) for name in ("scenario.xml", "rows.csv"))
    with open(path, "w", encoding="ascii") as file:
        file.write(scenario)
    with open(rows, "w", encoding="ascii") as file:
        file.write("SEQUENTIAL\n")
        for i in range(MANY):
            file.write(f"many{i};[authentication username=many{i} "
                       f"password={password(f'many{i}')}];{lab.REALM};\n")
    done = subprocess.run(
        ["sipp", "-sf", path, "-inf", rows, "-m", str(count), "-r", "50", "-i", lab.ADDRESS,
         *options, "-nostdin", "-timeout", "30", "-timeout_error",
         f"{house.server.address}:{house.server.port}"],
        capture_output=True, text=True, cwd=house.folder, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout + done.stderr


def fifty_sipp_phones_register(house):
    """The uri that sipp puts into its digests is the server's address, not the Request-URI."""
    status, said = register_by_sipp(house, MANY)
    if status != 0:
        raise lab.Failure(f"sipp ended with {status}: {said[-600:]}")


def sipp_with_the_uri_of_another_server_is_refused(house):
    for uri, refused in ("elsewhere.test", True), (lab.REALM, False):
        status, said = register_by_sipp(house, 1, "-auth_uri", uri)
        if (status != 0) != refused:
            raise lab.Failure(f"with sip:{uri} sipp ended with {status}: {said[-600:]}")


CHECKS = [
    linphone_calls_linphone_in_the_clear,
    linphone_calls_linphone_with_srtp,
    linphone_calls_linphone_by_tls_with_srtp,
    linphone_calls_linphone_with_zrtp_and_both_see_the_same_words,
    linphone_calls_linphone_by_gruu,
    linphone_loses_its_connection_and_comes_back,
    linphone_with_a_wrong_password_is_refused,
    linphone_calls_baresip,
    baresip_calls_linphone,
    baresip_calls_linphone_and_gives_up,
    linphone_declines,
    baresip_in_a_call_is_busy,
    nobody_answers_and_the_call_is_given_up,
    a_user_who_does_not_exist_is_refused_as_one_with_a_wrong_password,
    twinkle_calls_a_number_that_nobody_has,
    twinkle_calls_its_own_extension_and_is_busy,
    twinkle_calls_its_own_address_and_its_second_line_rings,
    twinkle_calls_baresip,
    every_phone_of_a_user_rings_and_the_others_stop_when_one_answers,
    a_call_is_transferred,
    two_calls_of_a_linphone_are_put_together,
    the_administrator_drops_a_call_of_two_phones,
    fifty_sipp_phones_register,
    sipp_with_the_uri_of_another_server_is_refused,
    sipp_is_odd_and_gets_the_answers_of_the_rules,
]


def run_here(check):
    """One check, in this process; says how it went, and whether well."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            check(House(stack))
        except lab.Failure as failure:
            print(f"not ok {check.__name__}: {failure}", flush=True)
            return False
    print(f"ok {check.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def main():
    if sys.argv[1:2] == ["--one"]:
        lab.enter()
        check = next(check for check in CHECKS if check.__name__ == sys.argv[2])
        return 0 if run_here(check) else 1
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    checks = [check for check in CHECKS if word in check.__name__]
    if not checks:
        sys.exit(f"phones_test: no check's name contains {word!r}")
    lab.need("sox", "baresip", "linphonec", "nft", "twinkle-console", "sipp")
    alone = [subprocess.run([sys.executable, __file__, "--one", check.__name__], check=False)
             for check in checks]
    return max(done.returncode for done in alone) and 1


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except lab.Unable as unable:
        sys.exit(f"not ok phones_test: {unable}")
