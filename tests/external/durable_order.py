#!/usr/bin/env python3
"""Watches the kernel during single PUTs, and shows that the answer is sent after the data is on stable media.

The pool lies on loop devices that say that their cache is volatile. For a PUT of 4 KiB and one of 4 MiB, all block writes
and all operations of the server's rings are traced, with these findings asserted:

- at least 1 + m devices are written, and for the large one every byte with its parity,
- every write that reaches a device asks for forced unit access (the kernel makes a write and a flush of it where the
  device has none), and it completes before the answer is given to the socket,
- every ring operation that wrote ended with the whole length before that.

Then the same devices say that they have no volatile cache, and the writes must be without it: so the eye that looks for
it can also see that it is missing. The file descriptor of each device must be open for direct I/O.

Needs root, loop devices and tracefs; says loudly that it is left out where these are not to be had.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone, loops  # noqa: E402  (the path must be set first)
from support.content import KIB, MIB, body  # noqa: E402
from support.load import Session  # noqa: E402
from support.server import DEVICES_LOST_MAX  # noqa: E402

TRACEFS = pathlib.Path("/sys/kernel/tracing")
BUCKET = "order"
O_DIRECT = 0o40000 if os.uname().machine == "x86_64" else 0o200000
DATA_MEMBERS, MEMBERS = 4, 6
LINE = re.compile(r"^\s*(?P<task>.+)-(?P<pid>\d+)\s+\[\d+\]\s+\S+\s+(?P<at>[\d.]+): (?P<event>\w+): (?P<rest>.*)$")
SUBMIT = re.compile(r"req (?P<req>\S+), user_data \S+, opcode (?P<op>\w+),")
COMPLETE = re.compile(r"req (?P<req>\S+), user_data \S+, result (?P<result>-?\d+),")
BLOCK = re.compile(r"^(?P<major>\d+),(?P<minor>\d+) (?P<kind>\w+) .*?(?P<sector>\d+) \+ (?P<sectors>\d+)")


class Trace:
    """An instance of the kernel's tracer of our own, so that nobody else's is disturbed."""

    EVENTS = ("io_uring/io_uring_submit_req", "io_uring/io_uring_complete", "block/block_bio_queue",
              "block/block_rq_issue", "block/block_rq_complete")

    def __init__(self):
        self.folder = TRACEFS / "instances" / f"ashlar-{os.getpid()}"

    def __enter__(self):
        self.folder.mkdir()
        self.write("trace_clock", "mono")
        self.write("buffer_size_kb", "16384")
        for event in self.EVENTS:
            self.write(f"events/{event}/enable", "1")
        return self

    def __exit__(self, *_):
        for event in self.EVENTS:
            self.write(f"events/{event}/enable", "0")
        self.folder.rmdir()

    def write(self, name, text):
        """Sets one of the tracer's files."""
        (self.folder / name).write_text(text)

    def clear(self):
        """Forgets what was recorded."""
        self.write("trace", "")

    def events(self):
        """What was recorded, in the order of time."""
        text = (self.folder / "trace").read_text()
        assert "LOST" not in text, "events were lost: the buffer is too small"
        found = [LINE.match(line) for line in text.splitlines() if not line.startswith("#")]
        return [match.groupdict() for match in found if match]


def refused():
    """Why this cannot be done here, or None."""
    reason = loops.refused()
    if reason:
        return reason
    if not (TRACEFS / "instances").is_dir():
        subprocess.run(["mount", "-t", "tracefs", "nodev", str(TRACEFS)], capture_output=True, check=False)
    if not (TRACEFS / "instances").is_dir():
        return "no tracefs"
    missing = [event for event in Trace.EVENTS if not (TRACEFS / "events" / event).is_dir()]
    return f"the kernel has no tracepoints {missing}" if missing else None


class Device:
    """What one device did: bytes that were queued and written, and whether a flush came behind the last of them."""

    def __init__(self):
        self.queued, self.plain, self.written, self.flushes = 0, 0, 0, 0
        self.flush_under_way, self.flushed = False, False

    def block_bio_queue(self, kind, sectors):
        """A write arrives; its `W` is followed by `F` when it must be durable at its end."""
        if "W" in kind and sectors:
            self.queued += sectors * 512
            if "F" not in kind.split("W", 1)[1]:
                self.plain += sectors * 512

    def block_rq_issue(self, kind, _sectors):
        """The driver is given a flush."""
        if kind.startswith("F"):
            self.flush_under_way = True

    def block_rq_complete(self, kind, sectors):
        """The driver has ended a write or a flush. A flush that began before a write ended proves nothing for it."""
        if kind.startswith("F"):
            self.flushes += 1
            self.flushed, self.flush_under_way = self.flush_under_way, False
        elif "W" in kind and sectors:
            self.written += sectors * 512
            self.flushed, self.flush_under_way = False, False


