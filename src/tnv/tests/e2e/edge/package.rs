//! The package is the same bytes wherever it comes from, and others' programs read it, also beyond 4 GiB.

use std::path::Path;

use serde_json::{Value, json};

use super::{NodeSite, Site};
use crate::harness::lab::{Lab, Role, USER, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::process::{command, run, text};
use crate::harness::web::{Web, get, request};
use crate::harness::{eventually, installed};

/// A file that reaches over the place that 32 bits can name, in bytes.
const BEYOND: u64 = (4 << 30) + (64 << 20);

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

fn put(hub: &str, meeting: &str, name: &str, contents: &Pattern) {
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
fn python(place: &str, options: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/edge/package.py");
    let mut python = command("python3");
    let output = python.arg(script).arg(place).args(options).output().unwrap();
    assert!(output.status.success(), "{place}: {:?}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_package_of_more_than_4_gib_is_read_at_any_place() {
    if !installed(&["unzip", "python3"]) {
        return;
    }
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    // What matters here is not whether it survives a power cut.
    let storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).set("sync", "none");
    let _storage = storage.start(&lab);
    wait_active(&tracker.address, USER);
    let hub = Role::hub(&lab, &[&tracker.address]).start(&lab);
    let mut web = Web::connect(&hub.address);
    let meeting = json!({"id": "m1", "title": "m1"}).to_string();
    let made = web.attempt("POST", "/api/v1/meetings", meeting.as_bytes()).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let (large, small) = (Pattern::new(83, BEYOND), Pattern::new(84, 100_000));
    put(&hub.address, "m1", "a.mp4", &large);
    put(&hub.address, "m1", "b.pdf", &small);
    let node = NodeSite::new(&lab, &hub.address, json!({"logging": {"fileEnabled": false}}));
    let _node = node.start();
    let started = web.attempt("POST", "/api/v1/meetings/m1/start", b"{}").unwrap();
    assert_eq!(started.status, 200, "{}", started.text());

    let direct = format!("http://{}/api/v1/meetings/m1/download-package-direct", hub.address);
    let out = lab.arg("b.pdf");
    let of_hub = python(&direct, &["--extract", "files/b.pdf", &out]);
    let [_, film, paper] = &of_hub["members"].as_array().unwrap()[..] else { panic!("{of_hub}") };
    assert_eq!((&film["size"], &paper["size"]), (&json!(BEYOND), &json!(100_000)));
    assert!(paper["header"].as_u64().unwrap() > u64::from(u32::MAX), "{of_hub}");
    assert!(std::fs::read(&out).unwrap() == small.bytes(), "the file behind the large one");

    wait_while_it_grows(&node, "m1");
    let served = format!("http://{}/api/v1/meetings/m1/download-package", node.address);
    assert_eq!(python(&served, &["--extract", "files/b.pdf", &out]), of_hub, "the node's is the hub's");
    let begin = film["data"].as_u64().unwrap();
    for at in [begin, u64::from(u32::MAX) - 40, BEYOND + begin - 50] {
        for (server, path) in [(&hub.address, "download-package-direct"), (&node.address, "download-package")]
        {
            let range = format!("bytes={at}-{}", at + 99);
            let part = get(server, &format!("/api/v1/meetings/m1/{path}"), &[("Range", &range)]);
            assert_eq!(part.status, 206, "{}", part.text());
            let len = 100.min((BEYOND + begin - at) as usize);
            assert!(large.has(at - begin, &part.body[..len]), "{range} of {server}");
        }
    }
    let package = node.file("storage/meeting_m1/package.zip");
    let unzipped = run("unzip", &["-tqq", package.to_str().unwrap()]);
    assert!(unzipped.status.success(), "{:?}", text(&unzipped));
}

/// Waits for a package as long as more of it comes.
#[track_caller]
fn wait_while_it_grows(node: &NodeSite<'_>, meeting: &str) {
    let package = node.file(&format!("storage/meeting_{meeting}/package.zip"));
    let mut fetched = 0;
    while !package.exists() {
        fetched = eventually("more of the package", || {
            let now = node.metric("tnv_node_bytes_fetched_total");
            (now > fetched || package.exists()).then_some(now)
        });
    }
    node.wait_for(meeting);
}
