//! Nodes, as they come and go.

use serde_json::json;
use tnv_hub::Secret;
use tnv_package::SyncAnswer;

use crate::cluster::Cluster;
use crate::http::{Call, in_time};
use crate::node::FakeNode;

#[tokio::test]
async fn nodes_of_both_generations_register_beat_and_leave() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let node = FakeNode::start("node-1").await;
    let unknown = hub.post("/api/v1/nodes/node-1/heartbeat", json!({"health": 1.0})).await;
    assert_eq!((unknown.status, unknown.detail()), (404, "Node not found".to_owned()));
    let older = hub.post("/api/v1/nodes/register", node.registration()).await;
    assert_eq!((older.status, older.json()), (200, json!({"id": "node-1", "status": "registered"})));
    let body = json!({"id": "node-1", "ip": node.address.ip().to_string(), "port": node.address.port(),
                      "storage_capacity": 1000, "storage_used": 250});
    assert_eq!(hub.post("/api/v1/nodes/register", body).await.json()["id"], "node-1");
    let nameless = json!({"ip": "10.0.0.1", "port": 8001});
    let given = hub.post("/api/v1/nodes/register", nameless).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(given.len(), 36);
    let beat = json!({"health": 0.5, "status": "active", "storage_used": 300, "meetings": ["m1"]});
    let beaten = hub.post("/api/v1/nodes/node-1/heartbeat", beat).await;
    assert_eq!((beaten.status, beaten.json()), (200, json!({"status": "ok"})));
    let list = hub.get("/api/v1/nodes/list").await.json();
    let nodes = list["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    let shown = nodes.iter().find(|node| node["id"] == "node-1").unwrap();
    assert_eq!((&shown["address"], &shown["health"]), (&json!(node.address.to_string()), &json!(0.5)));
    assert_eq!((&shown["storage_capacity"], &shown["storage_used"]), (&json!(1000), &json!(300)));
    assert!(shown["last_heartbeat"].as_f64().unwrap() > 1.0e9);

    assert_eq!(hub.post("/api/v1/nodes/node-1/unregister", json!({})).await.status, 200);
    assert_eq!(hub.post("/api/v1/nodes/node-1/unregister", json!({})).await.status, 404);
    for bad in [
        json!({}),
        json!({"id": "x"}),
        json!({"id": "x", "address": "nowhere"}),
        json!({"id": "x", "address": "0.0.0.0:8001"}),
        json!({"id": "x", "address": "a:0"}),
        json!({"id": "a\nb", "address": "a:1"}),
        json!({"id": "x", "address": "a:1", "status": "x".repeat(65)}),
        json!({"id": "x", "ip": "10.0.0.1", "port": 99999}),
    ] {
        assert_eq!(hub.post("/api/v1/nodes/register", bad.clone()).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn nobody_gets_clients_at_the_address_of_another() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.probe_interval = std::time::Duration::from_millis(20)).await;
    let meeting = hub.meeting("m", &[("a", b"1")]).await;
    let version = meeting["package"]["version"].as_str().unwrap();
    let honest = FakeNode::start("honest").await;
    let body = json!({"node_id": "liar", "address": honest.address.to_string(), "status": "online",
                      "packages": [{"id": "m", "version": version}]});
    assert_eq!(hub.post("/api/v1/nodes/register", body).await.status, 200);
    let trouble = in_time(async {
        loop {
            let nodes = hub.get("/api/v1/admin/nodes").await.json();
            if let Some(trouble) = nodes["nodes"][0]["trouble"].as_str() {
                return trouble.to_owned();
            }
        }
    })
    .await;
    assert!(trouble.contains("another node answers") && trouble.contains("honest"), "{trouble}");
    assert_eq!(hub.get("/api/v1/meetings/m/download-package").await.status, 200);
    // Should it be there after all, it is found.
    honest.rename("liar");
    in_time(async {
        while hub.get("/api/v1/meetings/m/download-package").await.status != 302 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_from_another_address_than_the_known_one_has_the_node_register() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let node = FakeNode::start("node-1").await;
    node.join(&hub, &[]).await;
    let other = FakeNode::start("node-1").await;
    assert_eq!(hub.post("/api/v1/nodes/register", other.registration()).await.status, 200);
    let beat = |node: &FakeNode| {
        let place = json!({"ip": node.address.ip().to_string(), "port": node.address.port(), "health": 1.0});
        Call::new("POST", "/api/v1/nodes/node-1/heartbeat").json(&place)
    };
    let refused = beat(&node).send(hub.address).await;
    assert_eq!(refused.status, 404);
    assert!(refused.detail().contains(&other.address.to_string()), "{refused:?}");
    assert_eq!(hub.post("/api/v1/nodes/register", node.registration()).await.status, 200);
    assert_eq!(beat(&node).send(hub.address).await.status, 200);
    assert_eq!(beat(&other).send(hub.address).await.status, 404);
    let shown = node.shown(&hub).await;
    assert_eq!(shown["address"], node.address.to_string());
    let trouble = shown["trouble"].as_str().unwrap();
    assert!(trouble.contains(&other.address.to_string()) && trouble.contains("node-1"), "{trouble}");
    // Nodes that do not say where they are are believed.
    assert_eq!(node.beat(&hub, &[]).await.status, 200);
}

#[tokio::test]
async fn a_key_is_asked_for_where_nodes_are_served_and_nowhere_else() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.api_key = Secret::new("s3cret")).await;
    hub.meeting("m", &[("a", b"1")]).await;
    let node = FakeNode::start("node-1").await;
    let register = || Call::new("POST", "/api/v1/nodes/register").json(&node.registration());
    let missing = register().send(hub.address).await;
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, "Bearer realm=\"tnv hub\""));
    let wrong = register().header("authorization", "Bearer other").send(hub.address).await;
    assert_eq!((wrong.status, wrong.detail()), (403, "Invalid API key".to_owned()));
    assert_eq!(register().header("authorization", "Bearer s3cret").send(hub.address).await.status, 200);
    for path in
        ["/api/v1/sync/meetings/m", "/api/v1/nodes/node-1/heartbeat", "/api/v1/nodes/node-1/unregister"]
    {
        let call = if path.contains("sync") { Call::get(path) } else { Call::new("POST", path) };
        assert_eq!(call.send(hub.address).await.status, 401, "{path}");
    }
    assert_eq!(hub.get("/api/v1/sync/meetings/m?api_key=wrong").await.status, 403);
    assert_eq!(hub.get("/api/v1/sync/meetings/m?node_id=node-1&api_key=s3cret").await.status, 200);
    let stranger = hub.get("/api/v1/sync/meetings/m?node_id=stranger&api_key=s3cret").await;
    assert_eq!((stranger.status, stranger.detail()), (403, "Node not registered".to_owned()));
    for path in ["meetings/active", "meetings/m/data", "nodes/list", "meetings/m/download-package-direct"] {
        assert_eq!(hub.get(&format!("/api/v1/{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_manifest_tells_all_that_a_node_needs() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.base_url = "http://hub.example.org".to_owned()).await;
    hub.meeting("m", &[("a 1.txt", b"hello"), ("会/议", b"x")]).await;
    let answer = hub.get("/api/v1/sync/meetings/m").await;
    let sync: SyncAnswer = serde_json::from_slice(&answer.body).unwrap();
    let layout = sync.check().unwrap();
    let package = hub.get("/api/v1/meetings/m/download-package-direct").await.body;
    assert_eq!((layout.len(), layout.crc32()), (package.len() as u64, crc32fast::hash(&package)));
    assert_eq!(sync.status, "pending");
    for file in &sync.files {
        let path = file.url.strip_prefix("http://hub.example.org").unwrap();
        let got = hub.get(path).await;
        assert_eq!((got.status, blake3::hash(&got.body).to_string()), (200, file.checksum.clone()), "{path}");
    }
    // Who has this version is told so in a word, unless the meeting has ended.
    let etag = answer.header("etag").to_owned();
    let again = || Call::get("/api/v1/sync/meetings/m").header("if-none-match", &etag).send(hub.address);
    assert_eq!(again().await.status, 304);
    hub.post("/api/v1/meetings/m/end", json!({})).await;
    assert_eq!(again().await.json()["status"], "ended");
    assert_eq!(hub.get("/api/v1/sync/meetings/no").await.status, 404);
}

#[tokio::test]
async fn only_networks_that_may_have_nodes_have_some() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|config| config.allowed_nodes = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let refused = hub.post("/api/v1/nodes/register", json!({"id": "a", "address": "10.0.0.1:1"})).await;
    assert_eq!(refused.status, 403);
    let hub = cluster.hub(|config| config.allowed_nodes = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let elsewhere = hub.post("/api/v1/nodes/register", json!({"id": "a", "address": "10.0.0.1:1"})).await;
    assert_eq!(elsewhere.status, 403);
    assert_eq!(
        hub.post("/api/v1/nodes/register", json!({"id": "a", "address": "127.0.0.1:1"})).await.status,
        200
    );
}
