"""A laboratory: a network of this process's own, and a sipw in it.

Nothing sent here leaves the machine, no port collides with one in use, and
the network goes away with the process that made it.
"""

import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from xml.sax.saxutils import escape, quoteattr

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# From the documentation range (RFC 5737): it is nobody's. It lies on the
# loopback interface, since phones refuse only loopback addresses, and not every
# kernel has dummy or veth interfaces.
ADDRESS = "192.0.2.1"
PORT = 5060
REALM = "demo.test"

_MARK = "SIPWITCH_LAB"
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Failure(Exception):
    """The thing under test did not do what was expected of it."""


class Unable(Exception):
    """This machine lacks something; the text says what to do."""


def enter():
    """Return inside a network namespace of our own; this restarts the program."""
    # The mark holds our process id, which restarting keeps: one that was
    # inherited, or set by hand, cannot make us touch the machine's own network.
    here = os.readlink("/proc/self/ns/net")
    process, _, outer = os.environ.pop(_MARK, "").partition(" ")
    if process != str(os.getpid()) or outer == here:
        os.environ[_MARK] = f"{os.getpid()} {here}"
        _restart_in_own_namespace()
    for words in (["link", "set", "lo", "up"],
                  ["address", "add", f"{ADDRESS}/24", "dev", "lo"],
                  ["route", "add", "default", "dev", "lo"]):
        _run(["ip", *words])
    # A name server out of reach costs whoever asks it many seconds; none at all
    # is refused at once.
    if os.path.exists("/etc/resolv.conf"):
        _run(["mount", "--bind", "/dev/null", "/etc/resolv.conf"])


def mount_run():
    """A /run of our own, where the relay's pins and named networks are."""
    _run(["mount", "-t", "tmpfs", "none", "/run"])


def add_interface(address):
    """One more, beside the loopback interface: browsers offer no sound on that."""
    for words in (["link", "add", "web0", "type", "veth", "peer", "name", "web1"],
                  ["link", "set", "web0", "up"], ["link", "set", "web1", "up"],
                  ["address", "add", f"{address}/24", "dev", "web0"]):
        _run(["ip", *words])


@contextlib.contextmanager
def inside(namespace):
    """What the calling thread opens and starts meanwhile is in that network namespace, one of
    ip-netns(8); None is its own."""
    if namespace is None:
        yield
        return
    with open("/proc/thread-self/ns/net", "rb") as own, \
            open(f"/run/netns/{namespace}", "rb") as theirs:
        _enter(theirs)
        try:
            yield
        finally:
            _enter(own)


def _enter(namespace):
    if _libc.setns(namespace.fileno(), _CLONE_NEWNET) < 0:
        raise Unable(f"setns: {os.strerror(ctypes.get_errno())}")


def need(*commands):
    """Each command's Debian package bears its name, but for these."""
    packages = {"baresip": "baresip-core", "dig": "bind9-dnsutils", "ip": "iproute2", "keymgr": "knot", "knotd": "knot",
                "linphonec": "linphone-cli", "nft": "nftables", "nsupdate": "bind9-dnsutils", "sipp": "sip-tester"}
    missing = [packages.get(name, name) for name in commands if not shutil.which(name)]
    if missing:
        raise Unable(f"commands are missing: apt-get install {' '.join(missing)}")


def end_on_signals():
    """Let SIGTERM and SIGHUP unwind the program, as Ctrl-C does, so that it cleans up."""
    def leave(number, _frame):
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)


def _restart_in_own_namespace():
    need("ip")
    # Root may lack the privilege in a container, where a user namespace may serve.
    ways = [["unshare", "-r", "-n", "-m"]]
    if os.geteuid() == 0:
        ways.insert(0, ["unshare", "-n", "-m"])
    refusals = []
    for way in ways:
        trial = subprocess.run([*way, "true"], capture_output=True, text=True)
        if trial.returncode == 0:
            os.execvp(way[0], [*way, sys.executable, *sys.argv])
        refusals.append(f"{' '.join(way)}: {trial.stderr.strip()}")
    raise Unable(f"this system allows no network namespace of our own ({'; '.join(refusals)}): "
                 "run it as root, or in a container with CAP_SYS_ADMIN")


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unable(f"{' '.join(command)}: {done.stderr.strip()}")


