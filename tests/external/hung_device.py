#!/usr/bin/env python3
"""A device that hangs while clients write and read: no write of it ends, and none fails.

The pool (code 4+2) lies on seven loop devices. The file of one of them is on a file system of its own, which is frozen
under load: from its next write on the device answers nothing, no read and no flush either, and the kernel does not give
back what it was asked. With these findings asserted:

- every client has changes acknowledged again while the device hangs, and the server says that it is out of service,
- each read of what was acknowledged gives the right bytes, also while it hangs,
- told to end while it hangs, the server is gone soon after the device goes on, if not before,
- started again with all seven devices it has every acknowledged object, byte for byte, and takes changes.

Times decide nothing: those below are what is taken for "never". The file system is thawed by a process of its own when
this one ends, in whatever way. Needs root, loop devices, mkfs.ext4 and fsfreeze; says loudly that it is left out where
these are not to be had.
"""

import contextlib
import math
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone, loops  # noqa: E402  (the path must be set first)
from support.content import MIB, body  # noqa: E402
from support.load import Load, Session, Unanswered  # noqa: E402
from support.server import DEVICE_COUNT  # noqa: E402

BUCKET = "kept"
SIZE_MAX = 3 * MIB
READERS = 4
# Of each client, so that it is not chance that the device was not needed.
CHANGES_EACH = 20
GOES_ON_SECONDS_MAX = 60
END_HUNG_SECONDS_MAX = 30
END_SECONDS_MAX = 60
# What a file system takes for itself.
FILE_SYSTEM_BYTES = 32 * MIB
# Thaws when its input ends, which is when the process that made it thaws or ends; no signal to that process ends it.
FREEZE = """trap '' HUP INT TERM; fsfreeze --freeze "$1" && echo frozen && cat; fsfreeze --unfreeze "$1" """


def refused():
    """Why this cannot be done here, or None."""
    missing = [program for program in ("mkfs.ext4", "fsfreeze", "losetup") if shutil.which(program) is None]
    return f"no {' and no '.join(missing)}" if missing else loops.refused()


def done(*words):
    """Runs a program that must succeed."""
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise OSError(f"{' '.join(map(str, words))}: {ended.stderr.strip()}")


