"""A headless baresip 1.0.0 as a phone: commands in, events and sound out.

It plays a sound file into its calls, records what it hears, and is driven over
its ctrl_tcp module: JSON in netstrings, commands answered, events pushed.
"""

import errno
import glob
import json
import os
import random
import re
import socket
import struct
import subprocess
import threading
import time

import lab

TONE_RATE = 8000

# What makes waiting for an event hopeless.
_SPOILED_BY = {"REGISTER_OK": "REGISTER_FAIL", "CALL_RINGING": "CALL_CLOSED",
               "CALL_PROGRESS": "CALL_CLOSED", "CALL_ESTABLISHED": "CALL_CLOSED"}

_CONFIG = """\
poll_method epoll
sip_listen {sip_host}:{sip_port}
ctrl_tcp_listen 127.0.0.1:{control_port}
call_local_timeout 120
call_max_calls {calls}
audio_player aubridge,{name}
audio_source {source}
audio_alert aubridge,{name}-alert
audio_level no
ringback_disabled yes
jitter_buffer_delay 5-10
snd_path {recordings}
module_path {modules}
module g711.so
module srtp.so
module dtls_srtp.so
module ice.so
module sndfile.so
module aufile.so
module aubridge.so
module_app menu.so
module_app ctrl_tcp.so
"""


def make_tone(path, hertz, length=180):
    """A sine as a sound file. A call outliving it would fall silent."""
    # ausine.so cannot be used: it runs at 48 kHz only, and G.711 is 8 kHz.
    subprocess.run(["sox", "-n", "-r", str(TONE_RATE), "-b", "16", "-c", "1", path,
                    "synth", str(length), "sine", str(hertz), "gain", "-9"], check=True)
    return path


def loudness(samples, rate, band=None):
    """RMS amplitude (0..1) of 16-bit samples, or of one band (low, high) of them."""
    effects = ["sinc", "-t", "20", f"{band[0]}-{band[1]}"] if band else []
    done = subprocess.run(["sox", "-t", "raw", "-r", str(rate), "-e", "signed-integer",
                           "-b", "16", "-c", "1", "-", "-n", *effects, "stat"],
                          input=samples, capture_output=True, check=True)
    return float(re.search(rb"RMS\s+amplitude:\s+(\S+)", done.stderr).group(1))


def share_of_tone(samples, rate, hertz):
    """How much of the sound's amplitude lies within 25 Hz of a tone; 0 in silence."""
    whole = loudness(samples, rate)
    if whole < 0.01:
        return 0.0
    return loudness(samples, rate, (hertz - 25, hertz + 25)) / whole


_given = set()


