//! The page and what it is made of, all of it in the program.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::body::Body;
use crate::refusal::Refusal;
use crate::web::{Validators, Verdict, condition};

#[derive(RustEmbed)]
#[folder = "page/"]
struct Page;

/// Nothing from elsewhere, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers a GET of the page, or of something that it is made of.
pub(crate) fn file(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let name = if name.is_empty() { "index.html" } else { name };
    let Some(EmbeddedFile { data, metadata }) = Page::get(name) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address"));
    };
    let hash = blake3::Hash::from_bytes(metadata.sha256_hash()).to_hex();
    let version = Validators { etag: format!("\"{hash}\""), modified: None };
    let mut response = Response::new(Body::empty());
    match condition::evaluate(request, &version) {
        Verdict::NotModified => *response.status_mut() = StatusCode::NOT_MODIFIED,
        Verdict::Failed => {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "there is another version now"));
        }
        Verdict::Proceed => *response.body_mut() = Body::text(data.into_owned()),
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(name));
    // Asked for again each time, and mostly answered with 304: an upgrade must not leave half of an old page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if let Ok(etag) = HeaderValue::from_str(&version.etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}

fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    })
}
