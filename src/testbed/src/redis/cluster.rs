//! A Redis Cluster.

use std::process::Command;

use tempfile::TempDir;

use super::Server;
use crate::{eventually, free_ports};

/// Three masters of a Redis Cluster, each with a third of the slots. Dropped, all are killed.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<Server>,
    /// Removed when all that lies in it is gone.
    _folder: TempDir,
}

impl RedisCluster {
    /// What must be [`installed`](crate::installed).
    pub const PROGRAMS: &[&str] = &["redis-server", "redis-cli"];

    /// Starts all three, and returns when every slot is served.
    ///
    /// # Panics
    /// If they do not find together.
    #[track_caller]
    pub fn start() -> RedisCluster {
        let folder = TempDir::new().expect("a temporary folder");
        let [a, b, c, bus_a, bus_b, bus_c] = free_ports();
        let servers: Vec<_> = [(a, bus_a), (b, bus_b), (c, bus_c)]
            .into_iter()
            .map(|(port, bus)| {
                let (file, bus) = (format!("nodes-{port}.conf"), bus.to_string());
                let options =
                    ["--cluster-enabled", "yes", "--cluster-config-file", &file, "--cluster-port", &bus];
                Server::start(folder.path(), port, &options)
            })
            .collect();
        let cluster = RedisCluster { servers, _folder: folder };
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(cluster.hosts()).arg("--cluster-yes");
        let created = create.output().expect("redis-cli runs");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        for server in &cluster.servers {
            eventually("every slot is served", || {
                server.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok").then_some(())
            });
        }
        cluster
    }

    /// `redis+cluster://` with all three.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.hosts().join(","))
    }

    /// What `redis-cli` prints for a command to one of the three.
    #[track_caller]
    pub fn command(&self, index: usize, arguments: &[&str]) -> String {
        self.servers[index].command(arguments)
    }

    fn hosts(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect()
    }
}
