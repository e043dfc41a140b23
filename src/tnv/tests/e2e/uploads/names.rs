//! What files may be called, and that a name stays what it is wherever it turns up.

use super::{created, listed, up};
use crate::harness::lab::Lab;
use crate::harness::web::Web;

/// Encodes everything, as no client needs to but any may.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn names_of_every_kind_are_kept() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let letters = "f".repeat(500);
    let longest = "é".repeat(512);
    let names = [
        "a/b/c.mp4",
        "../../etc/passwd",
        "/",
        "C:\\films\\a.mp4",
        "<script>alert(1)</script>.mp4",
        "\"quoted\" & 'so'.mp4",
        "电影 第一集.mp4",
        "فيلم.mp4",
        "\u{202e}4pm.film",
        "e\u{301}te\u{301}.mp4",
        "🎬.mp4",
        " ",
        "%41;=,.mp4",
        &letters,
        &longest,
    ];
    for name in names {
        let view = created(&web.post(&format!("/files?name={}", encoded(name)), &[], b"x"));
        assert_eq!(view["name"], name);
        let url = view["url"].as_str().unwrap();
        let saved = web.get(&format!("{url}?download"), &[]);
        assert_eq!(saved.status, 200, "{name}");
        // Slashes may become something else in the header: it names a file, not a place.
        let disposition = saved.header("content-disposition").unwrap();
        assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
        assert!(disposition.is_ascii() && !disposition.contains(['\r', '\n']), "{disposition}");
        assert!(!disposition.contains("../"), "{disposition}");
    }
    let mut wanted = names.map(str::to_owned);
    let mut found = listed(&mut web);
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn names_that_cannot_be_are_refused() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let long = "x".repeat(1025);
    let wide = "视".repeat(500);
    for name in ["a\0b", "a\nb", "a\r\nSet-Cookie: x", "\u{7f}", "\u{85}", "\t", &long, &wide] {
        let mut web = Web::connect(&up.http);
        let answer = web.post(&format!("/files?name={}", encoded(name)), &[], b"x");
        answer.assert_refused(400, &format!("{name:?}"));
    }
    Web::connect(&up.http).post("/files?name=%ff%fe", &[], b"x").assert_refused(400, "no UTF-8");
    assert_eq!(listed(&mut web), [""; 0]);
}

/// A page or a script that somebody stores must not run as if it were the gateway's own.
#[test]
fn what_a_browser_would_run_is_kept_in_a_cage() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    for (name, kind) in [
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.xhtml", "application/xhtml+xml"),
        ("a.html", ""),
    ] {
        let headers: Vec<_> = (!kind.is_empty()).then_some(("Content-Type", kind)).into_iter().collect();
        let page = b"<html><body><script>alert(document.cookie)</script></body></html>";
        let view = created(&web.post(&format!("/files?name={name}"), &headers, page));
        let answer = web.get(view["url"].as_str().unwrap(), &[]);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        let saved = answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment"));
        let shown = answer
            .header("content-type")
            .is_some_and(|value| value.contains("html") || value.contains("xml"));
        assert!(saved || policy.contains("sandbox") || !shown, "{name} {kind}: {:?}", answer.headers);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name} {kind}");
    }
}
