"""Digest authentication: how the server asks, and what it takes (RFC 3261 22, RFC 7616)."""

import re

from message import Message, expect, unique
from rules import deviates, rule, status_is
from sip import Attempt

OF_THE_DOMAIN = ("INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "NOTIFY", "PUBLISH", "REFER", "INFO",
                 "BYE", "UPDATE", "FROBNICATE")


def try_once(phone, challenge, method="REGISTER", uri=None, request_fields=(), **parts):
    """The answer to a request with these credentials."""
    uri = uri or f"sip:{phone.server.domain}"
    proof = phone.authorization(challenge, method, uri, **parts)
    return phone.ask(phone.request(method, uri, *request_fields, proof, to=f"<{phone.aor()}>"))


def refused(answer, status=401):
    """It is asked for again."""
    status_is(answer, status)
    return answer


# ---- how it asks

@rule("RFC 7616 3.3, RFC 3261 22.2")
def challenge_is_one_by_md5_with_qop(t):
    phone = t.phone()
    for answer in phone.challenge(), phone.challenge("MESSAGE", t.bound().aor()):
        values = answer.all("WWW-Authenticate") + answer.all("Proxy-Authenticate")
        expect(len(values) == 1, f"{len(values)} challenges")
        value = values[0]
        expect(value.startswith("Digest "), f"the challenge is {value}")
        for part in (f'realm="{t.server.domain}"', 'nonce="', 'qop="auth"'):
            expect(part in value, f"no {part} in {value}")
        expect(re.search("algorithm=(?!MD5\\b)", value) is None and "stale=true" not in value,
               f"the challenge is {value}")


@rule("RFC 3261 22.2, 22.3")
def registrar_asks_by_401_and_proxy_by_407(t):
    phone = t.phone()
    status_is(phone.challenge(), 401)
    status_is(phone.challenge("MESSAGE", t.bound().aor()), 407)


def offered(phone, agent=""):
    """The challenge of a REGISTER as long as a phone's, and its algorithms in order."""
    text = phone.request("REGISTER", f"sip:{phone.domain}", f"Contact: <{phone.contact()}>",
                         "Supported: replaces, outbound, gruu, path, record-aware",
                         f"X-As-Long-As-A-Phone: {'x' * 100}", to=f"<{phone.aor()}>")
    answer = phone.ask(text.replace("User-Agent: ", f"User-Agent: {agent}"))
    return answer, re.findall("algorithm=([^,\\s]*)", answer.text)


ONE_ALGORITHM = deviates("offered is []", "has one algorithm for all")


@rule("RFC 8760 2.4: an agent that is known to be able", ONE_ALGORITHM)
def agent_that_knows_sha256_is_offered_it_first(t):
    phone = t.phone()
    answer, algorithms = offered(phone, "Linphone/")
    expect(algorithms == ["SHA-256", "MD5"], f"offered is {algorithms}")
    status_is(try_once(phone, answer, algorithm="SHA-256"), 200)
    second = Message(re.sub("WWW-Authenticate: [^\r]*SHA-256[^\r]*\r\n", "", answer.text))
    status_is(try_once(phone, second), 200)


@rule("RFC 8760 2.4: where it is set", ONE_ALGORITHM, setting="sha256")
def strongest_algorithm_stands_first(t):
    phone = t.phone()
    answer, algorithms = offered(phone)
    expect(algorithms == ["SHA-256", "MD5"], f"offered is {algorithms}")
    refused(try_once(phone, answer, algorithm="SHA-256", password="guessed"))
    answer, _ = offered(phone)
    status_is(try_once(phone, answer, algorithm="SHA-256"), 200)
    refused(try_once(phone, answer, algorithm="SHA-256")) # a count is good once, here too


@rule("every request of the domain's own users outside of dialogs is challenged")
def users_are_challenged_whatever_they_send(t):
    phone, callee = t.bound(), t.bound()
    for method in OF_THE_DOMAIN:
        answer = phone.ask(phone.request(method, callee.aor()))
        expect(answer.status == 407, f"{method} was answered {answer.start}")
        if method == "INVITE":
            phone.acknowledge(answer, callee.aor())
    callee.has_nothing(lambda m: m.method, "it was passed on", [phone])


