//! `transfer`: large files, where each byte counts and not each request.

mod turns;

use std::path::Path;

use anyhow::bail;
use tnv_testbed::installed;

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::contents;
use crate::peer::{Nginx, dd, iperf3};
use crate::report::{Goal, Report};
use crate::versus::{Contest, Outcome, Section, Unit};

pub(crate) use turns::{Source, download, upload};

/// Of dd with fsync: how fast an upload is to be, that is on the disk when it is answered.
const UPLOAD: f64 = 0.8;
/// How much CPU time of the storage it may take, in seconds for each GiB.
const UPLOAD_CPU: f64 = 1.0;
/// Of iperf3 with one connection: how fast a download is to be.
const DOWNLOAD: f64 = 0.75;
/// Of nginx, which calls sendfile: how much CPU time a download may take.
const DOWNLOAD_CPU: f64 = 1.0;

/// What to do with a file, as the storage's `send_mode` has it.
const SEND_MODES: [&str; 3] = ["auto", "sendfile", "copy"];

/// Measures it all.
///
/// # Errors
/// If a program is missing or a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    if !installed(&[Nginx::PROGRAM, iperf3::PROGRAM]) {
        bail!("nginx and iperf3 are needed: apt-get install nginx-light iperf3");
    }
    let size = size(bench);
    let cluster = Cluster::start_in(bench, "transfer", &[])?;
    let root = bench.folder("nginx-large")?;
    let path = format!("/{}/file", Nginx::LARGE);
    std::fs::create_dir(root.join(Nginx::LARGE))?;
    write(format!("{}{path}", root.display()).as_ref(), size)?;
    let nginx = Nginx::serving(bench, "nginx-transfer", &root)?;
    let peer = Source::of_http(nginx.address(), nginx.pids()?, &path, size);
    let outcomes = [
        uploads(bench, &cluster, size)?,
        downloads(bench, &cluster, &peer, size)?,
        four_downloads(bench, &cluster, &peer, size)?,
        send_modes(bench, &peer, size)?,
    ];
    let title = format!("Files of {} MiB, cached: {} rounds, in turns", size >> 20, bench.rounds());
    Ok(Report::of("transfer", bench, [Section::new(title, outcomes)]))
}

/// How long the files are, in bytes.
pub(crate) fn size(bench: &Bench) -> u64 {
    if bench.is_quick { 64 << 20 } else { 1 << 30 }
}

fn uploads(bench: &mut Bench, cluster: &Cluster, size: u64) -> anyhow::Result<Option<Outcome>> {
    let folder = bench.folder("dd")?;
    let mut written = 0;
    let mut contest = Contest::new("upload-large", Unit::Bytes);
    let tnv = contest.side("tnv", |bench| upload(bench, cluster, size));
    let dd = contest.side("dd conv=fsync", |_| {
        // What others wrote is on the disk before this begins; nothing is deleted meanwhile.
        rustix::fs::sync();
        written += 1;
        dd::turn(&folder.join(written.to_string()), size)
    });
    contest.rate(tnv, dd, Goal::AtLeast(UPLOAD));
    contest.plain_cpu(tnv, Goal::AtMost(UPLOAD_CPU));
    // What writing alone costs: it is a multiple of that on some disks and at some times.
    contest.cpu(tnv, dd, Goal::None);
    contest.play(bench)
}

fn downloads(
    bench: &mut Bench,
    cluster: &Cluster,
    peer: &Source,
    size: u64,
) -> anyhow::Result<Option<Outcome>> {
    if !bench.wants("download-large") {
        return Ok(None);
    }
    let ours = Source::of_storage(bench, cluster, size)?;
    let mut contest = Contest::new("download-large", Unit::Bytes);
    let tnv = contest.side("tnv", |bench| download(bench, &ours, 1));
    let iperf3 = contest.side("iperf3, one stream", |bench| iperf3::turn(bench, size));
    let nginx = contest.side("nginx, sendfile", |bench| download(bench, peer, 1));
    contest.rate(tnv, iperf3, Goal::AtLeast(DOWNLOAD));
    contest.rate(tnv, nginx, Goal::None);
    contest.cpu(tnv, nginx, Goal::AtMost(DOWNLOAD_CPU));
    contest.play(bench)
}

fn four_downloads(
    bench: &mut Bench,
    cluster: &Cluster,
    peer: &Source,
    size: u64,
) -> anyhow::Result<Option<Outcome>> {
    if !bench.wants("download-large-four") {
        return Ok(None);
    }
    let ours = Source::of_storage(bench, cluster, size)?;
    let mut contest = Contest::new("download-large-four", Unit::Bytes);
    let tnv = contest.side("tnv, 4 at once", |bench| download(bench, &ours, 4));
    let nginx = contest.side("nginx, 4 at once", |bench| download(bench, peer, 4));
    contest.rate(tnv, nginx, Goal::None);
    contest.cpu(tnv, nginx, Goal::None);
    contest.play(bench)
}

/// Each way to send, where the program has a choice.
fn send_modes(bench: &mut Bench, peer: &Source, size: u64) -> anyhow::Result<Option<Outcome>> {
    if !bench.wants("download-large-modes") {
        return Ok(None);
    }
    if !bench.knows("storage", "send_mode=auto") {
        bench.say("this program has no choice of send_mode: its modes are left out");
        return Ok(None);
    }
    let mut clusters = Vec::new();
    for mode in SEND_MODES {
        clusters.push(Cluster::start_in(bench, &format!("send-{mode}"), &[&format!("send_mode={mode:?}")])?);
    }
    let mut contest = Contest::new("download-large-modes", Unit::Bytes);
    let mut sides = Vec::new();
    for (mode, cluster) in SEND_MODES.iter().zip(&clusters) {
        let source = Source::of_storage(bench, cluster, size)?;
        sides.push(contest.side(format!("send_mode={mode}"), move |bench| download(bench, &source, 1)));
    }
    let nginx = contest.side("nginx, sendfile", move |bench| download(bench, peer, 1));
    for side in sides {
        contest.rate(side, nginx, Goal::None);
        contest.cpu(side, nginx, Goal::None);
    }
    contest.play(bench)
}

/// Writes a new file of the usual contents.
///
/// # Errors
/// If that fails, or there is one.
pub(crate) fn write(file: &Path, size: u64) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create_new(file)?;
    for piece in contents::pieces(size) {
        file.write_all(piece)?;
    }
    Ok(())
}