def _bind(kind, address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as probe:
        probe.bind((address, port))


def _free_port(address):
    """For UDP and TCP, as the next, where baresip listens for TLS. None that another phone was given,
    and below what the system and the relay give out, so that nobody else has it by then."""
    while True:
        port = random.randrange(10000, 16384, 2)
        if port in _given:
            continue
        try:
            _bind(socket.SOCK_DGRAM, address, port)
            _bind(socket.SOCK_STREAM, address, port)
            _bind(socket.SOCK_STREAM, address, port + 1)
        except OSError as why:
            if why.errno != errno.EADDRINUSE:
                raise
            continue
        _given.add(port)
        return port


class Recording:
    """What a phone has heard in a call: a WAV file that still grows."""

    def __init__(self, path, phone):
        self.path, self.where = path, f"at {phone}'s phone"
        with open(path, "rb") as file:
            head = file.read(4096)
        # The lengths in the header are right only once the call is over, so
        # they are not looked at.
        self._data = head.index(b"data") + 8
        channels, self.rate, bits = struct.unpack_from("<HI6xH", head, head.index(b"fmt ") + 10)
        if (channels, bits) != (1, 16):
            raise lab.Failure(f"{path} has {channels} channels of {bits} bits: expected 1 of 16")

    def length(self):
        """Seconds of sound so far."""
        return (os.path.getsize(self.path) - self._data) / (2 * self.rate)

    def read(self, start, length):
        with open(self.path, "rb") as file:
            file.seek(self._data + 2 * int(start * self.rate))
            return file.read(2 * int(length * self.rate))

    def await_tone(self, hertz, but_not, since=0.0, timeout=10.0):
        """Wait for one second after `since` that is this tone and not the other one."""
        found = ""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            lab.until(lambda: self.length() >= since + 1.0, max(0.1, deadline - time.monotonic()),
                      f"more sound {self.where}")
            samples = self.read(since, 1.0)
            share = share_of_tone(samples, self.rate, hertz)
            other = share_of_tone(samples, self.rate, but_not)
            if share > 0.8 and other < 0.1:
                return share
            found = (f": of the last second {share:.0%} were {hertz} Hz"
                     f" and {other:.0%} {but_not} Hz")
            since += 0.5
        raise lab.Failure(f"no {hertz} Hz {self.where} within {timeout:g} s{found}")


class Baresip:
    """One phone, with a folder of its own."""

    def __init__(self, name, folder, tone=None, address=lab.ADDRESS, more="", network=None, calls=4):
        self.name, self.address, self.transport = name, address, "udp"
        self.network = network
        with lab.inside(network):
            self.sip_port = _free_port(address)
            self._control_port = _free_port("127.0.0.1")
        self.folder = os.path.join(folder, name)
        self.log = os.path.join(self.folder, "log")
        self.events = []
        self._seen = 0
        self._answers = {}
        self._commands = 0
        self._news = threading.Condition()
        self._closed = False
        self._control = None
        self.process = None
        self._write_folder(tone, more, calls)

    def _write_folder(self, tone, more, calls):
        os.makedirs(self.folder)
        modules = glob.glob("/usr/lib/baresip/modules") or glob.glob("/usr/lib/*/baresip/modules")
        if not modules:
            raise lab.Unable("baresip's modules are missing: apt-get install baresip-core")
        with open(os.path.join(self.folder, "config"), "w") as file:
            file.write(_CONFIG.format(
                sip_host=f"[{self.address}]" if ":" in self.address else self.address,
                sip_port=self.sip_port, control_port=self._control_port,
                name=self.name, recordings=self.folder, modules=modules[0], calls=calls,
                source=f"aufile,{tone}" if tone else "aubridge,silence") + more)
        # Accounts come by command: one read from a file would register before
        # anybody listens to the events.
        for name in ("accounts", "contacts"):
            open(os.path.join(self.folder, name), "w").close()

    def start(self, timeout=10.0):
        return self.launch().attend(timeout)

    def launch(self):
        """Start it, and do not wait. The thread that does this has to outlive it."""
        with open(self.log, "wb") as log, lab.inside(self.network):
            self.process = lab.spawn(["stdbuf", "-oL", "baresip", "-s", "-f", self.folder],
                                     stdout=log, stderr=subprocess.STDOUT)
        return self

    def attend(self, timeout=10.0):
        """Wait until it listens."""
        self._control = lab.until(self._connect, timeout, f"start of {self.name}'s phone")
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _connect(self):
        if self.process.poll() is not None:
            raise lab.Failure(f"{self.name}'s baresip ended with status "
                              f"{self.process.returncode}: {lab.tail(self.log)}")
        try:
            with lab.inside(self.network):
                return socket.create_connection(("127.0.0.1", self._control_port), 1.0)
        except OSError:
            return None

    def _listen(self):
        self._control.settimeout(None)
        buffer = b""
        while True:
            try:
                piece = self._control.recv(65536)
            except OSError:
                piece = b""
            if not piece:
                break
            buffer += piece
            while (netstring := re.match(rb"(\d+):", buffer)):
                start = netstring.end()
                stop = start + int(netstring.group(1))
                if len(buffer) <= stop:
                    break
                self._take(json.loads(buffer[start:stop].decode(errors="replace"), strict=False))
                buffer = buffer[stop + 1:]
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _take(self, message):
        with self._news:
            if message.get("response"):
                self._answers[message["token"]] = message
            else:
                self.events.append(message)
            self._news.notify_all()

    def command(self, command, params="", timeout=5.0):
        """Give a command and return what baresip printed for it."""
        if len(command) + len(params) > 250:
            raise ValueError("baresip cuts commands at 255 characters")
        self._commands += 1
        token = str(self._commands)
        message = json.dumps({"command": command, "params": params, "token": token}).encode()
        self._control.sendall(b"%d:%s," % (len(message), message))
        with self._news:
            self._news.wait_for(lambda: token in self._answers or self._closed, timeout)
            answer = self._answers.pop(token, None)
        if answer is None:
            raise lab.Failure(f"{self.name}'s phone did not answer the command {command}")
        if not answer["ok"]:
            raise lab.Failure(f"{self.name}'s phone refused {command} {params}: {answer['data']}")
        return answer["data"]

    def expect(self, kind, timeout=10.0):
        """Wait for the next event of a kind; the ones before it are passed over."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                while self._seen < len(self.events):
                    event = self.events[self._seen]
                    self._seen += 1
                    if event["type"] == kind:
                        return event
                    if event["type"] == _SPOILED_BY.get(kind):
                        raise lab.Failure(f"{self.name}'s phone: {event['type']}, not {kind}: "
                                          f"{event.get('param', '')}")
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    latest = self.events[-1]["type"] if self.events else "nothing"
                    raise lab.Failure(f"{self.name}'s phone: no {kind} within {timeout:g} s "
                                      f"(the latest was {latest})")
                self._news.wait(left)

    def count(self, kind):
        """How many events of a kind there have been since the start."""
        with self._news:
            return sum(event["type"] == kind for event in self.events)

    def add_account(self, user, password, server, realm=lab.REALM, interval=3600, options="",
                    transport="udp"):
        """Give it an account; with interval 0 it does not register."""
        self.transport = transport
        way = "" if transport == "udp" else f";transport={transport}"
        port = server.port + (transport == "tls")
        self.command("uanew", f"<sip:{user}@{realm}{way}>;auth_user={user};auth_pass={password};"
                              f'outbound="sip:{server.address}:{port}{way}";'
                              f"regint={interval}{options}")

    def dial(self, target):
        self._forget_recordings()
        self.command("dial", target)

    def accept(self):
        self._forget_recordings()
        self.command("accept")

    def hang_up(self):
        self.command("hangup")

    def _forget_recordings(self):
        # Their names tell calls apart by the second only.
        for path in glob.glob(os.path.join(glob.escape(self.folder), "dump-*.wav")):
            os.unlink(path)

    def recording(self, timeout=10.0):
        """What it hears in the call that it last dialled or accepted."""
        pattern = os.path.join(glob.escape(self.folder), "dump-*-dec.wav")

        def begun():
            found = glob.glob(pattern)
            return found and os.path.getsize(found[0]) > 4096 and found[0]

        return Recording(lab.until(begun, timeout, f"sound at {self.name}'s phone"), self.name)

    def await_message_from(self, server, start, timeout=5.0):
        """Wait until its trace shows a message from the server that starts so."""
        # By TCP the port of whoever opened the connection is any.
        is_udp = self.transport == "udp"
        theirs, own = (server.port, self.sip_port) if is_udp else (r"\d+", r"\d+")
        head = re.compile(rf"{self.transport.upper()} {re.escape(server.address)}:{theirs} -> "
                          rf"\S+:{own}\r?\n{re.escape(start)}")

        def traced():
            with open(self.log, errors="replace", newline="") as log:
                return head.search(log.read())

        lab.until(traced, timeout, f"{start.strip()} from the server at {self.name}'s phone")

    def stop(self):
        """Quit as a user would (it ends calls and unregisters), or be ended."""
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                self.command("quit")
                self.process.wait(5.0)
            except (lab.Failure, OSError, subprocess.TimeoutExpired):
                pass
        lab.end(self.process, patience=1.0)
        if self._control:
            self._control.close()

    def discard(self):
        """End it without a word to the server."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._control:
            self._control.close()
