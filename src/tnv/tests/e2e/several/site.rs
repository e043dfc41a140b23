//! The cluster of `scripts/cluster`, in a folder of its own and on free ports.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::lab::Lab;
use crate::harness::process::{command, text, tnv};

/// What it needs.
pub(super) const PROGRAMS: &[&str] =
    &["bash", "mariadbd", "mariadb-install-db", "mariadb", "redis-server", "redis-cli"];

/// All servers of the project in it, by the script's names.
pub(super) const SERVERS: [&str; 10] = [
    "tracker-1",
    "tracker-2",
    "id-1",
    "id-2",
    "storage-1",
    "storage-2",
    "storage-3",
    "storage-4",
    "http-1",
    "http-2",
];

/// A running cluster. Dropped, it is stopped.
pub(super) struct Site {
    base: u16,
    lab: Lab,
}

impl Site {
    #[track_caller]
    pub(super) fn up() -> Site {
        let site = Site { base: free_base(), lab: Lab::new() };
        site.up_again();
        site
    }

    #[track_caller]
    pub(super) fn up_again(&self) {
        let said = self.script(&["up", "--base-port", &self.base.to_string()]);
        let ready = said.lines().last().unwrap_or_default();
        assert_eq!(ready, format!("ready http://{}", self.gateways()[0]), "{said}");
        let status = self.script(&["status"]);
        let up = status.lines().filter(|line| line.contains(" up")).count();
        assert_eq!(up, SERVERS.len() + 2, "{status}");
    }

    #[track_caller]
    pub(super) fn down(&self) {
        self.script(&["down"]);
        let (status, is_up) = self.run(&["status"]);
        assert!(!is_up && !status.contains(" up"), "{status}");
    }

    #[track_caller]
    pub(super) fn kill(&self, name: &str) {
        self.script(&["kill", name]);
    }

    #[track_caller]
    pub(super) fn start(&self, name: &str) {
        self.script(&["start", name]);
    }

    pub(super) fn trackers(&self) -> [String; 2] {
        [self.at(1), self.at(2)]
    }

    pub(super) fn ids(&self) -> [String; 2] {
        [self.at(11), self.at(12)]
    }

    pub(super) fn gateways(&self) -> [String; 2] {
        [self.at(81), self.at(82)]
    }

    /// The store path of a group.
    pub(super) fn folder(&self, group: &str) -> PathBuf {
        self.lab.path("cluster").join(group).join("store")
    }

    fn at(&self, offset: u16) -> String {
        format!("127.0.0.1:{}", self.base + offset)
    }

    #[track_caller]
    fn script(&self, args: &[&str]) -> String {
        let (said, succeeded) = self.run(args);
        assert!(succeeded, "scripts/cluster {args:?}:\n{said}");
        said
    }

    fn run(&self, args: &[&str]) -> (String, bool) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/cluster");
        let mut script = command(script);
        script
            .args(args)
            .arg("--dir")
            .arg(self.lab.path("cluster"))
            .env("TNV_BIN", tnv())
            .stdin(Stdio::null());
        let output = script.output().expect("the script runs");
        let (out, err) = text(&output);
        (out + &err, output.status.success())
    }
}

impl Drop for Site {
    #[expect(clippy::print_stdout, reason = "the test runner keeps it and shows it with the failure")]
    fn drop(&mut self) {
        if self.run(&["status"]).0.contains(" up") {
            self.run(&["down"]);
        }
        if std::thread::panicking() {
            for name in SERVERS {
                let log = self.lab.path("cluster").join(format!("log/{name}.log"));
                let log = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
                let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
                println!("---- {name}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
            }
        }
    }
}

/// Where a hundred ports are free. They lie between those that other tests take and those that the system hands out.
#[track_caller]
fn free_base() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (32_000..32_600).step_by(100).find(|base| (*base..base + 100).all(is_free)).expect("a hundred free ports")
}
