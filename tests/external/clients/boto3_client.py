"""boto3: the whole of what a program asks of S3, and how it is refused what it may not have."""

import base64
import concurrent.futures
import email.header
import hashlib
import io
import random
import sys
import time
import urllib.error
import urllib.request
import zlib

from support import cases
from support.cases import refused
from support.content import BOUNDARY_SIZES, KIB, MIB, ODD_KEYS, body, composite, md5, same

S3 = cases.boto3_client()
BUCKET = "boto3-objects"
S3.create_bucket(Bucket=BUCKET)


def put(key, data, **more):
    """Stores an object; returns boto3's answer."""
    return S3.put_object(Bucket=BUCKET, Key=key, Body=data, **more)


def get(key, **more):
    """The bytes of an object."""
    return S3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read()


def fresh(name):
    """A new bucket."""
    S3.create_bucket(Bucket=name)
    return name


# Plain objects.


def test_bodies_around_every_boundary_come_back():
    for size in BOUNDARY_SIZES:
        data = body("boundary", size)
        assert put(f"size-{size}", data)["ETag"] == f'"{md5(data)}"'
    for size in BOUNDARY_SIZES:
        data = body("boundary", size)
        answer = S3.get_object(Bucket=BUCKET, Key=f"size-{size}")
        assert answer["ContentLength"] == size
        assert answer["ETag"] == f'"{md5(data)}"'
        same(answer["Body"].read(), data)


def test_a_large_body_in_one_put_comes_back():
    data = body("large", 48 * MIB + 17)
    put("large", data)
    same(get("large"), data)


def test_a_second_put_replaces_the_first():
    for size in (5 * MIB, 10, 0, 200 * KIB):
        put("replaced", body("replaced", size))
        same(get("replaced"), body("replaced", size))


def test_head_says_what_get_says():
    put("head", b"0123456789", ContentType="text/plain", Metadata={"one": "1"})
    head = S3.head_object(Bucket=BUCKET, Key="head")
    got = S3.get_object(Bucket=BUCKET, Key="head")
    for name in ("ContentLength", "ETag", "ContentType", "Metadata", "LastModified", "AcceptRanges"):
        assert head[name] == got[name], name
    assert head["AcceptRanges"] == "bytes"
    assert abs(time.time() - head["LastModified"].timestamp()) < 120


def test_absent_objects_and_buckets_are_named_as_such():
    refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="absent")
    refused(404, None, S3.head_object, Bucket=BUCKET, Key="absent")
    refused(404, "NoSuchBucket", S3.get_object, Bucket="boto3-absent", Key="a")
    refused(404, "NoSuchBucket", S3.put_object, Bucket="boto3-absent", Key="a", Body=b"")
    refused(404, "NoSuchBucket", S3.list_objects_v2, Bucket="boto3-absent")
    refused(404, None, S3.head_bucket, Bucket="boto3-absent")
    refused(404, "NoSuchBucket", S3.delete_bucket, Bucket="boto3-absent")
    refused(404, "NoSuchBucket", S3.delete_object, Bucket="boto3-absent", Key="a")


def test_delete_answers_204_whether_or_not_there_was_an_object():
    put("deleted", b"x")
    for _ in range(2):
        answer = S3.delete_object(Bucket=BUCKET, Key="deleted")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="deleted")


def test_every_odd_key_is_its_own_object():
    bucket = fresh("boto3-odd-keys")
    for key in ODD_KEYS:
        S3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ODD_KEYS:
        same(S3.get_object(Bucket=bucket, Key=key)["Body"].read(), key.encode())
    wanted = sorted(ODD_KEYS, key=lambda key: key.encode())
    assert cases.all_keys(S3, bucket) == wanted
    assert cases.all_keys(S3, bucket, PaginationConfig={"PageSize": 7}) == wanted
    for key in ODD_KEYS[::2]:
        S3.delete_object(Bucket=bucket, Key=key)
    left = sorted(ODD_KEYS[1::2], key=lambda key: key.encode())
    assert cases.all_keys(S3, bucket) == left
    answer = S3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in left if printable(key)]})
    assert "Errors" not in answer, answer
    assert cases.all_keys(S3, bucket) == [key for key in left if not printable(key)]


def printable(key):
    """True for keys that XML 1.0 can carry."""
    return all(character >= " " and character not in "\ufffe\uffff" for character in key)


def test_a_key_of_1025_bytes_is_too_long():
    put("k" * 1024, b"longest")
    same(get("k" * 1024), b"longest")
    refused(400, "KeyTooLongError", S3.put_object, Bucket=BUCKET, Key="k" * 1025, Body=b"")
    refused(400, "KeyTooLongError", S3.put_object, Bucket=BUCKET, Key="é" * 513, Body=b"")


# Headers and metadata.


def test_stored_headers_come_back():
    stored = {"CacheControl": "max-age=60, public", "ContentDisposition": "attachment; filename=\"a b.txt\"",
              "ContentEncoding": "gzip", "ContentLanguage": "de, en", "ContentType": "text/x-odd; charset=utf-8"}
    put("headers", b"x", **stored)
    head = S3.head_object(Bucket=BUCKET, Key="headers")
    for name, value in stored.items():
        assert head[name] == value, name


def test_content_type_defaults_to_octet_stream():
    put("untyped", b"x")
    assert S3.head_object(Bucket=BUCKET, Key="untyped")["ContentType"] == "binary/octet-stream"


