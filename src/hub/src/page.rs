//! The pages and what they are made of, all of it in the program.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{HeaderMap, Response};
use rust_embed::RustEmbed;
use tnv_web::{Body, page};

use crate::refusal::{self, Refusal};

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
    if PAGES.contains(&name) { Err(refusal::nothing()) } else { file(name, request) }
}

fn file(name: &str, request: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let file = Page::get(name).ok_or_else(refusal::nothing)?;
    let mut response = page::file(name, Some(file), request)?;
    if PAGES.contains(&name) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hyper::Method;
    use serde_json::Value;

    use super::*;
    use crate::route::{Audience, Route, route};

    fn described() -> Value {
        serde_json::from_slice(&Page::get("openapi.json").unwrap().data).unwrap()
    }

    /// An address of the description with something in place of its parameters.
    fn filled(path: &str) -> String {
        path.split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/")
    }

    #[test]
    fn the_description_is_of_what_there_is() {
        let mut seen = HashSet::new();
        for (path, methods) in described()["paths"].as_object().unwrap() {
            let route = route(&filled(path)).unwrap();
            assert_ne!(route, Route::Unknown, "{path}");
            for (method, operation) in methods.as_object().unwrap() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                assert!(route.allows(&method), "{method} {path}");
                let first = operation["security"][0].as_object().and_then(|way| way.keys().next());
                let expected = match route.audience() {
                    Audience::All => None,
                    Audience::Nodes => Some("apiKey"),
                    Audience::Operators => Some("password"),
                };
                assert_eq!(first.map(String::as_str), expected, "{method} {path}");
                seen.insert(format!("{method} {route:?}"));
            }
            let own = route.methods().split(", ").filter(|method| !["HEAD", "OPTIONS"].contains(method));
            for method in own {
                assert!(seen.contains(&format!("{method} {route:?}")), "{method} {path} is not described");
            }
        }
    }

    #[test]
    fn nothing_is_inline_and_everything_that_is_named_is_there() {
        for name in PAGES {
            let page = String::from_utf8(Page::get(name).unwrap().data.into_owned()).unwrap();
            assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" on"), "{name}");
            for asset in page.split("/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(Page::get(asset).is_some(), "{name} names {asset}");
            }
            assert_eq!(
                page.matches("<script").count(),
                page.matches("<script src=").count() + page.matches("<script type=\"module\" src=").count()
            );
        }
        for name in Page::iter().filter(|name| name.ends_with(".js")) {
            let script = String::from_utf8(Page::get(&name).unwrap().data.into_owned()).unwrap();
            for imported in script.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(Page::get(imported).is_some(), "{name} imports {imported}");
            }
            assert!(!script.contains("innerHTML") && !script.contains(".style"), "{name}");
        }
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let keys = |name: &str| -> HashSet<String> {
            let text = String::from_utf8(Page::get(name).unwrap().data.into_owned()).unwrap();
            let mut keys = HashSet::new();
            for line in text.lines().filter(|line| line.starts_with('\t')) {
                // What stands before a colon and a text.
                for (at, _) in line.match_indices(": \"") {
                    let key = line[..at].rsplit([' ', '\t', ',']).next().unwrap_or_default();
                    let quoted = line[..at].strip_suffix('"').and_then(|rest| rest.rsplit('"').next());
                    keys.insert(quoted.unwrap_or(key).to_owned());
                }
            }
            keys
        };
        let (en, zh) = (keys("en.js"), keys("zh.js"));
        assert!(en.len() > 70);
        assert_eq!(en.symmetric_difference(&zh).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}
