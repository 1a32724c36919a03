#!/usr/bin/env python3
"""The real sipw on 127.0.0.1, asked with plain sockets.

Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. SIPW
names another server binary than build/release/src/sipw. Arguments are names of checks to run alone.
"""

import contextlib
import ctypes
import glob
import hashlib
import os
import random
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIPW = os.environ.get("SIPW") or os.path.join(ROOT, "build", "release", "src", "sipw")
PATIENCE = 10.0
LINE_PATIENCE = 20.0  # for what the server says of itself, on a busy machine

CONFIG = """<?xml version="1.0"?>
<sipwitch>
  <registry><realm>lab.test</realm><prefix>200</prefix><range>100</range></registry>
  <provision>
    <user id="alice" secret="alices secret" extension="201"/>
    <user><id>bob</id><secret>bobs secret</secret><extension>202</extension></user>
  </provision>
</sipwitch>
"""


class Failure(Exception):
    pass


def until(condition, what, patience=PATIENCE):
    """Waits for condition() to give something true, and returns it."""
    end = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > end:
            raise Failure(f"no {what}")
        time.sleep(0.01)
    return found


def expect(so, why):
    if not so:
        raise Failure(why)


_given = set()


def free_port():
    """A port that is free on UDP and TCP, IPv4 and IPv6, and the next one on TCP, for TLS. It is
    none of those that the system gives to who asks for any, and none that was given before: whoever
    has that may not listen yet."""
    while True:
        port = random.randrange(12000, 32000, 2)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams, \
                socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as streams, \
                socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as secure:
            with contextlib.suppress(OSError):
                datagrams.bind(("::", port))
                streams.bind(("::", port))
                secure.bind(("::", port + 1))
                _given.add(port)
                return port


