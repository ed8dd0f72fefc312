//! Query strings: ordered, unescaped pairs of text.

use crate::error::{S3Error, S3Failure};
use crate::http::percent::{Plus, decode};
use crate::limits::QUERY_PARAMETER_COUNT_MAX;
use std::borrow::Cow;

/// One `name=value`, unescaped. A parameter without `=` has an empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParameter<'a> {
    /// The name.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: Cow<'a, str>,
}

/// A query string. Does not allocate if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    parameters: Vec<QueryParameter<'a>>,
}

/// Why a query string is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// More parameters than the limit.
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A name or value that is not UTF-8 once unescaped.
    NotUtf8,
}

impl<'a> Query<'a> {
    /// Reads the part of a target after `?`.
    ///
    /// # Errors
    /// Too many parameters, or bytes that are no text.
    pub fn parse(raw: &'a [u8]) -> Result<Self, QueryError> {
        let mut parameters = Vec::new();
        for pair in raw.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == QUERY_PARAMETER_COUNT_MAX {
                return Err(QueryError::TooMany { limit: QUERY_PARAMETER_COUNT_MAX });
            }
            let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
                None => (pair, &b""[..]),
            };
            parameters.push(QueryParameter { name: text(name)?, value: text(value)? });
        }
        Ok(Self { parameters })
    }

    /// The value of the first parameter of this name; names are case-sensitive.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
            .map(|parameter| parameter.value.as_ref())
    }

    /// Whether there is a parameter of this name, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many parameters have this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.parameters.iter().filter(|parameter| parameter.name == name).count()
    }

    /// All parameters, in order.
    #[must_use]
    pub fn parameters(&self) -> &[QueryParameter<'a>] {
        &self.parameters
    }
}

fn text(raw: &[u8]) -> Result<Cow<'_, str>, QueryError> {
    match decode(raw, Plus::Space) {
        Cow::Borrowed(bytes) => core::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
    .ok_or(QueryError::NotUtf8)
}

impl From<QueryError> for S3Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::TooMany { .. } => {
                Self::new(S3Error::InvalidRequest).message("The request has too many query parameters.")
            }
            QueryError::NotUtf8 => Self::new(S3Error::InvalidURI),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, QueryError};

    #[test]
    fn pairs_keep_their_order_and_lose_their_escapes() {
        let query = Query::parse(b"delimiter=&prefix=a+b%2Fc&uploads&&x=1=2&x=3").unwrap();
        assert_eq!(query.get("delimiter"), Some(""));
        assert_eq!(query.get("prefix"), Some("a b/c"));
        assert!(query.has("uploads"));
        assert!(!query.has("Uploads"));
        assert_eq!(query.get("x"), Some("1=2"));
        assert_eq!(query.count("x"), 2);
        assert_eq!(query.parameters().len(), 5);
        assert!(Query::parse(b"").unwrap().parameters().is_empty());
    }

    #[test]
    fn limits() {
        assert_eq!(Query::parse(b"a=%ff"), Err(QueryError::NotUtf8));
        assert!(Query::parse("a&".repeat(64).as_bytes()).is_ok());
        assert_eq!(Query::parse("a&".repeat(65).as_bytes()), Err(QueryError::TooMany { limit: 64 }));
    }
}
