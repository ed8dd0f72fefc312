"""restic: a backup that must come back whole. It signs each chunk and believes nothing."""

import os
import pathlib
import sys
import tempfile

from support import cases, programs
from support.content import MIB, body, same

WORK = pathlib.Path(tempfile.mkdtemp())
REPOSITORY = f"s3:{cases.endpoint()}/restic-tests/repository"


def restic(*words, **options):
    """Runs `restic …`."""
    environment = {**os.environ, "RESTIC_PASSWORD": "test", "RESTIC_REPOSITORY": REPOSITORY,
                   "RESTIC_CACHE_DIR": str(WORK / "cache")}
    trust = ["--cacert", cases.authority()] if cases.is_tls() else []
    return programs.run("restic", *trust, *words, env=environment, **options)


def write_tree():
    """What is backed up."""
    tree = WORK / "tree"
    for number in range(60):
        path = tree / f"folder{number % 7}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body(f"restic-{number}", number * 997))
    (tree / "large").write_bytes(body("restic-large", 30 * MIB))
    return tree


def compare(tree, other):
    """Asserts that two trees hold the same files."""
    names = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for name in names:
        same((other / name).read_bytes(), (tree / name).read_bytes())


def test_a_backup_comes_back_whole():
    tree = write_tree()
    restic("init")
    restic("backup", tree)
    (tree / "folder1" / "added").write_bytes(body("restic-added", 5 * MIB))
    (tree / "folder2" / "file2").unlink()
    restic("backup", tree)
    restic("check", "--read-data")
    restic("restore", "latest", "--target", WORK / "restored")
    compare(tree, WORK / "restored" / tree.relative_to("/"))
    assert len([line for line in restic("snapshots", "--compact").text.splitlines() if line[:8].isalnum()
                and len(line.split()[0]) == 8 and line.split()[0] != "snapshot"]) >= 2


def test_forgotten_backups_leave_a_sound_repository():
    restic("forget", "--keep-last", "1", "--prune")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", WORK / "restored-again")
    compare(WORK / "tree", WORK / "restored-again" / (WORK / "tree").relative_to("/"))


def test_a_second_init_is_refused():
    found = restic("init", check=False)
    assert found.returncode != 0 and "already" in found.text, found.text


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
