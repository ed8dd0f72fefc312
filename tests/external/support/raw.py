"""HTTP over a plain socket: sends exactly the bytes that a test wants, and reads answers strictly."""

import re
import socket


class Closed(Exception):
    """The server closed the connection before a whole answer had come."""


class Answer:
    """One answer: status, headers with lower-case names, body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        """The S3 code in the error document, or None."""
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found.group(1).decode() if found else None

    def __repr__(self):
        return f"{self.status} {self.code or ''} {self.body[:300]!r}"


class Connection:
    """One connection to the server."""

    def __init__(self, host, port, timeout=20):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.buffered = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends bytes; a server that has already answered and closed is not a failure of sending."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def more(self):
        """Reads what has come; False at the end of the stream."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffered += data
        return bool(data)

    def take(self, count):
        """Exactly `count` bytes."""
        while len(self.buffered) < count:
            if not self.more():
                raise Closed(f"wanted {count} bytes, got {len(self.buffered)}")
        data, self.buffered = self.buffered[:count], self.buffered[count:]
        return data

    def line(self):
        """Bytes up to CRLF, which is dropped."""
        while b"\r\n" not in self.buffered:
            if not self.more():
                raise Closed(f"no whole line: {self.buffered[:200]!r}")
        line, self.buffered = self.buffered.split(b"\r\n", 1)
        return line

    def answer(self, method="GET", interim=False):
        """Reads one answer; skips `100 Continue` unless `interim`."""
        while True:
            status = int(self.line().split(b" ")[1])
            headers = {}
            while line := self.line():
                name, value = line.split(b":", 1)
                headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
            if status != 100 or interim:
                break
        return Answer(status, headers, self.body(method, status, headers))

    def body(self, method, status, headers):
        """The body of an answer with this head."""
        if method == "HEAD" or status in (100, 204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            out = b""
            while size := int(self.line().split(b";")[0], 16):
                out += self.take(size)
                assert self.take(2) == b"\r\n"
            while self.line():
                pass
            return out
        if "content-length" in headers:
            return self.take(int(headers["content-length"]))
        while self.more():
            pass
        data, self.buffered = self.buffered, b""
        return data

    def at_end(self):
        """True when the server closes the connection without another byte, within the timeout."""
        try:
            return not self.buffered and not self.more()
        except TimeoutError:
            return False


def head(method, target, headers):
    """The bytes of a request head."""
    lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
