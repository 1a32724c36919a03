#!/usr/bin/env python3
"""The running sipw and its configuration: what each key does, and what a reload changes.

Prints `ok NAME` or `not ok NAME: why` for each check, as server_test.py does, whose phones it uses.
"""

import os
import signal
import sys
import threading

import server_test
from server_test import Failure, Phone, expect, server

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def config(provision="", registry="", stack="", more=""):
    """A configuration with alice (201) and bob (202), and these."""
    return f"""<?xml version="1.0"?>
<sipwitch>
  <registry><realm>lab.test</realm><prefix>200</prefix><range>100</range>{registry}</registry>
  <stack>{stack}</stack>
  <provision>
    <user id="alice" secret="alices secret" extension="201"/>
    <user id="bob" secret="bobs secret" extension="202"/>
    {provision}
  </provision>
  {more}
</sipwitch>
"""


def write(one, text):
    with open(one.config, "w", encoding="utf-8") as file:
        file.write(text)


def reload(one, text, awaited="the new configuration is in force"):
    write(one, text)
    one.process.send_signal(signal.SIGHUP)
    one.await_line(awaited)


def is_registered(phone):
    return phone.register().startswith("SIP/2.0 200 ")


# ---- reload

@check
def reload_changes_a_password():
    with server(config()) as one:
        one.start()
        phone = Phone(one.port).bind()
        reload(one, config().replace("alices secret", "new secret"))
        expect(not is_registered(phone), "the old password still counts")
        phone.password = "new secret"
        expect(phone.bindings() == [phone.contact()], "the binding is gone")


@check
def reload_removes_and_adds_users():
    with server(config()) as one:
        one.start()
        bob = Phone(one.port, "bob", "bobs secret").bind()
        alice = Phone(one.port).bind()
        reload(one, config('<user id="carol" secret="c"/>').replace('id="bob"', 'id="bert"'))
        expect(not is_registered(bob), "a user who was removed registers")
        expect(is_registered(Phone(one.port, "carol", "c")), "a new user cannot register")
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        reload(one, config())
        expect(bob.bindings() == [], "bob is back, and the binding of his former life, too")


@check
def reload_survives_a_restart():
    with server(config()) as one:
        one.start()
        alice, bob = Phone(one.port).bind(), Phone(one.port, "bob", "bobs secret").bind()
        reload(one, config().replace('id="bob"', 'id="bert"'))
        expect(not is_registered(bob), "a user who was removed registers")
        one.end(signal.SIGKILL)
        write(one, config())
        one.start()
        expect(alice.bindings() == [alice.contact()], "alice's binding is gone")
        expect(bob.bindings() == [], "bob's binding has come back")


@check
def reload_of_a_bad_file_changes_nothing():
    with server(config()) as one:
        one.start()
        phone = Phone(one.port).bind()
        write(one, "<sipwitch>\n<stack>\n</sipwitch>")
        one.process.send_signal(signal.SIGHUP)
        one.await_line(f"{one.config}:3:")
        one.await_line("the old configuration stays")
        expect(phone.bindings() == [phone.contact()], "the binding is gone")
        os.remove(one.config)
        one.process.send_signal(signal.SIGHUP)
        one.await_line("cannot be read")
        expect(is_registered(phone), "alice cannot register any more")


@check
def reload_says_what_needs_a_restart():
    with server(config()) as one:
        one.start()
        write(one, config(stack="<port>5099</port>"))
        one.process.send_signal(signal.SIGHUP)
        one.await_line("from the next start on")


@check
def reload_under_load_loses_nothing():
    """Ten phones register in turn while the configuration is reloaded again and again."""
    users = "".join(f'<user id="u{n}" secret="s{n}"/>' for n in range(3000))
    with server(config(users)) as one:
        one.start()
        phones = [Phone(one.port, f"u{n}", f"s{n}") for n in range(10)]
        faults, over = [], threading.Event()

        def keep_registering(phone):
            try:
                while not over.is_set():
                    phone.bind()
                    if phone.bindings() != [phone.contact()]:
                        faults.append(f"{phone.user} lost its binding")
            except Failure as why:
                faults.append(str(why))
        threads = [threading.Thread(target=keep_registering, args=[phone]) for phone in phones]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                reload(one, config(users))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        expect(not faults, f"{faults[:3]}")
        for phone in phones:
            expect(phone.bindings() == [phone.contact()], f"{phone.user} lost its binding")


def main():
    server_test.CHECKS = CHECKS
    return server_test.main()


if __name__ == "__main__":
    sys.exit(main())
