//! What a person or a program is told while a file is fetched.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};
use tnv_fetch::{Note, Phase, Report, SourceReport, Watcher};
use tokio_util::sync::CancellationToken;

use crate::console::Console;
use crate::error::Error;
use crate::fetch::screen::Screen;

/// How often progress is told to a program, and to a file of lines.
const EVENT: Duration = Duration::from_secs(1);
const LINE: Duration = Duration::from_secs(10);

/// Passes on what the engine tells: to a terminal as bars, to programs as events, else as a line now and then. What has
/// come never seems to go back.
pub(super) struct Told<'a> {
    console: &'a mut Console,
    path: PathBuf,
    screen: Option<Screen>,
    cancel: CancellationToken,
    most: u64,
    last: Instant,
    phase: Phase,
    failed: Option<Error>,
}

impl<'a> Told<'a> {
    /// `cancel` ends the work should nobody read the events any more.
    pub(super) fn new(console: &'a mut Console, path: &Path, cancel: &CancellationToken) -> Told<'a> {
        let screen = console.has_screen().then(|| Screen::new(&path.display().to_string()));
        Told {
            console,
            path: path.to_owned(),
            screen,
            cancel: cancel.clone(),
            most: 0,
            last: Instant::now(),
            phase: Phase::Fetching,
            failed: None,
        }
    }

    pub(super) fn start(&mut self, sources: &[String], size: Option<u64>) {
        let path = self.path.display().to_string();
        self.event(&json!({ "event": "downloadStart", "path": path, "sources": sources, "size": size }));
    }

    /// Takes the bars off the terminal.
    ///
    /// # Errors
    /// If the events could not be written.
    pub(super) fn finish(self) -> Result<(), Error> {
        if let Some(screen) = &self.screen {
            screen.clear();
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn event(&mut self, event: &Value) {
        if let Err(error) = self.console.json_result(event) {
            self.failed.get_or_insert(error);
            self.cancel.cancel();
        }
    }

    fn line(&mut self, report: &Report) {
        let total = report.total.map_or("?".to_owned(), |total| HumanBytes(total).to_string());
        let left = report.left.map(|left| format!(", {} left", HumanDuration(left))).unwrap_or_default();
        let (come, rate) = (HumanBytes(self.most), HumanBytes(report.rate as u64));
        self.console.remark(&format!("{}: {come} of {total}, {rate}/s{left}", self.path.display()));
    }
}

impl Watcher for Told<'_> {
    fn report(&mut self, report: &Report) {
        self.most = self.most.max(report.come);
        if let Some(screen) = &mut self.screen {
            return screen.show(report, self.most);
        }
        let is_json = self.console.is_json();
        let changed = report.phase != self.phase;
        if !changed && self.last.elapsed() < if is_json { EVENT } else { LINE } {
            return;
        }
        (self.last, self.phase) = (Instant::now(), report.phase);
        if is_json {
            self.event(&json!({
                "event": "downloadProgress",
                "phase": phase(report.phase),
                "bytes": self.most,
                "total": report.total,
                "speed": report.rate as u64,
                "eta": report.left.map(|left| left.as_secs()),
                "sources": report.sources.iter().map(source_json).collect::<Vec<_>>(),
            }));
        } else if report.phase == Phase::Fetching {
            self.line(report);
        }
    }

    fn note(&mut self, note: &Note) {
        let text = note.to_string();
        match &self.screen {
            Some(screen) => screen.say(&text),
            None => self.console.remark(&text),
        }
        let (source, kind) = match note {
            Note::Failed { source, failure, .. } => (Some(source.as_str()), failure.kind.name()),
            Note::BadPiece { source, .. } => (source.as_deref(), "corrupt"),
            Note::BadWhole => (None, "corrupt"),
            Note::Anew | Note::NotResumed(_) => (None, "changed"),
            Note::Resumed(_) => (None, "resumed"),
            Note::Named(_) => (None, "named"),
            Note::Found(_) => (None, "found"),
            Note::Useless(_) => (None, "useless"),
        };
        self.event(&json!({ "event": "downloadWarning", "kind": kind, "source": source, "message": text }));
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Fetching => "fetching",
        Phase::Verifying => "verifying",
        Phase::Publishing => "publishing",
    }
}

/// A source as events give it.
pub(super) fn source_json(source: &SourceReport) -> Value {
    json!({
        "source": source.name,
        "state": source.state.name(),
        "bytes": source.bytes,
        "speed": source.rate as u64,
        "error": source.failure.as_ref().map(|failure| match &failure.at {
            Some(at) => format!("{at}: {failure}"),
            None => failure.to_string(),
        }),
    })
}
