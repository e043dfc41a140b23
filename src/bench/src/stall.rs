//! `stall`: what clients that do not read cost those that do. Viewers of one film jump about in it; beside them are
//! clients that asked for all of it and then read nothing, or next to nothing.

mod viewers;

mod idlers;

mod source;

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::cpu::Meter;
use crate::load::Load;
use crate::memory::{forget_peak, peak};
use crate::report::{Goal, Report};
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::versus::{Contest, Section, Turn, Unit};
use idlers::{Idlers, Pace};
use source::Source;
use viewers::Viewers;

/// The film: a minute of 4 Mbit/s, in bytes.
const FILM: u64 = 30_000_000;
/// Of the time to the first byte without them: what it may be beside stalled clients, at its 99th percentile.
const WORST: f64 = 2.0;

/// Who is there beside the viewers, and what was seen of it.
struct Crowd {
    name: String,
    pace: Option<Pace>,
    seen: RefCell<Vec<Seen>>,
}

/// One turn beside others.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// Jumps that were refused or broken off; their time counts until then.
    failed: u64,
    /// Of those beside the viewers: how many had an answer and were still connected at the end.
    held: usize,
    /// The most that was resident, in KiB.
    storage: u64,
    gateway: u64,
}

#[derive(Serialize)]
struct Figures {
    beside: String,
    failed: u64,
    held: Spread,
    storage_peak_mib: Spread,
    gateway_peak_mib: Spread,
}

/// Measures it all.
///
/// # Errors
/// If a server cannot be started or filled.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    let mut cluster = Cluster::start_in(bench, "stall", &[])?;
    let gateway = cluster.start_gateway(&[])?;
    let film = cluster.fill(bench, 1, FILM)?.pop().context("no film")?;
    let sources = [
        ("seek-gateway", Source { server: gateway, is_http: true, film: film.clone() }),
        ("seek-storage", Source { server: cluster.storage(), is_http: false, film }),
    ];
    let (mut outcomes, mut memory) = (Vec::new(), Vec::new());
    for (name, source) in &sources {
        let crowds = crowds(bench);
        outcomes.push(contest(bench, &cluster, name, source, &crowds).play(bench)?);
        memory.push((*name, crowds));
    }
    let viewers = format!(
        "{} viewers, each jumping every second, read 4 Mbit/s; rates are jumps, times those to the first byte: {} rounds of \
         {} s, in turns",
        viewers::COUNT,
        bench.rounds(),
        window(bench).as_secs_f64()
    );
    let mut report = Report::of("stall", bench, [Section::new(viewers, outcomes)]);
    let (part, figures) = around(&memory);
    report.parts.push(part);
    Ok(Report { figures: serde_json::json!({ "first_byte": report.figures, "around": figures }), ..report })
}

/// How long the viewers are watched in each turn.
fn window(bench: &Bench) -> Duration {
    Duration::from_millis(if bench.is_quick { 1_000 } else { 8_000 })
}

fn crowds(bench: &Bench) -> [Crowd; 3] {
    let count = if bench.is_quick { 200 } else { 1_000 };
    let crowd = |name: String, pace| Crowd { name, pace, seen: RefCell::default() };
    [
        crowd("alone".to_owned(), None),
        crowd(format!("beside {count} stalled"), Some(Pace { count, bytes: 0 })),
        crowd(format!("beside {count} at 100 bytes/s"), Some(Pace { count, bytes: 100 })),
    ]
}

fn contest<'a>(
    bench: &Bench,
    cluster: &'a Cluster,
    name: &str,
    source: &'a Source,
    crowds: &'a [Crowd; 3],
) -> Contest<'a> {
    let (mut contest, window) = (Contest::new(name, Unit::Requests), window(bench));
    let sides = crowds.each_ref().map(|crowd| {
        contest.side(crowd.name.clone(), move |bench| crowd.turn(bench, cluster, source, window))
    });
    let [alone, stalled, trickling] = sides;
    contest.p99(stalled, alone, Goal::AtMost(WORST));
    contest.p99(trickling, alone, Goal::None);
    contest.cpu(stalled, alone, Goal::None);
    contest
}

