//! Whose pages may change something here. There are no passwords: without this, any page that a visitor opens
//! could delete files through the visitor's browser. Pure.

use hyper::header::ORIGIN;
use hyper::http::request::Parts;

use crate::cors::Cors;
use crate::host;

/// Whether a request that changes something comes from where it may come from: no page at all, a page of this
/// server, or one of an origin that is configured.
pub fn may_change(request: &Parts, cors: &Cors) -> bool {
    // Browsers say it themselves, and scripts cannot forge it.
    let site = request.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site == "same-origin") {
        return true;
    }
    let mut origins = request.headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        // Another page then, which does not say whose it is.
        (None, _) if site.is_some_and(|site| site != "none") => *cors == Cors::Any,
        (None, _) => true,
        (Some(origin), None) => {
            cors.lists(origin) || origin.to_str().is_ok_and(|origin| is_own(origin, request))
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whether an origin is this server as the client calls it. A proxy in front may have added TLS, so the scheme does
/// not count.
fn is_own(origin: &str, request: &Parts) -> bool {
    let Some((host, (scheme, authority))) = host::called(request).zip(origin.split_once("://")) else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    bare(host) == bare(authority)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn check(fields: &[(&str, &str)], origins: &[&str]) -> bool {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let mut request = Request::builder().uri("/files/x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        may_change(&request.body(()).unwrap().into_parts().0, &Cors::new(&origins))
    }

    #[test]
    fn own_pages_and_programs_may() {
        assert!(check(&[("host", "a.example")], &[]));
        assert!(check(&[("host", "a.example"), ("origin", "http://a.example")], &[]));
        assert!(check(&[("host", "A.example:8080"), ("origin", "http://a.example:8080")], &[]));
        assert!(check(&[("host", "a.example:443"), ("origin", "https://a.example")], &[]));
        assert!(check(
            &[("host", "inner:1"), ("origin", "https://a"), ("sec-fetch-site", "same-origin")],
            &[]
        ));
    }

    #[test]
    fn foreign_pages_may_not() {
        for origin in [
            "http://b.example",
            "http://a.example:8081",
            "http://a.example.b.example",
            "null",
            "",
            "http://",
            "file://a.example",
        ] {
            assert!(!check(&[("host", "a.example"), ("origin", origin)], &[]), "{origin}");
        }
        assert!(!check(&[("origin", "http://a.example")], &[]));
        let two = [("host", "a"), ("origin", "http://a"), ("origin", "http://b")];
        assert!(!check(&two, &[]));
    }

    #[test]
    fn pages_that_do_not_say_whose_they_are_may_not() {
        for site in ["cross-site", "same-site", "something-new"] {
            let fields = [("host", "a.example"), ("sec-fetch-site", site)];
            assert!(!check(&fields, &[]), "{site}");
            assert!(!check(&fields, &["https://b.example"]), "{site}");
            assert!(check(&fields, &["*"]), "{site}");
            let named = [("host", "a.example"), ("origin", "https://b.example"), ("sec-fetch-site", site)];
            assert!(check(&named, &["https://b.example"]), "{site}");
        }
        assert!(check(&[("host", "a.example"), ("sec-fetch-site", "none")], &[]), "typed by a person");
    }

    #[test]
    fn listed_pages_may() {
        let fields = [("host", "a.example"), ("origin", "https://b.example")];
        assert!(check(&fields, &["https://b.example"]));
        assert!(check(&fields, &["*"]));
        assert!(!check(&fields, &["https://c.example"]));
    }
}
