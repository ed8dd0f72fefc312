// The AWS SDK for JavaScript, version 3: `x-id` in every query, streams whose HTTP chunks cut size lines in two.
"use strict";

const assert = require("node:assert");
const crypto = require("node:crypto");
const { Readable } = require("node:stream");
const {
  AbortMultipartUploadCommand, CopyObjectCommand, CreateBucketCommand, CreateMultipartUploadCommand,
  DeleteBucketCommand, DeleteObjectCommand, DeleteObjectsCommand, GetObjectCommand, HeadObjectCommand,
  ListObjectsCommand, ListObjectsV2Command, PutObjectCommand, S3Client, paginateListObjectsV2,
} = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");

const MIB = 1024 * 1024;
const BUCKET = "js-sdk";
const client = new S3Client({
  endpoint: process.env.ASHLAR_ENDPOINT, region: "us-east-1", forcePathStyle: true, maxAttempts: 1,
  credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY },
});

/** `length` bytes that depend on `name` alone. */
function body(name, length) {
  const key = crypto.createHash("sha256").update(name).digest();
  const cipher = crypto.createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  return cipher.update(Buffer.alloc(length));
}

const md5 = (data) => crypto.createHash("md5").update(data).digest("hex");
const put = (Key, Body, more = {}) => client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body, ...more }));

async function get(Key, more = {}) {
  const answer = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key, ...more }));
  return Buffer.from(await answer.Body.transformToByteArray());
}

function same(found, wanted) {
  assert.ok(found.equals(wanted), `${found.length} bytes differ from the ${wanted.length} wanted`);
}

async function refused(name, status, command) {
  await assert.rejects(client.send(command), (error) => {
    assert.deepStrictEqual([error.name, error.$metadata.httpStatusCode], [name, status]);
    return true;
  });
}

const cases = {
  async "put and get"() {
    for (const size of [0, 1, 65537, 3 * MIB]) {
      const data = body("put", size);
      const answer = await put("object", data, { ContentType: "text/odd", Metadata: { word: "one" } });
      assert.strictEqual(answer.ETag, `"${md5(data)}"`);
      same(await get("object"), data);
      const head = await client.send(new HeadObjectCommand({ Bucket: BUCKET, Key: "object" }));
      assert.deepStrictEqual([head.ContentLength, head.ContentType, head.Metadata.word], [size, "text/odd", "one"]);
    }
  },

  async "a stream of known length"() {
    const data = body("stream", 300000);
    const pieces = [data.subarray(0, 5), data.subarray(5, 100000), data.subarray(100000)];
    await put("stream", Readable.from(pieces, { objectMode: false }), { ContentLength: data.length });
    same(await get("stream"), data);
  },

  async "an upload in parts"() {
    for (const size of [0, 100, 5 * MIB, 17 * MIB + 3]) {
      const data = body("upload", size);
      const stream = Readable.from(size ? [data.subarray(0, size >> 1), data.subarray(size >> 1)] : []);
      await new Upload({
        client, params: { Bucket: BUCKET, Key: "upload", Body: stream }, partSize: 5 * MIB, queueSize: 4,
      }).done();
      same(await get("upload"), data);
    }
  },

  async "ranges"() {
    const data = body("ranges", 200000);
    await put("ranges", data);
    same(await get("ranges", { Range: "bytes=10-19" }), data.subarray(10, 20));
    same(await get("ranges", { Range: "bytes=-7" }), data.subarray(-7));
  },

  async "listings"() {
    for (const key of ["list/a", "list/b/c", "list/b/d", "list/ü +%"]) await put(key, "x");
    const page = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "list/", Delimiter: "/" }));
    assert.deepStrictEqual(page.Contents.map((row) => row.Key), ["list/a", "list/ü +%"]);
    assert.deepStrictEqual(page.CommonPrefixes.map((row) => row.Prefix), ["list/b/"]);
    const keys = [];
    for await (const part of paginateListObjectsV2({ client, pageSize: 1 }, { Bucket: BUCKET, Prefix: "list/" })) {
      keys.push(...(part.Contents ?? []).map((row) => row.Key));
    }
    assert.deepStrictEqual(keys, ["list/a", "list/b/c", "list/b/d", "list/ü +%"]);
    const old = await client.send(new ListObjectsCommand({ Bucket: BUCKET, Prefix: "list/", MaxKeys: 2 }));
    assert.deepStrictEqual([old.Contents.length, old.IsTruncated], [2, true]);
  },

  async "conditions"() {
    const first = await put("lock", "one", { IfNoneMatch: "*" });
    await refused("PreconditionFailed", 412, new PutObjectCommand({
      Bucket: BUCKET, Key: "lock", Body: "two", IfNoneMatch: "*",
    }));
    await put("lock", "three", { IfMatch: first.ETag });
    same(await get("lock"), Buffer.from("three"));
  },

  async "copies"() {
    await put("copy source/ü", "copied");
    const CopySource = `${BUCKET}/${encodeURIComponent("copy source/ü")}`;
    await client.send(new CopyObjectCommand({ Bucket: BUCKET, Key: "copy", CopySource }));
    same(await get("copy"), Buffer.from("copied"));
  },

  async "deleting"() {
    for (const key of ["d1", "d2", "d<&>"]) await put(key, "x");
    await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "d1" }));
    const Objects = ["d1", "d2", "d<&>"].map((Key) => ({ Key }));
    const answer = await client.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects } }));
    assert.deepStrictEqual(answer.Deleted.map((row) => row.Key).sort(), ["d1", "d2", "d<&>"]);
    await refused("NoSuchKey", 404, new GetObjectCommand({ Bucket: BUCKET, Key: "d2" }));
  },

  async "an aborted upload"() {
    const begun = await client.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: "aborted" }));
    const what = { Bucket: BUCKET, Key: "aborted", UploadId: begun.UploadId };
    await client.send(new AbortMultipartUploadCommand(what));
    await refused("NoSuchUpload", 404, new AbortMultipartUploadCommand(what));
  },

  async "errors"() {
    await refused("NoSuchBucket", 404, new ListObjectsV2Command({ Bucket: "js-sdk-absent" }));
    await refused("BucketNotEmpty", 409, new DeleteBucketCommand({ Bucket: BUCKET }));
    await refused("NotFound", 404, new HeadObjectCommand({ Bucket: BUCKET, Key: "absent" }));
  },

  async "many at once"() {
    await Promise.all(Array.from({ length: 60 }, async (_, number) => {
      const data = body(`many-${number}`, (number * 7919) % 300000);
      await put(`many/${number}`, data);
      same(await get(`many/${number}`), data);
    }));
  },
};

async function main() {
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  let failed = 0;
  let passed = 0;
  for (const [name, run] of Object.entries(cases)) {
    if (process.argv[2] && !name.includes(process.argv[2])) continue;
    try {
      await run();
      passed += 1;
      console.log(`  ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`  FAILED ${name}\n${error.stack}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = passed && !failed ? 0 : 1;
}

main();
