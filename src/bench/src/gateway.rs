//! `gateway`: files through gateway and storage, beside an nginx that passes on what another nginx serves.

mod large;
mod small;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use tnv_proto::FileKey;
use tnv_testbed::installed;

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::contents;
use crate::peer::Nginx;
use crate::report::Report;

/// The same files behind a gateway and behind a proxy.
struct Servers {
    cluster: Cluster,
    gateway: SocketAddr,
    /// Gateway and storage.
    pids: [u32; 2],
    front: Nginx,
    _back: Nginx,
    /// Masters and workers of both.
    nginx_pids: Vec<u32>,
    /// What the one in the back serves.
    root: PathBuf,
}

/// The paths of files of one size.
struct Files {
    /// At the gateway.
    tnv: Vec<String>,
    nginx: Vec<String>,
}

/// Measures it all.
///
/// # Errors
/// If nginx is missing or a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    if !installed(&[Nginx::PROGRAM]) {
        bail!("nginx is needed: apt-get install nginx-light");
    }
    let servers = Servers::start(bench)?;
    let large = large::measure(bench, &servers)?;
    let small = small::measure(bench, &servers)?;
    Ok(Report::of("gateway", bench, [large, small]))
}

/// The path of a file at the gateway.
pub(crate) fn path(key: &FileKey) -> String {
    format!("/files/{}/{}/{}", key.app, key.user, key.file)
}

impl Servers {
    fn start(bench: &mut Bench) -> anyhow::Result<Servers> {
        let mut cluster = Cluster::start_in(bench, "gateway", &[])?;
        let gateway = cluster.start_gateway(&[])?;
        let gateway_pid = cluster.gateway_pid().context("the gateway is gone")?;
        let root = bench.folder("nginx-files")?;
        let back = Nginx::serving(bench, "nginx-back", &root)?;
        let front = Nginx::proxying(bench, "nginx-front", back.address())?;
        let nginx_pids = [front.pids()?, back.pids()?].concat();
        let pids = [gateway_pid, cluster.storage_pid()];
        Ok(Servers { cluster, gateway, pids, front, _back: back, nginx_pids, root })
    }

    /// Puts so many files of this size into both, at nginx into a folder of this name.
    fn fill(&self, bench: &mut Bench, folder: &str, count: usize, size: u64) -> anyhow::Result<Files> {
        let keys = self.cluster.fill(bench, count, size)?;
        std::fs::create_dir(self.root.join(folder))?;
        let nginx: Vec<String> = (0..count).map(|n| format!("/{folder}/{n:06}")).collect();
        for path in &nginx {
            let mut file = std::fs::File::create(format!("{}{path}", self.root.display()))?;
            for piece in contents::pieces(size) {
                std::io::Write::write_all(&mut file, piece)?;
            }
        }
        Ok(Files { tnv: keys.iter().map(path).collect(), nginx })
    }
}
