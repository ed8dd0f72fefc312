#!/usr/bin/env python3
"""Data that rots on two devices, and that nobody reads: the server finds it by itself and writes it back.

Objects are written and the server is stopped. In every group, blocks of two of the six devices are overwritten. The server
is started, and reads everything because that is due; when it says that a pass is over that began after the start, it is
stopped. Then two of the other devices are moved away: now every chunk that is left is needed, so that each object comes back
right only if what was overwritten is right again.

Then one of the devices that are left rots, too. Now the server must name the objects that cannot be read, and no others.

With `--every never` this must fail.
"""

import datetime
import json
import os
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from rebuild import FileServer  # noqa: E402  (the path must be set first)
from support import alone  # noqa: E402
from support.content import KIB, MIB, body  # noqa: E402
from support.load import Session, Unanswered  # noqa: E402
from support.server import DEVICES_LOST_MAX  # noqa: E402

BUCKET = "archive"
BLOCK = 4 * KIB
SEGMENTS_OFFSET = MIB
SEGMENT_BYTES_AT = 56
SIZES = [1, 4095, 20_000, 65_536, 65_537, 200 * KIB, MIB + 1]
# One block of so many is overwritten, and one of each segment at least.
BLOCKS_PER_DAMAGE = 8
OVER_SECONDS_MAX = 120


class ScrubServer(FileServer):
    """A server on files that reads everything so often."""

    def __init__(self, options, folder):
        super().__init__(options.binary, folder, options.device_size)
        self.every = options.every

    def command(self):
        """The line that starts the server."""
        self.write_configuration(self.config, self.files, f'scrub_every = "{self.every}"\n')
        return [self.binary, "serve", "--config", str(self.config)]

    def inspect(self, *words):
        """`ashlar inspect … --json`: what it prints."""
        return json.loads(self.ashlar("inspect", "--json", *words, *self.files))

    def last_pass(self):
        """When the last pass began, seconds since 1970 or 0, and whether it is over."""
        status = self.pool_command("status", *self.files)
        found = re.search(r"^scrubbed +last pass began (.*) UTC, (over|under way)$", status, re.MULTILINE)
        if found is None:
            assert re.search(r"^scrubbed +not yet$", status, re.MULTILINE), f"no pass in:\n{status}"
            return 0, False
        return datetime.datetime.fromisoformat(f"{found[1]}+00:00").timestamp(), found[2] == "over"

    def log(self, offset=0):
        """What the server printed, from there on."""
        return self.log_path.read_bytes()[offset:].decode("utf-8", "replace")

    def mended(self, offset):
        """Chunks that the server said since that are mended."""
        return sum(map(int, re.findall(r"(\d+) chunks? \w+ bad and \w+ mended", self.log(offset))))


class Objects:
    """What was written, by key."""

    def __init__(self, server, seed, count):
        self.server, chance = server, random.Random(seed)
        self.sizes = {f"{number}": chance.choice(SIZES) for number in range(count)}

    def write(self):
        """Writes all of them, and deletes some others on the way, so that groups are partly dead."""
        session = Session(self.server)
        assert session.request("PUT", None, bucket=BUCKET)[0] == 200
        for number, (key, size) in enumerate(self.sizes.items()):
            self.put(session, key, size)
            if number % 5 == 0:
                self.put(session, f"gone-{key}", size)
                assert session.request("DELETE", f"gone-{key}", bucket=BUCKET)[0] == 204
        session.close()

    def put(self, session, key, size):
        """Writes one."""
        status, _, answer = session.request("PUT", key, body(key, size), bucket=BUCKET)
        assert status == 200, f"PUT of {key}: {status} {answer[:200]}"

    def wrong(self):
        """Reads all of them: by key, what is wrong."""
        session, wrong = Session(self.server), {}
        for key, size in self.sizes.items():
            try:
                status, _, data = session.request("GET", key, bucket=BUCKET)
            except Unanswered as error:
                wrong[key] = f"{key}: no answer: {error}"
                session.close()
                session = Session(self.server)
                continue
            if status != 200 or data != body(key, size):
                wrong[key] = f"{key}: status {status}, {len(data)} of {size} bytes, or others"
        session.close()
        return wrong

    def verify(self):
        """Raises with what is wrong."""
        wrong = list(self.wrong().values())
        assert not wrong, f"{len(wrong)} of {len(self.sizes)} wrong:\n" + "\n".join(wrong[:20])


def segments(server):
    """Of each device, by number: of each group in which something lives its kind, segment, and how much is written."""
    places = {number: [] for number in range(len(server.files))}
    for group in server.inspect("--checkpoint")["groups"]:
        for member in group["members_(device:segment)"].split() if group["live_bytes"] else ():
            device, segment = map(int, member.split(":"))
            places[device].append((group["kind"], segment, group["tail"]))
    return places


