#!/usr/bin/env python3
"""Stores very many small objects under names with every byte that S3 allows, and reads all of it back.

The server is killed in the middle of the load and again behind it. Then every object must be there bit for bit, every
listing complete and in order, and once more with each pair of the six devices gone: all objects for some pairs, a sample
with all the odd names for the rest. In the end three devices are gone, and the server must refuse to start.

    python3 tests/external/many.py --binary target/release/ashlar --objects 100000
"""

import base64
import hashlib
import itertools
import pathlib
import random
import sys
import time
import urllib.parse
import xml.etree.ElementTree
import xml.sax.saxutils

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from support import alone, names, sigv4  # noqa: E402  (the path must be set first)
from support.content import KIB, body  # noqa: E402
from support.crowd import Crowd  # noqa: E402
from support.load import Session  # noqa: E402
from support.server import DEVICE_COUNT, DEVICES_LOST_MAX, Server  # noqa: E402

BUCKET = "many"
SIZE_MAX = 8 * KIB
SAMPLE = 300
COPIED = "copied/"
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Store:
    """What was written: names, and for each the content that was acknowledged."""

    def __init__(self, options, chance):
        self.names = names.many(options.objects, chance)
        self.sizes = {name: chance.choice((0, 1, chance.randrange(SIZE_MAX + 1), SIZE_MAX)) for name in self.names}
        self.connections, self.acknowledged, self.tried = options.connections, set(), set()
        self.numbers, self.origins = {name: number for number, name in enumerate(self.names)}, {}
        self.odd = [name for name in names.odd() if name in self.numbers]

    def content(self, name):
        """The bytes of one object; a copy has those of the object that it was made of."""
        name = self.origins.get(name, name)
        return body(f"many {self.numbers[name]}", self.sizes[name])

    def jobs(self, wanted):
        """PUT of each name that is not yet acknowledged."""
        for name in wanted:
            if name not in self.acknowledged:
                self.tried.add(name)
                yield "PUT", name, self.content(name)

    def put(self, server, wanted, kill_after=None):
        """Writes; kills the server after that many answers. Returns how many requests were cut off."""
        crowd, answers = Crowd(server, BUCKET, self.connections), 0

        def done(job, status, answer):
            nonlocal answers
            assert status == 200, f"PUT {job[1]!r}: {status} {answer[:300]}"
            self.acknowledged.add(job[1])
            answers += 1
            if answers == kill_after:
                server.kill()

        cut_off = crowd.run(self.jobs(wanted), done)
        crowd.close()
        return cut_off

    def get(self, server, wanted):
        """Reads and compares every one of `wanted`; returns how many there were."""
        crowd, wrong, count = Crowd(server, BUCKET, self.connections), [], 0

        def done(job, status, answer):
            nonlocal count
            count += 1
            if (status, answer) != (200, self.content(job[1])):
                wrong.append(f"{job[1]!r}: status {status}, {len(answer)} bytes, not the {len(self.content(job[1]))} written")

        cut_off = crowd.run((("GET", name, b"") for name in wanted), done)
        crowd.close()
        assert not cut_off, f"{cut_off} reads got no answer:\n{server.tail()}"
        assert not wrong, f"{len(wrong)} of {count} wrong:\n" + "\n".join(wrong[:20])
        return count


    def copy(self, server):
        """Copies the objects with odd names, so that these names come in headers too. The copies are kept like the rest."""
        crowd, targets = Crowd(server, BUCKET, self.connections), {COPIED + name: name for name in self.odd}
        targets = {target: name for target, name in targets.items() if len(encoded(target)) <= names.NAME_BYTES_MAX}

        def done(job, status, answer):
            assert status == 200 and b"<Error>" not in answer, f"copy to {job[1]!r}: {status} {answer[:300]}"
            self.acknowledged.add(job[1])

        jobs = (("PUT", target, b"", (), {"x-amz-copy-source": f"/{BUCKET}/{sigv4.escape(name)}"})
                for target, name in targets.items())
        assert crowd.run(jobs, done) == 0
        crowd.close()
        self.origins = targets
        self.names += list(targets)
        return len(targets)

    def delete(self, server):
        """Deletes the copies, in batches as far as XML can name them."""
        crowd, in_batches, alone_ = Crowd(server, BUCKET, self.connections), [], []
        for name in self.origins:
            (in_batches if all(legal_in_xml(letter) for letter in name) else alone_).append(name)
        batches = [in_batches[at:at + 1000] for at in range(0, len(in_batches), 1000)]
        jobs = [("POST", None, document(batch), [("delete", "")], digest(document(batch))) for batch in batches]
        jobs += [("DELETE", name, b"") for name in alone_]

        def done(job, status, answer):
            assert status in (200, 204) and b"<Error>" not in answer, f"{job[0]} {job[1]!r}: {status} {answer[:300]}"

        assert crowd.run(iter(jobs), done) == 0
        crowd.close()
        self.acknowledged -= set(self.origins)
        self.names = self.names[:-len(self.origins)]
        return len(in_batches), len(alone_)


