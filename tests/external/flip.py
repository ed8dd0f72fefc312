#!/usr/bin/env python3
"""Spoils bytes on up to two of six devices while the server is stopped; every object must still come back right.

Most flips go where something is stored: a flip in a hole of the file proves nothing. Flips come one by one, in runs of a
sector, and as blocks that hold the bytes of another block (a misdirected write). With `--while-running` bytes change all
the time, while clients write and read and while a killed server recovers.
"""

import mmap
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone  # noqa: E402  (the path must be set first)
from support.load import Load  # noqa: E402
from support.server import DEVICES_LOST_MAX, Server  # noqa: E402

BLOCK = 4096


def stored_blocks(path):
    """Offsets of the blocks of a file that hold anything but zeros, and that fill their block."""
    offsets = []
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        at = 0
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start - start % BLOCK)
            for offset in range(start - start % BLOCK, at - at % BLOCK, BLOCK):
                if any(file.read(BLOCK)):
                    offsets.append(offset)
    return offsets


def spoil(path, chance, count):
    """Spoils `count` places of a device; returns how many bytes changed."""
    blocks = stored_blocks(path)
    assert blocks, f"{path} holds nothing"
    changed = 0
    # Past the page cache, as the server writes: the kernel answers EIO to one who syncs pages that were written over so.
    file, page = os.open(path, os.O_RDWR | os.O_DIRECT), mmap.mmap(-1, BLOCK)
    try:
        for _ in range(count):
            offset = chance.choice(blocks)
            before = read(file, page, offset)
            page[:] = spoiled(before, chance, lambda: read(file, page, chance.choice(blocks)))
            assert os.pwritev(file, [page], offset) == BLOCK
            changed += sum(left != right for left, right in zip(before, page[:]))
        os.fsync(file)
    finally:
        os.close(file)
        page.close()
    return changed


def read(file, page, offset):
    """The block at an offset, by way of `page`."""
    assert os.preadv(file, [page], offset) == BLOCK
    return page[:]


def spoiled(block, chance, other):
    """The block with one bit, one sector, or everything changed."""
    kind = chance.random()
    if kind < 0.7:
        at = chance.randrange(len(block))
        return block[:at] + bytes([block[at] ^ 1 << chance.randrange(8)]) + block[at + 1:]
    if kind < 0.9:
        at = chance.randrange(len(block) // 512) * 512
        return block[:at] + chance.randbytes(512) + block[at + 512:]
    return other()


class Flipper(threading.Thread):
    """Spoils places of some devices all the time. It may also undo a write that the server makes to the same block just
    then, which is a lost write on a device that is spoilt anyway."""

    def __init__(self, devices, seed):
        super().__init__(daemon=True)
        self.devices, self.chance, self.stop = devices, random.Random(f"flipper {seed}"), threading.Event()
        self.changed = 0

    def run(self):
        """Goes on until told to stop."""
        while not self.stop.wait(0.05):
            for path in self.devices:
                self.changed += spoil(path, self.chance, 50)


def while_running(options, folder):
    """Load and verification, with kills, under constant change."""
    chance = random.Random(options.seed)
    server = Server(options.binary, folder, device_size=options.device_size)
    server.start()
    flipper = Flipper(chance.sample(server.devices(), DEVICES_LOST_MAX), options.seed)
    try:
        load = Load(server, options.seed, 8)
        flipper.start()
        for number in range(1, options.rounds + 1):
            load.begin()
            time.sleep(chance.uniform(0.5, options.seconds))
            if number % 2:
                server.kill()
                load.end()
                server.start()
            else:
                load.end()
            count = load.verify()
            print(f"round {number}: {load.acknowledged()} changes, {flipper.changed} bytes spoilt so far, {count} keys right",
                  flush=True)
        assert flipper.is_alive() and flipper.changed > 0, "nothing was spoilt"
    except Exception:
        print(f"--- the server's last lines\n{server.tail()}", flush=True)
        raise
    finally:
        flipper.stop.set()
        flipper.join()
        server.end()
    print(f"no wrong byte in {options.rounds} rounds while bytes of two devices changed under the server")


def work(options, folder):
    """Load, stop, spoil, start, verify; by turns after an orderly stop and after a kill."""
    if options.while_running:
        while_running(options, folder)
        return
    chance = random.Random(options.seed)
    server = Server(options.binary, folder, device_size=options.device_size)
    with alone.running(server):
        load = Load(server, options.seed, 8)
        # The same two throughout: a third spoilt device may rightly cost objects, unless all was repaired before.
        devices = chance.sample(server.devices(), DEVICES_LOST_MAX)
        for number in range(1, options.rounds + 1):
            load.begin()
            time.sleep(options.seconds)
            load.end()
            if number % 2:
                server.stop()
            else:
                server.kill()
            changed = [spoil(path, chance, options.flips) for path in devices]
            server.start()
            count = load.verify()
            # Once more, as the first reading may have put things into memory or repaired them.
            load.verify()
            spoilt = ", ".join(f"{path.name}: {bytes_} bytes" for path, bytes_ in zip(devices, changed))
            print(f"round {number}: {spoilt}; {count} keys right", flush=True)
    print(f"no wrong byte after {options.rounds} rounds of {options.flips} flips on each of two devices")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--flips", type=int, default=1000, help="places to spoil on each of two devices")
    parser.add_argument("--while-running", action="store_true", help="change bytes under a server that works")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="load before each round")
    parser.add_argument("--device-size", default="1GiB")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
