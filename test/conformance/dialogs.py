"""What phones say to each other in a dialog that a proxy has to let through: reliable provisional
responses (RFC 3262), transfers (RFC 3515, 3891) and session timers (RFC 4028), for which a proxy may
ask by itself; and calls that it ends when nobody refreshes them."""

import time

from message import Message, contact_uri, expect, parameter, unique
from rules import deviates, rule, status_is
from servers import CALL_AGE, SESSION
from sip import PATIENCE, Call, Dialog

TIMER = "Supported: timer"
ENDS_NOTHING = deviates("got no BYE", "leaves calls to the phones")
ASKS_NOT = deviates("asks for []", "leaves session timers to the phones, as it may")


def passes(side, other, method, *fields, status=200, answer_fields=()):
    """A request of one side arrives with its fields, and its answer with its own."""
    text = side.write(method, *fields)
    side.phone.send(text)
    request = other.await_request(method)
    for field in fields:
        name, _, value = field.partition(": ")
        expect(value in request.all(name), f"{method} arrived without {field}")
    other.answer(request, status, *answer_fields)
    branch = Message(text).branch()
    answer = status_is(side.phone.await_message(
        lambda m: m.status >= 200 and m.branch() == branch, f"answer to {method}"), status)
    for field in answer_fields:
        name, _, value = field.partition(": ")
        expect(value in answer.all(name), f"the answer to {method} arrived without {field}")
    return request


def refused(callee, attempt, invite, status=486, *fields):
    callee.answer(invite, status, *fields)
    return attempt.fails(status)


# ---- RFC 3262

@rule("RFC 3262 3, 4: PRACK is a request as others are")
def prack_passes(t):
    callee = t.bound()
    attempt, invite = t.ring(callee, "Supported: 100rel")
    expect(invite.get("Supported") == "100rel", f"Supported: {invite.get('Supported')}")
    callee.answer(invite, 183, "Require: 100rel", "RSeq: 814")
    progress = attempt.provisional(183)
    expect((progress.get("Require"), progress.get("RSeq")) == ("100rel", "814"),
           f"arrived as {progress.text!r}")
    near = Dialog.of_caller(attempt.caller, progress)
    passes(near, callee, "PRACK", f"RAck: 813 {attempt.cseq} INVITE", status=481)
    passes(near, callee, "PRACK", f"RAck: 814 {attempt.cseq} INVITE")
    passes(near, callee, "UPDATE", f"Contact: <{attempt.caller.contact()}>")
    refused(callee, attempt, invite)


# ---- RFC 3515, RFC 3891

@rule("RFC 3515 2.4: REFER and its NOTIFY, both ways")
def refer_and_notify_pass(t):
    call = t.call()
    for ours, theirs in (call.near, call.far), (call.far, call.near):
        passes(ours, theirs.phone, "REFER", f"Contact: <{ours.phone.contact()}>",
               f"Refer-To: <sip:{unique('third')}@{t.server.domain}>", status=202)
        for state in "active;expires=60", "terminated;reason=noresource":
            passes(theirs, ours.phone, "NOTIFY", f"Contact: <{theirs.phone.contact()}>",
                   "Event: refer", f"Subscription-State: {state}")
    call.hang_up()


@rule("RFC 3891, RFC 5589 7: the call that takes another's place")
def attended_transfer_passes(t):
    alice, bob, carol = (t.bound() for _ in range(3))
    first, second = t.call(alice, bob), t.call(alice, carol)
    local, remote = second.ok.tag("To"), second.ok.tag("From")
    escaped = f"{second.call_id}%3Bto-tag%3D{local}%3Bfrom-tag%3D{remote}"
    passes(first.near, bob, "REFER", f"Contact: <{alice.contact()}>",
           f"Refer-To: <{carol.contact()}?Replaces={escaped}>", status=202)
    replaces = f"{second.call_id};to-tag={local};from-tag={remote}"
    third = Call(bob, carol, f"Replaces: {replaces}", "Require: replaces")
    expect((third.invite.get("Replaces"), third.invite.get("Require")) == (replaces, "replaces"),
           f"arrived as {third.invite.text!r}")
    expect(contact_uri(third.invite) == bob.contact(), f"arrived as {third.invite.text!r}")
    second.exchange(second.far, alice)
    first.hang_up()
    third.hang_up()


# ---- RFC 4028

@rule("RFC 4028 8.1: what the phones wish passes as it is")
def sessions_pass(t):
    caller, callee = t.bound(), t.bound()
    call = Call(caller, callee, TIMER, "Session-Expires: 120;refresher=uas", "Min-SE: 100",
                answer_fields=["Session-Expires: 120;refresher=uas", "Require: timer"])
    expect((call.invite.all("Session-Expires"), call.invite.all("Min-SE")) ==
           (["120;refresher=uas"], ["100"]), f"arrived as {call.invite.text!r}")
    expect((call.ok.all("Session-Expires"), call.ok.all("Require")) ==
           (["120;refresher=uas"], ["timer"]), f"arrived as {call.ok.text!r}")
    passes(call.far, caller, "UPDATE", f"Contact: <{callee.contact()}>", TIMER,
           "Session-Expires: 120;refresher=uac",
           answer_fields=["Session-Expires: 120;refresher=uac", "Require: timer"])
    call.hang_up()


