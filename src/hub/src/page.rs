//! The pages and what they are made of, all of it in the program.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::Response;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::answer::{empty, put};
use crate::refusal::Refusal;
use crate::web::Body;

#[derive(RustEmbed)]
#[folder = "page/"]
struct Page;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PAGES: [&str; 2] = ["index.html", "docs.html"];

/// Answers a GET of the page.
pub(crate) fn index(request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    file("index.html", request)
}

/// Answers a GET of the page to read the interface's description.
pub(crate) fn docs(request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    file("docs.html", request)
}

/// Answers a GET of the interface's description.
pub(crate) fn open_api(request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    file("openapi.json", request)
}

/// Answers a GET of something that the pages are made of.
pub(crate) fn asset(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    if PAGES.contains(&name) { Err(Refusal::nothing()) } else { file(name, request) }
}

fn file(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let EmbeddedFile { data, metadata } = Page::get(name).ok_or_else(Refusal::nothing)?;
    let etag = format!("\"{}\"", BASE64_STANDARD.encode(metadata.sha256_hash()));
    let has_it = request.get(IF_NONE_MATCH).is_some_and(|tag| *tag == etag.as_str());
    let mut response = if has_it {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(match data {
            std::borrow::Cow::Borrowed(bytes) => Body::text(bytes),
            std::borrow::Cow::Owned(bytes) => Body::text(bytes),
        })
    };
    let headers = response.headers_mut();
    put(headers, ETAG, &etag);
    put(headers, CONTENT_TYPE, &content_type(name));
    // Asked for again each time, and mostly answered with 304: an upgrade must not leave half of an old page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if PAGES.contains(&name) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    Ok(response)
}

fn content_type(name: &str) -> String {
    let guessed = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let is_text = guessed.starts_with("text/") || guessed.ends_with("javascript");
    if is_text { format!("{guessed}; charset=utf-8") } else { guessed.to_owned() }
}
