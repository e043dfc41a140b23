//! Pages and what they are made of, all of it in the program.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};
use rust_embed::EmbeddedFile;

use crate::body::Body;
use crate::condition::{self, Validators, Verdict};
use crate::refusal::Refusal;

/// Answers a GET or HEAD of a file in the program.
///
/// # Errors
/// 404 if there is none, 412 as the request's conditions have it.
pub fn file(name: &str, file: Option<EmbeddedFile>, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let EmbeddedFile { data, metadata } = file.ok_or_else(Refusal::nothing)?;
    let etag = format!("\"{}\"", BASE64_STANDARD.encode(metadata.sha256_hash()));
    let version = Validators { etag, modified: None };
    let mut response = match condition::evaluate(request, &version) {
        Verdict::NotModified => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Verdict::Failed => {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "there is another version now"));
        }
        Verdict::Proceed => {
            let mut response = Response::new(match data {
                Cow::Borrowed(bytes) => Body::text(bytes),
                Cow::Owned(bytes) => Body::text(bytes),
            });
            response.headers_mut().insert(CONTENT_TYPE, content_type(name));
            response
        }
    };
    let headers = response.headers_mut();
    // Asked for again each time, and mostly answered with 304: an upgrade must not leave half of an old page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Ok(etag) = HeaderValue::from_str(&version.etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}

fn content_type(name: &str) -> HeaderValue {
    let guessed = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let text = guessed.starts_with("text/") || guessed.ends_with("javascript") || guessed.ends_with("json");
    let full = if text { format!("{guessed}; charset=utf-8") } else { guessed.to_owned() };
    HeaderValue::from_str(&full).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_with_their_charset() {
        assert_eq!(content_type("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("a/b.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("a.png"), "image/png");
        assert_eq!(content_type("a.svg"), "image/svg+xml");
    }
}
