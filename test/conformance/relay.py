"""No open relay: what strangers and forgers try, and must not get."""

import re

from message import Message, expect, is_response, unique
from rules import deviates, rule, status_is
from sip import Attempt, Call

RELAYS = deviates("reached", "relays for whoever has a Route and a tag, as RFC 3261 lets it")


def nothing_reaches(victim, *senders):
    victim.has_nothing(lambda m: m.method and m.method != "OPTIONS", "reached the victim", senders)


def at(phone):
    return phone.contact().replace("stranger@", "victim@")


def refused(sender, victim, *texts):
    """Each is refused, and nothing of it arrives."""
    for text in texts:
        answer = sender.ask(text)
        expect(answer.status >= 400, f"{Message(text).method} was answered {answer.start}")
        if answer.cseq()[1] == "INVITE":
            sender.acknowledge(answer, Message(text).uri)
    nothing_reaches(victim, sender)


# ---- from one foreign domain to another

@rule("no open relay")
def stranger_does_not_reach_another_domain(t):
    stranger, victim = t.stranger(), t.stranger()
    refused(stranger, victim, *(stranger.request(method, at(victim))
                                for method in ("INVITE", "MESSAGE", "SUBSCRIBE", "BYE", "PUBLISH")))


@rule("no open relay")
def stranger_does_not_get_there_by_a_preloaded_route(t):
    stranger, victim = t.stranger(), t.stranger()
    server = f"<sip:{t.server.host};lr>"
    routes = [f"Route: {server}, <{at(victim)};lr>", f"Route: <{at(victim)};lr>",
              f"Route: <sip:{t.server.domain};lr>\r\nRoute: <{at(victim)};lr>"]
    refused(stranger, victim,
            *(stranger.request("MESSAGE", at(victim), route) for route in routes))


@rule("no open relay")
def preloaded_route_leads_nowhere_for_local_users_either(t):
    stranger, victim, callee = t.stranger(), t.stranger(), t.phone()
    route = f"Route: <sip:{t.server.host};lr>, <{at(victim)};lr>"
    refused(stranger, victim, stranger.request("MESSAGE", callee.aor(), route))


@rule("no open relay")
def maddr_leads_nowhere(t):
    stranger, callee = t.stranger(), t.bound()
    victim = t.stranger(transport="udp", port=5060)
    for host in t.server.domain, f"{t.server.domain}:5060", t.server.host, "other.test":
        uri = f"sip:{callee.user}@{host};maddr={victim.host}"
        stranger.send(stranger.request("MESSAGE", uri))
        nothing_reaches(victim, stranger)


@rule("no open relay")
def spoofed_local_sender_is_challenged(t):
    stranger, victim, user = t.stranger(), t.stranger(), t.bound()
    for host in t.server.domain, t.server.domain.upper(), f"{t.server.domain}:5060", \
            t.server.host:
        text = stranger.request("MESSAGE", at(victim), sender=f"<sip:{user.user}@{host}>;tag=x")
        status_is(stranger.ask(text), 403, 407)
    nothing_reaches(victim, stranger)


@rule("no open relay")
def register_is_not_relayed(t):
    stranger, victim = t.stranger(), t.stranger()
    refused(stranger, victim, stranger.request("REGISTER", at(victim)))


@rule("no open relay: a server that takes no strangers' calls", setting="closed")
def closed_server_takes_no_strangers_calls(t):
    stranger, callee = t.stranger(), t.bound()
    refused(stranger, callee, *(stranger.request(method, callee.aor())
                                for method in ("INVITE", "MESSAGE", "OPTIONS")))


@rule("strangers reach the domain's users, where they may")
def stranger_reaches_a_user(t):
    callee = t.bound()
    attempt, invite = t.ring(callee, caller=t.stranger())
    callee.answer(invite, 200)
    attempt.accepted()
    callee.await_request("ACK")


@rule("users of the domain reach other domains")
def user_reaches_another_domain(t):
    caller, outside = t.bound(), t.stranger(transport="udp")
    uri = f"sip:someone@{outside.host}:{outside.port}"
    attempt = Attempt(caller, uri)
    invite = outside.await_request("INVITE")
    expect(invite.uri == uri, f"sent to {invite.uri}")
    outside.answer(invite, 486)
    attempt.fails(486)


