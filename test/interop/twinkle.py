"""A twinkle-console 1.10 as a phone: commands by a pipe, what it says by another.

Its sound device is ALSA's null device: it is driven for its signalling.
"""

import os
import re
import socket
import subprocess
import threading
import time

import lab

_SYSTEM = """\
dev_ringtone=alsa:default
dev_speaker=alsa:default
dev_mic=alsa:default
validate_audio_dev=no
log_show_sip=yes
sip_udp_port={sip_port}
rtp_port={rtp_port}
"""

_ACCOUNT = """\
user_name={user}
user_domain={realm}
auth_realm={realm}
auth_name={user}
auth_pass={password}
outbound_proxy={server}:{port}
all_requests_to_proxy=yes
registrar={server}:{port}
register_at_startup=yes
registration_time=3600
codecs=g711a,g711u
"""


class Twinkle:
    """One phone, with a home of its own."""

    def __init__(self, user, password, server, folder, realm=lab.REALM):
        self.user = user
        self.folder = os.path.join(folder, f"twinkle-{user}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((lab.ADDRESS, 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self._said, self._looked = "", 0
        self._news = threading.Condition()
        os.makedirs(os.path.join(self.folder, ".twinkle"))
        values = {"user": user, "password": password, "realm": realm, "server": server.address,
                  "port": server.port, "sip_port": self.port, "rtp_port": 8100}
        self._write(".asoundrc", "pcm.!default { type null }\nctl.!default { type null }\n")
        self._write(".twinkle/twinkle.sys", _SYSTEM.format(**values))
        self._write(f".twinkle/{user}.cfg", _ACCOUNT.format(**values))

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        """Return once it has registered."""
        self.process = lab.spawn(["stdbuf", "-oL", "twinkle-console", f"{self.user}.cfg"],
                                 pipe_in=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env={**os.environ, "HOME": self.folder})
        threading.Thread(target=self._listen, daemon=True).start()
        self.expect("registration succeeded")
        return self

    def _listen(self):
        while True:
            piece = os.read(self.process.stdout.fileno(), 4096)
            with self._news:
                self._said += piece.decode(errors="replace")
                self._news.notify_all()
            if not piece:
                return

    def command(self, words):
        try:
            self.process.stdin.write((words + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise lab.Failure(f"{self.user}'s twinkle has ended: {self._said[-300:]}") from None

    def expect(self, pattern, timeout=15.0):
        """Wait until it says something that was not looked at yet; return the match."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                found = expression.search(self._said, self._looked)
                if found:
                    self._looked = found.end()
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    raise lab.Failure(f"{self.user}'s twinkle did not say {pattern!r} within "
                                      f"{timeout:g} s; it said {self._said[-300:]!r}")
                self._news.wait(min(left, 1.0))

    def stop(self):
        """Quit as a user would (it unregisters)."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.command("quit")
                self.process.wait(10.0)
            except (lab.Failure, subprocess.TimeoutExpired):
                pass
        self.discard()

    def discard(self):
        if self.process is not None:
            lab.end(self.process, patience=1.0)
