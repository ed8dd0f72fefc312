#!/usr/bin/env python3
"""Measures how long it takes from starting the program to the first answer.

On an empty folder, where the pool is made first; after an orderly stop; and after a kill under load. The first two, and
the last with little load, must take less than two seconds; with a full log behind the checkpoint the time is printed, and
bounded by what reading that log may cost.
"""

import pathlib
import random
import shutil
import statistics
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


def report(what, times, seconds_max):
    """Prints a row, and asserts that the middle one of the times is short enough."""
    print(f"{what}: {', '.join(f'{seconds:.2f}' for seconds in times)} s from start to first answer", flush=True)
    middle = statistics.median(times)
    assert middle <= seconds_max, f"{what}: {middle:.2f} s, more than {seconds_max} s"


def empty(options, folder):
    """First starts."""
    times = []
    for turn in range(options.turns):
        server = Server(options.binary, folder / f"empty-{turn}", device_size="8GiB", memory="1GiB")
        try:
            times.append(server.start(LOOK))
        finally:
            server.end()
            shutil.rmtree(server.folder)
    report("empty folder", times, options.seconds_max)


def again(server, options):
    """After a stop, and after a kill under load."""
    load, stopped, killed = Load(server, options.seed, 8), [], []
    for _ in range(options.turns):
        load.begin()
        time.sleep(1)
        load.end()
        server.stop()
        stopped.append(server.start(LOOK))
        load.begin()
        time.sleep(1)
        server.kill()
        load.end()
        killed.append(server.start(LOOK))
        load.verify()
    report("after a stop", stopped, options.seconds_max)
    report("after a kill under load", killed, options.seconds_max)


def full_log(server, options):
    """A kill when as much log as possible lies behind the checkpoint."""
    assert Session(server).request("PUT", None, bucket=BUCKET)[0] == 200
    data, times = body("start", 8 * KIB), []
    for turn in range(options.turns):
        crowd = Crowd(server, BUCKET)
        crowd.run((("PUT", f"{turn}/{number}", data) for number in range(options.log_mib * 128)), lambda *_: None)
        crowd.close()
        server.kill()
        times.append(server.start(LOOK))
    said = [line for line in server.log_path.read_text().splitlines() if line.startswith("recovery:")]
    report(f"after a kill behind {options.log_mib} MiB of small objects ({said[-1]})", times, options.log_seconds_max)


def work(options, folder):
    """All three."""
    random.seed(options.seed)
    empty(options, folder)
    server = Server(options.binary, folder / "again", memory="1GiB")
    server.start()
    try:
        again(server, options)
        full_log(server, options)
        print("the first answer comes in time")
    except Exception:
        print(f"--- the server's last lines\n{server.tail()}", flush=True)
        raise
    finally:
        server.end()


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds-max", type=float, default=2)
    parser.add_argument("--log-mib", type=int, default=60, help="just less than makes a checkpoint due")
    parser.add_argument("--log-seconds-max", type=float, default=10)
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