@rule("every request of the domain's own users outside of dialogs is challenged")
def users_are_challenged_before_they_reach_outside(t):
    phone, outside = t.bound(), t.stranger()
    for method in "INVITE", "MESSAGE", "SUBSCRIBE":
        answer = phone.ask(phone.request(method, f"sip:x@{outside.host}:{outside.port}"))
        expect(answer.status == 407, f"{method} was answered {answer.start}")


@rule("RFC 3261 22.1")
def ack_is_never_challenged(t):
    phone, callee = t.bound(), t.bound()
    phone.send(phone.request("ACK", callee.aor()))
    phone.has_nothing(lambda m: m.status, "ACK was answered")
    callee.has_nothing(lambda m: m.method, "it was passed on")


@rule("RFC 3261 22.1")
def cancel_is_never_challenged(t):
    callee = t.bound()
    attempt, invite = t.ring(callee)
    callee.answer(invite, 180)
    attempt.provisional(180)
    attempt.cancel()
    callee.take("CANCEL", 200)
    callee.answer(invite, 487)
    attempt.fails(487)
    caller = attempt.caller
    answer = caller.ask(caller.request("CANCEL", callee.aor()))
    status_is(answer, 481)


# ---- what it takes

@rule("RFC 3261 22.2")
def right_password_is_taken(t):
    phone = t.phone()
    status_is(try_once(phone, phone.challenge()), 200)


@rule("RFC 3261 22.2")
def wrong_password_is_not_taken(t):
    phone = t.phone()
    challenge = phone.challenge()
    answer = refused(try_once(phone, challenge, password="guessed"))
    status_is(try_once(phone, answer), 200)


@rule("RFC 7616 3.4")
def spaces_and_case_of_the_scheme_do_not_count(t):
    phone = t.phone()
    uri = f"sip:{t.server.domain}"
    proof = phone.authorization(phone.challenge(), "REGISTER", uri)
    proof = proof.replace(": Digest ", ":   dIGEST   ").replace(", ", " , ")
    status_is(phone.ask(phone.request("REGISTER", uri, proof, to=f"<{phone.aor()}>")), 200)


@rule("RFC 3261 25.1: quoted-pair",
      deviates("answered SIP/2.0 401", "does not undo the quoting"))
def quoting_of_the_username_is_undone(t):
    phone = t.phone()
    quoted = "".join(f"\\{letter}" for letter in phone.user)
    status_is(try_once(phone, phone.challenge(), username=quoted, as_user=phone.user), 200)


@rule("RFC 7616 3.4.6",
      deviates("answered SIP/2.0 200", "does not compare the uri with the request's"))
def uri_of_another_request_is_not_taken(t):
    phone = t.phone()
    for uri in f"sip:{phone.user}@{t.server.domain}", "sip:other.test":
        proof = phone.authorization(phone.challenge(), "REGISTER", uri)
        refused(phone.ask(phone.request("REGISTER", f"sip:{t.server.domain}", proof,
                                        to=f"<{phone.aor()}>")))
    phone.bind()


@rule("RFC 7616 3.4.3")
def response_for_another_method_is_not_taken(t):
    phone, callee = t.bound(), t.bound()
    challenge = phone.challenge("MESSAGE", callee.aor())
    proof = phone.authorization(challenge, "OPTIONS", callee.aor())
    refused(phone.ask(phone.request("MESSAGE", callee.aor(), proof)), 407)
    callee.has_nothing(lambda m: m.method, "it was passed on")


@rule("RFC 7616 3.4.2")
def another_realm_is_not_taken(t):
    phone = t.phone()
    refused(try_once(phone, phone.challenge(), realm="other.test"))
    phone.bind()


@rule("RFC 3261 22.3")
def credentials_for_other_realms_may_stand_beside(t):
    phone = t.phone()
    uri = f"sip:{t.server.domain}"
    challenge = phone.challenge()
    fields = [phone.authorization(challenge, "REGISTER", uri, realm=f"{n}.test") for n in range(2)]
    fields.insert(1, phone.authorization(challenge, "REGISTER", uri))
    status_is(phone.ask(phone.request("REGISTER", uri, *fields, to=f"<{phone.aor()}>")), 200)


@rule("RFC 7616 3.4: an algorithm that was not offered",
      deviates("answered SIP/2.0 200", "reads no algorithm but as MD5"))
