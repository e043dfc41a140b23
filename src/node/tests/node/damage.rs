//! A disk that gives back other bytes than it was given.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use serde_json::json;

use crate::hub::bytes;
use crate::lab::Lab;

/// Changes one byte of a package on the disk.
fn damage(lab: &Lab, at: u64) {
    let file =
        File::options().read(true).write(true).open(lab.meeting_folder("m1").join("package.zip")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

#[tokio::test]
async fn a_damaged_package_is_found_at_the_start_taken_out_and_mended() {
    let mut lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(300_000, 1)), ("b", bytes(200_000, 2))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    lab.stop().await;
    let near_the_end_of_b = package.len() as u64 - 2000;
    damage(&lab, near_the_end_of_b);
    let gate = lab.hub.gate("b");
    lab.start().await;
    lab.until(async |lab| lab.status().await["problems"][0]["error"].is_string()).await;
    let status = lab.status().await;
    let problem = &status["problems"][0];
    assert_eq!(problem["id"], "m1");
    let error = problem["error"].as_str().unwrap();
    assert!(error.contains("damaged") && error.contains("\"b\""), "{error}");
    assert_eq!(lab.json("/api/v1/node/meetings/m1/status").await["exists"], false);
    lab.until(async |lab| lab.hub.lock().heartbeats.last().unwrap()["packages"] == json!([])).await;

    gate.add_permits(100);
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    assert_eq!(lab.status().await["problems"], json!([]));
    let asked = lab.hub.lock().asked.clone();
    assert_eq!((asked["a"].len(), asked["b"].len()), (1, 2), "what is right is not fetched again");
    let folder = fs::read_dir(lab.meeting_folder("m1")).unwrap();
    assert_eq!(folder.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["package.zip"]);
}

#[tokio::test]
async fn a_package_is_read_again_while_the_node_runs() {
    let mut lab = Lab::new().await;
    lab.set("storage", json!({"verifyInterval": 1}));
    lab.start().await;
    lab.hub.put("m1", &[("a", bytes(300_000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    // In metadata.json, without which no member can be found.
    damage(&lab, 60);
    let path = lab.meeting_folder("m1").join("package.zip");
    lab.until(async |_| fs::read(&path).is_ok_and(|found| found == package)).await;
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    assert_eq!(lab.hub.lock().asked["a"].len(), 1);
}
