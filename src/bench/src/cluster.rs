//! A small cluster: a tracker, an id server, a storage and perhaps a gateway or a hub, each its own process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tnv_proto::{FileKey, UserId};
use tnv_testbed::{DEADLINE, Daemon};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::wire::{Uploads, Wire};

/// Servers on free ports with their data in one folder. Dropped, they are killed, those first that need the others.
pub(crate) struct Cluster {
    gateway: Option<(Daemon, SocketAddr)>,
    hub: Option<(Daemon, SocketAddr)>,
    /// More storages of the group.
    others: Vec<Daemon>,
    storage: Daemon,
    id: Daemon,
    tracker: Daemon,
    address: SocketAddr,
    tracker_at: SocketAddr,
    id_at: SocketAddr,
    program: PathBuf,
    folder: PathBuf,
    /// The key that says where the rows are.
    database: String,
}

impl Cluster {
    /// Starts one with its catalog at `database`, and returns when its storage takes files. `settings` are more keys of
    /// the storage.
    ///
    /// # Errors
    /// If a server says what makes no sense; one that does not start is a panic with the end of its log.
    pub(crate) fn start(
        bench: &mut Bench,
        folder: &Path,
        database: &str,
        settings: &[&str],
    ) -> anyhow::Result<Cluster> {
        let program = bench.tnv().to_owned();
        Cluster::start_of(bench, &program, folder, database, settings)
    }

    /// The same with its catalog in a file, in a new folder of that name.
    ///
    /// # Errors
    /// As [`start`](Cluster::start).
    pub(crate) fn start_in(bench: &mut Bench, name: &str, settings: &[&str]) -> anyhow::Result<Cluster> {
        let folder = bench.folder(name)?;
        let database = format!("sqlite:{}", folder.join("tnv.db").display());
        Cluster::start(bench, &folder, &database, settings)
    }

    /// As [`start`](Cluster::start), of another program.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn start_of(
        bench: &mut Bench,
        program: &Path,
        folder: &Path,
        database: &str,
        settings: &[&str],
    ) -> anyhow::Result<Cluster> {
        let database = format!("database.url={database}");
        let launch = |role: &str, settings: &[&str]| {
            start(program, folder, role, &[&[database.as_str()], settings].concat())
        };
        let (tracker, tracker_at) = launch("tracker", &[])?;
        let (id, id_at) = launch("id", &[])?;
        let store = format!("store_paths=[{:?}]", folder.join("store").display().to_string());
        let (trackers, ids) = (format!("trackers=[\"{tracker_at}\"]"), format!("ids=[\"{id_at}\"]"));
        let own = [store.as_str(), &trackers, &ids];
        let (storage, address) = launch("storage", &[&own[..], settings].concat())?;
        wait_until_active(bench, tracker_at)?;
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Ok(Cluster {
            gateway: None,
            hub: None,
            others: Vec::new(),
            storage,
            id,
            tracker,
            address,
            tracker_at,
            id_at,
            program,
            folder,
            database,
        })
    }

    /// Starts a gateway in front of it, and returns when it is ready. `settings` are more keys of the gateway.
    ///
    /// # Errors
    /// As [`start`](Cluster::start).
    pub(crate) fn start_gateway(&mut self, settings: &[&str]) -> anyhow::Result<SocketAddr> {
        let trackers = format!("trackers=[\"{}\"]", self.tracker_at);
        let settings = [&[trackers.as_str()], settings].concat();
        let (gateway, address) = start(&self.program, &self.folder, "http", &settings)?;
        self.gateway = Some((gateway, address));
        Ok(address)
    }

    /// Starts a hub beside it, and returns when it is ready. `settings` are more keys of the hub.
    ///
    /// # Errors
    /// As [`start`](Cluster::start).
    pub(crate) fn start_hub(&mut self, settings: &[&str]) -> anyhow::Result<SocketAddr> {
        let trackers = format!("trackers=[\"{}\"]", self.tracker_at);
        let database = format!("database.url=sqlite:{}", self.folder.join("hub.db").display());
        let uploads = format!("upload_dir={:?}", self.folder.join("uploads").display().to_string());
        let settings = [&[trackers.as_str(), &database, &uploads], settings].concat();
        let (hub, address) = start(&self.program, &self.folder, "hub", &settings)?;
        self.hub = Some((hub, address));
        Ok(address)
    }

    /// Starts one more storage, with a folder of its own, and returns where its files go. `settings` are more keys of it.
    ///
    /// # Errors
    /// As [`start`](Cluster::start).
    pub(crate) fn add_storage(&mut self, settings: &[&str]) -> anyhow::Result<PathBuf> {
        let name = format!("store-{}", self.others.len() + 2);
        let store = self.folder.join(&name);
        let store_paths = format!("store_paths=[{:?}]", store.display().to_string());
        let (trackers, ids) =
            (format!("trackers=[\"{}\"]", self.tracker_at), format!("ids=[\"{}\"]", self.id_at));
        let own = [self.database.as_str(), &store_paths, &trackers, &ids];
        let settings = [&own[..], settings].concat();
        let mut command = Command::new(&self.program);
        command.args(["storage", "--listen", "127.0.0.1:0"]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let (storage, _) = launch(&self.folder, &name, &mut command)?;
        self.others.push(storage);
        Ok(store)
    }

    /// Ends the storage that was added last.
    pub(crate) fn remove_storage(&mut self) {
        drop(self.others.pop());
    }

    /// The processes of all its storages.
    pub(crate) fn storage_pids(&self) -> Vec<u32> {
        [&self.storage].into_iter().chain(&self.others).map(Daemon::pid).collect()
    }

    /// Where the files of its first storage lie.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Where its storage listens.
    pub(crate) fn storage(&self) -> SocketAddr {
        self.address
    }

    /// The process of its storage.
    pub(crate) fn storage_pid(&self) -> u32 {
        self.storage.pid()
    }

    /// Where its gateway listens, if it has one.
    pub(crate) fn gateway(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(|(_, address)| *address)
    }

    /// The process of its gateway, if it has one.
    pub(crate) fn gateway_pid(&self) -> Option<u32> {
        self.gateway.as_ref().map(|(gateway, _)| gateway.pid())
    }

    /// The process of its hub, if it has one.
    pub(crate) fn hub_pid(&self) -> Option<u32> {
        self.hub.as_ref().map(|(hub, _)| hub.pid())
    }

    /// The process of its tracker.
    pub(crate) fn tracker_pid(&self) -> u32 {
        self.tracker.pid()
    }

    /// Where its tracker listens.
    pub(crate) fn tracker(&self) -> SocketAddr {
        self.tracker_at
    }

    /// Where its id server listens.
    pub(crate) fn id(&self) -> SocketAddr {
        self.id_at
    }

    /// The process of its id server.
    pub(crate) fn id_pid(&self) -> u32 {
        self.id.pid()
    }

    /// Uploads so many files of this size, of users `user00` to `user07`, and returns what they are called.
    ///
    /// # Errors
    /// If the storage refuses one.
    pub(crate) fn fill(&self, bench: &mut Bench, files: usize, size: u64) -> anyhow::Result<Vec<FileKey>> {
        let storage = self.storage();
        bench.run(async {
            let mut uploading = JoinSet::new();
            for n in 0..files.min(8) {
                let share = (n..files).step_by(8).count();
                let mut uploads = Uploads::connect(storage, &format!("user{n:02}"), size).await?;
                uploading.spawn(async move {
                    let mut keys = Vec::new();
                    for _ in 0..share {
                        keys.push(uploads.upload().await?);
                    }
                    anyhow::Ok(keys)
                });
            }
            let mut keys = Vec::new();
            while let Some(uploaded) = uploading.join_next().await {
                keys.append(&mut uploaded??);
            }
            Ok(keys)
        })
    }
}

