//! Vectors and properties of the body state machine.

use super::{BodyCoding, BodyError, BodyEvent, BodyReader};
use crate::http::head::BodyFraming;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

const UNSIGNED_TRAILER: BodyCoding = BodyCoding::AwsChunked { signed: false, trailer: true };
const SIGNED: BodyCoding = BodyCoding::AwsChunked { signed: true, trailer: false };

/// What a body decoded to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decoded {
    payload: Vec<u8>,
    signatures: Vec<Option<[u8; 32]>>,
    trailers: Vec<u8>,
    trailer_signature: Option<[u8; 32]>,
    rest: usize,
}

/// Feeds `wire` in pieces that end at `cuts`; where `direct`, payload bypasses the parser whenever it may.
fn decode(mut reader: BodyReader, wire: &[u8], cuts: &[usize], direct: bool) -> Result<Decoded, BodyError> {
    let mut decoded = Decoded::default();
    let mut at = 0;
    let mut visible = 0;
    let mut cuts = cuts.iter();
    loop {
        if direct {
            let most = usize::try_from(reader.direct_remaining()).unwrap().min(visible - at);
            reader.direct_received(most);
            decoded.payload.extend_from_slice(&wire[at..at + most]);
            at += most;
        }
        let step = reader.step(&wire[at..visible])?;
        let base = at;
        at += step.consumed;
        match step.event {
            BodyEvent::NeedMore => {
                assert_eq!(at, visible, "NeedMore takes everything");
                if visible == wire.len() {
                    return Err(BodyError::Incomplete { expected: None, found: reader.payload_received() });
                }
                visible = cuts.next().map_or(wire.len(), |cut| (visible + cut).min(wire.len()));
            }
            BodyEvent::Payload { offset, length } => {
                assert_eq!(base + offset + length, at);
                decoded.payload.extend_from_slice(&wire[base + offset..at]);
            }
            BodyEvent::ChunkEnd { signature } => decoded.signatures.push(signature),
            BodyEvent::TrailersEnd { signature } => decoded.trailer_signature = signature,
            BodyEvent::End => {
                assert!(reader.is_whole());
                decoded.trailers = reader.trailer_bytes().to_vec();
                decoded.rest = wire.len() - at;
                return Ok(decoded);
            }
        }
    }
}

fn reader(framing: BodyFraming, coding: BodyCoding, expected: Option<u64>) -> BodyReader {
    BodyReader::new(framing, coding, expected, 1 << 20).unwrap()
}

fn chunked(coding: BodyCoding, expected: Option<u64>, wire: &[u8]) -> Result<Decoded, BodyError> {
    decode(reader(BodyFraming::Chunked, coding, expected), wire, &[], false)
}

fn length(coding: BodyCoding, expected: u64, wire: &[u8]) -> Result<Decoded, BodyError> {
    let framing = BodyFraming::Length(u64::try_from(wire.len()).unwrap());
    decode(reader(framing, coding, Some(expected)), wire, &[], false)
}

#[test]
fn no_body_ends_at_once() {
    let mut reader = reader(BodyFraming::None, BodyCoding::Plain, None);
    assert_eq!(reader.step(b"GET").unwrap().event, BodyEvent::End);
    assert_eq!(reader.step(b"GET").unwrap().consumed, 0);
}

#[test]
fn a_pipelined_request_is_left_alone() {
    let reader = reader(BodyFraming::Length(5), BodyCoding::Plain, None);
    let decoded = decode(reader, b"helloGET / HTTP/1.1", &[], false).unwrap();
    assert_eq!(decoded.payload, b"hello");
    assert_eq!(decoded.rest, 14);
}

#[test]
fn boto3_over_tls() {
    let inner = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    let mut wire = format!("{:x}\r\n", inner.len()).into_bytes();
    wire.extend_from_slice(inner);
    wire.extend_from_slice(b"\r\n0\r\n\r\nnext");
    let decoded = chunked(UNSIGNED_TRAILER, Some(5), &wire).unwrap();
    assert_eq!(decoded.payload, b"hello");
    assert_eq!(decoded.trailers, b"x-amz-checksum-crc32:NhCmhg==\n");
    assert_eq!(decoded.signatures, [None, None]);
    assert_eq!(decoded.rest, 4);
}