def test_user_metadata_comes_back_in_lower_case():
    put("metadata", b"x", Metadata={"UpperCase": "Value", "with-dash": "a  b", "empty": "", "sign": "=+/%20"})
    found = S3.head_object(Bucket=BUCKET, Key="metadata")["Metadata"]
    assert found["uppercase"] == "Value"
    assert found["with-dash"].split() == ["a", "b"]
    assert found["empty"] == ""
    assert found["sign"] == "=+/%20"


def test_unicode_metadata_survives():
    value = "grüße, 鍵 \U0001f980"
    put("unicode-metadata", b"x", Metadata={"words": email.header.Header(value, "utf-8", maxlinelen=10**6).encode()})
    found = S3.head_object(Bucket=BUCKET, Key="unicode-metadata")["Metadata"]["words"]
    decoded = "".join(text if isinstance(text, str) else text.decode(charset or "latin-1")
                      for text, charset in email.header.decode_header(found))
    assert decoded == value, found


def test_more_than_2_kib_of_metadata_is_too_much():
    put("metadata-2k", b"x", Metadata={"k": "v" * 2047})
    refused(400, "MetadataTooLarge", S3.put_object, Bucket=BUCKET, Key="m", Body=b"", Metadata={"k": "v" * 2048})


def test_response_headers_can_be_overridden():
    put("override", b"x")
    answer = S3.get_object(Bucket=BUCKET, Key="override", ResponseContentType="text/odd",
                           ResponseContentDisposition="inline", ResponseCacheControl="no-store")
    assert answer["ContentType"] == "text/odd"
    assert answer["ContentDisposition"] == "inline"
    assert answer["CacheControl"] == "no-store"


# Ranges.


def test_ranges_give_exactly_their_bytes():
    data = body("ranges", 3 * MIB + 5)
    put("ranges", data)
    size = len(data)
    for first, last in [(0, 0), (0, 4095), (4095, 4096), (65535, 65536), (MIB - 1, MIB), (size - 1, size - 1),
                        (0, size - 1), (1, size + 100), (1234567, 2345678)]:
        answer = S3.get_object(Bucket=BUCKET, Key="ranges", Range=f"bytes={first}-{last}")
        last = min(last, size - 1)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ContentRange"] == f"bytes {first}-{last}/{size}"
        same(answer["Body"].read(), data[first:last + 1])
    same(get("ranges", Range="bytes=3145728-"), data[3145728:])
    same(get("ranges", Range="bytes=-7"), data[-7:])
    same(get("ranges", Range=f"bytes=-{size + 9}"), data)


def test_random_ranges_give_exactly_their_bytes():
    data, chance = body("random-ranges", 5 * MIB + 4097), random.Random(7)
    put("random-ranges", data)
    for _ in range(60):
        first = chance.randrange(len(data))
        last = min(len(data) - 1, first + int(2 ** chance.uniform(0, 22)))
        same(get("random-ranges", Range=f"bytes={first}-{last}"), data[first:last + 1])


def test_ranges_outside_are_refused_and_odd_ones_ignored():
    put("short", b"0123456789")
    put("nothing", b"")
    for text in ("bytes=10-", "bytes=10-20", "bytes=-0"):
        answer = refused(416, "InvalidRange", S3.get_object, Bucket=BUCKET, Key="short", Range=text)
        assert answer["ResponseMetadata"]["HTTPHeaders"].get("content-range", "bytes */10") == "bytes */10"
    refused(416, "InvalidRange", S3.get_object, Bucket=BUCKET, Key="nothing", Range="bytes=0-0")
    for text in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-", "0-1"):
        answer = S3.get_object(Bucket=BUCKET, Key="short", Range=text)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200, text
        same(answer["Body"].read(), b"0123456789")


# Conditions.


def test_if_none_match_star_stores_only_what_is_absent():
    put("lock", b"first", IfNoneMatch="*")
    refused(412, "PreconditionFailed", S3.put_object, Bucket=BUCKET, Key="lock", Body=b"second", IfNoneMatch="*")
    same(get("lock"), b"first")
    S3.delete_object(Bucket=BUCKET, Key="lock")
    put("lock", b"third", IfNoneMatch="*")
    same(get("lock"), b"third")


def test_if_match_replaces_only_what_was_seen():
    tag = put("cas", b"one")["ETag"]
    second = put("cas", b"two", IfMatch=tag)["ETag"]
    refused(412, "PreconditionFailed", S3.put_object, Bucket=BUCKET, Key="cas", Body=b"three", IfMatch=tag)
    same(get("cas"), b"two")
    put("cas", b"four", IfMatch=second.strip('"'))
    same(get("cas"), b"four")
    refused(404, "NoSuchKey", S3.put_object, Bucket=BUCKET, Key="cas-absent", Body=b"x", IfMatch=tag)


def test_of_racing_creators_exactly_one_wins():
    for attempt in range(8):
        key = f"race-{attempt}"

        def create(number, key=key):
            try:
                put(key, f"writer {number}".encode() * (1 + number * 5000), IfNoneMatch="*")
            except S3.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"), error
                return None
            return number

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            winners = [number for number in pool.map(create, range(16)) if number is not None]
        assert len(winners) == 1, winners
        same(get(key), f"writer {winners[0]}".encode() * (1 + winners[0] * 5000))


def test_racing_replacers_lose_no_update():
    put("counter", b"0")

    def add_one(_):
        for _ in range(400):
            answer = S3.get_object(Bucket=BUCKET, Key="counter")
            count = int(answer["Body"].read())
            try:
                put("counter", str(count + 1).encode(), IfMatch=answer["ETag"])
                return
            except S3.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"), error
        raise AssertionError("never got through")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(24)))
    same(get("counter"), b"24")


