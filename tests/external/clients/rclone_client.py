"""rclone with the provider that has no quirk flag but path style, which a bare address needs."""

import os
import pathlib
import sys
import tempfile

from support import cases, programs
from support.content import MIB, body, same

WORK = pathlib.Path(tempfile.mkdtemp())
REMOTE = "store:rclone-tests"
ODD_NAMES = ["with space", "ünï", "plus+", "per%cent", "quote'", "a&b", "tilde~", "[x]", "emoji-\U0001f980"]


def rclone(*words, **options):
    """Runs `rclone …`."""
    access, secret = cases.keys()
    environment = {
        **os.environ, "RCLONE_CONFIG_STORE_TYPE": "s3", "RCLONE_CONFIG_STORE_PROVIDER": "Minio",
        "RCLONE_CONFIG_STORE_ENDPOINT": cases.endpoint(), "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": access,
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": secret, "RCLONE_CONFIG_STORE_REGION": "us-east-1",
        "RCLONE_CONFIG": str(WORK / "rclone.conf"),
    }
    # rclone does not start with this set; it takes its authority from the command line.
    environment.pop("AWS_CA_BUNDLE", None)
    trust = ["--ca-cert", cases.authority()] if cases.is_tls() else []
    return programs.run("rclone", *trust, "--retries", "1", "--low-level-retries", "1", *words, env=environment, **options)


def write_tree():
    """A tree of files, made once: odd names, an empty file, one that goes in parts."""
    tree = WORK / "tree"
    if not tree.exists():
        for number, name in enumerate(ODD_NAMES):
            path = tree / f"folder {number % 3}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body(name, number * 10_000))
        (tree / "large").write_bytes(body("rclone-large", 23 * MIB))
    return tree


(WORK / "rclone.conf").touch()  # without it every command complains
rclone("mkdir", REMOTE)


def test_copy_and_check():
    tree = write_tree()
    rclone("copy", "--s3-upload-cutoff", "10M", "--s3-chunk-size", "5M", tree, f"{REMOTE}/copy")
    rclone("check", tree, f"{REMOTE}/copy")
    rclone("check", "--download", tree, f"{REMOTE}/copy")


def test_check_finds_a_difference():
    tree = write_tree()
    rclone("copy", tree, f"{REMOTE}/differs")
    rclone("rcat", f"{REMOTE}/differs/large", input=b"not large")
    found = rclone("check", tree, f"{REMOTE}/differs", check=False)
    assert found.returncode != 0 and "large" in found.text, found.text


def test_sync_there_and_back():
    tree = write_tree()
    rclone("sync", tree, f"{REMOTE}/sync")
    rclone("rcat", f"{REMOTE}/sync/extra", input=b"extra")
    rclone("sync", tree, f"{REMOTE}/sync")
    assert "extra" not in rclone("lsf", f"{REMOTE}/sync").text
    rclone("sync", f"{REMOTE}/sync", WORK / "back")
    for path in tree.rglob("*"):
        if path.is_file():
            same((WORK / "back" / path.relative_to(tree)).read_bytes(), path.read_bytes())


def test_times_survive():
    tree = write_tree()
    rclone("copy", tree, f"{REMOTE}/times")
    again = rclone("copy", "-v", tree, f"{REMOTE}/times").text
    assert "Copied" not in again, again


def test_lsf():
    rclone("copy", write_tree(), f"{REMOTE}/lsf")
    names = rclone("lsf", "--recursive", "--files-only", f"{REMOTE}/lsf").text.splitlines()
    wanted = [f"folder {number % 3}/{name}" for number, name in enumerate(ODD_NAMES)] + ["large"]
    assert sorted(names) == sorted(wanted), names
    assert sorted(rclone("lsf", f"{REMOTE}/lsf").text.splitlines()) == ["folder 0/", "folder 1/", "folder 2/", "large"]


def test_server_side_copy_and_move():
    rclone("copy", write_tree(), f"{REMOTE}/here")
    rclone("copy", f"{REMOTE}/here", f"{REMOTE}/there")
    rclone("check", "--download", f"{REMOTE}/here", f"{REMOTE}/there")
    rclone("move", f"{REMOTE}/there", f"{REMOTE}/elsewhere")
    assert rclone("lsf", "--recursive", "--files-only", f"{REMOTE}/there", check=False).text == ""


def test_purge():
    rclone("mkdir", "store:rclone-gone")
    rclone("copy", write_tree(), "store:rclone-gone/tree")
    rclone("purge", "store:rclone-gone")
    assert "rclone-gone" not in rclone("lsd", "store:").text


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
