"""The way back to a phone: Path (RFC 3327), instances and flows (RFC 5626), and the Contacts that
lead to nobody."""

import itertools

from message import expect, parameter, unique, uri_of
from rules import deviates, rule, status_is
from servers import SERVICE_ROUTE
from sip import Attempt

OUTBOUND = "Supported: path, outbound"
_instances = itertools.count(1)


def instance():
    return f"<urn:uuid:00000000-0000-1000-8000-{next(_instances):012x}>"


def flow(phone, urn, reg_id, port=None):
    """A Contact by instance and reg-id."""
    uri = phone.contact() if port is None else f"sip:{phone.user}@{phone.host}:{port}"
    return f'<{uri}>;+sip.instance="{urn}";reg-id={reg_id}'


# ---- Path

@rule("RFC 3327 5.3, 5.4")
def path_is_stored_and_used_as_route(t):
    phone = t.phone()
    hops = [f"<{phone.contact('lr')}>", f"<sip:p2@{phone.host}:40000;lr;x=1>"]
    answer = phone.register(f"Contact: <sip:{phone.user}@{phone.host}:40001>", "Supported: path",
                            *(f"Path: {hop}" for hop in hops))
    status_is(answer, 200)
    expect(answer.list("Path") == hops, f"Path: {answer.all('Path')}")
    stranger = t.stranger()
    stranger.send(stranger.request("MESSAGE", phone.aor()))
    request = phone.take("MESSAGE", 200)
    expect(request.list("Route") == hops, f"Route: {request.all('Route')}")
    expect(request.uri == f"sip:{phone.user}@{phone.host}:40001", f"sent to {request.uri}")


@rule("RFC 3327 5.3",
      deviates("it is bound", "answers 420, and binds it all the same"))
def path_that_the_phone_does_not_know_of_is_refused(t):
    phone = t.phone()
    answer = phone.register(f"Contact: <{phone.contact()}>", f"Path: <sip:{phone.host};lr>")
    status_is(answer, 420)
    expect("path" in answer.list("Unsupported"), f"Unsupported: {answer.get('Unsupported')}")
    expect(not phone.bindings(), "it is bound")


@rule("RFC 3327 5.3")
def path_may_be_required(t):
    phone = t.phone()
    answer = phone.register(f"Contact: <{phone.contact()}>", "Require: path", "Supported: path",
                            f"Path: <sip:p@{phone.host}:{phone.port};lr>")
    status_is(answer, 200)
    expect(len(phone.bindings()) == 1, "it is not bound")


@rule("RFC 3608 5, 6.3", setting="routed")
def service_route_is_told_with_the_bindings(t):
    phone = t.phone()
    expect(not phone.challenge().all("Service-Route"), "it is told to who proved nothing")
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>"), 200)
    expect(answer.list("Service-Route") == [f"<{SERVICE_ROUTE}>"],
           f"Service-Route: {answer.all('Service-Route')}")


# ---- instances and flows

@rule("RFC 5626 6")
def registration_of_a_flow_says_so(t):
    phone = t.phone()
    answer = phone.register(f"Contact: {flow(phone, instance(), 1)}", OUTBOUND)
    status_is(answer, 200)
    expect("outbound" in answer.list("Require"), f"Require: {answer.all('Require')}")


@rule("RFC 5626 6")
def flow_replaces_that_of_its_instance_and_reg_id(t):
    phone, urn = t.phone(), instance()
    status_is(phone.register(f"Contact: {flow(phone, urn, 1, 40001)}", OUTBOUND), 200)
    status_is(phone.register(f"Contact: {flow(phone, urn, 1)}", OUTBOUND,
                             call_id=unique("r")), 200)
    expect(phone.bound_uris() == {phone.contact()}, f"bound are {phone.bound_uris()}")


@rule("RFC 5626 6")
def flows_of_other_ids_stand_side_by_side(t):
    phone, urn = t.phone(), instance()
    for number, of in enumerate([(urn, 1), (urn, 2), (instance(), 1)]):
        status_is(phone.register(f"Contact: {flow(phone, *of, 40001 + number)}", OUTBOUND,
                                 call_id=unique("r")), 200)
    expect(len(phone.bindings()) == 3, f"bound are {phone.bindings()}")
    for value in phone.bindings():
        expect(parameter(value, "reg-id") and parameter(value, "+sip.instance"),
               f"listed as {value}")