def test_conditional_reads():
    tag = put("read-if", b"x")["ETag"]
    moment = S3.head_object(Bucket=BUCKET, Key="read-if")["LastModified"]
    for call in (S3.get_object, S3.head_object):
        where = {"Bucket": BUCKET, "Key": "read-if"}
        call(**where, IfMatch=tag)
        call(**where, IfMatch="*")
        call(**where, IfNoneMatch='"0123"')
        call(**where, IfModifiedSince=moment.replace(year=moment.year - 1))
        call(**where, IfUnmodifiedSince=moment)
        call(**where, IfMatch=tag, IfUnmodifiedSince=moment.replace(year=moment.year - 1))
        refused(304, None, call, **where, IfNoneMatch=tag)
        refused(304, None, call, **where, IfNoneMatch="*")
        refused(304, None, call, **where, IfModifiedSince=moment)
        refused(304, None, call, **where, IfNoneMatch=tag, IfModifiedSince=moment.replace(year=moment.year - 1))
        refused(412, None, call, **where, IfMatch='"0123"')
        refused(412, None, call, **where, IfUnmodifiedSince=moment.replace(year=moment.year - 1))
    refused(412, "PreconditionFailed", S3.get_object, Bucket=BUCKET, Key="read-if", IfMatch='"0123"')


def test_conditional_delete():
    tag = put("delete-if", b"x")["ETag"]
    refused(412, "PreconditionFailed", S3.delete_object, Bucket=BUCKET, Key="delete-if", IfMatch='"0123"')
    same(get("delete-if"), b"x")
    S3.delete_object(Bucket=BUCKET, Key="delete-if", IfMatch=tag)
    refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="delete-if")


# Copies.


def test_a_copy_has_the_bytes_and_the_metadata():
    for size in (0, 10, 70 * KIB, 6 * MIB):
        data = body("copied", size)
        put("copy-source", data, ContentType="text/one", Metadata={"a": "1"})
        result = S3.copy_object(Bucket=BUCKET, Key="copy-target", CopySource={"Bucket": BUCKET, "Key": "copy-source"})
        assert result["CopyObjectResult"]["ETag"] == f'"{md5(data)}"'
        S3.delete_object(Bucket=BUCKET, Key="copy-source")
        answer = S3.get_object(Bucket=BUCKET, Key="copy-target")
        assert answer["ContentType"] == "text/one"
        assert answer["Metadata"] == {"a": "1"}
        same(answer["Body"].read(), data)


def test_a_copy_can_replace_the_metadata():
    put("replace-metadata", b"x", ContentType="text/one", Metadata={"a": "1"})
    source = {"Bucket": BUCKET, "Key": "replace-metadata"}
    S3.copy_object(Bucket=BUCKET, Key="replace-metadata", CopySource=source, MetadataDirective="REPLACE",
                   Metadata={"b": "2"}, ContentType="text/two")
    answer = S3.get_object(Bucket=BUCKET, Key="replace-metadata")
    assert (answer["ContentType"], answer["Metadata"], answer["Body"].read()) == ("text/two", {"b": "2"}, b"x")
    refused(400, "InvalidRequest", S3.copy_object, Bucket=BUCKET, Key="replace-metadata", CopySource=source)


def test_a_copy_between_buckets_of_odd_keys():
    target = fresh("boto3-copy-target")
    for key in ODD_KEYS:
        put(key, key.encode())
        S3.copy_object(Bucket=target, Key=key, CopySource={"Bucket": BUCKET, "Key": key})
        same(S3.get_object(Bucket=target, Key=key)["Body"].read(), key.encode())


def test_copy_conditions():
    tag = put("copy-if", b"x")["ETag"]
    moment = S3.head_object(Bucket=BUCKET, Key="copy-if")["LastModified"]
    old = moment.replace(year=moment.year - 1)
    what = {"Bucket": BUCKET, "Key": "copy-if-target", "CopySource": f"{BUCKET}/copy-if"}
    S3.copy_object(**what, CopySourceIfMatch=tag)
    S3.copy_object(**what, CopySourceIfNoneMatch='"0123"')
    S3.copy_object(**what, CopySourceIfMatch=tag, CopySourceIfUnmodifiedSince=old)
    refused(412, "PreconditionFailed", S3.copy_object, **what, CopySourceIfMatch='"0123"')
    refused(412, "PreconditionFailed", S3.copy_object, **what, CopySourceIfNoneMatch=tag)
    refused(412, "PreconditionFailed", S3.copy_object, **what, CopySourceIfUnmodifiedSince=old)
    refused(404, "NoSuchKey", S3.copy_object, Bucket=BUCKET, Key="t", CopySource=f"{BUCKET}/absent")
    refused(404, "NoSuchBucket", S3.copy_object, Bucket=BUCKET, Key="t", CopySource="boto3-absent/absent")


# Multipart.


def begin(key, **more):
    """Begins an upload; returns its id."""
    return S3.create_multipart_upload(Bucket=BUCKET, Key=key, **more)["UploadId"]


def part(key, upload, number, data, **more):
    """Stores a part; returns what Complete wants to know of it."""
    answer = S3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=data, **more)
    assert answer["ETag"] == f'"{md5(data)}"'
    return {"PartNumber": number, "ETag": answer["ETag"]}


def complete(key, upload, parts, **more):
    """Completes an upload."""
    return S3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts},
                                        **more)