#[test]
fn sdk_js_splits_inside_the_inner_size_line() {
    let wire = b"3\r\n5\r\n\r\n5\r\nhello\r\n2\r\n\r\n\r\n3\r\n0\r\n\r\n1\r\nx\r\n3\r\n:1\r\r\n3\r\n\n\r\n\r\n0\r\n\r\n";
    let decoded = chunked(UNSIGNED_TRAILER, Some(5), wire).unwrap();
    assert_eq!(decoded.payload, b"hello");
    assert_eq!(decoded.trailers, b"x:1\n");
}

#[test]
fn an_empty_aws_chunked_body_may_lack_its_last_line() {
    assert_eq!(length(UNSIGNED_TRAILER, 0, b"0\r\n").unwrap().payload, b"");
    assert_eq!(length(UNSIGNED_TRAILER, 0, b"0\r\n\r\n").unwrap().payload, b"");
    assert_eq!(length(UNSIGNED_TRAILER, 0, b"0\r\nA: b\n\r\n\r\n").unwrap().trailers, b"a:b\n");
}

#[test]
fn each_fault_has_its_error() {
    let signature = "a".repeat(64);
    let plain = |size: &str| format!("{size}\r\nhello\r\n0\r\n\r\n");
    let rows: [(BodyCoding, String, BodyError); 14] = [
        (UNSIGNED_TRAILER, plain("4"), BodyError::ChunkEnd),
        (UNSIGNED_TRAILER, plain("6"), BodyError::DecodedLengthExceeded { expected: 5 }),
        (UNSIGNED_TRAILER, plain("x"), BodyError::ChunkSize),
        (UNSIGNED_TRAILER, plain(""), BodyError::ChunkSize),
        (UNSIGNED_TRAILER, plain("-5"), BodyError::ChunkSize),
        (UNSIGNED_TRAILER, plain("fffffffffffffffff"), BodyError::ChunkSize),
        (UNSIGNED_TRAILER, "5\r\nhel".into(), BodyError::Incomplete { expected: Some(5), found: 3 }),
        (UNSIGNED_TRAILER, "5\r\nhello\r\n".into(), BodyError::Incomplete { expected: Some(5), found: 5 }),
        (UNSIGNED_TRAILER, "0\r\n\r\n".into(), BodyError::Incomplete { expected: Some(5), found: 0 }),
        (UNSIGNED_TRAILER, "5\r\nhello\r\n0\r\nnonsense\r\n\r\n".into(), BodyError::Trailer),
        (UNSIGNED_TRAILER, plain("5") + "more", BodyError::Excess),
        (SIGNED, plain("5"), BodyError::ChunkSignature),
        (SIGNED, plain(&format!("5;chunk-signature={}", "A".repeat(64))), BodyError::ChunkSignature),
        (
            SIGNED,
            format!("5;chunk-signature={signature}\r\nhello\r\n0;chunk-signature={signature}\r\na:b\r\n\r\n"),
            BodyError::Trailer,
        ),
    ];
    for (coding, wire, expected) in rows {
        assert_eq!(length(coding, 5, wire.as_bytes()), Err(expected), "{wire}");
    }
}

#[test]
fn outer_framing_faults() {
    for wire in
        ["x\r\n", "\r\n", "5\r\nhelloX\r\n", "5\nhello\r\n", "5;a\nb\r\nhello\r\n", "5 x\r\nhello\r\n"]
    {
        assert_eq!(chunked(BodyCoding::Plain, None, wire.as_bytes()), Err(BodyError::OuterChunk), "{wire}");
    }
    let endless = format!("0\r\n{}\r\n", "a: b\r\n".repeat(17));
    assert_eq!(chunked(BodyCoding::Plain, None, endless.as_bytes()), Err(BodyError::OuterChunk));
    let allowed = format!("1;x=y\r\na\r\n0\r\n{}\r\n", "a: b\r\n".repeat(16));
    assert_eq!(chunked(BodyCoding::Plain, None, allowed.as_bytes()).unwrap().payload, b"a");
}

