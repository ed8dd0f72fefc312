"""Every way in which a body can be sent and signed, byte for byte, with chunk borders in the worst places.

What a client library sends is only a sample; these are the forms that the S3 documents describe, cut into TCP segments
so that every header line, size line and trailer is at some time torn apart. Chunks but the last have 8 KiB at least, as
AWS demands.
"""

import base64
import hashlib
import random
import sys
import time
import urllib.parse
import zlib

from support import cases, sigv4
from support.content import KIB, MIB, body, md5, same
from support.raw import Connection, head

HOST = urllib.parse.urlsplit(cases.endpoint()).netloc
SIGNER = sigv4.Signer(*cases.keys())
BUCKET = "payload-modes"
SIZES = [0, 1, 5, 65536, 100_001]


def connect():
    """A new connection."""
    host, port = HOST.split(":")
    return Connection(host, int(port))


def exchange(method, target, headers, data=b"", cut=None, connection=None):
    """Sends one request, cut into pieces of `cut` bytes, and returns the answer."""
    message = head(method, target, headers) + data
    owned = connection is None
    connection = connection or connect()
    try:
        if cut is None:
            connection.send(message)
        else:
            connection.socket.setsockopt(6, 1, 1)  # TCP_NODELAY: pieces stay pieces
            for at in range(0, len(message), cut):
                connection.send(message[at:at + cut])
                time.sleep(0.0005)
        return connection.answer(method)
    finally:
        if owned:
            connection.socket.close()


def simple(method, key=None, data=b"", signed=None):
    """A request whose payload is signed as a whole."""
    path = sigv4.path_of(BUCKET, key)
    headers = SIGNER.headers(method, path, HOST, payload=hashlib.sha256(data).hexdigest(), signed=signed)
    headers["content-length"] = str(len(data))
    return exchange(method, path, headers, data)


def check(key, data):
    """Asserts that the object is there and has these bytes."""
    answer = simple("GET", key)
    assert answer.status == 200, answer
    same(answer.body, data)
    assert answer.headers["etag"] == f'"{md5(data)}"'
    return answer


def absent(key):
    """Asserts that nothing was stored."""
    answer = simple("GET", key)
    assert answer.status == 404, answer


