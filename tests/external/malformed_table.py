"""Requests that are wrong, each with the one answer that is right.

A row is `(name, what it proves, build, wanted)`. `build` takes a `Maker` and returns the bytes to send; `wanted` is
`(status, S3 code)`, where the code may be a tuple of codes that mean the same to clients, or None when the answer has no
body. Statuses and codes are those of the AWS pages on error responses and on signature errors; where AWS says nothing
(malformed HTTP), it is refused with 400 and the connection ends, because two readers of such bytes could disagree.
"""

import datetime
import hashlib

from support import sigv4
from support.raw import head

OBJECT, BUCKET = "/malformed-tests/object", "/malformed-tests"
INVALID = (400, ("InvalidRequest", "InvalidArgument"))
NO_DATE = ((400, 403), ("AccessDenied", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "InvalidRequest"))
HEAD_TOO_LARGE = (400, ("RequestHeaderSectionTooLarge", "MaxMessageLengthExceeded"))


class Maker:
    """Builds requests that are right but for what a row asks for."""

    def __init__(self, signer, host, upload):
        self.signer, self.host, self.upload = signer, host, upload

    def lines(self, method="GET", target=OBJECT, query=(), data=None, signed=None, moment=None, payload=None):
        """Target and headers of a good request."""
        payload = payload or hashlib.sha256(data or b"").hexdigest()
        headers = self.signer.headers(method, target, self.host, query, payload, signed, moment)
        if data is not None:
            headers["content-length"] = str(len(data))
        if query:
            target += "?" + "&".join(f"{sigv4.escape(name)}={sigv4.escape(value)}" for name, value in query)
        return target, headers

    def request(self, method="GET", target=OBJECT, data=None, more=None, without=(), **how):
        """A good request with `more` unsigned headers, or `without` some."""
        target, headers = self.lines(method, target, data=data, **how)
        for name in without:
            headers.pop(name)
        headers.update(more or {})
        return head(method, target, headers) + (data or b"")

    def put(self, data=b"new bytes", **how):
        """A PUT of the object."""
        return self.request("PUT", data=data, **how)

    def with_line(self, line, method="GET", data=None):
        """A good request with one raw header line more."""
        whole = self.request(method, data=data)
        first, rest = whole.split(b"\r\n", 1)
        return first + b"\r\n" + line + b"\r\n" + rest

    def chunked(self, body, mode=sigv4.STREAMING_UNSIGNED_TRAILER, decoded=9, signed=None):
        """A PUT with an aws-chunked body as given."""
        fields = {"x-amz-decoded-content-length": str(decoded), **(signed or {})}
        target, headers = self.lines("PUT", payload=mode, signed=fields)
        headers["content-length"] = str(len(body))
        return head("PUT", target, headers) + body

    def signed_chunks(self, change):
        """A PUT with chunk signatures, changed."""
        moment, data = sigv4.now(), b"new bytes" * 20
        fields = {"x-amz-decoded-content-length": str(len(data))}
        target, headers = self.lines("PUT", payload=sigv4.STREAMING_SIGNED, signed=fields, moment=moment)
        body = change(sigv4.signed_chunks(self.signer, moment, sigv4.seed_of(headers), data, 64))
        headers["content-length"] = str(len(body))
        return head("PUT", target, headers) + body

    def outer(self, body):
        """A PUT with HTTP chunks as given."""
        target, headers = self.lines("PUT", payload=sigv4.UNSIGNED, signed={"x-amz-decoded-content-length": "9"})
        headers["transfer-encoding"] = "chunked"
        return head("PUT", target, headers) + body

    def xml(self, text, query, method="POST", target=BUCKET, signed=None):
        """A request with an XML body."""
        data = text.encode() if isinstance(text, str) else text
        return self.request(method, target, data=data, query=query, signed=signed)

    def delete(self, text):
        """A DeleteObjects request."""
        import base64
        data = text.encode()
        digest = base64.b64encode(hashlib.md5(data).digest()).decode()
        return self.xml(data, [("delete", "")], signed={"content-md5": digest})

    def complete(self, text):
        """A CompleteMultipartUpload request for the open upload."""
        return self.xml(text, [("uploadId", self.upload)], target=OBJECT)

    def part(self, number):
        """An UploadPart request for the open upload."""
        return self.request("PUT", data=b"new bytes", query=[("partNumber", number), ("uploadId", self.upload)])

    def presigned(self, change=lambda target: target, **how):
        """A presigned GET, changed."""
        return head("GET", change(self.signer.presign("GET", OBJECT, self.host, **how)), {"host": self.host})


