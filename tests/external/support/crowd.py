"""Many connections driven by one thread: enough requests in a second to store a hundred thousand objects in a minute.

A job is `(method, key, body)`, and if need be a query and further headers. Every connection has one request under way.
The payload is not signed, so that signing costs little.
"""

import selectors
import socket

from support import sigv4

CONNECTIONS = 32
SECONDS_MAX = 60


class Lane:
    """One connection and the request that is under way on it."""

    def __init__(self, port):
        self.port, self.socket, self.job, self.unsent, self.answer = port, None, None, b"", bytearray()

    def open(self):
        """Connects, unless connected."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS_MAX)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)

    def close(self):
        """Ends the connection."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def write(self):
        """Sends what the socket takes; True when all is sent."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent):]
        except BlockingIOError:
            pass
        return not self.unsent

    def read(self):
        """Reads what has come; returns status and body when the answer is whole, else None."""
        try:
            got = self.socket.recv(1 << 18)
        except BlockingIOError:
            return None
        if not got:
            raise ConnectionResetError("closed without an answer")
        self.answer += got
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.answer[:end]).lower()
        status, length = int(head[9:12]), 0
        if self.job[0] != "HEAD" and status != 204:
            assert b"\r\ntransfer-encoding:" not in head, f"an answer of unknown length: {head}"
            at = head.index(b"\r\ncontent-length:") + len(b"\r\ncontent-length:")
            length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self.answer) < end + 4 + length:
            return None
        assert len(self.answer) == end + 4 + length, "more bytes than one answer has"
        return status, bytes(self.answer[end + 4:])


class Crowd:
    """All connections to one server."""

    def __init__(self, server, bucket, count=CONNECTIONS):
        self.host, self.bucket = f"127.0.0.1:{server.port}", bucket
        self.signer = sigv4.Signer(server.access, server.secret)
        self.lanes = [Lane(server.port) for _ in range(count)]
        self.selector = selectors.DefaultSelector()

    def request(self, method, key, body, query=(), more=None):
        """The bytes of one request."""
        path = sigv4.path_of(self.bucket, key)
        headers = self.signer.headers(method, path, self.host, query, sigv4.UNSIGNED, more)
        target = path + ("?" + "&".join(f"{sigv4.escape(a)}={sigv4.escape(b)}" for a, b in query) if query else "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{method} {target} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body

    def begin(self, lane, jobs):
        """Gives a lane its next request; False when there is none."""
        lane.job = next(jobs, None)
        if lane.job is None:
            return False
        lane.open()
        lane.unsent, lane.answer = self.request(*lane.job), bytearray()
        events = selectors.EVENT_READ if lane.write() else selectors.EVENT_READ | selectors.EVENT_WRITE
        self.selector.register(lane.socket, events, lane)
        return True

    def run(self, jobs, done):
        """Does all jobs; `done(job, status, body)` is told of each answer. Returns how many jobs got no answer because
        the server went away; after the first of those no further ones are begun."""
        jobs, unanswered = iter(jobs), 0
        for lane in self.lanes:
            if not self.begin(lane, jobs):
                break
        while self.selector.get_map():
            ready = self.selector.select(SECONDS_MAX)
            assert ready, f"no answer for {SECONDS_MAX} s to {[lane.job[:2] for lane in self.lanes if lane.job]}"
            for key, events in ready:
                lane = key.data
                try:
                    if events & selectors.EVENT_WRITE and lane.write():
                        self.selector.modify(lane.socket, selectors.EVENT_READ, lane)
                    answer = lane.read() if events & selectors.EVENT_READ else None
                except (ConnectionError, TimeoutError):
                    self.selector.unregister(lane.socket)
                    lane.close()
                    unanswered += 1
                    continue
                if answer is None:
                    continue
                self.selector.unregister(lane.socket)
                done(lane.job, *answer)
                lane.job = None
                try:
                    if not unanswered:
                        self.begin(lane, jobs)
                except ConnectionError:
                    lane.close()
                    unanswered += 1
        for lane in self.lanes:
            lane.job = None
        return unanswered

    def close(self):
        """Ends all connections."""
        for lane in self.lanes:
            lane.close()
