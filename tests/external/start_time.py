#!/usr/bin/env python3
"""Measures how long it takes from starting the program to the first answer.

On an empty folder, where the pool is made first; after an orderly stop; after a kill under load; and after a kill when much
log lies behind the checkpoint. The times are printed; held to a limit is only the processor time that the server took,
which other work on the machine changes little. On a machine without other work `--seconds-max 2` holds the times as well.
"""

import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone  # noqa: E402  (the path must be set first)
from support.content import KIB, body  # noqa: E402
from support.crowd import Crowd  # noqa: E402
from support.load import Load, Session  # noqa: E402
from support.server import Server  # noqa: E402

LOOK = 0.002
BUCKET = "start"


def begin(server):
    """Starts; returns seconds to the first answer, and seconds of processor time that the server took for it."""
    seconds = server.start(LOOK)
    ticks = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return seconds, (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def report(what, times, options, seconds_max):
    """Prints a row, and asserts that the best of the times is good enough."""
    rows = ", ".join(f"{seconds:.2f} s ({busy:.2f} s of processor time)" for seconds, busy in times)
    print(f"{what}: first answer after {rows}", flush=True)
    busy = min(busy for _, busy in times)
    assert busy <= options.processor_seconds_max, f"{what}: {busy:.2f} s of processor time at best"
    best = min(seconds for seconds, _ in times)
    assert seconds_max is None or best <= seconds_max, f"{what}: {best:.2f} s at best, more than {seconds_max} s"


def empty(options, folder):
    """First starts."""
    times = []
    for turn in range(options.turns):
        server = Server(options.binary, folder / f"empty-{turn}", device_size="8GiB", memory="1GiB")
        try:
            times.append(begin(server))
        finally:
            server.end()
            shutil.rmtree(server.folder)
    report("empty folder", times, options, options.seconds_max)


def again(server, options):
    """After a stop, and after a kill under load."""
    load, stopped, killed = Load(server, options.seed, 8), [], []
    for _ in range(options.turns):
        load.begin()
        time.sleep(1)
        load.end()
        server.stop()
        stopped.append(begin(server))
        load.begin()
        time.sleep(1)
        server.kill()
        load.end()
        killed.append(begin(server))
        load.verify()
    report("after a stop", stopped, options, options.seconds_max)
    report("after a kill under load", killed, options, options.seconds_max)


def full_log(server, options):
    """A kill when as much log as possible lies behind the checkpoint."""
    assert Session(server).request("PUT", None, bucket=BUCKET)[0] == 200
    data, times = body("start", 8 * KIB), []
    for turn in range(options.turns):
        crowd = Crowd(server, BUCKET)
        crowd.run((("PUT", f"{turn}/{number}", data) for number in range(options.log_mib * 128)), lambda *_: None)
        crowd.close()
        server.kill()
        times.append(begin(server))
    said = [line for line in server.log_path.read_text().splitlines() if line.startswith("recovery:")]
    what = f"after a kill behind {options.log_mib} MiB of small objects ({said[-1]})"
    report(what, times, options, options.seconds_max and 2 * options.seconds_max)


def work(options, folder):
    """All three."""
    empty(options, folder)
    server = Server(options.binary, folder / "again", memory="1GiB")
    with alone.running(server):
        again(server, options)
        full_log(server, options)
        print("each start took as little processor time as it may")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds-max", type=float, help="hold the times to this too; behind much log, to twice this")
    parser.add_argument("--processor-seconds-max", type=float, default=2)
    parser.add_argument("--log-mib", type=int, default=60, help="just less than makes a checkpoint due")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
