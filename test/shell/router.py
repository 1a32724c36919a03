"""A home behind a router, in network namespaces: the server's host is this process's own, `router`
translates, `world` is outside. And routers and STUN servers made of a script, for what a real one
does not do when it is asked to."""

import contextlib
import ctypes
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import lab

OWN, ROUTER = "192.168.1.10", "192.168.1.1"
# Public ones, for a router refuses to forward for those of documentation. Nothing leaves here.
PUBLIC, OTHER_PUBLIC, WORLD = "93.184.216.34", "93.184.216.35", "93.184.216.1"
PORTMAP, ANNOUNCED, ALL_HOSTS = 5351, 5350, "224.0.0.1"
TCP, UDP = 6, 17

_libc = ctypes.CDLL(None, use_errno=True)


def sh(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise lab.Unable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def within(name):
    """Sockets that are opened here are of that namespace; of this thread alone."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        enter(theirs)
        yield
    finally:
        enter(own)
        os.close(own)
        os.close(theirs)


def enter(namespace):
    if _libc.setns(namespace, 0x40000000) < 0:
        raise lab.Unable(f"setns: {os.strerror(ctypes.get_errno())}")


def inside(name, *command):
    return sh("ip", "netns", "exec", name, *command)


def link(name, here, there, peer=None):
    """A link of namespace `name`, and its end in another, or in our own."""
    sh("ip", "link", "add", here, "netns", name, "type", "veth", "peer", "name", there,
       *(["netns", peer] if peer else []))


def build():
    """All three, once lab.enter() has made our own."""
    sh("mount", "-t", "tmpfs", "none", "/run")
    sh("ip", "route", "del", "default")
    for name in ("router", "world"):
        sh("ip", "netns", "add", name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
    link("router", "lan0", "home0")
    link("router", "wan0", "eth0", "world")
    for words in (["address", "add", f"{OWN}/24", "dev", "home0"], ["link", "set", "home0", "up"],
                  ["route", "add", "default", "via", ROUTER]):
        sh("ip", *words)
    for name, words in (("router", ["address", "add", f"{ROUTER}/24", "dev", "lan0"]),
                        ("router", ["address", "add", f"{PUBLIC}/24", "dev", "wan0"]),
                        ("router", ["link", "set", "lan0", "up"]),
                        ("router", ["link", "set", "wan0", "up"]),
                        ("world", ["address", "add", f"{WORLD}/24", "dev", "eth0"]),
                        ("world", ["link", "set", "eth0", "up"])):
        sh("ip", "-n", name, *words)
    inside("router", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")


def reset():
    """The router as it leaves the factory: it translates, and forwards nothing."""
    move(PUBLIC)
    inside("router", "nft", "flush", "ruleset")
    inside("router", "nft", "add table ip home; "
           "add chain ip home out { type nat hook postrouting priority 100; }; "
           "add rule ip home out oifname wan0 masquerade")


def move(address):
    """The router's public address becomes another."""
    old = OTHER_PUBLIC if address == PUBLIC else PUBLIC
    with contextlib.suppress(lab.Unable):
        sh("ip", "-n", "router", "address", "del", f"{old}/24", "dev", "wan0")
    sh("ip", "-n", "router", "address", "replace", f"{address}/24", "dev", "wan0")


def forward(*ports):
    """What is sent to these ports by UDP is sent on to the server."""
    inside("router", "nft", "add chain ip home in { type nat hook prerouting priority -100; }; "
           f"add rule ip home in iifname wan0 udp dport {{ {', '.join(map(str, ports))} }} "
           f"dnat to {OWN}")


class Script:
    """A socket of a namespace and a thread that answers what comes to it."""

    def __init__(self, name, host, port):
        self.lock = threading.Lock()
        with within(name):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.has_ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.has_ended:
            data, source = self.socket.recvfrom(2048)
            with self.lock:
                answer = self.answer(data, source) if data != b"end" else None
            if answer:
                self.socket.sendto(answer, source)

    def answer(self, data, source):
        raise NotImplementedError

    def close(self):
        self.has_ended = True
        self.socket.sendto(b"end", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Stun(Script):
    """RFC 8489, by the library of nobody; `lie` is an address that it says in place of the true."""

    def __init__(self, port=3478, lie=None):
        self.lie = lie
        super().__init__("world", WORLD, port)

    def answer(self, data, source):
        if len(data) < 20 or data[:2] != b"\0\1":
            return None
        host = socket.inet_aton(self.lie or source[0])
        masked = bytes(a ^ b for a, b in zip(host, data[4:8]))
        value = struct.pack("!BBH", 0, 1, source[1] ^ 0x2112) + masked
        return b"\1\1" + struct.pack("!H", 12) + data[4:20] + struct.pack("!HH", 0x20, 8) + value


class Router(Script):
    """PCP and NAT-PMP, or one of them. It keeps a table and forwards nothing."""

    def __init__(self, speaks=("pcp", "pmp"), address=PUBLIC, room=1000, taken=(),
                 age=1000):
        self.speaks, self.address, self.room, self.taken = speaks, address, room, taken
        self.table, self.nonces, self.asked = {}, {}, 0
        self.began = time.monotonic() - age
        super().__init__("router", ROUTER, PORTMAP)

    def epoch(self):
        return int(time.monotonic() - self.began)

    def forwards(self):
        with self.lock:
            return dict(self.table)

    def restart(self, address=None, is_said=True):
        """As if the power had gone for a moment."""
        with self.lock:
            self.table, self.nonces = {}, {}
            self.began = time.monotonic()
            self.address = address or self.address
            if is_said:
                self.announce()

    def announce(self):
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ROUTER))
        place = (ALL_HOSTS, ANNOUNCED)
        if "pcp" in self.speaks:
            self.socket.sendto(struct.pack("!BBBBII", 2, 0x80, 0, 0, 0, self.epoch()) + bytes(12),
                               place)
        if "pmp" in self.speaks:
            self.socket.sendto(self.pmp_address(), place)

    def pmp_address(self):
        return struct.pack("!BBHI", 0, 0x80, 0, self.epoch()) + socket.inet_aton(self.address)

    def put(self, protocol, port, lifetime):
        """0, or which result it is: 1, no room, 2, another has it."""
        if not lifetime:
            self.table.pop((protocol, port), None)
            return 0
        if (protocol, port) in self.taken:
            return 2
        if (protocol, port) not in self.table and len(self.table) >= self.room:
            return 1
        self.table[protocol, port] = lifetime
        return 0

    def answer(self, data, source):
        self.asked += 1
        if data[0] == 2 and "pcp" in self.speaks:
            return self.pcp(data)
        if data[0] == 0 and "pmp" in self.speaks:
            return self.pmp(data)
        if "pmp" in self.speaks:  # RFC 6886 3.5
            return struct.pack("!BBHI", 0, 0x80 | data[1], 1, self.epoch())
        return None

    def pcp(self, data):
        lifetime, = struct.unpack_from("!I", data, 4)
        nonce, protocol, port = data[24:36], data[36], struct.unpack_from("!H", data, 40)[0]
        result, outside = 0, port
        if data[8:24] != bytes(10) + b"\xff\xff" + socket.inet_aton(OWN):
            result = 12
        elif self.nonces.setdefault((protocol, port), nonce) != nonce:
            result = 2
        else:
            found = self.put(protocol, port, lifetime)
            result = 8 if found == 1 else 0
            outside = 1 if found == 2 else port  # one of its choice
        return (struct.pack("!BBBBII", 2, 0x81, 0, result, lifetime, self.epoch()) + bytes(12) +
                nonce + struct.pack("!BBHHH", protocol, 0, 0, port, outside) + bytes(10) +
                b"\xff\xff" + socket.inet_aton(self.address))

    def pmp(self, data):
        if data[1] == 0:
            return self.pmp_address()
        port, lifetime = struct.unpack_from("!HxxI", data, 4)
        found = self.put(TCP if data[1] == 2 else UDP, port, lifetime)
        return struct.pack("!BBHIHHI", 0, 0x80 | data[1], 4 if found == 1 else 0, self.epoch(),
                           port, 1 if found == 2 else port, lifetime)


