#!/usr/bin/env python3
"""Opens thousands of idle connections and hundreds of slow uploads, and watches the server's memory.

The server is told a budget with `--memory`. What it holds, huge pages included, must stay within that, whatever clients
do; every upload must end in 200 or, when the server sheds load, in 503; and afterwards the server must answer as before.

All uploads are open and moving all the time. With `--waves N` a part of them at a time is let finish, while the others
only trickle, and what has been stored is compared and deleted: so they need a fraction of the room on the devices.
"""

import collections
import pathlib
import re
import resource
import selectors
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone, sigv4  # noqa: E402  (the path must be set first)
from support.content import MIB, body  # noqa: E402
from support.load import Session  # noqa: E402
from support.server import Server  # noqa: E402

BUCKET = "memory"
SLICE = 256 * 1024
# An upload that is not let finish sends this much at first, and then enough in each pause not to be ended for being slow.
FIRST_BYTES = 2 * MIB
TRICKLE_BYTES, TRICKLE_SECONDS = 256 * 1024, 10


def memory(pid):
    """Bytes that a process holds now, that it held at most (as the kernel remembers), and the huge pages among them.
    Pages of hugetlbfs are in neither of the kernel's counts, so they are added."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    now, most, huge = (int(re.search(rf"{name}:\s+(\d+) kB", text).group(1)) * 1024
                       for name in ("VmRSS", "VmHWM", "HugetlbPages"))
    return now + huge, most + huge, huge


def transparent(pid):
    """Bytes in transparent huge pages; these are counted in the resident set."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"AnonHugePages:\s+(\d+) kB", text)) * 1024


class Watch(threading.Thread):
    """Samples the memory of a process until told to stop."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.highest, self.huge, self.samples, self.stop = pid, 0, 0, 0, threading.Event()

    def run(self):
        """Samples ten times a second."""
        while not self.stop.wait(0.1):
            _, most, huge = memory(self.pid)
            self.highest, self.huge = max(self.highest, most), max(self.huge, huge)
            self.samples += 1


class Upload:
    """One slow upload: a connection, and how much of it was sent and answered."""

    def __init__(self, server, number, length, data):
        self.host = f"127.0.0.1:{server.port}"
        signer = sigv4.Signer(server.access, server.secret)
        target = signer.presign("PUT", sigv4.path_of(BUCKET, f"upload-{number}"), self.host, expires=3600)
        self.head = f"PUT {target} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {length}\r\n\r\n".encode()
        self.key, self.data, self.length, self.sent, self.answer = f"upload-{number}", data, length, 0, b""
        self.allowed, self.done = length, False
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.socket.setblocking(False)

    def write(self):
        """Sends what the socket takes; True when all that is allowed is sent."""
        try:
            if self.head:
                self.head = self.head[self.socket.send(self.head):]
                return False
            at = self.sent % len(self.data)
            self.sent += self.socket.send(self.data[at:at + min(SLICE, self.allowed - self.sent)])
        except BlockingIOError:
            pass
        return self.sent >= self.allowed

    def read(self):
        """Reads the answer; True when its status is known."""
        try:
            got = self.socket.recv(4096)
        except BlockingIOError:
            return False
        self.answer += got
        return not got or b"\r\n\r\n" in self.answer

    @property
    def status(self):
        """The answer's status, 0 if the server closed without one."""
        return int(self.answer.split(b" ")[1]) if self.answer.startswith(b"HTTP/1.1 ") else 0


class Drive:
    """Sends all uploads a little at a time, and counts the answers."""

    def __init__(self, uploads, pause, seconds_max):
        self.pause, self.end = pause, time.monotonic() + seconds_max
        self.selector, self.statuses, self.open = selectors.DefaultSelector(), collections.Counter(), set(uploads)
        self.trickled = time.monotonic()
        for upload in uploads:
            self.selector.register(upload.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, upload)

    def allow(self, upload, count):
        """Lets an upload send up to `count` bytes of its body in all."""
        upload.allowed = min(upload.length, max(count, upload.sent))
        if not upload.done and upload.sent < upload.allowed:
            self.selector.modify(upload.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, upload)

    def until(self, finished):
        """Goes on until `finished()`; nobody is left without a byte for long."""
        while not finished():
            assert time.monotonic() < self.end, f"{len(self.open)} uploads are still open: {self.statuses}"
            if time.monotonic() - self.trickled > TRICKLE_SECONDS:
                self.trickled = time.monotonic()
                for upload in self.open:
                    if upload.sent == upload.allowed:
                        self.allow(upload, upload.sent + TRICKLE_BYTES)
            for key, events in self.selector.select(1):
                self.turn(key.data, events)
            time.sleep(self.pause)

    def turn(self, upload, events):
        """One connection is ready."""
        done = False
        try:
            if events & selectors.EVENT_WRITE and upload.write():
                self.selector.modify(upload.socket, selectors.EVENT_READ, upload)
            if events & selectors.EVENT_READ:
                done = upload.read()
        except (ConnectionResetError, BrokenPipeError):
            done = True
        if done:
            self.statuses[upload.status] += 1
            self.open.discard(upload)
            self.selector.unregister(upload.socket)
            upload.socket.close()
            upload.done = True


