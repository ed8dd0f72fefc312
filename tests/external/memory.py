#!/usr/bin/env python3
"""Opens thousands of idle connections and hundreds of slow uploads, and watches the server's memory. Then more connections
than it has room for.

The server is told a budget with `--memory`. What it holds, huge pages included, must stay within that, whatever clients
do; every upload must end in 200 or, when the server sheds load, in 503; and afterwards the server must answer as before.
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
        self.data, self.length, self.sent, self.answer = data, length, 0, b""
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.socket.setblocking(False)

    def write(self):
        """Sends what the socket takes; True when all is sent."""
        try:
            if self.head:
                self.head = self.head[self.socket.send(self.head):]
                return False
            at = self.sent % len(self.data)
            self.sent += self.socket.send(self.data[at:at + min(SLICE, self.length - self.sent)])
        except BlockingIOError:
            pass
        return self.sent == self.length

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


def drive(uploads, pause, seconds_max):
    """Sends all uploads a little at a time; returns how often each status came."""
    selector, statuses, begun = selectors.DefaultSelector(), collections.Counter(), time.monotonic()
    for upload in uploads:
        selector.register(upload.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, upload)
    while selector.get_map():
        assert time.monotonic() - begun < seconds_max, f"uploads still open after {seconds_max} s: {statuses}"
        for key, events in selector.select(5):
            upload, done = key.data, False
            try:
                if events & selectors.EVENT_WRITE and upload.write():
                    selector.modify(upload.socket, selectors.EVENT_READ, upload)
                if events & selectors.EVENT_READ:
                    done = upload.read()
            except (ConnectionResetError, BrokenPipeError):
                done = True
            if done:
                statuses[upload.status] += 1
                selector.unregister(upload.socket)
                upload.socket.close()
        time.sleep(pause)
    return statuses


def idle_connections(server, count):
    """Connections that say nothing, or begin a request and leave it."""
    made = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        if number % 3 == 1:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nx-unfinished: ")
        made.append(connection)
    return made


def keep_alive(server, count):
    """Connections that ask for something once and are kept; how many of them the server still has in the end."""
    made = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 "), "each is answered, however many came before"
        made.append(connection)
    kept = 0
    for connection in made:
        connection.setblocking(False)
        try:
            kept += bool(connection.recv(1))
        except BlockingIOError:
            kept += 1
        connection.close()
    return kept


def work(options, folder):
    """All of it."""
    budget = options.memory_mib * MIB
    server = Server(options.binary, folder, device_size=options.device_size, memory=f"{options.memory_mib}MiB")
    server.start()
    watch = Watch(server.pid)
    try:
        session = Session(server)
        assert session.request("PUT", None, bucket=BUCKET)[0] == 200
        session.close()  # it would be closed for being idle
        before = memory(server.pid)[0]
        watch.start()
        idle = idle_connections(server, options.idle)
        data = body("memory", 4 * MIB)
        uploads = [Upload(server, number, options.upload_mib * MIB, data) for number in range(options.uploads)]
        statuses = drive(uploads, options.pause, options.seconds_max)
        for connection in idle:
            connection.close()
        kept = keep_alive(server, options.keep_alive)
        assert server.alive(), f"the server died:\n{server.tail()}"
        thp = transparent(server.pid)
        watch.stop.set()
        watch.join()
        print(f"{before // MIB} MiB at first, {watch.highest // MIB} MiB at most in {watch.samples} samples, budget "
              f"{budget // MIB} MiB ({watch.huge // MIB} MiB of huge pages, {thp // MIB} MiB of transparent ones are counted "
              f"in); answers {dict(statuses)}", flush=True)
        assert watch.samples > 5, "the run was too short to see anything"
        assert watch.highest <= budget, f"{watch.highest} bytes, more than the budget of {budget}"
        assert set(statuses) <= {200, 503}, f"answers {dict(statuses)}"
        assert statuses[200] > 0, "no upload came through"
        status, _, _ = session.request("PUT", "after", b"after", bucket=BUCKET)
        assert (status, session.request("GET", "after", bucket=BUCKET)[2]) == (200, b"after")
        stored = [upload for upload in uploads if upload.status == 200]
        wanted = (data * (options.upload_mib // 4 + 1))[:options.upload_mib * MIB]
        for upload in stored[:: max(1, len(stored) // 5)]:
            key = f"upload-{uploads.index(upload)}"
            assert session.request("GET", key, bucket=BUCKET)[2] == wanted, f"{key} has other bytes"
        assert 0 < kept < options.keep_alive, f"{kept} connections kept, none given up for another"
        print(f"of {options.keep_alive} connections {kept} were kept, the others gave way")
        print(f"{options.uploads} uploads of {options.upload_mib} MiB at once and {options.idle} idle connections stayed "
              f"within {budget // MIB} MiB; {len(stored)} were stored")
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
    parser.add_argument("--keep-alive", type=int, default=12000, help="connections that are kept, more than fit")
    parser.add_argument("--uploads", type=int, default=500, help="uploads at once")
    parser.add_argument("--upload-mib", type=int, default=64, help="size of each")
    parser.add_argument("--memory-mib", type=int, default=1024, help="the server's budget")
    parser.add_argument("--device-size", default="16GiB", help="of each of six; files are sparse")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between turns")
    parser.add_argument("--seconds-max", type=float, default=1800)
    options = parser.parse_args()
    if options.small:
        options.idle, options.uploads, options.upload_mib, options.seconds_max = 300, 100, 4, 300
        options.memory_mib, options.device_size, options.keep_alive = 256, "1GiB", 3000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    alone.run(options, work)


if __name__ == "__main__":
    main()
