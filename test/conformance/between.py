"""Somebody on the way between two servers."""

import contextlib
import re
import socket
import threading

from sip import Message


def unchanged(text):
    return text


class Between:
    """Who stands between two servers: what one sends to it goes on to another, perhaps changed, and
    so do the answers."""

    def __init__(self, world, target, change=unchanged, change_back=unchanged, *, place):
        self.socket = world.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.port = place[1]
        self.socket.bind(place)
        self.listener = world.stack.enter_context(socket.socket())
        self.listener.bind(place)
        self.listener.listen()
        self.target, self.change, self.change_back = target, change, change_back
        self.seen, self.answers = [], []
        for task in self.pass_datagrams, self.take_streams:
            threading.Thread(target=task, daemon=True).start()

    def pass_datagrams(self):
        source = None
        with contextlib.suppress(OSError):
            while True:
                data, peer = self.socket.recvfrom(65535)
                if peer == self.target.address():
                    self.socket.sendto(self.passed_back(data), source)
                    continue
                source = peer
                self.socket.sendto(self.passed(data), self.target.address())

    def passed(self, data):
        """The Request-URI is no part of what is signed."""
        text = self.change(data.decode())
        start, _, rest = text.partition("\r\n")
        text = start.replace(f":{self.port} ", f":{self.target.port} ") + "\r\n" + rest
        self.seen.append(Message(text))
        return text.encode()

    def passed_back(self, data):
        text = self.change_back(data.decode())
        self.answers.append(Message(text))
        return text.encode()

    def take_streams(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(self.target.address())
                for one, other, act in (near, far, self.passed), (far, near, self.passed_back):
                    threading.Thread(target=self.copy, args=(one, other, act), daemon=True).start()

    @staticmethod
    def copy(one, other, act):
        """Each message of these checks comes in one piece, by its length."""
        held = b""
        with contextlib.suppress(OSError):
            while data := one.recv(65535):
                held += data
                while b"\r\n\r\n" in held:
                    head, _, rest = held.partition(b"\r\n\r\n")
                    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
                    if len(rest) < length:
                        break
                    whole, held = head + b"\r\n\r\n" + rest[:length], rest[length:]
                    other.sendall(act(whole))
            other.close()

    def uri(self, user):
        return f"sip:{user}@{self.target.domain}:{self.port}"
