"""The registrar: what a REGISTER does to the bindings (RFC 3261 10.3)."""

import re
import time

from message import expect, parameter, unique, uri_of
from rules import deviates, rule, status_is


def seconds_left(answer, uri):
    """What the answer grants this Contact."""
    for value in answer.list("Contact"):
        if uri_of(value) == uri:
            return int(parameter(value, "expires"))
    expect(False, f"{uri} is not listed: {answer.list('Contact')}")
    return 0


def others(phone, count):
    """Contacts of further phones, at the same host."""
    return [f"sip:{phone.user}@{phone.host}:{20000 + n}" for n in range(count)]


def keeps(phone, *uris):
    bound = phone.bound_uris()
    expect(bound == set(uris), f"the bindings are {bound}, not {set(uris)}")


# ---- steps 3 to 5: who may register what

@rule("RFC 3261 10.3 step 1")
def another_domain_is_not_registered(t):
    phone = t.phone()
    answer = phone.register(f"Contact: <{phone.contact()}>", uri="sip:other.test")
    if answer.status == 407:
        answer = phone.prove("REGISTER", "sip:other.test", f"Contact: <{phone.contact()}>",
                             to=f"<{phone.aor()}>")
    expect(answer.status >= 400, f"answered {answer.start}")
    keeps(phone)


@rule("RFC 3261 10.3 step 2")
def unknown_requirement_is_refused(t):
    phone = t.phone()
    answer = phone.register(f"Contact: <{phone.contact()}>", "Require: teleport")
    status_is(answer, 420)
    expect(answer.list("Unsupported") == ["teleport"], f"Unsupported: {answer.get('Unsupported')}")
    keeps(phone)


@rule("RFC 3261 10.3 step 4")
def address_of_another_user_is_refused(t):
    phone, other = t.phone(), t.bound()
    answer = phone.register(f"Contact: <{phone.contact()}>", to=f"<{other.aor()}>")
    status_is(answer, 403)
    keeps(other, other.contact())


@rule("RFC 3261 10.3 step 4")
def nobody_removes_what_another_user_bound(t):
    phone, other = t.phone(), t.bound()
    status_is(phone.register("Contact: *", "Expires: 0", to=f"<{other.aor()}>"), 403)
    keeps(other, other.contact())


@rule("RFC 3261 10.3 step 5")
def foreign_address_of_record_is_refused(t):
    phone = t.phone()
    answer = phone.register(f"Contact: <{phone.contact()}>", to=f"<sip:{phone.user}@other.test>")
    status_is(answer, 403, 404)
    keeps(phone)


@rule("RFC 3261 10.3 step 5")
def escapes_and_parameters_of_the_address_do_not_count(t):
    phone = t.phone()
    escaped = f"<sip:%{ord(phone.user[0]):02x}{phone.user[1:]}@{phone.domain};user=phone>"
    status_is(phone.register(f"Contact: <{phone.contact()}>", to=escaped), 200)
    keeps(phone, phone.contact())


@rule("RFC 3261 20.39")
def address_may_stand_without_brackets(t):
    phone = t.phone()
    status_is(phone.register(f"Contact: {phone.contact()}", to=phone.aor()), 200)
    expect(len(phone.bindings()) == 1, "there is not one binding")


# ---- step 6: all at once

@rule("RFC 3261 10.2.2")
def star_removes_all(t):
    phone = t.phone()
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>, <{two}>"), 200)
    keeps(phone, one, two)
    answer = status_is(phone.register("Contact: *", "Expires: 0"), 200)
    expect(not answer.all("Contact"), f"the answer lists {answer.all('Contact')}")
    keeps(phone)


@rule("RFC 3261 10.3 step 6")
def star_without_expires_is_refused(t):
    phone = t.bound()
    status_is(phone.register("Contact: *"), 400)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 6")
def star_with_an_expires_but_0_is_refused(t):
    phone = t.bound()
    status_is(phone.register("Contact: *", "Expires: 60"), 400)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 6")
def star_beside_another_contact_is_refused(t):
    phone = t.bound()
    status_is(phone.register(f"Contact: <{phone.contact()}>", "Contact: *", "Expires: 0"), 400)
    status_is(phone.register("Contact: *", f"Contact: <{phone.contact()}>", "Expires: 0"), 400)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 6",
      deviates("answered SIP/2.0 200", "looks at no order for a *"))
