//! The page and what it is made of, all of it in the program.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{HeaderMap, Response};
use rust_embed::RustEmbed;
use tnv_web::{Body, Refusal, page};

#[derive(RustEmbed)]
#[folder = "page/"]
struct Page;

/// Nothing from elsewhere, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers a GET of the page, or of something that it is made of.
pub(crate) fn file(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let name = if name.is_empty() { "index.html" } else { name };
    let mut response = page::file(name, Page::get(name), request)?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}
