//! The page, what it is told, and the metrics.

use serde_json::json;

use crate::answers::lines;
use crate::cluster::{Cluster, with_clip};
use crate::http::{get, head, send};

#[tokio::test]
async fn the_page_runs_nothing_from_elsewhere() {
    let (_cluster, gateway) = with_clip().await;
    let page = get(gateway.address, "/", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().to_ascii_lowercase().starts_with("<!doctype html>"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), page.text().matches("<style>").count());
    let etag = page.header("etag").unwrap();
    let again = get(gateway.address, "/", &[&format!("If-None-Match: {etag}")]).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(etag)));
    let headed = head(gateway.address, "/", &[]).await;
    assert_eq!(headed.header("content-length"), page.header("content-length"));
}

#[tokio::test]
async fn everything_the_page_names_is_there() {
    let (_cluster, gateway) = with_clip().await;
    let page = get(gateway.address, "/", &[]).await;
    let names: Vec<&str> =
        page.text().split("\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(!names.is_empty());
    for name in names {
        let asset = get(gateway.address, &format!("/assets/{name}"), &[]).await;
        let wanted =
            if name.ends_with(".js") { "text/javascript; charset=utf-8" } else { "text/css; charset=utf-8" };
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(wanted)), "{name}");
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"));
        assert!(asset.header("etag").is_some());
    }
    for name in ["index.html", "../Cargo.toml", "%2e%2e%2fCargo.toml", ""] {
        assert_eq!(get(gateway.address, &format!("/assets/{name}"), &[]).await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn the_page_is_told_how_the_gateway_is_configured() {
    let (cluster, gateway) = with_clip().await;
    let answer = get(gateway.address, "/api/config", &[]).await;
    let wanted = json!({
        "writing": true, "app": "tnvideo", "user": "tnv001", "max_upload_size": 9_223_372_036_854_775_807_u64,
    });
    assert_eq!(answer.json(), wanted);
    let headers = [
        "cache-control: no-store",
        "content-length: 87",
        "content-type: application/json",
        "server: tnv",
        "x-content-type-options: nosniff",
    ];
    assert_eq!(lines(&answer), headers);
    let gateway = cluster.gateway(|config| config.max_upload_size = 5).await;
    assert_eq!(get(gateway.address, "/api/config", &[]).await.json()["max_upload_size"], 5);
}

/// The value of a line of the metrics; 0 if it is not there.
fn value(metrics: &str, line: &str) -> u64 {
    let found = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let cluster = Cluster::start().await;
    cluster.add_for("metered", "u", "clip", 123, "", "");
    let gateway = cluster.gateway(|_| {}).await;
    let read = async || get(gateway.address, "/metrics", &[]).await;
    let before = read().await;
    assert_eq!(
        before.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    // Nobody else in these tests uses this method on this route.
    assert_eq!(send(gateway.address, "PUT", "/metrics", &[], b"").await.status, 405);
    let upload = send(gateway.address, "POST", "/files/metered/u", &[], &[7; 1000]).await;
    assert_eq!(upload.status, 201);
    assert_eq!(get(gateway.address, "/files/metered/u/clip", &[]).await.body.len(), 123);
    let after = read().await;
    let (before, after) = (before.text(), after.text());
    let refused = "tnv_http_requests_total{route=\"metrics\",method=\"PUT\",status=\"405\"}";
    assert_eq!((value(before, refused), value(after, refused)), (0, 1), "{after}");
    // Other tests count as well.
    let grown = |line: &str| value(after, line) - value(before, line);
    assert!(grown("tnv_http_requests_total{route=\"files\",method=\"POST\",status=\"201\"}") >= 1);
    assert!(grown("tnv_http_bytes_in_total") >= 1000);
    assert!(grown("tnv_http_bytes_out_total") >= 123);
    assert!(grown("tnv_http_request_seconds_count{route=\"files\"}") >= 2);
    assert!(value(after, "tnv_http_connections") >= 1);
    assert!(after.contains("\ntnv_http_uploads "));
    assert!(after.ends_with("# EOF\n"));
}
