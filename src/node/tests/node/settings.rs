//! Configuration, service and page over HTTP.

use std::fs;

use base64::Engine;
use serde_json::{Value, json};

use crate::hub::bytes;
use crate::lab::{Lab, package_path};

#[tokio::test]
async fn a_bad_configuration_is_refused_with_every_mistake_and_changes_nothing() {
    let lab = Lab::running().await;
    lab.until(async |lab| lab.status().await["registered"] == true).await;
    let (before, file) = (lab.json("/api/config").await, fs::read(lab.config_path()).unwrap());
    let bad = json!({"syncInterval": 0, "storage": {"cleanupThreshold": 7}, "nodeId": "a b", "weight": 3});
    let (code, said) = lab.post("/api/config", bad).await;
    assert_eq!(code, 400);
    let keys: Vec<&str> =
        said["errors"].as_array().unwrap().iter().map(|e| e["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["syncInterval", "nodeId", "storage.cleanupThreshold"]);
    for key in keys {
        assert!(said["detail"].as_str().unwrap().contains(key), "{said}");
    }
    for text in ["", "[]", "{\"a\"", "7"] {
        assert_eq!(lab.post("/api/config", text).await.0, 400, "{text}");
    }
    assert_eq!((lab.json("/api/config").await, fs::read(lab.config_path()).unwrap()), (before, file));
}

#[tokio::test]
async fn a_good_one_counts_at_once_and_says_what_waits() {
    let lab = Lab::running().await;
    let (code, said) =
        lab.post("/api/config", json!({"nodePort": 9000, "syncInterval": 2, "colour": "red"})).await;
    assert_eq!((code, &said["status"], &said["message"]), (200, &json!("success"), &json!("配置已更新")));
    assert_eq!(said["at_next_start"], json!(["nodePort"]));
    assert_eq!(said["warnings"], json!(["colour: no such key; it is kept and does nothing"]));
    let config = lab.json("/api/config").await;
    assert_eq!((&config["syncInterval"], &config["colour"]), (&json!(2), &json!("red")));
    let stored: Value = serde_json::from_slice(&fs::read(lab.config_path()).unwrap()).unwrap();
    assert_eq!(stored["syncInterval"], json!(2));
}

#[tokio::test]
async fn the_heartbeat_is_set_in_both_ways() {
    let lab = Lab::running().await;
    for body in ["30", "{\"interval\": 30}"] {
        let (code, said) = lab.post("/api/config/heartbeat", body).await;
        assert_eq!((code, &said["message"]), (200, &json!("心跳间隔已更新为 30 秒")), "{body}");
        assert_eq!(lab.json("/api/config").await["heartbeat"]["interval"], 30);
    }
    for body in ["0", "-1", "x", "{}", "1.5", "99999"] {
        assert_eq!(lab.post("/api/config/heartbeat", body).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn a_stopped_service_serves_nothing_and_says_goodbye() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    lab.until_held("m1", &lab.hub.package("m1").1).await;
    let (code, said) = lab.post("/api/service/stop", "").await;
    assert_eq!((code, said), (200, json!({"status": "success", "message": "服务已停止"})));
    let refused = lab.get(&package_path("m1")).await;
    assert_eq!(refused.status(), 503);
    let said: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(said, json!({"detail": "服务未运行"}));
    lab.until(async |lab| lab.hub.lock().unregistered == ["node-1"]).await;
    assert_eq!(lab.json("/api/v1/node/status").await["status"], "stopped");
    let (_, said) = lab.post("/api/service/start", "").await;
    assert_eq!(said, json!({"status": "success", "message": "服务已启动"}));
    lab.download("m1").await;
    lab.until(async |lab| lab.hub.lock().nodes.contains("node-1")).await;
}

#[tokio::test]
async fn another_storage_folder_begins_empty_and_leaves_the_old_one() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    let (code, said) = lab.post("/api/config", json!({"storage": {"path": "./elsewhere"}})).await;
    assert_eq!(code, 200, "{said}");
    lab.until_held("m1", &version).await;
    assert!(lab.folder.path().join("elsewhere/meeting_m1/package.zip").exists());
    assert!(lab.meeting_folder("m1").join("package.zip").exists());
    assert!(lab.download("m1").await == package);
    // One that cannot be used is a mistake like any other.
    fs::write(lab.folder.path().join("file"), "").unwrap();
    let (code, said) = lab.post("/api/config", json!({"storage": {"path": "./file"}})).await;
    assert_eq!((code, said["errors"][0]["key"].as_str()), (400, Some("storage.path")));
    assert_eq!(lab.json("/api/config").await["storage"]["path"], "./elsewhere");
}

#[tokio::test]
async fn secrets_are_never_shown_and_the_page_asks_for_the_password() {
    let mut lab = Lab::new().await;
    lab.set("apiKey", json!("hunter2"));
    lab.start().await;
    assert_eq!(lab.get("/static/index.html").await.status(), 200);
    let config = lab.json("/api/config").await;
    assert_eq!(config["apiKey"], "********");
    // Everything that was shown is sent back, with a password.
    let mut changed = config.clone();
    changed["adminPassword"] = json!("geheim");
    assert_eq!(lab.post("/api/config", changed).await.0, 200);
    let stored = fs::read_to_string(lab.config_path()).unwrap();
    assert!(stored.contains("hunter2") && !stored.contains("geheim"), "{stored}");

    for path in ["/static/index.html", "/api/config", "/api/logs", "/"] {
        let response = lab.get(path).await;
        assert_eq!(response.status(), 401, "{path}");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    }
    assert_eq!(lab.post("/api/service/stop", "").await.0, 401);
    assert_eq!(lab.get("/api/status").await.status(), 200);
    let basic = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("admin:geheim"));
    let request = lab.client.get(lab.url("/api/config")).header("authorization", &basic);
    let shown = request.send().await.unwrap().bytes().await.unwrap();
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!((&shown["apiKey"], &shown["adminPassword"]), (&json!("********"), &json!("********")));
}

#[tokio::test]
async fn pages_of_others_change_nothing() {
    let lab = Lab::running().await;
    let post = async |name: &str, value: &str| {
        let request = lab.client.post(lab.url("/api/service/stop")).header(name, value);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("origin", "http://evil.example").await, 403);
    assert_eq!(post("sec-fetch-site", "cross-site").await, 403);
    assert_eq!(post("host", "evil.example").await, 421);
    assert_eq!(post("x-forwarded-for", "10.0.0.1").await, 403);
    assert_eq!(lab.json("/api/v1/node/status").await["status"], "active");
    let read = lab.client.get(lab.url("/api/config")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(read.status(), 421);
    // A package may be had under any name.
    let read =
        lab.client.get(lab.url(&package_path("x"))).header("host", "evil.example").send().await.unwrap();
    assert_eq!(read.status(), 404);
}

#[tokio::test]
async fn the_page_and_all_of_its_parts_are_there() {
    let lab = Lab::running().await;
    let page = lab.get("/").await;
    assert_eq!(page.url().path(), "/static/index.html");
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    let etag = page.headers()["etag"].clone();
    let text = page.text().await.unwrap();
    for part in ["page.css", "main.js", "form.js", "api.js", "format.js", "texts.js"] {
        assert_eq!(lab.get(&format!("/static/{part}")).await.status(), 200, "{part}");
    }
    assert!(text.contains("main.js") && text.contains("page.css"));
    let again = lab.client.get(lab.url("/static/index.html")).header("if-none-match", etag);
    assert_eq!(again.send().await.unwrap().status(), 304);
    assert_eq!(lab.get("/static/../Cargo.toml").await.status(), 404);
    assert_eq!(lab.get("/health").await.text().await.unwrap(), "ok\n");
    assert!(lab.get("/metrics").await.text().await.unwrap().contains("tnv_build_info"));
    assert_eq!(lab.client.delete(lab.url("/api/status")).send().await.unwrap().status(), 405);
}
