//! The pages of hub and nodes in a real browser, driven by the scripts in `browser/`.

use std::process::Command;

use serde_json::json;

use super::{NodeSite, Site};
use crate::browser::{says, shots, succeeds};
use crate::harness::installed;
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;
use crate::harness::process::text;
use crate::harness::tools::node as script_of_node;
use crate::harness::web::get;

/// A script with a browser for these two pages; `None` where something is not installed.
fn script(name: &str, hub: &str, node: &str) -> Option<Command> {
    if !installed(&["chromium"]) {
        return None;
    }
    let mut script = script_of_node(name)?;
    script.env("HUB", format!("http://{hub}")).env("NODE", format!("http://{node}")).env("SHOTS", shots());
    Some(script)
}

#[test]
fn a_meeting_is_made_synced_and_downloaded_on_the_page() {
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 0);
    let node = NodeSite::new(&lab, &site.hub, json!({}));
    let _running = node.start();
    let Some(mut script) = script("browser/hub.mjs", &site.hub, &node.address) else { return };
    let files = [
        lab.file("plan.bin", Pattern::new(1, 3_000_000).bytes()),
        lab.file("预算 & notes.txt", Pattern::new(2, 70_000).bytes()),
    ];
    let mut browser = lab.process("browser", script.args(files).arg(lab.path("by-browser.zip")));
    let command = says(&mut browser, "command");
    let package = site.package("budget");
    assert!(std::fs::read(lab.path("by-browser.zip")).unwrap() == package, "what the link gives");
    let words: Vec<&str> = command.split(' ').collect();
    let ["client", "fetch", address] = words[..] else { panic!("{command}") };
    let fetched = lab.client(&["fetch", address, "-o", &lab.arg("by-client.zip")]);
    assert!(fetched.status.success(), "{command}: {:?}", text(&fetched));
    assert!(std::fs::read(lab.path("by-client.zip")).unwrap() == package, "what the command gives");
    succeeds(browser);
}

#[test]
fn a_node_is_watched_configured_and_stopped_on_its_page() {
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 0);
    let node = NodeSite::new(&lab, &site.hub, json!({}));
    let _running = node.start();
    site.meeting("m1", &Pattern::new(3, 1_000_000).bytes());
    node.wait_for("m1");
    let path = "/api/v1/meetings/m1/download-package";
    let Some(mut script) = script("browser/node.mjs", &site.hub, &node.address) else { return };
    let mut browser = lab.process("browser", script.arg(path));
    says(&mut browser, "stopped");
    succeeds(browser);
    assert!(get(&node.address, path, &[]).body == site.package("m1"));
    let kept = std::fs::read_to_string(node.file("node_config.json")).unwrap();
    assert!(kept.contains("\"north\""), "{kept}");
}