class HangingLoops(loops.Loops):
    """The loop devices, and at one place among them a further one that can be made to hang."""

    def __init__(self, folder, bytes_each, place):
        super().__init__(folder, bytes_each)
        self.place, self.hanging = place, None
        self.image, self.mount = self.folder / "hanging.img", self.folder / "hanging"

    def __enter__(self):
        super().__enter__()
        try:
            self.mount_image()
            self.add_hanging()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        super().__exit__()
        if self.mount.is_mount():
            self.unmount()
        self.image.unlink(missing_ok=True)

    def unmount(self):
        """Ends the file system, and with it the loop device of its image."""
        for _ in range(loops.ATTACH_ATTEMPTS):
            if subprocess.run(["umount", self.mount], capture_output=True, check=False).returncode == 0:
                return
            # The kernel has yet to close what a killed server held of the device.
            time.sleep(0.1)
        done("umount", "--lazy", self.mount)

    def mount_image(self):
        """A file system for one file."""
        with open(self.image, "wb") as made:
            os.posix_fallocate(made.fileno(), 0, self.bytes_each + FILE_SYSTEM_BYTES)
        done("mkfs.ext4", "-q", "-m", 0, "-N", 16, "-O", "^has_journal", self.image)
        self.mount.mkdir()
        done("mount", "-o", "loop", self.image, self.mount)

    def add_hanging(self):
        """The device on that file."""
        file = self.mount / "loop.img"
        with open(file, "wb") as made:
            os.posix_fallocate(made.fileno(), 0, self.bytes_each)
        self.hanging = pathlib.Path(loops.losetup("--find", "--show", "--direct-io=on", file))
        files = list(self.files.items())
        files.insert(self.place, (self.hanging, file))
        self.files = dict(files)

    @contextlib.contextmanager
    def frozen(self):
        """The device hangs as long as the context lasts, from its next write on."""
        with subprocess.Popen(["sh", "-c", FREEZE, "freeze", self.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              start_new_session=True) as freezer:
            try:
                assert freezer.stdout.readline() == b"frozen\n", "the file system could not be frozen"
                yield
            finally:
                freezer.stdin.close()
                freezer.wait()
        assert freezer.returncode == 0, "the file system was not thawed"

    def writes_held(self):
        """How many writes the device was given and has not ended."""
        return int((pathlib.Path("/sys/block") / self.hanging.name / "inflight").read_text().split()[1])


class HangingServer(loops.LoopServer):
    """A server on such devices, with more settings."""

    def __init__(self, binary, folder, devices, settings):
        super().__init__(binary, folder, devices, memory="256MiB")
        self.settings = settings

    def make(self):
        """The pool, and the configuration with the settings."""
        super().make()
        self.write_configuration(self.config, self.devices(), self.settings)

    def log_size(self):
        """Where what is printed from now on begins."""
        return self.log_path.stat().st_size

    def warning_since(self, offset):
        """The line that was printed after that and says that the device is out of service, or None."""
        name = f"(device {self.loops.place}|{self.loops.hanging})"
        lines = self.log_path.read_bytes()[offset:].decode("utf-8", "replace").splitlines()
        return next((line for line in lines if re.search(rf"{name}\b.*out of service", line)), None)

    def status_lines(self):
        """What `ashlar pool status` says of the groups and of the device that hung."""
        line = [self.binary, "pool", "status", *map(str, self.devices())]
        ended = subprocess.run(line, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{' '.join(line)}: {ended.stdout}{ended.stderr}"
        rows = [" ".join(row.split()) for row in ended.stdout.splitlines()]
        return "; ".join(row for row in rows if row.startswith("redundancy") or row.endswith(str(self.loops.hanging)))


class Kept:
    """Objects that are written once and read ever after."""

    def __init__(self, server, seed, count):
        chance = random.Random(seed)
        # As many of some bytes as of some megabytes.
        self.sizes = {f"{number}": int(math.exp(chance.uniform(0, math.log(SIZE_MAX)))) for number in range(count)}
        self.server, self.wrong = server, []
        status, _, answer = Session(server).request("PUT", None, bucket=BUCKET)
        assert status == 200, answer

    def write(self, session, key):
        """Writes an object, and notes when that was not acknowledged."""
        status, _, answer = session.request("PUT", key, body(key, self.sizes[key]), bucket=BUCKET)
        if status != 200:
            self.wrong.append(f"PUT of {key}: {status} {answer[:200]}")

    def look(self, session, key):
        """Reads an object and notes what is wrong with it."""
        status, _, data = session.request("GET", key, bucket=BUCKET)
        if status != 200 or data != body(key, self.sizes[key]):
            self.wrong.append(f"GET of {key}: status {status}, {len(data)} of {self.sizes[key]} bytes, or others")

    def each(self, act):
        """Does one thing to all objects, by several clients; returns how many these are."""
        keys = list(self.sizes)
        threads = [threading.Thread(target=self.some, args=(act, keys[first::READERS]), daemon=True)
                   for first in range(READERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.check()
        return len(keys)

    def some(self, act, keys):
        """Does one thing to some objects, until the server is gone."""
        session = Session(self.server)
        try:
            for key in keys:
                act(session, key)
        except Unanswered as error:
            self.wrong.append(f"no answer: {error}")
        finally:
            session.close()

    def check(self):
        """Raises with what was wrong so far."""
        assert not self.wrong, f"{len(self.wrong)} wrong:\n" + "\n".join(self.wrong[:20])


class Readers:
    """Clients that read kept objects by chance; what is wrong is noted there."""

    def __init__(self, kept, seed):
        self.kept, self.stop, self.count = kept, threading.Event(), 0
        self.threads = [threading.Thread(target=kept.some, args=(self.look, self.keys(f"{seed}:{number}")), daemon=True)
                        for number in range(READERS)]

    def begin(self):
        """Starts all clients."""
        for thread in self.threads:
            thread.start()

    def end(self):
        """Stops all clients, and raises with what was wrong."""
        self.stop.set()
        for thread in self.threads:
            thread.join()
        self.kept.check()

    def keys(self, seed):
        """One after the other until it is over."""
        chance, keys = random.Random(seed), list(self.kept.sizes)
        while not self.stop.is_set():
            yield chance.choice(keys)

    def look(self, session, key):
        """Reads one."""
        self.kept.look(session, key)
        self.count += 1


def wait_until(holds, wrong):
    """Waits until `holds()`; returns the seconds that took. Raises with `wrong()` when that is never."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < GOES_ON_SECONDS_MAX, f"for {GOES_ON_SECONDS_MAX} s {wrong()}"
        time.sleep(0.1)
    return time.monotonic() - begun


def await_changes(load):
    """Waits until every client has some more changes acknowledged; returns the seconds that took."""
    before = [client.acknowledged for client in load.clients]

    def gained():
        return [client.acknowledged - was for client, was in zip(load.clients, before)]

    return wait_until(lambda: min(gained()) >= CHANGES_EACH,
                      lambda: f"not every client had {CHANGES_EACH} changes acknowledged, but they had {gained()}")


def await_service(server, load, readers, offset):
    """The device hangs: waits until it is out of service and clients are served without it."""
    seconds = await_changes(load)
    print(f"it hangs: changes are acknowledged again after {seconds:.1f} s", flush=True)
    wait_until(lambda: server.warning_since(offset), lambda: "the device was not said to be out of service")
    print(f"the server says: {server.warning_since(offset)}", flush=True)
    before = readers.count
    await_changes(load)
    wait_until(lambda: readers.count > before, lambda: "no kept object was read")
    assert server.loops.writes_held() > 0, "no write hangs: the run proves nothing"


def ask_to_end(server):
    """SIGTERM while the device hangs: a process may have to wait in the kernel for what it asked of a device."""
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(END_HUNG_SECONDS_MAX)
        print("told to end, the server ended while the device hung", flush=True)
    except subprocess.TimeoutExpired:
        state = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0]
        print(f"told to end, the server is there {END_HUNG_SECONDS_MAX} s later, in state {state}", flush=True)


def await_end(server):
    """The device goes on, and nothing keeps the server."""
    status = server.process.wait(END_SECONDS_MAX)
    server.process = None
    assert status == 0, f"exit status {status} after SIGTERM and the end of the hang"


def hang_round(server, load, kept, chance, seconds_max):
    """The device hangs under load, the server ends meanwhile, and starts when the device goes on."""
    offset, readers = server.log_size(), Readers(kept, chance.random())
    load.begin()
    readers.begin()
    time.sleep(chance.uniform(0.2, seconds_max))
    with server.loops.frozen():
        await_service(server, load, readers, offset)
        load.end()
        readers.end()
        ask_to_end(server)
    await_end(server)
    server.start()
    print(f"all devices again: {server.status_lines()}", flush=True)
    count = kept.each(kept.look) + load.verify()
    load.begin()
    await_changes(load)
    load.end()
    load.verify()
    return f"{readers.count} reads meanwhile, {count} keys right afterwards"


def work(options, folder):
    """All rounds on one pool."""
    reason = refused()
    if reason:
        print(f"LEFT OUT the device that hangs: {reason}", flush=True)
        return
    chance = random.Random(options.seed)
    place = chance.randrange(DEVICE_COUNT + 1)
    settings = f'device_patience = "{options.patience}"\n' if options.patience else ""
    with HangingLoops(folder, loops.size(options.device_size), place) as devices:
        server = HangingServer(options.binary, folder, devices, settings)
        with alone.running(server):
            kept = Kept(server, options.seed, options.objects)
            count = kept.each(kept.write)
            print(f"{count} objects written; {devices.hanging}, device {place} of the pool, is to hang", flush=True)
            load = Load(server, options.seed, options.clients)
            for number in range(1, options.rounds + 1):
                print(f"round {number}: {hang_round(server, load, kept, chance, options.seconds)}", flush=True)
            status = server.stop()
            assert status == 0, f"exit status {status} after SIGTERM"
            print(f"{load.acknowledged()} acknowledged changes while a device hung {options.rounds} times")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often the device hangs")
    parser.add_argument("--clients", type=int, default=8, help="writers at once")
    parser.add_argument("--objects", type=int, default=300, help="how many are written before and only read then")
    parser.add_argument("--seconds", type=float, default=3, help="longest time under load before it hangs")
    parser.add_argument("--patience", default="3s", help="the server's `device_patience`; the key is left out if empty")
    parser.add_argument("--device-size", default="512MiB")
    # Being ended from outside must clean up too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
