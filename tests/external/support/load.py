"""Clients that write, delete and remember what was acknowledged, and can say afterwards whether it is all there.

Uses plain HTTP connections with signed requests and one thread per client. Each client owns its keys, so that for every
key the order of changes is known: what was acknowledged last must be there, or, when a later change got no answer, what
that change would have left.
"""

import hashlib
import http.client
import random
import threading
import urllib.parse

from support import sigv4
from support.content import KIB, MIB, body

BUCKET = "load"
KEYS_PER_CLIENT = 12
PART = 5 * MIB
ABSENT = None
VERIFIERS = 8


class Unanswered(Exception):
    """The connection broke before an answer came: nobody knows whether the change happened."""


class Session:
    """One connection, made again when it broke."""

    def __init__(self, server):
        self.host, self.signer = f"127.0.0.1:{server.port}", sigv4.Signer(server.access, server.secret)
        self.connection = None

    def request(self, method, key, data=b"", query=(), bucket=BUCKET):
        """Sends a request; returns status, headers and body."""
        path = sigv4.path_of(bucket, key)
        headers = self.signer.headers(method, path, self.host, query, hashlib.sha256(data).hexdigest())
        target = path + ("?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote) if query else "")
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, timeout=60)
            self.connection.request(method, target, data, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unanswered(str(error)) from error

    def close(self):
        """Ends the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Client(threading.Thread):
    """One writer. `settled` maps each key to the set of states that may be found: names of bodies, or ABSENT."""

    def __init__(self, number, seed, stop):
        super().__init__(daemon=True)
        self.number, self.stop = number, stop
        self.random = random.Random(f"{seed}:{number}")
        self.settled = {f"{number}/{index}": {ABSENT} for index in range(KEYS_PER_CLIENT)}
        self.turn, self.acknowledged, self.wrong = 0, 0, []
        self.session = None

    def begin(self, server):
        """Makes the client ready for a server that was started again."""
        following = Client(self.number, 0, self.stop)
        following.__dict__.update(random=self.random, settled=self.settled, turn=self.turn, wrong=self.wrong,
                                  acknowledged=self.acknowledged, session=Session(server))
        return following

    def run(self):
        """Works until told to stop, or until the server is gone."""
        try:
            while not self.stop.is_set():
                self.step()
        except Unanswered:
            pass
        finally:
            self.session.close()

    def step(self):
        """One change of one key, now and then followed by a look at it."""
        self.turn += 1
        key = self.random.choice(sorted(self.settled))
        kind = self.random.random()
        if kind < 0.15:
            self.change(key, ABSENT, lambda: self.session.request("DELETE", key)[0], (204,))
        elif kind < 0.22:
            name = (f"{key}/{self.turn}", PART + self.random.choice([1, 4095, 300_000]))
            self.change(key, name, lambda: self.multipart(key, body(*name)), (200,))
        else:
            size = self.random.choice([0, 1, 100, 4095, 4096, 4097, 20_000, 65_536, 65_537, 200 * KIB, MIB + 1])
            name = (f"{key}/{self.turn}", size)
            self.change(key, name, lambda: self.session.request("PUT", key, body(*name))[0], (200,))
        if self.random.random() < 0.2:
            self.look(self.session, key)

    def change(self, key, name, act, good):
        """Does `act`, after which the key is in the state `name`, if the status is `good`."""
        before = self.settled[key]
        self.settled[key] = before | {name}
        status = act()
        if status in good:
            self.settled[key] = {name}
            self.acknowledged += 1
        elif status == 503:
            # Refused for want of memory or space: may be tried again, and changed nothing.
            self.settled[key] = before
        else:
            self.wrong.append(f"{key}: status {status}")

    def multipart(self, key, data):
        """Uploads in two parts; returns the last status."""
        status, _, answer = self.session.request("POST", key, query=[("uploads", "")])
        if status != 200:
            return status
        upload = answer.split(b"<UploadId>")[1].split(b"</UploadId>")[0].decode()
        rows = ""
        for number, piece in enumerate((data[:PART], data[PART:]), 1):
            query = [("partNumber", str(number)), ("uploadId", upload)]
            status, headers, _ = self.session.request("PUT", key, piece, query)
            if status != 200:
                return status
            rows += f"<Part><PartNumber>{number}</PartNumber><ETag>{headers['ETag']}</ETag></Part>"
        text = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        status, _, answer = self.session.request("POST", key, text, [("uploadId", upload)])
        return 500 if b"<Error>" in answer else status

    def look(self, session, key):
        """Reads a key and notes what is wrong with it. What was seen must stay."""
        status, _, data = session.request("GET", key)
        allowed = self.settled[key]
        for name in allowed:
            if (status == 404) if name is ABSENT else (status == 200 and data == body(*name)):
                self.settled[key] = {name}
                return
        digest = hashlib.md5(data).hexdigest()
        found = "no object" if status == 404 else f"status {status}, {len(data)} bytes, md5 {digest}"
        wanted = ["no object" if name is ABSENT else f"{name[1]} bytes of {name[0]}" for name in allowed]
        self.wrong.append(f"{key}: found {found}; should be {' or '.join(wanted)}")


class Load:
    """Many clients on one bucket."""

    def __init__(self, server, seed, count=16):
        self.server, self.stop = server, threading.Event()
        self.clients = [Client(number, seed, self.stop) for number in range(count)]
        status, _, answer = Session(server).request("PUT", None)
        assert status == 200, answer

    def begin(self):
        """Starts all clients."""
        self.stop.clear()
        self.clients = [client.begin(self.server) for client in self.clients]
        for client in self.clients:
            client.start()

    def end(self):
        """Stops all clients, which finish what they are doing unless the server is gone."""
        self.stop.set()
        for client in self.clients:
            client.join(120)
            assert not client.is_alive(), f"client {client.number} hangs"

    def acknowledged(self):
        """How many changes were acknowledged so far."""
        return sum(client.acknowledged for client in self.clients)

    def verify(self):
        """Reads every key and the listing; raises with all that is wrong."""
        threads = [threading.Thread(target=self.verify_some, args=(self.clients[first::VERIFIERS],), daemon=True)
                   for first in range(VERIFIERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wrong = [line for client in self.clients for line in client.wrong]
        assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:20])
        self.verify_listing()
        return sum(len(client.settled) for client in self.clients)

    def verify_some(self, clients):
        """Reads the keys of some clients."""
        session = Session(self.server)
        for client in clients:
            for key in sorted(client.settled):
                try:
                    client.look(session, key)
                except Unanswered as error:
                    client.wrong.append(f"{key}: no answer: {error}")
        session.close()

    def verify_listing(self):
        """The listing holds exactly the keys that are there; all are settled by now."""
        there = sorted(key for client in self.clients for key, names in client.settled.items() if names != {ABSENT})
        session, found, token = Session(self.server), [], None
        while True:
            query = [("list-type", "2"), ("max-keys", "50")] + ([("continuation-token", token)] if token else [])
            status, _, answer = session.request("GET", None, query=query)
            assert status == 200, answer
            found += [row.split(b"</Key>")[0].decode() for row in answer.split(b"<Key>")[1:]]
            if b"<NextContinuationToken>" not in answer:
                break
            token = answer.split(b"<NextContinuationToken>")[1].split(b"</NextContinuationToken>")[0].decode()
        session.close()
        more, less = set(found) - set(there), set(there) - set(found)
        assert found == there, f"listed but gone: {more}; there but not listed: {less}; or out of order"
