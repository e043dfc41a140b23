//! A cluster with a hub and nodes, each its own process, and what operators ask of them.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tnv_testbed::{DEADLINE, Daemon};
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::cluster::{Cluster, launch};
use crate::contents;
use crate::http;
use crate::socket::Socket;

/// How often it is asked whether something has come about.
const LOOK: Duration = Duration::from_millis(10);

/// Servers on free ports with their data in one folder. Dropped, they are killed, those first that need the others.
pub(super) struct Site {
    nodes: Vec<Node>,
    hub: SocketAddr,
    cluster: Cluster,
}

/// A node with a folder of its own.
pub(super) struct Node {
    daemon: Daemon,
    address: SocketAddr,
    folder: PathBuf,
}

impl Site {
    /// Starts one without nodes, in a new folder of this name.
    ///
    /// # Errors
    /// If a server says what makes no sense; one that does not start is a panic with the end of its log.
    pub(super) fn start(bench: &mut Bench, name: &str) -> anyhow::Result<Site> {
        let mut cluster = Cluster::start_in(bench, name, &[])?;
        let hub = cluster.start_hub(&[])?;
        Ok(Site { nodes: Vec::new(), hub, cluster })
    }

    /// Starts another node, which asks for its hub at `hub`.
    ///
    /// # Errors
    /// As [`start`](Site::start).
    pub(super) fn start_node(&mut self, bench: &Bench, hub: SocketAddr) -> anyhow::Result<()> {
        let name = format!("node-{}", self.nodes.len() + 1);
        let folder = bench.folder(&name)?;
        let config = json!({
            "mainServerUrl": format!("http://{hub}"),
            "nodeId": name,
            "nodeHost": "127.0.0.1",
            "nodePort": 0,
            "syncInterval": 1,
            "logging": {"fileEnabled": false},
        });
        let file = folder.join("node_config.json");
        std::fs::write(&file, config.to_string())?;
        let mut node = Command::new(bench.tnv());
        node.arg("node").arg("--config").arg(&file);
        for variable in
            ["NODE_ID", "NODE_IP", "NODE_PORT", "MAIN_SERVER_URL", "API_KEY", "STORAGE_PATH", "SYNC_INTERVAL"]
        {
            node.env_remove(variable);
        }
        let (daemon, address) = launch(&folder, &name, &mut node)?;
        self.nodes.push(Node { daemon, address, folder });
        Ok(())
    }

    pub(super) fn hub(&self) -> SocketAddr {
        self.hub
    }

    pub(super) fn hub_pid(&self) -> anyhow::Result<u32> {
        self.cluster.hub_pid().context("there is no hub")
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Makes a meeting and lets it begin.
    ///
    /// # Errors
    /// If the hub refuses, in its words.
    pub(super) async fn meeting(&self, id: &str) -> anyhow::Result<()> {
        let meeting = json!({"id": id, "title": id}).to_string();
        call(self.hub, "POST", "/api/v1/meetings", meeting.as_bytes()).await?;
        call(self.hub, "POST", &format!("/api/v1/meetings/{id}/start"), b"{}").await?;
        Ok(())
    }

    /// Gives a meeting a file of this name, or that file other contents: those that all files have at `range`.
    ///
    /// # Errors
    /// If the hub refuses, in its words.
    pub(super) async fn put(&self, id: &str, name: &str, range: Range<u64>) -> anyhow::Result<()> {
        let path = format!("/api/v1/meetings/{id}/files/{name}");
        let mut socket = Socket::connect(self.hub).await?;
        socket.send(head("PUT", &path, range.end - range.start).as_bytes()).await?;
        for piece in contents::pieces_of(range) {
            socket.send(piece).await?;
        }
        answer(&mut socket).await.with_context(|| format!("PUT {path}"))?;
        Ok(())
    }

    /// Waits until the hub could send clients for a meeting's newest package to each node, and returns its version.
    ///
    /// # Errors
    /// If that does not come about.
    pub(super) async fn held(&self, id: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/meetings/{id}");
        let held = async {
            loop {
                let meeting = call(self.hub, "GET", &path, b"").await?;
                if meeting["holders"] == self.nodes.len() {
                    let version = meeting["package"]["version"].as_str();
                    return version.map(str::to_owned).context("the hub names no version");
                }
                sleep(LOOK).await;
            }
        };
        timeout(DEADLINE, held).await.with_context(|| format!("not all nodes hold {id}"))?
    }
}

impl Node {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Where it keeps the package of a meeting.
    pub(super) fn package(&self, id: &str) -> PathBuf {
        self.folder.join(format!("storage/meeting_{id}/package.zip"))
    }

    /// The version of a meeting's package that it holds.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn version(&self, id: &str) -> anyhow::Result<Option<String>> {
        let path = format!("/api/v1/node/meetings/{id}/status");
        let status = call(self.address, "GET", &path, b"").await?;
        Ok(status["version"].as_str().map(str::to_owned))
    }
}

/// Where in a package its only file lies, whose contents are the usual ones: members are stored as they are.
///
/// # Errors
/// If it cannot be read, or there is none.
pub(super) fn member(package: &Path, size: u64) -> anyhow::Result<Range<u64>> {
    use std::io::Read;

    let mut begin = Vec::new();
    std::fs::File::open(package)?.take(64 << 10).read_to_end(&mut begin)?;
    let sought = contents::piece(0, 64);
    let at = begin.windows(sought.len()).position(|bytes| bytes == sought);
    let at = at.with_context(|| format!("{} does not begin with a member", package.display()))? as u64;
    Ok(at..at + size)
}

/// One request with JSON on a connection of its own, and what was answered.
async fn call(server: SocketAddr, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Value> {
    let mut socket = Socket::connect(server).await?;
    let request = [head(method, path, body.len() as u64).as_bytes(), body].concat();
    socket.send(&request).await?;
    answer(&mut socket).await.with_context(|| format!("{method} {path}"))
}

fn head(method: &str, path: &str, length: u64) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

async fn answer(socket: &mut Socket) -> anyhow::Result<Value> {
    let head = socket.head(http::parse).await?;
    let body = socket.small_body(head.length).await?;
    if !(200..300).contains(&head.status) {
        bail!("status {}: {}", head.status, String::from_utf8_lossy(&body));
    }
    Ok(serde_json::from_slice(&body)?)
}