def test_parts_in_any_order_make_the_object():
    pieces = [body(f"part-{number}", size) for number, size in enumerate((5 * MIB, 5 * MIB + 1, 7))]
    upload = begin("mpu", ContentType="text/mpu", Metadata={"m": "1"})
    parts = [part("mpu", upload, number, pieces[number - 1]) for number in (3, 1, 2)]
    refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="mpu")
    answer = complete("mpu", upload, sorted(parts, key=lambda row: row["PartNumber"]))
    assert answer["ETag"] == f'"{composite(pieces)}"'
    got = S3.get_object(Bucket=BUCKET, Key="mpu")
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (answer["ETag"], "text/mpu", {"m": "1"})
    same(got["Body"].read(), b"".join(pieces))
    border = 5 * MIB
    same(get("mpu", Range=f"bytes={border - 3}-{border + 2}"), b"".join(pieces)[border - 3:border + 3])


def test_complete_again_gives_the_same_answer():
    upload = begin("again")
    parts = [part("again", upload, 1, b"x" * 100)]
    first = complete("again", upload, parts)
    assert complete("again", upload, parts)["ETag"] == first["ETag"]
    refused(404, "NoSuchUpload", S3.abort_multipart_upload, Bucket=BUCKET, Key="again", UploadId=upload)
    same(get("again"), b"x" * 100)


def test_part_numbers_may_have_gaps_and_parts_may_be_left_out():
    upload = begin("gaps")
    parts = {number: part("gaps", upload, number, body(f"gap-{number}", 5 * MIB)) for number in (2, 77, 10000)}
    complete("gaps", upload, [parts[2], parts[10000]])
    same(get("gaps"), body("gap-2", 5 * MIB) + body("gap-10000", 5 * MIB))


def test_a_part_sent_again_replaces_the_first():
    upload = begin("part-again")
    old = part("part-again", upload, 1, b"old")
    new = part("part-again", upload, 1, b"newer")
    refused(400, "InvalidPart", complete, "part-again", upload, [old])
    complete("part-again", upload, [new])
    same(get("part-again"), b"newer")


def test_one_empty_part_makes_an_empty_object():
    upload = begin("empty-part")
    complete("empty-part", upload, [part("empty-part", upload, 1, b"")])
    same(get("empty-part"), b"")


def test_what_complete_refuses():
    upload = begin("refused")
    small, big = part("refused", upload, 1, b"small"), part("refused", upload, 2, bytes(5 * MIB))
    refused(400, "EntityTooSmall", complete, "refused", upload, [small, big])
    refused(400, "InvalidPartOrder", complete, "refused", upload, [big, small])
    refused(400, "InvalidPart", complete, "refused", upload, [{"PartNumber": 3, "ETag": small["ETag"]}])
    refused(400, "InvalidPart", complete, "refused", upload, [{"PartNumber": 1, "ETag": big["ETag"]}])
    refused(400, "MalformedXML", complete, "refused", upload, [])
    refused(404, "NoSuchUpload", complete, "other-key", upload, [small])
    refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="refused")
    complete("refused", upload, [big])
    same(get("refused"), bytes(5 * MIB))


def test_part_numbers_outside_1_to_10000_are_refused():
    upload = begin("numbers")
    for number in (0, 10001, -1, 70000):
        refused(400, "InvalidArgument", S3.upload_part, Bucket=BUCKET, Key="numbers", UploadId=upload,
                PartNumber=number, Body=b"x")


def test_an_aborted_upload_is_gone():
    upload = begin("aborted")
    row = part("aborted", upload, 1, b"x")
    S3.abort_multipart_upload(Bucket=BUCKET, Key="aborted", UploadId=upload)
    refused(404, "NoSuchUpload", S3.list_parts, Bucket=BUCKET, Key="aborted", UploadId=upload)
    refused(404, "NoSuchUpload", S3.upload_part, Bucket=BUCKET, Key="aborted", UploadId=upload, PartNumber=1, Body=b"")
    refused(404, "NoSuchUpload", complete, "aborted", upload, [row])
    refused(404, "NoSuchUpload", S3.abort_multipart_upload, Bucket=BUCKET, Key="aborted", UploadId=upload)
    refused(404, "NoSuchUpload", S3.list_parts, Bucket=BUCKET, Key="aborted", UploadId="nonsense")


def test_parts_are_listed_page_by_page():
    upload = begin("list-parts")
    for number in (9, 1, 5, 300):
        part("list-parts", upload, number, bytes(number))
    pages = S3.get_paginator("list_parts").paginate(Bucket=BUCKET, Key="list-parts", UploadId=upload,
                                                    PaginationConfig={"PageSize": 3})
    pages = list(pages)
    rows = [(row["PartNumber"], row["Size"], row["ETag"]) for page in pages for row in page["Parts"]]
    assert rows == [(number, number, f'"{md5(bytes(number))}"') for number in (1, 5, 9, 300)]
    assert [page["IsTruncated"] for page in pages] == [True, False]


