//! `fetch`: one file from many servers.

mod extract;
mod failed;
mod plan;
mod screen;
mod told;

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tnv_fetch::{FetchError, Fetched, Options, Place, PlaceError};
use tnv_metalink::Hash;
use tokio_util::sync::CancellationToken;

use crate::args;
use crate::console::Console;
use crate::error::{Error, Kind, reason};
use crate::fetch::failed::{Failed, failed};
use crate::fetch::plan::Plan;
use crate::fetch::told::{Told, source_json};
use crate::session::{Context, Pace};
use crate::size;
use crate::target::Target;

/// Fetch one file from many servers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client fetch [OPTIONS] URL...\n       \
                      client fetch [OPTIONS] FILE.meta4\n       \
                      client fetch [OPTIONS] --base URL --count N PATH\n       \
                      client TRACKERS fetch [OPTIONS] APP USER FILE",
    after_help = "\
All sources are places of the same file: URLs of http or https, the servers of a row of addresses (the last octet \
rises by one, up to 254), those that a Metalink names (RFC 5854: a file, or what a URL answers with), those that \
answers name in Link headers (RFC 6249), or the storages of a cluster. They are asked in random order, one at a \
time; with --parallel N, N at once. One that fails hands over at the byte where it stopped.

Versions are never mixed. Sources must agree in size and ETag, or in size and date where there is no ETag; others are \
set aside and named, unless a hash is known that proves the result. Hashes come from --checksum, a Metalink, and \
the headers Repr-Digest and Digest. A piece that is damaged comes again from elsewhere, and who gave it is not asked \
any more.

The file is written to NAME.part, with NAME.part.json beside it, checked, synced and renamed. If it is not done, \
both stay and the same command goes on with them, unless the file has changed.

With --json there are events on standard output, one object a line: downloadStart, downloadProgress, \
downloadWarning, downloadComplete, downloadError; the last with a status: all_servers_failed, no_servers, \
checksum_mismatch, changed, disk_full, timeout, cancelled, extract_failed, local.

Exit codes: 0 done, 1 local error, 2 usage, 3 every server says there is no such file, 4 every server refuses, \
5 no server could give it, 6 damaged, 7 no room on the disk, 8 changed, 9 timeout, 10 no servers, 128 + n signal n.

Examples:
  client fetch http://10.0.0.1:8080/files/FILE http://10.0.0.2:8080/files/FILE -o film.mp4
  client fetch --base http://10.0.0.1:8001 --count 3 /api/v1/meetings/7/download-package --extract meeting
  client fetch http://10.0.0.1:8080/files/FILE?meta4 --parallel 3
  client fetch http://hub:8000/api/v1/meetings/7/package.meta4 --parallel 3 --extract meeting
  client 127.0.0.1:21000 fetch tnvideo tnv001 FILE --parallel 2
  client fetch https://example.org/x.iso --checksum sha-256:9f86d081... --json"
)]
pub(crate) struct Fetch {
    /// URLs, a Metalink, or APP USER FILE; behind --base a path
    #[arg(required = true, value_name = "SOURCE", value_hint = clap::ValueHint::Url)]
    words: Vec<String>,
    /// The first server of a row, such as http://10.0.0.1:8000
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// How many servers the row has, 1 to 254
    #[arg(long, value_name = "N", requires = "base", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=254))]
    count: u8,
    /// Where to: a file or a folder
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, short)]
    force: bool,
    /// How many sources are asked at once, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// A hash that the file must have: blake3, sha-512, sha-256, sha-1 or md5. May be repeated
    #[arg(long, value_name = "ALGO:HEX")]
    checksum: Vec<Hash>,
    /// Seconds until a connection must stand
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = args::seconds)]
    connect_timeout: Duration,
    /// Seconds a source may give nothing
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = args::seconds)]
    idle_timeout: Duration,
    /// Seconds all of it may take [default: any]
    #[arg(long, value_name = "SECONDS", value_parser = args::seconds)]
    timeout: Option<Duration>,
    /// How many failures in a row of one source are put up with
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Bytes a second a source must give while there are others, over --idle-timeout; 0: any
    #[arg(long, value_name = "SIZE", default_value = "1K", value_parser = size::number)]
    min_rate: u64,
    /// Bytes a second for all sources together, such as 500K
    #[arg(long, value_name = "SIZE", value_parser = size::rate)]
    limit_rate: Option<u64>,
    /// Do not go on with what an earlier command has left
    #[arg(long)]
    no_resume: bool,
    /// Do not follow Metalinks and Link headers of answers
    #[arg(long)]
    no_links: bool,
    /// The certificates (PEM) of authorities to trust with https, beside those of the system
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// Unpack the zip package into this new folder; without -o the package itself does not stay
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    extract: Option<PathBuf>,
}

