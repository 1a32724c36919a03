"""What a rule is, and what it is given to work with.

A rule is a function that plays phones against a server and raises Failure where the server breaks
it. Its decorator names the section that says so. What Kamailio does otherwise is declared with the
rule: that it does so, and why the rule is right all the same; a declaration that is no longer true
fails the suite.
"""

import dataclasses
import itertools
import threading

from message import expect
from servers import FAMILIES
from sip import Attempt, Call, Phone

RULES = []
TRANSPORTS = ("udp", "tcp")
_users = itertools.count(1)
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Deviation:
    """Kamailio breaks a rule: how that is seen, and why no wrong rule is the reason."""

    seen: str
    why: str
    transports: tuple


def deviates(seen, why, transports=TRANSPORTS):
    return Deviation(seen, why, transports)


@dataclasses.dataclass(frozen=True)
class Rule:
    section: str
    check: object
    transports: tuple
    setting: str
    kamailio: tuple
    is_long: bool
    families: tuple

    @property
    def name(self):
        return f"{self.check.__module__}.{self.check.__name__}"

    def deviation(self, server, transport):
        """What is declared for this server, or None."""
        if server != "kamailio":
            return None
        return next((one for one in self.kamailio if transport in one.transports), None)


def rule(section, *kamailio, transports=TRANSPORTS, setting="public", is_long=False,
         families=FAMILIES):
    """Declares a rule; `is_long`: it waits for timers of the protocol, whatever the family."""
    def declare(check):
        RULES.append(Rule(section, check, transports, setting, kamailio, is_long,
                          (4,) if is_long else families))
        return check
    return declare


class Trial:
    """One rule on one server by one transport: its phones, which are nobody else's."""

    def __init__(self, server, transport):
        self.server, self.transport = server, transport
        self.phones = []

    def close(self):
        for phone in self.phones:
            phone.close()

    def keep(self, phone):
        self.phones.append(phone)
        return phone

    def phone(self, user=None, transport=None, **more):
        """Of a user of the domain that no other rule has, or another phone of this user."""
        with _lock:
            user = user or f"u{next(_users)}"
        return self.keep(
            Phone(self.server, user, transport=transport or self.transport, **more))

    def bound(self, user=None, *fields, contact=None, **more):
        """A phone that has registered."""
        return self.phone(user, **more).bind(*fields, contact=contact)

    def stranger(self, **more):
        """A phone of another domain."""
        return self.phone("stranger", domain="other.test", **more)

    def call(self, caller=None, callee=None):
        """A call between two users."""
        return Call(caller or self.bound(), callee or self.bound())

    def ring(self, callee, *fields, caller=None, **more):
        """An INVITE that has reached the callee, and what it got there."""
        attempt = Attempt(caller or self.bound(), callee.aor(), *fields, **more)
        return attempt, callee.await_request("INVITE")


def status_is(answer, *allowed):
    """An answer has one of these statuses."""
    expect(answer.status in allowed,
           f"answered {answer.start}, not {' or '.join(str(one) for one in allowed)}")
    return answer
