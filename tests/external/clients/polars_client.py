"""polars: Parquet by way of Rust's object_store, which reads the end of a file by a suffix range."""

import io
import sys

import polars

from support import cases
from support.content import body

BUCKET = "polars-tests"
ACCESS, SECRET = cases.keys()
OPTIONS = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET, "aws_region": "us-east-1",
           "aws_endpoint_url": cases.endpoint(), "aws_allow_http": "true"}
S3 = cases.boto3_client()
S3.create_bucket(Bucket=BUCKET)


def frame(rows):
    """A table that compresses badly."""
    return polars.DataFrame({"number": range(rows), "text": [f"{body('row', 16).hex()}{n}" for n in range(rows)]})


def test_write_and_read():
    for rows in (0, 1, 50_000):
        wanted = frame(rows) if rows else polars.DataFrame({"number": polars.Series([], dtype=polars.Int64)})
        wanted.write_parquet(f"s3://{BUCKET}/table.parquet", storage_options=OPTIONS)
        assert polars.read_parquet(f"s3://{BUCKET}/table.parquet", storage_options=OPTIONS).equals(wanted)


def test_what_polars_wrote_is_what_others_read():
    wanted = frame(1000)
    wanted.write_parquet(f"s3://{BUCKET}/shared.parquet", storage_options=OPTIONS)
    data = S3.get_object(Bucket=BUCKET, Key="shared.parquet")["Body"].read()
    assert polars.read_parquet(io.BytesIO(data)).equals(wanted)


def test_a_lazy_scan_reads_only_what_it_needs():
    wanted = frame(300_000)
    wanted.write_parquet(f"s3://{BUCKET}/large.parquet", storage_options=OPTIONS, row_group_size=10_000)
    scan = polars.scan_parquet(f"s3://{BUCKET}/large.parquet", storage_options=OPTIONS)
    found = scan.filter(polars.col("number") >= 299_995).select("number").collect()
    assert found["number"].to_list() == list(range(299_995, 300_000))
    assert scan.select(polars.len()).collect().item() == 300_000


def test_a_scan_of_many_files():
    for number in range(12):
        frame(100 + number).write_parquet(f"s3://{BUCKET}/many/part-{number:02}.parquet", storage_options=OPTIONS)
    scan = polars.scan_parquet(f"s3://{BUCKET}/many/*.parquet", storage_options=OPTIONS)
    assert scan.select(polars.len()).collect().item() == sum(100 + number for number in range(12))


def test_a_sink():
    polars.LazyFrame({"number": range(200_000)}).sink_parquet(f"s3://{BUCKET}/sunk.parquet", storage_options=OPTIONS)
    found = polars.read_parquet(f"s3://{BUCKET}/sunk.parquet", storage_options=OPTIONS)
    assert found["number"].sum() == 200_000 * 199_999 // 2


def test_an_absent_file_is_an_error():
    try:
        polars.read_parquet(f"s3://{BUCKET}/absent.parquet", storage_options=OPTIONS)
    except Exception as error:
        assert "absent" in str(error) or "404" in str(error) or "not found" in str(error).lower(), error
    else:
        raise AssertionError("read a file that is not there")


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
