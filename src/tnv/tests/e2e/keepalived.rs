//! Virtual addresses in front of two hosts, with the configuration and the health check that come with tnv: the hosts are
//! network namespaces at a bridge, and whoever holds an address loses its server, then its cable.

mod lan;

use std::process::Output;

use crate::harness::eventually;
use crate::harness::lab::{APP, Lab, Role, Server, USER};
use crate::harness::pattern::Pattern;
use crate::harness::process::{Process, text, tnv};

use self::lan::{HOSTS, Lan, OUTSIDE};

/// Role, virtual address and port, as etc/keepalived/keepalived.conf has them.
const FRONTS: [(&str, &str, u16); 3] =
    [("http", "192.0.2.80", 8080), ("tracker", "192.0.2.21", 21000), ("storage", "192.0.2.23", 23000)];

#[test]
fn an_address_leaves_a_host_whose_server_or_cable_is_gone() {
    let lab = Lab::new();
    let Some(lan) = Lan::new() else { return };
    let contents = Pattern::new(11, 700_000).bytes();
    let film = lab.file("film", &contents);
    let mut site = Site::start(&lab, &lan);
    for (_, address, _) in FRONTS {
        site.holder(address);
    }
    let id = site.upload(&film);
    site.assert_served(&id, &contents);
    for (n, (role, address, _)) in FRONTS.into_iter().enumerate() {
        let holder = site.holder(address);
        site.servers[holder][n].process.kill();
        site.wait_until_held(address, 1 - holder);
        site.assert_served(&id, &contents);
        site.servers[holder][n] = start(&lab, &lan, holder, role);
    }
    let holder = site.holder(FRONTS[0].1);
    lan.unplug(holder);
    for (_, address, _) in FRONTS {
        site.wait_until_held(address, 1 - holder);
    }
    site.assert_served(&id, &contents);
}

/// Two hosts with a tracker, a storage and a gateway each, which keepalived watches over, and what they share.
struct Site<'a> {
    lan: &'a Lan,
    lab: &'a Lab,
    /// By host, in the order of `FRONTS`.
    servers: [[Server; 3]; 2],
    _id: Server,
    _keepalived: [Process; 2],
}

impl<'a> Site<'a> {
    #[track_caller]
    fn start(lab: &'a Lab, lan: &'a Lan) -> Site<'a> {
        let id = run(lab, lan, OUTSIDE, &Role::id(lab).listen("192.0.2.3:22000"));
        let servers = [0, 1].map(|host| FRONTS.map(|(role, ..)| start(lab, lan, host, role)));
        let keepalived = [0, 1].map(|host| keepalived(lab, lan, host));
        Site { lan, lab, servers, _id: id, _keepalived: keepalived }
    }

    /// The host that has an address, once it is one alone.
    #[track_caller]
    fn holder(&self, address: &str) -> usize {
        eventually(&format!("one host has {address}"), || {
            match [0, 1].map(|host| self.lan.has(host, address)) {
                [true, false] => Some(0),
                [false, true] => Some(1),
                _ => None,
            }
        })
    }

    #[track_caller]
    fn wait_until_held(&self, address: &str, host: usize) {
        eventually(&format!("{} has {address}", HOSTS[host]), || (self.lan.has(host, address)).then_some(()));
    }

    #[track_caller]
    fn upload(&self, file: &str) -> String {
        let stored = eventually("an upload", || {
            let stored = self.client(&["upload", APP, USER, file]);
            stored.status.success().then_some(stored)
        });
        text(&stored).0.trim().to_owned()
    }

    /// Whoever knows the virtual addresses alone is served. The network may still have to learn where they are.
    #[track_caller]
    fn assert_served(&self, id: &str, contents: &[u8]) {
        let url = format!("http://{}:{}/files/{id}", FRONTS[0].1, FRONTS[0].2);
        let page = eventually("the file from a gateway", || {
            let page = self.outside("curl", &["-sf", "--connect-timeout", "1", &url]);
            page.status.success().then_some(page.stdout)
        });
        assert!(page == contents, "from a gateway: {} bytes", page.len());
        let found = eventually("the file from a storage", || {
            let found = self.client(&["--connect-timeout", "1", "cat", APP, USER, id]);
            found.status.success().then_some(found.stdout)
        });
        assert!(found == contents, "from a storage: {} bytes", found.len());
    }

    /// The client, told of one tracker.
    #[track_caller]
    fn client(&self, args: &[&str]) -> Output {
        let tracker = format!("{}:{}", FRONTS[1].1, FRONTS[1].2);
        let program = tnv().into_os_string().into_string().unwrap();
        self.outside(&program, &[&["client", &tracker], args].concat())
    }

    #[track_caller]
    fn outside(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.lan.command(OUTSIDE, program);
        command.args(args).env("XDG_STATE_HOME", self.lab.path("state"));
        command.output().unwrap()
    }
}

#[track_caller]
fn start(lab: &Lab, lan: &Lan, host: usize, role: &'static str) -> Server {
    let trackers = ["192.0.2.1:21000", "192.0.2.2:21000"];
    let (_, address, port) = FRONTS.into_iter().find(|(front, ..)| *front == role).unwrap();
    let settings = match role {
        "http" => Role::http(&trackers),
        "tracker" => Role::tracker(lab).set("check_interval", "200ms").set("offline_after", "2s"),
        _ => Role::storage(lab, "store", &trackers, &["192.0.2.3:22000"])
            .set("replication", "shared-volume")
            .set("advertise", format!("{address}:{port}"))
            .set("heartbeat_interval", "500ms"),
    };
    let settings = settings.listen(&format!("0.0.0.0:{port}"));
    run(lab, lan, HOSTS[host], &settings)
}

#[track_caller]
fn run(lab: &Lab, lan: &Lan, host: &str, role: &Role) -> Server {
    let args = role.args();
    let name = format!("{}-{host}", args[0]);
    let mut process = lab.process(&name, lan.command(host, tnv()).args(&args));
    let address = process.expect_line("ready ");
    Server { process, address }
}

/// As /etc/keepalived/keepalived.conf, with the check from here.
#[track_caller]
fn keepalived(lab: &Lab, lan: &Lan, host: usize) -> Process {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/keepalived");
    let config = std::fs::read_to_string(format!("{folder}/keepalived.conf")).unwrap();
    assert!(config.contains("/etc/keepalived/check-tnv ") && config.contains("script_user nobody"));
    let config = config.replace("/etc/keepalived/check-tnv", &format!("{folder}/check-tnv"));
    // Nobody may have no way to this folder.
    let config = lab.file("keepalived.conf", config.replace("script_user nobody", "script_user root"));
    let (name, pid) = (HOSTS[host], lab.arg(&format!("keepalived-{}.pid", HOSTS[host])));
    let mut command = lan.command(name, "keepalived");
    command.args(["--dont-fork", "--log-console", "--no-syslog", "--vrrp", "--use-file", &config]);
    command.args(["--pid", &pid, "--vrrp_pid", &format!("{pid}.vrrp")]);
    lab.process(&format!("keepalived-{name}"), &mut command)
}
