//! A hub that is gone, does not know the node any more, or does not let it in.

use serde_json::json;

use crate::hub::bytes;
use crate::lab::{Lab, package_path};

#[tokio::test]
async fn without_a_hub_the_node_serves_what_it_has_and_comes_back_by_itself() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    lab.hub.lock().is_away = true;
    lab.until(async |lab| lab.status().await["connected"] == false).await;
    assert!(lab.download("m1").await == package);
    let missing = lab.get(&package_path("m2")).await;
    assert_eq!(missing.status(), 503);
    let after: Vec<_> = missing.headers().get_all("retry-after").iter().collect();
    assert_eq!(after, ["5"], "one, and the node's own");
    assert_eq!(lab.status().await["service_running"], true);

    {
        // It has forgotten everything but its meetings.
        let mut hub = lab.hub.lock();
        hub.is_away = false;
        hub.nodes.clear();
    }
    lab.hub.put("m2", &[("b", bytes(1000, 2))]);
    let (package, version) = lab.hub.package("m2");
    lab.until_held("m2", &version).await;
    assert!(lab.download("m2").await == package);
    lab.until(async |lab| lab.hub.lock().nodes.contains("node-1")).await;
    lab.until(async |lab| lab.status().await["registered"] == true).await;
}

#[tokio::test]
async fn a_node_starts_without_its_hub() {
    let mut lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    lab.stop().await;
    assert_eq!(lab.hub.lock().unregistered, ["node-1"]);
    lab.hub.lock().is_away = true;
    lab.start().await;
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn a_wrong_key_is_said_clearly_and_mended_without_a_restart() {
    let mut lab = Lab::new().await;
    lab.hub.lock().key = Some("right".to_owned());
    lab.set("apiKey", json!("wrong"));
    lab.start().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    lab.until(async |lab| lab.status().await["api_key_refused"] == true).await;
    let status = lab.status().await;
    assert_eq!(status["last_sync_status"], "同步失败: API 密钥被主控服务器拒绝");
    assert!(status["connection_error"].as_str().unwrap().contains("Invalid API key"), "{status}");
    assert!(!status.to_string().contains("wrong"));
    assert_eq!(lab.get(&package_path("m1")).await.status(), 503);

    let (code, said) = lab.post("/api/config", json!({"apiKey": "right"})).await;
    assert_eq!((code, said["message"].as_str()), (200, Some("配置已更新")));
    lab.until(async |lab| lab.status().await["registered"] == true).await;
    lab.until(async |lab| lab.get(&package_path("m1")).await.status() == 200).await;
    lab.until(async |lab| lab.status().await["api_key_refused"] == false).await;
}