impl Fetch {
    /// Whether it is about a file of a cluster, which trackers are needed for: three words, the first of which can be
    /// nothing else than an app.
    pub(crate) fn is_of_cluster(&self) -> bool {
        let is_app = |word: &String| !word.contains([':', '.', '/']);
        self.base.is_none() && self.words.len() == 3 && self.words.first().is_some_and(is_app)
    }

    fn options(&self) -> Options {
        Options {
            parallel: self.parallel.into(),
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            timeout: self.timeout,
            retries: self.retries,
            min_rate: self.min_rate,
            limit_rate: self.limit_rate,
            resume: !self.no_resume,
            ..Options::default()
        }
    }

    /// Whether the user leaves it to others what the file is called.
    fn is_open(&self) -> bool {
        match &self.output {
            Some(output) => output.is_dir(),
            None => self.extract.is_none(),
        }
    }

    /// Where the package goes: where the user says, else beside the folder that it is unpacked into, else here under the
    /// name that it has elsewhere.
    fn target(&self, name: &str) -> Result<Target, Error> {
        let path = match (&self.output, &self.extract) {
            (Some(output), _) if output.is_dir() => output.join(name),
            (Some(output), _) => output.clone(),
            (None, Some(folder)) => package_of(folder),
            (None, None) => PathBuf::from(name),
        };
        if path.as_os_str() == "-" {
            return Err(Error::usage("what comes from many servers does not come in order: -o needs a file"));
        }
        Target::new(&path, self.force)
    }
}

/// `DIR.zip` beside `DIR`.
fn package_of(folder: &Path) -> PathBuf {
    let mut path = OsString::from(folder.components().as_path());
    path.push(".zip");
    path.into()
}

/// Runs it until it is done, or `stopped` resolves to the number of a signal.
pub(crate) async fn run(
    fetch: Fetch,
    context: &Context,
    console: &mut Console,
    stopped: impl Future<Output = u8>,
) -> Result<(), Error> {
    let cancel = CancellationToken::new();
    let mut stopped = std::pin::pin!(stopped);
    let signal = Cell::new(None);
    let mut work = std::pin::pin!(execute(&fetch, context, console, &cancel, &signal));
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            number = &mut stopped, if signal.get().is_none() => {
                signal.set(Some(number));
                cancel.cancel();
            }
        }
    }
}

async fn execute(
    fetch: &Fetch,
    context: &Context,
    console: &mut Console,
    cancel: &CancellationToken,
    signal: &Cell<Option<u8>>,
) -> Result<(), Error> {
    let outcome = attempt(fetch, context, console, cancel).await;
    outcome.map_err(|Failed { status, mut error, sources }| {
        if let Some(number) = signal.get() {
            error.kind = Kind::Signal(number);
        }
        let sources: Vec<Value> = sources
            .iter()
            .map(|one| json!({ "source": one.source, "at": one.failure.at, "kind": one.failure.kind.name(), "message": one.failure.text }))
            .collect();
        // Whoever reads events learns of it here; should nobody read them, the error is told all the same.
        let _ = console.json_result(&json!({
            "event": "downloadError", "status": status, "message": error.text,
            "exit": error.kind.exit_code(), "sources": sources,
        }));
        error
    })
}

