"""INVITE and its transactions: answers, ACK, CANCEL in its races, retransmissions (RFC 3261 9, 13,
16.7, 17; RFC 6026); and what of that is for other requests (RFC 4320)."""

import re

from message import Message, expect, is_response, unique
from rules import deviates, rule, status_is
from sip import T1, Attempt


def copies(phone, so, what, count):
    """The next `count` messages like this."""
    return [phone.await_message(so, what) for _ in range(count)]


# ---- the answer to an INVITE

@rule("RFC 3261 16.7 step 5, 17.2.1")
def invite_is_answered_100_at_once(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    trying = attempt.provisional(100)
    expect(not trying.tag("To"), f"To: {trying.get('To')}")
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 16.7 step 5: 100 is not passed on")
def trying_of_the_callee_is_not_passed_on(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    attempt.provisional(100)
    callee.answer(invite, 100, "X-Mine: yes")
    callee.answer(invite, 180)
    attempt.provisional(180)
    expect(not any(m.all("X-Mine") for m in attempt.caller.waiting), "100 was passed on")
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 16.7 step 9")
def provisional_responses_pass_in_order(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    for status in 180, 183, 181, 182, 199:
        callee.answer(invite, status, f"X-Status: {status}", body="early")
        got = attempt.provisional(status)
        expect(got.get("X-Status") == str(status) and got.body == "early", f"got {got.text!r}")
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 16.7 step 9, 16.11")
def call_is_answered_and_ended(t):
    call = t.call()
    call.exchange(call.near, call.callee, "INFO")
    call.exchange(call.far, call.caller, "UPDATE")
    call.exchange(call.far, call.caller, "BYE")


@rule("RFC 3261 16.7: a response passes unchanged but for Via")
def response_passes_unchanged(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    fields = ["X-One: a, b", "X-Two:", "X-One: c", "Content-Type: x/y",
              'Warning: 399 there "a, b"']
    text = callee.answer(invite, 606, *fields, reason="Not \u00fcberall", body="why\r\n\r\nnot")
    sent, got = Message(text), attempt.fails(606)

    def rest(message):
        return [(name.lower(), value) for name, value in message.fields if name.lower() != "via"]
    expect(rest(got) == rest(sent), f"{rest(got)} is not {rest(sent)}")
    expect(got.start == sent.start and got.body == sent.body, f"got {got.text!r}")


@rule("RFC 3261 7.2, 7.3.1: a response however it is written")
def odd_responses_pass(t):
    callee = t.bound()
    stranger = t.stranger()
    for status, text_of in (
            (299, lambda text: text),
            (200, lambda text: text.replace(" Answer\r\n", " \r\n", 1)),
            (202, lambda text: text.replace("Via: ", "v:").replace("From:", "f :")),
            (200, lambda text: text.replace("Via: ", "VIA:\r\n\t")),
            (200, lambda text: text.replace("CSeq: 1 ", "cseq:01  ")),
            (488, lambda text: text.replace(" Answer\r\n", " N\u00e4\u20ac \"x, <\r\n", 1))):
        stranger.send(stranger.request("MESSAGE", callee.aor()))
        request = callee.await_request("MESSAGE")
        callee.send(text_of(callee.response(request, status)))
        answer = status_is(stranger.await_message(lambda m: m.status, f"{status}"), status)
        expect(len(answer.list("Via")) == 1, f"Via: {answer.all('Via')}")


@rule("RFC 3261 17.1.1.3: ACK to a failure goes hop by hop")
def ack_to_a_failure_comes_from_the_proxy(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 486)
    ack = callee.await_request("ACK")
    expect(ack.branch() == invite.branch() and len(ack.list("Via")) == 1 and
           ack.uri == invite.uri and ack.cseq() == (attempt.cseq, "ACK") and
           ack.get("To") == f"{invite.get('To')};tag={callee.tag}", f"got {ack.text!r}")
    attempt.fails(486)
    callee.has_nothing(lambda m: m.method == "ACK", "the caller's ACK was passed on",
                       [attempt.caller])


@rule("RFC 3261 13.2.2.4, 16.11: ACK to a 2xx goes end to end")
def ack_to_a_2xx_is_passed_on(t):
    call = t.call()
    expect(len(call.ack.list("Via")) == 2 and call.ack.branch() != call.invite.branch(),
           f"Via: {call.ack.all('Via')}")
    expect(call.ack.cseq() == (call.attempt.cseq, "ACK"), f"CSeq: {call.ack.get('CSeq')}")
    call.caller.send(call.near.write("ACK", cseq=call.attempt.cseq, body="answer"))
    expect(call.callee.await_request("ACK").body == "answer", "its body is gone")
    call.hang_up()


@rule("RFC 3261 16.7, RFC 6026 7.1: each 2xx passes, as often as it comes")
def repeated_2xx_pass(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    text = callee.answer(invite, 200)
    for _ in range(2):
        expect(attempt.caller.await_message(attempt.is_mine_final, "2xx").status == 200, "no 2xx")
        callee.send(text)
    attempt.accepted()
    callee.await_request("ACK")


@rule("RFC 6026 7.1: an INVITE that is repeated after its 2xx", transports=("udp",))
def repeated_invite_is_absorbed_after_the_2xx(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 200)
    attempt.final()
    attempt.caller.send(attempt.text)
    callee.has_nothing(lambda m: m.method == "INVITE", "it was passed on", [attempt.caller])


@rule("RFC 3261 17.2.1: the proxy repeats its last response", transports=("udp",))
def repeated_invite_is_absorbed_and_answered(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    attempt.caller.send(attempt.text)
    attempt.provisional(180)
    callee.has_nothing(lambda m: m.method == "INVITE", "it was passed on", [attempt.caller])
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 17.2.2", transports=("udp",))
def repeated_request_is_absorbed_and_answered(t):
    stranger, callee = t.stranger(), t.bound()
    text = stranger.request("MESSAGE", callee.aor())
    stranger.send(text)
    request = callee.await_request("MESSAGE")
    stranger.send(text)
    callee.has_nothing(lambda m: m.method == "MESSAGE", "it was passed on", [stranger])
    callee.answer(request, 202)
    for _ in range(2):
        status_is(stranger.await_message(is_response("MESSAGE"), "answer"), 202)
        stranger.send(text)
    callee.has_nothing(lambda m: m.method == "MESSAGE", "it was passed on", [stranger])


@rule("RFC 3261 17.2.1: timer G", transports=("udp",))
def failure_is_repeated_until_it_is_acknowledged(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 486)
    is_failure = attempt.is_mine_final
    first = copies(attempt.caller, is_failure, "486", 3)[0]
    attempt.caller.acknowledge(first, attempt.uri)
    attempt.caller.ping()
    attempt.caller.waiting.clear()
    callee.receive(4 * T1)
    expect(not attempt.caller.receive(4 * T1), "it is still repeated")


@rule("RFC 3261 17.1.1.2: timer A", transports=("udp",))
def invite_is_repeated_until_it_is_answered(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    again = callee.await_request("INVITE")
    expect(again.text == invite.text, "the copies differ")
    callee.answer(invite, 180)
    attempt.provisional(180)
    callee.waiting.clear()
    expect(not callee.receive(6 * T1), "it is still repeated")
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 17.1.1.2: no timer A on a stream", transports=("tcp",))
def invite_is_not_repeated_on_a_stream(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    expect(not callee.receive(3 * T1), "it was repeated")
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 17.1.1.2: timer B", is_long=True)
def callee_who_never_answers_is_408(t):
    """Over TCP the phone's connection stands, but it says nothing."""
    callee = t.bound()
    attempt, _ = t.ring(callee)
    attempt.fails(408, 60)


@rule("RFC 3261 9.1: the INVITE may never end",
      deviates("got no answer to INVITE", "goes on waiting for two minutes"),
      is_long=True)
def callee_who_ignores_a_cancel_ends_all_the_same(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    attempt.cancel()
    status_is(attempt.final(45), 408, 487)


# ---- requests but INVITE

@rule("RFC 4320 4.1: no 100 to begin with")
def no_100_comes_for_other_requests(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(stranger.request("MESSAGE", callee.aor()))
    request = callee.await_request("MESSAGE")
    stranger.has_nothing(is_response("MESSAGE"), "it was answered")
    callee.answer(request, 200)
    status_is(stranger.await_message(is_response("MESSAGE"), "answer"), 200)


@rule("RFC 3261 17.1.2.2: timer E", transports=("udp",))
def request_is_repeated_until_it_is_answered(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(stranger.request("MESSAGE", callee.aor()))
    first, second, third = (callee.await_request("MESSAGE") for _ in range(3))
    expect(first.text == second.text == third.text, "the copies differ")
    callee.answer(first, 200)
    stranger.await_message(is_response("MESSAGE", 200), "200")
    callee.ping()
    callee.waiting.clear()
    expect(not callee.receive(6 * T1), "it is still repeated")


@rule("RFC 4320 4.2", deviates("408", "passes on a 408 as any other status"))
def time_out_of_another_request_is_not_passed_on(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(stranger.request("MESSAGE", callee.aor()))
    callee.take("MESSAGE", 408)
    stranger.has_nothing(is_response("MESSAGE"), "it was answered", [callee])


@rule("RFC 4320 4.2", deviates("408", "answers 408 where nobody answers"), is_long=True)
def request_that_nobody_answers_ends_in_silence(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(stranger.request("MESSAGE", callee.aor()))
    callee.await_request("MESSAGE")
    stranger.nothing(lambda m: m.status > 100, "it was answered", 45) # 100: RFC 4320 4.1


# ---- single statuses

@rule("RFC 3261 16.7 step 4: redirection is the caller's to follow")
def redirection_is_passed_on(t):
    callee, other = t.bound(), t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 302, f"Contact: <{other.contact()}>")
    answer = attempt.fails(302)
    expect(other.contact() in answer.get("Contact"), f"Contact: {answer.get('Contact')}")
    other.has_nothing(lambda m: m.method, "it was followed")


@rule("RFC 3261 16.7 step 6: 503 is of the phone, not of the proxy")
def lone_503_becomes_500(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 503, "Retry-After: 3600")
    attempt.fails(500)


@rule("RFC 3261 16.7")
def failures_pass_as_they_are(t):
    callee, caller = t.bound(), t.stranger()
    for status in 400, 404, 415, 420, 480, 484, 486, 488, 491, 500, 501, 600, 603, 699:
        attempt, invite = t.ring(callee, caller=caller)
        callee.answer(invite, status, "X-Mine: yes")
        expect(attempt.fails(status).get("X-Mine"), "it is not the callee's")
        callee.await_request("ACK")


# ---- CANCEL

@rule("RFC 3261 9.2, 16.10")
def cancel_ends_the_ringing(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    attempt.cancel()
    cancel = callee.await_request("CANCEL")
    expect(cancel.branch() == invite.branch() and len(cancel.list("Via")) == 1 and
           cancel.uri == invite.uri and cancel.cseq() == (attempt.cseq, "CANCEL") and
           cancel.get("To") == invite.get("To") and cancel.get("From") == invite.get("From") and
           cancel.get("Call-ID") == invite.get("Call-ID"), f"got {cancel.text!r}")
    callee.answer(cancel, 200)
    callee.answer(invite, 487)
    attempt.fails(487)
    callee.await_request("ACK")


@rule("RFC 3261 9.1: not before a provisional response")
def cancel_waits_for_a_provisional_response(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    attempt.cancel()
    callee.has_nothing(lambda m: m.method == "CANCEL", "CANCEL came too early", [attempt.caller])
    callee.answer(invite, 180)
    callee.take("CANCEL", 200)
    callee.answer(invite, 487)
    attempt.fails(487)


@rule("RFC 3261 9.2: too late")
def cancel_after_the_2xx_changes_nothing(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    answer = callee.answer(invite, 200)
    _, dialog = attempt.accepted()
    callee.await_request("ACK")
    attempt.send_cancel()
    callee.has_nothing(lambda m: m.method == "CANCEL", "CANCEL was passed on", [attempt.caller])
    attempt.caller.send(dialog.write("BYE"))
    callee.take("BYE", 200)
    expect(Message(answer).status == 200, "the answer was none")


@rule("RFC 3261 9.2: too late")
def cancel_after_a_failure_changes_nothing(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 486)
    callee.await_request("ACK")
    attempt.fails(486)
    attempt.send_cancel()
    callee.has_nothing(lambda m: m.method == "CANCEL", "CANCEL was passed on", [attempt.caller])


@rule("RFC 3261 9.1, 15.1.2: the callee answers while the CANCEL is on its way")
def answer_wins_against_a_cancel(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    attempt.cancel()
    cancel = callee.await_request("CANCEL")
    callee.answer(invite, 200)
    callee.answer(cancel, 200)
    _, dialog = attempt.accepted()
    callee.await_request("ACK")
    attempt.caller.send(dialog.write("BYE"))
    callee.take("BYE", 200)
    attempt.caller.has_nothing(attempt.is_mine_final, "a second final response", [callee])


@rule("RFC 3261 9.2")
def cancel_of_nothing_is_481(t):
    stranger, callee = t.stranger(), t.bound()
    status_is(stranger.ask(stranger.request("CANCEL", callee.aor())), 481)
    callee.has_nothing(lambda m: m.method, "it was passed on")


@rule("RFC 3326 2")
def reason_of_a_cancel_is_passed_on(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    reason = 'SIP;cause=600;text="Busy everywhere, really"'
    attempt.cancel(f"Reason: {reason}")
    cancel = callee.take("CANCEL", 200)
    expect(cancel.get("Reason") == reason, f"Reason: {cancel.get('Reason')!r}")
    callee.answer(invite, 487)
    attempt.fails(487)


@rule("RFC 3261 9.1: a CANCEL comes again when its answer is lost", transports=("udp",))
def repeated_cancel_is_answered_alike(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    for _ in range(3):
        attempt.cancel()
    callee.take("CANCEL", 200)
    callee.answer(invite, 487)
    attempt.fails(487)


# ---- in a dialog

@rule("RFC 3261 14")
def reinvite_passes_both_ways(t):
    call = t.call()
    for side, other in (call.near, call.callee), (call.far, call.caller):
        text = side.write("INVITE", f"Contact: <{side.phone.contact()}>", body="offer")
        side.phone.send(text)
        invite = other.await_request("INVITE")
        expect(invite.body == "offer", f"got {invite.text!r}")
        other.answer(invite, 200, body="answer")
        answer = side.phone.await_message(is_response("INVITE", 200), "200")
        expect(answer.body == "answer", f"got {answer.text!r}")
        side.phone.send(side.write("ACK", cseq=side.cseq))
        other.await_request("ACK")
    call.hang_up()


@rule("RFC 3261 12.2.1.1: the failure of a re-INVITE leaves the call")
def refused_reinvite_leaves_the_call(t):
    call = t.call()
    text = call.near.write("INVITE", f"Contact: <{call.caller.contact()}>")
    call.caller.send(text)
    call.callee.take("INVITE", 488)
    answer = call.caller.await_message(is_response("INVITE", 488), "488")
    call.caller.send(re.sub("CSeq: .*", f"CSeq: {call.near.cseq} ACK", text)
                     .replace("INVITE ", "ACK ", 1)
                     .replace(f"To: {call.near.remote}", f"To: {answer.get('To')}"))
    call.callee.await_request("ACK")
    call.hang_up()


@rule("RFC 3261 15.1.2: a dialog that the callee no longer has")
def answer_481_to_a_bye_is_passed_on(t):
    call = t.call()
    call.exchange(call.near, call.callee, "BYE", 481)


@rule("RFC 3261 10.1: who calls need not be registered")
def user_who_is_not_registered_calls(t):
    call = t.call(caller=t.phone())
    call.exchange(call.far, call.caller, "INFO")
    call.exchange(call.far, call.caller, "BYE")


@rule("RFC 3261 12.2.1.1: a dialog does not depend on a registration")
def call_outlives_the_registration(t):
    call = t.call()
    for phone in call.callee, call.caller:
        status_is(phone.register("Contact: *", "Expires: 0"), 200)
    call.exchange(call.near, call.callee, "INFO")
    call.exchange(call.far, call.caller, "INFO")
    call.hang_up()


@rule("RFC 3261 12.2.1.1: a dialog does not depend on a registration")
def call_outlives_a_registration_that_is_made_anew(t):
    call = t.call()
    for phone in call.callee, call.caller:
        status_is(phone.register("Contact: *", "Expires: 0"), 200)
        phone.bind()
    call.exchange(call.near, call.callee, "INFO")
    call.exchange(call.far, call.caller, "INFO")
    call.hang_up()


@rule("no hijacked dialogs: an end that moved proves itself",
      deviates("it was passed on", "asks nobody within a dialog"))
def end_that_moved_proves_itself(t):
    call = t.call()
    moved, other = t.phone(call.caller.user), t.bound()
    for phone, status in (other, 403), (moved, 200):
        text = call.near.write("INFO", phone=phone)
        phone.send(text)
        call.callee.has_nothing(lambda m: m.method == "INFO", "it was passed on", [phone])
        challenge = phone.await_message(is_response("INFO"), "answer to INFO")
        status_is(challenge, 407)
        phone.send(call.near.write("INFO", phone.authorization(challenge, "INFO", call.near.target),
                                   phone=phone))
        if status == 200:
            call.callee.take("INFO", 200)
        status_is(phone.await_message(is_response("INFO"), "answer to INFO"), status)
    call.hang_up()


@rule("RFC 3261 12.1.2: an unknown second call is not the first")
def two_calls_of_the_same_phones_stand_apart(t):
    caller, callee = t.bound(), t.bound()
    one, two = t.call(caller, callee), t.call(caller, callee)
    one.hang_up()
    two.exchange(two.near, callee, "INFO")
    two.hang_up()


@rule("RFC 3261 8.2.6.2", transports=("udp",))
def to_tag_of_the_proxys_own_answers_stays_the_same(t):
    """Answered statelessly: each copy must get the same tag, or the caller sees two answers."""
    stranger = t.stranger()
    text = stranger.request("OPTIONS", f"sip:{t.server.domain}", branch=unique("z9hG4bK"))
    tags = {stranger.ask(text).tag("To") for _ in range(3)}
    expect(len(tags) == 1 and tags != {""}, f"tags {tags}")


@rule("RFC 3261 8.1.1.7: before RFC 3261 a branch said nothing", transports=("udp",))
def branch_without_the_cookie_is_no_key(t):
    """Two requests with the same old branch are two transactions."""
    stranger, callee = t.stranger(), t.bound()
    for number in 1, 2:
        stranger.send(stranger.request("MESSAGE", callee.aor(), branch="1", cseq=number))
        request = callee.take("MESSAGE", 200)
        expect(request.cseq()[0] == number, f"CSeq: {request.get('CSeq')}")
        stranger.await_message(is_response("MESSAGE", 200), "200")


@rule("RFC 3261 13.3.1.4: an early answer before the caller has heard of the ringing")
def immediate_answer_passes(t):
    caller, callee = t.bound(), t.bound()
    attempt = Attempt(caller, callee.aor())
    callee.take("INVITE", 200)
    attempt.accepted()
    callee.await_request("ACK")
