//! Two hosts and somebody outside of them, each a network namespace, at one bridge.

use std::ffi::OsStr;
use std::process::Command;

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::harness::process::{command, text};
use crate::harness::{installed, say};

/// 192.0.2.1 and 192.0.2.2.
pub(super) const HOSTS: [&str; 2] = ["a", "b"];
/// 192.0.2.3, where the bridge is, too.
pub(super) const OUTSIDE: &str = "outside";

/// The network. Dropped, it is gone, and all that runs in it.
pub(super) struct Lan {
    /// What the names of the namespaces begin with: the machine has one list of them.
    prefix: String,
}

impl Lan {
    /// `None`, and a sentence, where that cannot be; in CI that is a failure.
    #[track_caller]
    pub(super) fn new() -> Option<Lan> {
        if !installed(&["ip", "keepalived", "curl", "bash"]) {
            return None;
        }
        let lan = Lan { prefix: format!("tnv-{}-", std::process::id()) };
        if !geteuid().is_root() || !lan.try_ip(&["netns", "add", &lan.name(OUTSIDE)]) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI may make network namespaces");
            say("skipped: only root may make network namespaces, and not everywhere");
            return None;
        }
        lan.build();
        Some(lan)
    }

    #[track_caller]
    fn build(&self) {
        let outside = self.name(OUTSIDE);
        self.ip(&["-n", &outside, "link", "set", "lo", "up"]);
        self.ip(&["-n", &outside, "link", "add", "bridge", "type", "bridge"]);
        self.ip(&["-n", &outside, "addr", "add", "192.0.2.3/24", "dev", "bridge"]);
        self.ip(&["-n", &outside, "link", "set", "bridge", "up"]);
        for (n, host) in HOSTS.into_iter().enumerate() {
            let (name, port, address) = (self.name(host), port(n), format!("192.0.2.{}/24", n + 1));
            self.ip(&["netns", "add", &name]);
            self.ip(&["-n", &name, "link", "set", "lo", "up"]);
            let cable = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name];
            self.ip(&[&["-n", &outside][..], &cable].concat());
            self.ip(&["-n", &outside, "link", "set", &port, "master", "bridge", "up"]);
            self.ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"]);
            self.ip(&["-n", &name, "link", "set", "eth0", "up"]);
        }
    }

    /// A program that runs on one of the three.
    pub(super) fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        let mut ip = command("ip");
        ip.args(["netns", "exec", &self.name(host)]).arg(program);
        ip
    }

    /// Whether a host has an address now.
    pub(super) fn has(&self, host: usize, address: &str) -> bool {
        let shown =
            command("ip").args(["-n", &self.name(HOSTS[host]), "-4", "addr", "show"]).output().unwrap();
        text(&shown).0.contains(&format!(" {address}/"))
    }

    /// Pulls a host's cable.
    #[track_caller]
    pub(super) fn unplug(&self, host: usize) {
        self.ip(&["-n", &self.name(OUTSIDE), "link", "set", &port(host), "down"]);
    }

    fn name(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    #[track_caller]
    fn ip(&self, args: &[&str]) {
        assert!(self.try_ip(args), "ip {args:?}");
    }

    fn try_ip(&self, args: &[&str]) -> bool {
        command("ip").args(args).status().is_ok_and(|status| status.success())
    }
}

fn port(host: usize) -> String {
    format!("port-{}", HOSTS[host])
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in [HOSTS[0], HOSTS[1], OUTSIDE] {
            let Ok(inside) = command("ip").args(["netns", "pids", &self.name(host)]).output() else {
                continue;
            };
            for pid in text(&inside).0.lines().filter_map(|pid| Pid::from_raw(pid.trim().parse().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = command("ip").args(["netns", "del", &self.name(host)]).output();
        }
    }
}