def test_uploads_are_listed():
    bucket = fresh("boto3-uploads")
    keys = ["a", "a", "b/1", "b/2", "c"]
    ids = [S3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
    for size in (1, 2, 100):
        pages = S3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
        rows = [(row["Key"], row["UploadId"]) for page in pages for row in page.get("Uploads", [])]
        assert sorted(rows) == sorted(zip(keys, ids)), rows
        assert [key for key, _ in rows] == keys
    answer = S3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [row["Key"] for row in answer["Uploads"]] == ["a", "a", "c"]
    assert [row["Prefix"] for row in answer["CommonPrefixes"]] == ["b/"]
    answer = S3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert [row["Key"] for row in answer["Uploads"]] == ["b/1", "b/2"]
    assert cases.all_keys(S3, bucket) == []


def test_a_part_can_be_copied():
    data = body("part-source", 6 * MIB)
    put("part-source%25é", data)
    upload, source = begin("part-copy"), {"Bucket": BUCKET, "Key": "part-source%25é"}
    where = {"Bucket": BUCKET, "Key": "part-copy", "UploadId": upload, "CopySource": source}
    parts = []
    for number, first, last in ((1, 0, 5 * MIB - 1), (2, 17, 5 * MIB + 99)):
        answer = S3.upload_part_copy(**where, PartNumber=number, CopySourceRange=f"bytes={first}-{last}")
        assert answer["CopyPartResult"]["ETag"] == f'"{md5(data[first:last + 1])}"'
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    answer = S3.upload_part_copy(**where, PartNumber=3)
    parts.append({"PartNumber": 3, "ETag": answer["CopyPartResult"]["ETag"]})
    refused(400, None, S3.upload_part_copy, **where, PartNumber=4, CopySourceRange=f"bytes=0-{6 * MIB}")
    complete("part-copy", upload, parts)
    same(get("part-copy"), data[:5 * MIB] + data[17:5 * MIB + 100] + data)


def test_a_part_of_a_finished_object_can_be_read():
    pieces = [body("numbered-1", 5 * MIB), body("numbered-2", 1000)]
    upload = begin("numbered")
    complete("numbered", upload, [part("numbered", upload, 4, pieces[0]), part("numbered", upload, 9, pieces[1])])
    for number, piece in enumerate(pieces, 1):
        answer = S3.get_object(Bucket=BUCKET, Key="numbered", PartNumber=number)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert (answer["PartsCount"], answer["ContentLength"]) == (2, len(piece))
        same(answer["Body"].read(), piece)
        head = S3.head_object(Bucket=BUCKET, Key="numbered", PartNumber=number)
        assert (head["PartsCount"], head["ContentLength"]) == (2, len(piece))
    refused(416, "InvalidPartNumber", S3.get_object, Bucket=BUCKET, Key="numbered", PartNumber=3)


def test_complete_obeys_conditions():
    put("mpu-if", b"there")
    upload = begin("mpu-if")
    parts = [part("mpu-if", upload, 1, b"new")]
    refused(412, "PreconditionFailed", complete, "mpu-if", upload, parts, IfNoneMatch="*")
    same(get("mpu-if"), b"there")
    complete("mpu-if", upload, parts, IfMatch=f'"{md5(b"there")}"')
    same(get("mpu-if"), b"new")


def test_managed_uploads_and_downloads():
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=5 * MIB, max_concurrency=8)
    for size in (100, 8 * MIB, 23 * MIB + 11):
        data = body("managed", size)
        S3.upload_fileobj(io.BytesIO(data), BUCKET, "managed", Config=config)
        sink = io.BytesIO()
        S3.download_fileobj(BUCKET, "managed", sink, Config=config)
        same(sink.getvalue(), data)


def test_a_stream_without_a_known_length():
    class Stream(io.RawIOBase):
        def __init__(self, data):
            self.source = io.BytesIO(data)

        def readable(self):
            return True

        def read(self, size=-1):
            return self.source.read(min(size, 100_003) if size >= 0 else -1)

    data = body("stream", 11 * MIB + 3)
    S3.upload_fileobj(Stream(data), BUCKET, "stream")
    same(get("stream"), data)


# Listings.


def naive(keys, prefix="", delimiter="", after=""):
    """What a listing must hold: `(kind, name)` in order of UTF-8 bytes."""
    rows = {}
    for key in keys:
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        row = ("key", key) if cut < 0 else ("prefix", key[:cut + len(delimiter)])
        if row[1].encode() > after.encode() and not (row[0] == "prefix" and after.startswith(row[1])):
            rows[row[1]] = row
    return [rows[name] for name in sorted(rows, key=str.encode)]


def rows_of(page):
    """The same from an answer."""
    rows = [("key", row["Key"]) for row in page.get("Contents", [])]
    rows += [("prefix", row["Prefix"]) for row in page.get("CommonPrefixes", [])]
    return sorted(rows, key=lambda row: row[1].encode())


LISTED = sorted({f"{first}{middle}{last}" for first in ("a", "b", "é", "dir/") for middle in ("", "/", "//", "%", "x/y")
                 for last in ("", "1", "2", "~", "/z")} - {""}, key=str.encode)


def listed_bucket():
    """The bucket that holds `LISTED`, made once."""
    try:
        S3.head_bucket(Bucket="boto3-listed")
    except S3.exceptions.ClientError:
        S3.create_bucket(Bucket="boto3-listed")
        for key in LISTED:
            S3.put_object(Bucket="boto3-listed", Key=key, Body=key.encode())
    return "boto3-listed"


def test_listing_agrees_with_a_plain_filter():
    bucket = listed_bucket()
    for prefix in ("", "a", "a/", "dir/", "é", "zzz"):
        for delimiter in ("", "/", "//", "%", "/z", "1"):
            for after in ("", "a/", "a/1", "b", "dir/x"):
                wanted = naive(LISTED, prefix, delimiter, after)
                query = {"Bucket": bucket, "Prefix": prefix, "StartAfter": after}
                if delimiter:
                    query["Delimiter"] = delimiter
                page = S3.list_objects_v2(**query)
                found = rows_of(page)
                assert found == wanted, (prefix, delimiter, after, found, wanted)
                assert page["KeyCount"] == len(wanted)
                assert not page["IsTruncated"]


