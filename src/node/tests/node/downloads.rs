//! What clients get, of packages that are here and of those on their way.

use bytes::Bytes;
use serde_json::Value;

use crate::hub::bytes;
use crate::lab::{Lab, package_path};

#[tokio::test]
async fn a_package_is_served_as_players_of_http_like_it() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(100_000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    for path in [package_path("m1"), "/api/meetings/m1/download".to_owned()] {
        let response = lab.get(&path).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/zip");
        assert_eq!(header("content-disposition"), "attachment; filename=\"meeting_m1.zip\"");
        assert_eq!(header("etag"), format!("\"{version}\""));
        assert_eq!(header("accept-ranges"), "bytes");
        assert_eq!(header("content-length"), package.len().to_string());
        assert_eq!(header("access-control-allow-origin"), "*");
        assert!(response.bytes().await.unwrap() == package);
    }
    let with = async |name: &str, value: &str| {
        lab.client.get(lab.url(&package_path("m1"))).header(name, value).send().await.unwrap()
    };
    let part = with("range", "bytes=100-199").await;
    assert_eq!(
        (part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()),
        (206, &*format!("bytes 100-199/{}", package.len()))
    );
    assert!(part.bytes().await.unwrap() == package[100..200]);
    let parts = with("range", "bytes=0-9,-5").await;
    assert_eq!(parts.status(), 206);
    let text = parts.bytes().await.unwrap();
    assert!(text.windows(5).any(|window| window == &package[package.len() - 5..]));
    assert_eq!(with("range", "bytes=9999999-").await.status(), 416);
    assert_eq!(with("if-none-match", &format!("\"{version}\"")).await.status(), 304);
    assert_eq!(with("if-match", "\"x\"").await.status(), 412);
    let head = lab.client.head(lab.url(&package_path("m1"))).send().await.unwrap();
    assert_eq!(head.headers()["content-length"].to_str().unwrap(), package.len().to_string());
}

#[tokio::test]
async fn two_who_ask_for_a_package_share_one_pull_and_get_what_is_proven() {
    let lab = Lab::running().await;
    let gate = lab.hub.gate("b");
    lab.hub.put("m1", &[("a", bytes(200_000, 1)), ("b", bytes(200_000, 2))]);
    lab.hub.set_status("m1", "pending");
    let (package, version) = lab.hub.package("m1");
    // The headers come before the package does.
    let mut first = lab.get(&package_path("m1")).await;
    let mut second = lab.get(&package_path("m1")).await;
    for response in [&first, &second] {
        assert_eq!(response.headers()["etag"].to_str().unwrap(), format!("\"{version}\""));
        assert_eq!(response.content_length(), Some(package.len() as u64));
    }
    // All of the first member comes, and nothing of the second.
    let mut got = Vec::new();
    let end_of_first = position(&package, &bytes(200_000, 1)) + 200_000;
    while got.len() < end_of_first {
        got.extend_from_slice(&first.chunk().await.unwrap().unwrap());
    }
    let start_of_second = position(&package, &bytes(200_000, 2));
    assert!(got.len() <= start_of_second, "{} > {start_of_second}", got.len());
    assert_eq!(lab.status().await["pulls"][0]["id"], "m1");
    assert_eq!(lab.status().await["downloads"], 2);
    gate.add_permits(100);
    while let Some(chunk) = first.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == package);
    let mut all = Vec::new();
    while let Some(chunk) = second.chunk().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    assert!(all == package);
    assert_eq!(lab.hub.lock().sent, 400_000);
    // A range of what is already there needs no pull.
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn a_range_of_what_is_on_its_way_waits_for_its_own_members_only() {
    let lab = Lab::running().await;
    let gate = lab.hub.gate("b");
    lab.hub.put("m1", &[("a", bytes(200_000, 1)), ("b", bytes(200_000, 2)), ("c", bytes(200_000, 3))]);
    lab.hub.set_status("m1", "pending");
    let (package, _) = lab.hub.package("m1");
    let third = position(&package, &bytes(200_000, 3));
    let range = format!("bytes={}-{}", third + 5, third + 100_000);
    let response = lab.client.get(lab.url(&package_path("m1"))).header("range", range).send().await.unwrap();
    assert_eq!(response.status(), 206);
    assert!(response.bytes().await.unwrap() == package[third + 5..=third + 100_000]);
    gate.add_permits(100);
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn an_answer_whose_package_does_not_come_is_cut_off() {
    let lab = Lab::running().await;
    let gate = lab.hub.gate("b");
    lab.hub.lock().corrupt.insert("b".to_owned(), 100);
    lab.hub.put("m1", &[("a", bytes(200_000, 1)), ("b", bytes(200_000, 2))]);
    lab.hub.set_status("m1", "pending");
    let response = lab.get(&package_path("m1")).await;
    assert_eq!(response.status(), 200);
    gate.add_permits(1000);
    response.bytes().await.unwrap_err();
    // Nothing of it counts as held.
    assert_eq!(lab.json("/api/v1/node/meetings/m1/status").await["exists"], false);
    assert_eq!(lab.get(&package_path("m1")).await.status(), 502);
    // The hub has mended it.
    lab.hub.lock().corrupt.clear();
    let (package, _) = lab.hub.package("m1");
    lab.until(async |lab| lab.get(&package_path("m1")).await.status() == 200).await;
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn a_version_that_is_asked_for_is_served_or_none() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    let (old, old_version) = lab.hub.package("m1");
    lab.until_held("m1", &old_version).await;
    lab.hub.set_status("m1", "pending");
    lab.hub.put("m1", &[("a", bytes(2000, 2))]);
    lab.hub.set_status("m1", "pending");
    let (new, new_version) = lab.hub.package("m1");
    let of = |version: &str| format!("{}?version={version}", package_path("m1"));
    let fetched = async |version: &str| lab.get(&of(version)).await.bytes().await.unwrap();
    assert!(fetched(&old_version).await == old);
    assert!(fetched(&new_version).await == new, "it is pulled");
    lab.until_held("m1", &new_version).await;
    let gone = lab.get(&of(&old_version)).await;
    assert_eq!(gone.status(), 409);
    let said: Value = serde_json::from_slice(&gone.bytes().await.unwrap()).unwrap();
    assert!(said["detail"].as_str().unwrap().contains(&new_version));
    assert_eq!(lab.get(&of("x")).await.status(), 400);
}

#[tokio::test]
async fn what_is_nowhere_is_not_found() {
    let lab = Lab::running().await;
    for id in ["unknown", ".hidden", "a%2Fb"] {
        let response = lab.get(&package_path(id)).await;
        assert_eq!(response.status(), 404, "{id}");
        let said: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(said["detail"], "Meeting package not found");
    }
    let said = lab.json("/api/v1/node/meetings/unknown/status").await;
    assert_eq!(
        (&said["exists"], &said["outdated"], &said["size"]),
        (&false.into(), &false.into(), &0.into())
    );
    assert!(!lab.meeting_folder("unknown").exists());
    let _: Bytes = lab.get("/").await.bytes().await.unwrap();
}

/// Where a member lies in its package.
fn position(package: &[u8], member: &[u8]) -> usize {
    package.windows(100).position(|window| window == &member[..100]).unwrap()
}
