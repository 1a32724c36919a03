"""The network of the relay's tests: a host, which is this process's own network, and behind a link
each two phones and a stranger; sockets there; and the relay's programs."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab

V4, V6 = "192.0.2.1", "fd00:ff::1"      # the relay's
HOSTS = ("a", "b", "x")
PATIENCE = 10.0
NOBODY = 65534
RUN = "/run/relay-test"                 # in a mount of our own: it goes away with us


def address(host, family=4):
    number = HOSTS.index(host) + 1
    return f"10.{number}.0.2" if family == 4 else f"fd00:{number}::2"


def sh(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise lab.Unable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def link(host):
    """The link to one of the hosts, made anew."""
    number = HOSTS.index(host) + 1
    sh("ip", "link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0", "netns", host)
    sh("ip", "address", "add", f"10.{number}.0.1/24", "dev", f"to-{host}")
    sh("ip", "address", "add", f"fd00:{number}::1/64", "dev", f"to-{host}", "nodad")
    sh("ip", "link", "set", f"to-{host}", "up")
    for words in (["address", "add", f"10.{number}.0.2/24", "dev", "eth0"],
                  ["address", "add", f"fd00:{number}::2/64", "dev", "eth0", "nodad"],
                  ["link", "set", "eth0", "up"],
                  ["route", "add", "default", "via", f"10.{number}.0.1"],
                  ["-6", "route", "add", "default", "via", f"fd00:{number}::1"]):
        sh("ip", "-n", host, *words)


def build():
    """Everything, in the namespaces that lab.enter() has made."""
    sh("mount", "-t", "tmpfs", "none", "/run")
    os.makedirs(RUN)
    sh("ip", "route", "del", "default")
    sh("ip", "address", "add", f"{V6}/128", "dev", "lo", "nodad")
    for host in HOSTS:
        sh("ip", "netns", "add", host)
        sh("ip", "-n", host, "link", "set", "lo", "up")
        link(host)


class Phone:
    """A UDP socket of one of the hosts."""

    def __init__(self, host, family=4, port=0, no_checksum=False, at=None):
        self.host, self.family = host, family
        with lab.inside(host):
            self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                                        socket.SOCK_DGRAM)
        if family == 4:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        else:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        if no_checksum:
            self.socket.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        self.socket.bind((at or address(host, family), port))
        self.address = self.socket.getsockname()[:2]
        self.text = written(*self.address)

    def send(self, what, where):
        self.socket.sendto(what, where)

    def mark(self, traffic_class):
        if self.family == 4:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, traffic_class)
        else:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)

    def receive(self, timeout=PATIENCE):
        """A datagram, where it is from, and its traffic class."""
        self.socket.settimeout(timeout)
        try:
            data, extra, _, source = self.socket.recvmsg(65536, 256)
        except (socket.timeout, BlockingIOError):
            return None
        return data, source[:2], int.from_bytes(extra[0][2][:1], "little") if extra else None

    def hears(self, timeout=PATIENCE):
        got = self.receive(timeout)
        return got[0] if got else None

    def drain(self):
        """What has come so far."""
        found = []
        while (got := self.receive(0)) is not None:
            found.append(got[0])
        return found

    def close(self):
        self.socket.close()


def written(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Relay:
    """One of the two, with who opens its legs: a user without any privilege."""

    def __init__(self, kind, name="relay", arguments=()):
        self.kind, self.arguments = kind, list(arguments)
        self.pins = f"{RUN}/{name}"
        self.state = f"{RUN}/state-{name}"
        self.watcher = self.driver = self.listener = self.server = None
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        os.chown(self.state, NOBODY, NOBODY)
        # What a user without privileges cannot reach where the tree is.
        self.program, self.driving = (_copy("RELAY", "src/sipw-relay"),
                                      _copy("RELAY_DRIVER", "test/relay/relay-driver"))

    def command(self, *words):
        return subprocess.run([self.program, *words], capture_output=True, text=True)

    def load(self):
        done = self.command("load", "--pins", self.pins, "--user", "nobody", *self.arguments)
        if done.returncode != 0:
            raise lab.Failure(f"sipw-relay load: {done.stderr.strip()}")
        return done.stdout

    def watch(self):
        self.watcher = lab.spawn([self.program, "watch", "--pins", self.pins],
                                 stdout=subprocess.PIPE, text=True)

    def serve(self, *arguments):
        """The process, of which we have the listening socket: as a service manager has it."""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(f"{self.state}/relay")
        os.chmod(f"{self.state}/relay", 0o666)
        self.listener.listen(8)
        self.listener.set_inheritable(True)
        number = str(self.listener.fileno())
        self.server = lab.spawn(["setpriv", f"--reuid={NOBODY}", "--clear-groups", self.program,
                                 "serve", "--listener", number, *arguments], close_fds=False)

    def open(self):
        self.driver = lab.spawn(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                                 "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
                                 self.driving, self.kind, self.pins, self.state, self.program],
                                pipe_in=True, stdout=subprocess.PIPE, text=True)
        words = self.driver.stdout.readline().strip()
        if not words.startswith("ok "):
            raise lab.Failure(words)
        return words

    def kill(self):
        self.driver.kill()
        self.driver.wait()

    def ask(self, *lines):
        self.driver.stdin.write("".join(f"{line}\n" for line in lines))
        self.driver.stdin.flush()
        return self.driver.stdout.readline().strip()

    def apply(self, *lines):
        """The errors of the changes."""
        return [int(word) for word in self.ask(*lines, "apply").split()[1:]]

    def change(self, *lines):
        errors = self.apply(*lines)
        if any(errors):
            raise lab.Failure(f"the relay refuses: {errors}")

    def read(self, key):
        version, locked, packets, size, *drops = map(int, self.ask(f"read {key}").split())
        return {"version": version, "locked": locked, "packets": packets, "bytes": size,
                "stranger": drops[0], "early": drops[1], "flood": drops[2], "lost": drops[3],
                "expected": drops[4], "missing": drops[5], "jitter": drops[6]}

    def legs(self):
        where = ["--pins", self.pins] if self.kind == "kernel" else ["--prefixpath", self.state]
        done = self.command("list", "--json", *where)
        if done.returncode != 0:
            raise lab.Failure(f"sipw-relay list: {done.stderr.strip()}")
        return {leg["leg"]: leg for leg in map(json.loads, done.stdout.splitlines())}

    def process(self):
        """The id of the process that relays, if it is one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
            try:
                one.connect(f"{self.state}/relay")
            except (ConnectionRefusedError, FileNotFoundError):
                return None
            one.settimeout(PATIENCE)
            one.send(struct.pack("=IIII", 2, 0, 0, 0))
            return struct.unpack("=IIII", one.recv(1000)[:16])[3]

    def end(self):
        for process in (self.driver, self.watcher, self.server):
            if process:
                lab.end(process)
        if self.kind == "kernel":
            self.command("unload", "--pins", self.pins)
        elif not self.listener and (number := self.process()):
            os.kill(number, 9)
        if self.listener:
            self.listener.close()


def _copy(variable, path):
    source = os.environ.get(variable) or os.path.join(lab.ROOT, "build/release", path)
    if not os.access(source, os.X_OK):
        raise lab.Unable(f"{source} is missing: ./check release builds it")
    target = os.path.join(RUN, os.path.basename(source))
    if not os.path.exists(target):
        shutil.copy(source, target)
    return target
