#!/usr/bin/env python3
"""Walks over every byte of every structure of a small pool, changes it, and sees what a server makes of that.

A small pool is made: objects of all kinds of sizes, partly behind a checkpoint and partly in the log only, and then a kill.
Its images are kept. Each batch puts them back, changes one byte in every structure (label, superblock, segment header,
chunk) of two of the six devices, starts the server, and reads every object and the listing: all must be right, as two
devices may rot. One byte in each structure and no more: so no other damage can hide a byte that nothing checks. The next
batch takes the next byte of each structure, first those that are not zero. Every few batches three to six devices are
changed: then an object may be refused, or the start may be, but no wrong byte may come.

As many batches as the largest structure has bytes, for each pair of devices, walk over every byte:

    python3 tests/external/flip_walk.py --binary target/release/ashlar --batches 800000 --seed 1

What fails is made smaller, and printed as the bytes that must be changed in the images for it to happen again.
"""

import collections
import http.client
import os
import pathlib
import random
import shutil
import struct
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone  # noqa: E402  (the path must be set first)
from support.content import KIB, MIB, body  # noqa: E402
from support.load import Session, Unanswered  # noqa: E402
from support.server import DEVICE_COUNT, DEVICES_LOST_MAX, Server  # noqa: E402

BUCKET = "walk"
UNIT = 4096
SLOT = 64 * KIB
HEAD_REGION, TAIL_REGION = MIB, 256 * KIB
SIZES = [0, 1, 100, 4095, 20_000, 65_536, 65_537, 200 * KIB, MIB + 1]
# Kinds of groups, as chunk headers number them.
KINDS = {1: "log", 2: "data", 3: "index"}
BEYOND_EVERY = 5
SMALLER_TRIES_MAX = 60
DENSE = 256


class Structure:
    """One piece of a device that one checksum or one place in a row stands for, and the order in which it is walked."""

    def __init__(self, kind, device, start, data, chance):
        self.kind, self.device, self.start, self.length = kind, device, start, len(data)
        written = [at for at, byte in enumerate(data) if byte]
        zeros = [at for at, byte in enumerate(data) if not byte]
        chance.shuffle(written)
        chance.shuffle(zeros)
        self.order, self.next = struct.pack(f"<{len(data)}I", *written, *zeros), 0

    def take(self):
        """The next place to change, as an offset of the device; begins again when all were taken."""
        at, = struct.unpack_from("<I", self.order, self.next % self.length * 4)
        self.next += 1
        return self.start + at

    @property
    def walked(self):
        """How many of its bytes were changed so far."""
        return min(self.next, self.length)


def structures_of(device, data, chance):
    """All structures of one image."""
    segment_bytes, = struct.unpack_from("<Q", data, 56)
    end = len(data) - len(data) % SLOT
    tail = end - TAIL_REGION
    found = [("label", at, UNIT) for at in (0, tail)]
    found += [("superblock", at, SLOT) for at in (SLOT, 2 * SLOT, tail + SLOT, tail + 2 * SLOT)]
    for segment in range(HEAD_REGION, tail - segment_bytes + 1, segment_bytes):
        at = segment
        if data[at:at + 8] == b"ASHSEGMT":
            found.append(("segment header", at, UNIT))
        while at < segment + segment_bytes:
            if data[at:at + 8] != b"ASHCHUNK":
                at += UNIT
                continue
            height, = struct.unpack_from("<H", data, at + 0x34)
            found.append((f"{KINDS.get(data[at + 10], 'unknown')} chunk", at, height * UNIT))
            at += height * UNIT
    return [Structure(kind, device, at, data[at:at + length], chance) for kind, at, length in found]


