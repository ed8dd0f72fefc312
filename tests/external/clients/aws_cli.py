"""aws-cli: the `s3` commands that people type, and the `s3api` ones that scripts use."""

import json
import os
import pathlib
import sys
import tempfile
import time

from support import cases, programs
from support.content import MIB, body, composite, md5, same

WORK = pathlib.Path(tempfile.mkdtemp())
BUCKET = "aws-cli"


def aws(*words, **options):
    """Runs `aws …` against the server."""
    return programs.run("aws", "--endpoint-url", cases.endpoint(), *words, **options)


def write(name, data):
    """A file in the work folder."""
    path = WORK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# Without this, `presign` for us-east-1 uses signature version 2.
pathlib.Path(os.environ["AWS_CONFIG_FILE"]).write_text("[default]\ns3 =\n    signature_version = s3v4\n")
aws("s3", "mb", f"s3://{BUCKET}")


def test_cp_there_and_back():
    for size in (0, 1, 100_000, 3 * MIB):
        source = write("small", body("cp", size))
        aws("s3", "cp", source, f"s3://{BUCKET}/cp")
        aws("s3", "cp", f"s3://{BUCKET}/cp", WORK / "small-back")
        same((WORK / "small-back").read_bytes(), source.read_bytes())


def test_40_mb_go_in_parts():
    data = body("parts", 40 * MIB + 1)
    aws("s3", "cp", write("large", data), f"s3://{BUCKET}/large")
    found = json.loads(aws("s3api", "head-object", "--bucket", BUCKET, "--key", "large").text)
    pieces = [data[at:at + 8 * MIB] for at in range(0, len(data), 8 * MIB)]
    assert found["ETag"] == f'"{composite(pieces)}"', found
    assert found["ContentLength"] == len(data)
    aws("s3", "cp", f"s3://{BUCKET}/large", WORK / "large-back")
    same((WORK / "large-back").read_bytes(), data)


def test_cp_from_a_pipe():
    data = body("pipe", 9 * MIB)
    aws("s3", "cp", "-", f"s3://{BUCKET}/pipe", input=data)
    same(aws("s3", "cp", f"s3://{BUCKET}/pipe", "-").stdout, data)


def test_cp_between_keys_and_mv():
    data = body("mv", 100_000)
    aws("s3", "cp", write("mv", data), f"s3://{BUCKET}/dir/with space & plus+")
    aws("s3", "cp", f"s3://{BUCKET}/dir/with space & plus+", f"s3://{BUCKET}/copy")
    aws("s3", "mv", f"s3://{BUCKET}/copy", f"s3://{BUCKET}/moved")
    same(aws("s3", "cp", f"s3://{BUCKET}/moved", "-").stdout, data)
    assert aws("s3api", "head-object", "--bucket", BUCKET, "--key", "copy", check=False).returncode != 0


def test_a_large_copy_goes_in_parts():
    data = body("large-copy", 20 * MIB)
    aws("s3", "cp", write("large-copy", data), f"s3://{BUCKET}/large-copy")
    aws("s3", "cp", f"s3://{BUCKET}/large-copy", f"s3://{BUCKET}/large-copied")
    same(aws("s3", "cp", f"s3://{BUCKET}/large-copied", "-").stdout, data)


def test_ranges():
    data = body("range", 200_000)
    aws("s3", "cp", write("range", data), f"s3://{BUCKET}/range")
    for text, piece in (("bytes=0-9", data[:10]), ("bytes=-5", data[-5:]), ("bytes=199999-", data[199999:]),
                        ("bytes=65530-65545", data[65530:65546])):
        out = WORK / "range-out"
        aws("s3api", "get-object", "--bucket", BUCKET, "--key", "range", "--range", text, out)
        same(out.read_bytes(), piece)


def test_sync_sends_only_what_changed():
    # Dates in listings are whole seconds, and a file of the same second counts as newer than its object.
    an_hour_ago = time.time() - 3600
    for number in range(12):
        path = write(f"tree/sub{number % 3}/file{number}", body(f"sync-{number}", number * 3000))
        os.utime(path, (an_hour_ago, an_hour_ago))
    where = f"s3://{BUCKET}/tree/"
    first = aws("s3", "sync", WORK / "tree", where).text
    assert first.count("upload:") == 12, first
    assert "upload:" not in aws("s3", "sync", WORK / "tree", where).text
    write("tree/sub1/new", b"new")
    (WORK / "tree/sub0/file0").unlink()
    changed = aws("s3", "sync", "--delete", WORK / "tree", where).text
    assert changed.count("upload:") == 1 and changed.count("delete:") == 1, changed
    aws("s3", "sync", where, WORK / "back")
    for folder, _, names in os.walk(WORK / "tree"):
        for name in names:
            path = pathlib.Path(folder) / name
            same((WORK / "back" / path.relative_to(WORK / "tree")).read_bytes(), path.read_bytes())


def test_ls():
    for key in ("ls/a", "ls/b", "ls/deep/c"):
        aws("s3", "cp", write("ls", b"12345"), f"s3://{BUCKET}/{key}")
    text = aws("s3", "ls", f"s3://{BUCKET}/ls/").text
    assert [line.split()[-1] for line in text.splitlines()] == ["deep/", "a", "b"], text
    text = aws("s3", "ls", "--recursive", f"s3://{BUCKET}/ls/").text
    assert [line.split()[-2:] for line in text.splitlines()] == [["5", f"ls/{key}"] for key in ("a", "b", "deep/c")]
    assert BUCKET in aws("s3", "ls").text


def test_conditional_put():
    command = ("s3api", "put-object", "--bucket", BUCKET, "--key", "lock", "--if-none-match", "*")
    found = json.loads(aws(*command, "--body", write("lock", b"one")).text)
    assert found["ETag"] == f'"{md5(b"one")}"'
    again = aws(*command, "--body", write("lock", b"two"), check=False)
    assert again.returncode != 0 and "PreconditionFailed" in again.text, again.text


def test_presign():
    aws("s3", "cp", write("presign", b"presigned"), f"s3://{BUCKET}/presign")
    url = aws("s3", "presign", f"s3://{BUCKET}/presign").text.strip()
    fetched = programs.run(sys.executable, "-c",
                           "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())", url)
    assert fetched.text.strip() == "presigned"


def test_rm_and_rb():
    aws("s3", "mb", "s3://aws-cli-gone")
    for key in ("a", "b/c", "b/d"):
        aws("s3", "cp", write("rm", b"x"), f"s3://aws-cli-gone/{key}")
    refused = aws("s3", "rb", "s3://aws-cli-gone", check=False)
    assert refused.returncode != 0 and "BucketNotEmpty" in refused.text, refused.text
    aws("s3", "rm", "s3://aws-cli-gone/a")
    aws("s3", "rm", "--recursive", "s3://aws-cli-gone/b/")
    assert aws("s3", "ls", "--recursive", "s3://aws-cli-gone", check=False).text == ""
    aws("s3", "rb", "s3://aws-cli-gone")
    assert "aws-cli-gone" not in aws("s3", "ls").text


def test_errors_have_their_names():
    for words, name in ((("s3api", "get-object", "--bucket", BUCKET, "--key", "absent", WORK / "none"), "NoSuchKey"),
                        (("s3api", "list-objects-v2", "--bucket", "aws-cli-absent"), "NoSuchBucket")):
        found = aws(*words, check=False)
        assert found.returncode != 0 and name in found.text, found.text


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
