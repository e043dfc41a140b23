//! `delete`: removes a file for good.

use serde_json::json;
use tnv_client::Client;

use crate::args::FileArgs;
use crate::console::Console;
use crate::error::Error;

/// Delete a file for good
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS delete [OPTIONS] APP USER FILE",
    after_help = "\
A file that does not exist is an error (exit code 3).

Examples, where $id is what upload printed:
  client 127.0.0.1:21000 delete tnvideo tnv001 $id"
)]
pub(crate) struct Delete {
    #[command(flatten)]
    file: FileArgs,
}

pub(crate) async fn run(delete: Delete, client: &Client, console: &mut Console) -> Result<(), Error> {
    let key = delete.file.key();
    client.delete(&key).await.map_err(|error| Error::from(error).about(&key.file))?;
    console.remark(&format!("deleted {key}"));
    console.json_result(&json!({ "id": key.file.as_str(), "deleted": true }))
}
