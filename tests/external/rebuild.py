#!/usr/bin/env python3
"""Devices that are lost for good, one after the other, each replaced by a new one while clients write.

Each round: kill under load, throw a device away, `pool add` a new one, start; clients go on while the new device takes what
the lost one had, and the server is killed once more on the way. When `pool status` says that no group lacks a member,
every key is read. In the end two more devices are moved away and every key is read again: each byte is on devices that
were not there when it was written, or was proved to be elsewhere.
"""

import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone  # noqa: E402  (the path must be set first)
from support.load import Load  # noqa: E402
from support.server import DEVICE_COUNT, DEVICES_LOST_MAX, Server  # noqa: E402

WHOLE_SECONDS_MAX = 300


class FileServer(Server):
    """A server on files, made and exchanged by `ashlar pool`."""

    def __init__(self, binary, folder, device_size):
        super().__init__(binary, folder, device_size=device_size)
        self.config, self.made = self.folder / "ashlar.toml", DEVICE_COUNT
        self.files = [self.folder / f"device-{number}" for number in range(DEVICE_COUNT)]
        self.pool_command("create", "files", "--code", "4+2", "--file-size", device_size, *self.files)

    def pool_command(self, *words):
        """`ashlar pool …`; returns what it prints."""
        return self.ashlar("pool", *words)

    def ashlar(self, *words):
        """`ashlar …`; returns what it prints."""
        line = [self.binary, *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(line)}: {done.stdout}{done.stderr}"
        return done.stdout

    def command(self):
        """The line that starts the server."""
        self.write_configuration(self.config, self.files, 'rebuild_after = "0s"\n')
        return [self.binary, "serve", "--config", str(self.config)]

    def devices(self):
        """Those of the pool now."""
        return self.files

    def replace(self, lost):
        """Throws a device away and takes a new one in; the server must not run."""
        lost.unlink()
        new = self.folder / f"device-{self.made}"
        self.made += 1
        self.files = [path for path in self.files if path != lost]
        print(self.pool_command("add", "--new", new, "--file-size", self.device_size, *self.files).splitlines()[0])
        self.files.append(new)

    def lacking(self):
        """Groups that lack a member, by the last checkpoint."""
        lines = self.pool_command("status", *self.files).splitlines()
        counts = [line.split() for line in lines if line.startswith("redundancy")]
        return sum(int(words[1]) for words in counts if words[4] != "0")


def replace_round(server, load, chance):
    """Loses a device and waits until nothing of it is missed."""
    load.begin()
    time.sleep(chance.uniform(0.5, 1.5))
    server.kill()
    load.end()
    lost = chance.choice(server.devices())
    server.replace(lost)
    lacking = server.lacking()
    assert lacking > 0, "a pool that lost a device lacks something"
    server.start()
    load.begin()
    time.sleep(chance.uniform(0.2, 1.5))
    server.kill()
    load.end()
    server.start()
    begun = time.monotonic()
    while server.lacking() > 0:
        assert time.monotonic() - begun < WHOLE_SECONDS_MAX, f"{server.lacking()} groups still lack a member"
        time.sleep(0.2)
    count = load.verify()
    return f"{lost.name} is lost, {lacking} groups lacked a member and none does now, {count} keys right"


def work(options, folder):
    """All rounds, and the loss of two more."""
    chance = random.Random(options.seed)
    server = FileServer(options.binary, folder, options.device_size)
    with alone.running(server):
        load = Load(server, options.seed, options.clients)
        for number in range(1, options.rounds + 1):
            print(f"round {number}: {replace_round(server, load, chance)}", flush=True)
        assert load.acknowledged() > 0, "nothing was acknowledged: the run proves nothing"
        status = server.stop()
        assert status == 0, f"exit status {status} after SIGTERM"
        away = chance.sample(server.devices(), DEVICES_LOST_MAX)
        server.take_away(away)
        server.start()
        count = load.verify()
        print(f"without {' and '.join(path.name for path in away)}, too, {count} keys right")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="how many devices to lose")
    parser.add_argument("--clients", type=int, default=8, help="writers at once")
    parser.add_argument("--device-size", default="512MiB")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
