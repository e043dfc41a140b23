//! Under which names pages may work with a server. Whoever owns a name can have it point here after a page was
//! loaded from it ("DNS rebinding"): a browser then takes the server for that page's own server. Pure.

use std::net::IpAddr;

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

/// The names that are known to be the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// In lower case.
    named: Vec<String>,
    any: bool,
}

impl Hosts {
    /// As configured, and the machine's own name; a `*` is any name.
    pub fn new(configured: &[String], own: &str) -> Hosts {
        let named = configured.iter().map(String::as_str).chain([own]).map(str::to_ascii_lowercase).collect();
        Hosts { named, any: configured.iter().any(|name| name == "*") }
    }

    /// Whether a page that makes this request is one of the server's, as far as the name tells that it came to.
    ///
    /// # Errors
    /// The name, if it may be anybody's.
    pub fn check(&self, request: &Parts) -> Result<(), String> {
        let Some(host) = called(request) else {
            // No browser leaves it out.
            return Ok(());
        };
        // Browsers send this to https and to the machine itself only, and no script can: a certificate, which nobody
        // gets for a name of somebody else, has shown that the name is meant for this place.
        if self.any || request.headers.contains_key("sec-fetch-site") {
            return Ok(());
        }
        let name = host.parse::<Authority>().map(|authority| authority.host().to_ascii_lowercase());
        let name = name.map_err(|_| "that is none".to_owned())?;
        let name = name.strip_suffix('.').unwrap_or(&name);
        if is_nobodys(name) || self.named.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(name.to_owned())
    }
}

/// What the client calls this server, with a port or without.
pub fn called(request: &Parts) -> Option<&str> {
    let told = || request.headers.get(HOST).and_then(|host| host.to_str().ok());
    request.uri.authority().map(Authority::as_str).or_else(told)
}

/// Whether a name cannot be bought: an address, one without a dot, or one of the machine or its network (RFC 6761 and
/// 6762).
fn is_nobodys(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    !name.contains('.')
        || address.parse::<IpAddr>().is_ok()
        || name.ends_with(".localhost")
        || name.ends_with(".local")
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn check(fields: &[(&str, &str)], configured: &[&str]) -> Result<(), String> {
        let configured: Vec<String> = configured.iter().map(|name| (*name).to_owned()).collect();
        let request = fields.iter().fold(Request::builder().uri("/api/files"), |request, (name, value)| {
            request.header(*name, *value)
        });
        Hosts::new(&configured, "nas.Example.net").check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn names_that_nobody_can_buy_are_the_gateways() {
        for host in [
            "127.0.0.1",
            "192.168.1.9:8080",
            "[::1]",
            "[2001:db8::1]:8080",
            "localhost:8080",
            "LOCALHOST.",
            "tnv.localhost",
            "nas",
            "nas.local:8080",
            "Nas.example.NET:8080",
        ] {
            assert_eq!(check(&[("host", host)], &[]), Ok(()), "{host}");
        }
        assert_eq!(check(&[], &[]), Ok(()));
    }

    #[test]
    fn other_names_may_be_anybodys() {
        for (host, name) in [
            ("evil.example:8080", "evil.example"),
            ("Evil.Example.", "evil.example"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
            ("nas.evil.example", "nas.evil.example"),
            ("localhost.evil.example", "localhost.evil.example"),
            ("notlocal.example.local.evil", "notlocal.example.local.evil"),
            ("localhost@evil.example", "evil.example"),
            ("a b", "that is none"),
        ] {
            assert_eq!(check(&[("host", host)], &["media.example.org"]), Err(name.to_owned()), "{host}");
        }
    }

    #[test]
    fn configured_names_are_the_gateways() {
        for host in ["media.example.org", "MEDIA.example.org:8080", "media.example.org."] {
            assert_eq!(check(&[("host", host)], &["Media.Example.org"]), Ok(()), "{host}");
        }
        assert!(check(&[("host", "a.media.example.org")], &["media.example.org"]).is_err());
        assert_eq!(check(&[("host", "evil.example")], &["*"]), Ok(()));
    }

    #[test]
    fn a_certificate_tells_whose_a_name_is() {
        let fields = [("host", "media.example.org"), ("sec-fetch-site", "same-origin")];
        assert_eq!(check(&fields, &[]), Ok(()));
    }

    #[test]
    fn the_name_in_the_target_comes_first() {
        let request = Request::get("http://evil.example/api/files").header("host", "127.0.0.1");
        let request = request.body(()).unwrap().into_parts().0;
        assert_eq!(Hosts::new(&[], "").check(&request), Err("evil.example".to_owned()));
    }
}
