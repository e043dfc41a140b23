//! Bars on the terminal: one for the whole, and a line for each source.

use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use tnv_fetch::{Phase, Report, SourceReport, SourceState};

use crate::console::{one_line, printable};
use crate::progress::shortened;

/// Sources that have a line; more would push the whole off the screen.
const MAX_LINES: usize = 12;

/// What a terminal shows. It leaves it when dropped.
pub(super) struct Screen {
    all: MultiProgress,
    whole: ProgressBar,
    lines: Vec<ProgressBar>,
}

impl Screen {
    pub(super) fn new(what: &str) -> Screen {
        const TEMPLATE: &str = "{prefix} {wide_bar} {bytes}/{total_bytes} {msg}";
        let all = MultiProgress::new();
        let whole = all.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            whole.set_style(style);
        }
        whole.set_prefix(shortened(&printable(what)));
        whole.enable_steady_tick(Duration::from_millis(250));
        Screen { all, whole, lines: Vec::new() }
    }

    /// Shows how far it has come; `come` never goes back.
    pub(super) fn show(&mut self, report: &Report, come: u64) {
        self.whole.set_length(report.total.unwrap_or(come).max(come));
        self.whole.set_position(come);
        let speed = format!("{}/s", HumanBytes(report.rate as u64));
        self.whole.set_message(match (report.phase, report.left) {
            (Phase::Verifying, _) => "verifying".to_owned(),
            (Phase::Publishing, _) => "syncing".to_owned(),
            (Phase::Fetching, Some(left)) => format!("{speed} ETA {}", HumanDuration(left)),
            (Phase::Fetching, None) => speed,
        });
        for (index, source) in report.sources.iter().take(MAX_LINES).enumerate() {
            if index >= self.lines.len() {
                let line = self.all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                    line.set_style(style);
                }
                self.lines.push(line);
            }
            self.lines[index].set_message(describe(source));
        }
    }

    /// Says something above the bars.
    pub(super) fn say(&self, text: &str) {
        // A terminal that has gone is no reason to stop.
        let _ = self.all.println(printable(text));
    }

    pub(super) fn clear(&self) {
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
        self.whole.finish_and_clear();
        let _ = self.all.clear();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

fn describe(source: &SourceReport) -> String {
    let (name, state) = (one_line(&source.name), source.state.name());
    let bytes = HumanBytes(source.bytes);
    match (&source.failure, source.state) {
        (_, SourceState::Active) => format!("{name}: {bytes}, {}/s", HumanBytes(source.rate as u64)),
        (Some(failure), _) => format!("{name}: {state}, {bytes}; {}", one_line(&failure.text)),
        (None, _) => format!("{name}: {state}, {bytes}"),
    }
}