# ---- in dialogs that are none

@rule("no open relay: a Route without a dialog", RELAYS)
def forged_tag_and_own_route_lead_nowhere(t):
    stranger, victim = t.stranger(), t.stranger()
    route = f"Route: <sip:{t.server.host};lr>"
    to = f"<{at(victim)}>;tag=forged"
    for method in "BYE", "MESSAGE", "INVITE", "ACK", "INFO":
        text = stranger.request(method, at(victim), route, to=to)
        stranger.send(text)
        nothing_reaches(victim, stranger)
        if method != "ACK":
            answer = stranger.await_message(is_response(method), f"answer to {method}")
            expect(answer.status >= 400, f"{method} was answered {answer.start}")


@rule("no open relay: the Record-Route of one dialog in another", RELAYS)
def route_of_another_dialog_leads_nowhere(t):
    call = t.call()
    stranger, victim = t.stranger(), t.stranger()
    for tag in ";tag=forged", "":
        for method in "BYE", "MESSAGE":
            routes = [f"Route: {route}" for route in call.near.routes]
            stranger.send(stranger.request(method, at(victim), *routes,
                                           to=f"<{at(victim)}>{tag}"))
            nothing_reaches(victim, stranger)
            answer = stranger.await_message(is_response(method), f"answer to {method}")
            expect(answer.status >= 400, f"{method} was answered {answer.start}")
    call.hang_up()


@rule("no open relay: the Record-Route of a dialog leads to its ends alone", RELAYS)
def route_of_a_dialog_leads_to_its_ends_alone(t):
    call, victim = t.call(), t.stranger()
    caller = call.caller
    caller.send(call.near.write("INFO", target=at(victim)))
    nothing_reaches(victim, caller)
    call.callee.take("INFO", 200)


@rule("no hijacked dialogs: who knows its ids is not yet one of its ends",
      deviates("the BYE was passed on", "takes whoever knows the Call-ID and tags for an end"))
def outsider_does_not_end_a_call(t):
    call, outsider = t.call(), t.stranger()
    text = call.near.write("BYE", phone=outsider)
    outsider.send(text)
    call.callee.has_nothing(lambda m: m.method == "BYE", "the BYE was passed on", [outsider])
    answer = outsider.await_message(is_response("BYE"), "answer to BYE")
    status_is(answer, 403, 407)
    call.hang_up()


# ---- CANCEL and responses that are forged

@rule("RFC 3261 9.2, 22.1: only from where the INVITE came",
      deviates("CANCEL was passed on", "knows a CANCEL by its branch alone (9.2)"))
def cancel_from_elsewhere_is_refused(t):
    callee, other = t.bound(), t.stranger()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    attempt.send_cancel(sender=other)
    callee.has_nothing(lambda m: m.method == "CANCEL", "CANCEL was passed on", [other])
    callee.answer(invite, 200)
    attempt.accepted()
    callee.await_request("ACK")


@rule("RFC 3261 18.1.2, RFC 6026 8.9",
      deviates("the response was passed on", "passes on, without a transaction, what has two Vias"))
def response_with_a_made_up_branch_is_dropped(t):
    callee, other = t.bound(), t.stranger()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    vias = invite.list("Via")
    branch = invite.branch()
    middle = len(branch) // 2
    flipped = branch[:middle] + ("0" if branch[middle] != "0" else "1") + branch[middle + 1:]
    for forged in flipped, branch + "0", branch[:-1], unique("z9hG4bK"), "z9hG4bK", "":
        text = other.response(invite, 200, tag="forged")
        other.send(text.replace(f"branch={branch}", f"branch={forged}", 1))
    attempt.caller.has_nothing(is_response("INVITE", 200), "the response was passed on", [other])
    expect(len(vias) == 2, f"Via: {vias}")
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 18.1.2",
      deviates("the response was passed on", "does not look at sent-by, only at the branch"))
