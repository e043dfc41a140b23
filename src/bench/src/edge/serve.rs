//! A node that serves a package to several clients at once, beside nginx with the same file.

use super::Peaks;
use super::site::{Site, member};
use crate::bench::Bench;
use crate::peer::Nginx;
use crate::report::Goal;
use crate::transfer::{Source, download, size};
use crate::versus::{Contest, Section, Unit};

const WORK: &str = "package-eight";
const CLIENTS: usize = 8;
/// Of nginx's: how fast a node is to be, and how much CPU it may take for each GiB.
const RATE: f64 = 0.9;
const CPU: f64 = 1.2;

pub(super) fn measure(bench: &mut Bench, peaks: &mut Vec<Peaks>) -> anyhow::Result<Section> {
    let size = size(bench);
    let title = format!("A package of {} MiB, cached: {} rounds, in turns", size >> 20, bench.rounds());
    if !bench.wants(WORK) {
        return Ok(Section::new(title, []));
    }
    let mut site = Site::start(bench, "edge-serve")?;
    site.start_node(bench, site.hub())?;
    bench.run(async {
        site.meeting("film").await?;
        site.put("film", "film.mp4", 0..size).await?;
        site.held("film").await
    })?;
    let node = &site.nodes()[0];
    let package = node.package("film");
    let (contents, length) = (member(&package, size)?, std::fs::metadata(&package)?.len());
    let root = bench.folder("nginx-package")?;
    let path = format!("/{}/package.zip", Nginx::LARGE);
    std::fs::create_dir(root.join(Nginx::LARGE))?;
    std::os::unix::fs::symlink(&package, format!("{}{path}", root.display()))?;
    let nginx = Nginx::serving(bench, "nginx-edge", &root)?;
    let theirs = Source::of_http(nginx.address(), nginx.pids()?, &path, length).holding(contents.clone());
    let path = "/api/v1/meetings/film/download-package";
    let ours = Source::of_http(node.address(), vec![node.pid()], path, length).holding(contents);

    let mut contest = Contest::new(WORK, Unit::Bytes);
    let tnv = contest.side("node, 8 clients", |bench| download(bench, &ours, CLIENTS));
    let nginx = contest.side("nginx, 8 clients", |bench| download(bench, &theirs, CLIENTS));
    contest.rate(tnv, nginx, Goal::AtLeast(RATE));
    contest.cpu(tnv, nginx, Goal::AtMost(CPU));
    let outcome = contest.play(bench)?;
    peaks.push(Peaks::of(WORK, &site)?);
    Ok(Section::new(title, [outcome]))
}