impl Crowd {
    fn turn(
        &self,
        bench: &mut Bench,
        cluster: &Cluster,
        source: &Source,
        window: Duration,
    ) -> anyhow::Result<Turn> {
        let gateway = cluster.gateway_pid().context("the gateway is gone")?;
        let pids = [cluster.storage_pid(), gateway];
        let patience = Duration::from_millis(if bench.is_quick { 500 } else { 10_000 });
        let mut meter = Meter::over(pids);
        let mut seen = Seen::default();
        let load: Load = bench.run(async {
            // What the turn before left behind is closed.
            until_quiet(pids, patience).await?;
            pids.iter().try_for_each(|pid| forget_peak(*pid))?;
            let idlers = match self.pace {
                Some(pace) => Some(Idlers::gather(source, pace).await?),
                None => None,
            };
            // All buffers are full that will be.
            until_quiet(pids, patience).await?;
            meter.begin()?;
            let (load, failed) = Viewers::watch(source, window).await?;
            meter.end()?;
            let held = match idlers {
                Some(idlers) => idlers.held(source).await?,
                None => 0,
            };
            seen = Seen { failed, held, storage: peak(pids[0])?, gateway: peak(pids[1])? };
            Ok(load)
        })?;
        if let Some(pace) = self.pace.filter(|pace| seen.held < pace.count) {
            bench.say(&format!("only {} of {} had an answer and were still there", seen.held, pace.count));
        }
        if seen.failed > 0 {
            bench.say(&format!("{} jumps failed", seen.failed));
        }
        self.seen.borrow_mut().push(seen);
        Ok(Turn::of_load(load, meter.used()))
    }

    fn figures(&self) -> Figures {
        let seen = self.seen.borrow();
        let spread = |of: fn(&Seen) -> f64| Spread::of(seen.iter().map(of));
        Figures {
            beside: self.name.clone(),
            failed: seen.iter().map(|seen| seen.failed).sum(),
            held: spread(|seen| seen.held as f64),
            storage_peak_mib: spread(|seen| seen.storage as f64 / 1024.0),
            gateway_peak_mib: spread(|seen| seen.gateway as f64 / 1024.0),
        }
    }
}

/// Waits until these processes have next to nothing to do, or for so long.
async fn until_quiet(pids: [u32; 2], patience: Duration) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(250);
    let (begin, mut meter) = (Instant::now(), Meter::over(pids));
    while begin.elapsed() < patience {
        meter.begin()?;
        sleep(LOOK).await;
        meter.end()?;
        if meter.used() <= 0.04 * LOOK.as_secs_f64() {
            break;
        }
    }
    Ok(())
}

/// What else was seen of those contests that were played.
fn around(contests: &[(&str, [Crowd; 3])]) -> ((String, Table), serde_json::Value) {
    let mut table =
        Table::new(["work", "side", "held", "failed jumps", "storage peak MiB", "gateway peak MiB"]);
    let mut all = serde_json::Map::new();
    for (name, crowds) in contests {
        let figures: Vec<Figures> =
            crowds.iter().filter(|crowd| !crowd.seen.borrow().is_empty()).map(Crowd::figures).collect();
        for of in &figures {
            table.row([
                (*name).to_owned(),
                of.beside.clone(),
                number(of.held.median),
                of.failed.to_string(),
                number(of.storage_peak_mib.median),
                number(of.gateway_peak_mib.median),
            ]);
        }
        all.insert((*name).to_owned(), serde_json::to_value(figures).unwrap_or_default());
    }
    let title =
        "Those beside the viewers that had their answer and were there to the end; peaks of resident memory";
    ((title.to_owned(), table), all.into())
}