def cpu_seconds(pid):
    """Of all threads of a process: what it took, however busy the machine is."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


class Server:
    def __init__(self, folder, config=CONFIG, port=None):
        self.folder = folder
        self.state = os.path.join(folder, "state")
        self.config = os.path.join(folder, "sipwitch.conf")
        self.port = port or free_port()
        self.process = None
        self.unread = b""  # what it said on standard error, and nobody has looked at yet
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config)

    def command(self, *options):
        return [SIPW, "-f", "-P", str(self.port), "--configpath", self.config,
                "--prefixpath", self.state, *options]

    def start(self, *options, **settings):
        self.process = subprocess.Popen(self.command(*(options or ("-A", "127.0.0.1"))),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, **settings)
        line = self.process.stdout.readline()
        if line != "sipw: ready\n":
            raise Failure(f"the first line is {line!r}: {self.process.stderr.read()!r}")
        return self

    def refuse(self, *options):
        """Start it where it must not start: its status and what it says."""
        done = subprocess.run(self.command(*(options or ("-A", "127.0.0.1"))), text=True,
                              capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stderr

    def end(self, how=signal.SIGTERM):
        """Its status and what it said on standard error."""
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=PATIENCE)
        before, self.unread = self.unread.decode(), b""
        return self.process.returncode, before + said

    def discard(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)

    def next_line(self, patience=LINE_PATIENCE):
        """The next line of its log; None if none comes, and empty if it has ended."""
        descriptor, end = self.process.stderr.fileno(), time.monotonic() + patience
        while b"\n" not in self.unread:
            left = end - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            if not (more := os.read(descriptor, 65536)):
                break
            self.unread += more
        line, newline, self.unread = self.unread.partition(b"\n")
        return (line + newline).decode()

    def await_line(self, part, patience=LINE_PATIENCE):
        """The next line of its log that has this."""
        seen, end = "", time.monotonic() + patience
        while line := self.next_line(max(0, end - time.monotonic())):
            if part in line:
                return line
            seen += line
        how = f"it did not say {part!r} in {patience:g} s" if line is None else \
            f"it ended without saying {part!r}"
        raise Failure(f"{how}, but {seen + self.unread.decode()!r}")

    def segments(self):
        return sorted(glob.glob(os.path.join(self.state, "journal.[0-9]*")),
                      key=lambda name: int(name.rsplit(".", 1)[1]))


@contextlib.contextmanager
def server(config=CONFIG, port=None):
    with tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder:
        one = Server(folder, config, port)
        try:
            yield one
        finally:
            one.discard()


class Phone:
    def __init__(self, port, user="alice", password="alices secret", host="127.0.0.1",
                 domain="lab.test"):
        self.user, self.password, self.domain = user, password, domain
        self.host = f"[{host}]" if ":" in host else host
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                                    socket.SOCK_DGRAM)
        self.socket.connect((host, port))
        self.socket.settimeout(0.5)
        self.port = self.socket.getsockname()[1]
        self.cseq = 0
        self.challenges = 0

    def text(self, method, *headers):
        """The next request."""
        self.cseq += 1
        aor = f"<sip:{self.user}@{self.domain}>"
        return "\r\n".join([
            f"{method} sip:{self.domain} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{self.port}x{self.cseq};rport",
            f"From: {aor};tag=a{self.port}", f"To: {aor}", f"Call-ID: {self.port}@test",
            f"CSeq: {self.cseq} {method}", "Max-Forwards: 70", *headers,
            "Content-Length: 0", "", ""]).encode()

    def ask(self, method, *headers):
        """One request; sent again, as RFC 3261 17.1.2 has it, until the final response comes."""
        request = self.text(method, *headers)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self.socket.send(request)
                answer = self.socket.recv(65535).decode()
            except (TimeoutError, ConnectionRefusedError):
                continue
            if f"CSeq: {self.cseq} " in answer:
                return answer
        raise Failure(f"no answer to {method}")

    def register(self, *headers):
        """With a digest, after the challenge, and again while that is stale; the final answer."""
        answer = self.ask("REGISTER", *headers)
        expect(answer.startswith("SIP/2.0 401 "), f"not challenged: {answer!r}")
        end = time.monotonic() + PATIENCE
        self.challenges = 0
        while time.monotonic() < end:
            self.challenges += 1
            answer = self.ask("REGISTER", *headers, self.authorization(answer))
            if "stale=true" not in answer:
                break
        return answer

    def authorization(self, challenge):
        nonce = re.search('nonce="([^"]*)"', challenge)[1]
        realm = re.search('realm="([^"]*)"', challenge)[1]
        uri = f"sip:{self.domain}"

        def md5(text):
            return hashlib.md5(text.encode()).hexdigest()
        ha1, ha2 = md5(f"{self.user}:{realm}:{self.password}"), md5(f"REGISTER:{uri}")
        response = md5(f"{ha1}:{nonce}:00000001:cn:auth:{ha2}")
        return (f'Authorization: Digest username="{self.user}", realm="{realm}", '
                f'nonce="{nonce}", uri="{uri}", response="{response}", '
                'algorithm=MD5, qop=auth, nc=00000001, cnonce="cn"')

    def bind(self):
        answer = self.register(f"Contact: <sip:{self.user}@{self.host}:{self.port}>")
        expect(answer.startswith("SIP/2.0 200 "), f"REGISTER was answered {answer!r}")
        return self

    def unbind(self):
        answer = self.register(f"Contact: <sip:{self.user}@{self.host}:{self.port}>;expires=0")
        expect(answer.startswith("SIP/2.0 200 "), f"the removal was answered {answer!r}")

    def bindings(self):
        """What the registrar holds for this user."""
        answer = self.register()
        expect(answer.startswith("SIP/2.0 200 "), f"the query was answered {answer!r}")
        return re.findall(r"^Contact: (<[^>]*>)", answer, re.MULTILINE)

    def contact(self):
        return f"<sip:{self.user}@{self.host}:{self.port}>"


@contextlib.contextmanager
def frozen_store(one):
    """Its store thread stands still meanwhile, as on a disk that hangs."""
    seize, interrupt, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for name in glob.glob(f"/proc/{one.process.pid}/task/*/comm"):
        with open(name, encoding="ascii") as file:
            if file.read() == "store\n":
                thread = int(name.split("/")[4])
    for request in seize, interrupt:
        expect(libc.ptrace(request, thread, None, None) == 0,
               f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, wall)
    try:
        yield
    finally:
        libc.ptrace(detach, thread, None, None)


@contextlib.contextmanager
def full_disk(one):
    """Nothing can be written meanwhile."""
    pid, size = one.process.pid, resource.RLIMIT_FSIZE
    before = resource.prlimit(pid, size)
    resource.prlimit(pid, size, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, size, before)


def one_line(said, *parts):
    """A refusal is one line, and says these."""
    lines = said.splitlines()
    expect(len(lines) == 1, f"not one line: {said!r}")
    for part in parts:
        expect(part in said, f"{part!r} is not in {said!r}")


# ---- checks

def answers_options_on_ipv4():
    with server() as one:
        one.start()
        answer = Phone(one.port).ask("OPTIONS")
        expect(answer.startswith("SIP/2.0 200 "), f"answered {answer!r}")


def answers_options_on_ipv6():
    with server() as one:
        one.start("-A", "::1")
        answer = Phone(one.port, host="::1").ask("OPTIONS")
        expect(answer.startswith("SIP/2.0 200 "), f"answered {answer!r}")


def listens_on_all_addresses_by_default():
    with server() as one:
        one.start("--public")
        for host in "127.0.0.1", "::1":
            answer = Phone(one.port, host=host).ask("OPTIONS")
            expect(answer.startswith("SIP/2.0 200 "), f"{host}: answered {answer!r}")


def registers_with_digest():
    with server() as one:
        one.start()
        phone = Phone(one.port).bind()
        expect(phone.bindings() == [phone.contact()], "the binding is not listed")


def refuses_a_wrong_password():
    with server() as one:
        one.start()
        phone = Phone(one.port, password="guessed")
        answer = phone.register(f"Contact: {phone.contact()}")
        expect(not answer.startswith("SIP/2.0 2"), f"answered {answer!r}")


def phones_at_one_address_register_in_the_same_second():
    with server() as one:
        one.start()
        for _ in range(5):
            for user in "alice", "bob":
                phone = Phone(one.port, user, f"{user}s secret").bind()
                expect(phone.challenges <= 2, f"{phone.challenges} challenges for one REGISTER")


def binding_survives_kill():
    with server() as one:
        one.start()
        phone = Phone(one.port).bind()
        for _ in range(3):
            one.end(signal.SIGKILL)
            one.start()
        expect(phone.bindings() == [phone.contact()], "the binding is gone")


def removal_survives_kill():
    with server() as one:
        one.start()
        phone = Phone(one.port).bind()
        phone.unbind()
        one.end(signal.SIGKILL)
        one.start()
        expect(phone.bindings() == [], "the binding has come back")


def sigterm_ends_it_cleanly():
    for how in signal.SIGTERM, signal.SIGINT:
        with server() as one:
            one.start()
            phone = Phone(one.port).bind()
            status, said = one.end(how)
            expect(status == 0, f"exit status {status}: {said!r}")
            one.start()
            expect(phone.bindings() == [phone.contact()], "the binding is gone")


def busy_port_is_refused():
    with server() as one, server(port=one.port) as other:
        one.start()
        status, said = other.refuse()
        expect(status == 1, f"exit status {status}")
        one_line(said, f"127.0.0.1:{one.port}/udp is in use", "-P")


def foreign_address_is_refused():
    with server() as one:
        status, said = one.refuse("-A", "203.0.113.77")
        expect(status == 1, f"exit status {status}")
        one_line(said, "203.0.113.77", "-A")


def second_instance_is_refused():
    with server() as one:
        one.start()
        one.port = free_port()
        status, said = one.refuse()
        expect(status == 3, f"exit status {status}")
        one_line(said, one.state, "in use", "--prefixpath")


def bad_configuration_is_refused():
    cases = {
        "unclosed": ("<sipwitch>\n<stack>\n</sipwitch>", ":3:"),
        "unquoted": ("<sipwitch>\n<provision><user id=alice/></provision>\n</sipwitch>", ":2:"),
        "mixed": ("<sipwitch>\n<stack>text<port>5060</port></stack>\n</sipwitch>", ":2:"),
        "number": ("<sipwitch>\n<stack><port>sip</port></stack>\n</sipwitch>", ":2:8:"),
        "entities": ('<!DOCTYPE sipwitch [<!ENTITY a "b">]>\n<sipwitch/>', ":1:"),
        "empty": ("", ":1:1:"),
    }
    for name, (text, part) in cases.items():
        with server(config=text) as one:
            status, said = one.refuse()
            expect(status == 2, f"{name}: exit status {status}: {said!r}")
            one_line(said, one.config, part, ";")


def missing_configuration_is_refused():
    with server() as one:
        os.remove(one.config)
        status, said = one.refuse()
        expect(status == 2, f"exit status {status}")
        one_line(said, one.config, "--configpath")


def check_reads_only():
    with server() as one:
        status, said = one.refuse("--check")
        expect(status == 0 and not said, f"exit status {status}: {said!r}")
        expect(not os.path.exists(one.state), "it made a state directory")


def nothing_outside_its_directory_is_touched():
    """In a mount namespace where all else is read-only; with options of GNU SIP Witch that say
    nothing any more."""
    script = """
        set -e
        mount --bind "$FOLDER" "$FOLDER"
        while read -r _ place _; do
            case $place in "$FOLDER" | /dev | /dev/* | /proc | /proc/* | /sys | /sys/*) ;;
            *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
            esac
        done </proc/self/mounts
        if touch "$FOLDER.beside" 2>/dev/null; then exit 9; fi
        exec "$@"
    """
    with server() as one:
        os.mkdir(one.state)
        inside = ["unshare", "-m", "sh", "-c", script, "sh"]
        command = one.command("-A", "127.0.0.1", "-l", "zeroconf", "-x", "9")
        one.command = lambda *options: [*inside, *command]
        before = os.listdir(one.folder)
        one.start(env={**os.environ, "FOLDER": one.state})
        Phone(one.port).bind()
        status, said = one.end()
        expect(status == 0 and "rror" not in said and "cannot" not in said, f"{status}: {said!r}")
        expect(os.listdir(one.folder) == before and "sipwitch.db" in os.listdir(one.state),
               f"{os.listdir(one.folder)}, {os.listdir(one.state)}")


def nonce_of_an_earlier_run_is_stale():
    with server() as one:
        one.start()
        phone = Phone(one.port)
        contact = f"Contact: {phone.contact()}"
        old = phone.ask("REGISTER", contact)
        for how in signal.SIGTERM, signal.SIGKILL:
            one.end(how)
            one.start()
            again = phone.ask("REGISTER", contact, phone.authorization(old))
            expect(again.startswith("SIP/2.0 401 ") and "stale=true" in again, f"{how}: {again!r}")
        told = phone.ask("REGISTER", contact, phone.authorization(again))
        expect(told.startswith("SIP/2.0 200 "), f"{told!r}")


def torn_journal_is_read_to_its_last_whole_record():
    with server() as one:
        one.start()
        alice = Phone(one.port).bind()
        Phone(one.port, "bob", "bobs secret").bind()
        one.end(signal.SIGKILL)
        newest = one.segments()[-1]
        with open(newest, "rb") as file:
            used = len(file.read().rstrip(b"\0"))
        os.truncate(newest, used - 3)
        one.start()
        expect(alice.bindings() == [alice.contact()], "the record before the torn one is gone")


def torn_creation_of_a_segment_is_ignored():
    with server() as one:
        one.start()
        phone = Phone(one.port).bind()
        one.end(signal.SIGKILL)
        order = int(one.segments()[-1].rsplit(".", 1)[1])
        with open(os.path.join(one.state, f"journal.{order + 1}"), "wb") as file:
            file.write(bytes(4096))
        one.start()
        expect(phone.bindings() == [phone.contact()], "the binding is gone")


def damaged_journal_is_refused_and_kept():
    for name, place, byte in ("newer", 7, b"2"), ("damaged", 12, b"\xff\xfe"):
        with server() as one:
            one.start()
            Phone(one.port).bind()
            one.end(signal.SIGKILL)
            newest = one.segments()[-1]
            with open(newest, "r+b") as file:
                file.seek(place)
                file.write(byte)
                file.seek(0)
                before = file.read()
            files = one.segments()
            status, said = one.refuse()
            expect(status == 3, f"{name}: exit status {status}")
            one_line(said, newest, name, "kept")
            with open(newest, "rb") as file:
                expect(file.read() == before, f"{name}: the file was changed")
            expect(one.segments() == files, f"{name}: another segment was begun")


def old_segments_go():
    with server() as one:
        for _ in range(4):
            one.start()
            Phone(one.port).bind()
            one.end()
        one.start()
        until(lambda: len(one.segments()) == 1, "end of the older segments")


def state_is_private():
    with server() as one:
        one.start()
        expect(os.stat(one.state).st_mode & 0o007 == 0, "others can read the state directory")
        for name in os.listdir(one.state):
            mode = os.stat(os.path.join(one.state, name)).st_mode & 0o777
            allowed = {"control": 0o660, "certs": 0o700}.get(name, 0o600)
            expect(mode == allowed, f"{name} has mode {mode:o}")


def realm_is_made_once():
    nameless = CONFIG.replace("<realm>lab.test</realm>", "")
    with server(config=nameless) as one:
        realms = []
        for _ in range(2):
            one.start()
            answer = Phone(one.port, domain="127.0.0.1").ask("REGISTER")
            realms += re.findall('realm="([^"]*)"', answer)
            one.end()
        expect(len(realms) == 2 and realms[0] == realms[1], f"realms {realms}")
        expect(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", realms[0]),
               f"{realms[0]!r} is not a UUID")


def manager_is_notified():
    with server() as one, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")
        name = manager.getsockname()[1:].decode()
        manager.settimeout(PATIENCE)
        one.start(env={**os.environ, "NOTIFY_SOCKET": "@" + name})
        expect(manager.recv(100) == b"READY=1", "not told that it is ready")
        one.end()
        expect(manager.recv(100) == b"STOPPING=1", "not told that it stops")


def background_start_ends_when_it_is_ready():
    with server() as one:
        done = subprocess.run([*one.command("-A", "127.0.0.1"), "-b"], text=True, check=False,
                              stdout=subprocess.PIPE, timeout=PATIENCE)
        expect(done.returncode == 0 and done.stdout == "sipw: ready\n",
               f"status {done.returncode}, said {done.stdout!r}")
        pids = []
        for name in glob.glob("/proc/[0-9]*/cmdline"):
            with contextlib.suppress(OSError), open(name, "rb") as file:
                if one.state.encode() in file.read().split(b"\0"):
                    pids.append(int(name.split("/")[2]))
        expect(len(pids) == 1, f"processes {pids}")
        try:
            answer = Phone(one.port).ask("OPTIONS")
            expect(answer.startswith("SIP/2.0 200 "), f"answered {answer!r}")
        finally:
            os.kill(pids[0], signal.SIGTERM)
        until(lambda: not os.path.exists(f"/proc/{pids[0]}"), "end of the server")


