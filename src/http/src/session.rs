//! What the page remembers of a visitor who allows it: nothing that names anybody, under a random cookie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE};
use hyper::http::request::Parts as Head;
use hyper::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tnv_common::cache::{Cache, CacheConfig};
use tnv_web::answer::json;
use tnv_web::{Body, Payload, Refusal};

const NAME: &str = "tnv_session";
/// The longest body of a PUT, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// Files whose position is remembered for one visitor.
const MAX_POSITIONS: usize = 500;
/// The longest language, theme, and id of a file, in bytes.
const MAX_TEXT: usize = 127;
/// The last position in a file, in seconds: three years.
const MAX_SECONDS: f64 = 1e8;

/// What is remembered of a visitor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Visitor {
    allowed: bool,
    language: String,
    theme: String,
    /// Where each file was left, in seconds.
    positions: BTreeMap<String, f64>,
}

/// The visitors that are remembered. What is lost of them costs a convenience.
pub(crate) struct Sessions {
    visitors: Arc<dyn Cache>,
    ttl: Duration,
}

impl Sessions {
    /// As configured; `None` where they are off.
    pub(crate) fn new(config: &CacheConfig) -> Option<Sessions> {
        let sessions = || Sessions { visitors: config.open(), ttl: config.ttl() };
        (*config != CacheConfig::Off).then(sessions)
    }

    /// Answers a GET: what is remembered of this visitor, which may be nothing.
    pub(crate) async fn read(&self, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
        let known = match cookie(headers) {
            Some(id) => self.find(id).await,
            None => None,
        };
        json(&known.unwrap_or_default())
    }

    /// Answers a PUT: remembers a visitor who allows it, forgets one who does not.
    pub(crate) async fn write(
        &self,
        request: &Head,
        payload: Payload,
        patience: Duration,
    ) -> Result<Response<Body>, Refusal> {
        let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let sentence = "the Content-Type must be application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
        }
        let text = payload.inflow(patience).whole(MAX_BODY).await?;
        let visitor: Visitor = serde_json::from_slice(&text)
            .map_err(|error| Refusal::bad(format!("the body is not what it should be: {error}")))?;
        visitor.check().map_err(Refusal::bad)?;
        self.keep(cookie(&request.headers), &visitor).await
    }

    async fn keep(&self, id: Option<u128>, visitor: &Visitor) -> Result<Response<Body>, Refusal> {
        if !visitor.allowed {
            if let Some(id) = id {
                self.visitors.remove(&key(id)).await;
            }
            let mut response = json(&Visitor::default())?;
            if id.is_some() {
                set_cookie(response.headers_mut(), "", Duration::ZERO);
            }
            return Ok(response);
        }
        let mut response = json(visitor)?;
        // Only an id that was made here is taken: nobody can plant one that they know.
        let known = match id {
            Some(id) => self.find(id).await.map(|_| id),
            None => None,
        };
        // While that cannot be told, a visitor keeps the cookie, and what was remembered before.
        if self.visitors.is_away() {
            return Ok(response);
        }
        let id = known.unwrap_or_else(rand::random);
        let text = serde_json::to_string(visitor)
            .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        self.visitors.set(&key(id), text).await;
        set_cookie(response.headers_mut(), &format!("{id:032x}"), self.ttl);
        Ok(response)
    }

    async fn find(&self, id: u128) -> Option<Visitor> {
        serde_json::from_str(&self.visitors.get(&key(id)).await?).ok()
    }
}

/// Where a visitor is remembered.
fn key(id: u128) -> String {
    format!("tnv:session:{id:032x}")
}

impl Visitor {
    fn check(&self) -> Result<(), String> {
        if self.positions.len() > MAX_POSITIONS {
            return Err(format!("positions has more than {MAX_POSITIONS} files"));
        }
        let mut texts = self.positions.keys().chain([&self.language, &self.theme]);
        if texts.any(|text| text.len() > MAX_TEXT) {
            return Err(format!("language, theme, or an id has more than {MAX_TEXT} bytes"));
        }
        if !self.positions.values().all(|seconds| (0.0..=MAX_SECONDS).contains(seconds)) {
            return Err("a position is not a number of seconds".to_owned());
        }
        Ok(())
    }
}

/// The id in the visitor's cookie.
fn cookie(headers: &HeaderMap) -> Option<u128> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find(|(name, _)| *name == NAME)?.1;
    let digits = value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(value, 16).ok().filter(|_| digits)
}

fn set_cookie(headers: &mut HeaderMap, value: &str, age: Duration) {
    let cookie = format!("{NAME}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax", age.as_secs());
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(cookies: &str) -> Option<u128> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(cookies).unwrap());
        cookie(&headers)
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(id_of("a=b; tnv_session=0000000000000000000000000000000f; c"), Some(15));
        for none in ["", "tnv_session=f", "tnv_session=+000000000000000000000000000000f", "xtnv_session=0"] {
            assert_eq!(id_of(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let visitor = Visitor { language: "zh".to_owned(), ..Visitor::default() };
        assert_eq!(visitor.check(), Ok(()));
        let long = Visitor { theme: "x".repeat(128), ..Visitor::default() };
        let early = Visitor { positions: [("a".to_owned(), -1.0)].into(), ..Visitor::default() };
        let many: BTreeMap<String, f64> = (0..501).map(|n| (n.to_string(), 1.0)).collect();
        let many = Visitor { positions: many, ..Visitor::default() };
        for bad in [long, early, many] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
