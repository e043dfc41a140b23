//! DOWNLOAD and FILESIZE beside GET from nginx.

use std::path::Path;

use tnv_proto::FileKey;

use super::{CONNECTIONS, method};
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::contents;
use crate::load::Work;
use crate::peer::Nginx;
use crate::report::Goal;
use crate::versus::{Contest, Section, Unit};

/// Of a GET of the same size: how many downloads of 4 KiB there are to be, which need a look into the catalog.
const DOWNLOADS: f64 = 0.6;
/// Of a GET of 4 KiB: how many FILESIZE there are to be.
const SIZES: f64 = 0.8;

/// Both servers hold the same files.
struct Servers {
    cluster: Cluster,
    nginx: Nginx,
    nginx_pids: Vec<u32>,
    files: usize,
}

/// Files of one size at both servers.
struct Files {
    size: u64,
    keys: Vec<FileKey>,
    paths: Vec<String>,
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let root = bench.folder("nginx-files")?;
    let nginx = Nginx::serving(bench, "nginx", &root)?;
    let servers = Servers {
        cluster: Cluster::start_in(bench, "downloads", &[])?,
        nginx_pids: nginx.pids()?,
        nginx,
        files: if bench.is_quick { 100 } else { 1_000 },
    };
    let mut outcomes = Vec::new();
    for (name, size) in [("4k", 4 << 10), ("64k", 64 << 10)] {
        let files = servers.fill(bench, &root, size)?;
        for connections in CONNECTIONS {
            let goal =
                if (size, connections) == (4 << 10, 32) { Goal::AtLeast(DOWNLOADS) } else { Goal::None };
            let name = format!("download-{name}-{connections}");
            outcomes.push(servers.contest(&name, &files, connections, files.downloads(), goal).play(bench)?);
        }
        if size == 4 << 10 {
            let goal = Goal::AtLeast(SIZES);
            outcomes.push(servers.contest("size-32", &files, 32, files.sizes(), goal).play(bench)?);
        }
    }
    Ok(Section::new(
        format!("Small downloads of {} files, cached: {}", servers.files, method(bench)),
        outcomes,
    ))
}

impl Servers {
    fn fill(&self, bench: &mut Bench, root: &Path, size: u64) -> anyhow::Result<Files> {
        let keys = self.cluster.fill(bench, self.files, size)?;
        std::fs::create_dir(root.join(size.to_string()))?;
        let paths: Vec<String> = (0..self.files).map(|n| format!("/{size}/{n:06}")).collect();
        for path in &paths {
            std::fs::write(format!("{}{path}", root.display()), contents::whole(size as usize))?;
        }
        Ok(Files { size, keys, paths })
    }

    fn contest<'a>(
        &'a self,
        name: &str,
        files: &'a Files,
        connections: usize,
        work: Work,
        goal: Goal,
    ) -> Contest<'a> {
        let mut contest = Contest::new(name, Unit::Requests);
        let storage = [self.cluster.storage_pid()];
        let tnv = contest.side("tnv", move |bench| {
            let window = bench.window();
            bench.closed_loop(self.cluster.storage(), &storage, connections, window, &work)
        });
        let get = Work::Get { paths: files.paths.clone(), size: files.size };
        let nginx = contest.side("nginx", move |bench| {
            let window = bench.window();
            bench.closed_loop(self.nginx.address(), &self.nginx_pids, connections, window, &get)
        });
        contest.rate(tnv, nginx, goal);
        contest.cpu(tnv, nginx, Goal::None);
        contest
    }
}

impl Files {
    fn downloads(&self) -> Work {
        Work::Download { files: Work::files(&self.keys), size: self.size }
    }

    fn sizes(&self) -> Work {
        Work::Sizes { files: Work::files(&self.keys), size: self.size }
    }
}
