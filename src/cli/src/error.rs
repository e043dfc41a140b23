//! What can go wrong, told apart by exit code.

use std::fmt;
use std::io;

use tnv_proto::Malformed;

/// The kinds of failure a script can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something on this machine: a file that cannot be read, is there already, or finds no room.
    Local,
    /// The command line makes no sense.
    Usage,
    /// No such file on the server.
    NotFound,
    /// The server understood and said no.
    Refused,
    /// No server could be reached, or none answered in time.
    Unreachable,
    /// Wrong bytes came back, or nobody knows whether an upload was stored.
    Damaged,
    /// The disk has no room.
    DiskFull,
    /// The file is another one than it was, or should be.
    Changed,
    /// Not done in time.
    Timeout,
    /// There is nobody to ask.
    NoServers,
    /// Whoever read standard output has gone: nothing to say, and nobody to say it to.
    ClosedPipe,
    /// Stopped by this signal.
    Signal(u8),
}

impl Kind {
    /// The process's exit code; a closed pipe and a signal end as the shell would report the signal, 128 + n.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Kind::Local => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Refused => 4,
            Kind::Unreachable => 5,
            Kind::Damaged => 6,
            Kind::DiskFull => 7,
            Kind::Changed => 8,
            Kind::Timeout => 9,
            Kind::NoServers => 10,
            Kind::ClosedPipe => 141,
            Kind::Signal(number) => number.saturating_add(128),
        }
    }

    /// The name that `--json` gives it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Usage => "usage",
            Kind::NotFound => "not_found",
            Kind::Refused => "refused",
            Kind::Unreachable => "unreachable",
            Kind::Damaged => "damaged",
            Kind::DiskFull => "disk_full",
            Kind::Changed => "changed",
            Kind::Timeout => "timeout",
            Kind::NoServers => "no_servers",
            Kind::ClosedPipe => "closed_pipe",
            Kind::Signal(_) => "interrupted",
        }
    }
}

/// A failure as it is reported: its kind, a sentence, and what `--json` adds.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The number in the server's refusal.
    pub(crate) code: Option<u16>,
    /// The file it is about, where a script may want to look for it.
    pub(crate) id: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Error {
        Error { kind, text: text.into(), code: None, id: None }
    }

    pub(crate) fn local(text: impl Into<String>) -> Error {
        Error::new(Kind::Local, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Error {
        Error::new(Kind::Usage, text)
    }

    pub(crate) fn damaged(text: impl Into<String>) -> Error {
        Error::new(Kind::Damaged, text)
    }

    /// A failed write of results: quiet if the reader has gone, told otherwise.
    pub(crate) fn output(error: &io::Error, what: impl fmt::Display) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::new(Kind::ClosedPipe, format!("{what} was closed")),
            _ => Error::local(format!("cannot write to {what}: {}", reason(error))),
        }
    }

    /// Says which file it is about.
    pub(crate) fn about(mut self, id: &impl fmt::Display) -> Error {
        self.id = Some(id.to_string());
        self
    }

    /// Says first what was being done.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Error {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// The object that `--json` prints on standard error.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::json!({
            "error": self.kind.name(),
            "message": self.text,
            "exit": self.kind.exit_code(),
        });
        if let Some(code) = self.code {
            object["code"] = code.into();
        }
        if let Some(id) = &self.id {
            object["id"] = id.as_str().into();
        }
        object
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Error {
        Error::usage(malformed.0)
    }
}

/// An I/O error in words, without the `(os error 2)` that means nothing to most readers.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let help = Cli::command().render_long_help().to_string();
        for (kind, code, words) in [
            (Kind::Local, 1, "local error"),
            (Kind::Usage, 2, "usage"),
            (Kind::NotFound, 3, "not found"),
            (Kind::Refused, 4, "refused"),
            (Kind::Unreachable, 5, "unreachable"),
            (Kind::Damaged, 6, "damaged"),
            (Kind::DiskFull, 7, "no room"),
            (Kind::Changed, 8, "changed"),
            (Kind::Timeout, 9, "timeout"),
            (Kind::NoServers, 10, "no servers"),
            (Kind::Signal(2), 130, "stopped by Ctrl-C"),
            (Kind::ClosedPipe, 141, "the reader of standard output"),
        ] {
            assert_eq!(kind.exit_code(), code);
            assert!(help.contains(&format!("\n  {code:<3}  {words}")), "{code}");
        }
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let kind = |kind: io::ErrorKind| Error::output(&kind.into(), "standard output").kind;
        assert_eq!(kind(io::ErrorKind::BrokenPipe), Kind::ClosedPipe);
        assert_eq!(kind(io::ErrorKind::StorageFull), Kind::Local);
    }

    #[test]
    fn json_tells_only_what_is_known() {
        let error = Error::local("no room").about(&"f1");
        let expected = serde_json::json!({ "error": "local", "message": "no room", "exit": 1, "id": "f1" });
        assert_eq!(error.to_json(), expected);
    }

    #[test]
    fn system_errors_are_told_in_words() {
        assert_eq!(reason(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(reason(&io::Error::other("Its own words")), "Its own words");
    }
}
