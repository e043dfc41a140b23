//! What contests came to.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Ratio, Side, Turn, Unit};
use crate::load::{latencies, quantile_ms};
use crate::report::{Goal, Target};
use crate::spread::Spread;
use crate::table::{Table, number};

/// What one contest came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    name: String,
    unit: Unit,
    sides: Vec<Figures>,
    targets: Vec<Target>,
}

/// What one side reached.
#[derive(Debug, Serialize)]
struct Figures {
    side: String,
    /// Requests per second, or GB/s.
    rate: Spread,
    /// Microseconds for each request, or seconds for each GiB.
    cpu: Option<Spread>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
}

/// Contests that share a title: a part of a report.
pub(crate) struct Section {
    pub(crate) part: (String, Table),
    pub(crate) targets: Vec<Target>,
    /// By the names of the contests.
    pub(crate) figures: serde_json::Map<String, serde_json::Value>,
}

impl Outcome {
    pub(super) fn new(
        name: String,
        unit: Unit,
        sides: Vec<(String, Vec<Turn>)>,
        ratios: &[(Ratio, Goal)],
    ) -> Outcome {
        let target = |(ratio, goal): &(Ratio, Goal)| judge(&name, unit, &sides, *ratio, *goal);
        let targets = ratios.iter().map(target).collect();
        let sides = sides.into_iter().map(|(side, turns)| Figures::new(unit, side, &turns)).collect();
        Outcome { name, unit, sides, targets }
    }
}

fn judge(name: &str, unit: Unit, sides: &[(String, Vec<Turn>)], ratio: Ratio, goal: Goal) -> Target {
    let rate = |side: Side| figures(sides, side, |turn| unit.rate(turn.rate()));
    let cpu =
        |side: Side| figures(sides, side, |turn| turn.cpu.map_or(f64::NAN, |cpu| unit.cpu(cpu, turn.amount)));
    let p99 = |side: Side| {
        let of = |latencies: &Histogram<u64>| quantile_ms(latencies, 0.99);
        figures(sides, side, |turn| turn.latencies.as_ref().map_or(f64::NAN, of))
    };
    let side = |side: Side| &sides[side.0].0;
    let (what, ours, theirs) = match ratio {
        Ratio::Rate(a, b) => {
            (format!("{name} {}: {} / {}", unit.of_rate(), side(a), side(b)), rate(a), rate(b))
        }
        Ratio::Time(a, b) => {
            let seconds = |side| figures(sides, side, |turn| turn.seconds);
            (format!("{name} s: {} / {}", side(a), side(b)), seconds(a), seconds(b))
        }
        Ratio::Cpu(a, b) => {
            (format!("{name} CPU {}: {} / {}", unit.of_cpu(), side(a), side(b)), cpu(a), cpu(b))
        }
        Ratio::P99(a, b) => (format!("{name} p99 ms: {} / {}", side(a), side(b)), p99(a), p99(b)),
        Ratio::PlainCpu(a) => {
            let (what, cpu) = (format!("{name} CPU {}: {}", unit.of_cpu(), side(a)), cpu(a));
            return Target { what, ratio: Spread::of(cpu), goal, figures: None };
        }
    };
    Target::of_rounds(what, ours, theirs, goal)
}

/// A figure of each turn of a side.
fn figures(sides: &[(String, Vec<Turn>)], side: Side, of: impl Fn(&Turn) -> f64) -> Vec<f64> {
    sides[side.0].1.iter().map(of).collect()
}

impl Figures {
    fn new(unit: Unit, side: String, turns: &[Turn]) -> Figures {
        let has_cpu = turns.iter().all(|turn| turn.cpu.is_some());
        let cpu = || turns.iter().filter_map(|turn| Some(unit.cpu(turn.cpu?, turn.amount)));
        let mut all = latencies();
        for turn in turns.iter().filter_map(|turn| turn.latencies.as_ref()) {
            // They have the same bounds.
            let _ = all.add(turn);
        }
        let quantile = |share| (!all.is_empty()).then(|| quantile_ms(&all, share));
        Figures {
            side,
            rate: Spread::of(turns.iter().map(|turn| unit.rate(turn.rate()))),
            cpu: has_cpu.then(|| Spread::of(cpu())),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
        }
    }
}

impl Section {
    /// Of contests that count the same; those that were not chosen are left out.
    pub(crate) fn new(
        title: impl Into<String>,
        outcomes: impl IntoIterator<Item = Option<Outcome>>,
    ) -> Section {
        let mut table =
            Table::new(["work", "side", "rate", "", "min..max", "CPU", "", "p50 ms", "p99 ms", "p99.9 ms"]);
        let mut figures = serde_json::Map::new();
        let mut targets = Vec::new();
        for outcome in outcomes.into_iter().flatten() {
            for side in &outcome.sides {
                table.row(cells(&outcome, side));
            }
            let sides = serde_json::to_value(&outcome.sides).unwrap_or_default();
            figures.insert(outcome.name, sides);
            targets.extend(outcome.targets);
        }
        Section { part: (title.into(), table), targets, figures }
    }
}

fn cells(outcome: &Outcome, figures: &Figures) -> [String; 10] {
    let plain = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    let Spread { median, min, max } = figures.rate;
    [
        outcome.name.clone(),
        figures.side.clone(),
        number(median),
        outcome.unit.of_rate().to_owned(),
        format!("{}..{}", number(min), number(max)),
        plain(figures.cpu.map(|cpu| cpu.median)),
        outcome.unit.of_cpu().to_owned(),
        plain(figures.p50_ms),
        plain(figures.p99_ms),
        plain(figures.p999_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(amount: f64, cpu: f64) -> Turn {
        Turn { amount, seconds: 2.0, cpu: Some(cpu), latencies: None }
    }

    #[test]
    fn ratios_are_of_rates_and_of_cpu_for_each_unit() {
        let sides = vec![
            ("tnv".to_owned(), vec![turn(1000.0, 0.5), turn(3000.0, 1.5)]),
            ("peer".to_owned(), vec![turn(2000.0, 0.5), turn(6000.0, 1.5)]),
        ];
        let (ours, theirs) = (Side(0), Side(1));
        let ratios = [
            (Ratio::Rate(ours, theirs), Goal::AtLeast(0.6)),
            (Ratio::Cpu(ours, theirs), Goal::AtMost(1.0)),
            (Ratio::PlainCpu(ours), Goal::None),
            (Ratio::Time(ours, theirs), Goal::None),
        ];
        let outcome = Outcome::new("work".to_owned(), Unit::Requests, sides, &ratios);
        let medians: Vec<f64> = outcome.targets.iter().map(|target| target.ratio.median).collect();
        assert_eq!(medians, [0.5, 2.0, 500.0, 1.0]);
        assert_eq!(outcome.targets[0].what, "work /s: tnv / peer");
        assert_eq!(outcome.targets[1].what, "work CPU us: tnv / peer");

        let section = Section::new("Title", [None, Some(outcome)]);
        assert_eq!(section.figures["work"][1]["rate"]["median"], 2000.0);
        assert_eq!(section.targets.len(), 4);
    }
}