def another_algorithm_is_not_taken(t):
    phone = t.phone()
    for algorithm in "MD5-sess", "SHA-512-256", "frobnicate":
        answer = try_once(phone, phone.challenge(), algorithm=algorithm)
        expect(400 <= answer.status < 500, f"{algorithm} was answered {answer.start}")
    phone.bind()


@rule("RFC 7616 3.4: cnonce and nc go with qop")
def half_a_qop_is_not_taken(t):
    phone = t.phone()
    for part in "cnonce", "nc":
        answer = try_once(phone, phone.challenge(), **{part: None})
        expect(400 <= answer.status < 500, f"without {part}: answered {answer.start}")
    phone.bind()


@rule("RFC 7616 3.4.5")
def garbage_is_not_taken(t):
    phone = t.phone()
    uri = f"sip:{t.server.domain}"
    for value in ("Digest", "Digest ,,,", 'Digest username="', "Basic dTE6eA==", "Digest a=b",
                  f'Digest username="{phone.user}"', '"', "Bearer x"):
        answer = phone.ask(phone.request("REGISTER", uri, f"Authorization: {value}",
                                         to=f"<{phone.aor()}>"))
        expect(400 <= answer.status < 500, f"{value}: answered {answer.start}")
    phone.bind()


@rule("RFC 3261 22.2: who is authenticated is who it says it is")
def user_does_not_speak_for_another(t):
    phone, other, callee = t.bound(), t.bound(), t.bound()
    uri = callee.aor()
    challenge = phone.challenge("MESSAGE", uri)
    proof = phone.authorization(challenge, "MESSAGE", uri)
    answer = phone.ask(phone.request("MESSAGE", uri, proof,
                                     sender=f"<{other.aor()}>;tag={phone.tag}"))
    status_is(answer, 403)
    callee.has_nothing(lambda m: m.method, "it was passed on")


# ---- nonces

@rule("RFC 7616 3.3: stale",
      deviates("stale", "asks again without saying that the nonce is the reason"))
def nonce_that_is_made_up_is_stale(t):
    phone = t.phone()
    answer = refused(try_once(phone, phone.challenge(), nonce="c29tZW9uZSBlbHNl"))
    expect("stale=true" in answer.get("WWW-Authenticate"), "stale=true is missing")
    status_is(try_once(phone, answer), 200)


@rule("a nonce is bound to the address it was given to",
      deviates("answered SIP/2.0 200", "binds no nonce to an address by default"))
def nonce_of_another_address_is_stale(t):
    phone = t.phone()
    challenge = phone.challenge()
    answer = refused(try_once(t.phone(phone.user), challenge))
    expect("stale=true" in answer.get("WWW-Authenticate"), "stale=true is missing")


@rule("RFC 7616 3.4.5, 5.5")
def replay_is_not_taken(t):
    phone, callee = t.bound(), t.bound()
    uri = callee.aor()
    proof = phone.authorization(phone.challenge("MESSAGE", uri), "MESSAGE", uri)
    phone.send(phone.request("MESSAGE", uri, proof))
    callee.take("MESSAGE", 200)
    phone.await_message(lambda m: m.status == 200, "200 to MESSAGE")
    answer = refused(phone.ask(phone.request("MESSAGE", uri, proof)), 407)
    expect("stale=true" in answer.get("Proxy-Authenticate") or "nonce=" in answer.text,
           "there is no new nonce")
    callee.has_nothing(lambda m: m.method, "the replay was passed on")


@rule("RFC 7616 3.3: nc")
def nonce_is_used_again_with_a_higher_count(t):
    phone = t.phone()
    challenge = phone.challenge()
    for count in 1, 2, 3, 10:
        status_is(try_once(phone, challenge, nc=f"{count:08x}"), 200)


@rule("a nonce's counts may overtake one another on the way",
      deviates("answered SIP/2.0 401", "takes only counts that rise"))
def counts_may_overtake_one_another(t):
    phone = t.phone()
    challenge = phone.challenge()
    for count in 5, 3, 4:
        status_is(try_once(phone, challenge, nc=f"{count:08x}"), 200)
    refused(try_once(phone, challenge, nc="00000003"))


@rule("RFC 3261 17.1.2: a request comes again when its answer is lost",
      deviates("answered SIP/2.0 401", "takes a copy of a REGISTER for a replay"),
      transports=("udp",))
