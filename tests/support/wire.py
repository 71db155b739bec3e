# SPDX-License-Identifier: Apache-2.0
"""Requests as bytes: what no client library would send, and what came back, also when nothing did."""
import json
import socket
import struct
import threading
import time
import urllib.parse


class Reply:
    """One answer as it came. `headers`: (name in lower case, value) in order."""

    def __init__(self, status, headers, body, version):
        self.status, self.headers, self.body, self.version = status, headers, body, version

    def header(self, name, otherwise=""):
        return next((value for known, value in self.headers if known == name), otherwise)

    @property
    def problem(self):
        """The body of an application/problem+json; None if it is none."""
        if not self.header("content-type").startswith("application/problem+json"):
            return None
        return json.loads(self.body)

    @property
    def closes(self):
        return self.header("connection").lower() == "close"

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:2000]!r}"


class Wire:
    """A connection, made when it is needed; from another address of the loopback if `source` names one."""

    def __init__(self, url, source="", timeout=15):
        at = urllib.parse.urlsplit(url)
        self.address, self.source, self.timeout = (at.hostname, at.port), source, timeout
        self.host = f"{at.hostname}:{at.port}"
        self.socket, self.buffer = None, b""

    def open(self):
        if self.socket is None:
            source = (self.source, 0) if self.source else None
            self.socket = socket.create_connection(self.address, self.timeout, source)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.buffer = b""
        return self

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def __enter__(self):
        return self.open()

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Sends what the peer takes: one that refuses early may have closed."""
        self.open()
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError):
            pass

    def ends(self):
        """No more bytes will come from here."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def more(self):
        """Whether more bytes came."""
        try:
            piece = self.socket.recv(65536)
        except ConnectionError:
            piece = b""
        self.buffer += piece
        return bool(piece)

    def _until(self, end):
        while end not in self.buffer:
            if not self.more():
                return None
        part, self.buffer = self.buffer.split(end, 1)
        return part

    def _take(self, count):
        while len(self.buffer) < count:
            if not self.more():
                return None
        part, self.buffer = self.buffer[:count], self.buffer[count:]
        return part

    def receive(self, bodiless=False):
        """The next answer; None if the connection was closed without one. Raises on one that breaks off or is no HTTP."""
        if self.socket is None:
            return None
        head = self._until(b"\r\n\r\n")
        if head is None:
            assert not self.buffer, f"an answer broke off: {self.buffer[:300]!r}"
            self.close()
            return None
        first, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        reply = Reply(int(status), headers, b"", version)
        if reply.status == 100:
            return self.receive(bodiless)
        if bodiless or reply.status in (204, 304):
            body = b""
        elif reply.header("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self._take(int(reply.header("content-length")))
        assert body is not None, f"an answer's body broke off: {reply}"
        reply.body = body
        if reply.closes:
            # To its end: what comes behind the last answer stays in the buffer.
            while self.more():
                pass
            self.close()
        return reply

    def _chunks(self):
        body = b""
        while True:
            line = self._until(b"\r\n")
            piece = None if line is None else self._take(int(line, 16) + 2)
            if piece is None:
                return None
            body += piece[:-2]
            if int(line, 16) == 0:
                return body

    def ask(self, data, bodiless=False):
        """The answer to what is sent."""
        self.send(data)
        return self.receive(bodiless)

    def closed_within(self, seconds):
        """Whether the peer ends the connection by then; what it still sends stays in the buffer."""
        if self.socket is None:
            return True
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                if not self.more():
                    return True
            except TimeoutError:
                return False
        return False


class Drip(threading.Thread):
    """A client that sends a byte of a header each second, until it is cut off (after `lasted` seconds, with `got`) or 14 s are over."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.lasted, self.got = url, None, b""

    def run(self):
        began = time.monotonic()
        with Wire(self.url) as wire:
            for byte in b"GET /livez HTT":
                wire.send(bytes([byte]))
                if wire.closed_within(1):
                    self.lasted = time.monotonic() - began
                    break
            self.got = wire.buffer


def request(method, target, host, headers=(), body=None):
    """A request as it should be, but for what the caller wants otherwise: nothing is checked."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"] + [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + (body or b"")


# --- gRPC, as much of it as a test needs: one unary call on one connection

_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 4, 6, 7, 9
# RFC 7541, appendix A: the names that a gRPC server may send by number; values are of no interest.
_STATIC = {8: (":status", "200"), 31: ("content-type", ""), 28: ("content-length", ""), 16: ("accept-encoding", ""),
           26: ("content-encoding", "")}


def _frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name, value):
    """A header field without indexing and without Huffman; names and values under 127 bytes but for long values."""
    def text(raw):
        size = len(raw)
        if size < 127:
            return bytes([size]) + raw
        more, out = size - 127, b"\x7f"
        while more >= 128:
            out += bytes([more % 128 + 128])
            more //= 128
        return out + bytes([more]) + raw
    return b"\0" + text(name.encode()) + text(value.encode())


