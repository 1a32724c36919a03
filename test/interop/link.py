"""What stands between two ends of TCP: it carries bytes both ways, until somebody cuts it."""

import contextlib
import socket
import threading


class Link:
    """Listens at `here` and connects to `there` from the address `source`, for each who comes."""

    def __init__(self, stack, here, there, source):
        self.there, self.source = there, source
        self.ends, self.count = [], 0 # of those that stand; how many there ever were
        self.listener = stack.enter_context(socket.create_server(here))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.there, 10, (self.source, 0))
                far.settimeout(None)
                self.ends += [near, far]
                self.count += 1
                for one, other in (near, far), (far, near):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65535):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def cut(self):
        while self.ends:
            with contextlib.suppress(OSError):
                self.ends.pop().shutdown(socket.SHUT_RDWR)
