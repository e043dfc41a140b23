//! One command from start to end.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use tnv_client::{Client, ClientError};
use tnv_proto::ErrorCode;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::error::{Error, Kind};
use crate::{delete, download, filesize, groups, upload};

/// Executes `cli` against these trackers and returns the exit code. `stopped` resolves to the number of a signal
/// that ends it early; whatever is unfinished then is undone.
pub(crate) async fn execute(
    cli: Cli,
    trackers: Vec<String>,
    console: &mut Console,
    stopped: impl Future<Output = u8>,
) -> u8 {
    let client = Client::new(trackers, cli.global.options());
    let outcome = tokio::select! {
        biased;
        outcome = dispatch(cli.command, &client, console) => outcome,
        signal = stopped => Err(Error::new(Kind::Signal(signal), "stopped before it was done")),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            console.report(&error);
            error.kind.exit_code()
        }
    }
}

async fn dispatch(command: Command, client: &Client, console: &mut Console) -> Result<(), Error> {
    match command {
        Command::Groups(groups) => groups::run(groups, client, console).await,
        Command::Upload(upload) => upload::run(upload, client, console).await,
        Command::Filesize(filesize) => filesize::run(filesize, client, console).await,
        Command::Download(download) => download::run(download, client, console).await,
        Command::Delete(delete) => delete::run(delete, client, console).await,
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Error {
        let kind = match &error {
            _ if error.is_not_found() => Kind::NotFound,
            // Worth another try, like a server that cannot be reached.
            _ if matches!(error.code(), Some(ErrorCode::UNAVAILABLE | ErrorCode::BUSY)) => Kind::Unreachable,
            ClientError::Refused { .. } => Kind::Refused,
            ClientError::Unreachable { .. } => Kind::Unreachable,
            ClientError::Protocol { .. } | ClientError::Uncertain { .. } => Kind::Damaged,
            ClientError::Local { .. } => Kind::Local,
        };
        let id = match &error {
            ClientError::Uncertain { key, .. } => Some(key.file.to_string()),
            _ => None,
        };
        Error { kind, text: error.to_string(), code: error.code().map(|code| code.0), id }
    }
}

/// How much was moved and how long it took, for a remark: `12.30 MiB in 0.4 s (30.75 MiB/s)`.
pub(crate) struct Pace {
    bytes: u64,
    time: Duration,
}

impl Pace {
    pub(crate) fn since(start: Instant, bytes: u64) -> Pace {
        Pace { bytes, time: start.elapsed() }
    }

    /// The time in seconds, to the millisecond.
    pub(crate) fn seconds(&self) -> f64 {
        self.time.as_millis() as f64 / 1000.0
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = self.bytes as f64 / self.time.as_secs_f64().max(1e-9);
        write!(f, "{} in {:.1} s ({}/s)", HumanBytes(self.bytes), self.seconds(), HumanBytes(speed as u64))
    }
}
