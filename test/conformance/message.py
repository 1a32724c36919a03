"""A SIP message, and what its header fields say."""

import itertools
import re
import time

_serial = itertools.count(1)
_salt = time.time_ns() % 1000000007

# 7.3.3
COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "k": "Supported",
           "l": "Content-Length", "c": "Content-Type", "e": "Content-Encoding", "s": "Subject"}


class Failure(Exception):
    """The server did not do what the rule says."""


class Closed(Failure):
    """The server ended the connection."""


def expect(so, why):
    if not so:
        raise Failure(why)


def unique(prefix):
    return f"{prefix}{next(_serial)}x{_salt}"


def split_list(value):
    """The items of a comma-separated value; commas in quotes or angle brackets do not count."""
    items = re.findall(r'(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+', value)
    return [item.strip() for item in items if item.strip()]


def parameter(value, name):
    """Of a header field's value, in which it stands outside of quotes; None if it is not there."""
    bare = re.sub(r"<[^>]*>", "", value)
    found = re.search(rf';\s*{re.escape(name)}(?:=("[^"]*"|[^;,\s]*))?(?=[;,\s]|$)', bare, re.I)
    return (found[1] or "") if found else None


def uri_of(value):
    """The URI of a Contact, Route and the like."""
    found = re.search("<([^>]*)>", value)
    return found[1] if found else value.split(";")[0].strip()


def contact_uri(message):
    expect(message.get("Contact"), f"no Contact in {message.start}")
    return uri_of(message.get("Contact"))


class Message:
    """A request or response, its header fields in order."""

    def __init__(self, text):
        self.text = text
        head, _, self.body = text.partition("\r\n\r\n")
        self.start, *lines = re.sub("\r\n[ \t]+", " ", head).split("\r\n")
        self.fields = []
        for line in lines:
            name, _, value = line.partition(":")
            name = COMPACT.get(name.strip().lower(), name.strip())
            self.fields.append((name, value.strip()))
        words = self.start.split(" ")
        is_response = self.start.startswith("SIP/2.0 ")
        self.status = int(words[1]) if is_response else 0
        self.method = "" if is_response else words[0]
        self.uri = "" if is_response or len(words) < 2 else words[1]

    def all(self, name):
        """The values of all fields with this name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), "")

    def list(self, name):
        """The values of a field that may be a list, or be there several times."""
        return [item for value in self.all(name) for item in split_list(value)]

    def tag(self, name):
        return parameter(self.get(name), "tag") or ""

    def branch(self):
        return parameter(self.list("Via")[0], "branch")

    def cseq(self):
        number, method = self.get("CSeq").split()
        return int(number), method


def is_response(method=None, status=None):
    """Of a message: whether it is a response, to this method, with this status."""
    def so(message):
        return (message.status > 0 and (method is None or message.cseq()[1] == method) and
                (status is None or message.status == status))
    return so
