#!/usr/bin/env python3
"""Uploads one very large object in parts with the AWS CLI, and reads it back bit for bit after everything that may happen.

The bytes are made from the seed while they are sent, and hashed while they come back: nothing is stored but the object. It
is read after a kill right behind the answer, with two of six devices gone, and with those two back; then random ranges.

    python3 tests/external/large.py --binary target/release/ashlar --size 5GiB
"""

import hashlib
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone, loops, sigv4  # noqa: E402  (the path must be set first)
from support.content import MIB, first_difference  # noqa: E402
from support.load import Session  # noqa: E402
from support.raw import Connection, head  # noqa: E402
from support.server import DEVICE_COUNT, DEVICES_LOST_MAX, Server  # noqa: E402

BUCKET, KEY = "large", "one object"
DATA_MEMBERS = 4
# Segments that groups, logs and index hold open beside the object.
ROOM = 1.15
RANGE_MAX = 3 * MIB
PART = 5 * MIB


class Content:
    """The object's bytes: each MiB follows from the seed and its number."""

    def __init__(self, seed, length):
        self.seed, self.length = seed, length

    def block(self, number):
        """One MiB, or what is left of the last."""
        whole = random.Random(f"{self.seed}:{number}").randbytes(MIB)
        return whole[:self.length - number * MIB]

    def blocks(self):
        """All of it in order."""
        return (self.block(number) for number in range(-(-self.length // MIB)))

    def part(self, start, end):
        """Bytes from `start` up to `end`."""
        first = start // MIB
        joined = b"".join(self.block(number) for number in range(first, -(-end // MIB)))
        return joined[start - first * MIB:end - first * MIB]


def aws(server, home, *words):
    """The AWS CLI with its input and output as pipes."""
    environment = {**server.client_environment(home), "AWS_MAX_ATTEMPTS": "1"}
    program = shutil.which("aws")
    assert program, "the AWS CLI is not installed (run `cargo xtask clients`)"
    command = [program, "--endpoint-url", server.endpoint, *words]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(child, what):
    """Waits for a client; it must be content."""
    text = child.stderr.read().decode("utf-8", "replace")
    assert child.wait(600) == 0, f"{what} failed: {text[-2000:]}"


def upload(server, home, content):
    """`aws s3 cp - …`: a multipart upload of bytes that are made while they are sent. Returns their SHA-256."""
    begun, digest = time.monotonic(), hashlib.sha256()
    child = aws(server, home, "s3", "cp", "-", f"s3://{BUCKET}/{KEY}", "--expected-size", str(content.length))
    try:
        for block in content.blocks():
            digest.update(block)
            child.stdin.write(block)
        child.stdin.close()
    except BrokenPipeError:
        pass  # what it says about that follows
    ended(child, "the upload")
    print(f"{content.length} bytes uploaded in {time.monotonic() - begun:.0f} s, sha256 {digest.hexdigest()}", flush=True)
    return digest.hexdigest()


def download(server, home, content, wanted, when):
    """`aws s3 cp … -`: the same bytes must come back. The first wrong one is named."""
    begun, digest, at = time.monotonic(), hashlib.sha256(), 0
    child = aws(server, home, "s3", "cp", f"s3://{BUCKET}/{KEY}", "-")
    child.stdin.close()
    for block in content.blocks():
        found = child.stdout.read(len(block))
        digest.update(found)
        assert found == block, f"{when}: wrong in the MiB at {at}: {first_difference(found, block)}\n{child.stderr.read()}"
        at += len(block)
    assert child.stdout.read() == b"", f"{when}: more than {content.length} bytes"
    ended(child, "the download")
    assert digest.hexdigest() == wanted
    print(f"{when}: {at} bytes right, sha256 {digest.hexdigest()}, {time.monotonic() - begun:.0f} s", flush=True)


def parts(server):
    """Entity tag and how many parts the object has."""
    status, headers, _ = Session(server).request("HEAD", KEY, bucket=BUCKET)
    assert status == 200, f"status {status}"
    count = int(headers["ETag"].strip('"').rsplit("-", 1)[1])
    assert count > 1, f"not uploaded in parts: {headers['ETag']}"
    return headers["ETag"], count


def ranges(server, content, chance, count):
    """Random ranges over a plain connection."""
    host, signer, path = f"127.0.0.1:{server.port}", sigv4.Signer(server.access, server.secret), sigv4.path_of(BUCKET, KEY)
    with Connection("127.0.0.1", server.port, timeout=60) as connection:
        for _ in range(count):
            start = chance.randrange(content.length)
            end = min(content.length, start + chance.randrange(1, RANGE_MAX))
            headers = signer.headers("GET", path, host, signed={"range": f"bytes={start}-{end - 1}"})
            connection.send(head("GET", path, headers))
            answer = connection.answer()
            assert answer.status == 206, answer
            wanted = content.part(start, end)
            assert answer.body == wanted, f"bytes {start} to {end}: {first_difference(answer.body, wanted)}"
    print(f"{count} random ranges right", flush=True)


def resume(server, content):
    """Parts that were acknowledged before a kill are there after it, and the upload can be completed."""
    key, session = "resumed", Session(server)
    _, _, answer = session.request("POST", key, query=[("uploads", "")], bucket=BUCKET)
    upload_id = answer.split(b"<UploadId>")[1].split(b"</UploadId>")[0].decode()
    borders = [0, PART, 2 * PART, 2 * PART + 12_345]
    pieces, tags = [content.part(*pair) for pair in zip(borders, borders[1:])], []

    def put(number):
        query = [("partNumber", str(number + 1)), ("uploadId", upload_id)]
        status, headers, text = session.request("PUT", key, pieces[number], query, bucket=BUCKET)
        assert status == 200, text
        tags.append(headers["ETag"])

    put(0)
    put(1)
    server.kill()
    session.close()
    server.start()
    status, _, answer = session.request("GET", key, query=[("uploadId", upload_id)], bucket=BUCKET)
    listed = [row.split(b"</ETag>")[0].decode().replace("&quot;", '"') for row in answer.split(b"<ETag>")[1:]]
    assert (status, listed) == (200, tags), f"status {status}, parts {listed}, not {tags}"
    put(2)
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
    text = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
    status, _, answer = session.request("POST", key, text, [("uploadId", upload_id)], bucket=BUCKET)
    assert status == 200 and b"<Error>" not in answer, answer
    server.kill()
    session.close()
    server.start()
    found = session.request("GET", key, bucket=BUCKET)[2]
    assert found == b"".join(pieces), first_difference(found, b"".join(pieces))
    print("an upload was continued after a kill, completed, and is right after another", flush=True)


def work(options, folder):
    """All of it."""
    chance = random.Random(options.seed)
    content = Content(options.seed, loops.size(options.size) + chance.randrange(1, MIB))
    device_mib = int(content.length / DATA_MEMBERS * ROOM / MIB) + 256
    server = Server(options.binary, folder, device_size=f"{device_mib}MiB")
    home = folder / "home"
    with alone.running(server):
        print(f"{DEVICE_COUNT} devices of {device_mib} MiB", flush=True)
        assert Session(server).request("PUT", None, bucket=BUCKET)[0] == 200
        wanted = upload(server, home, content)
        server.kill()
        print(f"killed, and started in {server.start():.2f} s; entity tag and parts {parts(server)}", flush=True)
        download(server, home, content, wanted, "after the kill")
        lost = chance.sample(server.devices(), DEVICES_LOST_MAX)
        server.kill()
        server.take_away(lost)
        server.start()
        download(server, home, content, wanted, f"without {' and '.join(path.name for path in lost)}")
        ranges(server, content, chance, options.ranges)
        server.kill()
        server.bring_back(lost)
        server.start()
        ranges(server, content, chance, options.ranges)
        resume(server, content)
        print(f"an object of {content.length} bytes in {parts(server)[1]} parts survived kills and the loss of two devices")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--size", default="5GiB", help="at least; a part of a MiB is added")
    parser.add_argument("--ranges", type=int, default=50)
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
