#!/usr/bin/env python3
"""The main job, shown: two phones call each other, and the server is killed in mid-call.

Started by ./run --demo, which installs and builds what this needs. It makes a
network namespace of its own. Ends with PASS, or FAIL and the reason.
SIPW names another server binary than build/release/src/sipw.
"""

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab
from baresip import Baresip, make_tone

ALICE_TONE, BOB_TONE = 440, 620
FAILED_LOGS = os.path.join(lab.ROOT, "build", "demo-failed")

# ./run counts from its own start, the build included.
STARTED = float(os.environ.get("SIPWITCH_DEMO_STARTED") or time.time())


def step(text):
    print(f"  \u2713 {time.time() - STARTED:6.1f} s  {text}", flush=True)


class Demo:
    def __init__(self, stack):
        self.folder = tempfile.mkdtemp(prefix="sipwitch-demo-")
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.passwords = {"alice": secrets.token_hex(8), "bob": secrets.token_hex(8)}
        self.server = lab.Server(self.folder, [("alice", self.passwords["alice"], "201"),
                                               ("bob", self.passwords["bob"], "202")])
        stack.callback(self.server.discard)
        self.alice = self._phone(stack, "alice", ALICE_TONE)
        self.bob = self._phone(stack, "bob", BOB_TONE)

    def _phone(self, stack, name, hertz):
        tone = make_tone(os.path.join(self.folder, f"{name}.wav"), hertz)
        phone = Baresip(name, self.folder, tone)
        stack.callback(phone.discard)
        return phone

    def run(self):
        self.start_server()
        self.register(self.alice, "201")
        self.register(self.bob, "202")
        self.call()
        self.hear_both("tone heard at both ends")
        self.kill_server()
        self.hear_both("sound goes on without it")
        self.bring_server_back()
        self.hang_up()
        self.leave()

    def start_server(self):
        self.server.start()
        step(f"server ready on {self.server.address}, UDP port {self.server.port} "
             "(in a network of its own)")

    def register(self, phone, extension):
        phone.start()
        phone.add_account(phone.name, self.passwords[phone.name], self.server)
        phone.expect("REGISTER_OK")
        phone.await_message_from(self.server, "SIP/2.0 401 ")
        step(f"{phone.name} registered, extension {extension} (challenged, digest accepted)")

    def call(self):
        self.alice.dial("202")
        self.bob.expect("CALL_INCOMING")
        self.alice.expect("CALL_RINGING")
        step("alice dialled 202: bob's phone is ringing")
        self.bob.accept()
        self.bob.expect("CALL_ESTABLISHED")
        self.alice.expect("CALL_ESTABLISHED")
        step("bob answered")

    def hear_both(self, how):
        """Both tones, in sound that arrives from this moment on."""
        starts = [(phone, phone.recording()) for phone in (self.bob, self.alice)]
        starts = [(phone, recording, recording.length()) for phone, recording in starts]
        found = []
        for (phone, recording, since), tones in zip(starts, ((ALICE_TONE, BOB_TONE),
                                                             (BOB_TONE, ALICE_TONE))):
            share = recording.await_tone(tones[0], but_not=tones[1], since=since)
            found.append(f"{tones[0]} Hz at {phone.name}'s ({share:.0%} of the sound)")
        step(f"{how}: {', '.join(found)}")

    def kill_server(self):
        self.server.kill()
        step("server killed in mid-call (kill -9)")

    def bring_server_back(self):
        self.server.start()
        step("server back, on the same state directory")
        self.hear_both("sound still goes on")
        for phone in (self.alice, self.bob):
            if phone.count("REGISTERING") != 1:
                raise lab.Failure(f"{phone.name}'s phone registered again")
        step("nobody registered again")

    def hang_up(self):
        self.alice.hang_up()
        self.bob.expect("CALL_CLOSED")
        self.alice.expect("CALL_CLOSED")
        self.bob.await_message_from(self.server, "BYE ")
        step("alice hung up, through the server: its BYE ended the call at bob's phone")

    def leave(self):
        self.alice.stop()
        self.bob.stop()
        self.server.stop()
        step("phones and server stopped")

    def keep_logs(self):
        """Put the logs where they outlive the demo; returns that place."""
        shutil.rmtree(FAILED_LOGS, ignore_errors=True)
        os.makedirs(FAILED_LOGS)
        for name, log in (("sipw.log", self.server.log), ("alice.log", self.alice.log),
                          ("bob.log", self.bob.log)):
            if os.path.exists(log):
                shutil.copy(log, os.path.join(FAILED_LOGS, name))
        return FAILED_LOGS


def told(trouble):
    """Any trouble in one line."""
    kind = "" if isinstance(trouble, (lab.Failure, lab.Unable)) else f"{type(trouble).__name__}: "
    return kind + " / ".join(line.strip() for line in str(trouble).splitlines())


def show():
    lab.enter()
    lab.need("sox", "baresip")
    with contextlib.ExitStack() as stack:
        demo = Demo(stack)
        try:
            demo.run()
        except Exception as trouble:
            raise lab.Failure(f"{told(trouble)} (logs: {demo.keep_logs()})") from None


def main():
    try:
        show()
    except Exception as trouble: # whoever looks on wants the reason, whatever it is
        print(f"FAIL: {told(trouble)}")
        return 1
    print("PASS")
    return 0


if __name__ == "__main__":
    lab.end_on_signals()
    sys.exit(main())