class Images:
    """The pool as it was when the server was killed, kept without its zeros, and the structures on it."""

    def __init__(self, server, chance):
        self.names = [path.name for path in server.devices()]
        self.pieces, self.sizes, self.structures = {}, {}, []
        for path in server.devices():
            data = path.read_bytes()
            self.sizes[path.name] = len(data)
            slots = ((at, data[at:at + SLOT]) for at in range(0, len(data), SLOT))
            self.pieces[path.name] = [(at, piece) for at, piece in slots if any(piece)]
            self.structures += structures_of(path.name, data, chance)
        self.others = {path.name: path.read_bytes() for path in server.pool.iterdir() if path.name not in self.names}

    def put_back(self, folder, changes):
        """Writes all images into a fresh folder, with some bytes changed: (device, offset, bits)."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, data in self.others.items():
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o600)
        for name in self.names:
            with open(folder / name, "w+b", buffering=0) as file:
                file.truncate(self.sizes[name])
                for at, piece in self.pieces[name]:
                    os.pwrite(file.fileno(), piece, at)
                for _, at, bits in (change for change in changes if change[0] == name):
                    before = os.pread(file.fileno(), 1, at)[0]
                    os.pwrite(file.fileno(), bytes([before ^ bits]), at)

    def table(self):
        """What there is: structures and bytes of each kind, and how many bytes were walked."""
        rows = collections.defaultdict(lambda: [0, 0, 0])
        for one in self.structures:
            row = rows[one.kind]
            row[0], row[1], row[2] = row[0] + 1, row[1] + one.length, row[2] + one.walked
        return dict(rows)


class Wrong(Exception):
    """What a server must not do."""


def fill(server):
    """Makes the objects; returns for each key all contents that it ever had, newest last, and None for a deletion."""
    session, history = Session(server), collections.defaultdict(list)

    def put(key, name, length):
        data = body(name, length)
        assert session.request("PUT", key, data, bucket=BUCKET)[0] == 200
        history[key].append(data)

    assert session.request("PUT", None, bucket=BUCKET)[0] == 200
    for life in ("checkpointed", "logged"):
        for length in SIZES:
            put(f"{life}/{length}", f"{life} {length}", length)
        for number in range(6):
            put(f"{life}/changed-{number}", f"{life} old {number}", 1000 * number)
            put(f"{life}/deleted-{number}", f"{life} gone {number}", 3000 * number)
        if life == "checkpointed":
            again = [f"{life}/changed-{number}" for number in range(3)]
            gone = [f"{life}/deleted-{number}" for number in range(3)]
        else:
            again = [key for key in history if "changed" in key]
            gone = [key for key in history if "deleted" in key and history[key][-1] is not None]
        for key in again:
            put(key, f"{life} new {key}", 2500)
        for key in gone:
            assert session.request("DELETE", key, bucket=BUCKET)[0] == 204
            history[key].append(None)
        if life == "checkpointed":
            session.close()
            # The start makes a checkpoint, so that the first half of all this lies in index runs.
            server.kill()
            server.start()
            session = Session(server)
    session.close()
    return dict(history)


def get(session, key, contents):
    """Reads one object; returns status and body. An answer that was cut off counts as an error, and as wrong when what
    came of it is not the beginning of what was written."""
    try:
        status, _, found = session.request("GET", key, bucket=BUCKET)
    except Unanswered as error:
        if not isinstance(error.__cause__, http.client.IncompleteRead):
            raise Wrong(f"{key}: no answer: {error}") from error
        partial = error.__cause__.partial
        if not any(content is not None and content.startswith(partial) for content in contents):
            raise Wrong(f"{key}: {len(partial)} wrong bytes, and then nothing") from error
        return 500, partial
    return status, found


def look(server, history, strict):
    """Reads everything. Strict: all must be right. Else errors are in order, and what was lost if the start said so."""
    said = server.log_path.read_text("utf-8", "replace")
    confessed = "damaged beyond repair" in said
    session, refused = Session(server), 0
    for key, contents in history.items():
        status, found = get(session, key, contents)
        present = found if status == 200 else None
        if status in (200, 404) and present == contents[-1]:
            continue
        if strict:
            raise Wrong(f"{key}: status {status}, {len(found)} bytes")
        if status >= 500:
            refused += 1
        elif status not in (200, 404) or not confessed or present is not None and present not in contents:
            start = "told of lost rows" if confessed else "was quiet"
            raise Wrong(f"{key}: status {status}, {len(found)} bytes, and the start {start}")
    refused += look_at_listing(session, history, strict, confessed)
    session.close()
    return refused


def look_at_listing(session, history, strict, confessed):
    """The listing must be whole; returns 1 if it was refused."""
    status, _, answer = session.request("GET", None, query=[("list-type", "2")], bucket=BUCKET)
    listed = [row.split(b"</Key>")[0].decode() for row in answer.split(b"<Key>")[1:]]
    wanted = sorted(key for key, contents in history.items() if contents[-1] is not None)
    if (status, listed) == (200, wanted):
        return 0
    if strict or status < 500 and not confessed:
        raise Wrong(f"listing: status {status}, {sorted(set(listed) ^ set(wanted))} too many or missing")
    return int(status >= 500)


def attempt(server, images, history, changes, strict):
    """One batch; returns how it went in a word, or raises `Wrong`."""
    images.put_back(server.pool, changes)
    server.log_path.unlink(missing_ok=True)
    try:
        server.start(look_seconds=0.005)
    except RuntimeError as error:
        if strict or "ended with 1 " not in str(error):
            raise Wrong(str(error)) from error
        return "start refused"
    try:
        refused = look(server, history, strict)
    except Unanswered as error:
        raise Wrong(f"no answer: {error}\n{server.tail()}") from error
    finally:
        server.end()
        server.process = None
    if "a task failed" in server.log_path.read_text("utf-8", "replace"):
        raise Wrong(f"a task panicked:\n{server.tail()}")
    return "some refused" if refused else "all right"


def smaller(server, images, history, changes, strict):
    """Leaves out changes as long as it still goes wrong."""
    pieces, tries = 2, 0
    while len(changes) > 1 and tries < SMALLER_TRIES_MAX:
        size = -(-len(changes) // pieces)
        for start in range(0, len(changes), size):
            fewer = changes[:start] + changes[start + size:]
            tries += 1
            try:
                attempt(server, images, history, fewer, strict)
            except Wrong:
                changes, pieces = fewer, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(changes), pieces * 2)
    return changes


class Chooser:
    """Which devices are changed in a batch, and what on them."""

    def __init__(self, images, chance):
        self.images, self.chance, self.pairs = images, chance, []

    def within(self):
        """Every structure of two devices."""
        if not self.pairs:
            # Three pairs that together are all devices, so that each is walked as often.
            names = self.chance.sample(self.images.names, DEVICE_COUNT)
            self.pairs = [names[at:at + DEVICES_LOST_MAX] for at in range(0, DEVICE_COUNT, DEVICES_LOST_MAX)]
        return self.changes(self.pairs.pop(), lambda kind: True)

    def beyond(self):
        """One kind of structure, or all, on more devices than may rot."""
        devices = self.chance.sample(self.images.names, self.chance.randrange(DEVICES_LOST_MAX + 1, DEVICE_COUNT + 1))
        only = self.chance.choice([None, "segment header", "data chunk", "data chunk", "log chunk", "index chunk"])
        return self.changes(devices, lambda kind: only in (None, kind))

    def changes(self, devices, wanted):
        """The next byte of each of these structures, with the bits of it that change."""
        return [(one.device, one.take(), self.bits()) for one in self.images.structures
                if one.device in devices and wanted(one.kind)]

    def bits(self):
        """Mostly one, else several."""
        return 1 << self.chance.randrange(8) if self.chance.random() < 0.7 else self.chance.randrange(1, 256)


def walk(options, server, images, history, chance):
    """All batches; returns how often each outcome came."""
    outcomes, begun, chooser = collections.Counter(), time.monotonic(), Chooser(images, chance)
    for batch in range(options.batches):
        if options.seconds and time.monotonic() - begun > options.seconds:
            break
        strict = batch % BEYOND_EVERY != BEYOND_EVERY - 1
        changes = chooser.within() if strict else chooser.beyond()
        try:
            outcome = attempt(server, images, history, changes, strict)
        except Wrong as wrong:
            fewest = smaller(server, images, history, changes, strict)
            kinds = [one.kind for device, at, _ in fewest for one in images.structures
                     if one.device == device and one.start <= at < one.start + one.length]
            raise AssertionError(f"batch {batch}, {'within' if strict else 'beyond'} what may rot: {wrong}\n"
                                 f"enough for it (device, offset, bits): {list(zip(fewest, kinds))[:40]}") from wrong
        outcomes[f"{'within' if strict else 'beyond'}: {outcome}"] += 1
    return outcomes


def see(server, images, history):
    """Damages all bodies on one device more than may rot: if that is not noticed, the rest proves nothing."""
    devices = images.names[:DEVICES_LOST_MAX + 1]
    changes = [(one.device, at, 1) for one in images.structures if one.device in devices and one.kind == "data chunk"
               for at in range(one.start, one.start + one.length, DENSE)]
    outcome = attempt(server, images, history, changes, False)
    assert outcome == "some refused", f"{len(changes)} bytes changed on {len(devices)} devices: {outcome}"
    try:
        attempt(server, images, history, changes, True)
    except Wrong as wrong:
        print(f"every {DENSE}th byte of all bodies changed on {len(devices)} devices: {outcome}, as {wrong}", flush=True)
    else:
        raise AssertionError("damage beyond repair was not noticed")


def work(options, folder):
    """Makes the images, and walks."""
    chance = random.Random(options.seed)
    memory = pathlib.Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="ashlar-walk-", dir=memory))
    server = Server(options.binary, folder, device_size="64MiB", memory=options.memory, cores=1)
    server.start()
    try:
        history = fill(server)
        server.kill()
        images = Images(server, chance)
        for kind, (count, length, _) in images.table().items():
            print(f"{count} {kind}s of {length} bytes", flush=True)
        outcome = attempt(server, images, history, [], True)
        print(f"unchanged: {outcome}", flush=True)
        see(server, images, history)
        begun = time.monotonic()
        outcomes = walk(options, server, images, history, chance)
        for kind, (_, length, walked) in images.table().items():
            print(f"{kind}s: {walked} of {length} bytes changed", flush=True)
        print(f"{sum(outcomes.values())} batches in {time.monotonic() - begun:.0f} s: "
              f"{', '.join(f'{count} times {outcome}' for outcome, count in sorted(outcomes.items()))}; no wrong byte")
        assert outcomes["within: all right"] > 0, "nothing was tried"
    except Exception:
        print(f"--- the server's last lines\n{server.tail()}", flush=True)
        raise
    finally:
        server.end()
        if folder != options.folder:
            shutil.rmtree(folder, ignore_errors=True)


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--batches", type=int, default=1000, help="starts of the server")
    parser.add_argument("--seconds", type=float, default=0, help="stop after that time; 0: never")
    parser.add_argument("--memory", default="256MiB")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