def retransmission_is_answered_alike(t):
    phone = t.phone()
    uri = f"sip:{t.server.domain}"
    text = phone.request("REGISTER", uri, phone.authorization(phone.challenge(), "REGISTER", uri),
                         f"Contact: <{phone.contact()}>", to=f"<{phone.aor()}>")
    for _ in range(3):
        status_is(phone.ask(text), 200)
    expect(len(phone.bindings()) == 1, "it was done twice")


@rule("RFC 2617 3.2.2, RFC 3261 22.4 step 8",
      deviates("answered SIP/2.0 200", "takes a nonce without qop again and again"))
def answer_without_qop_is_taken_once(t):
    phone = t.phone()
    challenge = phone.challenge()
    old = {"qop": None, "nc": None, "cnonce": None}
    status_is(try_once(phone, challenge, **old), 200)
    refused(try_once(phone, challenge, **old))


# ---- unknown users

def without_what_differs(answer, user):
    """An answer as it would be to anyone: names, tags, branches and nonces left out."""
    text = re.sub('nonce="[^"]*"', "nonce", answer.text.replace(user, "USER"))
    return re.sub(r"(?mi)^(v|via|f|from|t|to|i|call-id|cseq|date) *:.*$", r"\1", text)


@rule("who is not there is answered as who is")
def unknown_user_is_answered_as_a_known_one(t):
    known, unknown = t.phone(), t.phone("nobody77")
    unknown.password = known.password
    first = [without_what_differs(one.challenge(), one.user) for one in (known, unknown)]
    expect(first[0] == first[1], f"the challenges differ: {first}")
    second = [without_what_differs(try_once(one, one.challenge(), password="guessed"), one.user)
              for one in (known, unknown)]
    expect(second[0] == second[1], f"the refusals differ: {second}")
    known.bind()


@rule("who is not there is answered as who is")
def unknown_caller_is_answered_as_a_known_one(t):
    known, unknown, callee = t.phone(), t.phone("nobody78"), t.bound()
    answers = []
    for phone in known, unknown:
        challenge = phone.challenge("MESSAGE", callee.aor())
        proof = phone.authorization(challenge, "MESSAGE", callee.aor(), password="guessed")
        answers.append(phone.ask(phone.request("MESSAGE", callee.aor(), proof)))
    texts = [without_what_differs(answer, phone.user)
             for answer, phone in zip(answers, (known, unknown))]
    expect(texts[0] == texts[1], f"the refusals differ: {texts}")


@rule("strangers get one answer for unknown and for unregistered users")
def stranger_learns_nothing_of_users(t):
    stranger, away = t.stranger(), t.phone()
    answers = [stranger.ask(stranger.request("MESSAGE", uri, cseq=3))
               for uri in (away.aor(), f"sip:nobody79@{t.server.domain}")]
    expect(answers[0].start == answers[1].start, f"answered {[one.start for one in answers]}")
    away.bind()
    stranger.send(stranger.request("MESSAGE", away.aor()))
    away.await_request("MESSAGE")


# ---- what goes on

@rule("RFC 3261 22.3")
def credentials_for_this_realm_are_not_passed_on(t):
    caller, callee = t.bound(), t.bound()
    other = caller.authorization(caller.challenge("MESSAGE", callee.aor()), "MESSAGE", callee.aor(),
                               realm="other.test")
    attempt = Attempt(caller, callee.aor(), other)
    invite = callee.take("INVITE", 486)
    attempt.fails(486)
    values = invite.all("Proxy-Authorization")
    expect(len(values) == 1 and 'realm="other.test"' in values[0],
           f"Proxy-Authorization: {values}")


@rule("RFC 3261 22.3")
def one_proof_goes_for_one_call_id_and_the_next(t):
    """A nonce is good for several requests, so that a phone need not be asked each time."""
    caller, callee = t.bound(), t.bound()
    challenge = caller.challenge("MESSAGE", callee.aor())
    for count in 1, 2:
        proof = caller.authorization(challenge, "MESSAGE", callee.aor(), nc=f"{count:08x}")
        caller.send(caller.request("MESSAGE", callee.aor(), proof, call_id=unique("c")))
        callee.take("MESSAGE", 200)
        status_is(caller.await_message(lambda m: m.status, "answer"), 200)
