//! What is brought up to date, and how little is fetched for it.

use std::fs;

use bytes::Bytes;

use crate::hub::bytes;
use crate::lab::Lab;

#[tokio::test]
async fn a_running_meeting_is_held_byte_by_byte() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("会议/议程.pdf", bytes(300_000, 1)), ("empty", Bytes::new()), ("b", bytes(10, 2))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(fs::read(lab.meeting_folder("m1").join("package.zip")).unwrap() == package);
    assert!(lab.download("m1").await == package);
    let names: Vec<_> =
        fs::read_dir(lab.meeting_folder("m1")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["package.zip"], "nothing else is left");
    assert_eq!(lab.hub.lock().sent, 300_010);
    assert_eq!(lab.status().await["last_sync_status"], "同步成功");
}

#[tokio::test]
async fn only_the_member_that_changed_is_fetched() {
    let lab = Lab::running().await;
    let names: Vec<String> = (0..100).map(|n| format!("file {n:02}.bin")).collect();
    let mut files: Vec<(&str, Bytes)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), bytes(100_000, n as u8))).collect();
    lab.hub.put("m1", &files);
    lab.until_held("m1", &lab.hub.package("m1").1).await;
    let before = lab.hub.lock().sent;
    assert_eq!(before, 100 * 100_000);

    files[41].1 = bytes(100_007, 200);
    // One more is called something else now, and stands there twice.
    files[7].0 = "another name.bin";
    files.push(("a copy.bin", bytes(100_000, 7)));
    lab.hub.put("m1", &files);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert_eq!(lab.hub.lock().sent - before, 100_007);
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn the_same_contents_are_fetched_once() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(50_000, 1)), ("b", bytes(50_000, 1)), ("c", bytes(50_000, 2))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    assert_eq!(lab.hub.lock().sent, 100_000);
}

#[tokio::test]
async fn a_member_that_breaks_off_goes_on_where_it_stopped() {
    let lab = Lab::running().await;
    lab.hub.lock().breaks_after = Some(300_000);
    lab.hub.put("m1", &[("a", bytes(1_000_000, 1))]);
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    assert_eq!(lab.hub.lock().asked["a"], [0, 300_000, 600_000, 900_000]);
}

#[tokio::test]
async fn a_hub_without_ranges_sends_a_member_again() {
    let lab = Lab::running().await;
    {
        let mut hub = lab.hub.lock();
        hub.breaks_after = Some(300_000);
        hub.ignores_ranges = true;
    }
    lab.hub.put("m1", &[("a", bytes(400_000, 1))]);
    lab.until(async |lab| lab.hub.lock().asked.get("a").is_some_and(|asked| asked.len() >= 2)).await;
    lab.hub.lock().breaks_after = None;
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn a_node_that_was_stopped_goes_on_with_what_it_has() {
    let mut lab = Lab::running().await;
    let gate = lab.hub.gate("b");
    lab.hub.put("m1", &[("a", bytes(500_000, 1)), ("b", bytes(10_000_000, 2)), ("c", bytes(500_000, 3))]);
    // Eight MiB of the second one have come, which is where it is noted.
    gate.add_permits(140);
    lab.until(async |lab| lab.hub.lock().sent >= 1_000_000 + 140 * 64 * 1024).await;
    lab.until(async |lab| {
        fs::read_to_string(lab.meeting_folder("m1").join("package.zip.tmp.done"))
            .is_ok_and(|journal| journal.lines().count() >= 3)
    })
    .await;
    lab.stop().await;
    lab.hub.lock().gate = None;
    let before = lab.hub.lock().sent;
    lab.start().await;
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    let fetched = lab.hub.lock().sent - before;
    assert!(fetched <= 10_000_000 - 8 * 1024 * 1024, "{fetched}");
}

#[tokio::test]
async fn what_a_power_cut_made_of_a_draft_is_fetched_again() {
    let mut lab = Lab::running().await;
    let gate = lab.hub.gate("b");
    lab.hub.put("m1", &[("a", bytes(100_000, 1)), ("b", bytes(100_000, 2))]);
    let journal = lab.meeting_folder("m1").join("package.zip.tmp.done");
    lab.until(async |_| fs::read_to_string(&journal).is_ok_and(|text| text == "0 100000\n")).await;
    lab.stop().await;
    // The journal says that it is all there, and it is not.
    fs::write(&journal, "0 100000\n1 100000\n").unwrap();
    let draft = lab.meeting_folder("m1").join("package.zip.tmp");
    let mut bytes = fs::read(&draft).unwrap();
    bytes[50_000] ^= 1;
    fs::write(&draft, bytes).unwrap();
    drop(gate);
    lab.hub.lock().gate = None;
    lab.start().await;
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
}

#[tokio::test]
async fn a_meeting_that_changes_meanwhile_is_never_mixed() {
    let lab = Lab::running().await;
    let gate = lab.hub.gate("b");
    lab.hub.put("m1", &[("a", bytes(500_000, 1)), ("b", bytes(200_000, 2))]);
    gate.add_permits(1);
    lab.until(async |lab| lab.hub.lock().sent >= 500_000 + 64 * 1024).await;
    lab.until(async |lab| lab.status().await["pulls"][0]["bytes_verified"] == 500_000).await;
    // The file that is on its way is another one now, and the old one breaks off.
    lab.hub.put("m1", &[("a", bytes(500_000, 1)), ("b", bytes(200_000, 3))]);
    lab.hub.lock().gate = None;
    gate.close();
    let (package, version) = lab.hub.package("m1");
    lab.until_held("m1", &version).await;
    assert!(lab.download("m1").await == package);
    assert_eq!(lab.hub.lock().asked["a"].len(), 1, "what had come was used");
}

#[tokio::test]
async fn the_hub_knows_what_the_node_holds_and_how_it_fares() {
    let lab = Lab::running().await;
    lab.hub.put("m1", &[("a", bytes(1000, 1))]);
    let version = lab.hub.package("m1").1;
    let holds = |beat: &serde_json::Value| beat["packages"][0]["version"] == version.as_str();
    lab.until(async |lab| lab.hub.lock().heartbeats.iter().any(holds)).await;
    let hub = lab.hub.lock();
    let came = &hub.registrations[0];
    let own = lab.url("").replace("http://", "");
    assert_eq!((&came["node_id"], &came["id"]), (&"node-1".into(), &"node-1".into()));
    assert_eq!((came["address"].as_str(), came["status"].as_str()), (Some(own.as_str()), Some("online")));
    assert_eq!(
        (came["ip"].as_str(), &came["port"]),
        (Some("127.0.0.1"), &own[10..].parse::<u16>().unwrap().into())
    );
    let beat = hub.heartbeats.iter().find(|beat| holds(beat)).unwrap();
    assert_eq!((&beat["status"], &beat["packages"][0]["id"]), (&"active".into(), &"m1".into()));
    assert!((0.1..=1.0).contains(&beat["health"].as_f64().unwrap()));
    assert!(beat["storage_used"].as_u64() > Some(1000) && beat["storage_capacity"].as_u64() > Some(1000));
}