@rule("RFC 4028 8.2: 422 of a phone and the minimum in it are the caller's to mind")
def too_short_for_a_phone_passes(t):
    callee = t.bound()
    attempt, invite = t.ring(callee, TIMER)
    answer = refused(callee, attempt, invite, 422, "Min-SE: 7200")
    expect(answer.get("Min-SE") == "7200", f"arrived as {answer.text!r}")
    attempt, invite = t.ring(callee, TIMER, "Session-Expires: 7200", "Min-SE: 7200",
                             caller=attempt.caller)
    expect(invite.all("Session-Expires") == ["7200"], f"arrived as {invite.text!r}")
    refused(callee, attempt, invite)


@rule("RFC 4028 8.1: a proxy may ask", ASKS_NOT)
def sessions_are_asked_for(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    asked = invite.all("Session-Expires")
    expect(asked == ["1800"], f"it asks for {asked}")
    refused(callee, attempt, invite)


@rule("RFC 4028 8.1: for no less than Min-SE", ASKS_NOT)
def sessions_are_asked_for_above_the_minimum(t):
    callee = t.bound()
    attempt, invite = t.ring(callee, TIMER, "Min-SE: 3600")
    asked = invite.all("Session-Expires")
    expect(asked == ["3600"] and invite.get("Min-SE") == "3600", f"it asks for {asked}")
    refused(callee, attempt, invite)


@rule("RFC 4028 8.1: a proxy may refuse what is too short",
      deviates("407", "has no least session, as it need not"))
def sessions_too_short_are_refused(t):
    caller, callee = t.bound(), t.bound()
    answer = caller.ask(caller.request("INVITE", callee.aor(), f"Contact: <{caller.contact()}>",
                                       TIMER, "Session-Expires: 60"))
    caller.acknowledge(answer, callee.aor())
    status_is(answer, 422)
    expect(answer.get("Min-SE") == "90", f"Min-SE: {answer.get('Min-SE')}")
    callee.has_nothing(lambda m: m.method == "INVITE", "it was passed on", [caller])


def hung_up(call, phone):
    """The server's BYE, as the other end would have sent it (12.2.1.1), answered."""
    bye = phone.await_request("BYE", CALL_AGE + PATIENCE)
    side = call.near if phone is call.caller else call.far
    expect(bye.get("Call-ID") == call.call_id, "the BYE is of another call")
    expect((bye.tag("From"), bye.tag("To")) ==
           (parameter(side.remote, "tag"), parameter(side.local, "tag")),
           f"From: {bye.get('From')}, To: {bye.get('To')}")
    expect(bye.uri == phone.contact(), f"it is for {bye.uri}")
    if phone is call.callee:
        expect(bye.cseq()[0] > call.invite.cseq()[0], f"CSeq: {bye.get('CSeq')}")
    phone.answer(bye, 200)


def ends_by_itself(call, seconds):
    """Both are hung up, not before that time, and soon after it."""
    began = time.monotonic()
    for phone in call.caller, call.callee:
        hung_up(call, phone)
    lasted = time.monotonic() - began
    expect(seconds - 1.5 < lasted < seconds + 5, f"it was hung up after {lasted:.1f} s")


def agreed(t):
    """A call whose phones refresh it, as they say."""
    return Call(t.bound(), t.bound(), TIMER, f"Session-Expires: {SESSION};refresher=uac",
                answer_fields=[f"Session-Expires: {SESSION};refresher=uac", "Require: timer"])


@rule("RFC 4028 10: a session that nobody refreshes has ended", ENDS_NOTHING, setting="brief",
      is_long=True)
def session_that_nobody_refreshes_is_hung_up(t):
    ends_by_itself(agreed(t), SESSION)


@rule("RFC 4028 8: a session lasts from one refresh to the next, whoever sends it", setting="brief",
      is_long=True)
def session_that_is_refreshed_stands(t):
    call = agreed(t)
    sides = [call.near, call.far]
    for _ in range(3):
        ours, theirs = sides
        ours.phone.nothing(lambda m: m.method == "BYE", "a live call was hung up", SESSION / 2)
        expires = f"Session-Expires: {SESSION};refresher=uac"
        passes(ours, theirs.phone, "UPDATE", f"Contact: <{ours.phone.contact()}>", TIMER, expires,
               answer_fields=[expires, "Require: timer"])
        sides.reverse()
    call.hang_up()


@rule("a call whose phones know no session timers ends of age", ENDS_NOTHING, setting="brief",
      is_long=True)
def call_without_a_session_ends_of_age(t):
    ends_by_itself(t.call(), CALL_AGE)
