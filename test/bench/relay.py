#!/usr/bin/env python3
"""Measures relays of media side by side, on one core: plain forwarding by the kernel, sipw-relay in
the kernel and as a process, and Debian's rtpengine in user space.

    test/bench/relay.py [--quick | --demand] [--only ROW,...] [--json FILE]

test/bench/README.md says what the numbers mean.  It needs root, and two idle cores.  With --demand
the exit status is 1 where sipw-relay misses what is demanded of it.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "relay"))

import network
from network import V4, lab, sh

BUILD = os.environ.get("BUILD") or os.path.join(lab.ROOT, "build/release")
STREAMS = 2000          # a call has two
ROWS = ["forwarding", "kernel", "process", "rtpengine"]
RATES = [25000, 50000, 75000, 100000, 125000, 150000, 175000, 200000, 225000, 250000, 275000, 300000, 350000,
         400000, 500000, 600000, 700000, 800000, 1000000]
COST_RATE = 400000      # or four fifths of what a row carries, if that is less
LATENCY_RATE = 25000    # 250 calls
LOSS = 0.001
AHEAD = ["nice", "-n", "-10"]  # of what else is on the machine: sender, process and rtpengine
FIRST = 1
# What --demand asks for: the row, what of it, beside which, at least or at most how many times that.
DEMANDS = [("kernel", "pps", "rtpengine", ">=", 5), ("kernel", "cost", "forwarding", "<=", 1.1),
           ("process", "pps", "rtpengine", ">=", 1.3)]
WORDS = {"pps": "packets/s", "cost": "us/packet"}


class Meter:
    """Sends, counts what leaves, and knows how idle the core is."""

    def __init__(self, seconds, rates):
        self.seconds, self.rates = seconds, rates
        self.load = os.path.join(BUILD, "test/bench/bench-relay")
        self.mac = json.loads(sh("ip", "-j", "link", "show", "to-a"))[0]["address"]
        self.counter = lab.spawn([self.load, "count", "to-b",
                                  os.path.join(BUILD, "test/bench/relay_count.bpf")],
                                 pipe_in=True, stdout=subprocess.PIPE, text=True)
        if self.counter.stdout.readline() != "ready\n":
            raise lab.Unable("the counter does not start")

    def count(self):
        self.counter.stdin.write("\n")
        self.counter.stdin.flush()
        sum_, p50, p99 = self.counter.stdout.readline().split()
        return int(sum_), float(p50), float(p99)

    def send(self, target, ports, rate, seconds=None):
        """Packets sent, the rate that was reached, packets on time, p50, p99."""
        self.count()
        done = subprocess.run(["ip", "netns", "exec", "a", *AHEAD, "taskset", "-c", "1", self.load, "send",
                               "eth0", self.mac, "10.1.0.2", target, str(seconds or self.seconds),
                               str(rate)], input=ports, capture_output=True, text=True)
        if done.returncode != 0:
            raise lab.Failure(done.stderr.strip())
        sent, reached = done.stdout.split()
        return (int(sent), float(reached), *self.count())

    def spin(self, seconds):
        """One whose turns tell how much of the core nobody wants."""
        return subprocess.Popen(["taskset", "-c", "0", self.load, "spin", str(seconds)],
                                stdout=subprocess.PIPE, text=True)

    def cost(self, target, ports, capacity):
        """Microseconds of the core for a packet."""
        rate = min(COST_RATE, 0.8 * capacity)

        def turns(process):
            return float(process.communicate()[0])
        before = turns(self.spin(1))
        spinner = self.spin(self.seconds)
        _, reached, *_ = self.send(target, ports, rate, self.seconds)
        during = turns(spinner)
        idle = (before + turns(self.spin(1))) / 2
        return (1 - during / idle) * 1e6 / reached

    def capacity(self, target, ports):
        """The highest rate of which 99.9 % leave while the sender sends; and whether the sender is
        what ends it."""
        best = 0
        for rate in self.rates:
            sent, reached, on_time, *_ = self.send(target, ports, rate)
            if on_time < sent * (1 - LOSS):
                # A burst of something else on the machine is no limit: once more.
                sent, reached, on_time, *_ = self.send(target, ports, rate)
            if on_time < sent * (1 - LOSS):
                return best, False
            best = max(best, reached)
            if reached < 0.95 * rate:
                return best, True
        return best, True


class Forwarding:
    target = "10.2.0.2"

    def open(self):
        sh("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.ports = "".join(f"{10000 + 2 * i} {20000 + 2 * i}\n" for i in range(STREAMS))

    def close(self):
        sh("sysctl", "-qw", "net.ipv4.ip_forward=0")


class Ours:
    target = V4

    def __init__(self, kind):
        self.kind = kind

    def open(self):
        self.relay = network.Relay(self.kind)
        if self.kind == "kernel":
            self.relay.load()
            self.relay.watch()
        # What the driver starts is where it is, and as it is.
        os.sched_setaffinity(0, {0})
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        self.relay.open()
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        os.sched_setaffinity(0, {0, 1})
        lines, ports = [], ""
        for i in range(STREAMS):
            a, b = 20000 + 4 * i, 20002 + 4 * i
            ports += f"{10000 + 2 * i} {a}\n"
            lines += [f"open {V4}:{a} 10.1.0.2:0 - {V4}:{b} 1 1000000 0",
                      f"open {V4}:{b} 10.2.0.2:0 10.2.0.2:{20000 + 2 * i} {V4}:{a} 1 1000000 {FIRST}"]
        for i in range(0, len(lines), 60):
            self.relay.change(*lines[i:i + 60])
        self.ports = ports

    def set_up(self):
        one = f"open {V4}:16000 10.1.0.2:0 - {V4}:16002 1 1000000 0"
        took, failed = self.relay.ask(one, "calls 2000").split()
        if failed != "0":
            raise lab.Failure(f"{failed} legs were refused")
        return float(took)

    def close(self):
        self.relay.end()


def bencode(value):
    if isinstance(value, str):
        return f"{len(value)}:{value}"
    if isinstance(value, list):
        return "l" + "".join(map(bencode, value)) + "e"
    return "d" + "".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + "e"


class Rtpengine:
    target = V4

    def open(self):
        self.process = lab.spawn(
            ["prlimit", "--nofile=20000", *AHEAD, "taskset", "-c", "0", "rtpengine", "--foreground",
             "--log-stderr", "--log-level=2", f"--interface={V4}", "--listen-ng=127.0.0.1:2223",
             "--table=-1", "--num-threads=1", "--port-min=30000", "--port-max=60000"],
            stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", 2223))
        self.socket.settimeout(1)
        self.serial = 0

        def answers():
            try:
                return "pong" in self.ask(command="ping")
            except OSError:
                return False
        lab.until(answers, 10, "answer of rtpengine")
        self.ports = "".join(f"{10000 + 2 * i} {self.call(f'c{i}', 10000 + 2 * i, 20000 + 2 * i)}\n"
                             for i in range(STREAMS))

    def ask(self, **words):
        self.serial += 1
        words = {key.replace("_", "-"): value for key, value in words.items()}
        self.socket.send(f"{self.serial} {bencode(words)}".encode())
        return self.socket.recv(65536).decode()

    def call(self, name, a, b):
        """Both SDPs; the port that the first is to send to."""
        def sdp(host, port):
            return (f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
                    f"m=audio {port} RTP/AVP 0\r\n")
        self.ask(command="offer", call_id=name, from_tag="a", sdp=sdp("10.1.0.2", a))
        answer = self.ask(command="answer", call_id=name, from_tag="a", to_tag="b",
                          sdp=sdp("10.2.0.2", b))
        return int(answer.split("m=audio ")[1].split()[0])

    def set_up(self):
        begun = time.monotonic()
        for i in range(500):
            self.call(f"s{i}", 9000, 9002)
            self.ask(command="delete", call_id=f"s{i}", from_tag="a")
        return (time.monotonic() - begun) * 1e6 / 500

    def close(self):
        lab.end(self.process)
        self.socket.close()


def measure(name, meter):
    row = {"forwarding": Forwarding, "kernel": lambda: Ours("kernel"),
           "process": lambda: Ours("process"), "rtpengine": Rtpengine}[name]()
    row.open()
    try:
        meter.send(row.target, row.ports, LATENCY_RATE, 0.5)  # every stream has its source
        found = {}
        *_, found["p50"], found["p99"] = meter.send(row.target, row.ports, LATENCY_RATE)
        found["pps"], found["is_sender"] = meter.capacity(row.target, row.ports)
        found["cost"] = meter.cost(row.target, row.ports, found["pps"] or LATENCY_RATE)
        found["set_up"] = row.set_up() if hasattr(row, "set_up") else None
        return found
    finally:
        row.close()


def prepare():
    network.build()
    sh("mount", "-t", "sysfs", "none", "/sys")
    mac = json.loads(sh("ip", "-n", "b", "-j", "link", "show", "eth0"))[0]["address"]
    sh("ip", "neigh", "replace", "10.2.0.2", "lladdr", mac, "dev", "to-b", "nud", "permanent")
    # What the sender's core brings is received on the other one.
    with open("/sys/class/net/to-a/queues/rx-0/rps_cpus", "w") as file:
        file.write("1")


def show(rows):
    print(f"{'':12}{'packets/s':>12}{'us/packet':>11}{'p50 us':>8}{'p99 us':>8}{'added p50':>11}{'p99':>8}"
          f"{'us/call':>9}")
    plain = rows.get("forwarding")
    for name, row in rows.items():
        most = f"{'>' if row['is_sender'] else ''}{row['pps']:,.0f}"
        added = [f"{row[p] - plain[p]:.1f}" if plain and row is not plain else "-" for p in ("p50", "p99")]
        call = f"{row['set_up']:.1f}" if row["set_up"] else "-"
        print(f"{name:12}{most:>12}{row['cost']:>11.2f}{row['p50']:>8.1f}{row['p99']:>8.1f}{added[0]:>11}"
              f"{added[1]:>8}{call:>9}")
    for ours, theirs in (("kernel", "rtpengine"), ("process", "rtpengine"), ("kernel", "forwarding")):
        if ours in rows and theirs in rows:
            a, b = rows[ours], rows[theirs]
            print(f"{ours} beside {theirs}: {'at least ' if a['is_sender'] else ''}"
                  f"{a['pps'] / b['pps']:.2f} of the packets, {a['cost'] / b['cost']:.2f} of the cost")


def times(rows, ours, key, theirs):
    """None where it cannot be said: one is not there, or the other carries more than could be sent.
    Where that is so of ours, by the cost of a packet."""
    if ours not in rows or theirs not in rows:
        return None
    a, b = rows[ours], rows[theirs]
    if not b[key] or (key == "pps" and b["is_sender"]):
        return None
    if key == "pps" and a["is_sender"]:
        return max(a["pps"] / b["pps"], b["cost"] / a["cost"])
    return a[key] / b[key]


def show_demands(rows):
    """How many were missed."""
    missed = 0
    for ours, key, theirs, sign, wanted in DEMANDS:
        found = times(rows, ours, key, theirs)
        is_met = found is not None and (found >= wanted if sign == ">=" else found <= wanted)
        missed += not is_met
        print(f"{'demanded' if is_met else 'MISSED'}: {ours}, {WORDS[key]} beside {theirs} {sign} {wanted}: "
              f"{'no figure' if found is None else f'{found:.2f}'}")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--demand", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if arguments.quick and arguments.demand:
        parser.error("--quick gives no figures")
    names = arguments.only.split(",") if arguments.only else ROWS
    lab.end_on_signals()
    lab.need("ip", "taskset", "prlimit")
    if "rtpengine" in names:
        lab.need("rtpengine")
    lab.enter()
    prepare()
    meter = Meter(1, RATES[:1]) if arguments.quick else Meter(2, RATES)
    rows = {name: measure(name, meter) for name in names}
    show(rows)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 1 if arguments.demand and show_demands(rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (lab.Unable, lab.Failure) as trouble:
        print(f"TROUBLE: {trouble}", file=sys.stderr)
        sys.exit(1)
