"""A headless linphonec 5.1 as a phone: commands by a pipe, what it says by another.

It plays a sound file into its calls and records what it hears.
"""

import os
import re
import socket

import lab
from baresip import share_of_tone
from talker import Talker

_RC = """\
[sip]
sip_port={sip_port}
sip_tcp_port={tcp_port}
sip_tls_port=-1
default_proxy=0
guess_hostname=0
contact=<sip:{user}@{address}>
root_ca={trusted}
verify_server_certs=1
verify_server_cn=0
media_encryption={encryption}
media_encryption_mandatory={mandatory}
zrtp_cache_migration_done=1
inc_timeout=120

[rtp]
audio_rtp_port={audio_port}
video_rtp_port={video_port}

[net]
firewall_policy=none

[video]
enabled=0

[sound]
echocancellation=0

[auth_info_0]
username={user}
userid={user}
passwd={password}
realm={realm}
domain={realm}

[proxy_0]
reg_proxy=<sip:{server}:{port};transport={transport}>
reg_route=<sip:{server}:{port};transport={transport};lr>
reg_identity=<sip:{user}@{realm}>
reg_expires=3600
reg_sendregister=1
publish=0
"""


_WAV_HEADER = 44
_RATES = (48000, 16000, 8000)


def _free_port(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


class Linphone(Talker):
    """One phone, with a home of its own."""

    def __init__(self, user, password, server, folder, tone=None, encryption="none",
                 transport="udp", realm=lab.REALM, name=None, address=None, network=None):
        super().__init__(f"{name or user}'s linphone", network)
        self.folder = os.path.join(folder, f"linphone-{name or user}")
        self.trace = os.path.join(self.folder, "trace")
        self.heard = os.path.join(self.folder, "heard.wav")
        self._tone = tone
        # Without these it stops silently.
        for place in (".local/share/linphone", ".config/linphone"):
            os.makedirs(os.path.join(self.folder, place))
        place = address or lab.ADDRESS
        with lab.inside(network), open(os.path.join(self.folder, "rc"), "w",
                                       encoding="utf-8") as file:
            file.write(_RC.format(user=user, password=password, realm=realm,
                                  address=address or server.address, server=server.address,
                                  port=server.port + (transport == "tls"),
                                  trusted=os.path.join(server.state, "certs/self-signed.pem"),
                                  transport=transport, encryption=encryption,
                                  mandatory=int(encryption != "none"),
                                  sip_port=_free_port(place),
                                  tcp_port=-1 if transport == "tcp" else 0, # any, or none
                                  audio_port=_free_port(place) & ~1,
                                  video_port=_free_port(place) & ~1))

    def start(self):
        self.talk(["linphonec", "-d", "6", "-l", self.trace, "-c",
                   os.path.join(self.folder, "rc")], self.folder)
        self.command("soundcard use files")
        if self._tone:
            self.command(f"play {self._tone}")
        return self

    def await_registered(self, timeout=20.0):
        lab.until(lambda: re.search(r"^Registration on .* successful|registered, identity=",
                                    self._ask("status register"), re.MULTILINE),
                  timeout, f"registration of {self.name}")
        return self

    def await_refused(self, timeout=20.0):
        """Its password is not taken."""
        def is_refused():
            try:
                with open(self.trace, encoding="utf-8", errors="replace") as file:
                    return "to [LinphoneRegistrationFailed]" in file.read()
            except FileNotFoundError:
                return False

        lab.until(is_refused, timeout, f"refusal of the registration of {self.name}")

    def await_trace(self, pattern, timeout=10.0):
        """Its trace of messages shows this."""
        def is_shown():
            with open(self.trace, encoding="utf-8", errors="replace") as file:
                return re.search(pattern, file.read(), re.MULTILINE)

        lab.until(is_shown, timeout, f"{pattern} in the trace of {self.name}")

    def statuses(self, method):
        """How its requests of this method were answered, by its trace of messages."""
        with open(self.trace, encoding="utf-8", errors="replace") as file:
            answers = re.findall(r"^SIP/2\.0 (\d+ [^\r\n]*)((?:\r?\n\S.*)*)", file.read(),
                                 re.MULTILINE)
        return {status for status, fields in answers
                if re.search(rf"^CSeq: *\d+ {method}\r?$", fields, re.MULTILINE)}

    def _ask(self, command):
        """Give a command and return what was said since, a moment later."""
        before = len(self.said)
        self.command(command)
        with self.news:
            self.news.wait_for(lambda: self.said.count("\n", before) >= 2, 0.5)
            return self.said[before:]

    def dial(self, target):
        self.command(f"call {target}")

    def await_ringing(self):
        self.expect(r"Call \d+ to \S+ ringing")

    def await_incoming(self):
        self.expect(r"Receiving new incoming call from")

    def accept(self):
        self.command("answer")

    def await_connected(self):
        self.expect(r"Call \d+ with .* connected")
        if self._tone:
            self.command(f"play {self._tone}")
        self.command(f"record {self.heard}")

    def hang_up(self):
        self.command("terminate")

    def await_ended(self, reason=""):
        self.expect(r"Call \d+ with .* (ended|error)" + (rf".*{reason}" if reason else ""))

    def hold(self):
        self.command("pause")
        self.expect(r"Call \d+ with .* is now paused")

    def call_id(self, which):
        """The number that it gave its call number `which`, counted from 0."""
        return re.findall(r"Establishing call id to \S+, assigned id (\d+)", self.said)[which]

    def join(self, first, second):
        """Put the others of two of its calls together (RFC 3891)."""
        self.command(f"transfer {self.call_id(first)} --to-call {self.call_id(second)}")

    def await_traced(self, text, timeout=10.0):
        def is_traced():
            with open(self.trace, encoding="utf-8", errors="replace") as file:
                return text in file.read()

        lab.until(is_traced, timeout, f"{text!r} in the trace of {self.name}")

    def auth_token(self):
        """ZRTP's short authentication string, which both sides must show alike."""
        return self.expect(r"fully encrypted and auth token is (\S+)\.").group(1)

    def await_tone(self, hertz, timeout=20.0):
        """Wait for half a second of what it hears that is this tone."""
        def is_heard():
            try:
                with open(self.heard, "rb") as file:
                    sound = file.read()[_WAV_HEADER:]
            except FileNotFoundError:
                return False
            # The header is written when the call is over; until then the codec's rate is not
            # known. At a wrong one the tone would be another.
            return any(len(sound) > rate and share_of_tone(sound[-rate & ~1:], rate, hertz) > 0.8
                       for rate in _RATES)

        lab.until(is_heard, timeout, f"tone of {hertz} Hz at {self.name}")