def many_users_load_fast():
    users = "".join(f'<user id="u{n}" secret="s{n}" extension="{n}" display="User {n}"/>\n'
                    for n in range(100000))
    text = ("<sipwitch><registry><realm>lab.test</realm><prefix>0</prefix>"
            "<range>100000</range></registry>\n"
            f"<provision>{users}</provision></sipwitch>")
    with server(config=text) as one:
        one.start()
        took = cpu_seconds(one.process.pid)
        expect(took < 3, f"100,000 users took {took:.1f} s of CPU")
        phone = Phone(one.port, "u99999", "s99999").bind()
        expect(phone.bindings() == [phone.contact()], "the last user cannot register")


def failing_store_stops_no_calls_and_is_made_good():
    with server() as one:
        one.start()
        alice, bob = Phone(one.port).bind(), Phone(one.port, "bob", "bobs secret")
        with full_disk(one):
            answer = bob.register(f"Contact: {bob.contact()}")
            one.await_line("cannot be written")
            expect(answer.startswith("SIP/2.0 200 "), f"REGISTER was answered {answer!r}")
            expires = re.search(r"^Contact:.*expires=(\d+)", answer, re.MULTILINE)
            expect(expires and int(expires[1]) <= 60, f"more than a minute is promised: {answer!r}")
            answer = alice.ask("OPTIONS")
            expect(answer.startswith("SIP/2.0 200 "), f"OPTIONS was answered {answer!r}")
        one.await_line("written again")
        alice.bind()
        one.end(signal.SIGKILL)
        one.start()
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        expect(bob.bindings() == [bob.contact()], "bob's binding was not written later")


