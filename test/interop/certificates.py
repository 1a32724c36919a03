"""Certificates of the tests' own: a CA, and what it certifies, as openssl makes them."""

import hashlib
import os
import subprocess

_CONFIG = """[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
"""

PAST = ("20200101000000Z", "20200201000000Z")
FUTURE = ("20900101000000Z", "20990101000000Z")


def openssl(*words, text=None):
    return subprocess.run(["openssl", *words], check=True, capture_output=True,
                          input=text and text.encode()).stdout


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def write(path, text):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w",
              encoding="ascii") as file:
        file.write(text)


class Authority:
    """A CA of the tests' own."""

    def __init__(self, folder, name="the tests' CA"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.pem, self.key = self._at("ca.pem"), self._at("ca.key")
        write(self._at("index"), "")
        write(self._at("config"), _CONFIG.format(folder=folder))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-keyout", self.key, "-out", self.pem)

    def _at(self, name):
        return os.path.join(self.folder, name)

    def make(self, domain, names, purpose="serverAuth", dates=None):
        """A certificate with these alternative names, its key behind it, as text."""
        request, extensions, made, key = (self._at(name) for name in
                                          ("request", "extensions", "made", "key"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={domain}", "-keyout", key, "-out", request)
        write(extensions, f"subjectAltName={names}\nextendedKeyUsage={purpose}\n")
        time = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", "30"]
        openssl("ca", "-batch", "-notext", "-config", self._at("config"), "-cert", self.pem,
                "-keyfile", self.key, "-in", request, "-out", made, "-extfile", extensions, *time)
        return read(made) + read(key)


def self_signed(folder, domain):
    """One that nobody else vouches for, as text."""
    made, key = (os.path.join(folder, name) for name in ("alone", "alone.key"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={domain}", "-addext", f"subjectAltName=DNS:{domain}", "-days", "30",
            "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", made)
    return read(made) + read(key)


def key_hash(text):
    """The data of a TLSA record of selector 1 and matching type 1 (RFC 6698)."""
    public = openssl("x509", "-noout", "-pubkey", text=text).decode()
    return hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", text=public)).hexdigest()


def certificate_hash(text):
    """Of selector 0 and matching type 1."""
    return hashlib.sha256(openssl("x509", "-outform", "DER", text=text)).hexdigest()
