#!/usr/bin/env python3
"""The rules that a registrar and proxy keeps, tried on the running sipw, and on Kamailio.

    conformance_test.py [--server sipw|kamailio|both] [--transport udp|tcp|both]
                        [--family 4|6|both] [--list] [WORD...]

Prints `ok SERVER TRANSPORT RULE` or `not ok SERVER TRANSPORT RULE: why`; TRANSPORT is udp6 or tcp6
over IPv6, where those rules are tried that wait for no timers. With WORDs, only the rules
whose name contains one of them. Kamailio shows that a rule is no mere habit of sipw: where it does
otherwise, the rule says so, and the line ends with what it does. It all happens in a network
namespace of its own, so it needs root or user namespaces. SIPW names another server binary than
build/release/src/sipw.
"""

import argparse
import concurrent.futures
import contextlib
import importlib
import os
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True

import servers
import lab
from rules import RULES, TRANSPORTS, Trial
from message import Failure

# Each declares its rules.
for _subject in ("registrar", "flows", "digest", "trust", "relay", "proxy", "calls", "forking",
                 "dialogs", "outside", "framing", "abuse"):
    importlib.import_module(_subject)

WORKERS = 24 # rules at a time; those that wait for timers come on top


def options():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--server", choices=[*servers.KINDS, "both"], default="both")
    parser.add_argument("--transport", choices=[*TRANSPORTS, "both"], default="both")
    parser.add_argument("--family", choices=[*map(str, servers.FAMILIES), "both"], default="both")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("words", nargs="*", metavar="WORD")
    return parser.parse_args()


def attempt(rule, server, transport):
    """Why the server broke the rule, or None."""
    trial = Trial(server, transport)
    try:
        rule.check(trial)
    except Failure as trouble:
        return str(trouble)
    except Exception as trouble: # the rule's own, or a socket's: say where
        place = traceback.extract_tb(trouble.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return f"{type(trouble).__name__} {trouble} ({where})"
    finally:
        trial.close()
    return None


def judge(rule, server, transport):
    """The line that says how it went, and whether well."""
    began = time.monotonic()
    trouble = attempt(rule, server, transport)
    deviation = rule.deviation(server.name, transport)
    what = f"{server.name} {transport}{'6' if server.family == 6 else ''} {rule.name}"
    good = f"ok {what} ({time.monotonic() - began:.1f} s)"
    if not deviation:
        return (f"not ok {what}: {rule.section}: {trouble}", False) if trouble else (good, True)
    if not trouble:
        return f"not ok {what}: it is said that it {deviation.why}, but it does not", False
    if deviation.seen not in trouble:
        return f"not ok {what}: {rule.section}: not as is declared: {trouble}", False
    return f"{good}: it {deviation.why} ({trouble})", True


def play(rules, running, transports, families):
    """All of it, at once as far as it goes; whether all went well."""
    tasks = [(rule, one.at[rule.setting, family], transport) for rule in rules for one in running
             for family in rule.families if family in families
             for transport in rule.transports if transport in transports]
    longs = [task for task in tasks if task[0].is_long]
    well = True
    with concurrent.futures.ThreadPoolExecutor(WORKERS + len(longs)) as pool:
        first = [pool.submit(judge, *task) for task in longs]
        rest = [pool.submit(judge, *task) for task in tasks if not task[0].is_long]
        for done in concurrent.futures.as_completed(first + rest):
            line, is_ok = done.result()
            well = well and is_ok
            print(line, flush=True)
    return well


def run(chosen, rules):
    names = list(servers.KINDS) if chosen.server == "both" else [chosen.server]
    transports = TRANSPORTS if chosen.transport == "both" else (chosen.transport,)
    families = servers.FAMILIES if chosen.family == "both" else (int(chosen.family),)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sipwitch-rules-"))
        running = [servers.KINDS[name](folder, stack) for name in names]
        for one in running:
            one.start()
        well = play(rules, running, transports, families)
        for one in running:
            if not one.is_well():
                print(f"not ok {one.name}: it ended: {one.last_words()}")
                well = False
    return well


def main():
    chosen = options()
    rules = [rule for rule in RULES
             if not chosen.words or any(word in rule.name for word in chosen.words)]
    if chosen.list:
        for rule in rules:
            print(f"{rule.name}: {rule.section}")
        return 0
    if not rules:
        sys.exit(f"conformance_test: no rule's name contains {' or '.join(chosen.words)}")
    lab.need("ip")
    lab.enter()
    servers.lay_network()
    return 0 if run(chosen, rules) else 1


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except (lab.Unable, lab.Failure, Failure) as trouble:
        sys.exit(f"not ok conformance_test: {trouble}")
