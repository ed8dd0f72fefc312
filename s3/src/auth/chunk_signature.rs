//! Signatures of aws-chunked bodies: each covers the one before it, so that chunks cannot be dropped, doubled or
//! moved (AWS page "Signature calculations for the authorization header: transferring payload in multiple chunks").

use crate::auth::signature::{EMPTY_SHA256_HEX, ScopeText, SigningKey, hex_of, is_equal, sha256};
use crate::http::date::AMZ_DATE_BYTES;

/// The chain of one body's signatures.
#[derive(Clone)]
pub struct ChunkVerifier {
    key: SigningKey,
    scope: ScopeText,
    date: [u8; AMZ_DATE_BYTES],
    previous: [u8; 32],
}

/// A signature is another than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMismatch;

impl core::fmt::Debug for ChunkVerifier {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("ChunkVerifier(…)")
    }
}

impl ChunkVerifier {
    /// The chain that begins with the signature of the request's head.
    #[must_use]
    pub fn new(key: SigningKey, scope: ScopeText, date: [u8; AMZ_DATE_BYTES], seed: [u8; 32]) -> Self {
        Self { key, scope, date, previous: seed }
    }

    /// Compares the signature of the next chunk, whose payload has the SHA-256 `hash`.
    ///
    /// # Errors
    /// It is another. The body must be refused as a whole.
    pub fn finish_chunk(&mut self, hash: &[u8; 32], signature: &[u8; 32]) -> Result<(), ChunkMismatch> {
        let ours = self.key.sign(&[
            b"AWS4-HMAC-SHA256-PAYLOAD\n",
            &self.date,
            b"\n",
            self.scope.as_bytes(),
            b"\n",
            &hex_of(&self.previous),
            b"\n",
            EMPTY_SHA256_HEX,
            b"\n",
            &hex_of(hash),
        ]);
        self.accept(ours, signature)
    }

    /// Compares the signature of the trailers, given as `name:value\n` lines.
    ///
    /// # Errors
    /// It is another.
    pub fn finish_trailers(&mut self, trailers: &[u8], signature: &[u8; 32]) -> Result<(), ChunkMismatch> {
        let ours = self.key.sign(&[
            b"AWS4-HMAC-SHA256-TRAILER\n",
            &self.date,
            b"\n",
            self.scope.as_bytes(),
            b"\n",
            &hex_of(&self.previous),
            b"\n",
            &hex_of(&sha256(trailers)),
        ]);
        self.accept(ours, signature)
    }

    fn accept(&mut self, ours: [u8; 32], theirs: &[u8; 32]) -> Result<(), ChunkMismatch> {
        self.previous = ours;
        if is_equal(&ours, theirs) { Ok(()) } else { Err(ChunkMismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChunkMismatch, ChunkVerifier};
    use crate::auth::credentials::SecretKey;
    use crate::auth::signature::{ScopeText, SigningKey, sha256};

    fn bytes(digits: &str) -> [u8; 32] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    fn verifier(seed: &str) -> ChunkVerifier {
        let secret = SecretKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let key = SigningKey::derive(&secret, "20130524", "us-east-1", "s3");
        let scope = ScopeText::new("20130524", "us-east-1", "s3").unwrap();
        ChunkVerifier::new(key, scope, *b"20130524T000000Z", bytes(seed))
    }

    /// The example of the AWS page: 66,560 bytes of `a` in chunks of 64 KiB, 1 KiB and nothing.
    #[test]
    fn published_chain() {
        let mut chain = verifier("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
        let first = bytes("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
        assert_eq!(chain.finish_chunk(&sha256(&vec![b'a'; 64 << 10]), &first), Ok(()));
        let second = bytes("0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
        assert_eq!(chain.finish_chunk(&sha256(&[b'a'; 1024]), &second), Ok(()));
        let last = bytes("b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
        assert_eq!(chain.finish_chunk(&sha256(b""), &last), Ok(()));
    }

    /// The example of the AWS page for trailers: the same body with a CRC32C behind it.
    #[test]
    fn published_chain_with_trailer() {
        let mut chain = verifier("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
        let first = bytes("b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
        assert_eq!(chain.finish_chunk(&sha256(&vec![b'a'; 64 << 10]), &first), Ok(()));
        let second = bytes("1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
        assert_eq!(chain.finish_chunk(&sha256(&[b'a'; 1024]), &second), Ok(()));
        let last = bytes("2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
        assert_eq!(chain.finish_chunk(&sha256(b""), &last), Ok(()));
        let trailer = bytes("d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
        assert_eq!(chain.finish_trailers(b"x-amz-checksum-crc32c:sOO8/Q==\n", &trailer), Ok(()));
    }

    #[test]
    fn a_chunk_out_of_place_is_noticed() {
        let mut chain = verifier("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
        let last = bytes("b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
        assert_eq!(chain.finish_chunk(&sha256(b""), &last), Err(ChunkMismatch));
    }
}
