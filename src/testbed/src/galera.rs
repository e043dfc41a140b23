//! A Galera cluster for one test: MariaDB servers, each of which has all data.

use rustix::process::geteuid;

use crate::mariadb::Setup;
use crate::{MariaDb, eventually, free_ports};

/// A node is given up after a second without a sign of life, so a test sees within a few seconds what by default takes
/// a quarter of a minute. Three signs of life must fit into that second, or the provider refuses to start.
const TIMEOUTS: &str = "evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;\
    evs.suspect_timeout=PT1S;evs.inactive_timeout=PT3S;evs.install_timeout=PT3S";

/// A cluster of MariaDB servers on 127.0.0.1. What is committed at one is committed at all.
///
/// Users are those of [`MariaDb`]. Dropped, all nodes are killed and their folders removed.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<MariaDb>,
}

impl Galera {
    /// What must be [`installed`](crate::installed).
    pub const PROGRAMS: &[&str] =
        &["mariadbd", "mariadb-install-db", "mariadb", "rsync", "ss", Galera::PROVIDER];

    /// The library that makes a cluster of MariaDB servers.
    const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

    /// Starts up to 5 nodes, and returns when all have the data. Each but the first takes some 4 s.
    ///
    /// # Panics
    /// With the end of the log of a node that does not join.
    #[track_caller]
    pub fn start(nodes: usize) -> Galera {
        // One draw, or a port that is not listened on yet might come twice.
        let ports = free_ports::<{ 5 * 4 }>();
        let ports = &ports.as_chunks::<4>().0[..nodes];
        let addresses: Vec<_> = ports.iter().map(|[_, group, ..]| format!("127.0.0.1:{group}")).collect();
        let cluster = format!("--wsrep-cluster-address=gcomm://{}", addresses.join(","));
        let mut galera = Galera { nodes: Vec::new() };
        for (i, &[port, group, incremental, snapshot]) in ports.iter().enumerate() {
            let once = if i == 0 { vec!["--wsrep-new-cluster".to_owned()] } else { Vec::new() };
            // As root rsync would write what a node receives as nobody.
            let mut setup = Setup::at(port);
            setup.user = geteuid().is_root().then_some("mysql");
            let node = MariaDb::launch(setup, &once, |_| {
                let mut options = options_of(i, [group, incremental, snapshot]);
                options.push(cluster.clone());
                options
            });
            galera.nodes.push(node);
            // Two that join at once wait for each other far longer than one after the other.
            galera.wait_until_synced(i);
        }
        galera
    }

    /// One of the nodes, counted from 0, running or not.
    pub fn node(&self, i: usize) -> &MariaDb {
        &self.nodes[i]
    }

    /// The URLs of all nodes, as [`MariaDb::url`] has them.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(MariaDb::url).collect()
    }

    /// As a crash: SIGKILL, and gone when this returns. The others go on while they are more than half of the cluster.
    pub fn kill(&mut self, i: usize) {
        self.nodes[i].kill();
    }

    /// As an administrator would: it takes leave of the others; gone when this returns.
    #[track_caller]
    pub fn stop(&mut self, i: usize) {
        self.nodes[i].stop();
    }

    /// Starts it again, killing it before if it runs, and returns when it has all data. It asks the others only for
    /// what it missed (IST), unless that is more than 32 MB.
    ///
    /// # Panics
    /// With the end of its log, if it does not join, as when there are no others.
    #[track_caller]
    pub fn restart(&mut self, i: usize) {
        self.kill(i);
        // After a crash the provider itself does not know, and would ask for everything.
        let position = self.nodes[i].recovered_position();
        self.nodes[i].restart_with(&[format!("--wsrep-start-position={position}")]);
        self.wait_until_synced(i);
    }

    /// Makes it hang. After a second the others go on without it.
    pub fn pause(&self, i: usize) {
        self.nodes[i].pause();
    }

    /// Ends [`pause`](Galera::pause). It joins the others again by itself: see
    /// [`wait_until_synced`](Galera::wait_until_synced).
    pub fn resume(&self, i: usize) {
        self.nodes[i].resume();
    }

    /// Returns when a node that runs has all data.
    ///
    /// # Panics
    /// After [`DEADLINE`](crate::DEADLINE).
    #[track_caller]
    pub fn wait_until_synced(&self, i: usize) {
        eventually(&format!("node {i} is synced"), || {
            (self.status(i, "local_state_comment") == "Synced").then_some(())
        });
    }

    /// How many nodes this one believes the cluster to have.
    #[track_caller]
    pub fn size_seen_by(&self, i: usize) -> usize {
        self.status(i, "cluster_size").parse().expect("a number")
    }

    #[track_caller]
    fn status(&self, i: usize, name: &str) -> String {
        self.nodes[i].query(&format!(
            "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_{name}'"
        ))
    }
}

fn options_of(i: usize, [group, incremental, snapshot]: [u16; 3]) -> Vec<String> {
    vec![
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={}", Galera::PROVIDER),
        "--wsrep-cluster-name=testbed".to_owned(),
        format!("--wsrep-node-name=node{i}"),
        "--wsrep-node-address=127.0.0.1".to_owned(),
        "--wsrep-sst-method=rsync".to_owned(),
        format!("--wsrep-sst-receive-address=127.0.0.1:{snapshot}"),
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group};\
             ist.recv_addr=127.0.0.1:{incremental};gcache.size=32M;{TIMEOUTS}"
        ),
    ]
}
