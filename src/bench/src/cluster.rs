//! A small cluster: a tracker, an id server and a storage, each its own process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tnv_proto::UserId;
use tnv_testbed::{DEADLINE, Daemon};
use tokio::time::{sleep, timeout};

use crate::Bench;
use crate::wire::Wire;

/// Servers on free ports with their data in one folder. Dropped, they are killed, those first that need the others.
pub(crate) struct Cluster {
    storage: Daemon,
    _id: Daemon,
    _tracker: Daemon,
    address: SocketAddr,
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
        let database = format!("database.url={database}");
        let program = bench.tnv().to_owned();
        let launch = |role: &str, settings: &[&str]| {
            start(&program, folder, role, &[&[database.as_str()], settings].concat())
        };
        let (tracker, tracker_at) = launch("tracker", &[])?;
        let (id, id_at) = launch("id", &[])?;
        let store = format!("store_paths=[{:?}]", folder.join("store").display().to_string());
        let (trackers, ids) = (format!("trackers=[\"{tracker_at}\"]"), format!("ids=[\"{id_at}\"]"));
        let own = [store.as_str(), &trackers, &ids];
        let (storage, address) = launch("storage", &[&own[..], settings].concat())?;
        let cluster = Cluster { storage, _id: id, _tracker: tracker, address };
        wait_until_active(bench, tracker_at)?;
        Ok(cluster)
    }

    /// Where its storage listens.
    pub(crate) fn storage(&self) -> SocketAddr {
        self.address
    }

    /// The process of its storage.
    pub(crate) fn storage_pid(&self) -> u32 {
        self.storage.pid()
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
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TNV_") {
            command.env_remove(name);
        }
    }
    command.args([role, "--listen", "127.0.0.1:0"]);
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    let mut daemon = Daemon::start(folder, role, &mut command);
    let log = folder.join(format!("{role}.log"));
    let mut address = None;
    daemon.wait_until("ready", || {
        address = std::fs::read_to_string(&log).ok().and_then(|log| ready_line(&log));
        address.is_some()
    });
    let address = address.with_context(|| format!("the {role} is not ready"))?;
    Ok((daemon, address.parse().with_context(|| format!("the {role} listens at {address}"))?))
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