def spawn(command, pipe_in=False, **how):
    """Start a child that the kernel ends should we die without ending it."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command],
                            stdin=subprocess.PIPE if pipe_in else subprocess.DEVNULL, **how)


def end(process, patience=5.0):
    """Ask a child to end, insist if need be, and return its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def until(condition, timeout, what):
    """Wait for condition() to give something true and return it."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise Failure(f"no {what} within {timeout:.3g} s")
        time.sleep(0.02)


def tail(path, lines=8):
    """The last lines of a log, for an error message."""
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:]).strip()
    except OSError:
        return ""


def configuration(users, realm=REALM, more=""):
    """Server configuration for (user, secret, extension) triples, and other sections."""
    rows = "".join(f"    <user id={quoteattr(user)} secret={quoteattr(secret)} "
                   f"extension={quoteattr(extension)}/>\n" for user, secret, extension in users)
    return ('<?xml version="1.0"?>\n<sipwitch>\n'
            f"  <registry><realm>{escape(realm)}</realm>"
            "<prefix>200</prefix><range>100</range></registry>\n"
            f"  <provision>\n{rows}  </provision>\n{more}</sipwitch>\n")


class Server:
    """One sipw and its state directory, which outlives the process."""

    def __init__(self, folder, users, address=ADDRESS, port=PORT, realm=REALM):
        self.binary = os.environ.get("SIPW") or os.path.join(ROOT, "build/release/src/sipw")
        self.address, self.port = address, port
        self.state = os.path.join(folder, "state")
        self.config = os.path.join(folder, "sipwitch.conf")
        self.log = os.path.join(folder, "sipw.log")
        self.process = self.environment = None
        os.makedirs(self.state, mode=0o700)
        with open(os.open(self.config, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(configuration(users, realm))

    def start(self, timeout=10.0):
        if not os.access(self.binary, os.X_OK):
            raise Unable(f"{self.binary} is missing: build it with ./run, or name one in SIPW")
        with open(self.log, "ab") as log:
            self.process = spawn([self.binary, "-f", "-A", self.address, "-P", str(self.port),
                                  "--configpath", self.config, "--prefixpath", self.state],
                                 stdout=subprocess.PIPE, stderr=log, env=self.environment)
        self._await_ready(timeout)

    def _await_ready(self, timeout):
        said = b""
        deadline = time.monotonic() + timeout
        pipe = self.process.stdout
        while b"sipw: ready\n" not in said:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise Failure(f"sipw printed no 'sipw: ready' within {timeout:g} s: "
                              f"{tail(self.log)}")
            piece = os.read(pipe.fileno(), 4096)
            if not piece:
                status = self.process.wait()
                raise Failure(f"sipw ended with status {status} before it was ready: "
                              f"{tail(self.log)}")
            said += piece

    def kill(self):
        """kill -9, and see it gone."""
        self.process.kill()
        if self.process.wait() != -signal.SIGKILL:
            raise Failure(f"sipw had ended by itself, with status {self.process.returncode}: "
                          f"{tail(self.log)}")
        self.process.stdout.close()

    def stop(self):
        """Stop it as an administrator would; its exit status must be 0."""
        if self.process.poll() is not None:
            raise Failure(f"sipw had ended by itself, with status {self.process.returncode}: "
                          f"{tail(self.log)}")
        status = end(self.process)
        self.process.stdout.close()
        if status != 0:
            raise Failure(f"sipw ended with status {status} on SIGTERM: {tail(self.log)}")

    def discard(self):
        """End it whatever its state, without judging, and its relay, which outlives it."""
        if self.process is not None:
            end(self.process)
            self.process.stdout.close()
            self._end_relays()

    def _end_relays(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            found = set(re.findall(r"sipw-relay, process (\d+)", log.read()))
        for number in found:
            with contextlib.suppress(OSError):
                with open(f"/proc/{number}/comm", encoding="ascii") as name:
                    is_relay = name.read() == "sipw-relay\n"
                if is_relay:
                    os.kill(int(number), signal.SIGTERM)
