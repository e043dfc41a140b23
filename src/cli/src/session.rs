//! One command from start to end.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use tnv_client::{Client, ClientError, Options};
use tnv_proto::ErrorCode;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::error::{Error, Kind};
use crate::state::StateFolder;
use crate::{cat, delete, download, fetch, filesize, groups, ls, member, scrub, stat, upload};

/// What every command works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    /// How servers are waited for.
    pub(crate) options: Options,
    /// The trackers' addresses.
    pub(crate) trackers: Vec<String>,
    /// Where it is remembered what can go on later.
    pub(crate) state: StateFolder,
}

/// Executes `cli` against these trackers and returns the exit code. `stopped` resolves to the number of a signal
/// that ends it early; whatever is unfinished then is undone, or kept to go on with.
pub(crate) async fn execute(
    cli: Cli,
    trackers: Vec<String>,
    state: StateFolder,
    console: &mut Console,
    stopped: impl Future<Output = u8>,
) -> u8 {
    let options = cli.global.options();
    let client = Client::new(trackers.clone(), options.clone());
    let context = Context { client, options, trackers, state };
    let outcome = match cli.command {
        // It writes down what has come when it is stopped.
        Command::Fetch(fetch) => fetch::run(*fetch, &context, console, stopped).await,
        command => tokio::select! {
            biased;
            outcome = dispatch(command, &context, console) => outcome,
            signal = stopped => Err(Error::new(Kind::Signal(signal), "stopped before it was done")),
        },
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            console.report(&error);
            error.kind.exit_code()
        }
    }
}

async fn dispatch(command: Command, context: &Context, console: &mut Console) -> Result<(), Error> {
    match command {
        Command::Groups(groups) => groups::run(groups, &context.client, console).await,
        Command::Ls(ls) => ls::run(ls, context, console).await,
        Command::Stat(stat) => stat::run(stat, context, console).await,
        Command::Upload(upload) => upload::run(*upload, context, console).await,
        Command::Filesize(filesize) => filesize::run(filesize, &context.client, console).await,
        Command::Download(download) => download::run(download, context, console).await,
        Command::Cat(cat) => cat::run(cat, context, console).await,
        Command::Scrub(scrub) => scrub::run(scrub, context, console).await,
        Command::Drain(drain) => member::drain(drain, context, console).await,
        Command::Undrain(undrain) => member::undrain(undrain, context, console).await,
        Command::Remove(remove) => member::remove(remove, context, console).await,
        Command::Delete(delete) => delete::run(delete, &context.client, console).await,
        // Fetch is run with the signals; the others ask no server and are answered before a tracker is needed.
        Command::Fetch(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Error {
        let kind = match &error {
            _ if error.is_not_found() => Kind::NotFound,
            // Worth another try, like a server that cannot be reached.
            _ if matches!(
                error.code(),
                Some(ErrorCode::UNAVAILABLE | ErrorCode::BUSY | ErrorCode::LOCKED)
            ) =>
            {
                Kind::Unreachable
            }
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
#[derive(Debug, Clone, Copy)]
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
