//! A package beyond the places that 32 bits can name. It takes 9 GiB of the disk, and others would wait for their syncs
//! behind it: scripts/test runs it alone.

use serde_json::json;

use super::NodeSite;
use super::package::{put, python};
use crate::harness::lab::{Lab, Role, USER, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::process::{run, text};
use crate::harness::web::{Web, get};
use crate::harness::{eventually, installed};

/// How long its large file is, in bytes.
const BEYOND: u64 = (4 << 30) + (64 << 20);

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
    let post = |path: &str, body: &str| {
        let answer = Web::connect(&hub.address).attempt("POST", path, body.as_bytes()).unwrap();
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
    };
    post("/api/v1/meetings", &json!({"id": "m1", "title": "m1"}).to_string());
    let (large, small) = (Pattern::new(83, BEYOND), Pattern::new(84, 100_000));
    put(&hub.address, "m1", "a.mp4", &large);
    put(&hub.address, "m1", "b.pdf", &small);
    let node = NodeSite::new(&lab, &hub.address, json!({"logging": {"fileEnabled": false}}));
    let _node = node.start();
    post("/api/v1/meetings/m1/start", "{}");

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