class Put:
    """What the kernel did between the request and the answer of one PUT."""

    def __init__(self, events, pid, minors):
        self.threads = {int(name) for name in os.listdir(f"/proc/{pid}/task")}
        self.devices = {minor: Device() for minor in minors}
        self.sent, self.ring_writes, self.under_way = False, 0, {}
        for event in events:
            if self.sent:
                break
            if event["event"].startswith("block"):
                self.block(event)
            else:
                self.ring(event)
        self.devices = {minor: device for minor, device in self.devices.items() if device.queued}

    def block(self, event):
        """An event of one of our devices is told to it."""
        found = BLOCK.match(event["rest"])
        if found and found["major"] == "7" and int(found["minor"]) in self.devices:
            getattr(self.devices[int(found["minor"])], event["event"])(found["kind"], int(found["sectors"]))

    def ring(self, event):
        """A ring operation of the server begins or ends; the first that sends is the answer."""
        begun, ended = SUBMIT.search(event["rest"]), COMPLETE.search(event["rest"])
        if begun and int(event["pid"]) in self.threads:
            self.sent = begun["op"].startswith("SEND")
            if begun["op"].startswith("WRITE"):
                self.under_way[begun["req"]] = begun["op"]
        elif ended and self.under_way.pop(ended["req"], None):
            assert int(ended["result"]) > 0, f"a write failed: {event['rest']}"
            self.ring_writes += 1

    def check_finished(self, length):
        """Everything that was begun is done, and it is enough."""
        assert self.sent, "the answer was not seen"
        assert not self.under_way, f"the answer was sent while {len(self.under_way)} ring writes were under way"
        open_ = {minor: (device.queued, device.written) for minor, device in self.devices.items()
                 if device.queued != device.written}
        assert not open_, f"the answer was sent before these devices had written all (queued, written): {open_}"
        assert len(self.devices) > DEVICES_LOST_MAX, f"only {len(self.devices)} devices were written"
        wanted = length * (1 + DEVICES_LOST_MAX) if length <= 64 * KIB else length * MEMBERS // DATA_MEMBERS
        stored = sum(device.written for device in self.devices.values())
        assert stored >= wanted, f"{stored} bytes were written, but {wanted} are needed to survive the loss of two devices"
        assert self.ring_writes >= len(self.devices), f"{self.ring_writes} ring writes"

    def check_forced(self):
        """Every write asked to be durable at its end, and a flush followed on every device that was written."""
        plain = {minor: device.plain for minor, device in self.devices.items() if device.plain}
        assert not plain, f"bytes written to volatile caches only, by device: {plain}"
        unflushed = [minor for minor, device in self.devices.items() if not device.flushed]
        assert not unflushed, f"loop devices {unflushed} were not flushed between their last write and the answer"

    def check_plain(self):
        """No write asked for it: nothing is volatile."""
        assert all(device.plain == device.queued for device in self.devices.values()), "forced though nothing is volatile"

    def text(self):
        """For people."""
        devices = self.devices.values()
        forced = sum(device.queued - device.plain for device in devices)
        return (f"{self.ring_writes} ring writes of {sum(device.written for device in devices)} bytes on {len(devices)} "
                f"devices, {forced} of these bytes forced, {sum(device.flushes for device in devices)} flushes; all had "
                "ended when the answer was given to the socket")


def open_flags(server):
    """Asserts that every device is open for direct I/O; returns a line."""
    flags = {}
    folder = pathlib.Path(f"/proc/{server.pid}")
    for link in (folder / "fd").iterdir():
        try:
            path = pathlib.Path(os.readlink(link))
        except OSError:
            continue
        if path in server.devices():
            text = (folder / "fdinfo" / link.name).read_text()
            flags.setdefault(path, []).append(int(re.search(r"flags:\s+(\d+)", text).group(1), 8))
    assert set(flags) == set(server.devices()), f"open devices: {sorted(flags)}"
    through_cache = {path for path, all_flags in flags.items() if not all(flag & O_DIRECT for flag in all_flags)}
    assert not through_cache, f"open without O_DIRECT: {through_cache}"
    return f"{len(flags)} devices are open with O_DIRECT (flags {', '.join(sorted({oct(f[0]) for f in flags.values()}))})"


def set_cache(devices, text):
    """Makes devices say `write back` (volatile) or `write through`."""
    for path in devices:
        queue = pathlib.Path("/sys/block") / path.name / "queue/write_cache"
        queue.write_text(text)
        assert queue.read_text().strip() == text, f"{path} says {queue.read_text().strip()}"


def traced(server, session, trace, name, length):
    """One PUT, and what the kernel saw of it."""
    minors = {os.minor(path.stat().st_rdev) for path in server.devices()}
    data = body(name, length)
    time.sleep(0.5)
    trace.clear()
    status, _, answer = session.request("PUT", name, data, bucket=BUCKET)
    events = trace.events()
    assert status == 200, answer
    assert session.request("GET", name, bucket=BUCKET)[2] == data
    return Put(events, server.pid, minors)


def serve_and_look(options, folder, devices, cache):
    """A server on devices with this kind of cache, and PUTs of all sizes."""
    set_cache(devices.paths(), cache)
    server = loops.LoopServer(options.binary, folder, devices)
    with alone.running(server):
        print(f"write cache `{cache}`: {open_flags(server)}", flush=True)
        session = Session(server)
        assert session.request("PUT", None, bucket=BUCKET)[0] == 200
        time.sleep(1)  # the checkpoint of the start has ended
        with Trace() as trace:
            for turn in range(options.turns):
                for length in (4 * KIB, 100 * KIB, 4 * MIB):
                    put = traced(server, session, trace, f"object-{turn}-{length}", length)
                    put.check_finished(length)
                    if cache == "write back":
                        put.check_forced()
                    else:
                        put.check_plain()
                    if turn == 0:
                        print(f"PUT of {length} bytes: {put.text()}", flush=True)
        assert server.stop() == 0


def work(options, folder):
    """Both kinds of cache."""
    reason = refused()
    if reason:
        print(f"LEFT OUT the order of writes and answers: {reason}", flush=True)
        return
    for cache in ("write back", "write through"):
        with loops.Loops(folder / cache.replace(" ", "-"), loops.size(options.device_size)) as devices:
            serve_and_look(options, folder / cache.replace(" ", "-"), devices, cache)
    print(f"in {options.turns} turns no answer was sent before its data was on stable media")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device-size", default="256MiB")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