async fn attempt(
    fetch: &Fetch,
    context: &Context,
    console: &mut Console,
    cancel: &CancellationToken,
) -> Result<(), Failed> {
    if let Some(folder) = &fetch.extract {
        extract::check(folder)?;
    }
    let start = Instant::now();
    let plan = tokio::select! {
        plan = Plan::make(fetch, context) => plan?,
        () = cancel.cancelled() => return Err(failed(FetchError::Cancelled, None)),
    };
    let target = fetch.target(&plan.name)?;
    let place = open(&target, fetch.force).await?;
    let part = place.part().to_owned();
    let mut told = Told::new(console, target.path(), cancel);
    told.start(&plan.names(), plan.known_size());
    let outcome = plan.into_fetch(fetch.is_open()).run(place, &mut told, cancel).await;
    told.finish()?;
    let fetched = outcome.map_err(|error| failed(error, Some(part)))?;
    let members = unpack(fetch, &fetched, cancel).await?;
    finish(
        fetch,
        &fetched,
        members,
        Pace::since(start, fetched.size.saturating_sub(fetched.resumed)),
        console,
    )?;
    Ok(())
}

async fn open(target: &Target, replace: bool) -> Result<Place, Error> {
    let path = target.path().to_owned();
    let opened = tokio::task::spawn_blocking(move || Place::open(&path, replace)).await;
    opened.map_err(|error| Error::local(error.to_string()))?.map_err(|error| match error {
        PlaceError::Exists(_) => Error::local(format!("{error}; --force replaces it, -o gives another name")),
        PlaceError::Io { what, source } => Error::local(format!("{what}: {}", reason(&source))),
        error => Error::local(error.to_string()),
    })
}

/// How many members were unpacked, if that was asked for.
async fn unpack(fetch: &Fetch, fetched: &Fetched, cancel: &CancellationToken) -> Result<Option<u64>, Failed> {
    let Some(folder) = fetch.extract.clone() else { return Ok(None) };
    let (package, cancel) = (fetched.path.clone(), cancel.clone());
    let work = move || extract::extract(&package, &folder, &|| cancel.is_cancelled());
    let outcome = tokio::task::spawn_blocking(work).await.map_err(|error| Error::local(error.to_string()))?;
    let members = outcome.map_err(|error| {
        let path = fetched.path.display();
        let error = error.during(format!("cannot unpack {path}, which stays"));
        Failed { status: "extract_failed", error, sources: Vec::new() }
    })?;
    if fetch.output.is_none() {
        // It has done its duty; if it stays nothing is lost.
        let _ = tokio::fs::remove_file(&fetched.path).await;
    }
    Ok(Some(members))
}

/// Tells how it went.
fn finish(
    fetch: &Fetch,
    fetched: &Fetched,
    members: Option<u64>,
    pace: Pace,
    console: &mut Console,
) -> Result<(), Error> {
    let hashes: Vec<String> = fetched.hashes.iter().map(Hash::to_string).collect();
    let verified = match (fetched.hashes.first(), fetched.pieces_verified) {
        (Some(hash), _) => format!("{} verified", hash.algorithm()),
        (None, true) => "pieces verified".to_owned(),
        (None, false) => "length verified".to_owned(),
    };
    let givers = fetched.sources.iter().filter(|source| source.bytes > 0).count();
    let mut text = format!(
        "{}: {pace}, {verified}, from {givers} of {} sources",
        fetched.path.display(),
        fetched.sources.len()
    );
    if fetched.resumed > 0 {
        text.push_str(&format!("; {} were there already", indicatif::HumanBytes(fetched.resumed)));
    }
    let folder = fetch.extract.as_ref().map(|folder| folder.display().to_string());
    if let (Some(folder), Some(members)) = (&folder, members) {
        text.push_str(&format!("; {members} files unpacked into {folder}"));
    }
    console.remark(&text);
    console.json_result(&json!({
        "event": "downloadComplete",
        "path": fetched.path.display().to_string(),
        "size": fetched.size,
        "etag": fetched.version.validators.etag,
        "hashes": hashes,
        "pieces_verified": fetched.pieces_verified,
        "resumed_at": fetched.resumed,
        "seconds": pace.seconds(),
        "sources": fetched.sources.iter().map(source_json).collect::<Vec<_>>(),
        "extracted": folder,
        "members": members,
    }))
}
