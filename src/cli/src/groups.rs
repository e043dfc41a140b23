//! `groups`: what the cluster looks like.

use tnv_client::Client;

use crate::console::{Console, printable};
use crate::error::Error;

/// Show all groups and storages
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS groups [OPTIONS]",
    after_help = "\
With --json the state is one JSON object: groups, storages, versions, addresses, space, load, last beat.

Examples:
  client 127.0.0.1:21000 groups
  client 127.0.0.1:21000 groups --json | jq '.groups[].storages[].status'"
)]
pub(crate) struct Groups {}

pub(crate) async fn run(_: Groups, client: &Client, console: &mut Console) -> Result<(), Error> {
    if console.is_json() {
        let state = client.state().await?;
        let json = serde_json::to_value(state).map_err(|error| Error::damaged(error.to_string()))?;
        return console.json_result(&json);
    }
    let text = client.groups().await?;
    console.result(&printable(&text), &serde_json::Value::Null)
}
