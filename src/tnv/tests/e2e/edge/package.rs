//! The package is the same bytes wherever it comes from, and others' programs read it.

use std::path::Path;

use serde_json::{Value, json};

use super::{NodeSite, Site};
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;
use crate::harness::process::{command, run, text};
use crate::harness::web::{Web, get, request};
use crate::harness::{eventually, installed};

#[test]
fn the_package_is_the_same_from_everyone_and_after_a_partial_sync() {
    if !installed(&["unzip", "python3"]) {
        return;
    }
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 0);
    let quiet = || json!({"logging": {"fileEnabled": false}});
    let nodes = ["one", "two"].map(|name| NodeSite::named(&lab, name, name, &site.hub, quiet()));
    let _processes = [nodes[0].start(), nodes[1].start()];
    site.meeting("m1", &Pattern::new(80, 5_000_000).bytes());
    for (name, len) in [("empty.txt", 0), ("%E4%BC%9A%E8%AE%AE/%E8%AE%AE%E7%A8%8B.pdf", 70_000)] {
        put(&site.hub, "m1", name, &Pattern::new(81, len));
    }
    let before = same_everywhere(&lab, &site.hub, &nodes);
    let fetched = nodes.each_ref().map(|node| node.metric("tnv_node_bytes_fetched_total"));
    put(&site.hub, "m1", "empty.txt", &Pattern::new(82, 300_000));
    let after = same_everywhere(&lab, &site.hub, &nodes);
    assert!(before != after);
    for (node, fetched) in nodes.iter().zip(fetched) {
        assert_eq!(node.metric("tnv_node_bytes_fetched_total") - fetched, 300_000, "only what has changed");
    }
}

/// Gives a meeting a file of this name, or that file other contents.
#[track_caller]
pub(super) fn put(hub: &str, meeting: &str, name: &str, contents: &Pattern) {
    let mut web = Web::connect(hub);
    let len = contents.len().to_string();
    let path = format!("/api/v1/meetings/{meeting}/files/{name}");
    web.send(request("PUT", &path, &[("Content-Length", &len)]).as_bytes());
    std::io::copy(&mut contents.reader(0), web.stream.get_mut()).unwrap();
    let answer = web.response("PUT");
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// The newest package, which all nodes come to have.
#[track_caller]
fn same_everywhere(lab: &Lab, hub: &str, nodes: &[NodeSite<'_>]) -> Vec<u8> {
    wait_for_holders(hub, nodes.len());
    let direct = get(hub, "/api/v1/meetings/m1/download-package-direct", &[]);
    for node in nodes {
        let held = get(&node.address, "/api/v1/meetings/m1/download-package", &[]);
        assert_eq!((held.status, held.header("etag")), (200, direct.header("etag")), "{}", node.name);
        assert!(held.body == direct.body, "{} has other bytes", node.name);
    }
    let zip = lab.file("package.zip", &direct.body);
    let unzipped = run("unzip", &["-tqq", &zip]);
    assert!(unzipped.status.success(), "{:?}", text(&unzipped));
    let names = python(&zip, &["--test"]);
    let names: Vec<&str> =
        names["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["metadata.json", "files/empty.txt", "files/m1.bin", "files/会议/议程.pdf"]);
    direct.body
}

#[track_caller]
fn wait_for_holders(hub: &str, count: usize) {
    eventually("all nodes hold the newest package", || {
        (get(hub, "/api/v1/meetings/m1", &[]).json()["holders"] == count).then_some(())
    });
}

/// What Python's zipfile makes of a package, at a path or an address.
#[track_caller]
pub(super) fn python(place: &str, options: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/edge/package.py");
    let mut python = command("python3");
    let output = python.arg(script).arg(place).args(options).output().unwrap();
    assert!(output.status.success(), "{place}: {:?}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}
