//! Whose pages may change something here. There are no passwords: without this, any page that a visitor opens
//! could delete files through the visitor's browser. Pure.

use hyper::header::ORIGIN;
use hyper::http::request::Parts;

use super::host;

/// Whether a request that changes something comes from where it may come from: no page at all, a page of this
/// gateway, or one of an origin that is configured.
pub(crate) fn may_change(request: &Parts) -> bool {
    // Browsers say it themselves, and scripts cannot forge it.
    let site = request.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site == "same-origin") {
        return true;
    }
    let mut origins = request.headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        // Another page then, which does not say whose it is.
        (None, _) if site.is_some_and(|site| site != "none") => false,
        (None, _) => true,
        (Some(origin), None) => origin.to_str().is_ok_and(|origin| is_own(origin, request)),
        (Some(_), Some(_)) => false,
    }
}

/// Whether an origin is this gateway as the client calls it. A proxy in front may have added TLS, so the scheme does
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
