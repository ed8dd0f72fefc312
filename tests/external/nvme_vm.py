#!/usr/bin/env python3
"""NVMe passthrough, polled and by interrupts, in a virtual machine with one controller and two namespaces.

One namespace has blocks of 512 bytes, the other of 4096. In each life of the machine the pool is driven by another
back-end: passthrough with polled completion, passthrough with interrupts, the block layer. `ashlar doctor` must say so,
clients store objects, then the machine is killed under load; the next life must have all that was acknowledged. With
passthrough QEMU must have seen flushes, as it ignores the bit that asks for the durability of one write. The controller
takes 64 KiB at once, so that larger transfers are cut.

Killing QEMU leaves the host's page cache alone, so what is shown is that nothing acknowledged was still on its way, not
what a power cut does. The processor time per change is printed and held to nothing: QEMU translates every instruction.

    python3 tests/external/nvme_vm.py --binary target/release/ashlar
"""

import os
import pathlib
import secrets
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone  # noqa: E402  (the path must be set first)
from support.load import Load, Session  # noqa: E402
from support.machine import Impossible, Machine, initramfs, prepare  # noqa: E402
from support.server import free_port  # noqa: E402

DEVICES = "/dev/nvme0n1 /dev/nvme0n2"
SERVE_SECONDS_MAX = 120
# What doctor calls the back-end, what the kernel is told, what the configuration says.
LIVES = [
    ("NVMe passthrough, polled", "nvme.poll_queues=1", "required"),
    ("NVMe passthrough, by interrupts", "", "required"),
    ("block device, O_DIRECT", "", "off"),
]


def config(access, secret, passthrough):
    """Lines that write the server's configuration."""
    text = f"""devices = ["/dev/nvme0n1", "/dev/nvme0n2"]
passthrough = "{passthrough}"
listen = "10.0.2.15:9000"
memory = "256MiB"
[credentials]
access_key = "{access}"
secret_key = "{secret}"
"""
    return f"cat > /tmp/ashlar.toml <<'END'\n{text}END"


def doctor(machine, backend):
    """Both namespaces are seen as they are, and driven by `backend`."""
    machine.run("ulimit -l unlimited; ulimit -n 65536")
    status, said = machine.run("ashlar doctor --config /tmp/ashlar.toml")
    print(said, flush=True)
    assert said.count(backend) == 2, f"doctor does not say {backend!r} twice"
    assert status == 0, "doctor finds fault with the machine"
    assert ("logical block      512\n" in said) and ("logical block      4096\n" in said), "other block sizes"


def serve(machine, server, backend):
    """Starts the server in the guest and waits until it answers."""
    machine.run("ashlar serve --config /tmp/ashlar.toml > /tmp/log 2>&1 & echo $! > /tmp/pid")
    end = time.monotonic() + SERVE_SECONDS_MAX
    while True:
        try:
            Session(server).request("GET", None)
            break
        except Exception as error:  # noqa: BLE001  (whatever it is, the log says more)
            if time.monotonic() > end:
                raise RuntimeError(f"no answer ({error}): {machine.run('cat /tmp/log')[1]}") from error
            time.sleep(0.5)
    log = machine.run("cat /tmp/log")[1]
    assert f"devices: 2 by {backend}" in log, log


def busy_seconds(machine):
    """Processor time of the server so far."""
    fields = machine.run("cat /proc/$(cat /tmp/pid)/stat")[1].rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def idle(machine):
    """A server without requests takes next to no processor time."""
    time.sleep(3)
    before = busy_seconds(machine)
    time.sleep(5)
    took = busy_seconds(machine) - before
    assert took <= 0.25, f"{took:.2f} s of processor time in 5 idle seconds"
    return took


def live(number, machine, server, load, options):
    """One life: what was acknowledged before is there; more is written; then the machine is killed."""
    backend = LIVES[number][0]
    machine.run(config(server.access, server.secret, LIVES[number][2]))
    if number == 0:
        status, said = machine.run(f"ashlar pool create vm --code 1+1 {DEVICES}", 180)
        assert status == 0, said
    doctor(machine, backend)
    serve(machine, server, backend)
    if load is None:
        load = Load(server, options.seed, 4)
    else:
        print(f"{load.verify()} keys are as they were acknowledged", flush=True)
    waits = idle(machine)
    busy, changes, flushes = busy_seconds(machine), load.acknowledged(), machine.flushes()
    load.begin()
    time.sleep(options.seconds)
    busy, done = busy_seconds(machine) - busy, load.acknowledged() - changes
    flushed = [after - before for after, before in zip(machine.flushes(), flushes)]
    machine.kill()
    load.end()
    assert done > 0, "nothing was acknowledged"
    # The block layer asks for the durability of each write instead (FUA), which QEMU does not write down.
    assert all(flushed) or "passthrough" not in backend, f"acknowledged without a flush: {flushed} of the namespaces"
    print(f"{backend}: {done} changes, {1000 * busy / done:.1f} ms of emulated processor time each, flushes {flushed}, "
          f"{waits:.2f} s in 5 idle seconds; killed under load", flush=True)
    return load


def work(options, folder):
    """Three lives, and a last look."""
    cache = options.cache or pathlib.Path(os.environ.get("XDG_CACHE_HOME", "/var/tmp")) / "ashlar-nvme-vm"
    try:
        kernel, modules = prepare(cache)
    except Impossible as error:
        print(f"LEFT OUT nvme-vm: {error}", flush=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "initramfs"
    initramfs(image, modules, [options.binary.resolve()])
    disks = [(folder / "d1.img", 512), (folder / "d2.img", 4096)]
    for path, _ in disks:
        with open(path, "wb") as disk:
            disk.truncate(1 << 30)
    server = types.SimpleNamespace(port=free_port(), access="ASHLARTESTS", secret=secrets.token_hex(20))
    load = None
    for number, (backend, append, _) in enumerate([*LIVES, LIVES[0]]):
        print(f"--- life {number + 1}: {backend}", flush=True)
        with Machine(kernel, image, folder / "machine", disks, append, [(server.port, 9000)]) as machine:
            if number < len(LIVES):
                load = live(number, machine, server, load, options)
            else:
                machine.run(config(server.access, server.secret, "required"))
                serve(machine, server, backend)
                print(f"{load.verify()} keys are as they were acknowledged", flush=True)
                machine.run("kill $(cat /tmp/pid); wait", 60)
    print("nothing acknowledged was lost by any back-end")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--cache", type=pathlib.Path, help="where the kernel is kept [default: /var/tmp/ashlar-nvme-vm]")
    parser.add_argument("--seconds", type=float, default=15, help="load in each life")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
