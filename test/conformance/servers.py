"""The servers that the rules are tried on: sipw and Kamailio, on addresses of a laboratory."""

import itertools
import os
import shutil
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in "interop", "shell":
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), folder))

import lab
from message import Failure
from names import empty_dns
from sip import PATIENCE

# RFC 2544's network, as a whole on the loopback interface: phones of their own, none of which is
# the machine itself.
NETWORK = "198.18.0.1/15"
PORT = 5060
DOMAIN = "conf.test"
USERS = {f"u{n}": f"secret-u{n}" for n in range(4000)} # and their passwords

# What the rules may ask for: a server that takes strangers' calls, and those that differ from it in
# one thing.  Each has an address of its own.
SETTINGS = ["public", "closed", "routed", "sha256"]
SERVICE_ROUTE = "sip:edge.conf.test:5061;lr" # where it is "routed"
_hosts = (f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in itertools.count(1025)
          if n % 256 not in (0, 255))


class Server:
    """What phones need to know of one address of a server."""

    domain = DOMAIN
    port = PORT
    users = USERS

    def __init__(self, name, host):
        self.name, self.host = name, host

    @staticmethod
    def next_host():
        return next(_hosts)


def lay_network():
    """The addresses, in the network of our own that the program is in."""
    done = subprocess.run(["ip", "address", "add", NETWORK, "dev", "lo"], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise lab.Unable(f"ip address add {NETWORK}: {done.stderr.strip()}")


class Running:
    """A server's processes, and the addresses where it is asked."""

    def __init__(self, folder, stack):
        self.folder = os.path.join(folder, self.name)
        self.stack = stack
        self.at = {}
        self.processes = []
        os.mkdir(self.folder, 0o700)
        stack.callback(self.stop)

    def spawn(self, command):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.processes.append(lab.spawn(command, stdout=log, stderr=log))

    def stop(self):
        for process in self.processes:
            lab.end(process)

    def await_answer(self, host):
        """Until it takes connections."""
        def answers():
            for process in self.processes:
                if process.poll() is not None:
                    raise Failure(f"{self.name} ended: {self.last_words()}")
            with socket.socket() as one:
                return one.connect_ex((host, PORT)) == 0
        lab.until(answers, PATIENCE, f"answer of {self.name}")

    def last_words(self):
        return lab.tail(os.path.join(self.folder, "log"))

    def is_well(self):
        return all(process.poll() is None for process in self.processes)


class Sipw(Running):
    name = "sipw"

    def start(self):
        resolver = self.stack.enter_context(empty_dns())
        for number, setting in enumerate(SETTINGS):
            host = f"198.18.0.{1 + number}"
            self.spawn(self.command(host, setting, resolver))
            self.await_answer(host)
            self.at[setting] = Server(self.name, host)

    def command(self, host, setting, resolver):
        folder = os.path.join(self.folder, setting)
        os.mkdir(folder, 0o700)
        configuration = os.path.join(folder, "sipwitch.conf")
        published = "none" if setting == "closed" else DOMAIN
        route = f"<service-route>{SERVICE_ROUTE}</service-route>" if setting == "routed" else ""
        digest = "<digest>SHA-256</digest>" if setting == "sha256" else ""
        with open(configuration, "w", encoding="ascii") as file:
            file.write(f"<sipwitch><registry><realm>{DOMAIN}</realm>{digest}</registry>"
                       f"<stack><published>{published}</published>{route}"
                       f"<resolver>{resolver}</resolver></stack><provision>")
            file.writelines(f'<user id="{user}" secret="{secret}"/>\n'
                            for user, secret in USERS.items())
            file.write("</provision></sipwitch>\n")
        binary = os.environ.get("SIPW") or os.path.join(lab.ROOT, "build/release/src/sipw")
        if not os.access(binary, os.X_OK):
            raise lab.Unable(f"{binary} is missing: build it, or name one in SIPW")
        return [binary, "-f", "-A", host, "-P", str(PORT), "--configpath", configuration,
                "--prefixpath", os.path.join(folder, "state")]


class Kamailio(Running):
    name = "kamailio"

    def start(self):
        hosts = {setting: f"198.18.0.{101 + n}" for n, setting in enumerate(SETTINGS)}
        values = {"DOMAIN": DOMAIN, "SERVICE_ROUTE": SERVICE_ROUTE, "USERS": len(USERS),
                  **{setting.upper(): host for setting, host in hosts.items()}}
        with open(os.path.join(HERE, "kamailio.cfg"), encoding="ascii") as file:
            text = file.read()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        configuration = os.path.join(self.folder, "kamailio.cfg")
        with open(configuration, "w", encoding="ascii") as file:
            file.write(text)
        if not shutil.which("kamailio"):
            raise lab.Unable("kamailio is missing: apt-get install kamailio")
        self.spawn(["kamailio", "-DD", "-E", "-f", configuration, "-m", "256", "-M", "32",
                    "-x", "tlsf", "-X", "tlsf", "-Y", self.folder, "-w", self.folder])
        for setting, host in hosts.items():
            self.await_answer(host)
            self.at[setting] = Server(self.name, host)


KINDS = {"sipw": Sipw, "kamailio": Kamailio}
