#!/usr/bin/env python3
"""Kills the server under load, again and again; whatever was acknowledged must be there afterwards.

Each round: load by many clients, SIGKILL at a random moment, start on the same devices, read every key. Then two of the
six devices are moved away and every key is read again from the other four; then they come back, and once more. Then other
two go under load each time, while those of the last time come back with what they held. With `--loop-devices` the pool
lies on block devices, made by `pool create` and served by `serve --config`, and in the end two of them fail under load.
"""

import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone, loops  # noqa: E402  (the path must be set first)
from support.load import Load  # noqa: E402
from support.server import DEVICES_LOST_MAX, Server  # noqa: E402


def kill_round(server, load, chance, seconds_max):
    """Load, kill, start, verify; returns a line that says what happened."""
    before = load.acknowledged()
    load.begin()
    time.sleep(chance.uniform(0.2, seconds_max))
    server.kill()
    load.end()
    started = server.start()
    # Kill once more while it recovers and nothing is written: recovery must be able to begin again.
    if chance.random() < 0.5:
        server.kill()
        started = server.start()
    count = load.verify()
    return f"{load.acknowledged() - before} changes, started in {started:.1f} s, {count} keys right"


def lose_devices(server, load, chance):
    """Takes two devices away while the server is stopped, verifies, and brings them back."""
    lost = chance.sample(server.devices(), DEVICES_LOST_MAX)
    server.kill()
    server.take_away(lost)
    server.start()
    count = load.verify()
    server.kill()
    server.bring_back(lost)
    server.start()
    load.verify()
    return f"without {' and '.join(path.name for path in lost)} {count} keys right, and with them again"


def swap_devices(server, load, chance, turns):
    """Under load, each kill takes two other devices than the last one, which come back with what they held then."""
    away = []
    for _ in range(turns):
        load.begin()
        time.sleep(chance.uniform(0.2, 1.5))
        server.kill()
        load.end()
        following = chance.sample([path for path in server.devices() if path not in away], DEVICES_LOST_MAX)
        server.bring_back(away)
        server.take_away(following)
        away = following
        server.start()
        count = load.verify()
        print(f"then without {' and '.join(path.name for path in away)}: {count} keys right", flush=True)
    server.kill()
    server.bring_back(away)
    server.start()
    load.verify()


def shrink_devices(server, load, chance):
    """Two devices fail one after the other while clients write; nobody may notice, then or after a kill."""
    failing = chance.sample(server.devices(), DEVICES_LOST_MAX)
    before = load.acknowledged()
    load.begin()
    for path in failing:
        time.sleep(1)
        server.loops.shrink(path)
    time.sleep(2)
    load.end()
    load.verify()
    load.begin()
    time.sleep(1)
    server.kill()
    load.end()
    server.start()
    count = load.verify()
    print(f"{' and '.join(path.name for path in failing)} failed under load: {load.acknowledged() - before} changes "
          f"meanwhile, {count} keys right, also after a kill", flush=True)


def work(options, folder):
    """All rounds, on files or on loop devices."""
    if not options.loop_devices:
        rounds(options, Server(options.binary, folder, device_size=options.device_size))
        return
    reason = loops.refused()
    if reason:
        print(f"LEFT OUT the kill loop on loop devices: {reason}", flush=True)
        return
    with loops.Loops(folder, loops.size(options.device_size)) as devices:
        rounds(options, loops.LoopServer(options.binary, folder, devices))


def rounds(options, server):
    """All rounds on one server."""
    chance = random.Random(options.seed)
    with alone.running(server):
        load = Load(server, options.seed, options.clients)
        for number in range(1, options.rounds + 1):
            print(f"round {number}: {kill_round(server, load, chance, options.seconds)}", flush=True)
        assert load.acknowledged() > 0, "nothing was acknowledged: the run proves nothing"
        print(lose_devices(server, load, chance), flush=True)
        swap_devices(server, load, chance, options.swaps)
        if options.loop_devices:
            shrink_devices(server, load, chance)
        status = server.stop()
        assert status == 0, f"exit status {status} after SIGTERM"
        server.start()
        load.verify()
        print(f"{load.acknowledged()} acknowledged changes survived {options.rounds} kills")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often to kill")
    parser.add_argument("--clients", type=int, default=16, help="writers at once")
    parser.add_argument("--seconds", type=float, default=6, help="longest time before a kill")
    parser.add_argument("--swaps", type=int, default=3, help="how often two devices go and the last two come back")
    parser.add_argument("--device-size", default="1GiB")
    parser.add_argument("--loop-devices", action="store_true", help="block devices over files; needs root and losetup")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
