//! Response heads, written into memory of the caller. Nothing is allocated; what does not fit, or would break the
//! head's grammar, is an error of the whole head, found at the end.

use crate::http::date::http_date;
use jiff::Timestamp;

/// A response head under way.
#[derive(Debug)]
pub struct ResponseHead<'b> {
    target: &'b mut [u8],
    length: usize,
    fault: Option<ResponseError>,
}

/// Why a head was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The caller's memory is too small.
    Full {
        /// Its size, in bytes.
        capacity: usize,
    },
    /// A name or value with a byte that could end its line.
    IllegalByte,
}

/// What every response carries.
#[derive(Clone, Copy, Debug)]
pub struct ResponseIdentity<'a> {
    /// `Date`
    pub now: Timestamp,
    /// `x-amz-request-id`, the same as `<RequestId>` in an error document.
    pub request_id: &'a str,
    /// `x-amz-id-2`, the same as `<HostId>`.
    pub host_id: &'a str,
    /// Whether the connection stays open.
    pub keep_alive: bool,
}

/// The interim response that lets a client send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl<'b> ResponseHead<'b> {
    /// Begins a head: status line, `Server`, `Date`, request ids, and `Connection: close` if so.
    #[must_use]
    pub fn begin(target: &'b mut [u8], status: u16, identity: ResponseIdentity<'_>) -> Self {
        let mut head = Self { target, length: 0, fault: None };
        head.push(b"HTTP/1.1 ");
        head.push_number(u64::from(status));
        head.push(b" ");
        head.push(reason(status).as_bytes());
        head.push(b"\r\nServer: Ashlar\r\n");
        head.header("Date", &http_date(identity.now));
        head.header("x-amz-request-id", identity.request_id.as_bytes());
        head.header("x-amz-id-2", identity.host_id.as_bytes());
        if !identity.keep_alive {
            head.header("Connection", b"close");
        }
        head
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: &[u8]) -> &mut Self {
        // Folds, not searches: an illegal byte is so rare that looking at all of them at once is quicker.
        let bad_name =
            name.bytes().fold(name.is_empty(), |bad, byte| bad | !byte.is_ascii_graphic() | (byte == b':'));
        let bad_value =
            value.iter().fold(false, |bad, &byte| bad | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f));
        if bad_name || bad_value {
            self.fault.get_or_insert(ResponseError::IllegalByte);
            return self;
        }
        self.push(name.as_bytes());
        self.push(b": ");
        self.push(value);
        self.push(b"\r\n");
        self
    }

    /// Adds a header whose name begins with `x-amz-meta-`.
    pub fn metadata(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.push(b"x-amz-meta-");
        self.header(name, value)
    }

    /// Adds a header whose value is a decimal number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        let mut digits = [0; 20];
        self.header(name, decimal(value, &mut digits))
    }

    /// Adds a header whose value is a date, to the second.
    pub fn date(&mut self, name: &str, value: Timestamp) -> &mut Self {
        self.header(name, &http_date(value))
    }

    /// Adds `Content-Length`, in bytes. Not to be used with 204 and 304.
    pub fn content_length(&mut self, bytes: u64) -> &mut Self {
        self.number("Content-Length", bytes)
    }

    /// Ends the head. Gives its length in bytes.
    ///
    /// # Errors
    /// The first fault of any step.
    pub fn finish(mut self) -> Result<usize, ResponseError> {
        self.push(b"\r\n");
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.length),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        let capacity = self.target.len();
        match self.target.get_mut(self.length..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length = end;
            }
            None => {
                self.fault.get_or_insert(ResponseError::Full { capacity });
            }
        }
    }

    fn push_number(&mut self, number: u64) {
        let mut digits = [0; 20];
        self.push(decimal(number, &mut digits));
    }
}

/// Writes decimal digits at the end of `digits` and gives them.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// The reason phrase of a status that we send.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        416 => "Requested Range Not Satisfiable",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::{ResponseError, ResponseHead, ResponseIdentity, decimal, reason};
    use crate::error::S3Error;
    use jiff::Timestamp;

    fn identity(keep_alive: bool) -> ResponseIdentity<'static> {
        let now = Timestamp::from_second(784_111_777).unwrap();
        ResponseIdentity { now, request_id: "R", host_id: "H", keep_alive }
    }

    #[test]
    fn golden_head() {
        let mut memory = [0; 512];
        let mut head = ResponseHead::begin(&mut memory, 206, identity(false));
        head.content_length(3).header("Content-Range", b"bytes 0-2/10").metadata("a", b"b");
        head.header("ETag", b"\"x\"");
        let length = head.finish().unwrap();
        let expected = "HTTP/1.1 206 Partial Content\r\nServer: Ashlar\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
            x-amz-request-id: R\r\nx-amz-id-2: H\r\nConnection: close\r\nContent-Length: 3\r\n\
            Content-Range: bytes 0-2/10\r\nx-amz-meta-a: b\r\nETag: \"x\"\r\n\r\n";
        assert_eq!(core::str::from_utf8(&memory[..length]), Ok(expected));
    }

    #[test]
    fn nothing_can_break_out_of_its_line() {
        for value in ["a\r\nb: c", "a\nb", "a\0", "\r"] {
            let mut memory = [0; 512];
            let mut head = ResponseHead::begin(&mut memory, 200, identity(true));
            head.header("x-amz-meta-a", value.as_bytes());
            assert_eq!(head.finish(), Err(ResponseError::IllegalByte), "{value:?}");
        }
        let mut memory = [0; 512];
        let mut head = ResponseHead::begin(&mut memory, 200, identity(true));
        head.metadata("a: b", b"");
        assert_eq!(head.finish(), Err(ResponseError::IllegalByte));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut memory = [0; 100];
        let head = ResponseHead::begin(&mut memory, 200, identity(true));
        assert_eq!(head.finish(), Err(ResponseError::Full { capacity: 100 }));
    }

    #[test]
    fn numbers_and_reasons() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
        assert!(S3Error::ALL.iter().all(|error| reason(error.status()) != "Unknown"));
    }
}