def response_for_another_sent_by_is_dropped(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    text = callee.response(invite, 200, tag="forged")
    via = invite.list("Via")[0]
    callee.send(text.replace(via, via.replace(t.server.host, callee.host), 1))
    attempt.caller.has_nothing(is_response("INVITE", 200), "the response was passed on", [callee])
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 16.7 step 3, 17.1.3")
def response_without_our_via_is_dropped(t):
    callee, victim = t.bound(), t.stranger()
    via = f"SIP/2.0/UDP {victim.host}:{victim.port};branch={unique('z9hG4bK')}"
    text = callee.response(Message(callee.request("MESSAGE", callee.aor(), via=via)), 200)
    callee.send(text)
    victim.has_nothing(is_response("MESSAGE"), "the response was passed on", [callee])


@rule("no second final answer: a response comes again, or another after it",
      deviates("a second final response", "passes on any late 2xx, after a failure, too"))
def second_final_response_is_not_passed_on(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 486)
    attempt.fails(486)
    callee.answer(invite, 404)
    callee.answer(invite, 200, tag="late")
    attempt.caller.has_nothing(lambda m: m.status in (404, 200) and m.cseq()[1] == "INVITE",
                               "a second final response", [callee])


# ---- Via

@rule("RFC 3261 18.2.1",
      deviates("received=", "writes its received after the sender's, and goes by its own"),
      transports=("udp",))
def received_of_the_sender_does_not_count(t):
    stranger, victim = t.stranger(), t.stranger()
    via = stranger.via() + f";received={victim.host}"
    text = stranger.request("OPTIONS", f"sip:{t.server.domain}", via=via)
    answer = stranger.ask(text)
    expect(f"received={victim.host}" not in answer.get("Via"), f"Via: {answer.get('Via')}")
    victim.has_nothing(lambda m: m.cseq()[1] == "OPTIONS" and m.get("Call-ID") ==
                       answer.get("Call-ID"), "it was answered", [stranger])


@rule("no reflection: maddr of a Via does not count", transports=("udp",))
def maddr_of_the_via_does_not_count(t):
    stranger, victim = t.stranger(), t.stranger()
    via = f"SIP/2.0/UDP {stranger.host}:{stranger.port};maddr={victim.host}" \
          f";branch={unique('z9hG4bK')};rport"
    stranger.ask(stranger.request("OPTIONS", f"sip:{t.server.domain}", via=via), timeout=3)


# ---- identities

@rule("RFC 3325 5: what an untrusted phone asserts is removed")
def asserted_identities_are_removed(t):
    callee = t.bound()
    claims = ["P-Asserted-Identity: <sip:boss@conf.test>",
              "P-Preferred-Identity: <sip:boss@conf.test>",
              "p-asserted-identity : <tel:+15551234>",
              "Remote-Party-ID: <sip:boss@conf.test>;party=calling"]
    attempt, invite = t.ring(callee, *claims)
    found = [name for name, _ in invite.fields if name.lower().startswith(("p-", "remote-"))]
    expect(not found, f"{found} passed")
    callee.answer(invite, 200, *claims)
    answer = attempt.final()
    found = [name for name, _ in answer.fields if name.lower().startswith(("p-", "remote-"))]
    expect(not found, f"{found} passed in the response")


@rule("RFC 3325 5: in a dialog, too")
def asserted_identities_are_removed_in_a_dialog(t):
    call = Call(t.bound(), t.bound())
    claim = "P-Asserted-Identity: <sip:boss@conf.test>"
    text = call.near.write("INFO", claim)
    call.caller.send(text)
    request = call.callee.take("INFO", 200, claim)
    expect(not request.all("P-Asserted-Identity"), "it passed")
    answer = call.caller.await_message(is_response("INFO"), "answer to INFO")
    expect(not answer.all("P-Asserted-Identity"), "it passed in the response")


@rule("no header injection: a name with trailing blanks is the same name")
def blanks_before_the_colon_hide_no_header(t):
    callee = t.bound()
    attempt, invite = t.ring(callee, "P-Asserted-Identity \t: <sip:boss@conf.test>")
    expect(not re.search(r"(?i)p-asserted-identity", invite.text), "it passed")
    callee.answer(invite, 486)
    attempt.fails(486)
