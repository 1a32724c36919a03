"""A twinkle-console 1.10 as a phone: commands by a pipe, what it says by another.

Its sound device is ALSA's null device: it is driven for its signalling.
"""

import os
import socket

import lab
from talker import Talker

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


class Twinkle(Talker):
    """One phone, with a home of its own."""

    def __init__(self, user, password, server, folder, realm=lab.REALM):
        super().__init__(f"{user}'s twinkle")
        self.user = user
        self.folder = os.path.join(folder, f"twinkle-{user}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((lab.ADDRESS, 0))
            self.port = probe.getsockname()[1]
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
        self.talk(["twinkle-console", f"{self.user}.cfg"], self.folder)
        self.expect("registration succeeded")
        return self