class _Fields:
    """Reads header blocks of one connection; a text that is Huffman-coded reads as None."""

    def __init__(self):
        self.dynamic = []

    def read(self, block):
        found, at = {}, 0

        def number(prefix):
            nonlocal at
            most = (1 << prefix) - 1
            value = block[at] & most
            at += 1
            if value == most:
                shift = 0
                while True:
                    value += (block[at] & 127) << shift
                    shift += 7
                    at += 1
                    if block[at - 1] < 128:
                        break
            return value

        def text():
            nonlocal at
            huffman = block[at] & 128
            size = number(7)
            raw = block[at:at + size]
            at += size
            return None if huffman else raw.decode("latin-1")

        def entry(index):
            if index > 61:
                return self.dynamic[index - 62]
            return _STATIC.get(index, (f"static-{index}", None))

        while at < len(block):
            first = block[at]
            if first & 128:
                name, value = entry(number(7))
            elif first & 32 and not first & 64:  # the table's size
                number(5)
                continue
            else:
                kept = bool(first & 64)
                index = number(6 if kept else 4)
                name = entry(index)[0] if index else text()
                value = text()
                if kept:
                    self.dynamic.insert(0, (name, value))
            found[name] = value
        return found


def grpc_call(address, path, message=b"", metadata=(), timeout=15):
    """(the status as a number, the trailers, the answer's message) of one unary call over plaintext."""
    host, _, port = address.rpartition(":")
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", address), ("te", "trailers"),
              ("content-type", "application/grpc"), *metadata]
    with socket.create_connection((host, int(port)), timeout) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b"") +
                      _frame(_HEADERS, 4, 1, b"".join(_literal(name, value) for name, value in fields)) +
                      _frame(_DATA, 1, 1, b"\0" + struct.pack(">I", len(message)) + message))
        stream = plain.makefile("rb")
        reader, trailers, data, block = _Fields(), {}, b"", b""
        while True:
            head = stream.read(9)
            assert len(head) == 9, f"the connection ended; so far {trailers}"
            kind, flags = head[3], head[4]
            payload = stream.read(int.from_bytes(head[:3], "big"))
            if kind == _SETTINGS and not flags & 1:
                plain.sendall(_frame(_SETTINGS, 1, 0, b""))
            elif kind == _PING and not flags & 1:
                plain.sendall(_frame(_PING, 1, 0, payload))
            elif kind == _DATA:
                data += payload
            elif kind in (_HEADERS, _CONTINUATION):
                if kind == _HEADERS:
                    ending = bool(flags & 1)
                    if flags & 8:  # padded
                        payload = payload[1:len(payload) - payload[0]]
                    if flags & 32:  # with a priority
                        payload = payload[5:]
                    block = b""
                block += payload
                if flags & 4:
                    trailers |= reader.read(block)
                    if ending:
                        return int(trailers["grpc-status"]), trailers, data[5:]
            elif kind == _GOAWAY:
                raise AssertionError(f"GOAWAY: {payload!r}")
