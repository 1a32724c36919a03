"""A WebSocket client (RFC 6455) of the standard library alone: a socket of messages, or of frames
where a check wants to break the rules."""

import base64
import hashlib
import os
import socket
import ssl
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    """The server answered the handshake with something else than 101."""

    def __init__(self, answer):
        super().__init__(answer.split("\r\n")[0])
        self.answer = answer
        self.status = int(answer.split()[1]) if answer.startswith("HTTP/1.1 ") else 0


class Ended(Exception):
    """The connection is over; `code` is what the server said before, if it did."""

    def __init__(self, code):
        super().__init__(f"ended with {code}")
        self.code = code


def frame(opcode, payload=b"", final=True, mask=b"\x37\xfa\x21\x3d", first=None):
    """A frame as a client sends it; without a mask it breaks the rules."""
    size = len(payload)
    head = bytes([first if first is not None else (0x80 if final else 0) | opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + payload
    key = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + masked.to_bytes(size, "big")


def handshake(host, *more, path="/", method="GET", version="HTTP/1.1", without=(), key=None):
    """The request; `without` names fields to leave out, `more` are whole lines."""
    fields = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade",
              "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode(),
              "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "sip"}
    lines = [f"{method} {path} {version}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if name not in without]
    return "\r\n".join([*lines, *more, "", ""]).encode(), fields["Sec-WebSocket-Key"]


class WebSocket:
    def __init__(self, address, patience, *more, secure=False, source=None, receive_buffer=None,
                 **how):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(patience)
        self.socket.connect(address)
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
            self.socket = context.wrap_socket(self.socket)
        self.buffer = b""
        self.pings = []
        self.pongs = []
        self.open(f"{address[0]}:{address[1]}", *more, **how)

    def open(self, host, *more, **how):
        request, key = handshake(host, *more, **how)
        self.socket.sendall(request)
        answer = self.read_head()
        if not answer.startswith("HTTP/1.1 101 "):
            raise Refused(answer)
        wanted = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
        for line in f"Sec-WebSocket-Accept: {wanted}", "Sec-WebSocket-Protocol: sip":
            if f"\r\n{line}\r\n" not in answer:
                raise Refused(answer)

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                break
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode() + "\r\n"

    def fill(self):
        try:
            piece = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            piece = b""
        self.buffer += piece
        return piece

    def take(self, size):
        while len(self.buffer) < size:
            if not self.fill():
                raise Ended(0)
        part, self.buffer = self.buffer[:size], self.buffer[size:]
        return part

    def next_frame(self):
        """Opcode and payload; the server may neither mask nor break what it sends."""
        first, second = self.take(2)
        size = second & 0x7f
        if second & 0x80 or not first & 0x80 or first & 0x70:
            raise AssertionError(f"a frame begins with {first:02x} {second:02x}")
        if size == 126:
            size, = struct.unpack(">H", self.take(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.take(8))
        return first & 0x0f, self.take(size)

    def receive(self):
        """The next message; pings are answered meanwhile."""
        while True:
            opcode, payload = self.next_frame()
            if opcode in (TEXT, BINARY):
                return payload
            if opcode == PING:
                self.pings.append(payload)
                self.socket.sendall(frame(PONG, payload))
            elif opcode == PONG:
                self.pongs.append(payload)
            else:
                raise Ended(struct.unpack(">H", payload[:2])[0] if payload else 1005)

    def send(self, message, opcode=TEXT):
        self.socket.sendall(frame(opcode, message))

    def close(self):
        self.socket.close()