def ago(**how):
    """A moment in the past."""
    return sigv4.now() - datetime.timedelta(**how)


def authorization(change):
    """A builder that changes the Authorization header of a good GET."""
    def build(make):
        target, headers = make.lines()
        headers["authorization"] = change(headers["authorization"])
        return head("GET", target, headers)
    return build


def flip_signature(body):
    """Changes the first digit of the first chunk signature."""
    at = body.index(b"signature=") + len(b"signature=")
    return body[:at] + (b"1" if body[at:at + 1] == b"0" else b"0") + body[at + 1:]


HTTP = [
    ("length-and-chunked", "a proxy may believe the one header and we the other",
     lambda make: make.put(more={"transfer-encoding": "chunked"}), INVALID),
    ("two-equal-lengths", "repeated framing is refused even when it agrees",
     lambda make: make.with_line(b"Content-Length: 9", "PUT", b"new bytes"), INVALID),
    ("two-different-lengths", "request smuggling",
     lambda make: make.with_line(b"Content-Length: 5", "PUT", b"new bytes"), INVALID),
    ("length-list", "`9, 9` is not a number", lambda make: make.put(more={"content-length": "9, 9"}), INVALID),
    ("length-negative", "lengths have no sign", lambda make: make.put(more={"content-length": "-1"}), INVALID),
    ("length-plus", "lengths have no sign", lambda make: make.put(more={"content-length": "+9"}), INVALID),
    ("length-hex", "lengths are decimal", lambda make: make.put(more={"content-length": "0x9"}), INVALID),
    ("length-2-to-the-64", "no wrap-around",
     lambda make: make.put(more={"content-length": str(2**64 + 9)}), INVALID),
    ("length-empty", "an empty length is none", lambda make: make.put(more={"content-length": ""}), INVALID),
    ("unknown-transfer-coding", "a body that we cannot delimit",
     lambda make: make.request("PUT", more={"transfer-encoding": "gzip"}), (501, "NotImplemented")),
    ("chunked-twice", "a proxy may decode once or twice",
     lambda make: make.request("PUT", more={"transfer-encoding": "chunked, chunked"}), (501, "NotImplemented")),
    ("chunked-not-last", "a body that we cannot delimit",
     lambda make: make.request("PUT", more={"transfer-encoding": "chunked, identity"}), (501, "NotImplemented")),
    ("bare-lf-head", "LF alone ends no line", lambda make: make.request().replace(b"\r\n", b"\n"), INVALID),
    ("bare-lf-in-value", "a header cannot be smuggled behind LF",
     lambda make: make.with_line(b"x-one: a\nx-two: b"), INVALID),
    ("bare-cr-in-value", "nor behind CR", lambda make: make.with_line(b"x-one: a\rx-two: b"), INVALID),
    ("folded-header", "obs-fold is refused", lambda make: make.with_line(b"x-one: a\r\n b"), INVALID),
    ("nul-in-value", "NUL ends strings in some programs", lambda make: make.with_line(b"x-one: a\0b"), INVALID),
    ("nul-in-target", "and in targets",
     lambda make: make.request().replace(OBJECT.encode(), OBJECT.encode() + b"\0", 1), (400, None)),
    ("space-before-colon", "`Name :` is another name to others", lambda make: make.with_line(b"x-one : a"), INVALID),
    ("no-colon", "a header needs a colon", lambda make: make.with_line(b"nonsense"), INVALID),
    ("empty-name", "a header needs a name", lambda make: make.with_line(b": nothing"), INVALID),
    ("no-host", "HTTP/1.1 demands Host", lambda make: make.request(without=["host"]),
     (400, ("MissingSecurityHeader", "InvalidRequest"))),
    ("two-hosts", "which one was signed?", lambda make: make.with_line(b"Host: other.example"), INVALID),
    ("no-version", "HTTP/0.9", lambda make: b"GET /\r\n\r\n", (400, None)),
    ("version-3", "not a version of ours",
     lambda make: make.request().replace(b"HTTP/1.1", b"HTTP/3.0", 1), (400, None)),
    ("unknown-method", "an unknown method is refused, not taken for GET",
     lambda make: make.request("BREW"), (405, "MethodNotAllowed")),
    ("target-with-space", "a target has no spaces",
     lambda make: make.request().replace(OBJECT.encode(), OBJECT.encode() + b" x", 1), (400, None)),
    ("target-not-a-path", "a target begins with a slash",
     lambda make: make.request().replace(b"GET /", b"GET ", 1), (400, None)),
    ("head-of-20-kib", "heads are bounded", lambda make: make.with_line(b"x-long: " + b"a" * 20_000), HEAD_TOO_LARGE),
    ("head-without-end", "also when no end comes: the answer does not wait for one",
     lambda make: b"GET / HTTP/1.1\r\nHost: x\r\nx-long: " + b"a" * 40_000, HEAD_TOO_LARGE),
    ("101-headers", "headers are counted",
     lambda make: make.request(more={f"x-h{number}": "1" for number in range(101)}), HEAD_TOO_LARGE),
    ("target-of-9-kib", "targets are bounded", lambda make: make.request(target="/malformed-tests/" + "a" * 9000),
     (400, ("InvalidURI", "KeyTooLongError", "RequestHeaderSectionTooLarge"))),
    ("key-not-utf-8", "keys are UTF-8", lambda make: make.request(target="/malformed-tests/a%FF"),
     (400, ("InvalidURI", "InvalidArgument"))),
]

