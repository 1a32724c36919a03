"""What strangers may cost: guesses at passwords, and bytes sent in the name of others."""

import contextlib
import threading
import time

from message import Message, expect, unique
from rules import deviates, rule, status_is
from sip import Attempt

GUESSES = 10 # answered for one account to one source in a quarter of an hour
FREE = 300   # bytes of a request below which an answer may be longer
CONNECTIONS = 256 # of one source
_crowd = threading.BoundedSemaphore(2) # sources that have so many: a process has a limit, too

NO_LIMIT = deviates("is still answered", "leaves the counting of guesses to scripts")


def guess(phone, as_user=None, password="guessed"):
    """Whether a guess is answered; it goes by a nonce of its own."""
    uri = f"sip:{phone.server.domain}"
    user = as_user or phone.user
    proof = phone.authorization(phone.challenge(), "REGISTER", uri, username=user,
                                password=password)
    text = phone.request("REGISTER", uri, proof, to=f"<sip:{user}@{phone.domain}>")
    phone.send(text)
    phone.ping()
    branch = Message(text).branch()
    for message in phone.waiting:
        if message.status and message.branch() == branch:
            phone.waiting.remove(message)
            return message
    return None


def guess_out(phone, as_user=None):
    """All guesses that are answered."""
    for _ in range(GUESSES):
        answer = guess(phone, as_user)
        expect(answer and answer.status == 401, f"a guess was answered {answer and answer.start}")


@rule("at most 10 guesses are answered for an account and source", NO_LIMIT)
def guesses_are_limited(t):
    phone = t.phone()
    guess_out(phone)
    for _ in range(3):
        expect(not guess(phone), "guess 11 is still answered")


@rule("who guessed too often is not told when right", NO_LIMIT)
def right_password_comes_too_late(t):
    phone = t.phone()
    guess_out(phone)
    expect(not guess(phone, password=phone.password), "the right password is still answered")
    expect(not t.phone(phone.user).bindings(), "something was bound")


@rule("guesses at accounts that are not there count alike", NO_LIMIT)
def guesses_at_nobody_are_limited_alike(t):
    phone = t.phone()
    nobody = unique("nobody")
    guess_out(phone, nobody)
    expect(not guess(phone, nobody), "guess 11 is still answered")


@rule("at most 30 guesses are answered for a source", NO_LIMIT)
def guesses_of_one_source_are_limited(t):
    phone = t.phone()
    for _ in range(30):
        answer = guess(phone, unique("nobody"))
        expect(answer and answer.status == 401, f"a guess was answered {answer and answer.start}")
    expect(not guess(phone, unique("nobody")), "guess 31 is still answered")


def near(host, number):
    """Another host of the same /64."""
    return host.replace("::1]", f"::{number:x}]")


@rule("a /64 is one source: its hosts are one network's", NO_LIMIT, families=(6,))
def guesses_are_limited_for_a_network(t):
    phone = t.phone()
    other = t.phone(phone.user, host=near(phone.host, 2))
    guess_out(phone)
    expect(not guess(other), "guess 11 is still answered")
    expect(guess(t.phone(phone.user)), "a guess from elsewhere is not")


MANY = deviates("still open", "has one limit for all")


def limits_connections(t, hosts, beyond):
    """So many from these hosts stand, but none from the one beyond; elsewhere nobody notices."""
    with _crowd, contextlib.ExitStack() as stack:
        phones = [stack.enter_context(contextlib.closing(t.stranger(host=host))) for host in hosts]
        phones[-1].ping()
        t.stranger(host=beyond).await_closed()
        t.stranger().ping()
        phones[0].ping()


@rule("a host has 256 connections at most", MANY, transports=("tcp",), families=(4,))
def connections_are_limited_for_a_host(t):
    host = t.server.next_host()
    limits_connections(t, [host] * CONNECTIONS, host)


@rule("a /64 of IPv6 has 256 connections at most", MANY, transports=("tcp",), families=(6,))
def connections_are_limited_for_a_network(t):
    host = t.server.next_host()
    limits_connections(t, [near(host, number) for number in range(1, CONNECTIONS + 1)],
                       near(host, 300))


@rule("guesses of one source slow nobody elsewhere")
def other_sources_are_unaffected(t):
    attacker = t.phone()
    victim = t.phone(attacker.user)
    for _ in range(GUESSES + 2):
        guess(attacker)
    victim.bind()
    expect(victim.bound_uris() == {victim.contact()}, "it is not bound")


@rule("guesses at one account do not shut out another from that source")
def other_accounts_of_the_source_are_unaffected(t):
    attacker = t.phone()
    for _ in range(GUESSES + 2):
        guess(attacker)
    t.phone(host=attacker.host).bind()


@rule("a source with a live binding of the user is unaffected")
def bound_phone_is_unaffected(t):
    phone = t.bound()
    for _ in range(GUESSES + 5):
        answer = guess(phone)
        expect(answer and answer.status == 401, f"a guess was answered {answer and answer.start}")
    phone.bind()


