"""A virtual machine with NVMe namespaces: QEMU without hardware help, Debian's cloud kernel, one program in an initramfs.

Nothing of it is installed on the host except, when run as root on Debian, QEMU and busybox from Debian's archive. The
guest's shell is a virtio-serial port, so commands and their output do not mix with the kernel's words.
"""

import gzip
import json
import lzma
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static"}
KERNELS = ["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"]
MODULES = ["failover", "net_failover", "virtio_net"]
APPLETS = ["sh", "mount", "insmod", "ip", "cat", "sleep", "ls", "grep", "echo", "mkdir", "kill", "test", "true"]
# Without `erms`: QEMU copies memory byte by byte for it.
CPU = "Haswell-noTSX,-erms"
BOOT_SECONDS_MAX = 240
INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
for m in /mod/*; do insmod $m; done
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
echo READY
exec 3<>$(ls /dev/vport*p* | grep -m 1 vport)
while :; do sh <&3 >&3 2>&3; sleep 0.1; done
"""


class Impossible(Exception):
    """There can be no such machine here; says why."""


def prepare(cache):
    """Everything that a machine is started with: the kernel's path and the folder with its modules."""
    if os.uname().machine != "x86_64":
        raise Impossible("the machine is an x86-64 one")
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Impossible(f"not installed: {', '.join(missing)}")
        subprocess.run(["apt-get", "update", "-q"], capture_output=True)
        done = subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
                              capture_output=True, text=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode:
            raise Impossible(f"apt-get cannot install {', '.join(missing)}: {done.stderr.strip().splitlines()[-1:]}")
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob("kernel/boot/vmlinuz-*")):
        fetch_kernel(cache)
    return next(iter(cache.glob("kernel/boot/vmlinuz-*"))), cache / "kernel"


def fetch_kernel(cache):
    """Downloads and unpacks a kernel; installs nothing."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Impossible("there is no apt-get to fetch a kernel with")
    for name in KERNELS:
        depends = subprocess.run(["apt-cache", "depends", name], capture_output=True, text=True).stdout
        found = re.search(r"Depends: (linux-image-\d\S+)", depends)
        if not found:
            continue
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["apt-get", "download", found.group(1)], cwd=folder, capture_output=True)
            for package in pathlib.Path(folder).glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(package), str(cache / "kernel")], check=True)
            if done.returncode == 0:
                return
    raise Impossible("Debian's archive gives no cloud kernel")


def entry(number, name, mode, data=b""):
    """One file of a cpio archive in the `newc` form."""
    name = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    pad = b"\0" * (-len(head) % 4)
    return head + pad + data + b"\0" * (-len(data) % 4)


def libraries(program):
    """The shared libraries of a program, and its loader, by path."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"(/\S+)", said)))


def initramfs(target, kernel, programs):
    """Writes an initramfs with busybox, the network's modules and `programs` with their libraries."""
    files = {"init": (0o100755, INIT.encode()),
             "bin/busybox": (0o100755, pathlib.Path(shutil.which("busybox")).read_bytes())}
    for applet in APPLETS:
        files[f"bin/{applet}"] = (0o120777, b"busybox")
    for number, module in enumerate(MODULES):
        found = next(iter(kernel.rglob(f"{module}.ko*")))
        data = found.read_bytes()
        data = lzma.decompress(data) if found.suffix == ".xz" else gzip.decompress(data) if found.suffix == ".gz" else data
        files[f"mod/{number}-{module}.ko"] = (0o100644, data)
    for program in programs:
        files[f"bin/{program.name}"] = (0o100755, program.read_bytes())
        for library in libraries(program):
            files[library.lstrip("/")] = (0o100755, pathlib.Path(library).read_bytes())
    folders = {str(parent) for name in files for parent in pathlib.PurePath(name).parents} - {"."}
    folders |= {"proc", "sys", "dev", "tmp", "etc"}
    names = [(folder, 0o40755, b"") for folder in sorted(folders)]
    names += [(name, mode, data) for name, (mode, data) in sorted(files.items())]
    with open(target, "wb") as out:
        for number, (name, mode, data) in enumerate(names, 1):
            out.write(entry(number, name, mode, data))
        out.write(entry(0, "TRAILER!!!", 0))


class Machine:
    """One run of the virtual machine. `disks` are pairs of an image and its bytes per block, all of one controller."""

    def __init__(self, kernel, image, folder, disks, append="", forward=()):
        self.folder, self.process, self.count = pathlib.Path(folder), None, len(disks)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("control", "console", "trace"):
            (self.folder / name).unlink(missing_ok=True)
        hosts = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in forward)
        self.command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M", "q35",
            "-accel", "tcg,thread=multi", "-cpu", CPU, "-m", "1536", "-smp", "2", "-kernel", str(kernel),
            "-initrd", str(image), "-append",
            f"console=ttyS0 quiet panic=-1 mitigations=off nvme_core.multipath=N {append}",
            "-chardev", f"file,id=con,path={self.folder}/console", "-serial", "chardev:con",
            "-trace", "enable=pci_nvme_flush_ns", "-D", f"{self.folder}/trace", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=ctl,path={self.folder}/control,server=on,wait=off",
            "-device", "virtserialport,chardev=ctl,name=ctl",
            "-netdev", f"user,id=n0,restrict=on{hosts}", "-device", "virtio-net-pci,netdev=n0,romfile=",
            "-device", "nvme,id=nvme0,serial=ASHLAR,mdts=4",
        ]
        for number, (path, block) in enumerate(disks, 1):
            node = {"driver": "raw", "node-name": f"d{number}", "file": {"driver": "file", "filename": str(path)}}
            self.command += ["-blockdev", json.dumps(node), "-device",
                             f"nvme-ns,drive=d{number},bus=nvme0,nsid={number},logical_block_size={block},"
                             f"physical_block_size={block}"]

    def __enter__(self):
        with open(self.folder / "errors", "wb") as errors:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                            preexec_fn=lambda: os.nice(5))
        end = time.monotonic() + BOOT_SECONDS_MAX
        while b"READY" not in self.read("console"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"no boot: {self.read('errors')[-500:]} {self.read('console')[-1000:]}")
            time.sleep(0.2)
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(str(self.folder / "control"))
        self.control.settimeout(1)
        self.rest, self.turn = b"", 0
        return self

    def __exit__(self, *_):
        self.kill()

    def read(self, name):
        """What is in one of the machine's files."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else b""

    def kill(self):
        """SIGKILL: nothing inside gets to run."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def run(self, line, seconds=120):
        """Runs a line in the guest's shell; returns status and output."""
        self.turn += 1
        mark = f"@@{self.turn}@@".encode()
        # In two words, so that the line itself does not hold the mark.
        self.control.sendall(f"{line}\necho '@@'{self.turn}'@@' $?\n".encode())
        end = time.monotonic() + seconds
        while mark not in self.rest or b"\n" not in self.rest.split(mark, 1)[1]:
            if time.monotonic() > end:
                raise TimeoutError(f"{line}: {self.rest[-500:]} {self.read('console')[-500:]}")
            try:
                self.rest += self.control.recv(65536)
            except TimeoutError:
                assert self.process.poll() is None, f"{line}: the machine ended: {self.read('console')[-1000:]}"
        said, after = self.rest.split(mark, 1)
        status, self.rest = after.split(b"\n", 1)
        return int(status), said.decode("utf-8", "replace").replace("\r", "")

    def flushes(self):
        """How many flushes each namespace was asked for so far, in order; QEMU writes each down."""
        said = self.read("trace").decode("utf-8", "replace")
        return [len(re.findall(rf"pci_nvme_flush_ns nsid 0x{number:x}\b", said)) for number in range(1, self.count + 1)]
