#!/usr/bin/env python3
"""The configuration's schema and manual are those of the grammar in the program.

Prints `ok NAME` or `not ok NAME: why` for each check. SCHEMA names another sipwitch-schema than that
of build/release.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMA = os.environ.get("SCHEMA") or os.path.join(ROOT, "build/release/src/sipwitch-schema")
SIPW = os.path.join(os.path.dirname(SCHEMA), "sipw")
RNG = os.path.join(ROOT, "doc/sipwitch.rng")
MANUAL = os.path.join(ROOT, "doc/man/sipwitch.conf.5")
SAMPLES = os.path.join(ROOT, "test/data/sipwitch")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def made(what):
    return subprocess.run([SCHEMA, what], check=True, capture_output=True, text=True).stdout


def validate(text):
    """What xmllint says against it; empty if nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["xmllint", "--noout", "--relaxng", RNG, file.name], text=True,
                              capture_output=True, check=False)
        return "" if done.returncode == 0 else done.stderr


def fragments():
    """What is XML in the manuals and the guides."""
    for name in MANUAL, os.path.join(ROOT, "doc/man/sipw.8"):
        for block in re.findall(r"\.Bd -literal.*?\n(.*?)\.Ed", read(name), re.DOTALL):
            if block.startswith("<"):
                yield block.replace("\\&", "")
    yield read(os.path.join(ROOT, "doc/example.conf"))
    for name in glob.glob(os.path.join(ROOT, "doc/guide/*.md")):
        yield from re.findall(r"(?:^ {4,}<[a-z?].*\n)+", read(name), re.MULTILINE)


def examples():
    """Each made a whole file, by what it begins with."""
    homes = {"user": "provision", "gateway": "provision", "redirect": "routing",
             "rewrite": "routing", "refuse": "routing", "refer": "routing"}
    for text in fragments():
        first = re.search(r"<([a-z?]+)", text)[1]
        if first in homes:
            text = f"<{homes[first]}>{text}</{homes[first]}>"
        elif first not in ("?xml", "sipwitch", "provision", "access", "routing"):
            text = f"<sipwitch>{text}</sipwitch>"
        yield text


def expect(so, why):
    if not so:
        raise AssertionError(why)


def schema_is_that_of_the_program():
    expect(read(RNG) == made("rng"), "write it anew: sipwitch-schema rng >doc/sipwitch.rng")


def manual_lists_are_those_of_the_program():
    found = re.search(r'\.\\" Made by .*?\n(.*?)\.\\" End of the lists\n', read(MANUAL), re.DOTALL)
    expect(found and found[1] == made("mdoc"),
           "put what sipwitch-schema mdoc prints between the two comments of sipwitch.conf.5")


def examples_of_the_manual_are_valid():
    texts = list(examples())
    expect(len(texts) >= 7, f"only {len(texts)} examples are found")
    for text in texts:
        said = validate(text)
        expect(not said, f"{said}: {text}")


def examples_of_the_manual_load_without_a_warning():
    for text in examples():
        if not text.startswith("<?xml"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sipwitch.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            done = subprocess.run([SIPW, "--check", "--configpath", path, "--prefixpath", folder],
                                  text=True, capture_output=True, check=False)
            said = [line for line in done.stderr.splitlines() if "match longer numbers" not in line]
            expect(done.returncode == 0 and not said, f"{said}: {text}")


def samples_are_valid():
    for name in os.listdir(SAMPLES):
        if name != "README":
            said = validate(read(os.path.join(SAMPLES, name)))
            expect(not said, said)


def what_is_wrong_is_not_valid():
    for text in ("<sipwitch><stack><port>x</port></stack></sipwitch>",
                 "<sipwitch><stock/></sipwitch>", "<provision><usr id='x'/></provision>",
                 "<sipwitch><stack port='70000'/></sipwitch>", "<shop/>",
                 "<provision><user id='x' idd='y'/></provision>",
                 "<sipwitch><routing><rewrite colour='red'/></routing></sipwitch>"):
        expect(validate(text), f"{text} is taken for valid")


CHECKS = [schema_is_that_of_the_program, manual_lists_are_those_of_the_program,
          examples_of_the_manual_are_valid, examples_of_the_manual_load_without_a_warning,
          samples_are_valid, what_is_wrong_is_not_valid]


def main():
    failed = 0
    for check in CHECKS:
        try:
            check()
            print(f"ok {check.__name__}", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"not ok {check.__name__}: {why}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
