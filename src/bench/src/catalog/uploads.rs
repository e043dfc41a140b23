//! Uploads on SQLite and on MariaDB, with rows in batches and one by one.

use serde::Serialize;
use tnv_testbed::MariaDb;

use super::{CONNECTIONS, Half, SIZE, method, start_mariadb};
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::cpu::Meter;
use crate::load::{Edge, Load, closed_loop, latencies, quantile_ms};
use crate::report::{Goal, Target};
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::wire::Uploads;

/// Of the uploads on SQLite: how many MariaDB is to carry, which adds a process and its round trips.
const MARIADB_SHARE: f64 = 0.6;

/// A cluster with its database.
struct Variant {
    name: &'static str,
    cluster: Cluster,
    mariadb: Option<MariaDb>,
    rounds: Vec<Round>,
}

struct Round {
    load: Load,
    /// CPU seconds.
    storage: f64,
    mariadb: f64,
}

#[derive(Serialize)]
struct Figures {
    variant: &'static str,
    per_second: Spread,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// CPU seconds for each 1000 uploads.
    storage_cpu: Spread,
    mariadb_cpu: Option<Spread>,
}

/// Measures the four in turns.
pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Half> {
    let mut variants = vec![
        Variant::start(bench, "sqlite, batched", false, &[])?,
        Variant::start(bench, "mariadb, batched", true, &[])?,
        Variant::start(bench, "sqlite, one by one", false, &["database.max_batch=1"])?,
        Variant::start(bench, "mariadb, one by one", true, &["database.max_batch=1"])?,
    ];
    for round in 1..=bench.rounds() {
        for n in 0..variants.len() {
            // Each goes first in its turn: what a place in the round does to a figure, it does to all.
            let first = (round - 1) % variants.len();
            let at = (first + n) % variants.len();
            let variant = &mut variants[at];
            variant.run(bench)?;
            bench.say(&format!("uploads, round {round}: {}: {:.0}/s", variant.name, variant.last_rate()));
        }
    }
    let figures: Vec<Figures> = variants.iter().map(Variant::figures).collect();
    let title = format!("Uploads of {SIZE} bytes, durable when answered: {}", method(bench));
    Ok(Half {
        part: (title, table(&figures)),
        targets: targets(&variants),
        figures: serde_json::to_value(&figures)?,
    })
}

impl Variant {
    fn start(
        bench: &mut Bench,
        name: &'static str,
        with_mariadb: bool,
        settings: &[&str],
    ) -> anyhow::Result<Variant> {
        let folder = bench.folder(name)?;
        let mariadb = with_mariadb.then(|| start_mariadb(&folder));
        let database = match &mariadb {
            Some(server) => server.url(),
            None => format!("sqlite:{}", folder.join("tnv.db").display()),
        };
        let cluster = Cluster::start(bench, &folder, &database, settings)?;
        Ok(Variant { name, cluster, mariadb, rounds: Vec::new() })
    }

    fn run(&mut self, bench: &mut Bench) -> anyhow::Result<()> {
        // What others wrote is on the disk before this begins.
        rustix::fs::sync();
        let (window, storage) = (bench.window(), self.cluster.storage());
        let mut meters = vec![Meter::of(self.cluster.storage_pid())];
        meters.extend(self.mariadb.as_ref().map(|server| Meter::of(server.pid())));
        let mut measured = Ok(());
        let load = bench.run(async {
            let mut connections = Vec::new();
            for n in 0..CONNECTIONS {
                connections.push(Uploads::connect(storage, &format!("user{n:02}"), SIZE).await?);
            }
            let at = |edge| {
                let read = |meter: &mut Meter| if edge == Edge::Begin { meter.begin() } else { meter.end() };
                if let Err(error) = meters.iter_mut().try_for_each(read) {
                    measured = Err(error);
                }
            };
            closed_loop(connections, window, at).await
        })?;
        measured?;
        let used = |meter: usize| meters.get(meter).map_or(0.0, Meter::used);
        self.rounds.push(Round { load, storage: used(0), mariadb: used(1) });
        Ok(())
    }

    fn rates(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.load.rate())
    }

    fn last_rate(&self) -> f64 {
        self.rates().last().unwrap_or(f64::NAN)
    }

    fn figures(&self) -> Figures {
        let mut all = latencies();
        for round in &self.rounds {
            // They have the same bounds.
            let _ = all.add(&round.load.latencies);
        }
        let per_1000 = |of: fn(&Round) -> f64| {
            Spread::of(self.rounds.iter().map(|round| of(round) * 1000.0 / round.load.requests() as f64))
        };
        Figures {
            variant: self.name,
            per_second: Spread::of(self.rates()),
            p50_ms: quantile_ms(&all, 0.5),
            p99_ms: quantile_ms(&all, 0.99),
            p999_ms: quantile_ms(&all, 0.999),
            max_ms: quantile_ms(&all, 1.0),
            storage_cpu: per_1000(|round| round.storage),
            mariadb_cpu: self.mariadb.is_some().then(|| per_1000(|round| round.mariadb)),
        }
    }
}

fn table(figures: &[Figures]) -> Table {
    let mut table = Table::new([
        "variant",
        "uploads/s",
        "min..max",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "storage CPU s/1000",
        "MariaDB CPU s/1000",
    ]);
    for figures in figures {
        let Spread { median, min, max } = figures.per_second;
        table.row([
            figures.variant.to_owned(),
            number(median),
            format!("{}..{}", number(min), number(max)),
            number(figures.p50_ms),
            number(figures.p99_ms),
            number(figures.p999_ms),
            number(figures.storage_cpu.median),
            figures.mariadb_cpu.map_or_else(|| "-".to_owned(), |cpu| number(cpu.median)),
        ]);
    }
    table
}

fn targets(variants: &[Variant]) -> Vec<Target> {
    let target = |ours: usize, theirs: usize, goal| {
        let (ours, theirs) = (&variants[ours], &variants[theirs]);
        let what = format!("uploads/s: {} / {}", ours.name, theirs.name);
        Target::of_rounds(what, ours.rates().collect(), theirs.rates().collect(), goal)
    };
    vec![target(1, 0, Goal::AtLeast(MARIADB_SHARE)), target(0, 2, Goal::None), target(1, 3, Goal::None)]
}
