//! What is removed, and what never is.

use std::fs;

use serde_json::json;

use crate::hub::bytes;
use crate::lab::{Lab, package_path};

#[tokio::test]
async fn what_has_ended_or_is_unknown_goes_and_what_has_not_begun_stays() {
    let lab = Lab::running().await;
    for id in ["ends", "pauses", "vanishes", "runs"] {
        lab.hub.put(id, &[("a", bytes(1000, id.len() as u8))]);
    }
    for id in ["ends", "pauses", "vanishes", "runs"] {
        lab.until_held(id, &lab.hub.package(id).1).await;
    }
    lab.hub.set_status("ends", "ended");
    lab.hub.set_status("pauses", "pending");
    lab.hub.lock().meetings.remove("vanishes");
    lab.until(async |lab| !lab.meeting_folder("ends").exists() && !lab.meeting_folder("vanishes").exists())
        .await;
    assert!(lab.meeting_folder("pauses").exists() && lab.meeting_folder("runs").exists());
}

#[tokio::test]
async fn a_list_that_is_cut_in_half_deletes_nothing() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    lab.until_held("m1", &lab.hub.package("m1").1).await;
    {
        let mut hub = lab.hub.lock();
        hub.list_is_cut = true;
        hub.meetings.get_mut("m1").unwrap().status = "ended";
    }
    lab.until(async |lab| lab.status().await["last_sync_status"].as_str().unwrap().starts_with("同步出错"))
        .await;
    assert!(lab.meeting_folder("m1").join("package.zip").exists());
    assert_eq!(lab.json("/api/v1/node/meetings/m1/status").await["exists"], true);
}

#[tokio::test]
async fn what_was_there_at_the_start_stays_where_the_start_is_not_to_clean() {
    let mut lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    lab.until_held("m1", &lab.hub.package("m1").1).await;
    lab.stop().await;
    lab.hub.set_status("m1", "ended");
    let mut config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(lab.config_path()).unwrap()).unwrap();
    config["cleanup"] = json!({"cleanOnStartup": false});
    fs::write(lab.config_path(), config.to_string()).unwrap();
    lab.start().await;
    lab.hub.put("m2", &[("a", bytes(1000, 2))]);
    lab.until_held("m2", &lab.hub.package("m2").1).await;
    lab.hub.set_status("m2", "ended");
    lab.until(async |lab| !lab.meeting_folder("m2").exists()).await;
    assert!(lab.meeting_folder("m1").exists());
}

#[tokio::test]
async fn room_is_made_from_what_is_longest_unused_and_never_from_what_is_read() {
    let mut lab = Lab::new().await;
    // The high mark is 72 MB, the low mark 56 MB.
    lab.set("storage", json!({"maxSize": 80_000_000}));
    lab.start().await;
    for (id, seed) in [("read", 1), ("old", 2), ("new", 3)] {
        lab.hub.put(id, &[("a", bytes(23_200_000, seed))]);
        lab.hub.set_status(id, "pending");
        lab.download(id).await;
    }
    // Somebody takes one package slowly: more of it than sockets hold is still to come.
    let package = lab.hub.package("read").0;
    let mut reader = lab.get(&package_path("read")).await;
    let mut got = reader.chunk().await.unwrap().unwrap().to_vec();
    lab.download("new").await;

    lab.hub.put("more", &[("a", bytes(23_200_000, 4))]);
    lab.hub.set_status("more", "pending");
    assert!(lab.download("more").await == lab.hub.package("more").0);
    assert!(!lab.meeting_folder("old").exists(), "the one that was not used for longest");
    assert!(lab.meeting_folder("read").exists());
    while let Some(chunk) = reader.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == package);
}

#[tokio::test]
async fn a_package_that_has_no_room_is_refused_and_the_others_are_served() {
    let mut lab = Lab::new().await;
    lab.set("storage", json!({"maxSize": 1_000_000}));
    lab.start().await;
    lab.hub.put("small", &[("a", bytes(500_000, 1))]);
    lab.hub.put("large", &[("a", bytes(2_000_000, 2))]);
    let (package, version) = lab.hub.package("small");
    lab.until_held("small", &version).await;
    lab.until(async |lab| lab.status().await["problems"][0]["id"] == "large").await;
    assert_eq!(lab.get(&package_path("large")).await.status(), 507);
    assert!(lab.download("small").await == package);
    // What runs does not push out what runs.
    lab.hub.put("other", &[("a", bytes(700_000, 3))]);
    lab.until(async |lab| lab.status().await["problems"].as_array().unwrap().len() == 2).await;
    assert!(lab.download("small").await == package);
}

/// A small file system that really fills up.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount one.
    fn mount(path: &std::path::Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(path).unwrap();
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        mount.stderr(std::process::Stdio::null()).status().ok()?.success().then(|| SmallDisk(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_costs_what_does_not_fit_and_nothing_else() {
    let mut lab = Lab::new().await;
    let Some(_disk) = SmallDisk::mount(&lab.folder.path().join("storage"), "4m") else {
        return println!("skipped: a file system cannot be mounted here");
    };
    lab.start().await;
    lab.hub.put("small", &[("a", bytes(1_000_000, 1))]);
    let (package, version) = lab.hub.package("small");
    lab.until_held("small", &version).await;
    lab.hub.put("large", &[("a", bytes(8_000_000, 2))]);
    lab.until(async |lab| lab.status().await["problems"][0]["id"] == "large").await;
    assert_eq!(lab.get(&package_path("large")).await.status(), 507);
    assert!(lab.download("small").await == package);
    assert!(!lab.meeting_folder("large").join("package.zip.tmp").exists(), "it would take up the room");
    // A new version of what is here needs room beside it, and there is some.
    lab.hub.put("small", &[("a", bytes(1_200_000, 3))]);
    let (package, version) = lab.hub.package("small");
    lab.until_held("small", &version).await;
    assert!(lab.download("small").await == package);
    lab.stop().await;
}
