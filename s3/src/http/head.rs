//! httparse → borrowed `RequestHead<'buf>`. Framing is decided here, once, and anything that two parsers could
//! read differently is refused (RFC 9112; request smuggling).
//!
//! A `RequestHead` is an *allegation* by the client. Holding one proves: the grammar of every line, the limits, one
//! `Host`, and that the body's framing has one reading. It proves nothing about who sent it or what it may do.

use crate::error::{DetailName, S3Error, S3Failure};
use crate::limits::{HEAD_BYTES_MAX, HEADER_COUNT_MAX, LEADING_EMPTY_LINES_MAX, TARGET_BYTES_MAX};
use arrayvec::ArrayVec;
use core::mem::MaybeUninit;

/// Methods that S3 uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
}

/// Versions that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the body's end is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body: neither header was sent.
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`
    Chunked,
}

/// Why bytes are no request head, or none that we accept. The connection must be closed after any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// No end within the limit.
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More header lines than the limit.
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// The target is longer than the limit.
    TargetTooLong {
        /// Bytes found.
        found: usize,
    },
    /// A NUL, a bare CR or LF, or another control byte.
    ControlByte {
        /// Where, in bytes from the start.
        index: usize,
    },
    /// A header line that begins with space or tab.
    FoldedHeader,
    /// httparse refuses the grammar.
    Syntax,
    /// A method that S3 does not have.
    UnknownMethod,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    UnknownVersion,
    /// The target is neither a path nor `http://host/path`, or holds `#`.
    InvalidTarget,
    /// No `Host`.
    MissingHost,
    /// Several `Host`, or an absolute target that names another.
    ConflictingHost,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthWithTransferEncoding,
    /// Several `Content-Length`, equal or not.
    DuplicateLength,
    /// `Content-Length` is not a decimal number below 2^63.
    InvalidLength,
    /// `Transfer-Encoding` is not exactly one `chunked`, or came with HTTP/1.0.
    InvalidTransferEncoding,
}

/// A request's head, borrowed from the receive buffer.
#[derive(Clone)]
pub struct RequestHead<'buf> {
    buf: &'buf [u8],
    method: Method,
    version: HttpVersion,
    target: &'buf [u8],
    path: &'buf [u8],
    query: Option<&'buf [u8]>,
    host: &'buf [u8],
    framing: BodyFraming,
    lines: ArrayVec<HeaderSpan, HEADER_COUNT_MAX>,
}

/// Where a header's name and value lie in the buffer: u16 keeps a head of 100 headers below 1 KiB.
#[derive(Clone, Copy)]
struct HeaderSpan {
    name: (u16, u16),
    value: (u16, u16),
}

impl core::fmt::Debug for RequestHead<'_> {
    // Header values hold signatures and tokens; they do not belong into logs.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("RequestHead")
            .field("method", &self.method)
            .field("framing", &self.framing)
            .field("header_count", &self.lines.len())
            .finish_non_exhaustive()
    }
}

impl Method {
    /// The method's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Get, Self::Head, Self::Put, Self::Post, Self::Delete, Self::Options]
            .into_iter()
            .find(|method| method.as_str() == name)
    }
}

/// Reads a head from the start of `buf`. `None` means: receive more and call again with all bytes so far.
///
/// # Errors
/// The first thing wrong. Errors are found as early as possible, so that a bad client need not be waited for.
pub fn parse(buf: &[u8]) -> Result<Option<RequestHead<'_>>, HeadError> {
    let Some((start, end)) = find_head(buf)? else { return Ok(None) };
    let text = buf.get(start..end).ok_or(HeadError::Syntax)?;
    let mut headers = [const { MaybeUninit::uninit() }; HEADER_COUNT_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(text, &mut headers) {
        Ok(httparse::Status::Complete(consumed)) if consumed == text.len() => {}
        Ok(_) => return Err(HeadError::Syntax),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(HeadError::TooManyHeaders { limit: HEADER_COUNT_MAX });
        }
        Err(httparse::Error::Version) => return Err(HeadError::UnknownVersion),
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token,
        ) => return Err(HeadError::Syntax),
    }
    let version = match request.version {
        Some(1) => HttpVersion::Http11,
        Some(0) => HttpVersion::Http10,
        _ => return Err(HeadError::UnknownVersion),
    };
    let method = request.method.and_then(Method::parse).ok_or(HeadError::UnknownMethod)?;
    let target = request.path.unwrap_or_default().as_bytes();
    let (authority, path, query) = split_target(target)?;
    let host = unique_host(request.headers, authority)?;
    let framing = decide_framing(request.headers, version)?;
    let mut lines = ArrayVec::new();
    for header in request.headers.iter() {
        let name = span(buf, header.name.as_bytes())?;
        let value = span(buf, header.value)?;
        lines.push(HeaderSpan { name, value });
    }
    let buf = buf.get(..end).ok_or(HeadError::Syntax)?;
    Ok(Some(RequestHead { buf, method, version, target, path, query, host, framing, lines }))
}

