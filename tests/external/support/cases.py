"""Runs the behaviours of one script: every function named `test_…` of a module, in order of definition.

Prints one line per behaviour and `N passed, N failed` at the end; returns the process's exit status.
"""

import os
import sys
import time
import traceback


def run(namespace, only=None):
    """Runs the `test_` functions of `namespace` whose name contains `only`."""
    only = only or (sys.argv[1] if len(sys.argv) > 1 else None)
    cases = [(name, case) for name, case in namespace.items() if name.startswith("test_") and callable(case)]
    passed, failed = 0, []
    for name, case in cases:
        if only and only not in name:
            continue
        begun = time.monotonic()
        try:
            case()
        except Exception:
            failed.append(name)
            print(f"  FAILED {name}", flush=True)
            print(traceback.format_exc(), flush=True)
        else:
            passed += 1
            print(f"  ok {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    for name in failed:
        print(f"  failed: {name}")
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    return 0 if passed and not failed else 1


def refused(status, code, call, *arguments, **named):
    """Asserts that a botocore call is refused with this HTTP status and this S3 code; returns the answer.

    `code` may be None, for HEAD, whose answers have no body.
    """
    from botocore.exceptions import ClientError

    try:
        answer = call(*arguments, **named)
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        wanted = status, found[1] if code is None else code
        assert found == wanted, f"refused with {found}, but should be with {wanted}"
        return error.response
    raise AssertionError(f"accepted, but should be refused with {status} {code}: {answer}")


def endpoint():
    """Where the server listens: `http://host:port` or `https://host:port`."""
    return os.environ["ASHLAR_ENDPOINT"]


def is_tls():
    """Whether the server speaks TLS."""
    return endpoint().startswith("https:")


def authority():
    """The file of certificates that vouch for the server's, if it speaks TLS."""
    return os.environ.get("ASHLAR_CA")


def keys():
    """The access key and the secret key."""
    return os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]


def boto3_client(**config):
    """A boto3 client that shows every answer as it is: path style, no retries, unless `config` says otherwise."""
    import boto3
    from botocore.config import Config

    access, secret = config.pop("access", keys()[0]), config.pop("secret", keys()[1])
    config.setdefault("retries", {"total_max_attempts": 1})
    config.setdefault("s3", {"addressing_style": "path"})
    config.setdefault("signature_version", "s3v4")  # for presigned URLs it would otherwise be the old version 2
    config.setdefault("max_pool_connections", 64)
    config.setdefault("read_timeout", 120)
    return boto3.client("s3", endpoint_url=endpoint(), region_name="us-east-1", aws_access_key_id=access,
                        aws_secret_access_key=secret, config=Config(**config))


def all_keys(client, bucket, **query):
    """Every key of a bucket, page by page."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, **query)
    return [row["Key"] for page in pages for row in page.get("Contents", [])]


def remove_bucket(client, bucket):
    """Deletes a bucket with everything in it."""
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for key in all_keys(client, bucket):
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)
