#!/usr/bin/env python3
"""Web pages are phones: JsSIP in a headless Chromium registers and calls through sipw, from tab to
tab and to baresip and back, over ws and wss; the sound is DTLS-SRTP, found by ICE.

    browser_test.py [WORD]    only the checks whose name contains WORD

It makes a network namespace of its own, so it needs root or user namespaces. SIPW names another
server binary than build/release/src/sipw.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from baresip import Baresip, make_tone
from browser import Chromium, Site, prepare

PASSWORDS = {"alice": "alice-secret-1", "bob": "bob-secret-2", "carol": "carol-secret-3"}
USERS = [("alice", PASSWORDS["alice"], "201"), ("bob", PASSWORDS["bob"], "202"),
         ("carol", PASSWORDS["carol"], "203")]
TONES = {"alice": 440, "bob": 620, "carol": 860}
WS, WSS = 6, 7 # above the port of the others


class House:
    """A server, and browsers that outlive it: they take long to start."""

    def __init__(self, stack, browsers, site, folder):
        self._stack, self.browsers, self.site = stack, browsers, site
        self.tones = folder
        self.folder = tempfile.mkdtemp(prefix="sipwitch-browser-")
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = lab.Server(self.folder, USERS)
        stack.callback(self.server.discard)
        self.server.start()

    def url(self, scheme):
        port = self.server.port + (WSS if scheme == "wss" else WS)
        return f"{scheme}://{lab.ADDRESS}:{port}/"

    def page(self, user, scheme="ws", host="localhost", **more):
        tab = self.browsers[user].tab(self.site.url(host))
        self._stack.callback(tab.close)
        return tab.start(self.url(scheme), user, PASSWORDS[user], lab.REALM, **more)

    def registered(self, user, scheme="ws", **more):
        tab = self.page(user, scheme, **more)
        tab.expect("registered", spoiled_by=["registrationFailed"])
        return tab

    def telephone(self, user, transport="udp"):
        phone = Baresip(user, self.folder, os.path.join(self.tones, f"{user}.wav"),
                        more="rtcp_mux yes\n")
        self._stack.callback(phone.discard)
        phone.start()
        phone.add_account(user, PASSWORDS[user], self.server, transport=transport,
                          options=";mediaenc=dtls_srtp;medianat=ice")
        phone.expect("REGISTER_OK")
        return phone


def require(holds, why):
    if not holds:
        raise lab.Failure(why)


def are_protected(*tabs):
    for tab in tabs:
        protection = tab.do("protection")
        require(protection["state"] == "connected" and protection["received"] > 0,
                f"the sound is {protection}")


def call_tab(caller, callee, target):
    callee.forget()
    caller.forget().do("call", target)
    callee.expect("ringing")
    callee.do("answer")
    caller.expect("confirmed", spoiled_by=["failed", "ended"])
    callee.expect("confirmed", spoiled_by=["failed", "ended"])


def pages_call_each_other(house, scheme="ws"):
    alice, bob = house.registered("alice", scheme), house.registered("bob", scheme)
    call_tab(alice, bob, f"sip:202@{lab.REALM}")
    bob.await_tone(TONES["alice"])
    alice.await_tone(TONES["bob"])
    are_protected(alice, bob)
    bob.do("hangUp")
    alice.expect("ended")
    call_tab(bob, alice, f"sip:alice@{lab.REALM}")
    alice.await_tone(TONES["bob"])
    bob.do("hangUp")
    alice.expect("ended")


def pages_call_each_other_over_tls(house):
    pages_call_each_other(house, "wss")


def page_and_telephone_call_each_other(house, scheme="ws", transport="udp"):
    alice, carol = house.registered("alice", scheme), house.telephone("carol", transport)
    alice.do("call", f"sip:203@{lab.REALM}")
    carol.expect("CALL_INCOMING")
    carol.accept()
    alice.expect("confirmed", spoiled_by=["failed", "ended"])
    carol.expect("CALL_ESTABLISHED")
    alice.await_tone(TONES["carol"])
    carol.recording().await_tone(TONES["alice"], but_not=TONES["carol"])
    are_protected(alice)
    carol.hang_up()
    alice.expect("ended")
    carol.expect("CALL_CLOSED")
    alice.forget()
    carol.dial("alice")
    alice.expect("ringing")
    alice.do("answer")
    carol.expect("CALL_ESTABLISHED")
    alice.expect("confirmed", spoiled_by=["failed", "ended"])
    alice.await_tone(TONES["carol"])
    are_protected(alice)
    alice.do("hangUp")
    carol.expect("CALL_CLOSED")


def page_over_tls_and_telephone_by_tcp_call_each_other(house):
    page_and_telephone_call_each_other(house, "wss", "tcp")


def caller_gives_up_and_callee_declines(house):
    alice, bob = house.registered("alice"), house.registered("bob")
    alice.do("call", f"sip:bob@{lab.REALM}")
    bob.expect("ringing")
    alice.expect("progress")
    alice.do("hangUp")
    bob.expect("failed")
    alice.expect("failed")
    alice.do("call", f"sip:bob@{lab.REALM}")
    bob.expect("ringing")
    bob.do("hangUp")
    alice.expect("failed")


def pages_send_messages(house):
    alice, bob = house.registered("alice"), house.registered("bob", "wss")
    alice.do("message", f"sip:bob@{lab.REALM}", "Grüße, 你好")
    require(bob.expect("message") == "Grüße, 你好", "the text has changed")


def wrong_password_is_refused(house):
    tab = house.browsers["alice"].tab(house.site.url())
    tab.start(house.url("ws"), "alice", "not hers", lab.REALM)
    tab.expect("registrationFailed", spoiled_by=["registered"])
    tab.close()


def page_from_elsewhere_is_refused(house):
    """A browser says where its page is from, and the page cannot help it."""
    tab = house.browsers["alice"].tab(house.site.url("elsewhere.localhost"))
    tab.start(house.url("ws"), "alice", PASSWORDS["alice"], lab.REALM)
    tab.expect("disconnected", spoiled_by=["connected"])
    tab.close()


def call_goes_on_after_kill_9(house):
    """Both pages come back by themselves, and the one hangs up on the other."""
    alice, bob = house.registered("alice"), house.registered("bob")
    call_tab(alice, bob, f"sip:202@{lab.REALM}")
    bob.await_tone(TONES["alice"])
    house.server.kill()
    for tab in alice, bob:
        tab.expect("disconnected")
    house.server.start()
    for tab in alice, bob:
        tab.expect("registered", timeout=40)
    alice.await_tone(TONES["bob"])
    alice.do("hangUp")
    bob.expect("ended")


CHECKS = [
    pages_call_each_other,
    pages_call_each_other_over_tls,
    page_and_telephone_call_each_other,
    page_over_tls_and_telephone_by_tcp_call_each_other,
    caller_gives_up_and_callee_declines,
    pages_send_messages,
    wrong_password_is_refused,
    page_from_elsewhere_is_refused,
    call_goes_on_after_kill_9,
]


def run(check, browsers, site, folder):
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            check(House(stack, browsers, site, folder))
        except lab.Failure as failure:
            print(f"not ok {check.__name__}: {failure}", flush=True)
            return False
    print(f"ok {check.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    checks = [check for check in CHECKS if word in check.__name__]
    if not checks:
        sys.exit(f"browser_test: no check has {word!r}: {[c.__name__ for c in CHECKS]}")
    try:
        if "SIPWITCH_LAB" not in os.environ: # what must be fetched comes before the namespace
            lab.need("npm", "node")
            prepare()
        lab.enter()
        lab.need("sox", "baresip", "chromium")
        lab.add_interface("198.51.100.1")
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sipwitch-tones-"))
            for user, hertz in TONES.items():
                make_tone(os.path.join(folder, f"{user}.wav"), hertz)
            site = Site()
            stack.callback(site.close)
            browsers = {}
            for user in "alice", "bob": # each has a microphone of its own
                browsers[user] = Chromium(folder, user, os.path.join(folder, f"{user}.wav"))
                stack.callback(browsers[user].discard)
            passed = [run(check, browsers, site, folder) for check in checks]
    except lab.Unable as unable:
        sys.exit(f"not ok browser_test: {unable}")
    except lab.Failure as failure:
        sys.exit(f"not ok browser_test: {failure}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    lab.end_on_signals()
    sys.exit(main())
