//! A master, its replica, and sentinels that put the one in the other's place.

use std::path::Path;

use tempfile::TempDir;

use super::{Server, ask};
use crate::{Daemon, command, eventually, free_ports};

/// Under which the sentinels know the master.
const SERVICE: &str = "films";

/// A master and a replica of Redis, watched by three sentinels that are quick to act. Dropped, all are killed.
#[derive(Debug)]
pub struct Sentinel {
    servers: Vec<Server>,
    sentinels: Vec<(u16, Daemon)>,
    /// Removed when all that lies in it is gone.
    _folder: TempDir,
}

impl Sentinel {
    /// What must be [`installed`](crate::installed).
    pub const PROGRAMS: &[&str] = &["redis-server", "redis-sentinel", "redis-cli"];

    /// Starts all five, and returns when the sentinels know each other and both servers.
    ///
    /// # Panics
    /// If they do not find together.
    #[track_caller]
    pub fn start() -> Sentinel {
        let folder = TempDir::new().expect("a temporary folder");
        let [master, replica, a, b, c] = free_ports();
        let primary = Server::start(folder.path(), master, &[]);
        let of = ["--replicaof", "127.0.0.1", &master.to_string(), "--repl-diskless-sync-delay", "0"];
        let servers = vec![primary, Server::start(folder.path(), replica, &of)];
        eventually("the replica follows", || {
            servers[0].command(&["INFO", "replication"]).contains("state=online").then_some(())
        });
        let sentinels: Vec<_> =
            [a, b, c].into_iter().map(|port| (port, sentinel(folder.path(), port, master))).collect();
        for (port, _) in &sentinels {
            eventually("the sentinels find together", || {
                let state = ask(*port, None, &["SENTINEL", "MASTER", SERVICE])?;
                (state.contains("num-slaves\n1\n") && state.contains("num-other-sentinels\n2\n"))
                    .then_some(())
            });
        }
        Sentinel { servers, sentinels, _folder: folder }
    }

    /// `redis+sentinel://` with all three sentinels and the name of the service.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The port of the master, as the first sentinel knows it.
    #[track_caller]
    pub fn master(&self) -> u16 {
        let address = ask(self.sentinels[0].0, None, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
        let address = address.expect("a sentinel answers");
        address.lines().last().and_then(|port| port.parse().ok()).expect("an address of two lines")
    }

    /// What `redis-cli` prints for a command to the present master.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> String {
        ask(self.master(), None, arguments).expect("the master answers")
    }

    /// The present master crashes; the replica becomes the master after about a second.
    #[track_caller]
    pub fn kill_master(&mut self) {
        let master = self.master();
        let server = self.servers.iter_mut().find(|server| server.port == master);
        server.expect("one of the two").daemon.kill();
    }
}

#[track_caller]
fn sentinel(folder: &Path, port: u16, master: u16) -> Daemon {
    // It writes into its own configuration.
    let file = folder.join(format!("sentinel-{port}.conf"));
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {SERVICE} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 2000\n",
        folder.display()
    );
    std::fs::write(&file, text).expect("a configuration can be written");
    let mut daemon = Daemon::start(folder, &format!("sentinel-{port}"), command("redis-sentinel").arg(&file));
    daemon.wait_until("answering", || ask(port, None, &["PING"]).as_deref() == Some("PONG"));
    daemon
}
