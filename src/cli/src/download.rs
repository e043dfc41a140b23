//! `download`: fetches a file, or a part of one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tnv_client::Client;
use tnv_proto::{Attributes, FileKey};

use crate::args::FileArgs;
use crate::console::Console;
use crate::error::{Error, reason};
use crate::name::safe_name;
use crate::session::Pace;
use crate::sink::{Sink, Written};
use crate::target::Target;

/// Fetch a file, or a part of one
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS download [OPTIONS] APP USER FILE [OFFSET SIZE]",
    after_help = "\
Without -o the file is called what the server calls it, else by its file id; characters that are unsafe \
in file names become _. It is written beside its final place, checked (its length, and its BLAKE3 where the \
whole file is fetched and the server knows it), synced and renamed: what stands under that name is whole. \
What fails or is interrupted leaves nothing.

With -o - the bytes go to standard output as they come; if the check fails at the end, the exit code is 6. \
A reader that goes away (`| head -c 100`) ends the command quietly with exit code 141.

Examples, where $id is what upload printed:
  client 127.0.0.1:21000 download tnvideo tnv001 $id
  client 127.0.0.1:21000 download tnvideo tnv001 $id -o 003.mp4 --force
  client 127.0.0.1:21000 download tnvideo tnv001 $id 1048576 4096 -o part
  client 127.0.0.1:21000 download tnvideo tnv001 $id -o - | ffplay -"
)]
pub(crate) struct Download {
    #[command(flatten)]
    file: FileArgs,
    /// The first byte wanted, from 0
    #[arg(requires = "size", value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    offset: Option<u64>,
    /// How many bytes; 0 = to the end
    #[arg(value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    size: Option<u64>,
    /// Where to: a file, a folder, or - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, short)]
    force: bool,
}

/// What is fetched, and what is known about it beforehand.
struct Part {
    key: FileKey,
    attributes: Attributes,
    offset: u64,
    /// How many bytes, as it is asked for: 0 = to the end.
    size: u64,
}

pub(crate) async fn run(download: Download, client: &Client, console: &mut Console) -> Result<(), Error> {
    let key = download.file.key();
    let to_output = download.output.as_deref().is_some_and(|path| path == Path::new("-"));
    if to_output && console.is_json() {
        return Err(Error::usage("--json and -o - both want standard output"));
    }
    // A name that is known already is checked before anybody is asked.
    let named = match &download.output {
        Some(path) if !to_output && !path.is_dir() => Some(Target::new(path, download.force)?),
        _ => None,
    };
    let about = |error: Error| error.about(&key.file);
    let attributes = client.stat(&key).await.map_err(|error| about(error.into()))?;
    let target = match named {
        None if !to_output => Some(Target::new(&default_path(&download, &key, &attributes), download.force)?),
        named => named,
    };
    let part = Part {
        attributes,
        offset: download.offset.unwrap_or(0),
        size: download.size.unwrap_or(0),
        key: key.clone(),
    };
    match target {
        Some(target) => into_file(&part, &target, client, console).await.map_err(about),
        None => into_output(&part, client, console).await.map_err(about),
    }
}

/// The name that the server or else the file id gives, in the folder of `-o` or else the current one.
fn default_path(download: &Download, key: &FileKey, attributes: &Attributes) -> PathBuf {
    let name = safe_name(if attributes.name.is_empty() { key.file.as_str() } else { &attributes.name });
    match &download.output {
        Some(folder) => folder.join(name),
        None => name.into(),
    }
}

async fn into_file(
    part: &Part,
    target: &Target,
    client: &Client,
    console: &mut Console,
) -> Result<(), Error> {
    let start = Instant::now();
    let (file, temp) = target.create_temp()?;
    let sink = Sink::start(file, |file| file.sync_all());
    let path = target.path().display();
    let written = transfer(part, sink, client, console, |error| {
        Error::local(format!("cannot write {path}: {}", reason(&error)))
    })
    .await?;
    // From here on without a pause, so that an interruption finds either the temporary file or the final one.
    target.publish(temp)?;
    target.sync_folder().await;

    let pace = Pace::since(start, written.size);
    console.remark(&format!("{path}: {pace}, {}", part.assurance()));
    console.json_result(&json!({
        "id": part.key.file.as_str(),
        "path": path.to_string(),
        "offset": part.offset,
        "size": written.size,
        "blake3": written.blake3.to_string(),
        "verified": part.has_checksum(),
        "seconds": pace.seconds(),
    }))
}

async fn into_output(part: &Part, client: &Client, console: &mut Console) -> Result<(), Error> {
    let start = Instant::now();
    let sink = Sink::start(console.take_output(), |out| out.flush());
    let written =
        transfer(part, sink, client, console, |error| Error::output(&error, "standard output")).await?;
    console.remark(&format!("{}: {}, {}", part.key, Pace::since(start, written.size), part.assurance()));
    Ok(())
}

/// Moves the bytes into `sink` and checks them. `describe` words a failed write.
async fn transfer(
    part: &Part,
    mut sink: Sink,
    client: &Client,
    console: &Console,
    describe: impl Fn(std::io::Error) -> Error,
) -> Result<Written, Error> {
    let mut download = client.download(&part.key, part.offset, part.size, part.attributes.blake3).await?;
    part.check_length(download.size())?;
    let progress = console.progress(part.key.file.as_str(), download.size());
    while let Some(chunk) = download.chunk().await? {
        let len = chunk.len() as u64;
        sink.write(chunk).await.map_err(&describe)?;
        progress.add(len);
    }
    let written = sink.finish().await.map_err(&describe)?;
    progress.clear();
    part.check(&written)?;
    Ok(written)
}

impl Part {
    /// How many bytes it must have.
    fn length(&self) -> u64 {
        match self.size {
            0 => self.attributes.size.saturating_sub(self.offset),
            size => size,
        }
    }

    /// Whether it is a whole file whose checksum is known.
    fn has_checksum(&self) -> bool {
        self.offset == 0 && self.length() == self.attributes.size && self.attributes.blake3.is_known()
    }

    fn assurance(&self) -> &'static str {
        if self.has_checksum() { "checksum verified" } else { "length verified" }
    }

    fn check_length(&self, size: u64) -> Result<(), Error> {
        let expected = self.length();
        if size == expected {
            return Ok(());
        }
        Err(Error::damaged(format!("{}: the storage gives {size} bytes, it should be {expected}", self.key)))
    }

    fn check(&self, written: &Written) -> Result<(), Error> {
        self.check_length(written.size)?;
        if self.has_checksum() && written.blake3 != self.attributes.blake3 {
            return Err(Error::damaged(format!(
                "{}: the bytes are damaged: their BLAKE3 is {}, it should be {}",
                self.key, written.blake3, self.attributes.blake3
            )));
        }
        Ok(())
    }
}