def test_pages_put_together_are_the_listing():
    bucket = listed_bucket()
    for size in (1, 2, 3, 7):
        for delimiter in ("", "/", "%"):
            for operation in ("list_objects_v2", "list_objects"):
                query = {"Delimiter": delimiter} if delimiter else {}
                pages = list(S3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size},
                                                                 **query))
                found = [row for page in pages for row in rows_of(page)]
                assert found == naive(LISTED, "", delimiter), (operation, size, delimiter, found)
                assert all(len(rows_of(page)) <= size for page in pages)


def test_max_keys_at_its_limits():
    bucket = listed_bucket()
    page = S3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (rows_of(page), page["KeyCount"], page["IsTruncated"]) == ([], 0, False)
    page = S3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert len(rows_of(page)) == len(LISTED)
    refused(400, "InvalidArgument", S3.list_objects_v2, Bucket=bucket, MaxKeys=-1)


def test_more_than_a_thousand_keys_come_in_pages():
    bucket = fresh("boto3-many")
    keys = [f"{number:05}" for number in range(1203)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: S3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    page = S3.list_objects_v2(Bucket=bucket)
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"]) == (1000, 1000, True)
    assert cases.all_keys(S3, bucket) == keys
    answer = S3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[:1000]]})
    assert len(answer["Deleted"]) == 1000
    assert cases.all_keys(S3, bucket) == keys[1000:]


def test_a_listing_echoes_its_query():
    page = S3.list_objects_v2(Bucket=listed_bucket(), Prefix="a", Delimiter="/", StartAfter="a", MaxKeys=2)
    assert (page["Name"], page["Prefix"], page["Delimiter"], page["StartAfter"], page["MaxKeys"]) == \
        ("boto3-listed", "a", "/", "a", 2)
    page = S3.list_objects(Bucket=listed_bucket(), Marker="a/", MaxKeys=2)
    assert (page["Marker"], page["IsTruncated"]) == ("a/", True)


def test_listing_rows_say_size_tag_and_time():
    bucket = listed_bucket()
    row = S3.list_objects_v2(Bucket=bucket, Prefix="a/1", FetchOwner=True)["Contents"][0]
    assert (row["Size"], row["ETag"], row["StorageClass"]) == (3, f'"{md5(b"a/1")}"', "STANDARD")
    assert "ID" in row["Owner"]
    assert row["LastModified"].replace(microsecond=0) == S3.head_object(Bucket=bucket, Key="a/1")["LastModified"]
    assert "Owner" not in S3.list_objects_v2(Bucket=bucket, Prefix="a/1")["Contents"][0]
    assert "Owner" in S3.list_objects(Bucket=bucket, Prefix="a/1")["Contents"][0]


def test_a_bad_continuation_token_is_refused():
    for token in ("", "nonsense", "====", "A" * 3000):
        refused(400, None, S3.list_objects_v2, Bucket=listed_bucket(), ContinuationToken=token)


def test_listing_sees_every_acknowledged_write():
    bucket = fresh("boto3-visible")
    for number in range(60):
        S3.put_object(Bucket=bucket, Key=f"k{number:02}", Body=b"")
        assert cases.all_keys(S3, bucket, StartAfter=f"k{number - 1:02}" if number else "")[-1] == f"k{number:02}"
        if number % 3 == 0:
            S3.delete_object(Bucket=bucket, Key=f"k{number:02}")
            assert f"k{number:02}" not in cases.all_keys(S3, bucket)


# Deleting many.


def test_delete_objects_names_what_it_deleted():
    for key in ("d1", "d2", "d&<>\"'"):
        put(key, b"x")
    what = [{"Key": key} for key in ("d1", "d2", "d&<>\"'", "d-absent")]
    answer = S3.delete_objects(Bucket=BUCKET, Delete={"Objects": what})
    assert sorted(row["Key"] for row in answer["Deleted"]) == sorted(row["Key"] for row in what)
    put("d1", b"x")
    answer = S3.delete_objects(Bucket=BUCKET, Delete={"Objects": what, "Quiet": True})
    assert not answer.get("Deleted") and not answer.get("Errors"), answer
    refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="d1")


def test_delete_objects_takes_a_thousand_and_no_more():
    rows = [{"Key": f"no-{number}"} for number in range(1001)]
    assert len(S3.delete_objects(Bucket=BUCKET, Delete={"Objects": rows[:1000]})["Deleted"]) == 1000
    refused(400, "MalformedXML", S3.delete_objects, Bucket=BUCKET, Delete={"Objects": rows})


# Checksums.


def reflected_crc(data, polynomial, width):
    """A reflected CRC with all-ones start and end, bit by bit: slow, and plainly right."""
    ones = (1 << width) - 1
    crc = ones
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return (crc ^ ones).to_bytes(width // 8, "big")


CHECKSUMS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: reflected_crc(data, 0x82F63B78, 32),
    "CRC64NVME": lambda data: reflected_crc(data, 0x9A6C9329AC4BC9B5, 64),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}

# Published values for the body `abc`, of algorithms that few servers know yet.
LATER_CHECKSUMS = {
    "SHA512": hashlib.sha512(b"abc").digest(), "MD5": hashlib.md5(b"abc").digest(),
    "XXHASH64": bytes.fromhex("44bc2cf5ad770999"), "XXHASH3": bytes.fromhex("78af5f94892f3950"),
    "XXHASH128": bytes.fromhex("06b05ab6733a618578af5f94892f3950"),
}


def text_of(digest):
    """A checksum as headers carry it."""
    return base64.b64encode(digest).decode()


