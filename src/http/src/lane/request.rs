//! Requests, as far as they are plain ones.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Uri};

use crate::route::Route;
use crate::service::Gateway;

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
    pub(super) route: Result<Route, String>,
    /// Whether it is the client's last one.
    pub(super) closes: bool,
}

/// Looks at what was read of a connection, which is not empty.
pub(super) fn parse(read: &mut BytesMut, gateway: &Gateway) -> Parsed {
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
    match places.read(&taken, method).filter(|parts| !is_special(&parts.headers)) {
        Some(parts) => {
            let (route, closes) = (gateway.route(&parts), closes(&parts.headers));
            match (&route, closes) {
                (Ok(route), _) if !route.is_plain() => {}
                (_, None) => {}
                (_, Some(closes)) => return Parsed::Plain(Box::new(PlainRequest { parts, route, closes })),
            }
        }
        None => {}
    }
    put_back(read, &taken);
    Parsed::Other
}

/// Whether what has come of a request may become a plain one.
fn may_be_plain(read: &[u8]) -> bool {
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
