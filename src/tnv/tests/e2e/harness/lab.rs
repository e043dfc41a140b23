//! Clusters: a folder of their own, servers as separate processes or all roles in one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::frames::Wire;
use super::process::{Process, command, run, tnv};
use super::{eventually, frames};

pub(crate) const APP: &str = "tnvideo";
pub(crate) const USER: &str = "tnv001";

/// A folder for one test, removed at its end.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        // Under the build's folder and not /tmp, which may be memory: 2 GiB files go here.
        let folder = tempfile::Builder::new().prefix("lab-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Lab { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `path` as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    /// Writes a file into the folder and returns its path as an argument.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), contents).unwrap();
        self.arg(name)
    }

    /// A process whose output goes to this folder.
    pub(crate) fn process(&self, name: &str, command: &mut Command) -> Process {
        Process::start(self.folder.path(), name, command)
    }

    /// All roles in one process, on free ports, with the data in `data`.
    pub(crate) fn up(&self) -> Up {
        self.up_with(&[])
    }

    pub(crate) fn up_with(&self, options: &[&str]) -> Up {
        self.started(self.up_command().args(options))
    }

    /// As [`Lab::up`] with the gateway at a fixed address: started again, clients find it there.
    pub(crate) fn up_at(&self, http: &str) -> Up {
        self.started(&mut self.up_command_at(http))
    }

    fn started(&self, up: &mut Command) -> Up {
        let mut process = self.process("up", up);
        let mut address = |name: &str| process.expect_line(&format!("{name} "));
        let (tracker, id, storage, http) =
            (address("tracker"), address("id"), address("storage"), address("http"));
        let ready = process.expect_line("ready ");
        assert_eq!(ready.trim_end_matches('/'), format!("http://{http}"), "the ready line's URL");
        Up { process, tracker, id, storage, http }
    }

    /// `tnv up` with free ports and the data in `data`.
    pub(crate) fn up_command(&self) -> Command {
        self.up_command_at("127.0.0.1:0")
    }

    fn up_command_at(&self, http: &str) -> Command {
        let mut up = command(tnv());
        up.args(["up", "--data"]).arg(self.path("data"));
        for role in ["--tracker", "--id", "--storage"] {
            up.args([role, "127.0.0.1:0"]);
        }
        up.args(["--http", http]);
        up
    }

    /// The client under its own name.
    #[track_caller]
    pub(crate) fn client(&self, args: &[&str]) -> std::process::Output {
        let state = format!("XDG_STATE_HOME={}", self.arg("state"));
        run("env", &[&[state.as_str(), &self.client_name()], args].concat())
    }

    /// As [`Lab::client`], to be started and watched.
    pub(crate) fn client_command(&self, args: &[&str]) -> Command {
        let mut client = command(self.client_name());
        client.env("XDG_STATE_HOME", self.path("state")).args(args);
        client
    }

    fn client_name(&self) -> String {
        let link = self.path("client");
        if !link.exists() {
            std::os::unix::fs::symlink(tnv(), &link).unwrap();
        }
        self.arg("client")
    }
}

/// A running `tnv up` and its addresses.
pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) tracker: String,
    pub(crate) id: String,
    pub(crate) storage: String,
    pub(crate) http: String,
}

/// How to start a server of one role; started again, it is the same server.
#[derive(Clone)]
pub(crate) struct Role {
    role: &'static str,
    name: String,
    listen: String,
    config: Option<String>,
    settings: Vec<String>,
}

impl Role {
    fn new(role: &'static str) -> Role {
        Role { role, name: role.to_owned(), listen: own_address(), config: None, settings: Vec::new() }
    }

    /// A server that takes everything but its address from a file.
    pub(crate) fn configured(role: &'static str, file: &str) -> Role {
        Role { config: Some(file.to_owned()), ..Role::new(role) }
    }

    pub(crate) fn tracker(lab: &Lab) -> Role {
        Role::new("tracker").database(lab)
    }

    pub(crate) fn id(lab: &Lab) -> Role {
        Role::new("id").database(lab)
    }

    /// A storage whose files go to `store` in the lab's folder.
    pub(crate) fn storage(lab: &Lab, store: &str, trackers: &[&str], ids: &[&str]) -> Role {
        Role::new("storage")
            .database(lab)
            .set("group", "group001")
            .set("store_paths", list(&[&lab.arg(store)]))
            .set("trackers", list(trackers))
            .set("ids", list(ids))
    }

    pub(crate) fn http(trackers: &[&str]) -> Role {
        Role::new("http").set("trackers", list(trackers))
    }

    pub(crate) fn hub(lab: &Lab, trackers: &[&str]) -> Role {
        Role::new("hub").database(lab).set("trackers", list(trackers)).set("upload_dir", lab.arg("uploads"))
    }

    fn database(self, lab: &Lab) -> Role {
        let url = format!("sqlite:{}", lab.arg("catalog.db"));
        self.set("database.url", url)
    }

    /// Keeps its rows in these databases, not in the lab's file.
    pub(crate) fn databases(self, urls: &[String]) -> Role {
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        self.set("database.urls", list(&urls))
    }

    /// Another name for its log files, where several servers have the same role.
    pub(crate) fn named(mut self, name: &str) -> Role {
        self.name = name.to_owned();
        self
    }

    pub(crate) fn listen(mut self, address: &str) -> Role {
        self.listen = address.to_owned();
        self
    }

    /// `--set key=value`.
    pub(crate) fn set(mut self, key: &str, value: impl std::fmt::Display) -> Role {
        self.settings.push(format!("{key}={value}"));
        self
    }

    pub(crate) fn args(&self) -> Vec<&str> {
        let mut args = vec![self.role, "--listen", &self.listen];
        args.extend(self.config.iter().flat_map(|file| ["--config", file]));
        args.extend(self.settings.iter().flat_map(|setting| ["--set", setting]));
        args
    }

    #[track_caller]
    pub(crate) fn start(&self, lab: &Lab) -> Server {
        let mut process = lab.process(&self.name, command(tnv()).args(self.args()));
        let ready = process.expect_line("ready ");
        assert_eq!(ready.trim_start_matches("http://").trim_end_matches('/'), self.listen, "the ready line");
        Server { process, address: self.listen.clone() }
    }
}

/// An address for one server alone, so that it can be started again there. It lies below the ports that the system
/// hands out by itself, which may go to any connection while the server is down.
pub(crate) fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = 12_000 + (std::process::id() * 97 + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// A list in TOML.
pub(crate) fn list(items: &[&str]) -> String {
    format!("[{}]", items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", "))
}

/// A running server of one role.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
}

/// Waits until the tracker has a storage for this user; its group and the addresses.
#[track_caller]
pub(crate) fn wait_active(tracker: &str, user: &str) -> (String, Vec<String>) {
    eventually("an active storage", || {
        let reply = Wire::connect(tracker).call(12, &frames::key(APP, user, ""));
        (reply.status == 0).then(|| frames::addresses(&reply.body))
    })
}

/// Waits until the tracker shows this many storages with this status.
#[track_caller]
pub(crate) fn wait_status(tracker: &str, status: &str, count: usize) {
    eventually(&format!("{count} storages {status}"), || {
        let text = frames::groups(tracker);
        let line = format!("                  STATUS: {status}");
        (text.lines().filter(|found| *found == line).count() == count).then_some(())
    });
}

/// Waits until nothing of a half-done upload is left below `folder`: a refusal does not wait for the removal.
#[track_caller]
pub(crate) fn assert_no_temps(folder: &Path) {
    eventually("no temporary file", || super::temps_below(folder).is_empty().then_some(()));
}
