"""Lines as they are in the world: what goes over them is late, now more and now less, and some of it
is lost. Between a link and the bridge that it was in, while it lasts.

The kernel here has no netem; this passes on frames, by packet(7), from a heap ordered by time.
"""

import contextlib
import heapq
import random
import select
import socket
import struct
import threading
import time

import homes
import lab

_SOL_PACKET, _ALL, _PROMISCUOUS = 263, 3, 1
_ADD_MEMBERSHIP, _VNET_HEADER, _IGNORE_OUTGOING = 1, 15, 23
_LARGEST = 65536 + 64
_AT_ONCE = 64


def _open(network, link):
    """All frames that come in there, with what the sender's kernel has left to do of their sums."""
    with lab.inside(network):
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        number = socket.if_nametoindex(link)
    one.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
    one.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    one.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("IHH8s", number, _PROMISCUOUS, 0, b""))
    with lab.inside(network):
        one.bind((link, _ALL))
    one.setblocking(False)
    return one


class PoorLines(threading.Thread):
    """Of links in a bridge; `delay` and `spread` in seconds each way, `loss` a part of one."""

    def __init__(self, network, links, delay=0.02, spread=0.005, loss=0.01, seed=1):
        super().__init__(daemon=True)
        self.network, self.links = network, links
        self.delay, self.spread, self.loss = delay, spread, loss
        self.passed = self.lost = 0
        self._dice, self._heap, self._other = random.Random(seed), [], {}
        self._stopping = threading.Event()

    def __enter__(self):
        for link in self.links:
            homes.ip(self.network, f"link add {link}-p type veth peer name {link}-q",
                     f"link set {link}-p addrgenmode none", f"link set {link} nomaster",
                     f"link set {link}-q master bridge", f"link set {link}-p up", f"link set {link}-q up")
            near, far = _open(self.network, link), _open(self.network, f"{link}-p")
            self._other[near], self._other[far] = far, near
        self.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self.join()
        for one in self._other:
            one.close()
        for link in self.links:
            homes.ip(self.network, f"link del {link}-p", f"link set {link} master bridge")

    def _read(self, one):
        for _ in range(_AT_ONCE):
            try:
                frame = one.recv(_LARGEST)
            except BlockingIOError:
                return
            if self._dice.random() < self.loss:
                self.lost += 1
                continue
            late = self.delay + self._dice.uniform(-self.spread, self.spread)
            self.passed += 1
            heapq.heappush(self._heap, (time.monotonic() + late, self.passed, self._other[one], frame))

    def run(self):
        while not self._stopping.is_set():
            due = self._heap[0][0] - time.monotonic() if self._heap else 0.1
            for one in select.select(list(self._other), [], [], min(max(due, 0), 0.1))[0]:
                self._read(one)
            while self._heap and self._heap[0][0] <= time.monotonic():
                _, _, way, frame = heapq.heappop(self._heap)
                with contextlib.suppress(OSError): # a queue is full, as they are
                    way.send(frame)
