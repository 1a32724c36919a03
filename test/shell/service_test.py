#!/usr/bin/env python3
"""The units of systemd that are installed: as systemd would read them, and whether the server does all its
work within what its unit leaves it.

There need be no systemd running: what the unit asks for is brought about by confine.py, and the place of
the service manager is taken by a process of ours. It all happens in namespaces of its own and needs root.
Prints `ok NAME` or `not ok NAME: why` for each check; the exit status is 0 if all are ok. Arguments are
names of checks to run alone.
"""

import contextlib
import ctypes
import glob
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys

sys.dont_write_bytecode = True
for folder in "conformance", "interop":
    sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

import dialog_test
import lab
import media_test
import server_test
import sip
import stream_test
from names import empty_dns
from server_test import PATIENCE, Failure, Phone, expect, until

HERE = os.path.dirname(os.path.abspath(__file__))
INSTALLED = "/run/installed" # all of /run is our own
CONFIG_PATH = "/etc/sipwitch.conf"
HOST, PORT = "127.0.0.1", 5060
ARGUMENT_LIMIT = 128 << 10 # bytes of one string of an environment: MAX_ARG_STRLEN of the kernel
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1:] # of a unit that does not say how many
CONFIG = dialog_test.CONFIG.replace("<realm>lab.test</realm>", "").replace(
    "</sipwitch>", f"""  <stack><interface>{HOST}</interface></stack>
  <media><mode>always</mode><public>router</public><ports>33000-33099</ports></media>
</sipwitch>
""")


