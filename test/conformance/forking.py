"""Several phones of one user: who rings, who wins, which failure is the best (RFC 3261 16.7)."""

from message import expect, is_response
from rules import deviates, rule
from sip import Attempt, Dialog


def house(t, *qs):
    """Phones of one user, each with its q."""
    first = t.phone()
    phones = [first] + [t.phone(first.user) for _ in qs[1:]]
    for phone, q in zip(phones, qs):
        phone.bind(contact=f"<{phone.contact()}>" + (f";q={q}" if q else ""))
    return phones


def ring_all(t, *qs):
    """A call that rings at all of them."""
    phones = house(t, *qs)
    attempt = Attempt(t.bound(), phones[0].aor())
    invites = [phone.await_request("INVITE") for phone in phones]
    for phone, invite in zip(phones, invites):
        phone.answer(invite, 180)
        attempt.provisional(180)
    return attempt, phones, invites


def best_of(t, *statuses):
    """What the caller is told when the phones answer so, one after another."""
    attempt, phones, invites = ring_all(t, *(None for _ in statuses))
    for phone, invite, status in zip(phones, invites, statuses):
        phone.answer(invite, status, f"X-Status: {status}")
        phone.await_request("ACK")
    return attempt


@rule("RFC 3261 16.6, 16.7 step 5")
def all_phones_ring_and_each_is_heard(t):
    attempt, phones, invites = ring_all(t, None, None, None)
    branches = {invite.branch() for invite in invites}
    expect(len(branches) == 3, f"branches {branches}")
    expect({invite.uri for invite in invites} == {phone.contact() for phone in phones},
           f"sent to {[invite.uri for invite in invites]}")
    for phone, invite in zip(phones, invites):
        phone.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 16.7 step 10: the others stop ringing")
def first_answer_wins_and_the_others_are_cancelled(t):
    attempt, (one, two, three), invites = ring_all(t, None, None, None)
    two.answer(invites[1], 200)
    _, dialog = attempt.accepted()
    for phone, invite in (one, invites[0]), (three, invites[2]):
        cancel = phone.take("CANCEL", 200)
        expect(cancel.branch() == invite.branch(), "it cancels something else")
        phone.answer(invite, 487)
        phone.await_request("ACK")
    two.await_request("ACK")
    attempt.caller.send(dialog.write("BYE"))
    two.take("BYE", 200)
    two.has_nothing(lambda m: m.method == "CANCEL", "the winner was cancelled")
    attempt.caller.has_nothing(attempt.is_mine_final, "a second final response")


@rule("RFC 3326 3.2: no missed call where another phone answered")
def others_are_told_that_the_call_was_answered(t):
    attempt, (one, two), invites = ring_all(t, None, None)
    two.answer(invites[1], 200)
    cancel = one.take("CANCEL", 200)
    reason = cancel.get("Reason").replace(" ", "").lower()
    expect(reason.startswith("sip;cause=200;"), f"Reason: {cancel.get('Reason')!r}")
    one.answer(invites[0], 487)
    attempt.accepted()


@rule("RFC 3326 3.2: a call that the caller gave up was missed")
def cancel_of_the_caller_reaches_all_phones(t):
    attempt, phones, invites = ring_all(t, None, None)
    attempt.cancel()
    for phone, invite in zip(phones, invites):
        cancel = phone.take("CANCEL", 200)
        expect("200" not in cancel.get("Reason"), f"Reason: {cancel.get('Reason')}")
        phone.answer(invite, 487)
    attempt.fails(487)


@rule("RFC 3261 16.7 step 5, 13.2.2.4: each 2xx is passed on")
def second_answer_is_passed_on_too(t):
    attempt, (one, two), invites = ring_all(t, None, None)
    one.answer(invites[0], 200)
    two.answer(invites[1], 200)
    answers = [attempt.caller.await_message(attempt.is_mine_final, "2xx") for _ in range(2)]
    expect({answer.tag("To") for answer in answers} == {one.tag, two.tag},
           f"tags {[answer.tag('To') for answer in answers]}")
    for answer in answers:
        dialog = Dialog.of_caller(attempt.caller, answer)
        attempt.caller.send(dialog.write("ACK", cseq=attempt.cseq))
        callee = one if answer.tag("To") == one.tag else two
        callee.await_request("ACK")
        attempt.caller.send(dialog.write("BYE"))
        callee.take("BYE", 200)
        attempt.caller.await_message(is_response("BYE", 200), "200 to BYE")


@rule("RFC 3261 16.7 step 6: the lowest class")
def failure_of_the_lowest_class_wins(t):
    best_of(t, 500, 486, 504).fails(486)
    best_of(t, 486, 302).fails(302)


@rule("RFC 3261 16.7 step 6: what the caller can do something about")
def failures_that_help_win_within_their_class(t):
    best_of(t, 486, 415).fails(415)
    best_of(t, 404, 484, 480).fails(484)


@rule("RFC 3261 16.7 step 6: 503 is the last choice")
def failure_503_loses_to_another(t):
    best_of(t, 503, 500).fails(500)
    best_of(t, 503, 486).fails(486)


