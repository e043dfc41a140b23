//! Packages from several nodes at once, by the hub's Metalink.

use serde_json::json;

use super::{NodeSite, Site};
use crate::harness::eventually;
use crate::harness::installed;
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;
use crate::harness::process::{run, text};
use crate::harness::web::get;

/// The hub asks nodes how they are so rarely that it never learns of one that has died.
const BLIND: [&str; 2] = ["--set", "hub.probe_interval=1h"];

/// Waits until so many nodes hold a meeting's package.
#[track_caller]
fn wait_for_holders(site: &Site, meeting: &str, count: u64) {
    eventually(&format!("{count} nodes with {meeting}"), || {
        let found = get(&site.hub, &format!("/api/v1/meetings/{meeting}"), &[]).json();
        (found["holders"] == count).then_some(())
    });
}

/// Changes a byte in the middle of what a node of `tnv up` keeps of a meeting.
fn damage(lab: &Lab, node: &str, meeting: &str) {
    use std::os::unix::fs::FileExt;
    let path = lab.path(&format!("data/{node}/storage/meeting_{meeting}/package.zip"));
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

#[test]
fn a_dead_node_and_a_corrupt_one_do_no_harm() {
    let lab = Lab::new();
    let site = Site::start(&lab, &BLIND, 2);
    let dead = NodeSite::new(&lab, &site.hub, json!({}));
    let mut process = dead.start();
    let contents = Pattern::new(51, 12_000_000).bytes();
    site.meeting("m1", &contents);
    wait_for_holders(&site, "m1", 3);
    let package = site.package("m1");
    process.kill();
    damage(&lab, "node-2", "m1");
    let served = get(&site.nodes[1], "/api/v1/meetings/m1/download-package", &[]).body;
    assert!(served != package, "the damage is served");
    wait_for_holders(&site, "m1", 3);
    let url = format!("http://{}/api/v1/meetings/m1/package.meta4", site.hub);
    for (name, options) in [("one", &[][..]), ("several", &["--parallel", "4"])] {
        let target = lab.arg(name);
        let fetched = lab.client(&[&["fetch", &url, "-o", &target], options].concat());
        assert!(fetched.status.success(), "{name}: {:?}", text(&fetched));
        assert!(std::fs::read(&target).unwrap() == package, "{name}");
    }
    let fetched = lab.client(&["fetch", &url, "--extract", &lab.arg("meeting")]);
    assert!(fetched.status.success(), "{:?}", text(&fetched));
    assert!(std::fs::read(lab.path("meeting/files/m1.bin")).unwrap() == contents);
}

#[test]
fn aria2_takes_a_package_by_its_metalink() {
    if !installed(&["aria2c"]) {
        return;
    }
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 2);
    site.meeting("m1", &Pattern::new(52, 5_000_000).bytes());
    wait_for_holders(&site, "m1", 2);
    let url = format!("http://{}/api/v1/meetings/m1/package.meta4", site.hub);
    let options = ["--no-conf", "--file-allocation=none", "--follow-metalink=mem", "-d", &lab.arg("")];
    let output = run("aria2c", &[&options[..], &[&url]].concat());
    assert!(output.status.success(), "{:?}", text(&output));
    assert!(std::fs::read(lab.path("meeting_m1.zip")).unwrap() == site.package("m1"));
}
