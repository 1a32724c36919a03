"""One request through the proxy: what is checked, and what is changed on its way (RFC 3261 16)."""

import re

from message import Message, expect, is_response, unique, uri_of
from rules import deviates, rule, status_is
from sip import Attempt


def pass_on(t, method="MESSAGE", *fields, **more):
    """A stranger's request as sent, as the callee got it, and what came back when it said 200."""
    sender, callee = t.stranger(), t.bound()
    text = sender.request(method, callee.aor(), *fields, **more)
    sender.send(text)
    request = callee.take(method, 200, "X-Answer: yes")
    answer = sender.await_message(lambda m: m.status >= 200, f"answer to {method}")
    status_is(answer, 200)
    return Message(text), request, answer


def refused(t, text_of, *statuses):
    """A stranger's request to a phone is answered so, and does not get there."""
    sender, callee = t.stranger(), t.bound()
    text = text_of(sender, callee)
    sender.send(text)
    callee.has_nothing(lambda m: m.method, "it was passed on", [sender])
    branch = Message(text).branch()
    return status_is(sender.await_message(lambda m: m.status and m.branch() == branch, "answer"),
                     *statuses)


# ---- 16.3: what is checked

@rule("RFC 3261 16.3 step 3")
def no_more_forwards_is_483(t):
    for method in "MESSAGE", "OPTIONS", "FROBNICATE":
        refused(t, lambda s, c, m=method: s.request(m, c.aor(), forwards=0), 483)


@rule("RFC 3261 16.3 step 3")
def invite_with_no_more_forwards_is_483(t):
    stranger, callee = t.stranger(), t.bound()
    Attempt(stranger, callee.aor(), forwards=0).fails(483)
    callee.has_nothing(lambda m: m.method, "it was passed on", [stranger])


@rule("RFC 3261 16.6 step 3")
def forwards_are_counted_down(t):
    for before, after in (70, 69), (1, 0), (10, 9):
        _, request, _ = pass_on(t, forwards=before)
        expect(request.all("Max-Forwards") == [str(after)],
               f"Max-Forwards: {request.all('Max-Forwards')}")


@rule("RFC 3261 16.6 step 3")
def forwards_are_added_where_they_lack(t):
    _, request, _ = pass_on(t, forwards=None)
    expect(request.all("Max-Forwards") == ["70"], f"Max-Forwards: {request.all('Max-Forwards')}")


@rule("RFC 3261 20.22", deviates("not 400", "takes it for a 0"))
def forwards_that_are_no_number_are_refused(t):
    for value in "-1", "abc", "256", "99999999999999999999":
        refused(t, lambda s, c, v=value: s.request("MESSAGE", c.aor(), forwards=v), 400)


@rule("RFC 3261 16.3 step 5", deviates("Unsupported", "names the first of them alone"))
def unknown_proxy_require_is_420(t):
    answer = refused(t, lambda s, c: s.request("MESSAGE", c.aor(), "Proxy-Require: teleport, beam"),
                     420)
    expect(sorted(answer.list("Unsupported")) == ["beam", "teleport"],
           f"Unsupported: {answer.all('Unsupported')}")


@rule("RFC 3261 8.2.2.3: Require is for the other end")
def require_passes(t):
    sent, request, _ = pass_on(t, "MESSAGE", "Require: teleport")
    expect(request.all("Require") == sent.all("Require"), f"Require: {request.all('Require')}")


@rule("RFC 3261 16.3 step 2",
      deviates("not 416", "lets tel pass, and finds no user by it"))
def other_schemes_are_416(t):
    for uri in "tel:+15551234", "http://conf.test/", "mailto:x@conf.test", "nobodyknows:this":
        sender = t.stranger()
        status_is(sender.ask(sender.request("MESSAGE", uri, to="<sip:x@conf.test>")), 416)