def run(*words, **how):
    """What it says."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=2 * PATIENCE, check=False, **how)
    expect(done.returncode == 0, f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def prepare():
    """A machine on which it was installed; what of it is changed is our own, and goes with us."""
    for folder in "/run", "/var/lib":
        run("mount", "-t", "tmpfs", "-o", "mode=755", "none", folder)
    os.mkdir("/run/etc", 0o755)
    for name in "passwd", "group", "nsswitch.conf", "hosts", "ld.so.cache", "ssl", "services":
        if os.path.exists(f"/etc/{name}"):
            run("cp", "-a", f"/etc/{name}", "/run/etc")
    run("mount", "--bind", "/run/etc", "/etc")
    build = os.path.dirname(os.path.dirname(server_test.SIPW))
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", INSTALLED)
    run("systemd-sysusers", *glob.glob(f"{INSTALLED}/**/sysusers.d/sipwitch.conf", recursive=True))
    run("systemd-tmpfiles", "--create",
        *glob.glob(f"{INSTALLED}/**/tmpfiles.d/sipwitch.conf", recursive=True))
    shutil.copy(os.path.join(HERE, "confine.py"), INSTALLED)
    with open("/etc/siprealm", "w", encoding="ascii") as file:
        file.write("lab.test\n")


# ---- units

def units():
    """Their folder, with the paths of what was installed in them."""
    folder, = glob.glob(f"{INSTALLED}/**/systemd/system", recursive=True)
    prefix = folder.removeprefix(INSTALLED).removesuffix("/lib/systemd/system")
    own = os.path.join(INSTALLED, "units")
    if not os.path.exists(own):
        os.mkdir(own)
        for path in glob.glob(f"{folder}/sipwitch*"):
            with open(path, encoding="ascii") as file:
                text = file.read().replace(f"={prefix}/", f"={INSTALLED}{prefix}/")
            with open(os.path.join(own, os.path.basename(path)), "w", encoding="ascii") as file:
                file.write(text)
    return own


def program(name):
    path, = glob.glob(f"{INSTALLED}/**/*bin/{name}", recursive=True)
    return path


class Unit:
    """The keys of one and their values."""

    def __init__(self, name):
        self.name, self.values = name, {}
        with open(os.path.join(units(), name), encoding="ascii") as file:
            for line in file:
                key, equals, value = line.rstrip("\n").partition("=")
                if equals and not line.startswith("#"):
                    self.values.setdefault(key, []).append(value)

    def get(self, key):
        expect(key in self.values, f"the unit has no {key}")
        return self.values[key][-1]

    def words(self, key):
        return " ".join(self.values.get(key, [])).split()


def call_sets():
    """The sets of system calls by their names, as this systemd has them."""
    sets, name = {}, None
    for line in run("systemd-analyze", "--no-pager", "syscall-filter").splitlines():
        words = line.split()
        if line.startswith("@"):
            name = words[0]
            sets[name] = []
        elif name and words and not words[0].startswith("#"):
            sets[name].append(words[0])
    return sets


def calls_of(words, sets):
    return {call for word in words
            for call in (calls_of(sets[word], sets) if word.startswith("@") else [word])}


# What confine.py takes as it stands in the unit, and what systemd has where it does not.
PLAIN = {"MemoryDenyWriteExecute": "no", "PrivateDevices": "no", "PrivateTmp": "no",
         "ProtectHome": "no", "ProtectKernelTunables": "no", "ProtectSystem": "no",
         "RestrictNamespaces": "no", "SystemCallErrorNumber": "EPERM", "UMask": "0022"}


def capability(name):
    number = ctypes.c_int()
    expect(ctypes.CDLL("libcap.so.2").cap_from_name(name.encode(), ctypes.byref(number)) == 0,
           f"{name} is no capability")
    return number.value


def confined(unit, key):
    """The command that a key of the unit has, as systemd would run it."""
    user = pwd.getpwnam(unit.values.get("User", ["root"])[-1])
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": user.pw_name,
                   "HOME": user.pw_dir}
    folders = [(of, f"{top}/{unit.values[f'{of}Directory'][-1]}")
               for of, top in (("State", "/var/lib"), ("Runtime", "/run"))
               if f"{of}Directory" in unit.values]
    environment |= {f"{of.upper()}_DIRECTORY": path for of, path in folders}
    for name in unit.words("UnsetEnvironment"):
        environment.pop(name, None)
    plan = {key: unit.values.get(key, [default])[-1] for key, default in PLAIN.items()}
    words = unit.words("SystemCallFilter")
    plan |= {"uid": user.pw_uid, "gid": user.pw_gid, "writable": [path for _, path in folders],
             "environment": environment,
             "capabilities": [capability(name) for name in unit.words("CapabilityBoundingSet")],
             "LimitNOFILE": unit.values.get("LimitNOFILE", FILES)[-1],
             "families": [getattr(socket, name) for name in unit.words("RestrictAddressFamilies")],
             "calls": sorted(calls_of(["@default", *words], call_sets())) if words else []}
    path = os.path.join(INSTALLED, f"{unit.name}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(plan, file)
    return [sys.executable, os.path.join(INSTALLED, "confine.py"), path, *unit.words(key)]


# ---- the service

class Service(server_test.Server):
    """The server as its unit starts it; a manager may stand in for systemd."""

    def __init__(self, unit):
        self.unit = unit
        self.state, self.config, self.port = "/var/lib/sipwitch", CONFIG_PATH, PORT
        self.process, self.unread = None, b""
        self.write(CONFIG)

    def write(self, text):
        """The configuration, with secrets in it: root's, and the server's group may read it."""
        with open(CONFIG_PATH, "w", encoding="utf-8") as file:
            file.write(text)
        os.chown(CONFIG_PATH, 0, pwd.getpwnam(self.unit.get("User")).pw_gid)
        os.chmod(CONFIG_PATH, 0o640)

    def command(self, *_):
        return confined(self.unit, "ExecStart")

    def reload(self):
        """Its status, and what it says."""
        done = subprocess.run(confined(self.unit, "ExecReload"), capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def service():
    """As it is after it was installed: nothing has run yet."""
    shutil.rmtree("/var/lib/sipwitch", ignore_errors=True)
    run("systemd-tmpfiles", "--create",
        *glob.glob(f"{INSTALLED}/**/tmpfiles.d/sipwitch.conf", recursive=True))
    one = Service(Unit("sipwitch.service"))
    try:
        yield one
    finally:
        one.discard()


def as_root(*words):
    """A command of ours, which is to find the server by itself."""
    return run(program(words[0]), *words[1:])


def children(pid):
    """Names of the programs that it has started."""
    pids, names = [], []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(path, encoding="ascii") as file:
            pids += file.read().split()
    for child in pids:
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{child}/comm", encoding="ascii") as file:
            names.append(file.read().strip())
    return names


@contextlib.contextmanager
def relay_process(one):
    """The one that the server starts, ended with it."""
    line = one.await_line("media is relayed by a process")
    try:
        yield
    finally:
        one.discard()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(re.search(r"process (\d+)", line)[1]), signal.SIGTERM)


# ---- checks

def units_are_read_by_systemd_without_complaint():
    folder = units()
    paths = sorted(glob.glob(f"{folder}/*"))
    expect(len(paths) == 5, f"installed are {paths}")

    def complaints():
        done = subprocess.run(["systemd-analyze", "--no-pager", "--man=no", "verify", *paths],
                              env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
                              capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        return done.stdout + done.stderr + (f"status {done.returncode}" if done.returncode else "")
    expect(not complaints(), complaints())
    path = os.path.join(folder, "sipwitch.service")
    with open(path, encoding="ascii") as file:
        text = file.read()
    try:
        for good, bad in ("ProtectSystem=", "ProtectSystm="), ("bin/sipw ", "bin/sip "):
            with open(path, "w", encoding="ascii") as file:
                file.write(text.replace(good, bad))
            expect(bad.strip("= ") in complaints(), f"nobody complains of {bad}")
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)


def little_is_left_to_who_breaks_into_the_server():
    """As systemd counts it, from 0, nothing, to 10; here in tenths."""
    run("systemd-analyze", "--no-pager", "security", "--offline=true", "--threshold=20",
        os.path.join(units(), "sipwitch.service"))


def kept_connections_can_be_named_to_the_next_run():
    """All in one variable, of which the kernel takes so much."""
    kept = int(Unit("sipwitch.service").get("FileDescriptorStoreMax"))
    names = ":".join(f"tcp-{n:08x}" for n in range(kept))
    expect(len(f"LISTEN_FDNAMES={names}:{'x' * 255}") < ARGUMENT_LIMIT, f"{kept} are too many")
    run("true", env={**os.environ, "LISTEN_FDNAMES": names})


def the_server_serves_within_its_unit():
    """Phones by UDP and TLS, the system's realm, names, commands of root, a reload, the helper at the
    router."""
    with service() as one, empty_dns() as resolver, contextlib.ExitStack() as stack:
        text = CONFIG.replace("<stack>", f"<stack><resolver>{resolver}</resolver>")
        one.write(text)
        done = subprocess.run([program("sippasswd"), "--stdin", "bob"], input="another secret\n",
                              capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"sippasswd before the first start: {done.stderr}")
        one.start()
        with relay_process(one):
            phone = Phone(PORT, "alice", "alices secret").bind()
            expect(Phone(PORT, "bob", "another secret").bind().bindings(), "bob is not registered")
            with socket.create_connection((HOST, PORT + 1), PATIENCE) as plain:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.wrap_socket(plain).close()
            expect("alice" in as_root("sipwitch", "registry"), "root does not see alice registered")
            until(lambda: "sipw-router" in children(one.process.pid), "helper at the router")
            caller, = dialog_test.House(one, stack, ["tcp"]).phones
            answer = caller.prove("MESSAGE", "sip:x@nowhere.test")
            expect(answer.status == 404, f"a domain that is not there: {answer.start}")
            one.write(text.replace('id="carol"', 'id="dora"').replace("carols", "doras"))
            status, said = one.reload()
            expect(status == 0, f"the reload: {status}: {said!r}")
            Phone(PORT, "dora", "doras secret").bind()
            one.write("<sipwitch>")
            status, said = one.reload()
            expect(status != 0 and f"{CONFIG_PATH}:1:" in said, f"a bad reload: {status}: {said!r}")
            expect(phone.contact() in phone.bindings(), "alice's binding is gone")
            status, said = one.end()
            expect(status == 0 and "not permitted" not in said and "denied" not in said,
                   f"{status}: {said!r}")


def relayed_by_a_process_calls_are_heard_within_the_unit():
    with service() as one, contextlib.ExitStack() as stack:
        one.start()
        with relay_process(one):
            call = media_test.Call(media_test.House(one, stack))
            call.line.expect_sound()
            one.end(signal.SIGKILL)
            call.line.expect_sound()
            one.start()
            one.await_line("media is relayed by a process of its own (found ")
            call.hang_up()


def the_relays_units_relay_for_the_server():
    """It is started by whoever connects to its socket, which is there before; apart from the server."""
    place, relay = Unit("sipwitch-relay.socket"), Unit("sipwitch-relay.service")
    with service() as one, contextlib.ExitStack() as stack:
        path = place.get("ListenSequentialPacket")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(path)
        listener.listen()
        os.chown(path, *pwd.getpwnam(place.get("SocketUser"))[2:4])
        os.chmod(path, int(place.get("SocketMode"), 8))
        process = lab.spawn(["sh", "-c", f'exec "$@" 3<&{listener.fileno()}', "sh",
                             *confined(relay, "ExecStart")], pass_fds=[listener.fileno()])
        stack.callback(lab.end, process)
        one.start()
        one.await_line(f"media is relayed by a process of its own (found sipw-relay, process {process.pid})")
        call = media_test.Call(media_test.House(one, stack))
        call.line.expect_sound()
        one.end(signal.SIGKILL)
        call.line.expect_sound()
        one.start()
        call.hang_up()


def relayed_by_the_kernel_calls_are_heard_within_the_unit():
    """Its tables are pinned below the server's directory, and stay when that is made anew."""
    with service() as one, contextlib.ExitStack() as stack:
        stack.callback(as_root, "sipw-relay", "unload")
        as_root("sipw-relay", "load", "--user", one.unit.get("User"))
        one.start()
        one.await_line("media is relayed in the kernel (/run/sipwitch/relay)")
        call = media_test.Call(media_test.House(one, stack, relay="kernel"))
        call.line.expect_sound()
        one.end(signal.SIGKILL)
        call.line.expect_sound()
        one.start()
        call.hang_up()


