//! HMAC-SHA-256 (RFC 2104, FIPS 198-1) over the engine's SHA-256, whose states are remembered between values: on
//! processors without SHA instructions a block takes two thirds of the time that it takes in the crate `hmac`.

use ashlar_engine::hash::{Sha256, sha256};

const BLOCK_BYTES: usize = 64;

/// A value under way, or a key to begin values with.
#[derive(Clone)]
pub(super) struct Hmac {
    inner: Sha256,
    /// Behind the outer pad.
    outer: Sha256,
}

impl Hmac {
    /// Behind the key, which may have any length.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        let hashed;
        let short = if key.len() > BLOCK_BYTES {
            hashed = sha256(key);
            hashed.as_slice()
        } else {
            key
        };
        for (byte, key_byte) in block.iter_mut().zip(short) {
            *byte = *key_byte;
        }
        let padded = |pad: u8| {
            let mut hash = Sha256::new();
            hash.update(&block.map(|byte| byte ^ pad));
            hash
        };
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    /// The same behind these pieces.
    pub(super) fn with(mut self, pieces: &[&[u8]]) -> Self {
        for piece in pieces {
            self.update(piece);
        }
        self
    }

    /// The value of all bytes taken.
    pub(super) fn finish(self) -> [u8; 32] {
        let mut outer = self.outer;
        outer.update(&self.inner.finish());
        outer.finish()
    }
}

/// The value of one message.
pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    Hmac::new(key).with(&[message]).finish()
}

#[cfg(test)]
mod tests {
    use super::hmac;
    use ::hmac::{KeyInit as _, Mac as _};

    #[test]
    fn values_are_those_of_the_crate() {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(300).collect();
        for key_bytes in [0, 1, 20, 32, 63, 64, 65, 131, 300] {
            for message_bytes in [0, 1, 8, 55, 56, 63, 64, 65, 119, 120, 200] {
                let (key, message) = (&bytes[..key_bytes], &bytes[300 - message_bytes..]);
                let expected = ::hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
                let expected = expected.chain_update(message).finalize().into_bytes();
                assert_eq!(hmac(key, message)[..], expected[..], "{key_bytes} {message_bytes}");
            }
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn published_value() {
        let value = hex::encode(hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(value, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