def in_waves(options, drive, uploads, server, wanted):
    """Lets the uploads finish in waves; compares some of what was stored, and deletes all of it but the last wave."""
    session, stored = Session(server), 0
    for upload in uploads:
        drive.allow(upload, FIRST_BYTES if options.waves > 1 else upload.length)
    drive.until(lambda: all(upload.done or upload.sent >= min(FIRST_BYTES, upload.length) for upload in uploads))
    print(f"{len(drive.open)} uploads under way at once, {memory(server.pid)[0] // MIB} MiB", flush=True)
    for number in range(options.waves):
        wave = uploads[number::options.waves]
        for upload in wave:
            drive.allow(upload, upload.length)
        drive.until(lambda: all(upload.done for upload in wave))
        good = [upload for upload in wave if upload.status == 200]
        stored += len(good)
        for upload in good[:: max(1, len(good) // 3)]:
            found = session.request("GET", upload.key, bucket=BUCKET)[2]
            assert found == wanted, f"{upload.key} has other bytes"
        if options.waves > 1:
            for upload in good:
                assert session.request("DELETE", upload.key, bucket=BUCKET)[0] == 204
            print(f"wave {number + 1}: {len(good)} of {len(wave)} stored, {memory(server.pid)[0] // MIB} MiB", flush=True)
    return stored


def idle_connections(server, count):
    """Connections that say nothing, or begin a request and leave it."""
    made = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        if number % 3 == 1:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nx-unfinished: ")
        made.append(connection)
    return made


def work(options, folder):
    """All of it."""
    budget = options.memory_mib * MIB
    server = Server(options.binary, folder, device_size=options.device_size, memory=f"{options.memory_mib}MiB")
    server.start()
    watch = Watch(server.pid)
    try:
        session = Session(server)
        assert session.request("PUT", None, bucket=BUCKET)[0] == 200
        before = memory(server.pid)[0]
        watch.start()
        idle = idle_connections(server, options.idle)
        data = body("memory", 4 * MIB)
        uploads = [Upload(server, number, options.upload_mib * MIB, data) for number in range(options.uploads)]
        drive = Drive(uploads, options.pause, options.seconds_max)
        wanted = (data * (options.upload_mib // 4 + 1))[:options.upload_mib * MIB]
        stored = in_waves(options, drive, uploads, server, wanted)
        for connection in idle:
            connection.close()
        assert server.alive(), f"the server died:\n{server.tail()}"
        thp = transparent(server.pid)
        watch.stop.set()
        watch.join()
        print(f"{before // MIB} MiB at first, {watch.highest // MIB} MiB at most in {watch.samples} samples, budget "
              f"{budget // MIB} MiB ({watch.huge // MIB} MiB of huge pages, {thp // MIB} MiB of transparent ones are counted "
              f"in); answers {dict(drive.statuses)}", flush=True)
        assert watch.samples > 5, "the run was too short to see anything"
        assert watch.highest <= budget, f"{watch.highest} bytes, more than the budget of {budget}"
        assert set(drive.statuses) <= {200, 503}, f"answers {dict(drive.statuses)}"
        assert stored > 0, "no upload came through"
        status, _, _ = session.request("PUT", "after", b"after", bucket=BUCKET)
        assert (status, session.request("GET", "after", bucket=BUCKET)[2]) == (200, b"after")
        print(f"{options.uploads} uploads of {options.upload_mib} MiB at once and {options.idle} idle connections stayed "
              f"within {budget // MIB} MiB; {stored} were stored")
    except Exception:
        print(f"--- the server's last lines\n{server.tail()}", flush=True)
        raise
    finally:
        watch.stop.set()
        server.end()


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--small", action="store_true", help="a run for every change: fewer and smaller uploads")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections")
    parser.add_argument("--uploads", type=int, default=500, help="uploads at once")
    parser.add_argument("--upload-mib", type=int, default=64, help="size of each")
    parser.add_argument("--memory-mib", type=int, default=1024, help="the server's budget")
    parser.add_argument("--device-size", default="16GiB", help="of each of six; files are sparse")
    parser.add_argument("--waves", type=int, default=1, help="let so many parts of the uploads finish one after another")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between turns")
    parser.add_argument("--seconds-max", type=float, default=1800)
    options = parser.parse_args()
    if options.small:
        options.idle, options.uploads, options.upload_mib, options.seconds_max = 300, 100, 4, 300
        options.memory_mib, options.device_size = 256, "1GiB"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    alone.run(options, work)


if __name__ == "__main__":
    main()
