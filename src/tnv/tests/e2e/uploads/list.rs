//! `GET /api/files`: newest first, by name, by prefix, page by page; and what else the gateway tells.

use serde_json::Value;

use super::{created, up};
use crate::harness::lab::Lab;
use crate::harness::web::Web;

/// The names of all pages.
#[track_caller]
fn pages(web: &mut Web, query: &str, limit: usize) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = web.get(&format!("/api/files?limit={limit}&{query}&cursor={cursor}"), &[]).json();
        let files = page["files"].as_array().unwrap();
        assert!(files.len() <= limit, "{} files on a page of {limit}", files.len());
        names.extend(files.iter().map(|file| file["name"].as_str().unwrap().to_owned()));
        let next = page["next"].as_str().unwrap();
        if next.is_empty() {
            return names;
        }
        assert_ne!(next, cursor, "a cursor goes on");
        cursor = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert!(names.len() < 1000, "an end");
    }
}

#[test]
fn files_are_listed_newest_first_by_name_and_by_prefix() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let names = ["b", "a/2", "视频", "a/1", "A", "z", "a", "视", "a/10"];
    for name in names {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        created(&web.post(&format!("/files?name={encoded}"), &[], name.as_bytes()));
    }
    let mut newest = names.to_vec();
    newest.reverse();
    let mut by_name = names.to_vec();
    by_name.sort();
    for limit in [1, 2, 3, 100] {
        assert_eq!(pages(&mut web, "", limit), newest, "newest first, {limit} a page");
        assert_eq!(pages(&mut web, "order=name", limit), by_name, "by name, {limit} a page");
        assert_eq!(pages(&mut web, "order=name&prefix=a%2F", limit), ["a/1", "a/10", "a/2"]);
        assert_eq!(pages(&mut web, "prefix=a%2F", limit), ["a/10", "a/1", "a/2"]);
        assert_eq!(pages(&mut web, "prefix=%E8%A7%86", limit), ["视", "视频"]);
        assert_eq!(pages(&mut web, "search=A&order=name", limit), ["A", "a", "a/1", "a/10", "a/2"]);
        assert_eq!(pages(&mut web, "search=%E9%A2%91", limit), ["视频"]);
        assert_eq!(pages(&mut web, "prefix=nothing", limit), [""; 0]);
    }
    let all = web.get("/api/files", &[]).json();
    let file = &all["files"][0];
    assert_eq!((file["name"].as_str(), file["size"].as_u64()), (Some("a/10"), Some(4)));
    assert!(file["created_ms"].as_i64().unwrap() > 1_700_000_000_000, "{file}");
    for key in ["id", "url", "content_type"] {
        assert!(file[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {file}");
    }
}

/// Pages stay right while files come and go: nothing is told twice, and nothing that was there all the time is left out.
#[test]
fn pages_hold_while_files_come_and_go() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let views: Vec<Value> =
        (0..30).map(|number| created(&web.post(&format!("/files?name=f{number:02}"), &[], b"x"))).collect();
    let first = web.get("/api/files?order=name&limit=10", &[]).json();
    assert_eq!(first["files"][9]["name"], "f09");
    // The last of the page itself, one behind it, and a newcomer on either side.
    for gone in [9, 15] {
        assert_eq!(web.send_body("DELETE", views[gone]["url"].as_str().unwrap(), &[], b"").status, 204);
    }
    for come in ["f00a", "f20a"] {
        created(&web.post(&format!("/files?name={come}"), &[], b"x"));
    }
    let cursor: String = first["next"].as_str().unwrap().bytes().map(|byte| format!("%{byte:02x}")).collect();
    let rest = web.get(&format!("/api/files?order=name&limit=100&cursor={cursor}"), &[]).json();
    let rest: Vec<&str> =
        rest["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    let mut wanted: Vec<String> = (10..30).filter(|n| *n != 15).map(|n| format!("f{n:02}")).collect();
    wanted.push("f20a".to_owned());
    wanted.sort();
    assert_eq!(rest, wanted);
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let long = format!("prefix={}", "x".repeat(1025));
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=100000",
        "order=size",
        "prefix=%ff",
        "cursor=nonsense",
        &long,
    ] {
        web.get(&format!("/api/files?{query}"), &[]).assert_refused(400, query);
    }
}

#[test]
fn metrics_count_what_was_done() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let view = created(&web.post("/files?name=f", &[], &[7; 10_000]));
    web.get(view["url"].as_str().unwrap(), &[]);
    web.get("/files/none", &[]);
    let metrics = web.get("/metrics", &[]);
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    let value = |name: &str, labels: &[&str]| -> f64 {
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let mut lines =
            text.lines().filter(of_name).filter(|line| labels.iter().all(|label| line.contains(label)));
        let line = lines.next().unwrap_or_else(|| panic!("no {name} {labels:?} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let get = "method=\"GET\"";
    assert_eq!(value("tnv_http_requests_total", &["method=\"POST\"", "status=\"201\""]), 1.0);
    assert_eq!(value("tnv_http_requests_total", &[get, "status=\"200\"", "route=\"files\""]), 1.0);
    assert_eq!(value("tnv_http_requests_total", &[get, "status=\"404\""]), 1.0);
    assert!(value("tnv_http_bytes_in_total", &[]) >= 10_000.0);
    assert!(value("tnv_http_bytes_out_total", &[]) >= 10_000.0);
    assert_eq!(value("tnv_http_connections", &[]), 1.0);
    value("tnv_http_request_seconds_bucket", &["le=\"0.1\""]);
    assert!(text.trim_end().ends_with("# EOF"));
}