impl<'buf> RequestHead<'buf> {
    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> HttpVersion {
        self.version
    }

    /// The target as sent.
    #[must_use]
    pub const fn target(&self) -> &'buf [u8] {
        self.target
    }

    /// The path as sent, still escaped. Begins with `/`.
    #[must_use]
    pub const fn path(&self) -> &'buf [u8] {
        self.path
    }

    /// The query as sent, still escaped, without `?`. Empty if there is none.
    #[must_use]
    pub fn query(&self) -> &'buf [u8] {
        self.query.unwrap_or_default()
    }

    /// The one `Host`, as sent.
    #[must_use]
    pub const fn host(&self) -> &'buf [u8] {
        self.host
    }

    /// Bytes of the head; the body begins there.
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.buf.len()
    }

    /// How the body's end is found.
    #[must_use]
    pub const fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Whether the client waits for `100 Continue`.
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.version == HttpVersion::Http11
            && self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Whether the client lets the connection stay open.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        let has = |token: &[u8]| {
            self.values("connection")
                .flat_map(|value| value.split(|&byte| byte == b','))
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
        };
        match self.version {
            HttpVersion::Http11 => !has(b"close"),
            HttpVersion::Http10 => has(b"keep-alive") && !has(b"close"),
        }
    }

    /// All headers in order, names as sent, values trimmed.
    pub fn headers(&self) -> impl Iterator<Item = (&'buf str, &'buf [u8])> {
        self.lines.iter().map(|line| {
            let name = self.slice(line.name);
            // httparse lets only token bytes into a name, so it is ASCII.
            (core::str::from_utf8(name).unwrap_or_default(), self.slice(line.value))
        })
    }

    /// Values of every header of this name, in order. `name` in any case.
    pub fn values(&self, name: &(impl AsRef<[u8]> + ?Sized)) -> impl Iterator<Item = &'buf [u8]> {
        let name = name.as_ref();
        self.lines
            .iter()
            .filter(move |line| self.slice(line.name).eq_ignore_ascii_case(name))
            .map(|line| self.slice(line.value))
    }

    /// The first header of this name. `name` in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'buf [u8]> {
        self.values(name).next()
    }

    fn slice(&self, (start, end): (u16, u16)) -> &'buf [u8] {
        self.buf.get(usize::from(start)..usize::from(end)).unwrap_or_default()
    }
}

/// Whether `buf` begins with a whole head, as far as its lines go: [`parse`] will say what it holds, or what is wrong
/// with it. For whoever receives, who need not understand.
///
/// # Errors
/// As [`parse`], for what is wrong with its lines.
pub fn is_whole(buf: &[u8]) -> Result<bool, HeadError> {
    find_head(buf).map(|found| found.is_some())
}

/// Start and end of the head, after leading empty lines and including the final empty line. Every byte up to the
/// end is checked here, because httparse tolerates bare LF and some control bytes.
fn find_head(buf: &[u8]) -> Result<Option<(usize, usize)>, HeadError> {
    match find_plain_head(buf) {
        Some(end) => Ok(Some((0, end))),
        None => find_odd_head(buf),
    }
}

/// End of a head that is whole and has nothing wrong with its lines, which is nearly every one. Without a branch per
/// byte, so that the compiler looks at many bytes at once.
fn find_plain_head(buf: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(buf, b"\r\n\r\n")? + 4;
    if end > HEAD_BYTES_MAX || buf.starts_with(b"\r\n") {
        return None;
    }
    let (head, behind) = (buf.get(..end)?, buf.get(1..end)?);
    let first = *head.first()?;
    let mut is_odd = (first < b' ') | (first == 0x7f);
    for (&byte, &next) in head.iter().zip(behind) {
        let breaks = (byte == b'\r') != (next == b'\n');
        let folds = (byte == b'\n') & ((next == b' ') | (next == b'\t'));
        let controls = (next < b' ') & (next != b'\t') & (next != b'\r') & (next != b'\n') | (next == 0x7f);
        is_odd |= breaks | folds | controls;
    }
    (!is_odd).then_some(end)
}

