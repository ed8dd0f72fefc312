"""Signature version 4 by hand, so that a test can also sign wrongly.

Follows the AWS page "Signature calculations for the Authorization header" and its siblings for query strings and
chunked bodies. Only `hashlib` and `hmac` are used: an SDK would refuse to send most of what the tests want to send.
"""

import datetime
import hashlib
import hmac
import urllib.parse

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"


def now():
    """The present time, as signatures want it."""
    return datetime.datetime.now(datetime.timezone.utc)


def stamp(moment):
    """`20130524T000000Z`."""
    return moment.strftime("%Y%m%dT%H%M%SZ")


def escape(text, safe=""):
    """Percent-escapes as AWS does: everything but letters, digits and `-._~`."""
    return urllib.parse.quote(text, safe="-._~" + safe)


def path_of(bucket=None, key=None):
    """The escaped path of a bucket or an object."""
    if bucket is None:
        return "/"
    return f"/{bucket}" if key is None else f"/{bucket}/{escape(key, safe='/')}"


class Signer:
    """Signs for one pair of keys."""

    def __init__(self, access, secret, region="us-east-1"):
        self.access, self.secret, self.region = access, secret, region
        self.keys = {}

    def key(self, moment):
        """The signing key of a day; made once, as some tests sign hundreds of thousands of requests."""
        day = moment.strftime("%Y%m%d")
        if day not in self.keys:
            key = ("AWS4" + self.secret).encode()
            for word in (day, self.region, "s3", "aws4_request"):
                key = hmac.new(key, word.encode(), hashlib.sha256).digest()
            self.keys[day] = key
        return self.keys[day]

    def scope(self, moment):
        """`20130524/us-east-1/s3/aws4_request`."""
        return f"{moment:%Y%m%d}/{self.region}/s3/aws4_request"

    def signature(self, moment, algorithm, *lines):
        """Signs the string that consists of the algorithm, the time, the scope and `lines`."""
        text = "\n".join([algorithm, stamp(moment), self.scope(moment), *lines])
        return hmac.new(self.key(moment), text.encode(), hashlib.sha256).hexdigest()

    def of_request(self, moment, method, path, query, headers, payload):
        """The signature of a request; `headers` is what is signed, `payload` the word for x-amz-content-sha256."""
        pairs = sorted((escape(name), escape(value)) for name, value in query)
        folded = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        names = sorted(folded)
        canonical = "\n".join([
            method, path, "&".join(f"{name}={value}" for name, value in pairs),
            "".join(f"{name}:{folded[name]}\n" for name in names), ";".join(names), payload,
        ])
        return self.signature(moment, "AWS4-HMAC-SHA256", hashlib.sha256(canonical.encode()).hexdigest())

    def headers(self, method, path, host, query=(), payload=EMPTY_SHA256, signed=None, moment=None):
        """All headers of a signed request. `signed` are further headers, which are signed too."""
        moment = moment or now()
        headers = {"host": host, "x-amz-date": stamp(moment), "x-amz-content-sha256": payload}
        headers.update(signed or {})
        signature = self.of_request(moment, method, path, query, headers, payload)
        names = ";".join(sorted(name.lower() for name in headers))
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope(moment)}, "
                                    f"SignedHeaders={names}, Signature={signature}")
        return headers

    def presign(self, method, path, host, query=(), expires=300, moment=None, signed=None):
        """The path and query of a presigned URL."""
        moment = moment or now()
        headers = {"host": host, **(signed or {})}
        query = list(query) + [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{self.access}/{self.scope(moment)}"),
            ("X-Amz-Date", stamp(moment)), ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", ";".join(sorted(headers))),
        ]
        signature = self.of_request(moment, method, path, query, headers, UNSIGNED)
        query.append(("X-Amz-Signature", signature))
        return path + "?" + "&".join(f"{escape(name)}={escape(value)}" for name, value in query)


def seed_of(headers):
    """The signature in an Authorization header, which a chunk chain begins with."""
    return headers["authorization"].rsplit("Signature=", 1)[1]


def signed_chunks(signer, moment, seed, body, size, trailers=None):
    """An aws-chunked body with chunk signatures, and a signed trailer when `trailers` are given."""
    pieces = [body[at:at + size] for at in range(0, len(body), size)] + [b""]
    out, previous = [], seed
    for piece in pieces:
        previous = signer.signature(moment, "AWS4-HMAC-SHA256-PAYLOAD", previous, EMPTY_SHA256,
                                    hashlib.sha256(piece).hexdigest())
        out.append(f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece)
        if piece or trailers is None:
            out.append(b"\r\n")
    if trailers is not None:
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(trailers.items()))
        last = signer.signature(moment, "AWS4-HMAC-SHA256-TRAILER", previous,
                                hashlib.sha256(lines.encode()).hexdigest())
        out += [f"{name}:{value}\r\n".encode() for name, value in sorted(trailers.items())]
        out.append(f"x-amz-trailer-signature:{last}\r\n\r\n".encode())
    return b"".join(out)


def unsigned_chunks(body, size, trailers=None):
    """An aws-chunked body without signatures."""
    out = []
    for at in range(0, len(body), size):
        piece = body[at:at + size]
        out.append(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    out.append(b"0\r\n")
    out += [f"{name}:{value}\r\n".encode() for name, value in (trailers or {}).items()]
    out.append(b"\r\n")
    return b"".join(out)
