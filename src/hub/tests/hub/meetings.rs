//! Meetings: made, changed, listed, begun, ended, deleted.

use serde_json::json;

use crate::cluster::Cluster;
use crate::http::Call;

#[tokio::test]
async fn a_meeting_is_made_changed_begun_ended_and_deleted() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let agenda = json!([{"title": "预算", "speaker": "李雷"}, {"title": "second", "position": 9}]);
    let body = json!({"id": "m1", "title": "年度会议", "time": "2026-05-15 10:00", "intro": "介绍",
                      "agenda_items": agenda, "unknown": 1});
    let made = hub.post("/api/v1/meetings", body.clone()).await;
    assert_eq!((made.status, made.header("location")), (201, "/api/v1/meetings/m1"));
    let made = made.json();
    assert_eq!(
        (&made["id"], &made["title"], &made["status"]),
        (&json!("m1"), &json!("年度会议"), &json!("pending"))
    );
    let items =
        json!([{"title": "预算", "position": 1, "speaker": "李雷"}, {"title": "second", "position": 9}]);
    assert_eq!(made["agenda_items"], items);
    assert_eq!(made["files"], json!([]));
    assert_eq!(hub.post("/api/v1/meetings", body).await.status, 409);

    // What is left out stays, null takes away.
    let put = Call::new("PUT", "/api/v1/meetings/m1").json(&json!({"title": "new", "intro": null}));
    let changed = put.send(hub.address).await.json();
    assert_eq!(
        (&changed["title"], &changed["intro"], &changed["time"]),
        (&json!("new"), &json!(null), &made["time"])
    );
    assert_eq!(changed["agenda_items"], items);
    assert_ne!(changed["package"]["version"], made["package"]["version"]);

    assert_eq!(hub.get("/api/v1/meetings/active").await.json(), json!({"meetings": []}));
    assert_eq!(hub.post("/api/v1/meetings/m1/start", json!({})).await.json()["status"], "active");
    let active = hub.get("/api/v1/meetings/active").await;
    assert_eq!(active.header("cache-control"), "no-store");
    let active = active.json();
    assert_eq!(
        (&active["meetings"][0]["id"], &active["meetings"][0]["title"]),
        (&json!("m1"), &json!("new"))
    );
    assert_eq!(active["meetings"][0]["package"], changed["package"], "a status is none of the package's");
    let data = hub.get("/api/v1/meetings/m1/data").await.json();
    for (field, value) in
        [("id", json!("m1")), ("title", json!("new")), ("status", json!("active")), ("intro", json!(null))]
    {
        assert_eq!(data[field], value, "{field}");
    }
    let version = changed["package"]["version"].as_str().unwrap();
    let own = format!("http://{}/api/v1/meetings/m1/download-package?version={version}", hub.address);
    assert_eq!(data["download_url"], own);

    assert_eq!(hub.post("/api/v1/meetings/m1/end", json!({})).await.json()["status"], "ended");
    assert_eq!(hub.get("/api/v1/meetings/active").await.json(), json!({"meetings": []}));
    assert_eq!(Call::new("DELETE", "/api/v1/meetings/m1").send(hub.address).await.status, 204);
    for path in ["", "/data", "/download-package", "/download-package-direct"] {
        let answer = hub.get(&format!("/api/v1/meetings/m1{path}")).await;
        assert_eq!((answer.status, answer.detail()), (404, "Meeting not found: m1".to_owned()), "{path}");
    }
    assert_eq!(Call::new("DELETE", "/api/v1/meetings/m1").send(hub.address).await.status, 404);
    assert_eq!(hub.post("/api/v1/meetings/m1/start", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_meeting_without_an_id_gets_one_and_survives_a_restart() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let made = hub.post("/api/v1/meetings", json!({"title": "x"})).await.json();
    let id = made["id"].as_str().unwrap().to_owned();
    hub.put(&id, "a.txt", b"hello").await;
    let before = hub.get(&format!("/api/v1/meetings/{id}")).await.json();
    hub.stop().await;
    let hub = cluster.hub(|_| {}).await;
    let mut after = hub.get(&format!("/api/v1/meetings/{id}")).await.json();
    // The hub has another address.
    after["files"][0]["url"] = before["files"][0]["url"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn meetings_are_listed_page_by_page() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    for id in ["a", "b", "c"] {
        hub.meeting(id, &[]).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = hub.get(&format!("/api/v1/meetings?limit=2&cursor={cursor}")).await.json();
        seen.extend(page["meetings"].as_array().unwrap().iter().map(|meeting| meeting["id"].clone()));
        page["next"].as_str().unwrap().clone_into(&mut cursor);
        if cursor.is_empty() {
            break;
        }
    }
    seen.sort_by_key(ToString::to_string);
    assert_eq!(seen, ["a", "b", "c"]);
    for bad in ["limit=0", "limit=x", "cursor=x", "cursor=%ff"] {
        assert_eq!(hub.get(&format!("/api/v1/meetings?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn what_makes_no_meeting_is_refused_in_words() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    for (body, said) in [
        (json!({"title": ""}), "title"),
        (json!({}), "title"),
        (json!({"title": 7}), "body"),
        (json!([]), "JSON object"),
        (json!(["m", "a title", null, null, null]), "JSON object"),
        (json!("a title"), "JSON object"),
        (json!({"title": "x", "agenda_items": [["x", 1]]}), "body"),
        (json!({"id": "../x", "title": "x"}), "meeting's id"),
        (json!({"id": "a/b", "title": "x"}), "meeting's id"),
        (json!({"id": "会议", "title": "x"}), "meeting's id"),
        (json!({"id": "active", "title": "x"}), "active"),
        (json!({"title": "x".repeat(1001)}), "1000"),
        (json!({"title": "x", "time": "x".repeat(256)}), "time"),
        (json!({"title": "x", "agenda_items": [{}]}), "title"),
        (json!({"title": "x", "agenda_items": [{"title": "x", "share": 0.5}]}), "integers"),
        (json!({"title": "x", "agenda_items": "x"}), "body"),
    ] {
        let answer = hub.post("/api/v1/meetings", body.clone()).await;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        assert!(answer.detail().contains(said), "{body} {answer:?}");
    }
    let broken = Call::new("POST", "/api/v1/meetings").body("{").send(hub.address).await;
    assert_eq!(broken.status, 400);
    for path in ["/api/v1/meetings/..%2fx", "/api/v1/meetings/%00", "/api/v1/meetings/.x/data"] {
        assert_eq!(hub.get(path).await.status, 400, "{path}");
    }
    assert_eq!(hub.get("/nothing").await.status, 404);
    let method = Call::new("PATCH", "/api/v1/meetings").send(hub.address).await;
    assert_eq!((method.status, method.header("allow")), (405, "GET, HEAD, POST, OPTIONS"));
    hub.meeting("m", &[]).await;
    let moved = Call::new("PUT", "/api/v1/meetings/m").json(&json!({"id": "other"})).send(hub.address).await;
    assert_eq!(moved.status, 400);
    for path in ["nodes/register", "nodes/n/heartbeat", "admin/session"] {
        let answer = hub.post(&format!("/api/v1/{path}"), json!([1.0])).await;
        assert_eq!(answer.status, 400, "{path} {answer:?}");
        assert!(answer.detail().contains("JSON object"), "{path} {answer:?}");
    }
}
