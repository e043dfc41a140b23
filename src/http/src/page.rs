//! The page and what it is made of, all of it in the program.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};
use tnv_web::condition::{self, Validators, Verdict};
use tnv_web::{Body, Refusal};

#[derive(RustEmbed)]
#[folder = "page/"]
struct Page;

const INDEX: &str = "index.html";

/// Nothing from elsewhere, nothing inline but the styles that the page came with.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let index = Page::get(INDEX).map(|file| String::from_utf8_lossy(&file.data).into_owned());
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'{}; img-src 'self' data: blob:; \
         media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
        styles(&index.unwrap_or_default())
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The inline styles of a page, as its policy names them.
fn styles(page: &str) -> String {
    let mut sources = String::new();
    for style in page.split("<style>").skip(1).filter_map(|rest| rest.split("</style>").next()) {
        // Writing to a `String` does not fail.
        let _ = write!(sources, " 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(style)));
    }
    sources
}

/// Answers a GET of the page.
pub(crate) fn index(request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let mut response = file(INDEX, request)?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    Ok(response)
}

/// Answers a GET of something that the page is made of.
pub(crate) fn asset(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    if name == INDEX { Err(nothing()) } else { file(name, request) }
}

fn file(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let EmbeddedFile { data, metadata } = Page::get(name).ok_or_else(nothing)?;
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
                std::borrow::Cow::Borrowed(bytes) => Body::text(bytes),
                std::borrow::Cow::Owned(bytes) => Body::text(bytes),
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

fn nothing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_inline_styles() {
        // printf 'a{}' | openssl dgst -sha256 -binary | base64
        assert_eq!(
            styles("<html><style>a{}</style><style></style>"),
            " 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk=' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
        );
        assert_eq!(styles("<html>"), "");
        assert!(
            POLICY.to_str().unwrap().starts_with("default-src 'none'; script-src 'self'; style-src 'self'")
        );
    }

    #[test]
    fn types_are_told_with_their_charset() {
        assert_eq!(content_type("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("a/b.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("a.png"), "image/png");
        assert_eq!(content_type("a.svg"), "image/svg+xml");
    }
}
