//! `filesize`: how long a file is.

use serde_json::json;
use tnv_client::Client;

use crate::args::FileArgs;
use crate::console::Console;
use crate::error::Error;

/// Print a file's size in bytes
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS filesize [OPTIONS] APP USER FILE",
    after_help = "\
Examples, where $id is what upload printed:
  client 127.0.0.1:21000 filesize tnvideo tnv001 $id"
)]
pub(crate) struct Filesize {
    #[command(flatten)]
    file: FileArgs,
}

pub(crate) async fn run(filesize: Filesize, client: &Client, console: &mut Console) -> Result<(), Error> {
    let key = filesize.file.key();
    let size = client.file_size(&key).await.map_err(|error| Error::from(error).about(&key.file))?;
    console.result(&size.to_string(), &json!({ "id": key.file.as_str(), "size": size }))
}
