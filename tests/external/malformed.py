"""Sends every row of `malformed_table` over a plain socket, and checks the answer and that nothing else happened.

After each row the server must still answer a good request, the object must be as it was, and the bucket must hold
nothing else.
"""

import os
import re
import sys
import urllib.parse

import malformed_table
from support import cases, sigv4
from support.raw import Closed, Connection, head

HOST = urllib.parse.urlsplit(cases.endpoint()).netloc
SIGNER = sigv4.Signer(*cases.keys())
CONTENT = b"0123456789"


def send(data, method):
    """Sends bytes on a connection of their own; returns the answer."""
    host, port = HOST.split(":")
    with Connection(host, int(port), timeout=10) as connection:
        connection.send(data)
        return connection.answer(method)


def good(method, target, query=(), data=b""):
    """A good request."""
    import hashlib
    headers = SIGNER.headers(method, target, HOST, query, hashlib.sha256(data).hexdigest())
    headers["content-length"] = str(len(data))
    escaped = "&".join(f"{sigv4.escape(name)}={sigv4.escape(value)}" for name, value in query)
    return send(head(method, target + (f"?{escaped}" if escaped else ""), headers) + data, method)


def prepare():
    """Makes the bucket, the object and an open upload; returns the upload's identity."""
    assert good("PUT", malformed_table.BUCKET).status in (200, 409)
    assert good("PUT", malformed_table.OBJECT, data=CONTENT).status == 200
    answer = good("POST", malformed_table.OBJECT, [("uploads", "")])
    return re.search(rb"<UploadId>([^<]+)</UploadId>", answer.body).group(1).decode()


def unchanged(upload):
    """Asserts that the server answers and that everything is as `prepare` left it."""
    answer = good("GET", malformed_table.OBJECT)
    assert (answer.status, answer.body) == (200, CONTENT), f"the object is changed: {answer}"
    listing = good("GET", malformed_table.BUCKET, [("list-type", "2")])
    keys = re.findall(rb"<Key>([^<]*)</Key>", listing.body)
    assert keys == [b"object"], f"the bucket holds {keys}"
    parts = good("GET", malformed_table.OBJECT, [("uploadId", upload)])
    assert parts.status == 200 and b"<PartNumber>" not in parts.body, f"the upload is changed: {parts}"


def check(row, make):
    """Sends one row and compares; `put-without-length` may store an empty object, so the object is put back."""
    name, _, build, (status, code) = row
    data = build(make)
    method = "HEAD" if data.startswith(b"HEAD ") else "GET"
    try:
        answer = send(data, method)
    except Closed as closed:
        raise AssertionError(f"closed without an answer ({closed})") from None
    statuses = status if isinstance(status, tuple) else (status,)
    assert answer.status in statuses, f"{answer}, but should be {status} {code}"
    codes = code if isinstance(code, tuple) else (code,)
    assert code is None or answer.code in codes, f"{answer}, but should be {status} {code}"
    if answer.status == 200:
        assert good("PUT", malformed_table.OBJECT, data=CONTENT).status == 200
    unchanged(make.upload)


def main():
    """Runs all rows, or those whose name contains the first argument."""
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    make = malformed_table.Maker(SIGNER, HOST, prepare())
    names = [row[0] for row in malformed_table.ROWS]
    assert len(set(names)) == len(names), "two rows have the same name"
    passed, failed = 0, []
    for row in malformed_table.ROWS:
        if only not in row[0]:
            continue
        try:
            check(row, make)
        except (AssertionError, OSError, Closed) as error:
            failed.append(row[0])
            print(f"  FAILED {row[0]} ({row[1]}): {error}", flush=True)
            if isinstance(error, ConnectionRefusedError):
                break
            make.upload = prepare()
        else:
            passed += 1
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
