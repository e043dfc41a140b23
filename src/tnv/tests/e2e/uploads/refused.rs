//! Requests that are wrong, come from where they may not, or break off: each has its status and a sentence, and
//! nothing of it stays.

use std::io::Write;
use std::net::Shutdown;

use super::tus::parts_below;
use super::{created, listed, up};
use crate::harness::eventually;
use crate::harness::frames::{FILESIZE, Wire, key};
use crate::harness::lab::{APP, Lab, Role, USER, assert_no_temps};
use crate::harness::temps_below;
use crate::harness::web::{Web, request};

#[test]
fn bodies_without_length_or_too_long_are_refused() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "http.max_upload_size=100KiB"]);
    let refused = |headers: &[(&str, &str)], body: &[u8], status, what| {
        Web::connect(&up.http).post("/files", headers, body).assert_refused(status, what);
    };
    refused(&[("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n", 411, "chunked");
    refused(&[], &[0; 200_000], 413, "too long");
    refused(&[("Content-Length", "9223372036854775807")], b"", 413, "the longest there is");
    let form = ("Content-Type", "multipart/form-data; boundary=X");
    refused(&[form], &[b'x'; 300_000], 413, "a form too long");
    for length in ["99999999999999999999", "-1", "ten"] {
        let answer = Web::connect(&up.http).post("/files", &[("Content-Length", length)], b"");
        assert_eq!(answer.status, 400, "{length}");
    }
    let mut web = Web::connect(&up.http);
    created(&web.post("/files?name=fits", &[], &[0; 100 << 10]));
    assert_eq!(listed(&mut web), ["fits"]);
}

/// The refusal of a body that is still being sent arrives, and is not lost in a reset.
#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "http.max_upload_size=1MiB"]);
    for _ in 0..10 {
        let mut web = Web::connect(&up.http);
        web.post("/files", &[], &vec![0; 20 << 20]).assert_refused(413, "20 MiB where 1 MiB is the most");
    }
}

/// A connection whose body was refused goes on, or its end is announced: a client must not find out by sending the next
/// request into nothing.
#[test]
fn a_refusal_says_whether_the_connection_goes_on() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let tus = [
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Offset", "3"),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    let path = super::tus::begin(&mut web, 10, &[]);
    for (method, path, headers, body) in [
        ("PATCH", path.as_str(), &tus[..], &b"hello"[..]),
        ("POST", "/files?name=a%00b", &[], b"contents"),
        ("POST", "/files/none", &[], b"contents"),
        ("PUT", "/files", &[], &[0; 20_000]),
    ] {
        // The body is there with the head, just behind it, or later: whatever happens to be so.
        for _ in 0..20 {
            let mut web = Web::connect(&up.http);
            let refusal = web.send_body(method, path, headers, body);
            assert!((400..500).contains(&refusal.status), "{method} {path}: {}", refusal.status);
            if refusal.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
                assert_eq!(web.get("/api/config", &[]).status, 200, "{method} {path}");
            }
        }
    }
}

#[test]
fn a_body_cut_off_leaves_nothing() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let form = "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    for (headers, start) in [(&[][..], ""), (&[("Content-Type", "multipart/form-data; boundary=X")], form)] {
        let mut cut = Web::connect(&up.http);
        let headers = [&[("Content-Length", "5000000")], headers].concat();
        cut.send(request("POST", "/files?name=cut", &headers).as_bytes());
        cut.send(start.as_bytes());
        cut.send(&[7; 2_000_000]);
        eventually("the upload to have begun", || (!temps_below(&lab.path("data")).is_empty()).then_some(()));
        cut.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        if let Ok(head) = cut.head() {
            assert!((400..500).contains(&head.status), "{head:?}");
        }
        eventually("its bytes to be gone", || temps_below(&lab.path("data")).is_empty().then_some(()));
    }
    assert_eq!(listed(&mut web), [""; 0]);
}

#[test]
fn a_body_that_was_asked_for_and_is_cut_off_leaves_nothing() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let tus = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "100000000"), super::tus::PART];
    for (path, headers) in [("/files?name=cut", &[][..]), ("/tus/", &tus)] {
        let mut cut = Web::connect(&up.http);
        let asked = [("Expect", "100-continue"), ("Content-Length", "100000000")];
        cut.send(request("POST", path, &[headers, &asked].concat()).as_bytes());
        assert_eq!(cut.head().unwrap().status, 100);
        cut.send(&[7; 20_000_000]);
        eventually("the upload to have begun", || (!parts_below(&lab.path("data")).is_empty()).then_some(()));
        drop(cut);
        eventually("its bytes to be gone", || parts_below(&lab.path("data")).is_empty().then_some(()));
    }
    assert_eq!(listed(&mut web), [""; 0]);
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "http.progress_timeout=500ms"]);
    let mut web = Web::connect(&up.http);
    web.send(request("POST", "/files?name=stalled", &[("Content-Length", "5000000")]).as_bytes());
    web.send(&[7; 1_000_000]);
    let answer = web.response("POST");
    answer.assert_refused(408, "a body that stands still");
    eventually("its bytes to be gone", || temps_below(&lab.path("data")).is_empty().then_some(()));
}