def star_that_comes_late_is_refused(t):
    phone = t.phone()
    call_id = unique("order")
    contact = f"Contact: <{phone.contact()}>"
    status_is(phone.register(contact, call_id=call_id, cseq=20), 200)
    answer = phone.register("Contact: *", "Expires: 0", call_id=call_id, cseq=10)
    status_is(answer, 400, 500)
    keeps(phone, phone.contact())


# ---- step 7: one after another

@rule("RFC 3261 10.3 step 7")
def binds_and_lists(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>;expires=300"), 200)
    expect(250 < seconds_left(answer, phone.contact()) <= 300, f"granted {answer.all('Contact')}")
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 6")
def query_changes_nothing(t):
    phone = t.bound()
    status_is(phone.register("Expires: 0"), 200)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.2.2")
def expires_0_removes_one(t):
    phone = t.phone()
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>, <{two}>"), 200)
    answer = status_is(phone.register(f"Contact: <{one}>;expires=0"), 200)
    expect([uri_of(value) for value in answer.list("Contact")] == [two], "the answer lists it")
    keeps(phone, two)


@rule("RFC 3261 10.2.2")
def removal_of_what_is_not_bound_is_fine(t):
    phone = t.bound()
    one, = others(phone, 1)
    status_is(phone.register(f"Contact: <{one}>;expires=0"), 200)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.2.1")
def several_contacts_in_one_field_are_bound(t):
    phone = t.phone()
    uris = others(phone, 3)
    status_is(phone.register("Contact: " + ", ".join(f'"a, b" <{uri}>' for uri in uris)), 200)
    keeps(phone, *uris)


@rule("RFC 3261 20.10, 25.1")
def parameters_of_a_contact_may_be_quoted(t):
    phone = t.phone()
    one, two = others(phone, 2)
    odd = f'"Q. \\"X\\", <sip:no@body>" <{one}>;+sip.x="a, b;c";expires=100;q=0.3;x'
    answer = status_is(phone.register(f"Contact: {odd} ,<{two}> ; q = 0.2"), 200)
    expect(seconds_left(answer, one) <= 100 < seconds_left(answer, two),
           f"granted {answer.all('Contact')}")
    kept = {uri_of(value): float(parameter(value, "q")) for value in phone.bindings()}
    expect(kept == {one: 0.3, two: 0.2}, f"kept {kept}")


@rule("RFC 3261 10.2.1")
def several_contact_fields_are_bound(t):
    phone = t.phone()
    uris = others(phone, 3)
    status_is(phone.register(f"Contact: <{uris[0]}>", f"m: <{uris[1]}>", f"CONTACT : <{uris[2]}>"),
              200)
    keeps(phone, *uris)


@rule("RFC 3261 10.3 step 7")
def expires_parameter_counts_more_than_the_field(t):
    phone = t.phone()
    one, two = others(phone, 2)
    answer = phone.register(f"Contact: <{one}>;expires=120, <{two}>", "Expires: 600")
    status_is(answer, 200)
    expect(seconds_left(answer, one) <= 120, f"the parameter: {answer.all('Contact')}")
    expect(120 < seconds_left(answer, two) <= 600, f"the field: {answer.all('Contact')}")


@rule("RFC 3261 20.10")
def parameters_outside_of_brackets_are_of_the_field(t):
    phone = t.phone()
    one, = others(phone, 1)
    answer = status_is(phone.register(f"Contact: {one};expires=120"), 200)
    expect(seconds_left(answer, one) <= 120, f"granted {answer.all('Contact')}")


@rule("RFC 3261 10.3 step 7")
def without_expires_the_registrar_chooses(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>"), 200)
    expect(seconds_left(answer, phone.contact()) > 59, f"granted {answer.all('Contact')}")


@rule("RFC 3261 20.10, 20.19")
def malformed_expires_means_an_hour(t):
    phone = t.phone()
    one, two = others(phone, 2)
    answer = status_is(phone.register(f"Contact: <{one}>;expires=soon, <{two}>", "Expires: later"),
                       200)
    for uri in one, two:
        expect(3590 < seconds_left(answer, uri) <= 3600, f"granted {answer.all('Contact')}")


@rule("RFC 3261 10.3 step 7",
      deviates("answered SIP/2.0 200", "grants its shortest interval, where 10.3 has 423"))
def too_brief_interval_is_refused_with_the_shortest(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>;expires=1"), 423)
    shortest = int(answer.get("Min-Expires"))
    keeps(phone)
    status_is(phone.register(f"Contact: <{phone.contact()}>;expires={shortest}"), 200)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 7")
def long_interval_is_cut(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>;expires=4294967295"), 200)
    expect(60 <= seconds_left(answer, phone.contact()) <= 86400,
           f"granted {answer.all('Contact')}")


@rule("RFC 3261 10.3 step 7")
def lower_cseq_of_the_call_id_is_refused(t):
    phone = t.phone()
    call_id = unique("order")
    contact = f"Contact: <{phone.contact()}>"
    status_is(phone.register(contact, call_id=call_id, cseq=20), 200)
    status_is(phone.register(f"{contact};expires=0", call_id=call_id, cseq=19), 400, 500)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 7",
      deviates("answered SIP/2.0 200", "takes an equal CSeq for a copy, whatever it asks"))
def equal_cseq_with_another_wish_is_refused(t):
    phone = t.phone()
    call_id = unique("order")
    contact = f"Contact: <{phone.contact()}>"
    status_is(phone.register(contact, call_id=call_id, cseq=20), 200)
    status_is(phone.register(f"{contact};expires=0", call_id=call_id, cseq=20), 400, 500)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 7")
def equal_cseq_with_the_same_binding_is_fine(t):
    phone = t.phone()
    call_id = unique("order")
    contact = f"Contact: <{phone.contact()}>"
    for _ in range(2):
        status_is(phone.register(contact, call_id=call_id, cseq=20), 200)
    keeps(phone, phone.contact())


@rule("RFC 3261 10.3 step 7")
def another_call_id_starts_its_own_order(t):
    phone = t.phone()
    contact = f"Contact: <{phone.contact()}>"
    status_is(phone.register(contact, call_id=unique("order"), cseq=1000), 200)
    keeps(phone, phone.contact())
    status_is(phone.register(f"{contact};expires=0", call_id=unique("order"), cseq=5), 200)
    keeps(phone)


@rule("RFC 3261 10.3 step 7")
def order_is_kept_for_each_binding(t):
    phone = t.phone()
    call_id = unique("order")
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>", call_id=call_id, cseq=20), 200)
    status_is(phone.register(f"Contact: <{two}>", call_id=unique("order"), cseq=5), 200)
    status_is(phone.register(f"Contact: <{two}>;expires=0", call_id=call_id, cseq=10), 200)
    keeps(phone, one)


@rule("RFC 3261 10.3 step 7")
def one_late_contact_spoils_the_request(t):
    phone = t.phone()
    call_id = unique("order")
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>", call_id=call_id, cseq=20), 200)
    answer = phone.register(f"Contact: <{two}>, <{one}>", call_id=call_id, cseq=10)
    status_is(answer, 400, 500)
    keeps(phone, one)


@rule("RFC 3261 10.3 step 7",
      deviates("answered SIP/2.0 200", "grants its shortest interval, where 10.3 has 423"))
def one_brief_contact_spoils_the_request(t):
    phone = t.phone()
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>;expires=600, <{two}>;expires=1"), 423)
    keeps(phone)


@rule("RFC 3261 10.3 step 7",
      deviates("answered SIP/2.0 200", "takes a Contact for good whose URI it cannot parse"))
def one_broken_contact_spoils_the_request(t):
    phone = t.phone()
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>, <sip:@:x>, <{two}>"), 400)
    keeps(phone)


@rule("RFC 3261 10.3 step 7, 19.1.4",
      deviates("they are two bindings", "compares Contacts as text"))
def same_uri_written_otherwise_is_the_same_binding(t):
    phone = t.phone()
    at = f"{phone.host}:{phone.port}"
    status_is(phone.register(f"Contact: <sip:{phone.user}@{at};x-a=1;transport={t.transport}>"),
              200)
    name = f"%{ord(phone.user[0]):02X}{phone.user[1:]}"
    status_is(phone.register(
        f"Contact: <SIP:{name}@{at};TRANSPORT={t.transport.upper()};x-a=1>"), 200)
    expect(len(phone.bindings()) == 1, "they are two bindings")


@rule("RFC 3261 10.3 step 7, 19.1.4")
def uris_that_differ_are_two_bindings(t):
    phone = t.phone()
    at = f"{phone.host}:{phone.port}"
    uris = [f"sip:{phone.user}@{at}", f"sip:{phone.user.upper()}@{at}",
            f"sip:{phone.user}@{phone.host}", f"sip:{phone.user}@{phone.host}:5060"]
    status_is(phone.register("Contact: " + ", ".join(f"<{uri}>" for uri in uris)), 200)
    keeps(phone, *uris)


@rule("RFC 3261 10.3 step 7")
def refresh_lengthens_the_binding(t):
    phone = t.phone()
    status_is(phone.register(f"Contact: <{phone.contact()}>;expires=60"), 200)
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>;expires=600"), 200)
    expect(seconds_left(answer, phone.contact()) > 500, f"granted {answer.all('Contact')}")
    expect(len(phone.bindings()) == 1, "they are two bindings")


@rule("RFC 3261 10.3 step 8")
def q_is_kept(t):
    phone = t.phone()
    one, two = others(phone, 2)
    status_is(phone.register(f"Contact: <{one}>;q=0.5, <{two}>;q=0.25"), 200)
    kept = {uri_of(value): float(parameter(value, "q") or 1) for value in phone.bindings()}
    expect(kept == {one: 0.5, two: 0.25}, f"kept {kept}")


@rule("RFC 3261 20.10, 25.1: qvalue", deviates("answered SIP/2.0 200", "reads it as what it can"))
def q_that_is_none_is_refused(t):
    phone = t.phone()
    for q in "2", "-1", "high", "0.12345":
        status_is(phone.register(f"Contact: <{phone.contact()}>;q={q}"), 400)
    keeps(phone)


@rule("RFC 3261 10.3 step 8, 20.17",
      deviates("Date", "sends no Date, which is a SHOULD"))
def answer_has_the_date(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>"), 200)
    expect(re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d "
                        r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
                        r"\d\d:\d\d:\d\d GMT", answer.get("Date")), f"Date: {answer.get('Date')!r}")


@rule("RFC 3261 10.3")
def answer_has_no_route(t):
    phone = t.phone()
    answer = status_is(phone.register(f"Contact: <{phone.contact()}>"), 200)
    expect(not answer.all("Record-Route"), f"Record-Route: {answer.get('Record-Route')}")


@rule("a limit for each address of record: at least as many as a person's phones")
def contacts_of_one_user_are_limited(t):
    phone = t.phone()
    uris = others(phone, 100)
    for some in uris[:5], uris[5:10]:
        status_is(phone.register("Contact: " + ", ".join(f"<{uri}>" for uri in some)), 200)
    answer = phone.register("Contact: " + ", ".join(f"<{uri}>" for uri in uris[10:]))
    expect(answer.status >= 400, f"answered {answer.start}")
    keeps(phone, *uris[:10])
    for uri in uris[10:]:
        answer = phone.register(f"Contact: <{uri}>")
        if answer.status != 200:
            break
    expect(answer.status >= 400, f"answered {answer.start}")
    status_is(phone.register(f"Contact: <{uris[0]}>"), 200)


def registers(phone, *lines):
    """A REGISTER with these lines for Via, To, Call-ID, CSeq and Contact."""
    uri = f"sip:{phone.domain}"
    proof = phone.authorization(phone.challenge(), "REGISTER", uri)
    phone.send("\r\n".join([f"REGISTER {uri} SIP/2.0", *lines, proof, "", ""]))
    status_is(phone.await_message(lambda m: m.status, "answer"), 200)
    keeps(phone, phone.contact())


@rule("RFC 3261 7.3.3")
def compact_names_are_read(t):
    phone = t.phone()
    registers(phone, f"v: {phone.via()}", f"f: {phone.sender()}", f"t: <{phone.aor()}>",
              f"i: {unique('c')}", "CSeq: 7 REGISTER", "Max-Forwards: 70",
              f"m: <{phone.contact()}>", "l: 0")


@rule("RFC 3261 7.3.1",
      deviates("got no answer", "cannot read a folded CSeq", ("udp",)),
      deviates("closed the connection", "cannot read a folded CSeq", ("tcp",)))
def folded_fields_are_read(t):
    phone = t.phone()
    registers(phone, f"VIA :\r\n {phone.via()}", f"from:{phone.sender()}",
              f"To:\r\n\t<{phone.aor()}>", f"call-id:   {unique('c')}",
              "cseq:  0007\r\n  REGISTER", "MAX-FORWARDS: 70",
              f"Contact: <{phone.contact()}>\r\n ;expires=100", "Content-Length : 0")


@rule("RFC 3261 10.3", is_long=True)
def binding_ends_in_time(t):
    phone, other = t.bound(None, "Expires: 60"), t.bound()
    began = time.monotonic()
    while phone.bindings():
        expect(time.monotonic() < began + 80, "it does not end")
        phone.receive(2)
    expect(time.monotonic() > began + 55, f"it ended after {time.monotonic() - began:.0f} s")
    status_is(other.prove("OPTIONS", phone.aor()), 404, 480)