def the_kernels_relay_comes_with_the_server():
    """Where it is permitted, and before the server looks for it."""
    server = Unit("sipwitch.service")
    for name in "sipwitch-relay-load.service", "sipwitch-relay-watch.service":
        expect(name in server.words("Wants"), f"the server does not want {name}")
        expect(Unit(name).get("ConditionCapability") == "CAP_BPF", f"{name} has no condition")
    expect("sipwitch-relay-load.service" in server.words("After"), "the server does not wait for it")


def the_kernels_units_do_their_work_within_their_keys():
    """One loads the relay and leaves, the other attaches it to links that come later."""
    load, watch = Unit("sipwitch-relay-load.service"), Unit("sipwitch-relay-watch.service")
    with service() as one, contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, [program("sipw-relay"), "unload"], capture_output=True, check=False)
        run(*confined(load, "ExecStart"))
        watcher = lab.spawn(confined(watch, "ExecStart"), stdout=subprocess.DEVNULL)
        stack.callback(lab.end, watcher)
        run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
        stack.callback(run, "ip", "link", "del", "late0")
        run("ip", "link", "set", "late0", "up")
        until(lambda: is_attached("late0"), "program at a link that came later")
        one.start()
        one.await_line("media is relayed in the kernel (/run/sipwitch/relay)")
        call = media_test.Call(media_test.House(one, stack, relay="kernel"))
        call.line.expect_sound()
        run(*confined(load, "ExecReload"))
        call.line.expect_sound()
        call.hang_up()
        one.end()
        expect(watcher.poll() is None, f"the watch ended with {watcher.returncode}")
        lab.end(watcher)
        run(*confined(load, "ExecStop"))
        for link in "lo", "late0":
            expect(not is_attached(link), f"there still is a program at {link}")


