//! `upload`: stores files.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tnv_client::{Client, Source, Uploaded, new_file_id};
use tnv_proto::{AppId, FileId, FileKey, UserId};

use crate::console::Console;
use crate::error::{Error, Kind};
use crate::piece::{Piece, pieces};
use crate::session::Pace;

/// Store files and print their file ids
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS upload [OPTIONS] APP USER PATH [OFFSET SIZE]\n       \
                      client TRACKERS upload [OPTIONS] APP USER PATH...",
    after_help = "\
Each file id is printed on a line of its own, in the order of the paths; everything else goes to standard \
error. All paths are checked before the first is sent, and the first upload that fails ends the command.

Two integers behind exactly one path are an offset and a size in bytes; size 0 means to the end. A file \
whose name is a number is given as ./0.

If the outcome of an upload is not known (exit code 6), ask with `filesize` before uploading again.

Examples:
  client 127.0.0.1:21000 upload tnvideo tnv001 ~/003.mp4 0 0
  client 127.0.0.1:21000 upload tnvideo tnv001 ~/003.mp4 1048576 4096
  client 127.0.0.1:21000 upload tnvideo tnv001 *.mp4 --json
  id=$(client 127.0.0.1:21000 upload --quiet tnvideo tnv001 ~/003.mp4)"
)]
pub(crate) struct Upload {
    /// The application, such as tnvideo
    app: AppId,
    /// The user who owns the files, such as tnv001
    user: UserId,
    /// Files to store; behind exactly one, an offset and a size
    #[arg(required = true, value_name = "PATH")]
    words: Vec<OsString>,
    /// Store the file under this id, which must be free, instead of a new one
    #[arg(long, value_name = "ID")]
    id: Option<FileId>,
}

pub(crate) async fn run(upload: Upload, client: &Client, console: &mut Console) -> Result<(), Error> {
    let pieces = pieces(&upload.words)?;
    if upload.id.is_some() && pieces.len() > 1 {
        return Err(Error::usage("--id names one file, but several paths are given"));
    }
    for piece in &pieces {
        piece.check()?;
    }
    for piece in &pieces {
        let file = upload.id.clone().unwrap_or_else(|| new_file_id(&upload.user));
        let key = FileKey { app: upload.app.clone(), user: upload.user.clone(), file };
        store(&key, piece, client, console).await.map_err(|error| error.about(&key.file))?;
    }
    Ok(())
}

async fn store(key: &FileKey, piece: &Piece, client: &Client, console: &mut Console) -> Result<(), Error> {
    let path = piece.path.display();
    // A file may have changed while others before it were sent.
    let size = piece.check()?;
    let start = Instant::now();
    let uploaded = send(key, piece, size, client, console).await.map_err(|error| {
        if error.kind == Kind::Local { error } else { error.during(format!("uploading {path}")) }
    })?;
    let pace = Pace::since(start, uploaded.size);
    let json = json!({
        "id": key.file.as_str(),
        "path": path.to_string(),
        "size": uploaded.size,
        "blake3": uploaded.blake3.to_string(),
        "storage": uploaded.storage,
        "seconds": pace.seconds(),
    });
    // Here even a closed pipe is worth a word: without its id the file is lost to its owner.
    console
        .result(key.file.as_str(), &json)
        .map_err(|error| Error::local(format!("{path} is stored as {}, but {error}", key.file)))?;
    console.remark(&format!("{path}: {pace}, stored on {}", uploaded.storage));
    Ok(())
}

async fn send(
    key: &FileKey,
    piece: &Piece,
    size: u64,
    client: &Client,
    console: &Console,
) -> Result<Uploaded, Error> {
    let progress = console.progress(&piece.path.to_string_lossy(), size);
    let watcher = progress.clone();
    // Not `Source::file`, which takes size 0 as "to the end": here it means an empty part.
    let source = Source::File { path: piece.path.clone(), offset: piece.offset, size };
    let source = source.with_progress(Arc::new(move |sent| watcher.set(sent)));
    let outcome = client.upload(key, source).await;
    progress.clear();
    Ok(outcome?)
}
