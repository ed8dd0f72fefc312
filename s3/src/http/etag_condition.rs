//! `If-Match` and its relatives: reading them, and what follows from them (RFC 9110 section 13; AWS pages
//! "Conditional requests" and "CopyObject").

use crate::error::{DetailName, S3Error, S3Failure};
use crate::http::date::parse_http_date;
use crate::http::head::RequestHead;
use jiff::Timestamp;

/// A list of tags or `*`, as sent. S3 takes tags with and without quotes, and reads `W/` away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtagCondition<'a>(&'a [u8]);

/// The four conditions of a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadConditions<'a> {
    /// `If-Match`
    pub if_match: Option<EtagCondition<'a>>,
    /// `If-None-Match`
    pub if_none_match: Option<EtagCondition<'a>>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`
    pub if_unmodified_since: Option<Timestamp>,
}

/// What a read's conditions allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadVerdict {
    /// Serve.
    Proceed,
    /// 304, without a body.
    NotModified,
    /// 412; names the condition.
    Failed(&'static str),
}

/// The condition of a write or delete. Decided by the key's owner at publish time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteCondition<'a> {
    /// No condition.
    #[default]
    None,
    /// `If-None-Match: *`: the key must not exist.
    Absent,
    /// `If-Match`: the key must exist with such a tag.
    Match(EtagCondition<'a>),
}

impl<'a> EtagCondition<'a> {
    /// Takes a header's value. An empty one is no condition.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        (!value.is_empty()).then_some(Self(value))
    }

    /// Whether this is `*`, which any existing object matches.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == b"*"
    }

    /// The tags, without `W/` and quotes. Ours hold no comma, so splitting there is exact.
    pub fn tags(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&byte| byte == b',').map(bare).filter(|tag| !tag.is_empty())
    }

    /// Whether an existing object with this tag (without quotes) matches.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        self.is_any() || self.tags().any(|found| found == tag.as_bytes())
    }
}

fn bare(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    tag.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(tag)
}

impl<'a> ReadConditions<'a> {
    /// The conditions of a GET or HEAD. Dates that cannot be read are ignored.
    #[must_use]
    pub fn of_read(head: &RequestHead<'a>) -> Self {
        Self::named(head, ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"])
    }

    /// The conditions on the source of a copy.
    #[must_use]
    pub fn of_copy_source(head: &RequestHead<'a>) -> Self {
        Self::named(
            head,
            [
                "x-amz-copy-source-if-match",
                "x-amz-copy-source-if-none-match",
                "x-amz-copy-source-if-modified-since",
                "x-amz-copy-source-if-unmodified-since",
            ],
        )
    }

    fn named(head: &RequestHead<'a>, names: [&str; 4]) -> Self {
        let [matching, none_matching, modified, unmodified] = names.map(|name| head.header(name));
        Self {
            if_match: matching.and_then(EtagCondition::parse),
            if_none_match: none_matching.and_then(EtagCondition::parse),
            if_modified_since: modified.and_then(parse_http_date),
            if_unmodified_since: unmodified.and_then(parse_http_date),
        }
    }

    /// Judges an existing object. `tag` is without quotes; of `modified` only whole seconds count.
    #[must_use]
    pub fn evaluate(&self, tag: &str, modified: Timestamp) -> ReadVerdict {
        // RFC 9110 section 13.2.2: a tag condition hides the date condition of its pair.
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !condition.matches(tag) => return ReadVerdict::Failed("If-Match"),
            (None, Some(since)) if modified.as_second() > since.as_second() => {
                return ReadVerdict::Failed("If-Unmodified-Since");
            }
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if condition.matches(tag) => ReadVerdict::NotModified,
            (None, Some(since)) if modified.as_second() <= since.as_second() => ReadVerdict::NotModified,
            _ => ReadVerdict::Proceed,
        }
    }

    /// Judges the source of a copy, for which there is no 304: what a read calls not modified has failed.
    ///
    /// # Errors
    /// `PreconditionFailed`, naming the condition.
    pub fn evaluate_copy_source(&self, tag: &str, modified: Timestamp) -> Result<(), S3Failure> {
        let condition = match self.evaluate(tag, modified) {
            ReadVerdict::Proceed => return Ok(()),
            ReadVerdict::Failed("If-Match") => "x-amz-copy-source-If-Match",
            ReadVerdict::Failed(_) => "x-amz-copy-source-If-Unmodified-Since",
            ReadVerdict::NotModified if self.if_none_match.is_some() => "x-amz-copy-source-If-None-Match",
            ReadVerdict::NotModified => "x-amz-copy-source-If-Modified-Since",
        };
        Err(S3Failure::new(S3Error::PreconditionFailed).note(DetailName::Condition, condition))
    }
}

impl<'a> WriteCondition<'a> {
    /// The condition of a PUT, copy, complete or delete.
    ///
    /// # Errors
    /// `NotImplemented` for what AWS refuses too: `If-None-Match` with a tag, or both headers together.
    pub fn of_write(head: &RequestHead<'a>) -> Result<Self, S3Failure> {
        let refuse = |header| Err(S3Failure::new(S3Error::NotImplemented).note(DetailName::Header, header));
        let matching = head.header("if-match").and_then(EtagCondition::parse);
        match (head.header("if-none-match").and_then(EtagCondition::parse), matching) {
            (None, None) => Ok(Self::None),
            (Some(condition), None) if condition.is_any() => Ok(Self::Absent),
            (None, Some(condition)) => Ok(Self::Match(condition)),
            (Some(_), _) => refuse("If-None-Match"),
        }
    }

