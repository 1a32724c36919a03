"""Networks that the administrator trusts: there the flow of a user's live binding is proof enough, for
that user alone."""

from message import Message
from rules import rule, status_is
from servers import GUESTS


def passes(phone, callee, method="MESSAGE"):
    """A request reaches the callee without a proof, and the answer comes back."""
    text = phone.request(method, callee.aor(), f"Contact: <{phone.contact()}>")
    phone.send(text)
    status = 486 if method == "INVITE" else 200
    callee.take(method, status)
    answer = phone.await_message(lambda m: m.status >= 200 and m.branch() == Message(text).branch(),
                                 f"answer to {method}")
    if method == "INVITE":
        phone.acknowledge(answer, callee.aor())
    status_is(answer, status)


def is_challenged(phone, callee, method="MESSAGE", **more):
    text = phone.request(method, callee.aor(), f"Contact: <{phone.contact()}>", **more)
    answer = phone.ask(text)
    if method == "INVITE":
        phone.acknowledge(answer, callee.aor())
    status_is(answer, 407)


@rule("a trusted network: no digest on the flow of a live binding", setting="trusted")
def flow_of_a_binding_is_proof_in_a_trusted_network(t):
    phone, callee = t.bound(), t.bound()
    for method in "MESSAGE", "SUBSCRIBE", "INVITE":
        passes(phone, callee, method)


@rule("a trusted network: the flow proves its user, and nobody else", setting="trusted")
def flow_of_a_binding_proves_no_other_user(t):
    phone, other, callee = t.bound(), t.bound(), t.bound()
    for method in "MESSAGE", "INVITE":
        is_challenged(phone, callee, method, sender=other.sender())


@rule("a trusted network: another flow of the same host is none of the binding", setting="trusted")
def other_flow_of_a_bound_host_is_no_proof(t):
    phone, callee = t.bound(), t.bound()
    beside = t.phone(phone.user, host=phone.host)
    is_challenged(beside, callee)
    passes(phone, callee)


@rule("a trusted network: a binding that is gone proves nothing", setting="trusted")
def flow_proves_nothing_once_the_binding_is_gone(t):
    phone, callee = t.bound(), t.bound()
    passes(phone, callee)
    status_is(phone.register(f"Contact: <{phone.contact()}>;expires=0"), 200)
    is_challenged(phone, callee)


@rule("a trusted network: who registers proves who it is", setting="trusted")
def registering_takes_a_proof_in_a_trusted_network(t):
    phone = t.bound()
    status_is(phone.challenge(), 401)


@rule("a network within a trusted one that is not trusted itself", setting="trusted")
def guests_in_a_trusted_network_must_prove_themselves(t):
    guest, callee = t.bound(host=GUESTS[t.server.family]), t.bound()
    is_challenged(guest, callee)
