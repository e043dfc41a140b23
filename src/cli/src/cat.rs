//! `cat`: a file, or a part of one, to standard output.

use std::io::Write;
use std::time::Instant;

use tnv_proto::FileKey;

use crate::args::FileArgs;
use crate::console::Console;
use crate::error::Error;
use crate::part::Part;
use crate::session::{Context, Pace};
use crate::sink::Sink;

/// Write a file, or a part of one, to standard output
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS cat [OPTIONS] APP USER FILE [OFFSET SIZE]",
    after_help = "\
The bytes go out as they come; length and BLAKE3 are checked as with `download`, and if the check fails at the \
end, the exit code is 6. A reader that goes away (`| head -c 100`) ends the command quietly with exit code 141.

Examples, where $id is what upload printed:
  client 127.0.0.1:21000 cat tnvideo tnv001 $id | mpv -
  client 127.0.0.1:21000 cat tnvideo tnv001 $id 0 512 | xxd"
)]
pub(crate) struct Cat {
    #[command(flatten)]
    file: FileArgs,
    /// The first byte wanted, from 0
    #[arg(requires = "size", value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    offset: Option<u64>,
    /// How many bytes; 0 = to the end
    #[arg(value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    size: Option<u64>,
}

pub(crate) async fn run(cat: Cat, context: &Context, console: &mut Console) -> Result<(), Error> {
    stream(&cat.file.key(), cat.offset.unwrap_or(0), cat.size.unwrap_or(0), context, console).await
}

/// Writes `size` bytes from `offset` on, 0 = to the end, to standard output.
pub(crate) async fn stream(
    key: &FileKey,
    offset: u64,
    size: u64,
    context: &Context,
    console: &mut Console,
) -> Result<(), Error> {
    let about = |error: Error| error.about(&key.file);
    let attributes = context.client.stat(key).await.map_err(|error| about(error.into()))?;
    let part = Part { key: key.clone(), attributes, offset, size };
    let start = Instant::now();
    let mut sink = Sink::start(console.take_output(), |out| out.flush());
    let progress = console.progress(key.file.as_str(), part.length());
    let failed = |error| about(Error::output(&error, "standard output"));
    part.stream(&context.client, &mut sink, 0, &progress.share(), failed).await.map_err(about)?;
    let written = sink.finish().await.map_err(failed)?;
    progress.clear();
    part.check(&written).map_err(about)?;
    let assurance = if part.has_checksum() { "checksum verified" } else { "length verified" };
    console.remark(&format!("{key}: {}, {assurance}", Pace::since(start, written.size)));
    Ok(())
}
