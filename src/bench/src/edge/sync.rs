//! What comes from the hub when one file of a meeting has changed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context;
use tnv_testbed::DEADLINE;
use tokio::time::{sleep, timeout};

use super::Peaks;
use super::relay::Relay;
use super::site::Site;
use crate::bench::Bench;
use crate::report::{Goal, Target};
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::versus::Section;

const WORK: &str = "sync-one-changed";
/// Of the file that has changed: what may come from the hub.
const BYTES: f64 = 1.05;

/// One change, and what came of it.
struct Change {
    bytes: f64,
    seconds: f64,
}

pub(super) fn measure(bench: &mut Bench, peaks: &mut Vec<Peaks>) -> anyhow::Result<Option<Section>> {
    if !bench.wants(WORK) {
        return Ok(None);
    }
    let (files, size) = if bench.is_quick { (20, 1_000_000) } else { (100, 10_000_000) };
    let mut site = Site::start(bench, "edge-sync")?;
    let relay = Relay::start(Ipv4Addr::LOCALHOST, site.hub(), None)?;
    site.start_node(bench, relay.address())?;
    // No two versions of any files are alike.
    let range = |version: u64| version * 4_099..version * 4_099 + size;
    bench.run(async {
        site.meeting("papers").await?;
        for file in 0..files {
            site.put("papers", &format!("{file:03}.pdf"), range(file)).await?;
        }
        site.held("papers").await
    })?;
    let mut changes = Vec::new();
    for round in 1..=bench.rounds() {
        bench.warm()?;
        let changed = files + round as u64;
        let change =
            bench.run(change(&site, &relay, &format!("{:03}.pdf", changed % files), range(changed)))?;
        bench.say(&format!(
            "{WORK}, round {round}: {:.0} bytes from the hub for {size}, held after {:.2} s",
            change.bytes, change.seconds
        ));
        changes.push(change);
    }
    peaks.push(Peaks::of(WORK, &site)?);
    Ok(Some(section(&changes, files, size as f64)))
}

/// Changes a file, and waits until the node holds the new package.
async fn change(
    site: &Site,
    relay: &Relay,
    name: &str,
    range: std::ops::Range<u64>,
) -> anyhow::Result<Change> {
    let node = site.nodes().first().context("there is no node")?;
    let old = node.version("papers").await?;
    let before = relay.passed();
    site.put("papers", name, range).await?;
    let begin = Instant::now();
    let held = async {
        while node.version("papers").await? == old {
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    timeout(DEADLINE, held).await.context("the node does not follow")??;
    let (bytes, seconds) = ((relay.passed() - before) as f64, begin.elapsed().as_secs_f64());
    // And it is the newest, which the hub knows.
    site.held("papers").await?;
    Ok(Change { bytes, seconds })
}

fn section(changes: &[Change], files: u64, size: f64) -> Section {
    let bytes: Vec<f64> = changes.iter().map(|change| change.bytes).collect();
    let seconds: Vec<f64> = changes.iter().map(|change| change.seconds).collect();
    let mut table = Table::new(["round", "MB from the hub", "seconds until it is held"]);
    for (round, change) in changes.iter().enumerate() {
        table.row([(round + 1).to_string(), number(change.bytes / 1e6), number(change.seconds)]);
    }
    let figures = serde_json::json!({
        "bytes": Spread::of(bytes.iter().copied()),
        "seconds": Spread::of(seconds),
    });
    let megabytes = bytes.iter().map(|bytes| bytes / 1e6).collect();
    let what = format!("{WORK} MB: from the hub / the file");
    let sizes = vec![size / 1e6; bytes.len()];
    let title = format!(
        "One of {files} files of {} MB has changed: what the hub sends the node, heads, lists and heartbeats as well",
        size / 1e6
    );
    Section {
        part: (title, table),
        targets: vec![Target::of_rounds(what, megabytes, sizes, Goal::AtMost(BYTES))],
        figures: [(WORK.to_owned(), figures)].into_iter().collect(),
    }
}
