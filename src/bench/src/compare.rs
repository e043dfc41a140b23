//! `compare BASE`: this program beside that of another commit, so that a regression shows as a ratio.

mod base;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::gateway::path;
use crate::load::Work;
use crate::report::{Goal, Report};
use crate::transfer::{self, Source};
use crate::versus::{Contest, Outcome, Section, Side, Unit};

/// A rate below this ratio is a regression.
const RATE: f64 = 0.95;
/// So is CPU time above this one.
const CPU: f64 = 1.05;

/// How many small files there are.
const FILES: usize = 1_000;

/// The two programs, each with a cluster of its own that holds the same files.
struct Pair {
    names: [String; 2],
    clusters: [Cluster; 2],
}

/// Builds the commit, if that has not been done before, and measures it all.
///
/// # Errors
/// If there is no such commit in the repository or it cannot be built; if a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench, commit: &str, repository: &Path) -> anyhow::Result<Report> {
    let base = base::build(bench, commit, repository)?;
    let programs = [bench.tnv().to_owned(), base.program];
    let [ours, theirs] = programs.map(|program| start(bench, &program));
    let mut pair = Pair { names: ["this".to_owned(), base.name], clusters: [ours?, theirs?] };
    let large = pair.measure_large(bench)?;
    let small = pair.measure_small(bench)?;
    let title = format!("{} beside {}: {} rounds, in turns", pair.names[0], pair.names[1], bench.rounds());
    Ok(Report::of("compare", bench, [Section::new(title, large.into_iter().chain(small))]))
}

fn start(bench: &mut Bench, program: &Path) -> anyhow::Result<Cluster> {
    let folder = bench.folder("compare")?;
    let database = format!("sqlite:{}", folder.join("tnv.db").display());
    let mut cluster = Cluster::start_of(bench, program, &folder, &database, &[])?;
    cluster.start_gateway(&[])?;
    Ok(cluster)
}

impl Pair {
    fn measure_large(&mut self, bench: &mut Bench) -> anyhow::Result<Vec<Option<Outcome>>> {
        let size = transfer::size(bench);
        let mut sources = Vec::new();
        for cluster in &self.clusters {
            let key = cluster.fill(bench, 1, size)?.remove(0);
            let (at, pids) = through_gateway(cluster)?;
            sources.push([Source::of_key(cluster, &key, size), Source::of_http(at, pids, &path(&key), size)]);
        }
        let mut outcomes = Vec::new();
        let mut contest = Contest::new("upload-large", Unit::Bytes);
        let sides = [0, 1].map(|n| {
            let cluster = &self.clusters[n];
            contest.side(self.names[n].as_str(), move |bench| transfer::upload(bench, cluster, size))
        });
        outcomes.push(judge(contest, sides).play(bench)?);
        for (at, name) in ["download-large", "get-large"].into_iter().enumerate() {
            let mut contest = Contest::new(name, Unit::Bytes);
            let sides = [0, 1].map(|n| {
                let source = &sources[n][at];
                contest.side(self.names[n].as_str(), move |bench| transfer::download(bench, source, 1))
            });
            outcomes.push(judge(contest, sides).play(bench)?);
        }
        Ok(outcomes)
    }

    fn measure_small(&mut self, bench: &mut Bench) -> anyhow::Result<Vec<Option<Outcome>>> {
        let works = [0, 1].map(|n| Works::new(bench, &self.clusters[n]));
        let [ours, theirs] = works;
        let works = [ours?, theirs?];
        let mut outcomes = Vec::new();
        for name in ["download-4k", "download-64k", "size", "upload-4k", "get-4k"] {
            for connections in [1, 32] {
                let mut contest = Contest::new(format!("{name}-{connections}"), Unit::Requests);
                let sides = [0, 1].map(|n| {
                    let (cluster, works) = (&self.clusters[n], &works[n]);
                    contest.side(self.names[n].as_str(), move |bench| {
                        rustix::fs::sync();
                        let window = bench.window();
                        let (server, pids, work) = works.named(name, cluster)?;
                        bench.closed_loop(server, &pids, connections, window, work)
                    })
                });
                outcomes.push(judge(contest, sides).play(bench)?);
            }
        }
        Ok(outcomes)
    }
}

/// What is asked of one cluster.
struct Works {
    downloads: [Work; 2],
    sizes: Work,
    uploads: Work,
    gets: Work,
}

impl Works {
    fn new(bench: &mut Bench, cluster: &Cluster) -> anyhow::Result<Works> {
        let [small, middle] = [4 << 10, 64 << 10];
        let keys = cluster.fill(bench, FILES, small)?;
        let files = Work::files(&keys);
        let larger = Work::files(&cluster.fill(bench, FILES, middle)?);
        Ok(Works {
            downloads: [
                Work::Download { files: files.clone(), size: small },
                Work::Download { files: larger, size: middle },
            ],
            sizes: Work::Sizes { files, size: small },
            uploads: Work::Upload { size: small },
            gets: Work::Get { paths: keys.iter().map(path).collect(), size: small },
        })
    }

    /// Whom to ask, whose CPU time counts, and what to ask.
    fn named(&self, name: &str, cluster: &Cluster) -> anyhow::Result<(SocketAddr, Vec<u32>, &Work)> {
        let storage = (cluster.storage(), vec![cluster.storage_pid()]);
        let ((server, pids), work) = match name {
            "download-4k" => (storage, &self.downloads[0]),
            "download-64k" => (storage, &self.downloads[1]),
            "size" => (storage, &self.sizes),
            "upload-4k" => (storage, &self.uploads),
            _ => (through_gateway(cluster)?, &self.gets),
        };
        Ok((server, pids, work))
    }
}

/// Where the gateway listens, and the processes behind it.
fn through_gateway(cluster: &Cluster) -> anyhow::Result<(SocketAddr, Vec<u32>)> {
    let (address, gateway) = cluster.gateway().zip(cluster.gateway_pid()).context("there is no gateway")?;
    Ok((address, vec![gateway, cluster.storage_pid()]))
}

fn judge<'a>(mut contest: Contest<'a>, [ours, theirs]: [Side; 2]) -> Contest<'a> {
    contest.rate(ours, theirs, Goal::AtLeast(RATE));
    contest.cpu(ours, theirs, Goal::AtMost(CPU));
    contest
}