def is_attached(link):
    return "bpf" in run("tc", "filter", "show", "dev", link, "ingress")


def connections_of_phones_outlive_the_server():
    with service() as one:
        manager = stream_test.Manager()
        one.start(env=manager.environment())
        with relay_process(one):
            phone = stream_test.Peer(one).bind()
            manager.look(lambda: len(manager.kept) == 1, "of the connection")
            one.end(signal.SIGKILL)
            manager.start(one)
            phone.options()


CHECKS = [
    units_are_read_by_systemd_without_complaint,
    little_is_left_to_who_breaks_into_the_server,
    kept_connections_can_be_named_to_the_next_run,
    the_server_serves_within_its_unit,
    relayed_by_a_process_calls_are_heard_within_the_unit,
    the_relays_units_relay_for_the_server,
    relayed_by_the_kernel_calls_are_heard_within_the_unit,
    the_kernels_relay_comes_with_the_server,
    the_kernels_units_do_their_work_within_their_keys,
    connections_of_phones_outlive_the_server,
]


def main():
    lab.enter()
    prepare()
    return server_test.run(CHECKS, failures=(sip.Failure, lab.Failure))


if __name__ == "__main__":
    lab.end_on_signals()
    try:
        sys.exit(main())
    except (lab.Unable, lab.Failure, Failure) as trouble:
        sys.exit(f"not ok service_test: {trouble}")
