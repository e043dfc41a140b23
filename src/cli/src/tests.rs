//! Whole commands against a tracker and a storage on real sockets.

mod cluster;

mod downloads;
mod fetches;
mod lists;
mod queries;
mod resumed;
mod several;
mod uploads;

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::console::{Console, Style};
use crate::state::StateFolder;
use crate::{args, session};

/// What a command left behind.
#[derive(Debug)]
struct Outcome {
    code: u8,
    out: Vec<u8>,
    err: String,
}

impl Outcome {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// The objects on standard output, one per line.
    fn json(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one object on standard error.
    fn json_error(&self) -> serde_json::Value {
        serde_json::from_str(&self.err).unwrap()
    }

    #[track_caller]
    fn assert_code(&self, code: u8) {
        assert_eq!(self.code, code, "{self:?}");
    }
}

/// A stream that can be read back.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

/// Runs `client TRACKERS WORDS...` to its end.
async fn client<W: Into<OsString>>(trackers: &str, words: impl IntoIterator<Item = W>) -> Outcome {
    client_until(trackers, words, std::future::pending()).await
}

/// The same, ended by a signal.
async fn client_until<W: Into<OsString>>(
    trackers: &str,
    words: impl IntoIterator<Item = W>,
    stopped: impl Future<Output = u8>,
) -> Outcome {
    client_with(StateFolder::none(), trackers, words, stopped).await
}

/// The same for a user whose unfinished transfers are remembered there.
async fn client_with<W: Into<OsString>>(
    state: StateFolder,
    trackers: &str,
    words: impl IntoIterator<Item = W>,
    stopped: impl Future<Output = u8>,
) -> Outcome {
    let out = Captured::default();
    let (code, err) = execute(state, Box::new(out.clone()), trackers, words, stopped).await;
    Outcome { code, out: out.bytes(), err }
}

/// The same, with a standard output of its own; returns the exit code and what went to standard error.
async fn client_into<W: Into<OsString>>(
    out: Box<dyn Write + Send>,
    trackers: &str,
    words: impl IntoIterator<Item = W>,
    stopped: impl Future<Output = u8>,
) -> (u8, String) {
    execute(StateFolder::none(), out, trackers, words, stopped).await
}

async fn execute<W: Into<OsString>>(
    state: StateFolder,
    out: Box<dyn Write + Send>,
    trackers: &str,
    words: impl IntoIterator<Item = W>,
    stopped: impl Future<Output = u8>,
) -> (u8, String) {
    let words =
        ["client".into(), trackers.into()].into_iter().chain(words.into_iter().map(Into::into)).collect();
    let cli = args::parse(words).unwrap();
    let trackers = cli.trackers(None).unwrap();
    let err = Captured::default();
    let style = Style { json: cli.global.json, quiet: cli.global.quiet, terminal: false };
    let mut console = Console::new(out, Box::new(err.clone()), style);
    let code = session::execute(cli, trackers, state, &mut console, stopped).await;
    (code, String::from_utf8(err.bytes()).unwrap())
}

/// A standard output whose reader has gone.
fn closed_pipe() -> Box<dyn Write + Send> {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    Box::new(writer)
}