def late_store_stops_no_calls():
    with server() as one:
        one.start()
        alice, bob = Phone(one.port).bind(), Phone(one.port, "bob", "bobs secret")
        with frozen_store(one):
            begin = time.monotonic()
            answer = bob.register(f"Contact: {bob.contact()}")
            took = time.monotonic() - begin
            expect(answer.startswith("SIP/2.0 200 "), f"REGISTER was answered {answer!r}")
            expect(1.5 < took < 4, f"REGISTER took {took:.1f} s")
            one.await_line("late by two seconds")
            begin = time.monotonic()
            alice.ask("OPTIONS")
            expect(time.monotonic() - begin < 0.4, "OPTIONS waits for the store")
        one.await_line("written again")
        one.end(signal.SIGKILL)
        one.start()
        expect(bob.bindings() == [bob.contact()], "bob's binding was not written later")


def awaited_line_that_never_comes_is_a_failure():
    """Of these tests themselves: they end, and say what was there instead."""
    def what_is_said(part, patience):
        try:
            one.await_line(part, patience)
        except Failure as why:
            return str(why)
        raise Failure(f"{part!r} was found")
    with server() as one:
        one.start()
        with open(one.config, "w", encoding="utf-8") as file:
            file.write("<sipwitch>")
        one.process.send_signal(signal.SIGHUP)
        one.await_line(f"{one.config}:1:")
        one.process.send_signal(signal.SIGHUP)
        said = what_is_said("no server says this", 1)
        expect("in 1 s" in said and f"{one.config}:1:" in said, f"told {said!r}")
        one.process.send_signal(signal.SIGTERM)
        said = what_is_said("nor this", LINE_PATIENCE)
        expect("it ended" in said, f"told {said!r}")


