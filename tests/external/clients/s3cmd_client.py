"""s3cmd: an old client with habits of its own (version 1 listings, `?location` before everything, own metadata)."""

import pathlib
import sys
import tempfile
import urllib.parse

from support import cases, programs
from support.content import MIB, body, md5, same

WORK = pathlib.Path(tempfile.mkdtemp())
BUCKET = "s3://s3cmd-tests"


def configure():
    """Writes the configuration file and returns its path."""
    access, secret = cases.keys()
    host = urllib.parse.urlsplit(cases.endpoint()).netloc
    path = WORK / "s3cfg"
    path.write_text(f"[default]\naccess_key = {access}\nsecret_key = {secret}\nhost_base = {host}\n"
                    f"host_bucket = {host}\nuse_https = {cases.is_tls()}\nca_certs_file = {cases.authority() or ''}\nmultipart_chunk_size_mb = 5\nmax_retries = 1\n")
    return path


CONFIG = configure()


def s3cmd(*words, **options):
    """Runs `s3cmd …`."""
    return programs.run("s3cmd", "--config", CONFIG, "--no-progress", *words, **options)


def write(name, data):
    """A file in the work folder."""
    path = WORK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


s3cmd("mb", BUCKET)


def test_put_and_get():
    for size in (0, 1, 70_000):
        data = body("s3cmd", size)
        s3cmd("put", write("file", data), f"{BUCKET}/file")
        s3cmd("get", "--force", f"{BUCKET}/file", WORK / "back")
        same((WORK / "back").read_bytes(), data)


def test_multipart_put():
    data = body("s3cmd-parts", 16 * MIB + 5)
    s3cmd("put", write("large", data), f"{BUCKET}/large")
    s3cmd("get", "--force", f"{BUCKET}/large", WORK / "large-back")
    same((WORK / "large-back").read_bytes(), data)


def test_ls_du_and_info():
    for key in ("list/a", "list/b", "list/deep/c"):
        s3cmd("put", write("list", b"12345"), f"{BUCKET}/{key}")
    names = [line.split()[-1] for line in s3cmd("ls", f"{BUCKET}/list/").text.splitlines()]
    assert sorted(names) == [f"{BUCKET}/list/a", f"{BUCKET}/list/b", f"{BUCKET}/list/deep/"], names
    assert s3cmd("du", f"{BUCKET}/list/").text.split()[:2] == ["15", "3"]
    text = s3cmd("info", f"{BUCKET}/list/a").text
    assert md5(b"12345") in text and "5" in text, text
    assert f"{BUCKET}" in s3cmd("ls").text


def test_cp_and_mv():
    s3cmd("put", write("cp", b"copied"), f"{BUCKET}/cp source")
    s3cmd("cp", f"{BUCKET}/cp source", f"{BUCKET}/cp target")
    s3cmd("mv", f"{BUCKET}/cp target", f"{BUCKET}/cp moved")
    s3cmd("get", "--force", f"{BUCKET}/cp moved", WORK / "cp-back")
    same((WORK / "cp-back").read_bytes(), b"copied")
    assert s3cmd("get", "--force", f"{BUCKET}/cp target", WORK / "none", check=False).returncode != 0


def test_sync_and_del():
    for number in range(6):
        write(f"tree/{number % 2}/file{number}", body(f"tree-{number}", 100 * number))
    first = s3cmd("sync", f"{WORK}/tree/", f"{BUCKET}/tree/").text
    assert first.count("upload:") == 6, first
    assert "upload:" not in s3cmd("sync", f"{WORK}/tree/", f"{BUCKET}/tree/").text
    s3cmd("sync", f"{BUCKET}/tree/", f"{WORK}/tree-back/")
    for number in range(6):
        same((WORK / f"tree-back/{number % 2}/file{number}").read_bytes(), body(f"tree-{number}", 100 * number))
    s3cmd("del", "--recursive", "--force", f"{BUCKET}/tree/")
    assert s3cmd("ls", "--recursive", f"{BUCKET}/tree/").text == ""


def test_rb():
    s3cmd("mb", "s3://s3cmd-gone")
    s3cmd("put", write("rb", b"x"), "s3://s3cmd-gone/x")
    assert "BucketNotEmpty" in s3cmd("rb", "s3://s3cmd-gone", check=False).text
    s3cmd("rb", "--recursive", "--force", "s3://s3cmd-gone")
    assert "s3cmd-gone" not in s3cmd("ls").text


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
