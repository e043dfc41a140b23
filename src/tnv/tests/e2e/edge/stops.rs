//! A node that is killed, and one that is asked to stop.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use super::{NodeSite, Site};
use crate::harness::eventually;
use crate::harness::lab::Lab;
use crate::harness::web::{Web, get, request};

const LEN: usize = 256 * 1024 * 1024;

/// Bytes that no two places have alike.
fn contents() -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    blake3::Hasher::new().update(b"edge").finalize_xof().fill(&mut bytes);
    bytes
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn killed_in_mid_sync_a_node_goes_on_where_it_was() {
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 0);
    site.meeting("m1", &contents());
    let node = NodeSite::new(&lab, &site.hub, json!({"logging": {"fileEnabled": false}}));
    let journal = node.file("storage/meeting_m1/package.zip.tmp.done");
    let mut process = node.start();
    // Killed again and again, as soon as there is something new in the journal.
    let mut lines = 0;
    for round in 0..3 {
        let done = eventually("progress, or the end", || {
            let now = fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
            let is_whole = node.file("storage/meeting_m1/package.zip").exists();
            (now > lines || is_whole).then_some((now, is_whole))
        });
        process.kill();
        assert!(!done.1 || round > 0, "the first round was to end in the middle");
        lines = done.0;
        process = node.start();
    }
    node.wait_for("m1");
    assert!(get(&node.address, "/api/v1/meetings/m1/download-package", &[]).body == site.package("m1"));
    let fetched = node.metric("tnv_node_bytes_fetched_total");
    assert!(fetched < LEN as u64, "{fetched} bytes were fetched by the last one alone");
    let left: Vec<_> =
        fs::read_dir(node.file("storage/meeting_m1")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["package.zip"]);
    let peak = peak(process.pid());
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[test]
fn a_stop_lets_a_download_end_and_tells_the_hub_first() {
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 0);
    site.meeting("m1", &contents());
    let node = NodeSite::new(&lab, &site.hub, json!({"logging": {"fileEnabled": false}}));
    let mut process = node.start();
    node.wait_for("m1");
    let mut web = Web::connect(&node.address);
    web.send(request("GET", "/api/v1/meetings/m1/download-package", &[]).as_bytes());
    let head = web.head().unwrap();
    process.signal(Signal::TERM);
    eventually("the hub has heard of it", || {
        let list = get(&site.hub, "/api/v1/nodes/list", &[]).json();
        list["nodes"].as_array().unwrap().is_empty().then_some(())
    });
    let mut body = vec![0; head.len() as usize];
    std::io::Read::read_exact(&mut web.stream, &mut body).unwrap();
    assert!(body == site.package("m1"));
    assert!(process.wait().success());
}

#[test]
fn a_hub_that_starts_again_has_its_node_back() {
    let lab = Lab::new();
    let mut site = Site::start(&lab, &[], 0);
    site.meeting("m1", &[5; 100_000]);
    let node = NodeSite::new(&lab, &site.hub, json!({"logging": {"fileEnabled": false}}));
    let _process = node.start();
    node.wait_for("m1");
    let package = site.package("m1");
    site.process.kill();
    eventually("the node has noticed", || (node.status()["connected"] == false).then_some(()));
    assert!(get(&node.address, "/api/meetings/m1/download", &[]).body == package);
    let mut again = lab.up_command();
    let mut process = lab.process("up-again", again.args(["--hub", &site.hub]));
    process.expect_line("ready ");
    eventually("the hub sends clients to the node", || {
        let sent = get(&site.hub, "/api/v1/meetings/m1/download-package", &[]);
        (sent.status == 302).then_some(())
    });
}
