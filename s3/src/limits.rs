//! Every bound of this crate, with its reason. Nothing here is tuned per request.

use core::time::Duration;

/// Largest request head (request line, headers, final empty line), in bytes. Twice what AWS promises (8 KiB),
/// so that long signatures and metadata fit together.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines of one request.
pub const HEADER_COUNT_MAX: usize = 100;
/// Longest request target, in bytes: a 1024-byte key whose every byte is escaped is 3 KiB, the rest is query.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Empty lines that may stand before a request line (RFC 9112 section 2.2 asks for at least one).
pub const LEADING_EMPTY_LINES_MAX: usize = 2;
/// Most parameters of one query string.
pub const QUERY_PARAMETER_COUNT_MAX: usize = 64;

/// Longest chunk-size line or trailer line of a body, in bytes without CRLF.
pub const BODY_LINE_BYTES_MAX: usize = 256;
/// Most bytes of all trailers of one body together, in the form `name:value\n`.
pub const TRAILER_BYTES_MAX: usize = 512;
/// Most trailer lines after the last outer chunk, which are read and dropped.
pub const OUTER_TRAILER_COUNT_MAX: usize = 16;

/// Largest body of one PUT or one part, in bytes (5 GiB, as AWS).
pub const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Smallest part that is not the last, in bytes (5 MiB, as AWS).
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Highest part number, and so the most parts of one upload.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Largest XML request body, in bytes: a Complete of 10,000 parts with SHA-256 checksums takes 1.6 MB.
pub const XML_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Deepest nesting of elements in a request body.
pub const XML_DEPTH_MAX: usize = 16;
/// Most keys of one DeleteObjects request.
pub const DELETE_KEY_COUNT_MAX: usize = 1000;
/// Most rows of one listing page.
pub const LIST_ROW_COUNT_MAX: u32 = 1000;

/// Longest object key, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MAX: usize = 63;
/// Shortest bucket name, in bytes.
pub const BUCKET_NAME_BYTES_MIN: usize = 3;
/// Most bytes of user metadata: names without `x-amz-meta-`, plus values.
pub const METADATA_BYTES_MAX: usize = 2 * 1024;
/// Longest access key id, in bytes.
pub const ACCESS_KEY_BYTES_MAX: usize = 128;
/// Longest region name, in bytes.
pub const REGION_BYTES_MAX: usize = 64;
/// Signing keys remembered per core.
pub const SIGNING_KEY_COUNT_MAX: usize = 64;

/// Allowed distance between a request's date and our clock, in seconds (15 minutes, as AWS).
pub const CLOCK_SKEW_S: i64 = 15 * 60;
/// Longest life of a presigned URL, in seconds (7 days, as AWS).
pub const PRESIGNED_EXPIRES_S_MAX: u32 = 604_800;

/// Buffer that a connection waits with for its next request, in bytes: the smallest there is. Most heads fit.
pub const IDLE_BUFFER_BYTES: usize = 4 * 1024;
/// Part of the buffers that connections between two requests may hold, as a divisor; more of them wait without one. And
/// again the part that may be held for peers whose requests come or end slowly; when there are more, none of them may take long.
/// A head that comes at once takes no such place.
pub const CROWD_SHARE: usize = 8;
/// Part of the connections that may be attended to at a time which peers may hold whose requests come or end slowly, as a
/// divisor.
pub const LINGERING_SHARE: usize = 4;
/// Part of the buffers that may be held by heads of requests being answered, as a divisor; more requests wait.
pub const REQUEST_SHARE: usize = 4;
/// Largest response head, in bytes: everything that a request head can have stored, and ours.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Largest buffer that a document is sent from, in bytes.
pub const DOCUMENT_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of an object that are sent at once although more is to come: what it costs to send is then spread over
/// enough of them. Not more, so that a reader far away holds little memory.
pub const SEND_BYTES_MIN: usize = 128 * 1024;
/// Payload that may be received straight into its destination from this many bytes on; smaller chunks come
/// together with the framing around them.
pub const DIRECT_BYTES_MIN: u64 = 2 * 1024;
/// Payload that is hashed at once although more could join it, in bytes: enough that a batch is worth its turn, and
/// still in the second-level cache.
pub const HASH_PIECE_BYTES_MIN: usize = 32 * 1024;
/// Heap that documents of one core take together, in bytes, unless the operator's budget says otherwise: those
/// received, what they are parsed into, and answers until they are sent.
pub const DOCUMENT_HEAP_BYTES: usize = 64 * 1024 * 1024;
/// Heap that an answer in rows may take, in bytes: 256 KiB of names from the engine, six times as long once they are
/// escaped, and 1000 rows of half a KiB around them, in a vector that grows by doubling. Reserved before the work
/// begins; when the document is written, what it takes is held instead, until it is sent.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Heap that a received document may take with all that becomes of it, in times its length: its text in a vector that
/// grows by doubling, what it is parsed into, and the answer, in which keys may be six times as long.
pub const DOCUMENT_GROWTH: usize = 10;
/// Longest wait for that heap; then the client is asked to come back.
pub const DOCUMENT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest error document, in bytes; from a longer one the names are left out. Anybody may ask for an error and not
/// read it, so that it is sent from a buffer as a whole and takes no heap meanwhile.
pub const FAILURE_BYTES_MAX: usize = 16 * 1024;
/// Room for the head of an answer beside a document in one buffer, in bytes.
pub const DOCUMENT_HEAD_BYTES: usize = 1024;