/// As [`find_head`], byte by byte: heads that are not whole yet, begin with empty lines, or are wrong somewhere.
fn find_odd_head(buf: &[u8]) -> Result<Option<(usize, usize)>, HeadError> {
    let mut start = 0;
    for _ in 0..LEADING_EMPTY_LINES_MAX {
        if buf.get(start..).is_some_and(|rest| rest.starts_with(b"\r\n")) {
            start += 2;
        }
    }
    let mut line_start = start;
    for (index, &byte) in buf.iter().enumerate().skip(start) {
        if index >= HEAD_BYTES_MAX {
            return Err(HeadError::HeadTooLarge { limit: HEAD_BYTES_MAX });
        }
        let previous = index.checked_sub(1).and_then(|at| buf.get(at));
        match byte {
            b'\n' if previous != Some(&b'\r') => return Err(HeadError::ControlByte { index }),
            b'\n' if index == line_start + 1 => {
                // An empty line: the end, unless nothing stands before it.
                if line_start == start {
                    return Err(HeadError::Syntax);
                }
                return Ok(Some((start, index + 1)));
            }
            b'\n' => line_start = index + 1,
            _ if previous == Some(&b'\r') && index > start => return Err(HeadError::ControlByte { index }),
            b' ' | b'\t' if index == line_start && line_start > start => return Err(HeadError::FoldedHeader),
            b'\r' | b'\t' => {}
            0..=0x1f | 0x7f => return Err(HeadError::ControlByte { index }),
            _ => {}
        }
    }
    if buf.len() >= HEAD_BYTES_MAX {
        return Err(HeadError::HeadTooLarge { limit: HEAD_BYTES_MAX });
    }
    Ok(None)
}

type SplitTarget<'a> = (Option<&'a [u8]>, &'a [u8], Option<&'a [u8]>);

/// Authority of an absolute target, path, query.
fn split_target(target: &[u8]) -> Result<SplitTarget<'_>, HeadError> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(HeadError::TargetTooLong { found: target.len() });
    }
    if target.contains(&b'#') {
        return Err(HeadError::InvalidTarget);
    }
    let (authority, rest) = match strip_scheme(target) {
        Some(rest) => {
            let end = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).ok_or(HeadError::InvalidTarget)?;
            (Some(authority), rest)
        }
        None => (None, target),
    };
    let (path, query) = match rest.iter().position(|&byte| byte == b'?') {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
        None => (rest, None),
    };
    match (authority, path.first()) {
        (_, Some(b'/')) => Ok((authority, path, query)),
        (Some(_), None) => Ok((authority, b"/", query)),
        _ => Err(HeadError::InvalidTarget),
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn named<'h, 'buf>(
    headers: &'h [httparse::Header<'buf>],
    name: &'h str,
) -> impl Iterator<Item = &'buf [u8]> + use<'h, 'buf> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn unique_host<'buf>(
    headers: &[httparse::Header<'buf>],
    authority: Option<&[u8]>,
) -> Result<&'buf [u8], HeadError> {
    let mut hosts = named(headers, "host");
    let host = hosts.next().map(<[u8]>::trim_ascii).ok_or(HeadError::MissingHost)?;
    if hosts.next().is_some() {
        return Err(HeadError::ConflictingHost);
    }
    if host.is_empty() {
        return Err(HeadError::MissingHost);
    }
    // RFC 9112 section 3.2.2 lets the target win; a client for which both differ is refused instead, because the
    // signature covers the header and the address would come from elsewhere.
    if authority.is_some_and(|authority| !authority.eq_ignore_ascii_case(host)) {
        return Err(HeadError::ConflictingHost);
    }
    Ok(host)
}

