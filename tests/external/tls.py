#!/usr/bin/env python3
"""TLS itself: versions, protocols, who is refused and what is said, ends, tickets, certificates that change.

Runs against the server in `ASHLAR_ENDPOINT`; what changes the certificate starts a server of its own kind beside it, if
`ASHLAR_BINARY` names the program.
"""

import hashlib
import http.client
import os
import pathlib
import socket
import ssl
import sys
import tempfile
import time
import urllib.parse

from support import cases, sigv4
from support.authority import Authority
from support.content import MIB, body
from support.raw import Connection, head
from support.server import Server

PLACE = urllib.parse.urlsplit(cases.endpoint())
SIGNER = sigv4.Signer(*cases.keys())
BUCKET = "tls-tests"
SECONDS = 20


def context(**changes):
    """A client's settings that trust the server."""
    made = ssl.create_default_context(cafile=cases.authority())
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def plain():
    """A socket without TLS."""
    return socket.create_connection((PLACE.hostname, PLACE.port), timeout=SECONDS)


def wrapped(settings=None, session=None, name="127.0.0.1"):
    """A socket with TLS."""
    return (settings or context()).wrap_socket(plain(), server_hostname=name, session=session)


def connection(wire):
    """HTTP on a socket."""
    made = Connection.__new__(Connection)
    made.socket, made.buffered = wire, b""
    return made


def request(method, key=None, data=b"", **headers):
    """The bytes of a signed request."""
    path = sigv4.path_of(BUCKET, key)
    signed = SIGNER.headers(method, path, PLACE.netloc, payload=hashlib.sha256(data).hexdigest())
    return head(method, path, {**signed, "content-length": str(len(data)), **headers}) + data


def ask(wire, message, method="GET"):
    """One request and its answer."""
    made = connection(wire)
    made.send(message)
    return made.answer(method)


def everything(wire):
    """All bytes until the end of the stream."""
    data = b""
    try:
        while piece := wire.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


with wrapped() as first:
    assert ask(first, request("PUT")).status == 200


def test_versions():
    for version, expected in [(ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")]:
        with wrapped(context(minimum_version=version, maximum_version=version)) as wire:
            assert wire.version() == expected
            data = body(expected, 3 * MIB + 1)
            assert ask(wire, request("PUT", expected, data)).status == 200
            assert ask(wire, request("GET", expected)).body == data


def test_old_versions_are_refused():
    settings = context()
    settings.set_ciphers("ALL:@SECLEVEL=0")
    settings.minimum_version = settings.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        wrapped(settings).close()
    except ssl.SSLError:
        return
    raise AssertionError("TLS 1.1 was accepted")


def test_http_1_1_only():
    settings = context()
    settings.set_alpn_protocols(["h2", "http/1.1"])
    with wrapped(settings) as wire:
        assert wire.selected_alpn_protocol() == "http/1.1"


def test_the_certificate_is_for_the_address():
    for name, is_good in [("127.0.0.1", True), ("localhost", True), ("other.example", False)]:
        try:
            wrapped(name=name).close()
        except ssl.SSLCertVerificationError:
            assert not is_good, name
        else:
            assert is_good, name


def test_plain_http_is_told():
    with plain() as wire:
        wire.sendall(request("GET"))
        answer = everything(wire)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https://" in answer, answer
    unwrapped = http.client.HTTPConnection(PLACE.hostname, PLACE.port, timeout=SECONDS)
    unwrapped.request("GET", "/")
    assert unwrapped.getresponse().status == 400


def test_garbage_ends_with_an_alert():
    for garbage in [bytes(100), b"\x16\x03\x01\xff\xff" + bytes(100), b"\x16\x03\x01\x00\x10" + bytes(16)]:
        with plain() as wire:
            wire.sendall(garbage)
            wire.shutdown(socket.SHUT_WR)
            answer = everything(wire)
        assert answer[:1] == b"\x15" and len(answer) == 7, (garbage, answer)
    with wrapped() as wire:
        assert ask(wire, request("GET")).status == 200


def test_silence_ends():
    begun = time.monotonic()
    with plain() as wire:
        assert everything(wire) == b""
    assert 9 < time.monotonic() - begun < 15


def test_the_end_is_said():
    settings = context()
    settings.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with settings.wrap_socket(plain(), server_hostname="127.0.0.1", suppress_ragged_eofs=False) as wire:
        assert ask(wire, request("GET", connection="close")).status == 200
        # An end that was not said would be an error here.
        assert wire.recv(1) == b""


def test_a_body_cut_short_is_not_stored():
    data = body("cut", MIB)
    wire = wrapped()
    wire.sendall(request("PUT", "cut", data)[:-1000])
    wire.shutdown(socket.SHUT_WR)
    wire.close()
    time.sleep(0.5)
    with wrapped() as other:
        assert ask(other, request("GET", "cut")).code == "NoSuchKey"


def test_tickets_are_taken_by_every_core():
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        settings = context(minimum_version=version, maximum_version=version)
        with wrapped(settings) as wire:
            assert ask(wire, request("GET")).status == 200
            assert not wire.session_reused
            session = wire.session
        for _ in range(8):
            with wrapped(settings, session) as wire:
                assert ask(wire, request("GET")).status == 200
                assert wire.session_reused, version


def test_many_connections_at_once():
    wires = [wrapped() for _ in range(200)]
    try:
        for number, wire in enumerate(wires):
            wire.sendall(request("PUT", f"many/{number}", body(f"many-{number}", number * 100)))
        for wire in wires:
            assert connection(wire).answer().status == 200
        for number, wire in enumerate(wires):
            assert ask(wire, request("GET", f"many/{number}")).body == body(f"many-{number}", number * 100)
    finally:
        for wire in wires:
            wire.close()


def shown(server):
    """The certificate that a server shows to new connections."""
    with server.connect(SECONDS) as wire:
        return wire.getpeercert(binary_form=True)


def test_a_new_certificate_is_taken_up():
    binary = os.environ.get("ASHLAR_BINARY")
    if not binary:
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    server = Server(binary, folder, device_size="64MiB", memory="256MiB", authority=Authority(folder / "authority"))
    server.start()
    try:
        before, kept = shown(server), server.connect(60)
        server.authority.issue()
        deadline = time.monotonic() + 40
        while shown(server) == before:
            assert time.monotonic() < deadline, "the old certificate is still shown"
            time.sleep(0.5)
        # Also by the core that took longer to look.
        time.sleep(11)
        assert all(shown(server) != before for _ in range(20))
        # Connections keep what they began with.
        kept.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(8) == b"HTTP/1.1"
        kept.close()
        good = shown(server)
        server.authority.key.write_text("no key\n")
        time.sleep(22)
        assert shown(server) == good
        assert "holds no private key" in server.tail(), server.tail()
        assert server.stop() == 0
    finally:
        server.end()


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
