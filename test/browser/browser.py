"""A headless Chromium whose tabs are phones: JsSIP in a page, driven over the DevTools protocol by
the browser's own pipe. JsSIP comes from npm, by the versions of package-lock.json, into
build/browser; it is no part of this project."""

import contextlib
import functools
import http.server
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import lab

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(lab.ROOT, "build", "browser")


def prepare():
    """Fetch JsSIP and make one file of it and our page's script; needs the npm registry once."""
    os.makedirs(BUILD, exist_ok=True)
    lock = os.path.join(BUILD, "package-lock.json")
    ours = os.path.join(HERE, "package-lock.json")
    if not os.path.exists(lock) or open(lock).read() != open(ours).read():
        shutil.copy(os.path.join(HERE, "package.json"), BUILD)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], ours)
        shutil.copy(ours, lock)
    for name in "phone.js", "phone.html":
        shutil.copy(os.path.join(HERE, name), BUILD)
    _run(["node_modules/.bin/esbuild", "phone.js", "--bundle", "--format=iife",
          "--outfile=phone.bundle.js", "--log-level=warning"])


def _run(command, lock=None):
    if lock:
        shutil.copy(lock, os.path.join(BUILD, "package-lock.json"))
    done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True)
    if done.returncode != 0:
        os.unlink(os.path.join(BUILD, "package-lock.json"))
        raise lab.Unable(f"{' '.join(command)}: {done.stderr.strip()}")


class Site:
    """Serves the page on this machine's own name, which browsers trust with a microphone."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    def __init__(self, host="127.0.0.1", network=None):
        handler = functools.partial(self.Handler, directory=BUILD)
        with lab.inside(network):
            self.server = http.server.ThreadingHTTPServer((host, 0), handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, host="localhost"):
        return f"http://{host}:{self.port}/phone.html"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def is_group_alive(group):
    """A process of the group runs yet."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8") as file:
            state, _, its_group = file.read().rsplit(")", 1)[1].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


class Chromium:
    """One browser, with a microphone that plays a sound file."""

    def __init__(self, folder, name, tone, network=None):
        self.folder = os.path.join(folder, f"chromium-{name}")
        os.makedirs(self.folder)
        self.log = os.path.join(self.folder, "log")
        self._answers = {}
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._closed = False
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = " ".join([
            "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage",
            "--no-first-run --disable-background-networking --disable-component-update",
            f"--user-data-dir={self.folder}/profile --remote-debugging-pipe",
            "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={tone}",
            "--autoplay-policy=no-user-gesture-required",
            "--disable-features=WebRtcHideLocalIpsWithMdns --ignore-certificate-errors",
            f"about:blank 3<&{theirs_in} 4>&{theirs_out}"])
        with open(self.log, "wb") as log, lab.inside(network):
            self.process = lab.spawn(["bash", "-c", command], stdout=log, stderr=log,
                                     pass_fds=(theirs_in, theirs_out), process_group=0,
                                     env={**os.environ, "HOME": self.folder})
        os.close(theirs_in)
        os.close(theirs_out)
        threading.Thread(target=self._listen, daemon=True).start()
        self.ask("Browser.getVersion", patience=60)

    def _listen(self):
        buffer = b""
        while piece := os.read(self._in, 65536):
            *messages, buffer = (buffer + piece).split(b"\0")
            for message in map(json.loads, messages):
                with self._news:
                    if "id" in message:
                        self._answers[message["id"]] = message
                    self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    def ask(self, method, patience=20.0, session=None, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        with self._news:
            self._news.wait_for(lambda: number in self._answers or self._closed, patience)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise lab.Failure(f"Chromium did not answer {method}: {lab.tail(self.log)}")
        if "error" in answer:
            raise lab.Failure(f"Chromium refused {method}: {answer['error']['message']}")
        return answer["result"]

    def tab(self, url):
        target = self.ask("Target.createTarget", url=url)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, target, session)

    def discard(self):
        """It and its helpers, which write to its folder as long as they live."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        lab.until(lambda: not is_group_alive(self.process.pid), 20, "end of all of Chromium")
        os.close(self._out)


class Tab:
    """A page that is a phone."""

    def __init__(self, chromium, target, session):
        self.chromium, self.target, self.session = chromium, target, session
        self.seen = 0
        lab.until(lambda: self.evaluate("typeof phone") == "object", 20, "phone in the page")

    def evaluate(self, expression):
        answer = self.chromium.ask("Runtime.evaluate", session=self.session, expression=expression,
                                   awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise lab.Failure(f"{expression}: "
                              f"{details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def do(self, name, *arguments):
        return self.evaluate(f"phone.{name}({', '.join(map(json.dumps, arguments))})")

    def start(self, url, user, password, realm, **more):
        self.do("start", url, user, password, realm, more)
        return self

    def expect(self, what, timeout=20.0, spoiled_by=()):
        """The detail of the next event of that name; those before it are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            events = self.evaluate("phone.events")
            while self.seen < len(events):
                event = events[self.seen]
                self.seen += 1
                if event["what"] == what:
                    return event["detail"]
                if event["what"] in spoiled_by:
                    raise lab.Failure(f"{event}, not {what}, of {events}")
            if time.monotonic() > deadline:
                raise lab.Failure(f"no {what} within {timeout:g} s, only {events}")
            time.sleep(0.05)

    def forget(self):
        """What was is of no interest any more."""
        self.seen = len(self.evaluate("phone.events"))
        return self

    def await_tone(self, hertz, timeout=20.0):
        """It hears that frequency above all."""
        last = {}

        def is_heard():
            last.update(self.do("heard"))
            return abs(last["hertz"] - hertz) < 25 and last["level"] > -60
        try:
            lab.until(is_heard, timeout, f"{hertz} Hz")
        except lab.Failure as failure:
            raise lab.Failure(f"{failure}: heard {last}") from None

    def close(self):
        self.chromium.ask("Target.closeTarget", targetId=self.target)
