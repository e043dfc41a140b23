//! Hub and file service nodes: packages of meetings near their readers.

mod beyond;
mod bounds;
mod contract;
mod ledger;
mod metalink;
mod package;
mod pages;
mod picture;
mod stops;

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::lab::{Lab, own_address};
use crate::harness::process::{Process, command, tnv};
use crate::harness::web::{Web, get};
use crate::harness::{DEADLINE, eventually};

/// A cluster with a hub, in one process.
struct Site {
    process: Process,
    hub: String,
    nodes: Vec<String>,
}

impl Site {
    fn start(lab: &Lab, options: &[&str], nodes: usize) -> Site {
        let mut up = lab.up_command();
        let count = nodes.to_string();
        let mut process =
            lab.process("up", up.args(["--hub", "127.0.0.1:0", "--nodes", &count]).args(options));
        let hub = process.expect_line("hub ");
        let nodes = (1..=nodes).map(|number| process.expect_line(&format!("node-{number} "))).collect();
        process.expect_line("ready ");
        Site { process, hub, nodes }
    }

    /// Makes a meeting that runs, with one file.
    fn meeting(&self, id: &str, contents: &[u8]) {
        let mut web = Web::connect(&self.hub);
        let kind = ("Content-Type", "application/json");
        let made =
            web.post("/api/v1/meetings", &[kind], json!({"id": id, "title": id}).to_string().as_bytes());
        assert_eq!(made.status, 201, "{}", made.text());
        let mut form =
            format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{id}.bin\"\r\n\r\n")
                .into_bytes();
        form.extend_from_slice(contents);
        form.extend_from_slice(b"\r\n--b--\r\n");
        let kind_of_form = ("Content-Type", "multipart/form-data; boundary=b");
        let added = web.post(&format!("/api/v1/meetings/{id}/files"), &[kind_of_form], &form);
        assert!((200..300).contains(&added.status), "{}", added.text());
        let started = web.post(&format!("/api/v1/meetings/{id}/start"), &[kind], b"{}");
        assert!((200..300).contains(&started.status), "{}", started.text());
    }

    /// The package as the hub makes it.
    fn package(&self, id: &str) -> Vec<u8> {
        let direct = get(&self.hub, &format!("/api/v1/meetings/{id}/download-package-direct"), &[]);
        assert_eq!(direct.status, 200, "{}", direct.text());
        direct.body
    }
}

/// A node with a process and a folder of its own.
struct NodeSite<'a> {
    lab: &'a Lab,
    /// Its folder, and what its output is called.
    name: String,
    address: String,
}

impl<'a> NodeSite<'a> {
    fn new(lab: &'a Lab, hub: &str, settings: Value) -> NodeSite<'a> {
        NodeSite::named(lab, "node", "node-x", hub, settings)
    }

    fn named(lab: &'a Lab, name: &str, id: &str, hub: &str, settings: Value) -> NodeSite<'a> {
        std::fs::create_dir_all(lab.path(name)).unwrap();
        let mut config = json!({
            "mainServerUrl": format!("http://{hub}"),
            "nodeId": id,
            "syncInterval": 1,
            "heartbeat": {"interval": 1},
        });
        for (key, value) in settings.as_object().unwrap() {
            config[key] = value.clone();
        }
        lab.file(&format!("{name}/node_config.json"), config.to_string());
        NodeSite { lab, name: name.to_owned(), address: own_address() }
    }

    fn command(&self) -> Command {
        let mut node = command(tnv());
        let port = self.address.rsplit(':').next().unwrap();
        node.args([
            "node",
            "--host",
            "127.0.0.1",
            "--port",
            port,
            "--config",
            &self.lab.arg(&format!("{}/node_config.json", self.name)),
        ]);
        for variable in
            ["NODE_ID", "NODE_IP", "NODE_PORT", "MAIN_SERVER_URL", "API_KEY", "STORAGE_PATH", "SYNC_INTERVAL"]
        {
            node.env_remove(variable);
        }
        node
    }

    #[track_caller]
    fn start(&self) -> Process {
        let mut process = self.lab.process(&self.name, &mut self.command());
        assert_eq!(process.expect_line("ready "), self.address);
        process
    }

    fn status(&self) -> Value {
        get(&self.address, "/api/status", &[]).json()
    }

    /// Waits until a package is there.
    #[track_caller]
    fn wait_for(&self, meeting: &str) {
        let path = format!("/api/v1/node/meetings/{meeting}/status");
        eventually(&format!("{meeting} within {DEADLINE:?}"), || {
            (get(&self.address, &path, &[]).json()["exists"] == true).then_some(())
        });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.path(&self.name).join(name)
    }

    /// A counter or gauge of its own.
    fn metric(&self, name: &str) -> u64 {
        let text = get(&self.address, "/metrics", &[]).text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
    }
}
