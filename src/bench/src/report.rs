//! What a run came to: tables for people, JSON for programs.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::bench::Bench;
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::versus::Section;

/// The outcome of one measurement.
#[derive(Debug)]
pub(crate) struct Report {
    /// Its name, and that of the JSON file.
    pub(crate) name: &'static str,
    pub(crate) is_quick: bool,
    /// Title and table of each part.
    pub(crate) parts: Vec<(String, Table)>,
    pub(crate) targets: Vec<Target>,
    /// All figures.
    pub(crate) figures: serde_json::Value,
}

/// A ratio between two things measured in turns.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    /// What is divided by what.
    pub(crate) what: String,
    pub(crate) ratio: Spread,
    pub(crate) goal: Goal,
    /// The two sides, if it is not a figure by itself.
    pub(crate) figures: Option<[Spread; 2]>,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is told, not judged.
    None,
}

impl Target {
    /// The figures of one side over those of another, round by round.
    pub(crate) fn of_rounds(what: String, ours: Vec<f64>, theirs: Vec<f64>, goal: Goal) -> Target {
        let figures = [&ours, &theirs].map(|figures| Spread::of(figures.iter().copied()));
        Target { what, ratio: Spread::of_ratios(ours, theirs), goal, figures: Some(figures) }
    }

    fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtLeast(least) => Some(self.ratio.median >= least),
            Goal::AtMost(most) => Some(self.ratio.median <= most),
            Goal::None => None,
        }
    }
}

#[derive(Serialize)]
struct Saved<'a> {
    name: &'a str,
    is_quick: bool,
    cores: usize,
    targets: Vec<Judged<'a>>,
    figures: &'a serde_json::Value,
}

#[derive(Serialize)]
struct Judged<'a> {
    #[serde(flatten)]
    target: &'a Target,
    is_met: Option<bool>,
}

impl Report {
    /// Of sections of contests; those of which nothing was chosen are left out.
    pub(crate) fn of(
        name: &'static str,
        bench: &Bench,
        sections: impl IntoIterator<Item = Section>,
    ) -> Report {
        let mut report = Report {
            name,
            is_quick: bench.is_quick,
            parts: Vec::new(),
            targets: Vec::new(),
            figures: serde_json::Value::Null,
        };
        let mut figures = serde_json::Map::new();
        for section in sections.into_iter().filter(|section| !section.targets.is_empty()) {
            report.parts.push(section.part);
            report.targets.extend(section.targets);
            figures.extend(section.figures);
        }
        Report { figures: figures.into(), ..report }
    }

    /// Writes `NAME.json` into the folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let judged = self.targets.iter().map(|target| Judged { target, is_met: target.is_met() });
        let saved = Saved {
            name: self.name,
            is_quick: self.is_quick,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            targets: judged.collect(),
            figures: &self.figures,
        };
        let file = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&saved)? + "\n";
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, table) in &self.parts {
            writeln!(f, "{title}\n\n{table}")?;
        }
        writeln!(f, "{}", ratios(&self.targets))?;
        if self.is_quick {
            writeln!(f, "A quick run: too short for figures.")?;
        }
        Ok(())
    }
}

/// What is judged of several reports.
pub(crate) fn summary(reports: &[Report]) -> Table {
    let all = reports.iter().flat_map(|report| &report.targets);
    ratios(all.filter(|target| target.is_met().is_some()))
}

fn ratios<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Table {
    let mut table =
        Table::new(["ratio, round by round", "ours", "peer", "ratio", "min", "max", "target", ""]);
    for target in targets {
        let goal = match target.goal {
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::AtMost(most) => format!("<= {most}"),
            Goal::None => String::new(),
        };
        let judged = target.is_met().map_or("", |is_met| if is_met { "met" } else { "not met" });
        let [ours, theirs] = target
            .figures
            .map_or_else(Default::default, |figures| figures.map(|spread| number(spread.median)));
        let Spread { median, min, max } = target.ratio;
        let [median, min, max] = [median, min, max].map(number);
        table.row([target.what.clone(), ours, theirs, median, min, max, goal, judged.to_owned()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(goal: Goal) -> Target {
        Target { what: "ours / theirs".to_owned(), ratio: Spread::of([0.6]), goal, figures: None }
    }

    #[test]
    fn a_goal_includes_its_edge() {
        assert_eq!(target(Goal::AtLeast(0.6)).is_met(), Some(true));
        assert_eq!(target(Goal::AtLeast(0.61)).is_met(), Some(false));
        assert_eq!(target(Goal::AtMost(0.6)).is_met(), Some(true));
        assert_eq!(target(Goal::AtMost(0.59)).is_met(), Some(false));
        assert_eq!(target(Goal::None).is_met(), None);
    }

    #[test]
    fn what_is_shown_is_saved() {
        let report = Report {
            name: "sample",
            is_quick: true,
            parts: vec![("Title".to_owned(), Table::new(["a", "b"]))],
            targets: vec![target(Goal::AtLeast(0.7))],
            figures: serde_json::json!({ "a": 1 }),
        };
        let shown = report.to_string();
        assert_eq!(summary(std::slice::from_ref(&report)).to_string().lines().count(), 2);

        assert!(shown.starts_with("Title\n\na  b\n") && shown.contains(">= 0.7  not met"), "{shown}");

        let folder = tempfile::tempdir().unwrap();
        let file = report.save(folder.path()).unwrap();
        assert_eq!(file.file_name().unwrap(), "sample.json");
        let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(saved["targets"][0]["is_met"], false);
        assert_eq!(saved["targets"][0]["goal"]["at_least"], 0.7);
        assert_eq!(saved["figures"]["a"], 1);
    }
}