@rule("a nonce that is stale is no guess")
def stale_nonces_are_no_guesses(t):
    phone = t.phone()
    uri = f"sip:{t.server.domain}"
    for _ in range(GUESSES + 5):
        proof = phone.authorization(phone.challenge(), "REGISTER", uri, nonce=unique("stale"))
        status_is(phone.ask(phone.request("REGISTER", uri, proof, to=f"<{phone.aor()}>")), 401)
    phone.bind()


# ---- amplification

def amplifies(t, *texts):
    """Of each request above the free size no more bytes come back than were sent."""
    for text_of in texts:
        phone = t.stranger()
        text = text_of(phone)
        expect(len(text) > FREE, f"{len(text)} bytes are too few for this rule")
        phone.send(text)
        sent, got = phone.sent, 0
        while phone.receive(0.7):
            got = phone.received
        expect(got <= sent, f"{got} bytes for {sent}: {text.splitlines()[0]}")


AMPLIFIES = deviates("bytes for", "answers in full, and repeats failures of an INVITE")


def padded(phone, method, uri, size, *fields, **more):
    """A request of that many bytes."""
    bare = len(phone.request(method, uri, *fields, "X: ", **more))
    return phone.request(method, uri, *fields, "X: " + "x" * max(0, size - bare), **more)


@rule("unauthenticated bytes out never exceed bytes in", AMPLIFIES, transports=("udp",))
def challenges_are_no_longer_than_requests(t):
    server, user = f"sip:{t.server.domain}", t.phone()
    local = {"sender": f"<{user.aor()}>;tag=x"}
    amplifies(t, *(lambda p, m=method, u=uri, n=size: padded(p, m, u, n, **local)
                   for method, uri in (("REGISTER", server), ("MESSAGE", user.aor()),
                                       ("SUBSCRIBE", user.aor()), ("INVITE", user.aor()))
                   for size in (301, 350, 400, 600)))


@rule("unauthenticated bytes out never exceed bytes in", transports=("udp",))
def answers_are_no_longer_than_requests(t):
    server, user, foreign = f"sip:{t.server.domain}", t.phone(), "sip:x@other.test"
    requests = [("OPTIONS", server, ()), ("OPTIONS", user.aor(), ()), ("MESSAGE", foreign, ()),
                ("BYE", server, ()), ("FROBNICATE", server, ()), ("INVITE", foreign, ()),
                ("CANCEL", server, ()), ("MESSAGE", "tel:+1", ()), ("MESSAGE", "x", ()),
                ("OPTIONS", server, ("Proxy-Require: a,b,c,d,e,f,g,h",)),
                ("OPTIONS", server, ("Require: a,b,c,d,e,f,g,h",)), ("INVITE", user.aor(), ())]
    amplifies(t, *(lambda p, r=(method, uri), f=fields, n=size: padded(p, *r, n, *f)
                   for method, uri, fields in requests for size in (301, 360)))


# A call that reaches a phone must be answered whatever that takes (see SECURITY.md): the caller may
# rely on hearing of it.

def bytes_until(phone, end):
    """What has come by then, in messages."""
    came = []
    while (left := end - time.monotonic()) > 0:
        message = phone.receive(left)
        if message:
            came.append(message)
    return came


@rule("a phone's answers pass as often as it gives them", transports=("udp",))
def answers_of_a_phone_are_not_multiplied(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(padded(stranger, "INVITE", callee.aor(), 800, f"Contact: <{stranger.contact()}>"))
    invite = callee.await_request("INVITE")
    for status in 180, 200, 200, 200:
        callee.answer(invite, status)
    came = [one.status for one in bytes_until(stranger, time.monotonic() + 3)]
    expect(sorted(came) == [100, 180, 200, 200, 200], f"it got {came}")


@rule("a stranger who acknowledges nothing gets at most three times the bytes of its INVITE",
      transports=("udp",), is_long=True)
def unacknowledged_failures_cost_little(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(padded(stranger, "INVITE", callee.aor(), 800, f"Contact: <{stranger.contact()}>"))
    callee.answer(callee.await_request("INVITE"), 486)
    began = time.monotonic()
    came = bytes_until(stranger, began + 34)
    late = bytes_until(stranger, began + 40)
    finals = [one for one in came if one.status == 486]
    expect(2 <= len(finals) <= 12 and not late, f"{len(finals)} failures, then {len(late)} answers")
    expect(stranger.received <= 3 * stranger.sent,
           f"{stranger.received} bytes for {stranger.sent}")


@rule("RFC 3261 17.2.1: a failure that a user does not acknowledge is repeated for half a minute",
      transports=("udp",), is_long=True)
def unacknowledged_failures_are_repeated(t):
    caller, callee = t.bound(), t.bound()
    attempt = Attempt(caller, callee.aor())
    callee.answer(callee.await_request("INVITE"), 486)
    began = time.monotonic()
    came = [one for one in bytes_until(caller, began + 34) if attempt.is_mine_final(one)]
    late = bytes_until(caller, began + 40)
    expect(4 <= len(came) <= 12 and not late, f"{len(came)} failures, then {len(late)} answers")
