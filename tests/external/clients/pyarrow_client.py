"""pyarrow: Parquet by way of the C++ SDK, which sends every file as an upload of parts with checksums in trailers."""

import sys
import urllib.parse

import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet

from support import cases
from support.content import MIB, body, same

ACCESS, SECRET = cases.keys()
STORE = pyarrow.fs.S3FileSystem(
    access_key=ACCESS, secret_key=SECRET, endpoint_override=urllib.parse.urlsplit(cases.endpoint()).netloc,
    scheme=urllib.parse.urlsplit(cases.endpoint()).scheme, tls_ca_file_path=cases.authority(), region="us-east-1", allow_bucket_creation=True, allow_bucket_deletion=True)
BUCKET = "pyarrow-tests"
STORE.create_dir(BUCKET)


def table(rows):
    """A table that compresses badly, so that files have a size."""
    return pyarrow.table({"number": list(range(rows)), "text": [body("row", 24).hex() + str(n) for n in range(rows)],
                          "part": [n % 4 for n in range(rows)]})


def test_streams():
    for size in (0, 1, 100_000, 11 * MIB):
        data = body("arrow", size)
        with STORE.open_output_stream(f"{BUCKET}/stream") as sink:
            sink.write(data)
        with STORE.open_input_stream(f"{BUCKET}/stream") as source:
            same(source.read(), data)


def test_random_access():
    data = body("arrow-random", 3 * MIB)
    with STORE.open_output_stream(f"{BUCKET}/random") as sink:
        sink.write(data)
    with STORE.open_input_file(f"{BUCKET}/random") as source:
        assert source.size() == len(data)
        for first, count in ((0, 10), (65_530, 20), (len(data) - 7, 7), (MIB, MIB)):
            same(source.read_at(count, first), data[first:first + count])


def test_parquet():
    wanted = table(200_000)
    pyarrow.parquet.write_table(wanted, f"{BUCKET}/table.parquet", filesystem=STORE, row_group_size=10_000)
    assert pyarrow.parquet.read_table(f"{BUCKET}/table.parquet", filesystem=STORE).equals(wanted)
    column = pyarrow.parquet.read_table(f"{BUCKET}/table.parquet", filesystem=STORE, columns=["number"],
                                        filters=[("number", ">=", 199_990)])
    assert column["number"].to_pylist() == list(range(199_990, 200_000))


def test_partitioned_dataset():
    wanted = table(1000)
    pyarrow.dataset.write_dataset(wanted, f"{BUCKET}/dataset", filesystem=STORE, format="parquet",
                                  partitioning=["part"], partitioning_flavor="hive")
    found = pyarrow.dataset.dataset(f"{BUCKET}/dataset", filesystem=STORE, format="parquet", partitioning="hive")
    assert found.count_rows() == 1000
    assert found.to_table(filter=pyarrow.dataset.field("part") == 3)["number"].to_pylist() == list(range(3, 1000, 4))


def test_folders_and_files():
    STORE.create_dir(f"{BUCKET}/made/deep")
    with STORE.open_output_stream(f"{BUCKET}/made/deep/file") as sink:
        sink.write(b"x" * 10)
    kinds = {info.path: info.type for info in
             STORE.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}/made", recursive=True))}
    assert kinds[f"{BUCKET}/made/deep"] == pyarrow.fs.FileType.Directory, kinds
    assert kinds[f"{BUCKET}/made/deep/file"] == pyarrow.fs.FileType.File, kinds
    info = STORE.get_file_info(f"{BUCKET}/made/deep/file")
    assert info.size == 10
    assert STORE.get_file_info(f"{BUCKET}/absent").type == pyarrow.fs.FileType.NotFound
    STORE.copy_file(f"{BUCKET}/made/deep/file", f"{BUCKET}/made/copy")
    STORE.move(f"{BUCKET}/made/copy", f"{BUCKET}/made/moved")
    assert STORE.get_file_info(f"{BUCKET}/made/moved").size == 10
    STORE.delete_dir(f"{BUCKET}/made")
    assert STORE.get_file_info(f"{BUCKET}/made/deep/file").type == pyarrow.fs.FileType.NotFound


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
