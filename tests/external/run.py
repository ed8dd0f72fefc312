#!/usr/bin/env python3
"""Runs every real client against a server of its own making.

    python3 tests/external/run.py --binary target/release/ashlar [--only NAME] [--keep]

Starts the server on a fresh folder and runs the scripts of `clients/` against it, then again against one that speaks TLS
(under names that end in `-tls`, with a certificate made for this run), then the scripts that need a server
of their own (they kill it, spoil its devices or fill its memory). Prints `ok NAME (… s)` or `FAILED NAME` with the last
lines of output; the last line is `N passed, N failed`, counting scripts. A client that is not installed is a failure
unless `--allow-missing` is given.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from support.authority import Authority  # noqa: E402
from support.server import Server  # noqa: E402  (the path must be set first)

TAIL_LINES = 60
CLIENT_SECONDS_MAX = 900
FULL_SECONDS_MAX = 3 * 3600

# Name, command (`python` is the one of the clients' folder), programs and Python modules that it needs.
CLIENTS = [
    ("boto3", ["python", "clients/boto3_client.py"], ["boto3"]),
    ("payload-modes", ["python", "clients/payload_modes.py"], []),
    ("malformed", ["python", "malformed.py"], []),
    ("aws-cli", ["python", "clients/aws_cli.py"], ["program:aws"]),
    ("s3cmd", ["python", "clients/s3cmd_client.py"], ["program:s3cmd"]),
    ("minio-py", ["python", "clients/minio_client.py"], ["minio"]),
    ("rclone", ["python", "clients/rclone_client.py"], ["program:rclone"]),
    ("restic", ["python", "clients/restic_client.py"], ["program:restic"]),
    ("js-sdk", ["node", "clients/js_sdk.cjs"], ["program:node", "node:@aws-sdk/client-s3", "node:@aws-sdk/lib-storage"]),
    ("pyarrow", ["python", "clients/pyarrow_client.py"], ["pyarrow"]),
    ("polars", ["python", "clients/polars_client.py"], ["polars", "boto3"]),
]

# What is sent as bytes by hand is the same above TLS; these bring a TLS of their own.
WITHOUT_TLS = ["payload-modes", "malformed"]
# The same scripts against a server that speaks TLS, and one that knows what TLS is.
OVER_TLS = [("tls", ["python", "tls.py"], ["program:openssl"])] + [
    (f"{name}-tls", command, [*needs, "program:openssl"]) for name, command, needs in CLIENTS if name not in WITHOUT_TLS
]

# These start servers themselves. Name, script, arguments that keep it short enough for every change, arguments of the full
# proof (`--full`), needs. A script that prints a line `LEFT OUT …` could not do its work on this machine.
OWN_SERVER = [
    ("kill-loop", "kill_loop.py", ["--rounds", "3"], ["--rounds", "10"], []),
    ("kill-loop-devices", "kill_loop.py", ["--loop-devices", "--rounds", "2", "--device-size", "512MiB"],
     ["--loop-devices", "--rounds", "10"], []),
    ("hung-device", "hung_device.py", [], ["--rounds", "10"], []),
    ("rebuild", "rebuild.py", ["--rounds", "2"], ["--rounds", "12"], []),
    ("scrub", "scrub.py", [], ["--objects", "2000", "--device-size", "2GiB"], []),
    ("flip", "flip.py", ["--flips", "200"], ["--flips", "10000"], []),
    ("flip-running", "flip.py", ["--while-running", "--rounds", "4"], ["--while-running", "--rounds", "100"], []),
    ("flip-walk", "flip_walk.py", ["--seconds", "60", "--batches", "1000000"], ["--batches", "20000"], []),
    ("memory", "memory.py", ["--small"], [], ["program:/proc/self/status"]),
    ("durable-order", "durable_order.py", ["--turns", "3"], ["--turns", "100"], []),
    ("many", "many.py", ["--objects", "5000", "--full-pairs", "1"], ["--objects", "100000"], []),
    ("large", "large.py", ["--size", "128MiB"], ["--size", "5GiB"], ["program:aws"]),
    ("start-time", "start_time.py", ["--turns", "3", "--log-mib", "16"], ["--turns", "5"], []),
]


class Clients:
    """Where the clients are installed, and whether."""

    def __init__(self, folder):
        self.folder = folder
        python = folder / "venv/bin/python"
        self.python = str(python) if python.exists() else sys.executable
        self.path = os.pathsep.join([str(folder / "venv/bin"), os.environ.get("PATH", "/usr/bin:/bin")])
        modules = [folder / "node_modules", folder / "node/node_modules"]
        self.node_path = os.pathsep.join(str(place) for place in modules if place.is_dir())

    def missing(self, needs):
        """What of `needs` is not there."""
        return [need for need in needs if not self.has(need)]

    def has(self, need):
        """Whether one program or module is there."""
        kind, _, name = need.rpartition(":")
        if kind == "program":
            return shutil.which(name, path=self.path) is not None or pathlib.Path(name).is_file()
        if kind == "node":
            return any((pathlib.Path(place) / name).is_dir() for place in self.node_path.split(os.pathsep) if place)
        return subprocess.run([self.python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0

    def command(self, words):
        """The command with full paths."""
        program = self.python if words[0] == "python" else words[0]
        script = str(HERE / words[1])
        return [program, script, *words[2:]]


def clients_folder(given):
    """The folder that `cargo xtask clients` fills: named, from the environment, or below cargo's target folder."""
    if given or os.environ.get("ASHLAR_CLIENTS"):
        return pathlib.Path(given or os.environ["ASHLAR_CLIENTS"]).resolve()
    target = os.environ.get("CARGO_TARGET_DIR") or HERE.parent.parent / "target"
    return (pathlib.Path(target) / "clients").resolve()


