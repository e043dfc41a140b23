//! What a request shows of who sends it.

mod attempts;

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, FORWARDED, HeaderName};

pub use attempts::Attempts;

/// What proxies add to requests that they pass on.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether a request was made on this machine. One that a proxy has passed on was made elsewhere.
pub fn is_local(headers: &HeaderMap, peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
        && !headers.contains_key(FORWARDED)
        && !headers.contains_key(FORWARDED_FOR)
}

/// The key of `Authorization: Bearer KEY`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "bearer")
}

/// The password of HTTP's own way to ask for one (RFC 7617), under whatever name.
pub fn password(headers: &HeaderMap) -> Option<String> {
    let decoded = BASE64_STANDARD.decode(scheme(headers, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

fn scheme<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_what_nobody_passed_on_is_local() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let none = HeaderMap::new();
        assert!(is_local(&none, here) && is_local(&none, "::ffff:127.0.0.1".parse().unwrap()));
        assert!(!is_local(&none, IpAddr::from([10, 0, 0, 1])));
        for name in [FORWARDED, FORWARDED_FOR] {
            assert!(!is_local(&HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]), here));
        }
    }

    #[test]
    fn keys_and_passwords_are_read_from_their_own_scheme() {
        let with =
            |value: &str| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
        assert_eq!(bearer(&with("bearer  k1 ")), Some("k1"));
        assert_eq!(bearer(&with("Basic k1")), None);
        let basic = format!("BASIC {}", BASE64_STANDARD.encode("admin:pa:ss"));
        assert_eq!(password(&with(&basic)), Some("pa:ss".to_owned()));
        for bad in ["Basic", "Basic ###", "Basic YWJj", "Bearer YTpi"] {
            assert_eq!(password(&with(bad)), None, "{bad}");
        }
    }
}
