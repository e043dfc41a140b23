//! A hub that says what is not true.

use serde_json::{Value, json};

use crate::hub::bytes;
use crate::lab::Lab;

/// The node holds one version; then the hub lies about the next. Whatever it says, the old one stays.
async fn check(lie: fn(&mut Value), reason: &str) {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    lab.hub.lock().lie = Some(lie);
    lab.hub.put("m1", &[("a", bytes(1000, 2)), ("b", bytes(1000, 3))]);
    lab.until(async |lab| lab.status().await["problems"][0]["error"].is_string()).await;
    let said = lab.status().await["problems"][0]["error"].clone();
    assert!(said.as_str().unwrap().contains(reason), "{said}");
    assert!(lab.download("m1").await == package);
    let held = lab.json("/api/v1/node/meetings/m1/status").await;
    assert_eq!((&held["exists"], &held["outdated"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn a_wrong_length_of_the_package_is_found_out() {
    check(|told| told["package"]["size"] = json!(5), "size").await;
}

#[tokio::test]
async fn a_wrong_checksum_of_the_package_is_found_out() {
    check(|told| told["package"]["checksum"] = json!("00000000"), "checksum").await;
}

#[tokio::test]
async fn a_path_that_leads_out_is_found_out() {
    check(|told| told["files"][0]["path"] = json!("../../etc/passwd"), "passwd").await;
}

#[tokio::test]
async fn another_meeting_is_found_out() {
    check(|told| *told = json!({"id": "m2"}), "missing field").await;
}

#[tokio::test]
async fn a_member_without_an_address_is_found_out() {
    check(|told| told["files"][1]["url"] = json!("file:///etc/passwd"), "no address").await;
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_manifest_are_fetched_again_and_never_served() {
    let lab = Lab::running().await;
    lab.hub.lock().corrupt.insert("a".to_owned(), 2);
    lab.hub.put("m1", &[("a", bytes(100_000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    assert_eq!(lab.hub.lock().asked["a"].len(), 3);
}

#[tokio::test]
async fn bytes_that_stay_wrong_are_given_up() {
    let lab = Lab::running().await;
    lab.hub.lock().corrupt.insert("a".to_owned(), u32::MAX);
    lab.hub.put("m1", &[("a", bytes(100_000, 1))]);
    lab.until(async |lab| lab.status().await["problems"][0]["id"] == "m1").await;
    assert_eq!(lab.hub.lock().asked["a"].len(), 3, "as often as retryCount says");
    assert_eq!(lab.json("/api/v1/node/meetings/m1/status").await["exists"], false);
}
