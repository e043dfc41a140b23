//! Answers that are made in memory.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use tnv_common::metrics::{self, Metrics};

use crate::body::Body;
use crate::refusal::Refusal;

/// A text that is another one the next time.
pub fn fresh(text: String, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer in JSON, another one each time.
///
/// # Errors
/// 500 for a value that has no JSON.
pub fn json(value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    json_with(StatusCode::OK, value)
}

/// The same with another status.
///
/// # Errors
/// As [`json`].
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let text = serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "cannot write an answer");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written")
    })?;
    let mut response = fresh(text + "\n", "application/json");
    *response.status_mut() = status;
    Ok(response)
}

/// Nothing but a status.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Everything that this process has counted.
pub fn metrics() -> Response<Body> {
    fresh(Metrics::global().render(), metrics::CONTENT_TYPE)
}

/// Puts a text into a header; what cannot be in one is left out.
pub fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
