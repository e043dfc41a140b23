//! Which other sites' scripts may read what is served (the Fetch standard, "CORS protocol").

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};

const EXPOSED: &str = "Content-Range, Accept-Ranges, ETag, Content-Length, Content-Disposition, Location, \
                       Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, \
                       Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata, Tnv-Copies";
const ALLOWED: &str = "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, \
                       Content-Type, Content-Disposition, Tus-Resumable, Upload-Length, Upload-Offset, \
                       Upload-Metadata, Upload-Checksum, X-HTTP-Method-Override, X-Requested-With, \
                       Tnv-Ack-Copies";
/// Seconds that a browser may remember a preflight's answer: a day.
const MAX_AGE: &str = "86400";

/// Whom a server is open to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Nobody else: no header at all.
    Off,
    /// Everybody.
    Any,
    /// These origins.
    Listed(Vec<String>),
}

impl Cors {
    /// As configured: an empty list is off, a `*` in it is everybody.
    pub fn new(origins: &[String]) -> Cors {
        if origins.is_empty() {
            Cors::Off
        } else if origins.iter().any(|origin| origin == "*") {
            Cors::Any
        } else {
            Cors::Listed(origins.to_vec())
        }
    }

    /// Adds to `answer` what a request with these headers is to be told.
    pub fn apply(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let allowed = match self {
            Cors::Off => return,
            Cors::Any => HeaderValue::from_static("*"),
            Cors::Listed(origins) => {
                answer.append(VARY, HeaderValue::from_static("Origin"));
                match request.get(ORIGIN).filter(|origin| names(origins, origin)) {
                    Some(origin) => origin.clone(),
                    None => return,
                }
            }
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Whether pages of this origin are let in.
    pub fn lists(&self, origin: &HeaderValue) -> bool {
        match self {
            Cors::Off => false,
            Cors::Any => true,
            Cors::Listed(origins) => names(origins, origin),
        }
    }

    /// Adds to the answer of an OPTIONS request what a preflight asks for. `methods` are those that exist there.
    pub fn apply_preflight(&self, request: &HeaderMap, methods: &'static str, answer: &mut HeaderMap) {
        if *self != Cors::Off && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
            answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
    }
}

fn names(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
}