@rule("RFC 5626 4.2.1, 6",
      deviates("bound are", "takes instance and reg-id for a flow without Supported"))
def flow_without_outbound_is_a_plain_contact(t):
    phone, urn = t.phone(), instance()
    for number in range(2):
        answer = phone.register(f"Contact: {flow(phone, urn, 1, 40001 + number)}",
                                call_id=unique("r"))
        status_is(answer, 200)
        expect("outbound" not in answer.list("Require"), "it counts as a flow")
    expect(len(phone.bindings()) == 2, f"bound are {phone.bindings()}")


@rule("RFC 5626 6", deviates("answered SIP/2.0 200", "binds the flows of one request, all of them"))
def several_flows_in_one_request_are_refused(t):
    phone, urn = t.phone(), instance()
    answer = phone.register(f"Contact: {flow(phone, urn, 1)}, {flow(phone, urn, 2, 40001)}",
                            OUTBOUND)
    status_is(answer, 400)
    expect(not phone.bindings(), "one is bound")


@rule("RFC 5626 6")
def first_hop_without_flows_is_refused(t):
    phone = t.phone()
    answer = phone.register(
        f"Contact: {flow(phone, instance(), 1)}", OUTBOUND,
        f"Via: SIP/2.0/UDP {phone.host}:9;branch={unique('z9hG4bK')}",
        f"Path: <sip:edge@{phone.host}:{phone.port};lr>")
    status_is(answer, 439)
    expect(not phone.bindings(), "it is bound")


@rule("RFC 5626 6")
def first_hop_that_keeps_flows_is_fine(t):
    phone = t.phone()
    answer = phone.register(
        f"Contact: {flow(phone, instance(), 1)}", OUTBOUND,
        f"Via: SIP/2.0/UDP {phone.host}:9;branch={unique('z9hG4bK')}",
        f"Path: <sip:edge@{phone.host}:{phone.port};lr;ob>")
    status_is(answer, 200)
    expect(len(phone.bindings()) == 1, "it is not bound")


@rule("RFC 5626 7")
def newest_flow_of_an_instance_rings_alone(t):
    old, urn = t.phone(), instance()
    status_is(old.register(f"Contact: {flow(old, urn, 1)}", OUTBOUND, "Expires: 600"), 200)
    new = t.phone(old.user)
    status_is(new.register(f"Contact: {flow(new, urn, 2)}", OUTBOUND, "Expires: 900"), 200)
    caller = t.bound()
    attempt = Attempt(caller, old.aor())
    new.take("INVITE", 486)
    attempt.fails(486)
    old.has_nothing(lambda m: m.method == "INVITE", "the old flow rang")


def two_flows(t, **more):
    """Two phones that are flows of one: the second is the newer, by which it is asked first."""
    first, urn = t.phone(**more), instance()
    status_is(first.register(f"Contact: {flow(first, urn, 1)}", OUTBOUND, "Expires: 600"), 200)
    second = t.phone(first.user, **more)
    status_is(second.register(f"Contact: {flow(second, urn, 2)}", OUTBOUND, "Expires: 900"), 200)
    return first, second


NEXT_FLOW_SCRIPTED = "tries another flow where a script says so"


@rule("RFC 5626 7, 11.5", deviates("got no INVITE", NEXT_FLOW_SCRIPTED))
def failed_flow_is_passed_over_for_the_next(t):
    first, second = two_flows(t)
    attempt = Attempt(t.bound(), first.aor())
    second.take("INVITE", 430)
    first.take("INVITE", 486)
    attempt.fails(486)


@rule("RFC 5626 11.5", deviates("answered SIP/2.0 430", "hands 430 on to the caller"))
def failed_flow_is_no_answer_for_the_caller(t):
    phone = t.phone()
    status_is(phone.register(f"Contact: {flow(phone, instance(), 1)}", OUTBOUND), 200)
    attempt = Attempt(t.bound(), phone.aor())
    phone.take("INVITE", 430)
    attempt.fails(480)


@rule("RFC 5626 7", deviates("got no INVITE", NEXT_FLOW_SCRIPTED), transports=("tcp",))
def next_flow_is_used_when_the_stream_of_the_first_has_ended(t):
    first, second = two_flows(t)
    second.close()
    attempt = Attempt(t.bound(), first.aor())
    first.take("INVITE", 486)
    attempt.fails(486)