#[test]
fn limits_hold_before_the_payload_comes() {
    let new = |framing, coding, expected| BodyReader::new(framing, coding, expected, 10).map(|_| ());
    let refused = Err(BodyError::TooLarge { limit: 10 });
    assert_eq!(new(BodyFraming::Length(11), BodyCoding::Plain, None), refused);
    assert_eq!(new(BodyFraming::Chunked, SIGNED, Some(11)), refused);
    assert_eq!(new(BodyFraming::Length(500), SIGNED, Some(10)), Ok(()));
    let mut reader = BodyReader::new(BodyFraming::Chunked, BodyCoding::Plain, None, 10).unwrap();
    assert_eq!(reader.step(b"b\r\n"), Err(BodyError::TooLarge { limit: 10 }));
    let trailers = format!("0\r\n{}\r\n", format!("a:{}\r\n", "b".repeat(200)).repeat(3));
    assert_eq!(length(UNSIGNED_TRAILER, 0, trailers.as_bytes()), Err(BodyError::Trailer));
}

/// A legal stream and what it must decode to.
fn stream() -> impl Strategy<Value = (BodyCoding, Vec<u8>, Decoded)> {
    let chunks = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5);
    let coding = prop_oneof![
        Just(BodyCoding::Plain),
        any::<(bool, bool)>().prop_map(|(signed, trailer)| BodyCoding::AwsChunked { signed, trailer }),
    ];
    (coding, chunks, any::<[u8; 32]>()).prop_map(|(coding, chunks, signature)| {
        let payload = chunks.concat();
        let mut decoded = Decoded { payload: payload.clone(), ..Decoded::default() };
        let BodyCoding::AwsChunked { signed, trailer } = coding else { return (coding, payload, decoded) };
        let mut wire = Vec::new();
        for chunk in chunks.iter().map(Vec::as_slice).chain([&b""[..]]) {
            wire.extend_from_slice(format!("{:X}", chunk.len()).as_bytes());
            if signed {
                wire.extend_from_slice(format!(";chunk-signature={}", hex::encode(signature)).as_bytes());
            }
            wire.extend_from_slice(b"\r\n");
            wire.extend_from_slice(chunk);
            if !chunk.is_empty() {
                wire.extend_from_slice(b"\r\n");
            }
            decoded.signatures.push(signed.then_some(signature));
        }
        if trailer {
            wire.extend_from_slice(b"X-Amz-Checksum-Crc32: AAAA\r\n");
            decoded.trailers = b"x-amz-checksum-crc32:AAAA\n".to_vec();
            if signed {
                wire.extend_from_slice(
                    format!("x-amz-trailer-signature:{}\r\n", hex::encode(signature)).as_bytes(),
                );
                decoded.trailer_signature = Some(signature);
            }
        }
        wire.extend_from_slice(b"\r\n");
        (coding, wire, decoded)
    })
}

proptest! {
    #[test]
    fn any_split_decodes_the_same(
        (coding, inner, expected) in stream(),
        cuts in proptest::collection::vec(1..30usize, 0..40),
        outer_sizes in proptest::collection::vec(1..30usize, 0..40),
        is_chunked: bool,
        direct: bool,
    ) {
        let length = u64::try_from(expected.payload.len()).unwrap();
        let (framing, wire) = if is_chunked {
            let mut wire = Vec::new();
            let mut rest = inner.as_slice();
            let mut sizes = outer_sizes.iter();
            while !rest.is_empty() {
                let size = sizes.next().copied().unwrap_or(rest.len()).min(rest.len());
                wire.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                wire.extend_from_slice(&rest[..size]);
                wire.extend_from_slice(b"\r\n");
                rest = &rest[size..];
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            (BodyFraming::Chunked, wire)
        } else {
            (BodyFraming::Length(u64::try_from(inner.len()).unwrap()), inner)
        };
        let decoded = decode(reader(framing, coding, Some(length)), &wire, &cuts, direct);
        prop_assert_eq!(decoded, Ok(expected));
    }

    #[test]
    fn any_bytes_give_an_answer(wire in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'2'), Just(b';'), any::<u8>()], 0..60), signed: bool) {
        let coding = BodyCoding::AwsChunked { signed, trailer: true };
        if let Ok(decoded) = chunked(coding, None, &wire) {
            prop_assert!(decoded.payload.len() < wire.len());
        }
    }
}
