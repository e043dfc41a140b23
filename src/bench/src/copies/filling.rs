//! A storage that comes to a group: how fast it gets what is there, beside cp, and what the group's clients notice of it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tnv_proto::FileKey;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::load::{Load, open_loop_beside};
use crate::report::{Goal, Target};
use crate::table::{Table, number};
use crate::wire::Downloads;

/// The length of small files, in bytes.
const SMALL: u64 = 64 * 1024;
/// Clients who read small files meanwhile, and how many in a second.
const CLIENTS: usize = 8;
const PER_SECOND: f64 = 500.0;
/// Of what cp copies in a second.
const RATE: f64 = 0.4;
/// Of the clients' 99th percentile without it.
const P99: f64 = 2.0;

/// What the group holds: so many small files and two large ones of so many bytes.
struct Contents {
    small: usize,
    large: u64,
}

/// A part of the report.
pub(super) struct Part {
    pub(super) part: (String, Table),
    pub(super) targets: Vec<Target>,
}

/// One round.
struct Round {
    copied: Duration,
    filled: Duration,
    alone: Load,
    meanwhile: Load,
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Option<Part>> {
    if !bench.wants("filling") {
        return Ok(None);
    }
    let contents = if bench.is_quick {
        Contents { small: 200, large: 16 << 20 }
    } else {
        Contents { small: 20_000, large: 4 << 30 }
    };
    let mut cluster = Cluster::start_in(bench, "filling", &["replication=copies"])?;
    let keys = cluster.fill(bench, contents.small, SMALL)?;
    cluster.fill(bench, 2, contents.large)?;
    let mut rounds = Vec::new();
    // A round writes all of it twice.
    for round in 1..=bench.rounds().min(3) {
        let played = play(bench, &mut cluster, &contents, &keys)?;
        bench.say(&format!(
            "filling, round {round}: {:.1} s, cp {:.1} s",
            played.filled.as_secs_f64(),
            played.copied.as_secs_f64()
        ));
        rounds.push(played);
    }
    Ok(Some(report(&contents, &rounds)))
}

fn play(
    bench: &mut Bench,
    cluster: &mut Cluster,
    contents: &Contents,
    keys: &[FileKey],
) -> anyhow::Result<Round> {
    bench.warm()?;
    let copied = copy(bench, &cluster.store())?;
    rustix::fs::sync();
    let window = bench.window().measured;
    let pause = async {
        sleep(window).await;
        Ok(())
    };
    let (alone, ()) = read(bench, cluster, keys, pause)?;
    bench.warm()?;
    rustix::fs::sync();
    let begun = Instant::now();
    let store = cluster.add_storage(&["replication=copies"])?;
    let wanted = contents.small + 2;
    let filled = async {
        let files = || {
            spawn_blocking({
                let store = store.clone();
                move || count(&store)
            })
        };
        while files().await?? < wanted {
            sleep(Duration::from_millis(200)).await;
        }
        Ok(begun.elapsed())
    };
    let (meanwhile, filled) = read(bench, cluster, keys, filled)?;
    cluster.remove_storage();
    std::fs::remove_dir_all(&store)?;
    Ok(Round { copied, filled, alone, meanwhile })
}

/// Reads small files at random while other work lasts, and what that comes to.
fn read<T>(
    bench: &mut Bench,
    cluster: &Cluster,
    keys: &[FileKey],
    beside: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Load, T)> {
    let storage = cluster.storage();
    bench.run(async {
        let requests = Downloads::requests(keys);
        let mut connections = Vec::new();
        for _ in 0..CLIENTS {
            connections.push(Downloads::connect(storage, requests.clone(), SMALL).await?);
        }
        open_loop_beside(connections, PER_SECOND, beside).await
    })
}

/// How long cp takes for all of it, with the sync behind it.
fn copy(bench: &Bench, store: &Path) -> anyhow::Result<Duration> {
    let target = bench.folder("cp")?;
    rustix::fs::sync();
    let begun = Instant::now();
    let status = Command::new("cp").arg("-r").arg("--reflink=never").args([store, &target]).status()?;
    if !status.success() {
        bail!("cp: {status}");
    }
    rustix::fs::sync();
    let taken = begun.elapsed();
    std::fs::remove_dir_all(target).context("cannot remove the copy")?;
    Ok(taken)
}

/// Files under their final names.
fn count(folder: &Path) -> anyhow::Result<usize> {
    let mut found = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        found += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(found)
}

fn report(contents: &Contents, rounds: &[Round]) -> Part {
    let bytes = (contents.small as u64 * SMALL + 2 * contents.large) as f64;
    let rates = |of: fn(&Round) -> Duration| -> Vec<f64> {
        rounds.iter().map(|round| bytes / of(round).as_secs_f64() / 1e6).collect()
    };
    let p99 = |of: fn(&Round) -> &Load| -> Vec<f64> {
        rounds.iter().map(|round| of(round).quantile_ms(0.99)).collect()
    };
    let mut table = Table::new(["round", "fill MB/s", "cp MB/s", "p99 ms meanwhile", "p99 ms alone"]);
    for (n, round) in rounds.iter().enumerate() {
        table.row([
            (n + 1).to_string(),
            number(bytes / round.filled.as_secs_f64() / 1e6),
            number(bytes / round.copied.as_secs_f64() / 1e6),
            number(round.meanwhile.quantile_ms(0.99)),
            number(round.alone.quantile_ms(0.99)),
        ]);
    }
    let title = format!(
        "A new storage gets {} files of {SMALL} bytes and two of {} MiB, while {CLIENTS} clients read {PER_SECOND} in a second",
        contents.small,
        contents.large >> 20
    );
    let (filled, copied) = (rates(|round| round.filled), rates(|round| round.copied));
    let (meanwhile, alone) = (p99(|round| &round.meanwhile), p99(|round| &round.alone));
    Part {
        part: (title, table),
        targets: vec![
            Target::of_rounds("filling MB/s: tnv / cp".to_owned(), filled, copied, Goal::AtLeast(RATE)),
            Target::of_rounds(
                "p99 ms of reads: while it fills / alone".to_owned(),
                meanwhile,
                alone,
                Goal::AtMost(P99),
            ),
        ],
    }
}
