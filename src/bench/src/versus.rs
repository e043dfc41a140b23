//! Contests: the same work done by several sides in turns, so that what a machine does to one it does to all.

mod outcome;

use hdrhistogram::Histogram;

pub(crate) use outcome::{Outcome, Section};

use crate::bench::Bench;
use crate::load::Load;
use crate::report::Goal;

/// What one turn of a side came to.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Requests or bytes in the measured time.
    pub(crate) amount: f64,
    pub(crate) seconds: f64,
    /// CPU seconds of the servers meanwhile, where they are known.
    pub(crate) cpu: Option<f64>,
    pub(crate) latencies: Option<Histogram<u64>>,
}

impl Turn {
    /// Of a load, with the CPU seconds of its servers.
    pub(crate) fn of_load(load: Load, cpu: f64) -> Turn {
        Turn {
            amount: load.requests() as f64,
            seconds: load.elapsed.as_secs_f64(),
            cpu: Some(cpu),
            latencies: Some(load.latencies),
        }
    }

    fn rate(&self) -> f64 {
        self.amount / self.seconds
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Rates are per second, CPU in microseconds for each.
    Requests,
    /// Rates are GB/s, CPU in seconds for each GiB.
    Bytes,
}

/// What is divided by what.
#[derive(Debug, Clone, Copy)]
enum Ratio {
    /// The rate of one over that of another.
    Rate(Side, Side),
    /// The time of one over that of another.
    Time(Side, Side),
    /// The CPU of one for each unit over that of another.
    Cpu(Side, Side),
    /// The 99th percentile of the latencies of one over that of another.
    P99(Side, Side),
    /// The CPU of one for each unit, over nothing.
    PlainCpu(Side),
}

/// One of the sides of a contest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side(usize);

type Run<'a> = Box<dyn FnMut(&mut Bench) -> anyhow::Result<Turn> + 'a>;

/// Several sides that do the same work, and what is to come of it.
pub(crate) struct Contest<'a> {
    name: String,
    unit: Unit,
    sides: Vec<(String, Run<'a>)>,
    ratios: Vec<(Ratio, Goal)>,
}

impl<'a> Contest<'a> {
    /// `name` is what `--only` chooses by, such as `download-4k-32`.
    pub(crate) fn new(name: impl Into<String>, unit: Unit) -> Contest<'a> {
        Contest { name: name.into(), unit, sides: Vec::new(), ratios: Vec::new() }
    }

    /// Adds a side; `run` is called once in each round.
    pub(crate) fn side(
        &mut self,
        name: impl Into<String>,
        run: impl FnMut(&mut Bench) -> anyhow::Result<Turn> + 'a,
    ) -> Side {
        self.sides.push((name.into(), Box::new(run)));
        Side(self.sides.len() - 1)
    }

    /// Judges the ratio of rates.
    pub(crate) fn rate(&mut self, ours: Side, theirs: Side, goal: Goal) {
        self.ratios.push((Ratio::Rate(ours, theirs), goal));
    }

    /// Judges the ratio of times, in seconds.
    pub(crate) fn time(&mut self, ours: Side, theirs: Side, goal: Goal) {
        self.ratios.push((Ratio::Time(ours, theirs), goal));
    }

    /// Judges the ratio of CPU for each request or GiB.
    pub(crate) fn cpu(&mut self, ours: Side, theirs: Side, goal: Goal) {
        self.ratios.push((Ratio::Cpu(ours, theirs), goal));
    }

    /// Judges the ratio of the 99th percentiles of latencies.
    pub(crate) fn p99(&mut self, ours: Side, theirs: Side, goal: Goal) {
        self.ratios.push((Ratio::P99(ours, theirs), goal));
    }

    /// Judges the CPU for each request (microseconds) or GiB (seconds) itself.
    pub(crate) fn plain_cpu(&mut self, ours: Side, goal: Goal) {
        self.ratios.push((Ratio::PlainCpu(ours), goal));
    }

    /// Lets all have their turns; None if `--only` does not choose this one.
    ///
    /// # Errors
    /// The first of any turn.
    pub(crate) fn play(mut self, bench: &mut Bench) -> anyhow::Result<Option<Outcome>> {
        if !bench.wants(&self.name) {
            return Ok(None);
        }
        let mut turns: Vec<Vec<Turn>> = self.sides.iter().map(|_| Vec::new()).collect();
        for round in 0..bench.rounds() {
            for n in 0..self.sides.len() {
                // Each goes first in its turn: what a place in the round does to a figure, it does to all.
                let at = (round + n) % self.sides.len();
                let (side, run) = &mut self.sides[at];
                bench.warm()?;
                let turn = run(bench)?;
                let (rate, unit) = (self.unit.rate(turn.rate()), self.unit.of_rate());
                let cpu = turn.cpu.map_or(String::new(), |cpu| {
                    format!(", CPU {:.3} {}", self.unit.cpu(cpu, turn.amount), self.unit.of_cpu())
                });
                bench.say(&format!("{}, round {}: {side}: {rate:.2} {unit}{cpu}", self.name, round + 1));
                turns[at].push(turn);
            }
        }
        let sides = self.sides.into_iter().map(|(name, _)| name).zip(turns).collect();
        Ok(Some(Outcome::new(self.name, self.unit, sides, &self.ratios)))
    }
}

impl Unit {
    fn rate(self, per_second: f64) -> f64 {
        match self {
            Unit::Requests => per_second,
            Unit::Bytes => per_second / 1e9,
        }
    }

    fn of_rate(self) -> &'static str {
        match self {
            Unit::Requests => "/s",
            Unit::Bytes => "GB/s",
        }
    }

    fn cpu(self, seconds: f64, amount: f64) -> f64 {
        match self {
            Unit::Requests => seconds * 1e6 / amount,
            Unit::Bytes => seconds * (1u64 << 30) as f64 / amount,
        }
    }

    fn of_cpu(self) -> &'static str {
        match self {
            Unit::Requests => "us",
            Unit::Bytes => "s/GiB",
        }
    }
}