@rule("RFC 3261 16.7 step 5: 6xx ends it all")
def failure_6xx_wins_and_cancels_the_others(t):
    attempt, (one, two), invites = ring_all(t, None, None)
    one.answer(invites[0], 603)
    two.take("CANCEL", 200)
    two.answer(invites[1], 487)
    attempt.fails(603)


@rule("RFC 3261 16.7 step 5: no final response before all have answered")
def one_busy_phone_leaves_the_others_ringing(t):
    attempt, (one, two), invites = ring_all(t, None, None)
    one.answer(invites[0], 486)
    one.await_request("ACK")
    attempt.caller.has_nothing(attempt.is_mine_final, "a final response", [one])
    two.answer(invites[1], 200)
    attempt.accepted()
    two.await_request("ACK")


@rule("RFC 3261 16.7 step 7")
def challenges_of_all_phones_come_together(t):
    attempt, phones, invites = ring_all(t, None, None)
    for phone, invite, name, status in zip(phones, invites, "ab", (401, 407)):
        field = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
        phone.answer(invite, status, f'{field}: Digest realm="{name}.test", nonce="{name}"')
        phone.await_request("ACK")
    answer = attempt.final()
    expect(answer.status in (401, 407), f"answered {answer.start}")
    found = answer.all("WWW-Authenticate") + answer.all("Proxy-Authenticate")
    expect(len(found) == 2, f"the challenges are {found}")


# ---- one after another

@rule("RFC 3261 16.6: q says who rings first")
def phones_of_lower_q_ring_later(t):
    one, two = house(t, "0.9", "0.3")
    attempt = Attempt(t.bound(), one.aor())
    invite = one.await_request("INVITE")
    two.has_nothing(lambda m: m.method == "INVITE", "it rang at once")
    one.answer(invite, 486)
    two.take("INVITE", 200)
    attempt.accepted()
    two.await_request("ACK")


@rule("RFC 3261 16.7 step 5: no search goes on after a 6xx")
def failure_6xx_ends_the_search(t):
    one, two = house(t, "0.9", "0.3")
    attempt = Attempt(t.bound(), one.aor())
    one.take("INVITE", 603)
    attempt.fails(603)
    two.has_nothing(lambda m: m.method == "INVITE", "it rang")


@rule("RFC 3261 16.10: no search goes on after a CANCEL")
def cancel_ends_the_search(t):
    one, two = house(t, "0.9", "0.3")
    attempt = Attempt(t.bound(), one.aor())
    invite = one.take("INVITE", 180)
    attempt.provisional(180)
    attempt.cancel()
    one.take("CANCEL", 200)
    one.answer(invite, 487)
    attempt.fails(487)
    two.has_nothing(lambda m: m.method == "INVITE", "it rang")


@rule("RFC 3261 16.7: requests but INVITE fork, too, and get one answer")
def message_reaches_all_phones_and_is_answered_once(t):
    phones = house(t, None, None)
    stranger = t.stranger()
    stranger.send(stranger.request("MESSAGE", phones[0].aor()))
    requests = [phone.await_request("MESSAGE") for phone in phones]
    for phone, request in zip(phones, requests):
        phone.answer(request, 200)
    stranger.await_message(is_response("MESSAGE", 200), "200")
    stranger.has_nothing(is_response("MESSAGE"), "a second final response", phones)


@rule("RFC 5393 5.3.3", deviates("Max-Breadth", "knows no Max-Breadth"))
def breadth_is_shared_out(t):
    phones = house(t, None, None)
    stranger = t.stranger()
    attempt = Attempt(stranger, phones[0].aor(), "Max-Breadth: 10")
    invites = [phone.await_request("INVITE") for phone in phones]
    breadths = [int(invite.get("Max-Breadth") or -1) for invite in invites]
    expect(min(breadths) > 0 and sum(breadths) <= 10, f"Max-Breadth: {breadths}")
    for phone, invite in zip(phones, invites):
        phone.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 5393 5.3.3", deviates("got no", "knows no Max-Breadth"))
def breadth_that_is_used_up_is_440(t):
    phones = house(t, None, None)
    stranger = t.stranger()
    Attempt(stranger, phones[0].aor(), "Max-Breadth: 0").fails(440)


@rule("RFC 5393 5.3.3", deviates("at once", "knows no Max-Breadth"))
def breadth_of_1_rings_one_after_another(t):
    phones = house(t, None, None)
    stranger = t.stranger()
    attempt = Attempt(stranger, phones[0].aor(), "Max-Breadth: 1")
    rung = []
    for _ in phones:
        stranger.ping()
        for phone in phones:
            phone.ping()
        ringing = [phone for phone in phones if phone not in rung and
                   any(m.method == "INVITE" for m in phone.waiting)]
        expect(len(ringing) == 1, f"{len(ringing)} rang at once")
        rung += ringing
        ringing[0].take("INVITE", 486)
        ringing[0].await_request("ACK")
    attempt.fails(486)