def test_crc_functions_of_this_script_give_the_published_check_values():
    assert CHECKSUMS["CRC32C"](b"123456789").hex() == "e3069283"
    assert CHECKSUMS["CRC64NVME"](b"123456789").hex() == "ae8b14860a799888"


def test_every_checksum_is_kept_and_given_back():
    for name, function in CHECKSUMS.items():
        for size in (0, 3, 5000):
            data = body("sum", size)
            field, value = f"Checksum{name}", text_of(function(data))
            answer = put("sum", data, **{field: value})
            assert answer[field] == value, (name, size)
            for call in (S3.head_object, S3.get_object):
                assert call(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")[field] == value, (name, size)
            raw = S3.head_object(Bucket=BUCKET, Key="sum")["ResponseMetadata"]["HTTPHeaders"]
            assert not [header for header in raw if header.startswith("x-amz-checksum-")], raw


def test_a_wrong_checksum_stores_nothing():
    for name, function in CHECKSUMS.items():
        refused(400, "BadDigest", S3.put_object, Bucket=BUCKET, Key=f"bad-{name}", Body=b"body",
                **{f"Checksum{name}": text_of(function(b"other"))})
        refused(400, None, S3.put_object, Bucket=BUCKET, Key=f"bad-{name}", Body=b"body",
                **{f"Checksum{name}": text_of(b"short")})
        refused(404, None, S3.head_object, Bucket=BUCKET, Key=f"bad-{name}")


def test_newer_checksums_are_checked_or_refused_but_never_ignored():
    for name, digest in LATER_CHECKSUMS.items():
        wrong = bytes([digest[0] ^ 1]) + digest[1:]
        refused_status = refused_with(put, f"later-{name}", b"abc", **{f"Checksum{name}": text_of(wrong)})
        assert refused_status in (400, 501), name
        refused(404, None, S3.head_object, Bucket=BUCKET, Key=f"later-{name}")


def refused_with(call, *arguments, **named):
    """The HTTP status of a refusal; 200 when there was none."""
    try:
        call(*arguments, **named)
    except S3.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    return 200


def test_content_md5_is_checked():
    put("md5", b"body", ContentMD5=text_of(hashlib.md5(b"body").digest()))
    refused(400, "BadDigest", S3.put_object, Bucket=BUCKET, Key="md5-bad", Body=b"body",
            ContentMD5=text_of(hashlib.md5(b"other").digest()))
    refused(400, "InvalidDigest", S3.put_object, Bucket=BUCKET, Key="md5-bad", Body=b"body", ContentMD5="bm8=")
    refused(404, None, S3.head_object, Bucket=BUCKET, Key="md5-bad")


def test_multipart_checksums():
    pieces = [body("sum-1", 5 * MIB), body("sum-2", 100)]
    for name, kind in (("SHA256", "COMPOSITE"), ("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE")):
        upload = begin("mpu-sum", ChecksumAlgorithm=name, ChecksumType=kind)
        parts, field = [], f"Checksum{name}"
        for number, piece in enumerate(pieces, 1):
            value = text_of(CHECKSUMS[name](piece))
            row = part("mpu-sum", upload, number, piece, **{field: value})
            parts.append({**row, field: value})
        answer = complete("mpu-sum", upload, parts)
        if kind == "COMPOSITE":
            wanted = text_of(CHECKSUMS[name](b"".join(CHECKSUMS[name](piece) for piece in pieces))) + "-2"
        else:
            wanted = text_of(CHECKSUMS[name](b"".join(pieces)))
        assert answer[field] == wanted, (name, kind, answer[field], wanted)
        head = S3.head_object(Bucket=BUCKET, Key="mpu-sum", ChecksumMode="ENABLED")
        assert (head[field], head["ChecksumType"]) == (wanted, kind)


def test_a_wrong_part_checksum_is_refused():
    upload = begin("mpu-bad-sum", ChecksumAlgorithm="SHA256")
    refused(400, "BadDigest", S3.upload_part, Bucket=BUCKET, Key="mpu-bad-sum", UploadId=upload, PartNumber=1,
            Body=b"body", ChecksumSHA256=text_of(hashlib.sha256(b"other").digest()))
    assert not S3.list_parts(Bucket=BUCKET, Key="mpu-bad-sum", UploadId=upload).get("Parts")


def test_object_attributes():
    put("attributes", b"x" * 100)
    answer = S3.get_object_attributes(Bucket=BUCKET, Key="attributes",
                                      ObjectAttributes=["ETag", "ObjectSize", "StorageClass"])
    assert (answer["ETag"], answer["ObjectSize"]) == (md5(b"x" * 100), 100)


# Presigned URLs.


def fetch(url, method="GET", data=None, headers=None):
    """Status, headers and body of a plain request."""
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, lowered(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, lowered(error.headers), error.read()


def lowered(headers):
    """Headers by lower-case name."""
    return {name.lower(): value for name, value in headers.items()}


def test_presigned_get_and_head():
    put("pre signed/é+%", b"presigned")
    where = {"Bucket": BUCKET, "Key": "pre signed/é+%"}
    status, _, data = fetch(S3.generate_presigned_url("get_object", where, ExpiresIn=60))
    assert (status, data) == (200, b"presigned")
    status, headers, _ = fetch(S3.generate_presigned_url("head_object", where), method="HEAD")
    assert (status, headers["content-length"]) == (200, "9")
    url = S3.generate_presigned_url("get_object", {**where, "ResponseContentType": "text/odd"})
    assert fetch(url)[1]["content-type"] == "text/odd"


def test_presigned_put():
    url = S3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "presigned-put"})
    data = body("presigned", 300 * KIB)
    status, _, answer = fetch(url, "PUT", data, {"Content-Type": "text/any"})
    assert status == 200, answer
    same(get("presigned-put"), data)