@rule("RFC 5626 4.4.1, 5.4", deviates("Flow-Timer: []", "asks for none unless it is set"),
      transports=("tcp",))
def flow_by_a_stream_is_told_how_often_to_show_life(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: {flow(phone, instance(), 1)}", OUTBOUND), 200)
    expect(answer.all("Flow-Timer") and int(answer.get("Flow-Timer")) > 0,
           f"Flow-Timer: {answer.all('Flow-Timer')}")


# ---- GRUUs

KNOWS_GRUU = "Supported: gruu"
NO_GRUU = "is set to make none, for its own forms of them need scripts"


def with_instance(phone, urn):
    return f'<{phone.contact()}>;+sip.instance="{urn}"'


def gruus(answer, uri):
    """The public and the temporary GRUU of the Contact with this URI."""
    value = next(value for value in answer.list("Contact") if uri_of(value) == uri)
    return [(parameter(value, kind) or "").strip('"') for kind in ("pub-gruu", "temp-gruu")]


def registered_with_gruus(t, user=None):
    phone = t.phone(user)
    answer = phone.register(f"Contact: {with_instance(phone, instance())}", KNOWS_GRUU)
    return phone, gruus(status_is(answer, 200), phone.contact())


@rule("RFC 5627 5.3", deviates("the public one is", NO_GRUU))
def phone_that_knows_gruus_is_told_them(t):
    phone, (public, temporary) = registered_with_gruus(t)
    expect(public.startswith(f"{phone.aor()};gr="), f"the public one is {public!r}")
    expect(temporary.endswith(f"@{t.server.domain};gr") and phone.user not in temporary,
           f"the temporary one is {temporary!r}")


@rule("RFC 5627 5.3")
def phone_that_does_not_know_gruus_is_told_none(t):
    phone = t.phone()
    answer = phone.register(f"Contact: {with_instance(phone, instance())}")
    expect("gruu" not in status_is(answer, 200).get("Contact"), answer.get("Contact"))


@rule("RFC 5627 3.2, 6.1", deviates("the public one is", NO_GRUU))
def gruu_reaches_its_phone_alone(t):
    phone, (public, temporary) = registered_with_gruus(t)
    expect(public, f"the public one is {public!r}")
    other, _ = registered_with_gruus(t, phone.user)
    caller = t.bound()
    for uri in public, temporary:
        attempt = Attempt(caller, uri)
        invite = phone.take("INVITE", 486)
        expect(invite.uri == phone.contact(), f"the Request-URI is {invite.uri}")
        attempt.fails(486)
    other.has_nothing(lambda m: m.method == "INVITE", "the other phone rang")


@rule("RFC 5627 5.3, 6.1", deviates("the public one is", NO_GRUU))
def temporary_gruu_is_void_after_another_call_id(t):
    phone, (public, old) = registered_with_gruus(t)
    expect(public, f"the public one is {public!r}")
    value = f"Contact: <{phone.contact()}>;+sip.instance=" + public.split("gr=")[1].join(
        ['"<', '>"'])
    new = gruus(phone.register(value, KNOWS_GRUU, call_id=unique("r")), phone.contact())[1]
    caller = t.bound()
    attempt = Attempt(caller, new)
    phone.take("INVITE", 486)
    attempt.fails(486)
    Attempt(caller, old).fails(404)


@rule("RFC 5627 6.1", deviates("the public one is", NO_GRUU))
def gruu_of_a_phone_that_is_away_is_480(t):
    phone, (public, temporary) = registered_with_gruus(t)
    expect(public, f"the public one is {public!r}")
    phone.register("Contact: *", "Expires: 0")
    caller = t.bound()
    Attempt(caller, public).fails(480)
    Attempt(caller, temporary).fails(404)


@rule("RFC 5627 6.1", deviates("the public one is", NO_GRUU))
def requests_in_a_dialog_to_a_gruu_reach_its_phone(t):
    phone, (public, _) = registered_with_gruus(t)
    expect(public, f"the public one is {public!r}")
    registered_with_gruus(t, phone.user)
    caller = t.bound()
    attempt = Attempt(caller, public)
    phone.take("INVITE", 200, f"Contact: <{public}>")
    _, dialog = attempt.accepted()
    phone.await_request("ACK")
    caller.send(dialog.write("BYE"))
    bye = phone.take("BYE", 200)
    expect(bye.uri == phone.contact(), f"the Request-URI is {bye.uri}")


@rule("RFC 5626 5.3",
      deviates("got no MESSAGE", "sends to the Contact: flows need a module of another package"))
def requests_come_by_the_flow_of_the_registration(t):
    phone = t.phone()
    status_is(phone.register(f"Contact: {flow(phone, instance(), 1, 9)}", OUTBOUND), 200)
    stranger = t.stranger()
    stranger.send(stranger.request("MESSAGE", phone.aor()))
    phone.take("MESSAGE", 200)
    status_is(stranger.await_message(lambda m: m.status, "answer"), 200)


@rule("signalling through NAT: the way a phone registered by is the way to it",
      deviates("got no MESSAGE", "sends to the Contact unless scripted for NAT"))
def phone_behind_nat_is_reached_where_it_registered_from(t):
    phone, stranger = t.phone(), t.stranger()
    suffix = ";transport=tcp" if t.transport == "tcp" else ""
    phone.bind(contact=f"<sip:{phone.user}@192.0.2.77:7777{suffix}>")
    stranger.send(stranger.request("MESSAGE", phone.aor()))
    request = phone.take("MESSAGE", 200)
    expect(request.uri == f"sip:{phone.user}@192.0.2.77:7777{suffix}", f"sent to {request.uri}")
    status_is(stranger.await_message(lambda m: m.status, "answer"), 200)


# ---- Contacts where nobody is: no rule of the RFCs, but what a registrar must not be used for

NOT_SCRIPTED = deviates("answered SIP/2.0 200", "leaves it to scripts where Contacts lead")


def refused(t, *uris):
    phone = t.phone()
    for uri in uris:
        answer = phone.register(f"Contact: <{uri}>")
        status_is(answer, 403)
    expect(not phone.bindings(), f"bound are {phone.bindings()}")


@rule("no loops by registration", NOT_SCRIPTED)
def contact_that_is_the_server_is_refused(t):
    host = t.server.host
    refused(t, f"sip:x@{host}", f"sip:x@{host}:5060", f"sip:x@{t.server.domain}",
            f"sip:{host};transport=tcp", f"sip:x@{t.server.domain.upper()}.")


@rule("no loops by registration", NOT_SCRIPTED)
def contact_on_the_loopback_from_outside_is_refused(t):
    refused(t, "sip:x@127.0.0.1:5070", "sip:x@127.255.0.9", "sip:x@localhost:5070",
            "sip:x@[::1]:5070", "sip:x@[::ffff:127.0.0.1]:5070")


@rule("a phone on the server's own machine is a phone")
def contact_on_the_loopback_from_inside_is_bound(t):
    phone = t.bound(host="127.0.0.9" if t.server.family == 4 else "[::1]")
    stranger = t.stranger()
    stranger.send(stranger.request("MESSAGE", phone.aor()))
    phone.take("MESSAGE", 200)
    status_is(stranger.await_message(lambda m: m.status, "answer"), 200)


@rule("no reflection by registration", NOT_SCRIPTED)
def contact_that_is_many_or_none_is_refused(t):
    refused(t, "sip:x@224.0.1.75", "sip:x@255.255.255.255", "sip:x@0.0.0.0", "sip:x@[ff02::1]",
            "sip:x@[::]")


@rule("no loops by registration", NOT_SCRIPTED)
def contact_with_such_an_maddr_is_refused(t):
    phone = t.phone()
    refused(t, *(f"sip:x@{phone.host};maddr={maddr}"
                 for maddr in ("127.0.0.1", "224.0.1.75", t.server.host)))


@rule("RFC 3261 10.2.1")
def contact_of_another_host_is_bound(t):
    phone = t.phone()
    status_is(phone.register(f"Contact: <sip:x@{t.server.next_host()}:5070>"), 200)
    expect(len(phone.bindings()) == 1, "it is not bound")


@rule("RFC 3261 10.2.1, 8.1.1.8",
      deviates("answered SIP/2.0 200", "binds any scheme"))
def contact_of_another_scheme_is_refused(t):
    phone = t.phone()
    for uri in "tel:+15551234", "mailto:x@other.test", "http://other.test/":
        answer = phone.register(f"Contact: <{uri}>")
        expect(400 <= answer.status < 500, f"answered {answer.start}")
    expect(not phone.bindings(), f"bound are {[uri_of(one) for one in phone.bindings()]}")
