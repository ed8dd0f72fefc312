//! Any bytes as a body: in one piece, in small pieces and past the parser it must decode the same.
#![no_main]

use ashlar_s3::http::body::{BodyCoding, BodyEvent, BodyReader};
use ashlar_s3::http::head::BodyFraming;
use libfuzzer_sys::fuzz_target;

fn decode(mut reader: BodyReader, wire: &[u8], piece: usize, direct: bool) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    let (mut at, mut visible) = (0, 0);
    loop {
        if direct {
            let most = usize::try_from(reader.direct_remaining()).unwrap_or(usize::MAX).min(visible - at);
            reader.direct_received(most);
            payload.extend_from_slice(&wire[at..at + most]);
            at += most;
        }
        let step = reader.step(&wire[at..visible]).ok()?;
        let base = at;
        at += step.consumed;
        match step.event {
            BodyEvent::NeedMore if visible == wire.len() => return None,
            BodyEvent::NeedMore => visible = (visible + piece).min(wire.len()),
            BodyEvent::Payload { offset, length } => {
                assert_eq!(base + offset + length, at);
                payload.extend_from_slice(&wire[base + offset..at]);
            }
            BodyEvent::ChunkEnd { .. } | BodyEvent::TrailersEnd { .. } => {}
            BodyEvent::End => return Some(payload),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [choice, piece, wire @ ..] = input else { return };
    let framing = match choice & 1 {
        0 => BodyFraming::Chunked,
        _ => BodyFraming::Length(u64::try_from(wire.len()).unwrap_or(0)),
    };
    let coding = match choice >> 1 & 3 {
        0 => BodyCoding::Plain,
        1 => BodyCoding::AwsChunked { signed: true, trailer: false },
        2 => BodyCoding::AwsChunked { signed: true, trailer: true },
        _ => BodyCoding::AwsChunked { signed: false, trailer: true },
    };
    let Ok(reader) = BodyReader::new(framing, coding, None, 1 << 20) else { return };
    let whole = decode(reader.clone(), wire, wire.len().max(1), false);
    let piece = usize::from(*piece).max(1);
    assert_eq!(whole, decode(reader.clone(), wire, piece, false));
    assert_eq!(whole, decode(reader, wire, piece, true));
});
