//! The one pair of keys of a server.

use rand::Rng as _;
use std::fmt;

/// Characters of a generated access key, as AWS's own: capitals and digits.
const ACCESS_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ACCESS_LENGTH: usize = 20;
const SECRET_LENGTH: usize = 40;

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Names who signs.
    pub access_key: String,
    /// Proves it.
    pub secret_key: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret never goes into a log.
        f.debug_struct("Keys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Keys {
    /// New random keys.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            access_key: text(ACCESS_ALPHABET, ACCESS_LENGTH),
            secret_key: text(SECRET_ALPHABET, SECRET_LENGTH),
        }
    }
}

fn text(alphabet: &[u8], length: usize) -> String {
    let mut random = rand::rng();
    (0..length)
        .map(|_| {
            let index = random.next_u32().rem_euclid(u32::try_from(alphabet.len()).unwrap_or(1));
            char::from(alphabet[index as usize])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_differ_and_the_secret_is_not_printed() {
        let (a, b) = (Keys::generate(), Keys::generate());
        assert_ne!(a, b);
        assert_eq!((a.access_key.len(), a.secret_key.len()), (ACCESS_LENGTH, SECRET_LENGTH));
        assert!(!format!("{a:?}").contains(&a.secret_key));
    }
}