def run_script(command, environment, folder, log, seconds_max=CLIENT_SECONDS_MAX):
    """Runs one script with its output in `log`; returns what went wrong, or None."""
    with open(log, "wb") as sink:
        child = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink,
                                 stderr=subprocess.STDOUT)
        try:
            status = child.wait(seconds_max)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return f"still running after {seconds_max} s"
    return f"exit status {status}" if status else None


def tail(path):
    """The last lines of a file."""
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:])


class Run:
    """One run of everything selected."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.clients = Clients(clients_folder(options.clients))
        self.passed, self.failed, self.left_out = [], [], []
        self.server = self.tls_server = None

    def selected(self, scripts):
        """The scripts that `--only` leaves."""
        return [script for script in scripts if not self.options.only or script[0] in self.options.only]

    def started_server(self):
        """A server that answers; a new one on a new folder when the last one died."""
        if self.server is None or not self.server.alive():
            number = len(list(self.folder.glob("server-*")))
            self.server = Server(self.options.binary, self.folder / f"server-{number}",
                                 device_size=self.options.device_size)
            print(f"server started in {self.server.start():.1f} s: {self.server.endpoint}", flush=True)
        return self.server

    def started_tls_server(self):
        """The same with TLS."""
        if self.tls_server is None or not self.tls_server.alive():
            number = len(list(self.folder.glob("tls-server-*")))
            folder = self.folder / f"tls-server-{number}"
            self.tls_server = Server(self.options.binary, folder, device_size=self.options.device_size,
                                     authority=Authority(folder / "authority"))
            print(f"server with TLS started in {self.tls_server.start():.1f} s: {self.tls_server.endpoint}", flush=True)
        return self.tls_server

    def all(self):
        """Runs everything; returns the exit status."""
        self.clients_against(CLIENTS, self.started_server)
        self.clients_against(OVER_TLS, self.started_tls_server)
        self.end()
        for name, script, short, full, needs in self.selected(OWN_SERVER):
            if self.ready(name, needs):
                home = self.folder / name
                home.mkdir()
                environment = {"PATH": self.clients.path, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8",
                               "PYTHONDONTWRITEBYTECODE": "1"}
                command = self.clients.command(["python", script]) + (full if self.options.full else short)
                command += self.sizes(name) + ["--binary", str(self.options.binary), "--folder", str(home)]
                self.one(name, command, environment, home, None)
        return self.summary()

    def end(self):
        """Ends the servers that run."""
        for server in (self.server, self.tls_server):
            if server is not None:
                server.end()

    def clients_against(self, clients, started_server):
        """Runs the scripts of clients that are selected."""
        for name, words, needs in self.selected(clients):
            if self.ready(name, needs):
                try:
                    server = started_server()
                except RuntimeError as error:
                    self.report(name, f"no server: {error}", 0, None)
                    continue
                home = self.folder / name
                environment = server.client_environment(home)
                environment.update(PATH=self.clients.path, NODE_PATH=self.clients.node_path,
                                   ASHLAR_BINARY=str(self.options.binary))
                self.one(name, self.clients.command(words), environment, home, server)

    def sizes(self, name):
        """What the command line says about how much one script does."""
        given = {"many": ("--objects", self.options.objects), "large": ("--size", self.options.size)}
        option, value = given.get(name, (None, None))
        return [option, str(value)] if value else []

    def ready(self, name, needs):
        """Whether what a script needs is installed; says so otherwise."""
        missing = self.clients.missing(needs)
        if not missing:
            return True
        if self.options.allow_missing:
            self.left_out.append(name)
            print(f"LEFT OUT {name}: not installed: {', '.join(missing)}", flush=True)
        else:
            self.failed.append(name)
            print(f"FAILED {name}: not installed: {', '.join(missing)} (run `cargo xtask clients`)", flush=True)
        return False

    def one(self, name, command, environment, home, server):
        """Runs one script and reports."""
        begun, log = time.monotonic(), self.folder / f"{name}.log"
        wrong = run_script(command, environment, home, log,
                           FULL_SECONDS_MAX if self.options.full else CLIENT_SECONDS_MAX)
        if server is not None and not server.alive():
            wrong = f"the server died (status {server.process.returncode})"
        self.report(name, wrong, time.monotonic() - begun, log, server)

    def report(self, name, wrong, seconds, log, server=None):
        """Prints how a script went."""
        if wrong is None:
            lines = [line for line in tail(log).splitlines() if not line.startswith("seed ")]
            impossible = [line for line in lines if line.startswith("LEFT OUT ")]
            (self.left_out if impossible else self.passed).append(name)
            print(impossible[0] if impossible else f"ok {name} ({seconds:.1f} s): {lines[-1]}", flush=True)
            return
        self.failed.append(name)
        print(f"FAILED {name}: {wrong}", flush=True)
        if log is not None:
            print(tail(log), flush=True)
        if server is not None and not server.alive():
            print(f"--- the server's last lines\n{server.tail()}", flush=True)

    def summary(self):
        """The last lines."""
        if self.left_out:
            print(f"left out: {', '.join(self.left_out)}")
        if self.failed:
            print(f"failed: {', '.join(self.failed)}")
        print(f"{len(self.passed)} passed, {len(self.failed)} failed", flush=True)
        return 0 if self.passed and not self.failed else 1


def main():
    """Reads the command line and runs."""
    names = [script[0] for script in CLIENTS + OVER_TLS + OWN_SERVER]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=pathlib.Path, help="the ashlar program")
    parser.add_argument("--only", action="append", choices=names, help="run this script only; may be repeated")
    parser.add_argument("--full", action="store_true", help="the full proofs instead of those for every change: hours")
    parser.add_argument("--objects", type=int, help="objects of `many`")
    parser.add_argument("--size", help="size of the object of `large`, as 5GiB")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the pool and all output")
    parser.add_argument("--allow-missing", action="store_true", help="leave out clients that are not installed")
    parser.add_argument("--clients", help="the folder that `cargo xtask clients` filled")
    parser.add_argument("--device-size", default="1GiB", help="size of each of the six device files")
    options = parser.parse_args()
    if not options.binary.is_file():
        parser.error(f"{options.binary} does not exist")
    options.binary = options.binary.resolve()
    # Being ended from outside must end the server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ashlar-external-"))
    run = Run(options, folder)
    try:
        return run.all()
    finally:
        run.end()
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
