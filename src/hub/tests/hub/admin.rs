//! What only operators may do, and see.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tnv_hub::Secret;

use crate::cluster::Cluster;
use crate::http::Call;

#[tokio::test]
async fn operators_show_the_password_or_a_cookie() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.admin_password = Secret::new("pa:ss")).await;
    let make = |id: &str| Call::new("POST", "/api/v1/meetings").json(&json!({"id": id, "title": "x"}));
    let refused = make("a").send(hub.address).await;
    assert_eq!((refused.status, refused.header("www-authenticate").split(' ').next()), (401, Some("Basic")));
    // A page asks itself.
    let of_page = make("a").header("sec-fetch-mode", "cors").send(hub.address).await;
    assert_eq!((of_page.status, of_page.header("www-authenticate")), (401, ""));
    let basic = format!("Basic {}", BASE64_STANDARD.encode("admin:pa:ss"));
    assert_eq!(make("a").header("authorization", &basic).send(hub.address).await.status, 201);
    let session = "/api/v1/admin/session";
    assert_eq!(hub.get(session).await.json(), json!({"operator": false, "password": true}));
    assert_eq!(hub.post(session, json!({"password": "x"})).await.status, 401);
    let in_ = hub.post(session, json!({"password": "pa:ss"})).await;
    let cookie = in_.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(make("b").header("cookie", &cookie).send(hub.address).await.status, 201);
    let out = Call::new("DELETE", session).header("cookie", &cookie).send(hub.address).await;
    assert_eq!(out.status, 204);
    assert_eq!(make("c").header("cookie", &cookie).send(hub.address).await.status, 401);
    for path in [
        "/api/v1/meetings",
        "/api/v1/meetings/a",
        "/api/v1/admin/nodes",
        "/api/v1/admin/downloads",
        "/api/v1/admin/audit",
    ] {
        assert_eq!(hub.get(path).await.status, 401, "{path}");
        assert_eq!(
            Call::get(path).header("authorization", &basic).send(hub.address).await.status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn pages_of_others_cannot_use_the_machine_that_needs_no_password() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let make = || Call::new("POST", "/api/v1/meetings").json(&json!({"title": "x"}));
    assert_eq!(make().send(hub.address).await.status, 201);
    assert_eq!(make().header("origin", "https://evil.example").send(hub.address).await.status, 403);
    assert_eq!(make().header("sec-fetch-site", "cross-site").send(hub.address).await.status, 403);
    let own = format!("http://{}", hub.address);
    assert_eq!(make().header("origin", &own).send(hub.address).await.status, 201);
    // A name that was made to point here.
    let rebound = |call: Call| call.header("host", "evil.example").header("origin", "http://evil.example");
    assert_eq!(rebound(make()).send(hub.address).await.status, 421);
    assert_eq!(rebound(Call::get("/api/v1/meetings")).send(hub.address).await.status, 421);
    assert_eq!(make().header("x-forwarded-for", "127.0.0.1").send(hub.address).await.status, 403);
}

#[tokio::test]
async fn syncs_and_downloads_leave_lines() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("a", b"hello")]).await;
    let size = hub.get("/api/v1/meetings/m/download-package").await.body.len();
    hub.get("/api/v1/sync/meetings/m").await;
    hub.get("/api/v1/meetings/m/files/a").await;
    let audit = hub.get("/api/v1/admin/audit").await.json();
    let lines: Vec<_> = audit["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["action"].as_str().unwrap(), line["result"].as_str().unwrap()))
        .collect();
    assert_eq!(lines, [("file", "done"), ("sync", "done"), ("package", "done")]);
    assert_eq!((&audit["lines"][2]["bytes"], &audit["lines"][2]["meeting"]), (&json!(size), &json!("m")));
    assert_eq!(hub.get("/api/v1/admin/downloads").await.json(), json!({"downloads": []}));
    let metrics = hub.get("/metrics").await;
    assert!(
        String::from_utf8_lossy(&metrics.body)
            .contains("tnv_hub_events_total{action=\"package\",meeting=\"m\"")
    );
    assert_eq!(hub.get("/health").await.json()["status"], "ok");
}
