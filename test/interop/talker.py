"""A phone that is driven through a pipe: commands in, what it says out."""

import os
import re
import subprocess
import threading
import time

import lab


class Talker:
    """What linphonec and twinkle-console have in common."""

    def __init__(self, name, network=None):
        self.name, self.network = name, network
        self.process = None
        self.said, self._looked = "", 0
        self.news = threading.Condition()

    def talk(self, command, home):
        """Start it."""
        with lab.inside(self.network):
            self.process = lab.spawn(["stdbuf", "-oL", *command], pipe_in=True,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env={**os.environ, "HOME": home})
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            piece = os.read(self.process.stdout.fileno(), 4096)
            with self.news:
                self.said += piece.decode(errors="replace")
                self.news.notify_all()
            if not piece:
                return

    def command(self, words):
        try:
            self.process.stdin.write((words + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise lab.Failure(f"{self.name} has ended: {self.said[-300:]}") from None

    def expect(self, pattern, timeout=15.0):
        """Wait until it says something that was not looked at yet; return the match."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self.news:
            while True:
                found = expression.search(self.said, self._looked)
                if found:
                    self._looked = found.end()
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    raise lab.Failure(f"{self.name} did not say {pattern!r} within {timeout:g} s; "
                                      f"it said {self.said[-300:]!r}")
                self.news.wait(min(left, 1.0))

    def stop(self):
        """Quit as a user would."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.command("quit")
                self.process.wait(10.0)
            except (lab.Failure, subprocess.TimeoutExpired):
                pass
        self.discard()

    def discard(self):
        if self.process is not None:
            lab.end(self.process, patience=1.0)
