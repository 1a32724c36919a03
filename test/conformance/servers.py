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

# RFC 2544's and RFC 5180's networks, as a whole on the loopback interface: phones of their own, none
# of which is the machine itself.
NETWORKS = {4: "198.18.0.0/15", 6: "2001:2::/48"}
FAMILIES = tuple(NETWORKS)
PORT = 5060
DOMAIN = "conf.test"
USERS = {f"u{n}": f"secret-u{n}" for n in range(9000)} # and their passwords

# What the rules may ask for: a server that takes strangers' calls, and those that differ from it in
# one thing.  Each has an address of its own.
SETTINGS = ["public", "closed", "routed", "sha256", "trusted", "brief"]
SERVICE_ROUTE = "sip:edge.conf.test:5061;lr" # where it is "routed"
# All phones are in networks that are "trusted" there, but for these hosts.
GUESTS = {4: "198.19.255.1", 6: "[2001:2:0:ffff::1]"}
# Seconds where it is "brief": of a session that nobody refreshes, and of a call that has none.
SESSION, CALL_AGE = 5, 12
_hosts = {4: (f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in itertools.count(1025)
              if n % 256 not in (0, 255)),
          6: (f"[2001:2:0:{n:x}::1]" for n in itertools.count(1))} # guesses are counted by /64


def server_hosts(number):
    """A server's addresses for a setting, by family; as they are written in URIs."""
    return {4: f"198.18.0.{number}", 6: f"[2001:2::{number}]"}


class Server:
    """What phones need to know of one address of a server."""

    domain = DOMAIN
    port = PORT
    users = USERS

    def __init__(self, name, host, family):
        self.name, self.host, self.family = name, host, family

    def address(self):
        return self.host.strip("[]"), self.port

    def next_host(self):
        """One that nobody had, of the same family."""
        return next(_hosts[self.family])


def lay_network():
    """The addresses, in the network of our own that the program is in."""
    commands = [["route", "add", "local", network, "dev", "lo"] for network in NETWORKS.values()]
    commands += [["address", "add", f"{host.strip('[]')}/{128 if family == 6 else 32}", "dev", "lo"]
                 for first in (1, 101) for number in range(first, first + len(SETTINGS))
                 for family, host in server_hosts(number).items()]
    for words in commands:
        done = subprocess.run(["ip", "-6" if ":" in " ".join(words) else "-4", *words],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise lab.Unable(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Running:
    """A server's processes, and the addresses where it is asked."""

    def __init__(self, folder, stack):
        self.folder = os.path.join(folder, self.name)
        self.stack = stack
        self.at = {} # by setting and family
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
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as one:
                return one.connect_ex((host.strip("[]"), PORT)) == 0
        lab.until(answers, PATIENCE, f"answer of {self.name}")

    def enter(self, setting, hosts):
        """It is asked there for that setting, once it answers."""
        for family, host in hosts.items():
            self.await_answer(host)
            self.at[setting, family] = Server(self.name, host, family)

    def last_words(self):
        return lab.tail(os.path.join(self.folder, "log"))

    def is_well(self):
        return all(process.poll() is None for process in self.processes)


def guest_networks():
    return {4: GUESTS[4] + "/32", 6: GUESTS[6].strip("[]") + "/128"}


# Sections of sipw's configuration beside those of all settings.
SECTIONS = {
    "trusted": "<stack><trusted>lab4, lab6</trusted></stack><access>" + "".join(
        f"<{name}{family}>{network}</{name}{family}>"
        for name, networks in (("lab", NETWORKS), ("guests", guest_networks()))
        for family, network in networks.items()) + "</access>",
    "brief": f"<timers><session>{SESSION}</session><shortest>{SESSION}</shortest>"
             f"<call>{CALL_AGE}</call></timers>",
}


class Sipw(Running):
    name = "sipw"

    def start(self):
        resolver = self.stack.enter_context(empty_dns())
        for number, setting in enumerate(SETTINGS):
            hosts = server_hosts(1 + number)
            self.spawn(self.command(hosts, setting, resolver))
            self.enter(setting, hosts)

    def command(self, hosts, setting, resolver):
        folder = os.path.join(self.folder, setting)
        os.mkdir(folder, 0o700)
        configuration = os.path.join(folder, "sipwitch.conf")
        published = "none" if setting == "closed" else DOMAIN
        route = f"<service-route>{SERVICE_ROUTE}</service-route>" if setting == "routed" else ""
        digest = "<digest>SHA-256</digest>" if setting == "sha256" else ""
        with open(configuration, "w", encoding="ascii") as file:
            file.write(f"<sipwitch><registry><realm>{DOMAIN}</realm>{digest}</registry>"
                       f"<stack><published>{published}</published>{route}"
                       f"<resolver>{resolver}</resolver><stranger-source>0</stranger-source>"
                       "<stranger-callee>0</stranger-callee></stack>"
                       f"{SECTIONS.get(setting, '')}<provision>")
            file.writelines(f'<user id="{user}" secret="{secret}"/>\n'
                            for user, secret in USERS.items())
            file.write("</provision></sipwitch>\n")
        binary = os.environ.get("SIPW") or os.path.join(lab.ROOT, "build/release/src/sipw")
        if not os.access(binary, os.X_OK):
            raise lab.Unable(f"{binary} is missing: build it, or name one in SIPW")
        addresses = ",".join(host.strip("[]") for host in hosts.values())
        return [binary, "-f", "-A", addresses, "-P", str(PORT), "--configpath", configuration,
                "--prefixpath", os.path.join(folder, "state")]


class Kamailio(Running):
    name = "kamailio"

    def start(self):
        hosts = {setting: server_hosts(101 + n) for n, setting in enumerate(SETTINGS)}
        listen = [f"listen={transport}:{host}:{PORT}" for both in hosts.values()
                  for host in both.values() for transport in ("udp", "tcp")]
        values = {"DOMAIN": DOMAIN, "SERVICE_ROUTE": SERVICE_ROUTE, "USERS": len(USERS),
                  "LISTEN": "\n".join(listen),
                  "IS_GUEST": " || ".join(f'is_in_subnet("$si", "{network}")'
                                          for network in guest_networks().values())}
        for setting, both in hosts.items():
            values[f"IS_{setting.upper()}"] = " || ".join(
                f'$Ri == "{host.strip("[]")}"' for host in both.values())
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
        for setting, both in hosts.items():
            self.enter(setting, both)


KINDS = {"sipw": Sipw, "kamailio": Kamailio}
