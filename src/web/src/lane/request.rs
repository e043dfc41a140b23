//! Requests, as far as they are plain ones.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Uri};

/// Header lines that a plain request has at most.
const MAX_HEADERS: usize = 64;

/// What the bytes of a connection begin with.
pub(super) enum Parsed {
    /// A part of a request.
    Partial,
    /// A request to be answered in the lane; its bytes were taken.
    Plain(Box<PlainRequest>),
    /// Something else, still there.
    Other,
}

/// A GET or HEAD without a body.
pub(super) struct PlainRequest {
    pub(super) parts: Parts,
    /// Whether it is the client's last one.
    pub(super) closes: bool,
}

/// Looks at what was read of a connection, which is not empty.
pub(super) fn parse(read: &mut BytesMut) -> Parsed {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(read, &mut lines) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if may_be_plain(read) => return Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(_) => return Parsed::Other,
    };
    let method = match request.method {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        _ => return Parsed::Other,
    };
    let (Some(1), Some(target)) = (request.version, request.path) else { return Parsed::Other };
    if !target.starts_with('/') {
        return Parsed::Other;
    }
    let places = Places::new(read, target, request.headers);
    let taken = read.split_to(len).freeze();
    let plain = places.read(&taken, method).filter(|parts| !is_special(&parts.headers));
    if let Some(parts) = plain
        && let Some(closes) = closes(&parts.headers)
    {
        return Parsed::Plain(Box::new(PlainRequest { parts, closes }));
    }
    put_back(read, &taken);
    Parsed::Other
}

/// Whether what has come of a request may become a plain one.
fn may_be_plain(read: &[u8]) -> bool {
    let blank = read.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let read = &read[blank..];
    let is_method = |method: &[u8]| read.starts_with(method) || method.starts_with(read);
    is_method(b"GET ") || is_method(b"HEAD ")
}

/// Where the texts of a request are in what was read.
struct Places {
    target: Range<usize>,
    headers: Vec<(Range<usize>, Range<usize>)>,
}

impl Places {
    fn new(read: &[u8], target: &str, headers: &[httparse::Header<'_>]) -> Places {
        let place = |text: &[u8]| {
            let start = text.as_ptr() as usize - read.as_ptr() as usize;
            start..start + text.len()
        };
        Places {
            target: place(target.as_bytes()),
            headers: headers.iter().map(|line| (place(line.name.as_bytes()), place(line.value))).collect(),
        }
    }

    /// The request, which shares the bytes it was read from; `None` if a text of it is not what it must be.
    fn read(&self, taken: &Bytes, method: Method) -> Option<Parts> {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.uri = Uri::from_maybe_shared(taken.slice(self.target.clone())).ok()?;
        parts.headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(taken.get(name.clone())?).ok()?;
            let value = HeaderValue::from_maybe_shared(taken.slice(value.clone())).ok()?;
            parts.headers.append(name, value);
        }
        Some(parts)
    }
}

/// Whether a request has, or asks for, more than an answer to its header.
fn is_special(headers: &HeaderMap) -> bool {
    [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, UPGRADE, TRAILER]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// Whether the connection ends behind the answer; `None` if something else is to become of it.
fn closes(headers: &HeaderMap) -> Option<bool> {
    let mut closes = false;
    for value in headers.get_all(CONNECTION) {
        for token in value.to_str().ok()?.split(',').map(str::trim) {
            match token {
                _ if token.eq_ignore_ascii_case("close") => closes = true,
                _ if token.eq_ignore_ascii_case("keep-alive") => {}
                _ => return None,
            }
        }
    }
    Some(closes)
}

fn put_back(read: &mut BytesMut, taken: &[u8]) {
    let mut all = BytesMut::with_capacity(taken.len() + read.len());
    all.extend_from_slice(taken);
    all.extend_from_slice(read);
    *read = all;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(parsed: &Parsed) -> &'static str {
        match parsed {
            Parsed::Partial => "partial",
            Parsed::Plain(_) => "plain",
            Parsed::Other => "other",
        }
    }

    #[test]
    fn only_plain_requests_are_taken() {
        for (text, wanted) in [
            ("GET /files/x HTTP/1.1\r\n\r\n", "plain"),
            ("\r\nHEAD /files/a/b/c?download HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n", "plain"),
            ("GET / HTTP/1.1\r\nConnection: keep-alive, CLOSE\r\n\r\n", "plain"),
            ("GET /files/% HTTP/1.1\r\n\r\n", "plain"),
            ("GET /files/x HTTP/1.1\r\nHost: x\r\n", "partial"),
            ("G", "partial"),
            ("HEAD", "partial"),
            ("PRI", "other"),
            ("POST /files HTTP/1.1\r\n", "other"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "other"),
            ("POST /files HTTP/1.1\r\n\r\n", "other"),
            ("DELETE /files/x HTTP/1.1\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.0\r\n\r\n", "other"),
            ("GET http://a/files/x HTTP/1.1\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.1\r\nConnection: te\r\n\r\n", "other"),
            ("GET /files/x HTTP/1.1\r\nno header\r\n\r\n", "other"),
            ("nonsense\r\n\r\n", "other"),
        ] {
            let mut read = BytesMut::from(text);
            read.extend_from_slice(b"behind");
            if wanted == "partial" {
                read.truncate(text.len());
            }
            let whole = read.clone();
            let parsed = parse(&mut read);
            assert_eq!(kind(&parsed), wanted, "{text:?}");
            match parsed {
                Parsed::Plain(_) => assert_eq!(read, "behind", "{text:?}"),
                Parsed::Partial | Parsed::Other => assert_eq!(read, whole, "{text:?}"),
            }
        }
    }

    #[test]
    fn a_plain_request_is_read_to_its_last_header() {
        let text =
            "GET /files/x?download HTTP/1.1\r\nhost: a\r\nX: \u{e9}\r\nX:  two \r\nConnection: close\r\n\r\n";
        let Parsed::Plain(request) = parse(&mut BytesMut::from(text)) else { panic!() };
        let headers = &request.parts.headers;
        assert_eq!(request.parts.uri, "/files/x?download");
        assert_eq!((headers.len(), &headers["Host"]), (4, &HeaderValue::from_static("a")));
        let values: Vec<&[u8]> = headers.get_all("x").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, ["\u{e9}".as_bytes(), b"two"]);
        assert!(request.closes);
    }
}