CHUNKS = [
    ("chunk-size-not-hex", "sizes are hexadecimal",
     lambda make: make.chunked(b"zz\r\nnew bytes\r\n0\r\n\r\n"), (400, ("InvalidChunkSizeError", "IncompleteBody"))),
    ("chunk-size-empty", "and present", lambda make: make.chunked(b"\r\nnew bytes\r\n0\r\n\r\n"),
     (400, ("InvalidChunkSizeError", "IncompleteBody"))),
    ("chunk-size-negative", "without sign", lambda make: make.chunked(b"-9\r\nnew bytes\r\n0\r\n\r\n"),
     (400, ("InvalidChunkSizeError", "IncompleteBody"))),
    ("chunk-size-overflow", "and below 2^64", lambda make: make.chunked(b"fffffffffffffffff\r\nnew bytes\r\n0\r\n\r\n"),
     (400, ("InvalidChunkSizeError", "IncompleteBody"))),
    ("chunk-size-line-without-end", "size lines are bounded", lambda make: make.chunked(b"9" + b" " * 5000),
     (400, ("InvalidChunkSizeError", "IncompleteBody"))),
    ("chunk-longer-than-said", "chunks end where they say",
     lambda make: make.chunked(b"9\r\nnew bytes and more\r\n0\r\n\r\n"),
     (400, ("IncompleteBody", "InvalidChunkSizeError"))),
    ("chunks-more-than-decoded", "no more than was announced",
     lambda make: make.chunked(b"a\r\nnew bytes!\r\n0\r\n\r\n"), (400, ("IncompleteBody", "InvalidArgument"))),
    ("chunks-less-than-decoded", "and no less",
     lambda make: make.chunked(b"3\r\nnew\r\n0\r\n\r\n"), (400, ("IncompleteBody", "InvalidArgument"))),
    ("chunks-without-decoded-length", "the decoded length must be told",
     lambda make: make.request("PUT", data=b"9\r\nnew bytes\r\n0\r\n\r\n", payload=sigv4.STREAMING_UNSIGNED_TRAILER),
     (411, "MissingContentLength")),
    ("decoded-length-nonsense", "as a number", lambda make: make.chunked(b"0\r\n\r\n", decoded="many"),
     (400, ("InvalidArgument", "InvalidRequest"))),
    ("chunk-signature-wrong", "each chunk is verified",
     lambda make: make.signed_chunks(flip_signature), (403, "SignatureDoesNotMatch")),
    ("chunk-signature-missing", "each chunk is signed",
     lambda make: make.signed_chunks(lambda body: b"40\r\n" + body.split(b"\r\n", 1)[1]),
     ((400, 403), ("SignatureDoesNotMatch", "IncompleteBody"))),
    ("chunk-byte-changed", "the signature covers the bytes",
     lambda make: make.signed_chunks(lambda body: body.replace(b"new", b"NEW", 1)), (403, "SignatureDoesNotMatch")),
    ("trailer-not-announced", "trailers are announced in x-amz-trailer",
     lambda make: make.chunked(b"9\r\nnew bytes\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n"),
     (400, "MalformedTrailerError")),
    ("trailer-announced-but-absent", "and then sent",
     lambda make: make.chunked(b"9\r\nnew bytes\r\n0\r\n\r\n", signed={"x-amz-trailer": "x-amz-checksum-crc32"}),
     (400, "MalformedTrailerError")),
    ("trailer-malformed", "as lines with a colon",
     lambda make: make.chunked(b"9\r\nnew bytes\r\n0\r\nnonsense\r\n\r\n", signed={"x-amz-trailer": "x-amz-checksum-crc32"}),
     (400, "MalformedTrailerError")),
    ("trailer-without-end", "trailers are bounded",
     lambda make: make.chunked(b"9\r\nnew bytes\r\n0\r\nx-amz-checksum-crc32:" + b"A" * 5000,
                               signed={"x-amz-trailer": "x-amz-checksum-crc32"}), (400, "MalformedTrailerError")),
    ("trailer-value-wrong", "the trailer's checksum is verified",
     lambda make: make.chunked(b"9\r\nnew bytes\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
                               signed={"x-amz-trailer": "x-amz-checksum-crc32"}), (400, "BadDigest")),
    ("outer-size-not-hex", "HTTP chunks have sizes too", lambda make: make.outer(b"zz\r\nnew bytes\r\n0\r\n\r\n"),
     (400, ("IncompleteBody", "InvalidRequest"))),
    ("outer-size-overflow", "below 2^64", lambda make: make.outer(b"fffffffffffffffff\r\nnew bytes\r\n0\r\n\r\n"),
     (400, ("IncompleteBody", "InvalidRequest", "EntityTooLarge"))),
    ("outer-without-crlf", "HTTP chunks end in CRLF", lambda make: make.outer(b"9\r\nnew bytesXX0\r\n\r\n"),
     (400, ("IncompleteBody", "InvalidRequest"))),
]