def rot(path, places, chance):
    """Overwrites blocks of these segments that hold something; returns how many of each kind of group."""
    counts = {}
    with open(path, "r+b", buffering=0) as file:
        segment_bytes = int.from_bytes(os.pread(file.fileno(), 8, SEGMENT_BYTES_AT), "little")
        for kind, segment, tail in places:
            begin = SEGMENTS_OFFSET + segment * segment_bytes
            held = [at for at in range(begin, begin + tail * BLOCK, BLOCK) if any(os.pread(file.fileno(), BLOCK, at))]
            for at in chance.sample(held, max(1, len(held) // BLOCKS_PER_DAMAGE)):
                os.pwrite(file.fileno(), chance.randbytes(BLOCK), at)
                counts[kind] = counts.get(kind, 0) + 1
        os.fsync(file.fileno())
    return counts


def await_pass(server, begun, offset):
    """Waits until everything was read by a pass that began after `begun`, and the server said what it found."""
    deadline, first, is_over = time.monotonic() + OVER_SECONDS_MAX, None, False
    while not is_over or server.mended(offset) == 0:
        assert server.alive(), "the server has ended"
        assert time.monotonic() < deadline, f"in {OVER_SECONDS_MAX} s not everything was read and mended"
        time.sleep(0.2)
        began, is_none_under_way = server.last_pass()
        first = first or (began if began > begun else None)
        # Where another follows at once, it is seen under way only.
        is_over = is_over or first is not None and (is_none_under_way or began > first)
    return server.mended(offset)


def stop(server):
    """An orderly end."""
    status = server.stop()
    assert status == 0, f"exit status {status} after SIGTERM"


def scrub(server, options):
    """Starts the server on what has rotted and waits until it is mended; does nothing if it never is."""
    offset, begun = server.log_path.stat().st_size, time.time()
    server.start()
    if options.every == "never":
        print("nothing is read: what follows must fail", flush=True)
    else:
        mended = await_pass(server, begun, offset)
        print(f"a pass is over after {time.time() - begun:.1f} s; chunks mended: {mended} at least", flush=True)
    stop(server)
    said = server.log(offset)
    for words in ("cannot be read", "could not be", "more damaged", "to their end", "WARNING: device"):
        assert words not in said, f"the server says: {next(line for line in said.splitlines() if words in line)}"


def lose(server, objects, path, places, chance):
    """Damages a device more than there is redundancy for, and compares what the server says with what can be read."""
    stop(server)
    rot(path, places, chance)
    offset = server.log_path.stat().st_size
    server.start()
    deadline = time.monotonic() + OVER_SECONDS_MAX
    while not re.search(r"^ashlar: scrubbed so far: .*cannot be read whole", server.log(offset), re.MULTILINE):
        assert server.alive(), "the server has ended"
        assert time.monotonic() < deadline, f"in {OVER_SECONDS_MAX} s nothing was said of objects that are lost"
        time.sleep(0.2)
    said = server.log(offset)
    assert "more damaged" not in said, "an index that cannot be read proves nothing"
    named = set(re.findall(rf"^ashlar: WARNING: scrubbing: {BUCKET}/(\S+) cannot be read whole", said, re.MULTILINE))
    wrong = objects.wrong()
    assert named == wrong.keys(), f"named: {sorted(named)}\nwrong: {wrong}"
    print(f"with {path.name} rotten besides, {len(named)} objects are lost, and named")


def work(options, folder):
    """Writes, damages, scrubs, takes away, reads."""
    chance = random.Random(options.seed)
    server = ScrubServer(options, folder)
    with alone.running(server):
        objects = Objects(server, options.seed, options.objects)
        objects.write()
        stop(server)
        numbers = chance.sample(range(len(server.files)), 2 * DEVICES_LOST_MAX)
        rotten, lost = numbers[:DEVICES_LOST_MAX], [server.files[number] for number in numbers[DEVICES_LOST_MAX:]]
        places, path = segments(server), server.files[rotten[0]]
        for number in rotten:
            counts = rot(server.files[number], places[number], chance)
            assert {"data", "log", "index"} <= counts.keys(), f"too little was written, the run proves nothing: {counts}"
            print(f"{server.files[number].name} rots: blocks overwritten in groups of each kind: {counts}", flush=True)
        scrub(server, options)
        server.take_away(lost)
        server.start()
        objects.verify()
        names = " and ".join(path.name for path in lost)
        print(f"without {names}, too, {len(objects.sizes)} objects right", flush=True)
        # Of bodies only: an index that is lost has no names.
        bodies = [place for place in places[rotten[0]] if place[0] == "data"]
        lose(server, objects, path, bodies, chance)


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--every", default="1s", help="the server's `scrub_every`")
    parser.add_argument("--device-size", default="256MiB")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