def legal_in_xml(letter):
    """Whether XML 1.0 can hold a letter as such, and gives it back as it was."""
    return "\x20" <= letter < "\ufffe" or letter > "\uffff"


def document(batch):
    """The body of DeleteObjects."""
    rows = "".join(f"<Object><Key>{xml.sax.saxutils.escape(name)}</Key></Object>" for name in batch)
    return f"<Delete><Quiet>true</Quiet>{rows}</Delete>".encode("utf-8")


def digest(data):
    """The header that DeleteObjects must have."""
    return {"content-md5": base64.b64encode(hashlib.md5(data).digest()).decode()}


def encoded(name):
    """Bytes of a name: what S3 orders by."""
    return name.encode("utf-8")


def decoded(text):
    """A name as a listing with `encoding-type=url` gives it."""
    return urllib.parse.unquote_to_bytes((text or "").replace("+", " "))


def pages(session, version, query, pages_max):
    """All pages of a listing: keys and common prefixes, each in the order in which they came."""
    asked, keys, prefixes, query = 0, [], [], [*query, ("encoding-type", "url")]
    query += [("list-type", "2")] if version == 2 else []
    after = None
    while True:
        if after is not None:
            field = "continuation-token" if version == 2 else "marker"
            query = [pair for pair in query if pair[0] != field] + [(field, after)]
        asked += 1
        assert asked <= pages_max, f"still not at the end after {asked} pages of {query}: now behind {after!r}"
        status, _, answer = session.request("GET", None, query=query, bucket=BUCKET)
        assert status == 200, answer[:500]
        root = xml.etree.ElementTree.fromstring(answer)
        keys += [decoded(row.findtext(f"{SPACE}Key")) for row in root.findall(f"{SPACE}Contents")]
        prefixes += [decoded(row.findtext(f"{SPACE}Prefix")) for row in root.findall(f"{SPACE}CommonPrefixes")]
        if root.findtext(f"{SPACE}IsTruncated") != "true":
            return keys, prefixes
        if version == 2:
            after = root.findtext(f"{SPACE}NextContinuationToken")
        else:
            said = root.findtext(f"{SPACE}NextMarker")
            after = (decoded(said) if said else keys[-1]).decode("utf-8")


def wanted_listing(ordered, prefix, delimiter, start):
    """What S3 must list: keys and common prefixes."""
    keys, prefixes = [], []
    for name in ordered:
        if not name.startswith(prefix):
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            if name > start:
                keys.append(name)
        elif name[:end + len(delimiter)] > start and (not prefixes or prefixes[-1] != name[:end + len(delimiter)]):
            prefixes.append(name[:end + len(delimiter)])
    return keys, prefixes