fn wait_until_active(bench: &mut Bench, tracker: SocketAddr) -> anyhow::Result<()> {
    let user = UserId::new("bench")?;
    let active = async {
        let mut wire = Wire::connect(tracker).await?;
        while wire.storages(&user).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    bench.run(async { timeout(DEADLINE, active).await.context("no storage becomes active")? })
}

/// Starts a role with nothing but these settings, and returns when it is ready.
fn start(
    program: &Path,
    folder: &Path,
    role: &str,
    settings: &[&str],
) -> anyhow::Result<(Daemon, SocketAddr)> {
    let mut command = Command::new(program);
    command.args([role, "--listen", "127.0.0.1:0"]);
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    launch(folder, role, &mut command)
}

/// Starts a server with its log in `folder`, and returns when it says that it is ready, and where.
///
/// # Errors
/// If it says what makes no sense; if it does not start, that is a panic with the end of its log.
pub(crate) fn launch(
    folder: &Path,
    name: &str,
    command: &mut Command,
) -> anyhow::Result<(Daemon, SocketAddr)> {
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("TNV_") {
            command.env_remove(variable);
        }
    }
    let log = folder.join(format!("{name}.log"));
    // What an earlier server in a folder that is kept said is not said by this one.
    if log.exists() {
        std::fs::remove_file(&log)?;
    }
    let mut daemon = Daemon::start(folder, name, command);
    let mut address = None;
    daemon.wait_until("ready", || {
        address = std::fs::read_to_string(&log).ok().and_then(|log| ready_line(&log));
        address.is_some()
    });
    let address = address.with_context(|| format!("the {name} is not ready"))?;
    Ok((daemon, address.parse().with_context(|| format!("the {name} listens at {address}"))?))
}

/// The address in the line `ready ADDRESS`, if that has been written to its end.
fn ready_line(log: &str) -> Option<String> {
    let (_, behind) =
        log.split_once("ready ").filter(|(before, _)| before.is_empty() || before.ends_with('\n'))?;
    behind.split_once('\n').map(|(address, _)| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_is_read() {
        assert_eq!(ready_line("ready 127.0.0.1:1"), None);
        assert_eq!(ready_line("INFO begins\nready 127.0.0.1:12\n").as_deref(), Some("127.0.0.1:12"));
        assert_eq!(ready_line("INFO not ready yet\n"), None);
    }
}
