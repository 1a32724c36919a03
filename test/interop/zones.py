"""A name server with zones of the tests' own: knot, which signs some of them.

The zone `test` is signed, and its key is the trust anchor of everybody in the laboratory; zones
below it are signed too, not signed, or forged.
"""

import os
import signal
import socket
import struct
import subprocess

import lab

ADDRESS = "192.0.2.53"
SECRET = "dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMgYWxvbmUuLi4="

_CONFIG = """server:
    rundir: "{folder}"
    listen: {address}@53
    tcp-workers: 2
    udp-workers: 1
    background-workers: 1
database:
    storage: "{folder}/database"
log:
  - target: stderr
    any: warning
key:
  - id: writer
    algorithm: hmac-sha256
    secret: "{secret}"
acl:
  - id: writers
    key: writer
    action: update
policy:
  - id: tests
    manual: on
    single-type-signing: on
    algorithm: ecdsap256sha256
    rrsig-lifetime: 90d
template:
  - id: default
    storage: "{folder}"
    file: "%s.zone"
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: all
    acl: writers
zone:
"""

_HEAD = """$TTL 60
@ {negative} SOA ns.test. hostmaster.test. {serial} 3600 600 86400 {negative}
@ NS ns.test.
"""


def write_key(path, secret=SECRET, mode=0o600):
    """A file of the key by which zones may be changed (RFC 8945), as tsig-keygen writes it."""
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w", encoding="ascii") as file:
        file.write(f'key "writer" {{ algorithm hmac-sha256; secret "{secret}"; }};\n')
    os.chmod(path, mode)


class NameServer:
    """Zones by their names: records as in a zone file, without SOA and NS; None is a zone that it
    has not read, for which it answers SERVFAIL."""

    def __init__(self, folder, zones, signed=("test",), address=ADDRESS, negative=60):
        self.folder, self.address = folder, address
        self.serial, self.negative = 1, negative
        self.signed = signed
        self.anchor = os.path.join(folder, "anchor")
        self.config = os.path.join(folder, "knot.conf")
        self.log = os.path.join(folder, "knot.log")
        self.process = None
        os.makedirs(folder)
        # Its database must not wait for a disk.
        subprocess.run(["mount", "-t", "tmpfs", "zones", folder], check=True)
        os.mkdir(os.path.join(folder, "database"))
        text = _CONFIG.format(folder=folder, address=address, secret=SECRET)
        for name, records in zones.items():
            text += f"  - domain: {name}\n"
            if name in signed:
                text += "    dnssec-signing: on\n    dnssec-policy: tests\n"
            if records is not None:
                self._write(name, records)
        with open(self.config, "w", encoding="ascii") as file:
            file.write(text)
        keys = "".join(self._make_key(name) for name in signed)
        with open(self.anchor, "w", encoding="ascii") as file:
            file.write(keys)

    def _write(self, name, records):
        with open(os.path.join(self.folder, f"{name}.zone"), "w", encoding="ascii") as file:
            file.write(_HEAD.format(serial=self.serial, negative=self.negative) + records)

    def _manage(self, *words):
        done = subprocess.run(["keymgr", "-c", self.config, *words], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise lab.Failure(f"keymgr {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def _make_key(self, name):
        self._manage(f"{name}.", "generate", "algorithm=13", "ksk=yes", "zsk=yes")
        return self._manage(f"{name}.", "dnskey")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = lab.spawn(["knotd", "-c", self.config], stdout=log, stderr=log)
        try:
            lab.until(self._answers, 20.0, "answer of knot")
        except lab.Failure as failure:
            raise lab.Failure(f"{failure}: {lab.tail(self.log)}") from failure
        return self

    def _answers(self):
        """Whether it has all zones: it answers REFUSED until it has read one."""
        query = struct.pack("!6H", 77, 0, 1, 0, 0, 0) + b"\4test\0" + struct.pack("!2H", 6, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(0.2)
            one.connect((self.address, 53))
            try:
                one.send(query)
                return one.recv(4096)[3] & 15 == 0
            except OSError:
                return False

    def serves(self, name, kind):
        """The data of the records, as dig prints them."""
        done = subprocess.run(["dig", "+short", "+norecurse", f"@{self.address}", name, kind],
                              capture_output=True, text=True, check=False)
        return sorted(done.stdout.splitlines())

    def replace(self, name, records):
        """Another zone file."""
        self.serial += 10 # the server may have counted on, for its signatures
        self._write(name, records)
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        lab.end(self.process)
        self.process = None

    def discard(self):
        if self.process:
            self.stop()
        subprocess.run(["umount", self.folder], check=False)
