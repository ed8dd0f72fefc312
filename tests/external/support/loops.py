"""Loop devices over files made to their full size, and a server that serves a pool of them by its configuration file."""

import os
import pathlib
import re
import subprocess
import time

from support.server import DEVICE_COUNT, Server

ATTACH_ATTEMPTS = 100
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}


def size(text):
    """Bytes of `64MiB` or `1GiB`."""
    number, unit = re.fullmatch(r"(\d+)([MG]iB)", text).groups()
    return int(number) * UNITS[unit]


def losetup(*words):
    """Runs losetup; returns what it prints."""
    done = subprocess.run(["losetup", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"losetup {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.strip()


def refused():
    """Why there are no loop devices here, or None."""
    if os.geteuid() != 0:
        return "not root"
    try:
        losetup("--find")
    except OSError as error:
        return str(error)
    return None


class Loops:
    """Six loop devices as long as the context lasts."""

    def __init__(self, folder, bytes_each):
        self.folder, self.bytes_each = pathlib.Path(folder), bytes_each
        self.files = {}

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            for number in range(DEVICE_COUNT):
                file = self.folder / f"loop-{number}.img"
                with open(file, "wb") as made:
                    os.posix_fallocate(made.fileno(), 0, self.bytes_each)
                self.files[pathlib.Path(losetup("--find", "--show", "--direct-io=on", file))] = file
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for device, file in self.files.items():
            try:
                losetup("--detach", device)
            except OSError:
                pass  # it was detached before
            file.unlink(missing_ok=True)

    def paths(self):
        """The devices, in order."""
        return list(self.files)

    def detach(self, device):
        """The device's node stays, and holds nothing: what the kernel leaves of a device that was pulled."""
        losetup("--detach", device)

    def shrink(self, device):
        """A device fails in service: the end of its file, and soon all of it, answers with I/O errors."""
        os.truncate(self.files[device], 0)
        losetup("--set-capacity", device)

    def attach(self, device):
        """The same file at the same device, once the kernel has closed what a killed server held of it."""
        for left in reversed(range(ATTACH_ATTEMPTS)):
            try:
                losetup("--direct-io=on", device, self.files[device])
                return
            except OSError:
                if left == 0:
                    raise
                time.sleep(0.1)


class LoopServer(Server):
    """A server on loop devices. The pool is made when it is started for the first time."""

    def __init__(self, binary, folder, loops, memory="512MiB", cores=2):
        super().__init__(binary, folder, memory=memory, cores=cores)
        self.loops, self.config, self.made = loops, self.folder / "ashlar.toml", False

    def make(self):
        """`pool create`, and the configuration."""
        names = [str(path) for path in self.loops.paths()]
        done = subprocess.run([self.binary, "pool", "create", "loops", "--code", "4+2", *names], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, f"pool create: {done.stdout}{done.stderr}"
        self.write_configuration(self.config, names)

    def command(self):
        """The line that starts the server."""
        if not self.made:
            self.make()
            self.made = True
        return [self.binary, "serve", "--config", str(self.config)]

    def devices(self):
        """The loop devices."""
        return self.loops.paths()

    def take_away(self, paths):
        """Detaches devices; the server must not run."""
        for path in paths:
            self.loops.detach(path)

    def bring_back(self, paths):
        """Attaches them again."""
        for path in paths:
            self.loops.attach(path)