/// Longest silence between two requests of a connection.
pub const IDLE_MAX: Duration = Duration::from_secs(60);
/// What a connection takes of the heap while it is silent, in bytes: its task, its socket, its places. Resident memory of
/// thousands of them, divided (docs/architecture.md).
pub const CONNECTION_BYTES: usize = 5 * 1024;
/// What it takes besides where TLS is spoken, in bytes: keys and state.
pub const TLS_BYTES: usize = 10 * 1024;
/// What it takes besides while it is attended to, in bytes: see `connection::attend`. Its buffers are not in it.
pub const ATTENDED_BYTES: usize = 20 * 1024;
/// Longest silence for which a connection keeps what it takes to serve it. Afterwards it has a socket only, and may be
/// closed for another.
pub const WARM_MAX: Duration = Duration::from_secs(1);
/// Longest time from a head's first byte to its last.
pub const HEAD_MAX: Duration = Duration::from_secs(10);
/// Longest time from a head's first byte to its last, and for a rest that is dropped, when too many keep us waiting: the
/// segments of an honest head come together.
pub const CROWDED_MAX: Duration = Duration::from_millis(200);
/// Longest silence within a body, in either direction.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Time that a body may take besides what the lowest rate allows.
pub const BODY_GRACE: Duration = Duration::from_secs(30);
/// Lowest rate of a body, in bytes per second: a client below it holds buffers that others wait for.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// Rest of a refused request's body that is read and dropped, so that the connection can stay, in bytes.
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024;
/// Longest time for that.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Bytes read and dropped after an answer that ends its connection: closing with unread bytes would reset it, and
/// the client might never see the answer.
pub const LINGER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest time for that.
pub const LINGER_MAX: Duration = Duration::from_secs(3);
/// Longest time until a TLS handshake begins, and again from its first byte to its end.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a handshake that are kept until they make sense, as of a head: a hello with post-quantum keys and a
/// ticket takes about 2 KiB.
pub const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// Largest buffer of records on their way in or out, in bytes: three whole ones and the beginning of a fourth.
pub const RECORDS_BYTES_MAX: usize = 64 * 1024;
/// Longest time for the farewell of a TLS connection.
pub const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Pause after the listening socket failed (no file descriptors, say).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

// An error document and its head are sent from one buffer.
const _: () = assert!(FAILURE_BYTES_MAX + DOCUMENT_HEAD_BYTES <= RESPONSE_HEAD_BYTES_MAX);
// Heads of all kinds leave half of the buffers to what answers them.
const _: () = assert!(2 * (CROWD_SHARE + 2 * REQUEST_SHARE) <= REQUEST_SHARE * CROWD_SHARE);
// Spans of a head are kept as u16.
const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize);
// What an idle connection holds can be grown into a head.
const _: () = assert!(IDLE_BUFFER_BYTES <= HEAD_BYTES_MAX);
const _: () = assert!(HEAD_BYTES_MAX < RESPONSE_HEAD_BYTES_MAX);
// A target must fit in a head with room for the smallest set of headers.
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
// A handshake begins in the smallest buffer.
const _: () = assert!(IDLE_BUFFER_BYTES <= HANDSHAKE_BYTES_MAX);
// Two records of 16 KiB, with what protects them, fit at once: see `wire::tls::session`.
const _: () = assert!(2 * (16 * 1024 + 2048 + 5) <= RECORDS_BYTES_MAX);
// A trailer line must fit in the trailer store.
const _: () = assert!(BODY_LINE_BYTES_MAX < TRAILER_BYTES_MAX);
