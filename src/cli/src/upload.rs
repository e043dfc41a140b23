//! `upload`: stores files.

use std::cell::RefCell;
use std::ffi::OsString;

use serde_json::json;
use tnv_proto::{AppId, FileId, UserId};

use crate::console::{Console, one_line};
use crate::error::{Error, Kind};
use crate::jobs::{Tally, run_all};
use crate::labels::labels;
use crate::piece::pieces;
use crate::selection::{Selected, select};
use crate::send::{Order, Sent};
use crate::session::Context;
use crate::size::bytes;
use crate::unfinished::Unfinished;

/// Store files and print their file ids
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS upload [OPTIONS] APP USER PATH [OFFSET SIZE]\n       \
                      client TRACKERS upload [OPTIONS] APP USER PATH...",
    after_help = "\
The file id is printed on a line of its own; everything else goes to standard error. With several files, or \
with -r, each line is ID<TAB>PATH, in the order in which they are done. A file that fails does not stop the \
others; the exit code is that of the first failure.

A file is stored with its name and its content type, which the server finds out where the extension does not \
tell. With -r the name is the path from the folder on: of /media/films the film /media/films/a/b.mp4 is stored as \
films/a/b.mp4.

Files of 64 MiB and more go in parts. If the connection is lost the client tries again; if it ends before it \
is done, the same command goes on with what has arrived, within a day, unless the file has changed meanwhile. \
What it needs to know for that is kept in $XDG_STATE_HOME/tnv or ~/.local/state/tnv until then.

Two integers behind exactly one path are an offset and a size in bytes; size 0 means to the end. A file \
whose name is a number is given as ./0.

If the outcome of an upload is not known (exit code 6), ask with `stat` before uploading again.

Examples:
  client 127.0.0.1:21000 upload tnvideo tnv001 ~/003.mp4 0 0
  client 127.0.0.1:21000 upload tnvideo tnv001 ~/003.mp4 1048576 4096
  client 127.0.0.1:21000 upload tnvideo tnv001 --name 'A film.mp4' --type video/mp4 ~/003.mp4
  client 127.0.0.1:21000 upload tnvideo tnv001 -r ~/films --jobs 4
  client 127.0.0.1:21000 upload tnvideo tnv001 *.mp4 --json
  id=$(client 127.0.0.1:21000 upload --quiet tnvideo tnv001 ~/003.mp4)"
)]
pub(crate) struct Upload {
    /// The application, such as tnvideo
    app: AppId,
    /// The user who owns the files, such as tnv001
    user: UserId,
    /// Files to store; behind exactly one, an offset and a size
    #[arg(required = true, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    words: Vec<OsString>,
    /// Store the file under this id, which must be free, instead of a new one
    #[arg(long, value_name = "ID")]
    id: Option<FileId>,
    /// Store the file under this name instead of its own
    #[arg(long)]
    name: Option<String>,
    /// The content type, such as video/mp4, instead of what the name tells
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Store all files in folders, and in the folders in them
    #[arg(long, short)]
    recursive: bool,
    /// How many files are sent at once, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// The length of a part, such as 16M: 1K to 1G
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = bytes)]
    part_size: u64,
    /// How many failures in a row are put up with while a file goes in parts
    #[arg(long, value_name = "N", default_value_t = 8)]
    retries: u32,
    /// Wait until so many storages have the file, durable: 1 to 16; without it as many as the servers are set to
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..=16))]
    ack_copies: Option<u8>,
    /// Do not go on with an earlier upload, and leave nothing for a later one to go on with
    #[arg(long)]
    no_resume: bool,
}

pub(crate) async fn run(upload: Upload, context: &Context, console: &mut Console) -> Result<(), Error> {
    let pieces = pieces(&upload.words)?;
    for (given, option) in [(upload.id.is_some(), "--id"), (upload.name.is_some(), "--name")] {
        if given && (pieces.len() > 1 || upload.recursive) {
            return Err(Error::usage(format!("{option} is for one file, but several are given")));
        }
    }
    // Before anything is looked at: the user may have to say it otherwise.
    labels("".as_ref(), upload.name.as_deref(), upload.kind.as_deref())?;

    let selected = select(pieces, upload.recursive).await;
    let total: u64 = selected.iter().flatten().filter_map(|one| one.piece.check().ok()).sum();
    let title = match &selected[..] {
        [Ok(one)] => one.name.display().to_string(),
        several => format!("{} files", several.len()),
    };
    let (count, listed) = (selected.len(), upload.recursive || selected.len() > 1);
    let progress = console.progress(&title, total);
    let mut tally = Tally::of(count);
    let console = RefCell::new(console);
    let job = async |one: Result<Selected, Error>| {
        let one = one?;
        let outcome = send(&upload, &one, context, &progress).await;
        progress.aside(|| tell(outcome, &one, (listed, upload.ack_copies), &mut console.borrow_mut()))
    };
    run_all(selected, upload.jobs.into(), job, |outcome| {
        if let Err(error) = outcome {
            progress.aside(|| tally.failed(error, &mut console.borrow_mut()));
        }
    })
    .await;
    progress.clear();
    tally.into_result("uploads")
}

async fn send(
    upload: &Upload,
    one: &Selected,
    context: &Context,
    progress: &crate::progress::Progress,
) -> Result<Sent, Error> {
    // A file may have changed while others before it were sent.
    let size = one.piece.check()?;
    let order = Order {
        app: &upload.app,
        user: &upload.user,
        id: upload.id.as_ref(),
        labels: labels(&one.name, upload.name.as_deref(), upload.kind.as_deref())?,
        piece: &one.piece,
        size,
        part_size: upload.part_size,
        retries: upload.retries,
    };
    // An id of the user's own is all that must be known to go on.
    let unfinished = match upload.no_resume || upload.id.is_some() || !order.goes_in_parts() {
        true => Unfinished::unknown(),
        false => {
            let names = (&upload.app, &upload.user);
            Unfinished::find(&context.state, &one.piece, size, &context.trackers, names)
        }
    };
    let client = context.client.clone().with_ack_copies(upload.ack_copies.unwrap_or(0));
    order.send(&client, unfinished, &progress.share()).await
}

fn tell(
    outcome: Result<Sent, Error>,
    one: &Selected,
    (listed, asked): (bool, Option<u8>),
    console: &mut Console,
) -> Result<(), Error> {
    let path = one.piece.path.display();
    let sent = outcome.map_err(|error| {
        if error.kind == Kind::Local { error } else { error.during(format!("uploading {path}")) }
    })?;
    let (id, attributes) = (&sent.id, &sent.attributes);
    let json = json!({
        "id": id.as_str(),
        "path": path.to_string(),
        "name": attributes.name,
        "size": attributes.size,
        "content_type": attributes.content_type,
        "blake3": attributes.blake3.to_string(),
        "storage": sent.storage,
        "copies": sent.copies,
        "resumed_at": sent.resumed_at,
        "seconds": sent.pace.seconds(),
    });
    let line = if listed { format!("{id}\t{}", one_line(&path.to_string())) } else { id.to_string() };
    // Here even a closed pipe is worth a word: without its id the file is lost to its owner.
    console
        .result(&line, &json)
        .map_err(|error| Error::local(format!("{path} is stored as {id}, but {error}")))?;
    console.remark(&format!("{path}: {}", sent.remark()));
    if let Some(asked) = asked.filter(|asked| sent.copies > 0 && sent.copies < *asked) {
        console.remark(&format!(
            "{path}: {} of {asked} storages had it when it was answered; the others fetch it when they can",
            sent.copies
        ));
    }
    Ok(())
}
