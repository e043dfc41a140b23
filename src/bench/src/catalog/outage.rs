//! FILESIZE with Redis as the cache: while it runs, while it hangs, and without any.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::BytesMut;
use serde::Serialize;
use tnv_testbed::{DEADLINE, MariaDb, Redis};

use super::{CONNECTIONS, Half, SIZE, method, start_mariadb};
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::load::{Edge, Exchange, Load, closed_loop};
use crate::report::{Goal, Target};
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::wire::Sizes;

/// A Redis that hangs may make the slowest requests so much slower than none does.
const WORST: f64 = 3.0;

/// A cluster and what becomes of its cache.
struct Variant {
    name: &'static str,
    /// Whether its Redis hangs from the moment on that is measured.
    hangs: bool,
    redis: Option<Redis>,
    requests: Arc<[BytesMut]>,
    cluster: Cluster,
    _mariadb: MariaDb,
    rounds: Vec<Load>,
}

#[derive(Serialize)]
struct Figures {
    variant: &'static str,
    per_second: Spread,
    p50_ms: Spread,
    p99_ms: Spread,
    p999_ms: Spread,
    max_ms: Spread,
}

/// Measures the three in turns.
pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Half> {
    let mut variants = [
        Variant::start(bench, "without Redis", None, false)?,
        Variant::start(bench, "Redis running", Some(Redis::start()), false)?,
        Variant::start(bench, "Redis stopped", Some(Redis::start()), true)?,
    ];
    for round in 1..=bench.rounds() {
        for n in 0..variants.len() {
            // Each goes first in its turn: what a place in the round does to a figure, it does to all.
            let first = (round - 1) % variants.len();
            let at = (first + n) % variants.len();
            let variant = &mut variants[at];
            variant.run(bench)?;
            let p99 = variant.rounds.last().map_or(f64::NAN, |load| load.quantile_ms(0.99));
            bench.say(&format!("sizes, round {round}: {}: p99 {p99:.2} ms", variant.name));
        }
    }
    let figures: Vec<Figures> = variants.iter().map(Variant::figures).collect();
    let title = format!(
        "FILESIZE on MariaDB, Redis (SIGSTOP when the measured time begins) as its cache: {}",
        method(bench)
    );
    let [without, _, stopped] = &variants[..] else { unreachable!("there are three") };
    Ok(Half {
        part: (title, table(&figures)),
        targets: vec![Target::of_rounds(
            "p99 ms of FILESIZE: Redis stopped / without Redis".to_owned(),
            stopped.quantiles(0.99).collect(),
            without.quantiles(0.99).collect(),
            Goal::AtMost(WORST),
        )],
        figures: serde_json::to_value(&figures)?,
    })
}

impl Variant {
    fn start(
        bench: &mut Bench,
        name: &'static str,
        redis: Option<Redis>,
        hangs: bool,
    ) -> anyhow::Result<Variant> {
        let folder = bench.folder(name)?;
        let mariadb = start_mariadb(&folder);
        let cache = format!("cache.url={}", redis.as_ref().map_or_else(|| "off".to_owned(), Redis::url));
        let cluster = Cluster::start(bench, &folder, &mariadb.url(), &[&cache])?;
        let files = if bench.is_quick { 640 } else { 1920 };
        let requests = Sizes::requests(&cluster.fill(bench, files, SIZE)?);
        Ok(Variant { name, hangs, redis, requests, cluster, _mariadb: mariadb, rounds: Vec::new() })
    }

    fn run(&mut self, bench: &mut Bench) -> anyhow::Result<()> {
        self.revive(bench)?;
        let (window, storage, requests) = (bench.window(), self.cluster.storage(), self.requests.clone());
        let victim = self.redis.as_ref().filter(|_| self.hangs);
        let load = bench.run(async {
            let mut connections = Vec::new();
            for _ in 0..CONNECTIONS {
                connections.push(Sizes::connect(storage, requests.clone(), SIZE).await?);
            }
            let at = |edge| {
                if edge == Edge::Begin {
                    victim.into_iter().for_each(Redis::pause);
                }
            };
            closed_loop(connections, window, at).await
        })?;
        self.rounds.push(load);
        Ok(())
    }

    /// Lets Redis go on, and waits until the storage asks it again.
    fn revive(&self, bench: &mut Bench) -> anyhow::Result<()> {
        let Some(redis) = &self.redis else { return Ok(()) };
        redis.resume();
        let reads = || {
            let statistics = redis.command(&["INFO", "stats"]);
            let of_reads =
                |line: &&str| line.starts_with("keyspace_hits:") || line.starts_with("keyspace_misses:");
            statistics.lines().filter(of_reads).collect::<Vec<_>>().join(" ")
        };
        let (storage, requests, before, start) =
            (self.cluster.storage(), &self.requests, reads(), Instant::now());
        while reads() == before {
            if start.elapsed() > DEADLINE {
                bail!("the storage does not find its Redis again");
            }
            bench.run(async {
                Sizes::connect(storage, requests.clone(), SIZE).await?.exchange().await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn quantiles(&self, share: f64) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |load| load.quantile_ms(share))
    }

    fn figures(&self) -> Figures {
        let quantile = |share| Spread::of(self.quantiles(share));
        Figures {
            variant: self.name,
            per_second: Spread::of(self.rounds.iter().map(Load::rate)),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: quantile(1.0),
        }
    }
}

fn table(figures: &[Figures]) -> Table {
    let mut table =
        Table::new(["variant", "requests/s", "p50 ms", "p99 ms", "min..max", "p99.9 ms", "max ms"]);
    for figures in figures {
        let Spread { median, min, max } = figures.p99_ms;
        table.row([
            figures.variant.to_owned(),
            number(figures.per_second.median),
            number(figures.p50_ms.median),
            number(median),
            format!("{}..{}", number(min), number(max)),
            number(figures.p999_ms.median),
            number(figures.max_ms.median),
        ]);
    }
    table
}