def test_a_presigned_url_is_good_for_one_thing_only():
    put("mine", b"x")
    url = S3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "mine"})
    for changed in (url.replace("mine", "mime"), url + "&versionId=1", url[:-1] + ("0" if url[-1] != "0" else "1")):
        status, _, answer = fetch(changed)
        assert status == 403 and b"SignatureDoesNotMatch" in answer, answer
    status, _, answer = fetch(url, "PUT", b"overwritten")
    assert status == 403, answer
    same(get("mine"), b"x")


def test_a_presigned_url_expires():
    put("expires", b"x")
    url = S3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "expires"}, ExpiresIn=1)
    time.sleep(2.5)
    status, _, answer = fetch(url)
    assert status == 403 and b"<Code>AccessDenied</Code>" in answer and b"expired" in answer, answer


# Buckets.


def test_buckets_come_and_go():
    bucket = fresh("boto3-come-and-go")
    assert bucket in [row["Name"] for row in S3.list_buckets()["Buckets"]]
    S3.head_bucket(Bucket=bucket)
    S3.put_object(Bucket=bucket, Key="k", Body=b"")
    refused(409, "BucketNotEmpty", S3.delete_bucket, Bucket=bucket)
    S3.delete_object(Bucket=bucket, Key="k")
    S3.delete_bucket(Bucket=bucket)
    refused(404, None, S3.head_bucket, Bucket=bucket)
    assert bucket not in [row["Name"] for row in S3.list_buckets()["Buckets"]]
    fresh(bucket)
    assert cases.all_keys(S3, bucket) == []


def test_making_an_own_bucket_again():
    put("still there", b"x")
    status = refused_with(S3.create_bucket, Bucket=BUCKET)
    assert status in (200, 409), status
    if status == 409:
        refused(409, "BucketAlreadyOwnedByYou", S3.create_bucket, Bucket=BUCKET)
    same(get("still there"), b"x")


def test_location_of_the_default_region_is_empty():
    assert S3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None


def test_bad_bucket_names_are_refused():
    import botocore

    handler_off = cases.boto3_client()
    handler_off.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    for name in ("ab", "a" * 64, "Upper", "under_score", "-dash", "dash-", "two..dots", "192.168.5.4", "xn--puny"):
        refused(400, "InvalidBucketName", handler_off.create_bucket, Bucket=name)


UNSET = {
    "get_bucket_cors": (404, "NoSuchCORSConfiguration"),
    "get_bucket_lifecycle_configuration": (404, "NoSuchLifecycleConfiguration"),
    "get_bucket_policy": (404, "NoSuchBucketPolicy"),
    "get_bucket_tagging": (404, "NoSuchTagSet"),
    "get_bucket_website": (404, "NoSuchWebsiteConfiguration"),
    "get_object_lock_configuration": (404, "ObjectLockConfigurationNotFoundError"),
    "get_bucket_replication": (404, "ReplicationConfigurationNotFoundError"),
    "get_public_access_block": (404, "NoSuchPublicAccessBlockConfiguration"),
    "get_bucket_ownership_controls": (404, "OwnershipControlsNotFoundError"),
}


def test_settings_that_nobody_made_are_answered_as_aws_does():
    for operation, (status, code) in UNSET.items():
        refused(status, code, getattr(S3, operation), Bucket=BUCKET)
    assert "Status" not in S3.get_bucket_versioning(Bucket=BUCKET)
    assert "Status" not in S3.get_bucket_accelerate_configuration(Bucket=BUCKET)
    assert S3.get_bucket_request_payment(Bucket=BUCKET)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in S3.get_bucket_logging(Bucket=BUCKET)
    found = S3.get_bucket_notification_configuration(Bucket=BUCKET)
    assert not [name for name in found if name.endswith("Configurations")], found
    assert S3.get_bucket_acl(Bucket=BUCKET)["Grants"][0]["Permission"] == "FULL_CONTROL"


# Who may.


def test_wrong_keys_are_refused():
    wrong = cases.boto3_client(secret="wrong")
    refused(403, "SignatureDoesNotMatch", wrong.list_buckets)
    refused(403, "SignatureDoesNotMatch", wrong.put_object, Bucket=BUCKET, Key="intruder", Body=b"x" * 100000)
    refused(403, "InvalidAccessKeyId", cases.boto3_client(access="NOBODY").list_buckets)
    refused(404, None, S3.head_object, Bucket=BUCKET, Key="intruder")
    status, _, answer = fetch(f"{cases.endpoint()}/{BUCKET}/mine")
    assert status == 403 and b"<Code>AccessDenied</Code>" in answer, answer


def test_an_error_document_names_the_request():
    answer = refused(404, "NoSuchKey", S3.get_object, Bucket=BUCKET, Key="absent")
    metadata = answer["ResponseMetadata"]
    assert metadata["RequestId"] and metadata["RequestId"] == metadata["HTTPHeaders"]["x-amz-request-id"]
    assert metadata["HTTPHeaders"]["content-type"] == "application/xml"


def test_many_clients_at_once():
    def work(number):
        client, chance = cases.boto3_client(), random.Random(number)
        for turn in range(12):
            data = body(f"many-{number}-{turn}", chance.choice([0, 100, 5000, 70_000, 600_000, 3_000_000]))
            key = f"many/{number}/{turn % 4}"
            client.put_object(Bucket=BUCKET, Key=key, Body=data)
            same(client.get_object(Bucket=BUCKET, Key=key)["Body"].read(), data)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
