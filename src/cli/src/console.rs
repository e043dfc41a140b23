//! Where words go: results to standard output, everything else to standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::error::{Error, Kind};
use crate::progress::Progress;

/// How results and remarks look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// One JSON object per result, and errors as JSON objects.
    pub(crate) json: bool,
    /// No remarks and no progress.
    pub(crate) quiet: bool,
    /// Whether standard error is a terminal, so that a progress bar makes sense.
    pub(crate) terminal: bool,
}

/// The two output streams. The few lines that go through here are written at once, on the caller's thread.
pub(crate) struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    style: Style,
}

impl Console {
    /// The process's own streams.
    pub(crate) fn standard(json: bool, quiet: bool) -> Console {
        let style = Style { json, quiet, terminal: io::stderr().is_terminal() };
        Console::new(Box::new(io::stdout()), Box::new(io::stderr()), style)
    }

    pub(crate) fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, style: Style) -> Console {
        Console { out, err, style }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.style.json
    }

    /// Prints a result: the JSON object with `--json`, the text otherwise.
    ///
    /// # Errors
    /// Standard output cannot be written, or its reader has gone.
    pub(crate) fn result(&mut self, text: &str, json: &Value) -> Result<(), Error> {
        let written = match self.style.json {
            true => writeln!(self.out, "{json}"),
            false => writeln!(self.out, "{text}"),
        };
        written.and_then(|()| self.out.flush()).map_err(|error| Error::output(&error, "standard output"))
    }

    /// Prints a result that only `--json` has.
    ///
    /// # Errors
    /// As [`Console::result`].
    pub(crate) fn json_result(&mut self, json: &Value) -> Result<(), Error> {
        if self.style.json { self.result("", json) } else { Ok(()) }
    }

    /// Prints a text as it is.
    ///
    /// # Errors
    /// As [`Console::result`].
    pub(crate) fn print(&mut self, text: &[u8]) -> Result<(), Error> {
        let written = self.out.write_all(text).and_then(|()| self.out.flush());
        written.map_err(|error| Error::output(&error, "standard output"))
    }

    /// Tells people how it went; says nothing with `--json` or `--quiet`. Nothing depends on whether it is read.
    pub(crate) fn remark(&mut self, text: &str) {
        if !self.style.json && !self.style.quiet {
            let _ = writeln!(self.err, "{}", printable(text));
        }
    }

    /// Reports a failure. A closed pipe is nothing to talk about.
    pub(crate) fn report(&mut self, error: &Error) {
        if error.kind == Kind::ClosedPipe {
            return;
        }
        let _ = match self.style.json {
            true => writeln!(self.err, "{}", error.to_json()),
            false => writeln!(self.err, "error: {}", printable(&error.text)),
        };
    }

    /// Whether somebody watches who wants to see more than results.
    pub(crate) fn has_screen(&self) -> bool {
        self.style.terminal && !self.style.json && !self.style.quiet
    }

    /// A progress bar over `total` bytes, drawn only where somebody watches.
    pub(crate) fn progress(&self, what: &str, total: u64) -> Progress {
        match self.has_screen() {
            true => Progress::visible(&printable(what), total),
            false => Progress::hidden(),
        }
    }

    /// Gives standard output away for good, to be filled with a file's bytes.
    pub(crate) fn take_output(&mut self) -> Box<dyn Write + Send> {
        std::mem::replace(&mut self.out, Box::new(io::sink()))
    }
}

/// Text from elsewhere must not steer the terminal: control characters other than line breaks and tabs are shown
/// as `\u{1b}`.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out.into()
}

/// The same for what must stay on one line, and in one column of a line.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable("plain ✓\n\tline"), "plain ✓\n\tline");
        assert_eq!(printable("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
        assert_eq!(printable("a\u{9b}b\r"), "a\\u{9b}b\\u{d}");
        assert_eq!(one_line("a\tb\nc\u{1b}"), "a\\tb\\nc\\u{1b}");
    }
}