MINIUPNPD = """ext_ifname=wan0
listening_ip=lan0
enable_upnp=%s
enable_natpmp=%s
secure_mode=yes
http_port=5000
uuid=4f0e1c1e-9a35-4a3b-8b3e-2d1d6b7c0001
lease_file=
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
TABLES = """add table inet filter
add chain inet filter miniupnpd
add chain inet filter forward { type filter hook forward priority 0; }
add chain inet filter prerouting { type nat hook prerouting priority -100; }
add chain inet filter postrouting { type nat hook postrouting priority 90; }
add chain inet filter prerouting_miniupnpd
add chain inet filter postrouting_miniupnpd
add rule inet filter forward jump miniupnpd
add rule inet filter prerouting jump prerouting_miniupnpd
add rule inet filter postrouting jump postrouting_miniupnpd
"""


class Miniupnpd:
    """The one that home routers have: it forwards."""

    def __init__(self, folder, has_upnp, has_pcp):
        words = ("yes" if has_upnp else "no", "yes" if has_pcp else "no")
        self.config = os.path.join(folder, "miniupnpd.conf")
        self.log = os.path.join(folder, "miniupnpd.log")
        self.process = None
        with open(self.config, "w", encoding="ascii") as file:
            file.write(MINIUPNPD % words)
        subprocess.run(["ip", "netns", "exec", "router", "nft", "-f", "-"], input=TABLES, text=True,
                       check=True)
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = lab.spawn(["ip", "netns", "exec", "router", "miniupnpd", "-d", "-f",
                                      self.config, "-P", self.config + ".pid"],
                                     stdout=log, stderr=log)

    def is_ready(self, has_upnp):
        """It has opened its ports: 5000 of TCP and 5351 of UDP."""
        table, port = ("tcp", 5000) if has_upnp else ("udp", PORTMAP)
        return f":{port:04X} " in inside("router", "cat", f"/proc/net/{table}",
                                         f"/proc/net/{table}6")

    def rules(self):
        return inside("router", "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")

    def forwards(self, protocol, port):
        number = {"udp": "0x11", "tcp": "0x0?6"}[protocol]  # as nft has it, or by its name
        return re.search(rf"({protocol}|{number}) .*dport {port} dnat ip to {OWN}:{port}\b",
                         self.rules()) is not None

    def restart(self):
        lab.end(self.process)
        inside("router", "nft", "flush", "chain", "inet", "filter", "prerouting_miniupnpd")
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        lab.end(self.process)
