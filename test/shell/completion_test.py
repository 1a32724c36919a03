#!/usr/bin/env python3
"""What bash completes for the installed programs is what they say themselves.

Prints `ok NAME` or `not ok NAME: why` for each check, as server_test.py does.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import server_test
from server_test import PATIENCE, ROOT, SIPW, expect, server

PROGRAMS = os.path.dirname(SIPW)
BUILD = os.path.dirname(PROGRAMS)
NAMES = ["sipw", "sipw-relay", "sipw-router", "sipwitch", "sipcontrol", "sipwitchctl", "siprealm", "sippasswd", "sipquery"]
CHECKS = []

# As readline does it: the function that is registered for the command, and what it leaves.
SCRIPT = """
source "$FILE"
function=$(complete -p "$1" | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""


class Installed:
    folder = ""


def check(function):
    CHECKS.append(function)
    return function


def install(folder):
    """All that meson installs, below this folder; the programs are those of the build."""
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder],
                   check=True, capture_output=True, timeout=60)
    found = [os.path.join(place, "completions") for place, _, _ in os.walk(folder)
             if place.endswith("share/bash-completion")]
    expect(len(found) == 1, f"installed in {found}")
    Installed.folder = found[0]
    os.mkdir(os.path.join(folder, "bin"))
    for name in NAMES:
        known = name if os.path.exists(os.path.join(PROGRAMS, name)) else "sipwitch"
        os.symlink(os.path.join(PROGRAMS, known), os.path.join(folder, "bin", name))
    os.environ["PATH"] = os.path.join(folder, "bin") + ":" + os.environ["PATH"]


def completed(*words):
    done = subprocess.run(["bash", "-c", SCRIPT, "bash", *words], text=True, capture_output=True,
                          timeout=PATIENCE, check=True, cwd=Installed.folder,
                          env={**os.environ, "FILE": os.path.join(Installed.folder, words[0])})
    expect(not done.stderr, f"{words}: {done.stderr!r}")
    return done.stdout.split()


def help_of(program):
    return subprocess.run([program, "--help"], text=True, capture_output=True, timeout=PATIENCE,
                          check=True).stdout


def commands():
    return re.findall(r"^  ([a-z]\S*) .*  \S", help_of("sipwitch"), re.MULTILINE)


@check
def the_commands_are_those_of_the_program():
    known = commands()
    expect({"status", "registry", "drop", "down"} <= set(known), f"the help lists {known}")
    for name in "sipwitch", "sipcontrol", "sipwitchctl":
        found = completed(name, "")
        expect(found == known, f"{name}: {found} are not {known}")
    found = completed("sipwitch", "--json", "-t", "5", "re")
    expect(found == [name for name in known if name.startswith("re")], f"re: {found}")


@check
def each_command_is_one_that_the_program_knows():
    for name in completed("sipwitch", ""):
        said = subprocess.run(["sipwitch", "--socket", "/nonexistent/control", name, *"x" * 9],
                              text=True, capture_output=True, timeout=PATIENCE, check=False).stderr
        expect("too many words" in said, f"{name}: {said!r}")


@check
def the_options_are_those_of_each_program():
    for name in NAMES:
        known = re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", help_of(name), re.MULTILINE)
        expect("--help" in known and len(known) > 2, f"the help of {name} lists {known}")
        found = completed(name, "--")
        expect(found == known, f"{name}: {found} are not {known}")


@check
def words_of_a_command_are_completed():
    for words, known in (["trace", ""], "on off clear show"), (["user", ""], "list add remove"), \
            (["user", "r"], "remove"), (["trace", "on", ""], ""), (["status", ""], ""):
        found = completed("sipwitch", *words)
        expect(found == known.split(), f"{words}: {found}")


@check
def files_and_directories_are_completed():
    names = sorted(completed("sipw", "--configpath", "sip"))
    expect(names == sorted(NAMES), f"{names}")
    expect(completed("sipw", "--prefixpath", "sip") == [], "files for a directory")
    expect(completed("siprealm", "--file", "siprea") == ["siprealm"], "no file")


@check
def users_are_those_of_the_server():
    with server() as one:
        one.start()
        at = ["sipwitch", "--prefixpath", one.state]
        for words in ["registry"], ["calls"], ["release"], ["drop"], ["user", "remove"]:
            found = sorted(completed(*at, *words, ""))
            expect(found == ["alice", "bob"], f"{words}: {found}")
        expect(completed(*at, "release", "b") == ["bob"], "not by their beginning")
        one.end()
        expect(completed(*at, "release", "") == [], "users of a server that is not there")


def main():
    server_test.CHECKS = CHECKS
    with tempfile.TemporaryDirectory(prefix="sipwitch-test-") as folder:
        install(folder)
        return server_test.main()


if __name__ == "__main__":
    sys.exit(main())
