//! Secrets and who has them.

/// A secret access key. Never shown, never compared by anything but a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Box<str>);

impl SecretKey {
    /// This secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("SecretKey(…)")
    }
}

/// Who has which secret.
pub trait SecretLookup {
    /// The secret of an access key that may sign requests now.
    fn secret(&self, access_key: &str) -> Option<&SecretKey>;
}

impl SecretLookup for std::collections::BTreeMap<String, SecretKey> {
    fn secret(&self, access_key: &str) -> Option<&SecretKey> {
        self.get(access_key)
    }
}

#[cfg(test)]
mod tests {
    use super::SecretKey;

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", SecretKey::new("hidden")).contains("hidden"));
    }
}