fn decide_framing(headers: &[httparse::Header<'_>], version: HttpVersion) -> Result<BodyFraming, HeadError> {
    let mut lengths = named(headers, "content-length");
    let mut encodings = named(headers, "transfer-encoding");
    match (lengths.next(), encodings.next()) {
        (Some(_), Some(_)) => Err(HeadError::LengthWithTransferEncoding),
        (None, None) => Ok(BodyFraming::None),
        (Some(length), None) => {
            if lengths.next().is_some() {
                return Err(HeadError::DuplicateLength);
            }
            parse_decimal(length.trim_ascii()).map(BodyFraming::Length).ok_or(HeadError::InvalidLength)
        }
        (None, Some(encoding)) => {
            let chunked = encoding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !chunked || encodings.next().is_some() || version == HttpVersion::Http10 {
                return Err(HeadError::InvalidTransferEncoding);
            }
            Ok(BodyFraming::Chunked)
        }
    }
}

/// Digits only (no sign, no list), below 2^63, so that sums of lengths cannot overflow.
pub(crate) fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = core::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

/// Where `part` lies in `buf`. `part` is a slice that httparse took out of `buf`.
fn span(buf: &[u8], part: &[u8]) -> Result<(u16, u16), HeadError> {
    if part.is_empty() {
        return Ok((0, 0));
    }
    let start = part.as_ptr().addr().checked_sub(buf.as_ptr().addr()).ok_or(HeadError::Syntax)?;
    let end = start.checked_add(part.len()).ok_or(HeadError::Syntax)?;
    let (Ok(start), Ok(end)) = (u16::try_from(start), u16::try_from(end)) else {
        return Err(HeadError::HeadTooLarge { limit: HEAD_BYTES_MAX });
    };
    Ok((start, end))
}

impl From<HeadError> for S3Failure {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::HeadTooLarge { limit } => Self::new(S3Error::RequestHeaderSectionTooLarge)
                .number(DetailName::MaxSizeAllowed, u64::try_from(limit).unwrap_or(u64::MAX)),
            HeadError::TooManyHeaders { .. } => Self::new(S3Error::RequestHeaderSectionTooLarge),
            HeadError::TargetTooLong { .. } | HeadError::InvalidTarget => Self::new(S3Error::InvalidURI),
            HeadError::UnknownMethod => Self::new(S3Error::MethodNotAllowed),
            HeadError::UnknownVersion => {
                Self::new(S3Error::InvalidRequest).message("The HTTP version is not supported.")
            }
            HeadError::MissingHost => {
                Self::new(S3Error::MissingSecurityHeader).note(DetailName::Header, "host")
            }
            HeadError::InvalidTransferEncoding => {
                Self::new(S3Error::NotImplemented).note(DetailName::Header, "Transfer-Encoding")
            }
            HeadError::InvalidLength
            | HeadError::DuplicateLength
            | HeadError::LengthWithTransferEncoding
            | HeadError::ConflictingHost
            | HeadError::ControlByte { .. }
            | HeadError::FoldedHeader
            | HeadError::Syntax => {
                Self::new(S3Error::InvalidRequest).message("The request is not valid HTTP.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyFraming, HeadError, HttpVersion, Method, find_odd_head, find_plain_head, parse};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn head(lines: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes()
    }

    fn error(bytes: &[u8]) -> HeadError {
        parse(bytes).unwrap_err()
    }

    #[test]
    fn a_put_as_boto3_sends_it() {
        let bytes = b"PUT /b/k%20x?partNumber=1 HTTP/1.1\r\nHost: h:9000\r\nExpect: 100-continue\r\n\
            Content-Length: 5\r\nX-Amz-Date:  d \r\nx-amz-date: e\r\n\r\nhello";
        for cut in 0..bytes.len() - 5 {
            assert!(parse(&bytes[..cut]).unwrap().is_none(), "{cut}");
        }
        let head = parse(bytes).unwrap().unwrap();
        assert_eq!(head.method(), Method::Put);
        assert_eq!(head.version(), HttpVersion::Http11);
        assert_eq!(head.path(), b"/b/k%20x");
        assert_eq!(head.query(), b"partNumber=1");
        assert_eq!(head.target(), b"/b/k%20x?partNumber=1");
        assert_eq!(head.host(), b"h:9000");
        assert_eq!(head.framing(), BodyFraming::Length(5));
        assert!(head.expect_continue());
        assert!(head.keep_alive());
        assert_eq!(&bytes[head.head_len()..], b"hello");
        let dates: Vec<_> = head.values("X-AMZ-DATE").collect();
        assert_eq!(dates, [b"d", b"e"]);
        assert_eq!(head.header("none"), None);
    }

    #[test]
    fn what_smugglers_send_is_refused() {
        let rows: [(&str, HeadError); 14] = [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HeadError::LengthWithTransferEncoding),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", HeadError::DuplicateLength),
            ("Content-Length: 1, 1\r\n", HeadError::InvalidLength),
            ("Content-Length: +1\r\n", HeadError::InvalidLength),
            ("Content-Length: \r\n", HeadError::InvalidLength),
            ("Content-Length: 9223372036854775808\r\n", HeadError::InvalidLength),
            ("Transfer-Encoding: gzip, chunked\r\n", HeadError::InvalidTransferEncoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                HeadError::InvalidTransferEncoding,
            ),
            ("Transfer-Encoding: xchunked\r\n", HeadError::InvalidTransferEncoding),
            ("A: b\r\n c\r\n", HeadError::FoldedHeader),
            ("Content-Length : 1\r\n", HeadError::Syntax),
            (": 1\r\n", HeadError::Syntax),
            ("no colon\r\n", HeadError::Syntax),
            ("Host: other\r\n", HeadError::ConflictingHost),
        ];
        for (lines, expected) in rows {
            assert_eq!(error(&head(lines)), expected, "{lines}");
        }
    }

    #[test]
    fn control_bytes_are_refused_wherever_they_stand() {
        for line in
            ["A: b\nC: d\r\n", "A: b\0\r\n", "A: b\rc\r\n", "A: \x01\r\n", "A\0: b\r\n", "A: \x7f\r\n"]
        {
            assert!(matches!(error(&head(line)), HeadError::ControlByte { .. }), "{line:?}");
        }
        assert!(matches!(error(b"GET / HTTP/1.1\nHost: h\n\n"), HeadError::ControlByte { .. }));
        assert!(matches!(error(b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::ControlByte { .. }));
    }

    #[test]
    fn versions_methods_hosts_and_targets() {
        assert_eq!(error(b"GET / HTTP/2.0\r\nHost: h\r\n\r\n"), HeadError::UnknownVersion);
        assert_eq!(error(b"GET / HTTP/1.1\r\n\r\n"), HeadError::MissingHost);
        assert_eq!(error(b"GET / HTTP/1.1\r\nHost: \r\n\r\n"), HeadError::MissingHost);
        assert_eq!(error(b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::UnknownMethod);
        assert_eq!(error(b"get / HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::UnknownMethod);
        for target in ["*", "b/k", "/a#b", "ftp://h/"] {
            let bytes = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(error(bytes.as_bytes()), HeadError::InvalidTarget, "{target}");
        }
        let bytes = b"GET HTTP://H/b?x HTTP/1.0\r\nHost: h\r\n\r\n";
        let head = parse(bytes).unwrap().unwrap();
        assert_eq!((head.path(), head.query()), (&b"/b"[..], &b"x"[..]));
        assert!(!head.keep_alive());
        assert_eq!(error(b"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::ConflictingHost);
        assert_eq!(
            error(b"GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
            HeadError::InvalidTransferEncoding
        );
    }

    #[test]
    fn keep_alive_follows_connection() {
        assert!(!parse(&head("Connection: a, Close\r\n")).unwrap().unwrap().keep_alive());
        let old = b"GET / HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n";
        assert!(parse(old).unwrap().unwrap().keep_alive());
    }

    #[test]
    fn limits_hold_before_the_end_has_come() {
        let endless = vec![b'a'; 16 * 1024];
        assert!(matches!(error(&endless), HeadError::HeadTooLarge { .. }));
        let lines = "A: b\r\n".repeat(100);
        assert_eq!(error(&head(&lines)), HeadError::TooManyHeaders { limit: 100 });
        let lines = "A: b\r\n".repeat(99);
        assert_eq!(parse(&head(&lines)).unwrap().unwrap().headers().count(), 100);
        let target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8 * 1024));
        assert_eq!(error(target.as_bytes()), HeadError::TargetTooLong { found: 8 * 1024 + 1 });
    }

    #[test]
    fn a_few_empty_lines_may_come_first() {
        assert!(parse(b"\r\n").unwrap().is_none());
        let bytes = b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(parse(bytes).unwrap().unwrap().head_len(), bytes.len());
        assert_eq!(error(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::Syntax);
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            if let Ok(Some(head)) = parse(&bytes) {
                prop_assert!(head.head_len() <= bytes.len());
            }
        }

        #[test]
        fn the_quick_look_finds_what_the_slow_one_finds(
            bytes in "[GET/ a:b\\r\\n\\t\\x00\\x7f]{0,40}(\\r\\n\\r\\n)?[a\\r\\n]{0,6}",
        ) {
            if let Some(end) = find_plain_head(bytes.as_bytes()) {
                prop_assert_eq!(find_odd_head(bytes.as_bytes()), Ok(Some((0, end))));
            }
        }

        #[test]
        fn plain_heads_are_found_by_the_quick_look(lines in "(A: [!-~]{1,20}\\r\\n){0,5}") {
            let bytes = head(&lines);
            prop_assert_eq!(find_plain_head(&bytes), Some(bytes.len()));
        }

        #[test]
        fn an_early_answer_is_never_taken_back(bytes in "[GET/ HOSThost:1.\\r\\n\\x00a-c]{0,80}", cut in any::<usize>()) {
            let bytes = bytes.as_bytes();
            let cut = cut % (bytes.len() + 1);
            if let Err(early) = parse(&bytes[..cut]) {
                prop_assert!(parse(bytes).is_err(), "{:?}", early);
            }
        }
    }
}
