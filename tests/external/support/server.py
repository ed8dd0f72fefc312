"""The server as a child process: started on a fresh folder, killed by its own process id, started again.

With an `Authority` it speaks TLS."""

import os
import pathlib
import re
import secrets
import signal
import socket
import ssl
import subprocess
import time

# What a pool of the tests looks like: six files of this size. Any two of them may be lost.
DEVICE_COUNT = 6
DEVICES_LOST_MAX = 2
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
# Where our own scripts, OpenSSL, Go and Rust programs, the AWS SDKs and node look for authorities.
CA_VARIABLES = ["ASHLAR_CA", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]


def free_port():
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def endpoint_in(text):
    """The URL that a line such as `endpoint: http://127.0.0.1:9000` of the server names, or None."""
    found = re.search(r"endpoint\W+(https?://[^\s\"'/]+)", text, re.IGNORECASE)
    return found.group(1) if found else None


class Server:
    """One pool and the process that serves it. The pool outlives the process."""

    def __init__(self, binary, folder, device_size="1GiB", memory="512MiB", cores=2, authority=None):
        self.binary = str(pathlib.Path(binary).resolve())
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pool = self.folder / "pool"
        self.log_path = self.folder / "server.log"
        self.device_size, self.memory, self.cores = device_size, memory, cores
        self.access, self.secret = "ASHLARTESTS", secrets.token_hex(20)
        self.port = free_port()
        self.process, self.known_devices = None, []
        self.authority = authority

    @property
    def endpoint(self):
        """Where clients go."""
        return f"{'https' if self.authority else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self):
        """The process id; the process must have been started."""
        return self.process.pid

    def command(self):
        """The line that starts the server."""
        tls = []
        if self.authority:
            tls = ["--tls-certificate", str(self.authority.certificate), "--tls-key", str(self.authority.key)]
        return [self.binary, "serve", "--demo", str(self.pool), "--listen", f"127.0.0.1:{self.port}",
                "--device-size", self.device_size, "--memory", self.memory, "--cores", str(self.cores), *tls]

    def write_configuration(self, path, devices, settings=""):
        """A configuration file for this server on `devices`, with more `settings` in front."""
        quoted = ", ".join(f'"{name}"' for name in devices)
        path.write_text(f'{settings}devices = [{quoted}]\nlisten = "127.0.0.1:{self.port}"\ncores = {self.cores}\n'
                        f'memory = "{self.memory}"\n[credentials]\naccess_key = "{self.access}"\n'
                        f'secret_key = "{self.secret}"\n')
        path.chmod(0o600)

    def connect(self, timeout=2):
        """A connection on which HTTP can be spoken."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        if not self.authority:
            return plain
        context = ssl.create_default_context(cafile=self.authority.ca)
        try:
            return context.wrap_socket(plain, server_hostname="127.0.0.1")
        except BaseException:
            plain.close()
            raise

    def start(self, look_seconds=0.02):
        """Starts the server and waits until it answers, looking that often; returns the seconds that took."""
        assert self.process is None, "started twice"
        begun, offset = time.monotonic(), self.log_path.stat().st_size if self.log_path.exists() else 0
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.folder),
                       "ASHLAR_ACCESS_KEY": self.access, "ASHLAR_SECRET_KEY": self.secret, "RUST_BACKTRACE": "1"}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        while not self.answers():
            if self.process.poll() is not None:
                status, self.process = self.process.returncode, None
                raise RuntimeError(f"the server ended with {status} before it answered:\n{self.tail()}")
            if time.monotonic() - begun > START_SECONDS_MAX:
                self.kill()
                raise RuntimeError(f"no answer within {START_SECONDS_MAX} s of the start:\n{self.tail()}")
            time.sleep(look_seconds)
        said = endpoint_in(self.log_path.read_bytes()[offset:].decode("utf-8", "replace"))
        assert said in (None, self.endpoint), f"the server says {said}, but was told {self.endpoint}"
        return time.monotonic() - begun

    def answers(self):
        """True when an HTTP answer of any kind comes back."""
        try:
            with self.connect() as probe:
                probe.sendall(b"GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")
                return probe.recv(16).startswith(b"HTTP/1.1")
        except OSError:
            return False

    def alive(self):
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL: what a power cut looks like to the program."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM, and waits for the orderly end; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"still running {STOP_SECONDS_MAX} s after SIGTERM:\n{self.tail()}") from None
        self.process = None
        return status

    def end(self):
        """Kills the process if it still runs."""
        if self.alive():
            self.kill()

    def tail(self, lines=40):
        """The last lines that the server printed."""
        if not self.log_path.exists():
            return "(it printed nothing)"
        return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-lines:])

    def devices(self):
        """The six files that stand for devices, by name, also while some are away: the largest files of the pool's folder
        when this is asked first."""
        if self.known_devices:
            return self.known_devices
        files = [path for path in self.pool.rglob("*") if path.is_file() and not path.is_symlink()]
        largest = sorted(files, key=lambda path: (-path.stat().st_size, path.name))[:DEVICE_COUNT]
        assert len(largest) == DEVICE_COUNT, f"{self.pool} has only {[path.name for path in files]}"
        self.known_devices = sorted(largest)
        return self.known_devices

    def take_away(self, paths):
        """Moves devices to where the server does not find them; it must not run."""
        away = self.folder / "away"
        away.mkdir(exist_ok=True)
        for path in paths:
            path.rename(away / path.name)

    def bring_back(self, paths):
        """Undoes `take_away`; the server must not run."""
        for path in paths:
            # A server that makes its demo devices anew must not hide the ones that were lost.
            path.unlink(missing_ok=True)
            (self.folder / "away" / path.name).rename(path)

    def client_environment(self, home):
        """Everything that a client may know; nothing of the caller's own environment but the path."""
        home = pathlib.Path(home)
        home.mkdir(parents=True, exist_ok=True)
        # One file for all of them, under the names by which they look for it.
        trust = {name: str(self.authority.ca) for name in CA_VARIABLES} if self.authority else {}
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8",
            "ASHLAR_ENDPOINT": self.endpoint, "AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(home / "aws-config"), "AWS_SHARED_CREDENTIALS_FILE": str(home / "aws-credentials"),
            "PYTHONPATH": str(pathlib.Path(__file__).resolve().parent.parent), "PYTHONDONTWRITEBYTECODE": "1",
            **trust,
        }