    /// Judges the current object of the key: its tag without quotes, or `None` if there is none.
    ///
    /// # Errors
    /// `PreconditionFailed`; for `If-Match` on an absent key `NoSuchKey`.
    pub fn evaluate(&self, current_tag: Option<&str>) -> Result<(), S3Failure> {
        match (self, current_tag) {
            (Self::None, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(_)) => {
                Err(S3Failure::new(S3Error::PreconditionFailed).note(DetailName::Condition, "If-None-Match"))
            }
            (Self::Match(_), None) => Err(S3Error::NoSuchKey.into()),
            (Self::Match(condition), Some(tag)) if condition.matches(tag) => Ok(()),
            (Self::Match(_), Some(_)) => {
                Err(S3Failure::new(S3Error::PreconditionFailed).note(DetailName::Condition, "If-Match"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EtagCondition, ReadConditions, ReadVerdict, WriteCondition};
    use crate::error::S3Error;
    use crate::http::head;
    use jiff::Timestamp;

    fn with_head<T>(lines: &str, judge: impl FnOnce(&head::RequestHead<'_>) -> T) -> T {
        let bytes = format!("PUT /b/k HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        judge(&head::parse(bytes.as_bytes()).unwrap().unwrap())
    }

    #[test]
    fn tags_are_compared_without_quotes_and_weakness() {
        for value in ["\"abc\"", "abc", "W/\"abc\"", "*", " \"x\" , \"abc\"", "x,abc"] {
            assert!(EtagCondition::parse(value.as_bytes()).unwrap().matches("abc"), "{value}");
        }
        for value in ["\"abcd\"", "ab", "\"*\"", ","] {
            assert!(!EtagCondition::parse(value.as_bytes()).unwrap().matches("abc"), "{value}");
        }
        assert_eq!(EtagCondition::parse(b"  "), None);
    }

    #[test]
    fn reads_follow_the_precedence_of_rfc_9110() {
        let (old, new) = ("Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:37 GMT");
        let rows = [
            (String::new(), ReadVerdict::Proceed),
            (format!("If-Match: a\r\nIf-Unmodified-Since: {old}\r\n"), ReadVerdict::Proceed),
            ("If-Match: b\r\n".into(), ReadVerdict::Failed("If-Match")),
            (format!("If-Unmodified-Since: {old}\r\n"), ReadVerdict::Failed("If-Unmodified-Since")),
            (format!("If-Unmodified-Since: {new}\r\n"), ReadVerdict::Proceed),
            ("If-None-Match: \"a\"\r\n".into(), ReadVerdict::NotModified),
            (format!("If-None-Match: b\r\nIf-Modified-Since: {new}\r\n"), ReadVerdict::Proceed),
            (format!("If-Modified-Since: {new}\r\n"), ReadVerdict::NotModified),
            (format!("If-Modified-Since: {old}\r\n"), ReadVerdict::Proceed),
            ("If-Modified-Since: yesterday\r\n".into(), ReadVerdict::Proceed),
            ("If-Match: b\r\nIf-None-Match: a\r\n".into(), ReadVerdict::Failed("If-Match")),
        ];
        let modified = Timestamp::new(784_111_777, 999_000_000).unwrap();
        for (lines, expected) in rows {
            let verdict = with_head(&lines, |head| ReadConditions::of_read(head).evaluate("a", modified));
            assert_eq!(verdict, expected, "{lines}");
        }
    }

    #[test]
    fn a_copy_source_knows_only_yes_and_no() {
        let modified = Timestamp::from_second(784_111_777).unwrap();
        let judge = |lines: &str| {
            with_head(lines, |head| {
                ReadConditions::of_copy_source(head)
                    .evaluate_copy_source("a", modified)
                    .map_err(|it| it.error)
            })
        };
        let both = "x-amz-copy-source-if-match: a\r\n\
            x-amz-copy-source-if-unmodified-since: Sun, 06 Nov 1994 08:49:30 GMT\r\n";
        assert_eq!(judge(both), Ok(()));
        assert_eq!(judge("x-amz-copy-source-if-none-match: a\r\n"), Err(S3Error::PreconditionFailed));
        assert_eq!(judge("If-Match: b\r\n"), Ok(()));
    }

    #[test]
    fn writes() {
        let judge = |lines: &str, tag: Option<&str>| {
            with_head(lines, |head| {
                WriteCondition::of_write(head).and_then(|it| it.evaluate(tag)).map_err(|it| it.error)
            })
        };
        assert_eq!(judge("", Some("a")), Ok(()));
        assert_eq!(judge("If-None-Match: *\r\n", None), Ok(()));
        assert_eq!(judge("If-None-Match: *\r\n", Some("a")), Err(S3Error::PreconditionFailed));
        assert_eq!(judge("If-None-Match: \"a\"\r\n", None), Err(S3Error::NotImplemented));
        assert_eq!(judge("If-Match: \"a\"\r\n", Some("a")), Ok(()));
        assert_eq!(judge("If-Match: \"b\"\r\n", Some("a")), Err(S3Error::PreconditionFailed));
        assert_eq!(judge("If-Match: \"a\"\r\n", None), Err(S3Error::NoSuchKey));
        assert_eq!(judge("If-Match: *\r\n", Some("a")), Ok(()));
    }
}