#[test]
fn pages_of_other_origins_may_not_change_anything() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let view = created(&web.post("/files?name=f", &[], b"contents"));
    let path = view["url"].as_str().unwrap();
    let origin = ("Origin", "https://evil.example");
    let tus = ("Tus-Resumable", "1.0.0");
    Web::connect(&up.http).post("/files?name=g", &[origin], b"x").assert_refused(403, "POST");
    web.send_body("DELETE", path, &[origin], b"").assert_refused(403, "DELETE");
    web.post("/tus/", &[origin, tus, ("Upload-Length", "1")], b"").assert_refused(403, "tus");
    assert_eq!(web.get(path, &[origin]).status, 200, "reading is for everybody");
    let own = format!("http://{}", up.http);
    let host = ("Host", up.http.as_str());
    let request = format!(
        "DELETE {path} HTTP/1.1\r\n{}: {}\r\nOrigin: {own}\r\nContent-Length: 0\r\n\r\n",
        host.0, host.1
    );
    web.send(request.as_bytes());
    assert_eq!(web.response("DELETE").status, 204, "the gateway's own page may");
}

#[test]
fn listed_origins_may_upload_by_tus() {
    let lab = Lab::new();
    let up = lab.up();
    let http = Role::http(&[&up.tracker]).set("cors_origins", r#"["https://page.example"]"#).start(&lab);
    let mut web = Web::connect(&http.address);
    let origin = ("Origin", "https://page.example");
    let asked = [
        origin,
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "tus-resumable,upload-offset,content-type"),
    ];
    let preflight = web.request("OPTIONS", "/tus/x", &asked);
    let has = |name: &str, wanted: &[&str]| {
        let value = preflight.header(name).unwrap_or_default().to_lowercase();
        wanted.iter().for_each(|wanted| assert!(value.contains(wanted), "{wanted} in {name}: {value}"));
    };
    has("access-control-allow-origin", &["https://page.example"]);
    has("access-control-allow-methods", &["patch", "head", "delete"]);
    has(
        "access-control-allow-headers",
        &["tus-resumable", "upload-offset", "upload-metadata", "content-type"],
    );
    let begun = web.post("/tus/", &[origin, ("Tus-Resumable", "1.0.0"), ("Upload-Length", "3")], b"");
    assert_eq!(begun.status, 201, "{}", begun.text());
    let exposed = begun.header("access-control-expose-headers").unwrap().to_lowercase();
    for name in ["location", "upload-offset", "tus-resumable"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
}

/// What cannot be changed can still be read.
#[test]
fn writing_can_be_switched_off() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "http.writing=false"]);
    let stored = key(APP, USER, "f");
    Wire::connect(&up.storage).upload(&stored, b"contents").ok();
    let mut web = Web::connect(&up.http);
    let tus = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "1")];
    for (method, path, headers) in [
        ("POST", "/files", &[][..]),
        ("DELETE", "/files/f", &[]),
        ("POST", "/tus/", &tus),
        ("PATCH", "/tus/f", &tus),
        ("DELETE", "/tus/f", &tus),
    ] {
        let answer = web.send_body(method, path, headers, b"");
        assert!([403, 405].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(web.get("/files/f", &[]).body, b"contents");
    assert_eq!(web.get("/api/config", &[]).json()["writing"], false);
    assert_eq!(Wire::connect(&up.storage).call(FILESIZE, &stored).integer(), 8);
}

#[test]
fn methods_that_do_not_exist_are_405_and_say_which_do() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    for (method, path, allowed) in [
        ("PUT", "/files", "POST"),
        ("GET", "/files", "POST"),
        ("PATCH", "/files/x", "DELETE"),
        ("POST", "/files/x", "GET"),
        ("DELETE", "/", "GET"),
        ("POST", "/api/files", "GET"),
        ("DELETE", "/api/cluster", "GET"),
    ] {
        let answer = web.send_body(method, path, &[], b"");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").unwrap().contains(allowed), "{method} {path}");
    }
}

#[test]
fn a_full_disk_is_507() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "storage.reserved_space=8000TiB"]);
    let mut web = Web::connect(&up.http);
    web.post("/files?name=f", &[], b"contents").assert_refused(507, "POST");
    let begin = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "8")];
    web.post("/tus/", &begin, b"").assert_refused(507, "tus");
    assert_no_temps(&lab.path("data"));
}

#[test]
fn a_cluster_that_is_away_is_503() {
    let lab = Lab::new();
    let http = Role::http(&["127.0.0.1:1"]).start(&lab);
    let begin = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "8")];
    for (method, path, headers) in [
        ("POST", "/files", &[][..]),
        ("POST", "/tus/", &begin),
        ("DELETE", "/files/x", &[]),
        ("GET", "/api/files", &[]),
    ] {
        let answer = Web::connect(&http.address).send_body(method, path, headers, b"");
        answer.assert_refused(503, &format!("{method} {path}"));
        assert!(answer.header("retry-after").is_some(), "{method} {path}");
    }
}

/// Bytes that are no request, in the middle of one that was.
#[test]
fn garbage_behind_a_body_harms_nobody() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let mut broken = Web::connect(&up.http);
    let body = [&b"contents"[..], &[0xff; 1000]].concat();
    let _ = broken
        .stream
        .get_mut()
        .write_all(request("POST", "/files?name=f", &[("Content-Length", "8")]).as_bytes());
    let _ = broken.stream.get_mut().write_all(&body);
    created(&broken.response("POST"));
    assert!(broken.head().map_or(true, |head| head.status == 400));
    assert_eq!(listed(&mut web), ["f"]);
}