def list_all(server, store, chance, more):
    """Compares whole listings of both versions, and `more` of parts of the bucket; returns how many."""
    ordered, session = sorted(map(encoded, store.acknowledged)), Session(server)
    asked = [(2, b"", b"", b"", 1000), (1, b"", b"", b"", 1000), (2, b"", b"/", b"", 1000), (1, b"", b"/", b"", 7)]
    for number in range(more):
        name = chance.choice(ordered).decode("utf-8")
        prefix = name[:chance.randrange(1, len(name) + 1)]
        delimiter = chance.choice(["", "/", "//", chance.choice(name), name[-2:]])
        start = chance.choice(["", chance.choice(ordered).decode("utf-8"), name])
        asked.append((1 + number % 2, encoded(prefix), encoded(delimiter), encoded(start), chance.choice([1, 3, 50, 1000])))
    for version, prefix, delimiter, start, count in asked:
        wanted = wanted_listing(ordered, prefix, delimiter, start)
        if sum(map(len, wanted)) // count > 400:
            count = 1000  # a listing of one name a page would take for ever
        fields = {"prefix": prefix, "delimiter": delimiter, "start-after" if version == 2 else "marker": start}
        query = [(field, value.decode("utf-8")) for field, value in fields.items() if value]
        what = f"version {version} of {query}, {count} a page"
        found = pages(session, version, [*query, ("max-keys", str(count))], sum(map(len, wanted)) // count + 2)
        for one, other, kind in zip(found, wanted, ("keys", "common prefixes")):
            more_, less = set(one) - set(other), set(other) - set(one)
            assert one == other, (f"{what}: {len(one)} {kind} instead of {len(other)}; too many {sorted(more_)[:5]}; missing "
                                  f"{sorted(less)[:5]}; {'out of order' if not more_ and not less else ''}")
    session.close()
    return len(asked)


def load(server, store, chance):
    """Writes everything; the server is killed halfway and, at the end, once more."""
    begun = time.monotonic()
    half = chance.randrange(len(store.names) // 4, len(store.names) // 2)
    cut_off = store.put(server, store.names, kill_after=half)
    print(f"killed after {half} answers, with {cut_off} requests under way", flush=True)
    started = server.start()
    count = store.get(server, sorted(store.acknowledged))
    print(f"started in {started:.2f} s; {count} acknowledged objects right", flush=True)
    # What was cut off may be there: written again, it is acknowledged, so that the listing is known.
    assert store.put(server, sorted(store.tried - store.acknowledged)) == 0
    assert store.put(server, store.names) == 0
    print(f"{len(store.names)} objects stored, {time.monotonic() - begun:.0f} s in all", flush=True)
    print(f"{store.copy(server)} copies made of those with odd names", flush=True)
    server.kill()
    print(f"killed and started in {server.start():.2f} s", flush=True)


def without_pairs(server, store, chance, full):
    """Reads with each pair of devices gone."""
    pairs = list(itertools.combinations(server.devices(), DEVICES_LOST_MAX))
    chance.shuffle(pairs)
    for number, pair in enumerate(pairs):
        server.kill()
        server.take_away(pair)
        started = server.start()
        sample = store.names if number < full else store.odd + chance.sample(store.names, min(SAMPLE, len(store.names)))
        count = store.get(server, sample)
        listings = list_all(server, store, chance, 0) if number < full else 0
        print(f"without {' and '.join(path.name for path in pair)}: started in {started:.2f} s, {count} reads right, "
              f"{listings} listings right", flush=True)
        server.kill()
        server.bring_back(pair)
        server.start()


def without_three(server, chance):
    """One device too many is gone: the server must say so and end."""
    lost = chance.sample(server.devices(), DEVICES_LOST_MAX + 1)
    server.kill()
    server.take_away(lost)
    try:
        server.start()
    except RuntimeError as error:
        said = [line for line in str(error).splitlines() if line.startswith("ashlar: ")]
        print(f"without {len(lost)} devices: refused, {said[-1]}", flush=True)
        present = DEVICE_COUNT - len(lost)
        assert f"{present} of {DEVICE_COUNT} devices" in said[-1], f"the last line does not say why: {said[-1]}"
    else:
        raise AssertionError(f"the server serves without {[path.name for path in lost]}")
    finally:
        server.end()
        server.bring_back(lost)


def work(options, folder):
    """All of it."""
    chance = random.Random(options.seed)
    server = Server(options.binary, folder, device_size=options.device_size)
    with alone.running(server):
        store = Store(options, chance)
        assert Session(server).request("PUT", None, bucket=BUCKET)[0] == 200
        load(server, store, chance)
        begun = time.monotonic()
        count = store.get(server, store.names)
        print(f"{count} objects right bit for bit ({count / (time.monotonic() - begun):.0f} a second)", flush=True)
        begun = time.monotonic()
        count = list_all(server, store, chance, options.listings)
        print(f"{count} listings complete and in order ({time.monotonic() - begun:.0f} s)", flush=True)
        without_pairs(server, store, chance, options.full_pairs)
        without_three(server, chance)
        server.start()
        many, single = store.delete(server)
        list_all(server, store, chance, 0)
        print(f"{many} copies deleted in batches and {single} one by one; the listings say so", flush=True)
        server.kill()
        server.start()
        list_all(server, store, chance, 0)
        count = store.get(server, store.names)
        print(f"{count} objects, {len(store.odd)} of them with odd names, are right after kills and all pairs of losses")


def main():
    """Reads the command line and runs."""
    parser = alone.parser(__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--full-pairs", type=int, default=3, help="pairs of lost devices for which everything is read")
    parser.add_argument("--listings", type=int, default=60, help="listings of parts of the bucket")
    parser.add_argument("--device-size", default="2GiB", help="of each of six; files are sparse")
    alone.run(parser.parse_args(), work)


if __name__ == "__main__":
    main()
