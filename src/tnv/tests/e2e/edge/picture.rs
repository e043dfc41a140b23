//! The whole picture: a client asks the hub and gets the package from a node.

use super::{NodeSite, Site};
use crate::harness::eventually;
use crate::harness::lab::Lab;
use crate::harness::process::run;
use crate::harness::web::get;
use serde_json::json;

#[test]
fn a_client_of_the_hub_gets_the_package_from_a_node() {
    let lab = Lab::new();
    let mut site = Site::start(&lab, &["--demo"], 2);
    let path = "/api/v1/meetings/demo/download-package";
    let to = eventually("a node that holds the package", || {
        let sent = get(&site.hub, path, &[]);
        (sent.status == 302).then(|| sent.header("location").unwrap().to_owned())
    });
    let (address, rest) = to.strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert!(site.nodes.iter().any(|node| node == address), "{to}");
    let package = get(address, &format!("/{rest}"), &[]);
    assert_eq!(package.status, 200);
    assert!(package.body == site.package("demo"));
    assert_eq!(package.header("content-disposition"), Some("attachment; filename=\"meeting_demo.zip\""));
    // Whoever asks the wrong node for a version gets none, and not another one.
    let other = get(address, &format!("{path}?version={}", "0".repeat(64)), &[]);
    assert_eq!(other.status, 409, "{}", other.text());
    assert!(site.process.terminate().success());
}

#[test]
fn curl_follows_the_hub_and_resumes_at_the_node() {
    let lab = Lab::new();
    if !crate::harness::installed(&["curl"]) {
        return;
    }
    let site = Site::start(&lab, &[], 1);
    site.meeting("m1", &[7; 3_000_000]);
    eventually("the node holds it", || {
        (get(&site.hub, "/api/v1/meetings/m1/download-package", &[]).status == 302).then_some(())
    });
    let package = site.package("m1");
    let half = lab.file("m1.zip", &package[..1_000_000]);
    let url = format!("http://{}/api/v1/meetings/m1/download-package", site.hub);
    let output = run("curl", &["-sSf", "-L", "-C", "-", "-o", &half, &url]);
    assert!(output.status.success(), "{output:?}");
    assert!(std::fs::read(&half).unwrap() == package);
}

#[test]
fn a_node_of_its_own_logs_as_its_configuration_says() {
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 0);
    let logging = json!({"logging": {"filePath": "./logs/node.log", "maxFileSize": 2000, "backupCount": 2}});
    let node = NodeSite::new(&lab, &site.hub, logging);
    let mut process = node.start();
    site.meeting("m1", &[1; 1000]);
    node.wait_for("m1");
    for _ in 0..80 {
        assert_eq!(get(&node.address, "/api/v1/meetings/m1/download-package", &[]).status, 200);
    }
    assert!(process.terminate().success());
    let mut names: Vec<String> = std::fs::read_dir(node.file("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["node.log", "node.log.1", "node.log.2"]);
    for name in &names {
        let text = std::fs::read_to_string(node.file(&format!("logs/{name}"))).unwrap();
        assert!(text.len() <= 2000, "{name} has {} bytes", text.len());
        for line in text.lines() {
            let form = line.split(" - ").collect::<Vec<_>>();
            assert!(form.len() >= 4 && form[0].len() == 19 && form[1] == "file_node", "{line}");
            assert!(["INFO", "WARNING", "ERROR"].contains(&form[2]), "{line}");
        }
    }
    let last = std::fs::read_to_string(node.file("logs/node.log")).unwrap();
    assert!(last.contains("文件服务节点已停止 [ID: node-x]"), "{last}");
}

#[test]
fn mistakes_are_named_before_a_start() {
    let lab = Lab::new();
    let node = NodeSite::new(&lab, "127.0.0.1:1", json!({"syncInterval": 0, "weight": "x"}));
    let output = node.command().arg("--check").env("API_KEY", "a b").output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for key in ["syncInterval: 0 is out of range", "weight:", "environment API_KEY:"] {
        assert!(text.contains(key), "{text}");
    }
    let good = NodeSite::new(&lab, "127.0.0.1:1", json!({"colour": 1}));
    let output = good.command().arg("--check").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("colour: no such key") && text.contains("ok: "),
        "{text}"
    );
}