def crc32(data):
    """The value of x-amz-checksum-crc32."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def outer(data, sizes):
    """HTTP chunked coding with chunks of the sizes that `sizes` gives."""
    out, at = b"", 0
    while at < len(data):
        size = next(sizes)
        piece = data[at:at + size]
        out += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        at += size
    return out + b"0\r\n\r\n"


def random_sizes(seed):
    """Small and odd chunk sizes without end."""
    chance = random.Random(seed)
    while True:
        yield chance.choice([1, 2, 3, 5, 7, 64, 1000, 40_000])


assert simple("PUT").status in (200, 409)


def streamed(key, mode, data, chunk, signed=None, trailers=None, outer_sizes=None, cut=None, tamper=None):
    """Sends an aws-chunked body and returns the answer. `tamper` may change the encoded body."""
    path, moment = sigv4.path_of(BUCKET, key), sigv4.now()
    fields = {"x-amz-decoded-content-length": str(len(data)), **(signed or {})}
    if trailers:
        fields["x-amz-trailer"] = ",".join(trailers)
    headers = SIGNER.headers("PUT", path, HOST, payload=mode, signed=fields, moment=moment)
    if mode.startswith("STREAMING-AWS4"):
        with_trailer = trailers if mode.endswith("-TRAILER") else None
        encoded = sigv4.signed_chunks(SIGNER, moment, sigv4.seed_of(headers), data, chunk, with_trailer)
    else:
        encoded = sigv4.unsigned_chunks(data, chunk, trailers)
    if tamper:
        encoded = tamper(encoded)
    if outer_sizes:
        headers["transfer-encoding"] = "chunked"
        encoded = outer(encoded, outer_sizes)
    else:
        headers["content-length"] = str(len(encoded))
    return exchange("PUT", path, headers, encoded, cut)


def test_hash_of_the_whole_body():
    for size in SIZES:
        data = body("whole", size)
        assert simple("PUT", "whole", data).status == 200
        check("whole", data)


def test_a_wrong_hash_stores_nothing():
    path = sigv4.path_of(BUCKET, "wrong-hash")
    headers = SIGNER.headers("PUT", path, HOST, payload=hashlib.sha256(b"other").hexdigest())
    headers["content-length"] = "4"
    answer = exchange("PUT", path, headers, b"body")
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch"), answer
    absent("wrong-hash")


def test_unsigned_payload_with_a_length_or_in_chunks():
    for size in SIZES:
        data, path = body("unsigned", size), sigv4.path_of(BUCKET, "unsigned")
        for chunked in (False, True):
            headers = SIGNER.headers("PUT", path, HOST, payload=sigv4.UNSIGNED,
                                     signed={"x-amz-decoded-content-length": str(size)} if chunked else None)
            if chunked:
                headers["transfer-encoding"] = "chunked"
            else:
                headers["content-length"] = str(size)
            data_sent = outer(data, random_sizes(size)) if chunked else data
            answer = exchange("PUT", path, headers, data_sent)
            assert answer.status == 200, answer
            check("unsigned", data)


def test_signed_chunks():
    for size in SIZES:
        for chunk in (8 * KIB, 64 * KIB, 70_001):
            data = body("signed", size)
            answer = streamed("signed", sigv4.STREAMING_SIGNED, data, chunk)
            assert answer.status == 200, answer
            check("signed", data)


def test_signed_chunks_with_a_signed_trailer():
    for size in SIZES:
        data = body("trailer", size)
        answer = streamed("trailer", sigv4.STREAMING_SIGNED_TRAILER, data, 64 * KIB,
                          trailers={"x-amz-checksum-crc32": crc32(data)})
        assert answer.status == 200, answer
        check("trailer", data)


def test_unsigned_chunks_with_and_without_a_trailer():
    for size in SIZES:
        data = body("plain-trailer", size)
        for trailers in (None, {"x-amz-checksum-crc32": crc32(data)}):
            answer = streamed("plain-trailer", sigv4.STREAMING_UNSIGNED_TRAILER, data, 10_000, trailers=trailers)
            assert answer.status == 200, answer
            check("plain-trailer", data)


def test_chunks_within_chunks_torn_anywhere():
    data = body("torn", 60_000)
    trailers = {"x-amz-checksum-crc32": crc32(data)}
    for seed in range(6):
        answer = streamed("torn", sigv4.STREAMING_UNSIGNED_TRAILER, data, 8192 + 4999 * seed, trailers=trailers,
                          outer_sizes=random_sizes(seed))
        assert answer.status == 200, answer
        check("torn", data)
    answer = streamed("torn", sigv4.STREAMING_SIGNED_TRAILER, data, 9000, trailers=trailers,
                      outer_sizes=random_sizes(9))
    assert answer.status == 200, answer
    check("torn", data)


def test_requests_torn_into_single_bytes():
    data = body("bytes", 300)
    answer = streamed("bytes", sigv4.STREAMING_SIGNED, data, 8192, cut=1)
    assert answer.status == 200, answer
    check("bytes", data)
    answer = streamed("bytes", sigv4.STREAMING_UNSIGNED_TRAILER, data, 8192, cut=1, outer_sizes=random_sizes(1),
                      trailers={"x-amz-checksum-crc32": crc32(data)})
    assert answer.status == 200, answer
    check("bytes", data)


def test_a_wrong_chunk_signature_stores_nothing():
    data = body("tampered", 100_000)

    def flip_body(encoded):
        at = len(encoded) // 2
        return encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1:]

    def flip_signature(encoded):
        at = encoded.index(b"chunk-signature=") + 20
        return encoded[:at] + (b"0" if encoded[at:at + 1] != b"0" else b"1") + encoded[at + 1:]

    def drop_last_chunk(encoded):
        return encoded[:encoded.rindex(b"0;chunk-signature=")]

    for tamper in (flip_body, flip_signature):
        answer = streamed("tampered", sigv4.STREAMING_SIGNED, data, 64 * KIB, tamper=tamper)
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
        absent("tampered")
    answer = streamed("tampered", sigv4.STREAMING_SIGNED, data, 64 * KIB, tamper=drop_last_chunk)
    assert answer.status == 400, answer
    absent("tampered")


def test_a_wrong_trailer_stores_nothing():
    data = body("bad-trailer", 5000)
    for mode in (sigv4.STREAMING_UNSIGNED_TRAILER, sigv4.STREAMING_SIGNED_TRAILER):
        answer = streamed("bad-trailer", mode, data, 8192, trailers={"x-amz-checksum-crc32": crc32(b"other")})
        assert (answer.status, answer.code) == (400, "BadDigest"), answer
        absent("bad-trailer")

    def flip_signature(encoded):
        at = encoded.index(b"x-amz-trailer-signature:") + 30
        return encoded[:at] + (b"0" if encoded[at:at + 1] != b"0" else b"1") + encoded[at + 1:]

    answer = streamed("bad-trailer", sigv4.STREAMING_SIGNED_TRAILER, data, 8192, tamper=flip_signature,
                      trailers={"x-amz-checksum-crc32": crc32(data)})
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
    absent("bad-trailer")


def test_a_decoded_length_that_is_not_true_stores_nothing():
    data = body("lie", 5000)
    for said in (4999, 5001, 0):
        path = sigv4.path_of(BUCKET, "lie")
        headers = SIGNER.headers("PUT", path, HOST, payload=sigv4.STREAMING_UNSIGNED_TRAILER,
                                 signed={"x-amz-decoded-content-length": str(said)})
        encoded = sigv4.unsigned_chunks(data, 8192)
        headers["content-length"] = str(len(encoded))
        answer = exchange("PUT", path, headers, encoded)
        assert answer.status == 400, (said, answer)
        absent("lie")


def test_aws_chunked_is_not_kept_as_content_encoding():
    data = body("encoding", 100)
    for sent, kept in (("aws-chunked", None), ("gzip,aws-chunked", "gzip"), ("aws-chunked, gzip", "gzip")):
        answer = streamed("encoding", sigv4.STREAMING_UNSIGNED_TRAILER, data, 8192, signed={"content-encoding": sent})
        assert answer.status == 200, answer
        assert check("encoding", data).headers.get("content-encoding") == kept, sent


def test_a_body_cut_short_stores_nothing():
    path, data = sigv4.path_of(BUCKET, "cut"), body("cut", 200_000)
    for sent in (0, 1, 100_000, 199_999):
        headers = SIGNER.headers("PUT", path, HOST, payload=sigv4.UNSIGNED)
        headers["content-length"] = str(len(data))
        with connect() as connection:
            connection.send(head("PUT", path, headers) + data[:sent])
            time.sleep(0.05)
    time.sleep(0.2)
    absent("cut")


def test_100_continue_comes_only_to_those_who_may_send():
    path, data = sigv4.path_of(BUCKET, "continue"), body("continue", 10_000)
    headers = SIGNER.headers("PUT", path, HOST, payload=sigv4.UNSIGNED)
    headers.update({"content-length": str(len(data)), "expect": "100-continue"})
    with connect() as connection:
        connection.send(head("PUT", path, headers))
        assert connection.answer(interim=True).status == 100
        connection.send(data)
        assert connection.answer().status == 200
    check("continue", data)
    headers["authorization"] = headers["authorization"][:-1] + ("0" if headers["authorization"][-1] != "0" else "1")
    with connect() as connection:
        connection.send(head("PUT", path, headers))
        answer = connection.answer(interim=True)
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
        assert connection.at_end(), "a refused upload must end the connection: its body may follow"


def test_one_connection_carries_many_requests():
    with connect() as connection:
        for number in range(50):
            data = body(f"reuse-{number}", number * 1000)
            path = sigv4.path_of(BUCKET, f"reuse-{number % 5}")
            headers = SIGNER.headers("PUT", path, HOST, payload=hashlib.sha256(data).hexdigest())
            headers["content-length"] = str(len(data))
            assert exchange("PUT", path, headers, data, connection=connection).status == 200
            answer = exchange("GET", path, SIGNER.headers("GET", path, HOST), connection=connection)
            same(answer.body, data)
            answer = exchange("HEAD", path, SIGNER.headers("HEAD", path, HOST), connection=connection)
            assert (answer.status, answer.headers["content-length"]) == (200, str(len(data)))
            absent_path = sigv4.path_of(BUCKET, "absent")
            answer = exchange("GET", absent_path, SIGNER.headers("GET", absent_path, HOST), connection=connection)
            assert answer.status == 404


def test_requests_sent_ahead_are_answered_in_order():
    count = 20
    for number in range(count):
        assert simple("PUT", f"ahead-{number}", str(number).encode()).status == 200
    with connect() as connection:
        sent = b""
        for number in range(count):
            path = sigv4.path_of(BUCKET, f"ahead-{number}")
            sent += head("GET", path, SIGNER.headers("GET", path, HOST))
        connection.send(sent)
        for number in range(count):
            same(connection.answer().body, str(number).encode())


def test_a_large_unsigned_body_in_uneven_segments():
    data, path = body("segments", 20 * MIB + 3), sigv4.path_of(BUCKET, "segments")
    headers = SIGNER.headers("PUT", path, HOST, payload=sigv4.UNSIGNED)
    headers["content-length"] = str(len(data))
    chance, at = random.Random(4), 0
    with connect() as connection:
        connection.send(head("PUT", path, headers))
        while at < len(data):
            size = int(2 ** chance.uniform(0, 21))
            connection.send(data[at:at + size])
            at += size
        assert connection.answer().status == 200
    check("segments", data)


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