AUTHENTICATION = [
    ("unsigned", "nothing is public", lambda make: head("GET", OBJECT, {"host": make.host}), (403, "AccessDenied")),
    ("no-content-sha256", "the payload's form must be signed",
     lambda make: make.request(without=["x-amz-content-sha256"]), (400, ("InvalidRequest", "MissingSecurityHeader"))),
    ("content-sha256-nonsense", "and be one of the known forms", lambda make: make.request(payload="nonsense"),
     (400, ("InvalidArgument", "InvalidRequest"))),
    ("wrong-payload-hash", "the hash is verified",
     lambda make: make.put(payload=hashlib.sha256(b"other").hexdigest()), (400, "XAmzContentSHA256Mismatch")),
    ("signature-changed", "one digit of the signature is enough",
     authorization(lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")), (403, "SignatureDoesNotMatch")),
    ("signature-short", "a signature is 64 digits", authorization(lambda text: text[:-10]),
     ((400, 403), ("AuthorizationHeaderMalformed", "SignatureDoesNotMatch"))),
    ("unknown-access-key", "who?", authorization(lambda text: text.replace("Credential=", "Credential=NO", 1)),
     (403, "InvalidAccessKeyId")),
    ("scope-other-service", "the scope names s3", authorization(lambda text: text.replace("/s3/", "/ec2/", 1)),
     (400, "AuthorizationHeaderMalformed")),
    ("scope-other-day", "the scope's day is the request's",
     authorization(lambda text: text.replace(f"/{sigv4.now():%Y%m%d}/", "/20130524/", 1)),
     (400, ("AuthorizationHeaderMalformed",))),
    ("scope-short", "the scope has five parts", authorization(lambda text: text.replace("/aws4_request", "", 1)),
     (400, "AuthorizationHeaderMalformed")),
    ("host-not-signed", "Host must be signed", authorization(lambda text: text.replace("host;", "", 1)),
     ((400, 403), ("SignatureDoesNotMatch", "AccessDenied", "AuthorizationHeaderMalformed"))),
    ("no-signed-headers", "the header has three parts",
     authorization(lambda text: ", ".join(part for part in text.split(", ") if not part.startswith("SignedH"))),
     (400, "AuthorizationHeaderMalformed")),
    ("other-algorithm", "SigV4A is named in the refusal",
     authorization(lambda text: text.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", 1)),
     (400, ("InvalidRequest", "AuthorizationHeaderMalformed", "UnsupportedSignature"))),
    ("basic-authorization", "not a mechanism of S3",
     lambda make: make.request(more={"authorization": "Basic dTpw"}), (400, ("InvalidRequest", "InvalidArgument"))),
    ("unsigned-amz-header", "an added x-amz header changes the request, so it must be signed",
     lambda make: make.put(more={"x-amz-meta-added": "1"}), (403, "AccessDenied")),
    ("signed-header-absent", "what was signed must be there",
     lambda make: make.request(signed={"x-amz-meta-gone": "1"}, without=["x-amz-meta-gone"]),
     (403, ("SignatureDoesNotMatch", "AccessDenied"))),
    ("date-nonsense", "dates are dates",
     lambda make: make.request(more={"x-amz-date": "yesterday"}), NO_DATE),
    ("date-absent", "and present", lambda make: make.request(without=["x-amz-date"]), NO_DATE),
    ("20-minutes-ago", "an old request cannot be replayed",
     lambda make: make.request(moment=ago(minutes=20)), (403, "RequestTimeTooSkewed")),
    ("20-minutes-ahead", "nor a future one", lambda make: make.request(moment=ago(minutes=-20)),
     (403, "RequestTimeTooSkewed")),
    ("two-mechanisms", "one proof at a time",
     lambda make: make.presigned().replace(b"\r\n\r\n", b"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x\r\n\r\n"),
     (400, ("InvalidArgument", "InvalidRequest"))),
    ("presigned-expired", "a URL dies", lambda make: make.presigned(moment=ago(minutes=10), expires=300),
     (403, "AccessDenied")),
    ("presigned-from-the-future", "a URL cannot be made ahead of time",
     lambda make: make.presigned(moment=ago(hours=-1)), (403, ("AccessDenied", "RequestTimeTooSkewed"))),
    ("presigned-for-8-days", "seven days are the most", lambda make: make.presigned(expires=8 * 86400),
     (400, "AuthorizationQueryParametersError")),
    ("presigned-for-0-seconds", "one second is the least", lambda make: make.presigned(expires=0),
     (400, "AuthorizationQueryParametersError")),
    ("presigned-for-nonsense", "as a number", lambda make: make.presigned(expires="soon"),
     (400, "AuthorizationQueryParametersError")),
    ("presigned-parameter-missing", "all parameters are needed",
     lambda make: make.presigned(lambda target: target.replace("X-Amz-Date=", "X-Gone=", 1)),
     (400, "AuthorizationQueryParametersError")),
    ("presigned-parameter-added", "none may be added", lambda make: make.presigned(lambda target: target + "&versionId=1"),
     (403, "SignatureDoesNotMatch")),
    ("presigned-for-another-key", "nor the key changed",
     lambda make: make.presigned(lambda target: target.replace("object", "objecu", 1)), (403, "SignatureDoesNotMatch")),
]

SEMANTICS = [
    ("unknown-sub-resource", "an operation that we lack is not taken for a listing",
     lambda make: make.request(target=BUCKET, query=[("metadataTable", "")]), (501, "NotImplemented")),
    ("unknown-sub-resource-put", "nor for an upload",
     lambda make: make.request("PUT", data=b"new bytes", query=[("torrent", "")]),
     ((405, 501), ("NotImplemented", "MethodNotAllowed"))),
    ("xml-not-xml", "XML is XML", lambda make: make.complete("not xml"), (400, "MalformedXML")),
    ("xml-empty", "and there", lambda make: make.complete(""), (400, ("MalformedXML", "MissingRequestBodyError"))),
    ("xml-unclosed", "and whole", lambda make: make.complete("<CompleteMultipartUpload><Part>"), (400, "MalformedXML")),
    ("xml-other-root", "and about the matter", lambda make: make.complete("<Delete/>"), (400, "MalformedXML")),
    ("xml-not-utf-8", "and UTF-8", lambda make: make.complete(b"<CompleteMultipartUpload>\xff</CompleteMultipartUpload>"),
     (400, "MalformedXML")),
    ("xml-doctype", "no DTD is ever read",
     lambda make: make.delete('<!DOCTYPE Delete [<!ENTITY e "object">]><Delete><Object><Key>&e;</Key></Object></Delete>'),
     (400, "MalformedXML")),
    ("xml-billion-laughs", "nor expanded",
     lambda make: make.delete('<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
                              "<Delete><Object><Key>&b;</Key></Object></Delete>"), (400, "MalformedXML")),
    ("xml-external-entity", "nor fetched",
     lambda make: make.delete('<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
                              "<Delete><Object><Key>&x;</Key></Object></Delete>"), (400, "MalformedXML")),
    ("xml-unknown-entity", "an unknown entity is an error, not nothing",
     lambda make: make.delete("<Delete><Object><Key>&nbsp;</Key></Object></Delete>"), (400, "MalformedXML")),
    ("xml-deep", "nesting is bounded", lambda make: make.delete("<Delete>" * 5000), (400, "MalformedXML")),
    ("delete-1001", "a thousand keys are the most",
     lambda make: make.delete("<Delete>" + "<Object><Key>k</Key></Object>" * 1001 + "</Delete>"), (400, "MalformedXML")),
    ("delete-none", "and one the least", lambda make: make.delete("<Delete></Delete>"), (400, "MalformedXML")),
    ("delete-without-digest", "deleting many needs a checksum of the list",
     lambda make: make.xml("<Delete><Object><Key>object</Key></Object></Delete>", [("delete", "")]),
     (400, ("InvalidRequest", "MissingSecurityHeader"))),
    ("delete-wrong-digest", "which is verified",
     lambda make: make.xml("<Delete><Object><Key>object</Key></Object></Delete>", [("delete", "")],
                           signed={"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}), (400, "BadDigest")),
    ("complete-no-parts", "an object has at least one part",
     lambda make: make.complete("<CompleteMultipartUpload></CompleteMultipartUpload>"), (400, "MalformedXML")),
    ("complete-part-0", "parts are numbered from 1",
     lambda make: make.complete("<CompleteMultipartUpload><Part><PartNumber>0</PartNumber><ETag>e</ETag></Part>"
                                "</CompleteMultipartUpload>"), (400, ("InvalidArgument", "MalformedXML", "InvalidPart"))),
    ("complete-part-twice", "each part once, in order",
     lambda make: make.complete("<CompleteMultipartUpload>" + "<Part><PartNumber>1</PartNumber><ETag>"
                                "d41d8cd98f00b204e9800998ecf8427e</ETag></Part>" * 2 + "</CompleteMultipartUpload>"),
     (400, "InvalidPartOrder")),
    ("complete-part-without-tag", "each with its tag",
     lambda make: make.complete("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part>"
                                "</CompleteMultipartUpload>"), (400, "MalformedXML")),
    ("complete-unknown-part", "only parts that are there",
     lambda make: make.complete("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
                                "d41d8cd98f00b204e9800998ecf8427e</ETag></Part></CompleteMultipartUpload>"),
     (400, "InvalidPart")),
    ("part-0", "parts are numbered from 1", lambda make: make.part("0"), (400, "InvalidArgument")),
    ("part-10001", "to 10,000", lambda make: make.part("10001"), (400, "InvalidArgument")),
    ("part-minus-1", "without sign", lambda make: make.part("-1"), (400, "InvalidArgument")),
    ("part-word", "in digits", lambda make: make.part("one"), (400, "InvalidArgument")),
    ("part-65537", "and do not wrap", lambda make: make.part("65537"), (400, "InvalidArgument")),
    ("part-of-no-upload", "uploads have identities",
     lambda make: make.request("PUT", data=b"x", query=[("partNumber", "1"), ("uploadId", "nonsense")]),
     (404, "NoSuchUpload")),
    ("range-outside", "a range must touch the object", lambda make: make.request(more={"range": "bytes=100-"}),
     (416, "InvalidRange")),
    ("max-keys-word", "numbers are numbers", lambda make: make.request(target=BUCKET, query=[("max-keys", "many")]),
     (400, "InvalidArgument")),
    ("max-keys-negative", "and counts are not negative",
     lambda make: make.request(target=BUCKET, query=[("list-type", "2"), ("max-keys", "-1")]), (400, "InvalidArgument")),
    ("max-keys-huge", "and fit", lambda make: make.request(target=BUCKET, query=[("max-keys", "99999999999999999999")]),
     (400, "InvalidArgument")),
    ("encoding-type-unknown", "there is one encoding",
     lambda make: make.request(target=BUCKET, query=[("encoding-type", "base64")]), (400, "InvalidArgument")),
    ("continuation-token-nonsense", "tokens are ours",
     lambda make: make.request(target=BUCKET, query=[("list-type", "2"), ("continuation-token", "nonsense")]),
     (400, "InvalidArgument")),
    ("content-md5-not-base64", "digests are Base64", lambda make: make.put(signed={"content-md5": "!!"}),
     (400, "InvalidDigest")),
    ("content-md5-short", "of 16 bytes", lambda make: make.put(signed={"content-md5": "YWJj"}), (400, "InvalidDigest")),
    ("content-md5-wrong", "of the body", lambda make: make.put(signed={"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}),
     (400, "BadDigest")),
    ("checksum-not-base64", "checksums are Base64", lambda make: make.put(signed={"x-amz-checksum-crc32": "!!"}),
     (400, ("InvalidRequest", "InvalidDigest"))),
    ("checksum-wrong", "of the body", lambda make: make.put(signed={"x-amz-checksum-crc32": "AAAAAA=="}),
     (400, "BadDigest")),
    ("two-checksums", "one algorithm at a time",
     lambda make: make.put(signed={"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}),
     (400, ("InvalidRequest", "BadDigest"))),
    ("metadata-3-kib", "metadata is bounded", lambda make: make.put(signed={"x-amz-meta-a": "v" * 3000}),
     (400, "MetadataTooLarge")),
    ("copy-source-nonsense", "a copy needs a bucket and a key",
     lambda make: make.request("PUT", signed={"x-amz-copy-source": "nonsense"}), (400, "InvalidArgument")),
    ("copy-source-absent", "that exist",
     lambda make: make.request("PUT", signed={"x-amz-copy-source": "malformed-tests/absent"}), (404, "NoSuchKey")),
    ("put-without-length", "an upload tells its length",
     lambda make: make.request("PUT", payload=sigv4.UNSIGNED, more={"expect": "100-continue", "x-body": "follows"},
                               signed={"content-type": "text/plain"}), ((200, 411), ("MissingContentLength", None))),
    ("put-of-6-gib", "5 GiB in one piece are the most",
     lambda make: make.request("PUT", payload=sigv4.UNSIGNED, more={"content-length": str(6 * 2**30)}),
     (400, "EntityTooLarge")),
    ("key-of-1025-bytes", "keys are bounded",
     lambda make: make.request("PUT", "/malformed-tests/" + "k" * 1025, data=b"x"), (400, "KeyTooLongError")),
    *[(f"list-{what}-of-1025-bytes", "words longer than any key find nothing, or what comes behind them",
       lambda make, query=query, name=name: make.request("GET", BUCKET, query=[*query, (name, "k" * 1025)]), (200, None))
      for what, query, name in [
          ("prefix", [("list-type", "2")], "prefix"), ("start-after", [("list-type", "2")], "start-after"),
          ("marker", [], "marker"), ("uploads-prefix", [("uploads", "")], "prefix"),
          ("uploads-marker", [("uploads", "")], "key-marker"), ("versions-marker", [("versions", "")], "key-marker"),
      ]],
    ("head-absent", "HEAD has no body, not even now", lambda make: make.request("HEAD", "/malformed-tests/absent"),
     (404, None)),
    ("post-object", "objects are not posted without a form", lambda make: make.request("POST", data=b"x"),
     ((400, 405, 501), None)),
]

BUCKET_NAMES = [
    (f"bucket-name-{what}", why, lambda make, name=name: make.request("PUT", "/" + sigv4.escape(name), data=b""),
     (400, "InvalidBucketName"))
    for what, why, name in [
        ("short", "three letters at least", "ab"), ("long", "63 at most", "a" * 64), ("upper", "lower case only", "Upper"),
        ("underscore", "letters, digits, dots, hyphens", "under_score"), ("first", "begins with a letter or digit", "-a-b"),
        ("last", "and ends so", "a-b-"), ("dots", "no dots together", "two..dots"), ("address", "no address", "10.0.0.1"),
        ("prefix", "no reserved prefix", "xn--abc"), ("suffix", "no reserved suffix", "abc-s3alias"),
        ("nul", "no control bytes", "nul\0byte"), ("utf-8", "ASCII only", "bücket"), ("space", "no spaces", "a b c"),
    ]
]

ROWS = HTTP + CHUNKS + AUTHENTICATION + SEMANTICS + BUCKET_NAMES