@rule("RFC 3261 16.3 step 4", deviates("got no 482", "detects no loops but by Max-Forwards"))
def loop_is_482(t):
    sender, callee = t.stranger(), t.bound()
    sender.send(sender.request("MESSAGE", callee.aor()))
    request = callee.await_request("MESSAGE")
    text = request.text.replace(f"MESSAGE {request.uri} ", f"MESSAGE {callee.aor()} ")
    callee.send(text.replace("Via:", f"Via: {callee.via()}\r\nVia:", 1))
    callee.await_message(is_response("MESSAGE", 482), "482")
    callee.answer(request, 200)
    status_is(sender.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 16.3 step 4, RFC 5393: a spiral is no loop")
def spiral_passes(t):
    sender, first, second = t.stranger(), t.bound(), t.bound()
    sender.send(sender.request("MESSAGE", first.aor()))
    request = first.await_request("MESSAGE")
    text = request.text.replace(f"MESSAGE {request.uri} ", f"MESSAGE {second.aor()} ")
    first.send(text.replace("Via:", f"Via: {first.via()}\r\nVia:", 1))
    spiral = second.take("MESSAGE", 200)
    expect(len(spiral.list("Via")) == 4, f"Via: {spiral.all('Via')}")
    answer = first.await_message(is_response("MESSAGE", 200), "200")
    expect(len(answer.list("Via")) == 3, f"Via: {answer.all('Via')}")
    first.answer(request, 200)
    status_is(sender.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 8.2.2.2", deviates("got no 482", "knows no merged requests"))
def merged_request_is_482(t):
    stranger, callee = t.stranger(), t.bound()
    attempt, invite = t.ring(callee, caller=stranger)
    again = attempt.text.replace(attempt.branch, unique("z9hG4bK"))
    stranger.send(again)
    answer = stranger.await_message(is_response("INVITE", 482), "482")
    stranger.acknowledge(answer, callee.aor())
    callee.answer(invite, 486)
    attempt.fails(486)


@rule("RFC 3261 8.1.1, 21.4.1",
      deviates("got no answer", "drops what lacks a field", ("udp",)),
      deviates("closed the connection", "takes what lacks a field for the end of SIP", ("tcp",)))
def missing_fields_are_400(t):
    for name in "From", "To", "Call-ID", "CSeq":
        refused(t, lambda s, c, n=name: re.sub(f"(?m)^{n}: .*\r\n", "",
                                               s.request("MESSAGE", c.aor())), 400)


@rule("RFC 3261 8.1.1.5, 20.16",
      deviates("it was passed on", "reads the digits that it finds", ("udp",)),
      deviates("closed the connection", "takes a bad CSeq for the end of SIP", ("tcp",)))
def cseq_that_does_not_fit_is_400(t):
    for value in "1 INVITE", "-1 MESSAGE", "MESSAGE", "4294967296 MESSAGE", "1":
        sender, callee = t.stranger(), t.bound()
        text = sender.request("MESSAGE", callee.aor()).replace("CSeq: 1 MESSAGE", f"CSeq: {value}")
        sender.send(text)
        callee.has_nothing(lambda m: m.method, "it was passed on", [sender])
        for message in sender.waiting:
            expect(message.status == 400, f"CSeq: {value}: answered {message.start}")
        sender.waiting.clear()


@rule("RFC 3261 21.5.6", deviates("got no answer", "drops it"))
def another_version_is_505(t):
    sender = t.stranger()
    text = sender.request("OPTIONS", f"sip:{t.server.domain}").replace(" SIP/2.0\r\n",
                                                                       " SIP/7.0\r\n", 1)
    status_is(sender.ask(text), 505)


@rule("RFC 3261 19.1.1: no headers in a Request-URI",
      deviates("it was passed on", "looks at the user and host alone"))
def headers_in_the_uri_are_refused(t):
    refused(t, lambda s, c: s.request("MESSAGE", f"{c.aor()}?Route=%3Csip:x%40y%3E",
                                      to="<sip:x@y>"), 400, 404)


@rule("RFC 3261 8.2.1")
def methods_that_are_not_for_a_server_are_405_or_501(t):
    for method, status in ("MESSAGE", 405), ("BYE", 405), ("FROBNICATE", 501):
        sender = t.stranger()
        answer = sender.ask(sender.request(method, f"sip:{t.server.domain}"))
        status_is(answer, status)
        expect(status == 501 or answer.all("Allow"), "Allow is missing")


@rule("RFC 3261 11.2")
def options_for_the_server_are_answered(t):
    stranger = t.stranger()
    text = stranger.request("OPTIONS", f"sip:{t.server.domain}", f"X-Long: {'x' * 300}")
    answer = status_is(stranger.ask(text), 200)
    expect("INVITE" in answer.list("Allow") and "REGISTER" in answer.list("Allow"),
           f"Allow: {answer.get('Allow')}")
    expect(answer.tag("To"), "To has no tag")


@rule("RFC 3261 21.4.18")
def user_without_a_phone_is_away(t):
    caller, away = t.bound(), t.phone()
    Attempt(caller, away.aor()).fails(480)


@rule("RFC 3261 21.4.5", deviates("not 404", "knows users by their passwords, not by a list"))
def unknown_user_is_not_found(t):
    Attempt(t.bound(), f"sip:nobody99@{t.server.domain}").fails(404)


# ---- 16.6: what is changed

@rule("RFC 3261 16.6")
def request_passes_unchanged_but_for_what_a_proxy_writes(t):
    fields = ["X-One: a,b , c;d=\"e\"", "x-two:", "Subject: \u00fcber alles", "X-One: again",
              "Organization:   spaces   inside", "Content-Type: text/plain; charset=utf-8",
              "P-Unknown: x", "Accept-Language: de", "Require: nothing"]
    body = "line\r\n\r\nSIP/2.0 200 OK\r\n\u20ac\0\x01 end"
    sent, request, _ = pass_on(t, "MESSAGE", *fields, body=body)
    ours = ("via", "record-route", "max-forwards", "content-length", "p-sipwitch-caller")

    def rest(message):
        return [(name.lower(), value) for name, value in message.fields
                if name.lower() not in ours]
    expect(rest(request) == rest(sent), f"{rest(request)} is not {rest(sent)}")
    expect(request.body == body, f"the body is {request.body!r}")


@rule("RFC 3261 16.3 step 1: what a proxy does not need to read may be broken")
def faults_in_other_fields_pass(t):
    fields = ["Date: someday", "Contact: <<sip:>", "Warning: ,,", "Expires: soon", "Accept: ;;",
              "Authorization: none", "Event:", "Timestamp: x", "Supported: ,", "Reply-To: <",
              "Unsupported: \"", "WWW-Authenticate: ?", "Priority: \x01", "X: \u20ac\x7f"]
    sent, request, _ = pass_on(t, "MESSAGE", *fields)
    for name, value in sent.fields:
        if name not in ("Via", "Max-Forwards"):
            expect(value in request.all(name), f"{name} is {request.all(name)}, not {value!r}")


@rule("a limit, with an answer")
def many_fields_pass_or_are_refused(t):
    sender, callee = t.stranger(), t.bound()
    for count in 100, 1000:
        sender.send(sender.request("MESSAGE", callee.aor(), *(f"X-{n}: {n}" for n in range(count))))
        sender.ping()
        callee.ping()
        if any(message.method for message in callee.waiting):
            request = callee.take("MESSAGE", 200)
            expect(request.get(f"X-{count - 1}") == str(count - 1), "some are missing")
        answer = sender.await_message(is_response("MESSAGE"), "answer")
        expect(answer.status == 200 or answer.status in (400, 413, 513, 500),
               f"answered {answer.start}")


@rule("RFC 3261 7.3: no field is too long by itself")
def long_fields_pass(t):
    call_id, subject = unique("c" * 1000), "s" * 8000
    _, request, answer = pass_on(t, "MESSAGE", f"Subject: {subject}", call_id=call_id,
                                 branch=unique("z9hG4bK" + "b" * 500))
    expect(request.get("Subject") == subject, "Subject changed")
    expect(request.get("Call-ID") == answer.get("Call-ID") == call_id, "Call-ID changed")


@rule("RFC 3261 19.1.2, 19.1.4: an escaped name is the same name")
def escaped_name_is_found(t):
    sender, callee = t.stranger(), t.bound()
    sender.send(sender.request("MESSAGE", f"sip:%75{callee.user[1:]}@{t.server.domain}"))
    callee.take("MESSAGE", 200)
    status_is(sender.await_message(is_response("MESSAGE"), "answer"), 200)


@rule("RFC 3261 20.20, 20.39: one without a display name needs no brackets")
def addresses_without_brackets_pass(t):
    caller, callee = t.bound(), t.bound()
    attempt, invite = t.ring(callee, caller=caller, to=callee.aor(),
                             sender=f"{caller.aor()};tag=bare")
    expect(invite.get("From") == f"{caller.aor()};tag=bare" and invite.get("To") == callee.aor(),
           f"From: {invite.get('From')}, To: {invite.get('To')}")
    callee.answer(invite, 200)
    _, dialog = attempt.accepted()
    caller.send(dialog.write("BYE"))
    callee.take("BYE", 200)
    status_is(caller.await_message(is_response("BYE"), "answer to BYE"), 200)


@rule("RFC 3261 8.1.2, 16.4: an outbound proxy that is the server itself")
def route_that_names_the_server_comes_off(t):
    phone, callee = t.phone(), t.bound()
    for host in t.server.domain, t.server.host, f"{t.server.host}:5060":
        route = f"Route: <sip:{host};lr>"
        phone.bind(route)
        attempt, invite = t.ring(callee, route, caller=phone)
        expect(not invite.all("Route"), f"Route: {invite.all('Route')}")
        callee.answer(invite, 486)
        attempt.fails(486)


@rule("RFC 3261 8.1.1.3: a caller without a name, or with a number")
def any_sender_outside_is_a_stranger(t):
    sender, callee = t.stranger(), t.bound()
    for name in ("Anonymous <sip:anonymous@anonymous.invalid>", "<tel:+15551234>",
                 '"\u00dc \\" , <x>" <sips:a%20b:secret@[2001:db8::1]:5061;x=y>'):
        sender.send(sender.request("MESSAGE", callee.aor(), sender=f"{name};tag={unique('t')}"))
        request = callee.take("MESSAGE", 200)
        expect(request.get("From").startswith(name), f"From: {request.get('From')}")
        status_is(sender.await_message(is_response("MESSAGE"), "answer"), 200)


@rule("RFC 3261 16.6 step 2")
def uri_becomes_the_contact(t):
    callee, sender = t.phone(), t.stranger()
    callee.bind(contact=f"<{callee.contact('x-p=1', 'ob')}>")
    sender.send(sender.request("MESSAGE", callee.aor() + ";user=phone"))
    request = callee.take("MESSAGE", 200)
    expect(request.uri == callee.contact("x-p=1", "ob"), f"sent to {request.uri}")
    expect(request.get("To") == f"<{callee.aor()};user=phone>", f"To: {request.get('To')}")


@rule("RFC 3261 16.6 step 8")
def via_is_put_on_top(t):
    sent, request, answer = pass_on(t)
    vias = request.list("Via")
    expect(len(vias) == 2 and vias[0].startswith(f"SIP/2.0/{t.transport.upper()} {t.server.host}"),
           f"Via: {vias}")
    expect(request.branch().startswith("z9hG4bK") and request.branch() != sent.branch(),
           f"branch {request.branch()}")
    expect(len(answer.list("Via")) == 1 and answer.branch() == sent.branch(),
           f"Via in the response: {answer.all('Via')}")


@rule("RFC 3261 7.3.1, 16.7 step 3: Vias in one field are as good as in several")
def vias_of_one_field_are_told_apart(t):
    stranger, callee = t.stranger(), t.bound()
    below = [f"SIP/2.0/UDP 192.0.2.{n};branch={unique('z9hG4bK')};x={n}" for n in (1, 2)]
    stranger.send(stranger.request("MESSAGE", callee.aor(),
                                   via=f"{stranger.via()} , {below[0]},{below[1]}"))
    request = callee.await_request("MESSAGE")
    expect(request.list("Via")[2:] == below, f"Via: {request.all('Via')}")
    text = callee.response(request, 200)
    for value in request.all("Via"):
        text = text.replace(f"Via: {value}\r\n", "")
    callee.send(text.replace("From:", f"Via: {', '.join(request.all('Via'))}\r\nFrom:", 1))
    answer = status_is(stranger.await_message(lambda m: m.status, "answer"), 200)
    expect(answer.list("Via")[1:] == below, f"Via: {answer.all('Via')}")


@rule("RFC 3261 16.5: what is in the domain")
def names_of_the_domain_are_one(t):
    stranger, callee = t.stranger(), t.bound()
    for host in t.server.domain.upper(), f"{t.server.domain}:5060", t.server.host, \
            f"{t.server.host}:5060;transport={t.transport}":
        stranger.send(stranger.request("MESSAGE", f"sip:{callee.user}@{host}"))
        callee.take("MESSAGE", 200)
        status_is(stranger.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 18.2.1, RFC 3581 4")
def source_is_written_into_the_via(t):
    stranger, callee = t.stranger(), t.bound()
    via = f"SIP/2.0/{t.transport.upper()} 192.0.2.77:7777;branch={unique('z9hG4bK')};rport"
    stranger.send(stranger.request("MESSAGE", callee.aor(), via=via))
    request = callee.take("MESSAGE", 200)
    below = request.list("Via")[1]
    source = stranger.host.strip("[]")
    expect(f"received={source}" in below and f"rport={stranger.port}" in below,
           f"Via: {below}")
    status_is(stranger.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 18.2.2: without rport, to the port of sent-by", transports=("udp",))
def response_goes_to_sent_by_without_rport(t):
    sender, callee = t.stranger(), t.bound()
    listener = t.stranger(host=sender.host)
    via = f"SIP/2.0/UDP {sender.host}:{listener.port};branch={unique('z9hG4bK')}"
    sender.send(sender.request("MESSAGE", callee.aor(), via=via))
    callee.take("MESSAGE", 200)
    status_is(listener.await_message(lambda m: m.status, "answer"), 200)
    expect(not sender.waiting, "it went to the source")


@rule("RFC 3581 4", transports=("udp",))
def response_goes_to_the_source_with_rport(t):
    sender, callee = t.stranger(), t.bound()
    via = f"SIP/2.0/UDP 192.0.2.77:7777;branch={unique('z9hG4bK')};rport"
    sender.send(sender.request("MESSAGE", callee.aor(), via=via))
    callee.take("MESSAGE", 200)
    status_is(sender.await_message(lambda m: m.status, "answer"), 200)


@rule("RFC 3261 16.6 step 4")
def record_route_is_written_for_dialogs(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    routes = invite.list("Record-Route")
    expect(len(routes) == 1 and re.search(r";lr(?=[;>=])", routes[0]), f"Record-Route: {routes}")
    callee.answer(invite, 200)
    answer = attempt.final()
    expect(answer.list("Record-Route") == routes, f"Record-Route: {answer.all('Record-Route')}")
    for method in "SUBSCRIBE", "REFER":
        _, request, _ = pass_on(t, method)
        expect(request.all("Record-Route"), f"{method} has no Record-Route")
    _, request, _ = pass_on(t, "MESSAGE")
    expect(not request.all("Record-Route"), "MESSAGE has a Record-Route")


@rule("RFC 3261 16.6 step 4, RFC 5658: both transports", transports=("udp",))
def record_route_is_doubled_between_transports(t):
    caller, callee = t.bound(), t.bound(transport="tcp")
    call = t.call(caller, callee)
    routes = call.invite.list("Record-Route")
    expect(len(routes) == 2, f"Record-Route: {routes}")
    expect("transport=tcp" in routes[0] and "transport=tcp" not in routes[1],
           f"Record-Route: {routes}")
    call.exchange(call.near, callee, "INFO")
    call.exchange(call.far, caller)


@rule("RFC 3261 16.4, 16.6 step 6: loose routing")
def route_of_ours_comes_off_in_a_dialog(t):
    call = t.call()
    for side, other in (call.near, call.callee), (call.far, call.caller):
        request, _ = call.exchange(side, other, "INFO")
        expect(not request.all("Route"), f"Route: {request.all('Route')}")
        expect(request.uri == other.contact(), f"sent to {request.uri}")
    expect(call.ack.uri == call.callee.contact() and not call.ack.all("Route"),
           f"ACK {call.ack.uri}, Route {call.ack.all('Route')}")


@rule("RFC 3261 16.4: a strict router before us")
def strict_routing_is_undone(t):
    call = t.call()
    near = call.near
    first, = near.routes
    text = near.phone.request("INFO", uri_of(first), f"Route: <{near.target}>", to=near.remote,
                              sender=near.local, call_id=near.call_id, cseq=50)
    near.phone.send(text)
    request = call.callee.take("INFO", 200)
    expect(request.uri == near.target and not request.all("Route"),
           f"sent to {request.uri}, Route {request.all('Route')}")
    call.caller.await_message(is_response("INFO", 200), "200")


@rule("RFC 3261 16.6 step 6: a strict router behind us")
def strict_router_becomes_the_request_uri(t):
    call = t.call()
    near = call.near
    first, = near.routes
    strict = f"{call.callee.contact()};strict=1"
    text = near.phone.request("INFO", near.target, f"Route: {first}", f"Route: <{strict}>",
                              to=near.remote, sender=near.local, call_id=near.call_id, cseq=50)
    near.phone.send(text)
    request = call.callee.take("INFO", 200)
    expect(request.uri == strict and request.list("Route") == [f"<{near.target}>"],
           f"sent to {request.uri}, Route {request.all('Route')}")
    call.caller.await_message(is_response("INFO", 200), "200")


@rule("RFC 3261 16.6: what is unknown passes")
def unknown_methods_pass(t):
    _, request, _ = pass_on(t, "FROBNICATE", body="x")
    expect(request.body == "x" and request.cseq()[1] == "FROBNICATE", f"got {request.text!r}")


@rule("RFC 3261 7.1: methods are case-sensitive",
      deviates("invite", "takes it for an INVITE"))
def lower_case_is_another_method(t):
    stranger, callee = t.stranger(), t.bound()
    stranger.send(stranger.request("invite", callee.aor()))
    request = callee.await_message(lambda m: m.method.lower() == "invite", "invite")
    expect(request.method == "invite" and not request.all("Record-Route"), f"got {request.start}")
    callee.answer(request, 200)
    status_is(stranger.await_message(lambda m: m.status >= 200, "answer to invite"), 200)


@rule("RFC 3261 7.3.3, 7.3.1")
def compact_and_odd_fields_pass(t):
    stranger, callee = t.stranger(), t.bound()
    text = "\r\n".join([
        f"MESSAGE {callee.aor()} SIP/2.0", f"v:  {stranger.via()}", "max-forwards:  0068",
        f'f: "Quoted \\"name\\", with <brackets>" <{stranger.aor()}> ;  tag = {stranger.tag}',
        f"TO :\r\n \"x\"\r\n\t<{callee.aor()}>", f"i:{unique('c')}", "cseq:   0008   MESSAGE",
        "k: a, b", "c: text/plain", "l: 4", "", "body"])
    stranger.send(text)
    request = callee.take("MESSAGE", 200)
    expect(request.body == "body" and request.get("Max-Forwards") == "67", f"got {request.text!r}")
    status_is(stranger.await_message(lambda m: m.status, "answer"), 200)


# ---- dialogs that are not there

@rule("RFC 3261 12.2.2: a dialog that nobody knows")
def stray_requests_in_dialogs_are_481_or_404(t):
    stranger, callee = t.stranger(), t.bound()
    for method in "BYE", "INFO", "UPDATE", "NOTIFY", "MESSAGE":
        text = stranger.request(method, callee.aor(), to=f"<{callee.aor()}>;tag=gone")
        status_is(stranger.ask(text), 481, 404)
    callee.has_nothing(lambda m: m.method, "it was passed on", [stranger])


@rule("RFC 3261 17.1.1.3: ACK makes no response")
def stray_ack_is_dropped(t):
    stranger, callee = t.stranger(), t.bound()
    for to in f"<{callee.aor()}>", f"<{callee.aor()}>;tag=gone":
        stranger.send(stranger.request("ACK", callee.aor(), to=to))
    callee.has_nothing(lambda m: m.method, "it was passed on", [stranger])
    expect(not stranger.waiting, "it was answered")
