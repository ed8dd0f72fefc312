"""minio-py: signed streams, `?delete=` with an equals sign, prefixes as folders."""

import io
import sys
import urllib.parse

from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from support import cases
from support.content import MIB, body, md5, same

ACCESS, SECRET = cases.keys()
CLIENT = Minio(urllib.parse.urlsplit(cases.endpoint()).netloc, access_key=ACCESS, secret_key=SECRET,
               secure=cases.is_tls())
BUCKET = "minio-py"
CLIENT.make_bucket(BUCKET)


def put(key, data, **more):
    """Stores an object."""
    return CLIENT.put_object(BUCKET, key, io.BytesIO(data), len(data), **more)


def get(key, **more):
    """The bytes of an object."""
    answer = CLIENT.get_object(BUCKET, key, **more)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def refused(code, call, *arguments, **named):
    """Asserts that a call is refused with this code."""
    try:
        call(*arguments, **named)
    except S3Error as error:
        assert error.code == code, error
        return
    raise AssertionError(f"accepted, but should be refused with {code}")


def test_put_and_get():
    for size in (0, 1, 65_537, 6 * MIB):
        data = body("minio", size)
        result = put("object", data, content_type="text/odd", metadata={"word": "one"})
        stat = CLIENT.stat_object(BUCKET, "object")
        assert (stat.size, stat.etag, stat.content_type) == (size, result.etag, "text/odd")
        assert stat.metadata["x-amz-meta-word"] == "one"
        same(get("object"), data)


def test_multipart_of_unknown_length():
    data = body("minio-stream", 12 * MIB + 9)
    CLIENT.put_object(BUCKET, "stream", io.BytesIO(data), -1, part_size=5 * MIB)
    same(get("stream"), data)
    assert CLIENT.stat_object(BUCKET, "stream").etag.endswith("-3")


def test_ranges():
    data = body("minio-range", 100_000)
    put("range", data)
    same(get("range", offset=10, length=20), data[10:30])
    same(get("range", offset=99_990), data[99_990:])


def test_listing():
    for key in ("list/a", "list/b/c", "list/b/d", "list/ü +%"):
        put(key, b"x")
    names = [row.object_name for row in CLIENT.list_objects(BUCKET, "list/")]
    assert sorted(names) == ["list/a", "list/b/", "list/ü +%"], names
    names = [row.object_name for row in CLIENT.list_objects(BUCKET, "list/", recursive=True)]
    assert names == ["list/a", "list/b/c", "list/b/d", "list/ü +%"], names
    names = [row.object_name for row in CLIENT.list_objects(BUCKET, recursive=True, start_after="list/b/c")]
    assert names[0] == "list/b/d", names
    names = [row.object_name for row in CLIENT.list_objects(BUCKET, "list/", recursive=True, use_api_v1=True)]
    assert len(names) == 4, names


def test_copy_and_compose():
    put("copy-source", b"copied")
    CLIENT.copy_object(BUCKET, "copy-target", CopySource(BUCKET, "copy-source"))
    same(get("copy-target"), b"copied")


def test_remove_many():
    for number in range(5):
        put(f"remove/{number}", b"x")
    errors = list(CLIENT.remove_objects(BUCKET, [DeleteObject(f"remove/{number}") for number in range(6)]))
    assert errors == [], errors
    assert list(CLIENT.list_objects(BUCKET, "remove/", recursive=True)) == []


def test_presigned():
    import urllib.request

    put("presigned", b"presigned")
    with urllib.request.urlopen(CLIENT.presigned_get_object(BUCKET, "presigned")) as answer:
        same(answer.read(), b"presigned")
    request = urllib.request.Request(CLIENT.presigned_put_object(BUCKET, "presigned-put"), b"put", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["ETag"] == f'"{md5(b"put")}"'


def test_errors_and_buckets():
    refused("NoSuchKey", get, "absent")
    refused("NoSuchKey", CLIENT.stat_object, BUCKET, "absent")
    refused("NoSuchBucket", CLIENT.remove_bucket, "minio-py-absent")
    assert CLIENT.bucket_exists(BUCKET) and not CLIENT.bucket_exists("minio-py-absent")
    put("keeps the bucket", b"")
    refused("BucketNotEmpty", CLIENT.remove_bucket, BUCKET)
    assert BUCKET in [row.name for row in CLIENT.list_buckets()]


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
