//! The page and what it is made of, all of it in the program.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{HeaderMap, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use tnv_web::{Body, Refusal, page};

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
    let mut response = page::file(INDEX, Page::get(INDEX), request)?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    Ok(response)
}

/// Answers a GET of something that the page is made of.
pub(crate) fn asset(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let file = Page::get(name).filter(|_| name != INDEX);
    page::file(name, file, request)
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
}