def usage_is_refused():
    with server() as one:
        for options in ["-P", "0"], ["-P", "sip"], ["--no-such"], ["word"]:
            status, said = one.refuse(*options)
            expect(status == 1 and said, f"{options}: exit status {status}, said {said!r}")


def programs_tell_their_version():
    """That of the project, without touching anything."""
    with open(os.path.join(ROOT, "meson.build"), encoding="utf-8") as file:
        version = re.search(r"^\s+version: '([^']+)'", file.read(), re.MULTILINE)[1]
    for name in "sipw", "sipwitch", "siprealm", "sippasswd", "sipquery", "sipw-relay", "sipw-router":
        done = subprocess.run([os.path.join(os.path.dirname(SIPW), name), "--version"],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        expect((done.returncode, done.stdout, done.stderr) ==
               (0, f"{name} (SIP Witch) {version}\n", ""), f"{name}: {done}")


CHECKS = [answers_options_on_ipv4, answers_options_on_ipv6, listens_on_all_addresses_by_default,
          registers_with_digest, refuses_a_wrong_password,
          phones_at_one_address_register_in_the_same_second, binding_survives_kill,
          removal_survives_kill, sigterm_ends_it_cleanly, busy_port_is_refused,
          foreign_address_is_refused, second_instance_is_refused, bad_configuration_is_refused,
          missing_configuration_is_refused, check_reads_only,
          torn_journal_is_read_to_its_last_whole_record, torn_creation_of_a_segment_is_ignored,
          damaged_journal_is_refused_and_kept, old_segments_go, state_is_private,
          nothing_outside_its_directory_is_touched, nonce_of_an_earlier_run_is_stale,
          realm_is_made_once, manager_is_notified, background_start_ends_when_it_is_ready,
          many_users_load_fast,
          failing_store_stops_no_calls_and_is_made_good, late_store_stops_no_calls,
          awaited_line_that_never_comes_is_a_failure, usage_is_refused,
          programs_tell_their_version]


def run(checks, setting=lambda: contextlib.nullcontext(()), failures=()):
    """All of them, or those that the arguments name; the exit status. Each is given what a setting of
    its own yields; failures are further exceptions that say all that there is to be said."""
    known, wanted, failed = {check.__name__ for check in checks}, sys.argv[1:], 0
    for name in wanted:
        if name not in known:
            print(f"not ok {name}: there is no such check")
            failed += 1
    for check in checks:
        if wanted and check.__name__ not in wanted:
            continue
        try:
            with setting() as given:
                check(*given)
            print(f"ok {check.__name__}", flush=True)
        except (Failure, *failures, OSError, ValueError, LookupError, TypeError,
                subprocess.SubprocessError) as why:
            failed += 1
            kind = "" if isinstance(why, (Failure, *failures)) else f"{type(why).__name__}: "
            print(f"not ok {check.__name__}: {kind}{why}", flush=True)
    return 1 if failed else 0


def main():
    return run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
